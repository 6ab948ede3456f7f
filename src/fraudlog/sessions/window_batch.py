"""Windows over other sessions, filled batch by batch: sorting instead of dictionaries, and a small state between.

Equal to the dictionaries of `fraudlog.sessions.window_live`, event by event and for any size of batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from fraudlog.sessions.columns import NULL, dense, stable_order
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.places import distance_km, places
from fraudlog.sessions.plan import truth
from fraudlog.sessions.windows import APPROACHES, BEAT_US, BUCKET_US, LEAST_TRAVEL_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.sessions.columns import Text
    from fraudlog.sessions.facts import Facts
    from fraudlog.sessions.language import Condition
    from fraudlog.sessions.plan import Atom, Plan
    from fraudlog.sessions.windows import Window

__all__ = ["WindowState", "fill", "forget", "hashes", "holds_in", "known_in"]

WindowState = dict[str, "NDArray[Any]"]
"""Columns of what a window remembers; keys and values as 64-bit hashes."""

_HASH_KEY: Final = "fraudlog windows"
_STEPS: Final = 0
_ALIKE: Final = 1
_ALL: Final = 2
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_HOUR_US: Final = 3_600_000_000.0


def hashes(text: Text) -> NDArray[np.uint64]:
    """Return a 64-bit hash (SipHash) of each row's value; each distinct value is hashed once."""
    strings = text.values.to_pylist()  # noqa: PD011 -- a Text's, not a frame's
    values = np.array(strings or [""], dtype=object)
    of_values = pd.util.hash_array(values, hash_key=_HASH_KEY, categorize=False)
    hashed: NDArray[np.uint64] = of_values[text.codes]
    return hashed


def fill(facts: Facts, plan: Plan, states: dict[str, WindowState]) -> dict[str, WindowState]:
    """Add the fields of all windows of a plan to settled facts in total order; returns the states after them."""
    hashed: dict[str, NDArray[np.uint64]] = {}
    after = {}
    for window in plan.windows:
        for name in window.reads:
            if name not in hashed:
                hashed[name] = hashes(facts.text[name])
        filled, after[window.name] = _KINDS[window.kind](window, facts, plan, hashed, states.get(window.name))
        facts.numbers.update(filled)
    return after


def forget(states: dict[str, WindowState], plan: Plan, watermark_us: int) -> dict[str, WindowState]:
    """Return states without what no event from a time on can see any more.

    What is left is a function of the events before that time: equal however they came, and whoever was the last.
    """
    left = {}
    for window in plan.windows:
        state = states[window.name]
        if "bucket" in state:
            kept = state["bucket"] > (watermark_us - window.window_us) // BUCKET_US
        else:
            kept = state["time"] + _kept_us(window, state) > watermark_us
        left[window.name] = {name: column[kept] for name, column in state.items()}
    return left


def _kept_us(window: Window, state: WindowState) -> int | NDArray[np.int64]:
    """Return how long each row of a state is kept: a client's last step shorter than a network that came."""
    if "part" not in state:
        return window.window_us
    return np.where(state["part"] == _STEPS, window.memory_us, window.window_us)


def known_in(facts: Facts, window: Window) -> NDArray[np.bool_]:
    """Say which events have all the text that a window reads."""
    known = np.ones(len(facts), bool)
    for name in window.reads:
        known &= facts.text[name].codes != NULL
    return known


