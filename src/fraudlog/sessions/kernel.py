"""The batch kernel: the features of many sessions at once, at their last event or at any other.

A pure function of facts in the order of sessions; it keeps nothing, so parts of a batch can run side by side.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.sessions import scans
from fraudlog.sessions.columns import NULL, accelerator, dense
from fraudlog.sessions.facts import compare
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import Compare, Known
from fraudlog.sessions.plan import selection, truth
from fraudlog.sessions.sheet import Sheet
from fraudlog.sessions.sheet_fast import FastSheet
from fraudlog.sessions.values import bit_length, clamped, of_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.facts import Facts
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.plan import Atom, Scan

__all__ = ["Kernel"]

_WORD: Final = 64


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
        self.compiled = accelerator(len(facts))
        self._numbers: dict[Reference, NDArray[np.int64]] = {}
        self._occurrences: dict[tuple[Reference, Condition | None], tuple[Any, Any]] = {}

    def rows(self, ends: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return the features as of some rows.

        Parameters
        ----------
        ends : ndarray of int64, shape (n_wanted,)
            Last row to look at, rising; each speaks for the session it belongs to, up to it.
        """
        sheet = Sheet(self, ends) if self.compiled is None else FastSheet(self, ends)
        return {name: sheet.outcome(outcome) for name, outcome in self.plan.outcomes.items()}

    @cached_property
    def session(self) -> NDArray[np.int64]:
        """Number of each row's session."""
        return np.repeat(np.arange(len(self.starts)), np.diff(np.append(self.starts, len(self.facts))))

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
            return self._gap_ms
        if name == "gap_log2":
            return bit_length(self._gap_ms)
        if name == "page_gap_ms":
            return self._page_gaps()
        return of_time(self.facts.time, name)

    @cached_property
    def _gap_ms(self) -> NDArray[np.int64]:
        if self.compiled is None:
            return self._gaps(np.arange(len(self.facts)))
        gaps: NDArray[np.int64] = self.compiled.gaps(self.facts.time, self.starts, (1 << FIELDS["gap_ms"].bits) - 1)
        return gaps

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

    def holding(self, condition: Condition) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Say for each distinct mask whether a condition holds, and whether it is known."""
        holds, known = truth(condition, self._bits)
        return holds, known

    def selected(self, scan: Scan) -> NDArray[np.bool_]:
        """Say which rows a scan reads."""
        condition = selection(scan.reference, scan.where)
        if condition is None:
            return np.ones(len(self.facts), bool)
        if isinstance(condition, Known):
            return self.known(condition.reference)
        return self.holding(condition)[0][self.masks[0]]

    def occurrences(self, scan: Scan) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows a scan reads, and how often each one's value stood in its session before."""
        if scan.reference is None:
            raise TypeError(scan.kind)
        key = (scan.reference, scan.where)
        if key not in self._occurrences:
            rows = np.flatnonzero(self.selected(scan))
            self._occurrences[key] = rows, scans.occurrence(self.codes(scan.reference)[rows], self.session[rows])
        return self._occurrences[key]
