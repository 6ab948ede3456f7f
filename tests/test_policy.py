"""Policy beyond its thresholds: rules, scopes, strikes, allow lists, settings; and one session like a table of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from fraudlog.deciding import VERDICTS, AllowList, Rule, human_budget
from fraudlog.errors import ConfigError, SchemaError

START = pd.Timestamp("2026-01-01", tz="UTC")
CODES = ("PROBE_PATHS", "LOGIN_FAILURES", "ACCOUNT_NEW", "COORDINATED", "UNUSUAL_REQUESTS")


def reason(code: str, contribution: float = 0.5) -> dict[str, object]:
    """One reason."""
    return {"code": code, "contribution": contribution, "value": 1.0, "percentile": None, "oat": None}


def tables(*rows: dict[str, object]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and sessions of the same rows."""
    base = {
        "risk": 0.9,
        "confidence": 0.8,
        "reasons": [reason("PROBE_PATHS")],
        "client_ip": "203.0.113.9",
        "ip_prefix": "203.0.113.0/24",
        "user": None,
        "profile": "Linux Firefox en",
        "user_agent": "x",
        "prefix_users_1d": 1.0,
        "prefix_agents_1d": 1.0,
        "prefix_failures_1h": 0.0,
        "requests": 5.0,
        "verified_crawler_requests": 0.0,
        "automation_share": 0.0,
        "minute": 0,
    }
    full = [base | {"session_id": f"s{i}"} | row for i, row in enumerate(rows)]
    for row in full:
        row["start"] = row["end"] = START + pd.Timedelta(minutes=row.pop("minute"))
    frame = pd.DataFrame(full)
    scored = ["session_id", "start", "end", "risk", "confidence", "reasons"]
    return frame[scored], frame.drop(columns=["risk", "confidence", "reasons"])


ROWS = st.fixed_dictionaries(
    {
        "risk": st.floats(0, 1),
        "confidence": st.floats(0, 1),
        "reasons": st.lists(st.sampled_from(CODES), max_size=3).map(lambda codes: [reason(code) for code in codes]),
        "user": st.sampled_from([None, "ann", "bob"]),
        "prefix_users_1d": st.sampled_from([np.nan, 0.0, 2.0, 3.0]),
        "prefix_agents_1d": st.sampled_from([np.nan, 1.0, 3.0, 4.0]),
        "prefix_failures_1h": st.sampled_from([np.nan, 0.0, 7.0, 9.0]),
        "verified_crawler_requests": st.sampled_from([0.0, 5.0]),
    }
)
RULES = st.builds(
    Rule,
    st.sampled_from(VERDICTS),
    st.floats(0, 1),
    st.floats(0, 1),
    st.lists(st.sampled_from(CODES), max_size=2).map(tuple),
    is_cap=st.booleans(),
)


@given(st.lists(ROWS, min_size=1, max_size=8), st.lists(RULES, max_size=3), st.sampled_from([None, 0.8]))
def test_one_session_is_ruled_as_in_a_table(rows, rules, deny_at):
    """Whatever the risk, the reasons, the rules and who shares the address."""
    policy = fl.Policy(rules=tuple(rules), deny_at=deny_at, allow=AllowList(users=("bob",)), challenge_confidence=0.3)
    scores, sessions = tables(*rows)
    decided = policy.decide(scores, sessions)
    for i, row in enumerate(rows):
        ruling = policy.rule(
            row["risk"],
            row["confidence"],
            row["reasons"],
            user=row["user"],
            prefix="203.0.113.0/24",
            profile="Linux Firefox en",
            n_users=row["prefix_users_1d"],
            n_agents=row["prefix_agents_1d"],
            n_failures=row["prefix_failures_1h"],
            is_allowed=policy.allow.covers(user=row["user"]),
            is_verified_crawler=row["verified_crawler_requests"] == 5.0,
        )
        assert decided["verdict"][i] == VERDICTS[ruling.level]
        assert decided["scope"][i] == ruling.scope or (ruling.spares_all and decided["scope"][i] == "session")


