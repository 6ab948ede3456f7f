"""One pass over a block of lines in compiled code (Numba): values found, numbers read, repeated strings numbered.

The kernel accepts a line only where it is certain of what the careful path would say; every other line gets state 1 and
goes there. What it does with a value is an action of `PROGRAM`; the strings it numbers are decoded by the careful
readers, once each. `fraudlog.reading.fast` drives it, and a differential test holds the two paths together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.kernel_bytes import (
    blank_end,
    byte_at,
    compiled,
    is_literal_at,
    is_plain,
    is_token,
    seek_byte,
    value_end,
)
from fraudlog.reading.kernel_numbers import put_number, read_count, read_nanos
from fraudlog.reading.kernel_strings import intern

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = ["ACTIONS", "MORE_BIT", "read_lines"]

ACTIONS: Final = {
    "drop": 0,
    "intern": 1,
    "status": 2,
    "count": 3,
    "clf_time": 4,
    "request": 5,
    "uri": 6,
    "duration": 7,
    "iso_time": 8,
    "digits": 9,
    "request_url": 10,
    "token": 11,
    "duration_sum": 12,
    "millis": 13,
    "path": 14,
    "query": 15,
}
"""What is done with a value."""

MORE_BIT: Final = 62
_LIMIT: Final = 64 << 10


@compiled
def _put_query(buffer: Bytes, start: int, end: int, spans: NDArray[np.int32], line: int) -> bool:
    """Note where a query stands; false if the careful path must look."""
    if start < end and byte_at(buffer, start) == 63:
        start += 1
    if end > start and not (end - start == 1 and byte_at(buffer, start) == 45):
        spans[2, line], spans[3, line] = start, end
    return is_plain(buffer, start, end)


@compiled
def _put_path(buffer: Bytes, start: int, end: int, spans: NDArray[np.int32], line: int) -> bool:
    """Note where a path stands; false if the careful path must look."""
    if end <= start or (end - start == 1 and byte_at(buffer, start) == 45):
        return False
    spans[0, line], spans[1, line] = start, end
    return is_plain(buffer, start, end)


@compiled
def _put_uri(buffer: Bytes, start: int, end: int, spans: NDArray[np.int32], line: int) -> bool:
    """Split at the question mark; false if the careful path must look."""
    if end <= start or (end - start == 1 and byte_at(buffer, start) == 45):
        return False
    mark = seek_byte(buffer, start, end, 63)
    spans[0, line], spans[1, line] = start, mark
    spans[2, line], spans[3, line] = (mark + 1, end) if mark + 1 < end else (-1, -1)
    return True


@compiled
def _target_start(buffer: Bytes, start: int, end: int) -> tuple[int, int, int]:
    """Return where host, host's end and path of an absolute http URL stand; -1 if the careful path must look."""
    position = start + 4
    if end - start < 9 or byte_at(buffer, start) != 104 or byte_at(buffer, start + 1) != 116:
        return -1, -1, -1
    if byte_at(buffer, start + 2) != 116 or byte_at(buffer, start + 3) != 112:
        return -1, -1, -1
    if byte_at(buffer, position) == 115:
        position += 1
    if byte_at(buffer, position) != 58 or byte_at(buffer, position + 1) != 47 or byte_at(buffer, position + 2) != 47:
        return -1, -1, -1
    host, position = position + 3, position + 3
    host_end = -1
    while position < end:
        byte = byte_at(buffer, position)
        if byte == 58 and host_end < 0:
            host_end = position
        elif byte == 47:
            return host, position if host_end < 0 else host_end, position
        elif byte in (63, 35, 64, 91, 93, 58):
            return -1, -1, -1
        position += 1
    return -1, -1, -1


