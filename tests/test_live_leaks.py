"""Planted identifiers come out of a live service nowhere: Redis, snapshot, logs, decisions, webhooks, errors."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
import urllib.parse
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

import fraudlog as fl
from conftest import ROOT
from fraudlog.deciding.exports import EXPORTS
from fraudlog.detecting.model_file import read_model
from fraudlog.errors import FraudlogError
from fraudlog.schema import EVENTS
from fraudlog.serving.snapshot import _seal_key
from fraudlog.serving.state import LocalState
from job_support import small_model
from leak_support import contents, hits
from live_service import NAMES
from planted_person import ADDRESS, ELSEWHERE, FIRST, OTHER, SECOND, TOKEN, Planted, fit, sessions_of
from test_webhook import SECRET, receiving

if TYPE_CHECKING:
    from pathlib import Path

PEOPLE = [
    {
        "address": ("185.199.{0}.77" if n % 2 else "2a01:4f8:{0:x}:1234::77").format(100 + n),
        "account": f"planted.account{n:03}",
        "mail": f"planted{n:03}@mail{n}.example",
        "token": f"plantedtoken{n:03}{n * 7919:08x}",
        "device": f"planted-device-{n:03}",
    }
    for n in range(12)
]
PLANTED = [value for person in PEOPLE for value in person.values()]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


@contextmanager
def service(kind: str, folder: Path, model: Path, socket: str = "-"):
    """Run the service; yield its port, and afterwards leave in ``shown`` what it wrote to its terminal."""
    command = [sys.executable, str(ROOT / "tests" / "live_service.py"), kind, str(folder), str(model)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "PYTHONWARNINGS": "default"}
    with (
        (folder / "shown").open("wb") as shown,
        subprocess.Popen([*command, socket], env=environment, stdout=shown, stderr=subprocess.STDOUT) as running,
    ):
        try:
            for _ in range(2400):
                if (folder / "port").exists() and (folder / "port").read_text():
                    break
                assert running.poll() is None, (folder / "shown").read_text()
                time.sleep(0.05)
            yield int((folder / "port").read_text())
        finally:
            running.terminate()
            running.wait(20)


def ask(port: int, person: dict[str, str], path: str, **headers: str) -> int:
    """Send one request that bears a person's identifiers wherever one can."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    query = urllib.parse.urlencode({"mail": person["mail"], "id": person["device"]})
    sent = {
        "X-Forwarded-For": person["address"],
        "Cookie": f"a=b; sessionid={person['token']}",
        "Authorization": f"Bearer {person['token']}",
        "X-Account": person["account"],
        "Referer": f"https://{person['account']}:pw@a.example/?who={person['mail']}",
        "User-Agent": f"Mozilla/5.0 (X11; Linux) Firefox/128.0 ({person['mail']})",
        "Accept-Language": "en",
    }
    connection.request("GET", f"{path}?{query}", headers=sent | headers)
    status = connection.getresponse().status
    connection.close()
    return status


def visit(port: int) -> None:
    """Everybody comes, some to probe; some requests have no account yet; the application breaks too."""
    for step in range(4):
        for n, person in enumerate(PEOPLE):
            own = urllib.parse.quote(person["mail"], safe="")
            paths = (f"/u/{own}", "/.env", "/login", "/wp-login.php" if n % 3 else f"/t/{person['token']}")
            assert ask(port, person, paths[(step + n) % 4], **({} if step else {"X-Account": ""})) == 404
    assert ask(port, PEOPLE[0], "/boom") == 500


def of_terminal_and_decisions(folder: Path) -> bytes:
    """Return what the service logged and what it was told, after a look that there is something in it."""
    shown, told = (folder / "shown").read_bytes(), (folder / "decisions.log").read_bytes()
    assert b"a request was served without a score: ValueError" in shown
    assert b"Traceback" in shown
    assert b"RuntimeError: boom" in shown
    assert told.count(b"\n") > 20
    assert b'"challenge"' in told
    return shown + told


def test_redis_and_the_logs_of_a_real_asgi_server(tmp_path, model):
    """Keys, values, the append-only file and every command that the server saw; two round trips, all sealed."""
    redis = pytest.importorskip("redis", reason="the extra redis is not installed")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    (base := tmp_path / "redis").mkdir()
    socket = str(base / "r.sock")
    options = ["--appendonly", "yes", "--appendfsync", "always", "--slowlog-log-slower-than", "0"]
    options += ["--slowlog-max-len", "100000", "--loglevel", "debug", "--logfile", str(base / "redis.log")]
    command = ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", str(base), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            client = redis.Redis(unix_socket_path=socket, socket_timeout=20)
            _until_it_answers(client, redis)
            with service("asgi", tmp_path, model, socket) as port:
                visit(port)
                time.sleep(0.5)  # what is answered is taken in by a thread
            seen = _held(client) + repr(client.slowlog_get(100_000)).encode()
            assert seen.count(b"EVALSHA") > 40
            client.save()
        finally:
            server.terminate()
            server.wait()
    files = [path for path in base.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".rdb", ".aof", ".log"}
    seen += b"".join(path.read_bytes() for path in files)
    assert len(seen) > 100_000
    assert hits(PLANTED, seen + of_terminal_and_decisions(tmp_path)) == []


