"""A service's `observe`: time of each step, of the whole, and with a shared state beside a plain GET and SET.

``python benchmarks/serving.py [EVENTS]``. One thread; the sample log again, request by request, under a detector that
learnt from it as of early events, then requests as `serving_load` makes them, most of them suspicious, so that reasons
are worked out at almost each. The first fifth warms up.
Wall time tells what a request waits, CPU time what it costs; on a loaded machine only the latter can be compared.
"""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from serving_load import fitted, requests

import fraudlog as fl
from fraudlog.serving import RedisState

KEY = b"benchmark" * 3


def timed(name, function, events):
    """Print percentiles of the wall time of a call, and its mean CPU time."""
    warm = len(events) // 5
    for event in events[:warm]:
        function(event)
    gc.freeze()
    wall, cpu = [], time.thread_time()
    for event in events[warm:]:
        began = time.perf_counter_ns()
        function(event)
        wall.append(time.perf_counter_ns() - began)
    used = (time.thread_time() - cpu) / len(wall) * 1e6
    p10, p50, p99 = np.percentile(np.array(wall) / 1000, [10, 50, 99])
    print(f"| {name} | {p10:.0f} | {p50:.0f} | {p99:.0f} | {used:.0f} |", flush=True)


def local(detector, events):
    """Time the steps of one process."""
    enricher = fl.LiveSessions(detector).enricher
    timed("agent, language, address, path (`Enricher.event`)", enricher.event, events)
    full = [event | enricher.event(event) for event in events]
    live = fl.LiveSessions(detector, key=KEY)
    timed("session and features (`LocalState.begin`)", live.state.begin, full)
    seen = [live.state.begin(event) for event in full]
    timed("score with reasons (`Detector.score_one`)", lambda one: detector.score_one(one.values, one.entities), seen)
    live = fl.LiveSessions(detector, key=KEY)
    timed("**`LiveSessions.observe`, all of it**", live.observe, events)


def shared(detector, events):
    """Time a shared state in a server of its own."""
    if shutil.which("redis-server") is None:
        return
    import redis

    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "s")
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            client = redis.Redis(unix_socket_path=socket, socket_timeout=20)
            while not Path(socket).exists():
                time.sleep(0.05)
            timed(
                "GET and SET of 3 kB, by themselves", lambda _: (client.get("x"), client.set("x", b"x" * 3000)), events
            )
            live = fl.LiveSessions(detector, state=RedisState(client, key=KEY))
            timed("**`observe` with `RedisState`**", live.observe, events)
        finally:
            server.terminate()
            server.wait()


def sample():
    """Return a detector that learnt from the sample log, and the log's events as a service has them."""
    log = fl.read_log("data/sample/access.log.gz")
    detector = fl.Detector().fit(fl.build_sessions(log.table, asof=True))
    events = log.table.sort_by("timestamp").drop_columns(["source", "line_number"]).to_pylist()
    return detector, events


def main(n_events: int) -> None:
    """Print both tables."""
    for name, (detector, events) in {
        "sample log": sample(),
        "made up": (fitted(20_000, seed=1), list(requests(n_events))),
    }.items():
        detector.prepare()
        print(f"\n| {name} | p10 us | p50 us | p99 us | CPU us |\n|---|---|---|---|---|")
        local(detector, events)
        shared(detector, events[: n_events // 5])
    began = time.thread_time()
    for _ in range(5_000_000):
        pass
    print(f"\n(a million turns of an empty loop: {(time.thread_time() - began) * 200:.0f} ms of CPU)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
