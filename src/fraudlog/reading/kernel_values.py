"""Compiled code that reads numbers and times among the distinct values of a block, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.reading.kernel_bytes import byte_at, compiled
from fraudlog.reading.kernel_numbers import (
    days_since_epoch,
    read_clock,
    read_count,
    read_duration,
    read_iso_time,
    read_two,
)
from fraudlog.reading.times import FIRST, LAST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.reading.kernel_bytes import Bytes

__all__ = ["UNITS", "read_counts", "read_durations", "read_times"]

UNITS: Final = {"auto": 0, "s": 1, "ms": 2, "us": 3, "ns": 4}
_LOCAL: Final = 19


@compiled
def _epoch(value: int, unit: int) -> int:
    """Return a number since 1970 in microseconds; -1 if the careful path must look."""
    if unit == 0:
        unit = 1 if value < 100_000_000_000 else 2 if value < 100_000_000_000_000 else 3
        if value >= 100_000_000_000_000_000:
            unit = 4
    if unit == 4:
        value //= 1000
    elif unit < 3:
        scale = 1_000_000 if unit == 1 else 1000
        if value > LAST // scale:
            return -1
        value *= scale
    return value if FIRST <= value < LAST else -1


@compiled
def _local_time(buffer: Bytes, start: int, end: int) -> int:
    """Read ``2024-01-01 00:00:00``, a time without zone; -1 if the careful path must look."""
    if end - start != _LOCAL or byte_at(buffer, start + 4) != 45 or byte_at(buffer, start + 7) != 45:
        return -1
    if byte_at(buffer, start + 10) not in (9, 32, 84):
        return -1
    century, years, clock = read_two(buffer, start), read_two(buffer, start + 2), read_clock(buffer, start + 11)
    if century < 0 or years < 0 or clock < 0:
        return -1
    days = days_since_epoch(century * 100 + years, read_two(buffer, start + 5), read_two(buffer, start + 8))
    return (days * 86400 + clock) * 1_000_000 if days >= 0 else -1


@compiled
def _inside(buffer: Bytes, start: int, end: int) -> tuple[int, int]:
    """Return where a value stands without the quotes of JSON."""
    if end - start >= 2 and byte_at(buffer, start) == 34:
        return start + 1, end - 1
    return start, end


@compiled
def read_times(
    arena: Bytes, entries: NDArray[np.int64], rows: NDArray[np.int64], unit: int, is_utc: int, out: NDArray[np.int64]
) -> None:
    """Read times into `out`, in microseconds; -1 where the careful path must look.

    Parameters
    ----------
    arena, entries : see `kernel._intern`
    rows : int64 array of shape (n,)
        Which entries.
    unit : int
        One of `UNITS`.
    is_utc : int
        Whether a time without zone is in UTC.
    out : int64 array of shape (n,)
    """
    for index in range(rows.size):
        at, length = entries[rows[index], 0], entries[rows[index], 1]
        start, end = _inside(arena, at, at + length)
        value = read_count(arena, start, end)
        if value >= 0:
            out[index] = _epoch(value, unit)
            continue
        found = read_iso_time(arena, start, end)
        if found < 0 and is_utc != 0:
            found = _local_time(arena, start, end)
        out[index] = found if FIRST <= found < LAST else -1


@compiled
def read_counts(arena: Bytes, entries: NDArray[np.int64], rows: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Read whole numbers into `out`; below 0 where the careful path must look."""
    for index in range(rows.size):
        at, length = entries[rows[index], 0], entries[rows[index], 1]
        start, end = _inside(arena, at, at + length)
        out[index] = read_count(arena, start, end)


@compiled
def read_durations(
    arena: Bytes, entries: NDArray[np.int64], rows: NDArray[np.int64], divisor: int, out: NDArray[np.float64]
) -> None:
    """Read seconds into `out`; below 0 where the careful path must look."""
    for index in range(rows.size):
        at, length = entries[rows[index], 0], entries[rows[index], 1]
        start, end = _inside(arena, at, at + length)
        out[index] = read_duration(arena, start, end, divisor)
