"""From events cut into sessions to the rows of their table: features part by part, everything else at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from fraudlog.schema import SESSIONS, arrow_schema
from fraudlog.sessions.columns import NULL, gathered
from fraudlog.sessions.facts import read_by_kernel
from fraudlog.sessions.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.facts import Facts
    from fraudlog.sessions.segments import Segments

__all__ = ["empty", "evaluate"]

_WORTH_A_THREAD: Final = 20_000
_PART_EVENTS: Final = 100_000
"""Events that are worked on at once: what is worked out on the way fits the cache, and memory stays small."""


@dataclass(frozen=True)
class _Wanted:
    """The rows asked for: one a session, or one a checkpoint.

    Attributes
    ----------
    session : ndarray of int64, shape (n_rows,)
        Which of the closed sessions, rising.
    count : ndarray of int64, shape (n_rows,)
        Events of it that count, rising inside a session.
    place : ndarray of int64, shape (n_rows,)
        Where the row stands in the table: sessions are given out in the order of their first events.
    """

    session: NDArray[np.int64]
    count: NDArray[np.int64]
    place: NDArray[np.int64]

    @classmethod
    def of(cls, lengths: NDArray[np.int64], first_rows: NDArray[np.int64], checkpoints: tuple[int, ...]) -> _Wanted:
        """Find the rows of sessions of some lengths, each of which begins with an event of the batch."""
        sessions, counts = [np.arange(len(lengths))], [lengths]
        for checkpoint in checkpoints:
            reached = np.flatnonzero(lengths > checkpoint)
            sessions.append(reached)
            counts.append(np.full(len(reached), checkpoint))
        session, count = np.concatenate(sessions), np.concatenate(counts)
        if checkpoints:
            order = np.lexsort((count, session))
            session, count = session[order], count[order]
        place = np.empty(len(session), np.int64)
        place[np.argsort(first_rows[session], kind="stable")] = np.arange(len(session))
        return cls(session, count, place)


def evaluate(
    facts: Facts,
    segments: Segments,
    closed: NDArray[np.int64],
    definition: Definition,
    *,
    key: bytes,
    checkpoints: tuple[int, ...],
    shards: int,
) -> pa.Table:
    """Compute the rows of some sessions, in the order of their first events, shard by shard."""
    if not len(closed):
        return empty(definition, checkpoints)
    lengths = (segments.ends - segments.starts)[closed]
    wanted = _Wanted.of(lengths, segments.order[segments.starts[closed]], checkpoints)
    threads = shards or min(os.cpu_count() or 1, 1 + int(lengths.sum()) // _WORTH_A_THREAD)
    features = {name: np.empty(len(wanted.place)) for name in definition.plan.outcomes}
    narrow = facts.narrowed(read_by_kernel(definition.plan))

    def work(part: slice) -> None:
        _fill_in(features, definition, narrow, _rows(segments, closed[part]), lengths[part], _part(wanted, part))

    with ThreadPoolExecutor(threads) as pool:
        done = pool.map(work, _parts(lengths, threads))
        columns = _entities(facts, segments, closed, wanted, key)
        list(done)
    if checkpoints:
        count, session = (np.empty_like(wanted.place) for _ in range(2))
        count[wanted.place], session[wanted.place] = wanted.count, wanted.session
        columns |= {"checkpoint": pa.array(count), "is_last": pa.array(count == lengths[session])}
    columns |= {name: pa.array(values, from_pandas=True) for name, values in features.items()}
    return _with_functions(pa.table(columns), definition)


def _parts(lengths: NDArray[np.int64], threads: int) -> Iterator[slice]:
    """Cut a list of sessions into parts of about equally many events: one a thread, more where there are many."""
    done = np.cumsum(lengths)
    wanted = max(threads, int(done[-1]) // _PART_EVENTS)
    cuts = np.searchsorted(done, done[-1] * np.arange(1, wanted) // wanted).tolist()
    return (slice(a, b) for a, b in pairwise(sorted({0, *cuts, len(lengths)})))


def _part(wanted: _Wanted, part: slice) -> _Wanted:
    """Return the rows of a run of sessions, numbered from 0."""
    first, end = np.searchsorted(wanted.session, [part.start, part.stop])
    return _Wanted(wanted.session[first:end] - part.start, wanted.count[first:end], wanted.place[first:end])


def _rows(segments: Segments, sessions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the events of some sessions, in their order."""
    starts = segments.starts[sessions]
    lengths = segments.ends[sessions] - starts
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return gathered(segments.order, shift + np.arange(len(shift)))


