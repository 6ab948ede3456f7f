"""A site as traffic sees it: what its paths are, what they weigh, and how it answers.

`Site.drawn` makes one up, named from word lists; `Site.of` takes what a log shows and draws only what it lacks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fraudlog.enriching import EndpointMap
from fraudlog.evaluation.words import ROLES, SECTIONS, STEMS, TOPICS, WORDS

if TYPE_CHECKING:
    from random import Random

    import pandas as pd

__all__ = ["Site"]

_ITEMS: Final = 240
_FEWEST: Final = 3
_NAMED_BY: Final = {role: role for role in ROLES if role not in {"comment", "vote", "advert", "form"}}
"""Roles that the endpoint map knows under the same word."""


@dataclass(frozen=True)
class Site:
    """What a visitor may ask of a site, and what it answers.

    Parameters
    ----------
    origin : str
        Scheme and host, as in a referrer.
    pages : tuple of str
        Pages without a number, the home page first.
    items : tuple of str
        Pages of one kind whose paths end in a number, in its order.
    assets : tuple of str
        What every page needs.
    doors : dict of str to str
        Path of each role of `words.ROLES`.
    images : dict of str to tuple of str
        What a page needs besides.
    weights : dict of str to int
        Size of the answer in bytes.
    refusal : int
        Status of a refused login.
    missing : int
        Status of what is not there.
    """

    origin: str
    pages: tuple[str, ...]
    items: tuple[str, ...]
    assets: tuple[str, ...]
    doors: dict[str, str]
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    refusal: int = 401
    missing: int = 404

    @classmethod
    def drawn(cls, rng: Random) -> Site:
        """Make a site up."""
        section = rng.choice(SECTIONS)
        pattern = rng.choice(("/{s}/{w}-{n}", "/{s}/{n}", "/{s}/{n}/{w}", "/{s}/view/{n}", "/{w}/{n}.html"))
        numbers = accumulate(rng.choices((1, 2), (4, 1), k=_ITEMS), initial=rng.randrange(1, 5_000))
        items = tuple(pattern.format(s=section, w=rng.choice(WORDS), n=n) for n in numbers)
        lists = tuple(f"/{section}/{word}" for word in rng.sample(WORDS, 10))
        topics = tuple(f"/{topic}" for topic in rng.sample(TOPICS, 7))
        folder = rng.choice(("/static", "/assets", "/dist", "/media", "/build"))
        stems = rng.sample(STEMS, 8)
        digest = f"{rng.randrange(1 << 32):08x}"
        styles = [
            f"{folder}/{stem}.{digest}.{kind}"
            for stem, kind in zip(stems, ("css", "js") * 3 + ("svg", "woff2"), strict=True)
        ]
        images = {page: tuple(f"{folder}/img/{rng.choice(WORDS)}-{i}-{n}.jpg" for n in range(rng.randrange(1, 5)))
                  for i, page in enumerate((*items, *lists))}  # fmt: skip
        return cls(
            origin=f"https://www.{rng.choice(WORDS)}-{rng.choice(SECTIONS)}.example",
            pages=("/", *lists, *topics),
            items=items,
            assets=(*styles, "/favicon.ico"),
            doors={role: rng.choice(names) for role, names in ROLES.items()},
            images=images,
            refusal=rng.choices((401, 422, 403, 200, 302), (50, 15, 10, 15, 10))[0],
        )

    @classmethod
    def of(cls, events: pd.DataFrame, rng: Random, endpoints: EndpointMap | None = None) -> Site:
        """Take a site from its log; what the log does not show is drawn.

        Parameters
        ----------
        events : DataFrame of shape (n_events, n_columns)
            As from `fraudlog.read_log`; needs ``path``.
        rng : Random
        endpoints : EndpointMap, optional
            What the site's paths are; default, the built-in rules.
        """
        made_up = cls.drawn(rng)
        paths = events["path"].astype("str")
        good = events["status"].fillna(200).between(200, 399) if "status" in events else paths.notna()
        counts = paths[good & paths.str.startswith("/")].value_counts()
        table = pa.chunked_array([pa.array(counts.index.to_list(), pa.string())])
        kinds = (endpoints or EndpointMap()).column(table).cast(pa.string()).to_pylist()
        found = defaultdict(list)
        for path, count, kind in zip(counts.index, counts, kinds, strict=True):
            if count >= _FEWEST or kind == "page":
                found[kind].append(path)
        pages, items = _split(found["page"])
        doors = made_up.doors | {role: found[kind][0] for role, kind in _NAMED_BY.items() if found[kind]}
        return cls(
            origin=_origin(events) or made_up.origin,
            pages=tuple(pages[:200]) or made_up.pages,
            items=tuple(items[:500]) if len(items) >= 10 else made_up.items,
            assets=tuple(found["asset"][:8]) or made_up.assets,
            doors=doors,
            weights=_weights(events[good]),
            refusal=made_up.refusal,
            missing=_missing(events),
        )

    def needs(self, page: str) -> tuple[str, ...]:
        """Return the assets of a page."""
        return self.assets + self.images.get(page, ())

    def weigh(self, path: str, rng: Random) -> int:
        """Return the size of an answer: that of the log, or one that stays with the path."""
        if path in self.weights:
            return self.weights[path]
        kind = path.rpartition(".")[2]
        low, high = {"css": (2_000, 90_000), "js": (4_000, 400_000), "jpg": (9_000, 300_000), "ico": (900, 5_000)}.get(
            kind, (4_000, 60_000)
        )
        place = sum(ord(sign) * (i + 7) for i, sign in enumerate(path)) % 1_000 / 1_000
        base = float(low * (high / low) ** place)
        return round(base if kind in {"css", "js", "jpg", "svg", "woff2", "ico"} else base * rng.uniform(0.9, 1.1))


def _split(pages: list[str]) -> tuple[list[str], list[str]]:
    """Tell pages without a number from the commonest family of pages that end in one."""
    families = defaultdict(list)
    for page in pages:
        stem = page.rstrip("0123456789/")
        if stem != page.rstrip("/") and stem.count("/") > 1:
            families[stem.rpartition("/")[0]].append(page)
    largest = max(families.values(), key=len, default=[])
    chosen = set(largest)
    return [page for page in pages if page not in chosen], sorted(chosen)


def _origin(events: pd.DataFrame) -> str | None:
    """Return the commonest origin among the referrers that lead from page to page."""
    if "referrer" not in events:
        return None
    origins = Counter(events["referrer"].dropna().astype("str").str.extract(r"^(https?://[^/]+)")[0].dropna())
    return str(origins.most_common(1)[0][0]) if origins else None


def _weights(events: pd.DataFrame) -> dict[str, int]:
    if "bytes_sent" not in events:
        return {}
    known = events[events["bytes_sent"].notna()]
    return {str(path): int(size) for path, size in known.groupby("path")["bytes_sent"].median().items()}


def _missing(events: pd.DataFrame) -> int:
    """Return how the site answers what is not there: the commonest refusal of its log."""
    if "status" not in events:
        return 404
    statuses: Counter[int] = Counter(
        int(status) for status in events["status"][events["status"].isin([400, 403, 404, 410])]
    )
    return statuses.most_common(1)[0][0] if statuses else 404
