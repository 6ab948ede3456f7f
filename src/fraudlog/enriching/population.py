"""What is usual on this site: the browser versions of its people, the languages of its countries and accounts.

A table of current browser versions rots; the site's own mix does not. Each client (address prefix and agent) counts
once, so that one busy scraper can't move the mix. Counts of two periods add up.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["MIX_COLUMNS", "SiteMix"]

MIX_COLUMNS: Final = (
    ("browser_age", pa.float64()),
    ("browser_newer_share", pa.float64()),
    ("language_country_surprise", pa.float64()),
    ("language_user_surprise", pa.float64()),
)
_FEWEST_CLIENTS: Final = 20
_CURRENT_SHARE: Final = 0.05
_SMOOTHING: Final = 0.5
Key = TypeVar("Key")


@dataclass
class SiteMix:
    """Counts of what a site's people use.

    Attributes
    ----------
    browsers : dict of str to Counter
        Clients by browser family and major version; programs are left out.
    countries, users : dict of str to Counter
        Clients by country, and requests' sessions by account, and language.
    languages : Counter
        Clients by language.

    Examples
    --------
    >>> mix = SiteMix()
    >>> mix.browsers["Chrome"] = Counter({140: 60, 139: 30, 120: 10})
    >>> mix.browser_age("Chrome", "120"), mix.browser_newer_share("Chrome", "120")
    (20.0, 0.9)
    >>> mix.browser_age("Chrome", "999")
    -859.0
    """

    browsers: dict[str, Counter[int]] = field(default_factory=dict)
    countries: dict[str, Counter[str]] = field(default_factory=dict)
    users: dict[str, Counter[str]] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)

    def learn(self, events: pa.Table) -> SiteMix:
        """Count the clients of an enriched table and return self; what the table lacks is not counted."""
        names = set(events.column_names)
        if {"browser", "browser_version", "is_automation"} <= names:
            people = events.filter(pc.fill_null(pc.invert(events["is_automation"]), fill_value=False))
            for browser, version in _clients(people, ["browser", "browser_version"]):
                if version.isdigit() and len(version) <= 6:
                    self.browsers.setdefault(browser, Counter())[int(version)] += 1
        if "language_primary" in names:
            self.languages.update(language for (language,) in _clients(events, ["language_primary"]))
            for entity, counts in (("country", self.countries), ("user", self.users)):
                if entity in names:
                    for key, language in _clients(events, [entity, "language_primary"]):
                        counts.setdefault(key, Counter())[language] += 1
        return self

    def to_bytes(self) -> bytes:
        """Return the counts as JSON, those of single accounts left out."""
        counts = {
            "browsers": {
                name: {str(n): c for n, c in sorted(of.items())} for name, of in sorted(self.browsers.items())
            },
            "countries": {name: dict(sorted(of.items())) for name, of in sorted(self.countries.items())},
            "languages": dict(sorted(self.languages.items())),
        }
        return json.dumps(counts, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> SiteMix:
        """Read what `to_bytes` wrote.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        try:
            counts = json.loads(raw)
            browsers = {name: _counts(of, int) for name, of in counts["browsers"].items()}
            countries = {name: _counts(of, str) for name, of in counts["countries"].items()}
            return cls(browsers, countries, {}, _counts(counts["languages"], str))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no counts of a site's mix: {type(error).__name__}") from None

    def merge(self, other: SiteMix) -> SiteMix:
        """Add the counts of another period and return self."""
        for mine, theirs in ((self.countries, other.countries), (self.users, other.users)):
            for key, counts in theirs.items():
                mine.setdefault(key, Counter()).update(counts)
        for browser, versions in other.browsers.items():
            self.browsers.setdefault(browser, Counter()).update(versions)
        self.languages.update(other.languages)
        return self

    def forget_user(self, user: str) -> None:
        """Drop what was counted about one account."""
        self.users.pop(user, None)

    def browser_age(self, browser: str | None, version: str | None) -> float | None:
        """Return by how many major versions this one is behind the newest that 5 % of its users reach.

        Negative where it is ahead of the site: a new release, or a made-up number. None below 20 clients of the
        browser.
        """
        found = self._versions(browser, version)
        return None if found is None else float(_current(found[0]) - found[1])

    def browser_newer_share(self, browser: str | None, version: str | None) -> float | None:
        """Return the share of this browser's clients that use a newer version; None below 20 clients."""
        found = self._versions(browser, version)
        if found is None:
            return None
        versions, mine = found
        return sum(count for number, count in versions.items() if number > mine) / versions.total()

    def _versions(self, browser: str | None, version: str | None) -> tuple[Counter[int], int] | None:
        versions = self.browsers.get(browser or "")
        if (
            versions is None
            or versions.total() < _FEWEST_CLIENTS
            or not version
            or not version.isdigit()
            or len(version) > 6
        ):
            return None
        return versions, int(version)

    def country_surprise(self, country: str | None, language: str | None) -> float | None:
        """Return ``-log2`` of how usual a language is in a country on this site, in bits; None below 20 clients."""
        counts = self.countries.get(country or "")
        if counts is None or counts.total() < _FEWEST_CLIENTS:
            return None
        return self._surprise(counts, language)

    def user_surprise(self, user: str | None, language: str | None) -> float | None:
        """Return ``-log2`` of how usual a language is for an account, in bits; None below 2 clients of the account."""
        counts = self.users.get(user or "")
        if counts is None or counts.total() < 2:
            return None
        return self._surprise(counts, language)

    def _surprise(self, counts: Counter[str], language: str | None) -> float | None:
        """Smooth with the site's own languages: one that is common on the site surprises less everywhere."""
        if language is None:
            return None
        prior = (self.languages[language] + _SMOOTHING) / (
            self.languages.total() + _SMOOTHING * (len(self.languages) + 1)
        )
        return -math.log2((counts[language] + prior) / (counts.total() + 1))

    def row(
        self, browser: str | None, version: str | None, country: str | None, user: str | None, language: str | None
    ) -> tuple[float | None, ...]:
        """Return the values of `MIX_COLUMNS`."""
        return (
            self.browser_age(browser, version),
            self.browser_newer_share(browser, version),
            self.country_surprise(country, language),
            self.user_surprise(user, language),
        )


def _counts(found: Mapping[str, Any], kind: Callable[[str], Key]) -> Counter[Key]:
    """Read counts from a file: whole numbers above 0, and nothing else."""
    if not all(type(count) is int and count > 0 for count in found.values()):
        raise TypeError("count")
    return Counter({kind(key): count for key, count in found.items()})


def _current(versions: Counter[int]) -> int:
    """Return the newest version that, with all newer ones, is used by 5 %."""
    reached = 0
    for version in sorted(versions, reverse=True):
        reached += versions[version]
        if reached >= _CURRENT_SHARE * versions.total():
            return version
    return max(versions)


def _clients(events: pa.Table, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the values of `columns` for each client: distinct prefix and agent."""
    keys = [name for name in ("ip_prefix", "user_agent") if name in events.column_names]
    wanted = [*columns, *(key for key in keys if key not in columns)]
    plain = pa.table({name: events[name].cast(pa.string()) for name in wanted})
    distinct = plain.group_by(wanted).aggregate([]).select(list(columns)).drop_null()
    return list(zip(*(distinct[name].to_pylist() for name in columns), strict=True))