def _until_it_answers(client, redis) -> None:
    for _ in range(200):
        try:
            client.ping()
        except redis.exceptions.RedisError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


def _held(client) -> bytes:
    """Return all keys and values, whatever their type."""
    read = {
        b"hash": client.hgetall,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
    }
    rows = [(name, read[client.type(name)](name)) for name in client.scan_iter()]
    assert len(rows) > 20
    return b"".join(name + repr(value).encode() for name, value in rows)


def test_snapshot_and_logs_of_a_real_wsgi_server(tmp_path, model):
    """The file as it lies there, and every array in it unpacked."""
    with service("wsgi", tmp_path, model) as port:
        visit(port)
        assert ask(port, PEOPLE[1], "/snapshot") == 404
    path = tmp_path / "live.fraudlog"
    arrays, manifest = read_model(path, key=_seal_key(LocalState(key=NAMES.session_key)))
    rows = json.loads(arrays["sessions"].tobytes())
    assert len(rows) >= len(PEOPLE) // 2  # a third of the requests broke
    opened = b"".join(array.tobytes() for array in arrays.values()) + json.dumps(manifest).encode()
    assert NAMES.tokens([PEOPLE[0]["account"]], "user")[0].encode() in opened
    assert hits(PLANTED, opened + path.read_bytes() + of_terminal_and_decisions(tmp_path)) == []


_MISFIT = [
    {column.name: value}
    for column in EVENTS
    for value in (PEOPLE[0]["mail"], PEOPLE[2]["address"].encode(), [PEOPLE[1]["account"]], {"a": PEOPLE[1]["token"]})
]


def test_no_error_of_a_live_event_names_anybody():
    """Whatever a service puts into an event by mistake: the text of the error, its causes and its traceback."""
    live = fl.LiveSessions(None)
    whole = {"client_ip": PEOPLE[3]["address"], "user": PEOPLE[3]["account"], "timestamp": 1_760_000_000_000_000}
    texts = []
    for misfit in _MISFIT:
        try:
            live.observe(whole | misfit)
        except (FraudlogError, TypeError, ValueError) as error:
            texts.append("".join(traceback.format_exception(error)))
    assert len(texts) > len(_MISFIT) // 2
    assert hits(PLANTED, "".join(texts).encode()) == []


def test_a_naive_time_is_told_without_whose_it_is():
    """The error says what to do, and no more."""
    with pytest.raises(FraudlogError) as caught:
        fl.LiveSessions(None).observe({"timestamp": datetime(2026, 1, 1), "user": PLANTED[1], "path": PLANTED[2]})  # noqa: DTZ001
    assert hits(PLANTED, "".join(traceback.format_exception(caught.value)).encode()) == []


def test_webhooks_carry_no_account_and_no_address(tmp_path, monkeypatch):
    """Of a job's store, to a real receiver: networks that the verdicts are of, and no more."""
    model = fit(sessions_of(FIRST), tmp_path / "model.fraudlog", [OTHER])
    site = Planted(tmp_path / "site", (model, model), FIRST, SECOND, **{"retrain.every_days": 0})
    monkeypatch.setenv("FRAUDLOG_WEBHOOK_SECRET", SECRET)
    with receiving((204, {})) as (url, got):
        command = [sys.executable, "-m", "fraudlog", "export", str(site.file), "--as", "webhook", "--url", url]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
    sent = b"".join(body + repr(headers).encode() for _, headers, body in got)
    networks = {row["network"] for _, _, body in got for row in json.loads(body)["data"]}
    assert "93.184.216.0/24" in networks
    whose = ["alice7", ADDRESS, ELSEWHERE, TOKEN, "d-alice", *(f"user{n}" for n in range(30))]
    spelt = sent + done.stdout + done.stderr
    assert hits([one for one in whose if len(one) >= 8], spelt) == []
    assert not [one for one in ("alice7", "d-alice", TOKEN) if one.encode() in spelt]
    left = b"".join(contents(path) for path in (site.store / "ledger").rglob("*") if path.is_file())
    assert not [one for one in ("alice7", "d-alice", TOKEN, ADDRESS, ELSEWHERE) if one.encode() in left]


def test_what_names_somebody_by_its_purpose_is_listed():
    """Each format of lists, and the webhook, stands in the docs' table with its reason; a new one must be added."""
    page = (ROOT / "docs" / "privacy.md").read_text("utf-8")
    table = page.partition("## What names somebody by its purpose")[2].partition("\n## ")[0]
    for name in (*EXPORTS, "webhook", "privacy access", "Decision.target"):
        assert f"`{name}`" in table, name
