"""What a path is: page, asset, login, checkout, or what only scanners ask for.

Rules stand in ``rules/endpoints.toml``; a site's own map, written by hand or by `fraudlog suggest-endpoints`, is
asked first, and assets learnt from the traffic (see `learning`) come before the verdict "page".
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import ua_parser_rs

from fraudlog.enriching.distinct import CATEGORY, FactTable, encodable
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ENDPOINTS", "EndpointMap", "read_endpoint"]

ENDPOINTS: Final[dict[str, str]] = {
    "page": "anything a person looks at that no other row names",
    "asset": "a file that a page needs: style, script, image, font, video",
    "api": "called by programs and scripts, not looked at",
    "login": "signs a person in, or hands out a token",
    "logout": "signs a person out",
    "signup": "opens an account",
    "password_reset": "sends or takes a new password",
    "checkout": "takes a payment or an order",
    "cart": "holds what will be bought",
    "search": "answers a free question",
    "coupon": "tries or redeems a code, card or voucher",
    "captcha": "asks whether a person is there, and takes the answer",
    "vote": "counts an opinion: vote, like, rating, poll",
    "ad": "counts a click on an advertisement",
    "comment": "takes what a visitor writes for others: comment, review, message",
    "export": "hands out many rows at once",
    "account": "shows or changes what belongs to one person",
    "admin": "for those who run the site",
    "health": "asked by monitors and load balancers",
    "robots": "written for programs: robots.txt, sitemaps, .well-known",
    "feed": "news for feed readers",
    "probe": "only scanners ask for it",
}
"""The one vocabulary of `endpoint`, with the meaning of each word."""

_PATH_LIMIT: Final = 512
_MISSING: Final = (404, 410)
_OPEN_TO_QUERY: Final = ("page", "api", "search")
_ATTACK: Final = "probe"
"""What a query says of any path but an asset's: an attack is one at a login, too."""
_ABBREVIATIONS: Final = (("{seg}", "(?:^|/)"), ("{end}", r"(?:$|/|\.\w{2,5}$|;)"))


class _Rules:
    """Patterns with an endpoint each, asked in one pass; the first in order wins."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], *, source: str) -> None:
        pairs = [(_expand(pattern), row["endpoint"]) for row in rows for pattern in row["patterns"]]
        unknown = {endpoint for _, endpoint in pairs} - ENDPOINTS.keys()
        if unknown:
            raise ConfigError(
                f"{source} names the endpoints {', '.join(sorted(unknown))}; known are {', '.join(ENDPOINTS)}",
                parameter="endpoint",
            )
        try:
            self._engine = ua_parser_rs.UserAgentExtractor(
                [(pattern, endpoint, None, None, None, None) for pattern, endpoint in pairs]
            )
        except ValueError as error:
            raise ConfigError(
                f"{source} holds a pattern that does not compile: {error}", parameter="patterns"
            ) from None

    def __call__(self, text: str) -> str | None:
        match = self._engine.extract(text)
        return None if match is None else match.family


def _expand(pattern: str) -> str:
    for short, long in _ABBREVIATIONS:
        pattern = pattern.replace(short, long)
    return f"(?i){pattern}"


@cache
def _defaults() -> dict[str, Any]:
    text = (resources.files(__package__) / "rules" / "endpoints.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _default_paths(section: str = "path") -> _Rules:
    return _Rules(_defaults()[section], source="endpoints.toml")


class EndpointMap:
    """Tells what a path is.

    Parameters
    ----------
    rows : iterable of mappings, optional
        The site's own rules, each with ``endpoint`` and ``patterns``; asked before the built-in ones.
    assets : iterable of str, optional
        Paths that were learnt to be assets.

    Attributes
    ----------
    computed : int
        How many distinct paths were looked at.

    Examples
    --------
    >>> endpoints = EndpointMap([{"endpoint": "login", "patterns": ["^/tuer$"]}])
    >>> endpoints.one("/tuer"), endpoints.one("/about"), endpoints.one("/", "s=shoes")
    ('login', 'page', 'search')
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), *, assets: Iterable[str] = ()) -> None:
        rows = list(rows)
        self._own = _Rules(rows, source="the endpoint map") if rows else None
        self.assets = frozenset(assets)
        self._table = FactTable(self._read, [("endpoint", pa.string()), ("if_missing", pa.string())])

    @classmethod
    def from_file(cls, path: str | Path) -> EndpointMap:
        """Read a site's own map, a TOML file of ``[[path]]`` tables.

        Raises
        ------
        ConfigError
            If it is no TOML, or a table lacks ``endpoint`` or ``patterns``.
        """
        try:
            rows = tomllib.loads(Path(path).read_text(encoding="utf-8")).get("path", [])
            return cls([{"endpoint": row["endpoint"], "patterns": list(row["patterns"])} for row in rows])
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{Path(path).name} is no endpoint map ({error}): write [[path]] tables with endpoint and patterns",
                parameter="endpoints",
            ) from None

    @property
    def computed(self) -> int:
        """How many distinct paths were looked at."""
        return self._table.computed

    @property
    def filled(self) -> tuple[int, int]:
        """How many paths are remembered, and how many may be."""
        return self._table.filled

    def one(self, path: str | None, query: str | None = None, status: int | None = None) -> str | None:
        """Return what `path` is, or None for None."""
        endpoint: str | None
        endpoint, if_missing = self._table.one(path)
        if status in _MISSING and if_missing is not None:
            return str(if_missing)
        if query and endpoint is not None and endpoint != "asset":
            for name, pattern in _query_rules():
                if (name == _ATTACK or endpoint in _OPEN_TO_QUERY) and pattern.search(query[:_PATH_LIMIT]):
                    return name
        return endpoint

    def column(
        self,
        paths: pa.ChunkedArray,
        queries: pa.ChunkedArray | None = None,
        statuses: pa.ChunkedArray | None = None,
    ) -> pa.Array:
        """Return what each path is, null where the path is null."""
        found = self._table.lookup(paths)
        endpoints = found["endpoint"]
        if queries is not None and queries.null_count < len(queries):
            endpoints = _with_queries(endpoints, queries)
        if statuses is None or found["if_missing"].null_count == len(endpoints):
            return endpoints
        is_missing = pc.is_in(statuses.combine_chunks(), pa.array(_MISSING, statuses.type))
        if_missing = pc.if_else(is_missing, found["if_missing"].cast(pa.string()), None)
        return pc.coalesce(if_missing, endpoints.cast(pa.string())).cast(CATEGORY)

    def _read(self, path: str) -> tuple[str, str | None]:
        """Return what the path is, and what it is where the site does not have it; the own map's word is final."""
        text = encodable(path[:_PATH_LIMIT])
        own = self._own(text) if self._own else None
        if own is None and text in self.assets:
            return "asset", None
        return own or _default_paths()(text) or "page", None if own else _default_paths("missing")(text)


