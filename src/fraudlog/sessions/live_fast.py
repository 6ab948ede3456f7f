"""The compiled live twin: takes an event into a session's state and reads the features off it, by a program of words.

Used where numba is installed (extra ``fast``). The code written by `fraudlog.sessions.live_source` and `live_values` is
the reference: the tests hold states and features to the same bits. Nothing here knows a feature's name; `live_program`
writes the program, `live_words` says where everything stands. Compiled once for all definitions and kept on disk.
"""

# Plain loops over arrays, as in live_fast_blocks. Numba keeps `take` on disk, with all that it calls, until this file
# changes: who edits `live_fast_*` or `window_fast` removes the `__pycache__` here, or runs the code of before.
# ruff: noqa: C901, PLR0912, PLR1730
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.sessions import window_fast
from fraudlog.sessions.live_fast_blocks import compiled, hold
from fraudlog.sessions.live_fast_masks import ask
from fraudlog.sessions.live_fast_moments import burst, sequence
from fraudlog.sessions.live_fast_read import read
from fraudlog.sessions.live_words import COUNTS, EVENT, FIRST_SLOT, NONE, Part, Reply, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["take"]

_SPARE_NODES = 64
_WIDEST_SQUARE = (1 << 23) - 1

# Enumerations are looked up here, once: the loops below see integers.
_GROUPS, _STEPS, _NUMBERS, _LANES = int(Part.GROUPS), int(Part.STEPS), int(Part.NUMBERS), int(Part.LANES)
_HELD, _BURSTS, _GIVEN, _WATCHES = int(Part.HELD), int(Part.BURSTS), int(Part.GIVEN), int(Part.WATCHES)
_COUNT, _TIME_US, _IS_PAGE, _PAGE_SLOT = int(Value.COUNT), int(Value.TIME_US), int(Value.IS_PAGE), int(Value.PAGE_SLOT)
_WHERE, _IS_FULL, _RULES = int(Value.WHERE), int(Value.IS_FULL), int(Value.RULES)
_UNKNOWN_MASK, _FULL, _DONE = int(Reply.UNKNOWN_MASK), int(Reply.FULL), int(Reply.DONE)
_POOL_FULL = int(Reply.POOL_FULL)

SUM, SQUARES, LEAST, GREATEST, FIRST, LAST = range(6)
"""Kinds of reducers over numbers, in the program's words."""