@pytest.mark.parametrize(
    ("row", "scope"),
    [
        ({}, "prefix"),
        ({"prefix_users_1d": 3.0}, "session"),
        ({"prefix_agents_1d": 4.0}, "session"),
        ({"prefix_users_1d": np.nan, "prefix_agents_1d": np.nan}, "session"),
        ({"prefix_agents_1d": 40.0, "prefix_failures_1h": 60.0}, "session"),
        ({"prefix_agents_1d": 40.0, "prefix_failures_1h": 90.0}, "prefix"),
        ({"user": "ann", "prefix_users_1d": 200.0}, "user"),
        ({"user": "ann"}, "user"),
        ({"user": "ann", "reasons": [reason("LOGIN_FAILURES")]}, "prefix"),
        ({"risk": 0.4}, "session"),
    ],
)
def test_a_verdict_holds_for_what_was_judged(row, scope):
    """The account, or the network where few share it; whose logins fail is the victim."""
    assert fl.Policy().decide(*tables(row)).scope.tolist() == [scope]


def test_a_crowd_that_fails_together_is_spared_where_people_are_known_to_be():
    """Forty agents and ninety failures are one who tries many, unless presumed humans came from there as well."""
    tries = {"prefix_agents_1d": 40.0, "prefix_failures_1h": 90.0, "minute": 5, "automation_share": 1.0}
    person = {"risk": 0.0, "reasons": [], "minute": 1}
    assert fl.Policy().decide(*tables(tries, tries)).scope.tolist() == ["prefix", "prefix"]
    decided = fl.Policy().decide(*tables(person, tries))
    assert decided.scope.tolist() == ["session", "session"]
    assert decided.collateral.tolist() == [0, 0]
    few = {"minute": 5, "automation_share": 1.0}
    assert fl.Policy().decide(*tables(person, few)).collateral.tolist() == [0, 1]


def test_a_share_of_people_becomes_a_risk():
    """At most one in a hundred of the presumed humans that a detector was measured on; the version says so."""
    people = np.linspace(0, 0.4, 999)
    policy = fl.Policy(human_share=0.01)
    measured = policy.measured(people)
    assert measured.challenge_at == measured.human_risk == human_budget(people, 0.01).risk
    assert measured.version != policy.version
    assert fl.Policy.from_dict(measured.to_dict()) == measured
    scores, sessions = tables(*({"risk": risk} for risk in people))
    assert (measured.decide(scores, sessions).verdict == "challenge").sum() == 9
    assert fl.Policy().measured(people) == fl.Policy()
    for undecided in (lambda: policy.decide(scores, sessions), lambda: policy.rule(0.5, 1.0, [])):
        with pytest.raises(ConfigError, match="measured"):
            undecided()


def test_nothing_is_denied_unless_asked_for():
    """Whatever the risk; asked for, it takes confidence."""
    rows = [{"risk": 1.0, "confidence": 1.0}, {"risk": 1.0, "confidence": 0.1}]
    assert fl.Policy().decide(*tables(*rows)).verdict.tolist() == ["challenge", "challenge"]
    assert fl.Policy(deny_at=0.9).decide(*tables(*rows)).verdict.tolist() == ["deny", "challenge"]


def test_allow_lists_always_win():
    """Networks, accounts, profiles and agents' programs; and no verdict holds for a network with an allowed address."""
    policy = fl.Policy(deny_at=0.5, allow={"networks": ["198.51.100.0/24", "203.0.113.77"], "users": ["ann"]})
    rows = [{"client_ip": "198.51.100.3"}, {"user": "ann"}, {"client_ip": "203.0.113.9"}]
    decided = policy.decide(*tables(*rows))
    assert decided.verdict.tolist() == ["allow", "allow", "deny"]
    assert decided.scope.tolist() == ["session"] * 3
    with pytest.raises(SchemaError, match="allow list"):
        policy.decide(tables({})[0])
    monitor = AllowList(crawlers=("UptimeRobot",))
    assert monitor.covers(user_agent="Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)")
    assert AllowList(networks=("2001:db8::/32",)).covers(client_ip="2001:db8::1")
    assert AllowList(networks=("192.0.2.0/24",)).covers(client_ip="::ffff:192.0.2.9")
    assert not AllowList(networks=("192.0.2.0/24",)).covers(client_ip="no address")


