"""Times of every kind, against the standard library, and what is out of range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.reading import times
from fraudlog.reading.reasons import BadValueError
from reading_support import EPOCH

MOMENTS = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30)).map(lambda t: t.replace(microsecond=0))  # noqa: DTZ001 -- the offset is drawn apart
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def micros(moment: datetime) -> int:
    """Return microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


@given(MOMENTS, OFFSETS)
def test_common_log_time(moment, offset):
    """As ``strftime`` writes it, with any offset."""
    aware = moment.replace(tzinfo=offset)
    assert times.from_clf(aware.strftime("%d/%b/%Y:%H:%M:%S %z")) == micros(aware)


@given(MOMENTS, OFFSETS, st.integers(0, 999_999))
def test_iso_time(moment, offset, fraction):
    """As ``isoformat`` writes it, with a fraction."""
    aware = moment.replace(tzinfo=offset, microsecond=fraction)
    assert times.from_iso(aware.isoformat()) == micros(aware)
    assert times.from_text(aware.isoformat(" ")) == micros(aware)


@given(MOMENTS, st.integers(0, 999))
def test_epochs(moment, millis):
    """Seconds, milliseconds, microseconds and nanoseconds, told by size."""
    aware = moment.replace(tzinfo=UTC, microsecond=millis * 1000)
    value = micros(aware)
    assert times.from_number(value // 1000, "ms") == times.from_number(value, "us") == value
    assert times.from_number(value * 1000, "ns") == times.from_number(value / 1e6, "s") == value
    assert times.from_epoch(f"{value // 1_000_000}.{millis:03d}") == value
    assert times.from_text(str(value), "us") == value


def test_leap_second_is_the_next_minute():
    """23:59:60 exists at the end of a day in UTC, whatever the zone of the log, and nowhere else."""
    assert times.from_clf("31/Dec/2016:23:59:60 +0000") == micros(datetime(2017, 1, 1, tzinfo=UTC))
    assert times.from_iso("2017-01-01T05:29:60+05:30") == micros(datetime(2017, 1, 1, tzinfo=UTC))
    for text in ("31/Dec/2016:22:59:60 +0000", "31/Dec/2016:23:59:61 +0000"):
        with pytest.raises(BadValueError):
            times.from_clf(text)


@pytest.mark.parametrize(
    "text",
    [
        *("32/Jan/2024:00:00:00 +0000", "30/Feb/2024:00:00:00 +0000", "29/Feb/2023:00:00:00 +0000"),
        *("01/Foo/2024:00:00:00 +0000", "01/Jan/2024:24:00:00 +0000", "01/Jan/2024:00:60:00 +0000"),
        *("01/Jan/2024:00:00:00 +1600", "01/Jan/2024:00:00:00 +0060", "01/Jan/1970:00:00:00 +0000"),
        *("01/Jan/2100:00:00:00 +0000", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "0", "1e9"),
        *("99999999999999999999", "2024-01-01", "", "now", "\u0662024-01-01T00:00:00Z"),
    ],
)
def test_out_of_range_is_refused(text):
    """A time that is none."""
    with pytest.raises(BadValueError, match="bad_time"):
        times.from_text(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, -5, 10**30])
def test_numbers_out_of_range_are_refused(value):
    """A number that is no time."""
    with pytest.raises(BadValueError, match="bad_time"):
        times.from_number(value)


def test_zone_of_times_that_do_not_say():
    """Local time of the server, summer and winter."""
    zone = ZoneInfo("Europe/Berlin")
    assert times.from_iso("2024-07-01 12:00:00", zone) == micros(datetime(2024, 7, 1, 10, tzinfo=UTC))
    assert times.from_iso("2024-01-01 12:00:00", zone) == micros(datetime(2024, 1, 1, 11, tzinfo=UTC))
