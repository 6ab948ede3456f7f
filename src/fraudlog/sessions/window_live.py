"""Windows over other sessions for a service: dictionaries, constant work an event, what is old forgotten bit by bit.

Equal to `fraudlog.sessions.window_batch`, which see.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from fraudlog.sessions.places import distance_km, places
from fraudlog.sessions.windows import APPROACHES, BEAT_US, BUCKET_US, LEAST_TRAVEL_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.sessions.windows import Window

__all__ = ["ApproachWindow", "CountWindow", "DistinctWindow", "SpeedWindow", "speed_between", "window_for"]

_HOUR_US: Final = 3_600_000_000.0
_DROPPED_AT_ONCE: Final = 2
_LONG_AGO: Final = -(1 << 63)
_NEW: Final = (1, 1)
_KNOWN: Final = (1, 0)
_WAYS: Final = 1 << 16
"""More than there are ways to come to a door."""

Record = TypeVar("Record")


class Generations(Generic[Record]):
    """A dictionary that forgets what was not touched for one to two lengths of a window.

    Keys touched in this length stand in `young`, those of the length before in `old`; what is older is dropped a few
    entries at a time, so that no event pays for a million. With more than `most` young ones the next length begins
    early. Callers look into `young` first; from `due_us` on they call `tend` before.
    """

    __slots__ = ("due_us", "dying", "most", "old", "turn_us", "until_us", "young")

    def __init__(self, turn_us: int, most: int | None) -> None:
        self.most = most
        self.young: dict[Any, Record] = {}
        self.old: dict[Any, Record] = {}
        self.dying: dict[Any, Record] = {}
        self.turn_us = turn_us
        self.until_us: int | None = None
        self.due_us = _LONG_AGO

    def __len__(self) -> int:
        return len(self.young) + len(self.old) + len(self.dying)

    def tend(self, time_us: int) -> None:
        """Begin the next length if it is time, and drop some of what has gone."""
        if self.until_us is None or time_us >= self.until_us or self._is_full():
            self._turn(time_us)
        for _ in range(min(_DROPPED_AT_ONCE, len(self.dying))):
            self.dying.popitem()
        self.due_us = _LONG_AGO if self.dying or self.until_us is None else self.until_us

    def elsewhere(self, key: object) -> Record | None:
        """Return the record of a key that is not young, or None; the caller puts the new one into `young`."""
        if self.most is not None and len(self.young) + 1 >= self.most:
            self.due_us = _LONG_AGO
        return self.old.pop(key, None) if self.old else None

    def find(self, key: object, time_us: int) -> Record | None:
        """Return the record of a key, or None; the caller puts the new one into `young`."""
        if time_us >= self.due_us:
            self.tend(time_us)
        record = self.young.get(key)
        return self.elsewhere(key) if record is None else record

    def newest(self) -> list[Any]:
        """Return all keys that are not forgotten."""
        return [*self.old, *self.young]

    def records(self) -> list[Record]:
        """Return all records, those that are being dropped too."""
        return [record for part in (self.young, self.old, self.dying) for record in part.values()]

    def record(self, key: object) -> Record | None:
        """Return the record of a key without touching it."""
        found = self.young.get(key)
        return self.old.get(key) if found is None else found

    def _is_full(self) -> bool:
        return self.most is not None and len(self.young) >= self.most

    def _turn(self, time_us: int) -> None:
        """Begin the next length; after a long silence even what is young has gone."""
        is_long_ago = self.until_us is not None and time_us >= self.until_us + self.turn_us
        self.dying, self.old, self.young = self.old, self.young, {}
        if is_long_ago:
            self.dying, self.old = self.old, {}
        self.until_us = time_us + self.turn_us


class DistinctWindow:
    """Distinct values of a key in a window. A key's only value is kept as a pair, which is most of them."""

    __slots__ = ("keys", "most_values", "window_us")

    def __init__(self, window: Window, most: int | None = None, most_values: int | None = None) -> None:
        self.window_us = window.window_us
        self.most_values = None if most_values is None else max(most_values, 2)
        self.keys: Generations[tuple[Any, int] | OrderedDict[Any, int]] = Generations(window.window_us, most)

    def see(self, key: object, value: object, time_us: int) -> tuple[int, int]:
        """Take one event in; returns the number of values, and whether this one is new (1 or 0)."""
        keys = self.keys
        if time_us >= keys.due_us:
            keys.tend(time_us)
        young = keys.young
        record = young.get(key) or keys.elsewhere(key)
        if record is None:
            young[key] = (value, time_us)
            return _NEW
        if record.__class__ is tuple:
            if time_us - record[1] >= self.window_us:
                young[key] = (value, time_us)
                return _NEW
            if record[0] == value:
                young[key] = (value, time_us)
                return _KNOWN
            young[key] = OrderedDict((record, (value, time_us)))
            return 2, 1
        return self._among_several(key, record, value, time_us)  # type: ignore[arg-type]

    def _among_several(self, key: object, seen: OrderedDict[Any, int], value: object, time_us: int) -> tuple[int, int]:
        while seen and time_us - next(iter(seen.values())) >= self.window_us:
            seen.popitem(last=False)
        is_new = value not in seen
        seen[value] = time_us
        seen.move_to_end(value)
        if self.most_values is not None and len(seen) > self.most_values:
            seen.popitem(last=False)
        self.keys.young[key] = seen if len(seen) > 1 else (value, time_us)
        return len(seen), int(is_new)

    def longest(self) -> tuple[int, int | None]:
        """Return how many values are kept of one key, at most, and how many may be."""
        return max((1 if type(one) is tuple else len(one) for one in self.keys.records()), default=0), self.most_values

    def dump(self, key: object) -> list[list[Any]]:
        """Return the values of a key with their times, as JSON holds them."""
        record = self.keys.record(key)
        pairs = () if record is None else (record,) if type(record) is tuple else record.items()  # type: ignore[union-attr] # told apart
        return [[value, time_us] for value, time_us in pairs]

    def join(self, key: object, pairs: list[list[Any]]) -> None:
        """Add values with their times, as if they had been seen here."""
        times = dict(sorted(self.dump(key) + pairs, key=lambda pair: pair[1]))
        kept = OrderedDict(sorted(times.items(), key=lambda pair: pair[1]))
        while self.most_values is not None and len(kept) > self.most_values:
            kept.popitem(last=False)
        if kept:
            self.keys.young[key] = kept if len(kept) > 1 else next(iter(kept.items()))


