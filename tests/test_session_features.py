"""Every feature of the catalogue: its known value on events made for it, and another one on a quiet page view."""

from __future__ import annotations

import math

import pyarrow as pa
import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.enriching.endpoints import ENDPOINTS
from fraudlog.sessions import DEFAULT, FEATURES, Population, transforms
from fraudlog.sessions.language import Compare

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HEADLESS = "Mozilla/5.0 (X11) HeadlessChrome/120.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
QUIET = [{"at": 0.25}, {"at": 5.5, "path": "/a.css", "referrer": "http://a.example/"}]
USER = {"user": "a"}
LOGIN = {"path": "/login", "method": "POST"}
FAILED = LOGIN | {"status": 401}
PAY = {"path": "/checkout", "method": "POST"}
OTHER_NET = {"client_ip": "198.51.100.7"}
THIRD_NET = {"client_ip": "192.0.2.7"}
FOURTH_NET = {"client_ip": "8.8.4.4"}
POST = {"method": "POST"}
SIGNUP = {"path": "/signup"}
CAPTCHA = {"path": "/captcha"}
CART = {"path": "/cart"}
COUPON = {"path": "/coupon"}
COMMENT = {"path": "/comments/new", "method": "POST"}
API = {"path": "/api/v1", "user": "a"}
LISTED = {"ip_prefix": "p", "endpoint": "page"}  # as an enricher with lists of networks leaves it
BRANDS = '"Chromium";v="140", "Not=A?Brand";v="24", "Google Chrome";v="140"'
HINTED = USER | {"user_agent": CHROME, "ch_ua": BRANDS, "ch_platform": '"Windows"', "ch_mobile": "?0"}
UNHINTED = USER | {"user_agent": CHROME, "ch_ua": None, "ch_platform": None, "ch_mobile": None}
DAY_S = 86_400
NIGHT = {"at": 7 * 3600}  # 17:00 UTC, 2 o'clock in Japan


def in_one_manner(door, other):
    """Return a network that went through a door too long ago, one in time, one that did something else, and one now."""
    return [
        OTHER_NET | door | {"at": -DAY_S - 60},
        THIRD_NET | door | {"at": -DAY_S + 60},
        FOURTH_NET | other | {"at": -60},
        door,
    ]


def straight_to(door):
    """Return who came straight too long ago, one in time, one who read a page first, and one now."""
    read_first = [FOURTH_NET | {"path": "/news", "at": -90}, FOURTH_NET | door | {"at": -60}]
    return [OTHER_NET | door | {"at": -DAY_S - 60}, THIRD_NET | door | {"at": -DAY_S + 60}, *read_first, door]


def in_one_rhythm(door):
    """Return who paused as long too long ago, one in time, one who paused longer, and one now."""
    came = ((OTHER_NET, -DAY_S - 60, 4.0), (THIRD_NET, -DAY_S + 60, 4.2), (FOURTH_NET, -60, 5), ({}, 0, 4.1))
    return [
        network | request | {"at": at}
        for network, posted_at, pause in came
        for request, at in (({"path": door["path"]}, posted_at - pause), (door, posted_at))
    ]


def firefox(version, address="203.0.113.9"):
    """Return a request of one more client with a Firefox."""
    return {
        "client_ip": address,
        "user_agent": f"Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0",
    }


