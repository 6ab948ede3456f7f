"""The recipes of the docs in the real frameworks, and the middleware under a real server."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django.conf
import httpx2 as httpx
import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import path
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from werkzeug.test import Client

from conftest import ROOT
from fraudlog.serving import EventReader, FraudlogASGI, FraudlogWSGI
from middleware_support import Recording

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    import fraudlog as fl

PAGE = (ROOT / "docs" / "middleware.md").read_text("utf-8")
READER = EventReader(["10.0.0.0/8"], session_cookie="sessionid")


def recipe(name: str, live: fl.LiveSessions) -> dict[str, Any]:
    """Run a recipe as the docs have it; return what it made."""
    made: dict[str, Any] = {"live": live, "reader": READER, "__name__": "recipe"}
    exec(compile(re.search(rf"```python {name}\n(.*?)```", PAGE, re.DOTALL)[1], name, "exec"), made)  # noqa: S102
    return made


class Denying(Recording):
    """Denies whoever asked for /.env before."""

    def observe(self, event):
        decision = super().observe(event)
        bad = any(seen["path"] == "/.env" for seen in self.events)
        return type(decision)(**{name: getattr(decision, name) for name in decision.__slots__} | {
            "verdict": "deny" if bad else "allow", "fallback": None,
        })  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["starlette", "fastapi"])
def test_asgi_frameworks(name):
    """The view sees the decision; what it earned is enforced on the next request; a websocket is seen."""
    live = Denying(None)
    app = recipe(name, live)["app"]

    async def socket_view(websocket: WebSocket):
        await websocket.accept()
        await websocket.send_text(websocket.state.fraudlog.verdict)
        await websocket.close()

    app.router.add_websocket_route("/ws", socket_view)
    with TestClient(app, client=("203.0.113.9", 1), headers={"user-agent": "curl/8.5.0"}) as client:
        assert "observe" in client.get("/").text  # no model yet
        assert "allow" in client.get("/").text
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_text() == "allow"
        assert client.get("/.env").status_code == 404
        assert client.get("/").status_code == 403
        with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect("/ws"):
            pass
        assert closed.value.code == 1008
        assert client.get("/", headers={"user-agent": "another"}).status_code == 200
    assert [event["status"] for event in live.events] == [200, 200, 101, 404, 200]
    assert {event["client_ip"] for event in live.events} == {"203.0.113.9"}


def test_fastapi_says_who_logged_in():
    """The recipe's login adds account and outcome to its event."""
    live = Recording(None)
    with TestClient(recipe("fastapi", live)["app"], client=("203.0.113.9", 1)) as client:
        client.post("/login", params={"user": "ann"})
        assert client.post("/login").status_code == 422
    assert [(e["status"], e.get("user"), e.get("outcome")) for e in live.events] == [
        (200, "ann", "failure"),
        (422, None, None),
    ]


def test_an_error_in_a_view_is_a_500():
    """In all of them, and the framework's own page reaches the client."""
    live = Recording(None)
    made = recipe("starlette", live)

    def broken(_request):
        raise RuntimeError("boom")

    made["app"].add_route("/broken", broken)
    with TestClient(made["app"], raise_server_exceptions=False) as client:
        assert client.get("/broken").status_code == 500
    flask = recipe("flask", live)["app"]
    flask.add_url_rule("/broken", view_func=lambda: 1 / 0)
    assert flask.test_client().get("/broken", buffered=True).status_code == 500
    assert [event["status"] for event in live.events] == [500, 500]


