"""RedisState against a real server: workers share sessions, two round trips an event, and a server that goes away."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import fraudlog as fl
from fraudlog.errors import ConfigError
from fraudlog.serving import RedisState
from fraudlog.sessions import feature_names
from serving_support import KEY, events_in_order, probe, request

redis = pytest.importorskip("redis", reason="the extra redis is not installed")


class Server:
    """A server of its own, on a socket."""

    def __init__(self, folder):
        self.socket = str(folder / "redis.sock")
        self.folder = folder
        self.start()

    def start(self):
        command = ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                if self.client().ping():
                    return
            except redis.exceptions.RedisError:
                time.sleep(0.05)
        raise TimeoutError

    def client(self):
        return redis.Redis(unix_socket_path=self.socket, socket_timeout=20)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait()


@pytest.fixture
def server(tmp_path_factory):
    """A running server."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("r")
    running = Server(folder)
    yield running
    running.stop()


def worker(server, detector, policy=None, **more):
    """One of several processes of a service."""
    return fl.LiveSessions(detector, policy, state=RedisState(server.client(), key=KEY, **more))


def plain(decision):
    """A decision without its reasons' order of equals."""
    return decision.to_dict()


def test_workers_decide_as_one_process(server, sample_log, sample_detector):
    """Requests of a real log, dealt out among three workers: each decision is that of one process that saw all."""
    alone = fl.LiveSessions(sample_detector, key=KEY)
    workers = [worker(server, sample_detector) for _ in range(3)]
    for i, event in enumerate(events_in_order(sample_log.table.slice(0, 400))):
        assert plain(workers[i % 3].observe(event)) == plain(alone.observe(event))


def test_windows_over_other_sessions_are_shared(server, sample_detector):
    """Accounts, agents and failures of a network, places of an account."""
    alone = fl.LiveSessions(sample_detector, key=KEY)
    workers = [worker(server, sample_detector) for _ in range(2)]
    for i in range(80):
        event = request(
            i * 97,
            f"203.0.113.{i % 7}",
            user=f"u{i % 5}",
            path="/login",
            status=401,
            country=("FR", "JP", None)[i % 3],
            user_agent=f"agent {i % 4}",
        )
        one, other = alone.observe(event), workers[i % 2].observe(event)
        assert plain(one) == plain(other)
    assert one.strikes == other.strikes


def test_how_clients_come_to_a_door_is_shared(server, sample_detector):
    """Straight or after other pages, in one rhythm or not: every value as in one process, some above one."""
    alone = fl.LiveSessions(sample_detector, key=KEY)
    workers = [worker(server, sample_detector) for _ in range(2)]
    names = feature_names()
    seen = []
    for i in range(60):
        paths = ("/login", "/login", "/a", "/login.js")
        event = request(i * 3, f"203.0.{i // 2 % 9}.5", method="POST", path=paths[i * 7 % 4], status=401)
        both = [live.state.begin(event | live.enricher.event(event)) for live in (alone, workers[i % 2])]
        one, other = (dict(zip(names, seen.values, strict=True)) for seen in both)
        assert {name: repr(value) for name, value in one.items()} == {n: repr(v) for n, v in other.items()}
        workers[i % 2].state.keep(both[1])
        seen.append(one)
    assert max(row["straight_logins_1d"] for row in seen if row["straight_logins_1d"] == row["straight_logins_1d"]) > 2
    assert max(row["rhythm_logins_1d"] for row in seen if row["rhythm_logins_1d"] == row["rhythm_logins_1d"]) > 2


def test_an_event_takes_two_round_trips(server, sample_detector):
    """Counted by the server itself."""
    live = worker(server, sample_detector)
    live.observe(probe())  # loads the scripts
    watch = server.client()
    watch.config_resetstat()
    for second in range(1, 21):
        live.observe(probe(second))
    stats = watch.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 40
    sent = {"cmdstat_evalsha", "cmdstat_info", "cmdstat_config|resetstat"}
    inside = {"hmget", "lrange", "zremrangebyscore", "zscore", "zadd", "zcard", "pexpire", "hincrby", "hgetall", "hdel"}
    inside |= {"get", "set", "hget", "hset", "ltrim", "rpush", "zpopmin"}
    assert set(stats) - sent <= {f"cmdstat_{name}" for name in inside}
    assert int(watch.info("stats")["total_net_input_bytes"]) > 0


