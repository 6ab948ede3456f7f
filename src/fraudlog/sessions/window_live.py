"""Windows over other sessions for a service: dictionaries, constant work an event, what is old forgotten bit by bit.

Equal to `fraudlog.sessions.window_batch`, which see.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from fraudlog.sessions.places import distance_km, places
from fraudlog.sessions.windows import BUCKET_US, LEAST_TRAVEL_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from fraudlog.sessions.windows import Window

__all__ = ["CountWindow", "DistinctWindow", "SpeedWindow", "window_for"]

_HOUR_US: Final = 3_600_000_000.0
_DROPPED_AT_ONCE: Final = 2
Record = TypeVar("Record")


class Generations(Generic[Record]):
    """A dictionary that forgets what was not touched for one to two lengths of a window.

    Keys touched in this length stand in `young`, those of the length before in `old`; what is older is dropped two
    entries at a time, so that no event pays for a million.
    """

    __slots__ = ("dying", "old", "turn_us", "until_us", "young")

    def __init__(self, turn_us: int) -> None:
        self.young: dict[Any, Record] = {}
        self.old: dict[Any, Record] = {}
        self.dying: dict[Any, Record] = {}
        self.turn_us = turn_us
        self.until_us: int | None = None

    def __len__(self) -> int:
        return len(self.young) + len(self.old) + len(self.dying)

    def find(self, key: object, time_us: int) -> Record | None:
        """Return the record of a key, or None; the caller puts the new one into `young`."""
        if self.until_us is None or time_us >= self.until_us:
            self._turn(time_us)
        for _ in range(_DROPPED_AT_ONCE if self.dying else 0):
            if self.dying:
                self.dying.popitem()
        record = self.young.get(key)
        return record if record is not None or not self.old else self.old.pop(key, None)

    def _turn(self, time_us: int) -> None:
        """Begin the next length; after a long silence even what is young has gone."""
        is_long_ago = self.until_us is not None and time_us >= self.until_us + self.turn_us
        self.dying, self.old, self.young = self.old, self.young, {}
        if is_long_ago:
            self.dying, self.old = self.old, {}
        self.until_us = time_us + self.turn_us


class DistinctWindow:
    """Distinct values of a key in a window. A key's only value is kept as a pair, which is most of them."""

    __slots__ = ("keys", "window_us")

    def __init__(self, window: Window) -> None:
        self.window_us = window.window_us
        self.keys: Generations[tuple[Any, int] | OrderedDict[Any, int]] = Generations(window.window_us)

    def see(self, key: object, value: object, time_us: int) -> tuple[int, int]:
        """Take one event in; returns the number of values, and whether this one is new (1 or 0)."""
        record = self.keys.find(key, time_us)
        young = self.keys.young
        if record is None:
            young[key] = (value, time_us)
            return 1, 1
        if type(record) is tuple:
            is_recent = time_us - record[1] < self.window_us
            if is_recent and record[0] != value:
                young[key] = OrderedDict((record, (value, time_us)))
                return 2, 1
            young[key] = (value, time_us)
            return 1, 0 if is_recent else 1
        return self._among_several(key, record, value, time_us)  # type: ignore[arg-type]

    def _among_several(self, key: object, seen: OrderedDict[Any, int], value: object, time_us: int) -> tuple[int, int]:
        while seen and time_us - next(iter(seen.values())) >= self.window_us:
            seen.popitem(last=False)
        is_new = value not in seen
        seen[value] = time_us
        seen.move_to_end(value)
        self.keys.young[key] = seen if len(seen) > 1 else (value, time_us)
        return len(seen), int(is_new)


class CountWindow:
    """Events of a key in the last whole minutes."""

    __slots__ = ("keys", "length")

    def __init__(self, window: Window) -> None:
        self.length = window.window_us // BUCKET_US
        self.keys: Generations[tuple[int, int] | list[Any]] = Generations(window.window_us)

    def see(self, key: object, weight: int, time_us: int) -> int:
        """Take one event in, which counts `weight`; returns the number of events."""
        bucket = time_us // BUCKET_US
        record = self.keys.find(key, time_us)
        young = self.keys.young
        if record is None:
            if weight:
                young[key] = (bucket, weight)
            return weight
        if type(record) is tuple:
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


class SpeedWindow:
    """Speed between this place of a key and its last."""

    __slots__ = ("keys", "window_us")

    def __init__(self, window: Window) -> None:
        self.window_us = window.window_us
        self.keys: Generations[tuple[str, int]] = Generations(window.window_us)

    def see(self, key: object, country: str, time_us: int) -> int | None:
        """Take one event in; returns km/h, or None for the first place or one that is not known."""
        if country not in places():
            return None
        record = self.keys.find(key, time_us)
        self.keys.young[key] = (country, time_us)
        if record is None or time_us - record[1] >= self.window_us:
            return None
        way = distance_km(record[0], country)
        return int((way or 0.0) * _HOUR_US / max(time_us - record[1], LEAST_TRAVEL_US))


_KINDS: Final[dict[str, Callable[[Window], Any]]] = {
    "distinct": DistinctWindow,
    "count": CountWindow,
    "speed": SpeedWindow,
}


def window_for(window: Window) -> DistinctWindow | CountWindow | SpeedWindow:
    """Return an empty window of the kind that a row of the table asks for."""
    made: DistinctWindow | CountWindow | SpeedWindow = _KINDS[window.kind](window)
    return made
