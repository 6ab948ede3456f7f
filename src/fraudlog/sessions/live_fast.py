"""The compiled live twin: takes an event into a session's state and reads the features off it, by a program of words.

Used where numba is installed (extra ``fast``). The code written by `fraudlog.sessions.live_source` and `live_values` is
the reference: the tests hold states and features to the same bits. Nothing here knows a feature's name; `live_program`
writes the program, `live_words` says where everything stands. Compiled once for all definitions and kept on disk.
"""

# Numba compiles what it is given: plain loops over arrays, long functions where a call would hide the order of things.
# ruff: noqa: PLR0912, PLR0915, C901, FBT001, FBT003, PLR1714, PLR1730, SIM109
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from fraudlog.sessions import window_fast
from fraudlog.sessions.live_words import (
    BLOCK,
    COUNTS,
    EVENT,
    FIRST_HEAP,
    FIRST_SLOT,
    HEAP,
    NONE,
    Op,
    Part,
    Reply,
    Test,
    Value,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LINEAR", "compacted", "free_place", "learn", "read", "room_for", "take"]

_compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")

LINEAR = 8
"""Most values of a block in which one looks at each."""

_FIRST_ROOM = 4
_MIX = 0x1E3779B97F4A7C15
_LANE_BITS = 16
_LANE_MASK = (1 << 16) - 1
_PASSED = 64

# Enumerations are looked up here, once: the loops below see integers.
_GROUPS, _TESTS, _STEPS, _NUMBERS = int(Part.GROUPS), int(Part.TESTS), int(Part.STEPS), int(Part.NUMBERS)
_HELD, _BURSTS, _WINDOWS, _RUNS, _OPS = (
    int(Part.HELD),
    int(Part.BURSTS),
    int(Part.WINDOWS),
    int(Part.RUNS),
    int(Part.OPS),
)
_MASK, _KNOWN_MASKS, _LANES, _WEIGHTS = int(Part.MASK), int(Part.KNOWN_MASKS), int(Part.LANES), int(Part.WEIGHTS)
_GIVEN, _WATCHES = int(Part.GIVEN), int(Part.WATCHES)
_COUNT, _BEFORE_US, _TIME_US, _OFFSET = (
    int(Value.COUNT),
    int(Value.BEFORE_US),
    int(Value.TIME_US),
    int(Value.OFFSET),
)
_IS_PAGE, _BYTES = int(Value.IS_PAGE), int(Value.BYTES)
_TIME_MS, _UTC_HOUR, _LOCAL_HOUR = int(Value.TIME_MS), int(Value.UTC_HOUR), int(Value.LOCAL_HOUR)
_COARSENESS, _GAP_MS, _GAP_LOG2 = int(Value.COARSENESS), int(Value.GAP_MS), int(Value.GAP_LOG2)
_PAGE_GAP_MS, _BYTES_LOG2, _GAP_US = int(Value.PAGE_GAP_MS), int(Value.BYTES_LOG2), int(Value.GAP_US)
_WHERE, _NEEDED, _IS_FULL, _PAGE_SLOT = (
    int(Value.WHERE),
    int(Value.NEEDED),
    int(Value.IS_FULL),
    int(Value.PAGE_SLOT),
)
_MOST_VALUES, _SEED = int(Value.MOST_VALUES), int(Value.SEED)
_KNOWN, _EQUAL, _LESS = int(Test.KNOWN), int(Test.EQUAL), int(Test.LESS)
_LESS_OR_EQUAL, _GREATER = int(Test.LESS_OR_EQUAL), int(Test.GREATER)
_UNKNOWN_MASK, _FULL, _DONE = int(Reply.UNKNOWN_MASK), int(Reply.FULL), int(Reply.DONE)
_POOL_FULL, _RULES = int(Reply.POOL_FULL), int(Value.RULES)
_SPARE_NODES = 64
_HOUR_US, _DAY_HOURS, _SECOND_US, _MINUTE_US = 3_600_000_000, 24, 1_000_000, 60_000_000
_WIDEST_SQUARE = (1 << 23) - 1

SUM, SQUARES, LEAST, GREATEST, FIRST, LAST = range(6)
"""Kinds of reducers over numbers, in the program's words."""


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _bit_length(value: int) -> int:
    bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _room(state: NDArray[np.int64], event: NDArray[np.int64], words: int) -> int:
    """Return where a new block of so many words begins, or 0 if the heap is full."""
    top = state[HEAP]
    if top + words > len(state):
        event[_NEEDED] = words
        return 0
    state[HEAP] = top + words
    return top


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _place(state: NDArray[np.int64], block: int, room: int, value: int, seed: int) -> int:
    """Return where a value stands in a block's values, or where it would be put."""
    first = block + BLOCK
    if room <= LINEAR:
        held = state[block + 1]
        for i in range(held):
            if state[first + i] == value:
                return first + i
        return first + held
    mixed = (value ^ seed) * _MIX
    i = (mixed ^ (mixed >> 29)) & (room - 1)
    while state[first + i] != NONE and state[first + i] != value:
        i = (i + 1) & (room - 1)
    return first + i


def room_for(n_values: int) -> int:
    """Return the room that a block of so many values has.

    >>> [room_for(n) for n in (2, 5, 9, 24)]
    [4, 8, 32, 64]
    """
    room = _FIRST_ROOM
    while n_values > room or (room > LINEAR and 4 * n_values >= 3 * room):
        room = room * 4 if room == LINEAR else room * 2
    return room


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def free_place(values: NDArray[np.int64], value: int, seed: int) -> int:
    """Return where in the room of a block a new value is put."""
    mixed = (value ^ seed) * _MIX
    i = (mixed ^ (mixed >> 29)) & (len(values) - 1)
    while values[i] != NONE:
        i = (i + 1) & (len(values) - 1)
    return i


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _larger(state: NDArray[np.int64], event: NDArray[np.int64], block: int, is_counted: bool) -> int:
    """Return a block of more room with the values of this one, or 0 if the heap is full."""
    room, held = state[block], state[block + 1]
    wider = room * 4 if room == LINEAR else room * 2
    made = _room(state, event, BLOCK + (wider * 2 if is_counted else wider))
    if made == 0:
        return 0
    state[made] = wider
    state[made + 1] = 0
    for i in range(wider):
        state[made + BLOCK + i] = NONE
    seed = event[_SEED]
    for i in range(room):
        value = state[block + BLOCK + i]
        if (room <= LINEAR and i >= held) or value == NONE:
            continue
        put = _place(state, made, wider, value, seed)
        state[put] = value
        if is_counted:
            state[put + wider] = state[block + BLOCK + room + i]
        state[made + 1] += 1
    return made


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _two(state: NDArray[np.int64], event: NDArray[np.int64], one: int, other: int, is_counted: bool) -> int:
    """Return a new block of two values, or 0 if the heap is full."""
    made = _room(state, event, BLOCK + (_FIRST_ROOM * 2 if is_counted else _FIRST_ROOM))
    if made:
        state[made] = _FIRST_ROOM
        state[made + 1] = 2
        state[made + BLOCK] = one
        state[made + BLOCK + 1] = other
        state[made + BLOCK + 2] = NONE
        state[made + BLOCK + 3] = NONE
    return made


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _held(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], row: int, slots: int) -> int:
    """Take a value into the distinct values of one field; 0 done, 1 the heap is full, 2 as many values as are kept."""
    value = event[engine[row]]
    last, held, top = engine[row + 2], engine[row + 3], engine[row + 4]
    weights, switches = engine[row + 5], engine[row + 6]
    before = state[slots + last]
    if top < 0:
        return _kept(event, state, slots, value, before, last, held, switches)
    table = engine[2 * _WEIGHTS]
    block = state[slots + held]
    if block == 0:
        if before == NONE:
            state[slots + last] = value
            state[slots + top] = 1
            return 0
        if before == value:
            state[slots + top] += 1
            return 0
        block = _two(state, event, before, value, True)
        if block == 0:
            return 1
        count = state[slots + top]
        state[block + BLOCK + _FIRST_ROOM] = count
        state[block + BLOCK + _FIRST_ROOM + 1] = 1
        state[slots + held] = block
        state[slots + weights] = engine[table + count]
        state[slots + last] = value
        if switches >= 0:
            state[slots + switches] += 1
        return 2 if event[_MOST_VALUES] <= 2 else 0
    room, seed = state[block], event[_SEED]
    put = _place(state, block, room, value, seed)
    is_new = (
        put == block + BLOCK + room
        or state[put] != value
        or (room <= LINEAR and put == block + BLOCK + state[block + 1])
    )
    if is_new:
        if state[block + 1] == room or (room > LINEAR and 4 * state[block + 1] >= 3 * room):
            wider = _larger(state, event, block, True)
            if wider == 0:
                return 1
            state[slots + held] = block = wider
            room = state[block]
            put = _place(state, block, room, value, seed)
        state[put] = value
        state[put + room] = 0
        state[block + 1] += 1
    count = state[put + room] + 1
    state[put + room] = count
    state[slots + weights] += engine[table + count] - engine[table + count - 1]
    state[slots + top] = max(state[slots + top], count)
    if before != value:
        state[slots + last] = value
        if switches >= 0:
            state[slots + switches] += 1
    return 2 if is_new and state[block + 1] >= event[_MOST_VALUES] else 0


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _kept(
    event: NDArray[np.int64],
    state: NDArray[np.int64],
    slots: int,
    value: int,
    before: int,
    last: int,
    held: int,
    switches: int,
) -> int:
    """Take a value into distinct values that are not counted."""
    if before == value:
        return 0
    if before == NONE:
        state[slots + last] = value
        return 0
    reply = 0
    if held >= 0:
        block = state[slots + held]
        if block == 0:
            block = _two(state, event, before, value, False)
            if block == 0:
                return 1
            state[slots + held] = block
            reply = 2 if event[_MOST_VALUES] <= 2 else 0
        else:
            room, seed = state[block], event[_SEED]
            put = _place(state, block, room, value, seed)
            if (
                put == block + BLOCK + room
                or state[put] != value
                or (room <= LINEAR and put == block + BLOCK + state[block + 1])
            ):
                if state[block + 1] == room or (room > LINEAR and 4 * state[block + 1] >= 3 * room):
                    wider = _larger(state, event, block, False)
                    if wider == 0:
                        return 1
                    state[slots + held] = block = wider
                    room = state[block]
                    put = _place(state, block, room, value, seed)
                state[put] = value
                state[block + 1] += 1
                reply = 2 if state[block + 1] >= event[_MOST_VALUES] else 0
    if switches >= 0:
        state[slots + switches] += 1
    state[slots + last] = value
    return reply


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _burst(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], row: int, slots: int) -> int:
    """Take a moment into the bursts over the events of one condition; 1 if the heap is full."""
    times, at, n_windows, first, longest = (
        engine[row + 1],
        engine[row + 2],
        engine[row + 3],
        engine[row + 4],
        engine[row + 5],
    )
    now = event[_TIME_US]
    if at >= 0:
        before = state[slots + at]
        is_alone = before == NONE or now - before >= longest
    else:
        before = event[_BEFORE_US]
        is_alone = event[_COUNT] == 0 or now - before >= longest
    block = state[slots + times]
    held = state[block + 1] if block else 0
    if not is_alone and (block == 0 or state[block] < max(held, 1) + 1):
        wider = 4 if block == 0 else state[block] * 2
        made = _room(state, event, BLOCK + wider)
        if made == 0:
            return 1
        state[made] = wider
        state[made + 1] = held
        for i in range(held):
            state[made + BLOCK + i] = state[block + BLOCK + i]
        state[slots + times] = block = made
    if at >= 0:
        state[slots + at] = now
    if is_alone:
        if block:
            state[block + 1] = 0
        for i in range(first, first + 3 * n_windows, 3):
            if state[slots + engine[i + 2]] == 0:
                state[slots + engine[i + 2]] = 1
        return 0
    values = block + BLOCK
    if held == 0:
        state[values] = before
        held = 1
        for i in range(first, first + 3 * n_windows, 3):
            state[slots + engine[i + 1]] = 0
    state[values + held] = now
    held += 1
    head = 0
    for i in range(first, first + 3 * n_windows, 3):
        head = state[slots + engine[i + 1]]
        bound = now - engine[i]
        while state[values + head] <= bound:
            head += 1
        state[slots + engine[i + 1]] = head
        state[slots + engine[i + 2]] = max(state[slots + engine[i + 2]], held - head)
    if head > _PASSED:
        held -= head
        for i in range(held):
            state[values + i] = state[values + head + i]
        for i in range(first, first + 3 * n_windows, 3):
            state[slots + engine[i + 1]] -= head
    state[block + 1] = held
    return 0


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _sequence(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], slots: int) -> None:
    """Work out what follows from the time and from the event before; writes no word of the state."""
    now = event[_TIME_US]
    event[_TIME_MS] = now // 1000 if now >= 0 else NONE
    event[_UTC_HOUR] = now // _HOUR_US % _DAY_HOURS
    event[_COARSENESS] = 0 if now % _SECOND_US else 1 if now % _MINUTE_US else 2
    offset = event[_OFFSET]
    event[_LOCAL_HOUR] = NONE if offset == NONE else (now + offset) // _HOUR_US % _DAY_HOURS
    size = event[_BYTES]
    event[_BYTES_LOG2] = NONE if size == NONE else _bit_length(size)
    if event[_COUNT] == 0:
        event[_GAP_US] = NONE
        event[_GAP_MS] = NONE
        event[_GAP_LOG2] = NONE
    else:
        gap = now - event[_BEFORE_US]
        event[_GAP_US] = gap
        event[_GAP_MS] = gap // 1000
        event[_GAP_LOG2] = _bit_length(gap // 1000)
    event[_PAGE_GAP_MS] = NONE
    page = event[_PAGE_SLOT]
    if page >= 0 and event[_IS_PAGE] == 1 and state[slots + page] != NONE:
        event[_PAGE_GAP_MS] = (now - state[slots + page]) // 1000
    row = engine[2 * _STEPS]
    for _ in range(engine[2 * _STEPS + 1]):
        before, value = state[slots + engine[row + 1]], event[engine[row]]
        event[engine[row + 2]] = NONE if before == NONE or value == NONE else value - before
        row += 3


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _mask_row(engine: NDArray[np.int64], event: NDArray[np.int64]) -> int:
    """Return where the mask at hand stands in the table of masks, or the free place where it would."""
    mask, n_words = engine[2 * _MASK], engine[2 * _MASK + 1]
    table, room = engine[2 * _KNOWN_MASKS], engine[2 * _KNOWN_MASKS + 1]
    mixed = event[_SEED]
    for i in range(n_words):
        mixed = (mixed ^ engine[mask + i]) * _MIX
        mixed ^= mixed >> 31
    slot = mixed & (room - 1)
    while True:
        row = table + slot * (n_words + 1)
        is_same = True
        if engine[row] != 0:
            for i in range(n_words):
                if engine[row + 1 + i] != engine[mask + i]:
                    is_same = False
        if is_same:
            return row
        slot = (slot + 1) & (room - 1)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def learn(engine: NDArray[np.int64], lanes: int) -> None:
    """Note in which lanes the mask at hand counts."""
    event = engine[engine[EVENT] :]
    row = _mask_row(engine, event)
    engine[row] = lanes + 1
    mask = engine[2 * _MASK]
    for i in range(engine[2 * _MASK + 1]):
        engine[row + 1 + i] = engine[mask + i]


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _ask(engine: NDArray[np.int64], event: NDArray[np.int64]) -> int:
    """Write the mask of what is so of this event; returns the lanes it counts in, or -1 if it was not met before."""
    mask, n_words = engine[2 * _MASK], engine[2 * _MASK + 1]
    for i in range(n_words):
        engine[mask + i] = 0
    row = engine[2 * _GROUPS]
    for _ in range(engine[2 * _GROUPS + 1]):
        entry = event[engine[row]]
        for i in range(n_words):
            engine[mask + i] |= engine[entry + i]
        row += 4
    row = engine[2 * _TESTS]
    for _ in range(engine[2 * _TESTS + 1]):
        value, operator, constant = event[engine[row]], engine[row + 1], engine[row + 2]
        if value == NONE:
            holds = False
        elif operator == _KNOWN:
            holds = True
        elif operator == _EQUAL:
            holds = value == constant
        elif operator == _LESS:
            holds = value < constant
        elif operator == _LESS_OR_EQUAL:
            holds = value <= constant
        elif operator == _GREATER:
            holds = value > constant
        else:
            holds = value >= constant
        if holds:
            engine[mask + engine[row + 3]] |= engine[row + 4]
        row += 5
    return engine[_mask_row(engine, event)] - 1


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
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


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _count(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], slots: int) -> bool:
    """Take in all that needs no room: counts, numbers, what the next event is compared with."""
    lanes = _ask(engine, event)
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


