"""Running values inside segments, for all rows at once: what every reducer but a count is made of.

All arrays are in the order of sessions and time. A running value at the last row of a session is the session's value;
at any other row it is what a live service would have had then. So finished and as-of rows come from the same arrays.
"""

from __future__ import annotations

from functools import cache
from math import log2
from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.sessions.columns import dense, stable_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SCALE", "changed", "last_known", "occurrence", "running_max", "totals", "weights", "window_counts"]

SCALE: Final = 1 << 20
"""Entropies are counted in units of 2**-20 bit."""

_LARGEST: Final = 63
_DENSE_FROM: Final = 1 << 22


@cache
def weights(most: int) -> NDArray[np.int64]:
    """Return ``floor(c log2(c) 2**20 + 1/2)`` for each count c from 0 to `most`."""
    table: NDArray[np.int64] = np.array([0] + [int(c * log2(c) * SCALE + 0.5) for c in range(1, most + 1)], np.int64)
    return table


def totals(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return sums of all values before each row, and of all: one longer. Differences are exact modulo 2**64."""
    sums = np.zeros(len(values) + 1, values.dtype)
    np.cumsum(values, out=sums[1:])
    return sums


def running_max(values: NDArray[np.int64], session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the greatest value so far in each session.

    The number of the session stands in front of each value, so that one running maximum serves all sessions.

    Parameters
    ----------
    values : ndarray of int64, shape (n_rows,)
        From -1 on; -1 where there is none.
    session : ndarray of int64, shape (n_rows,)
        Number of each row's session, rising.
    """
    if not len(values):
        return values
    bits = int(values.max() + 1).bit_length()
    span = int(session[-1] - session[0]).bit_length()
    if bits + span > _LARGEST:
        middle = int(np.searchsorted(session, (session[0] + session[-1] + 1) // 2))
        return np.concatenate(
            [running_max(v, s) for v, s in zip(_halves(values, middle), _halves(session, middle), strict=True)]
        )
    packed = session - session[0]
    packed <<= bits
    packed |= values + 1
    np.maximum.accumulate(packed, out=packed)
    packed &= (1 << bits) - 1
    running: NDArray[np.int64] = packed - 1
    return running


def _halves(array: NDArray[np.int64], middle: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return array[:middle], array[middle:]


def last_known(is_known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the last row so far that is known, over all sessions; -1 before the first."""
    rows = np.where(is_known, np.arange(len(is_known)), -1)
    return np.maximum.accumulate(rows) if len(rows) else rows


def changed(codes: NDArray[np.int64], session: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say for each row of a selection whether its code differs from the row before it in the same session."""
    flags = np.zeros(len(codes), bool)
    flags[1:] = (codes[1:] != codes[:-1]) & (session[1:] == session[:-1])
    return flags


def occurrence(codes: NDArray[np.int64], session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each row's code stood in its session before.

    Most columns hold one value in most sessions; only sessions in which it changes have to be sorted.

    Parameters
    ----------
    codes : ndarray of int, shape (n_rows,)
        Not negative.
    session : ndarray of int64, shape (n_rows,)
        Number of each row's session, rising.
    """
    if not len(codes):
        return np.zeros(0, np.int64)
    rank = _rank_in_run(session)
    changes = changed(codes, session)
    if not changes.any():
        return rank
    is_mixed = np.zeros(int(session[-1]) + 1, bool)
    is_mixed[session[changes]] = True
    rows = np.flatnonzero(is_mixed[session])
    rank[rows] = _grouped_rank(codes[rows], session[rows])
    return rank


def _rank_in_run(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each row in its run of equal keys."""
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    ranks: NDArray[np.int64] = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    return ranks


def _grouped_rank(codes: NDArray[np.int64], session: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each row among those of the same session and code, by sorting."""
    narrow = codes if codes.max() < _DENSE_FROM else dense(codes.astype(np.int64))[0]
    by_code = stable_order(narrow, int(narrow.max()) + 1)
    order = by_code[stable_order(session[by_code] - session[0], int(session[-1] - session[0]) + 1)]
    keys = (session[order] << 32) | narrow[order]
    rank = np.empty(len(codes), np.int64)
    rank[order] = _rank_in_run(keys)
    return rank


def window_counts(
    time: NDArray[np.int64], session: NDArray[np.int64], window_us: int, longest_us: int
) -> NDArray[np.int64]:
    """Return how many rows of the same session lie in the window that ends with each row, itself among them.

    Parameters
    ----------
    time : ndarray of int64, shape (n_rows,)
        Microseconds, rising inside a session.
    session : ndarray of int64, shape (n_rows,)
        Number of each row's session, rising.
    window_us : int
        An event at t counts to ``t - window_us`` exclusively.
    longest_us : int
        Longest session there can be.
    """
    if not len(time):
        return np.zeros(0, np.int64)
    counts = np.ones(len(time), np.int64)
    is_near = np.zeros(len(time), bool)
    is_near[1:] = (session[1:] == session[:-1]) & (time[1:] - time[:-1] < window_us)
    rows = np.flatnonzero(is_near)
    if not len(rows):
        return counts
    number = np.cumsum(np.append(True, session[1:] != session[:-1])) - 1
    first = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
    line = (time - time[first][number]) + number * (longest_us + window_us + 1)
    counts[rows] = rows - np.searchsorted(line, line[rows] - window_us, side="right") + 1
    return counts
