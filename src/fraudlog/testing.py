"""Held to the same bits: the test that every feature of the catalogue passes, for your own features.

Give `check_parity` a definition with your features and some events (or let `random_events` make nasty ones); it
computes them by the batch kernel in batches of several sizes, in several shards, as of every checkpoint, and by the
live twin event by event, and raises at the first value that differs in a single bit.

>>> from fraudlog.sessions import DEFAULT, Feature
>>> own = Feature("carts", "count(path.startswith('/cart'))", "requests")
>>> check_parity(DEFAULT.with_features([own]), random_events(seed=1, n_events=200)) > 10_000
True
"""

from __future__ import annotations

import math
import random
import struct
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from fraudlog.schema import DERIVED, EVENTS, arrow_schema
from fraudlog.sessions import CHECKPOINTS, Definition, Settings, State, build_sessions_table, finish, step
from fraudlog.sessions.live import LiveFeatures
from fraudlog.sessions.stream import enriched, moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fraudlog.sessions import Population

__all__ = ["ParityError", "check_parity", "random_events"]

_START_US: Final = 1_431_857_100_000_000
_GAPS_US: Final = (0, 0, 1, 999, 1_000, 250_000, 1_000_000, 2_000_000, 59_999_999, 60_000_000, 600_000_000)
_LONG_US: Final = (1_799_999_999, 1_800_000_000, 1_800_000_001, 3_600_000_000, 86_400_000_000, 2_592_000_000_000)
_CHOICES: Final[dict[str, Sequence[Any]]] = {
    "client_ip": ("203.0.113.1", "203.0.113.2", "198.51.100.7", "2001:db8::1"),
    "ip_prefix": ("203.0.113.0/24", "198.51.100.0/24", "2001:db8::/64", None),
    "user": ("ann", "bob", "Åse", None, None, None),
    "session_token": ("s1", None, None, None, None, None),
    "method": ("GET", "GET", "POST", "HEAD", "PUT", None),
    "path": (
        "/",
        "/a/1",
        "/a/2",
        "/a/3",
        "/a/b/c.css",
        "/λ/é.js",
        "/x//y/",
        "login",
        "/favicon.ico",
        "/cart/\n9",
        "",
        None,
    ),
    "query": ("a=1", "", "ü=%20", None),
    "protocol": ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0", None),
    "status": (200, 200, 301, 304, 401, 403, 404, 429, 500, None),
    "bytes_sent": (0, 1, 512, 1 << 20, (1 << 38) + 5, None),
    "duration_s": (0.0, 0.0015, 0.25, 3.0, -1.0, None),
    "referrer": ("https://example.org/", "https://example.com/ü", None),
    "user_agent": ("Mozilla/5.0", "curl/8.5.0", "агент", None),
    "language": ("en-US,en;q=0.9", "de", None),
    "os": ("Windows", "Linux", None),
    "browser": ("Firefox", "Chrome", None),
    "device_id": ("d1", None, None),
    "device_class": ("desktop", "mobile", None),
    "action": ("login", None, None),
    "outcome": ("success", "failure", None),
    "tls_fingerprint": ("t1", "t2", None),
    "country": ("FR", "JP", "US", "XX", None),
    "asn": (3215, 64_512, None),
    "browser_version": ("120", "128", None),
    "is_automation": (True, False, None),
    "bot_category": ("crawler", "library", None),
    "language_primary": ("en", "de", None),
    "agent_kind": ("browser", "browser", "app", "program", None),
    "agent_conflict": (None, None, "chrome_on_xp"),
    "browser_age": (0.0, 3.0, 40.0, -2.0, None),
    "is_ch_brand_same": (True, False, None),
    "is_language_malformed": (True, False, None),
    "is_hosting": (True, False, None),
    "endpoint": (
        "page",
        "page",
        "asset",
        "api",
        "login",
        "login",
        "signup",
        "checkout",
        "coupon",
        "cart",
        "probe",
        None,
    ),
    "source": ("a.log", "b.log", None),
}


class ParityError(AssertionError):
    """Two evaluators gave different bits.

    Attributes
    ----------
    feature : str
        Which column.
    """

    def __init__(self, message: str, *, feature: str) -> None:
        super().__init__(message)
        self.feature = feature


def random_events(
    seed: int, n_events: int = 100, *, drop: Iterable[str] = (), resolution_us: int = 1, spread: float = 0.05
) -> pa.Table:
    """Make events that evaluators disagree on easily: ties, gaps at the limits, nulls, unicode, several sources.

    Parameters
    ----------
    seed : int
        The same seed gives the same events.
    n_events : int, default 100
        How many.
    drop : iterable of str, optional
        Columns that this log lacks.
    resolution_us : int, default 1
        To which the times are cut: 1,000,000 for a log in whole seconds.
    spread : float, default 0.05
        Share of gaps around the limits of a session.
    """
    chance = random.Random(seed)  # noqa: S311 -- test data
    columns: dict[str, list[Any]] = {name: chance.choices(values, k=n_events) for name, values in _CHOICES.items()}
    time, times = _START_US, []
    for _ in range(n_events):
        time += chance.choice(_LONG_US if chance.random() < spread else _GAPS_US)
        times.append(time - time % resolution_us)
    columns["timestamp"] = times
    columns["line_number"] = [chance.choice((None, i, i)) for i in range(n_events)]
    dropped = set(drop)
    types = {field.name: field.type for field in (*arrow_schema(DERIVED), *arrow_schema(EVENTS))}
    kept = {name: values for name, values in columns.items() if name not in dropped}
    return pa.table(
        {
            name: pa.array(values, pa.string()).dictionary_encode()
            if pa.types.is_dictionary(types[name])
            else pa.array(values, types[name])
            for name, values in kept.items()
        }
    )


