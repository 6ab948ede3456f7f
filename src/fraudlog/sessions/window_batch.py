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
from fraudlog.sessions.windows import BUCKET_US, LEAST_TRAVEL_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.sessions.columns import Text
    from fraudlog.sessions.facts import Facts
    from fraudlog.sessions.language import Condition
    from fraudlog.sessions.plan import Atom, Plan
    from fraudlog.sessions.windows import Window

__all__ = ["WindowState", "fill", "forget", "hashes", "holds"]

WindowState = dict[str, "NDArray[Any]"]
"""Columns of what a window remembers; keys and values as 64-bit hashes."""

_HASH_KEY: Final = "fraudlog windows"
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
            lasts_us = np.full(len(state["time"]), window.window_us)
            if "part" in state:  # steps on the way to a door are remembered for a time of their own
                lasts_us[state["part"] == 0] = getattr(window, "memory_us", 0)
            kept = state["time"] + lasts_us > watermark_us
        left[window.name] = {name: column[kept] for name, column in state.items()}
    return left


def _known(facts: Facts, window: Window) -> NDArray[np.bool_]:
    known = np.ones(len(facts), bool)
    for name in window.reads:
        known &= facts.text[name].codes != NULL
    return known


def holds(facts: Facts, plan: Plan, condition: Condition) -> NDArray[np.bool_]:
    """Say for which events a condition on the event alone holds."""

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
    known = _known(facts, window)
    if window.needs_condition is not None:
        known &= holds(facts, plan, window.needs_condition)
    rows = np.flatnonzero(known)
    fresh: WindowState = {
        "key": hashed[window.key][rows],
        "value": hashed[window.value][rows],
        "time": facts.time[rows],
    }
    if not len(rows):
        empty = {name: np.full(len(facts), NULL) for name in window.fields}
        return empty, state or fresh
    n_before = len(state["time"]) if state else 0
    seen = {name: np.concatenate([state[name], fresh[name]]) if state else fresh[name] for name in fresh}
    time = seen["time"]
    pairs, _ = dense((seen["key"] * _MIX ^ seen["value"]).view(np.int64))
    order = stable_order(pairs, int(pairs.max()) + 1)
    goes_on = (pairs[order][1:] == pairs[order][:-1]) & (np.diff(time[order]) < window.window_us)
    begins, ends = np.ones(len(time), bool), np.ones(len(time), bool)
    begins[order[1:]] = ~goes_on
    ends[order[:-1]] = ~goes_on
    counts = _active(seen["key"], time, begins, ends, window.window_us, n_before)
    kept = ends & (time + window.window_us > time[-1])
    kept[order[:-1]] &= pairs[order][1:] != pairs[order][:-1]
    filled = {window.name: _spread(rows, counts[n_before:], len(facts), window.name)}
    if window.new:
        filled[window.new] = _spread(rows, begins[n_before:].astype(np.int64), len(facts), window.new)
    return filled, {name: column[kept] for name, column in seen.items()}


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
    known = _known(facts, window)
    if window.needs_condition is not None:
        known &= holds(facts, plan, window.needs_condition)
    rows = np.flatnonzero(known)
    weight = np.ones(len(rows), np.int64)
    if window.where_condition is not None:
        weight = holds(facts, plan, window.where_condition)[rows].astype(np.int64)
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
    rows = np.flatnonzero(_known(facts, window) & (place != NULL))
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


_KINDS: Final = {"distinct": _distinct, "count": _count, "speed": _speed}
