"""LiveSessions: decides as the batch does, never without saying what was missing, and stays within its bounds."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime

import pandas as pd
import pytest

import fraudlog as fl
from fraudlog.deciding import FALLBACKS, AllowList, Rule
from fraudlog.errors import SchemaError
from fraudlog.evaluation import benign_events
from fraudlog.schema import EVENTS, to_arrow
from fraudlog.serving import LocalState
from serving_support import KEY, START_US, events_in_order, probe, request


class Replay:
    """A log as a service saw it, request by request, beside the same log as a batch."""

    def __init__(self, table, detector, policy):
        sessions = fl.build_sessions(table, key=KEY, population=detector.population_)
        self.scores = detector.score(sessions).set_index("session_id")
        self.batch = policy.decide(self.scores.reset_index(), sessions).set_index("session_id")
        live = fl.LiveSessions(detector, policy, key=KEY)
        self.last = {decision.session_id: decision for decision in map(live.observe, events_in_order(table))}

    def check(self):
        """Each session's last decision is the one on the whole log, to the bit; returns how many were inherited."""
        assert set(self.last) == set(self.batch.index)
        inherited = 0
        for identity, decision in self.last.items():
            row, score = self.batch.loc[identity], self.scores.loc[identity]
            assert (decision.risk, decision.confidence) == (score["risk"], score["confidence"])
            assert list(decision.reasons) == row["reasons"]
            assert decision.policy_version == row["policy_version"]
            if decision.inherited:  # an earlier verdict on its network still held, which a table of sessions has not
                inherited += 1
            else:
                assert (decision.verdict, decision.scope) == (row["verdict"], row["scope"])
                assert pd.Timestamp(decision.expires) == row["expires"]
        return inherited


def test_decisions_equal_those_of_the_batch(sample_log, sample_detector):
    """On the beginning of a real log."""
    replay = Replay(sample_log.table.slice(0, 1500), sample_detector, fl.Policy(escalation=1.0))
    assert replay.check() < 0.05 * len(replay.last)


@pytest.mark.slow
def test_decisions_equal_those_of_the_batch_on_a_whole_log(sample_log, sample_detector):
    """Verdict, scope, end, risk, confidence and reasons."""
    replay = Replay(sample_log.table, sample_detector, fl.Policy(escalation=1.0))
    assert 0 < replay.check() < 0.05 * len(replay.last)


@pytest.mark.slow
def test_collateral_is_that_of_a_replay(sample_log, sample_detector):
    """Summed over all decisions that hold for a network, within 20 % of what a count over the finished log finds."""
    replay = Replay(sample_log.table, sample_detector, fl.Policy(shared_users=1000, shared_agents=1000))
    wide = {identity: one for identity, one in replay.last.items() if one.scope == "prefix" and not one.inherited}
    said = sum(decision.collateral for decision in wide.values())
    true = int(replay.batch.loc[list(wide), "collateral"].sum())
    assert len(wide) > 20
    assert true > 0
    assert abs(said - true) <= 0.2 * true


def test_behind_a_carrier_a_verdict_holds_for_its_session_alone():
    """A scanner behind a carrier's gate, among its people, and one alone: as in the batch, and nobody else is hit."""
    events, truth = benign_events(days=2, people=150, seed=4)
    usual = fl.build_sessions(events)
    detector = fl.Detector(n_estimators=20).fit(usual)
    carriers = set(events["client_ip"][truth["group"] == "carrier"])
    busy = usual[usual["client_ip"].isin(carriers)].nlargest(1, "prefix_users_1d").iloc[0]
    gate, noon = busy["client_ip"], busy["end"]
    scans = [
        {"timestamp": noon + pd.Timedelta(seconds=n), "client_ip": ip, "path": path, "line_number": 10**6 + n}
        for n, (ip, path) in enumerate((ip, path) for path in ("/.env", "/.git/config") for ip in (gate, "192.0.2.7"))
    ]
    probes = pd.DataFrame([{**probe(), **scan, "source": events["source"].iloc[0]} for scan in scans])
    table = to_arrow(pd.concat([events, probes[[n for n in probes if n in events]]], ignore_index=True), EVENTS)
    replay = Replay(table, detector, fl.Policy(escalation=1.0))
    replay.check()
    sessions = fl.build_sessions(table, key=KEY, population=detector.population_)
    found = sessions[sessions["user_agent"] == probe()["user_agent"]].set_index("client_ip")["session_id"]
    assert {ip: replay.last[one].scope for ip, one in found.items()} == {gate: "session", "192.0.2.7": "prefix"}