SHOWN = {
    "requests": ([{}] * 9, 9),
    "pages": ([{"path": "/b"}] * 9, 9),
    "assets": ([{"path": "/b.png"}] * 3, 3),
    "bytes_total": ([{"bytes_sent": 70_000}] * 2, 140_000),
    "bytes_max": ([{"bytes_sent": 5}, {"bytes_sent": 70_000}], 70_000),
    "duration_s": ([{}, {"at": 600}], 600),
    "requests_per_minute": ([{}, {"at": 10}, {"at": 30}], 4),
    "pages_per_minute": ([{}, {"at": 10, "path": "/a.css"}, {"at": 30}], 2),
    "gap_mean_s": ([{}, {"at": 100}, {"at": 300}], 150),
    "gap_deviation_s": ([{}, {"at": 100}, {"at": 300}], 50),
    "gap_variation": ([{}, {"at": 100}, {"at": 300}], 1 / 3),
    "gap_min_s": ([{"at": 0.5}, {"at": 100}, {"at": 300}], 99.5),
    "gap_max_s": ([{}, {"at": 100}, {"at": 300}], 200),
    "gap_entropy": ([{}, {"at": 1}, {"at": 1001}], 1),
    "regularity": ([{}, {"at": 1}, {"at": 2}, {"at": 3}, {"at": 1003}], 0.75),
    "burst_1s": ([{"at": 0}, {"at": 0}, {"at": 0}, {"at": 1}], 3),
    "burst_10s": ([{"path": "/a.css"}, {"at": 8}, {"at": 9}, {"at": 10}], 3),
    "burst_60s": ([{}, {"at": 30}, {"at": 59}, {"at": 60}], 3),
    "page_burst_10s": ([{}, {"at": 9}, {"at": 10}, {"at": 18.5}], 3),
    "sub_second_share": ([{"at": 0.25}, {"at": 0.5}, {"at": 9}], 0.5),
    "quick_page_share": ([{}, {"at": 1}, {"at": 9}], 0.5),
    "pause_share": ([{}, {"at": 60}, {"at": 61}], 0.5),
    "page_gap_mean_s": ([{}, {"at": 1, "path": "/a.css"}, {"at": 8}], 8),
    "page_gap_deviation_s": ([{}, {"at": 100}, {"at": 300}], 50),
    "page_gap_variation": ([{}, {"at": 99, "path": "/a.css"}, {"at": 100}, {"at": 400}], 0.5),
    "night_share": ([{"country": "JP"} | NIGHT], 1),
    "utc_night_share": ([{"at": -5 * 3600}], 1),
    "hours": ([{"at": 3590}, {"at": 3610}], 2),
    "server_time_mean_s": ([{"duration_s": 0.5}, {"duration_s": 1.5}], 1),
    "get_share": ([{"method": "POST"}, {}], 0.5),
    "post_share": ([{"method": "POST"}, {}], 0.5),
    "head_share": ([{"method": "HEAD"}, {}], 0.5),
    "other_method_share": ([{"method": "TRACE"}, {}], 0.5),
    "methods": ([{"method": "TRACE"}, {}], 2),
    "asset_share": ([{"path": "/a.png"}] * 3 + [{}], 0.75),
    "page_share": ([{}, {}], 1),
    "image_share": ([{"path": "/a.png"}, {}], 0.5),
    "script_share": ([{"path": "/a.js"}, {"path": "/a.css"}, {}], 2 / 3),
    "assets_per_page": ([{"path": "/a.js"}, {"path": "/a.css"}, {}], 2),
    "favicons": ([{"path": "/favicon.ico"}], 1),
    "referrer_missing_share": ([{}, {}], 1),
    "referrers": ([{"referrer": "http://a.example/"}, {"referrer": "http://b.example/"}], 2),
    "query_share": ([{"query": "a=1"}, {"query": None}], 0.5),
    "old_protocol_share": ([{"protocol": "HTTP/1.0"}, {"protocol": "HTTP/1.1"}], 0.5),
    "bytes_mean": ([{"bytes_sent": 4}, {"bytes_sent": 8}, {"bytes_sent": None}], 6),
    "bytes_deviation": ([{"bytes_sent": 4}, {"bytes_sent": 16}], 1),
    "redirect_share": ([{"status": 301}, {"status": 304}], 0.5),
    "not_modified_share": ([{"status": 301}, {"status": 304}], 0.5),
    "status_entropy": ([{"status": 301}, {"status": 304}], 1),
    "distinct_paths": ([{"path": "/a"}, {"path": "/b"}, {"path": "/c"}, {"path": "/a"}], 3),
    "coverage": ([{"path": "/a"}, {"path": "/b"}, {"path": "/c"}, {"path": "/a"}], 0.75),
    "repetition": ([{"path": "/a"}] * 6, 6),
    "top_path_share": ([{"path": "/a"}, {"path": "/b"}, {"path": "/a"}, {"path": "/a"}], 0.75),
    "path_entropy": ([{"path": f"/{i}"} for i in range(4)], 2),
    "path_switch_share": ([{"path": "/a"}, {"path": "/b"}, {"path": "/b"}], 0.5),
    "sections": ([{"path": "/a/1"}, {"path": "/b/1"}, {"path": "/c/1"}], 3),
    "directories": ([{"path": "/a/1"}, {"path": "/a/b/1"}, {"path": "/c/1"}], 3),
    "section_switches": ([{"path": "/a/1"}, {"path": "/b/1"}, {"path": "/a/1"}], 2),
    "same_directory_share": ([{"path": "/a/1"}, {"path": "/a/2"}, {"path": "/b/1"}], 0.5),
    "depth_max": ([{"path": "/a/b/c/d"}], 4),
    "depth_mean": ([{"path": "/a/b/c/d"}, {"path": "/a/b"}], 3),
    "depth_deviation": ([{"path": "/a/b/c/d"}, {"path": "/a/b"}], 1),
    "deeper_share": ([{"path": "/a"}, {"path": "/a/b"}, {"path": "/c"}], 0.5),
    "upward_share": ([{"path": "/a"}, {"path": "/a/b"}, {"path": "/c"}], 0.5),
    "sequential_share": ([{"path": "/a/7"}, {"path": "/a/8"}, {"path": "/a/7"}, {"path": "/a/1"}], 2 / 3),
    "path_numbers": ([{"path": "/a/7"}, {"path": "/a/8"}], 2),
    "path_length_mean": ([{"path": "/abcdefg"}], 8),
    "query_length_max": ([{"query": "a=1"}, {"query": "a=11"}], 4),
    "endpoint_switches": ([{}, {"path": "/a.css"}, {}], 2),
    "client_errors": ([{"status": 400}, {"status": 499}, {"status": 500}], 2),
    "client_error_share": ([{"status": 404}, {}], 0.5),
    "unauthorized": ([{"status": 401}], 1),
    "forbidden": ([{"status": 403}], 1),
    "not_found": ([{"status": 404}, {"status": 403}], 1),
    "not_found_paths": ([{"status": 404}, {"status": 404}, {"status": 404, "path": "/b"}, {"path": "/c"}], 2),
    "rate_limited": ([{"status": 429}], 1),
    "server_errors": ([{"status": 502}], 1),
    "server_error_share": ([{"status": 502}, {}], 0.5),
    "agents": ([USER, USER | {"user_agent": "curl/8"}, USER | {"user_agent": "Wget/1.2"}], 3),
    "agent_switches": ([USER, USER | {"user_agent": "curl/8"}, USER], 2),
    "languages": ([USER, USER | {"language": "de"}], 2),
    "language_switches": ([USER, USER | {"language": "de"}, USER], 2),
    "profiles": ([USER, USER | {"language": "de"}], 2),
    "fingerprints": ([{"tls_fingerprint": "t1"}, {"tls_fingerprint": "t2"}], 2),
    "addresses": ([{}, {"client_ip": "203.0.113.10"}], 2),
    "address_switches": ([{}, {"client_ip": "203.0.113.10"}, {}], 2),
    "prefixes": ([USER, USER | OTHER_NET], 2),
    "countries": ([USER | {"country": "FR"}, USER | {"country": "DE"}], 2),
    "country_switches": ([USER | {"country": "FR"}, USER | {"country": "DE"}], 1),
    "users": ([{"session_token": "s", "user": "a"}, {"session_token": "s", "user": "b"}], 2),
    "agent_missing_share": ([{"user_agent": None}], 1),
    "language_missing_share": ([{"language": None}], 1),
    "automation_share": ([{"user_agent": "curl/8.5.0"}], 1),
    "crawler_requests": ([{"user_agent": GOOGLEBOT}], 1),
    "ai_requests": ([{"user_agent": "Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)"}], 1),
    "preview_requests": (
        [{"user_agent": "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"}],
        1,
    ),
    "feed_requests": ([{"user_agent": "Tiny Tiny RSS/1.11 (http://tt-rss.org/)"}], 1),
    "headless_requests": ([{"user_agent": HEADLESS}], 1),
    "library_requests": ([{"user_agent": "python-requests/2.31"}], 1),
    "script_requests": ([{"user_agent": "curl/8.5.0"}], 1),
    "monitor_requests": ([{"user_agent": "check_http/v2.3 (monitoring-plugins)"}], 1),
    "verified_crawler_requests": ([{"user_agent": GOOGLEBOT, "client_ip": "66.249.73.135"}], 1),
    "fake_crawler_requests": ([{"user_agent": GOOGLEBOT, "client_ip": "8.8.4.4"}], 1),
    "unverifiable_crawler_requests": (
        [{"user_agent": "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"}],
        1,
    ),
    "scanner_requests": ([{"user_agent": "Mozilla/5.00 (Nikto/2.1.6)"}], 1),
    "tool_requests": ([{"user_agent": "curl/8.5.0"}], 1),
    "browser_requests": ([{}, {}, {}], 3),
    "login_requests": ([LOGIN], 1),
    "login_failures": ([FAILED], 1),
    "login_failure_share": ([FAILED, LOGIN], 0.5),
    "login_accounts": ([{"session_token": "s", "user": user} | LOGIN for user in ("a", "b", "b")], 2),
    "login_addresses": ([LOGIN, LOGIN | {"client_ip": "203.0.113.10"}], 2),
    "login_burst_60s": ([LOGIN, LOGIN | {"at": 59}, LOGIN | {"at": 118}], 2),
    "signup_requests": ([{"path": "/signup"}], 1),
    "signup_burst_60s": ([{"path": "/signup"}] * 3, 3),
    "password_resets": ([{"path": "/password/reset"}], 1),
    "payment_requests": ([PAY], 1),
    "payment_failures": ([PAY | {"status": 402}, PAY], 1),
    "payment_burst_60s": ([PAY, PAY], 2),
    "coupon_requests": ([{"ip_prefix": "p", "endpoint": "coupon"}], 1),
    "search_requests": ([{"path": "/search"}], 1),
    "api_requests": ([{"path": "/api/v1"}], 1),
    "account_requests": ([{"path": "/account"}], 1),
    "export_requests": ([{"ip_prefix": "p", "endpoint": "export"}], 1),
    "malformed_requests": ([{"method": None}], 1),
    "blind_posts": ([{"method": "POST", "path": "/comment"}], 1),
    "probe_requests": ([{"path": "/.env"}], 1),
    "admin_missing": ([{"path": "/admin/", "status": 404}], 1),
    "robots_requests": ([{"path": "/robots.txt"}], 1),
    "prefix_users_1h": ([{"user": "a", "at": -1800}, {"user": "b"}], 2),
    "prefix_users_1d": ([{"user": "a", "at": -80_000}, {"user": "b"}], 2),
    "prefix_agents_1d": ([{"user_agent": "curl/8", "at": -80_000}, {"user_agent": "x", "at": -90_000}, {}], 2),
    "prefix_agents_1h": ([{"user_agent": "curl/8", "at": -1800}, {}], 2),
    "prefix_failures_1h": ([FAILED | {"at": -1800, "user": "a"}, FAILED | {"at": -5, "user": "b"}, {}], 2),
    "prefix_requests_10m": ([{"at": -400, "user": "a"}, {"at": -30, "user": "b"}, {}], 3),
    "user_prefixes_1d": ([USER | OTHER_NET | {"at": -80_000}, USER], 2),
    "user_countries_1d": ([USER | {"country": "FR", "at": -80_000}, USER | {"country": "JP"}], 2),
    "profile_users_1d": ([{"user": "a", "at": -80_000}, {"user": "b"}], 2),
    "user_devices_30d": ([USER | {"user_agent": HEADLESS, "at": -80_000}, USER], 2),
    "new_devices": ([USER | {"user_agent": HEADLESS, "at": -80_000}, USER], 1),
    "user_speed_kmh": ([USER | {"country": "FR", "at": -3600}, USER | {"country": "JP"}], 6_611),
    "device_users_30d": (
        [
            {"device_id": "d", "user": "a", "at": -31 * DAY_S},
            {"device_id": "d", "user": "b", "at": -29 * DAY_S},
            {"device_id": "e", "user": "c", "at": -60},
            {"device_id": "d", "user": "d"},
        ],
        2,
    ),
    "manner_prefixes_1d": (in_one_manner({}, {"language": "de"}), 2),
    "manner_logins_1d": (in_one_manner(LOGIN, {"path": "/login"}), 2),
    "manner_failures_1d": (in_one_manner(FAILED, LOGIN), 2),
    "manner_signups_1d": (in_one_manner(SIGNUP | POST, SIGNUP), 2),
    "manner_refusals_1d": (in_one_manner(PAY | {"status": 402}, PAY), 2),
    **{
        f"{kind}_{door}{among}_1d": (rows, expected)
        for door, request in (("logins", LOGIN), ("signups", SIGNUP | POST))
        for kind, rows in (("straight", straight_to(request)), ("rhythm", in_one_rhythm(request)))
        for among, expected in (("", 2), ("_of", 3))
    },
    # --- what single threats show: each beside its nearest harmless neighbour, which must not count
    "login_successes": (
        [
            LOGIN,
            LOGIN | {"status": 302},
            {"action": "login", "outcome": "success"},
            FAILED,
            {"path": "/login"},
            LOGIN | {"action": "login", "outcome": "failure"},
        ],
        3,
    ),
    "login_only_share": ([LOGIN, CAPTCHA, {"action": "login"}, {}], 0.75),
    "signup_posts": ([SIGNUP | POST, SIGNUP, COMMENT], 1),
    "captcha_requests": ([CAPTCHA, CAPTCHA | POST, LOGIN], 2),
    "captcha_failures": ([CAPTCHA | {"status": 400}, CAPTCHA | {"status": 422}, CAPTCHA, FAILED], 2),
    "quick_captchas": (
        [CAPTCHA | POST, CAPTCHA | POST | {"at": 1.5}, CAPTCHA | {"at": 2}, CAPTCHA | POST | {"at": 9}],
        1,
    ),
    "account_paths": ([{"path": "/account/1"}, {"path": "/account/2"}, {"path": "/account/1"}, {"path": "/a"}], 2),
    "payment_posts": ([PAY, PAY, {"path": "/checkout"}, CART | POST], 2),
    "coupon_failures": ([COUPON | {"status": 404}, COUPON, {"status": 404}], 1),
    "cart_requests": ([CART, CART | POST, PAY], 2),
    "cart_posts": ([CART | POST, CART | POST, CART, PAY], 2),
    "cart_burst_10s": ([CART, CART | {"at": 9}, {"at": 9.5}, CART | {"at": 10}], 2),
    "time_to_checkout_s": ([{}, CART | {"at": 20}, PAY | {"at": 90}, PAY | {"at": 100}], 90),
    "ad_requests": ([{"path": "/adclick"}, {"path": "/ads/click"}, {"path": "/ads"}], 2),
    "vote_requests": ([{"path": "/post/1/vote"}, {"path": "/post/1/like"}, {"path": "/post/1"}], 2),
    "votes_per_path": ([{"path": "/post/1/vote"}] * 4 + [{"path": "/post/2/vote"}, {}], 2.5),
    "comment_posts": ([COMMENT, COMMENT, COMMENT | {"method": "GET"}, LOGIN], 2),
    "posts_per_path": ([COMMENT, COMMENT, COMMENT, LOGIN, API | POST | {"user": None}], 2),
    "form_posts": ([COMMENT, SIGNUP | POST, LOGIN, API | POST | {"user": None}, SIGNUP], 2),
    "form_burst_60s": (
        [
            COMMENT,
            COMMENT | {"at": 58},
            LOGIN | {"at": 59},
            API | POST | {"at": 59, "user": None},
            SIGNUP | {"at": 59},
            SIGNUP | POST | {"at": 60},
        ],
        2,
    ),
    "odd_methods": ([{"method": "TRACE"}, {"method": "PROPFIND"}, {"method": "HEAD"}, {"method": "PUT"}], 2),
    "version_files": ([{"path": "/README.html"}, {"path": "/blog/license.TXT"}, {"path": "/readme"}], 2),
    "not_found_pages": (
        [{"status": 404}, {"status": 404, "path": "/a.png"}, {"status": 404, "path": "/people/7/avatar"}, {}],
        1,
    ),
    "header_lookups": (
        [
            USER | {"referrer": "${jndi:ldap://a.example/b}"},
            USER | {"referrer": "${${lower:j}ndi:rmi://a.example}"},
            USER | {"user_agent": "${env:PATH}"},
            USER | {"referrer": "http://a.example/${name}"},
        ],
        3,
    ),
    "markup_in_queries": (
        [{"query": q} for q in ("q=%3Cb%3E", "id=1'", "id=1%27", "f=../x", "f=%2e%2e%2fx", "q=shoes", None)],
        5,
    ),
    "api_client_share": ([API, API | {"status": 403}, USER, USER | {"path": "/health"}], 0.5),
    "health_share": ([{"path": "/health"}, {"path": "/healthy-food"}], 0.5),
    "session_tokens": ([{"session_token": "s"}, {"session_token": "s"}], 1),
    "impossible_agents": ([USER | {"user_agent": CHROME.replace("Win64", "Android 10")}, HINTED, USER], 1),
    "hint_conflicts": (
        [HINTED | {"ch_ua": BRANDS.replace("140", "131")}, HINTED | {"ch_platform": '"Linux"'}, HINTED, UNHINTED],
        2,
    ),
    "hints_malformed": ([HINTED | {"ch_ua": '"Chromium;v='}, HINTED, UNHINTED], 1),
    "hints_missing": ([UNHINTED, HINTED, UNHINTED | {"user_agent": FIREFOX}], 1),
    "languages_malformed": ([USER | {"language": lang} for lang in ("en;;q", "xx", "de-CH,de;q=0.9", None)], 2),
    "hosted_requests": ([LISTED | {"is_hosting": True}] * 2 + [LISTED | {"is_hosting": False}], 2),
    "tor_requests": ([LISTED | {"is_tor": True}] * 2 + [LISTED | {"is_tor": False}], 2),
    # one in 22 has 135, which is less than 5 %
    "browser_age": ([firefox(135), *(firefox(128, f"203.0.{i}.9") for i in range(20)), firefox(120)], 8),
}
RARITIES = {
    "agent_rarity": {"user_agent": "curl/8.5.0"},
    "language_rarity": {"language": "de"},
    "profile_rarity": {"language": "de"},
    "country_language_rarity": {"language": "de", "country": "FR"},
}


