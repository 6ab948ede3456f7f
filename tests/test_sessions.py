"""Sessions and features: equal to the slow twin, each feature shown once where it fires and once where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog as fl
import naive
from conftest import make_events
from fraudlog.errors import ConfigError, SchemaError
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    import random

AGENTS = [
    None,
    "curl/8.5.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (X11) HeadlessChrome/120.0",
    "ünïcode agent",
]
PATHS = [None, "/", "/a.css", "/login", "/.env", "/wp-admin/", "/a/b/c", "/robots.txt", "/api/v1", "/ü"]


@st.composite
def event_rows(draw):
    """Random events: ties, gaps at the limit, nulls, few actors."""
    seconds = draw(st.lists(st.sampled_from([0, 0, 1, 9, 10, 11, 60, 1799, 1800, 1801]), min_size=1, max_size=40))
    at = np.cumsum(seconds).tolist()
    return [
        {
            "at": moment + draw(st.sampled_from([0, 0.25, 0.999999])),
            "client_ip": draw(st.sampled_from(["203.0.113.9", "203.0.113.10", "198.51.100.1", "2001:db8::1"])),
            "user": draw(st.sampled_from([None, None, "alice"])),
            "user_agent": draw(st.sampled_from(AGENTS)),
            "language": draw(st.sampled_from([None, "de"])),
            "method": draw(st.sampled_from(["GET", "POST", "HEAD", None])),
            "path": draw(st.sampled_from(PATHS)),
            "referrer": draw(st.sampled_from([None, "http://a.example/"])),
            "status": draw(st.sampled_from([200, 304, 401, 403, 404, 499, 500])),
            "bytes_sent": draw(st.sampled_from([None, 0, 1, 10**9])),
        }
        for moment in at
    ]


@given(event_rows(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_every_feature_equals_the_slow_twin_in_any_order_of_rows(rows, rng: random.Random):
    """Bit for bit: sessions, their entities and all features."""
    events = make_events(*rows)
    shuffled = events.sample(frac=1, random_state=rng.randrange(2**32))
    records = events.astype(object).where(events.notna(), None).to_dict("records")
    expected = {
        (session[0]["timestamp"], session[0]["line_number"]): [naive.value(row.expression, session) for row in FEATURES]
        for session in naive.sessions(records)
    }
    built = fl.build_sessions(shuffled)
    names = [row.name for row in FEATURES]
    found = {
        (start, line): [None if np.isnan(one) else one for one in values]
        for start, line, values in zip(built["start"], built["first_line"], built[names].to_numpy(), strict=True)
    }
    assert found == expected


@given(event_rows())
@settings(max_examples=30)
def test_sessionize_agrees_with_build_sessions(rows):
    """Each event's session is a row, and counts its events."""
    events = make_events(*rows)
    named = fl.sessionize(events)
    built = fl.build_sessions(events).set_index("session_id")["requests"]
    pd.testing.assert_index_equal(named.index, events.index)
    assert named["session_id"].value_counts().sort_index().tolist() == built.sort_index().tolist()


QUIET = make_events({}, {"at": 5, "path": "/a.css", "referrer": "http://a.example/"})
SHOWN = {
    "requests": ([{}] * 9, 9),
    "pages": ([{"path": "/b"}] * 9, 9),
    "bytes_total": ([{"bytes_sent": 70_000}] * 2, 140_000),
    "duration_s": ([{}, {"at": 600}], 600),
    "gap_mean_s": ([{}, {"at": 100}, {"at": 300}], 150),
    "gap_deviation_s": ([{}, {"at": 100}, {"at": 300}], 50),
    "gap_min_s": ([{}, {"at": 100}, {"at": 300}], 100),
    "page_burst_10s": ([{}, {"at": 9}, {"at": 10}, {"at": 18.5}], 3),
    "burst_10s": ([{"path": "/a.css"}, {"at": 8}, {"at": 9}, {"at": 10}], 3),
    "post_share": ([{"method": "POST"}, {}], 0.5),
    "head_share": ([{"method": "HEAD"}, {}], 0.5),
    "asset_share": ([{"path": "/a.png"}] * 3 + [{}], 0.75),
    "page_share": ([{}, {}], 1),
    "referrer_missing_share": ([{}, {}], 1),
    "bytes_mean": ([{"bytes_sent": 4}, {"bytes_sent": 8}, {"bytes_sent": None}], 6),
    "distinct_paths": ([{"path": "/a"}, {"path": "/b"}, {"path": "/c"}, {"path": "/a"}], 3),
    "repetition": ([{"path": "/a"}] * 6, 6),
    "path_entropy": ([{"path": f"/{i}"} for i in range(4)], 2),
    "depth_max": ([{"path": "/a/b/c/d"}], 4),
    "endpoint_switches": ([{}, {"path": "/a.css"}, {}], 2),
    "client_errors": ([{"status": 400}, {"status": 499}, {"status": 500}], 2),
    "client_error_share": ([{"status": 404}, {}], 0.5),
    "not_found": ([{"status": 404}, {"status": 403}], 1),
    "server_errors": ([{"status": 502}], 1),
    "agents": ([{"user": "a"}, {"user": "a", "user_agent": "curl/8"}, {"user": "a", "user_agent": "Wget/1.2"}], 3),
    "agent_missing_share": ([{"user_agent": None}], 1),
    "crawler_requests": ([{"user_agent": AGENTS[2]}], 1),
    "feed_requests": ([{"user_agent": "Tiny Tiny RSS/1.11 (http://tt-rss.org/)"}], 1),
    "headless_requests": ([{"user_agent": AGENTS[4]}], 1),
    "library_requests": ([{"user_agent": "curl/8.5.0"}], 1),
    "monitor_requests": ([{"user_agent": "check_http/v2.3 (monitoring-plugins)"}], 1),
    "scanner_requests": ([{"user_agent": "Mozilla/5.00 (Nikto/2.1.6)"}], 1),
    "browser_requests": ([{}, {}, {}], 3),
    "language_missing_share": ([{"language": None}], 1),
    "probe_requests": ([{"path": "/.env"}], 1),
    "malformed_requests": ([{"method": None}], 1),
    "blind_posts": ([{"method": "POST", "path": "/comment"}], 1),
    "login_requests": ([{"path": "/login"}], 1),
    "login_failures": ([{"path": "/login", "status": 401}], 1),
    "admin_missing": ([{"path": "/wp-admin/", "status": 404}], 1),
    "robots_requests": ([{"path": "/robots.txt"}], 1),
}


