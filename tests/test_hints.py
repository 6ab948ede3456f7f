"""Client hints against the agent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudlog.enriching.agents import read_agent
from fraudlog.enriching.hints import read_hints

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"
)
EDGE = f"{WINDOWS} Edg/140.0.0.0"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME_BRANDS = '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"'
EDGE_BRANDS = '"Chromium";v="140", "Not=A?Brand";v="24", "Microsoft Edge";v="140"'


def _read(agent, brands=None, platform=None, version=None, mobile=None, model=None):
    return read_hints(agent, read_agent(agent), (brands, platform, version, mobile, model))


def _agreement(facts):
    return (facts.is_ch_brand_same, facts.is_ch_version_same, facts.is_ch_platform_same, facts.is_ch_mobile_same)


@pytest.mark.parametrize(
    ("agent", "brands", "platform", "mobile", "expected"),
    [
        (WINDOWS, CHROME_BRANDS, '"Windows"', "?0", (True, True, True, True)),
        (ANDROID, CHROME_BRANDS, '"Android"', "?1", (True, True, True, True)),
        (EDGE, EDGE_BRANDS, '"Windows"', "?0", (True, True, True, True)),
        (WINDOWS, CHROME_BRANDS.replace("Google Chrome", "Brave"), '"Windows"', "?0", (True, True, True, True)),
        (WINDOWS, EDGE_BRANDS, '"Windows"', "?0", (False, True, True, True)),
        (EDGE, CHROME_BRANDS, '"Windows"', "?0", (False, True, True, True)),
        (WINDOWS, CHROME_BRANDS.replace("140", "131"), '"Windows"', "?0", (True, False, True, True)),
        (WINDOWS, CHROME_BRANDS, '"Linux"', "?0", (True, True, False, True)),
        (WINDOWS, CHROME_BRANDS, '"Windows"', "?1", (True, True, True, False)),
        (WINDOWS, CHROME_BRANDS.replace("Google Chrome", "HeadlessChrome"), None, None, (False, True, None, None)),
        (FIREFOX, CHROME_BRANDS, '"Linux"', "?0", (False, None, True, True)),
    ],
)
def test_agreement_of_brand_version_platform_and_mobile(agent, brands, platform, mobile, expected):
    """Agreement of brand version platform and mobile."""
    assert _agreement(_read(agent, brands, platform, mobile=mobile)) == expected


@pytest.mark.parametrize(
    ("version", "said"), [('"15.0.0"', "11"), ('"13.0.0"', "11"), ('"10.0.0"', "10"), ('"0.3.0"', "8 or older")]
)
def test_platform_version_13_and_above_is_windows_11(version, said):
    """Platform version 13 and above is windows 11."""
    facts = _read(WINDOWS, CHROME_BRANDS, '"Windows"', version)
    assert (facts.ch_os, facts.ch_os_version) == ("Windows", said)


def test_what_is_no_structured_field_is_malformed():
    """What is no structured field is malformed."""
    for brands, mobile in (('"Chromium;v=140', None), (CHROME_BRANDS, "?2"), (CHROME_BRANDS, "true false")):
        assert _read(WINDOWS, brands, mobile=mobile).is_ch_malformed
    assert _read(WINDOWS, CHROME_BRANDS.replace('"', '\\"')).is_ch_malformed is False  # as a log escapes it


def test_absent_brands_count_against_chromium_only():
    """Absent brands count against chromium only."""
    assert _read(WINDOWS).is_ch_missing is True
    assert _read(WINDOWS, CHROME_BRANDS).is_ch_missing is False
    assert _read(FIREFOX).is_ch_missing is False
    assert _read(WINDOWS.replace("140", "88")).is_ch_missing is False
    assert _read("curl/8.5.0").is_ch_missing is False


@given(st.lists(st.none() | st.text(max_size=30), min_size=5, max_size=5))
def test_any_hints_are_read(hints):
    """Any hints are read."""
    assert read_hints(WINDOWS, read_agent(WINDOWS), tuple(hints)).is_ch_malformed in (True, False, None)
