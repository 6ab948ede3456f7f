"""The live twin as a service uses it: eviction, late events, batch-only features, bounded tables."""

from __future__ import annotations

import datetime as dt

import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.errors import ConfigError, SchemaError
from fraudlog.schema import SESSIONS
from fraudlog.sessions import DEFAULT, Definition, Feature
from fraudlog.sessions.live import LiveFeatures
from fraudlog.testing import in_order, random_events, same_bits

SECOND = 1_000_000
FEW = DEFAULT.only(["requests", "gap_max_s", "distinct_paths"])


def event(second: float, ip: str = "203.0.113.9", **more):
    """One request."""
    return {"timestamp": int(second * SECOND), "client_ip": ip, "ip_prefix": ip, "path": "/", **more}


def test_features_after_each_event():
    """In the order of the definition."""
    live = LiveFeatures(FEW)
    assert live.observe(event(0))[0] == 1
    assert live.observe(event(30, path="/b")).tolist() == [2, 30, 2]
    assert live.current.features == {"requests": 2, "gap_max_s": 30, "distinct_paths": 2}


def test_ended_sessions_are_given_out_with_the_reason():
    """By the gap when the actor comes back, by a limit, when silent, when room is needed, at the end."""
    definition = FEW.__class__(FEW.features, max_events=2)
    live = LiveFeatures(definition, max_sessions=2)
    for second in (0, 1, 2, 2000, 2001):
        live.observe(event(second))
    live.observe(event(4000, "a"))
    live.observe(event(4001, "b"))
    live.observe(event(4002, "c"))
    live.close()
    assert [session.reason for session in live.ended] == ["limit", "gap", "idle", "evicted", "closed", "closed"]
    assert [session.n_events for session in live.ended] == [2, 1, 2, 1, 1, 1]
    assert [session.piece for session in live.ended][:2] == [0, 1]


def test_ended_sessions_are_the_rows_of_build_sessions():
    """Entities, ids and features of a finished log are the same from either side."""
    events = random_events(11, 300, spread=0.1)
    live = LiveFeatures(key=b"k")
    for row in in_order(events):
        live.observe(row)
    live.close()
    found = {session.session_id: session.row() for session in live.ended}
    built = fl.build_sessions(events, key=b"k", population=None)
    assert set(built["session_id"]) == set(found)
    built["start"], built["end"] = (built[name].astype("int64") for name in ("start", "end"))
    for row in built.astype(object).where(built.notna(), None).to_dict("records"):
        other = found[row["session_id"]]
        for name in [column.name for column in SESSIONS] + list(DEFAULT.names):
            is_float = isinstance(row[name], float) or isinstance(other[name], float)
            assert same_bits(row[name], other[name]) if is_float else row[name] == other[name], name


def test_an_event_out_of_order_is_taken_as_of_the_last_and_counted():
    """A service can't reorder what it answered; the session's clock does not run back."""
    live = LiveFeatures(FEW)
    live.observe(event(100))
    assert live.observe(event(90)).tolist() == [2, 0, 1]
    assert live.n_clamped == 1
    assert live.current.end_us == 100 * SECOND


def test_on_end_takes_the_sessions():
    """A service passes its own function and keeps none."""
    taken = []
    live = LiveFeatures(FEW, on_end=taken.append)
    live.observe(event(0))
    live.observe(event(9000))
    assert [session.reason for session in taken] == ["gap"]
    assert not live.ended


def test_a_batch_only_feature_is_refused():
    """Not silently null: the message says which and what to do."""
    own = Feature("mine", function=lambda table: table["requests"].to_numpy(), is_batch_only=True)
    with pytest.raises(ConfigError, match="features mine are batch-only"):
        LiveFeatures(FEW.with_features([own]))


def test_times_are_aware():
    """A naive time would be a guess of its zone."""
    live = LiveFeatures(FEW)
    aware = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    live.observe(event(0) | {"timestamp": aware})
    assert live.current.start_us == int(aware.timestamp()) * SECOND
    for wrong in (None, "2026-01-01", 1.5):
        with pytest.raises(SchemaError, match="timestamp must be"):
            live.observe(event(0) | {"timestamp": wrong})
    with pytest.raises(SchemaError, match="timestamp must be"):
        live.observe(event(0) | {"timestamp": dt.datetime(2026, 1, 1)})  # noqa: DTZ001 -- the point of the test


def test_nothing_observed_has_no_current_session():
    """Asking too early is an error with a sentence, not an AttributeError."""
    with pytest.raises(SchemaError, match="no event was observed"):
        _ = LiveFeatures(FEW).current


def test_tables_of_values_are_bounded(monkeypatch):
    """A million different agents leave no million entries behind, and change no result."""
    monkeypatch.setattr("fraudlog.sessions.codes.MOST_ENTRIES", 8)
    live = LiveFeatures(DEFAULT.only(["agents", "distinct_paths", "not_found"]))
    for i in range(100):
        values = live.observe(event(i, user="u", user_agent=f"agent {i}", path=f"/{i}", status=404))
    assert values.tolist() == [100, 100, 100]
    assert max(len(reader.entries) for reader in readers(live)) <= 8


def readers(live):
    """The look-up tables of a live twin."""
    return live._readers


def test_live_reads_what_enriching_derives():
    """An event with the columns enriching adds gives what the raw one gives in a batch."""
    frame = make_events({"path": "/.env"}, {"path": "/a.css"})
    enriched = fl.enrich(frame).astype(object).where(lambda cells: cells.notna(), None).to_dict("records")
    live = LiveFeatures(DEFAULT)
    for row in enriched:
        row["timestamp"] = row["timestamp"].to_pydatetime()
        values = live.observe(row)
    built = fl.build_sessions(frame, population=None)[list(DEFAULT.names)].iloc[0].tolist()
    assert all(same_bits(float(one), float(other)) for one, other in zip(values, built, strict=True))


def test_open_sessions_come_the_one_silent_for_longest_first():
    """What a service lists, and evicts from."""
    live = LiveFeatures(FEW)
    for second, ip in enumerate("aba"):
        live.observe(event(second, ip))
    assert [session.n_events for session in live] == [1, 2]
    assert len(live) == 2


def test_what_cannot_be_told_live_is_refused():
    """A wide number that is missing: a batch can tell a column that the log lacks, one event can't."""
    with pytest.raises(ConfigError, match=r"missing\(bytes_sent\) can't be told event by event: ask not known"):
        LiveFeatures(Definition((Feature("missing", "share(missing(bytes_sent))"),)))
    LiveFeatures(Definition((Feature("missing", "share(not known(bytes_sent))"),)))
