"""The compiled live twin against the code it was made from: the same features and the same states, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError
from fraudlog.sessions import DEFAULT, Definition, Feature
from fraudlog.sessions.live import LiveFeatures
from fraudlog.sessions.live_saving import Saver
from fraudlog.sessions.window_live import window_for
from fraudlog.testing import check_parity, in_order, random_events

compiled_windows = pytest.importorskip("fraudlog.sessions.window_compiled", reason="the extra fast is not installed")
CompiledWindow, Pool = compiled_windows.CompiledWindow, compiled_windows.Pool
SECOND = 1_000_000


def twins(definition: Definition = DEFAULT, **more) -> tuple[LiveFeatures, LiveFeatures]:
    """The written and the compiled form."""
    return tuple(LiveFeatures(definition, is_compiled=compiled, **more) for compiled in (False, True))


def run_both(events, definition=DEFAULT, **more) -> tuple[LiveFeatures, LiveFeatures]:
    """Give all events to both, and hold every row, and every open session, against each other."""
    pure, compiled = twins(definition, **more)
    assert (pure.is_compiled, compiled.is_compiled) == (False, True)
    for n, event in enumerate(events):
        expected, found = pure.observe(event), compiled.observe(event)
        np.testing.assert_array_equal(found, expected)
        assert n % 16 or state(compiled) == state(pure)
    return pure, compiled


def state(live: LiveFeatures) -> object:
    """The session of the last event as plain values."""
    return Saver(live).states.dump(live.plain(live.current._state))


def event(second: float, **more):
    """One request."""
    return {"timestamp": int(second * SECOND), "client_ip": "203.0.113.9", "path": "/", **more}


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    spread=st.sampled_from([0.003, 0.1, 1.0]),
    exact_values=st.sampled_from([None, 1, 2, 5]),
    most=st.sampled_from([3, 40, 10_000]),
)
def test_rows_and_states_are_the_same(seed, spread, exact_values, most):
    """On any log: ties, gaps at the limit, nulls, unicode, caps, samples of values."""
    definition = Definition(DEFAULT.features, max_events=most)
    events = in_order(random_events(seed, 80, spread=spread))
    pure, compiled = run_both(events, definition, exact_values=exact_values)
    assert [one.session_id for one in compiled.ended] == [one.session_id for one in pure.ended]
    for expected, found in zip(pure.ended, compiled.ended, strict=True):
        np.testing.assert_equal(found.row(), expected.row())


@settings(max_examples=6, deadline=None)
@given(names=st.lists(st.sampled_from(DEFAULT.names), min_size=1, max_size=8, unique=True), seed=st.integers(0, 99))
def test_any_choice_of_features_can_be_compiled(names, seed):
    """The program is made for what is asked, and nothing is asked that it does not have."""
    run_both(in_order(random_events(seed, 40)), DEFAULT.only(names))


def test_a_long_session_outgrows_its_room_again_and_again():
    """Thousands of paths, sizes, users and bursts of hundreds: tables grow, what they held stays."""
    second, events = 0.0, []
    for i in range(1, 4000):
        second += 0.05 if i % 400 else 90
        path = f"/{i * 7919 % 3001}/{i % 57}"
        events.append(event(second, path=path, user="u", status=200 + i % 300, method="GET"))
    pure, compiled = twins()
    for one in events:
        np.testing.assert_array_equal(compiled.observe(one), pure.observe(one))
    assert state(compiled) == state(pure)
    assert compiled.current.features["distinct_paths"] > 3000


WINDOWS = {window.name: window for window in DEFAULT.plan.windows}


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["prefix_users_1h", "user_devices_30d", "prefix_failures_1h", "prefix_requests_10m"]),
    steps=st.lists(
        st.tuples(st.sampled_from([0, 1, 700, 59_000, 61_000]), st.integers(0, 3), st.integers(0, 5)), max_size=60
    ),
    most_values=st.sampled_from([None, 2]),
)
def test_a_compiled_window_counts_as_the_other(name, steps, most_values):
    """Each answer, and what a snapshot holds; also of keys that were joined from elsewhere."""
    window = WINDOWS[name]
    pure = window_for(window, None, most_values)
    compiled = CompiledWindow(window, 0, Pool([window], None, 7), most_values)
    now = 1_750_000_000 * SECOND
    for gap, key, value in steps:
        now += gap * SECOND * (60 if name.startswith("user") else 1)
        weight = value if window.kind == "distinct" else min(value, 1)
        assert compiled.see(key, weight, now) == pure.see(key, weight, now)

    def alive(one, key):
        """What still counts: either form may have forgotten the rest."""
        if window.kind == "distinct":
            return [pair for pair in one.dump(key) if now - pair[1] < window.window_us]
        return [
            pair for pair in one.dump(key) if pair[1] and now // 60_000_000 - pair[0] < window.window_us // 60_000_000
        ]

    for key in range(4):
        assert alive(compiled, key) == alive(pure, key)
        for one in (pure, compiled):
            one.join(key, [[9, now]] if window.kind == "distinct" else [[now // 60_000_000, 3]])
        assert compiled.see(key, 1, now) == pure.see(key, 1, now)


def test_a_pool_grows_and_forgets():
    """Thousands of keys find room; after the window and an hour they make room for others, bit by bit."""
    window = WINDOWS["prefix_agents_1h"]
    live = CompiledWindow(window, 0, Pool([window], None, 7), None)
    for i in range(5_000):
        assert live.see(i, 1, SECOND + i) == (1, 1)
        assert live.see(i, 2, SECOND + i) == (2, 1)
    assert len(live.keys) == 5_000
    assert live.keys.newest()[:2] == [0, 1]
    grown = len(live.pool.words)
    assert live.see(5, 1, 2 * SECOND) == (2, 0)
    for i in range(5_000):
        assert live.see(20_000 + i, 1, 3 * 3600 * SECOND + i) == (1, 1)
    assert len(live.keys) == 5_000
    assert len(live.pool.words) == grown


def test_a_pool_of_a_service_keeps_the_keys_touched_last():
    """No more than it was told to."""
    window = WINDOWS["prefix_agents_1h"]
    live = CompiledWindow(window, 0, Pool([window], 100, 7), None)
    for i in range(1000):
        live.see(i, 1, SECOND + i)
    assert 100 <= len(live.keys) <= 101
    assert live.see(999, 2, SECOND) == (2, 1)
    assert live.see(3, 2, SECOND) == (1, 1)


def test_tables_that_are_full_are_begun_anew(monkeypatch):
    """Of masks and of entries, both of which a client's requests fill."""
    monkeypatch.setattr("fraudlog.sessions.codes.MOST_ENTRIES", 4)
    monkeypatch.setattr("fraudlog.sessions.live_compiled._MOST_MASKS", 4)
    run_both(in_order(random_events(5, 150, spread=0.1)))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 999), cut=st.integers(1, 59), exact_values=st.sampled_from([None, 2]))