_see_distinct, _see_count = window_fast.distinct, window_fast.count
_POOL_HELD, _POOL_ROOM = window_fast.HELD, window_fast.ROOM


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _numbers(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], slots: int) -> None:
    where = event[_WHERE]
    row = engine[2 * _NUMBERS]
    for _ in range(engine[2 * _NUMBERS + 1]):
        value = event[engine[row + 1]]
        if value != NONE and (engine[row + 3] == 0 or where & engine[row + 3]):
            kind, place = engine[row], slots + engine[row + 2]
            if kind == SUM:
                state[place] += value
            elif kind == SQUARES:
                if engine[row + 4]:
                    value = min(max(value, -_WIDEST_SQUARE), _WIDEST_SQUARE)
                state[place] += value * value
            elif kind == GREATEST:
                if value > state[place]:  # NONE is the least of all
                    state[place] = value
            elif kind == LAST or state[place] == NONE or (kind == LEAST and value < state[place]):
                state[place] = value
        row += 5


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _count(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], slots: int) -> bool:
    """Take in all that needs no room: counts, numbers, what the next event is compared with."""
    lanes = ask(engine, event)
    if lanes < 0:
        return False
    n_words = engine[2 * _LANES + 1]
    for i in range(n_words):
        state[COUNTS + i] += engine[lanes + i]
    event[_WHERE] = engine[lanes + n_words]
    page = event[_PAGE_SLOT]
    if page >= 0 and event[_IS_PAGE] == 1:
        state[slots + page] = event[_TIME_US]
    row = engine[2 * _STEPS]
    for _ in range(engine[2 * _STEPS + 1]):
        state[slots + engine[row + 1]] = event[engine[row]]
        row += 3
    _numbers(engine, event, state, slots)
    return True


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _watch(engine: NDArray[np.int64], event: NDArray[np.int64], pool: NDArray[np.int64]) -> None:
    """Take the event into the windows over other sessions."""
    now, rules = event[_TIME_US], event[_RULES]
    row = engine[2 * _WATCHES]
    for _ in range(engine[2 * _WATCHES + 1]):
        key, to = event[engine[row + 2]], engine[row + 6]
        event[to] = NONE
        if key != NONE and (engine[row + 4] == 0 or rules & engine[row + 4]):
            if engine[row]:
                value = event[engine[row + 3]]
                if value != NONE:
                    seen = _see_distinct(pool, engine[row + 1], key, value, now, engine[row + 8], engine[row + 9])
                    event[to] = seen >> 1
                    if engine[row + 7] >= 0:
                        event[engine[row + 7]] = seen & 1
                elif engine[row + 7] >= 0:
                    event[engine[row + 7]] = NONE
            else:
                weight = 1 if engine[row + 5] == 0 or rules & engine[row + 5] else 0
                event[to] = _see_count(pool, engine[row + 1], key, weight, now, engine[row + 8])
        elif engine[row + 7] >= 0:
            event[engine[row + 7]] = NONE
        row += 10


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def take(
    engine: NDArray[np.int64],
    state: NDArray[np.int64],
    registers: NDArray[np.float64],
    pool: NDArray[np.int64],
    resume: int,
) -> int:
    """Take the event at hand into a state, and read its features off into the registers.

    Parameters
    ----------
    engine, state : ndarray of int64
        See `fraudlog.sessions.live_words`.
    registers : ndarray of float64
        The first of them are the features.
    pool : ndarray of int64
        Windows over other sessions, as `fraudlog.sessions.window_fast` has them.
    resume : int
        0; or what it answered before the heap was made larger or the mask was looked up.

    Returns
    -------
    int
        A `Reply`.
    """
    event = engine[engine[EVENT] :]
    slots = engine[FIRST_SLOT]
    reply = _DONE
    if resume == 0:
        if pool[_POOL_HELD] + _SPARE_NODES > pool[_POOL_ROOM]:
            return _POOL_FULL
        row = engine[2 * _GROUPS]
        for _ in range(engine[2 * _GROUPS + 1]):
            entry, first = event[engine[row]] + engine[row + 3], engine[row + 1]
            for i in range(engine[row + 2]):
                event[first + i] = engine[entry + i]
            row += 4
        _watch(engine, event, pool)
        sequence(engine, event, state, slots)
    if resume <= 0:
        if not _count(engine, event, state, slots):
            return _UNKNOWN_MASK
        resume = 1
    where = event[_WHERE]
    n_held, n_bursts = engine[2 * _HELD + 1], engine[2 * _BURSTS + 1]
    for step in range(resume - 1, n_held):
        row = engine[2 * _HELD] + 7 * step
        if event[engine[row]] != NONE and (engine[row + 1] == 0 or where & engine[row + 1]):
            answer = hold(engine, event, state, row, slots)
            if answer == 1:
                return step + 1
            if answer == 2:
                event[_IS_FULL] = 1
    for step in range(max(resume - 1 - n_held, 0), n_bursts):
        row = engine[2 * _BURSTS] + 6 * step
        if (engine[row] == 0 or where & engine[row]) and burst(engine, event, state, row, slots):
            return n_held + step + 1
    if event[_IS_FULL]:
        reply = _FULL
    event[_IS_FULL] = 0
    for i in range(engine[2 * _GIVEN], engine[2 * _GIVEN] + engine[2 * _GIVEN + 1]):
        event[i] = NONE
    read(engine, state, registers, event[_COUNT] + 1)
    return reply
