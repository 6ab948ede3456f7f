"""Compiled code that reads numbers and times among the distinct values of a block, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.reading.kernel import _byte, _clock, _count, _days, _duration, _iso_time, _jit, _two
from fraudlog.reading.times import FIRST, LAST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.reading.kernel import Bytes

__all__ = ["UNITS", "read_counts", "read_durations", "read_times"]

UNITS: Final = {"auto": 0, "s": 1, "ms": 2, "us": 3, "ns": 4}
_LOCAL: Final = 19


@_jit
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


@_jit
def _local_time(buffer: Bytes, start: int, end: int) -> int:
    """Read ``2024-01-01 00:00:00``, a time without zone; -1 if the careful path must look."""
    if end - start != _LOCAL or _byte(buffer, start + 4) != 45 or _byte(buffer, start + 7) != 45:
        return -1
    if _byte(buffer, start + 10) not in (9, 32, 84):
        return -1
    century, years, clock = _two(buffer, start), _two(buffer, start + 2), _clock(buffer, start + 11)
    if century < 0 or years < 0 or clock < 0:
        return -1
    days = _days(century * 100 + years, _two(buffer, start + 5), _two(buffer, start + 8))
    return (days * 86400 + clock) * 1_000_000 if days >= 0 else -1


@_jit
def _inside(buffer: Bytes, start: int, end: int) -> tuple[int, int]:
    """Return where a value stands without the quotes of JSON."""
    if end - start >= 2 and _byte(buffer, start) == 34:
        return start + 1, end - 1
    return start, end


@_jit
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
        value = _count(arena, start, end)
        if value >= 0:
            out[index] = _epoch(value, unit)
            continue
        found = _iso_time(arena, start, end)
        if found < 0 and is_utc != 0:
            found = _local_time(arena, start, end)
        out[index] = found if FIRST <= found < LAST else -1


@_jit
def read_counts(arena: Bytes, entries: NDArray[np.int64], rows: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Read whole numbers into `out`; below 0 where the careful path must look."""
    for index in range(rows.size):
        at, length = entries[rows[index], 0], entries[rows[index], 1]
        start, end = _inside(arena, at, at + length)
        out[index] = _count(arena, start, end)


@_jit
def read_durations(
    arena: Bytes, entries: NDArray[np.int64], rows: NDArray[np.int64], divisor: int, out: NDArray[np.float64]
) -> None:
    """Read seconds into `out`; below 0 where the careful path must look."""
    for index in range(rows.size):
        at, length = entries[rows[index], 0], entries[rows[index], 1]
        start, end = _inside(arena, at, at + length)
        out[index] = _duration(arena, start, end, divisor)
