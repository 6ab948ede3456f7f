"""From parsed lines to Arrow columns: strings that repeat are numbered once each, tables share dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from fraudlog.reading.values import FORWARDED
from fraudlog.schema import EVENTS, REJECTED, arrow_schema, column_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fraudlog.reading.values import Row

__all__ = [
    "ALWAYS",
    "Chunk",
    "Interner",
    "Interners",
    "Reject",
    "empty_column",
    "events_table",
    "finished",
    "is_code",
    "is_null",
    "join_clients",
    "rejected_table",
    "rows_to_columns",
]

ALWAYS: Final = ("timestamp", "client_ip", "is_truncated", "source", "line_number")
"""Columns that every table of events has."""

_TYPES: Final = {column.name: column.type for column in EVENTS}
_ORDER: Final = {name: position for position, name in enumerate(column_names(EVENTS))}
_SCHEMA: Final = arrow_schema(EVENTS)
_NUMBERS: Final[dict[str, Any]] = {
    "timestamp": np.int64,
    "int16": np.int16,
    "int64": np.int64,
    "float64": np.float64,
}


_WORKING: Final[dict[str, Any]] = {
    "timestamp": np.int64,
    "int16": np.int64,
    "int64": np.int64,
    "float64": np.float64,
}


class Interner:
    """Numbers the distinct texts of one column in order of appearance."""

    __slots__ = ("ids", "n_bytes", "values")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.values: list[str] = []
        self.n_bytes = 0

    def code(self, text: str | None) -> int:
        """Return the number of `text`; -1 for None."""
        if text is None:
            return -1
        found = self.ids.get(text)
        if found is None:
            found = self.ids[text] = len(self.values)
            self.values.append(text)
            self.n_bytes += len(text)
        return found


class Interners(dict[str, Interner]):
    """One `Interner` a column, made on first use."""

    def __missing__(self, column: str) -> Interner:
        made = self[column] = Interner()
        return made

    @property
    def n_bytes(self) -> int:
        """Memory that the texts take, roughly."""
        return sum(interner.n_bytes + 160 * len(interner.values) for interner in self.values())


@dataclass(slots=True)
class Reject:
    """A line that is no event."""

    line_number: int
    reason: str
    raw: bytes


@dataclass(slots=True)
class Chunk:
    """What one block of lines gave.

    ``columns`` holds an int32 array of codes for a category (-1 is null), a pair (values, is_null or None) for a
    number, and an Arrow array for a string. ``dropped`` counts values without a column by their name.
    """

    source: str
    line_numbers: NDArray[np.int64]
    columns: dict[str, Any]
    interners: Interners
    rejects: list[Reject] = field(default_factory=list)
    n_lines: int = 0
    n_blank: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.line_numbers)


def rows_to_columns(rows: Sequence[Row], names: Iterable[str], interners: Interners) -> dict[str, Any]:
    """Turn rows into the columns of a `Chunk`."""
    return {name: _column([row.get(name) for row in rows], name, interners) for name in names}


def _column(values: list[Any], name: str, interners: Interners) -> Any:  # noqa: ANN401 -- see `Chunk`
    kind = _TYPES[name]
    if kind == "bool":
        return np.array([value is True for value in values], np.bool_), None
    if kind == "category":
        code = interners[name].code
        return np.fromiter((code(value) for value in values), np.int32, len(values))
    if kind == "string":
        return pa.array(values, pa.string())
    is_null = np.fromiter((value is None for value in values), np.bool_, len(values))
    filled = [0 if value is None else value for value in values]
    return np.array(filled, _NUMBERS[kind]), is_null


def join_clients(
    peers: NDArray[np.int32],
    headers: NDArray[np.int32],
    interners: Interners,
    client_of: Callable[[str | None, str | None], str | None],
) -> NDArray[np.int32]:
    """Return the codes of the clients behind peers and headers, found once for each pair."""
    pairs, inverse = np.unique(
        peers.astype(np.int64) << 32 | (headers.astype(np.int64) & 0xFFFFFFFF), return_inverse=True
    )
    addresses, texts = interners["client_ip"], interners[FORWARDED].values
    clients = []
    for pair in pairs.tolist():
        peer, header = pair >> 32, (pair & 0xFFFFFFFF) - (1 << 32 if pair & 0x80000000 else 0)
        client = client_of(addresses.values[peer] if peer >= 0 else None, texts[header] if header >= 0 else None)
        clients.append(addresses.code(client))
    return np.array(clients, np.int32)[inverse]


def empty_column(name: str, count: int) -> NDArray[Any]:
    """Return a column of nulls: -1 for codes and whole numbers, NaN for others."""
    kind = _WORKING.get(_TYPES.get(name, "category"))
    if kind is None:
        return np.full(count, -1, np.int32)
    return np.full(count, np.nan) if kind is np.float64 else np.full(count, -1, np.int64)


def is_code(name: str) -> bool:
    """Tell a column of texts, which stand as codes until they are done, from one of numbers."""
    return _WORKING.get(_TYPES.get(name, "category")) is None


def is_null(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say where a column of `empty_column` holds nothing."""
    found: NDArray[np.bool_] = np.isnan(values) if values.dtype == np.float64 else values < 0
    return found


