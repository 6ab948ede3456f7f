"""Fusion: p-values that keep their promise, odds that add up, and one row as in its frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.detecting.fusion import ODDNESS, Calibration, Chorus, Lead, Stated, odds_of_risk
from fraudlog.errors import ModelError

STRENGTHS = st.lists(st.floats(-10, 10), min_size=1, max_size=40)


@given(STRENGTHS, st.one_of(st.floats(-20, 20), st.just(float("nan"))), st.booleans())
def test_one_strength_is_heard_as_in_an_array(held_out, strength, leads):
    """The service's arithmetic is the batch's."""
    scale = Calibration.of(np.array(held_out)) if leads else Calibration.following(np.array(held_out))
    assert scale.heard(np.array([strength]))[0] == scale.heard_one(strength)


@given(STRENGTHS, st.floats(0, 30), st.floats(0, 30))
def test_one_sum_is_worth_what_it_is_in_an_array(sums, known, more):
    """Of the voices together too."""
    chorus = Chorus.of(np.array(sums))
    assert chorus.odds(np.array([known + more]), np.array([known]))[0] == chorus.odds_one(known + more, known)


@given(STRENGTHS)
def test_no_p_value_claims_more_than_was_seen(held_out):
    """With n people the least is 1 / (n + 1), whatever the strength; an abstention is no claim."""
    scale = Calibration.of(np.array(held_out))
    least, none = scale.p_values(np.array([1e9, np.nan]))
    assert least == 1 / (len(held_out) + 1)
    assert none == 1.0
    assert scale.heard_one(float("nan")) == 0.0


def test_p_values_of_people_keep_their_promise():
    """Of people it did not learn from, at most a share t has p <= t."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        scale = Calibration.of(rng.lognormal(size=99))
        shares.append((scale.p_values(rng.lognormal(size=100)) <= 0.05).mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("repeats", [0.0, 0.5, 1.0])
def test_voices_that_repeat_each_other_find_no_more_people(repeats):
    """A sum is measured against people's sums: however much voices depend, one in twenty people is one in twenty."""
    rng = np.random.default_rng(1)

    def people(n):
        first = rng.normal(size=n)
        return [first, *(repeats * first + (1 - repeats) * rng.normal(size=n) for _ in range(3))]

    shares = []
    for _ in range(100):
        held_out = people(199)
        scales = [Calibration.of(said) for said in held_out]
        own = sum(scale.heard_of_own(said) for scale, said in zip(scales, held_out, strict=True))
        chorus = Chorus.of(own)
        new = sum(scale.heard(said) for scale, said in zip(scales, people(200), strict=True))
        at_one_in_twenty = chorus.odds_one(float(np.quantile(own, 0.95)), 0.0)
        shares.append((chorus.odds(new, np.zeros(len(new))) >= at_one_in_twenty).mean())
    assert np.mean(shares) == pytest.approx(0.05, abs=0.015)


@given(STRENGTHS, STRENGTHS, st.floats(-20, 20), st.floats(0, 5), st.floats(0, 30))
def test_more_suspicious_is_never_less_odds(held_out, sums, strength, more, known):
    """What is heard rises with the strength, the odds with what is heard; oddness alone stays below its ceiling."""
    for scale in (Calibration.of(np.array(held_out)), Calibration.following(np.array(held_out))):
        assert scale.heard_one(strength) <= scale.heard_one(strength + more)
    chorus = Chorus.of(np.abs(np.array(sums)))
    assert chorus.odds_one(known, 0.0) <= chorus.odds_one(known + more, 0.0) <= odds_of_risk(ODDNESS)
    assert chorus.odds_one(known, 0.0) <= chorus.odds_one(known, known) <= chorus.odds_one(known + more, known + more)


def test_who_does_not_lead_speaks_only_of_one_in_fifty():
    """So it can't blur the order the leader gives to the rest."""
    people = np.arange(1000.0)
    follower = Calibration.following(people)
    assert (follower.heard(people[:979]) == 0).all()
    assert (follower.heard(people[985:]) > 0).all()


@given(STRENGTHS, st.floats(0, 30), st.floats(0, 12))
def test_one_place_in_the_bulk_is_what_it_is_in_an_array(sums, lead, told):
    """Of the leaders too."""
    bulk = Lead.of(np.abs(np.array(sums)))
    assert bulk.lifts(np.array([lead]), np.array([told]))[0] == bulk.lifts_one(lead, told)


@given(STRENGTHS, st.floats(0, 30), st.floats(0, 30), st.floats(0, 12))
def test_the_bulk_never_rises_above_what_is_striking(sums, lead, more, told):
    """Whatever the leaders say: who is found, as 1 in 50 people is or by evidence, stays above who is not."""
    bulk, striking = Lead.of(np.abs(np.array(sums))), Chorus.of(np.arange(99.0)).odds_one(98.0, 98.0)
    grain = bulk.lifts_one(lead, 99.0)
    lifted = told + bulk.lifts_one(lead, told)
    assert told <= lifted <= max(told, striking) + grain
    assert grain <= 0.02
    assert lifted <= told + bulk.lifts_one(lead + more, told)


def test_the_bulk_is_in_the_order_of_who_leads():
    """From the typical person to one in ten; beyond, a grain keeps it."""
    people = np.arange(1000.0)
    lifted = Lead.of(people / 1000).lifts(people / 1000, np.zeros(1000))
    assert (np.diff(lifted) > 0).all()
    assert lifted[500] < 0.01
    assert lifted[899] < lifted[901]
    assert lifted[900] == pytest.approx(lifted[999], abs=0.003)


def test_a_stated_risk_is_heard_as_it_is():
    """Evidence's table says risks; alone they come out unchanged."""
    scale = Stated(0.999)
    for risk in (0.0, 0.3, 0.96):
        odds = scale.heard_one(risk)
        assert odds / (1 + odds) == pytest.approx(risk)
        assert scale.heard(np.array([risk]))[0] == odds


def test_trust_is_the_auroc_against_people():
    """Suspects above all people: 1; among them: one half; abstaining: 0."""
    scale = Calibration.of(np.arange(100.0))
    assert scale.trust(np.array([200.0])) == 1.0
    assert scale.trust(np.arange(100.0)) == pytest.approx(0.5)
    assert scale.trust(np.array([np.nan])) == 0.0


def test_oddness_alone_stays_below_a_challenge(sample_scores):
    """Whoever no evidence speaks against, and however odd, is not challenged for it."""
    codes = [{reason["code"].partition("_")[0] for reason in reasons} for reasons in sample_scores["reasons"]]
    only_odd = np.array([names <= {"UNUSUAL", "LIKE", "PEERS"} for names in codes])
    assert only_odd.sum() > 500
    assert sample_scores["risk"][only_odd].max() <= ODDNESS + 1e-12


def test_a_damaged_calibration_is_refused():
    """Arrays may come from anywhere."""
    whole = Calibration.of(np.arange(3.0)).to_arrays()
    assert Calibration.from_arrays(whole).p_values(np.array([5.0]))[0] == 0.25
    wrongs = (
        ("ordered", np.array([2.0, 1.0])),
        ("ordered", np.array([np.nan])),
        ("leads", np.zeros(2)),
        ("silent", np.array([-1.0])),
        ("silent", np.array([np.nan])),
    )
    for name, wrong in wrongs:
        with pytest.raises(ModelError, match="calibration"):
            Calibration.from_arrays(whole | {name: wrong})
    with pytest.raises(ModelError, match="calibration"):
        Chorus.from_arrays({"ordered": np.array([2.0, 1.0])})
    with pytest.raises(ModelError, match="calibration"):
        Lead.from_arrays({})