def test_flask():
    """By its own test client, through `wsgi_app`."""
    live = Denying(None)
    app = recipe("flask", live)["app"]
    client = app.test_client()
    behind = {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6, 203.0.113.9"}
    assert client.get("/?q=1", environ_overrides=behind).text == "observe"
    assert client.get("/", environ_overrides=behind).text == "allow"
    assert client.get("/.env", environ_overrides=behind, buffered=True).status_code == 404
    assert client.get("/", environ_overrides=behind).status_code == 403
    assert [(e["status"], e["path"], e["query"], e["client_ip"]) for e in live.events] == [
        (200, "/", "q=1", "203.0.113.9"),
        (200, "/", None, "203.0.113.9"),
        (404, "/.env", None, "203.0.113.9"),
    ]


def view(request):
    return HttpResponse(request.META["fraudlog.decision"].verdict)


def async_view(request):
    return HttpResponse(request.scope["state"]["fraudlog"].verdict)


urlpatterns = [path("", view), path("asgi", async_view)]


@pytest.fixture(scope="module")
def _django():
    if not django.conf.settings.configured:
        django.conf.settings.configure(
            ROOT_URLCONF=__name__, SECRET_KEY="x" * 50, ALLOWED_HOSTS=["*"], USE_TZ=True, MIDDLEWARE=[], DEBUG=False
        )


@pytest.mark.usefixtures("_django")
def test_django():
    """The recipe's WSGI application; the same through ASGI."""
    live = Denying(None)
    client = Client(recipe("django", live)["application"])
    assert client.get("/").text == "observe"
    assert client.get("/.env", buffered=True).status_code == 404
    assert client.get("/").status_code == 403
    assert [event["status"] for event in live.events] == [200, 404]


@pytest.mark.usefixtures("_django")
def test_django_asgi():
    """By `get_asgi_application`."""
    import asyncio  # noqa: PLC0415 -- for this one

    live = Recording(None)
    app = FraudlogASGI(get_asgi_application(), live)
    scope = {
        "type": "http", "method": "GET", "path": "/asgi", "query_string": b"", "headers": [(b"host", b"x")],
        "client": ("203.0.113.9", 1), "http_version": "1.1",
    }  # fmt: skip

    async def ask():
        talk = ApplicationCommunicator(app, scope)
        await talk.send_input({"type": "http.request", "body": b""})
        start = await talk.receive_output(5)
        body = await talk.receive_output(5)
        await talk.wait()
        return start["status"], body["body"]

    assert asyncio.run(ask()) == (200, b"observe")
    assert live.events[0]["status"] == 200


# --- real servers ---


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Uvicorn(threading.Thread):
    """A uvicorn of the test's own, in a thread."""

    def __init__(self, app):
        super().__init__()
        import uvicorn  # noqa: PLC0415 -- for these tests alone

        self.port = free_port()
        config = uvicorn.Config(app, port=self.port, log_level="critical", proxy_headers=False, ws="none")
        self.server = uvicorn.Server(config)

    def run(self):
        self.server.run()

    def __enter__(self):
        self.start()
        for _ in range(200):
            if self.server.started:
                return self
            time.sleep(0.02)
        raise AssertionError("uvicorn did not start")

    def __exit__(self, *_raised):
        self.server.should_exit = True
        self.join(10)


def test_uvicorn_takes_100_mb_and_clients_that_leave():
    """A body of 100 MB is counted by the application; one that hangs up halfway leaves the server well."""

    async def counting(_scope, receive, send):
        total, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            total, more = total + len(message.get("body", b"")), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": str(total).encode()})

    live = Recording(None)
    with Uvicorn(FraudlogASGI(counting, live)) as server:
        url = f"http://127.0.0.1:{server.port}/up"
        chunk = bytes(1 << 20)
        answer = httpx.post(url, content=(chunk for _ in range(100)), timeout=60)
        assert answer.text == str(100 << 20)
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(b"POST /left HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc")
        with socket.create_connection(("127.0.0.1", server.port)) as odd:
            odd.sendall(b"GET /odd HTTP/1.1\r\nhost: x\r\nuser-agent: \xff\xfe\r\nconnection: close\r\n\r\n")
            assert b"200 OK" in odd.recv(1000)
        assert httpx.get(url).text == "0"
        for _ in range(100):
            if len(live.events) == 4:
                break
            time.sleep(0.02)
    by_path = {event["path"]: event for event in live.events}
    assert by_path["/left"]["status"] is None
    assert by_path["/odd"]["user_agent"] == "\\xff\\xfe"
    assert by_path["/up"]["client_ip"] == "127.0.0.1"


def test_wsgiref_serves_it():
    """The standard library's server: a generator, an error in the middle, a HEAD."""

    def app(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        yield environ["fraudlog.decision"].verdict.encode()
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError("boom")

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_arguments):
            pass

        def get_stderr(self):
            return io.StringIO()

    live = Recording(None)
    with make_server("127.0.0.1", 0, FraudlogWSGI(app, live), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            assert httpx.get(f"{url}/a%20b?q=1").text == "observe"
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{url}/broken")
            httpx.head(f"{url}/head")
        finally:
            server.shutdown()
            thread.join()
    assert [(event["path"], event["query"], event["status"]) for event in live.events] == [
        ("/a%20b", "q=1", 200),
        ("/broken", None, 200),
        ("/head", None, 200),
    ]


def test_no_framework_is_imported():
    """The middlewares are plain callables."""
    code = (
        "import sys, fraudlog.serving.asgi, fraudlog.serving.wsgi\n"
        "print([m for m in ('starlette', 'fastapi', 'flask', 'django', 'werkzeug', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
