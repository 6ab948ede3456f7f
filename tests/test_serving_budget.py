"""The day's reviews in a service: no more than the policy says, kept over a restart, as the batch where it can be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

import fraudlog as fl
from fraudlog.deciding import ReviewPace, Today
from fraudlog.errors import ConfigError
from fraudlog.serving import LocalState
from serving_support import KEY, START_US, events_in_order, probe, request

DAY_S = 86_400
MIDNIGHT_S = -(START_US // 1_000_000 % DAY_S)


def scan(live, client, second=0.0):
    """Three probes of one client; returns the decisions."""
    return [live.observe(probe(second + i, f"203.0.{client}.9")) for i in range(3)]


def test_no_more_are_challenged_than_the_policy_says(sample_detector):
    """Who comes first; each keeps its review; the rest is observed, as the batch does with what goes beyond."""
    live = fl.LiveSessions(sample_detector, fl.Policy(daily_reviews=2))
    last = [scan(live, client, client)[-1] for client in range(5)]
    assert [decision.verdict for decision in last] == ["challenge"] * 2 + ["observe"] * 3
    assert {(decision.scope, decision.target) for decision in last[2:]} == {("session", None)}
    assert [decision.risk for decision in last] == [last[0].risk] * 5
    assert scan(live, 1, 20)[-1].verdict == "challenge"
    assert scan(live, 4, 20)[-1].verdict == "observe"


def test_the_day_is_that_of_the_sessions_start(sample_detector):
    """In UTC; a session that runs over midnight takes no review of the next day."""
    live = fl.LiveSessions(sample_detector, fl.Policy(daily_reviews=1))
    midnight = MIDNIGHT_S + DAY_S
    assert scan(live, 1, midnight - 60)[-1].verdict == "challenge"
    assert scan(live, 2, midnight - 30)[-1].verdict == "observe"
    assert scan(live, 1, midnight + 30)[-1].verdict == "challenge"
    assert scan(live, 2, midnight + 30)[-1].verdict == "observe"
    assert scan(live, 3, midnight + 30)[-1].verdict == "challenge"
    assert scan(live, 4, midnight + 40)[-1].verdict == "observe"


def test_who_passes_or_is_denied_takes_no_review(sample_detector):
    """As in the batch: a budget of reviews is one of challenges."""
    policy = fl.Policy(daily_reviews=1, deny_at=0.5, deny_confidence=0.0, scopes=("session",))
    live = fl.LiveSessions(sample_detector, policy)
    assert {scan(live, client)[-1].verdict for client in range(3)} == {"deny"}
    live.observe(request(5, "198.51.100.7"))
    assert live.state.memory.today(START_US // (DAY_S * 1_000_000)) == Today(4, 0)


def test_peeking_takes_no_review(sample_detector):
    """Nor does a first request that is judged by itself."""
    live = fl.LiveSessions(sample_detector, fl.Policy(daily_reviews=1))
    scan(live, 1)
    for _ in range(3):
        live.peek(probe(5, "203.0.1.9"))
    assert live.state.memory.today(START_US // (DAY_S * 1_000_000)) == Today(1, 1)


@pytest.fixture(scope="module")
def replayed(sample_log, sample_detector):
    """A part of a real log, as a batch has it."""
    table = sample_log.table.slice(0, 1200)
    sessions = fl.build_sessions(table, key=KEY, population=sample_detector.population_)
    return table, sessions, sample_detector.score(sessions)


def last_verdicts(table, detector, policy, **more):
    live = fl.LiveSessions(detector, policy, key=KEY, **more)
    return {decision.session_id: decision for decision in map(live.observe, events_in_order(table))}


def test_a_budget_that_is_not_used_up_decides_as_the_batch(replayed, sample_detector):
    """And so does one of nothing: there both are told from the session alone."""
    table, sessions, scores = replayed
    for reviews in (10_000, 0):
        policy = fl.Policy(daily_reviews=reviews, scopes=("session",))
        batch = policy.decide(scores, sessions).set_index("session_id")
        live = last_verdicts(table, sample_detector, policy)
        assert {one: decision.verdict for one, decision in live.items()} == batch["verdict"].to_dict()
    assert "challenge" not in {decision.verdict for decision in live.values()}


def test_a_budget_that_is_used_up_is_kept_by_both(replayed, sample_detector):
    """The batch takes the day's highest risks, a service those it meets first; nobody gets one without deserving it."""
    table, sessions, scores = replayed
    free = fl.Policy(scopes=("session",)).decide(scores, sessions).set_index("session_id")["verdict"]
    policy = fl.Policy(daily_reviews=3, scopes=("session",))
    day = sessions.set_index("session_id")["start"].dt.date
    live = {one: decision.verdict for one, decision in last_verdicts(table, sample_detector, policy).items()}
    for verdicts in (pd.Series(live), policy.decide(scores, sessions).set_index("session_id")["verdict"]):
        challenged = verdicts.index[verdicts == "challenge"]
        assert 0 < len(challenged) < (free == "challenge").sum()
        assert max(Counter(day[challenged]).values()) <= 3
        assert set(free[challenged]) == {"challenge"}


