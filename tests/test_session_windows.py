"""Windows over other sessions: what they count, what they forget, and the loops that kernels are made of."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.sessions import columns, scans
from fraudlog.sessions.places import distance_km, offset_minutes, places
from fraudlog.sessions.window_live import ApproachWindow, CountWindow, DistinctWindow, SpeedWindow
from fraudlog.sessions.windows import WINDOWS, Window

MINUTE = 60_000_000


def test_a_value_counts_until_the_window_has_passed_exactly():
    """At t + window it has gone."""
    window = DistinctWindow(Window("n", "distinct", "k", "v", 100))
    assert window.see("k", "a", 0) == (1, 1)
    assert window.see("k", "b", 99) == (2, 1)
    assert window.see("k", "c", 100) == (2, 1)
    assert window.see("k", "a", 150) == (3, 1)
    assert window.see("k", "a", 151) == (3, 0)
    assert window.see("other", "a", 151) == (1, 1)


def test_a_window_forgets_keys_that_went_silent():
    """Two lengths later nothing is left of them, without a pause to clear up."""
    window = DistinctWindow(Window("n", "distinct", "k", "v", 100))
    for i in range(1000):
        window.see(f"k{i}", "a", 0)
    for t in range(100, 1400):
        window.see("busy", "a", t)
    assert len(window.keys) == 1


def test_counts_move_by_whole_minutes():
    """An event of minute m counts until minute m + length."""
    window = CountWindow(Window("n", "count", "k", "", 10 * MINUTE))
    assert window.see("k", 1, 0) == 1
    assert window.see("k", 1, MINUTE - 1) == 2
    assert window.see("k", 1, 9 * MINUTE) == 3
    assert window.see("k", 0, 10 * MINUTE) == 1
    assert window.see("k", 1, 30 * MINUTE) == 1


def test_speed_is_the_least_possible():
    """Both countries' size is taken off; neighbours are no journey; two clocks a second off make no rocket."""
    window = SpeedWindow(Window("n", "speed", "k", "v", 10**12))
    assert window.see("k", "FR", 0) is None
    assert window.see("k", "DE", 60 * MINUTE) == 0
    assert window.see("k", "XX", 60 * MINUTE) is None
    there = window.see("k", "JP", 120 * MINUTE)
    assert 5_000 < there < 9_000
    assert window.see("k", "FR", 120 * MINUTE + 1) == int(distance_km("JP", "FR") * 60)


def test_places_are_plausible():
    """Every place lies inside the earth, and no radius reaches around it."""
    assert len(places()) > 200
    for place in places().values():
        assert (place.x**2 + place.y**2 + place.z**2) ** 0.5 < 6_400
        assert 0 < place.radius < 6_500
    assert offset_minutes("IN") == 330
    assert offset_minutes("ZZ") is None
    assert distance_km("FR", "ZZ") is None


def test_every_window_fills_a_field_that_exists():
    """The table and the fields can't drift apart."""
    from fraudlog.sessions.fields import FIELDS  # noqa: PLC0415 -- used here alone

    filled = [name for window in WINDOWS for name in window.fields]
    assert sorted(filled) == sorted(name for name, field in FIELDS.items() if field.origin == "window")


# --- arrays ----------------------------------------------------------------------------------------------------------
CODES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=80)


def arrays(rows):
    """Session, code and time arrays, in order of session and time."""
    session = np.sort(np.array([row[0] for row in rows], np.int64))
    codes = np.array([row[1] for row in rows], np.int64)
    time = np.cumsum([row[2] for row in rows]).astype(np.int64)
    return session, codes, time


@given(CODES)
def test_running_values_equal_a_loop(rows):
    """Occurrences, running maxima and window counts."""
    session, codes, time = arrays(rows)
    earlier = [range(i) for i in range(len(rows))]
    same = [[j for j in before if session[j] == session[i]] for i, before in enumerate(earlier)]
    assert scans.occurrence(codes, session).tolist() == [
        sum(codes[j] == codes[i] for j in js) for i, js in enumerate(same)
    ]
    assert scans.running_max(codes - 1, session).tolist() == [
        max(codes[j] - 1 for j in [*js, i]) for i, js in enumerate(same)
    ]
    assert scans.window_counts(time, session, 3, 10**6).tolist() == [
        1 + sum(time[j] > time[i] - 3 for j in js) for i, js in enumerate(same)
    ]


def test_running_maxima_of_wide_numbers():
    """Where session and value don't fit one word together, halves are taken."""
    session = np.arange(1 << 10, dtype=np.int64).repeat(2) << 12
    values = np.full(len(session), (1 << 45) - 1)
    values[::2] -= 7
    assert scans.running_max(values, session).tolist() == values.tolist()


def test_stable_order_of_many_codes():
    """Two passes of 16 bits equal a stable sort."""
    codes = np.random.default_rng(0).integers(0, 1 << 20, 5_000)
    assert columns.stable_order(codes, 1 << 20).tolist() == np.argsort(codes, kind="stable").tolist()


def test_text_forgets_values_that_no_row_has():
    """A filtered column holds no value of the rows it dropped; equal dictionary values become one."""
    text = columns.text_of(pa.array(["a", None, "b", "a"]).dictionary_encode())
    kept = text.take(np.array([1, 2]))
    assert kept.values.to_pylist() == ["b"]
    assert kept.codes.tolist() == [-1, 0]
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", "a", None]))
    assert columns.text_of(twice).codes.tolist() == [0, 0, -1]
    joined = columns.concatenated([kept, columns.text_of(pa.chunked_array([["c", "b"]]))])
    assert joined.array().to_pylist() == [None, "b", "c", "b"]


@pytest.mark.parametrize("kind", ["straight", "rhythm"])
def test_an_approach_is_the_same_after_a_visit_to_a_file(kind):
    """Half of the events in one window, its keys put into another, and the rest there: as one window that saw all."""
    window = Window("n", kind, "k", "v", 100_000_000, "m", memory_us=5_000_000)
    rng = np.random.default_rng(2)
    events = [(*rng.integers(0, 6, 2).tolist(), i * 400_000, *rng.integers(0, 2, 3).tolist()) for i in range(400)]
    whole, first, second = (ApproachWindow(window) for _ in range(3))
    expected = [whole.see(client, shape, t, client // 2, door, step) for client, shape, t, door, step, _ in events]
    for client, shape, t, door, step, _ in events[:200]:
        first.see(client, shape, t, client // 2, door, step)
    for key in json.loads(json.dumps(first.newest())):
        second.join(key, json.loads(json.dumps(first.dump(key))))
    later = [second.see(client, shape, t, client // 2, door, step) for client, shape, t, door, step, _ in events[200:]]
    assert later == expected[200:]
    assert max(alike or 0 for alike, _ in expected) > 1
    for i in range(2_000):
        whole.see(0, 0, 10**9 + i * 1_000_000, 0, 1, 1)
    assert len(whole) < 20
