"""One pass over a block of lines in compiled code (Numba): values found, numbers read, repeated strings numbered.

The kernel accepts a line only where it is certain of what the careful path would say; every other line gets state 1 and
goes there. What it does with a value is an action of `PROGRAM`; the strings it numbers are decoded by the careful
readers, once each. `fraudlog.reading.fast` drives it, and a differential test holds the two paths together.

Words of eight bytes are searched with the bit tricks of Mycroft (1987): ``(w - 0x01..) & ~w & 0x80..`` has a bit where
a byte of ``w`` is zero. The table of strings is keyed by a random seed, so that a client can't choose strings that
collide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.cpython.unsafe.numbers import trailing_zeros
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


__all__ = ["ACTIONS", "MODES", "MORE_BIT", "PAD", "gather", "load", "read_lines", "rehash"]

PAD: Final = 64
"""Bytes that must be readable behind a buffer."""

MODES: Final = {"bare": 0, "quoted": 1, "bracketed": 2, "last": 3, "free": 4}
"""How a value ends: at a byte, an unescaped quote, a bracket, white space, or a byte with no backslash before it."""
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
_ONES: Final = np.uint64(0x0101010101010101)
_TOPS: Final = np.uint64(0x8080808080808080)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_QUOTES: Final = np.uint64(0x2222222222222222)
_SLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)
_LINES: Final = np.uint64(0x0A0A0A0A0A0A0A0A)
_LOW: Final = np.uint64(0x2020202020202020)
_SHIFT: Final = np.uint64(29)
_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_FIRST_SECOND: Final = 1_000_000_000
_LAST_SECOND: Final = 4_102_444_800
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2099


def _load(bits: int) -> Any:  # noqa: ANN401 -- Numba has no types
    """Make a function that loads 8 or 64 bits at any position, without alignment, bounds or a negative index."""

    def typed(_: Any, array: Any, index: Any) -> tuple[Any, Callable[..., Any]]:  # noqa: ANN401, ARG001 -- as above
        return (types.uint64 if bits == _WORD_BITS else types.int64)(array, types.int64), build

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 -- as above
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(bits).as_pointer())
        value = builder.load(pointer)
        value.align = 1
        return value if bits == _WORD_BITS else builder.zext(value, ir.IntType(_WORD_BITS))

    return intrinsic(typed)


_WORD_BITS: Final = 64
_word: Callable[[Bytes, int], np.uint64] = _load(64)
_byte: Callable[[Bytes, int], int] = _load(8)
Bytes: TypeAlias = "NDArray[np.uint8]"
_F = TypeVar("_F", bound="Callable[..., Any]")
_jit = cast("Callable[[_F], _F]", numba.njit(nogil=True, cache=True, inline="never", error_model="numpy"))
_zeros = cast("Callable[[np.uint64], int]", trailing_zeros)


def load(buffer: Bytes, parts: Sequence[bytes | memoryview], size: int) -> Bytes:
    """Copy the parts of a block into `buffer`, or a larger one, with an end to the last line and room behind."""
    if buffer.size < size + PAD:
        buffer = np.zeros(size + size // 8 + PAD, np.uint8)
    at = 0
    for part in parts:
        buffer[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    buffer[size - 1] = 10
    buffer[size : size + PAD] = 0
    return buffer


@_jit
def _trailing(word: np.uint64) -> int:
    """Return the position of the lowest byte with its top bit set."""
    return np.int64(_zeros(word)) >> 3


@_jit
def _find(buffer: Bytes, position: int, stop: int) -> int:
    """Return where `stop` or the line's end or a quote comes next."""
    wanted = np.uint64(stop) * _ONES
    while True:
        word = _word(buffer, position)
        a, b, c = word ^ wanted, word ^ _LINES, word ^ _QUOTES
        hit = (((a - _ONES) & ~a) | ((b - _ONES) & ~b) | ((c - _ONES) & ~c)) & _TOPS
        if hit:
            return position + _trailing(hit)
        position += 8


@_jit
def _seek(buffer: Bytes, position: int, end: int, byte: int) -> int:
    """Return where `byte` comes next, or `end`."""
    wanted = np.uint64(byte) * _ONES
    while position < end:
        word = _word(buffer, position) ^ wanted
        hit = (word - _ONES) & ~word & _TOPS
        if hit:
            return min(position + _trailing(hit), end)
        position += 8
    return end


