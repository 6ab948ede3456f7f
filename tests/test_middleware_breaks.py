"""Whatever goes wrong in scoring, in the application or on the wire, the middleware breaks nothing."""

from __future__ import annotations

import asyncio
import functools
import io
import threading
from wsgiref.util import FileWrapper

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog as fl
from fraudlog.errors import ConfigError, FraudlogError, ModelError
from fraudlog.serving import EventReader, FraudlogASGI, FraudlogWSGI, LiveSessions
from middleware_support import Failing, Recording, Slow, call, environ_of, hello, scope_of, serve, wsgi_hello

# --- nothing breaks the application ---


@pytest.mark.parametrize(
    "error",
    [ModelError("damaged"), FraudlogError("x"), KeyError("x"), TypeError("x"), ZeroDivisionError(), OSError("x")],
)
def test_a_broken_score_is_a_fallback(error, caplog):
    """The request is served; the failure is counted, logged without its text, and said in the decision."""
    live = Failing(None, fl.Policy(fallback="observe"))
    live.error = error
    told = []
    middleware = FraudlogASGI(hello, live)
    middleware.judge._alone.observe = live.observe
    middleware.app = lambda scope, receive, send: told.append(scope["state"]["fraudlog"]) or hello(scope, receive, send)
    assert len(serve(middleware, scope_of())) == 3
    assert (told[0].verdict, told[0].fallback) == ("observe", "scoring_failed")
    assert middleware.judge.failures == {type(error).__name__: 2}
    assert "damaged" not in caplog.text
    assert type(error).__name__ in caplog.text


@pytest.mark.parametrize("mean", [{"client": (None, None)}, {"headers": [(b"user-agent", None)]}, {"path": None}])
def test_an_odd_server_is_a_fallback_too(mean):
    """What can't be read is served without a score."""
    live = Recording(None)
    middleware = FraudlogASGI(hello, live)
    assert len(serve(middleware, scope_of(raw_path=None) | mean)) == 3


def test_a_slow_score_is_not_waited_for():
    """With a deadline, in both; without one it is the service's own choice to wait."""
    live = Slow()
    app, guarded = FraudlogASGI(hello, live, deadline_s=0.02), FraudlogWSGI(wsgi_hello, live, deadline_s=0.02)
    app.judge._alone.observe = guarded.judge._alone.observe = live.observe
    scope, environ = scope_of(), environ_of()
    try:
        serve(app, scope)
        call(guarded, environ)
    finally:
        live.back.set()
    assert scope["state"]["fraudlog"].fallback == environ["fraudlog.decision"].fallback == "too_slow"
    assert app.judge.failures["TooSlow"] == guarded.judge.failures["TooSlow"] == 1
    with pytest.raises(ConfigError, match="above 0"):
        FraudlogASGI(hello, live, deadline_s=0)


def test_a_deadline_still_takes_everything_in():
    """A moment later."""
    live = Recording(None)
    app = FraudlogASGI(hello, live, deadline_s=5)
    for _ in range(3):
        serve(app, scope_of())
    app._timed._pool.shutdown()
    assert [event["status"] for event in live.events] == [201] * 3


