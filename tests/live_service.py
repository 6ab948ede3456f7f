"""A service as its operator would write it, in a process of its own: ASGI over Redis, or WSGI with a snapshot.

Every third request breaks in scoring, with the request in the error's text: that must come out nowhere.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import fraudlog as fl
from fraudlog.privacy import Pseudonyms
from fraudlog.serving import EventReader, FraudlogASGI, FraudlogWSGI, RedisState

KEY = bytes(range(32))
NAMES = Pseudonyms(KEY)
READER = EventReader(["127.0.0.0/8"], session_cookie="sessionid")


class Brittle(fl.LiveSessions):
    """Breaks at every third request."""

    asked = 0

    def observe(self, event: Any) -> Any:
        self.asked += 1
        if self.asked % 3 == 0:
            raise ValueError(f"can't score {dict(event)}")
        return super().observe(event)


def told(folder: Path) -> Any:
    """Return what takes decisions: a log of them, as JSON and as Python shows them."""
    log = (folder / "decisions.log").open("a")
    return lambda decision: (log.write(f"{json.dumps(decision.to_dict())} {decision!r}\n"), log.flush())


def asgi(live: Any, folder: Path) -> None:
    import uvicorn  # noqa: PLC0415 -- the other one does without

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        scope["state"]["fraudlog_event"]["user"] = headers.get(b"x-account", b"").decode() or None
        if scope["path"] == "/boom":
            raise RuntimeError("boom")
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    guarded = FraudlogASGI(app, live, reader=READER, on_decision=told(folder), deadline_s=5)
    config = uvicorn.Config(guarded, port=0, log_level="debug", access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    started = server.startup

    async def startup(sockets: Any = None) -> None:
        await started(sockets=sockets)
        (folder / "port").write_text(str(server.servers[0].sockets[0].getsockname()[1]))

    server.startup = startup  # type: ignore[method-assign] # says where it listens
    server.run()


def wsgi(live: Any, folder: Path) -> None:
    class Silent(WSGIRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            """Say nothing: this server's own access log is not what is looked at."""

    def app(environ: Any, start_response: Any) -> Any:
        environ["fraudlog.event"]["user"] = environ.get("HTTP_X_ACCOUNT") or None
        if environ["PATH_INFO"] == "/boom":
            raise RuntimeError("boom")
        if environ["PATH_INFO"] == "/snapshot":
            live.snapshot(folder / "live.fraudlog")
        start_response("404 Not Found", [("content-length", "0")])
        return [b""]

    guarded = FraudlogWSGI(app, live, reader=READER, on_decision=told(folder))
    with make_server("127.0.0.1", 0, guarded, handler_class=Silent) as server:
        (folder / "port").write_text(str(server.server_port))
        server.serve_forever()


def main(kind: str, folder: Path, model: str, socket: str) -> None:
    logging.basicConfig(level=logging.DEBUG)
    logging.getLogger("numba").setLevel(logging.WARNING)
    detector = fl.Detector.load(model)
    if kind == "asgi":
        import redis  # noqa: PLC0415 -- an extra

        state = RedisState(redis.Redis(unix_socket_path=socket, socket_timeout=5), key=NAMES.session_key)
        asgi(Brittle(detector, fl.Policy(), state=state), folder)
    else:
        wsgi(Brittle(detector, fl.Policy(), pseudonyms=NAMES), folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4])
