"""Slow readable twins: what fast code must equal, written as one would explain it.

`sessions` walks over events one by one with plain dictionaries and recomputes every value from the list of a session's
events. It shares with the library the parser of the language and the tables (fields, places), and no arithmetic.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fraudlog.sessions.language import (
    And,
    Arithmetic,
    Compare,
    Known,
    Missing,
    Not,
    Number,
    Or,
    Reducer,
    Reference,
    Root,
    parse,
    parse_condition,
)
from fraudlog.sessions.places import places
from fraudlog.sessions.windows import APPROACHES, WINDOWS

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.windows import Window

Event = dict[str, Any]
MINUTE, HOUR = 60_000_000, 3_600_000_000


# --- the fields of one event -----------------------------------------------------------------------------------------
def profile(*parts):
    return " ".join(part or "?" for part in parts) if any(parts) else None


def text_fields(event: Event) -> Event:
    """Fields of text that are computed from one event."""
    path = event.get("path")
    fields: Event = {"section": None, "directory": None, "file": None}
    if path is not None and path.startswith("/"):
        fields["section"] = path.split("/")[1]
    if path is not None and "/" in path:
        fields["directory"] = path[: path.rindex("/") + 1]
        name = path[path.rindex("/") + 1 :]
        fields["file"] = "".join(c.lower() if "A" <= c <= "Z" else c for c in name)
    fields["ip_prefix"] = event.get("ip_prefix") if event.get("ip_prefix") is not None else event["client_ip"]
    system, browser, language = event.get("os"), event.get("browser"), event.get("language_primary")
    fields["profile"] = profile(system, browser, language)
    parts = [event.get(name) for name in ("user_agent", "language", "protocol", "tls_fingerprint")]
    fields["manner"] = profile(*parts)
    asked = [event.get(name) for name in ("method", "endpoint", "status", "action", "outcome")]
    fields["shape"] = profile(*(None if value is None else str(value) for value in asked))
    device = event.get("device_id")
    fields["device"] = device if device is not None else profile(system, browser, event.get("device_class"))
    country = event.get("country")
    fields["country_language"] = None if country is None or language is None else profile(country, language)
    return fields


def number_fields(event: Event, definition: Definition, population) -> Event:
    """Fields of numbers that are computed from one event; None is null."""
    time = event["time"]
    path, query, country = event.get("path"), event.get("query"), event.get("country")
    size, seconds, status = event.get("bytes_sent"), event.get("duration_s"), event.get("status")
    fields: Event = {"time_ms": time // 1000 if time >= 0 else None, "utc_hour": time // HOUR % 24}
    fields["coarseness"] = 2 if time % MINUTE == 0 else 1 if time % 1_000_000 == 0 else 0
    fields["bytes_sent"] = None if size is None or size < 0 else min(size, 2**38 - 1)
    fields["bytes_log2"] = None if fields["bytes_sent"] is None else fields["bytes_sent"].bit_length()
    is_timed = seconds is not None and seconds >= 0
    fields["duration_ms"] = int(min(seconds * 1000.0, 2**30 - 1)) if is_timed else None
    fields["status"] = None if status is None or status < 0 or status in definition.own_statuses else min(status, 1023)
    fields["is_automation"] = None if event.get("is_automation") is None else int(event["is_automation"])
    for name in FLAGS:
        fields[name] = None if event.get(name) is None else int(event[name])
    age = event.get("browser_age")
    fields["browser_age"] = None if age is None or age < 0 else min(int(age), 2**12 - 1)
    fields["depth"] = None if path is None else len([part for part in path.split("/") if part])
    fields["path_length"] = None if path is None else len(path)
    fields["path_number"] = None if path is None else last_number(path)
    fields["query_length"] = None if query is None else len(query)
    offset = places()[country].offset if country in places() else None
    fields["local_hour"] = None if offset is None else (time + offset * MINUTE) // HOUR % 24
    for name, column in RARITIES.items():
        value = {**event, **text_fields(event)}.get(column)
        fields[name] = None if population is None or value is None else population.rarity(name, value)
    return fields


FLAGS = ("is_ch_brand_same", "is_language_malformed", "is_hosting")
RARITIES = {
    "agent_rarity": "user_agent",
    "language_rarity": "language",
    "profile_rarity": "profile",
    "country_language_rarity": "country_language",
}


def last_number(path: str) -> int | None:
    digits = ""
    for character in reversed(path):
        if character in "0123456789":
            digits = character + digits
        elif digits:
            break
    return int(digits[-13:]) if digits else None


# --- windows over other sessions -------------------------------------------------------------------------------------
def add_windows(events: list[Event]) -> None:
    """Fill the window fields of events in total order, each by looking at all events before it."""
    for window in WINDOWS:
        if window.kind in APPROACHES:
            add_approach(events, window)
        else:
            add_window(events, window)


def add_window(events: list[Event], window: Window) -> None:
    """Fill the fields of one window."""
    where = parse_condition(window.where) if window.where else None
    needs = parse_condition(window.needs) if window.needs else None
    seen: list[tuple[Any, Any, int, bool]] = []
    for event in events:
        key, value = event.get(window.key), event.get(window.value) if window.value else ""
        is_known = key is not None and value is not None and (needs is None or holds(needs, event) is True)
        if window.kind == "speed":
            is_known = is_known and value in places()
        for name in window.fields:
            event[name] = None
        if not is_known:
            continue
        counts = where is None or holds(where, event) is True
        of_key = [(v, t, c) for k, v, t, c in seen if k == key]
        if window.kind == "distinct":
            recent = {v for v, t, _ in of_key if t + window.window_us > event["time"]}
            event[window.name] = len(recent | {value})
            if window.new:
                event[window.new] = int(value not in recent)
        elif window.kind == "count":
            first = event["time"] // MINUTE - window.window_us // MINUTE
            event[window.name] = sum(c for _, t, c in of_key if t // MINUTE > first) + counts
        elif of_key and event["time"] - of_key[-1][1] < window.window_us:
            waited = max(event["time"] - of_key[-1][1], MINUTE)
            event[window.name] = int(distance_km(of_key[-1][0], value) * 3_600_000_000.0 / waited)
        seen.append((key, value, event["time"], counts))


def add_approach(events: list[Event], window: Window) -> None:
    """Say of each event at a door how its client came, and how many networks came so in the day until then."""
    where, needs = parse_condition(window.where), parse_condition(window.needs)
    came: list[tuple[str, Any, str, int]] = []
    for place, event in enumerate(events):
        for name in window.fields:
            event[name] = None
        shape = event.get("shape")
        if holds(needs, event) is not True or shape is None:
            continue
        steps = [
            event["time"] - other["time"]
            for other in events[:place]
            if other["client_ip"] == event["client_ip"] and other.get("shape") and holds(where, other) is True
        ]
        gap = steps[-1] if steps and steps[-1] < window.memory_us else None
        if window.kind == "straight":
            way = "straight" if gap is None else "not"
        elif gap is None:
            continue
        else:
            way = gap // 250_000
        came.append((shape, way, event["ip_prefix"], event["time"]))
        recent = [row for row in came if row[3] + window.window_us > event["time"] and row[0] == shape]
        event[window.new] = len({network for _, _, network, _ in recent})
        if way != "not":
            event[window.name] = len({network for _, other, network, _ in recent if other == way})


def distance_km(one: str, other: str) -> float:
    a, b = places()[one], places()[other]
    chord = math.sqrt((a.x - b.x) ** 2 + (a.y - b.y) ** 2 + (a.z - b.z) ** 2)
    return 0.0 if one == other else max(0.0, chord - a.radius - b.radius)


# --- sessions --------------------------------------------------------------------------------------------------------
def actor(event: Event) -> str:
    if event.get("session_token") is not None:
        return f"t{len(event['session_token'])}:{event['session_token']}"
    if event.get("user") is not None:
        return f"u{len(event['user'])}:{event['user']}"
    parts = [event.get(name) for name in ("ip_prefix", "user_agent", "language")]
    return "c" + "".join("-" if part is None else f"{len(part)}:{part}" for part in parts)


def in_total_order(events: list[Event]) -> list[Event]:
    def rank(event: Event) -> tuple[Any, ...]:
        source = event.get("source")
        line = event.get("line_number")
        return event["time"], source is not None, source or "", -1 if line is None else line

    return sorted(events, key=rank)


def cut(events: list[Event], definition: Definition) -> list[tuple[str, int, list[Event]]]:
    """Cut events in total order into sessions: actor, piece and events of each."""
    opened: dict[str, tuple[int, list[Event]]] = {}
    done = []
    for event in events:
        who = actor(event)
        piece, members = opened.get(who, (0, []))
        if members:
            is_silent = event["time"] - members[-1]["time"] > definition.session_gap_us
            is_long = event["time"] - members[0]["time"] > definition.max_duration_us
            is_full = len(members) >= definition.max_events
            if is_silent or is_long or is_full:
                done.append((who, piece, members))
                piece, members = (0 if is_silent else piece + 1), []
        opened[who] = piece, [*members, event]
    return done + [(who, piece, members) for who, (piece, members) in opened.items()]


def session_id(who: str, piece: int, members: list[Event], key: bytes = b"") -> str:
    text = f"{members[0]['time']} {piece} {who}".encode()
    return hashlib.blake2b(text, digest_size=16, key=key, person=b"fraudlog.session").hexdigest()


def sessions(events, definition, *, key=b"", population=None, checkpoints=()):
    """Return one dict a session (or checkpoint): ``session_id``, ``count``, and every feature."""
    rows = []
    full = [{**event, **text_fields(event)} for event in events]
    for event in full:
        event["columns"] = set(event)
        event.update(number_fields(event, definition, population))
    ordered = in_total_order(full)
    add_windows(ordered)
    for who, piece, members in cut(ordered, definition):
        wanted = sorted({count for count in checkpoints if count < len(members)} | {len(members)})
        for count in wanted:
            row = {"session_id": session_id(who, piece, members, key), "count": count, "piece": piece}
            rows.append(row | features(members[:count], definition))
    return rows


def features(members: list[Event], definition: Definition) -> dict[str, float]:
    """Return every feature of a session's events; null is NaN."""
    members = [dict(event) for event in members]
    add_gaps(members)
    coarsest = {0: 0, 1: 1, 60: 2}
    finest = min(event["coarseness"] for event in members)
    values = {}
    for feature in definition.features:
        if feature.expression:
            value = evaluate(parsed(feature.expression), members)
            values[feature.name] = value if finest <= coarsest[feature.resolution_s] else math.nan
    return values


