"""`FraudlogASGI`: a decision for every request of an ASGI application; no framework is imported.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from fraudlog.serving.deadline import Timed
from fraudlog.serving.events import EventReader
from fraudlog.serving.judging import RequestJudge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from fraudlog.deciding import Decision
    from fraudlog.serving.live import LiveSessions

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]
    Enforce = Callable[[Decision, Scope], App | None]

__all__ = ["FraudlogASGI"]

_POLICY_VIOLATION: Final = 1008  # RFC 6455, 7.4.1
_DEADLINE_S: Final = 0.05
"""Longest wait for a state that may wait itself, unless the service says another."""


class FraudlogASGI:
    """Puts a `Decision` into ``scope["state"]["fraudlog"]``, and takes the request in when it is answered.

    Nothing is held back unless `enforce` says so, and nothing that goes wrong in scoring reaches the application: it
    gets the policy's fallback. Bodies pass through untouched, in both directions. What `enforce` answered is not
    taken in: a ban must not feed the next one.

    An application may add what it knows to ``scope["state"]["fraudlog_event"]`` before it answers: ``user``,
    ``action`` and ``outcome`` of a login, or any other column of `fraudlog.schema.EVENTS`.

    Parameters
    ----------
    app : callable
        The ASGI application.
    live : LiveSessions
    reader : EventReader, optional
        Says who the client is behind your proxies, and which cookie holds the session.
    enforce : callable, optional
        Takes decision and scope; returns an ASGI application that answers instead (every Starlette response is one), or
        None to let the request pass. A websocket is closed with 1008 whatever it returns.
    on_decision : callable, optional
        Takes each decision on an answered request.
    deadline_s : float, optional
        Score in threads (asyncio only), and wait no longer. By default scoring runs in the event loop where the state
        is that of the process, and in threads with 0.05 s where it is a shared one, which would block the loop.

    Attributes
    ----------
    judge : RequestJudge
        Its ``failures`` count what was served without a score.

    Examples
    --------
    >>> import asyncio
    >>> import fraudlog as fl
    >>> async def app(scope, receive, send):
    ...     verdict = scope["state"]["fraudlog"].verdict
    ...     await send({"type": "http.response.start", "status": 200, "headers": []})
    ...     await send({"type": "http.response.body", "body": verdict.encode()})
    >>> async def show(message):
    ...     print(message.get("body", message.get("status")))
    >>> guarded = FraudlogASGI(app, fl.LiveSessions(None))
    >>> scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": ("203.0.113.9", 4711)}
    >>> asyncio.run(guarded(scope, None, show))
    200
    b'observe'
    """

    def __init__(
        self,
        app: App,
        live: LiveSessions,
        *,
        reader: EventReader | None = None,
        enforce: Enforce | None = None,
        on_decision: Callable[[Decision], object] | None = None,
        deadline_s: float | None = None,
    ) -> None:
        self.app = app
        self.judge = RequestJudge(live, on_decision=on_decision)
        self._reader = reader or EventReader()
        self._enforce = enforce
        if deadline_s is None and live.state.waits:
            deadline_s = _DEADLINE_S
        self._timed = None if deadline_s is None else Timed(self.judge, deadline_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        answer = _Answer()
        state = scope.setdefault("state", {})
        state["fraudlog"] = decision = await self._decide(scope, answer)
        state["fraudlog_event"] = answer.extra
        instead = None if self._enforce is None else self._enforce(decision, scope)
        if instead is not None:
            await _answer(instead, scope, receive, send)
        else:
            await self._watched(scope, receive, send, answer)

    async def _decide(self, scope: Scope, answer: _Answer) -> Decision:
        event = self.judge.safely(self._event, scope)
        if event is None:
            answer.is_told = True  # there is nothing to tell
            return self.judge.fallback("scoring_failed")
        answer.event = event
        if self._timed is not None:
            return await self._timed.arrive_soon(event)
        return self.judge.arrive(event)

    async def _watched(self, scope: Scope, receive: Receive, send: Send, answer: _Answer) -> None:
        """Run the application, and see what it sends."""

        async def watched_send(message: Message) -> None:
            self.judge.safely(answer.see, message)
            await send(message)
            if answer.is_whole and not answer.is_told:
                self._tell(answer)

        try:
            await self.app(scope, receive, watched_send)
        except Exception:
            answer.event.setdefault("status", 500)  # as the server will say
            raise
        finally:
            if not answer.is_told:
                self._tell(answer)

    def _tell(self, answer: _Answer) -> None:
        answer.is_told = True
        event = self.judge.safely(lambda: self._reader.only(answer.complete()))
        if event is not None:
            (self.judge if self._timed is None else self._timed).leave(event)

    def _event(self, scope: Scope) -> dict[str, Any]:
        client, raw_path = scope.get("client"), scope.get("raw_path")
        return self._reader.read(
            scope.get("method", "GET"),
            scope["path"].encode("utf-8", "surrogateescape") if raw_path is None else raw_path.partition(b"?")[0],
            scope.get("query_string", b""),
            scope.get("http_version"),
            client[0] if client else None,
            scope["headers"],
        )


class _Answer:
    """What an application answers to one request."""

    def __init__(self) -> None:
        self.event: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.is_whole = False
        self.is_told = False
        self._began = time.perf_counter()
        self._bytes: int | None = 0

    def see(self, message: Message) -> None:
        """Note what a message says of the answer."""
        kind = message["type"]
        if kind == "http.response.start":
            self.event["status"] = message["status"]
        elif kind == "http.response.body":
            self._bytes = None if self._bytes is None else self._bytes + len(message.get("body", b""))
            self.is_whole = not message.get("more_body", False)
        elif kind in {"http.response.pathsend", "http.response.zerocopysend"}:
            self._bytes = None  # the server sends a file itself
            self.is_whole = not message.get("more_body", False)
        elif kind in {"websocket.accept", "websocket.close"} and "status" not in self.event:
            self.event["status"] = 101 if kind == "websocket.accept" else 403
            self.is_whole, self._bytes = True, None

    def complete(self) -> dict[str, Any]:
        """Return the event, whole."""
        answered = {"bytes_sent": self._bytes, "duration_s": time.perf_counter() - self._began}
        return {"status": None, **self.event, **answered, **self.extra}


async def _answer(instead: App, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()  # the client's wish to connect
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
    else:
        await instead(scope, receive, send)