class CountWindow:
    """Events of a key in the last whole minutes."""

    __slots__ = ("keys", "length")

    def __init__(self, window: Window, most: int | None = None, most_values: int | None = None) -> None:  # noqa: ARG002 -- as the others; its minutes are few
        self.length = window.window_us // BUCKET_US
        self.keys: Generations[tuple[int, int] | list[Any]] = Generations(window.window_us, most)

    def see(self, key: object, weight: int, time_us: int) -> int:
        """Take one event in, which counts `weight`; returns the number of events."""
        bucket = time_us // BUCKET_US
        keys = self.keys
        if time_us >= keys.due_us:
            keys.tend(time_us)
        young = keys.young
        record = young.get(key) or keys.elsewhere(key)
        if record is None:
            if weight:
                young[key] = (bucket, weight)
            return weight
        if record.__class__ is tuple:
            if bucket - record[0] >= self.length:
                young[key] = (bucket, weight)
                return weight
            total: int = record[1] + weight
            young[key] = (bucket, total) if bucket == record[0] else [total, deque((record, (bucket, weight)))]
            return total
        return self._among_several(key, record, weight, bucket)  # type: ignore[arg-type]

    def _among_several(self, key: object, record: list[Any], weight: int, bucket: int) -> int:
        total, buckets = record
        total += weight
        if buckets[-1][0] == bucket:
            buckets[-1] = (bucket, buckets[-1][1] + weight)
        else:
            buckets.append((bucket, weight))
        while bucket - buckets[0][0] >= self.length:
            total -= buckets.popleft()[1]
        record[0] = total
        self.keys.young[key] = record
        return int(total)

    def longest(self) -> tuple[int, int | None]:
        """Return how many minutes are kept of one key, at most, and how many may be."""
        return max((1 if type(one) is tuple else len(one[1]) for one in self.keys.records()), default=0), self.length  # type: ignore[arg-type] # told apart

    def dump(self, key: object) -> list[list[Any]]:
        """Return the minutes of a key with their counts, as JSON holds them."""
        record = self.keys.record(key)
        if record is None:
            return []
        return [list(record)] if type(record) is tuple else [list(pair) for pair in record[1]]  # type: ignore[union-attr] # told apart

    def join(self, key: object, pairs: list[list[Any]]) -> None:
        """Add minutes with their counts, as if they had been seen here."""
        counts: dict[int, int] = {}
        for bucket, weight in self.dump(key) + pairs:
            counts[bucket] = counts.get(bucket, 0) + weight
        buckets = sorted(counts.items())
        if buckets:
            several = [sum(counts.values()), deque(buckets)]
            self.keys.young[key] = several if len(buckets) > 1 else buckets[0]


def speed_between(before: str, then_us: int, country: str, time_us: int, window_us: int) -> int | None:
    """Return the least speed from one country to another, km/h; None where the first lies too far back."""
    if time_us - then_us >= window_us or country not in places() or before not in places():
        return None
    way = distance_km(before, country)
    return int((way or 0.0) * _HOUR_US / max(time_us - then_us, LEAST_TRAVEL_US))


