"""Reads the features off a compiled live state: a run for each kind of step, one register a row."""

# Plain loops over arrays, as in live_fast_blocks.
# ruff: noqa: C901, PLR0912, PLR0915, PLR1714, SIM109
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fraudlog.sessions.live_fast_blocks import compiled
from fraudlog.sessions.live_words import COUNTS, FIRST_SLOT, NONE, Op, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read"]

_LANE_BITS = 16
_LANE_MASK = (1 << 16) - 1

# Enumerations are looked up here, once: the loops below see integers.
_RUNS, _WEIGHTS = int(Part.RUNS), int(Part.WEIGHTS)
LANE, SLOT, GUARD, GUARD_SLOT, FINE = int(Op.LANE), int(Op.SLOT), int(Op.GUARD), int(Op.GUARD_SLOT), int(Op.FINE)
SQUARE_ROOT, ENTROPY, DISTINCT, ADD = int(Op.SQUARE_ROOT), int(Op.ENTROPY), int(Op.DISTINCT), int(Op.ADD)
SUBTRACT, MULTIPLY, DIVIDE = int(Op.SUBTRACT), int(Op.MULTIPLY), int(Op.DIVIDE)
GREATER, SMALLER, COPY = int(Op.GREATER), int(Op.SMALLER), int(Op.COPY)


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _lane(state: NDArray[np.int64], lane: int) -> int:
    return (state[COUNTS + (lane >> 2)] >> (_LANE_BITS * (lane & 3))) & _LANE_MASK


@compiled  # type: ignore[untyped-decorator, unused-ignore]
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
