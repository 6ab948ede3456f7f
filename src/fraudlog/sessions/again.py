"""Features that hang on other sessions, once more: what a store needs to take somebody out of the windows of others.

A window (`fraudlog.sessions.windows`) looks at the events of one key and nothing else, so what it says of an event can
be worked out from the events of that key in the window's time alone, without the rest of the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.schema import DERIVED, EVENTS, arrow_schema
from fraudlog.sessions.columns import NULL
from fraudlog.sessions.facts import Encoder, Facts
from fraudlog.sessions.kernel import Kernel
from fraudlog.sessions.window_batch import fill, hashes, holds_in, known_in
from fraudlog.sessions.windows import APPROACHES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.plan import Plan
    from fraudlog.sessions.window_batch import WindowState
    from fraudlog.sessions.windows import Window

__all__ = ["GROUP", "columns_read", "features_of", "keys_of", "refill", "roles_of", "through_windows", "window_facts"]

GROUP: Final = "_group"
"""Carried beside the numbers: which session an event is of, by the caller's count; below 0 for none."""


def through_windows(definition: Definition, longest_us: int, shortest_us: int = 0) -> Definition | None:
    """Return a definition of those features alone that read a window of some length.

    Parameters
    ----------
    definition : Definition
    longest_us, shortest_us : int
        Windows of at most the one length, and more than the other.

    Returns
    -------
    Definition or None
        None if there is no such feature.

    Raises
    ------
    ValueError
        If a feature reads windows of several lengths, so that it can't be worked out by those of one.
    """
    names = []
    for feature in definition.features:
        lengths = [window.window_us for window in definition.only([feature.name]).plan.windows]
        is_in = [shortest_us < length <= longest_us for length in lengths]
        if any(is_in) and not all(is_in):
            raise ValueError(feature.name)
        if any(is_in):
            names.append(feature.name)
    return definition.only(names) if names else None


class _Asked:
    """An empty table that remembers which of its columns were asked for."""

    def __init__(self, names: Iterable[str]) -> None:
        fields = {field.name: field for columns in (EVENTS, DERIVED) for field in arrow_schema(columns)}
        self.table = pa.schema([fields[name] for name in names]).empty_table()
        self.column_names = self.table.column_names
        self.asked: dict[str, None] = {}

    def __len__(self) -> int:
        return 0

    def column(self, name: str) -> pa.ChunkedArray:
        self.asked[name] = None
        return self.table.column(name)


def columns_read(definition: Definition, present: Iterable[str]) -> list[str]:
    """Return which of the columns that a log has `window_facts` reads."""
    probe = _Asked(present)
    window_facts(probe, definition)
    wanted = {*probe.asked, "timestamp", "source", "line_number", "client_ip"}  # a prefix not known is the address
    return [name for name in probe.column_names if name in wanted]


def window_facts(table: pa.Table, definition: Definition) -> Facts:
    """Turn events into what the windows of a definition read, and nothing else."""
    encoder = Encoder(table, definition, None)
    plan = definition.plan
    read = dict.fromkeys(["source", *(name for window in plan.windows for name in window.reads)])
    line = pc.fill_null(table.column("line_number").cast(pa.int64()), NULL).to_numpy()
    return Facts(encoder.time, line, {name: encoder.text(name) for name in read}, {}, encoder.words(plan.early))


def keys_of(facts: Facts, window: Window, plan: Plan) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return the hash of each event's key of a window, as its state holds it, and whether there is one.

    How a client came to a door is counted among all who stand there: they share one key, 0.
    """
    if window.kind in APPROACHES:
        return np.zeros(len(facts), np.uint64), roles_of(facts, window, plan)[0]
    text = facts.text[window.key]
    return hashes(text), text.codes != NULL


def roles_of(facts: Facts, window: Window, plan: Plan) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which events stand at the door of an approach, and which are steps on the way."""
    conditions = (window.needs_condition, window.where_condition)
    door, step = (known_in(facts, window) & holds_in(facts, plan, one) for one in conditions if one is not None)
    return door, step


def refill(facts: Facts, definition: Definition) -> tuple[Facts, dict[str, WindowState]]:
    """Put events in total order and fill their windows, which begin with nothing; returns the states after them too."""
    ordered = facts.sorted()
    return ordered, fill(ordered, definition.plan, {})


def features_of(facts: Facts, definition: Definition) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Work out the features of the sessions that filled events say they are of.

    Returns
    -------
    groups : ndarray of int64, shape (n_sessions,)
        `GROUP` of each session, ascending.
    values : dict of str to ndarray of float64, shape (n_sessions,)
        By feature; NaN where it is unknown.
    """
    group = facts.numbers[GROUP]
    rows = np.flatnonzero(group >= 0)
    rows = rows[np.argsort(group[rows], kind="stable")]
    groups, starts = np.unique(group[rows], return_index=True)
    chosen = facts.take(rows, keep_values=True)
    return groups, Kernel(definition, chosen, starts).rows(np.append(starts[1:], len(rows)) - 1)
