"""A sample of a session's distinct values, for sessions that have more than are kept.

Values are drawn by their hash: those whose lowest `level` bits are 0 stay, and whenever more than the limit are kept,
`level` rises by one and half of them go (Wegman's adaptive sampling [1]_). Each that stays stands for ``2 ** level``;
so the number of values is estimated with a standard error of about ``1.2 / sqrt(limit)``, and never needs more room.
Values that stood often before the first draw are all kept, each for itself: an entropy rests mostly on them.

References
----------
.. [1] P. Flajolet, "On adaptive sampling", Computing 43 (1990).
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CountSample", "SetSample", "sample_of", "standard_error"]

_FREQUENT: Final = 16
_MIX: Final = 0x9E3779B97F4A7C15
_WORD: Final = (1 << 64) - 1


def _draw(value: Any) -> int:  # noqa: ANN401 -- a code or a whole number
    """Return bits that look random, also of numbers that follow each other."""
    mixed: int = value * _MIX & _WORD
    return (mixed ^ mixed >> 29) * _MIX >> 24 & 0xFFFFFFFF


def standard_error(limit: int) -> float:
    """Return the relative standard error of the number of values when `limit` are kept.

    >>> round(standard_error(1024), 4)
    0.0375
    """
    return 1.2 / sqrt(limit)


class SetSample:
    """A sample of distinct values; ``len`` is the estimate of how many there were.

    Parameters
    ----------
    values : iterable
        Codes or whole numbers.
    limit : int
        Most values kept.

    Examples
    --------
    >>> sample = SetSample(range(100), 1000)
    >>> len(sample)
    100
    """

    __slots__ = ("kept", "level", "limit")

    def __init__(self, values: Iterable[Any], limit: int, level: int = 0) -> None:
        self.limit = limit
        self.level = level
        self.kept = set(values)
        self._thin()

    def __len__(self) -> int:
        return len(self.kept) << self.level

    def add(self, value: Any) -> None:  # noqa: ANN401 -- as above
        """Take a value in, if it is drawn."""
        if not _draw(value) & (1 << self.level) - 1:
            self.kept.add(value)
            self._thin()

    def _thin(self) -> None:
        while len(self.kept) > self.limit:
            self.level += 1
            mask = (1 << self.level) - 1
            self.kept = {value for value in self.kept if not _draw(value) & mask}


class CountSample:
    """A sample of how often values stood; ``len`` is the estimate of how many there were.

    Parameters
    ----------
    counts : mapping of value to int
    limit : int
        Most values kept, besides those that stand often.
    weights : sequence of int
        The weight of each count in an entropy, as `fraudlog.sessions.scans.weights`.
    """

    __slots__ = ("frequent", "kept", "level", "limit", "weights")

    def __init__(self, counts: Mapping[Any, int], limit: int, weights: Sequence[int], level: int = 0) -> None:
        self.limit = limit
        self.level = level
        self.weights = weights
        self.frequent = {value: count for value, count in counts.items() if count >= _FREQUENT}
        self.kept = {value: count for value, count in counts.items() if count < _FREQUENT}
        self._thin()

    def __len__(self) -> int:
        return len(self.frequent) + (len(self.kept) << self.level)

    @property
    def weight(self) -> int:
        """Estimate of the sum of the weights of all counts."""
        weights = self.weights
        kept = sum([weights[count] for count in self.kept.values()])
        return sum([weights[count] for count in self.frequent.values()]) + (kept << self.level)

    def get(self, value: Any, default: int) -> int:  # noqa: ANN401 -- as above
        """Return how often a value stood, as far as is known."""
        count = self.frequent.get(value)
        return self.kept.get(value, default) if count is None else count

    def __setitem__(self, value: Any, count: int) -> None:  # noqa: ANN401 -- as above
        if value in self.frequent:
            self.frequent[value] = count
        elif not _draw(value) & (1 << self.level) - 1:
            self.kept[value] = count
            self._thin()

    def _thin(self) -> None:
        while len(self.kept) > self.limit:
            self.level += 1
            mask = (1 << self.level) - 1
            self.kept = {value: count for value, count in self.kept.items() if not _draw(value) & mask}


def sample_of(values: set[Any] | dict[Any, int], limit: int, weights: Sequence[int]) -> SetSample | CountSample:
    """Return the sample of the values or counts a session kept so far."""
    return CountSample(values, limit, weights) if isinstance(values, dict) else SetSample(values, limit)