def test_events_that_meet_are_not_lost(server, sample_detector):
    """Two workers on one session at once: who comes second leaves the event for the next."""
    first, second = (worker(server, sample_detector) for _ in range(2))
    first.observe(request(0))
    seen = first.state.begin(request(1) | first.enricher.event(request(1)))
    second.observe(request(2))
    first.state.keep(seen)
    assert first.state.n_conflicts == 1
    last = second.observe(request(3))
    assert second.state.peek(request(4) | second.enricher.event(request(4))).values[0] == 4
    assert last.session_id == seen.session_id


def test_many_workers_at_once_count_every_request(server, sample_detector):
    """Four threads, one client."""
    workers = [worker(server, sample_detector) for _ in range(4)]

    def serve(number):
        for i in range(15):
            workers[number].observe(request(i, path=f"/{number}/{i}"))

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    event = request(20)
    workers[0].observe(event)
    seen = workers[0].state.peek(event | workers[0].enricher.event(event))
    assert seen.values[fl.sessions.DEFAULT.names.index("requests")] == 61


def test_a_server_that_goes_away_is_said(server, sample_detector):
    """Killed, the policy's fallback; started again, scores."""
    live = worker(server, sample_detector, fl.Policy(fallback="challenge"), retry_s=0.2)
    assert live.observe(probe()).fallback is None
    server.stop(signal.SIGKILL)
    for second in range(3):
        decision = live.observe(probe(second + 1))
        assert (decision.verdict, decision.fallback, decision.risk) == ("challenge", "no_state", None)
    Path(server.socket).unlink()
    server.start()
    time.sleep(0.3)
    assert live.observe(probe(9)).fallback is None


def test_a_server_that_is_gone_costs_one_wait(server, sample_detector):
    """It is left alone for a while after it did not answer."""
    client = redis.Redis(unix_socket_path=server.socket, socket_timeout=0.2)
    live = fl.LiveSessions(sample_detector, state=RedisState(client, key=KEY, retry_s=60))
    live.observe(probe())
    server.process.send_signal(signal.SIGSTOP)
    began = time.perf_counter()
    try:
        assert live.observe(probe(1)).fallback == "no_state"
        waited = time.perf_counter() - began
        began = time.perf_counter()
        assert {live.observe(probe(second)).fallback for second in range(2, 12)} == {"no_state"}
        assert time.perf_counter() - began < waited
    finally:
        server.process.send_signal(signal.SIGCONT)


def test_nothing_in_the_server_names_anybody(server, sample_detector):
    """Neither keys nor values; nor can another key read them."""
    live = worker(server, sample_detector)
    live.observe(request(user="alice-smith", path="/private", country="FR"))
    for second in range(3):
        live.observe(probe(second, "192.0.2.77"))
    client = server.client()
    held = b""
    for name in client.scan_iter():
        kind = client.type(name)
        value = {
            b"hash": client.hgetall,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"string": client.get,
            b"list": lambda key: client.lrange(key, 0, -1),
        }[kind](name)
        held += name + repr(value).encode()
    assert len(held) > 1000
    for text in (b"alice", b"203.0.113", b"192.0.2", b"private", b".env"):
        assert text not in held
    stranger = fl.LiveSessions(sample_detector, state=RedisState(server.client(), key=b"another key"))
    assert stranger.observe(probe(5, "192.0.2.77")).session_id != live.observe(probe(6, "192.0.2.77")).session_id


def test_a_state_that_can_not_be_read_is_begun_anew(server, sample_detector):
    """As after an update with other features, or a stray write."""
    live = worker(server, sample_detector)
    for second in range(3):
        live.observe(probe(second))
    client = server.client()
    for name in client.keys("*:s:*"):
        client.hset(name, "s", b"nonsense that is long enough to hold a nonce")
    decision = live.observe(probe(4))
    assert decision.fallback is None
    assert live.state.peek(probe(5) | live.enricher.event(probe(5))).values[0] == 1


def test_a_shared_state_needs_a_key(server):
    """And takes no snapshot."""
    with pytest.raises(ConfigError, match="needs a key"):
        RedisState(server.client(), key=b"")
    with pytest.raises(ConfigError, match="shared state"):
        fl.LiveSessions(None, state=RedisState(server.client(), key=KEY)).snapshot("s")
