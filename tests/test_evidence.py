"""Evidence: each row fires on a session made for it and stays quiet on its near miss."""

from __future__ import annotations

import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.detecting import EVIDENCE
from fraudlog.detecting.evidence import fired, presumed_human
from fraudlog.sessions import feature_names

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
YANDEX = "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"
GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PAGES = [{"path": f"/{i}", "at": i * 20 + i % 3 * 5} for i in range(5)]
REFERRED = {"referrer": "http://site.example/"}

CASES = {
    "PROBE_PATHS": ([{"path": "/.env"}], [{"path": "/environment"}]),
    "ADMIN_GUESSED": ([{"path": "/wp-login.php", "status": 404}], [{"path": "/login", "status": 200}]),
    "NOT_FOUND_SWEEP": (
        [{"path": f"/{i}", "status": 404} for i in range(4)],
        [{"path": f"/{i}", "status": 404} for i in range(4)] + [{}] * 5,
    ),
    "LOGIN_FAILURES": ([{"path": "/login", "status": 401}] * 5, [{"path": "/login", "status": 401}] * 4),
    "MALFORMED_REQUESTS": ([{"method": None, "path": r"\x16\x03"}], [{"method": "OPTIONS", "path": "*"}]),
    "BLIND_POST": ([{"method": "POST", "path": "/comment"}], [{"method": "POST", "path": "/comment", **REFERRED}]),
    "PAGES_WITHOUT_ASSETS": (PAGES, [*PAGES, {"path": "/a.css", "at": 101}]),
    "PAGE_BURST": ([{"path": f"/{i}"} for i in range(6)], [{"path": f"/{i}", "at": i * 3} for i in range(6)]),
    "TIMER": ([{"at": i * 30} for i in range(6)], [{"at": i * i * 30} for i in range(6)]),
    "SAME_PATH_AGAIN": ([{"at": i * i} for i in range(6)], [{"path": f"/{i % 3}", "at": i * i} for i in range(6)]),
    "HEAD_SWEEP": ([{"method": "HEAD"}] * 3, [{"method": "HEAD"}] * 2),
    "SCANNER_AGENT": ([{"user_agent": "sqlmap/1.7"}], [{}]),
    "HEADLESS_AGENT": ([{"user_agent": "Mozilla/5.0 HeadlessChrome/120.0.0.0"}], [{}]),
    "SCRIPT_AGENT": ([{"user_agent": "python-requests/2.31"}], [{}]),
    "AGENT_MISSING": ([{"user_agent": None}], [{}]),
    "ADMIN_SWEEP": (
        [{"path": "/wp-login.php", "status": 404}, {"path": "/admin.php", "status": 404}],
        [{"path": "/wp-login.php", "status": 404}, {"path": "/admin.php", "status": 200}],
    ),
    "CRAWLER_FAKE": (
        [{"user_agent": GOOGLE, "client_ip": "8.8.4.4"}],
        [{"user_agent": GOOGLE, "client_ip": "66.249.73.135"}],
    ),
    "CRAWLER_UNVERIFIED": ([{"user_agent": YANDEX}], [{"user_agent": "FeedBurner/1.0 (http://www.FeedBurner.com)"}]),
    "BROWSER_READS_ROBOTS": ([{"path": "/robots.txt"}], [{"path": "/robots.txt", "user_agent": GOOGLE}]),
    "LANGUAGE_MISSING": ([{"language": None}], [{"language": "fr"}]),
}


def codes(rows) -> set[str]:
    hits = fired(fl.build_sessions(make_events(*rows)))[0]
    return {row.code for row, hit in zip(EVIDENCE, hits, strict=True) if hit}


@pytest.mark.parametrize("code", [row.code for row in EVIDENCE])
def test_evidence_fires(code):
    """On a session made for it."""
    assert code in codes(CASES[code][0])


@pytest.mark.parametrize("code", [row.code for row in EVIDENCE])
def test_evidence_stays_quiet(code):
    """On its near miss."""
    assert code not in codes(CASES[code][1])


def test_evidence_abstains_where_a_feature_is_unknown():
    """A log without languages does not accuse every browser of sending none."""
    sessions = fl.build_sessions(make_events({}).drop(columns="language"))
    assert not fired(sessions).any()


def test_nothing_speaks_against_a_verified_crawler():
    """It reads fast, loads no assets and asks for paths that are gone: that is its work."""
    rows = [{"path": f"/{i}", "status": 404, "user_agent": GOOGLE, "client_ip": "66.249.73.135"} for i in range(9)]
    assert codes(rows) == set()
    sessions = fl.build_sessions(make_events(*rows))
    assert not presumed_human(sessions).any()


def test_no_agent_rule_decides_alone():
    """What a client merely says of itself stays below the threshold of a challenge."""
    assert all(row.weight < fl.Policy().challenge_at for row in EVIDENCE if row.spoofable)


def test_rows_are_well_formed():
    """Codes are unique; conditions name features; OAT ids, weights and sentences have their form."""
    features = set(feature_names())
    assert all(condition.feature in features for row in EVIDENCE for condition in row.conditions)
    assert len({row.code for row in EVIDENCE}) == len(EVIDENCE)
    for row in EVIDENCE:
        assert row.oat in {f"OAT-{n:03}" for n in range(1, 22)}
        assert 0 < row.weight < 1
        assert row.sentence.format(value=1, percent="1 %")


def test_presumed_human_leaves_out_programs_and_suspects():
    """A browser is presumed human, a feed reader and a scanner are not."""
    events = make_events(
        {}, {"user_agent": "Tiny Tiny RSS/1.11 (http://tt-rss.org/)"}, {"path": "/.env", "client_ip": "198.51.100.7"}
    )
    sessions = fl.build_sessions(events)
    assert (
        presumed_human(sessions).tolist()
        == (sessions["user_agent"].eq(FIREFOX) & sessions["probe_requests"].eq(0)).tolist()
    )
