"""A stream's state as bytes: read back it goes on the same, and equal states are equal bytes."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import InputError
from fraudlog.sessions import DEFAULT, Settings, State, finish, step, traced_step
from fraudlog.sessions.snapshot import dump_state, load_state
from fraudlog.testing import random_events

SETTINGS = Settings(DEFAULT, lateness_us=60_000_000)


def shuffled_log(seed: int, n_events: int) -> pa.Table:
    """Events nearly in order."""
    events = random_events(seed, n_events, spread=0.02)
    chance = random.Random(seed)  # noqa: S311 -- test data
    return events.take(sorted(range(n_events), key=lambda i: i + chance.randrange(8)))


def run(events: pa.Table, cuts: list[int]) -> tuple[bytes, list[dict[str, object]]]:
    """Take the events in parts, through bytes after each; returns the last bytes and all sessions."""
    data, sessions = dump_state(State(), DEFAULT), []
    for first, end in zip([0, *cuts], [*cuts, len(events)], strict=True):
        state = load_state(data, DEFAULT)
        assert state is not None
        state, closed, _ = step(state, events.slice(first, end - first), SETTINGS)
        sessions += closed.to_pylist()
        data = dump_state(state, DEFAULT)
    return data, sorted(sessions, key=lambda row: (row["start"], row["session_id"]))


@settings(max_examples=25)
@given(seed=st.integers(0, 200), cuts=st.sets(st.integers(1, 149), max_size=12))
def test_equal_events_leave_equal_bytes_however_they_were_cut(seed, cuts):
    """The state that a later run finds does not tell how many runs came before."""
    events = shuffled_log(seed, 150)
    whole, parts = run(events, []), run(events, sorted(cuts))
    assert whole[0] == parts[0]
    assert repr(whole[1]) == repr(parts[1])


def test_a_state_of_another_definition_is_not_read():
    """Its facts say other things; the caller begins anew."""
    state, _, _ = step(State(), random_events(1, 50), SETTINGS)
    data = dump_state(state, DEFAULT)
    assert load_state(data, DEFAULT.only(["requests"])) is None
    again = finish(load_state(data, DEFAULT), SETTINGS)
    assert repr(again.to_pylist()) == repr(finish(state, SETTINGS).to_pylist())


def test_damaged_bytes_are_refused():
    """Whatever is cut or changed gives an error, or a state of the same shape; never a crash."""
    state, _, _ = step(State(), random_events(1, 50), SETTINGS)
    data = dump_state(state, DEFAULT)
    for bad in (b"", b"x", data[:50], data[: len(data) // 2]):
        with pytest.raises(InputError, match="damaged"):
            load_state(bad, DEFAULT)
    chance = random.Random(1)  # noqa: S311 -- test data
    for _ in range(200):
        changed = bytearray(data)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        try:
            load_state(bytes(changed), DEFAULT)
        except InputError:
            continue


@pytest.mark.parametrize("size", [7, 300])
def test_a_traced_step_says_where_each_event_went(size):
    """Every event is late, in one closed session, or carried; a session's events are as many as its requests."""
    events = shuffled_log(3, 300)
    state, carried, counted, n_late, ids = State(), events.slice(0, 0), {}, 0, []
    for first in range(0, 300, size):
        batch = events.slice(first, size)
        traced = traced_step(state, batch, SETTINGS)
        n_late += len(traced.late)
        rows = pa.concat_tables([carried, batch.filter(pa.array(~traced.is_late))])
        assert sorted([*traced.closed, *traced.carried]) == list(range(len(rows)))
        for row in traced.sessions.to_pylist():
            counted[row["session_id"]] = row["requests"]
        ids += traced.session_ids
        times = rows["timestamp"].take(pa.array(traced.closed)).to_pylist()
        spans = {row["session_id"]: (row["start"], row["end"]) for row in traced.sessions.to_pylist()}
        assert all(spans[name][0] <= at <= spans[name][1] for name, at in zip(traced.session_ids, times, strict=True))
        carried, state = rows.take(pa.array(traced.carried)), traced.state
    assert n_late + len(ids) + len(carried) == 300
    assert {name: float(count) for name, count in zip(*np.unique(ids, return_counts=True), strict=True)} == counted