@pytest.mark.parametrize("name", [row.name for row in FEATURES if row.name not in RARITIES])
def test_feature_fires_and_stays_quiet(name):
    """Each feature has its known value on events made for it, and another one on a quiet page view."""
    rows, expected = SHOWN[name]
    value = fl.build_sessions(make_events(*rows))[name].iloc[-1]
    assert value == pytest.approx(expected, rel=1e-6)
    assert fl.build_sessions(make_events(*QUIET))[name].item() != pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", RARITIES)
def test_rarity_fires_and_stays_quiet(name):
    """What one in eight visitors has is three bits rare; what all have is not rare."""
    usual = [{"country": "FR", "client_ip": f"203.0.{i}.9"} for i in range(7)]
    events = make_events(*usual, usual[0] | RARITIES[name])
    rarities = fl.build_sessions(events)[name].tolist()
    assert rarities[:7] == pytest.approx([math.log2((8 + 2 + 1) / (7 + 1))] * 7, abs=1e-3)
    assert rarities[7] == pytest.approx(math.log2((8 + 2 + 1) / (1 + 1)), abs=1e-3)


@pytest.mark.parametrize("name", RARITIES)
def test_rarity_is_of_the_population_given(name):
    """A model's own counts stand before those of the log at hand; with none, nothing is rare or common."""
    before = make_events(*[{"country": "FR", "client_ip": f"203.0.{i}.9"} for i in range(6)])
    population = Population.fit(pa.Table.from_pandas(before))
    new = make_events({"country": "FR"} | RARITIES[name])
    assert fl.build_sessions(new, population=population)[name].item() == 3
    assert fl.build_sessions(new, population=None)[name].isna().all()


