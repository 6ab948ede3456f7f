"""Sessions of a log that does not end: one pure step from a state and a batch to a state and finished sessions.

An access log is nearly in order, so a batch needs, of all before it, only the events of sessions still open and those
that may yet get company of the same time. Memory grows with these, not with the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from fraudlog.errors import SchemaError
from fraudlog.schema import is_shielded, require_columns
from fraudlog.sessions.columns import repeated
from fraudlog.sessions.evaluate import empty, evaluate
from fraudlog.sessions.facts import Facts, encode
from fraudlog.sessions.segments import PIECE, segment
from fraudlog.sessions.window_batch import fill, forget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.enriching import Enricher
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.population import Population
    from fraudlog.sessions.segments import Segments
    from fraudlog.sessions.window_batch import WindowState

__all__ = ["NEEDED", "Settings", "State", "Traced", "checked", "enriched", "finish", "moments", "step", "traced_step"]

NEEDED: Final = ("timestamp", "client_ip")
_FOREVER: Final = 1 << 62
ROW: Final = "_row"
"""Carried beside the numbers in a traced step: the event's row among those carried and those that came."""


@dataclass(frozen=True)
class Settings:
    """What does not change from step to step.

    Parameters
    ----------
    definition : Definition
        What a session is, and its features.
    lateness_us : int
        How much older than the newest event before it an event may be and still land in its session.
    key : bytes
        Key of the session ids; without one, who knows actor and time can compute them.
    population : Population, optional
        How rare values are.
    checkpoints : tuple of int, optional
        Events after which a row is taken besides the last; none gives finished sessions alone.
    shards : int
        Into how many parts a batch's sessions go, each on a thread of its own; 0 for one a core. The result does not
        depend on it.
    """

    definition: Definition
    lateness_us: int = 300_000_000
    key: bytes = b""
    population: Population | None = None
    checkpoints: tuple[int, ...] = ()
    shards: int = 0


@dataclass(frozen=True)
class State:
    """What one step leaves to the next; immutable, so a step can be repeated.

    Attributes
    ----------
    opened : Facts, optional
        Settled events of sessions that may go on, in total order.
    pending : Facts, optional
        Events so new that earlier ones may still come.
    windows : dict
        What the windows over other sessions remember.
    newest_us : int
        Newest time seen.
    n_late : int
        Events that came too late so far.
    """

    opened: Facts | None = None
    pending: Facts | None = None
    windows: dict[str, WindowState] = field(default_factory=dict)
    newest_us: int = -_FOREVER
    n_late: int = 0


def checked(table: pa.Table) -> pa.Table:
    """Return a table of events that has a time and an address in every row.

    Raises
    ------
    SchemaError
        If time or address is missing or null; the message names the row.
    """
    require_columns(table, NEEDED, table="events")
    for name in NEEDED:
        column = table.column(name)
        if column.null_count and not (name == "client_ip" and is_shielded(table)):  # ip_mode may drop it
            row = int(np.flatnonzero(column.is_null().to_numpy())[0])
            raise SchemaError(f"events row {row}: {name} is null; drop such rows", missing=[name])
    return table


def enriched(table: pa.Table, enricher: Enricher | None = None) -> pa.Table:
    """Check a table of events as `checked`, and derive the columns of `schema.DERIVED` if it lacks them."""
    if is_shielded(table) or "ip_prefix" in table.column_names:
        return checked(table)
    from fraudlog.enriching import enrich_table  # noqa: PLC0415 -- half of the room's loading, not needed above

    return enrich_table(checked(table), enricher)


def moments(table: pa.Table) -> NDArray[np.int64]:
    """Return the times of events in microseconds."""
    column = table.column("timestamp").cast(pa.timestamp("us", "UTC"))
    times: NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    return times


def step(
    state: State, batch: pa.Table, settings: Settings, enricher: Enricher | None = None
) -> tuple[State, pa.Table, pa.Table]:
    """Take a batch of events in.

    Parameters
    ----------
    state : State
        As the step before left it.
    batch : pyarrow.Table of shape (n_events, n_columns)
        Events in the order they arrived.
    settings : Settings
        The same in every step.
    enricher : Enricher, optional
        Remembers agents and addresses from step to step; the result is the same without one.

    Returns
    -------
    state : State
        For the next step.
    sessions : pyarrow.Table
        Sessions that can't get any further event.
    late : pyarrow.Table
        Events of the batch that came too late.

    Raises
    ------
    SchemaError
        If the batch lacks a time or an address.
    """
    return _step(state, batch, settings, enricher)[:3]


def _step(
    state: State, batch: pa.Table, settings: Settings, enricher: Enricher | None, first_row: int | None = None
) -> tuple[State, pa.Table, pa.Table, tuple[NDArray[np.int64], list[str]]]:
    """Do what `step` does; with a first row, number the events from there on and tell those of closed sessions."""
    table = enriched(batch, enricher)
    time = moments(table)
    is_late, newest_us = _is_late(state, time, settings)
    late = batch.filter(pa.array(is_late)) if is_late.any() else batch.slice(0, 0)
    if len(late):
        table = table.filter(pa.array(~is_late))
    arrived = encode(table, settings.definition, settings.population)
    if first_row is not None:
        arrived.numbers[ROW] = np.arange(first_row, first_row + len(arrived))
    state = replace(state, newest_us=newest_us, n_late=state.n_late + len(late))
    pending = _joined(state.pending, arrived).sorted()
    del table, arrived, is_late  # a third of the memory of a batch, not needed below
    state, sessions, members = _settle(state, pending, state.newest_us - settings.lateness_us, settings)
    return state, sessions, late, members


