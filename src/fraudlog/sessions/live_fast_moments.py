"""What a compiled live state makes of an event's moment: gaps, steps and hours, and bursts over the times held."""

# Plain loops over arrays, as in live_fast_blocks.
# ruff: noqa: C901, PLR0912, PLR1714
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.sessions.live_fast_blocks import compiled, reserve
from fraudlog.sessions.live_words import BLOCK, NONE, Part, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["burst", "sequence"]

_PASSED = 64
_HOUR_US, _DAY_HOURS, _SECOND_US, _MINUTE_US = 3_600_000_000, 24, 1_000_000, 60_000_000

# Enumerations are looked up here, once: the loops below see integers.
_STEPS = int(Part.STEPS)
_COUNT, _BEFORE_US, _TIME_US, _OFFSET = int(Value.COUNT), int(Value.BEFORE_US), int(Value.TIME_US), int(Value.OFFSET)
_IS_PAGE, _PAGE_SLOT, _BYTES = int(Value.IS_PAGE), int(Value.PAGE_SLOT), int(Value.BYTES)
_TIME_MS, _UTC_HOUR, _LOCAL_HOUR = int(Value.TIME_MS), int(Value.UTC_HOUR), int(Value.LOCAL_HOUR)
_COARSENESS, _GAP_MS, _GAP_LOG2 = int(Value.COARSENESS), int(Value.GAP_MS), int(Value.GAP_LOG2)
_PAGE_GAP_MS, _BYTES_LOG2, _GAP_US = int(Value.PAGE_GAP_MS), int(Value.BYTES_LOG2), int(Value.GAP_US)


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _bit_length(value: int) -> int:
    bits = 0
    while value:
        value >>= 1
        bits += 1
    return bits


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def sequence(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], slots: int) -> None:
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def burst(engine: NDArray[np.int64], event: NDArray[np.int64], state: NDArray[np.int64], row: int, slots: int) -> int:
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
        made = reserve(state, event, BLOCK + wider)
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
