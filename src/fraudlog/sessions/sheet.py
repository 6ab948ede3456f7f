"""The values wanted at some rows of a batch: running values gathered there, and the arithmetic of the outcomes.

This is the reference, in NumPy; `fraudlog.sessions.sheet_fast` reads the same reducers in one compiled pass each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.sessions import scans
from fraudlog.sessions.columns import NULL
from fraudlog.sessions.language import Number
from fraudlog.sessions.plan import Fine, Guarded, Lane, Operation, Scan, Size, SquareRoot, Uncertainty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fraudlog.sessions.kernel import Kernel
    from fraudlog.sessions.plan import Outcome

__all__ = ["SQUARE_CLAMP", "Sheet"]

_LANES: Final = 4
_LANE_BITS: Final = 16
SQUARE_CLAMP: Final = (1 << 23) - 1


class Sheet:
    """The values wanted at some rows: gathers running values there, and does the arithmetic.

    Parameters
    ----------
    kernel : Kernel
        Gives fields, masks and selections.
    ends : ndarray of int64, shape (n_wanted,)
        The rows, rising.
    """

    def __init__(self, kernel: Kernel, ends: NDArray[np.int64]) -> None:
        self.kernel = kernel
        self.ends = ends
        self.firsts = kernel.starts[np.searchsorted(kernel.starts, ends, side="right") - 1]
        self.lanes = {lane: place for place, lane in enumerate(kernel.plan.lanes)}
        self.packed = self.counts()
        self._cache: dict[Outcome, Any] = {}

    def outcome(self, outcome: Outcome) -> NDArray[np.float64]:
        """Return one value for each wanted row."""
        if outcome not in self._cache:
            self._cache[outcome] = self._work_out(outcome)
        value: NDArray[np.float64] = self._cache[outcome]
        return value

    def _work_out(self, outcome: Outcome) -> NDArray[np.float64]:
        match outcome:
            case Number(value):
                return np.full(len(self.ends), value)
            case Size():
                return (self.ends - self.firsts + 1).astype(np.float64)
            case Lane():
                return self.lane(outcome).astype(np.float64)
            case Scan():
                return self.scan(outcome).astype(np.float64)
            case Guarded(value, support):
                return np.where(self.lane(support) > 0, self.outcome(value), np.nan)
            case Fine(value, coarseness, limit):
                return np.where(self.outcome(coarseness) <= limit, self.outcome(value), np.nan)
            case Operation(operator, left, right):
                return _operate(operator, self.outcome(left), self.outcome(right))
            case SquareRoot(operand):
                return _root(self.outcome(operand))
            case Uncertainty(size, weights):
                return self._uncertainty(size, weights)

    def _uncertainty(self, size: Lane, weights: Scan) -> NDArray[np.float64]:
        count = self.lane(size)
        table = scans.weights(self.kernel.definition.max_events)
        bits = (table[count] - self.scan(weights)).astype(np.float64)
        return bits / (np.maximum(count, 1) * scans.SCALE).astype(np.float64)

    def lane_words(self) -> Iterator[NDArray[np.int64]]:
        """Give for each distinct mask which lanes count it, four of 16 bits in a word.

        A session has fewer events than 2**16.
        """
        lanes = self.kernel.plan.lanes
        for first in range(0, len(lanes), _LANES):
            of_mask = np.zeros(0, np.int64)
            for place, lane in enumerate(lanes[first : first + _LANES]):
                counted = self.kernel.holding(lane.condition)[1 if lane.is_known else 0]
                shifted = counted.astype(np.int64) << _LANE_BITS * place
                of_mask = shifted if not len(of_mask) else of_mask | shifted
            yield of_mask

    def counts(self) -> Sequence[NDArray[np.int64]]:
        """Return the counts of all lanes at the wanted rows."""
        masks = self.kernel.masks[0]
        running = (scans.totals(np.take(of_mask, masks, mode="clip")) for of_mask in self.lane_words())
        return [word[self.ends + 1] - word[self.firsts] for word in running]

    def lane(self, lane: Lane) -> NDArray[np.int64]:
        """Return a count."""
        place = self.lanes[lane]
        return self.packed[place // _LANES] >> _LANE_BITS * (place % _LANES) & ((1 << _LANE_BITS) - 1)

    def total(self, of_rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of a value over the rows of each wanted one's session up to it."""
        sums = scans.totals(of_rows)
        return sums[self.ends + 1] - sums[self.firsts]

    def scan(self, scan: Scan) -> NDArray[np.int64]:
        """Return what any other reducer gives; the method below that has its name knows how."""
        reducer: Callable[[Scan], NDArray[np.int64]] = getattr(self, f"_{scan.kind}")
        return reducer(scan)

    def _summed(self, scan: Scan, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.total(np.where(self.kernel.selected(scan), values, 0))

    def _values(self, scan: Scan) -> NDArray[np.int64]:
        if scan.reference is None:
            raise TypeError(scan.kind)
        return self.kernel.number(scan.reference)

    def _sum(self, scan: Scan) -> NDArray[np.int64]:
        return self._summed(scan, self._values(scan))

    def _sumsq(self, scan: Scan) -> NDArray[np.int64]:
        values = np.clip(self._values(scan), -SQUARE_CLAMP, SQUARE_CLAMP)
        return self._summed(scan, values * values)

    def _max(self, scan: Scan) -> NDArray[np.int64]:
        return self._extreme(scan, 1)

    def _min(self, scan: Scan) -> NDArray[np.int64]:
        return self._extreme(scan, -1)

    def _extreme(self, scan: Scan, sign: int) -> NDArray[np.int64]:
        selected = self.kernel.selected(scan)
        values = self._values(scan) * sign
        if not selected.any():
            return np.zeros(len(self.ends), np.int64)
        least = values[selected].min()
        running = scans.running_max(np.where(selected, values - least, NULL), self.kernel.session)
        found: NDArray[np.int64] = (running[self.ends] + least) * sign
        return found

    def _last(self, scan: Scan) -> NDArray[np.int64]:
        rows = scans.last_known(self.kernel.selected(scan))[self.ends]
        return np.where(rows >= self.firsts, self._values(scan)[rows], 0)

    def _first(self, scan: Scan) -> NDArray[np.int64]:
        selected = self.kernel.selected(scan)
        rows = len(selected) - 1 - scans.last_known(selected[::-1])[::-1][self.firsts]
        return np.where(rows <= self.ends, self._values(scan)[np.minimum(rows, self.ends)], 0)

    def _distinct(self, scan: Scan) -> NDArray[np.int64]:
        rows, before = self.kernel.occurrences(scan)
        return self._scattered(rows, (before == 0).astype(np.int64))

    def _weights(self, scan: Scan) -> NDArray[np.int64]:
        rows, before = self.kernel.occurrences(scan)
        table = scans.weights(self.kernel.definition.max_events)
        return self._scattered(rows, np.diff(table)[before])

    def _scattered(self, rows: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        sums = scans.totals(values)
        ends = np.searchsorted(rows, self.ends, side="right")
        return sums[ends] - sums[np.searchsorted(rows, self.firsts)]

    def _top(self, scan: Scan) -> NDArray[np.int64]:
        rows, before = self.kernel.occurrences(scan)
        return self._running(rows, before + 1)

    def _running(self, rows: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the greatest of values that some rows have; 0 where a session has none yet."""
        running = scans.running_max(values, self.kernel.session[rows])
        place = np.searchsorted(rows, self.ends, side="right") - 1
        is_own = (place >= 0) & (rows[np.maximum(place, 0)] >= self.firsts) if len(rows) else np.zeros(len(place), bool)
        return np.where(is_own, running[np.maximum(place, 0)], 0) if len(rows) else np.zeros(len(place), np.int64)

    def _switches(self, scan: Scan) -> NDArray[np.int64]:
        rows = np.flatnonzero(self.kernel.selected(scan))
        if scan.reference is None:
            raise TypeError(scan.kind)
        flags = scans.changed(self.kernel.codes(scan.reference)[rows], self.kernel.session[rows])
        return self._scattered(rows, flags.astype(np.int64))

    def _burst(self, scan: Scan) -> NDArray[np.int64]:
        rows = np.flatnonzero(self.kernel.selected(scan))
        counts = scans.window_counts(
            self.kernel.facts.time[rows],
            self.kernel.session[rows],
            scan.window_s * 1_000_000,
            self.kernel.definition.max_duration_us,
        )
        return self._running(rows, counts)


def _operate(operator: str, left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            is_zero = right == 0
            return np.where(is_zero, np.nan, left / np.where(is_zero, 1.0, right))
        case "max":
            return _larger(left, right)
    return -_larger(-left, -right)


def _root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return square roots; 0 below 0, and null of null."""
    is_above = values > 0
    return np.where(is_above, np.sqrt(np.where(is_above, values, 0.0)), np.where(np.isnan(values), np.nan, 0.0))


def _larger(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the larger of two; null with a null."""
    return np.where((left >= right) | np.isnan(left), left, right)