def test_either_form_reads_what_the_other_saved(seed, cut, exact_values):
    """A session saved by one goes on in the other as if nothing had been."""
    events = [{**one, "user": "u"} for one in in_order(random_events(seed, 60, spread=0.003))]
    for there, back in (twins(exact_values=exact_values), twins(exact_values=exact_values)[::-1]):
        whole = LiveFeatures(is_compiled=back.is_compiled, exact_values=exact_values)
        for one in events[:cut]:
            there.observe(one)
            whole.observe(one)
        for actor in there.actors():
            back.put(*Saver(back).load(Saver(there).dump(actor), are_entities_plain=True))
        for name, keys in Saver(there).windows().items():
            Saver(back).join_window(name, [Saver(there).dump_window(name, key) for key in keys])
        for one in events[cut:]:
            np.testing.assert_array_equal(back.observe(one), whole.observe(one))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 999), exact_values=st.sampled_from([None, 4]))
def test_two_halves_are_joined_alike(seed, exact_values):
    """Joining goes through the written form; what comes of it is the same."""
    events = [{**one, "user": "u"} for one in in_order(random_events(seed, 40, spread=0.003))]
    joined = []
    for compiled in (False, True):
        halves = [LiveFeatures(is_compiled=compiled, exact_values=exact_values) for _ in range(2)]
        for i, one in enumerate(events):
            halves[i % 2].observe(one)
        saver = Saver(halves[0])
        for actor in halves[1].actors():
            saver.join(*saver.load(Saver(halves[1]).dump(actor)))
        joined.append([saver.dump(actor) for actor in halves[0].actors()])
    assert joined[0] == joined[1]


@pytest.mark.parametrize(
    "expression",
    [
        "count(user == 'user 1')",
        "count(missing(user))",
        "count(missing(session_token) and known(client_ip))",
        "count(ip_prefix.startswith('203.'))",
        "sum(step(bytes_sent)) / max(query_length)",
        "larger(count(status >= 400), 2) - smaller(burst(5), sum(depth))",
        "first(status) + last(status, method == 'GET') * 0.5",
    ],
)
def test_own_features_are_the_same_in_all_evaluators(expression):
    """Also on columns that name the session, which live code reads apart."""
    definition = DEFAULT.with_features([Feature("own", expression, "requests")]).only(["own"])
    assert check_parity(definition, random_events(seed=3)) > 100
    run_both(in_order(random_events(4, 60)), definition)


def test_it_is_a_choice(monkeypatch):
    """Off by argument or environment; asked for without numba, it is refused with the cure."""
    assert not LiveFeatures(is_compiled=False).is_compiled
    monkeypatch.setenv("FRAUDLOG_FAST", "0")
    assert not LiveFeatures().is_compiled
    monkeypatch.setattr("fraudlog.sessions.live_engine.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install fraudlog"):
        LiveFeatures(is_compiled=True)


def test_without_it_numba_is_not_even_loaded():
    """The path of a service does not need it."""
    code = (
        "import sys; from fraudlog.sessions import LiveFeatures; live = LiveFeatures(is_compiled=False); "
        "live.observe({'timestamp': 0, 'client_ip': '203.0.113.9'}); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_feature_reads_of_a_state_is_not_that_of_the_last_event():
    """Registers and tables are shared by all sessions; rows are not."""
    _, live = twins()
    first = live.observe(event(0, path="/a", user="a"))
    kept = first.copy()
    one = live.current
    live.observe(event(1, path="/b", user="b", status=404))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(list(one.features.values()), kept)