def check_parity(
    definition: Definition,
    events: pa.Table,
    *,
    population: Population | None = None,
    key: bytes = b"",
    batches: Sequence[int] = (1, 7, 1 << 20),
    shards: Sequence[int] = (1, 3),
    checkpoints: Sequence[int] = CHECKPOINTS,
) -> int:
    """Compute a definition on events by every evaluator and compare all bits.

    Parameters
    ----------
    definition : Definition
        With your features; those that are batch-only are compared between batches alone.
    events : pyarrow.Table
        As from `read_log`, or from `random_events`. Ties of time should differ in source and line, or stand in order.
    population, key
        As of `build_sessions`.
    batches, shards : sequence of int
        Sizes of batches and numbers of shards to try.
    checkpoints : sequence of int
        Events after which live and batch are compared besides the last.

    Returns
    -------
    int
        How many values were compared.

    Raises
    ------
    ParityError
        If one differs; the message names feature, session and both values.
    """
    events = enriched(events)
    settings = Settings(definition, key=key, population=population, checkpoints=tuple(checkpoints), shards=1)
    expected = _keyed(build_sessions_table(events, settings))
    compared = 0
    for size in batches:
        compared += _compare(expected, _keyed(_in_batches(events, settings, size)), f"batches of {size}")
    for n_shards in shards:
        sharded = Settings(definition, key=key, population=population, checkpoints=tuple(checkpoints), shards=n_shards)
        compared += _compare(expected, _keyed(build_sessions_table(events, sharded)), f"{n_shards} shards")
    if all(not feature.is_batch_only for feature in definition.features):
        compared += _compare(expected, _live(events, settings), "live")
    return compared


_Rows = dict[tuple[str, int], dict[str, Any]]


def _keyed(table: pa.Table) -> _Rows:
    return {(row["session_id"], row["checkpoint"]): row for row in table.to_pylist()}


def _in_batches(events: pa.Table, settings: Settings, size: int) -> pa.Table:
    times = moments(events)
    lateness = max((int(times[:i].max() - times[i]) for i in range(1, len(times))), default=0)
    settings = Settings(
        settings.definition, max(lateness, 0), settings.key, settings.population, settings.checkpoints, settings.shards
    )
    state, tables = State(), []
    for first in range(0, len(events), size):
        state, sessions, late = step(state, events.slice(first, size), settings)
        if len(late):
            raise ParityError("events came late", feature="timestamp")
        tables.append(sessions)
    return pa.concat_tables([*tables, finish(state, settings)])


def _live(events: pa.Table, settings: Settings) -> _Rows:
    live = LiveFeatures(settings.definition, key=settings.key, population=settings.population)
    rows: _Rows = {}
    for event in in_order(events):
        values = live.observe(event)
        session = live.current
        count = session.n_events
        row = dict(zip(settings.definition.names, values, strict=True)) | {"piece": session.piece}
        rows.pop((session.session_id, count - 1), None) if count - 1 not in settings.checkpoints else None
        rows[session.session_id, count] = row
    return rows


def in_order(events: pa.Table) -> list[dict[str, Any]]:
    """Return events as the rows a service would see, in total order of time, source and line."""
    rows = events.to_pylist()
    for row, moment in zip(rows, moments(events).tolist(), strict=True):
        row["timestamp"] = moment

    def rank(row: dict[str, Any]) -> tuple[Any, ...]:
        source, line = row.get("source"), row.get("line_number")
        return row["timestamp"], source is not None, source or "", -1 if line is None else line

    return sorted(rows, key=rank)


def _compare(expected: _Rows, found: _Rows, what: str) -> int:
    if expected.keys() != found.keys():
        raise ParityError(f"{what}: {len(expected)} rows expected, {len(found)} found, or others", feature="session_id")
    compared = 0
    for key, row in found.items():
        for name, value in row.items():
            if not same_bits(expected[key][name], value):
                message = f"{what}: {name} is {value!r}, {expected[key][name]!r} expected, as of event {key[1]}"
                raise ParityError(message, feature=name)
            compared += 1
    return compared


def same_bits(one: Any, other: Any) -> bool:  # noqa: ANN401 -- any cell of a table
    """Say whether two cells are the same: numbers in all bits, null equal to NaN."""
    if isinstance(one, float) or isinstance(other, float):
        one, other = (math.nan if value is None else value for value in (one, other))
        both_null = math.isnan(one) and math.isnan(other)
        return both_null or struct.pack("<d", one) == struct.pack("<d", other)
    return bool(one == other)
