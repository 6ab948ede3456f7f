"""Whose sessions a person's events show in, and what the features of those are without them.

Features that reach beyond a session look through windows: at the events of one key, over a day or a month at most. So
those that change are of sessions that share a key with the person within a window's time; and to work them out, the
events that share a key with those, within a window's time before, are all that is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from fraudlog.sessions.again import (
    GROUP,
    clients_of,
    columns_read,
    features_of,
    keys_of,
    memory_of,
    refill,
    through_windows,
    window_facts,
)
from fraudlog.sessions.columns import NULL, text_of
from fraudlog.sessions.facts import Facts
from fraudlog.sessions.window_batch import forget
from fraudlog.sessions.windows import BUCKET_US
from fraudlog.subjects.marks import Marks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.jobs.carried import Carried
    from fraudlog.sessions import Definition
    from fraudlog.sessions.plan import Plan
    from fraudlog.sessions.window_batch import WindowState
    from fraudlog.sessions.windows import Window
    from fraudlog.subjects.pieces import Pieces, Rows

__all__ = ["Changed", "changed_by"]

_DAY_US: Final = 86_400_000_000
_FOREVER: Final = 1 << 62
_OPEN: Final = 1 << 40
"""Groups from here on are single events of open sessions."""
_DAYS_AT_ONCE: Final = 4


@dataclass
class Changed:
    """What is otherwise of others.

    Attributes
    ----------
    sessions : list of pyarrow.Table
        Tables of ``session_id`` and features as they are now. Some may be as they were.
    open_fields : dict of str to list of (ndarray, ndarray)
        Field of windows to rows among the open sessions' events, and their values.
    windows : dict of str to WindowState
        What the windows remember at the end.
    days : set of date
        Days of the parts that hold the sessions.
    """

    sessions: list[pa.Table] = field(default_factory=list)
    open_fields: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = field(default_factory=dict)
    windows: dict[str, WindowState] = field(default_factory=dict)
    days: set[date] = field(default_factory=set)


@dataclass(frozen=True)
class Scene:
    """What the events stand in.

    Parameters
    ----------
    pieces : Pieces
    carried : Carried
        Before the change.
    gone : Rows
        Events that go, none of them late.
    definition : Definition
    columns : list of str
        Columns of events that the log has.
    watermark_us : int
        Events before it have gone through the windows.
    """

    pieces: Pieces
    carried: Carried
    gone: Rows
    definition: Definition
    columns: list[str]
    watermark_us: int

    @property
    def n_settled(self) -> int:
        """How many of the events of open sessions have gone through the windows: the first."""
        opened = self.carried.state.opened
        return 0 if opened is None else len(opened)


def changed_by(scene: Scene) -> Changed:
    """Work out what changes for others when some events go."""
    changed = Changed(windows=dict(scene.carried.state.windows))
    for bounds in ((_DAY_US, 0), (_FOREVER, _DAY_US)):
        sight = through_windows(scene.definition, *bounds)
        if sight is not None:
            _look(scene, sight, changed)
    return changed


def _look(scene: Scene, definition: Definition, changed: Changed) -> None:
    """Look through the windows of one definition."""
    shelf = _Shelf(scene, definition)
    parts = [shelf.facts(n, rows) for n, rows in scene.gone.of_piece.items()]
    gone = Facts.concatenate(parts) if parts else None
    if gone is None or not len(gone):
        return
    longest = max(map(reach_of, shelf.windows.values()))
    for block in _blocks(shelf, gone.time, longest):
        days = [part.day for n in block if not isinstance(part := scene.pieces.parts[n], pa.Table)]
        is_seen = np.ones(len(gone), bool)
        if days:
            begin, end = (int(np.datetime64(day, "us").astype(np.int64)) for day in (min(days), max(days)))
            is_seen = gone.time > begin - longest - definition.max_duration_us - _DAY_US
            if scene.pieces.opened not in block:
                is_seen &= gone.time < end + _DAY_US
            shelf.clear(before=min(days), longest_us=longest)
        if is_seen.any():
            _Sight(shelf, changed).work(gone.take(np.flatnonzero(is_seen), keep_values=True), block)
    _remember(shelf, gone, changed)


def _blocks(shelf: _Shelf, times: NDArray[np.int64], longest_us: int) -> list[list[int]]:
    """Return the pieces that events of some times may show in, some days at a time; those carried on at last.

    To work out a block takes the events of the longest window's time before it. So blocks are about as long.
    """
    pieces = shelf.pieces
    span, parts = max(_DAYS_AT_ONCE, longest_us // _DAY_US), pieces.parts
    blocks: list[list[int]] = []
    first = date.min
    for n in pieces.near(times, 0, longest_us + shelf.definition.max_duration_us):
        part = parts[n]
        day = first if isinstance(part, pa.Table) else date.fromisoformat(part.day)
        if not blocks or (day - first).days >= span:
            blocks.append([])
            first = day
        blocks[-1].append(n)
    return blocks


@dataclass
class _Lean:
    """Events of a piece that stay, as windows read them; sessions by code, and the row of each in the piece."""

    facts: Facts
    plan: Plan
    codes: NDArray[np.int32]
    sessions: pa.Array
    row: NDArray[np.int64]
    hashed: dict[str, tuple[NDArray[np.uint64], NDArray[np.bool_]]] = field(default_factory=dict)

    def keys(self, window: Window) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Return keys of a window, worked out once."""
        name = window.name if memory_of(window) else window.key
        if name not in self.hashed:
            self.hashed[name] = keys_of(self.facts, window, self.plan)
        return self.hashed[name]


