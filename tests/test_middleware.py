"""Both middlewares: every request gets a decision, every answer is taken in, and nothing breaks the application."""

from __future__ import annotations

import asyncio
import functools
import io
import threading
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog as fl
from fraudlog.deciding import Decision
from fraudlog.errors import ConfigError, FraudlogError, ModelError
from fraudlog.serving import EventReader, FraudlogASGI, FraudlogWSGI, LiveSessions

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


# --- what is taken in ---


def test_asgi_takes_in_the_whole_event():
    """Once, when it is answered: with status, bytes and duration; text as a log holds it."""
    live = Recording(None)
    sent = serve(FraudlogASGI(hello, live), scope_of())
    assert [message.get("body") for message in sent] == [None, b"hello ", b"world"]
    (event,) = live.events
    assert 0 <= event.pop("duration_s") < 1
    assert event == {
        "client_ip": "203.0.113.9", "method": "GET", "path": "/a%20b", "query": "q=1", "protocol": "HTTP/1.1",
        "host": "example.org", "referrer": None, "user_agent": "curl/8.5.0", "language": None, "ch_ua": None,
        "ch_platform": None, "ch_platform_version": None, "ch_mobile": None, "ch_model": None,
        "status": 201, "bytes_sent": 11,
    }  # fmt: skip


def test_wsgi_takes_in_the_same():
    """The same request gives the same event, whether the body is a list, a generator, or written."""

    def generated(_environ, start_response):
        start_response("201 Created", [])
        yield b"hello "
        yield b"world"

    def written(_environ, start_response):
        write = start_response("201 Created", [])
        write(b"hello ")
        return [b"world"]

    asgi = Recording(None)
    serve(FraudlogASGI(hello, asgi), scope_of())
    for app in (wsgi_hello, generated, written):
        live = Recording(None)
        status, _ = call(FraudlogWSGI(app, live), environ_of())
        assert status == "201 Created"
        assert [event | {"duration_s": 0} for event in live.events] == [asgi.events[0] | {"duration_s": 0}]


def test_wsgi_is_valid_wsgi():
    """By the standard library's validator, inside and outside."""
    app = validator(FraudlogWSGI(validator(wsgi_hello), Recording(None)))
    assert call(app, environ_of()) == ("201 Created", b"hello world")


def test_a_replayed_log_gives_the_events_of_the_log(sample_log):
    """Requests made of the sample's lines come in as those lines were read: a service and a batch see the same."""
    columns = ["client_ip", "method", "path", "query", "protocol", "status", "bytes_sent", "referrer", "user_agent"]
    rows = sample_log.events[columns].head(600).astype(object)
    rows = rows.where(rows.notna(), None).to_dict("records")
    plain = [row for row in rows if all(str(value).isascii() for value in row.values())]
    assert len(plain) > 550
    live, answer = Recording(None), {}

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": int(answer["status"]), "headers": []})
        await send({"type": "http.response.body", "body": bytes(int(answer["bytes_sent"] or 0))})

    middleware = FraudlogASGI(app, live, reader=EventReader(columns=columns))
    for answer in plain:
        sent = {"user_agent": b"user-agent", "referrer": b"referer"}
        headers = [(name, answer[column].encode()) for column, name in sent.items() if answer[column] is not None]
        scope = scope_of(
            method=answer["method"], raw_path=(answer["path"] or "").encode(), headers=headers,
            query_string=(answer["query"] or "").encode(), client=(answer["client_ip"], 1),
            http_version=answer["protocol"].partition("/")[2],
        )  # fmt: skip
        serve(middleware, scope)
    expected = [row | {"bytes_sent": row["bytes_sent"] or 0} for row in plain]
    assert live.events == expected


@pytest.mark.parametrize(("raw", "path"), [("RAW_URI", "/x%2Fy"), ("REQUEST_URI", "/x%2Fy")])
def test_wsgi_believes_the_servers_raw_path(raw, path):
    """Gunicorn and uWSGI give it; others decode it, and it is encoded again."""
    live = Recording(None)
    call(FraudlogWSGI(wsgi_hello, live), environ_of(**{raw: path + "?q=1"}))
    call(FraudlogWSGI(wsgi_hello, live), environ_of(PATH_INFO="/caf\xc3\xa9/(a)"))
    assert [event["path"] for event in live.events] == [path, "/caf%C3%A9/(a)"]


def test_an_application_adds_what_it_knows():
    """Account and outcome of a login; what is no column is dropped."""

    async def login(scope, receive, send):
        scope["state"]["fraudlog_event"] |= {"user": "ann", "action": "login", "outcome": "failure", "password": "x"}
        await hello(scope, receive, send)

    live = Recording(None)
    serve(FraudlogASGI(login, live), scope_of())
    assert (live.events[0]["user"], live.events[0]["outcome"]) == ("ann", "failure")
    assert "password" not in live.events[0]


def test_a_session_cookie_is_known_by_its_digest():
    """The same cookie is the same session; the secret itself is nowhere."""
    live = Recording(None)
    app = FraudlogASGI(hello, live, reader=EventReader(session_cookie="sid"))
    for cookie in (b"a=b; sid=s3cret", b"sid=s3cret; c=d", b"xsid=s3cret", b"sid="):
        serve(app, scope_of(headers=[(b"cookie", cookie)]))
    tokens = [event["session_token"] for event in live.events]
    assert tokens[0] == tokens[1]
    assert tokens[0] is not None
    assert tokens[2:] == [None, None]
    assert "s3cret" not in repr(live.events)


