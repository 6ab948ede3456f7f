"""Compiled reducers: each reads the rows of a batch once and gives a value at every wanted row.

All arrays are in the order of sessions and time. `firsts` holds the first row of each wanted row's session and `ends`
the wanted rows themselves, rising: a session wanted as of several events is read once. `holds` says for each distinct
mask whether a row counts; where it is empty, all do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.sessions.fast_columns import compiled, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["bursts", "counts", "gaps", "grouped", "reduced", "switches"]

_KINDS: Final = {"sum": 0, "sumsq": 1, "min": 2, "max": 3, "first": 4, "last": 5}
_SUM, _SUMSQ, _MIN, _MAX, _FIRST = range(5)
_CLAMP: Final = (1 << 23) - 1


def counts(
    masks: NDArray[np.int32], table: NDArray[np.int64], firsts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the sums of what a table has for each row's mask.

    Parameters
    ----------
    table : ndarray of int64, shape (n_masks, n_words)

    Returns
    -------
    ndarray of int64, shape (n_wanted, n_words)
    """
    found: NDArray[np.int64] = _counts(plain(masks), plain(table), plain(firsts), plain(ends))
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _counts(
    masks: NDArray[np.int32], table: NDArray[np.int64], firsts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    n_words = table.shape[1]
    found = np.zeros((len(ends), n_words), np.int64)
    row = 0
    for place in range(len(ends)):
        if place > 0 and firsts[place] == firsts[place - 1]:
            for word in range(n_words):
                found[place, word] = found[place - 1, word]
        else:
            row = firsts[place]
        while row <= ends[place]:
            mask = masks[row]
            for word in range(n_words):
                found[place, word] += table[mask, word]
            row += 1
    return found


def reduced(
    kind: str,
    values: NDArray[np.int64],
    least: int,
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return sum, sum of squares, least, greatest, first or last of the values from `least` on; 0 where none is."""
    found: NDArray[np.int64] = _reduced(
        _KINDS[kind], plain(values), least, plain(masks), plain(holds), plain(firsts), plain(ends)
    )
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _reduced(
    kind: int,
    values: NDArray[np.int64],
    least: int,
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    found = np.zeros(len(ends), np.int64)
    row, kept, is_any = 0, 0, False
    for place in range(len(ends)):
        if place == 0 or firsts[place] != firsts[place - 1]:
            row, kept, is_any = firsts[place], 0, False
        while row <= ends[place]:
            value = values[row]
            if value >= least and (len(holds) == 0 or holds[masks[row]]):
                kept = _taken_in(kind, kept, value, is_any)
                is_any = True
            row += 1
        found[place] = kept
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _taken_in(kind: int, kept: int, value: int, is_any: bool) -> int:  # noqa: FBT001 -- compiled code has no keywords
    if kind == _SUM:
        return kept + value
    if kind == _SUMSQ:
        clamped = min(max(value, -_CLAMP), _CLAMP)
        return kept + clamped * clamped
    if not is_any:
        return value
    if kind == _MIN:
        return min(kept, value)
    if kind == _MAX:
        return max(kept, value)
    return kept if kind == _FIRST else value


def grouped(
    codes: NDArray[np.int32],
    limit: int,
    steps: NDArray[np.int64],
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the number of different codes, the sum of their weights, and the count of the commonest.

    Parameters
    ----------
    codes : ndarray of int32, shape (n_rows,)
        Below `limit`; -1 where there is none.
    steps : ndarray of int64
        What the weight of a code grows by when it stands there once more.

    Returns
    -------
    ndarray of int64, shape (3, n_wanted)
    """
    found: NDArray[np.int64] = _grouped(
        plain(codes), limit, plain(steps), plain(masks), plain(holds), plain(firsts), plain(ends)
    )
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _grouped(
    codes: NDArray[np.int32],
    limit: int,
    steps: NDArray[np.int64],
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    found = np.empty((3, len(ends)), np.int64)
    seen_in = np.full(limit, -1, np.int64)
    times = np.zeros(limit, np.int32)
    row, distinct, weight, top = 0, 0, 0, 0
    for place in range(len(ends)):
        session = firsts[place]
        if place == 0 or session != firsts[place - 1]:
            row, distinct, weight, top = session, 0, 0, 0
        while row <= ends[place]:
            code = codes[row]
            if code >= 0 and (len(holds) == 0 or holds[masks[row]]):
                if seen_in[code] != session:
                    seen_in[code] = session
                    times[code] = 0
                    distinct += 1
                weight += steps[times[code]]
                times[code] += 1
                top = max(top, int(times[code]))
            row += 1
        found[0, place], found[1, place], found[2, place] = distinct, weight, top
    return found


def switches(
    codes: NDArray[np.int32],
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return how often a code differs from the last one before it."""
    found: NDArray[np.int64] = _switches(plain(codes), plain(masks), plain(holds), plain(firsts), plain(ends))
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _switches(
    codes: NDArray[np.int32],
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    found = np.zeros(len(ends), np.int64)
    row, count, last = 0, 0, -1
    for place in range(len(ends)):
        if place == 0 or firsts[place] != firsts[place - 1]:
            row, count, last = firsts[place], 0, -1
        while row <= ends[place]:
            code = int(codes[row])
            if code >= 0 and (len(holds) == 0 or holds[masks[row]]):
                if last >= 0 and code != last:
                    count += 1
                last = code
            row += 1
        found[place] = count
    return found


def bursts(
    time: NDArray[np.int64],
    window_us: int,
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the most rows in any window of this length; it begins after its first moment."""
    found: NDArray[np.int64] = _bursts(plain(time), window_us, plain(masks), plain(holds), plain(firsts), plain(ends))
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _bursts(
    time: NDArray[np.int64],
    window_us: int,
    masks: NDArray[np.int32],
    holds: NDArray[np.bool_],
    firsts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.int64]:
    found = np.zeros(len(ends), np.int64)
    row, head, inside, top = 0, 0, 0, 0
    for place in range(len(ends)):
        if place == 0 or firsts[place] != firsts[place - 1]:
            row, head, inside, top = firsts[place], firsts[place], 0, 0
        while row <= ends[place]:
            if len(holds) == 0 or holds[masks[row]]:
                inside += 1
                while time[head] <= time[row] - window_us:
                    if len(holds) == 0 or holds[masks[head]]:
                        inside -= 1
                    head += 1
                top = max(top, inside)
            row += 1
        found[place] = top
    return found


def gaps(time: NDArray[np.int64], starts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the milliseconds since the row before, at most `most`; -1 at the start of a session."""
    found: NDArray[np.int64] = _gaps(plain(time), plain(starts), most)
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _gaps(time: NDArray[np.int64], starts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    found = np.empty(len(time), np.int64)
    for row in range(1, len(time)):
        found[row] = min((time[row] - time[row - 1]) // 1000, most)
    for start in starts:
        found[start] = -1
    return found