def test_an_application_that_raises_is_a_500():
    """The error goes on to the server; a status that was sent stays."""

    async def broken(_scope, _receive, _send):
        raise RuntimeError("boom")

    async def half(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("boom")

    def wsgi_broken(_environ, _start_response):
        raise RuntimeError("boom")

    def wsgi_half(_environ, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise RuntimeError("boom")

    live = Recording(None)
    for app in (broken, half):
        with pytest.raises(RuntimeError, match="boom"):
            serve(FraudlogASGI(app, live), scope_of())
    for app in (wsgi_broken, wsgi_half):
        with pytest.raises(RuntimeError, match="boom"):
            call(FraudlogWSGI(app, live), environ_of())
    assert [event["status"] for event in live.events] == [500, 200, 500, 200]


def test_a_client_that_goes_away_is_taken_in():
    """Cancelled, or the send refused; and a WSGI body that is closed halfway."""

    async def endless(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 10, "more_body": True})
            await asyncio.sleep(0.001)

    async def cancelled():
        sent, enough = [], asyncio.Event()

        async def send(message):
            sent.append(message)
            if len(sent) > 3:
                enough.set()

        task = asyncio.ensure_future(FraudlogASGI(endless, live)(scope_of(), None, send))
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def refusing():
        async def send(message):
            if message["type"] == "http.response.body":
                raise OSError("gone")

        with pytest.raises(OSError, match="gone"):
            await FraudlogASGI(endless, live)(scope_of(), None, send)

    live = Recording(None)
    asyncio.run(cancelled())
    asyncio.run(refusing())
    body = iter(
        opened := FraudlogWSGI(lambda _, s: s("200 OK", []) and iter([b"a"] * 9), live)(environ_of(), lambda *_: print)
    )
    next(body)
    opened.close()
    assert [event["status"] for event in live.events] == [200, 200, 200]
    assert live.events[0]["bytes_sent"] > 10
    assert live.events[2]["bytes_sent"] == 1


def test_a_websocket_is_one_event_when_it_opens():
    """101 for one that was accepted, 403 for one that was not; its messages pass untouched."""

    async def echo(_scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        await send({"type": "websocket.close", "code": 1000})

    async def rejecting(_scope, receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    live = Recording(None)
    scope = scope_of(type="websocket")
    del scope["method"]
    messages = [{"type": "websocket.connect"}, *[{"type": "websocket.receive", "text": str(i)} for i in range(3)]]
    sent = serve(FraudlogASGI(echo, live), scope, messages)
    assert [message.get("text") for message in sent] == [None, "0", "1", "2", None]
    serve(FraudlogASGI(rejecting, live), dict(scope), messages)
    assert [(event["status"], event["method"]) for event in live.events] == [(101, "GET"), (403, "GET")]


def test_lifespan_passes_through():
    """And whatever else a server may invent."""
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["type"], await receive(), send))

    for kind in ("lifespan", "quic"):
        serve(FraudlogASGI(app, Recording(None)), {"type": kind}, [{"type": f"{kind}.startup"}])
    assert [kind for kind, _, _ in seen] == ["lifespan", "quic"]


def test_a_large_body_streams_through():
    """100 MB up and down, chunk by chunk and the same objects: nothing is gathered or copied."""
    chunk = bytes(1 << 20)

    async def mirror(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            assert message["body"] is chunk
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    passed = []

    async def run():
        left = [100]

        async def receive():
            left[0] -= 1
            return {"type": "http.request", "body": chunk, "more_body": left[0] > 0}

        async def send(message):
            passed.append(message.get("body"))

        await FraudlogASGI(mirror, live)(scope_of(method="POST"), receive, send)

    live = Recording(None)
    asyncio.run(run())
    assert sum(body is chunk for body in passed) == 100
    body = FraudlogWSGI(lambda _, s: s("200 OK", []) and (chunk for _ in range(100)), live)(
        environ_of(), lambda *_: print
    )
    assert all(part is chunk for part in body)
    assert [event["bytes_sent"] for event in live.events] == [100 << 20] * 2


def test_a_file_is_left_to_the_server():
    """Its own wrapper comes back as it was, so that it may use sendfile; its size is not known."""
    live = Recording(None)
    file = FileWrapper(io.BytesIO(b"x"))
    environ = environ_of(**{"wsgi.file_wrapper": FileWrapper})
    assert FraudlogWSGI(lambda _, s: s("200 OK", []) and file, live)(environ, lambda *_: print) is file
    assert live.events[0]["bytes_sent"] is None
    assert live.events[0]["status"] == 200


_bytes = st.binary(max_size=60)


@settings(max_examples=80)
@given(
    st.lists(st.tuples(st.sampled_from([b"user-agent", b"host", b"cookie", b"x-forwarded-for", b"referer",
                                        b"accept-language", b"sec-ch-ua", b"x"]), _bytes), max_size=6),
    _bytes, _bytes, st.text(max_size=8), st.one_of(st.none(), st.text(max_size=8)),
)  # fmt: skip
def test_no_request_is_too_odd(headers, path, query, method, peer):
    """Any bytes anywhere: an answer, no failure, and text that any encoder takes."""
    app, live = _guarded()
    live.events.clear()
    scope = scope_of(headers=headers, raw_path=path, query_string=query, method=method, client=peer and (peer, 1))
    assert len(serve(app, scope)) == 3
    assert not app.judge.failures
    for value in live.events[0].values():
        assert not isinstance(value, str) or value.encode()


@functools.cache
def _guarded():
    live = Recording(None)
    return FraudlogASGI(hello, live, reader=EventReader(["10.0.0.0/8"], session_cookie="sid")), live


def test_long_values_are_cut_and_flagged():
    """As the reader of logs cuts them: engines for agents take seconds on long ones."""
    live = Recording(None)
    serve(FraudlogASGI(hello, live), scope_of(headers=[(b"user-agent", b"x" * 70_000)]))
    assert len(live.events[0]["user_agent"]) == 1024
    assert live.events[0]["is_truncated"] is True


def test_many_threads_at_once():
    """Every request is answered and taken in once."""
    live = LiveSessions(None)
    counted = []
    app = FraudlogWSGI(wsgi_hello, live, on_decision=counted.append)

    def work(number):
        for i in range(50):
            environ = environ_of(REMOTE_ADDR=f"203.0.113.{number}", HTTP_USER_AGENT=f"agent{i % 7}")
            assert call(app, environ)[0] == "201 Created"

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 400
    assert not app.judge.failures


def test_memory_is_bounded():
    """The session silent for longest loses its verdict first."""
    app = FraudlogASGI(hello, LiveSessions(None))
    judge = type(app.judge)(app.judge.live, max_remembered=10)
    decision = judge.fallback("no_model")
    for i in range(50):
        judge._remember({"session_token": str(i)}, decision)
    assert len(judge._standing) == 10
    assert judge._remembered(("token", "49")) is decision
    with pytest.raises(ConfigError, match="below 1"):
        type(app.judge)(app.judge.live, max_remembered=0)
