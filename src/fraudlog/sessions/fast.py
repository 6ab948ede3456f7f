"""Compiled twins of the loops that NumPy can only sort its way through; used where numba is installed (extra ``fast``).

The NumPy forms in `fraudlog.sessions.scans` and `fraudlog.sessions.columns` are the reference; these give the same
integers, which the tests check. The path of a live event uses neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["occurrence", "stable_order", "window_counts"]

_compiled = numba.njit(cache=True, nogil=True)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def stable_order(codes: NDArray[Any], limit: int) -> NDArray[np.int64]:
    """Return the stable order of codes in ``0 <= code < limit``, by counting them."""
    place = np.zeros(limit + 1, np.int64)
    for code in codes:
        place[code + 1] += 1
    for code in range(limit):
        place[code + 1] += place[code]
    order = np.empty(len(codes), np.int64)
    for row in range(len(codes)):
        code = codes[row]
        order[place[code]] = row
        place[code] += 1
    return order


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def occurrence(codes: NDArray[Any], session: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return how often each row's code stood in its session before; codes lie in ``0 <= code < limit``."""
    seen_in = np.full(limit, -1, np.int64)
    times = np.zeros(limit, np.int64)
    before = np.empty(len(codes), np.int64)
    for row in range(len(codes)):
        code = codes[row]
        if seen_in[code] != session[row]:
            seen_in[code] = session[row]
            times[code] = 0
        before[row] = times[code]
        times[code] += 1
    return before


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def window_counts(time: NDArray[np.int64], session: NDArray[np.int64], window_us: int) -> NDArray[np.int64]:
    """Return how many rows of the same session lie in the window that ends with each row."""
    counts = np.empty(len(time), np.int64)
    head = 0
    for row in range(len(time)):
        while session[head] != session[row] or time[head] <= time[row] - window_us:
            head += 1
        counts[row] = row - head + 1
    return counts
