"""The batch kernel: the features of many sessions at once, at their last event or at any other.

A pure function of facts in the order of sessions; it keeps nothing, so parts of a batch can run side by side.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.sessions import scans
from fraudlog.sessions.columns import NULL, dense
from fraudlog.sessions.facts import compare
from fraudlog.sessions.language import Compare, Known, Number
from fraudlog.sessions.plan import (
    Fine,
    Guarded,
    Lane,
    Operation,
    Scan,
    Size,
    SquareRoot,
    Uncertainty,
    selection,
    truth,
)
from fraudlog.sessions.values import bit_length, clamped, of_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.facts import Facts
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.plan import Atom, Outcome

__all__ = ["Kernel"]

_LANES: Final = 4
_LANE_BITS: Final = 16
_WORD: Final = 64
_SQUARE_CLAMP: Final = (1 << 23) - 1


class Kernel:
    """Evaluates a definition on facts.

    Parameters
    ----------
    definition : Definition
        What to compute.
    facts : Facts
        Events in the order of sessions and time.
    starts : ndarray of int64, shape (n_sessions,)
        First row of each session.
    """

    def __init__(self, definition: Definition, facts: Facts, starts: NDArray[np.int64]) -> None:
        self.definition = definition
        self.plan = definition.plan
        self.facts = facts
        self.starts = starts
        self.session = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(facts))))
        self._numbers: dict[Reference, NDArray[np.int64]] = {}
        self._occurrences: dict[tuple[Reference, Condition | None], tuple[Any, Any]] = {}

    def rows(self, ends: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return the features as of some rows.

        Parameters
        ----------
        ends : ndarray of int64, shape (n_wanted,)
            Last row to look at; each speaks for the session it belongs to, up to it.
        """
        sheet = _Sheet(self, ends)
        return {name: sheet.outcome(outcome) for name, outcome in self.plan.outcomes.items()}

    def number(self, reference: Reference) -> NDArray[np.int64]:
        """Return a field of numbers, row by row; -1 is null (of a step: the smallest integer)."""
        if reference not in self._numbers:
            self._numbers[reference] = self._read(reference)
        return self._numbers[reference]

    def _read(self, reference: Reference) -> NDArray[np.int64]:
        name = reference.field.name
        if reference.is_step:
            return self._step(reference)
        if name in self.facts.numbers:
            return self.facts.numbers[name]
        if name == "gap_ms":
            return self._gaps(np.arange(len(self.facts)))
        if name == "gap_log2":
            return bit_length(self._gap_ms)
        if name == "page_gap_ms":
            return self._page_gaps()
        return of_time(self.facts.time, name)

    @cached_property
    def _gap_ms(self) -> NDArray[np.int64]:
        return self._gaps(np.arange(len(self.facts)))

    def _gaps(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the time since the row before, among some rows, in milliseconds."""
        gaps = np.full(len(self.facts), NULL)
        time, session = self.facts.time[rows], self.session[rows]
        is_same = session[1:] == session[:-1]
        gaps[rows[1:]] = np.where(is_same, clamped(np.diff(time) // 1000, "gap_ms"), NULL)
        return gaps

    def _page_gaps(self) -> NDArray[np.int64]:
        endpoint = self.facts.text["endpoint"]
        is_page = np.append(np.array(endpoint.values.to_pylist(), dtype=object) == "page", False)
        return self._gaps(np.flatnonzero(is_page[endpoint.codes]))

    def _step(self, reference: Reference) -> NDArray[np.int64]:
        values = self.number(type(reference)(reference.field))
        steps = np.full(len(values), np.iinfo(np.int64).min)
        is_known = (self.session[1:] == self.session[:-1]) & (values[1:] >= 0) & (values[:-1] >= 0)
        steps[1:][is_known] = np.diff(values)[is_known]
        return steps

    def known(self, reference: Reference) -> NDArray[np.bool_]:
        """Say where a field has a value."""
        if reference.field.is_number:
            values = self.number(reference)
            known: NDArray[np.bool_] = values != np.iinfo(np.int64).min if reference.is_step else values >= 0
            return known
        has_value: NDArray[np.bool_] = self.facts.text[reference.field.name].codes >= 0
        return has_value

    def codes(self, reference: Reference) -> NDArray[Any]:
        """Return a code for each row's value."""
        if reference.field.is_number:
            return self.number(reference)
        return self.facts.text[reference.field.name].codes

    @cached_property
    def masks(self) -> tuple[NDArray[np.int32], list[NDArray[np.int64]]]:
        """Return which distinct mask each row has, and the words of the distinct masks."""
        words = [*self.facts.words, *self._late_words()]
        codes, distinct = dense(words[0].view(np.int64)) if words else (np.zeros(len(self.facts), np.int32), None)
        columns = [distinct] if distinct is not None else []
        for word in words[1:]:
            of_word, values = dense(word.view(np.int64))
            codes, pairs = dense(codes.astype(np.int64) * len(values) + of_word)
            columns = [column[pairs // len(values)] for column in columns]
            columns.append(values[pairs % len(values)])
        return codes, columns

    def _late_words(self) -> list[NDArray[np.uint64]]:
        late = self.plan.late
        words = [np.zeros(len(self.facts), np.uint64) for _ in range(0, len(late), _WORD)]
        for bit, atom in enumerate(late):
            words[bit // _WORD] |= self._late_answer(atom).astype(np.uint64) << np.uint64(bit % _WORD)
        return words

    def _late_answer(self, atom: Atom) -> NDArray[np.bool_]:
        known = self.known(atom.reference)
        if isinstance(atom, Compare):
            return known & compare(atom, self.number(atom.reference))
        return known

    def _bit(self, atom: Atom) -> NDArray[np.bool_]:
        """Return one atom's answer for each distinct mask."""
        words = self.masks[1]
        early, late = self.plan.early, self.plan.late
        if atom in early:
            place = early.index(atom)
        elif atom in late:
            place = late.index(atom) + _WORD * len(self.facts.words)
        else:
            raise KeyError(atom)
        return (words[place // _WORD].view(np.uint64) >> np.uint64(place % _WORD) & np.uint64(1)).astype(bool)

    @cached_property
    def _bits(self) -> Callable[[Atom], NDArray[np.bool_]]:
        answers = {atom: self._bit(atom) for atom in (*self.plan.early, *self.plan.late)}
        return answers.__getitem__

    def lane_words(self) -> Iterator[NDArray[np.int64]]:
        """Give running counts of all lanes, four of 16 bits in a word: a session has fewer events than 2**16."""
        codes, _ = self.masks
        for first in range(0, len(self.plan.lanes), _LANES):
            of_mask = np.zeros(0, np.int64)
            for place, lane in enumerate(self.plan.lanes[first : first + _LANES]):
                counted = truth(lane.condition, self._bits)[1 if lane.is_known else 0]
                shifted = counted.astype(np.int64) << _LANE_BITS * place
                of_mask = shifted if not len(of_mask) else of_mask | shifted
            yield scans.totals(np.take(of_mask, codes, mode="clip"))

    def selected(self, scan: Scan) -> NDArray[np.bool_]:
        """Say which rows a scan reads."""
        condition = selection(scan.reference, scan.where)
        if condition is None:
            return np.ones(len(self.facts), bool)
        if isinstance(condition, Known):
            return self.known(condition.reference)
        holds: NDArray[np.bool_] = truth(condition, self._bits)[0][self.masks[0]]
        return holds

    def occurrences(self, scan: Scan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows a scan reads, and how often each one's value stood in its session before."""
        if scan.reference is None:
            raise TypeError(scan.kind)
        key = (scan.reference, scan.where)
        if key not in self._occurrences:
            rows = np.flatnonzero(self.selected(scan))
            self._occurrences[key] = rows, scans.occurrence(self.codes(scan.reference)[rows], self.session[rows])
        return self._occurrences[key]


class _Sheet:
    """The values wanted at some rows: gathers running values there, and does the arithmetic."""

    def __init__(self, kernel: Kernel, ends: NDArray[np.int64]) -> None:
        self.kernel = kernel
        self.ends = ends
        self.firsts = kernel.starts[kernel.session[ends]]
        self.lanes = {lane: place for place, lane in enumerate(kernel.plan.lanes)}
        self.packed = [word[ends + 1] - word[self.firsts] for word in kernel.lane_words()]
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

    def lane(self, lane: Lane) -> NDArray[np.int64]:
        """Return a count."""
        place = self.lanes[lane]
        return self.packed[place // _LANES] >> _LANE_BITS * (place % _LANES) & ((1 << _LANE_BITS) - 1)

    def total(self, of_rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sum of a value over the rows of each wanted one's session up to it."""
        sums = scans.totals(of_rows)
        return sums[self.ends + 1] - sums[self.firsts]

    def scan(self, scan: Scan) -> NDArray[np.int64]:
        """Return what any other reducer gives."""
        return _SCANS[scan.kind](self, scan)

    def _summed(self, scan: Scan, values: NDArray[np.int64]) -> NDArray[np.int64]:
        return self.total(np.where(self.kernel.selected(scan), values, 0))

    def _values(self, scan: Scan) -> NDArray[np.int64]:
        if scan.reference is None:
            raise TypeError(scan.kind)
        return self.kernel.number(scan.reference)

    def sum(self, scan: Scan) -> NDArray[np.int64]:
        return self._summed(scan, self._values(scan))

    def sumsq(self, scan: Scan) -> NDArray[np.int64]:
        values = np.clip(self._values(scan), -_SQUARE_CLAMP, _SQUARE_CLAMP)
        return self._summed(scan, values * values)

    def max(self, scan: Scan) -> NDArray[np.int64]:
        return self._extreme(scan, 1)

    def min(self, scan: Scan) -> NDArray[np.int64]:
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

    def last(self, scan: Scan) -> NDArray[np.int64]:
        rows = scans.last_known(self.kernel.selected(scan))[self.ends]
        return np.where(rows >= self.firsts, self._values(scan)[rows], 0)

    def first(self, scan: Scan) -> NDArray[np.int64]:
        selected = self.kernel.selected(scan)
        rows = len(selected) - 1 - scans.last_known(selected[::-1])[::-1][self.firsts]
        return np.where(rows <= self.ends, self._values(scan)[np.minimum(rows, self.ends)], 0)

    def distinct(self, scan: Scan) -> NDArray[np.int64]:
        rows, before = self.kernel.occurrences(scan)
        return self._scattered(rows, (before == 0).astype(np.int64))

    def weights(self, scan: Scan) -> NDArray[np.int64]:
        rows, before = self.kernel.occurrences(scan)
        table = scans.weights(self.kernel.definition.max_events)
        return self._scattered(rows, np.diff(table)[before])

    def _scattered(self, rows: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        sums = scans.totals(values)
        ends = np.searchsorted(rows, self.ends, side="right")
        return sums[ends] - sums[np.searchsorted(rows, self.firsts)]

    def top(self, scan: Scan) -> NDArray[np.int64]:
        rows, before = self.kernel.occurrences(scan)
        return self._running(rows, before + 1)

    def _running(self, rows: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the greatest of values that some rows have; 0 where a session has none yet."""
        running = scans.running_max(values, self.kernel.session[rows])
        place = np.searchsorted(rows, self.ends, side="right") - 1
        is_own = (place >= 0) & (rows[np.maximum(place, 0)] >= self.firsts) if len(rows) else np.zeros(len(place), bool)
        return np.where(is_own, running[np.maximum(place, 0)], 0) if len(rows) else np.zeros(len(place), np.int64)

    def switches(self, scan: Scan) -> NDArray[np.int64]:
        rows = np.flatnonzero(self.kernel.selected(scan))
        if scan.reference is None:
            raise TypeError(scan.kind)
        flags = scans.changed(self.kernel.codes(scan.reference)[rows], self.kernel.session[rows])
        return self._scattered(rows, flags.astype(np.int64))

    def burst(self, scan: Scan) -> NDArray[np.int64]:
        rows = np.flatnonzero(self.kernel.selected(scan))
        counts = scans.window_counts(
            self.kernel.facts.time[rows],
            self.kernel.session[rows],
            scan.window_s * 1_000_000,
            self.kernel.definition.max_duration_us,
        )
        return self._running(rows, counts)


_SCANS: Final[dict[str, Callable[[_Sheet, Scan], NDArray[np.int64]]]] = {
    "sum": _Sheet.sum,
    "sumsq": _Sheet.sumsq,
    "min": _Sheet.min,
    "max": _Sheet.max,
    "first": _Sheet.first,
    "last": _Sheet.last,
    "distinct": _Sheet.distinct,
    "weights": _Sheet.weights,
    "top": _Sheet.top,
    "switches": _Sheet.switches,
    "burst": _Sheet.burst,
}


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
