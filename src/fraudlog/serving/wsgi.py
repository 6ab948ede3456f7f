"""`FraudlogWSGI`: a decision for every request of a WSGI application; no framework is imported. PEP 3333."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fraudlog.serving.deadline import Timed
from fraudlog.serving.events import EventReader
from fraudlog.serving.judging import RequestJudge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from fraudlog.deciding import Decision
    from fraudlog.serving.live import LiveSessions

    Environ = dict[str, Any]
    Write = Callable[[bytes], object]
    StartResponse = Callable[..., Write]
    App = Callable[[Environ, StartResponse], Iterable[bytes]]
    Enforce = Callable[[Decision, Environ], App | None]
    Raised = tuple[type[BaseException], BaseException, TracebackType]

__all__ = ["FraudlogWSGI"]

_PLAIN: Final = "/:@!$&'()*+,;=~"
"""What a path may hold as it is (RFC 3986, 3.3); servers decode it, and logs do not."""


class FraudlogWSGI:
    """Puts a `Decision` into ``environ["fraudlog.decision"]``, and takes the request in when it is answered.

    The same as `FraudlogASGI`, for WSGI. An application may add what it knows to ``environ["fraudlog.event"]``.

    Parameters
    ----------
    app : callable
        The WSGI application.
    live, reader, on_decision, deadline_s
        As of `FraudlogASGI`.
    enforce : callable, optional
        Takes decision and environ; returns a WSGI application that answers instead (every Werkzeug response is one), or
        None to let the request pass.

    Examples
    --------
    >>> import fraudlog as fl
    >>> def app(environ, start_response):
    ...     start_response("200 OK", [])
    ...     return [environ["fraudlog.decision"].verdict.encode()]
    >>> guarded = FraudlogWSGI(app, fl.LiveSessions(None))
    >>> guarded({"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": "203.0.113.9"}, lambda *answer: None)
    [b'observe']
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
        self._names = [(f"HTTP_{name.decode().upper().replace('-', '_')}", name) for name in self._reader.names]
        self._enforce = enforce
        self._timed = None if deadline_s is None else Timed(self.judge, deadline_s)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        answer = _Answer(self.judge.safely, self._leave)
        decision = environ["fraudlog.decision"] = self._decide(environ, answer)
        environ["fraudlog.event"] = answer.extra
        instead = None if self._enforce is None else self._enforce(decision, environ)
        if instead is not None:
            return instead(environ, start_response)

        def watched_start(status: str, headers: list[tuple[str, str]], raised: Raised | None = None) -> Write:
            answer.event["status"] = self.judge.safely(_code_of, status)
            write = start_response(status, headers) if raised is None else start_response(status, headers, raised)
            return answer.counted(write)

        try:
            chunks = self.app(environ, watched_start)
        except Exception:
            answer.tell(500)  # as the server will say
            raise
        return _passed_on(chunks, answer, environ.get("wsgi.file_wrapper"))

    def _decide(self, environ: Environ, answer: _Answer) -> Decision:
        event = self.judge.safely(self._event, environ)
        if event is None:
            answer.is_told = True  # there is nothing to tell
            return self.judge.fallback("scoring_failed")
        answer.event = event
        return (self._timed or self.judge).arrive(event)

    def _leave(self, event: dict[str, Any]) -> None:
        (self._timed or self.judge).leave(self._reader.only(event))

    def _event(self, environ: Environ) -> dict[str, Any]:
        version = environ.get("SERVER_PROTOCOL", "").partition("/")[2] or None
        raw = environ.get("RAW_URI") or environ.get("REQUEST_URI")
        path = raw or quote(_text(environ, "PATH_INFO").encode("latin-1", "replace"), safe=_PLAIN)
        return self._reader.read(
            environ.get("REQUEST_METHOD", "GET"),
            path.partition("?")[0].encode("latin-1", "replace"),
            _text(environ, "QUERY_STRING").encode("latin-1", "replace"),
            version,
            environ.get("REMOTE_ADDR") or None,
            # WSGI shows each byte of a header as a character of latin-1.
            [(name, environ[key].encode("latin-1", "replace")) for key, name in self._names if key in environ],
        )


def _text(environ: Environ, name: str) -> str:
    """Return a value that servers may leave out where it is empty."""
    text: str = environ.get(name, "")
    return text


def _code_of(status: str) -> int | None:
    return int(status[:3]) if status[:3].isdecimal() else None


class _Answer:
    """What an application answers to one request."""

    def __init__(self, safely: Callable[..., Any], leave: Callable[[dict[str, Any]], object]) -> None:
        self._safely = safely
        self.event: dict[str, Any] = {}
        self.extra: dict[str, Any] = {}
        self.bytes_sent: int | None = 0
        self._leave = leave
        self._began = time.perf_counter()
        self.is_told = False

    def counted(self, write: Write) -> Write:
        """Return the server's `write`, which few applications still use, with its bytes counted."""

        def counting(data: bytes) -> object:
            self.add((data,))
            return write(data)

        return counting

    def add(self, chunks: Sequence[bytes]) -> None:
        """Count bytes of the body; of a thing that is none the server will complain, not this."""
        n_bytes = self._safely(_size_of, chunks)
        self.bytes_sent = None if n_bytes is None or self.bytes_sent is None else self.bytes_sent + n_bytes

    def tell(self, status: int | None = None) -> None:
        """Take the request in, once."""
        if self.is_told:
            return
        self.is_told = True
        answered = {"bytes_sent": self.bytes_sent, "duration_s": time.perf_counter() - self._began}
        self._safely(lambda: self._leave({"status": status, **self.event, **answered, **self.extra}))


def _size_of(chunks: Sequence[bytes]) -> int:
    return sum(map(len, chunks))


def _passed_on(chunks: Iterable[bytes], answer: _Answer, file_wrapper: object) -> Iterable[bytes]:
    """Return the body: as it is where it is all there, or a file that the server sends itself; else watched."""
    if isinstance(chunks, (list, tuple)):
        answer.add(chunks)
        answer.tell()
        return chunks
    if isinstance(file_wrapper, type) and isinstance(chunks, file_wrapper):
        answer.bytes_sent = None
        answer.tell()
        return chunks
    return _Watched(chunks, answer)


class _Watched:
    """A body that counts what it gives, and tells at its end."""

    def __init__(self, chunks: Iterable[bytes], answer: _Answer) -> None:
        self._chunks = chunks
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        answer = self._answer
        try:
            for chunk in self._chunks:
                answer.add((chunk,))
                yield chunk
            answer.tell()
        except Exception:
            answer.tell(500)
            raise

    def close(self) -> None:
        """End the body, as servers do however it went."""
        try:
            if hasattr(self._chunks, "close"):
                self._chunks.close()
        finally:
            self._answer.tell()
