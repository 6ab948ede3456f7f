"""The batch evaluator: reducers as segmented reductions over arrays sorted by session and time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.sessions.definition import ENTROPY_SCALE, Expression, Reducer
from fraudlog.sessions.facts import NULL, Facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

__all__ = ["Kernel", "log_weight"]


@cache
def log_weight(n: int) -> int:
    """Return ``n log2 n`` in units of 2**-20 bit, rounded, so that every evaluator adds the same whole numbers.

    >>> log_weight(4) == 8 * 2**20
    True
    """
    return int(np.floor(n * np.log2(n) * ENTROPY_SCALE + 0.5)) if n > 1 else 0


class Kernel:
    """Evaluates expressions over sessions.

    Parameters
    ----------
    facts : Facts
        Of events sorted by session and time.
    starts : ndarray of int64, shape (n_sessions,)
        Row of each session's first event.
    """

    def __init__(self, facts: Facts, starts: Ints) -> None:
        self._facts = facts
        self._starts = starts
        self._size = len(facts["time_us"])
        self._session = np.repeat(np.arange(len(starts)), np.diff(starts, append=self._size))
        self._known: dict[Expression, Floats] = {}

    def __call__(self, expression: Expression) -> Floats:
        """Return the value of `expression` for each session; NaN where it is unknown."""
        if expression not in self._known:
            self._known[expression] = self._evaluate(expression)
        return self._known[expression]

    def _evaluate(self, expression: Expression) -> Floats:
        if isinstance(expression, Reducer):
            return _REDUCERS[expression.kind](self, expression)
        if expression.operator is None:
            return np.full(len(self._starts), expression.number)
        values = [self(operand) for operand in expression.operands]
        with np.errstate(divide="ignore", invalid="ignore"):
            result = _OPERATORS[expression.operator](*values)
        result[~np.isfinite(result)] = np.nan
        return result

    def _reduce(self, fact: str, neutral: int, ufunc: np.ufunc, *, square: bool = False) -> Floats:
        values = self._facts[fact]
        known = values != NULL
        result = ufunc.reduceat(np.where(known, values * values if square else values, neutral), self._starts)
        return np.where(np.logical_or.reduceat(known, self._starts), result.astype(np.float64), np.nan)

    def _count(self, reducer: Reducer) -> Floats:
        if not reducer.fact:
            return np.diff(self._starts, append=self._size).astype(np.float64)
        return np.add.reduceat(self._facts[reducer.fact], self._starts).astype(np.float64)

    def _counts(self, fact: str) -> tuple[Ints, Ints]:
        """Return the session and the count of each (session, value) pair of `fact`."""
        values = self._facts[fact]
        known = values != NULL
        pairs, counts = np.unique(np.stack([self._session[known], values[known]]), axis=1, return_counts=True)
        return pairs[0], counts

    def _distinct(self, reducer: Reducer) -> Floats:
        session, _ = self._counts(reducer.fact)
        return np.bincount(session, minlength=len(self._starts)).astype(np.float64)

    def _entropy(self, reducer: Reducer) -> Floats:
        session, counts = self._counts(reducer.fact)
        total = np.bincount(session, weights=counts, minlength=len(self._starts)).astype(np.int64)
        inner = np.bincount(session, weights=_log_weights(counts), minlength=len(self._starts))
        return _log_weights(total) - inner

    def _switches(self, reducer: Reducer) -> Floats:
        values = self._facts[reducer.fact]
        known = np.flatnonzero(values != NULL)
        session, value = self._session[known], values[known]
        changed = (session[1:] == session[:-1]) & (value[1:] != value[:-1])
        return np.bincount(session[1:][changed], minlength=len(self._starts)).astype(np.float64)

    def _burst(self, reducer: Reducer) -> Floats:
        time = self._facts["time_us"]
        # One increasing axis for all sessions: a session's times never reach into the next one's.
        axis = time - time.min() + self._session * (int(time.max() - time.min()) + reducer.window_s * 1_000_000 + 1)
        last = np.searchsorted(axis, axis + reducer.window_s * 1_000_000, side="left")
        counted = self._facts[reducer.fact] if reducer.fact else np.ones(self._size, np.int64)
        before = np.concatenate([[0], np.cumsum(counted)])
        within = before[last] - before[: self._size]
        return np.maximum.reduceat(within, self._starts).astype(np.float64)


def _log_weights(counts: Ints) -> Floats:
    distinct, place = np.unique(counts, return_inverse=True)
    return np.array([log_weight(int(one)) for one in distinct], np.float64)[place]


_OPERATORS: Final[dict[str, Callable[..., Floats]]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "sqrt": lambda value: np.sqrt(np.maximum(value, 0.0)),
}

_REDUCERS: Final[dict[str, Callable[[Kernel, Reducer], Floats]]] = {
    "count": Kernel._count,  # noqa: SLF001 -- the table of the class's own methods
    "total": lambda kernel, reducer: kernel._reduce(reducer.fact, 0, np.add),  # noqa: SLF001
    "squares": lambda kernel, reducer: kernel._reduce(reducer.fact, 0, np.add, square=True),  # noqa: SLF001
    "minimum": lambda kernel, reducer: kernel._reduce(reducer.fact, np.iinfo(np.int64).max, np.minimum),  # noqa: SLF001
    "maximum": lambda kernel, reducer: kernel._reduce(reducer.fact, NULL, np.maximum),  # noqa: SLF001
    "distinct": Kernel._distinct,  # noqa: SLF001
    "entropy": Kernel._entropy,  # noqa: SLF001
    "switches": Kernel._switches,  # noqa: SLF001
    "burst": Kernel._burst,  # noqa: SLF001
}
