"""The compiled windows of a live twin as its callers see them: as those of `fraudlog.sessions.window_live`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.sessions import window_fast as fast
from fraudlog.sessions.windows import BUCKET_US

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fraudlog.sessions.windows import Window

__all__ = ["CompiledWindow", "Pool"]

_FIRST_ROOM: Final = 1 << 12
_NO_LIMIT: Final = 1 << 62
_SPARE: Final = 64
"""Nodes that one event may need at most: two of each window, of which there are fewer than 32."""


class Pool:
    """One array for all compiled windows of a live twin.

    Parameters
    ----------
    windows : sequence of Window
    most : int or None
        Most keys of a window.
    seed : int
        Of the hashes.

    Attributes
    ----------
    words_now : list of ndarray
        Its one array, for code that must not hold on to it.
    """

    def __init__(self, windows: Sequence[Window], most: int | None, seed: int) -> None:
        self.hashed = np.array([window.kind == "distinct" for window in windows] or [False])
        self.words_now = [fast.pool_of(len(windows), most or _NO_LIMIT, _FIRST_ROOM, seed)]

    @property
    def words(self) -> NDArray[np.int64]:
        """The pool as `fraudlog.sessions.window_fast` lays it out; another array after it has grown."""
        return self.words_now[0]

    @property
    def is_full(self) -> bool:
        """Whether the next event may find no room."""
        return int(self.words[fast.HELD]) + _SPARE > int(self.words[fast.ROOM])

    def grow(self) -> None:
        """Make room for twice as many nodes."""
        words = self.words
        n_windows, room, seed = int(words[fast.WINDOWS]), 2 * int(words[fast.ROOM]), int(words[fast.SEED])
        larger = fast.pool_of(n_windows, 0, room, seed)
        fast.grown(words, larger, self.hashed)
        self.words_now[0] = larger


class _Keys:
    """The keys of a compiled window."""

    def __init__(self, window: CompiledWindow) -> None:
        self._window = window

    def __len__(self) -> int:
        return int(self._window.watch(2))

    @property
    def most(self) -> int | None:
        """Most keys that are kept."""
        most = self._window.watch(3)
        return None if most == _NO_LIMIT else most

    def newest(self) -> list[int]:
        """Return all keys that are not forgotten, the one touched longest ago first."""
        words = self._window.pool.words
        return [int(words[node + fast.KEY]) for node in self._window.chain(int(self._window.watch(0)))]


class CompiledWindow:
    """One window of distinct values, or of events by the minute.

    Parameters
    ----------
    window : Window
    place : int
        Its number in the pool.
    pool : Pool
    most_values : int or None
        Most distinct values of a key.
    """

    def __init__(self, window: Window, place: int, pool: Pool, most_values: int | None) -> None:
        self.window_us = window.window_us
        self.is_distinct = window.kind == "distinct"
        self.place = place
        self.pool = pool
        self.most_values = max(most_values or _NO_LIMIT, 2)
        self.keys = _Keys(self)

    def see(self, key: int, value: int, time_us: int) -> Any:  # noqa: ANN401 -- a pair, or one number
        """Take one event in; as `DistinctWindow.see` or `CountWindow.see`."""
        if self.pool.is_full:
            self.pool.grow()
        words = self.pool.words
        if not self.is_distinct:
            return fast.count(words, self.place, key, value, time_us, self.window_us)
        found = fast.distinct(words, self.place, key, value, time_us, self.window_us, self.most_values)
        return found >> 1, found & 1

    def longest(self) -> tuple[int, int | None]:
        """Return how many values, or minutes, are kept of one key, at most, and how many may be."""
        lengths = [self._length(key) for key in self.chain(self.watch(0))]
        most = None if self.most_values == _NO_LIMIT else self.most_values
        return max(lengths, default=0), most if self.is_distinct else self.window_us // BUCKET_US

    def _length(self, key: int) -> int:
        words = self.pool.words
        if self.is_distinct:
            return int(words[key + fast.NUMBER])
        return sum(1 for _ in self.chain(int(words[key + fast.FIRST])))

    def dump(self, key: int) -> list[list[int]]:
        """Return the values of a key with their times, or its minutes with their counts."""
        words = self.pool.words
        node = fast.key_node(words, self.place, key)
        if node == 0:
            return []
        return [
            [int(words[n + fast.VALUE]), int(words[n + fast.NUMBER])] for n in self.chain(int(words[node + fast.FIRST]))
        ]

    def join(self, key: int, pairs: list[list[int]]) -> None:
        """Add values with their times, or minutes with their counts, as if they had been seen here."""
        known = self.dump(key) + pairs
        if not known:
            return
        if self.is_distinct:
            times: dict[int, int] = dict(sorted(known, key=lambda pair: pair[1]))  # type: ignore[arg-type] # pairs
            kept = sorted(times.items(), key=lambda pair: pair[1])[-min(self.most_values, len(times)) :]
            newest = kept[-1][1]
        else:
            counts: dict[int, int] = {}
            for bucket, weight in known:
                counts[bucket] = counts.get(bucket, 0) + weight
            kept = sorted(counts.items())
            newest = (kept[-1][0] + 1) * BUCKET_US - 1
        while int(self.pool.words[fast.HELD]) + len(kept) + _SPARE > int(self.pool.words[fast.ROOM]):
            self.pool.grow()
        fast.replace(self.pool.words, self.place, key, np.array(kept, np.int64), newest, self.is_distinct)

    def watch(self, word: int) -> int:
        """Return one of the words the pool keeps of this window."""
        return int(self.pool.words[fast.HEAD_WORDS + fast.WATCH_WORDS * self.place + word])

    def chain(self, number: int) -> Iterator[int]:
        """Give where each node of a chain stands."""
        words: NDArray[np.int64] = self.pool.words
        nodes = len(words) - fast.NODE_WORDS * (int(words[fast.ROOM]) + 1)
        while number:
            node = nodes + fast.NODE_WORDS * number
            yield node
            number = int(words[node + fast.NEWER])
