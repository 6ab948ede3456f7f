"""The mask of an event in the compiled live twin: what is so of it, and in which lanes events of that mask count.

A mask not met before is worked out in Python, by `fraudlog.sessions.live_masks`, and learned.
"""

# Plain loops over arrays, as in live_fast_blocks.
# ruff: noqa: C901
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.sessions.live_fast_blocks import MIX, compiled
from fraudlog.sessions.live_words import EVENT, NONE, Part, Test, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ask", "learn"]

# Enumerations are looked up here, once: the loops below see integers.
_GROUPS, _TESTS, _MASK, _KNOWN_MASKS = int(Part.GROUPS), int(Part.TESTS), int(Part.MASK), int(Part.KNOWN_MASKS)
_KNOWN, _EQUAL, _LESS = int(Test.KNOWN), int(Test.EQUAL), int(Test.LESS)
_LESS_OR_EQUAL, _GREATER = int(Test.LESS_OR_EQUAL), int(Test.GREATER)
_SEED = int(Value.SEED)


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _mask_row(engine: NDArray[np.int64], event: NDArray[np.int64]) -> int:
    """Return where the mask at hand stands in the table of masks, or the free place where it would."""
    mask, n_words = engine[2 * _MASK], engine[2 * _MASK + 1]
    table, room = engine[2 * _KNOWN_MASKS], engine[2 * _KNOWN_MASKS + 1]
    mixed = event[_SEED]
    for i in range(n_words):
        mixed = (mixed ^ engine[mask + i]) * MIX
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


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def learn(engine: NDArray[np.int64], lanes: int) -> None:
    """Note in which lanes the mask at hand counts."""
    event = engine[engine[EVENT] :]
    row = _mask_row(engine, event)
    engine[row] = lanes + 1
    mask = engine[2 * _MASK]
    for i in range(engine[2 * _MASK + 1]):
        engine[row + 1 + i] = engine[mask + i]


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def ask(engine: NDArray[np.int64], event: NDArray[np.int64]) -> int:
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
