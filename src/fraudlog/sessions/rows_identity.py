"""The catalogue's rows on who is there: identity, population, endpoints, and what other sessions did.

Freeman 2016 = Freeman, Jain, Dürmuth, Biggio, Giacinto, "Who are you?", NDSS; Wiefling 2022 = Wiefling, Jørgensen,
Thunem, Lo Iacono, "Pump up password security!", TOPS 26; Vastel 2018 = Vastel et al., "FP-Scanner", USENIX Security.
"""

from __future__ import annotations

from typing import Final

from fraudlog.sessions.definition import Feature

__all__ = ["ROWS"]

_STUFFING: Final = ("OAT-008",)
_CRACKING: Final = ("OAT-007", "OAT-008")
_ACCOUNTS: Final = ("OAT-019",)
_FREEMAN: Final = "Freeman 2016"
_WIEFLING: Final = "Wiefling 2022"
_VASTEL: Final = "Vastel 2018"
_FAILED_LOGIN: Final = (
    "(endpoint == 'login' and status in (401, 403)) or (known(outcome) and action == 'login' and outcome == 'failure')"
)
_LOGIN: Final = "endpoint == 'login' or (known(action) and action == 'login')"
_PAYMENT: Final = "endpoint == 'checkout'"


def _claim(name: str, expression: str, unit: str, meaning: str, misses: str = "", source: str = "") -> Feature:
    return Feature(
        name, expression, unit, "identity", meaning, misses, ("OAT-004",), source, spoofable=True, in_forest=False
    )


_IDENTITY: Final = (
    _claim(
        "agents", "distinct(user_agent)", "agents", "different agents", "actors told apart by their agent", "Tan 2002"
    ),
    _claim("agent_switches", "switches(user_agent)", "switches", "changes of the agent", "", ""),
    _claim("languages", "distinct(language)", "languages", "different languages", "", ""),
    _claim("language_switches", "switches(language)", "switches", "changes of the language", "", ""),
    _claim("profiles", "distinct(profile)", "profiles", "different combinations of OS, browser and language"),
    _claim("fingerprints", "distinct(tls_fingerprint)", "fingerprints", "different TLS fingerprints"),
    Feature(
        "addresses",
        "distinct(client_ip)",
        "addresses",
        "identity",
        "different addresses",
        "phones that move between networks",
        ("OAT-004", "OAT-008"),
        "Tan 2002",
        in_forest=False,
    ),
    Feature(
        "address_switches", "switches(client_ip)", "switches", "identity", "changes of the address", in_forest=False
    ),
    Feature("prefixes", "distinct(ip_prefix)", "prefixes", "identity", "different /24 or /64", in_forest=False),
    Feature("countries", "distinct(country)", "countries", "identity", "different countries", "VPNs", in_forest=False),
    Feature("country_switches", "switches(country)", "switches", "identity", "changes of country", in_forest=False),
    Feature("users", "distinct(user)", "accounts", "identity", "different accounts", oat=_STUFFING, in_forest=False),
    _claim("agent_missing_share", "share(missing(user_agent))", "share", "share of requests without an agent"),
    _claim(
        "language_missing_share",
        "share(missing(language))",
        "share",
        "share of requests without a language, which browsers always send",
        "APIs called by scripts of a page",
        "",
    ),
    _claim("automation_share", "share(is_automation == 1)", "share", "share of requests whose agent names a program"),
    *(
        _claim(
            f"{kind}_requests",
            f"count(is_automation == 1 and known(bot_category) and bot_category == '{kind}')",
            "requests",
            f"requests whose agent names a {kind}",
            "agents that lie",
        )
        for kind in ("crawler", "ai", "feed", "headless", "library", "monitor", "preview", "scanner", "tool")
    ),
    _claim(
        "script_requests",
        "count(is_automation == 1 and known(bot_category) and bot_category in ('library', 'tool'))",
        "requests",
        "requests whose agent names a script library or a download tool",
        "agents that lie",
    ),
    *(
        Feature(
            f"{state}_crawler_requests",
            f"count(known(crawler_state) and crawler_state == '{state}' and bot_category in ('crawler', 'ai'))",
            "requests",
            "identity",
            f"requests that claim a crawler's name, the claim being {state}",
            "crawlers without a published range or reverse name",
            in_forest=False,
        )
        for state in ("verified", "fake", "unverifiable")
    ),
    _claim(
        "browser_requests",
        "count(is_automation == 0 and not (known(agent_kind) and agent_kind == 'app'))",
        "requests",
        "requests whose agent names a browser, not an app",
    ),
)


