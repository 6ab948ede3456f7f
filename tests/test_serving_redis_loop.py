"""A shared state behind an event loop and on a cluster: the loop never waits, a server that dies costs scores only."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing

import pytest

import fraudlog as fl
from fraudlog.serving import FraudlogASGI, RedisState
from middleware_support import hello, scope_of
from serving_support import KEY, probe
from test_serving_redis import Server, plain, redis, worker

needs_server = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
pytestmark = needs_server


@pytest.fixture
def server(tmp_path_factory):
    """A running server."""
    running = Server(tmp_path_factory.mktemp("r"))
    yield running
    running.stop(signal.SIGKILL)


def service(server, detector, *, timeout_s=1.0, **options):
    """An application whose sessions lie in Redis."""
    client = redis.Redis(unix_socket_path=server.socket, socket_timeout=timeout_s)
    state = RedisState(client, key=KEY, retry_s=options.pop("retry_s", 0.1))
    return FraudlogASGI(hello, fl.LiveSessions(detector, fl.Policy(fallback="challenge"), state=state), **options)


async def ask(app, client="203.0.113.9"):
    """Send one request through; returns its decision."""
    scope, sent = scope_of(raw_path=b"/.env", client=(client, 1)), []

    async def send(message):
        sent.append(message)

    await app(scope, None, send)
    assert [message.get("body") for message in sent] == [None, b"hello ", b"world"]
    return scope["state"]["fraudlog"]


async def ticking(work):
    """Run work beside a clock that ticks every few milliseconds; returns its result and the longest silence."""
    gaps, last = [0.0], time.perf_counter()

    async def tick():
        nonlocal last
        while True:
            await asyncio.sleep(0.002)
            gaps.append(time.perf_counter() - last)
            last = time.perf_counter()

    clock = asyncio.ensure_future(tick())
    result = await work
    clock.cancel()
    return result, max(gaps)


def test_the_loop_goes_on_while_redis_hangs(server, sample_detector):
    """The request has its fallback by the deadline, long before Redis' own timeout; nobody else waits even for that."""
    app = service(server, sample_detector, timeout_s=4.0)
    asyncio.run(ask(app))
    app._timed._pool.submit(int).result()
    server.process.send_signal(signal.SIGSTOP)
    try:
        began = time.perf_counter()
        decision, silence = asyncio.run(ticking(ask(app, "192.0.2.1")))
        took = time.perf_counter() - began
    finally:
        server.process.send_signal(signal.SIGCONT)
    app._timed._pool.shutdown()
    assert (decision.verdict, decision.fallback) == ("challenge", "too_slow")
    assert took < 3.0
    assert silence < 2.0


def test_a_state_in_this_process_needs_no_threads(sample_detector):
    """There it is the threads that would cost."""
    assert FraudlogASGI(hello, fl.LiveSessions(sample_detector))._timed is None


def test_a_server_killed_midway_costs_scores_and_no_requests(server, sample_detector):
    """Two hundred requests at once, Redis killed among them; all are served, and when it is back they are scored."""

    async def crowd():
        waiting = [asyncio.ensure_future(ask(app, f"192.0.{i}.1")) for i in range(200)]
        await waiting[40]
        server.process.send_signal(signal.SIGKILL)
        return await asyncio.gather(*waiting)

    app = service(server, sample_detector, deadline_s=20.0)
    decisions = asyncio.run(crowd())
    assert len(decisions) == 200
    server.process.wait()
    assert asyncio.run(ask(app, "198.51.100.1")).session_id  # judged by what it shows itself
    app._timed._pool.submit(int).result()
    (server.folder / "redis.sock").unlink()
    server.start()
    time.sleep(0.2)
    live = app.judge.live
    assert live.observe(probe(0, "192.0.2.1")).fallback is None
    assert live.observe(probe(1, "192.0.2.1")).risk is not None
    app._timed._pool.shutdown()


@pytest.fixture
def cluster(tmp_path_factory):
    """A server in cluster mode that holds all slots: it refuses a script whose keys lie in several."""
    ports = []
    for _ in range(2):
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    folder = str(tmp_path_factory.mktemp("c"))
    command = ["redis-server", "--port", str(ports[0]), "--cluster-enabled", "yes", "--cluster-port", str(ports[1])]
    process = subprocess.Popen([*command, "--save", "", "--dir", folder], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=ports[0], socket_timeout=20)
    try:
        for _ in range(200):
            try:
                client.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
                break
            except redis.exceptions.ConnectionError:
                time.sleep(0.05)
        while client.cluster("INFO")["cluster_state"] != "ok":
            time.sleep(0.05)
        yield ports[0]
    finally:
        process.kill()
        process.wait()


def test_a_cluster_takes_it(cluster, sample_detector):
    """Through a client of a cluster; each decision is that of one process."""
    alone = fl.LiveSessions(sample_detector, key=KEY)
    client = redis.cluster.RedisCluster(host="127.0.0.1", port=cluster)
    live = fl.LiveSessions(sample_detector, state=RedisState(client, key=KEY))
    for second in range(6):
        event = probe(second, f"203.0.{second % 3}.9", user="ann" if second % 2 else None)
        assert plain(live.observe(event)) == plain(alone.observe(event))
    keys = [key.decode() for key in redis.Redis(port=cluster).keys("*")]
    assert len(keys) > 8
    assert len({redis.crc.key_slot(key.encode()) for key in keys}) == 1
    client.close()


def test_workers_share_the_days_reviews(server, sample_detector):
    """What one gave out the other has no more; a session keeps its own."""
    policy = fl.Policy(daily_reviews=1)
    first, second = worker(server, sample_detector, policy), worker(server, sample_detector, policy)
    for at in range(3):
        one = first.observe(probe(at, "203.0.1.9"))
        two = second.observe(probe(at, "203.0.2.9"))
    assert [one.verdict, two.verdict] == ["challenge", "observe"]
    assert second.observe(probe(4, "203.0.1.9")).verdict == "challenge"


def test_a_server_that_is_gone_is_asked_once(server, sample_detector):
    """redis-py would ask four times, seconds apart, whatever the socket's timeout."""
    live = worker(server, sample_detector, retry_s=0.0)
    live.observe(probe())
    server.stop(signal.SIGKILL)
    began = time.perf_counter()
    assert {live.observe(probe(second)).fallback for second in range(1, 11)} == {"no_state"}
    assert time.perf_counter() - began < 3.0