def test_a_value_never_seen_is_as_rare_as_the_log_is_long():
    """No value is impossible; a frozen population knows of none that came later."""
    population = Population.fit(pa.Table.from_pandas(make_events(*[{"client_ip": f"203.0.{i}.9"} for i in range(6)])))
    assert population.rarity("agent_rarity", "never") == 3 * 1024


def test_the_catalogue_is_complete():
    """At least 70 features in ten families, each with what a reader has to know."""
    assert len(FEATURES) >= 70
    assert {row.family for row in FEATURES} == {
        "volume",
        "tempo",
        "mix",
        "navigation",
        "errors",
        "identity",
        "population",
        "endpoints",
        "cross",
        "threats",
    }
    assert all(row.meaning and row.unit and row.expression for row in FEATURES)
    for paper in ("Tan 2002", "Stevanovic 2012", "Iliou 2019", "Wiefling 2022", "Freeman 2016"):
        assert any(row.source == paper for row in FEATURES)


def test_every_endpoint_that_is_asked_for_exists():
    """A feature or window that asks for a word outside the vocabulary would be 0 for ever."""
    compared = {
        (constant, row.name)
        for row in FEATURES
        for atom in (*DEFAULT.only([row.name]).plan.early, *DEFAULT.only([row.name]).plan.late)
        if isinstance(atom, Compare) and atom.reference.field.name == "endpoint"
        for constant in atom.constants
    }
    assert len({word for word, _ in compared}) > 15
    assert not [pair for pair in compared if pair[0] not in ENDPOINTS]


def test_transforms_are_those_of_the_features_a_forest_sees():
    """Name, scale and suspicious end of each."""
    assert set(transforms()) == {row.name for row in FEATURES if row.in_forest}
    assert transforms()["coverage"] == ("identity", "both")
