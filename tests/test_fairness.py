"""Whom the flags fall on: intervals, and warnings that need more than chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fraudlog.deciding import Policy
from fraudlog.reporting import fairness


def made(*groups):
    """Return sessions and flags of (system, browser and language, sessions, flagged)."""
    rows = [name.rsplit(" ", 2) for name, n, _ in groups for _ in range(n)]
    flagged = [place < hits for _, n, hits in groups for place in range(n)]
    sessions = pd.DataFrame(rows, columns=["os", "browser", "language_primary"])
    return sessions.replace("?", None), pd.Series(flagged)


def test_a_group_flagged_twice_as_often_is_warned_of():
    """By a clear margin, and the others are not."""
    found = fairness(*made(("Windows Chrome en", 900, 18), ("Windows Chrome uk", 100, 12)))["language"]
    assert [(group.name, group.is_warned) for group in found] == [("en", False), ("uk", True)]
    assert found[1].ratio == pytest.approx(6.0)
    assert found[1].low < found[1].rate == 0.12 < found[1].high


def test_chance_is_no_warning():
    """Two of forty against three in a hundred, and one of one, warn of nobody."""
    found = fairness(*made(("Windows Chrome en", 1000, 30), ("Windows Chrome eo", 40, 2), ("Plan9 Mothra la", 1, 1)))
    assert not any(group.is_warned for groups in found.values() for group in groups)


def test_browsers_are_grouped_by_rarity():
    """Rare is not abusive: how often rare ones are flagged stands on the page."""
    found = fairness(*made(("Linux Chrome en", 900, 9), ("Linux Firefox en", 92, 1), ("Linux Lynx en", 8, 4)))
    assert {group.name.partition(":")[0]: group.flagged for group in found["rarity of the browser"]} == {
        "common": 9,
        "uncommon": 1,
        "rare": 4,
    }


def test_a_name_of_several_words_is_one_group():
    """Mac OS X is no browser, and who tells no language speaks none called X."""
    found = fairness(*made(("Mac OS X Safari ?", 60, 0), ("Windows Chrome en", 60, 0)))
    assert [group.name for group in found["operating system"]] == ["Mac OS X", "Windows"]
    assert {group.name for group in found["browser"]} == {"Safari", "Chrome"}
    assert {group.name for group in found["language"]} == {"unknown", "en"}


def test_a_real_run_warns_with_intervals(sample_sessions, sample_scores):
    """Who is challenged of a real log: every rate in its interval; a warning only from twice the others' on."""
    verdicts = Policy().decide(sample_scores, sample_sessions)["verdict"]
    found = fairness(sample_sessions, verdicts.isin(["challenge", "deny"]))
    groups = [group for groups in found.values() for group in groups]
    assert {"Windows", "Mac OS X", "Linux"} <= {group.name for group in found["operating system"]}
    assert all(0 <= group.low <= group.rate <= group.high <= 1 for group in groups)
    warned = [group for group in groups if group.is_warned]
    assert warned
    assert all(group.ratio is None or group.ratio >= 2 for group in warned)
    assert all(group.sessions >= 20 for group in warned)


def test_programs_are_no_people():
    """A script that names itself counts in no group."""
    sessions, flagged = made(("Linux Chrome en", 50, 0), ("? ? ?", 50, 50))
    sessions["automation_share"] = np.r_[np.zeros(50), np.ones(50)]
    assert [(group.name, group.sessions) for group in fairness(sessions, flagged)["language"]] == [("en", 50)]


def test_verified_crawlers_are_never_challenged_nor_denied(sample_sessions, sample_scores):
    """By the detector's silence and by the policy, whatever the thresholds and whoever else is judged."""
    verified = (sample_sessions["verified_crawler_requests"] == sample_sessions["requests"]).to_numpy()
    assert verified.sum() > 50
    assert (sample_scores["risk"][verified] == 0).all()
    assert all(not reasons for reasons in sample_scores["reasons"][verified])
    harsh = Policy(observe_at=0.0, challenge_at=0.0, deny_at=0.0, deny_confidence=0.0)
    verdicts = harsh.decide(sample_scores, sample_sessions)["verdict"]
    assert not verdicts[verified].isin(["challenge", "deny"]).any()
    assert verdicts[~verified].eq("deny").all()