@_jit
def _find_quote(buffer: Bytes, position: int) -> int:
    """Return where the closing quote or the line's end comes; a backslash keeps the byte behind it."""
    while True:
        word = _word(buffer, position)
        a, b, c = word ^ _QUOTES, word ^ _LINES, word ^ _SLASHES
        hit = (((a - _ONES) & ~a) | ((b - _ONES) & ~b) | ((c - _ONES) & ~c)) & _TOPS
        if not hit:
            position += 8
            continue
        position += _trailing(hit)
        if _byte(buffer, position) != 92:
            return position
        if _byte(buffer, position + 1) == 10:
            return position + 1
        position += 2


@_jit
def _find_bracket(buffer: Bytes, position: int) -> int:
    """Return where a bracket, brace, quote or the line's end comes."""
    while True:
        byte = _byte(buffer, position)
        if byte in (93, 91, 123, 125, 34, 10):
            return position
        position += 1


@_jit
def _find_space(buffer: Bytes, position: int) -> int:
    """Return where white space or a quote comes."""
    while True:
        byte = _byte(buffer, position)
        if byte == 32 or 9 <= byte <= 13 or byte == 34:
            return position
        position += 1


@_jit
def _blank_end(buffer: Bytes, position: int) -> int:
    """Return where something other than white space comes, or the line's end."""
    while True:
        byte = _byte(buffer, position)
        if byte == 10 or (byte != 32 and (byte < 9 or byte > 13)):
            return position
        position += 1


@_jit
def _is_plain(buffer: Bytes, start: int, end: int) -> bool:
    """Tell whether all bytes are printable ASCII and none is a backslash."""
    position = start
    while position + 8 <= end:
        word = _word(buffer, position)
        slash = word ^ _SLASHES
        odd = (word | ((word - _LOW) & ~word) | ((slash - _ONES) & ~slash) | (word + _ONES)) & _TOPS
        if odd:
            return False
        position += 8
    while position < end:
        byte = _byte(buffer, position)
        if byte < 32 or byte > 126 or byte == 92:
            return False
        position += 1
    return True


@_jit
def _two(buffer: Bytes, position: int) -> int:
    """Read two digits; -1 if they are none."""
    tens, units = _byte(buffer, position) - 48, _byte(buffer, position + 1) - 48
    if tens < 0 or tens > 9 or units < 0 or units > 9:
        return -1
    return tens * 10 + units


@_jit
def _days(year: int, month: int, day: int) -> int:
    """Return days from 1970 (Hinnant's civil_from_days, the other way); -1 if there is no such day."""
    if month < 1 or month > 12 or day < 1 or year < _FIRST_YEAR or year > _LAST_YEAR:
        return -1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = _DAYS[month - 1] + (1 if leap and month == 2 else 0)
    if day > last:
        return -1
    shifted = year - (1 if month <= 2 else 0)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


@_jit
def _month(buffer: Bytes, position: int) -> int:
    """Read ``Jan`` .. ``Dec``; 0 if it is none."""
    name = _byte(buffer, position) << 16 | _byte(buffer, position + 1) << 8 | _byte(buffer, position + 2)
    names = (
        0x4A616E, 0x466562, 0x4D6172, 0x417072, 0x4D6179, 0x4A756E,
        0x4A756C, 0x417567, 0x536570, 0x4F6374, 0x4E6F76, 0x446563,
    )  # fmt: skip
    for index in range(12):
        if names[index] == name:
            return index + 1
    return 0


@_jit
def _clock(buffer: Bytes, position: int) -> int:
    """Read ``HH:MM:SS`` as seconds; -1 if it is none. A leap second is left to the careful path."""
    hour, minute, second = _two(buffer, position), _two(buffer, position + 3), _two(buffer, position + 6)
    if _byte(buffer, position + 2) != 58 or _byte(buffer, position + 5) != 58:
        return -1
    if hour < 0 or minute < 0 or second < 0 or hour > 23 or minute > 59 or second > 59:
        return -1
    return hour * 3600 + minute * 60 + second


