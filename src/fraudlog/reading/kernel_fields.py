"""One pass over a block of delimited lines in compiled code: W3C extended logs and CSV.

The columns of the header that are wanted are numbered, once each distinct value; of the others only whether they hold
something is noted. A line with another number of values, a quote in an odd place, a carriage return or a NUL inside
goes to the careful path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.kernel_bytes import byte_at, compiled, find_stop, seek_byte
from fraudlog.reading.kernel_strings import intern

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = ["MOST_COLUMNS", "read_fields"]

MOST_COLUMNS: Final = 512
_LIMIT: Final = 64 << 10


@compiled
def _is_nothing(buffer: Bytes, start: int, end: int) -> bool:
    return end <= start or (end == start + 1 and byte_at(buffer, start) == 45)


@compiled
def _split_w3c(buffer: Bytes, start: int, end: int, places: NDArray[np.int64]) -> int:
    """Note where the values of a line stand; return their number, -1 if the careful path must look."""
    stop = 9 if seek_byte(buffer, start, end, 9) < end else 32
    while end > start and (byte_at(buffer, end - 1) in (13, 32) or (stop == 9 and byte_at(buffer, end - 1) == 9)):
        end -= 1
    if end == start:
        return -1
    count = 0
    while count < places.shape[0]:
        last = seek_byte(buffer, start, end, stop)
        places[count, 0], places[count, 1] = start, last
        count += 1
        if last == end:
            return count
        start = last + 1
    return -1


@compiled
def _split_csv(buffer: Bytes, start: int, end: int, stop: int, places: NDArray[np.int64]) -> int:
    """As `_split_w3c`, with values in quotes."""
    if byte_at(buffer, end - 1) == 13:
        end -= 1
    if end <= start or seek_byte(buffer, start, end, 13) < end or seek_byte(buffer, start, end, 0) < end:
        return -1
    count = 0
    while count < places.shape[0]:
        is_quoted = start < end and byte_at(buffer, start) == 34
        if is_quoted:
            last = seek_byte(buffer, start + 1, end, 34)
            if last == end:
                return -1
            places[count, 0], places[count, 1] = start + 1, last
            last += 1
            if last < end and byte_at(buffer, last) != stop:
                return -1
        else:
            last = min(find_stop(buffer, start, stop), end)
            if last < end and byte_at(buffer, last) == 34:
                return -1
            places[count, 0], places[count, 1] = start, last
        count += 1
        if last == end:
            return count
        start = last + 1
    return -1


@compiled
def read_fields(
    buffer: Bytes,
    size: int,
    stop: int,
    places: NDArray[np.int64],
    wanted: NDArray[np.int64],
    unknown: NDArray[np.int64],
    seed: np.uint64,
    codes: NDArray[np.int32],
    bounds: NDArray[np.int64],
    state: NDArray[np.uint8],
    dropped: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    ids: NDArray[np.int32],
    entries: NDArray[np.int64],
    arena: Bytes,
    recent: NDArray[np.int64],
    used: NDArray[np.int64],
    progress: NDArray[np.int64],
) -> bool:
    """Read the lines of a block from where `progress` stands; as `kernel.read_lines`.

    Parameters
    ----------
    stop : int
        Delimiter of a CSV; 0 for a W3C log, whose values stand between tabs, or blanks where a line has no tab.
    places : int64 array of shape (n_columns, 2)
        Room for where the values of a line stand; its length is how many a line must have.
    wanted : int64 array of shape (n_slots, 2)
        First and last column of each wanted value.
    unknown : int64 array
        Columns without use; the bit of `dropped` is the place in this array.
    """
    line, position = progress[0], progress[1]
    while position < size:
        start = position
        end = seek_byte(buffer, start, size, 10)
        first = byte_at(buffer, start)
        ok = first != 0 and end > start and end - start <= _LIMIT and not (stop == 0 and first == 35)
        if ok:
            count = (
                _split_w3c(buffer, start, end, places) if stop == 0 else _split_csv(buffer, start, end, stop, places)
            )
            ok = count == places.shape[0]
        left = np.int64(0)
        if ok:
            for slot in range(wanted.shape[0]):
                a, b = wanted[slot, 0], wanted[slot, 1]
                if _is_nothing(buffer, places[a, 0], places[a, 1]) or _is_nothing(buffer, places[b, 0], places[b, 1]):
                    continue
                number = intern(
                    buffer, places[a, 0], places[b, 1], slot, seed, hashes, ids, entries, arena, recent, used
                )
                if number < 0:
                    codes[:, line] = -1
                    progress[0], progress[1] = line, start
                    return False
                codes[slot, line] = number
            for index in range(unknown.size):
                if not _is_nothing(buffer, places[unknown[index], 0], places[unknown[index], 1]):
                    left |= np.int64(1) << index
        bounds[line, 0], bounds[line, 1] = start, end
        state[line] = 0 if ok else 1
        dropped[line] = left
        position = end + 1
        line += 1
    progress[0], progress[1] = line, position
    return True
