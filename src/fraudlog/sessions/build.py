"""`sessionize` and `build_sessions`: events into sessions, and sessions into features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.enriching import enrich_table
from fraudlog.errors import ConfigError
from fraudlog.schema import EVENTS, SESSIONS, arrow_schema, require_columns, to_arrow, to_pandas
from fraudlog.sessions.catalogue import FEATURES
from fraudlog.sessions.facts import NULL, Facts, codes_of
from fraudlog.sessions.kernel import Kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["build_sessions", "sessionize"]

_NEEDED = ("timestamp", "client_ip")


def sessionize(
    events: pd.DataFrame, *, session_gap: pd.Timedelta | str = "30min", key: bytes | None = None
) -> pd.DataFrame:
    """Say which session each event belongs to.

    Parameters
    ----------
    events : DataFrame of shape (n_events, n_columns)
        As from `read_log`. Needs ``timestamp`` (datetime64[us, UTC]) and ``client_ip``.
    session_gap : Timedelta or str, default "30min"
        Longest silence inside a session.
    key : bytes, optional
        Key of the session ids. Without one an id can be guessed by who knows address, agent and time.

    Returns
    -------
    DataFrame of shape (n_events, n_columns + 1)
        The events in their own order with ``session_id``.

    Raises
    ------
    SchemaError
        If a needed column is missing; the message lists those found.
    """
    grouped = _group(to_arrow(events, EVENTS), session_gap, key, found=events)
    ids = np.empty(len(events), dtype=object)
    ids[grouped.order] = np.repeat(np.array(grouped.ids, dtype=object), np.diff(grouped.starts, append=len(events)))
    return events.assign(session_id=pd.array(ids, dtype="str"))


def build_sessions(
    events: pd.DataFrame | pa.Table, *, session_gap: pd.Timedelta | str = "30min", key: bytes | None = None
) -> pd.DataFrame:
    """Group events into sessions and compute every feature of each.

    A session is a run of one actor's events in which no two neighbours lie more than `session_gap` apart. The actor is
    the first of session token, user, or (prefix, user agent, language) that is known.

    Parameters
    ----------
    events : DataFrame or pyarrow.Table of shape (n_events, n_columns)
        As from `read_log`. Needs ``timestamp`` (datetime64[us, UTC]) and ``client_ip``.
    session_gap : Timedelta or str, default "30min"
        Longest silence inside a session; 25.5 minutes in Catledge and Pitkow [1]_, rounded up as web analytics does.
    key : bytes, optional
        Key of the session ids. Without one an id can be guessed by who knows address, agent and time.

    Returns
    -------
    DataFrame of shape (n_sessions, n_features + 10)
        Ordered by start. A feature whose columns the events lack is null.

    Raises
    ------
    SchemaError
        If a needed column is missing; the message lists those found.

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
    table = to_arrow(events, EVENTS) if isinstance(events, pd.DataFrame) else events
    grouped = _group(table, session_gap, key, found=events)
    if not len(grouped.starts):
        empty = arrow_schema(SESSIONS).empty_table()
        return to_pandas(empty).assign(**{row.name: pd.Series(dtype="float64") for row in FEATURES})
    kernel = Kernel(grouped.facts, grouped.starts)
    available = set(grouped.table.column_names)
    unknown = np.full(len(grouped.starts), np.nan)
    features = {row.name: kernel(row.expression) if available.issuperset(row.needs) else unknown for row in FEATURES}
    sessions = to_pandas(_entities(grouped)).assign(**features)
    return sessions.sort_values(["start", "source", "first_line", "session_id"], ignore_index=True)


@dataclass(frozen=True)
class _Grouped:
    table: pa.Table
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    ids: list[str]
    facts: Facts