@cache
def parsed(expression: str):
    return parse(expression)


def add_gaps(members: list[Event]) -> None:
    last_time = last_page = None
    for event in members:
        time = event["time"]
        event["gap_ms"] = None if last_time is None else (time - last_time) // 1000
        event["gap_log2"] = None if event["gap_ms"] is None else event["gap_ms"].bit_length()
        event["page_gap_ms"] = None
        if event.get("endpoint") == "page":
            event["page_gap_ms"] = None if last_page is None else (time - last_page) // 1000
            last_page = time
        last_time = time
    previous: Event | None = None
    for event in members:
        event["before"] = previous
        previous = event


def value_of(reference: Reference, event: Event):
    name = reference.field.name
    value = event.get(name)
    if not reference.is_step:
        return value
    before = event["before"]
    known = value is not None and before is not None and before.get(name) is not None
    return value - before[name] if known else None


# --- the language ----------------------------------------------------------------------------------------------------
def holds(condition, event: Event) -> bool | None:
    """Kleene's logic with None as unknown."""
    match condition:
        case Known(reference):
            return value_of(reference, event) is not None
        case Missing(reference):
            value = value_of(reference, event)
            return None if reference.field.name not in event["columns"] else value is None
        case Compare(reference, operator, constants):
            value = value_of(reference, event)
            return None if value is None else compare(value, operator, constants)
        case Not(operand):
            inner = holds(operand, event)
            return None if inner is None else not inner
        case And(left, right):
            answers = holds(left, event), holds(right, event)
            return False if False in answers else None if None in answers else True
        case Or(left, right):
            answers = holds(left, event), holds(right, event)
            return True if True in answers else None if None in answers else False


