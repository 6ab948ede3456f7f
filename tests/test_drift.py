"""Drift: quiet where nothing changed, loud within a day of a planted shift."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

import fraudlog as fl
from fraudlog.detecting.drift import ADVICE, COMPARED, drift_of
from fraudlog.evaluation import Campaign, benign_events, inject


def model_of(columns):
    return {
        name: np.quantile(values, np.linspace(0, 1, 1001), method="inverted_cdf") for name, values in columns.items()
    }


def day(rng, n=1500, n_features=60):
    """A day's sessions, of counts with many ties and of times."""
    counts = {f"count{i}": rng.poisson(1 + i % 5, n).astype(float) for i in range(n_features // 2)}
    return counts | {f"time{i}": rng.lognormal(i % 3, 1, n) for i in range(n_features // 2)}


def test_distance_is_scipys():
    """The two-sample statistic, against the published implementation, where the grid holds every value."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=1001), rng.normal(0.2, 1.1, size=700)
    row = drift_of({"x": np.sort(a)}, 1001, {"x": b}).table.iloc[0]
    peer = ks_2samp(a, b, method="asymp")
    assert row["distance"] == pytest.approx(peer.statistic, abs=1.5e-3)
    assert row["p_value"] == pytest.approx(peer.pvalue, rel=0.3)


def test_equal_days_keep_the_model():
    """Twenty days of the same kind: no refit is advised."""
    rng = np.random.default_rng(1)
    model = model_of(day(rng, 20_000))
    assert {drift_of(model, 20_000, day(rng)).advice for _ in range(20)} == {"keep"}


def test_a_shift_of_ten_percent_is_found_in_a_day():
    """A tenth of one day's sessions behaves otherwise in one feature: that feature is named, and first."""
    rng = np.random.default_rng(2)
    model = model_of(day(rng, 20_000))
    for _ in range(10):
        window = day(rng)
        window["time7"] = np.where(rng.random(1500) < 0.1, window["time7"] * 50, window["time7"])
        found = drift_of(model, 20_000, window)
        assert found.table["name"].iloc[0] == "time7"
        assert found.table["is_drifted"].tolist()[:2] == [True, False]
        assert found.table["moved"].iloc[0] == "up"
        assert found.advice in {"look", "fit"}


def test_few_sessions_say_nothing():
    """Advice comes from enough."""
    rng = np.random.default_rng(3)
    assert drift_of(model_of(day(rng)), 1500, day(rng, 50)).advice == "few"


@given(st.lists(st.floats(0, 100), min_size=2, max_size=60), st.lists(st.floats(0, 100), min_size=1, max_size=60))
def test_measures_stay_in_their_ranges(before, after):
    """Whatever the values: ties, constants, one session."""
    row = drift_of({"x": np.sort(before)}, len(before), {"x": np.array(after)}).table.iloc[0]
    assert 0 <= row["distance"] <= 1
    assert 0 <= row["p_value"] <= 1
    assert row["psi"] >= -1e-12


def test_a_detector_sees_its_own_window_unchanged_and_another_changed(sample_detector, sample_sessions):
    """The sessions it learnt from, and the same where a third asks for pages that are gone."""
    own = sample_detector.drift(sample_sessions)
    assert own.advice in {"keep", "look"}
    assert {"anomaly_score", "risk"} <= set(own.table["name"])
    moved = sample_sessions.sample(1000, random_state=0).reset_index(drop=True)
    moved.loc[:330, "not_found"] = 9.0
    found = sample_detector.drift(moved)
    assert found.table.set_index("name").loc["not_found", "is_drifted"]
    assert found.advice == "fit"
    assert all(isinstance(text, str) for text in ADVICE.values())
    assert isinstance(found.table, pd.DataFrame)


@pytest.mark.slow
def test_a_tenth_of_a_days_sessions_that_is_new_is_found_in_the_traffic_of_a_site():
    """Made-up people for seven days, then one with slow scrapers among them, and the same day without."""
    events, _ = benign_events(days=8, people=900, seed=2)
    today = events["timestamp"].min().floor("D") + pd.Timedelta("7D")
    sessions = fl.build_sessions(events, population=None)
    detector = fl.Detector(n_estimators=20).fit(sessions[sessions["start"] < today])
    attack = inject(events, ["scraping_slow"], Campaign(share=0.1, seed=2, mimicry=1.0), since=today)
    attacked = fl.build_sessions(attack.events, population=None)
    calm, shifted = (table[table["start"] >= today] for table in (sessions, attacked))
    assert 0.08 < 1 - len(calm) / len(shifted) < 0.15
    assert detector.drift(calm).advice == "keep"
    assert detector.drift(shifted).advice in {"look", "fit"}


def test_a_counter_of_the_whole_site_is_no_drift():
    """How many networks came to the login today is one number, however many sessions tell it."""
    assert not any(name.startswith(("straight_", "rhythm_", "manner_")) for name in COMPARED)
    assert {"requests", "profile_users_1d"} <= COMPARED
