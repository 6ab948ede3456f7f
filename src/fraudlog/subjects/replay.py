"""What a store would hold had some events never come: the job's own line, run again over what is stored.

Other people's features look at their neighbours: how many accounts a prefix had in the last hour, how many networks an
agent. So to take somebody out is more than to delete rows. The events that stay go through the line again in the order
they once came, from 31 days before the first that goes (no window looks back further); what the line gives for later
days takes the place of what stood there. A session whose features come out as before keeps its score, a file whose
bytes come out as before stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.jobs.carried import Carried
from fraudlog.jobs.line import Line
from fraudlog.jobs.model_files import entries_of
from fraudlog.jobs.models import Models
from fraudlog.privacy import Pseudonyms
from fraudlog.schema import SCORES, arrow_schema, to_arrow, to_pandas
from fraudlog.store.tables import TABLES, conform, plain
from fraudlog.subjects.arrivals import newest_before, order_of, places_of, ranks_of
from fraudlog.subjects.models import Forgotten
from fraudlog.subjects.pieces import day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.jobs.deciders import Decider
    from fraudlog.privacy import Keyring
    from fraudlog.store import Store, Transaction

    Change = Callable[[pa.Table], pa.Table]

__all__ = ["Replayed", "replay"]

_WINDOW: Final = timedelta(days=31)
_DERIVED_TABLES: Final = ("events", "late", "sessions", "scores", "decisions")
_CHUNK_ROWS: Final = 1 << 19
_KEYS: Final = ["timestamp", "source", "line_number"]
_EPOCH: Final = date(1970, 1, 1)
_DAY_US: Final = 86_400_000_000
_NEVER: Final = 1 << 62
_GIVEN: Final = "given"
_AS_THEY_ARE: Final = Forgotten()


@dataclass
class Replayed:
    """What a replay did.

    Attributes
    ----------
    events : int
        Events that went through the line again.
    changed, gone : int
        Events that came out of `edit` otherwise, or not at all.
    rescored : int
        Sessions that got a score anew.
    since : date or None
        First day whose files may have changed.
    """

    events: int = 0
    changed: int = 0
    gone: int = 0
    rescored: int = 0
    since: date | None = None


def replay(
    config: JobConfig,
    store: Store,
    change: Transaction,
    ring: Keyring,
    edit: Change,
    *,
    first_us: int,
    more: pa.Table | None = None,
    models: Forgotten = _AS_THEY_ARE,
) -> Replayed:
    """Put into `change` what the store would hold had its events been others.

    Parameters
    ----------
    config : JobConfig
        Of the job that keeps the store.
    store : Store
        Opened to write.
    change : Transaction
    ring : Keyring
    edit : callable
        From a table of stored events to what they should have been; rows may be missing, none may be added.
    first_us : int
        Time of the first event that `edit` changes; that of none is later than all.
    more : pyarrow.Table, optional
        Events to go through the line besides those that are stored.
    models : Forgotten, optional
        What given models are to become; all is scored anew that those spoke for which knew the events.
    """
    since = date.max if first_us >= _NEVER else datetime.fromtimestamp(first_us / 1e6, UTC).date()
    since = min([since, *(day_of(entry.since_us) for entry in entries_of(store) if entry.sha256 in models.exact)])
    if since == date.max:
        return Replayed()
    again = _Again(config, store, change, ring, since, more, models.replaced)
    again.empty()
    done = Replayed(since=since)
    for rows in again.stored.chunks():
        left = edit(rows)
        again.places.add(rows, left)
        done.gone += len(rows) - len(left)
        done.events += len(left)
        again.line.take_again(left, again.window)
    again.line.save(change)
    again.file_rejects()
    again.models.put_all(change)
    since_us = np.array([entry.since_us for entry in again.models.entries], np.int64)
    again.models.begin_later(since_us[since_us >= first_us], change)
    done.rescored = again.models.rescored
    return done


class _Again:
    """One replay: what is stored, where its results go, and the line between."""

    def __init__(
        self,
        config: JobConfig,
        store: Store,
        change: Transaction,
        ring: Keyring,
        since: date,
        more: pa.Table | None,
        replaced: Mapping[str, bytes],
    ) -> None:
        self.store, self.change, self.since = store, change, since
        warm = date.min if since - date.min <= _WINDOW else since - _WINDOW
        self.models = _Scores(config, store, ring, since, replaced)
        self.models.put_replaced(change)
        self.line = _ReplayLine(config, Pseudonyms(ring.key, config["privacy.ip_mode"]), store, self.models)
        self.line.decider = _Deciders(self.line.decider, since)  # type: ignore[assignment]
        self.stored = _Stored(store, self.line.carried, warm, more)
        self.line.begin_anew()
        self.window = _Window(change, since)
        self.places = _Places(self.stored)

    def empty(self) -> None:
        """Take away what the replay writes anew."""
        for table in _DERIVED_TABLES:
            days = [day for day in self.change.before.days(table) if day >= self.since]
            self.change.clear(table, days)

    def file_rejects(self) -> None:
        """Move rejected lines to another day where an event that went had set the day they stand under."""
        days = [day for day in self.change.before.days("rejected") if day >= self.since]
        for day in days:
            rows = self.change.read("rejected", days=[day])
            before, after = self.places.days_of(rows, ranks_of(self.store, rows))
            is_moved = (before == (day - _EPOCH).days) & (after != before)
            if is_moved.any():
                kept = rows.filter(pa.array(~is_moved))
                self.change.rewrite("rejected", _always(kept), [day])
                self.change.append("rejected", rows.filter(pa.array(is_moved)), after[is_moved] * _DAY_US)


class _Places:
    """Where events stood in the log and when they were, before and after: what says under which day a reject stands."""

    def __init__(self, stored: _Stored) -> None:
        self.stored = stored
        self._seen: dict[bool, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {False: [], True: []}

    def add(self, before: pa.Table, after: pa.Table) -> None:
        """Take a chunk in."""
        for is_after, rows in ((False, before), (True, after)):
            places = places_of(rows, ranks_of(self.stored.store, rows))
            self._seen[is_after].append((places, rows["timestamp"].cast(pa.int64()).to_numpy()))

    def days_of(self, rejected: pa.Table, rank: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the day of the newest event before each line, before and after; 0 where none was."""
        asked = places_of(rejected, rank)
        found = []
        for seen in self._seen.values():
            places, times = (np.concatenate(column) for column in zip(*seen, strict=True))
            found.append(newest_before(self.stored.store, places, times, asked) // _DAY_US)
        return found[0], found[1]


def _always(rows: pa.Table) -> Change:
    return lambda _: rows


class _Stored:
    """All events of a store in the order they came, some at a time."""

    def __init__(self, store: Store, carried: Carried, warm: date, more: pa.Table | None = None) -> None:
        self.store = store
        self.parts: list[Any] = [
            part for table in ("events", "late") for part in store.manifest.of(table) if part.day >= warm.isoformat()
        ]
        self.parts += [carried.events, carried.held_events, *([] if more is None else [more])]
        self._loaded: dict[int, pa.Table] = {}
        keys = [self._load(n, _KEYS) for n in range(len(self.parts))]
        self.part = np.repeat(np.arange(len(keys)), [len(rows) for rows in keys])
        self.row = np.concatenate([np.arange(len(rows)) for rows in keys])
        places = np.concatenate([places_of(rows, ranks_of(store, rows)) for rows in keys])
        times = np.concatenate([rows["timestamp"].cast(pa.int64()).to_numpy() for rows in keys])
        self.order = order_of(store, places, times)

    def chunks(self) -> Iterator[pa.Table]:
        """Yield the events, about half a million at a time."""
        for begin in range(0, len(self.order), _CHUNK_ROWS):
            rows = self.order[begin : begin + _CHUNK_ROWS]
            wanted = np.unique(self.part[rows])
            self._loaded = {n: table for n, table in self._loaded.items() if n in wanted}
            tables, places, offset = [], np.empty(len(rows), np.int64), 0
            for n in wanted.tolist():
                if n not in self._loaded:
                    self._loaded[n] = self._load(n)
                of_part = np.flatnonzero(self.part[rows] == n)
                places[of_part] = offset + np.arange(len(of_part))
                tables.append(self._loaded[n].take(pa.array(self.row[rows[of_part]])))
                offset += len(of_part)
            yield pa.concat_tables(tables).take(pa.array(places))

    def _load(self, n: int, columns: list[str] | None = None) -> pa.Table:
        part = self.parts[n]
        if isinstance(part, pa.Table):
            return part.select(columns) if columns else conform(_without_id(part), TABLES["late"])
        table = self.store.load(part, self.store.path / part.path, columns)
        return table if columns else conform(_without_id(table), TABLES["late"])


class _ReplayLine(Line):
    """The job's line for events that are shielded and derived already."""

    def begin_anew(self) -> None:
        """Forget what the job carried: it comes out of the replay again."""
        self.carried = Carried.nothing(self.settings.definition)
        self.columns = self.event_columns()

    def take_again(self, events: pa.Table, change: Any) -> None:  # noqa: ANN401 -- see `_Window`
        """Take events in; a column that the log never had is left out, as in the first run."""
        if len(events):
            self._add_events(events.select(self.columns), change)
        self._release(change)

    def save(self, change: Transaction) -> None:
        """Put what is carried on into the change."""
        self.carried.save(change, self.settings.definition)


class _Window:
    """A change that takes rows from one day on; what belongs to earlier days stands there already."""

    def __init__(self, change: Transaction, since: date) -> None:
        self.change = change
        self.since_us = _start_us(since)

    def append(self, table: str, rows: pa.Table, at: Any) -> None:  # noqa: ANN401 -- as `Transaction.append`
        times = _us(at)
        is_new = times >= self.since_us
        if is_new.all():
            self.change.append(table, rows, times)
        elif is_new.any():
            self.change.append(table, rows.filter(pa.array(is_new)), times[is_new])

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever a change has
        return getattr(self.change, name)


class _Scores(Models):
    """The job's models, which keep the score of a session that did not change.

    A given model that was taken in later than the replay begins waits for the sessions that it spoke for.
    """

    def __init__(
        self, config: JobConfig, store: Store, ring: Keyring, since: date, replaced: Mapping[str, bytes]
    ) -> None:
        super().__init__(config, store, list(ring.derived("models").values()), replaced)
        self.rescored = 0
        self.known = frozenset((entry.since_us, entry.sha256) for entry in entries_of(store))
        since_us = _start_us(since)
        self._recall_given()
        self.waiting = [entry for entry in self.entries if entry.why == _GIVEN and entry.since_us > since_us]
        self.entries = [entry for entry in self.entries if entry.since_us <= since_us]

    def _recall_given(self) -> None:
        """Let the configuration's model speak again where it had made room for learnt ones, which may be gone now."""
        given = [entry for entry in self.entries if entry.why == _GIVEN]
        for number, entry in enumerate(given, start=1):
            if entry.name is None and entry.sha256 == self._given_digest:
                name = f"models/given-{number}.fraudlog"
                self._detectors[name] = self._given
                self.entries[self.entries.index(entry)] = replace(entry, name=name)

    def score(self, sessions: pa.Table, change: Any) -> pa.Table:  # noqa: ANN401 -- the line takes both
        """Score as the job does, but for sessions that stand in the store just so, under the same model."""
        ends = sessions.column("end").cast(pa.int64()).to_numpy()
        if not self.waiting and not self.entries:
            self._adopt_given(int(ends[0]), change)
        periods = ends // self.every_us if self.every_us else np.zeros(len(ends), np.int64)
        starts = np.array([entry.since_us for entry in self.waiting], np.int64)
        stretches = np.stack([periods, np.searchsorted(starts, ends, side="right")], axis=1)
        parts = []
        for period, _ in np.unique(stretches, axis=0).tolist():
            rows = np.flatnonzero((stretches == (period, _)).all(axis=1))
            self._hear_those_since(int(ends[rows[0]]))
            if self.every_us:
                self._learn(period * self.every_us, change)
            parts.append(self._scored(sessions.slice(int(rows[0]), len(rows))))
        return pa.concat_tables(parts)

    def _hear_those_since(self, end_us: int) -> None:
        """Let given models speak that were taken in by now; the first one does from the first session on."""
        while self.waiting and (not self._has_named() or self.waiting[0].since_us <= end_us):
            entry = self.waiting.pop(0)
            self.entries.append(replace(entry, since_us=min(entry.since_us, end_us)))

    def _has_named(self) -> bool:
        return any(entry.name is not None for entry in self.entries)

    def _scored(self, sessions: pa.Table) -> pa.Table:
        speaking = next(entry for entry in reversed(self.entries) if entry.name is not None)
        schema = plain(arrow_schema(SCORES))
        old, place = self._unchanged(sessions) if (speaking.since_us, speaking.sha256) in self.known else (None, None)
        is_same = np.zeros(len(sessions), bool) if old is None or place is None else place >= 0
        parts = [] if old is None or place is None else [old.take(pa.array(place[is_same])).cast(schema)]
        if not is_same.all():
            fresh = self._current().score(to_pandas(sessions.filter(pa.array(~is_same))))
            parts.append(to_arrow(fresh, SCORES).cast(schema))
            self.rescored += len(fresh)
        joined = pa.concat_tables(parts)
        back = np.argsort(np.concatenate([np.flatnonzero(is_same), np.flatnonzero(~is_same)]), kind="stable")
        return joined.take(pa.array(back))

    def _unchanged(self, sessions: pa.Table) -> tuple[pa.Table | None, NDArray[np.int64] | None]:
        """Return stored scores, and for each session the row of its own; -1 for one that is another than stored."""
        days = sorted(set(pc.floor_temporal(sessions["end"], unit="day").cast(pa.date32()).unique().to_pylist()))
        parts = self.store.manifest.of("sessions", days)
        if not parts:
            return None, None
        load = self.store.load
        before = pa.concat_tables(
            [load(part, self.store.path / part.path) for part in parts], promote_options="default"
        )
        scores = pa.concat_tables(
            [load(part, self.store.path / part.path) for part in self.store.manifest.of("scores", days)]
        )
        at = pc.index_in(sessions["session_id"], value_set=before["session_id"].combine_chunks())
        known = np.flatnonzero(at.is_valid().to_numpy())
        matched = before.take(at.drop_null())
        is_same = _equal_rows(sessions.take(pa.array(known)), matched)
        place = np.full(len(sessions), -1, np.int64)
        of_scores = pc.index_in(sessions["session_id"], value_set=scores["session_id"].combine_chunks())
        rows = pc.fill_null(of_scores, -1).to_numpy()
        place[known[is_same]] = rows[known[is_same]]
        return scores, place


class _Deciders:
    """The job's decider, which leaves days alone that can't have changed."""

    def __init__(self, decider: Decider, since: date) -> None:
        self._decider = decider
        self._since = since

    def decide(self, first: date, change: Any) -> dict[str, int]:  # noqa: ANN401 -- see `_Window`
        """Decide on the sessions that started on a day or after it, from the day before the first that changed."""
        if self._since > date.min:
            first = max(first, self._since - self._decider.longest)
        days = [day for day in change.after.days("scores") if day >= first]
        starts = [pc.max(change.read("scores", days=[day])["start"]).as_py() for day in days]
        if not any(start is not None and start.date() >= first for start in starts):
            return {}
        return self._decider.decide(first, change)


def _equal_rows(left: pa.Table, right: pa.Table) -> NDArray[np.bool_]:
    """Say which rows are the same in all columns; null equals null."""
    same = np.ones(len(left), bool)
    for name in left.column_names:
        if name not in right.column_names:
            return np.zeros(len(left), bool)
        one, other = left[name], right[name].cast(left[name].type)
        both_null = pc.and_(pc.is_null(one), pc.is_null(other))
        same &= pc.or_(pc.fill_null(pc.equal(one, other), fill_value=False), both_null).to_numpy()
    return same


def _start_us(day: date) -> int:
    return -(1 << 62) if day == date.min else (day - _EPOCH).days * _DAY_US


def _without_id(rows: pa.Table) -> pa.Table:
    return rows.drop_columns("session_id") if "session_id" in rows.column_names else rows


def _us(at: Any) -> NDArray[np.int64]:  # noqa: ANN401 -- times as Arrow or NumPy has them
    if isinstance(at, (pa.Array, pa.ChunkedArray)):
        at = (at.cast(pa.timestamp("us", "UTC")).cast(pa.int64()) if pa.types.is_timestamp(at.type) else at).to_numpy()
    times: NDArray[np.int64] = np.asarray(at, np.int64)
    return times