def finished(name: str, values: NDArray[Any], interners: Interners) -> Any:  # noqa: ANN401 -- see `Chunk`
    """Turn a column of `empty_column` into what a `Chunk` holds."""
    if not is_code(name):
        return values.astype(_NUMBERS[_TYPES[name]]), is_null(values)
    codes = values.astype(np.int32)
    if _TYPES[name] == "string":
        return pa.array(interners[name].values, pa.string()).take(pa.array(codes, mask=codes < 0))
    return codes


def _arrow(column: Any, name: str, dictionary: pa.Array | None) -> pa.Array:  # noqa: ANN401 -- see `Chunk`
    if dictionary is not None:
        return pa.DictionaryArray.from_arrays(pa.array(column, mask=column < 0), dictionary)
    if isinstance(column, pa.Array):
        return column
    values, is_null = column
    mask = is_null if is_null is not None and is_null.any() else None
    if name == "timestamp":
        return pa.array(values, pa.int64(), mask=mask).cast(_SCHEMA.field(name).type)
    return pa.array(values, _SCHEMA.field(name).type, mask=mask)


def _dictionaries(chunk: Chunk, names: Iterable[str], made: dict[tuple[int, str], pa.Array]) -> dict[str, pa.Array]:
    """Return the dictionary of each category, made once for chunks that share their interners."""
    found = {}
    for name in names:
        if _TYPES[name] == "category" and name != "source":
            key = (id(chunk.interners), name)
            if key not in made:
                made[key] = pa.array(chunk.interners[name].values, pa.string())
            found[name] = made[key]
    return found


def events_table(chunks: Sequence[Chunk], *, is_compact: bool = False) -> pa.Table:
    """Join chunks to one table of events with the columns that any of them has, in the order of the schema.

    Parameters
    ----------
    chunks : sequence of Chunk
    is_compact : bool, default False
        Drop values from the dictionaries that no row of these chunks holds; wanted for a batch of a long run.
    """
    names = sorted({*ALWAYS, *(name for chunk in chunks for name in chunk.columns)}, key=_ORDER.__getitem__)
    schema = pa.schema([_SCHEMA.field(name) for name in names])
    made: dict[tuple[int, str], pa.Array] = {}
    sources = pa.array(list(dict.fromkeys(chunk.source for chunk in chunks)), pa.string())
    position = {source: index for index, source in enumerate(sources.to_pylist())}
    batches = []
    for chunk in chunks:
        dictionaries = _dictionaries(chunk, names, made)
        arrays = []
        for name in names:
            if name == "source":
                codes = np.full(chunk.n_events, position[chunk.source], np.int32)
                arrays.append(pa.DictionaryArray.from_arrays(codes, sources))
            elif name == "line_number":
                arrays.append(pa.array(chunk.line_numbers))
            elif name == "is_truncated" and name not in chunk.columns:
                arrays.append(pa.array(np.zeros(chunk.n_events, np.bool_)))
            elif name not in chunk.columns:
                arrays.append(pa.nulls(chunk.n_events, _SCHEMA.field(name).type))
            else:
                arrays.append(_arrow(chunk.columns[name], name, dictionaries.get(name)))
        batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    table = pa.Table.from_batches(batches, schema).unify_dictionaries()
    return compact(table) if is_compact else table


def compact(table: pa.Table) -> pa.Table:
    """Return `table` with dictionaries that hold just the values in use."""
    arrays = []
    for column in table.columns:
        if not pa.types.is_dictionary(column.type):
            arrays.append(column)
            continue
        chunk = column.combine_chunks()
        chunk = chunk.chunk(0) if isinstance(chunk, pa.ChunkedArray) else chunk
        codes = chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        used = np.zeros(len(chunk.dictionary) + 1, np.bool_)
        used[codes] = True
        used[-1] = False
        renumbered = (np.cumsum(used[:-1]) - 1).astype(np.int32)
        fresh = np.append(renumbered, np.int32(-1))[codes]
        kept = chunk.dictionary.filter(pa.array(used[:-1]))
        arrays.append(pa.DictionaryArray.from_arrays(pa.array(fresh, mask=codes < 0), kept))
    return pa.table(arrays, schema=table.schema)


def rejected_table(chunks: Iterable[Chunk]) -> pa.Table:
    """Join the rejects of chunks to the table ``schema.REJECTED``."""
    rows = [(chunk.source, reject) for chunk in chunks for reject in chunk.rejects]
    schema = arrow_schema(REJECTED)
    return pa.table(
        [
            pa.array([source for source, _ in rows], pa.string()).dictionary_encode(),
            pa.array([reject.line_number for _, reject in rows], pa.int64()),
            pa.array([reject.reason for _, reject in rows], pa.string()).dictionary_encode(),
            pa.array([reject.raw for _, reject in rows], pa.binary()),
        ],
        schema=schema,
    )
