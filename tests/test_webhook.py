"""The webhook against a real HTTP server: signed, tried again, never sent astray."""

from __future__ import annotations

import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks.webhooks import Webhook as Receiver
from standardwebhooks.webhooks import WebhookVerificationError

from fraudlog.deciding.exports import Webhook
from fraudlog.errors import ConfigError, OutputError

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@contextmanager
def receiving(*answers):
    """Run a server that gives these (status, headers) in turn, the last for ever; yield its URL and what it got."""
    got, waiting = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["content-length"]))))
            status, headers = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def hook(url, waits=None, **options):
    return Webhook(url, SECRET, sleep=(waits if waits is not None else []).append, **options)


def test_a_receiver_can_check_it():
    """By the standard's own library, on the bytes as they came; another secret or body does not pass."""
    with receiving((204, {})) as (url, got):
        assert hook(url).send([{"session_id": "a", "verdict": "deny"}]) == 1
    path, headers, body = got[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert path == "/hook"
    assert Receiver(SECRET).verify(body, headers) == json.loads(body)
    assert json.loads(body) == {"type": "fraudlog.decisions", "data": [{"session_id": "a", "verdict": "deny"}]}
    with pytest.raises(WebhookVerificationError):
        Receiver(SECRET).verify(body.replace(b"deny", b"deni"), headers)
    with pytest.raises(WebhookVerificationError):
        Receiver("whsec_" + base64.b64encode(bytes(32)).decode()).verify(body, headers)


def test_it_is_tried_again_with_growing_waits():
    """Same id, so that a receiver can drop what it has had; each try signed for its own time."""
    waits = []
    with receiving((503, {}), (429, {}), (500, {}), (200, {})) as (url, got):
        hook(url, waits, backoff_s=0.5).send([{"n": 1}])
    ids = {headers["webhook-id"] for _, headers, _ in got}
    assert len(got) == 4
    assert len(ids) == 1
    for wait, full in zip(waits, (0.5, 1.0, 2.0), strict=True):
        assert full / 2 <= wait <= full
    for _, headers, body in got:
        assert Receiver(SECRET).verify(body, headers)


@pytest.mark.parametrize(("asked", "least", "most"), [("7", 7, 7), ("86400", 60, 60), ("soon", 0, 0.5)])
def test_retry_after_is_heeded_up_to_a_minute(asked, least, most):
    """A value that says nothing asks for nothing."""
    waits = []
    with receiving((429, {"retry-after": asked}), (200, {})) as (url, _):
        hook(url, waits).send([{"n": 1}])
    assert least <= waits[0] <= most


def test_a_refusal_is_not_tried_again():
    """400 will be 400 the next time."""
    with receiving((400, {})) as (url, got), pytest.raises(OutputError, match="status 400") as caught:
        hook(url).send([{"n": 1}])
    assert len(got) == 1
    assert url not in str(caught.value)


def test_it_gives_up_and_says_so():
    """After `tries`; and a dead server is as good as 503."""
    with receiving((503, {})) as (url, got), pytest.raises(OutputError, match=r"3 tries \(status 503\)"):
        hook(url, tries=3).send([{"n": 1}])
    assert len(got) == 3
    waits = []
    with pytest.raises(OutputError, match=r"2 tries \(no answer\)"):
        hook(url, waits, tries=2).send([{"n": 1}])
    assert len(waits) == 1


def test_redirects_are_not_followed():
    """Decisions go where they were sent and nowhere else."""
    with (
        receiving((200, {})) as (elsewhere, stolen),
        receiving((307, {"location": elsewhere})) as (url, _),
        pytest.raises(OutputError, match="status 307"),
    ):
        hook(url).send([{"n": 1}])
    assert stolen == []


def test_many_records_are_several_messages():
    """Each with an id of its own; nothing to send is no message."""
    with receiving((200, {})) as (url, got):
        assert hook(url, batch=2).send({"n": i} for i in range(5)) == 3
        assert hook(url).send([]) == 0
    assert [record["n"] for _, _, body in got for record in json.loads(body)["data"]] == list(range(5))
    assert len({headers["webhook-id"] for _, headers, _ in got}) == 3


@pytest.mark.parametrize("url", ["http://example.org/", "ftp://localhost/", "https://", "http://[", "x"])
def test_it_goes_nowhere_in_the_clear(url):
    """Plain HTTP to this machine alone."""
    with pytest.raises(ConfigError, match="must begin with https"):
        Webhook(url, SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "short", "whsec_" + base64.b64encode(bytes(23)).decode(), "é"])
def test_a_weak_secret_is_refused(secret):
    """With how to make one, and without the secret."""
    with pytest.raises(ConfigError, match="openssl rand -base64 32") as caught:
        Webhook("https://example.org/", secret)
    assert not secret or secret not in str(caught.value)