@dataclass(frozen=True)
class Traced:
    """What a step gave, and which events went where.

    Attributes
    ----------
    state, sessions, late
        As `step` returns them.
    is_late : ndarray of bool, shape (n_events,)
        Which events of the batch came too late.
    closed : ndarray of int64, shape (n_closed_events,)
        Rows of the events of `sessions`: of the events carried before, one below the other with those of the batch that
        were not late.
    session_ids : list of str, length n_closed_events
        The session of each.
    carried : ndarray of int64, shape (n_carried_events,)
        Rows that the state still holds, in its order: to be carried to the next step.
    """

    state: State
    sessions: pa.Table
    late: pa.Table
    is_late: NDArray[np.bool_]
    closed: NDArray[np.int64]
    session_ids: list[str]
    carried: NDArray[np.int64]


def traced_step(state: State, batch: pa.Table, settings: Settings, enricher: Enricher | None = None) -> Traced:
    """Do what `step` does, and say which session each event went to.

    For those who keep events beside their sessions: rows are numbered from 0 over the events of the state (as `carried`
    of the step before put them) and those of the batch that are not late.
    """
    numbered = _numbered(state)
    after, sessions, late, members = _step(numbered, batch, settings, enricher, first_row=_n_events(state))
    carried = np.concatenate([facts.numbers[ROW] for facts in (after.opened, after.pending) if facts is not None])
    return Traced(after, sessions, late, _is_late(state, moments(batch), settings)[0], *members, carried)


def _is_late(state: State, time: NDArray[np.int64], settings: Settings) -> tuple[NDArray[np.bool_], int]:
    """Say which events come too late after those before them, and the newest time of all."""
    newest = np.maximum.accumulate(np.append(state.newest_us, time))
    return time < newest[:-1] - settings.lateness_us, int(newest[-1])


def _n_events(state: State) -> int:
    return sum(len(facts) for facts in (state.opened, state.pending) if facts is not None)


def _numbered(state: State) -> State:
    """Return a state whose events are numbered as they stand."""
    n_opened = 0 if state.opened is None else len(state.opened)
    return replace(state, opened=_with_rows(state.opened, 0), pending=_with_rows(state.pending, n_opened))


def _with_rows(facts: Facts | None, first: int) -> Facts | None:
    if facts is None:
        return None
    return replace(facts, numbers=facts.numbers | {ROW: np.arange(first, first + len(facts))})


def finish(state: State, settings: Settings) -> pa.Table:
    """Return the sessions that are still open, as they stand."""
    if state.pending is None:
        return empty(settings.definition, settings.checkpoints)
    return _settle(state, state.pending, _FOREVER, settings)[1]


def _joined(before: Facts | None, after: Facts) -> Facts:
    return after if before is None else Facts.concatenate([before, after])


def _settle(
    state: State, pending: Facts, watermark_us: int, settings: Settings
) -> tuple[State, pa.Table, tuple[NDArray[np.int64], list[str]]]:
    """Cut settled events into sessions, and give out those that the watermark closes."""
    n_settled = int(np.searchsorted(pending.time, watermark_us))
    settled, waiting = pending.part(0, n_settled), pending.take(np.arange(n_settled, len(pending)))
    plan = settings.definition.plan
    windows = forget(fill(settled, plan, state.windows), plan, watermark_us)
    settled.numbers[PIECE] = repeated(0, n_settled)
    facts = _joined(state.opened, settled)
    del settled, pending
    segments = segment(facts, settings.definition)
    ends_us = facts.time[segments.order[segments.ends - 1]] if len(facts) else facts.time
    is_closed = ~segments.is_last | (ends_us + settings.definition.session_gap_us < watermark_us)
    closed = np.flatnonzero(is_closed)
    sessions = evaluate(
        facts,
        segments,
        closed,
        settings.definition,
        key=settings.key,
        checkpoints=settings.checkpoints,
        shards=settings.shards,
    )
    opened = _still_open(facts, segments, ~is_closed)
    after = replace(state, opened=opened, pending=waiting, windows=windows)
    return after, sessions, _members(facts, segments, closed, settings.key)


def _members(
    facts: Facts, segments: Segments, closed: NDArray[np.int64], key: bytes
) -> tuple[NDArray[np.int64], list[str]]:
    """Return the numbers of the events of closed sessions, and their sessions' ids; nothing where none are numbered."""
    if ROW not in facts.numbers:
        return np.zeros(0, np.int64), []
    lengths = segments.ends - segments.starts
    is_member = np.zeros(len(lengths), bool)
    is_member[closed] = True
    rows = facts.numbers[ROW][segments.order[np.repeat(is_member, lengths)]]
    ids = np.repeat(segments.ids(facts, closed, key).to_numpy(zero_copy_only=False), lengths[closed])
    return rows, ids.tolist()


def _still_open(facts: Facts, segments: Segments, is_open: NDArray[np.bool_]) -> Facts:
    lengths = segments.ends - segments.starts
    of_events = np.repeat(is_open, lengths)
    rows = segments.order[of_events]
    is_kept = np.zeros(len(facts), bool)
    is_kept[rows] = True
    kept = np.flatnonzero(is_kept)
    opened = facts.take(kept)
    opened.numbers[PIECE] = repeated(0, len(kept))
    if segments.piece.any():
        piece = np.zeros(len(facts), np.int64)
        piece[rows] = np.repeat(segments.piece, lengths)[of_events]
        opened.numbers[PIECE] = piece[kept]
    return opened
