"""Slow readable twins: what a session and its features are, event by event, in plain Python."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fraudlog.enriching.agents import agent_columns
from fraudlog.enriching.endpoints import endpoint_columns
from fraudlog.enriching.networks import network_columns
from fraudlog.sessions.definition import Expression, Reducer

if TYPE_CHECKING:
    from collections.abc import Sequence

Event = dict[str, Any]


def sessions(events: Sequence[Event], gap: timedelta = timedelta(minutes=30)) -> list[list[Event]]:
    """Return the sessions: runs of one actor's events with no silence longer than `gap`."""
    ordered = sorted(events, key=lambda event: (event["timestamp"], event["source"], event["line_number"]))
    found: list[list[Event]] = []
    open_sessions: dict[Any, list[Event]] = {}
    for event in ordered:
        actor = _actor(event)
        current = open_sessions.get(actor)
        if current is None or event["timestamp"] - current[-1]["timestamp"] > gap:
            current = open_sessions[actor] = []
            found.append(current)
        current.append(event)
    return found


def _actor(event: Event) -> Any:
    for name in ("session_token", "user"):
        if event.get(name) is not None:
            return name, event[name]
    return network_columns(event["client_ip"])["ip_prefix"], event.get("user_agent"), event.get("language")


def value(expression: Expression, session: Sequence[Event]) -> float | None:
    """Return the value of `expression` for one session, or None where it is unknown."""
    if isinstance(expression, Reducer):
        return _reduce(expression, session)
    if expression.operator is None:
        return expression.number
    operands = [value(operand, session) for operand in expression.operands]
    if None in operands:
        return None
    if expression.operator == "sqrt":
        return math.sqrt(max(operands[0], 0.0))
    left, right = (float(operand) for operand in operands)
    if expression.operator == "/":
        return left / right if right else None
    return {"+": left + right, "-": left - right, "*": left * right}[expression.operator]


def _reduce(reducer: Reducer, session: Sequence[Event]) -> float | None:
    if reducer.kind == "burst":
        return _burst(reducer, session)
    if reducer.kind == "count" and not reducer.fact:
        return float(len(session))
    values = [fact(reducer.fact, session, i) for i in range(len(session))]
    known = [one for one in values if one is not None]
    if reducer.kind == "count":
        return float(sum(known))
    if reducer.kind == "distinct":
        return float(len(set(known)))
    if reducer.kind == "switches":
        return float(sum(a != b for a, b in itertools.pairwise(known)))
    if reducer.kind == "entropy":
        return float(_weight(len(known)) - sum(_weight(known.count(one)) for one in set(known)))
    if not known:
        return None
    totals = {"total": sum(known), "minimum": min(known), "maximum": max(known)}
    return float(sum(one * one for one in known) if reducer.kind == "squares" else totals[reducer.kind])


def _weight(n: int) -> int:
    return math.floor(n * math.log2(n) * 2**20 + 0.5) if n > 1 else 0


def _burst(reducer: Reducer, session: Sequence[Event]) -> float:
    window = timedelta(seconds=reducer.window_s)
    most = 0
    for first in range(len(session)):
        until = session[first]["timestamp"] + window
        inside = [i for i in range(first, len(session)) if session[i]["timestamp"] < until]
        most = max(most, sum(fact(reducer.fact, session, i) for i in inside) if reducer.fact else len(inside))
    return float(most)


def fact(name: str, session: Sequence[Event], i: int) -> Any:
    """Return the fact `name` of the event `i` of a session."""
    event = session[i]
    if name in ("gap_us", "gap_s", "has_gap"):
        gap = None if i == 0 else (event["timestamp"] - session[i - 1]["timestamp"]) // timedelta(microseconds=1)
        if name == "has_gap":
            return int(gap is not None)
        return gap if gap is None or name == "gap_us" else gap // 1_000_000
    if name == "time_us":
        return int(event["timestamp"].value // 1000)
    if name in ("path", "user_agent", "bytes_sent"):
        return event[name]
    return _derived(name, event)


def _derived(name: str, event: Event) -> Any:
    endpoint = endpoint_columns(event["path"])["endpoint"]
    program = agent_columns(event["user_agent"])["bot_category"]
    status, path = event["status"], event["path"]
    known = {
        "endpoint": endpoint,
        "depth": None if path is None else path.count("/"),
        "has_bytes": int(event["bytes_sent"] is not None),
        "is_post": int(event["method"] == "POST"),
        "is_head": int(event["method"] == "HEAD"),
        "is_malformed": int(event["method"] is None),
        "is_client_error": int(400 <= status <= 499),
        "is_server_error": int(500 <= status <= 599),
        "is_not_found": int(status == 404),
        "is_referrer_missing": int(event["referrer"] is None),
        "is_agent_missing": int(event["user_agent"] is None),
        "is_language_missing": int(event["language"] is None),
        "is_browser": int(program is None and event["user_agent"] is not None),
        "is_blind_post": int(
            event["method"] == "POST" and event["referrer"] is None and endpoint not in ("api", "login")
        ),
        "is_login_failure": int(endpoint == "login" and status in (401, 403)),
        "is_admin_missing": int(endpoint in ("login", "admin", "probe") and status == 404),
    }
    if name in known:
        return known[name]
    return int(name.removeprefix("is_") in (endpoint, program))