def _rarity(name: str, meaning: str) -> Feature:
    return Feature(
        name,
        f"max({name}) / 1024",
        "bit",
        "population",
        meaning,
        "rare is not abusive",
        ("OAT-004",),
        _WIEFLING,
        spoofable=True,
        transform="identity",
        suspicious="high",
        in_forest=False,
    )


_POPULATION: Final = (
    _rarity("agent_rarity", "how rare the agent is on this site: -log2 of its share"),
    _rarity("language_rarity", "how rare the language is on this site"),
    _rarity("profile_rarity", "how rare the OS, browser and language are together"),
    _rarity("country_language_rarity", "how rare this language is among visitors of this country"),
)


def _calls(name: str, condition: str, meaning: str, misses: str = "", oat: tuple[str, ...] = ()) -> Feature:
    return Feature(name, f"count({condition})", "requests", "endpoints", meaning, misses, oat, suspicious="high")


_ENDPOINTS: Final = (
    _calls("login_requests", _LOGIN, "requests to a login", "logins inside other pages", _CRACKING),
    _calls("login_failures", _FAILED_LOGIN, "logins refused", "sites that answer 200 to a failed login", _CRACKING),
    Feature(
        "login_failure_share",
        f"count({_FAILED_LOGIN}) / count({_LOGIN})",
        "share",
        "endpoints",
        "share of logins refused",
        "sites that answer 200 to a failed login",
        _CRACKING,
        _FREEMAN,
        transform="identity",
        suspicious="high",
    ),
    Feature(
        "login_accounts",
        f"distinct(user, {_LOGIN})",
        "accounts",
        "endpoints",
        "different accounts tried",
        "logs that name no account until it is in",
        _STUFFING,
        _FREEMAN,
        suspicious="high",
    ),
    Feature(
        "login_addresses",
        f"distinct(client_ip, {_LOGIN})",
        "addresses",
        "endpoints",
        "different addresses logins came from",
        "phones that move between networks",
        _STUFFING,
        suspicious="high",
    ),
    Feature(
        "login_burst_60s",
        f"burst(60, {_LOGIN})",
        "requests",
        "endpoints",
        "most logins within a minute",
        "slow stuffing over many addresses",
        _CRACKING,
        suspicious="high",
    ),
    _calls("signup_requests", "endpoint == 'signup'", "requests to a sign-up", "", _ACCOUNTS),
    Feature(
        "signup_burst_60s",
        "burst(60, endpoint == 'signup')",
        "requests",
        "endpoints",
        "most sign-ups within a minute",
        "forms that check as one types",
        _ACCOUNTS,
        suspicious="high",
    ),
    _calls("password_resets", "endpoint == 'password_reset'", "requests to reset a password", "", _CRACKING),
    _calls("payment_requests", _PAYMENT, "requests to a checkout or payment", "", ("OAT-001", "OAT-010", "OAT-012")),
    Feature(
        "payment_failures",
        f"count({_PAYMENT} and status >= 400)",
        "answers",
        "endpoints",
        "payments refused",
        "sites that answer 200 to a refused card",
        ("OAT-001", "OAT-010", "OAT-012"),
        suspicious="high",
    ),
    Feature(
        "payment_burst_60s",
        f"burst(60, {_PAYMENT})",
        "requests",
        "endpoints",
        "most payment requests within a minute",
        "checkouts of many steps",
        ("OAT-001", "OAT-010"),
        suspicious="high",
    ),
    _calls("coupon_requests", "endpoint == 'coupon'", "requests to redeem a coupon", "", ("OAT-002",)),
    _calls("search_requests", "endpoint == 'search'", "requests to a search", "", ("OAT-011",)),
    _calls("api_requests", "endpoint == 'api'", "requests to an API", "single-page apps", ("OAT-011",)),
    _calls("account_requests", "endpoint == 'account'", "requests to account pages", "", _CRACKING),
    _calls("export_requests", "endpoint == 'export'", "requests to an export", "", ("OAT-011",)),
    _calls("malformed_requests", "missing(method)", "request lines that are not HTTP", "", ("OAT-014",)),
    _calls(
        "blind_posts",
        "method == 'POST' and missing(referrer) and endpoint not in ('api', 'login')",
        "POST without a referrer",
        "APIs, which post without one",
        ("OAT-017",),
    ),
    _calls("probe_requests", "endpoint == 'probe'", "paths only scanners ask for", "", ("OAT-014",)),
    _calls(
        "admin_missing",
        "endpoint in ('login', 'admin') and status == 404",
        "login or admin paths that do not exist here",
        "",
        ("OAT-014", "OAT-018"),
    ),
    Feature(
        "robots_requests",
        "count(endpoint == 'robots')",
        "requests",
        "endpoints",
        "requests for robots.txt and sitemaps, which crawlers that behave make",
        "crawlers that do not behave",
        (),
        "Stevanovic 2012",
        in_forest=False,
    ),
)


