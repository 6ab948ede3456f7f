"""What the middleware costs: beside the bare application in this process, and under uvicorn with wrk.

``python benchmarks/middleware.py`` (about two minutes; wrk and uvicorn for the second half).

CPU time of each request, measured in turn with and without the middleware on the same request of the sample log; what
the session and the score take is measured inside and taken off, so that what is left is the middleware's own.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np

import fraudlog as fl
from fraudlog.serving import EventReader, FraudlogASGI, FraudlogWSGI, LiveSessions

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "data" / "sample" / "access.log.gz"
SERVER = """
import os, sys, gc
from fraudlog.serving import EventReader, FraudlogASGI, LiveSessions
import fraudlog as fl
async def bare(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
model = os.environ["MODEL"]
if os.environ["ARM"] == "bare":
    app = bare
else:
    detector = None if os.environ["ARM"] == "no model" else fl.Detector.load(model).prepare()
    app = FraudlogASGI(bare, LiveSessions(detector), reader=EventReader(["127.0.0.0/8"]))
"""


class Timed(LiveSessions):
    """Adds up the CPU time that sessions and scores take."""

    spent = 0

    def observe(self, event):
        """Take a request in, timed."""
        began = time.thread_time_ns()
        try:
            return super().observe(event)
        finally:
            Timed.spent += time.thread_time_ns() - began

    def peek(self, key):
        """Look at a session, timed."""
        began = time.thread_time_ns()
        try:
            return super().peek(key)
        finally:
            Timed.spent += time.thread_time_ns() - began


async def app(_scope, _receive, send):
    """Answer two bytes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def wsgi_app(_environ, start_response):
    """Answer two bytes."""
    start_response("200 OK", [])
    return [b"ok"]


def scopes(events):
    """Give the sample's requests as a server behind one proxy would."""
    for row in events[["client_ip", "method", "path", "query", "user_agent", "referrer"]].to_dict("records"):
        headers = [
            (name, value.encode())
            for name, value in ((b"user-agent", row["user_agent"]), (b"referer", row["referrer"]))
            if isinstance(value, str)
        ]
        headers += [(b"x-forwarded-for", row["client_ip"].encode()), (b"host", b"x"), (b"accept", b"*/*")]
        path = row["path"] if isinstance(row["path"], str) else "/"
        yield {
            "type": "http", "method": row["method"], "path": path, "raw_path": path.encode(),
            "query_string": b"", "http_version": "1.1", "headers": headers, "client": ("127.0.0.1", 1),
        }  # fmt: skip


def environ_of(scope):
    """Return the same request for WSGI."""
    named = {f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode() for name, value in scope["headers"]}
    return named | {
        "REQUEST_METHOD": scope["method"], "PATH_INFO": scope["path"], "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip


async def timed(called, scope):
    """Return nanoseconds of CPU of one ASGI request."""

    async def send(_message):
        pass

    began = time.thread_time_ns()
    await called(scope, None, send)
    return time.thread_time_ns() - began


def timed_wsgi(called, environ):
    """Return nanoseconds of CPU of one WSGI request."""
    began = time.thread_time_ns()
    body = called(environ, lambda *_: print)
    b"".join(body)
    return time.thread_time_ns() - began


async def in_process(detector, requests):
    """Return microseconds a request by arm: bare, the middleware's own, sessions and score.

    Of three middlewares that see the same requests the cheapest counts, request by request: what one alone was
    slowed down by was the machine.
    """
    reader = EventReader(["127.0.0.0/8"])
    found = {}
    for name, bare_app, kind in (("ASGI", app, FraudlogASGI), ("WSGI", wsgi_app, FraudlogWSGI)):
        guarded = [kind(bare_app, Timed(detector), reader=reader) for _ in range(3)]
        for one in guarded:
            one.judge._alone.__class__ = Timed  # noqa: SLF001 -- first requests are scored there
        rows = [[await _one_request(name, bare_app, one, scope) for one in guarded] for scope in requests]
        if failures := sum((one.judge.failures for one in guarded), Counter()):
            raise SystemExit(f"not all were scored: {failures}")
        found[name] = np.array(rows)[len(rows) // 10 :].min(axis=1) / 1e3  # the first tenth fills caches
    return found


async def _one_request(name, bare_app, guarded, scope):
    """Return nanoseconds of one request: bare, the middleware's own, sessions and score."""
    if name == "ASGI":
        bare = await timed(bare_app, dict(scope))
        Timed.spent = 0
        whole = await timed(guarded, dict(scope))
    else:
        bare = timed_wsgi(bare_app, environ_of(scope))
        Timed.spent = 0
        whole = timed_wsgi(guarded, environ_of(scope))
    return bare, whole - Timed.spent - bare, Timed.spent


def print_in_process(found):
    """Print the table of `in_process`."""
    print("| CPU us a request, p50 / p99 | bare | middleware's own | sessions and score |")
    print("|---|---|---|---|")
    for name, rows in found.items():
        cells = [f"{np.percentile(column, 50):,.0f} / {np.percentile(column, 99):,.0f}" for column in rows.T]
        print(f"| {name} | " + " | ".join(cells) + " |")


def under_load(model, seconds=6):
    """Print what wrk measures of a uvicorn worker, with and without the middleware, in turn."""
    wrk = shutil.which("wrk")
    if wrk is None:
        print("wrk is not installed")
        return
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "served.py").write_text(SERVER)
        script = Path(folder) / "clients.lua"
        # 200 clients in turn, each with an address and one of 20 agents.
        script.write_text(
            "local n = 0\nrequest = function()\n  n = n + 1\n"
            '  local ip = string.format("203.%d.%d.%d", n % 8, n % 5, n % 50)\n'
            '  return wrk.format("GET", "/p/" .. n % 300, {["x-forwarded-for"] = ip, '
            '["user-agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:" .. 100 + n % 20 .. ".0) Firefox/128.0",'
            '["accept-language"] = "en"})\nend\n'
        )
        print("\n| uvicorn, 1 worker, wrk -c 8 | requests/s | p50 ms | p99 ms | errors |")
        print("|---|---|---|---|---|")
        for arm in ("bare", "no model", "scored") * 2:
            print(f"| {arm} | " + " | ".join(_one_arm(wrk, script, folder, arm, model, seconds)) + " |", flush=True)


def _one_arm(wrk, script, folder, arm, model, seconds):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = os.environ | {"ARM": arm, "MODEL": str(model), "PYTHONPATH": f"{ROOT / 'src'}:{folder}"}
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port", str(port), "--log-level", "critical"]
    command += ["--no-access-log", "--no-proxy-headers"]
    server = subprocess.Popen(command, env=env, cwd=folder)
    try:
        for _ in range(2400):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            raise SystemExit("uvicorn did not start")
        url = f"http://127.0.0.1:{port}/"
        for length in (2, seconds):  # the first run warms up
            done = subprocess.run(
                [wrk, "-t1", "-c8", f"-d{length}s", "--latency", "-s", str(script), url],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
    finally:
        server.terminate()
        server.wait(20)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]
    times = {share: _milliseconds(done.stdout, share) for share in ("50%", "99%")}
    errors = re.search(r"(Socket errors.*|Non-2xx.*)", done.stdout)
    return f"{float(rate):,.0f}", f"{times['50%']:.2f}", f"{times['99%']:.2f}", errors[1] if errors else "0"


def _milliseconds(text, share):
    value, unit = re.search(rf"{share}\s+([\d.]+)(us|ms|s)", text).groups()
    return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]


def main():
    """Measure both."""
    log = fl.read_log(SAMPLE)
    detector = fl.Detector().fit(fl.build_sessions(log.table, asof=True)).prepare()
    requests = list(scopes(log.events))[: int(os.environ.get("REQUESTS", "5000"))]
    print_in_process(asyncio.run(in_process(detector, requests)))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.fraudlog"
        detector.save(model)
        under_load(model)


if __name__ == "__main__":
    main()