class _Shelf:
    """Pieces as the windows of a definition read them, each loaded once."""

    def __init__(self, scene: Scene, definition: Definition) -> None:
        self.scene, self.definition, self.pieces = scene, definition, scene.pieces
        self.columns = columns_read(definition, scene.columns)
        self.windows = {window.name: window for window in definition.plan.windows}
        self._lean: dict[int, _Lean] = {}

    def clear(self, before: str, longest_us: int) -> None:
        """Give back the memory of what stands too long before a day to be seen on it."""
        day = date.fromisoformat(before) - timedelta(microseconds=longest_us + self.definition.max_duration_us)
        first, parts = (day - timedelta(days=1)).isoformat(), self.pieces.parts
        self._lean = {
            n: lean for n, lean in self._lean.items() if isinstance(part := parts[n], pa.Table) or part.day >= first
        }

    def facts(self, n: int, rows: NDArray[np.int64]) -> Facts:
        """Return some rows of a piece that have gone through the windows."""
        if n == self.pieces.opened:
            rows = rows[rows < self.scene.n_settled]
        table = self.pieces.load(n, self.columns).take(pa.array(rows))
        return window_facts(table.select(self.columns), self.definition)

    def lean(self, n: int) -> _Lean:
        """Return what stays of a piece."""
        if n not in self._lean:
            table = self.pieces.load(n, [*self.columns, "session_id"])
            stays = np.ones(len(table), bool)
            stays[self.scene.gone.of_piece.get(n, [])] = False
            if n == self.pieces.opened:
                stays[self.scene.n_settled :] = False
            rows = np.flatnonzero(stays)
            table = table if len(rows) == len(table) else table.take(pa.array(rows))
            codes, sessions = np.full(len(table), NULL, np.int32), pa.array([], pa.string())
            if "session_id" in table.column_names:
                codes, sessions = text_of(table["session_id"])
            facts = window_facts(table.select(self.columns), self.definition)
            self._lean[n] = _Lean(facts, self.definition.plan, codes, sessions, rows)
        return self._lean[n]

    def near(self, times: NDArray[np.int64], before_us: int, after_us: int) -> list[tuple[int, _Lean]]:
        """Return the pieces that may hold events so near to some times; an event stands under its session's end."""
        after_us += self.definition.max_duration_us
        return [(n, self.lean(n)) for n in self.pieces.near(times, before_us, after_us)]

    def marks(self, facts: Facts) -> dict[str, Marks]:
        """Return the keys and times of some events, by window."""
        marks = {}
        for name, window in self.windows.items():
            keys, rows = keys_of(facts, window, self.definition.plan)
            if rows.any():
                marks[name] = Marks(keys[rows], facts.time[rows], reach_of(window))
        return marks


