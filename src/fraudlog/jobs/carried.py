"""What one take leaves to the next: open sessions with their events, and finished ones that wait for their turn."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fraudlog.errors import InputError
from fraudlog.schema import SESSIONS, arrow_schema
from fraudlog.sessions import State
from fraudlog.sessions.snapshot import dump_state, load_state
from fraudlog.store.tables import TABLES, conform, plain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.sessions import Definition
    from fraudlog.store import Store, Transaction

__all__ = ["DOCUMENTS", "Carried"]

_STREAM: Final = "state/stream.arrow"
_OPEN: Final = "state/open_events.arrow"
_HELD: Final = "state/held_sessions.arrow"
_HELD_EVENTS: Final = "state/held_events.arrow"
DOCUMENTS: Final = (_STREAM, _OPEN, _HELD, _HELD_EVENTS)
"""Names of its documents in the store."""
_HELD_ORDER: Final = [("end", "ascending"), ("session_id", "ascending")]
_EVENT_ORDER: Final = [(name, "ascending") for name in TABLES["events"].order]


@dataclass(frozen=True)
class Carried:
    """What is carried from take to take; equal after the same lines, however they were cut.

    Attributes
    ----------
    state : State
        Of the stream of sessions.
    events : pyarrow.Table
        The events of `state`, shielded, row by row: of ``state.opened``, then of ``state.pending``.
    held_sessions, held_events : pyarrow.Table
        Sessions that ended before others that are not closed yet, and their events.
    """

    state: State
    events: pa.Table
    held_sessions: pa.Table
    held_events: pa.Table

    @classmethod
    def nothing(cls, definition: Definition) -> Carried:
        """Return what stands before the first line."""
        features = [pa.field(name, pa.float64()) for name in definition.names]
        sessions = pa.schema([*plain(arrow_schema(SESSIONS)), *features])
        return cls(State(), _no_events("late"), sessions.empty_table(), _no_events("events"))

    @classmethod
    def load(cls, store: Store, definition: Definition) -> Carried:
        """Read it from a store.

        Raises
        ------
        InputError
            If its documents do not belong together.
        """
        data = store.document(_STREAM)
        if data is None:
            return cls.nothing(definition)
        tables = [_read(store.document(name)) for name in DOCUMENTS[1:]]
        state = load_state(data, definition)
        if state is None:
            raise InputError(
                "the store was left by another definition of sessions (gap, limits, version): start a new one",
                source=store.path,
            )
        return cls(state, *tables)

    def save(self, change: Transaction, definition: Definition) -> None:
        """Put it into a change of a store."""
        change.put(_STREAM, dump_state(self.state, definition))
        change.put(_OPEN, _write(conform(self.events, TABLES["late"])))
        change.put(_HELD, _write(self.held_sessions.sort_by(_HELD_ORDER)))
        change.put(_HELD_EVENTS, _write(conform(self.held_events, TABLES["events"]).sort_by(_EVENT_ORDER)))

    @property
    def newest(self) -> str | None:
        """Time of the newest event so far, as ISO 8601 writes it."""
        newest_us = self.state.newest_us
        return datetime.fromtimestamp(newest_us / 1e6, UTC).isoformat() if newest_us > 0 else None

    def take_open(self, rows: NDArray[np.int64], batch: pa.Table) -> pa.Table:
        """Return rows of the carried events and those of a batch, one below the other."""
        return pa.concat_tables([self.events, conform(batch, TABLES["late"])]).take(pa.array(rows))


def _no_events(table: str) -> pa.Table:
    return conform(pa.table({}), TABLES[table])


def _write(table: pa.Table) -> bytes:
    """Write a table of plain columns: the same bytes for the same rows."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table.combine_chunks())
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _read(data: bytes | None) -> pa.Table:
    if data is None:
        raise InputError("a part of the state is missing from the store; restore it from a copy")
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
