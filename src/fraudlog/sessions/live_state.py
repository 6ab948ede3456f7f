"""A live session's state as plain values: out of a process, into another, and two of one client into one.

A session is a list of slots; `fraudlog.sessions.live_slots` says what each holds. What leaves the process are codes
and counts; the columns that name a person are left to the caller. What comes in is checked slot by slot.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import SchemaError
from fraudlog.sessions.live_sample import CountSample, SetSample
from fraudlog.sessions.live_slots import HEAD
from fraudlog.sessions.plan import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fraudlog.sessions.live_slots import Slots

__all__ = ["Layouted", "layout_digest"]

_WIDEST: Final = 1 << 63
_WIDEST_LEVEL: Final = 32
_LANES: Final = HEAD.index("LANES")


def layout_digest(slots: Slots) -> str:
    """Return a digest of what stands where: a state only fits the layout it came from."""
    return hashlib.sha256(repr(slots.keys).encode()).hexdigest()


def _whole(value: Any) -> int:  # noqa: ANN401 -- anything a file may hold
    if type(value) is not int or not -_WIDEST <= value < _WIDEST:
        raise SchemaError("a saved session holds something else than a number where one belongs")
    return value


def _optional(value: Any) -> int | None:  # noqa: ANN401 -- as above
    return None if value is None else _whole(value)


def _times(value: Any) -> list[int] | None:  # noqa: ANN401 -- as above
    if value is None:
        return None
    times = [_whole(time) for time in _listed(value)]
    if len(times) < 2 or times != sorted(times):
        raise SchemaError("a saved session holds times that are not in order")
    return times


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 -- as above
    if not isinstance(value, list):
        raise SchemaError("a saved session holds something else than a list where one belongs")
    return value


def _counts(value: Any) -> dict[int, int]:  # noqa: ANN401 -- as above
    pairs = [[_whole(part) for part in _listed(pair)] for pair in _listed(value)]
    if any(len(pair) != 2 or pair[1] < 1 for pair in pairs):
        raise SchemaError("a saved session holds counts below 1")
    return dict(pairs)  # type: ignore[arg-type] # pairs, as the line before says


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "sum": _whole,
    "sumsq": _whole,
    "min": _optional,
    "max": _optional,
    "first": _optional,
    "last": _optional,
    "switches": _whole,
    "weights": _whole,
    "top": _whole,
    "times": _times,
    "head": _whole,
    "burst": _whole,
    "at": _optional,
    "page": _optional,
    "step": _optional,
}
"""What may stand in a slot, by its kind; ``held`` and ``entry`` are read apart."""


@dataclass(frozen=True)
class Layouted:
    """Reads, writes and joins the states of one layout.

    Parameters
    ----------
    slots : Slots
        Of the live twin.
    weights : sequence of int
        Weight of each count in an entropy.
    max_events : int
        Most events of a session.
    exact_values : int or None
        Most distinct values that a session keeps.
    """

    slots: Slots
    weights: Sequence[int]
    max_events: int
    exact_values: int | None

    def dump(self, state: list[Any]) -> list[Any]:
        """Return what a state counted, as JSON holds it; the head is the caller's."""
        lanes = f"{state[_LANES]:x}"
        return [lanes, [_plain(value) for value in state[len(HEAD) :]]]

    def load(self, dumped: Any, state: list[Any]) -> None:  # noqa: ANN401 -- anything a file may hold
        """Put what `dump` gave into a fresh state.

        Raises
        ------
        SchemaError
            If a slot holds what it never could.
        """
        lanes, values = _listed(dumped)
        if not isinstance(lanes, str) or len(lanes) > 4 * len(self.slots.keys) + 4096:
            raise SchemaError("a saved session has no counts")
        try:
            state[_LANES] = int(lanes, 16)
        except ValueError:
            raise SchemaError("a saved session has counts that are none") from None
        if len(_listed(values)) != len(self.slots.keys):
            raise SchemaError("a saved session has more or fewer values than this version keeps")
        for place, (key, value) in enumerate(zip(self.slots.keys, values, strict=True), len(HEAD)):
            state[place] = self._read(key, value)
        self._check(state)

    def _read(self, key: object, value: Any) -> Any:  # noqa: ANN401 -- as above
        kind = _kind(key)
        if kind == "entry":
            return None
        return self._held(value) if kind == "held" else _READERS[kind](value)

    def _held(self, value: Any) -> Any:  # noqa: ANN401 -- as above
        if value is None:
            return None
        tag, *parts = _listed(value)
        if tag == "set":
            return {_whole(one) for one in _listed(parts[0])}
        if tag == "counts":
            return _counts(parts[0])
        level, limit = _whole(parts[0]), self.exact_values or self.max_events
        if not 0 <= level <= _WIDEST_LEVEL:
            raise SchemaError("a saved session has a sample that is none")
        if tag == "set sample":
            return SetSample((_whole(one) for one in _listed(parts[1])), limit, level)
        sample = CountSample({}, limit, self.weights, level)
        sample.frequent, sample.kept = _counts(parts[1]), _counts(parts[2])
        return sample

    def _check(self, state: list[Any]) -> None:
        """Check what one slot says against another: pointers into lists, counts against the table of weights."""
        for key in self.slots.keys:
            kind = _kind(key)
            if kind == "head":
                times = state[self.slots["times", key[1]]]  # type: ignore[index] # a head's key names its times
                if times is None:  # pointers into times that are gone are set anew with the next
                    state[self.slots[key]] = 0
                elif not 0 <= state[self.slots[key]] < len(times):
                    raise SchemaError("a saved session points outside its times")
            elif kind == "held" and isinstance(state[self.slots[key]], (dict, CountSample)):
                held = state[self.slots[key]]
                counts = [*held.values()] if isinstance(held, dict) else [*held.frequent.values(), *held.kept.values()]
                if any(count > self.max_events for count in counts):
                    raise SchemaError("a saved session counts more events than a session has")

    def joined(self, one: list[Any], other: list[Any]) -> list[Any]:
        """Return one state of two of the same client that different processes kept at the same time.

        Counts, sums, extremes and distinct values are exact; what hangs on the order of events (silences, switches,
        bursts) is that of the two halves, and the state is marked as estimated.
        """
        first, second = (one, other) if one[0] <= other[0] else (other, one)
        later = one if one[1] >= other[1] else other
        state = list(first)
        state[1], state[2] = later[1], first[2] + second[2]
        state[_LANES] = first[_LANES] + second[_LANES]
        state[HEAD.index("ESTIMATED")] = True
        for key in self.slots.keys:
            place = self.slots[key]
            kind = _kind(key)
            if kind in _JOINERS:
                state[place] = _JOINERS[kind](first[place], second[place])
            elif kind in ("last", "step") and later is second:
                state[place] = second[place] if second[place] is not None else first[place]
        for key in self.slots.keys:
            if _kind(key) == "held":
                self._join_held(key[1], first, second, state)  # type: ignore[index] # its key is the second part
            elif _kind(key) == "times":
                self._join_times(key[1], later, state)  # type: ignore[index] # as above
        return state

    def _join_times(self, where: object, later: list[Any], state: list[Any]) -> None:
        """Keep the times of the half that goes on."""
        for key in self.slots.keys:
            if _kind(key) in ("times", "head") and key[1] == where:  # type: ignore[index] # as above
                state[self.slots[key]] = later[self.slots[key]]

    def _join_held(self, key: object, first: list[Any], second: list[Any], state: list[Any]) -> None:
        slots = self.slots
        counted = ("weights", key) in slots
        held = [self._values(key, half, counted=counted) for half in (first, second)]
        if not counted:
            values = _union(held[0], held[1], self.exact_values)
            state[slots["held", key]] = values if len(values) > 1 else None
            return
        counts = _added(held[0], held[1], self.exact_values, self.weights)
        is_several = len(counts) > 1
        state[slots["held", key]] = counts if is_several else None
        if isinstance(counts, dict):
            state[slots["weights", key]] = sum(self.weights[n] for n in counts.values()) if is_several else 0
            state[slots["top", key]] = max(counts.values(), default=0)
        else:
            state[slots["weights", key]] = min(counts.weight, self.weights[state[2]])
            state[slots["top", key]] = max(first[slots["top", key]], second[slots["top", key]])

    def _values(self, key: object, half: list[Any], *, counted: bool) -> Any:  # noqa: ANN401 -- values or a sample
        held, last = half[self.slots["held", key]], half[self.slots["last", key]]
        if held is not None:
            return held
        if counted:
            return {} if last is None else {last: half[self.slots["top", key]]}
        return set() if last is None else {last}


