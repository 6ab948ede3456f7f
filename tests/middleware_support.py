"""Requests, applications and live sessions for tests of the middleware."""

from __future__ import annotations

import asyncio
import io
import threading

from fraudlog.errors import ModelError
from fraudlog.serving import LiveSessions

CURL = [(b"user-agent", b"curl/8.5.0"), (b"host", b"example.org")]


class Recording(LiveSessions):
    """A `LiveSessions` that keeps the events it is given."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.events = []

    def observe(self, event):
        self.events.append(dict(event))
        return super().observe(event)


class Failing(LiveSessions):
    """One whose scoring breaks."""

    error = ModelError("damaged")

    def observe(self, _event):
        raise self.error


class Slow(LiveSessions):
    """One that waits, as for a shared state that is gone."""

    def __init__(self):
        super().__init__(None)
        self.back = threading.Event()

    def observe(self, event):
        self.back.wait(30)
        return super().observe(event)


async def hello(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"hello ", "more_body": True})
    await send({"type": "http.response.body", "body": b"world"})


def scope_of(**changes):
    base = {
        "type": "http", "method": "GET", "path": "/a b", "raw_path": b"/a%20b", "query_string": b"q=1",
        "http_version": "1.1", "headers": CURL, "client": ("203.0.113.9", 4711),
    }  # fmt: skip
    return base | changes


def serve(app, scope, messages=()):
    """Run an ASGI application on one scope; return what it sent."""
    sent, waiting = [], list(messages)

    async def receive():
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message):
        sent.append(dict(message))

    asyncio.run(app(scope, receive, send))
    return sent


def environ_of(**changes):
    base = {
        "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/a b", "QUERY_STRING": "q=1", "SERVER_NAME": "x",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "203.0.113.9",
        "HTTP_USER_AGENT": "curl/8.5.0", "HTTP_HOST": "example.org", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.multithread": False,
        "wsgi.multiprocess": False, "wsgi.run_once": False,
    }  # fmt: skip
    return base | changes


def call(app, environ):
    """Run a WSGI application as a server does; return status and body."""
    started = []
    body = app(environ, lambda status, *_: started.append(status) or len)
    try:
        whole = b"".join(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return started[-1], whole


def wsgi_hello(_environ, start_response):
    start_response("201 Created", [("content-type", "text/plain"), ("content-length", "11")])
    return [b"hello ", b"world"]