@pytest.mark.parametrize("name", [row.name for row in FEATURES])
def test_feature_fires_and_stays_quiet(name):
    """Each feature has its known value on events made for it, and another one on a quiet page view."""
    rows, expected = SHOWN[name]
    value = fl.build_sessions(make_events(*rows))[name].item()
    assert value == expected
    assert fl.build_sessions(QUIET)[name].item() != expected


def test_a_feature_whose_column_the_log_lacks_is_null():
    """Null, never 0: what was not logged did not fail to happen."""
    sessions = fl.build_sessions(make_events({}, {})[["timestamp", "client_ip"]])
    assert sessions["requests"].item() == 2
    assert sessions[["pages", "agent_missing_share", "language_missing_share", "bytes_total"]].isna().all(axis=None)


def test_actor_is_token_then_user_then_client():
    """A session token outranks the account, which outranks prefix, agent and language."""
    events = make_events(
        {"session_token": "t", "user": "a"}, {"session_token": "t", "user": "b"}, {"user": "a"}, {"user": None}
    )
    assert fl.sessionize(events)["session_id"].nunique() == 3


def test_neighbours_in_a_24_share_a_session():
    """One client may change its last octet; another /24 is another client."""
    events = make_events({}, {"client_ip": "203.0.113.77"}, {"client_ip": "203.0.114.9"})
    assert fl.build_sessions(events)["requests"].tolist() == [2, 1]


def test_session_gap_is_a_parameter():
    """A silence of exactly the gap does not split, one microsecond more does."""
    events = make_events({}, {"at": 60}, {"at": 120.000001})
    assert fl.build_sessions(events, session_gap="60s")["requests"].tolist() == [2, 1]
    with pytest.raises(ConfigError, match="session_gap must be above 0"):
        fl.build_sessions(events, session_gap="0s")


def test_session_ids_are_keyed_and_stable():
    """The same key gives the same ids, another key others, whatever the order of the rows."""
    events = make_events({}, {"client_ip": "198.51.100.1"})
    ids = set(fl.build_sessions(events, key=b"k" * 32)["session_id"])
    assert ids == set(fl.build_sessions(events[::-1], key=b"k" * 32)["session_id"])
    assert ids.isdisjoint(fl.build_sessions(events, key=b"x" * 32)["session_id"])


def test_missing_column_names_those_found():
    """The message helps, and holds no value."""
    with pytest.raises(SchemaError, match="lacks the column client_ip; it has timestamp") as caught:
        fl.build_sessions(make_events({})[["timestamp"]])
    assert caught.value.missing == ("client_ip",)


def test_null_timestamp_names_the_row():
    """A row without a time can't be placed: say which."""
    events = make_events({}, {}, {})
    events.loc[1, "timestamp"] = pd.NaT
    with pytest.raises(ConfigError, match="row 1: timestamp is null"):
        fl.build_sessions(events)


def test_no_events_give_no_sessions():
    """An empty log has an empty table of the same columns."""
    full = fl.build_sessions(make_events({}))
    empty = fl.build_sessions(make_events({}).head(0))
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)


def test_callers_frame_is_not_changed():
    """Reading features out of a frame leaves it as it was."""
    events = make_events({}, {})
    before = events.copy()
    fl.build_sessions(events)
    fl.sessionize(events)
    pd.testing.assert_frame_equal(events, before)
