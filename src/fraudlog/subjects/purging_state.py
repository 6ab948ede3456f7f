"""Retention of what is not in a table: what the job carries from run to run, and the models."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.jobs.carried import Carried
from fraudlog.sessions.facts import Facts
from fraudlog.sessions.segments import actors
from fraudlog.sessions.windows import BUCKET_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.sessions import Definition
    from fraudlog.sessions.window_batch import WindowState
    from fraudlog.store import Transaction

__all__ = ["purge_carried"]

_DAY_US: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)


def purge_carried(change: Transaction, definition: Definition, first_day: date, held: pa.Array) -> int:
    """Take out of what a job carries on whatever is over its time.

    An open session goes as a whole, once its last event is over its time: that comes where the job has not run for
    long. What windows remember of keys goes event by event.

    Parameters
    ----------
    change : Transaction
    definition : Definition
    first_day : date
        First day that stays.
    held : pyarrow.Array of string
        Sessions that stay in any case.

    Returns
    -------
    int
        How many events, and entries of windows, went.
    """
    carried = Carried.load(change.store, definition)
    first_us = (first_day - _EPOCH).days * _DAY_US
    stays = _stays_open(carried, first_us)
    state = carried.state
    n_opened = 0 if state.opened is None else len(state.opened)
    windows = {name: _since(window, first_us) for name, window in state.windows.items()}
    is_kept = pc.or_(
        pc.greater_equal(carried.held_sessions["end"], datetime.combine(first_day, datetime.min.time(), UTC)),
        pc.is_in(carried.held_sessions["session_id"], value_set=held),
    )
    sessions = carried.held_sessions.filter(is_kept)
    ids = sessions["session_id"].combine_chunks()
    after = Carried(
        replace(
            state,
            opened=None if state.opened is None else state.opened.take(np.flatnonzero(stays[:n_opened])),
            pending=None if state.pending is None else state.pending.take(np.flatnonzero(stays[n_opened:])),
            windows=windows,
        ),
        carried.events.filter(pa.array(stays)),
        sessions,
        carried.held_events.filter(pc.is_in(carried.held_events["session_id"], value_set=ids)),
    )
    n_gone = _size(carried) - _size(after)
    if n_gone:
        after.save(change, definition)
    return n_gone


def _stays_open(carried: Carried, first_us: int) -> NDArray[np.bool_]:
    """Say which events of open sessions stay: those of an actor who came since."""
    parts = [part for part in (carried.state.opened, carried.state.pending) if part is not None]
    if not parts:
        return np.ones(0, bool)
    facts = Facts.concatenate([replace(part, numbers={}, words=[]) for part in parts])
    codes, n_codes = actors(facts)
    last = np.full(n_codes, -(1 << 62))
    np.maximum.at(last, codes, facts.time)
    return last[codes] >= first_us


def _since(window: WindowState, first_us: int) -> WindowState:
    stays = window["bucket"] >= first_us // BUCKET_US if "bucket" in window else window["time"] >= first_us
    return {name: column[stays] for name, column in window.items()}


def _size(carried: Carried) -> int:
    remembered = sum(len(window["key"]) for window in carried.state.windows.values())
    return len(carried.events) + len(carried.held_events) + remembered