@_jit
def _clf_time(buffer: Bytes, start: int, end: int) -> int:
    """Read ``10/Oct/2000:13:55:36 -0700`` in microseconds; -1 if the careful path must look."""
    if end - start != 26 or _byte(buffer, start + 2) != 47 or _byte(buffer, start + 6) != 47:
        return -1
    if _byte(buffer, start + 11) != 58 or _byte(buffer, start + 20) != 32:
        return -1
    century, years = _two(buffer, start + 7), _two(buffer, start + 9)
    clock = _clock(buffer, start + 12)
    hours, minutes = _two(buffer, start + 22), _two(buffer, start + 24)
    sign = _byte(buffer, start + 21)
    if century < 0 or years < 0 or clock < 0 or hours < 0 or hours > 15 or minutes < 0 or minutes > 59:
        return -1
    if sign not in (43, 45):
        return -1
    days = _days(century * 100 + years, _month(buffer, start + 3), _two(buffer, start))
    if days < 0:
        return -1
    offset = hours * 3600 + minutes * 60
    return (days * 86400 + clock - (offset if sign == 43 else -offset)) * 1_000_000


@_jit
def _iso_time(buffer: Bytes, start: int, end: int) -> int:
    """Read ``2022-07-05T04:47:50.273035Z`` in microseconds; -1 if the careful path must look."""
    length = end - start
    if length < 20 or length > 27 or _byte(buffer, end - 1) != 90 or _byte(buffer, start + 10) != 84:
        return -1
    if _byte(buffer, start + 4) != 45 or _byte(buffer, start + 7) != 45:
        return -1
    century, years = _two(buffer, start), _two(buffer, start + 2)
    clock = _clock(buffer, start + 11)
    if century < 0 or years < 0 or clock < 0:
        return -1
    days = _days(century * 100 + years, _two(buffer, start + 5), _two(buffer, start + 8))
    if days < 0:
        return -1
    micros, scale = 0, 1_000_000
    if length > 20:
        if _byte(buffer, start + 19) != 46 or length == 21:
            return -1
        for position in range(start + 20, end - 1):
            digit = _byte(buffer, position) - 48
            if digit < 0 or digit > 9:
                return -1
            micros = micros * 10 + digit
            scale //= 10
    return (days * 86400 + clock) * 1_000_000 + micros * scale


@_jit
def _count(buffer: Bytes, start: int, end: int) -> int:
    """Read up to 18 digits; -1 for ``-``, -2 if the careful path must look."""
    length = end - start
    if length == 1 and _byte(buffer, start) == 45:
        return -1
    if length < 1 or length > 18:
        return -2
    value = 0
    for position in range(start, end):
        digit = _byte(buffer, position) - 48
        if digit < 0 or digit > 9:
            return -2
        value = value * 10 + digit
    return value


@_jit
def _duration(buffer: Bytes, start: int, end: int, divisor: int) -> float:
    """Read a decimal number; -1.0 for ``-``, -2.0 if the careful path must look."""
    if end - start == 1 and _byte(buffer, start) == 45:
        return -1.0
    if end - start < 1 or end - start > 15:
        return -2.0
    value, scale, point = 0, 1, -1
    for position in range(start, end):
        byte = _byte(buffer, position)
        if byte == 46:
            if point >= 0 or position == start or position == end - 1 or divisor != 1:
                return -2.0
            point = position
        elif byte < 48 or byte > 57:
            return -2.0
        else:
            value = value * 10 + byte - 48
            scale = scale * 10 if point >= 0 else scale
    return value / (scale * divisor)


@_jit
def _nanos(buffer: Bytes, start: int, end: int) -> int:
    """Read seconds below a million as nanoseconds; -1 for ``-1``, -2 if the careful path must look."""
    if end - start == 2 and _byte(buffer, start) == 45 and _byte(buffer, start + 1) == 49:
        return -1
    value, scale, point = 0, 1_000_000_000, -1
    if end <= start or end - start > 16:
        return -2
    for position in range(start, end):
        byte = _byte(buffer, position)
        if byte == 46:
            if point >= 0 or position == start or position == end - 1:
                return -2
            point = position
        elif byte < 48 or byte > 57:
            return -2
        else:
            value = value * 10 + byte - 48
            scale = scale // 10 if point >= 0 else scale
    whole = (end if point < 0 else point) - start
    return value * scale if whole <= 6 and scale > 0 else -2