def test_strikes_lengthen_and_are_forgotten():
    """Each session of a network doubles the next; after a silence longer than the memory it starts again."""
    day = 24 * 60
    decided = fl.Policy(memory="7D").decide(*tables(*({"minute": m} for m in (0, 10, 20, 30 * day))))
    lasted = (decided["expires"] - [START + pd.Timedelta(minutes=m) for m in (0, 10, 20, 30 * day)]).tolist()
    assert lasted == [pd.Timedelta(hours=hours) for hours in (1, 2, 4, 1)]


def test_collateral_counts_people_of_the_last_seven_days():
    """Of the same network, not itself, not later ones, not older ones; too many narrow the verdict."""
    day = 24 * 60
    people = [{"minute": m, "risk": 0.0, "reasons": []} for m in (0, 4 * day, 5 * day, 9 * day)]
    rows = [*people, {"minute": 8 * day, "automation_share": 1.0}]
    scores, sessions = tables(*rows)
    assert fl.Policy().decide(scores, sessions).collateral.tolist() == [0, 0, 0, 0, 2]
    narrow = fl.Policy(max_collateral=1).decide(scores, sessions)
    assert (narrow.scope[4], narrow.collateral[4]) == ("session", 0)


def test_a_dry_run_keeps_what_was_intended():
    """In its own column."""
    decided = fl.Policy(dry_run=True).decide(*tables({}))
    assert (decided.verdict[0], decided.intended[0]) == ("observe", "challenge")


def test_settings_go_through_toml(tmp_path):
    """And back by name; the version is that of the settings."""
    path = tmp_path / "policy.toml"
    path.write_text(
        '[policy]\nchallenge_at = 0.6\nttl = "2h"\n'
        '[[policy.rules]]\nverdict = "challenge"\nendpoints = ["login"]\nrisk = 0.3\n'
        '[policy.allow]\nnetworks = ["192.0.2.0/24"]\n'
    )
    policy = fl.Policy.from_toml(path)
    assert policy == fl.Policy(
        challenge_at=0.6,
        ttl="2h",
        rules=(Rule("challenge", risk=0.3, endpoints=("login",)),),
        allow=AllowList(networks=("192.0.2.0/24",)),
    )
    assert fl.Policy.from_dict(policy.to_dict()) == policy
    assert fl.Policy.from_dict(policy.to_dict()).version == policy.version != fl.Policy().version


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({"deny_at": 0.1}, "observe_at"),
        ({"deny_confidence": 2}, "deny_confidence"),
        ({"scopes": ("user",)}, "scopes"),
        ({"shared_users": -1}, "shared_users"),
        ({"human_share": 1}, "human_share"),
        ({"escalation": 0.5}, "escalation"),
        ({"fallback": "deny"}, "fallback"),
        ({"ttl": "9D"}, "ttl"),
        ({"max_collateral": True}, "max_collateral"),
        ({"dry_run": 1}, "dry_run"),
        ({"rules": ({"verdict": "ban"},)}, "rules.verdict"),
        ({"rules": ({"verdict": "deny", "evidence": "X"},)}, "rules.evidence"),
        ({"rules": ({"verdicts": "deny"},)}, "verdicts"),
        ({"allow": {"networks": ("nowhere",)}}, "allow.networks"),
        ({"allow": {"users": "ann"}}, "allow.users"),
    ],
)
def test_each_wrong_setting_is_named(settings, parameter):
    """By the parameter as it was written."""
    with pytest.raises(ConfigError) as caught:
        fl.Policy(**settings)
    assert caught.value.parameter == parameter


def test_files_that_are_no_policy_are_named(tmp_path):
    """Missing, no TOML, an unknown setting; scores of other sessions."""
    with pytest.raises(ConfigError, match="can't be read"):
        fl.Policy.from_toml(tmp_path / "none")
    (tmp_path / "bad").write_text("[")
    with pytest.raises(ConfigError, match="no TOML"):
        fl.Policy.from_toml(tmp_path / "bad")
    with pytest.raises(ConfigError, match="policy has no setting chalenge_at; it has"):
        fl.Policy.from_dict({"chalenge_at": 0.5})
    scores, sessions = tables({}, {})
    with pytest.raises(SchemaError, match="same sessions"):
        fl.Policy().decide(scores, sessions.iloc[::-1])
