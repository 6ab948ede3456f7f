"""Compiled loops over single columns: rows gathered, codes looked up, numbers made dense, codes put in order.

Numba compiles a function for each kind of array it is given, and keeps it on disk; every array goes in as contiguous
and read-only, so that there is one kind of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_bits", "compiled", "dense", "gathered", "looked_up", "mark", "plain", "runs", "stable_order"]

compiled = numba.njit(cache=True, nogil=True, error_model="numpy")
_SMALLEST: Final = 1024
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_AGAIN: Final = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT: Final = np.uint64(29)
_HALF: Final = np.uint64(32)


def plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as the compiled functions take it."""
    seen = np.ascontiguousarray(array).view()
    seen.flags.writeable = False
    return seen


def _as_signed(array: NDArray[Any]) -> NDArray[Any]:
    """Read unsigned numbers as signed ones of the same bits: it makes no difference to who only moves them."""
    return plain(array.view(np.int64) if array.dtype == np.uint64 else array)


def gathered(column: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows of a column."""
    found: NDArray[Any] = _gathered(_as_signed(column), plain(rows)).view(column.dtype)
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _gathered(column: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    found = np.empty(len(rows), column.dtype)
    for place in range(len(rows)):
        found[place] = column[rows[place]]
    return found


def looked_up(of_codes: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Return what stands for each code in a table whose last entry stands for -1."""
    found: NDArray[Any] = _looked_up(_as_signed(of_codes), plain(codes)).view(of_codes.dtype)
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _looked_up(of_codes: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    found = np.empty(len(codes), of_codes.dtype)
    for place in range(len(codes)):
        found[place] = of_codes[codes[place]]
    return found


def mark(used: NDArray[np.bool_], codes: NDArray[np.int32]) -> None:
    """Set what stands at each code, in place."""
    _mark(used, plain(codes))


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _mark(used: NDArray[np.bool_], codes: NDArray[np.int32]) -> None:
    for code in codes:
        used[code] = True


def add_bits(word: NDArray[np.uint64], of_codes: NDArray[np.uint64], codes: NDArray[Any]) -> None:
    """Set the bits that stand for each code, in place."""
    _add_bits(word, plain(of_codes), plain(codes))


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _add_bits(word: NDArray[np.uint64], of_codes: NDArray[np.uint64], codes: NDArray[Any]) -> None:
    for place in range(len(codes)):
        word[place] |= of_codes[codes[place]]


def dense(numbers: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return codes of integers in the order they first stand, and the distinct ones.

    A client may choose the numbers, but can't make them collide without knowing the seed.
    """
    found: tuple[NDArray[np.int32], NDArray[np.int64]] = _dense(plain(numbers), np.uint64(seed))
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _place(number: np.int64, seed: np.uint64) -> np.uint64:
    mixed = (np.uint64(number) ^ seed) * _MIX
    mixed = (mixed ^ (mixed >> _SHIFT)) * _MIX_AGAIN
    return mixed ^ (mixed >> _HALF)


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _dense(numbers: NDArray[np.int64], seed: np.uint64) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    codes = np.empty(len(numbers), np.int32)
    distinct = np.empty(_SMALLEST, np.int64)
    table = np.full(2 * _SMALLEST, -1, np.int32)
    count = 0
    for row in range(len(numbers)):
        number = numbers[row]
        place = np.int64(_place(number, seed) & np.uint64(len(table) - 1))
        while table[place] >= 0 and distinct[table[place]] != number:
            place = (place + 1) & (len(table) - 1)
        if table[place] < 0:
            if count == len(distinct):
                distinct = np.concatenate((distinct, distinct))
                table = _rehashed(distinct[:count], len(distinct) * 2, seed)
                place = np.int64(_place(number, seed) & np.uint64(len(table) - 1))
                while table[place] >= 0:
                    place = (place + 1) & (len(table) - 1)
            table[place] = count
            distinct[count] = number
            count += 1
        codes[row] = table[place]
    return codes, distinct[:count].copy()


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _rehashed(distinct: NDArray[np.int64], size: int, seed: np.uint64) -> NDArray[np.int32]:
    table = np.full(size, -1, np.int32)
    for code in range(len(distinct)):
        place = np.int64(_place(distinct[code], seed) & np.uint64(size - 1))
        while table[place] >= 0:
            place = (place + 1) & (size - 1)
        table[place] = code
    return table


def stable_order(codes: NDArray[Any], limit: int) -> NDArray[np.int64]:
    """Return the stable order of codes in ``0 <= code < limit``, by counting them."""
    order: NDArray[np.int64] = _stable_order(plain(codes), limit)
    return order


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _stable_order(codes: NDArray[Any], limit: int) -> NDArray[np.int64]:
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


def runs(
    order: NDArray[np.int64], actors: NDArray[Any], time: NDArray[np.int64], gap_us: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where runs of one actor without a longer silence begin, in an order of rows, and which are its first."""
    found: tuple[NDArray[np.int64], NDArray[np.bool_]] = _runs(plain(order), plain(actors), plain(time), gap_us)
    return found


@compiled  # type: ignore[untyped-decorator, unused-ignore]
def _runs(
    order: NDArray[np.int64], actors: NDArray[Any], time: NDArray[np.int64], gap_us: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    starts = np.empty(len(order), np.int64)
    is_first = np.empty(len(order), np.bool_)
    count = 0
    for place in range(len(order)):
        row = order[place]
        before = order[max(place - 1, 0)]
        is_other = place == 0 or actors[row] != actors[before]
        if is_other or time[row] - time[before] > gap_us:
            starts[count] = place
            is_first[count] = is_other
            count += 1
    return starts[:count].copy(), is_first[:count].copy()
