"""Policy: thresholds, the daily budget, and no denial unless asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from fraudlog.deciding.targets import BYSTANDERS_US, _counted
from fraudlog.errors import ConfigError, SchemaError
from fraudlog.schema import DECISIONS, column_names


def scores(risks, days=None) -> pd.DataFrame:
    start = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(days if days is not None else [0] * len(risks), "D")
    return pd.DataFrame(
        {
            "session_id": [f"s{i}" for i in range(len(risks))],
            "start": start,
            "end": start,
            "risk": np.array(risks, float),
        }
    ).assign(reasons=[[] for _ in risks])


def test_verdicts_follow_the_thresholds():
    """Allow below 0.3, observe below 0.5, then challenge; never deny by itself."""
    assert fl.Policy().decide(scores([0, 0.29, 0.3, 0.5, 1])).verdict.tolist() == [
        "allow", "allow", "observe", "challenge", "challenge",
    ]  # fmt: skip


def test_denial_must_be_asked_for():
    """With `deny_at` it is given."""
    assert fl.Policy(deny_at=0.9).decide(scores([0.89, 0.9])).verdict.tolist() == ["challenge", "deny"]


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=40), st.integers(0, 5))
def test_no_day_has_more_challenges_than_the_budget(rows, budget):
    """Those of the highest risk are challenged, the rest observed, none dropped."""
    risks, days = zip(*rows, strict=True)
    table = scores(risks, days)
    decided = fl.Policy(daily_reviews=budget).decide(table)
    challenged = decided["verdict"] == "challenge"
    assert challenged.groupby(table["start"]).sum().max() <= budget
    for _, day in table.assign(challenged=challenged, verdict=decided["verdict"]).groupby("start"):
        above = day[day["risk"] >= 0.5]
        assert above["challenged"].sum() == min(budget, len(above))
        assert (above.loc[~above["challenged"], "verdict"] == "observe").all()
        if above["challenged"].any() and not above["challenged"].all():
            assert above.loc[above["challenged"], "risk"].min() >= above.loc[~above["challenged"], "risk"].max()


def test_decisions_have_the_declared_columns():
    """With an end and the policy's version."""
    policy = fl.Policy(ttl="2h")
    decided = policy.decide(scores([0.9]))
    assert list(decided) == column_names(DECISIONS)
    assert decided["expires"].item() == pd.Timestamp("2026-01-01T02:00Z")
    assert decided["policy_version"].item() == policy.version != fl.Policy().version


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"observe_at": 0.8}, "must rise"),
        ({"challenge_at": 1.5}, "challenge_at must lie between 0 and 1"),
        ({"daily_reviews": -1}, "below 0"),
        ({"ttl": "soon"}, "no length of time"),
    ],
)
def test_bad_settings_are_named(settings, message):
    """Before anything is decided by them."""
    with pytest.raises(ConfigError, match=message):
        fl.Policy(**settings)


def test_scores_must_be_scores():
    """Another table is refused with the column's name."""
    with pytest.raises(SchemaError, match="scores lacks the column risk"):
        fl.Policy().decide(scores([0.1]).drop(columns="risk"))


moments = st.integers(0, 4).map(lambda n: n * BYSTANDERS_US // 2) | st.integers(-5, BYSTANDERS_US * 3)
named = st.tuples(st.sampled_from("abc"), moments)


@given(st.lists(named, min_size=1), st.lists(named | st.tuples(st.none(), moments)))
def test_bystanders_of_the_days_before_are_counted_as_one_by_one(asked, others):
    """Those of the same value that began in the seven days before, the moment itself included."""
    (wanted, until), (values, start) = (
        (np.array([one[0] for one in rows], object), np.array([one[1] for one in rows], np.int64))
        for rows in (asked, others)
    )
    assert _counted(wanted, until, values, start).tolist() == [
        sum(value == name and end - BYSTANDERS_US < at <= end for value, at in others) for name, end in asked
    ]