def _fill_in(
    features: dict[str, NDArray[np.float64]],
    definition: Definition,
    facts: Facts,
    rows: NDArray[np.int64],
    lengths: NDArray[np.int64],
    wanted: _Wanted,
) -> None:
    """Work out the features of some sessions, and write each row where it belongs."""
    starts = np.cumsum(lengths) - lengths
    kernel = Kernel(definition, facts.take(rows, keep_values=True), starts)
    for name, values in kernel.rows(starts[wanted.session] + wanted.count - 1).items():
        features[name][wanted.place] = values


def _entities(
    facts: Facts, segments: Segments, closed: NDArray[np.int64], wanted: _Wanted, key: bytes
) -> dict[str, pa.Array]:
    """Return the columns that are no features: of the first event, but for the end and the first known user."""
    order = np.argsort(wanted.place, kind="stable")
    session, count = wanted.session[order], wanted.count[order]
    start = segments.starts[closed[session]]
    first, last = segments.order[start], segments.order[start + count - 1]
    columns: dict[str, pa.Array] = {"session_id": _ids(facts, segments, closed, session, key)}
    for name in (column.name for column in SESSIONS if column.name in facts.text):
        rows = _first_user(facts, segments, start, count) if name == "user" else first
        columns[name] = facts.text[name].take(rows).array()
    columns["asn"] = _nullable(facts.numbers["asn"][first])
    columns["start"] = pa.array(facts.time[first]).cast(pa.timestamp("us", "UTC"))
    columns["end"] = pa.array(facts.time[last]).cast(pa.timestamp("us", "UTC"))
    columns["first_line"] = _nullable(facts.line[first])
    columns["piece"] = pa.array(segments.piece[closed[session]])
    return {column.name: columns[column.name] for column in SESSIONS}


def _ids(
    facts: Facts, segments: Segments, closed: NDArray[np.int64], session: NDArray[np.int64], key: bytes
) -> pa.StringArray:
    """Return the id of each row's session, each hashed once."""
    if len(session) == len(closed):
        return segments.ids(facts, closed[session], key)
    return segments.ids(facts, closed, key).take(pa.array(session))


def _first_user(
    facts: Facts, segments: Segments, start: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.int64]:
    is_known = np.flatnonzero(gathered(facts.text["user"].codes, segments.order) != NULL)
    if not len(is_known):
        return segments.order[start]
    found = is_known[np.minimum(np.searchsorted(is_known, start), len(is_known) - 1)]
    return segments.order[np.where((found >= start) & (found < start + count), found, start)]


def _nullable(numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array(numbers, mask=numbers == NULL)


def _with_functions(table: pa.Table, definition: Definition) -> pa.Table:
    """Add the features that are functions of the whole table, and put all features in order."""
    for feature in definition.features:
        if feature.function is not None:
            values = np.asarray(feature.function(table), np.float64)
            table = table.append_column(feature.name, pa.array(values, mask=np.isnan(values)))
    others = [name for name in table.column_names if name not in definition.names]
    return table.select([*others, *definition.names])


def empty(definition: Definition, checkpoints: tuple[int, ...]) -> pa.Table:
    """Return a table without rows."""
    fields: list[Any] = list(arrow_schema(SESSIONS))
    if checkpoints:
        fields += [pa.field("checkpoint", pa.int64()), pa.field("is_last", pa.bool_())]
    fields += [pa.field(name, pa.float64()) for name in definition.names]
    return pa.schema(fields).empty_table()