@compiled
def read_lines(
    buffer: Bytes,
    size: int,
    program: NDArray[np.int64],
    literals: Bytes,
    options: NDArray[np.int64],
    seed: np.uint64,
    codes: NDArray[np.int32],
    numbers: NDArray[np.int64],
    floats: NDArray[np.float64],
    spans: NDArray[np.int32],
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
    """Read the lines of a block from where `progress` stands.

    Parameters
    ----------
    buffer : uint8 array with at least `PAD` bytes behind `size`; the byte at ``size - 1`` is a line feed.
    size : int
    program : int64 array of shape (n_parts + 1, 8)
        Literal's position and length, mode, stop byte, action, slot, divisor, closing byte or 0; the last row is the
        tail.
    literals : uint8 array
    options : int64 array
        Whether more may follow the tail; slots of method, protocol, host; byte of an escape in a request, or 0; whether
        quotes are not escaped, so that a line may hold none but the layout's.
    seed : uint64
    codes, numbers : int32 and int64 arrays of shape (n_slots, n_lines); -1 is null
    floats : float64 array of shape (n_slots, n_lines); NaN is null
    spans : int32 array of shape (4, n_lines)
        Start and end of path and query; -1 is null.
    bounds : int64 array of shape (n_lines, 2)
    state : uint8 array of shape (n_lines,)
        0 read, 1 for the careful path.
    dropped : int64 array of shape (n_lines,)
        A bit for each value without a column that stands there, `MORE_BIT` for what follows the tail.
    hashes, ids, entries, arena, recent, used
        The table of strings, see `intern`.
    progress : int64 array
        Line and byte to go on from.

    Returns
    -------
    bool
        False if the table of strings is full: let it grow and call again.
    """
    line, position = progress[0], progress[1]
    n_parts = program.shape[0] - 1
    while position < size:
        start = position
        ok = byte_at(buffer, position) != 0
        left, total = np.int64(0), np.int64(0)
        for part in range(n_parts):
            if not ok or not is_literal_at(buffer, position, literals, program[part, 0], program[part, 1]):
                ok = False
                break
            first = position + program[part, 1]
            last = value_end(buffer, first, program[part, 2], program[part, 3])
            position = last + (1 if program[part, 7] != 0 else 0)
            stopped = byte_at(buffer, last)
            if (stopped == 34 if program[part, 2] == 3 else stopped != program[part, 3]) or (
                program[part, 2] == 4 and seek_byte(buffer, first, last, 92) < last
            ):
                position = last
                ok = False
                break
            action = program[part, 4]
            if action == 1:
                number = intern(buffer, first, last, program[part, 5], seed, hashes, ids, entries, arena, recent, used)
                if number < 0:
                    progress[0], progress[1] = line, start
                    return False
                codes[program[part, 5], line] = number
            elif action == 6:
                ok = is_plain(buffer, first, last) and _put_uri(buffer, first, last, spans, line)
            elif action in (5, 10):
                blank, rest = seek_byte(buffer, first, last, 32), last - 1
                while rest > blank and byte_at(buffer, rest) != 32:
                    rest -= 1
                ok = rest > blank and is_plain(buffer, first, last)
                ok = ok and (options[4] == 0 or seek_byte(buffer, first, last, options[4]) == last)
                target = blank + 1
                if ok and action == 10:
                    host, host_end, target = _target_start(buffer, target, rest)
                    ok = target >= 0 and host_end > host and seek_byte(buffer, target, rest, 35) == rest
                    if ok:
                        number = intern(
                            buffer, host, host_end, options[3], seed, hashes, ids, entries, arena, recent, used
                        )
                        if number < 0:
                            progress[0], progress[1] = line, start
                            return False
                        codes[options[3], line] = number
                if ok:
                    ok = _put_uri(buffer, target, rest, spans, line)
                    method = intern(buffer, first, blank, options[1], seed, hashes, ids, entries, arena, recent, used)
                    protocol = intern(
                        buffer, rest + 1, last, options[2], seed, hashes, ids, entries, arena, recent, used
                    )
                    if method < 0 or protocol < 0:
                        progress[0], progress[1] = line, start
                        return False
                    codes[options[1], line], codes[options[2], line] = method, protocol
            elif action == 0:
                if last > first and not (last == first + 1 and byte_at(buffer, first) == 45):
                    left |= np.int64(1) << program[part, 5]
            elif action in (9, 11):
                ok = read_count(buffer, first, last) >= 0 if action == 9 else is_token(buffer, first, last)
                left |= np.int64(1) << program[part, 5]
            elif action == 12:
                nanos = read_nanos(buffer, first, last)
                ok = nanos > -2
                total = np.int64(-1) if nanos < 0 or total < 0 else total + nanos
                floats[program[part, 5], line] = np.nan if total < 0 else total / 1_000_000_000
            elif action == 14:
                ok = _put_path(buffer, first, last, spans, line)
            elif action == 15:
                ok = _put_query(buffer, first, last, spans, line)
            else:
                ok = put_number(buffer, first, last, action, program[part, 5], program[part, 6], numbers, floats, line)
        if ok:
            ok = is_literal_at(buffer, position, literals, program[n_parts, 0], program[n_parts, 1])
            position += program[n_parts, 1] if ok else 0
        if ok and options[0] != 0 and (byte_at(buffer, position) == 32 or byte_at(buffer, position) == 9):
            position = blank_end(buffer, position)
            if byte_at(buffer, position) != 10:
                left |= np.int64(1) << MORE_BIT
                more = position
                position = seek_byte(buffer, position, size, 10)
                ok = options[5] == 0 or seek_byte(buffer, more, position, 34) == position
        position = blank_end(buffer, position)
        if byte_at(buffer, position) != 10:
            ok = False
            position = seek_byte(buffer, position, size, 10)
        bounds[line, 0], bounds[line, 1] = start, position
        state[line] = 0 if ok and position - start <= _LIMIT else 1
        dropped[line] = left
        position += 1
        line += 1
    progress[0], progress[1] = line, position
    return True