def reach_of(window: Window) -> int:
    """Return the time, in us, from which on an event can't be seen any more through a window."""
    return window.window_us + memory_of(window) + BUCKET_US


class _Sight:
    """Finds the sessions that some events showed in, and works their features out."""

    def __init__(self, shelf: _Shelf, changed: Changed) -> None:
        self.shelf, self.changed = shelf, changed
        self.wanted: dict[int, NDArray[np.int64]] = {}
        self.ids: list[pa.Array] = []
        self.n_groups = 0
        self.affected: frozenset[str] = frozenset()
        """Windows that the events which go were seen through; what others say is as it was."""

    def work(self, gone: Facts, block: list[int]) -> None:
        """Find them in some pieces and work them out."""
        marks = self.shelf.marks(gone) | self._at_doors(gone)
        self.affected = frozenset(marks)
        if not marks:
            return
        for n in block:
            lean = self.shelf.lean(n)
            is_hit = np.zeros(len(lean.facts), bool)
            for name, mark in marks.items():
                keys, is_known = lean.keys(self.shelf.windows[name])
                is_hit |= is_known & mark.reach_to(keys, lean.facts.time)
            if is_hit.any():
                self.wanted[n] = self._groups(n, lean, is_hit)
        if self.wanted:
            self._evaluate()

    def _at_doors(self, gone: Facts) -> dict[str, Marks]:
        """Return what was asked for at doors by those who go, and by others who came on a way that was theirs too."""
        found = {}
        plan = self.shelf.definition.plan
        for name, window in self.shelf.windows.items():
            if not memory_of(window):
                continue
            asked, is_door = keys_of(gone, window, plan)
            keys, times = [asked[is_door]], [gone.time[is_door]]
            clients, is_step, at_door = clients_of(gone, window, plan)
            if (is_step | at_door).any():
                mark = Marks(clients[is_step | at_door], gone.time[is_step | at_door], memory_of(window) + BUCKET_US)
                for _, lean in self.shelf.near(gone.time, 0, mark.reach_us):
                    clients, _, at_door = clients_of(lean.facts, window, plan)
                    rows = at_door & mark.reach_to(clients, lean.facts.time)
                    keys.append(lean.keys(window)[0][rows])
                    times.append(lean.facts.time[rows])
            if sum(map(len, keys)):
                found[name] = Marks(np.concatenate(keys), np.concatenate(times), reach_of(window))
        return found

    def _add_steps(self, seen: dict[int, NDArray[np.bool_]]) -> None:
        """Add to the events that are seen the steps of clients who are seen at doors."""
        plan = self.shelf.definition.plan
        for name in sorted(self.affected):
            window = self.shelf.windows[name]
            if not memory_of(window):
                continue
            told = {n: clients_of(self.shelf.lean(n).facts, window, plan) for n in seen}
            at_doors = {n: seen[n] & is_door for n, (_, _, is_door) in told.items()}
            clients = np.concatenate([told[n][0][rows] for n, rows in at_doors.items()])
            times = np.concatenate([self.shelf.lean(n).facts.time[rows] for n, rows in at_doors.items()])
            if len(clients):
                mark = Marks(clients, times, memory_of(window) + BUCKET_US)
                for n, (of_rows, is_step, _) in told.items():
                    seen[n] |= is_step & mark.are_reached_by(of_rows, self.shelf.lean(n).facts.time)

    def _groups(self, n: int, lean: _Lean, is_hit: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Give the events of each session that was hit its number; of open ones, each event."""
        if n == self.shelf.pieces.opened:
            return np.where(is_hit, _OPEN + lean.row, -1)
        hits = np.unique(lean.codes[is_hit])
        of_code = np.full(len(lean.sessions) + 1, -1, np.int64)
        of_code[hits] = self.n_groups + np.arange(len(hits))
        self.n_groups += len(hits)
        part = self.shelf.pieces.parts[n]
        if not isinstance(part, pa.Table):
            self.changed.days.add(date.fromisoformat(part.day))
        self.ids.append(lean.sessions.take(pa.array(hits)).cast(pa.string()))
        return of_code[lean.codes]

    def _evaluate(self) -> None:
        """Fill the windows of the wanted sessions, from their events and those that these can see."""
        shelf = self.shelf
        facts = Facts.concatenate(
            [shelf.lean(n).facts.take(np.flatnonzero(group >= 0), keep_values=True) for n, group in self.wanted.items()]
        )
        marks = {name: mark for name, mark in shelf.marks(facts).items() if name in self.affected}
        longest = max(mark.reach_us for mark in marks.values())
        groups, seen = {}, {}
        for n, lean in shelf.near(facts.time, longest, 0):
            groups[n] = self.wanted.get(n, np.full(len(lean.facts), -1))
            seen[n] = groups[n] >= 0
            for name, mark in marks.items():
                keys, is_known = lean.keys(shelf.windows[name])
                seen[n] |= is_known & mark.are_reached_by(keys, lean.facts.time)
        self._add_steps(seen)
        parts = []
        for n, is_seen in seen.items():
            rows = np.flatnonzero(is_seen)
            part = shelf.lean(n).facts.take(rows, keep_values=True)
            part.numbers[GROUP] = groups[n][rows]
            parts.append(part)
        filled, _ = refill(Facts.concatenate(parts), shelf.definition)
        self._note(filled)

    def _note(self, filled: Facts) -> None:
        group = filled.numbers[GROUP]
        opened = np.flatnonzero(group >= _OPEN)
        if len(opened):
            for window in map(self.shelf.windows.__getitem__, sorted(self.affected)):
                for name in window.fields:
                    said = (group[opened] - _OPEN, filled.numbers[name][opened])
                    self.changed.open_fields.setdefault(name, []).append(said)
            filled.numbers[GROUP] = np.where(group >= _OPEN, -1, group)
        if self.ids:
            groups, values = features_of(filled, self.shelf.definition)
            definition = self.shelf.definition
            read = {name: {w.name for w in definition.only([name]).plan.windows} for name in values}
            names = [name for name in values if read[name] <= self.affected]
            columns = {name: pa.array(values[name], mask=np.isnan(values[name])) for name in names}
            self.changed.sessions.append(
                pa.table({"session_id": pa.concat_arrays(self.ids).take(pa.array(groups)), **columns})
            )


def _remember(shelf: _Shelf, gone: Facts, changed: Changed) -> None:
    """Put in order what windows remember at the end of keys that the events which go had."""
    watermark_us = shelf.scene.watermark_us
    keys: dict[str, NDArray[np.uint64]] = {}
    for name, window in shelf.windows.items():
        of_gone, is_known = keys_of(gone, window, shelf.definition.plan)
        if memory_of(window):  # who came how hangs on others' steps: the whole of it is worked out anew
            is_known = np.ones(len(gone), bool)
        recent = is_known & (gone.time > watermark_us - reach_of(window))
        if recent.any():
            keys[name] = np.unique(of_gone[recent])
    if not keys:
        return
    longest = max(reach_of(shelf.windows[name]) for name in keys)
    parts = []
    for _, lean in shelf.near(np.array([watermark_us]), longest, 0):
        is_seen = np.zeros(len(lean.facts), bool)
        for name, some in keys.items():
            window = shelf.windows[name]
            of_rows, is_known = lean.keys(window)
            if memory_of(window):
                _, is_step, is_door = clients_of(lean.facts, window, shelf.definition.plan)
                is_seen |= (is_step | is_door) & (lean.facts.time > watermark_us - reach_of(window))
                continue
            is_seen |= is_known & (lean.facts.time > watermark_us - reach_of(window)) & np.isin(of_rows, some)
        parts.append(lean.facts.take(np.flatnonzero(is_seen), keep_values=True))
    states = forget(refill(Facts.concatenate(parts), shelf.definition)[1], shelf.definition.plan, watermark_us)
    for name, some in keys.items():
        before, fresh = changed.windows[name], states[name]
        if memory_of(shelf.windows[name]):
            changed.windows[name] = fresh
            continue
        stays, comes = ~np.isin(before["key"], some), np.isin(fresh["key"], some)
        changed.windows[name] = {
            column: np.concatenate([before[column][stays], fresh[column][comes]]) for column in before
        }