def test_a_scanner_is_challenged_and_a_person_is_not(sample_detector):
    """With reasons that add up, for its network, as nobody shares it."""
    live = fl.LiveSessions(sample_detector)
    for second in range(3):
        decision = live.observe(probe(second))
    assert (decision.verdict, decision.scope, decision.target) == ("challenge", "prefix", "203.0.113.0/24")
    assert sum(reason["contribution"] for reason in decision.reasons) == pytest.approx(decision.risk)
    assert "203.0.113" not in repr(decision)
    assert "target" not in decision.to_dict()
    assert live.observe(request(5, "198.51.100.7")).verdict in ("allow", "observe")


def test_without_a_model_the_policys_fallback_is_said(sample_detector):
    """No detector, and one that has not learnt; never a denial."""
    for detector in (None, fl.Detector()):
        live = fl.LiveSessions(detector, fl.Policy(fallback="challenge"))
        decision = live.observe(probe())
        assert (decision.verdict, decision.fallback, decision.risk) == ("challenge", "no_model", None)
        assert decision.is_fallback
        assert decision.fallback in FALLBACKS
        live.swap(sample_detector)
        assert live.observe(probe(1)).risk is not None


def test_a_model_that_breaks_is_said(sample_detector, monkeypatch):
    """The request is served all the same."""

    def breaks(*_):
        raise FloatingPointError

    live = fl.LiveSessions(sample_detector)
    monkeypatch.setattr(sample_detector, "score_one", breaks)
    assert live.observe(request()).fallback == "model_failed"


def test_a_dry_run_says_what_it_would_do(sample_detector):
    """And does no more than observe."""
    live = fl.LiveSessions(sample_detector, fl.Policy(dry_run=True))
    live.observe(probe())
    decision = live.observe(probe(1))
    assert (decision.verdict, decision.intended, decision.is_dry_run) == ("observe", "challenge", True)
    assert fl.LiveSessions(None, fl.Policy(dry_run=True, fallback="challenge")).observe(probe()).verdict == "observe"


def test_a_verdict_on_a_network_holds_for_the_next_session(sample_detector):
    """Until it ends; who is on the allow list passes; what was inherited is said."""
    policy = fl.Policy(ttl="1h", allow=AllowList(users=("staff",)))
    live = fl.LiveSessions(sample_detector, policy)
    for second in range(3):
        live.observe(probe(second))
    held = live.observe(request(60, "203.0.113.44", user_agent="another"))
    assert (held.verdict, held.inherited, held.scope) == ("challenge", "prefix", "prefix")
    assert live.observe(request(61, "203.0.113.45", user="staff")).verdict == "allow"
    later = live.observe(request(3 * 3600, "203.0.113.46", user_agent="another"))
    assert (later.verdict, later.inherited) == ("allow", None) or later.verdict == "observe"


def test_each_strike_lengthens_the_next_verdict(sample_detector):
    """By the policy's factor, once for a session however many requests it makes."""
    live = fl.LiveSessions(sample_detector, fl.Policy(ttl="10min", escalation=3.0, max_ttl="1h"))
    lasted = []
    for hour in range(4):
        for second in range(3):
            decision = live.observe(probe(hour * 7200 + second))
        at = START_US / 1e6 + hour * 7200 + 2
        lasted.append((decision.strikes, round((decision.expires.timestamp() - at) / 60)))
    assert lasted == [(0, 10), (1, 30), (2, 60), (3, 60)]


def test_an_endpoint_can_ask_for_more(sample_detector):
    """A rule for the sign-in challenges what is observed elsewhere; a cap makes assets pass."""
    rules = (Rule("challenge", risk=0.0, endpoints=("login",)), Rule("observe", endpoints=("asset",), is_cap=True))
    live = fl.LiveSessions(sample_detector, fl.Policy(rules=rules, scopes=("session",)))
    assert live.observe(request(path="/login")).verdict == "challenge"
    assert live.observe(request(1, path="/a.css")).verdict in ("allow", "observe")


def test_a_verified_crawler_is_never_challenged(sample_detector):
    """Whatever a rule says; one that only claims to be it is."""
    rules = (Rule("deny", risk=0.0),)
    googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    live = fl.LiveSessions(sample_detector, fl.Policy(rules=rules, deny_confidence=0.0))
    assert live.observe(request(ip="66.249.66.1", user_agent=googlebot)).verdict == "observe"
    assert live.observe(request(ip="192.0.32.7", user_agent=googlebot)).verdict == "deny"


def test_a_verified_crawler_is_not_hit_by_its_networks_verdict(sample_detector):
    """A scanner next door has its network challenged; who proves to be Googlebot passes, another does not."""
    googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    live = fl.LiveSessions(sample_detector)
    for second in range(3):
        scanner = live.observe(probe(second, ip="66.249.66.9"))
    assert (scanner.verdict, scanner.scope) == ("challenge", "prefix")
    assert live.observe(request(5, ip="66.249.66.1", user_agent=googlebot)).verdict in ("allow", "observe")
    assert live.observe(request(6, ip="66.249.66.2")).inherited == "prefix"