@_jit
def _millis(buffer: Bytes, start: int, end: int) -> int:
    """Read ``1700000000.123`` as microseconds; -1 if the careful path must look."""
    if end - start != 14 or _byte(buffer, start + 10) != 46:
        return -1
    whole, rest = _count(buffer, start, start + 10), _count(buffer, start + 11, end)
    return whole * 1_000_000 + rest * 1000 if _FIRST_SECOND <= whole < _LAST_SECOND and rest >= 0 else -1


@_jit
def _is_token(buffer: Bytes, start: int, end: int) -> bool:
    """Tell whether all bytes are letters, digits, dots, underscores and hyphens, not hyphens alone."""
    is_more = False
    for position in range(start, end):
        byte = _byte(buffer, position)
        is_sign = byte in (46, 95) or 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122
        if not is_sign and byte != 45:
            return False
        is_more |= is_sign
    return is_more


@_jit
def _put_query(buffer: Bytes, start: int, end: int, spans: NDArray[np.int32], line: int) -> bool:
    """Note where a query stands; false if the careful path must look."""
    if start < end and _byte(buffer, start) == 63:
        start += 1
    if end > start and not (end - start == 1 and _byte(buffer, start) == 45):
        spans[2, line], spans[3, line] = start, end
    return _is_plain(buffer, start, end)


@_jit
def _put_path(buffer: Bytes, start: int, end: int, spans: NDArray[np.int32], line: int) -> bool:
    """Note where a path stands; false if the careful path must look."""
    if end <= start or (end - start == 1 and _byte(buffer, start) == 45):
        return False
    spans[0, line], spans[1, line] = start, end
    return _is_plain(buffer, start, end)


@_jit
def _same(buffer: Bytes, start: int, arena: Bytes, at: int, length: int) -> bool:
    """Compare bytes in words."""
    done = 0
    while done + 8 <= length:
        if _word(buffer, start + done) != _word(arena, at + done):
            return False
        done += 8
    if done == length:
        return True
    keep = (np.uint64(1) << np.uint64(8 * (length - done))) - np.uint64(1)
    return ((_word(buffer, start + done) ^ _word(arena, at + done)) & keep) == np.uint64(0)


@_jit
def _intern(
    buffer: Bytes,
    start: int,
    end: int,
    slot: int,
    seed: np.uint64,
    hashes: NDArray[np.uint64],
    ids: NDArray[np.int32],
    entries: NDArray[np.int64],
    arena: Bytes,
    recent: NDArray[np.int64],
    used: NDArray[np.int64],
) -> int:
    """Return the number of a string, entering it if it is new; -1 if there is no room.

    ``entries`` has a row (position, length, slot) for each string, ``used`` their number and the bytes of the arena,
    ``recent`` the one that each slot saw last.
    """
    length = end - start
    found = recent[slot]
    if (
        entries[found, 2] == slot
        and entries[found, 1] == length
        and _same(buffer, start, arena, entries[found, 0], length)
    ):
        return found
    key = seed ^ (np.uint64(slot + 1) * _MIX) ^ np.uint64(length)
    done = 0
    while done + 8 <= length:
        key = (key ^ _word(buffer, start + done)) * _MIX
        key ^= key >> _SHIFT
        done += 8
    if done < length:
        keep = (np.uint64(1) << np.uint64(8 * (length - done))) - np.uint64(1)
        key = (key ^ (_word(buffer, start + done) & keep)) * _MIX
    key ^= key >> np.uint64(32)
    key = key * seed
    key ^= key >> _SHIFT
    mask = np.uint64(ids.size - 1)
    place = key & mask
    while True:
        found = ids[place]
        if found < 0:
            break
        is_like = hashes[place] == key and entries[found, 2] == slot and entries[found, 1] == length
        if is_like and _same(buffer, start, arena, entries[found, 0], length):
            recent[slot] = found
            return found
        place = (place + np.uint64(1)) & mask
    number = used[0]
    if number * 2 >= ids.size or used[1] + length + 64 > arena.size:
        return -1
    for position in range(length):
        arena[used[1] + position] = buffer[start + position]
    entries[number, 0], entries[number, 1], entries[number, 2] = used[1], length, slot
    hashes[place], ids[place] = key, number
    recent[slot] = number
    used[0] += 1
    used[1] += length
    return number