def past(seed=0, days=7):
    start = pd.date_range("2025-09-01", periods=days * 1440, freq="min", tz="UTC")
    return pd.DataFrame({"start": start, "risk": np.random.default_rng(seed).random(len(start)) ** 4})


class Drawn:
    """A detector that draws a risk for each session: the budget's own behaviour, without a log of weeks."""

    population_ = None

    def __init__(self, risks):
        self.risks = risks

    def score_one(self, _values, entities):
        risk = self.risks[entities["client_ip"]]
        return type("Score", (), {"anomaly_score": 0.5, "risk": risk, "confidence": 1.0, "reasons": []})


def test_a_pace_spreads_the_reviews_over_the_day():
    """Without one they are gone by the morning; with one the evening has its share, and they go to higher risks."""
    risks = {f"198.{i // 250}.{i % 250}.9": risk for i, risk in enumerate(np.random.default_rng(1).random(1440) ** 4)}
    policy = fl.Policy(daily_reviews=20, scopes=("session",))
    got = {}
    for name, pace in (("first", None), ("paced", ReviewPace(20, past()))):
        live = fl.LiveSessions(Drawn(risks), policy, pace=pace)
        hits = [
            (minute, risk)
            for minute, (address, risk) in enumerate(risks.items())
            if live.observe(request(MIDNIGHT_S + DAY_S + 60 * minute, address)).verdict == "challenge"
        ]
        got[name] = hits
        assert len(hits) <= 20
    assert max(minute for minute, _ in got["first"]) < 400
    assert len(got["paced"]) >= 17
    assert max(minute for minute, _ in got["paced"]) > 1000
    assert np.mean([risk for _, risk in got["paced"]]) > np.mean([risk for _, risk in got["first"]]) + 0.1


def test_a_pace_gives_what_it_gives_by_itself():
    """Sessions of one request each: the service admits just those that `ReviewPace.admit` does."""
    risks = {f"198.{i // 250}.{i % 250}.9": risk for i, risk in enumerate(np.random.default_rng(2).random(1440) ** 4)}
    policy = fl.Policy(daily_reviews=20, scopes=("session",), observe_at=0.0, challenge_at=0.0)
    live = fl.LiveSessions(Drawn(risks), policy, pace=ReviewPace(20, past()))
    alone = ReviewPace(20, past())
    for minute, (address, risk) in enumerate(risks.items()):
        event = request(MIDNIGHT_S + DAY_S + 60 * minute, address)
        assert (live.observe(event).verdict == "challenge") == alone.admit(risk, event["timestamp"])


def test_a_pace_of_another_budget_is_refused():
    """Two numbers for one thing."""
    with pytest.raises(ConfigError, match="daily_reviews"):
        fl.LiveSessions(None, fl.Policy(daily_reviews=5), pace=ReviewPace(20, past()))


def test_a_restart_forgets_no_review(sample_detector, tmp_path):
    """Nor whose they are; a process that joins brings its own."""
    policy = fl.Policy(daily_reviews=2)
    live = fl.LiveSessions(sample_detector, policy, key=KEY)
    scan(live, 1)
    live.snapshot(tmp_path / "one")
    other = fl.LiveSessions(sample_detector, policy, key=KEY)
    other.restore(tmp_path / "one")
    day = START_US // (DAY_S * 1_000_000)
    assert other.state.memory.today(day) == Today(1, 1)
    assert scan(other, 1, 5)[-1].verdict == "challenge"
    assert scan(other, 2, 5)[-1].verdict == "challenge"
    assert scan(other, 3, 5)[-1].verdict == "observe"
    third = fl.LiveSessions(sample_detector, policy, key=KEY)
    scan(third, 4)
    third.merge(tmp_path / "one")
    assert third.state.memory.today(day) == Today(2, 2)
    assert scan(third, 5, 5)[-1].verdict == "observe"


def test_days_that_are_over_are_forgotten(sample_detector):
    """A service runs for years."""
    live = fl.LiveSessions(sample_detector, fl.Policy(daily_reviews=1), state=LocalState())
    for day in range(10):
        live.observe(request(day * DAY_S))
    assert len(live.state.memory.days) == 3
