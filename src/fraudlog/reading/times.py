"""Times as logs write them, to microseconds since 1970 in UTC.

Every reader returns an ``int`` or raises `BadValueError` with code ``bad_time``. The year must lie in 1990..2099: a
device without a set clock writes 1970, and a wrong unit lands far outside.

A leap second (``23:59:60`` in UTC, RFC 3339 section 5.7) becomes the first microsecond of the next minute, as POSIX
does.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from fraudlog.reading.reasons import BadValueError

__all__ = ["FIRST", "LAST", "UNITS", "from_clf", "from_epoch", "from_form", "from_iso", "from_number", "from_text"]

FIRST: Final = 631_152_000_000_000
"""1990-01-01 in microseconds; earlier times are rejected."""
LAST: Final = 4_102_444_800_000_000
"""2100-01-01 in microseconds; this and later times are rejected."""

UNITS: Final[dict[str, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Microseconds in a unit. Nanoseconds divide instead."""

MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}

_CLF = re.compile(
    r"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2})(?:[.,](\d{1,9}))?(?: ([+-])(\d{2}):?(\d{2}))?", re.ASCII
)
_ISO = re.compile(
    r"(\d{4})[-/](\d{2})[-/](\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r" ?(?:([Zz]|UTC)|([+-])(\d{2}):?(\d{2})?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_SHORT = re.compile(r"%([TFRDe])")
_LONG: Final = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "R": "%H:%M", "D": "%m/%d/%y", "e": "%d"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_HOURS: Final = 24
_MINUTES: Final = 60
_LEAP: Final = 60


@lru_cache(maxsize=4096)
def _midnight(year: int, month: int, day: int) -> int:
    """Return seconds from 1970 to that day, or raise."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= _DAYS[month - 1] or (month == 2 and day == 29 and not leap):
        raise BadValueError("bad_time")
    return timegm((year, month, day, 0, 0, 0))


def _offset(sign: str, hours: str, minutes: str | None) -> int:
    minute = int(minutes or "0")
    if int(hours) > 15 or minute >= _MINUTES:
        raise BadValueError("bad_time")
    seconds = int(hours) * 3600 + minute * 60
    return -seconds if sign == "-" else seconds


def _micros(fraction: str | None) -> int:
    return int(fraction[:6].ljust(6, "0")) if fraction else 0


def _compose(
    day: tuple[int, int, int], clock: tuple[int, int, int], micros: int, offset: int | None, zone: tzinfo
) -> int:
    """Put date, clock and offset together; `offset` None means the line did not say, so `zone` decides."""
    hour, minute, second = clock
    if hour >= _HOURS or minute >= _MINUTES or second > _LEAP:
        raise BadValueError("bad_time")
    seconds = _midnight(*day) + hour * 3600 + minute * 60 + min(second, 59)
    if offset is None:
        offset = 0 if zone is UTC else _zone_offset(seconds, zone)
    seconds -= offset
    if second == _LEAP:
        if seconds % 86_400 != 86_399:
            raise BadValueError("bad_time")
        return _in_range((seconds + 1) * 1_000_000)
    return _in_range(seconds * 1_000_000 + micros)


def _zone_offset(seconds: int, zone: tzinfo) -> int:
    local = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=zone)
    offset = local.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _in_range(micros: int) -> int:
    if not FIRST <= micros < LAST:
        raise BadValueError("bad_time")
    return micros


def from_clf(text: str, zone: tzinfo = UTC) -> int:
    """Read ``10/Oct/2000:13:55:36 -0700`` (Apache ``%t``, nginx ``$time_local``); HAProxy's has milliseconds, no zone.

    >>> from_clf("10/Oct/2000:13:55:36 -0700")
    971211336000000
    """
    match = _CLF.fullmatch(text)
    if match is None:
        raise BadValueError("bad_time")
    day, month, year, hour, minute, second, fraction, sign, oh, om = match.groups()
    return _compose(
        (int(year), MONTHS.get(month, 0), int(day)),
        (int(hour), int(minute), int(second)),
        _micros(fraction),
        _offset(sign, oh, om) if sign else None,
        zone,
    )


def from_iso(text: str, zone: tzinfo = UTC) -> int:
    """Read ISO 8601 / RFC 3339, with ``T`` or a blank, any offset, up to nine decimals (cut to six).

    >>> from_iso("2022-07-05T04:47:50.273035Z")
    1656996470273035
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise BadValueError("bad_time")
    year, month, day, hour, minute, second, fraction, utc, sign, oh, om = match.groups()
    offset = 0 if utc else _offset(sign, oh, om) if sign else None
    return _compose(
        (int(year), int(month), int(day)), (int(hour), int(minute), int(second or 0)), _micros(fraction), offset, zone
    )


def from_number(value: float, unit: str = "auto") -> int:
    """Read seconds, milliseconds, microseconds or nanoseconds since 1970; ``auto`` goes by the magnitude.

    >>> from_number(1700000000) == from_number(1700000000000) == from_number(1700000000000000, "us")
    True
    """
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 -- NaN
        raise BadValueError("bad_time")
    if unit == "auto":
        size = abs(value)
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
    if unit == "ns":
        return _in_range(int(value) // 1000)
    if isinstance(value, int):
        return _in_range(value * UNITS[unit])
    return _in_range(round(value * UNITS[unit]))


def from_epoch(text: str, unit: str = "auto") -> int:
    """Read a number written as text, as nginx ``$msec`` (``1700000000.123``) does, without going through a float.

    >>> from_epoch("1700000000.123")
    1700000000123000
    """
    if _NUMBER.fullmatch(text) is None:
        raise BadValueError("bad_time")
    whole, _, fraction = text.partition(".")
    if not fraction or unit == "ns":
        return from_number(int(whole), unit)
    if unit == "auto":
        size = abs(int(whole))
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us"
    scale = UNITS[unit]
    return _in_range(int(whole) * scale + int(fraction.ljust(9, "0")) * scale // 1_000_000_000)


@lru_cache(maxsize=65_536)
def from_form(text: str, form: str, zone: tzinfo = UTC) -> int:
    """Read a time that the C library's ``strftime`` wrote with `form`.

    >>> from_form("November 23, 2021T00:18:22 +0000", "%B %d, %YT%H:%M:%S %z")
    1637626702000000
    """
    try:
        found = datetime.strptime(text, _SHORT.sub(lambda match: _LONG[match[1]], form))  # noqa: DTZ007 -- the zone is set below
    except ValueError:
        raise BadValueError("bad_time") from None
    aware = found if found.tzinfo is not None else found.replace(tzinfo=zone)
    return _in_range((aware - _EPOCH) // timedelta(microseconds=1))


def from_text(text: str, unit: str = "auto", zone: tzinfo = UTC) -> int:
    """Read any of the above, by its shape."""
    if len(text) > 10 and text[4:5] in "-/":
        return from_iso(text, zone)
    if text[2:3] == "/":
        return from_clf(text, zone)
    return from_epoch(text, unit)