def _cross(name: str, unit: str, meaning: str, misses: str, oat: tuple[str, ...], source: str = "") -> Feature:
    return Feature(name, f"max({name})", unit, "cross", meaning, misses, oat, source, suspicious="high")


_HIDDEN: Final = "campaigns that look at other pages first; apps and keepers of passwords come straight too"
_JITTER: Final = "campaigns that draw their pauses as wide as people's"

_CROSS: Final = (
    _cross("prefix_users_1h", "accounts", "most accounts of this prefix in an hour", "offices, carriers", _STUFFING),
    _cross("prefix_users_1d", "accounts", "most accounts of this prefix in a day", "offices, carriers", _STUFFING),
    _cross("prefix_agents_1h", "agents", "most agents of this prefix in an hour", "offices, carriers", ("OAT-004",)),
    Feature(
        "prefix_agents_1d",
        "max(prefix_agents_1d)",
        "agents",
        "cross",
        "most agents of this prefix in a day: how many clients share it, of whom the log names no account",
        "people with the same browser",
        in_forest=False,
    ),
    _cross("prefix_failures_1h", "logins", "most failed logins of this prefix in an hour", "offices", _CRACKING),
    _cross("prefix_requests_10m", "requests", "most requests of this prefix in 10 minutes", "carriers", ("OAT-015",)),
    _cross("user_prefixes_1d", "prefixes", "most prefixes of this account in a day", "phones", _STUFFING, _FREEMAN),
    _cross("user_countries_1d", "countries", "most countries of this account in a day", "VPNs", _STUFFING, _FREEMAN),
    _cross("profile_users_1d", "accounts", "most accounts of this profile in a day", "common profiles", _STUFFING),
    _cross("user_devices_30d", "devices", "most devices of this account in 30 days", "", _STUFFING, _WIEFLING),
    _cross("device_users_30d", "accounts", "most accounts of this device in 30 days", "shared tablets", _ACCOUNTS),
    *(
        Feature(
            f"manner_{what}_1d",
            f"max(manner_{what}_1d)",
            "prefixes",
            "cross",
            meaning,
            "campaigns in which no two networks behave alike",
            oat,
            in_forest=False,
        )
        for what, meaning, oat in (
            ("prefixes", "most prefixes with the same agent, language, protocol and TLS within a day", ()),
            ("logins", "most of those that log in", _STUFFING),
            ("failures", "most of those whose login was refused", _STUFFING),
            ("signups", "most of those that ask for an account", _ACCOUNTS),
            ("refusals", "most of those whose card or code was refused", ("OAT-001", "OAT-002")),
        )
    ),
    *(
        Feature(
            f"{kind}_{door}{among}_1d",
            f"max({kind}_{door}{among}_1d)",
            "prefixes",
            "cross",
            meaning,
            misses,
            oat,
            in_forest=False,
        )
        for door, oat in (("logins", _STUFFING), ("signups", _ACCOUNTS))
        for kind, among, meaning, misses in (
            ("straight", "", f"most prefixes that came straight to their {door}, asked and got the same", _HIDDEN),
            ("straight", "_of", f"most prefixes whose {door} asked and got the same", ""),
            ("rhythm", "", f"most prefixes whose {door} came as long after their last step there", _JITTER),
            ("rhythm", "_of", f"most prefixes whose {door} followed a step there", ""),
        )
    ),
    Feature(
        "new_devices",
        "count(user_device_new == 1 and user_devices_30d > 1)",
        "devices",
        "cross",
        "devices first seen for an account that has others",
        "new phones",
        _STUFFING,
        _WIEFLING,
        suspicious="high",
    ),
    Feature(
        "user_speed_kmh",
        "max(user_speed_kmh)",
        "km/h",
        "cross",
        "greatest of the least speeds between the account's places, both countries' size taken off",
        "VPNs and mobile gateways, which make it high without any journey; journeys inside a country",
        _STUFFING,
        _FREEMAN,
        suspicious="high",
    ),
)

ROWS: Final = (*_IDENTITY, *_POPULATION, *_ENDPOINTS, *_CROSS)
"""Who is there."""
