"""What a live twin runs: two functions written for its definition, compiled where that is possible, and its windows.

One function takes an event in, the other reads the features out. Both are plain text first (see
`fraudlog.sessions.live_source` and `fraudlog.sessions.live_values`), for a definition is known only at run time, and
whatever it does not ask for should cost nothing.
"""

from __future__ import annotations

import struct
import sys
from datetime import UTC, datetime
from math import nan, sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fraudlog.errors import SchemaError
from fraudlog.sessions import scans
from fraudlog.sessions.live_engine import engine_of, is_compilable, watchable
from fraudlog.sessions.live_facts import Reader
from fraudlog.sessions.live_layout import Layout
from fraudlog.sessions.live_masks import independent, lookup
from fraudlog.sessions.live_slots import Slots
from fraudlog.sessions.live_source import observe_source
from fraudlog.sessions.live_values import live_lanes, values_source
from fraudlog.sessions.window_live import window_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.sessions.codes import Codes
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.live_compiled import Engine
    from fraudlog.sessions.live_program import Program
    from fraudlog.sessions.population import Population

__all__ = ["Made", "Wanted", "made_for"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIZE_MAX: Final = (1 << 38) - 1
_DURATION_MAX: Final = (1 << 30) - 1


class Wanted(NamedTuple):
    """What a twin is made for; the parameters of `LiveFeatures` of these names."""

    definition: Definition
    code: Codes
    population: Population | None
    max_sessions: int
    exact_values: int | None
    make_window: Callable[..., Any]
    is_compiled: bool | None


class Made(NamedTuple):
    """The two functions, and what stands behind them.

    Attributes
    ----------
    observe : callable
        Takes an event, and returns its session's state.
    values : callable
        Takes a plain state, and returns its features.
    engine : Engine or None
        The compiled form, if there is one.
    looked_up : dict of list of dict
        What was worked out of values met before.
    """

    observe: Callable[[Mapping[str, Any]], list[Any]]
    values: Callable[[list[Any]], list[float]]
    engine: Engine | None
    slots: Slots
    windows: dict[str, Any]
    readers: list[Reader]
    weights: list[int]
    looked_up: dict[str, list[dict[int, Any]]]


def made_for(wanted: Wanted, called_back: Mapping[str, Any]) -> Made:
    """Write and compile the two functions of a definition.

    Parameters
    ----------
    called_back : Mapping
        By the name it has in the text, what the function that takes events in asks of the twin.

    Raises
    ------
    ConfigError
        If it is to be compiled, and numba is not installed.
    """
    definition = wanted.definition
    layout, slots = Layout.of(definition, live_lanes(definition)), Slots()
    masks: dict[int, tuple[int, int]] = {}
    rules: dict[int, int] = {}
    parts = independent(layout)
    most = wanted.max_sessions if wanted.exact_values else None
    make_window = wanted.make_window
    windows = {window.name: make_window(window, most, wanted.exact_values) for window in definition.plan.windows}
    weights = scans.weights(definition.max_events)
    looks = lookup(layout, masks, rules, parts)
    readers = [Reader(group, layout, wanted.population, wanted.code, looks["rule_miss"]) for group in layout.groups]
    env: dict[str, Any] = {
        "moment": _moment,
        "intern": sys.intern,
        "size_of": _size,
        "milliseconds": _milliseconds,
        "code": wanted.code,
        "code_get": wanted.code.known.get,
        "weights": weights.tolist(),
        "lane_get": masks.get,
        "rule_get": rules.get,
        **looks,
        **called_back,
        **_sees(windows),
    }
    engine: Engine | None = None
    is_wanted = is_compilable(layout, is_compiled=wanted.is_compiled)
    watched = watchable(layout) if is_wanted and make_window is window_for else ()

    def program_of() -> Program:
        nonlocal engine
        engine = engine_of(definition, layout, slots, weights, looks["lane_miss"], wanted.exact_values, watched, most)
        for reader in readers:
            reader.engine = engine
        windows.update(engine.windows())
        env.update(engine.names() | _sees(windows))
        return engine.program

    source = observe_source(definition, layout, slots, wanted.exact_values, program_of if is_wanted else None, watched)
    observe = _observe_of(source, env)
    values = _values_of(values_source(definition, slots), layout, env["weights"])
    looked_up: dict[str, list[dict[int, Any]]] = {
        "lanes": [masks],
        "rules": [rules],
        "parts": [part.known for part in parts],
    }
    return Made(observe, values, engine, slots, windows, readers, env["weights"], looked_up)


def _sees(windows: Mapping[str, Any]) -> dict[str, Any]:
    return {f"see_{name}": window.see for name, window in windows.items()}


def _observe_of(source: str, env: dict[str, Any]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """Compile the text around names that are local to it, which are found faster than globals."""
    namespace: dict[str, Any] = {}
    names = "\n".join(f"    {name} = env[{name!r}]" for name in env)
    exec(compile(f"def make(env):\n{names}\n{source}", "<live>", "exec"), namespace)  # noqa: S102 -- text of our own making, see live_source
    observe: Callable[[Mapping[str, Any]], list[Any]] = namespace["make"](env)
    return observe


def _values_of(source: str, layout: Layout, weights: list[int]) -> Callable[[list[Any]], list[float]]:
    unpack = struct.Struct(f"<{len(layout.lanes)}H").unpack
    scope: dict[str, Any] = {"unpack": unpack, "nan": nan, "sqrt": sqrt, "weights": weights}
    exec(compile(source, "<values>", "exec"), scope)  # noqa: S102 -- as above
    values: Callable[[list[Any]], list[float]] = scope["values"]
    return values


def _moment(value: Any) -> int:  # noqa: ANN401 -- what a log or a service calls a time
    """Return a time in microseconds; an integer is one already."""
    if type(value) is int:
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        span = value - _EPOCH
        return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds
    raise SchemaError("timestamp must be an aware datetime or microseconds since 1970", missing=["timestamp"])


def _size(value: int | None) -> int | None:
    return None if value is None or value < 0 else min(value, _SIZE_MAX)


def _milliseconds(seconds: float | None) -> int | None:
    return int(min(seconds * 1000.0, _DURATION_MAX)) if seconds is not None and seconds >= 0 else None
