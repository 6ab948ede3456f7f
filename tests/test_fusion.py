"""Fusion: p-values that keep their promise, odds that add up, and one row as in its frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.detecting.fusion import ODDNESS, Calibration, Stated, odds_of_risk
from fraudlog.errors import ModelError

STRENGTHS = st.lists(st.floats(-10, 10), min_size=1, max_size=40)


@given(STRENGTHS, st.one_of(st.floats(-20, 20), st.just(float("nan"))), st.booleans())
def test_one_strength_gives_the_odds_of_an_array(held_out, strength, leads):
    """The service's arithmetic is the batch's."""
    scale = Calibration.of(np.array(held_out), 1.0, 0.9, leads=leads)
    assert scale.odds(np.array([strength]))[0] == scale.odds_one(strength)
    assert scale.p_values(np.array([strength]))[0] == scale.p_value(strength)


@given(STRENGTHS)
def test_no_p_value_claims_more_than_was_seen(held_out):
    """With n people the least is 1 / (n + 1), whatever the strength; an abstention is no claim."""
    scale = Calibration.of(np.array(held_out), 1.0, 0.9)
    assert scale.p_value(1e9) == 1 / (len(held_out) + 1)
    assert scale.p_value(float("nan")) == 1.0
    assert scale.odds_one(float("nan")) == 0.0


def test_p_values_of_people_keep_their_promise():
    """Of people it did not learn from, at most a share t has p <= t."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        scale = Calibration.of(rng.lognormal(size=99), 1.0, 0.9)
        shares.append((scale.p_values(rng.lognormal(size=100)) <= 0.05).mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.01)


@given(STRENGTHS, st.floats(-20, 20), st.floats(0, 5))
def test_more_suspicious_is_never_less_odds(held_out, strength, more):
    """Odds rise with the strength and stay below the ceiling."""
    for leads in (True, False):
        scale = Calibration.of(np.array(held_out), 1.0, 0.45, leads=leads)
        assert scale.odds_one(strength) <= scale.odds_one(strength + more) <= odds_of_risk(0.45)


def test_who_does_not_lead_speaks_only_of_one_in_a_hundred():
    """So it can't blur the order the leader gives to the rest."""
    people = np.arange(1000.0)
    follower = Calibration.of(people, 1.0, 0.9, leads=False)
    assert (follower.odds(people[:989]) == 0).all()
    assert (follower.odds(people[995:]) > 0).all()


def test_a_stated_risk_is_heard_as_it_is():
    """Evidence's table says risks; alone they come out unchanged."""
    scale = Stated(0.999)
    for risk in (0.0, 0.3, 0.96):
        odds = scale.odds_one(risk)
        assert odds / (1 + odds) == pytest.approx(risk)
        assert scale.odds(np.array([risk]))[0] == odds


def test_trust_is_the_auroc_against_people():
    """Suspects above all people: 1; among them: one half; abstaining: 0."""
    scale = Calibration.of(np.arange(100.0), 1.0, 0.9)
    assert scale.trust(np.array([200.0])) == 1.0
    assert scale.trust(np.arange(100.0)) == pytest.approx(0.5)
    assert scale.trust(np.array([np.nan])) == 0.0


def test_oddness_alone_stays_below_a_challenge(sample_scores):
    """Whoever no evidence speaks against, and however odd, is not challenged for it."""
    codes = [{reason["code"].partition("_")[0] for reason in reasons} for reasons in sample_scores["reasons"]]
    only_odd = np.array([names <= {"UNUSUAL", "LIKE"} for names in codes])
    assert only_odd.sum() > 500
    assert sample_scores["risk"][only_odd].max() <= ODDNESS + 1e-12


def test_a_damaged_calibration_is_refused():
    """Arrays may come from anywhere."""
    whole = Calibration.of(np.arange(3.0), 1.0, 0.9).to_arrays()
    assert Calibration.from_arrays(whole, 1.0, 0.9).p_value(5.0) == 0.25
    for name, wrong in (("ordered", np.array([2.0, 1.0])), ("ordered", np.array([np.nan])), ("leads", np.zeros(2))):
        with pytest.raises(ModelError, match="calibration"):
            Calibration.from_arrays(whole | {name: wrong}, 1.0, 0.9)
