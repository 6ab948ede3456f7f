"""What a store would hold had some events never come, worked out from what stands near them.

`replay` sends the log through the line again, which costs what the job cost. Most requests need far less: the person's
own rows go, and of others only those sessions change that share a window with them (`nearby`). Where more would change,
for the person's event was the newest of all, or stood in a session with somebody else's, `leave_out` says so, and a
replay follows.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.jobs.carried import Carried
from fraudlog.jobs.line import Line
from fraudlog.privacy import Pseudonyms
from fraudlog.schema import SCORES, to_arrow
from fraudlog.sessions.facts import Facts
from fraudlog.sessions.segments import PIECE, actors
from fraudlog.subjects.arrivals import Arrivals
from fraudlog.subjects.nearby import Scene, changed_by
from fraudlog.subjects.pieces import Rows, day_of
from fraudlog.subjects.replay import Replayed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.jobs.models import Models
    from fraudlog.privacy import Keyring
    from fraudlog.store import Store, Transaction
    from fraudlog.subjects.nearby import Changed
    from fraudlog.subjects.pieces import Pieces

    Edit = Callable[[pa.Table], pa.Table]

__all__ = ["leave_out"]

_WHO: Final = ("user", "ip_prefix")


def leave_out(
    config: JobConfig,
    store: Store,
    change: Transaction,
    ring: Keyring,
    edit: Edit,
    *,
    models: Models,
    pieces: Pieces,
    found: Rows,
) -> Replayed | None:
    """Put into `change` what the store would hold without some events.

    Parameters
    ----------
    config : JobConfig
    store : Store
        Opened to write.
    change : Transaction
    ring : Keyring
    edit : callable
        From a table of stored events to those that stay.
    models : Models
        Of the store.
    pieces : Pieces
    found : Rows
        The events that go.

    Returns
    -------
    Replayed or None
        None, and nothing put into `change`, if more changes than what stands near.
    """
    line = Line(config, Pseudonyms(ring.key, config["privacy.ip_mode"]), store, models)
    on_time = Rows({n: rows for n, rows in found.of_piece.items() if not pieces.is_late(n)}, found.first_us)
    near = _Near(line.carried, line.settings.definition.session_gap_us, pieces, on_time)
    is_all = not near.has_newest() and not near.is_shared() and not models.has_learnt()
    if not is_all or not Arrivals(store, pieces, found).are_as_before(line.settings.lateness_us):
        return None
    state = line.carried.state
    watermark_us = state.newest_us - line.settings.lateness_us
    scene = Scene(pieces, line.carried, on_time, line.settings.definition, line.event_columns(), watermark_us)
    work = _Leaving(line, change, changed_by(scene), near.gone_sessions())
    work.do(edit, pieces, found)
    return Replayed(gone=len(found), rescored=work.n_renewed, since=day_of(found.first_us))


class _Near:
    """Tells whether what stands near the events that go is all that changes."""

    def __init__(self, carried: Carried, gap_us: int, pieces: Pieces, gone: Rows) -> None:
        self.carried, self.gap_us, self.pieces, self.gone = carried, gap_us, pieces, gone

    def _mask(self, n: int, length: int) -> NDArray[np.bool_]:
        mask = np.zeros(length, bool)
        mask[self.gone.of_piece.get(n, [])] = True
        return mask

    def has_newest(self) -> bool:
        """Say whether the newest event of all goes: what is open at the end hangs on its time."""
        times = _times(self.carried.events)
        stays = times[~self._mask(self.pieces.opened, len(times))]
        return len(self.gone) > 0 and (not len(stays) or int(stays.max()) < self.carried.state.newest_us)

    def is_shared(self) -> bool:
        """Say whether a session, or a run of them that a limit parted, holds events that go and others that stay."""
        for n in self.gone.of_piece:
            groups = self._actors() if n == self.pieces.opened else self._sessions_of(n)
            mask = self._mask(n, len(groups))
            if np.isin(groups[mask], groups[~mask]).any():
                return True
        return self._has_sequel()

    def _sessions_of(self, n: int) -> NDArray[np.int32]:
        ids = self.pieces.load(n, ["session_id"])["session_id"].combine_chunks()
        codes: NDArray[np.int32] = ids.dictionary_encode().indices.to_numpy()
        return codes

    def _actors(self) -> NDArray[np.int64]:
        """Give each event of open sessions the number of its actor."""
        state = self.carried.state
        parts = [replace(part, numbers={}, words=[]) for part in (state.opened, state.pending) if part is not None]
        return actors(Facts.concatenate(parts))[0]

    def gone_sessions(self) -> pa.Array:
        """Return the ids of the sessions whose events go."""
        found = [pa.array([], pa.string())]
        for n, rows in self.gone.of_piece.items():
            if n != self.pieces.opened:
                found.append(self.pieces.load(n, ["session_id"])["session_id"].take(pa.array(rows)).combine_chunks())
        return pc.unique(pa.concat_arrays(found))

    def _has_sequel(self) -> bool:
        """Say whether a limit parted a session that goes from one that stays: the one after it bears its number."""
        columns = ["timestamp", "session_id", *_WHO]
        gone = [self.pieces.load(n, columns).take(pa.array(rows)) for n, rows in self.gone.of_piece.items()]
        if not gone:
            return False
        times = np.concatenate([_times(rows) for rows in gone])
        days = {
            day_of(time)
            for hour in np.unique(times // _HOUR_US)
            for time in (hour * _HOUR_US, hour * _HOUR_US + _AFTER_US)
        }
        store = self.pieces.store
        later = [
            store.load(part, store.path / part.path, ["session_id", "start", "piece", *_WHO])
            for part in store.manifest.of("sessions", days)
        ]
        ids = self.gone_sessions()
        tables = [*later, self.carried.held_sessions.select(["session_id", "start", "piece", *_WHO])]
        for table in tables:
            sequels = table.filter(
                pc.and_(pc.greater(table["piece"], 0), pc.invert(pc.is_in(table["session_id"], value_set=ids)))
            )
            if self._follows(sequels.drop_columns(["session_id", "piece"]).rename_columns(["timestamp", *_WHO]), gone):
                return True
        opened = self.carried.state.opened
        if opened is None or not len(opened):
            return False
        stays = ~self._mask(self.pieces.opened, len(self.carried.events))[: len(opened)] & (opened.numbers[PIECE] > 0)
        rows = self.carried.events.select(["timestamp", *_WHO]).slice(0, len(opened)).filter(pa.array(stays))
        return self._follows(rows, gone)

    def _follows(self, rows: pa.Table, gone: list[pa.Table]) -> bool:
        """Say whether one of some events may go on what an event that goes was part of."""
        times = np.sort(np.concatenate([_times(one) for one in gone]))
        moments = _times(rows)
        at = np.searchsorted(times, moments, side="right") - 1
        is_near = (at >= 0) & (moments - times[np.maximum(at, 0)] <= self.gap_us)
        for name in _WHO:
            known = pa.array([], pa.string())
            for one in gone:
                known = pa.concat_arrays([known, one[name].cast(pa.string()).drop_null().combine_chunks()])
            if (is_near & pc.is_in(rows[name].cast(pa.string()), value_set=known).to_numpy()).any():
                return True
        return False


class _Leaving:
    """Puts together what changes."""

    def __init__(self, line: Line, change: Transaction, changed: Changed, gone: pa.Array) -> None:
        self.line, self.change, self.changed, self.gone = line, change, changed, gone
        self.starts: set[date] = set()
        self.gone_ends: list[int] = []
        self.renewed: list[pa.Table] = []

    @property
    def n_renewed(self) -> int:
        """How many sessions of others are otherwise."""
        return sum(map(len, self.renewed))

    def do(self, edit: Edit, pieces: Pieces, found: Rows) -> None:
        """Make the change."""
        parts = [part for n in found.of_piece if not isinstance(part := pieces.parts[n], pa.Table)]
        of_table = {
            name: {date.fromisoformat(part.day) for part in parts if part.table == name} for name in ("events", "late")
        }
        for name, days in of_table.items():
            self.change.rewrite(name, edit, sorted(days))
        self._carry(edit, pieces, found)
        self.change.rewrite("sessions", self._sessions, sorted(of_table["events"] | self.changed.days))
        self._score()
        self.line.models.begin_later(np.array(self.gone_ends, np.int64), self.change)
        self.change.rewrite("decisions", self._left, sorted(of_table["events"]))
        self.line.decider.decide_again(self.starts, self.change)

    def _left(self, rows: pa.Table) -> pa.Table:
        """Return the rows of sessions that stay."""
        goes = pc.is_in(rows["session_id"], value_set=self.gone)
        return rows.filter(pc.invert(goes)) if pc.any(goes).as_py() else rows

    def _sessions(self, rows: pa.Table) -> pa.Table:
        """Return what a part of sessions is to hold, and remember what is otherwise."""
        left = self._left(rows)
        if len(left) < len(rows):
            goes = rows.filter(pc.is_in(rows["session_id"], value_set=self.gone))
            self.starts |= set(pc.unique(goes["start"].cast(pa.date32())).to_pylist())
            self.gone_ends += goes["end"].cast(pa.int64()).to_pylist()
        after, is_other = self._with_features(left)
        if is_other.any():
            self.renewed.append(after.filter(pa.array(is_other)))
            self.starts |= set(pc.unique(self.renewed[-1]["start"].cast(pa.date32())).to_pylist())
        return rows if len(left) == len(rows) and not is_other.any() else after

    def _with_features(self, rows: pa.Table) -> tuple[pa.Table, NDArray[np.bool_]]:
        """Put the new features of sessions in place of the old; says which rows are others now."""
        is_other = np.zeros(len(rows), bool)
        for table in self.changed.sessions:
            place = pc.index_in(rows["session_id"], value_set=table["session_id"].combine_chunks())
            is_known = place.is_valid()
            if not pc.any(is_known).as_py():
                continue
            for name in table.column_names[1:]:
                old, new = rows[name], pc.if_else(is_known, table[name].take(place), rows[name])
                same = pc.or_(
                    pc.fill_null(pc.equal(old, new), fill_value=False), pc.and_(pc.is_null(old), pc.is_null(new))
                )
                is_other |= ~same.to_numpy()
                rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), new)
        return rows, is_other

    def _score(self) -> None:
        """Score the renewed sessions anew, each by the model that spoke for it, and drop scores of those that go."""
        days = {day_of(end) for end in self.gone_ends}
        fresh: pa.Table | None = None
        if self.renewed:
            sessions = pa.concat_tables(self.renewed).sort_by([("end", "ascending"), ("session_id", "ascending")])
            fresh = to_arrow(self.line.models.score_again(sessions), SCORES)
            days |= set(pc.unique(sessions["end"].cast(pa.date32())).to_pylist())

        def rescored(rows: pa.Table) -> pa.Table:
            left = self._left(rows)
            if fresh is None:
                return left
            is_old = pc.is_in(left["session_id"], value_set=fresh["session_id"].combine_chunks().cast(pa.string()))
            ids = left["session_id"].filter(is_old).combine_chunks()
            mine = fresh.filter(pc.is_in(fresh["session_id"].cast(pa.string()), value_set=ids)).cast(left.schema)
            return pa.concat_tables([left.filter(pc.invert(is_old)), mine])

        self.change.rewrite("scores", rescored, sorted(days))

    def _carry(self, edit: Edit, pieces: Pieces, found: Rows) -> None:
        """Save what is carried on without them."""
        carried = self.line.carried
        keep = np.ones(len(carried.events), bool)
        keep[found.of_piece.get(pieces.opened, [])] = False
        opened, pending = carried.state.opened, carried.state.pending
        n_opened = 0 if opened is None else len(opened)
        if opened is not None:
            numbers = {name: column.copy() for name, column in opened.numbers.items()}
            for name, said in self.changed.open_fields.items():
                for rows, values in said:
                    numbers[name][rows] = values
            opened = replace(opened, numbers=numbers).take(np.flatnonzero(keep[:n_opened]))
        if pending is not None:
            pending = pending.take(np.flatnonzero(keep[n_opened:]))
        state = replace(carried.state, opened=opened, pending=pending, windows=self.changed.windows)
        held, _ = self._with_features(self._left(carried.held_sessions))
        after = Carried(state, edit(carried.events), held, edit(carried.held_events))
        after.save(self.change, self.line.settings.definition)


_HOUR_US: Final = 3_600_000_000
_AFTER_US: Final = 49 * _HOUR_US


def _times(rows: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = rows["timestamp"].cast(pa.int64()).to_numpy()
    return times
