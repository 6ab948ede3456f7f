"""Identifiers inside texts: e-mail addresses, session ids in paths, users and queries in referrers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.schema import MARKUP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Mark = Callable[[str], str]

__all__ = ["cut", "scrub_own_paths", "scrub_paths", "scrub_texts", "scrub_urls", "without_queries"]

_EMAIL: Final = re.compile(r"[\w.+%-]{1,64}?(?:@|%40)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+", re.IGNORECASE)
_SESSION: Final = re.compile(r"(;[a-z_]*(?:sess[a-z_]*|sid|token)=)([^/;]+)", re.IGNORECASE)
_JWT: Final = re.compile(r"eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*")
_USER: Final = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/@?#]*@", re.IGNORECASE)
_IDENTIFIER: Final = re.compile(r"[0-9@.:]")
"""What a value must hold to be taken for an identifier in a path: an account may be called ``login``."""
_MARKUP: Final = "|".join(map(re.escape, MARKUP))
_SUSPECT: Final = "@|%40|;|eyJ"
"""What a text must hold to be worth a look."""


def scrub_texts(texts: pa.Array, mark: Mark) -> pa.Array:
    """Replace e-mail addresses and JSON web tokens in texts by keyed marks.

    Parameters
    ----------
    texts : Array of string
    mark : callable
        Value to mark, as `Pseudonyms.mark`.

    Examples
    --------
    >>> scrub_texts(pa.array(["Mozilla/5.0", "bot (me@a.example)", None]), lambda value: "~x").to_pylist()
    ['Mozilla/5.0', 'bot (~x)', None]
    """
    return _each(texts, pc.match_substring_regex(texts, _SUSPECT), lambda text: _plain(text, mark))


def scrub_paths(paths: pa.Array, mark: Mark, known: pa.Array) -> pa.Array:
    """Do what `scrub_texts` does, and for session ids behind a semicolon and segments that equal an identifier.

    Parameters
    ----------
    paths : Array of string
    mark : callable
    known : Array of string
        Identifiers of the same batch: a path that names one of them as a whole segment names a person.

    Examples
    --------
    >>> paths = pa.array(["/u/alice7/x", "/u/alice", "/p;jsessionid=3F"])
    >>> scrub_paths(paths, lambda value: "~x", pa.array(["alice7"])).to_pylist()
    ['/u/~x/x', '/u/alice', '/p;jsessionid=~x']
    """
    parts = pc.split_pattern(paths, "/")
    names = _named(pc.list_flatten(parts), known)
    suspect = pc.or_kleene(pc.match_substring_regex(paths, _SUSPECT), _holds_one_of(parts, names))

    return _each(paths, suspect, lambda path: _scrubbed(path, mark, names))


def scrub_own_paths(paths: pa.Array, mark: Mark, own: Sequence[pa.Array]) -> pa.Array:
    """Do what `scrub_paths` does with the identifiers of the same row alone: no row changes for another's sake.

    Parameters
    ----------
    paths : Array of string
    mark : callable
    own : sequence of Array of string
        Columns of identifiers, row by row those of `paths`.

    Examples
    --------
    >>> paths, users = pa.array(["/u/alice7", "/u/alice7", "/u/%61lice7"]), pa.array(["alice7", "bob8", "alice7"])
    >>> scrub_own_paths(paths, lambda value: "~x", [users]).to_pylist()
    ['/u/~x', '/u/alice7', '/u/~x']
    """
    parts = pc.split_pattern(paths, "/")
    segments, rows = pc.list_flatten(parts), pc.list_parent_indices(parts)
    hits = pc.match_substring(segments, "%")
    for column in own:
        hits = pc.or_(hits, pc.fill_null(pc.equal(segments, column.take(rows)), fill_value=False))
    suspect = pc.fill_null(pc.match_substring_regex(paths, _SUSPECT), fill_value=False).to_numpy(zero_copy_only=False)
    suspect = suspect | np.isin(np.arange(len(paths)), rows.filter(hits).to_numpy())
    chosen = np.flatnonzero(suspect)
    if not len(chosen):
        return paths
    of_rows = zip(*(column.take(pa.array(chosen)).to_pylist() for column in own), strict=True)
    texts = paths.take(pa.array(chosen)).to_pylist()
    known = [frozenset(filter(_IDENTIFIER.search, filter(None, row))) for row in of_rows] or [frozenset()] * len(texts)
    changed = [_scrubbed(text, mark, names) for text, names in zip(texts, known, strict=True)]
    return pc.replace_with_mask(paths, pa.array(suspect), pa.array(changed, paths.type))


def _scrubbed(path: str, mark: Mark, names: frozenset[str]) -> str:
    path = "/".join(
        mark(part) if part and (part in names or unquote(part) in names) else part for part in path.split("/")
    )
    return _plain(_SESSION.sub(lambda found: found[1] + mark(found[2]), path), mark)


def scrub_urls(urls: pa.Array, mark: Mark, known: pa.Array) -> pa.Array:
    """Take user, query and fragment out of URLs too; a mark keeps different ones different.

    Examples
    --------
    >>> urls = pa.array(["https://me:pw@a.example/p?q=1#f"])
    >>> scrub_urls(urls, lambda value: "~x", pa.array([], pa.string())).to_pylist()
    ['https://a.example/p?~x']
    """
    return scrub_paths(without_queries(urls, mark), mark, known)


def without_queries(urls: pa.Array, mark: Mark) -> pa.Array:
    """Take user, query and fragment out of URLs; a mark keeps different ones different."""

    def scrub(url: str) -> str:
        base, *rest = re.split(r"[?#]", _USER.sub(r"\1", url), maxsplit=1)
        return f"{base}?{mark(rest[0])}" if rest else base

    return _each(urls, pc.match_substring_regex(urls, "[?#@]"), scrub)


def cut(texts: pa.Array) -> pa.Array:
    """Keep the length of each text alone, as so many asterisks, the first ``<`` if it held any of `schema.MARKUP`.

    That is all features need of a query, and none of it is what somebody looked for.

    Examples
    --------
    >>> cut(pa.array(["a=1", "a=1'", "", None])).to_pylist()
    ['***', '<***', '', None]
    """
    hidden = pc.binary_repeat("*", pc.utf8_length(texts))
    return pc.if_else(pc.match_substring_regex(texts, _MARKUP), pc.utf8_replace_slice(hidden, 0, 1, "<"), hidden)


def _named(segments: pa.Array, known: pa.Array) -> frozenset[str]:
    """Return the segments that are one of the known identifiers, as they stand or percent-encoded."""
    distinct = segments.unique()
    plain = distinct.filter(pc.is_in(distinct, value_set=known)).to_pylist()
    encoded = distinct.filter(pc.match_substring(distinct, "%")).to_pylist()
    identifiers = frozenset(known.to_pylist()) if encoded else frozenset()
    return frozenset(plain) | {segment for segment in encoded if unquote(segment) in identifiers}


def _holds_one_of(parts: pa.Array, names: frozenset[str]) -> pa.Array:
    named = np.zeros(len(parts), bool)
    if names:
        hits = pc.is_in(pc.list_flatten(parts), value_set=pa.array(sorted(names), pa.string()))
        named[pc.list_parent_indices(parts).filter(hits).to_numpy()] = True
    return pa.array(named)


def _plain(text: str, mark: Mark) -> str:
    text = _EMAIL.sub(lambda found: mark(found[0]), text)
    return _JWT.sub(lambda found: mark(found[0]), text)


def _each(texts: pa.Array, mask: pa.Array, change: Callable[[str], str]) -> pa.Array:
    """Change the texts under `mask`, one by one: they are few."""
    mask = pc.fill_null(mask, fill_value=False)
    chosen: list[Any] = texts.filter(mask).to_pylist()
    if not chosen:
        return texts
    return pc.replace_with_mask(texts, mask, pa.array([change(text) for text in chosen], texts.type))