@_jit
def _end_of(buffer: Bytes, start: int, mode: int, stop: int) -> int:
    if mode == 1:
        return _find_quote(buffer, start)
    if mode == 2:
        return _find_bracket(buffer, start)
    if mode == 3:
        return _find_space(buffer, start)
    return _find(buffer, start, stop)


@_jit
def _put_uri(buffer: Bytes, start: int, end: int, spans: NDArray[np.int32], line: int) -> bool:
    """Split at the question mark; false if the careful path must look."""
    if end <= start or (end - start == 1 and _byte(buffer, start) == 45):
        return False
    mark = _seek(buffer, start, end, 63)
    spans[0, line], spans[1, line] = start, mark
    spans[2, line], spans[3, line] = (mark + 1, end) if mark + 1 < end else (-1, -1)
    return True


@_jit
def _target_start(buffer: Bytes, start: int, end: int) -> tuple[int, int, int]:
    """Return where host, host's end and path of an absolute http URL stand; -1 if the careful path must look."""
    position = start + 4
    if end - start < 9 or _byte(buffer, start) != 104 or _byte(buffer, start + 1) != 116:
        return -1, -1, -1
    if _byte(buffer, start + 2) != 116 or _byte(buffer, start + 3) != 112:
        return -1, -1, -1
    if _byte(buffer, position) == 115:
        position += 1
    if _byte(buffer, position) != 58 or _byte(buffer, position + 1) != 47 or _byte(buffer, position + 2) != 47:
        return -1, -1, -1
    host, position = position + 3, position + 3
    host_end = -1
    while position < end:
        byte = _byte(buffer, position)
        if byte == 58 and host_end < 0:
            host_end = position
        elif byte == 47:
            return host, position if host_end < 0 else host_end, position
        elif byte in (63, 35, 64, 91, 93, 58):
            return -1, -1, -1
        position += 1
    return -1, -1, -1


@_jit
def _matches(buffer: Bytes, position: int, literals: Bytes, at: int, length: int) -> bool:
    """Tell whether a literal stands at `position`."""
    for index in range(length):
        if _byte(buffer, position + index) != _byte(literals, at + index):
            return False
    return True


@_jit
def _put_number(
    buffer: Bytes,
    first: int,
    last: int,
    action: int,
    slot: int,
    divisor: int,
    numbers: NDArray[np.int64],
    floats: NDArray[np.float64],
    line: int,
) -> bool:
    """Read a value that is no string; false if the careful path must look."""
    if action == 7:
        amount = _duration(buffer, first, last, divisor)
        floats[slot, line] = np.nan if amount < 0 else amount
        return amount > -2.0
    value = np.int64(-2)
    if action == 2 and last - first == 3:
        value = _count(buffer, first, last)
        value = value if value >= 100 else -2
    elif action == 3:
        value = _count(buffer, first, last)
    elif action == 4:
        value = _clf_time(buffer, first, last) - 1
    elif action == 8:
        value = _iso_time(buffer, first, last) - 1
    elif action == 13:
        value = _millis(buffer, first, last) - 1
    if action in (4, 8, 13):
        value += 1 if value >= 0 else 0
    numbers[slot, line] = value
    return value > -2


