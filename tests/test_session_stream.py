"""A log in batches: bounded, late events set aside, the same sessions whatever the batches and shards."""

from __future__ import annotations

import random

import pandas as pd
import pyarrow as pa
import pytest

from fraudlog.sessions import DEFAULT, SessionStream, Settings, State, build_sessions_table, finish, step
from fraudlog.testing import random_events, same_bits

MINUTE = 60_000_000
FEW = DEFAULT.only(["requests", "distinct_paths", "path_entropy", "burst_60s", "prefix_requests_10m", "gap_mean_s"])


def table(*minutes: float, ip: str = "203.0.113.9") -> pa.Table:
    """Events at these minutes."""
    times = pa.array([int(minute * MINUTE) for minute in minutes], pa.timestamp("us", "UTC"))
    return pa.table({"timestamp": times, "client_ip": [ip] * len(minutes), "path": ["/"] * len(minutes)})


def rows(*tables: pa.Table):
    """All rows in a fixed order."""
    found = [row for one in tables for row in one.to_pylist()]
    return sorted(found, key=lambda row: (row["start"], row["session_id"]))


def test_a_session_is_given_out_once_nothing_can_join_it():
    """Closed when the newest event less the lateness lies more than the gap behind its last."""
    stream = SessionStream(FEW, lateness="5min")
    assert len(stream.add(table(0, 1))) == 0
    assert len(stream.add(table(36))) == 0
    closed = stream.add(table(36.1))
    assert closed.column("requests").to_pylist() == [2]
    assert stream.close().column("requests").to_pylist() == [2]


def test_late_events_land_where_they_belong_or_are_set_aside():
    """Within the lateness an event joins its session; beyond, it goes to the late table, counted."""
    stream = SessionStream(FEW, lateness="5min")
    stream.add(table(0, 10))
    stream.add(table(5, 4.99, 11))
    assert stream.state.n_late == 1
    assert [late.column("timestamp").to_pylist() for late in stream.late] == [
        [pd.Timestamp(int(4.99 * MINUTE), unit="us", tz="UTC")]
    ]
    session = stream.close().to_pylist()[0]
    assert session["requests"] == 4
    assert session["gap_mean_s"] == pytest.approx(220)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_late_does_not_depend_on_the_batches(seed):
    """Lateness goes by the events before, not by where a batch was cut; so do sessions and the late table."""
    events = random_events(seed, 120, spread=0.02)
    chance = random.Random(seed)  # noqa: S311 -- test data
    order = sorted(range(120), key=lambda i: i + chance.randrange(25))
    events = events.take(order)
    results = []
    for size in (1, 13, 120):
        stream = SessionStream(FEW, lateness="1min")
        closed = [stream.add(events.slice(first, size)) for first in range(0, 120, size)]
        late = [row for one in stream.late for row in one.to_pylist()]
        n_late = stream.state.n_late
        results.append((rows(*closed, stream.close()), late, n_late))
    assert results[0][1:] == results[1][1:] == results[2][1:]
    for others in results[1:]:
        for one, other in zip(results[0][0], others[0], strict=True):
            assert all(same_bits(one[name], other[name]) for name in one)
    assert results[0][2] == len(results[0][1]) > 0


def test_shuffled_files_give_the_same_table():
    """Order of files and rows does not matter to a whole log, nor do batches and shards."""
    events = random_events(9, 400, spread=0.02)
    numbered = events.set_column(events.column_names.index("line_number"), "line_number", pa.array(range(400)))
    expected = build_sessions_table(numbered, Settings(FEW)).to_pandas()
    chance = random.Random(9)  # noqa: S311 -- test data
    for shards in (1, 2, 5):
        shuffled = numbered.take(chance.sample(range(400), 400))
        found = build_sessions_table(shuffled, Settings(FEW, shards=shards), batch=37)
        pd.testing.assert_frame_equal(found.to_pandas(), expected, check_categorical=False, check_exact=True)


def test_a_step_is_a_pure_function():
    """The same state and batch give the same, as often as asked: a job can repeat a step after a crash."""
    settings = Settings(FEW, lateness_us=0)
    before, _, _ = step(State(), random_events(1, 60), settings)
    later = random_events(2, 60)
    later = later.set_column(
        later.column_names.index("timestamp"),
        "timestamp",
        pa.array([before.newest_us + i * MINUTE for i in range(60)], pa.timestamp("us", "UTC")),
    )
    once, twice = step(before, later, settings), step(before, later, settings)
    assert once[1].equals(twice[1])
    assert finish(once[0], settings).equals(finish(twice[0], settings))


def test_the_state_grows_with_open_sessions_not_with_the_log():
    """Ten times the log, the same number of events carried; values of closed sessions are gone from it."""
    settings = Settings(FEW, lateness_us=0)
    carried = []
    for n_days in (2, 20):
        state = State()
        for day in range(n_days):
            ips = [f"10.{day}.0.{i}" for i in range(50)]
            times = pa.array([day * 1440 * MINUTE + i * 1000 for i in range(50)], pa.timestamp("us", "UTC"))
            batch = pa.table({"timestamp": times, "client_ip": ips, "ip_prefix": ips, "path": [f"/{day}"] * 50})
            state, _, _ = step(state, batch, settings)
        assert state.opened is not None
        _, paths = state.opened.text["path"]
        assert paths.to_pylist() == [f"/{n_days - 1}"]
        carried.append((len(state.opened), len(state.windows["prefix_requests_10m"]["key"])))
    assert carried[0] == carried[1]


def test_a_session_cut_by_a_limit_is_carried_by_its_open_piece_alone():
    """A busy actor's finished pieces leave the state; the number of the open one stays known."""
    definition = DEFAULT.only(["requests"])
    stream = SessionStream(definition.__class__(definition.features, max_events=10), lateness=0.001, checkpoints=())
    closed = [stream.add(table(*[0.5 * i + j / 100 for j in range(25)])) for i in range(8)]
    assert len(stream.state.opened or ()) <= 10
    pieces = rows(*closed, stream.close())
    assert [row["piece"] for row in pieces] == list(range(20))
    assert {row["requests"] for row in pieces} == {10}


def test_no_events_at_all():
    """A stream that saw nothing closes with an empty table of the right columns."""
    assert SessionStream(FEW).close().column_names == SessionStream(FEW).add(table(0).slice(0, 0)).column_names