def _least(one: int | None, other: int | None) -> int | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _greatest(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


_JOINERS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "sum": lambda one, other: one + other,
    "sumsq": lambda one, other: one + other,
    "min": _least,
    "max": _greatest,
    "first": lambda one, other: other if one is None else one,
    "switches": lambda one, other: one + other,
    "burst": max,
    "at": _greatest,
    "page": _greatest,
    "entry": lambda _one, _other: None,
}
"""What becomes of two slots, by kind; the first is that of the half that began earlier."""


def _kind(key: object) -> str:
    if isinstance(key, Scan):
        return key.kind
    return str(key[0]) if isinstance(key, tuple) else str(key)


def _plain(value: Any) -> Any:  # noqa: ANN401 -- what a slot holds
    match value:
        case set():
            return ["set", sorted(value)]
        case dict():
            return ["counts", sorted([one, count] for one, count in value.items())]
        case SetSample():
            return ["set sample", value.level, sorted(value.kept)]
        case CountSample():
            pairs = [sorted([one, count] for one, count in part.items()) for part in (value.frequent, value.kept)]
            return ["count sample", value.level, *pairs]
        case tuple():  # an entry of a look-up, which is looked up again
            return None
    return value


def _union(one: Any, other: Any, limit: int | None) -> Any:  # noqa: ANN401 -- sets or samples
    if isinstance(one, set) and isinstance(other, set):
        values = one | other
        return values if limit is None or len(values) <= limit else SetSample(values, limit)
    sample = SetSample((), limit or 1, max(half.level for half in (one, other) if isinstance(half, SetSample)))
    for half in (one, other):
        for value in half if isinstance(half, set) else half.kept:
            sample.add(value)
    return sample


def _added(one: Any, other: Any, limit: int | None, weights: Sequence[int]) -> Any:  # noqa: ANN401 -- counts or samples
    if isinstance(one, dict) and isinstance(other, dict):
        counts = {value: one.get(value, 0) + other.get(value, 0) for value in one | other}
        return counts if limit is None or len(counts) <= limit else CountSample(counts, limit, weights)
    level = max(half.level for half in (one, other) if isinstance(half, CountSample))
    sample = CountSample({}, limit or 1, weights, level)
    for half in (one, other):
        parts = [half] if isinstance(half, dict) else [half.frequent, half.kept]
        sample.frequent |= {} if isinstance(half, dict) else dict.fromkeys(half.frequent, 0)
        for part in parts:
            for value, count in part.items():
                sample[value] = sample.get(value, 0) + count
    return sample
