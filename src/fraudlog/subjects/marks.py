"""Keys at times, and which events stand near enough to be seen with them through a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Marks"]


class Marks:
    """Keys and times, and who comes near them."""

    def __init__(self, keys: NDArray[np.uint64], times: NDArray[np.int64], reach_us: int) -> None:
        self.reach_us = reach_us
        self.keys, code = np.unique(keys, return_inverse=True)
        self.begin, self.end = int(times.min()) - reach_us, int(times.max()) + reach_us
        self.width = self.end - self.begin + 2 * reach_us
        self.line = np.sort(code * self.width + (times - self.begin))

    def _place(self, keys: NDArray[np.uint64], times: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        code = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        is_near = (self.keys[code] == keys) & (times >= self.begin) & (times <= self.end)
        return is_near, code * self.width + (times - self.begin)

    def reach_to(self, keys: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which events a mark of their key reaches: it is as old, or older by less than the reach."""
        is_near, line = self._place(keys, times)
        at = np.searchsorted(self.line, line, side="right") - 1
        return is_near & (at >= 0) & (line - self.line[np.maximum(at, 0)] < self.reach_us)

    def are_reached_by(self, keys: NDArray[np.uint64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which events reach a mark of their key: it is as new, or newer by less than the reach."""
        is_near, line = self._place(keys, times)
        at = np.searchsorted(self.line, line, side="left")
        is_there = at < len(self.line)
        return is_near & is_there & (self.line[np.minimum(at, len(self.line) - 1)] - line < self.reach_us)
