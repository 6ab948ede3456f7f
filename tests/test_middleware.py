"""Both middlewares: every request gets a decision, every answer is taken in once, as a log would hold it."""

from __future__ import annotations

import time
from wsgiref.validate import validator

import pytest

import fraudlog as fl
from fraudlog.deciding import Decision
from fraudlog.errors import ConfigError
from fraudlog.serving import EventReader, FraudlogASGI, FraudlogWSGI, LiveSessions, LocalState
from fraudlog.serving.memory import Mark
from middleware_support import Recording, call, environ_of, hello, scope_of, serve, wsgi_hello

# --- what is taken in ---


def test_asgi_takes_in_the_whole_event():
    """Once, when it is answered: with status, bytes and duration; text as a log holds it."""
    live = Recording(None)
    sent = serve(FraudlogASGI(hello, live), scope_of())
    assert [message.get("body") for message in sent] == [None, b"hello ", b"world"]
    (event,) = live.events
    assert 0 <= event.pop("duration_s") < 10
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


def test_a_verdict_on_a_network_holds_for_its_next_session(sample_detector):
    """A new agent does not shake it off; looking at it changes nothing of it."""
    live = LiveSessions(sample_detector, key=b"k" * 32)
    target = ("prefix", live.state.live.code("203.0.113.0/24"))
    now_us = int(time.time() * 1e6)
    live.state.memory.put_mark(target, Mark(3, now_us + 3_600_000_000, now_us, 1))
    judge = FraudlogASGI(hello, live).judge
    browser = {"user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "language": "en"}
    told = judge.arrive({"client_ip": "203.0.113.77", "path": "/", "method": "GET", **browser})
    assert (told.verdict, told.inherited) == ("deny", "prefix")
    elsewhere = judge.arrive({"client_ip": "198.51.100.77", "path": "/", "method": "GET", **browser})
    assert (elsewhere.verdict, elsewhere.inherited) == ("allow", None)
    assert list(live.state.memory.marks) == [target]
    assert not live.state.memory.counts
    assert len(live.state) == 0


def test_a_state_that_is_given_is_used():
    """An empty one too, though it has a length of 0."""
    state = LocalState(key=b"k" * 32)
    assert LiveSessions(None, state=state).state is state


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