@cache
def _query_rules() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (row["endpoint"], re.compile("|".join(row["patterns"]), re.IGNORECASE)) for row in _defaults()["query"]
    )


def _with_queries(endpoints: pa.DictionaryArray, queries: pa.ChunkedArray) -> pa.Array:
    """Ask the rules for queries where the path left the matter open, and for attacks; each distinct query once."""
    of_path = endpoints.cast(pa.string())
    asked = pc.and_kleene(pc.is_valid(queries), pc.not_equal(of_path, "asset"))
    encoded = pc.if_else(asked, queries.cast(pa.string()), None).combine_chunks().dictionary_encode()
    texts = pc.utf8_slice_codeunits(encoded.dictionary, 0, _PATH_LIMIT)
    found = attacks = pa.nulls(len(texts), pa.string())
    for name, pattern in _query_rules():
        hits = pc.if_else(pc.match_substring_regex(texts, pattern.pattern, ignore_case=True), name, None)
        found = pc.coalesce(found, hits)
        attacks = pc.coalesce(attacks, hits) if name == _ATTACK else attacks
    is_open = pc.is_in(of_path, pa.array(_OPEN_TO_QUERY))
    of_query = pc.if_else(is_open, found.take(encoded.indices), attacks.take(encoded.indices))
    return pc.coalesce(of_query, of_path).cast(CATEGORY)


_DEFAULT: Final = EndpointMap()


def read_endpoint(path: str | None, query: str | None = None, status: int | None = None) -> str | None:
    """Return what `path` is by the built-in rules.

    Parameters
    ----------
    path : str or None
        URL path without the query.
    query : str or None
        URL query without the question mark; looked at only where the path leaves the matter open.
    status : int or None
        Answer; a sign-in or admin page of a program that this site does not run (404, 410) is a probe.

    Returns
    -------
    str or None
        One of `ENDPOINTS`.

    Examples
    --------
    >>> [read_endpoint(path) for path in ("/users/sign_in", "/.env", "/static/app.js", "/about", "/api/v1/carts")]
    ['login', 'probe', 'asset', 'page', 'api']
    >>> read_endpoint("/wp-login.php", status=200), read_endpoint("/wp-login.php", status=404)
    ('login', 'probe')
    """
    return _DEFAULT.one(path, query, status)
