"""The catalogue's rows on what single automated threats show of themselves: evidence reads them, the forest does not.

The threats are OWASP's ("Automated Threat Handbook", OAT-001 ... OAT-021); what each leaves in a log follows the
handbook's own "possible symptoms".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from fraudlog.schema import MARKUP
from fraudlog.sessions.definition import Feature

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Direction

__all__ = ["ROWS"]

_HANDBOOK: Final = "OWASP Automated Threat Handbook"
_LOGIN: Final = "(endpoint == 'login' or (known(action) and action == 'login'))"
_SUCCESS: Final = (
    "(endpoint == 'login' and method == 'POST' and 200 <= status <= 399 "
    "and not (known(outcome) and outcome == 'failure')) "
    "or (known(outcome) and action == 'login' and outcome == 'success')"
)
_PAYMENT: Final = "endpoint == 'checkout'"
_REFUSED: Final = "400 <= status <= 499"
_POST: Final = "method == 'POST'"
_CONTRADICTED: Final = " or ".join(f"is_ch_{what}_same == 0" for what in ("brand", "version", "platform", "mobile"))
_HOLDS_MARKUP: Final = " or ".join(f"query.contains('{part}')" for part in MARKUP).replace("'''", r"'\x27'")
"""Any of `schema.MARKUP`, which the shield says of a query too; a quote is written as ``\\x27`` inside quotes."""
_VERSION_FILES: Final = (
    "readme.html",
    "readme.txt",
    "readme.md",
    "license.txt",
    "changelog.txt",
    "version",
    "server-status",
    "composer.lock",
    "release_notes.txt",
)
_FORM: Final = f"{_POST} and endpoint not in ('api', 'asset', 'health')"
_LOOKED_UP: Final = ("jndi:", ":-", "lower:", "upper:", "${${")
"""What stands in braces where a logger is to look something up, plain or hidden; a forgotten template names a value."""
_LOOKUP: Final = "user_agent.contains('${') or (referrer.contains('${') and (" + (
    " or ".join(f"referrer.contains('{part}')" for part in _LOOKED_UP) + "))"
)
_KNOWN_CALLER: Final = "(known(user) or known(session_token))"

_SIDES: Final[dict[str, Direction]] = {
    "login_successes": "both",
    "time_to_checkout_s": "low",
    "api_client_share": "both",
    "health_share": "both",
    "session_tokens": "both",
}
"""Which end is suspicious where it is not the high one: a known caller, a monitor, a token speak against nobody."""


def _row(
    name: str, expression: str, unit: str, meaning: str, misses: str, *oat: str, resolution_s: Literal[1, 60] = 60
) -> Feature:
    side: Direction = _SIDES.get(name, "high")
    return Feature(
        name,
        expression,
        unit,
        "threats",
        meaning,
        misses,
        oat,
        _HANDBOOK,
        suspicious=side,
        in_forest=False,
        resolution_s=resolution_s,
    )


def _count(name: str, condition: str, meaning: str, misses: str, *oat: str) -> Feature:
    return _row(name, f"count({condition})", "requests", meaning, misses, *oat)


_ACCOUNTS: Final = (
    _count("login_successes", _SUCCESS, "logins let in", "sites that answer 200 to a failed login", "OAT-008"),
    _row(
        "login_only_share",
        f"share({_LOGIN} or endpoint == 'captcha')",
        "share",
        "share of requests that go to a login or its captcha",
        "pages the log leaves out",
        "OAT-007",
        "OAT-008",
    ),
    _count("signup_posts", f"endpoint == 'signup' and {_POST}", "accounts asked for", "forms of many steps", "OAT-019"),
    _count("captcha_requests", "endpoint == 'captcha'", "requests to a captcha", "captchas of others", "OAT-009"),
    _count(
        "captcha_failures",
        f"endpoint == 'captcha' and {_REFUSED}",
        "captchas answered wrongly",
        "sites that answer 200 to a wrong one",
        "OAT-009",
    ),
    _row(
        "quick_captchas",
        f"count(endpoint == 'captcha' and {_POST} and gap_ms < 2000)",
        "requests",
        "captchas answered within 2 s of the request before",
        "captchas that ask nothing of a person",
        "OAT-009",
        resolution_s=1,
    ),
    _row(
        "account_paths",
        "distinct(path, endpoint == 'account')",
        "paths",
        "different account pages",
        "accounts with many pages",
        "OAT-020",
    ),
)

_MONEY: Final = (
    _count(
        "payment_posts", f"{_PAYMENT} and {_POST}", "payments sent", "checkouts of many steps", "OAT-001", "OAT-010"
    ),
    _count("coupon_failures", f"endpoint == 'coupon' and {_REFUSED}", "codes refused", "200 to a bad code", "OAT-002"),
    _count("cart_requests", "endpoint == 'cart'", "requests to a cart", "", "OAT-005", "OAT-021"),
    _count("cart_posts", f"endpoint == 'cart' and {_POST}", "things put into a cart", "carts filled by GET", "OAT-021"),
    _row(
        "cart_burst_10s",
        "burst(10, endpoint == 'cart')",
        "requests",
        "most cart requests within 10 s",
        "carts that refresh themselves",
        "OAT-005",
        resolution_s=1,
    ),
    _row(
        "time_to_checkout_s",
        f"(first(time_ms, {_PAYMENT}) - first(time_ms)) / 1000",
        "s",
        "first request to first checkout",
        "carts filled in a session before",
        "OAT-005",
        resolution_s=1,
    ),
    _count("ad_requests", "endpoint == 'ad'", "clicks on advertisements", "clicks counted elsewhere", "OAT-003"),
    _count("vote_requests", "endpoint == 'vote'", "votes, likes and ratings", "votes inside an API", "OAT-016"),
    _row(
        "votes_per_path",
        "count(endpoint == 'vote') / distinct(path, endpoint == 'vote')",
        "requests a path",
        "how often the same vote was given",
        "votes whose object is in the body",
        "OAT-016",
    ),
    _count(
        "comment_posts",
        f"endpoint == 'comment' and {_POST}",
        "comments, reviews and messages sent",
        "comments inside an API",
        "OAT-017",
    ),
    _row(
        "posts_per_path",
        f"count({_FORM}) / distinct(path, {_FORM})",
        "requests a path",
        "how often the same form was sent",
        "forms whose path differs each time; single-page apps, which post to an API",
        "OAT-007",
        "OAT-010",
        "OAT-002",
    ),
    _count(
        "form_posts", f"{_FORM} and endpoint != 'login'", "forms sent, logins left out", "forms in an API", "OAT-017"
    ),
    _row(
        "form_burst_60s",
        f"burst(60, {_POST} and endpoint not in ('api', 'asset', 'login'))",
        "requests",
        "most forms sent within a minute, logins left out",
        "sites that are all forms",
        "OAT-017",
        "OAT-019",
    ),
)

_SCANNING: Final = (
    _count(
        "odd_methods",
        "method in ('TRACE', 'TRACK', 'CONNECT', 'DEBUG', 'PROPFIND', 'SEARCH', 'MOVE', 'MKCOL')",
        "requests by methods that pages never use",
        "WebDAV, where it is offered",
        "OAT-004",
        "OAT-014",
    ),
    _count(
        "version_files",
        f"file in {_VERSION_FILES!r}",
        "requests for files that tell a program's version",
        "sites that offer such files",
        "OAT-004",
    ),
    _count(
        "not_found_pages",
        "status == 404 and endpoint != 'asset'",
        "paths that are not there, other than files that pages need",
        "broken links",
        "OAT-018",
        "OAT-014",
    ),
    _count(
        "header_lookups",
        _LOOKUP,
        "requests whose agent or referrer asks the logger to look something up",
        "lookups in headers that the log does not keep",
        "OAT-014",
    ),
    _count(
        "markup_in_queries",
        _HOLDS_MARKUP,
        "queries with single quotes, tags or climbing paths",
        "searches for a word with an apostrophe",
        "OAT-014",
    ),
)

_CLIENT: Final = (
    _row(
        "api_client_share",
        f"share(endpoint in ('api', 'health') and status < 400 and {_KNOWN_CALLER})",
        "share",
        "share of requests that a known caller made to an API or health page, and that were answered without an error",
        "APIs that log no caller",
    ),
    _row(
        "health_share",
        "share(endpoint == 'health')",
        "share",
        "share of requests for a health page, as monitors make",
        "",
    ),
    _row(
        "session_tokens",
        "distinct(session_token)",
        "tokens",
        "session tokens: 1 where the service issued one, since each opens a session of its own",
        "logs without tokens",
    ),
    *(
        Feature(
            name,
            f"count({condition})",
            "requests",
            "identity",
            meaning,
            misses,
            ("OAT-011",),
            spoofable=True,
            in_forest=False,
        )
        for name, condition, meaning, misses in (
            (
                "impossible_agents",
                "known(agent_conflict)",
                "requests whose agent no browser sends",
                "agents put together with care",
            ),
            (
                "hint_conflicts",
                _CONTRADICTED,
                "requests whose client hints contradict their agent",
                "logs without hints",
            ),
            ("hints_malformed", "is_ch_malformed == 1", "requests with client hints that are no structured field", ""),
            (
                "hints_missing",
                "is_ch_missing == 1",
                "requests of a browser that sends hints, without them",
                "plain HTTP",
            ),
            (
                "languages_malformed",
                "is_language_malformed == 1 or is_language_unknown == 1",
                "requests whose language breaks the grammar or names none that exists",
                "",
            ),
        )
    ),
    _count("hosted_requests", "is_hosting == 1", "requests from hosting networks", "people behind a VPN", "OAT-011"),
    _count("tor_requests", "is_tor == 1", "requests from Tor exits", "people who need it", "OAT-008"),
    Feature(
        "browser_age",
        "max(browser_age)",
        "major versions",
        "population",
        "how far the browser is behind the newest that 5 % of its users here reach",
        "devices that get no updates",
        ("OAT-011",),
        spoofable=True,
        suspicious="high",
        in_forest=False,
    ),
)

ROWS: Final = (*_ACCOUNTS, *_MONEY, *_SCANNING, *_CLIENT)
"""What single threats show."""
