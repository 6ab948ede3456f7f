"""What privacy has compiled (extra ``fast``): IPv6 as text, and the blocks of ipcrypt-pfx. The bits are those of NumPy.

Numba compiles what stands here as it stands, so these are loops over bytes and bits; `hextets` and `ipcrypt` say what
they are for, and the tests hold both ways to the same results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import numba
import numpy as np
from numba import types, uint8, uint64
from numba.cpython.unsafe.numbers import leading_zeros
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]
    Flags = NDArray[np.bool_]

__all__ = ["LONGEST", "gather_flips", "read_hextets", "sort_runs", "write_blocks", "write_hextets"]

LONGEST: Final = 39
"""Bytes of the longest address: eight groups of four digits."""

_GROUPS: Final = 8
_DIGITS: Final = 4
_COLON: Final = ord(":")
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_VALUE: Final = np.array(
    [int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else 255 for byte in range(256)], np.uint8
)
_MAPPED: Final = 0xFFFF
_FEW: Final = 24
_F = TypeVar("_F", bound="Callable[..., Any]")
_compiled = cast("Callable[[_F], _F]", numba.njit(nogil=True, cache=True, error_model="numpy"))
_zeros = cast("Callable[[Any], Any]", leading_zeros)


def _turn(_: Any, word: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401, ARG001 -- Numba has no types
    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 -- as above
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), build


_turned = cast("Callable[[Any], Any]", intrinsic(_turn))
"""A word with its bytes turned round."""


@_compiled
def read_hextets(data: Bytes, offsets: NDArray[np.int64], found: Flags, high: Words, low: Words) -> None:
    """Read each text that is groups of hex digits with at most one ``::``; what is not stays false and 0."""
    groups = np.empty(_GROUPS + 1, np.uint64)
    for row in range(len(found)):
        count = _read_groups(data, offsets[row], offsets[row + 1], groups)
        if count < 0:
            continue
        found[row] = True
        for place in range(4):
            high[row] = high[row] << uint64(16) | groups[place]
            low[row] = low[row] << uint64(16) | groups[place + 4]


@_compiled
def _read_groups(data: Bytes, at: int, stop: int, groups: Words) -> int:
    """Put the eight groups of a text into `groups`; returns how many stood there, or -1 where it is no address."""
    count, gap = 0, -1
    if stop - at < 2 or stop - at > LONGEST:
        return -1
    if data[at] == _COLON and data[at + 1] == _COLON:
        at, gap = at + 2, 0
    while at < stop:
        digits, groups[count] = _read_group(data, at, stop)
        at, count = at + digits, count + 1
        if digits == 0 or digits > _DIGITS or count > _GROUPS:
            return -1
        if at < stop:  # a colon and more behind it, at least another colon
            if data[at] != _COLON or at + 1 == stop or (gap >= 0 and data[at + 1] == _COLON):
                return -1
            at += 1
            if data[at] == _COLON:
                at, gap = at + 1, count
    if gap >= 0 and count < _GROUPS:
        _stretch(groups, count, gap)
        return count
    return count if gap < 0 and count == _GROUPS else -1


@_compiled
def _read_group(data: Bytes, at: int, stop: int) -> tuple[int, Any]:
    """Return how many hex digits stand at a place, and their value."""
    digits, value = 0, uint64(0)
    while at + digits < stop and _VALUE[data[at + digits]] <= 15:
        value = value << uint64(4) | uint64(_VALUE[data[at + digits]])
        digits += 1
    return digits, value


@_compiled
def _stretch(groups: Words, count: int, gap: int) -> None:
    """Move the groups behind the gap to the end, and fill it with zeros."""
    for place in range(count - gap):
        groups[_GROUPS - 1 - place] = groups[count - 1 - place]
    for place in range(gap, _GROUPS - count + gap):
        groups[place] = uint64(0)


@_compiled
def write_hextets(high: Words, low: Words, out: Bytes, offsets: NDArray[np.int32], is_left: Flags) -> int:
    """Write addresses into `out`; returns the bytes written. What may hold an IPv4 address is left out, and marked."""
    at = 0
    for row in range(len(high)):
        upper = low[row] >> uint64(32)
        is_left[row] = high[row] == 0 and upper in (0, _MAPPED)
        if not is_left[row]:
            at = _write_groups(high[row], low[row], out, at)
        offsets[row + 1] = at
    return at


@_compiled
def _write_groups(high: Any, low: Any, out: Bytes, at: int) -> int:  # noqa: ANN401 -- 64 bits each
    """Write an address at a place; returns the place behind it."""
    begin, end = _longest_zeros(high, low)
    place = 0
    while place < _GROUPS:
        if place == begin:
            out[at] = _COLON
            at += 1
            place = end
            if end == _GROUPS:
                out[at] = _COLON
                at += 1
            continue
        if place:
            out[at] = _COLON
            at += 1
        word = high if place < 4 else low
        group = word >> uint64(48 - 16 * (place & 3)) & uint64(0xFFFF)
        n_digits = 1 + (group > 0xF) + (group > 0xFF) + (group > 0xFFF)
        for digit in range(n_digits):
            out[at + digit] = _HEX[group >> uint64(4 * (n_digits - 1 - digit)) & uint64(15)]
        at += n_digits
        place += 1
    return at


@_compiled
def _longest_zeros(high: Any, low: Any) -> tuple[int, int]:  # noqa: ANN401 -- as above
    """Return where the first longest run of zero groups begins and ends; a run of one is none."""
    best, best_end, begin = -1, -1, 0
    for place in range(_GROUPS):
        word = high if place < 4 else low
        if word >> uint64(48 - 16 * (place & 3)) & uint64(0xFFFF):
            begin = place + 1
        elif place - begin >= 1 and place + 1 - begin > best_end - best:
            best, best_end = begin, place + 1
    return best, best_end


@_compiled
def sort_runs(high: Words, low: Words, order: NDArray[np.int64]) -> None:
    """Sort rows by their lower words where the upper ones, which are in order, are equal; `order` goes with them."""
    begin = 0
    for row in range(1, len(high) + 1):
        if row < len(high) and high[row] == high[begin]:
            continue
        if row - begin > _FEW:
            places = np.argsort(low[begin:row], kind="mergesort")
            low[begin:row], order[begin:row] = low[begin:row][places], order[begin:row][places]
        else:
            for right in range(begin + 1, row):
                word, number, at = low[right], order[right], right
                while at > begin and low[at - 1] > word:
                    low[at], order[at] = low[at - 1], order[at - 1]
                    at -= 1
                low[at], order[at] = word, number
        begin = row


@_compiled
def write_blocks(
    above: Words, words: Words, half: int, known: Bytes, row: int, begins: Bytes, blocks: Words
) -> tuple[int, int]:
    """Write the padded prefixes of rows, as many rows as `blocks` surely holds.

    Parameters
    ----------
    above, words : arrays of uint64, shape (n,)
        The upper words, and those whose flips are asked for.
    half : int
        0 if these are the upper ones, 1 if the lower.
    known : array of uint8, shape (n,)
        Flips of each word that are known, from its first bit on.
    row : int
        The first.
    begins : array of uint8, shape (n,)
        Gets the bit that each row's first block is for: those before are known, or as in the row above.
    blocks : array of uint64, shape (2 n_blocks,)

    Returns
    -------
    row, n_blocks : int
        The first row that is left, and blocks written.
    """
    at, most = 0, len(blocks) - 128
    while row < len(words) and at <= most:
        begin = uint64(known[row])
        word, before = words[row], above[row]
        if row and above[row - 1] == before:
            begin = max(begin, min(_zeros(words[row - 1] ^ word) + uint64(1), uint64(64)))
        begins[row] = begin
        place = uint64(at) - uint64(2) * begin  # unsigned: a sign would be asked about at every store
        if half:
            for length in range(begin, uint64(64)):
                start = before >> uint64(1) >> (uint64(63) - length)
                rest = before << length | word >> uint64(1) >> (uint64(63) - length)
                blocks[place + uint64(2) * length] = _turned(start | uint64(1) << length)
                blocks[place + uint64(2) * length + uint64(1)] = _turned(rest)
        else:
            for length in range(begin, uint64(64)):
                start = word >> uint64(1) >> (uint64(63) - length)
                blocks[place + uint64(2) * length] = uint64(0)
                blocks[place + uint64(2) * length + uint64(1)] = _turned(start | uint64(1) << length)
        at += 2 * (64 - int(begin))
        row += 1
    return row, at // 2


@_compiled
def gather_flips(one: Bytes, other: Bytes, known: Bytes, begins: Bytes, row: int, stop: int, flips: Words) -> None:
    """Put the flips of rows together from what both ciphers made of their blocks; `flips` holds what is known."""
    at = uint64(15)
    for current in range(row, stop):
        begin = uint64(begins[current])
        found = uint64(0)
        for length in range(begin, uint64(64)):
            place = at + uint64(16) * (length - begin)
            found |= uint64((one[place] ^ other[place]) & uint8(1)) << (uint64(63) - length)
        at += uint64(16) * (uint64(64) - begin)
        before = flips[current]
        if begin > known[current]:  # as in the row above
            before = flips[current - 1] & ~(~uint64(0) >> uint64(1) >> (begin - uint64(1)))
        flips[current] = before | found
