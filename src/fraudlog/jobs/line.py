"""The line from a take to rows of the store: enrich, shield, build sessions, score, decide.

What a take adds depends on the lines before it, never on where takes were cut:

- a session is *released*, scored and written, once no session that ended before it can still be open; so sessions are
  released in the order of their ends, whatever the takes;
- a model speaks for the sessions that ended in its period, and learns from all that ended before it;
- the verdicts of a day are a function of all sessions of the day, and are worked out anew while it fills.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.enriching import Shield
from fraudlog.jobs.carried import Carried
from fraudlog.jobs.deciders import Decider
from fraudlog.jobs.enrichment import enricher_of
from fraudlog.privacy import Policies, Withheld
from fraudlog.schema import EVENTS, REJECTED, SCORES, arrow_schema, to_arrow
from fraudlog.sessions import DEFAULT, Settings, define, traced_step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.jobs.models import Models
    from fraudlog.jobs.takes import Take
    from fraudlog.privacy import Pseudonyms
    from fraudlog.store import Store, Transaction

__all__ = ["COUNTS", "Line", "Tally"]

COUNTS: Final = ("lines", "events", "rejected", "blank", "withheld", "skipped", "late", "sessions")
"""What is counted over all runs."""

_READ: Final = [field for field in arrow_schema(EVENTS) if field.name != "notice"]


@dataclass
class Tally:
    """What became of a run's lines: ``lines == events + rejected + blank``.

    Attributes
    ----------
    withheld : int
        Events that the person they are about had left out, among the rejected.
    skipped : int
        Events before ``--since``, among the events.
    late : int
        Events that came too late for their session, among the events.
    sessions : int
        Sessions scored.
    verdicts : dict of str to int
        Of the sessions of the days that this run touched.
    """

    lines: int = 0
    events: int = 0
    rejected: int = 0
    blank: int = 0
    withheld: int = 0
    skipped: int = 0
    late: int = 0
    sessions: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)


class Line:
    """Takes lines in, one take after another.

    Parameters
    ----------
    config : JobConfig
    names : Pseudonyms
    store : Store
        Holds what the last take left.
    models : Models
        Who scores.
    since_us : int, optional
        Events before this time are not taken in.
    older_keys : iterable of bytes, optional
        Keys of earlier epochs: whom they say to leave out is left out.
    """

    def __init__(
        self,
        config: JobConfig,
        names: Pseudonyms,
        store: Store,
        models: Models,
        *,
        since_us: int | None = None,
        older_keys: Iterable[bytes] = (),
    ) -> None:
        self.models = models
        self.names = names
        self.decider = Decider(config, models)
        self.since_us = since_us
        self.settings = settings_of(config, names)
        self.carried = Carried.load(store, self.settings.definition)
        self.records = frozenset(config["log.records"])
        ledger = store.path / "ledger"
        self.shield = Shield(
            names,
            enricher=enricher_of(config),
            by_row=True,
            policies=Policies.load(ledger / "policies.jsonl") if (ledger / "policies.jsonl").exists() else None,
            withheld=Withheld.load(ledger / "withheld.json"),
            older_keys=older_keys,
        )
        self.tally = Tally()

    def add(self, take: Take, change: Transaction) -> None:
        """Take lines in; what comes of them goes into `change`."""
        events, rejected = self.shield(self._wanted(take.events), take.rejected)
        self._count(take, len(rejected) - len(take.rejected))
        at = self._newest_before(take.events, rejected) if take.newest is None else _newest_of(take.newest, rejected)
        change.append("rejected", rejected, at)
        if len(events):
            self._add_events(events, change)
        self._release(change)
        self.carried.save(change, self.settings.definition)

    def _count(self, take: Take, n_withheld: int) -> None:
        tally = self.tally
        for name, count in take.counts.items():
            setattr(tally, name, getattr(tally, name) + count)
        tally.events -= n_withheld
        tally.rejected += n_withheld
        tally.withheld += n_withheld

    def _wanted(self, events: pa.Table) -> pa.Table:
        """Return the events that are not too early, with every column that may come in any take."""
        if self.since_us is not None:
            is_wanted = pc.greater_equal(events.column("timestamp").cast(pa.int64()), self.since_us)
            self.tally.skipped += len(events) - (pc.sum(is_wanted).as_py() or 0)
            events = events.filter(is_wanted)
        fields = [field for field in _READ if field.name != "language" or "language" in self.records]
        columns = [
            events.column(field.name) if field.name in events.column_names else pa.nulls(len(events), field.type)
            for field in fields
        ]
        return pa.table(columns, schema=pa.schema(fields))

    def event_columns(self) -> list[str]:
        """Return the columns of the events that are taken in; what the log never has is not among them."""
        empty = self._wanted(pa.table({"timestamp": pa.array([], pa.timestamp("us", "UTC"))}))
        names: list[str] = self.shield(empty, arrow_schema(REJECTED).empty_table())[0].column_names
        return names

    def _newest_before(self, events: pa.Table, rejected: pa.Table) -> NDArray[np.int64]:
        """Return the newest time before each rejected line: the day that it is kept under."""
        times = events.column("timestamp").cast(pa.int64()).to_numpy()
        newest = np.maximum.accumulate(np.append(max(self.carried.state.newest_us, 0), times))
        sources = pc.unique(events.column("source").cast(pa.string()))
        return newest[np.searchsorted(_places(events, sources), _places(rejected, sources))]

    def _add_events(self, events: pa.Table, change: Transaction) -> None:
        traced = traced_step(self.carried.state, events, self.settings)
        change.append("late", traced.late, traced.late.column("timestamp"))
        self.tally.late += len(traced.late)
        on_time = events.filter(pa.array(~traced.is_late))
        closed = self.carried.take_open(traced.closed, on_time)
        closed = closed.append_column("session_id", pa.array(traced.session_ids, pa.string()))
        sessions = traced.sessions.cast(self.carried.held_sessions.schema)
        self.carried = Carried(
            traced.state,
            self.carried.take_open(traced.carried, on_time),
            pa.concat_tables([self.carried.held_sessions, sessions]),
            pa.concat_tables([self.carried.held_events, closed]),
        )

    def _release(self, change: Transaction) -> None:
        """Write the sessions that nothing which ended before can still join, in the order of their ends."""
        held, state = self.carried.held_sessions, self.carried.state
        settled_us = state.newest_us - self.settings.lateness_us - self.settings.definition.session_gap_us
        ends = held.column("end").cast(pa.int64())
        is_ready = pc.less(ends, settled_us)
        ready = held.filter(is_ready).sort_by([("end", "ascending"), ("session_id", "ascending")])
        if not len(ready):
            return
        events = self.carried.held_events
        place = pc.index_in(events.column("session_id"), value_set=ready.column("session_id").combine_chunks())
        is_theirs = pc.is_valid(place)
        end_of = ready.column("end").take(place.filter(is_theirs))
        change.append("events", events.filter(is_theirs), end_of)
        change.append("sessions", ready, ready.column("end"))
        scores = self.models.score(ready, change)
        change.append("scores", to_arrow(scores, SCORES), ready.column("end"))
        self.tally.sessions += len(ready)
        first = pc.min(ready.column("start")).as_py().date()
        self.tally.verdicts = self.decider.decide(first, change)
        self.carried = Carried(
            state, self.carried.events, held.filter(pc.invert(is_ready)), events.filter(pc.invert(is_theirs))
        )


def settings_of(config: JobConfig, names: Pseudonyms) -> Settings:
    """Return what the stream of sessions goes by."""
    limits = config.section("sessions")
    definition = define(
        DEFAULT,
        session_gap=limits["gap"],
        max_duration=limits["max_duration"],
        max_events=limits["max_events"],
        own_statuses=frozenset(limits["own_statuses"]),
    )
    lateness_us = pd.Timedelta(limits["lateness"]).value // 1000
    return Settings(definition, lateness_us, names.session_key)


def _newest_of(newest: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]], rejected: pa.Table) -> NDArray[np.int64]:
    """Return the newest time in its own log before each rejected line."""
    found = np.zeros(len(rejected), np.int64)
    sources = np.array(rejected.column("source").to_pylist(), dtype=object)
    for source, (lines, turns) in newest.items():
        rows = np.flatnonzero(sources == source)
        found[rows] = turns[np.searchsorted(lines, rejected.column("line_number").to_numpy()[rows])]
    return np.maximum(found, 0)


def _places(rows: pa.Table, sources: pa.Array) -> NDArray[np.int64]:
    """Return numbers that rise with source and line, as the lines were read; a source without events stands last."""
    rank = pc.index_in(rows.column("source").cast(pa.string()), value_set=sources)
    files: NDArray[np.int64] = pc.fill_null(rank, len(sources)).to_numpy().astype(np.int64)
    lines: NDArray[np.int64] = rows.column("line_number").to_numpy()
    return files << 40 | lines