@_jit
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
        The table of strings, see `_intern`.
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
        ok = _byte(buffer, position) != 0
        left, total = np.int64(0), np.int64(0)
        for part in range(n_parts):
            if not ok or not _matches(buffer, position, literals, program[part, 0], program[part, 1]):
                ok = False
                break
            first = position + program[part, 1]
            last = _end_of(buffer, first, program[part, 2], program[part, 3])
            position = last + (1 if program[part, 7] != 0 else 0)
            stopped = _byte(buffer, last)
            if (stopped == 34 if program[part, 2] == 3 else stopped != program[part, 3]) or (
                program[part, 2] == 4 and _seek(buffer, first, last, 92) < last
            ):
                position = last
                ok = False
                break
            action = program[part, 4]
            if action == 1:
                number = _intern(buffer, first, last, program[part, 5], seed, hashes, ids, entries, arena, recent, used)
                if number < 0:
                    progress[0], progress[1] = line, start
                    return False
                codes[program[part, 5], line] = number
            elif action == 6:
                ok = _is_plain(buffer, first, last) and _put_uri(buffer, first, last, spans, line)
            elif action in (5, 10):
                blank, rest = _seek(buffer, first, last, 32), last - 1
                while rest > blank and _byte(buffer, rest) != 32:
                    rest -= 1
                ok = rest > blank and _is_plain(buffer, first, last)
                ok = ok and (options[4] == 0 or _seek(buffer, first, last, options[4]) == last)
                target = blank + 1
                if ok and action == 10:
                    host, host_end, target = _target_start(buffer, target, rest)
                    ok = target >= 0 and host_end > host and _seek(buffer, target, rest, 35) == rest
                    if ok:
                        number = _intern(
                            buffer, host, host_end, options[3], seed, hashes, ids, entries, arena, recent, used
                        )
                        if number < 0:
                            progress[0], progress[1] = line, start
                            return False
                        codes[options[3], line] = number
                if ok:
                    ok = _put_uri(buffer, target, rest, spans, line)
                    method = _intern(buffer, first, blank, options[1], seed, hashes, ids, entries, arena, recent, used)
                    protocol = _intern(
                        buffer, rest + 1, last, options[2], seed, hashes, ids, entries, arena, recent, used
                    )
                    if method < 0 or protocol < 0:
                        progress[0], progress[1] = line, start
                        return False
                    codes[options[1], line], codes[options[2], line] = method, protocol
            elif action == 0:
                if last > first and not (last == first + 1 and _byte(buffer, first) == 45):
                    left |= np.int64(1) << program[part, 5]
            elif action in (9, 11):
                ok = _count(buffer, first, last) >= 0 if action == 9 else _is_token(buffer, first, last)
                left |= np.int64(1) << program[part, 5]
            elif action == 12:
                nanos = _nanos(buffer, first, last)
                ok = nanos > -2
                total = np.int64(-1) if nanos < 0 or total < 0 else total + nanos
                floats[program[part, 5], line] = np.nan if total < 0 else total / 1_000_000_000
            elif action == 14:
                ok = _put_path(buffer, first, last, spans, line)
            elif action == 15:
                ok = _put_query(buffer, first, last, spans, line)
            else:
                ok = _put_number(buffer, first, last, action, program[part, 5], program[part, 6], numbers, floats, line)
        if ok:
            ok = _matches(buffer, position, literals, program[n_parts, 0], program[n_parts, 1])
            position += program[n_parts, 1] if ok else 0
        if ok and options[0] != 0 and (_byte(buffer, position) == 32 or _byte(buffer, position) == 9):
            position = _blank_end(buffer, position)
            if _byte(buffer, position) != 10:
                left |= np.int64(1) << MORE_BIT
                more = position
                position = _seek(buffer, position, size, 10)
                ok = options[5] == 0 or _seek(buffer, more, position, 34) == position
        position = _blank_end(buffer, position)
        if _byte(buffer, position) != 10:
            ok = False
            position = _seek(buffer, position, size, 10)
        bounds[line, 0], bounds[line, 1] = start, position
        state[line] = 0 if ok and position - start <= _LIMIT else 1
        dropped[line] = left
        position += 1
        line += 1
    progress[0], progress[1] = line, position
    return True


@_jit
def gather(
    buffer: Bytes,
    extra: Bytes,
    size: int,
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    offsets: NDArray[np.int32],
    data: Bytes,
) -> None:
    """Copy the bytes between `starts` and `ends`; positions from `size` on lie in `extra`. Returns nothing."""
    filled = 0
    for line in range(starts.size):
        offsets[line] = filled
        start, end = starts[line], ends[line]
        if start < 0:
            continue
        length = end - start
        if start >= size:
            for index in range(length):
                data[filled + index] = extra[start - size + index]
        else:
            for index in range(length):
                data[filled + index] = buffer[start + index]
        filled += length
    offsets[starts.size] = filled


@_jit
def rehash(
    old_hashes: NDArray[np.uint64], old_ids: NDArray[np.int32], hashes: NDArray[np.uint64], ids: NDArray[np.int32]
) -> None:
    """Enter the numbers of a table into a larger one."""
    mask = np.uint64(ids.size - 1)
    for index in range(old_ids.size):
        if old_ids[index] >= 0:
            place = old_hashes[index] & mask
            while ids[place] >= 0:
                place = (place + np.uint64(1)) & mask
            hashes[place], ids[place] = old_hashes[index], old_ids[index]