def holds_in(facts: Facts, plan: Plan, condition: Condition) -> NDArray[np.bool_]:
    """Say which events a window's condition holds for."""

    def bit(atom: Atom) -> NDArray[np.bool_]:
        place = plan.early.index(atom)
        return (facts.words[place // 64] >> np.uint64(place % 64) & np.uint64(1)).astype(bool)

    holds: NDArray[np.bool_] = truth(condition, bit)[0]
    return holds


def _spread(rows: NDArray[np.int64], values: NDArray[np.int64], n_rows: int, name: str) -> NDArray[np.int64]:
    spread = np.full(n_rows, NULL)
    spread[rows] = np.minimum(values, (1 << FIELDS[name].bits) - 1)
    return spread


def _distinct(
    window: Window, facts: Facts, plan: Plan, hashed: dict[str, NDArray[np.uint64]], state: WindowState | None
) -> tuple[dict[str, NDArray[np.int64]], WindowState]:
    known = known_in(facts, window)
    if window.needs_condition is not None:
        known &= holds_in(facts, plan, window.needs_condition)
    rows = np.flatnonzero(known)
    fresh: WindowState = {
        "key": hashed[window.key][rows],
        "value": hashed[window.value][rows],
        "time": facts.time[rows],
    }
    counts, new, after = _counted(fresh, state, window.window_us)
    filled = {window.name: _spread(rows, counts, len(facts), window.name)}
    if window.new:
        filled[window.new] = _spread(rows, new, len(facts), window.new)
    return filled, after


def _counted(
    fresh: WindowState, state: WindowState | None, window_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], WindowState]:
    """Return of each fresh row how many values its key has, whether its own is new, and what is to be remembered."""
    if not len(fresh["time"]):
        nothing = np.zeros(0, np.int64)
        return nothing, nothing, state or fresh
    n_before = len(state["time"]) if state else 0
    seen = {name: np.concatenate([state[name], fresh[name]]) if state else fresh[name] for name in fresh}
    time = seen["time"]
    pairs, _ = dense((seen["key"] * _MIX ^ seen["value"]).view(np.int64))
    order = stable_order(pairs, int(pairs.max()) + 1)
    goes_on = (pairs[order][1:] == pairs[order][:-1]) & (np.diff(time[order]) < window_us)
    begins, ends = np.ones(len(time), bool), np.ones(len(time), bool)
    begins[order[1:]] = ~goes_on
    ends[order[:-1]] = ~goes_on
    counts = _active(seen["key"], time, begins, ends, window_us, n_before)
    kept = ends & (time + window_us > time[-1])
    kept[order[:-1]] &= pairs[order][1:] != pairs[order][:-1]
    after = {name: column[kept] for name, column in seen.items()}
    return counts[n_before:], begins[n_before:].astype(np.int64), after


def _active(
    key: NDArray[np.uint64],
    time: NDArray[np.int64],
    begins: NDArray[np.bool_],
    ends: NDArray[np.bool_],
    window_us: int,
    n_before: int,
) -> NDArray[np.int64]:
    """Return how many values of its key are in the window at each row: those that began, less those that ended.

    What ends at the moment of a row has ended before it.
    """
    keys, _ = dense(key.view(np.int64))
    order = stable_order(keys, int(keys.max()) + 1)
    sums = np.cumsum(begins[order])
    by_key = keys[order]
    first = np.searchsorted(by_key, by_key)
    active = np.empty(len(key), np.int64)
    active[order] = sums - np.where(first > 0, sums[first - 1], 0)
    ended = np.flatnonzero(ends)
    at = n_before + np.searchsorted(time[n_before:], time[ended] + window_us)
    ended, at = ended[at < len(key)], at[at < len(key)]
    if len(ended):
        endings = np.sort(keys[ended].astype(np.int64) << 32 | at)
        asked = by_key.astype(np.int64) << 32
        active[order] -= np.searchsorted(endings, asked | order, side="right") - np.searchsorted(endings, asked)
    return active


def _count(
    window: Window, facts: Facts, plan: Plan, hashed: dict[str, NDArray[np.uint64]], state: WindowState | None
) -> tuple[dict[str, NDArray[np.int64]], WindowState]:
    known = known_in(facts, window)
    if window.needs_condition is not None:
        known &= holds_in(facts, plan, window.needs_condition)
    rows = np.flatnonzero(known)
    weight = np.ones(len(rows), np.int64)
    if window.where_condition is not None:
        weight = holds_in(facts, plan, window.where_condition)[rows].astype(np.int64)
    fresh: WindowState = {"key": hashed[window.key][rows], "bucket": facts.time[rows] // BUCKET_US, "weight": weight}
    if not len(rows):
        return {window.name: np.full(len(facts), NULL)}, state or fresh
    n_before = len(state["weight"]) if state else 0
    seen = {name: np.concatenate([state[name], fresh[name]]) if state else fresh[name] for name in fresh}
    keys, _ = dense(seen["key"].view(np.int64))
    order = stable_order(keys, int(keys.max()) + 1)
    length = window.window_us // BUCKET_US
    line = keys[order].astype(np.int64) << 32 | (seen["bucket"] - seen["bucket"].min() + length)[order]
    sums = np.append(0, np.cumsum(seen["weight"][order]))
    counts = np.empty(len(order), np.int64)
    counts[order] = sums[1:] - sums[np.searchsorted(line, line - length, side="right")]
    filled = {window.name: _spread(rows, counts[n_before:], len(facts), window.name)}
    return filled, _remembered(seen, order, line, seen["bucket"][-1] - length)


def _remembered(seen: WindowState, order: NDArray[np.int64], line: NDArray[np.int64], until: int) -> WindowState:
    """Sum up each key's minutes, and forget those before the window; the line of buckets is in order."""
    first = np.flatnonzero(np.append(True, line[1:] != line[:-1]))
    total = np.add.reduceat(seen["weight"][order], first)
    rows = order[first]
    kept = (seen["bucket"][rows] > until) & (total > 0)
    return {"key": seen["key"][rows][kept], "bucket": seen["bucket"][rows][kept], "weight": total[kept]}


def _speed(
    window: Window, facts: Facts, plan: Plan, hashed: dict[str, NDArray[np.uint64]], state: WindowState | None
) -> tuple[dict[str, NDArray[np.int64]], WindowState]:
    del plan
    numbers = {code: number for number, code in enumerate(places())}
    text = facts.text[window.value]
    countries = text.values.to_pylist()  # noqa: PD011 -- a Text's, not a frame's
    place = text.numbers(np.array([numbers.get(country, NULL) for country in countries], np.int64))
    rows = np.flatnonzero(known_in(facts, window) & (place != NULL))
    fresh: WindowState = {"key": hashed[window.key][rows], "place": place[rows], "time": facts.time[rows]}
    if not len(rows):
        return {window.name: np.full(len(facts), NULL)}, state or fresh
    n_before = len(state["time"]) if state else 0
    seen = {name: np.concatenate([state[name], fresh[name]]) if state else fresh[name] for name in fresh}
    keys, _codes = dense(seen["key"].view(np.int64))
    order = stable_order(keys, int(keys.max()) + 1)
    is_same = np.append(False, keys[order][1:] == keys[order][:-1])
    place_at, time_at = seen["place"][order], seen["time"][order]
    waited = time_at - np.append(0, time_at[:-1])
    is_recent = is_same & (waited < window.window_us)
    speed = np.where(is_recent, _speeds(np.append(0, place_at[:-1]), place_at, waited), NULL)
    of_rows = np.empty(len(order), np.int64)
    of_rows[order] = speed
    is_latest = np.append(~is_same[1:], True)
    kept = np.sort(order[is_latest & (time_at + window.window_us > seen["time"][-1])])
    filled = {window.name: _spread(rows, of_rows[n_before:], len(facts), window.name)}
    return filled, {name: column[kept] for name, column in seen.items()}


def _speeds(origin: NDArray[np.int64], target: NDArray[np.int64], waited_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return least speeds in km/h; each pair of places is measured once."""
    codes = list(places())
    pairs, distinct = dense(origin * len(codes) + target)
    km = np.array([distance_km(codes[p // len(codes)], codes[p % len(codes)]) for p in distinct.tolist()])
    speeds: NDArray[np.int64] = (km[pairs] * _HOUR_US / np.maximum(waited_us, LEAST_TRAVEL_US)).astype(np.int64)
    return speeds


def _approach(
    window: Window, facts: Facts, plan: Plan, hashed: dict[str, NDArray[np.uint64]], state: WindowState | None
) -> tuple[dict[str, NDArray[np.int64]], WindowState]:
    if window.where_condition is None or window.needs_condition is None:
        raise TypeError(window.name)
    is_told = known_in(facts, window)
    steps = np.flatnonzero(is_told & holds_in(facts, plan, window.where_condition))
    rows = np.flatnonzero(is_told & holds_in(facts, plan, window.needs_condition))
    before = _parts(state)
    clients, shapes, networks = (hashed[name] for name in (window.key, window.value, window.counted))
    gap, remembered = _since(clients, facts.time, steps, rows, before[_STEPS], window.memory_us)
    unknown, known = (0, NULL) if window.kind == "straight" else (NULL, gap // BEAT_US)
    way = np.where(gap == NULL, unknown, known)
    after, filled = {_STEPS: remembered}, {}
    for part, name, rows_of in ((_ALIKE, window.name, way != NULL), (_ALL, window.new, (way != NULL) | (gap != NULL))):
        at = rows[rows_of]
        mixed = shapes[at] if part == _ALL else shapes[at] * _MIX ^ (way[rows_of].astype(np.uint64) + np.uint64(1))
        fresh = {"key": mixed, "value": networks[at], "time": facts.time[at]}
        counts, _, after[part] = _counted(fresh, before[part], window.window_us)
        filled[name] = _spread(at, counts, len(facts), name)
    return filled, _joined(after)


def _since(
    clients: NDArray[np.uint64],
    time: NDArray[np.int64],
    steps: NDArray[np.int64],
    rows: NDArray[np.int64],
    state: WindowState | None,
    memory_us: int,
) -> tuple[NDArray[np.int64], WindowState]:
    """Return how long before each row its client took a step, null if not within the memory; and the last steps."""
    n_before = len(state["time"]) if state else 0
    client = np.concatenate([state["key"] if state else clients[:0], clients[steps], clients[rows]])
    codes = dense(client.view(np.int64))[0].astype(np.int64)
    n_steps = n_before + len(steps)
    at = np.concatenate([np.arange(n_before), n_before + steps])
    line = codes[:n_steps] << 32 | at
    order = np.argsort(line)
    when = np.concatenate([state["time"] if state else time[:0], time[steps]])[order]
    asked = codes[n_steps:] << 32
    place = np.searchsorted(line[order], asked | (n_before + rows))
    is_there = place > np.searchsorted(line[order], asked)
    gap = np.full(len(rows), NULL)
    gap[is_there] = time[rows[is_there]] - when[place[is_there] - 1]
    by_client = codes[:n_steps][order]
    is_last = np.append(by_client[1:] != by_client[:-1], True)[:n_steps]
    kept = is_last & (when + memory_us > (when.max() if n_steps else 0))
    after = {"key": client[:n_steps][order][kept], "value": np.zeros(int(kept.sum()), np.uint64), "time": when[kept]}
    return np.where(gap < memory_us, gap, NULL), after


def _parts(state: WindowState | None) -> list[WindowState | None]:
    """Take what an approach remembers apart: last steps, networks by way, networks."""
    if state is None:
        return [None] * 3
    names = ("key", "value", "time")
    return [{name: state[name][state["part"] == part] for name in names} for part in range(3)]


def _joined(parts: dict[int, WindowState]) -> WindowState:
    names = ("key", "value", "time")
    joined = {name: np.concatenate([parts[part][name] for part in range(3)]) for name in names}
    return joined | {"part": np.repeat(np.arange(3), [len(parts[part]["time"]) for part in range(3)])}


_KINDS: Final = {
    "distinct": _distinct,
    "count": _count,
    "speed": _speed,
    **dict.fromkeys(APPROACHES, _approach),
}