def _group(
    table: pa.Table, session_gap: pd.Timedelta | str, key: bytes | None, found: pd.DataFrame | pa.Table
) -> _Grouped:
    require_columns(found, _NEEDED, table="events")
    gap = pd.Timedelta(session_gap)
    if gap <= pd.Timedelta(0):
        raise ConfigError("session_gap must be above 0; 30min is usual", parameter="session_gap")
    for name in _NEEDED:
        if table.column(name).null_count:
            row = pc.index(pc.is_null(table.column(name)), pa.scalar(value=True)).as_py()
            raise ConfigError(f"events row {row}: {name} is null; drop such rows or fill them", parameter=name)
    table = enrich_table(table)
    actor, names = _actors(table)
    time = table.column("timestamp").cast(pa.int64()).to_numpy()
    order = np.lexsort((*_ties(table), time, actor))
    actor, time = actor[order], time[order]
    first = np.ones(len(order), bool)
    first[1:] = (actor[1:] != actor[:-1]) | (np.diff(time) > gap.value // 1000)
    starts = np.flatnonzero(first)
    ids = [_session_id(names[actor[row]], int(time[row]), key) for row in starts]
    table = table.take(pa.array(order))
    return _Grouped(table, order, starts, ids, Facts(table, ~first))


def _ties(table: pa.Table) -> list[NDArray[np.int64]]:
    """Return what orders events of one actor and one moment: the source, then the line."""
    keys = [table.column("line_number").cast(pa.int64()).to_numpy()] if "line_number" in table.column_names else []
    if "source" in table.column_names:
        codes, values = codes_of(table.column("source"))
        rank = np.argsort(np.argsort(np.array(values, dtype=str)))
        keys.append(rank[codes])
    return keys


def _actors(table: pa.Table) -> tuple[NDArray[np.int64], list[str]]:
    """Return a code of the actor of each event, and each code's actor as text."""
    coded = {name: codes_of(table.column(name)) for name in _ACTOR if name in table.column_names}
    unknown = np.full(len(table), NULL)
    columns = [coded[name][0] if name in coded else unknown for name in _ACTOR]
    token, user, *client = columns
    rows = np.stack(
        [
            token,
            np.where(token == NULL, user, NULL),
            *(np.where((token == NULL) & (user == NULL), c, NULL) for c in client),
        ]
    )
    distinct, actor = np.unique(rows, axis=1, return_inverse=True)
    values = [coded[name][1] if name in coded else [] for name in _ACTOR]
    texts = [
        "\x1f".join(
            "" if code == NULL else f"{name}={values[i][code]}"
            for i, (name, code) in enumerate(zip(_ACTOR, column, strict=True))
        )
        for column in distinct.T
    ]
    return actor.ravel(), texts


_ACTOR = ("session_token", "user", "ip_prefix", "user_agent", "language")


def _session_id(actor: str, start_us: int, key: bytes | None) -> str:
    digest = hashlib.blake2b(key=key or b"", digest_size=12, person=b"fraudlog session"[:16])
    digest.update(f"{actor}\x1e{start_us}".encode())
    return digest.hexdigest()


def _entities(grouped: _Grouped) -> pa.Table:
    """Return the columns of a session that are no features, taken from its first event."""
    head = grouped.table.take(pa.array(grouped.starts))
    ends = np.append(grouped.starts[1:], len(grouped.table)) - 1
    given = {name: head.column(name) for name in head.column_names}
    columns = {
        "session_id": pa.array(grouped.ids, pa.string()),
        "start": head.column("timestamp"),
        "end": grouped.table.column("timestamp").take(pa.array(ends)),
        "profile": _profile(head),
        "first_line": given.get("line_number"),
    }
    schema = arrow_schema(SESSIONS)
    arrays = [columns.get(field.name, given.get(field.name)) for field in schema]
    return pa.table(
        [
            pa.nulls(len(head), field.type) if array is None else array.cast(field.type)
            for field, array in zip(schema, arrays, strict=True)
        ],
        schema=schema,
    )


def _profile(head: pa.Table) -> pa.ChunkedArray:
    names = ("os", "browser", "language_primary")
    parts = [
        pc.fill_null(head.column(name).cast(pa.string()), "?")
        if name in head.column_names
        else pa.array(["?"] * len(head))
        for name in names
    ]
    return pc.binary_join_element_wise(*parts, " ").cast(pa.string()).dictionary_encode()