def compare(value, operator, constants) -> bool:
    match operator:
        case "==" | "in":
            return value in constants
        case "<":
            return value < constants[0]
        case "<=":
            return value <= constants[0]
        case ">":
            return value > constants[0]
        case ">=":
            return value >= constants[0]
        case "startswith":
            return value.startswith(constants[0])
        case "endswith":
            return value.endswith(constants[0])
        case "contains":
            return constants[0] in value


def evaluate(expression, members: list[Event]) -> float:
    match expression:
        case Number(value):
            return value
        case Root(operand):
            inner = evaluate(operand, members)
            return inner if math.isnan(inner) else math.sqrt(inner) if inner > 0 else 0.0
        case Arithmetic(operator, left, right):
            return operate(operator, evaluate(left, members), evaluate(right, members))
        case Reducer():
            found = reduce(expression, members)
            return math.nan if found is None else float(found)


def operate(operator: str, left: float, right: float) -> float:
    if math.isnan(left) or math.isnan(right) or (operator == "/" and right == 0):
        return math.nan
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            return left / right
        case "max":
            return max(left, right)
        case "min":
            return min(left, right)


def reduce(reducer: Reducer, members: list[Event]):
    answers = [True if reducer.where is None else holds(reducer.where, event) for event in members]
    chosen = [event for event, answer in zip(members, answers, strict=True) if answer]
    is_asked = any(answer is not None for answer in answers)
    match reducer.kind:
        case "count":
            return len(chosen) if is_asked else None
        case "share":
            known = sum(answer is not None for answer in answers)
            return len(chosen) / known if known else None
        case "burst":
            return burst([event["time"] for event in chosen], reducer.window_s * 1_000_000) if is_asked else None
    values = [value for event in chosen if (value := value_of(reducer.reference, event)) is not None]
    if reducer.kind == "distinct":
        has_field = any(value_of(reducer.reference, event) is not None for event in members)
        return len(set(values)) if has_field and is_asked else None
    return of_values(reducer.kind, values) if values else None


def of_values(kind: str, values: list[Any]):  # noqa: C901 -- a list of cases
    match kind:
        case "sum":
            return sum(values)
        case "sumsq":
            return sum(max(-(2**23 - 1), min(value, 2**23 - 1)) ** 2 for value in values)
        case "mean":
            return float(sum(values)) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "top":
            return max(Counter(values).values())
        case "switches":
            return sum(one != other for one, other in pairwise(values))
        case "entropy":
            n = len(values)
            return float(weight(n) - sum(weight(count) for count in Counter(values).values())) / (n * 2**20)


def weight(count: int) -> int:
    return math.floor(count * math.log2(count) * 2**20 + 0.5) if count else 0


def burst(times: list[int], window_us: int) -> int:
    return max(
        (sum(end - window_us < time <= end for time in times[: i + 1]) for i, end in enumerate(times)), default=0
    )
