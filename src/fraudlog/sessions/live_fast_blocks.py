"""Blocks on the heap of a compiled live state: the distinct values of a field, with counts where asked for.

A block begins with its room and with how many values it has. In a small one every value is looked at; a larger one is a
table of hashes. One that is full is left behind for a larger one, until `compacted` takes the rest along.
"""

# Numba compiles what it is given: plain loops over arrays, long functions where a call would hide the order of things.
# ruff: noqa: C901, FBT001, FBT003
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from fraudlog.sessions.live_words import BLOCK, FIRST_HEAP, FIRST_SLOT, HEAP, NONE, Part, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LINEAR", "MIX", "compacted", "compiled", "free_place", "hold", "reserve", "room_for"]

compiled: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
"""How the live twin's loops are compiled: once for all definitions, and kept on disk."""

LINEAR = 8
"""Most values of a block in which one looks at each."""

MIX = 0x1E3779B97F4A7C15
"""Odd factor of the hashes."""

_FIRST_ROOM = 4

# Enumerations are looked up here, once: the loops below see integers.
_HELD, _BURSTS, _WEIGHTS = int(Part.HELD), int(Part.BURSTS), int(Part.WEIGHTS)
_NEEDED, _MOST_VALUES, _SEED = int(Value.NEEDED), int(Value.MOST_VALUES), int(Value.SEED)


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def reserve(state: NDArray[np.int64], event: NDArray[np.int64], words: int) -> int:
    """Return where a new block of so many words begins, or 0 if the heap is full."""
    top = state[HEAP]
    if top + words > len(state):
        event[_NEEDED] = words
        return 0
    state[HEAP] = top + words
    return top


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _place(state: NDArray[np.int64], block: int, room: int, value: int, seed: int) -> int:
    """Return where a value stands in a block's values, or where it would be put."""
    first = block + BLOCK
    if room <= LINEAR:
        held = state[block + 1]
        for i in range(held):
            if state[first + i] == value:
                return first + i
        return first + held
    mixed = (value ^ seed) * MIX
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def free_place(values: NDArray[np.int64], value: int, seed: int) -> int:
    """Return where in the room of a block a new value is put."""
    mixed = (value ^ seed) * MIX
    i = (mixed ^ (mixed >> 29)) & (len(values) - 1)
    while values[i] != NONE:
        i = (i + 1) & (len(values) - 1)
    return i


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _larger(state: NDArray[np.int64], event: NDArray[np.int64], block: int, is_counted: bool) -> int:
    """Return a block of more room with the values of this one, or 0 if the heap is full."""
    room, held = state[block], state[block + 1]
    wider = room * 4 if room == LINEAR else room * 2
    made = reserve(state, event, BLOCK + (wider * 2 if is_counted else wider))
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _two(state: NDArray[np.int64], event: NDArray[np.int64], one: int, other: int, is_counted: bool) -> int:
    """Return a new block of two values, or 0 if the heap is full."""
    made = reserve(state, event, BLOCK + (_FIRST_ROOM * 2 if is_counted else _FIRST_ROOM))
    if made:
        state[made] = _FIRST_ROOM
        state[made + 1] = 2
        state[made + BLOCK] = one
        state[made + BLOCK + 1] = other
        state[made + BLOCK + 2] = NONE
        state[made + BLOCK + 3] = NONE
    return made


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def hold(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], row: int, slots: int) -> int:
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
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
