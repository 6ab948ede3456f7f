"""Numbers and times read from bytes in compiled code, or left to the careful path where there is any doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.kernel_bytes import byte_at, compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = [
    "days_since_epoch",
    "put_number",
    "read_clock",
    "read_count",
    "read_duration",
    "read_iso_time",
    "read_nanos",
    "read_two",
]

_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_FIRST_SECOND: Final = 1_000_000_000
_LAST_SECOND: Final = 4_102_444_800
_FIRST_YEAR: Final = 1990
_LAST_YEAR: Final = 2099


@compiled
def read_two(buffer: Bytes, position: int) -> int:
    """Read two digits; -1 if they are none."""
    tens, units = byte_at(buffer, position) - 48, byte_at(buffer, position + 1) - 48
    if tens < 0 or tens > 9 or units < 0 or units > 9:
        return -1
    return tens * 10 + units


@compiled
def days_since_epoch(year: int, month: int, day: int) -> int:
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


@compiled
def _month(buffer: Bytes, position: int) -> int:
    """Read ``Jan`` .. ``Dec``; 0 if it is none."""
    name = byte_at(buffer, position) << 16 | byte_at(buffer, position + 1) << 8 | byte_at(buffer, position + 2)
    names = (
        0x4A616E, 0x466562, 0x4D6172, 0x417072, 0x4D6179, 0x4A756E,
        0x4A756C, 0x417567, 0x536570, 0x4F6374, 0x4E6F76, 0x446563,
    )  # fmt: skip
    for index in range(12):
        if names[index] == name:
            return index + 1
    return 0


@compiled
def read_clock(buffer: Bytes, position: int) -> int:
    """Read ``HH:MM:SS`` as seconds; -1 if it is none. A leap second is left to the careful path."""
    hour, minute, second = read_two(buffer, position), read_two(buffer, position + 3), read_two(buffer, position + 6)
    if byte_at(buffer, position + 2) != 58 or byte_at(buffer, position + 5) != 58:
        return -1
    if hour < 0 or minute < 0 or second < 0 or hour > 23 or minute > 59 or second > 59:
        return -1
    return hour * 3600 + minute * 60 + second


@compiled
def _clf_time(buffer: Bytes, start: int, end: int) -> int:
    """Read ``10/Oct/2000:13:55:36 -0700`` in microseconds; -1 if the careful path must look."""
    if end - start != 26 or byte_at(buffer, start + 2) != 47 or byte_at(buffer, start + 6) != 47:
        return -1
    if byte_at(buffer, start + 11) != 58 or byte_at(buffer, start + 20) != 32:
        return -1
    century, years = read_two(buffer, start + 7), read_two(buffer, start + 9)
    clock = read_clock(buffer, start + 12)
    hours, minutes = read_two(buffer, start + 22), read_two(buffer, start + 24)
    sign = byte_at(buffer, start + 21)
    if century < 0 or years < 0 or clock < 0 or hours < 0 or hours > 15 or minutes < 0 or minutes > 59:
        return -1
    if sign not in (43, 45):
        return -1
    days = days_since_epoch(century * 100 + years, _month(buffer, start + 3), read_two(buffer, start))
    if days < 0:
        return -1
    offset = hours * 3600 + minutes * 60
    return (days * 86400 + clock - (offset if sign == 43 else -offset)) * 1_000_000


@compiled
def read_iso_time(buffer: Bytes, start: int, end: int) -> int:
    """Read ``2022-07-05T04:47:50.273035Z`` in microseconds; -1 if the careful path must look."""
    length = end - start
    if length < 20 or length > 27 or byte_at(buffer, end - 1) != 90 or byte_at(buffer, start + 10) != 84:
        return -1
    if byte_at(buffer, start + 4) != 45 or byte_at(buffer, start + 7) != 45:
        return -1
    century, years = read_two(buffer, start), read_two(buffer, start + 2)
    clock = read_clock(buffer, start + 11)
    if century < 0 or years < 0 or clock < 0:
        return -1
    days = days_since_epoch(century * 100 + years, read_two(buffer, start + 5), read_two(buffer, start + 8))
    if days < 0:
        return -1
    micros, scale = 0, 1_000_000
    if length > 20:
        if byte_at(buffer, start + 19) != 46 or length == 21:
            return -1
        for position in range(start + 20, end - 1):
            digit = byte_at(buffer, position) - 48
            if digit < 0 or digit > 9:
                return -1
            micros = micros * 10 + digit
            scale //= 10
    return (days * 86400 + clock) * 1_000_000 + micros * scale


@compiled
def read_count(buffer: Bytes, start: int, end: int) -> int:
    """Read up to 18 digits; -1 for ``-``, -2 if the careful path must look."""
    length = end - start
    if length == 1 and byte_at(buffer, start) == 45:
        return -1
    if length < 1 or length > 18:
        return -2
    value = 0
    for position in range(start, end):
        digit = byte_at(buffer, position) - 48
        if digit < 0 or digit > 9:
            return -2
        value = value * 10 + digit
    return value


@compiled
def read_duration(buffer: Bytes, start: int, end: int, divisor: int) -> float:
    """Read a decimal number; -1.0 for ``-``, -2.0 if the careful path must look."""
    if end - start == 1 and byte_at(buffer, start) == 45:
        return -1.0
    if end - start < 1 or end - start > 15:
        return -2.0
    value, scale, point = 0, 1, -1
    for position in range(start, end):
        byte = byte_at(buffer, position)
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


@compiled
def read_nanos(buffer: Bytes, start: int, end: int) -> int:
    """Read seconds below a million as nanoseconds; -1 for ``-1``, -2 if the careful path must look."""
    if end - start == 2 and byte_at(buffer, start) == 45 and byte_at(buffer, start + 1) == 49:
        return -1
    value, scale, point = 0, 1_000_000_000, -1
    if end <= start or end - start > 16:
        return -2
    for position in range(start, end):
        byte = byte_at(buffer, position)
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


@compiled
def _millis(buffer: Bytes, start: int, end: int) -> int:
    """Read ``1700000000.123`` as microseconds; -1 if the careful path must look."""
    if end - start != 14 or byte_at(buffer, start + 10) != 46:
        return -1
    whole, rest = read_count(buffer, start, start + 10), read_count(buffer, start + 11, end)
    return whole * 1_000_000 + rest * 1000 if _FIRST_SECOND <= whole < _LAST_SECOND and rest >= 0 else -1


@compiled
def put_number(
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
        amount = read_duration(buffer, first, last, divisor)
        floats[slot, line] = np.nan if amount < 0 else amount
        return amount > -2.0
    value = np.int64(-2)
    if action == 2 and last - first == 3:
        value = read_count(buffer, first, last)
        value = value if value >= 100 else -2
    elif action == 3:
        value = read_count(buffer, first, last)
    elif action == 4:
        value = _clf_time(buffer, first, last) - 1
    elif action == 8:
        value = read_iso_time(buffer, first, last) - 1
    elif action == 13:
        value = _millis(buffer, first, last) - 1
    if action in (4, 8, 13):
        value += 1 if value >= 0 else 0
    numbers[slot, line] = value
    return value > -2