_see_distinct, _see_count = window_fast.distinct, window_fast.count
_POOL_HELD, _POOL_ROOM = window_fast.HELD, window_fast.ROOM


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
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


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
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
        _sequence(engine, event, state, slots)
    if resume <= 0:
        if not _count(engine, event, state, slots):
            return _UNKNOWN_MASK
        resume = 1
    where = event[_WHERE]
    n_held, n_bursts = engine[2 * _HELD + 1], engine[2 * _BURSTS + 1]
    for step in range(resume - 1, n_held):
        row = engine[2 * _HELD] + 7 * step
        if event[engine[row]] != NONE and (engine[row + 1] == 0 or where & engine[row + 1]):
            answer = _held(engine, event, state, row, slots)
            if answer == 1:
                return step + 1
            if answer == 2:
                event[_IS_FULL] = 1
    for step in range(max(resume - 1 - n_held, 0), n_bursts):
        row = engine[2 * _BURSTS] + 6 * step
        if (engine[row] == 0 or where & engine[row]) and _burst(engine, event, state, row, slots):
            return n_held + step + 1
    if event[_IS_FULL]:
        reply = _FULL
    event[_IS_FULL] = 0
    for i in range(engine[2 * _GIVEN], engine[2 * _GIVEN] + engine[2 * _GIVEN + 1]):
        event[i] = NONE
    read(engine, state, registers, event[_COUNT] + 1)
    return reply


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _block_of(engine: NDArray[np.int64], state: NDArray[np.int64], step: int, n_held: int) -> tuple[int, int, int]:
    """Return the slot of a block, where the block begins, and its words; of one without values none."""
    if step < n_held:
        row = engine[2 * _HELD] + 7 * step
        place, width = engine[row + 3], 2 if engine[row + 4] >= 0 else 1
    else:
        place, width = engine[engine[2 * _BURSTS] + 6 * (step - n_held) + 1], 1
    block = state[engine[FIRST_SLOT] + place] if place >= 0 else 0
    if block == 0 or state[block + 1] == 0:
        return place, 0, 0
    return place, block, BLOCK + width * state[block]


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def compacted(engine: NDArray[np.int64], state: NDArray[np.int64], words: int) -> NDArray[np.int64]:
    """Return a state without the blocks that were left behind, and with room for so many words more."""
    slots, top = engine[FIRST_SLOT], engine[FIRST_HEAP]
    n_held = engine[2 * _HELD + 1]
    n_blocks = n_held + engine[2 * _BURSTS + 1]
    held = 0
    for step in range(n_blocks):
        held += _block_of(engine, state, step, n_held)[2]
    made = np.empty(top + held + words, np.int64)
    made[:top] = state[:top]
    for step in range(n_blocks):
        place, block, size = _block_of(engine, state, step, n_held)
        if place >= 0:
            made[slots + place] = top if size else 0
            made[top : top + size] = state[block : block + size]
            top += size
    made[HEAP] = top
    return made


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def _lane(state: NDArray[np.int64], lane: int) -> int:
    return (state[COUNTS + (lane >> 2)] >> (_LANE_BITS * (lane & 3))) & _LANE_MASK


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def read(engine: NDArray[np.int64], state: NDArray[np.int64], registers: NDArray[np.float64], n_events: int) -> None:
    """Read the features of a state of so many events into the registers; same operations are done in one run."""
    slots = engine[FIRST_SLOT]
    table = engine[2 * _WEIGHTS]
    run = engine[2 * _RUNS]
    for _ in range(engine[2 * _RUNS + 1]):
        kind, first, end = engine[run], engine[run + 1], engine[run + 2]
        run += 3
        if kind == LANE:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = _lane(state, engine[row])
        elif kind == SLOT:
            for row in range(first, end, 4):
                value = state[slots + engine[row]]
                registers[engine[row + 3]] = np.nan if value == NONE else value
        elif kind == GUARD:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = registers[engine[row]] if _lane(state, engine[row + 1]) else np.nan
        elif kind == DIVIDE:
            for row in range(first, end, 4):
                under = registers[engine[row + 1]]
                registers[engine[row + 3]] = registers[engine[row]] / under if under != 0.0 else np.nan
        elif kind == GUARD_SLOT:
            for row in range(first, end, 4):
                is_empty = state[slots + engine[row + 1]] == NONE
                registers[engine[row + 3]] = np.nan if is_empty else registers[engine[row]]
        elif kind == DISTINCT:
            for row in range(first, end, 4):
                block = state[slots + engine[row]]
                alone = 0 if state[slots + engine[row + 1]] == NONE else 1
                registers[engine[row + 3]] = state[block + 1] if block else alone
        elif kind == FINE:
            for row in range(first, end, 4):
                is_fine = state[slots + engine[row + 2]] <= engine[row + 1]
                registers[engine[row + 3]] = registers[engine[row]] if is_fine else np.nan
        elif kind == ADD:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = registers[engine[row]] + registers[engine[row + 1]]
        elif kind == SUBTRACT:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = registers[engine[row]] - registers[engine[row + 1]]
        elif kind == MULTIPLY:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = registers[engine[row]] * registers[engine[row + 1]]
        elif kind == SQUARE_ROOT:
            for row in range(first, end, 4):
                value_f = registers[engine[row]]
                if value_f > 0.0:
                    registers[engine[row + 3]] = np.sqrt(value_f)
                else:
                    registers[engine[row + 3]] = 0.0 if value_f == value_f else np.nan  # noqa: PLR0124 -- asks for NaN
        elif kind == ENTROPY:
            for row in range(first, end, 4):
                if state[slots + engine[row + 1]] == 0:
                    registers[engine[row + 3]] = 0.0
                else:
                    size = _lane(state, engine[row])
                    weight = engine[table + size] - state[slots + engine[row + 2]]
                    registers[engine[row + 3]] = weight / (size * 1048576.0)
        elif kind == GREATER or kind == SMALLER:
            for row in range(first, end, 4):
                one, other = registers[engine[row]], registers[engine[row + 1]]
                is_first = one >= other if kind == GREATER else one <= other
                registers[engine[row + 3]] = one if is_first or one != one else other  # noqa: PLR0124 -- asks for NaN
        elif kind == COPY:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = registers[engine[row]]
        else:
            for row in range(first, end, 4):
                registers[engine[row + 3]] = n_events


LANE, SLOT, GUARD, GUARD_SLOT, FINE = int(Op.LANE), int(Op.SLOT), int(Op.GUARD), int(Op.GUARD_SLOT), int(Op.FINE)
SQUARE_ROOT, ENTROPY, DISTINCT, ADD = int(Op.SQUARE_ROOT), int(Op.ENTROPY), int(Op.DISTINCT), int(Op.ADD)
SUBTRACT, MULTIPLY, DIVIDE = int(Op.SUBTRACT), int(Op.MULTIPLY), int(Op.DIVIDE)
GREATER, SMALLER, COPY = int(Op.GREATER), int(Op.SMALLER), int(Op.COPY)
