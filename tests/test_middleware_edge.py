"""The edge: whatever is raised while a request is judged, the application never sees it, and the visitor is served."""

from __future__ import annotations

import asyncio

import pytest

import fraudlog as fl
from fraudlog.serving import FraudlogASGI, FraudlogWSGI
from fraudlog.serving.deadline import Timed
from fraudlog.serving.judging import RequestJudge
from middleware_support import Slow, call, environ_of, hello, scope_of, serve, wsgi_hello


class Mute(Exception):  # noqa: N818 -- a stranger's
    """An error that can't even be printed."""

    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


def recursing():
    recursing()


STRANGE = [
    Exception("203.0.113.9"), RuntimeError(), AssertionError(), NotImplementedError(), StopIteration(1),
    StopAsyncIteration(), RecursionError(), MemoryError(), BufferError(), EOFError(), ImportError(), NameError(),
    UnicodeDecodeError("utf-8", b"", 0, 1, ""), TimeoutError(), asyncio.InvalidStateError(),
    ExceptionGroup("several", [ValueError(), KeyError()]), Mute(),
]  # fmt: skip


class Stranger:
    """A detector, as anybody may write one."""

    population_ = None

    def __init__(self, error):
        self.error = error

    def score_one(self, _row, _entities):
        if callable(self.error):
            self.error()
        raise self.error


async def websocket(_scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hello"})


def guarded(kind, app, error, **options):
    return kind(app, fl.LiveSessions(Stranger(error), fl.Policy(fallback="challenge")), **options)


@pytest.mark.parametrize("deadline_s", [None, 30])
@pytest.mark.parametrize(
    "error", [*STRANGE, recursing], ids=lambda error: getattr(error, "__name__", type(error).__name__)
)
def test_a_detector_may_raise_anything(error, deadline_s, caplog):
    """Over HTTP, a websocket and WSGI; from the loop and from a thread: served, counted, logged without its text."""
    scope, opened = scope_of(), scope_of(type="websocket")
    app = guarded(FraudlogASGI, hello, error, deadline_s=deadline_s)
    assert [message.get("body") for message in serve(app, scope)] == [None, b"hello ", b"world"]
    socket = guarded(FraudlogASGI, websocket, error, deadline_s=deadline_s)
    assert [message["type"] for message in serve(socket, opened)] == ["websocket.accept", "websocket.send"]
    wsgi, environ = guarded(FraudlogWSGI, wsgi_hello, error, deadline_s=deadline_s), environ_of()
    assert call(wsgi, environ) == ("201 Created", b"hello world")
    for decision in (scope["state"]["fraudlog"], opened["state"]["fraudlog"], environ["fraudlog.decision"]):
        assert decision.verdict == "challenge"
        assert decision.fallback in {"scoring_failed", "model_failed"}
    for middleware in (app, socket, wsgi):
        if middleware._timed:
            middleware._timed._pool.shutdown()
        kind = RecursionError.__name__ if error is recursing else type(error).__name__
        known = {} if environ["fraudlog.decision"].fallback == "model_failed" else {kind: 2}
        assert middleware.judge.failures == known
    assert "203.0.113" not in caplog.text


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_process_goes_on(end):
    """It is no error in judging."""
    judge = RequestJudge(fl.LiveSessions(None))
    judge.live.swap(Stranger(end()))
    with pytest.raises(end):
        judge.leave({"client_ip": "203.0.113.9"})


def test_a_task_that_is_cancelled_ends():
    """While it waits for a score."""

    async def run():
        task = asyncio.ensure_future(app(scope_of(), None, None))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    live = Slow()
    app = FraudlogASGI(hello, live, deadline_s=30)
    app.judge._alone.observe = live.observe
    try:
        asyncio.run(run())
    finally:
        live.back.set()


def test_a_callback_may_raise_anything():
    """What the service does with decisions is not the visitor's concern; the decision stands."""

    def boom(_decision):
        raise NotImplementedError

    live = fl.LiveSessions(None)
    app = FraudlogASGI(hello, live, on_decision=boom)
    assert len(serve(app, scope_of())) == 3
    assert app.judge.failures == {"NotImplementedError": 1}
    assert len(live.state) == 1


def test_odd_answers_are_the_servers_to_judge():
    """A status that is none, a body of numbers, a message without a type of its own: passed on as they are."""

    async def odd(_scope, _receive, send):
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body", "body": 7})

    def odd_wsgi(_environ, start_response):
        start_response(b"200 OK", [])
        return [1, 2]

    app, wsgi = FraudlogASGI(odd, fl.LiveSessions(None)), FraudlogWSGI(odd_wsgi, fl.LiveSessions(None))
    assert [len(message) for message in serve(app, scope_of())] == [1, 2]
    started = []
    assert wsgi(environ_of(), lambda *answer: started.append(answer[0]) or len) == [1, 2]
    assert started == [b"200 OK"]
    assert app.judge.failures
    assert wsgi.judge.failures


def test_work_that_piles_up_is_refused():
    """A state that hangs costs no memory: beyond a bound nobody waits for it, and what was answered is not taken in."""
    live = Slow()
    judge = RequestJudge(live)
    timed = Timed(judge, 0.02, threads=1, most_waiting=3)
    try:
        for _ in range(10):
            timed.leave({"client_ip": "203.0.113.9"})
        assert judge.failures == {"Backlog": 6}
        assert timed.arrive({"client_ip": "203.0.113.9"}).fallback == "too_slow"
        assert asyncio.run(timed.arrive_soon({"client_ip": "203.0.113.9"})).fallback == "too_slow"
    finally:
        live.back.set()
    timed._pool.shutdown()
    assert len(live.state) == 1


def test_after_a_shutdown_requests_are_still_served():
    """No thread can be had any more."""
    app = FraudlogASGI(hello, fl.LiveSessions(None), deadline_s=30)
    app._timed._pool.shutdown()
    scope = scope_of()
    assert len(serve(app, scope)) == 3
    assert scope["state"]["fraudlog"].fallback == "too_slow"
    assert app.judge.failures["RuntimeError"] == 2