class SpeedWindow:
    """Speed between this place of a key and its last."""

    __slots__ = ("keys", "window_us")

    def __init__(self, window: Window, most: int | None = None, most_values: int | None = None) -> None:  # noqa: ARG002 -- as the others; it keeps one place
        self.window_us = window.window_us
        self.keys: Generations[tuple[str, int]] = Generations(window.window_us, most)

    def see(self, key: object, country: str, time_us: int) -> int | None:
        """Take one event in; returns km/h, or None for the first place or one that is not known."""
        if country not in places():
            return None
        keys = self.keys
        if time_us >= keys.due_us:
            keys.tend(time_us)
        record = keys.young.get(key) or keys.elsewhere(key)
        keys.young[key] = (country, time_us)
        return None if record is None else speed_between(*record, country, time_us, self.window_us)

    def longest(self) -> tuple[int, int | None]:
        """Return how many places are kept of one key, at most, and how many may be."""
        return min(len(self.keys), 1), 1

    def dump(self, key: object) -> list[list[Any]]:
        """Return the last place of a key with its time, as JSON holds them."""
        record = self.keys.record(key)
        return [] if record is None else [list(record)]

    def join(self, key: object, pairs: list[list[Any]]) -> None:
        """Add a place with its time, as if it had been seen here."""
        known = [pair for pair in self.dump(key) + pairs if pair[0] in places()]
        if known:
            country, time_us = max(known, key=lambda pair: pair[1])
            self.keys.young[key] = (country, time_us)


class ApproachWindow:
    """How clients came to a door, and how many networks came to it alike.

    Attributes
    ----------
    keys : Approaches
        Last steps of clients, by their codes; and networks by ways to the door, by negative numbers.
    """

    __slots__ = ("alike", "all", "keys", "kind", "memory_us", "steps")

    def __init__(self, window: Window, most: int | None = None, most_values: int | None = None) -> None:
        self.kind = window.kind
        self.memory_us = window.memory_us
        self.steps: Generations[int] = Generations(window.memory_us, most)
        self.alike = DistinctWindow(window, most, most_values)
        self.all = DistinctWindow(window, most, most_values)
        self.keys = self

    def __len__(self) -> int:
        return len(self.steps) + len(self.alike.keys) + len(self.all.keys)

    def newest(self) -> list[Any]:
        """Return all keys that are not forgotten: clients, and below 0 what they asked for and how they came."""
        ways = [-1 - (_WAYS * shape + way + 1) for shape, way in self.alike.keys.newest()]
        return [*self.steps.newest(), *(-1 - _WAYS * shape for shape in self.all.keys.newest()), *ways]

    def see(
        self, client: int, shape: int, time_us: int, network: int, is_at_door: object, is_step: object
    ) -> tuple[int | None, int | None]:
        """Take one event in; returns how many networks came in this way, and how many of whom it is known how."""
        alike = among = None
        last = self.steps.find(client, time_us)
        is_recent = last is not None and time_us - last < self.memory_us
        if last is not None and not is_step:
            self.steps.young[client] = last
        if is_at_door:
            way = _way(self.kind, time_us - last if is_recent and last is not None else None)
            if way is not None:
                alike = self.alike.see((shape, way), network, time_us)[0]
            if way is not None or self.kind == "straight":
                among = self.all.see(shape, network, time_us)[0]
        if is_step:
            self.steps.young[client] = time_us
        return alike, among

    @property
    def most(self) -> int | None:
        """Most clients whose last step is remembered for a length of the memory."""
        return self.steps.most

    def longest(self) -> tuple[int, int | None]:
        """Return how many networks are kept of one way, at most, and how many may be."""
        return max(self.alike.longest(), self.all.longest(), key=lambda pair: pair[0])

    def dump(self, key: int) -> list[list[Any]]:
        """Return what stands under a key, as JSON holds it."""
        if key >= 0:
            last = self.steps.record(key)
            return [] if last is None else [[0, last]]
        shape, way = divmod(-1 - key, _WAYS)
        return self.alike.dump((shape, way - 1)) if way else self.all.dump(shape)

    def join(self, key: int, pairs: list[list[Any]]) -> None:
        """Add what another window held, as if it had been seen here."""
        if key < 0:
            shape, way = divmod(-1 - key, _WAYS)
            if way:
                self.alike.join((shape, way - 1), pairs)
            else:
                self.all.join(shape, pairs)
        elif pairs:
            self.steps.young[key] = max(time_us for _, time_us in self.dump(key) + pairs)


def _way(kind: str, gap_us: int | None) -> int | None:
    """Return how a client came: 0 is straight, in a rhythm the quarters of a second since its last step."""
    if kind == "straight":
        return 0 if gap_us is None else None
    return None if gap_us is None else gap_us // BEAT_US


_KINDS: Final[dict[str, Callable[..., Any]]] = {
    "distinct": DistinctWindow,
    "count": CountWindow,
    "speed": SpeedWindow,
    **dict.fromkeys(APPROACHES, ApproachWindow),
}


def window_for(
    window: Window, most: int | None = None, most_values: int | None = None
) -> DistinctWindow | CountWindow | SpeedWindow | ApproachWindow:
    """Return an empty window of the kind that a row of the table asks for.

    With `most`, it forgets early what was not touched for longest rather than keep twice as many keys; with
    `most_values`, a key's count of distinct values goes no higher.
    """
    made: DistinctWindow | CountWindow | SpeedWindow | ApproachWindow = _KINDS[window.kind](window, most, most_values)
    return made
