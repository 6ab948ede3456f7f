"""A small shop that knows who is behind each request: Starlette, `FraudlogASGI`, a challenge, a model to be swapped.

Run it: ``FRAUDLOG_MODEL=model.fraudlog uvicorn app:app``. README.md beside it says what to try.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route

import fraudlog as fl
from fraudlog.errors import FraudlogError
from fraudlog.serving import EventReader, FraudlogASGI, LiveSessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Scope

    from fraudlog.deciding import Decision

MODEL = Path(os.environ.get("FRAUDLOG_MODEL", "model.fraudlog"))
PROXIES = os.environ.get("TRUSTED_PROXIES", "").split()
IS_DRY_RUN = os.environ.get("ENFORCE") != "1"  # look before you act
CHECK_EVERY_S = float(os.environ.get("CHECK_EVERY_S", "30"))
SECRET = os.environ.get("SECRET", secrets.token_hex(32)).encode()
PASS_HOLDS_S = 3600

log = logging.getLogger("uvicorn.error")
verdicts: Counter[str] = Counter()
refused: Counter[str] = Counter()
live = LiveSessions(None, fl.Policy(dry_run=IS_DRY_RUN))


# --- the shop ---


def home(request: Request) -> Response:
    """Show a page, and what was decided on whoever asked for it."""
    decision: Decision = request.state.fraudlog
    return HTMLResponse(f"<h1>Shop</h1><p>You are: {decision.verdict}</p>")


async def login(request: Request) -> Response:
    """Refuse every password, and say so in the event."""
    user = (await request.body()).decode("utf-8", "replace")[:64]
    request.state.fraudlog_event |= {"user": user or None, "action": "login", "outcome": "failure"}
    return PlainTextResponse("wrong password", 401)


def health(_request: Request) -> Response:
    """Count what was decided; keep this path inside your network."""
    failures = sum(guarded.judge.failures.values())
    model = {"model": live.detector is not None, "models_refused": refused["model"]}
    return JSONResponse(model | {"verdicts": dict(verdicts), "failures": failures})


# --- acting on decisions ---


def challenge(_request: Request) -> Response:
    """Ask for something that costs a script more than a person; a button stands in for it here."""
    return HTMLResponse('<form method="post"><button>I am a person</button></form>')


def pass_challenge(_request: Request) -> Response:
    """Give whoever passed a cookie that holds for an hour."""
    until = str(int(time.time()) + PASS_HOLDS_S)
    answer = RedirectResponse("/", 303)
    answer.set_cookie("passed", f"{until}.{_signature(until)}", PASS_HOLDS_S, httponly=True, samesite="lax")
    return answer


def _signature(until: str) -> str:
    return hmac.new(SECRET, until.encode(), hashlib.sha256).hexdigest()


def _has_passed(scope: Scope) -> bool:
    cookies = dict(scope["headers"]).get(b"cookie", b"").decode("latin-1")
    given = next((part.strip()[7:] for part in cookies.split(";") if part.strip().startswith("passed=")), "")
    until, _, signature = given.partition(".")
    is_ours = until.isdecimal() and hmac.compare_digest(signature.encode(), _signature(until).encode())
    return is_ours and time.time() < int(until)


def enforce(decision: Decision, scope: Scope) -> ASGIApp | None:
    """Answer instead of the shop where a decision says so; its own page always passes."""
    if scope["path"] == "/challenge":
        return None
    if decision.verdict == "deny":
        return PlainTextResponse("If you think this is a mistake, write to help@shop.example.", 403)
    if decision.verdict == "challenge" and not _has_passed(scope):
        return RedirectResponse("/challenge", 303)
    return None


def count(decision: Decision) -> None:
    """Note a decision: its verdict and, in a dry run, what it would have been."""
    verdicts[decision.intended if decision.is_dry_run else decision.verdict] += 1


# --- the model ---


async def follow_model() -> None:
    """Load the model, and load it again when its file changes, while requests go on."""
    seen = 0
    while True:
        changed = await asyncio.to_thread(_changed)
        if changed != seen:
            seen = changed
            await _load()
        await asyncio.sleep(CHECK_EVERY_S)


def _changed() -> int:
    try:
        return MODEL.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


async def _load() -> None:
    try:
        detector = await asyncio.to_thread(lambda: fl.Detector.load(MODEL).prepare())
    except FraudlogError as error:
        refused["model"] += 1
        log.warning("the model stays as it is: %s", error)
        return
    live.swap(detector)
    log.info("model loaded: %s", MODEL.name)


@contextlib.asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Follow the model's file for as long as the service runs."""
    following = asyncio.create_task(follow_model())
    yield
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


shop = Starlette(
    routes=[
        Route("/", home),
        Route("/login", login, methods=["POST"]),
        Route("/challenge", challenge),
        Route("/challenge", pass_challenge, methods=["POST"]),
    ],
)
guarded = FraudlogASGI(shop, live, reader=EventReader(PROXIES), enforce=enforce, on_decision=count)
# A probe asks every second, always the same: it is no client to judge.
app = Starlette(routes=[Route("/health", health), Mount("/", guarded)], lifespan=lifespan)
