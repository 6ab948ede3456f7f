"""`sessionize` and `build_sessions`: a whole log at once. `SessionStream`: one that comes in batches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from fraudlog.privacy import marks
from fraudlog.schema import DERIVED, EVENTS, to_arrow, to_pandas
from fraudlog.sessions.catalogue import DEFAULT
from fraudlog.sessions.definition import CHECKPOINTS, Definition, microseconds
from fraudlog.sessions.facts import encode
from fraudlog.sessions.population import READ, Population
from fraudlog.sessions.segments import segment
from fraudlog.sessions.stream import Settings, State, checked, enriched, finish, moments, step

if TYPE_CHECKING:
    from datetime import timedelta

    from fraudlog.enriching import Enricher

__all__ = ["SessionStream", "build_sessions", "build_sessions_table", "define", "sessionize"]

_BATCH: Final = 1 << 19
_HOUR_US: Final = 3_600_000_000
_COLUMNS: Final = tuple({column.name: column for column in (*DERIVED, *EVENTS)}.values())


def define(
    definition: Definition | None = None,
    *,
    session_gap: pd.Timedelta | timedelta | str | float | None = None,
    max_duration: pd.Timedelta | timedelta | str | float | None = None,
    max_events: int | None = None,
    own_statuses: tuple[int, ...] | frozenset[int] | None = None,
) -> Definition:
    """Return a definition with other limits.

    Parameters
    ----------
    definition : Definition, optional
        What to start from; the catalogue's, if none.
    session_gap, max_duration : Timedelta, str or seconds, optional
        Longest silence inside a session, and longest session.
    max_events : int, optional
        Most events of a session.
    own_statuses : collection of int, optional
        Answers of the service's own defence, which are no evidence.

    Examples
    --------
    >>> define(session_gap="10min").session_gap_us
    600000000
    """
    changed: dict[str, Any] = {}
    if session_gap is not None:
        changed["session_gap_us"] = microseconds(session_gap, "session_gap")
    if max_duration is not None:
        changed["max_duration_us"] = microseconds(max_duration, "max_duration")
    if max_events is not None:
        changed["max_events"] = max_events
    if own_statuses is not None:
        changed["own_statuses"] = frozenset(own_statuses)
    return replace(definition or DEFAULT, **changed)


def build_sessions(  # noqa: PLR0913 -- each limit of a session is a parameter of its own
    events: pd.DataFrame | pa.Table,
    *,
    session_gap: pd.Timedelta | timedelta | str | float | None = None,
    max_duration: pd.Timedelta | timedelta | str | float | None = None,
    max_events: int | None = None,
    own_statuses: tuple[int, ...] | frozenset[int] | None = None,
    definition: Definition | None = None,
    population: Population | Literal["fit"] | None = "fit",
    key: bytes | None = None,
    asof: bool | tuple[int, ...] = False,
) -> pd.DataFrame:
    """Group events into sessions and compute every feature of each.

    A session is a run of one actor's events in which no two neighbours lie more than `session_gap` apart, no longer
    than `max_duration` and `max_events` allow. The actor is the first of session token, user, or (prefix, user agent,
    language) that is known. The order of the events does not matter.

    Parameters
    ----------
    events : DataFrame or pyarrow.Table of shape (n_events, n_columns)
        As from `read_log`. Needs ``timestamp`` (datetime64[us, UTC]) and ``client_ip``.
    session_gap : Timedelta, str or seconds, default "30min"
        Longest silence inside a session; 25.5 minutes in Catledge and Pitkow [1]_, rounded up as web analytics does.
    max_duration : Timedelta, str or seconds, default "12h"
        Longest session; what follows opens another, whose ``piece`` is one higher.
    max_events : int, default 10,000
        Most events of a session; likewise.
    own_statuses : collection of int, optional
        Answers that the service's own defence gives, as 403 or 429: they are no evidence, their status reads as null.
    definition : Definition, optional
        Features and limits; the catalogue's, if none.
    population : Population, "fit" or None, default "fit"
        How rare agents, languages and profiles are: counted on these very events, unless a model's own counts are
        given (`fraudlog.Detector.population_`). With None those features are null.
    key : bytes, optional
        Key of the session ids. Without one an id can be guessed by who knows address, agent and time.
    asof : bool or tuple of int, default False
        Give a row as of each of these events of a session and as of its last; True for 1, 2, 3, 5, 10, 20 and 50. A
        detector that scores unfinished sessions learns from such rows.

    Returns
    -------
    DataFrame of shape (n_sessions, n_features + 11)
        Ordered by start: the columns of `schema.SESSIONS`, then the features. A feature is null where the
        session's events don't say. As of events, ``checkpoint`` and ``is_last`` come on top.

    Raises
    ------
    SchemaError
        If a needed column is missing; the message lists those found.
    ConfigError
        If a limit is out of range.

    References
    ----------
    .. [1] L. D. Catledge, J. E. Pitkow, "Characterizing browsing strategies in the World-Wide Web", WWW 1995.

    Examples
    --------
    >>> events = pd.DataFrame({
    ...     "timestamp": pd.to_datetime(["2015-05-17 10:00", "2015-05-17 10:01", "2015-05-17 12:00"], utc=True),
    ...     "client_ip": ["203.0.113.9"] * 3,
    ... })
    >>> build_sessions(events)[["requests", "duration_s"]].values.tolist()
    [[2.0, 60.0], [1.0, 0.0]]
    """
    defined = define(
        definition,
        session_gap=session_gap,
        max_duration=max_duration,
        max_events=max_events,
        own_statuses=own_statuses,
    )
    checkpoints = (CHECKPOINTS if asof else ()) if isinstance(asof, bool) else asof
    table = _table(events)
    if population == "fit":
        table = enriched(table)
        first_look = replace(defined, features=DEFAULT.only(READ).features)
        population = Population.of_sessions(build_sessions_table(table, Settings(first_look)))
    if population is not None and population.mix is not None:
        table = _enricher(mix=population.mix).mixed(enriched(table))
    settings = Settings(defined, key=key or b"", population=population, checkpoints=checkpoints)
    sessions = to_pandas(build_sessions_table(table, settings))
    # Pseudonyms look like addresses: what says that the events hold them must be said of their sessions too.
    sessions.attrs |= marks(events)
    return sessions


def build_sessions_table(events: pa.Table, settings: Settings, *, batch: int = _BATCH) -> pa.Table:
    """Do what `build_sessions` does, from Arrow to Arrow: what an adapter to another engine calls.

    Parameters
    ----------
    events : pyarrow.Table of shape (n_events, n_columns)
        All events of the actors in it, in any order.
    settings : Settings
        Definition, key, population and checkpoints; the lateness is found from the events.
    batch : int, default 524,288
        Events taken at a time; changes memory, not the result.
    """
    events, lateness = _in_order(checked(events))
    settings = replace(settings, lateness_us=lateness)
    state, tables, enricher = State(), [], _enricher()
    for first in range(0, len(events), batch):
        state, sessions, _ = step(state, events.slice(first, batch), settings, enricher)
        tables.append(sessions)
    tables.append(finish(state, settings))
    return _ordered(tables)


def _enricher(**options: Any) -> Enricher:  # noqa: ANN401 -- as it takes them
    from fraudlog.enriching import Enricher  # noqa: PLC0415 -- half of the room's loading

    return Enricher(**options)


def _ordered(tables: list[pa.Table]) -> pa.Table:
    """Put sessions of several steps in the order of their starts; those of one start by id, for any size of steps."""
    joined = pa.concat_tables(tables).unify_dictionaries()
    keys = [(name, "ascending") for name in ("start", "session_id", "checkpoint") if name in joined.column_names]
    return joined.sort_by(keys)


def _in_order(events: pa.Table) -> tuple[pa.Table, int]:
    """Return the events so that they can be taken batch by batch, and how late the latest comes then."""
    time = moments(events)
    if not len(time):
        return events, 0
    disorder = int((np.maximum.accumulate(time) - time).max())
    if disorder <= _HOUR_US:
        return events, disorder
    return events.take(pa.array(np.argsort(time, kind="stable"))), 0


def _table(events: pd.DataFrame | pa.Table) -> pa.Table:
    return events if isinstance(events, pa.Table) else to_arrow(events, _COLUMNS)


def sessionize(
    events: pd.DataFrame | pa.Table,
    *,
    session_gap: pd.Timedelta | timedelta | str | float | None = None,
    definition: Definition | None = None,
    key: bytes | None = None,
) -> pd.DataFrame:
    """Say which session each event belongs to.

    Parameters
    ----------
    events : DataFrame or pyarrow.Table of shape (n_events, n_columns)
        As from `read_log`. Needs ``timestamp`` (datetime64[us, UTC]) and ``client_ip``.
    session_gap : Timedelta, str or seconds, default "30min"
        Longest silence inside a session.
    definition : Definition, optional
        Limits of a session; the catalogue's, if none.
    key : bytes, optional
        Key of the session ids. Without one an id can be guessed by who knows address, agent and time.

    Returns
    -------
    DataFrame of shape (n_events, n_columns + 1)
        The events in their own order with ``session_id``, the same as `build_sessions` gives.

    Raises
    ------
    SchemaError
        If a needed column is missing; the message lists those found.

    Examples
    --------
    >>> events = pd.DataFrame({
    ...     "timestamp": pd.to_datetime(["2015-05-17 10:00", "2015-05-17 10:01", "2015-05-17 12:00"], utc=True),
    ...     "client_ip": ["203.0.113.9"] * 3,
    ... })
    >>> sessionize(events).session_id.nunique()
    2
    """
    table = _table(events)
    defined = define(definition, session_gap=session_gap).only(())
    facts = encode(enriched(table), defined)
    order = facts.total_order()
    in_order = facts.take(order, keep_values=True)
    segments = segment(in_order, defined)
    ids = segments.ids(in_order, np.arange(len(segments.starts)), key or b"").to_numpy(zero_copy_only=False)
    of_events = np.empty(len(table), dtype=object)
    of_events[order[segments.order]] = np.repeat(ids, segments.ends - segments.starts)
    frame = events if isinstance(events, pd.DataFrame) else to_pandas(events)
    return frame.assign(session_id=pd.array(of_events, dtype="str"))


class SessionStream:
    """Sessions of a log that comes in batches, in bounded memory.

    Parameters
    ----------
    definition : Definition, optional
        Features and limits; the catalogue's, if none.
    lateness : Timedelta, str or seconds, default "5min"
        How much older than the newest event an event may be; what is older goes to `late`.
    key, population, checkpoints
        As `Settings`.

    Attributes
    ----------
    state : State
        All that a later stream needs to go on.
    late : list of pyarrow.Table
        Events that came too late, as they came; the caller may take them away.

    Examples
    --------
    >>> stream = SessionStream()
    >>> times = pa.array([0, 10**9], pa.timestamp("us", "UTC"))
    >>> events = pa.table({"timestamp": times, "client_ip": ["203.0.113.9"] * 2})
    >>> len(stream.add(events)), len(stream.close())
    (0, 1)
    """

    def __init__(
        self,
        definition: Definition | None = None,
        *,
        lateness: pd.Timedelta | timedelta | str | float = "5min",
        key: bytes = b"",
        population: Population | None = None,
        checkpoints: tuple[int, ...] = (),
        state: State | None = None,
    ) -> None:
        us = microseconds(lateness, "lateness") if lateness else 0
        self.settings = Settings(definition or DEFAULT, us, key, population, checkpoints)
        self.state = state or State()
        self.late: list[pa.Table] = []
        self._enricher = _enricher()

    def add(self, events: pa.Table | pd.DataFrame) -> pa.Table:
        """Take events in; returns the sessions that ended."""
        self.state, sessions, late = step(self.state, _table(events), self.settings, self._enricher)
        if len(late):
            self.late.append(late)
        return sessions

    def close(self) -> pa.Table:
        """Return the sessions still open, and start anew."""
        sessions = finish(self.state, self.settings)
        self.state = State()
        return sessions
