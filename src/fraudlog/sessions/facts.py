"""Facts of single events: the numbers and codes that reducers read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["NULL", "Facts", "codes_of"]

NULL = np.iinfo(np.int64).min
"""Stands for null among the integers of a fact; it never leaves this room."""


def codes_of(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[Any]]:
    """Return a code for each value and the distinct values; a null's code is `NULL`."""
    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = pc.fill_null(array.indices.cast(pa.int64()), int(NULL)).to_numpy(zero_copy_only=False)
    return codes, array.dictionary.to_pylist()


class Facts:
    """The facts of a table of events in a given order, each computed once, when first asked for.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_events, n_columns)
        Enriched events, sorted by actor and time.
    has_gap : ndarray of bool, shape (n_events,)
        Whether the event before it belongs to the same session.
    """

    def __init__(self, table: pa.Table, has_gap: NDArray[np.bool_]) -> None:
        self._table = table
        self._has_gap = has_gap
        self._known: dict[str, NDArray[np.int64]] = {}

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        """Return the fact `name`: int64 of shape (n_events,), 0 or 1 for a fact that holds or not."""
        if name not in self._known:
            compute = _COMPUTED.get(name)
            self._known[name] = compute(self) if compute else codes_of(self._table.column(name))[0]
        return self._known[name]

    def column(self, name: str) -> pa.ChunkedArray:
        """Return the column `name` of the events."""
        return self._table.column(name)

    def numbers(self, name: str) -> NDArray[np.int64]:
        """Return the integer column `name`."""
        values: NDArray[np.int64] = pc.fill_null(self.column(name).cast(pa.int64()), int(NULL)).to_numpy()
        return values

    def where(self, name: str, holds: Callable[[Any], bool]) -> NDArray[np.int64]:
        """Return 1 where a string column's value fulfils `holds`, which sees each distinct value once."""
        codes, values = codes_of(self.column(name))
        table = np.array([holds(value) for value in [*values, None]], np.int64)
        return table[np.where(codes == NULL, len(values), codes)]

    def gap_us(self) -> NDArray[np.int64]:
        """Return the silence before each event in microseconds."""
        gap = np.diff(self["time_us"], prepend=0)
        return np.where(self._has_gap, gap, NULL)


def _is(column: str, *values: str) -> Callable[[Facts], NDArray[np.int64]]:
    return lambda facts: facts.where(column, lambda value: value in values)


def _status(low: int, high: int) -> Callable[[Facts], NDArray[np.int64]]:
    return lambda facts: ((facts["status"] >= low) & (facts["status"] <= high)).astype(np.int64)


def _missing(column: str) -> Callable[[Facts], NDArray[np.int64]]:
    return lambda facts: pc.is_null(facts.column(column)).to_numpy().astype(np.int64)


def _gap_s(facts: Facts) -> NDArray[np.int64]:
    gap = facts["gap_us"]
    return np.where(gap == NULL, NULL, gap // 1_000_000)


_COMPUTED: dict[str, Callable[[Facts], NDArray[np.int64]]] = {
    "time_us": lambda facts: facts.numbers("timestamp"),
    "gap_us": Facts.gap_us,
    "gap_s": _gap_s,
    "has_gap": lambda facts: (facts["gap_us"] != NULL).astype(np.int64),
    "status": lambda facts: facts.numbers("status"),
    "bytes_sent": lambda facts: facts.numbers("bytes_sent"),
    "has_bytes": lambda facts: (facts["bytes_sent"] != NULL).astype(np.int64),
    "depth": lambda facts: pc.fill_null(
        pc.count_substring(facts.column("path"), "/").cast(pa.int64()), int(NULL)
    ).to_numpy(),
    "is_post": _is("method", "POST"),
    "is_head": _is("method", "HEAD"),
    "is_malformed": lambda facts: facts.where("method", lambda method: method is None),
    "is_blind_post": lambda facts: (
        facts["is_post"] * facts["is_referrer_missing"] * (1 - _is("endpoint", "api", "login")(facts))
    ),
    "is_client_error": _status(400, 499),
    "is_not_found": _status(404, 404),
    "is_server_error": _status(500, 599),
    "is_referrer_missing": _missing("referrer"),
    "is_agent_missing": _missing("user_agent"),
    "is_language_missing": _missing("language"),
    "is_browser": lambda facts: (
        (facts.where("bot_category", lambda kind: kind is None) == 1) & (facts["is_agent_missing"] == 0)
    ).astype(np.int64),
    **{f"is_{kind}": _is("endpoint", kind) for kind in ("page", "asset", "probe", "login", "robots")},
    **{
        f"is_{kind}": _is("bot_category", kind)
        for kind in ("crawler", "feed", "headless", "library", "monitor", "scanner")
    },
    "is_login_failure": lambda facts: facts["is_login"] * (_status(401, 401)(facts) | _status(403, 403)(facts)),
    "is_admin_missing": lambda facts: _is("endpoint", "login", "admin", "probe")(facts) * facts["is_not_found"],
}
"""How each fact is computed; a name that is not here is the code of the column of that name."""