def test_the_clock_stands_in_for_a_missing_time(sample_detector):
    """A naive time is refused."""
    live = fl.LiveSessions(sample_detector, fl.Policy(ttl="1h"), clock=lambda: 1_760_000_000.0)
    event = {name: value for name, value in request().items() if name != "timestamp"}
    assert live.observe(event).expires == datetime.fromtimestamp(1_760_003_600, UTC)
    with pytest.raises(SchemaError, match="timestamp must be"):
        live.observe(event | {"timestamp": datetime(2026, 1, 1)})  # noqa: DTZ001 -- the point of the test


def test_peek_takes_nothing_in(sample_detector):
    """By id or by an event of the client; None for who has no session open."""
    live = fl.LiveSessions(sample_detector)
    last = [live.observe(probe(second)) for second in range(3)][-1]
    for key in (last.session_id, probe(9)):
        peeked = live.peek(key)
        assert (peeked.session_id, peeked.risk, peeked.strikes) == (last.session_id, last.risk, last.strikes)
    assert live.peek("no such") is None
    assert live.peek(request(ip="198.51.100.1")) is None
    assert next(iter(live.state.live)).n_events == 3
    live.close()
    assert live.peek(last.session_id) is None


def test_open_sessions_are_bounded_in_number_and_bytes(sample_detector):
    """The one silent for longest goes first, and is given out."""
    ended = []
    state = LocalState(max_sessions=10, on_end=ended.append)
    live = fl.LiveSessions(sample_detector, state=state)
    for i in range(25):
        live.observe(request(i, f"198.51.{i}.1"))
    assert len(state) == 10
    assert [session.reason for session in ended] == ["evicted"] * 15
    assert ended[0].entities["client_ip"] == "198.51.0.1"
    heavy = LocalState(max_bytes=60_000)
    live = fl.LiveSessions(sample_detector, state=heavy)
    for i in range(100):
        live.observe(request(i, f"198.51.{i}.1"))
    assert 5 < len(heavy) < 60
    assert heavy.live.n_bytes <= 60_000


def test_a_session_of_many_values_is_estimated_and_says_so(sample_detector):
    """Exact up to the limit; then near the truth, in bounded room, with less confidence."""
    exact = fl.LiveSessions(sample_detector, state=LocalState(exact_values=None))
    bounded = fl.LiveSessions(sample_detector, state=LocalState(exact_values=100))
    for i in range(600):
        event = request(i / 10, path=f"/p{i}" if i % 3 else "/often")
        one, other = exact.observe(event), bounded.observe(event)
        if i < 100:
            assert one.confidence == other.confidence
    features, estimates = (next(iter(live.state.live)).features for live in (exact, bounded))
    assert estimates["distinct_paths"] == pytest.approx(features["distinct_paths"], rel=0.25)
    assert estimates["path_entropy"] == pytest.approx(features["path_entropy"], rel=0.1)
    assert estimates["requests"] == features["requests"] == 600
    assert other.confidence == pytest.approx(0.9 * one.confidence)


def test_many_threads_lose_no_request(sample_detector):
    """Each is counted once, whoever brings it, while models are swapped and snapshots are taken."""
    live = fl.LiveSessions(sample_detector)
    broken = []

    def serve(worker: int) -> None:
        for i in range(100):
            decision = live.observe(request(i, f"198.51.100.{i % 5}", path=f"/{worker}/{i}"))
            if decision.risk is None:
                broken.append(decision)
            if i % 10 == 0:
                live.swap(sample_detector)

    threads = [threading.Thread(target=serve, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
    assert sum(session.n_events for session in live.state.live) == 400


WRONG = (
    ("client_ip", 123, "client_ip is a int, not a string"),
    ("path", 5, "path is a int, not a string"),
    ("query", 4, "query is a int, not a string"),
    ("user_agent", b"x", "user_agent is a bytes, not a string"),
    ("user", 7, "user is a int, not a string"),
    ("session_token", {}, "session_token is a dict, not a string"),
    ("bytes_sent", "many", "bytes_sent is a str, not an integer"),
    ("duration_s", "x", "duration_s is a str, not a number"),
    ("status", math.nan, "status is a float, not an integer"),
    ("language", ["de"], "language is a list, not a string"),
)


@pytest.mark.parametrize("is_compiled", ["1", "0"])
def test_an_event_with_a_value_of_another_type_is_refused_by_the_columns_name(is_compiled, monkeypatch):
    """And the session it would have belonged to is as it was."""
    monkeypatch.setenv("FRAUDLOG_FAST", is_compiled)
    live = fl.LiveSessions(None, fl.Policy())
    event = {"timestamp": 10**15, "client_ip": "203.0.113.9", "path": "/", "status": 200}
    live.observe(event)
    for column, value, said in WRONG:
        with pytest.raises(SchemaError, match=f"{said}; what is unknown is None"):
            live.observe({**event, column: value})
    (session,) = live.state.live
    assert session.n_events == 1
