"""Where everything stands in the words that the compiled live twin works on: one engine, and one state a session.

Both are arrays of int64, so that a compiled loop can read them; null is `NONE`. The engine holds the program (what to
do with an event), the tables of what was looked up before, and room for the event at hand. A state holds a session's
counts (four to a word), its slots, and behind them a heap for distinct values and times.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

__all__ = [
    "BLOCK",
    "COUNTS",
    "EVENT",
    "FIRST_HEAP",
    "FIRST_SLOT",
    "HEAP",
    "NONE",
    "Op",
    "Part",
    "Reply",
    "Test",
    "Value",
]

NONE: Final = -(1 << 63)
"""Null."""

HEAP: Final = 0
"""Word of a state that says where its heap ends."""

COUNTS: Final = 1
"""First word of a state's counts, four to a word."""

FIRST_SLOT: Final = 0
"""Word of the engine that says which word of a state is its first slot."""

EVENT: Final = 1
"""Word of the engine that says where the event at hand begins."""

FIRST_HEAP: Final = 40
"""Word of the engine that says how long a state without a heap is."""

BLOCK: Final = 2
"""Words of a block on the heap before its values: how many it can hold, how many it holds."""


class Part(IntEnum):
    """Parts of the program: each has two words in the engine's head, where it begins and how many rows it has."""

    GROUPS = 1
    TESTS = 2
    STEPS = 3
    NUMBERS = 4
    HELD = 5
    BURSTS = 6
    WINDOWS = 7
    RUNS = 8
    OPS = 9
    MASK = 10
    KNOWN_MASKS = 11
    LANES = 12
    WEIGHTS = 13
    GIVEN = 14
    WATCHES = 15


class Value(IntEnum):
    """Values of the event at hand that every definition has; from `COUNT` on they are given in one go."""

    OFFSET = 0
    IS_PAGE = 1
    RULES = 2
    TIME_MS = 3
    UTC_HOUR = 4
    LOCAL_HOUR = 5
    COARSENESS = 6
    GAP_MS = 7
    GAP_LOG2 = 8
    PAGE_GAP_MS = 9
    BYTES_LOG2 = 10
    GAP_US = 11
    WHERE = 12
    NEEDED = 13
    IS_FULL = 14
    PAGE_SLOT = 15
    MOST_VALUES = 16
    SEED = 17
    COUNT = 18
    BEFORE_US = 19
    TIME_US = 20
    BYTES = 21
    DURATION = 22
    CLIENT_IP = 23
    IP_PREFIX = 24
    USER = 25
    SESSION_TOKEN = 26
    FIRST_FREE = 27


class Test(IntEnum):
    """Comparisons of a number with a constant."""

    KNOWN = 0
    EQUAL = 1
    LESS = 2
    LESS_OR_EQUAL = 3
    GREATER = 4
    GREATER_OR_EQUAL = 5


class Op(IntEnum):
    """Steps that read features off a state; each writes one register."""

    COUNT = 0
    LANE = 1
    SLOT = 2
    GUARD = 3
    GUARD_SLOT = 4
    FINE = 5
    SQUARE_ROOT = 6
    ENTROPY = 7
    DISTINCT = 8
    ADD = 9
    SUBTRACT = 10
    MULTIPLY = 11
    DIVIDE = 12
    GREATER = 13
    SMALLER = 14
    COPY = 15


class Reply(IntEnum):
    """What the compiled update answers, if it is not done.

    From `GROW` on it wants a larger heap, and to go on; an `UNKNOWN_MASK` wants to be looked up; with `POOL_FULL`
    nothing was done yet.
    """

    DONE = 0
    UNKNOWN_MASK = -1
    FULL = -2
    POOL_FULL = -3
    GROW = 1