def test_only_the_columns_of_the_log_if_asked_for():
    """A detector that learnt from a plain log sees no more live."""
    live = Recording(None)
    reader = EventReader(columns=["client_ip", "path", "status", "user_agent"])
    serve(FraudlogASGI(hello, live, reader=reader), scope_of())
    assert set(live.events[0]) == {"client_ip", "path", "status", "user_agent"}
    with pytest.raises(ConfigError, match="no columns of an event: password"):
        EventReader(columns=["password"])


# --- who the client is ---


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.9", [(b"x-forwarded-for", b"6.6.6.6")], "203.0.113.9"),
        ("10.0.0.1", [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"198.51.100.7")], "198.51.100.7"),
        ("10.0.0.1", [(b"x-forwarded-for", b"198.51.100.7, 10.0.0.2")], "198.51.100.7"),
        ("10.0.0.1", [(b"x-forwarded-for", b"\xff\xfe")], None),
        ("10.0.0.1", [], None),
        ("2001:DB8::1", [], "2001:db8::1"),
        (None, [(b"x-forwarded-for", b"6.6.6.6, 198.51.100.7")], "198.51.100.7"),
        ("testclient", [(b"x-forwarded-for", b"6.6.6.6")], None),
    ],
)
def test_only_trusted_proxies_say_who_the_client_is(peer, headers, client):
    """A forged header is nobody; two headers are one list."""
    live = Recording(None)
    app = FraudlogASGI(hello, live, reader=EventReader(["10.0.0.0/8"]))
    serve(app, scope_of(client=peer and (peer, 1), headers=headers))
    assert live.events[0]["client_ip"] == client


def test_without_proxies_no_header_is_believed():
    """Not even on a Unix socket, where there is no peer."""
    live = Recording(None)
    forged = [(b"x-forwarded-for", b"6.6.6.6")]
    for client in (("10.0.0.1", 1), None):
        serve(FraudlogASGI(hello, live), scope_of(client=client, headers=forged))
    assert [event["client_ip"] for event in live.events] == ["10.0.0.1", None]


# --- what a request is told ---


def test_the_first_request_is_judged_by_itself(sample_detector):
    """An agent that is a scanner's, on a scanner's path: challenged before it is answered, and counted once."""
    live = Recording(sample_detector, fl.Policy(challenge_at=0.3, observe_at=0.1))
    told = []

    async def app(scope, receive, send):
        told.append(scope["state"]["fraudlog"])
        assert not live.events
        await hello(scope, receive, send)

    middleware = FraudlogASGI(app, live)
    serve(middleware, scope_of(path="/.env", raw_path=b"/.env", headers=[(b"user-agent", b"sqlmap/1.8")]))
    assert told[0].verdict in {"observe", "challenge"}
    assert told[0].reasons
    assert len(live.events) == 1
    assert not middleware.judge.failures


def test_a_session_is_told_what_it_earned(sample_detector):
    """The decision on one request stands for the next, until it ends."""
    decided, told = [], []

    async def app(scope, _receive, send):
        told.append(scope["state"]["fraudlog"])
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})

    middleware = FraudlogASGI(app, LiveSessions(sample_detector), on_decision=decided.append)
    for path in (b"/.env", b"/wp-login.php", b"/.git/config"):
        serve(middleware, scope_of(raw_path=path))
    assert told[1:] == decided[:2]
    assert [decision.session_id for decision in decided] == [decided[0].session_id] * 3
    assert isinstance(told[0], Decision)


def test_another_session_is_not_told(sample_detector):
    """Another agent behind the same address stands for itself."""
    live = LiveSessions(sample_detector)
    middleware, told = FraudlogASGI(hello, live), []
    middleware.app = lambda scope, receive, send: told.append(scope["state"]["fraudlog"]) or hello(scope, receive, send)
    for agent in (b"sqlmap/1.8", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"):
        serve(middleware, scope_of(headers=[(b"user-agent", agent), (b"accept-language", b"en")]))
    assert told[0].session_id != told[1].session_id


def deny(decision, _environ_or_scope):
    """Answer instead, whatever was decided."""
    return refused if isinstance(decision, Decision) else None


async def refused(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 403, "headers": []})
    await send({"type": "http.response.body", "body": b"no"})


def wsgi_refused(_environ, start_response):
    start_response("403 Forbidden", [])
    return [b"no"]


def test_enforcement_answers_instead_and_feeds_nothing():
    """A ban's own answers are not taken in, so they can not lengthen it; the application is not called."""
    live = Recording(None)
    assert [m.get("status") for m in serve(FraudlogASGI(None, live, enforce=deny), scope_of())] == [403, None]
    status, body = call(FraudlogWSGI(None, live, enforce=lambda *_: wsgi_refused), environ_of())
    assert (status, body) == ("403 Forbidden", b"no")
    closed = serve(FraudlogASGI(None, live, enforce=deny), scope_of(type="websocket"), [{"type": "websocket.connect"}])
    assert closed == [{"type": "websocket.close", "code": 1008}]
    assert live.events == []


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
        async def send(message):
            pass

        task = asyncio.ensure_future(FraudlogASGI(endless, live)(scope_of(), None, send))
        await asyncio.sleep(0.05)
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
        judge._remember((str(i),), decision)
    assert len(judge._standing) == 10
    assert judge._remembered(("49",)) is decision
    with pytest.raises(ConfigError, match="below 1"):
        type(app.judge)(app.judge.live, max_remembered=0)
