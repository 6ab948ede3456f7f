"""Budgets: promises to people kept on average, and days that come out at their number of reviews."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.deciding import Policy, ReviewPace, human_budget, on_budget, review_budget
from fraudlog.deciding.budget import wilson
from fraudlog.errors import ConfigError


def weeks(n: int, rng: np.random.Generator, *, per_day: float = 2000.0, attack_day: int = -1) -> pd.DataFrame:
    """Scores of some weeks: quiet nights, quiet Sundays, days that differ; one may bring an attack."""
    starts, risks = [], []
    hours = 1 + np.sin((np.arange(24) - 9) / 24 * 2 * np.pi) * 0.8
    for day in range(7 * n):
        volume = per_day * (0.6 if day % 7 == 6 else 1.0) * rng.lognormal(0, 0.1)
        size = rng.poisson(volume)
        start = rng.choice(24, size, p=hours / hours.sum()) + rng.random(size)
        risk = np.round(rng.beta(0.6, 6, size), 3)
        if day == attack_day:
            start, risk = np.r_[start, np.full(300, 12.5)], np.r_[risk, np.full(300, 0.95)]
        order = np.argsort(start)
        starts.append(day * 24 + start[order])
        risks.append(risk[order])
    moments = pd.Timestamp("2026-03-02", tz="UTC") + pd.to_timedelta(np.concatenate(starts), unit="h").astype(
        "timedelta64[us]"
    )
    return pd.DataFrame({"start": moments, "risk": np.concatenate(risks)})


def replayed(pace: ReviewPace, scores: pd.DataFrame) -> np.ndarray:
    """Return the reviews of each day."""
    moments = scores["start"].astype("datetime64[us, UTC]").astype("int64").to_numpy()
    taken = [pace.admit(risk, int(at)) for risk, at in zip(scores["risk"], moments, strict=True)]
    return pd.Series(taken).groupby(scores["start"].dt.date).sum().to_numpy()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.floats(0, 0.5))
def test_no_more_people_are_flagged_than_asked(risks, share):
    """Of those measured by, with ties or without; a share too small to promise flags nobody."""
    budget = human_budget(risks, share)
    assert (np.array(risks) >= budget.risk).mean() <= share
    assert budget.low <= budget.expected <= budget.high


def test_the_promise_holds_for_further_people():
    """On average over draws, which is what conformal prediction promises."""
    rng = np.random.default_rng(0)
    flagged = []
    for _ in range(300):
        budget = human_budget(rng.beta(1, 8, 500), 0.02)
        flagged.append((rng.beta(1, 8, 500) >= budget.risk).mean())
    assert 0.015 < np.mean(flagged) <= 0.0205


def test_wilson_against_its_paper_form():
    """The two roots of the quadratic: at a bound, the distance to the share is z standard errors of the bound."""
    low, high = wilson(7, 50)
    for bound in (low, high):
        assert abs(7 / 50 - bound) == pytest.approx(1.959964 * (bound * (1 - bound) / 50) ** 0.5, rel=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_past_days_tell_a_threshold():
    """As many a day as asked, on the days it comes from; the interval holds most coming days."""
    rng = np.random.default_rng(1)
    past, coming = weeks(4, rng), weeks(4, rng)
    budget = review_budget(past, 100)
    counts = coming[coming["risk"] >= budget.risk].groupby(coming["start"].dt.date).size()
    assert budget.expected == pytest.approx(100, rel=0.05)
    assert ((counts >= budget.low) & (counts <= budget.high)).mean() >= 0.8


def test_four_weeks_come_out_within_15_percent():
    """In nine days of ten and more, though Sundays are quiet, days differ, and one brings an attack."""
    rng = np.random.default_rng(2)
    pace = ReviewPace(100, weeks(4, rng))
    counts = replayed(pace, weeks(4, rng, attack_day=10))
    assert counts.max() <= 100
    assert (np.abs(counts - 100) <= 15).mean() >= 0.9


def test_an_empty_day_is_not_filled_with_the_harmless():
    """Half the sessions, all harmless: the pace does not go down to them."""
    rng = np.random.default_rng(3)
    pace = ReviewPace(100, weeks(4, rng))
    calm = weeks(1, rng).assign(risk=lambda frame: frame["risk"] * 0.1)
    assert replayed(pace, calm).sum() == 0


def test_no_reviews_no_flags():
    """A budget of nothing is kept too."""
    past = weeks(1, np.random.default_rng(4))
    assert not replayed(ReviewPace(0, past), past).any()
    assert review_budget(past, 0).risk > 1
    with pytest.raises(ConfigError, match="daily_reviews"):
        ReviewPace(-1, past)
    with pytest.raises(ConfigError, match="presumed humans"):
        human_budget([], 0.01)


def test_a_policy_takes_a_budget(sample_detector, sample_scores):
    """One half percent of presumed humans, from the detector's own measure."""
    budget = human_budget(sample_detector.human_risk_, 0.005)
    policy = on_budget(Policy(deny_at=0.6), budget)
    assert policy.challenge_at == budget.risk
    assert policy.observe_at <= policy.challenge_at <= policy.deny_at
    assert (policy.decide(sample_scores)["verdict"] != "allow").any()
