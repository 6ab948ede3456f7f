"""Every column of every table. Readers fill these and no others: a field that is not here is dropped and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.schema.columns import Column, tagged

if TYPE_CHECKING:
    from fraudlog.schema.columns import Purpose

__all__ = ["DECISIONS", "DERIVED", "EVENTS", "REJECTED", "SCORES", "SESSIONS"]

_IP = "user.device.ip_address"
_ID = "user.unique_id.pseudonymous"
_DEVICE = "user.device"
_HISTORY = "user.behavior.browsing_history"
_PLACE = "user.location.imprecise"

_ALL: Final[tuple[Purpose, ...]] = (
    "essential.fraud_detection",
    "essential.service.authentication",
    "improve.system",
)
_OF_CONTENT: Final[tuple[Purpose, ...]] = ("essential.fraud_detection", "improve.system")
_OF_ACCOUNTS: Final[tuple[Purpose, ...]] = ("essential.fraud_detection", "essential.service.authentication")
_NO_CONTENT: Final[dict[str, tuple[Purpose, ...]]] = {
    # What somebody looked at says nothing about whose account it is.
    **dict.fromkeys(("host", "path", "query", "referrer", "endpoint"), _OF_CONTENT),
    # Whoever measures a detector needs no accounts.
    **dict.fromkeys(("user", "session_token", "device_id"), _OF_ACCOUNTS),
}

EVENTS: Final[tuple[Column, ...]] = tagged(
    "events",
    _ALL,
    Column("timestamp", "timestamp", "when the server logged the request", "us since 1970, UTC"),
    Column("client_ip", "category", "address of the client; IPv6 in RFC 5952 form", category=_IP, treatment="ip"),
    Column("user", "category", "account the server authenticated", category=_ID, treatment="token"),
    Column("session_token", "category", "session id that the service issued", category=_ID, treatment="token"),
    Column("host", "category", "virtual host asked for", spoofable=True),
    Column("method", "category", "HTTP request method", spoofable=True),
    Column("path", "string", "URL path without the query", category=_HISTORY, spoofable=True, treatment="path"),
    Column(
        "query", "string", "URL query without the question mark", category=_HISTORY, spoofable=True, treatment="cut"
    ),
    Column("protocol", "category", "protocol and version, as HTTP/1.1", spoofable=True),
    Column("status", "int16", "HTTP status code of the answer"),
    Column("bytes_sent", "int64", "size of the answer's body", "bytes"),
    Column("duration_s", "float64", "time the server took to answer", "s"),
    Column("referrer", "category", "Referer header", category=_HISTORY, spoofable=True, treatment="url"),
    Column("user_agent", "category", "User-Agent header", category=_DEVICE, spoofable=True),
    Column(
        "language",
        "category",
        "Accept-Language header or the device's language setting",
        category=_DEVICE,
        spoofable=True,
    ),
    Column("ch_ua", "category", "Sec-CH-UA header: brands and versions", category=_DEVICE, spoofable=True),
    Column("ch_platform", "category", "Sec-CH-UA-Platform header", category=_DEVICE, spoofable=True),
    Column("ch_platform_version", "category", "Sec-CH-UA-Platform-Version header", category=_DEVICE, spoofable=True),
    Column("ch_mobile", "category", "Sec-CH-UA-Mobile header: ?0 or ?1", category=_DEVICE, spoofable=True),
    Column("ch_model", "category", "Sec-CH-UA-Model header", category=_DEVICE, spoofable=True),
    Column("os", "category", "operating system as a device log names it", category=_DEVICE, spoofable=True),
    Column("browser", "category", "browser as a device log names it", category=_DEVICE, spoofable=True),
    Column(
        "device_id", "category", "device id as a device log names it", category=_ID, spoofable=True, treatment="token"
    ),
    Column("app_version", "category", "version of the app that wrote a device log", category=_DEVICE, spoofable=True),
    Column("action", "category", "what an application log says was done, as login (ECS event.action)"),
    Column("outcome", "category", "success or failure of that action (ECS event.outcome)"),
    Column("tls_fingerprint", "category", "JA3 or JA4 of the TLS hello", category=_DEVICE, spoofable=True),
    Column("country", "category", "ISO 3166-1 alpha-2 code that the log itself carries", category=_PLACE),
    Column("asn", "int64", "autonomous system number that the log itself carries"),
    Column("is_truncated", "bool", "a value of this line was longer than its limit and was cut"),
    Column("source", "category", "file the line stands in"),
    Column("line_number", "int64", "line in that file, counted from 1"),
    Column("notice", "category", "version of the privacy policy in force when the request came"),
    narrower=_NO_CONTENT,
)

DERIVED: Final[tuple[Column, ...]] = tagged(
    "events",
    _ALL,
    Column("browser", "category", "browser family", category=_DEVICE, spoofable=True),
    Column("browser_version", "category", "major version of the browser", category=_DEVICE, spoofable=True),
    Column("os", "category", "operating system family", category=_DEVICE, spoofable=True),
    Column("os_version", "category", "version of the operating system", category=_DEVICE, spoofable=True),
    Column("device_class", "category", "desktop, mobile, tablet, other", category=_DEVICE, spoofable=True),
    Column("agent_kind", "category", "browser, app or program", category=_DEVICE, spoofable=True),
    Column(
        "is_automation", "bool", "the agent names a program: crawler, library, tool or headless browser", spoofable=True
    ),
    Column("bot_name", "category", "name of that program", spoofable=True),
    Column(
        "bot_category",
        "category",
        "crawler, ai, feed, monitor, preview, library, tool, headless or scanner",
        spoofable=True,
    ),
    Column(
        "is_os_frozen",
        "bool",
        "vendors froze the OS version at this value, so it says nothing",
        category=_DEVICE,
        spoofable=True,
    ),
    Column("is_browser_reduced", "bool", "the browser version is cut to x.0.0.0", category=_DEVICE, spoofable=True),
    Column("agent_conflict", "category", "code of the combination that no real browser sends", spoofable=True),
    Column("crawler_state", "category", "verified, fake, unverifiable or unclaimed"),
    Column("ch_brand", "category", "brand that the client hints name", category=_DEVICE, spoofable=True),
    Column("ch_version", "category", "major version of Chromium in the hints", category=_DEVICE, spoofable=True),
    Column("ch_os", "category", "platform in the hints", category=_DEVICE, spoofable=True),
    Column(
        "ch_os_version",
        "category",
        "platform version in the hints; 11 for Windows 11",
        category=_DEVICE,
        spoofable=True,
    ),
    Column("is_ch_malformed", "bool", "a client hint is no structured field", spoofable=True),
    Column("is_ch_missing", "bool", "the agent's browser sends brands and none came", spoofable=True),
    Column("is_ch_brand_same", "bool", "hints and agent name the same brand", spoofable=True),
    Column("is_ch_version_same", "bool", "hints and agent name the same major version", spoofable=True),
    Column("is_ch_platform_same", "bool", "hints and agent name the same platform", spoofable=True),
    Column("is_ch_mobile_same", "bool", "hints and agent agree on mobile", spoofable=True),
    Column(
        "language_primary",
        "category",
        "language liked best in Accept-Language, as ISO 639",
        category=_DEVICE,
        spoofable=True,
    ),
    Column("language_region", "category", "region of that tag, as ISO 3166-1", category=_DEVICE, spoofable=True),
    Column("language_count", "int16", "languages listed", "languages", category=_DEVICE, spoofable=True),
    Column(
        "language_shape",
        "category",
        "setting, unweighted, falling, tied, rising or any",
        category=_DEVICE,
        spoofable=True,
    ),
    Column("is_language_malformed", "bool", "the value breaks the grammar of RFC 9110", spoofable=True),
    Column("is_language_unknown", "bool", "the tag liked best is not in BCP 47's registry", spoofable=True),
    Column("is_language_absent", "bool", "no language, in a log that records it", spoofable=True),
    Column("ip_version", "int16", "4 or 6, as the address is written"),
    Column("ip_prefix", "category", "/24 of an IPv4 address, /64 of an IPv6 one", category=_IP, treatment="ip"),
    Column("ip_prefix_56", "category", "/56 of an IPv6 address", category=_IP, treatment="ip"),
    Column("ip_prefix_48", "category", "/48 of an IPv6 address", category=_IP, treatment="ip"),
    Column(
        "ip_class",
        "category",
        "global, private, loopback, shared, link_local, documentation, multicast or special",
    ),
    Column("ip_transition", "category", "mapped, 6to4 or nat64: an IPv4 address inside an IPv6 one"),
    Column("network", "category", "narrowest named list the address is on"),
    Column("is_hosting", "bool", "on a list of hosting networks; null without such a list"),
    Column("is_cloud", "bool", "on a list of cloud networks; null without such a list"),
    Column("is_vpn", "bool", "on a list of VPN networks; null without such a list"),
    Column("is_tor", "bool", "on a list of Tor exits; null without such a list"),
    Column("is_relay", "bool", "on a list of privacy relays; null without such a list"),
    Column("is_mobile_network", "bool", "on a list of mobile networks; null without such a list"),
    Column("is_own_proxy", "bool", "on the list of the site's own proxies; null without such a list"),
    Column("country", "category", "country of the address: the log's own, else the database's", category=_PLACE),
    Column("asn", "int64", "autonomous system: the log's own, else the database's"),
    Column("as_org", "category", "organisation of the autonomous system"),
    Column(
        "endpoint", "category", "what the path is: page, asset, api, login, probe, robots, feed ...", spoofable=True
    ),
    Column(
        "browser_age",
        "float64",
        "behind the newest version that 5 % of the browser's users on this site reach",
        "major versions",
        category=_DEVICE,
        spoofable=True,
    ),
    Column(
        "browser_newer_share",
        "float64",
        "share of the browser's users on this site with a newer version",
        "0..1",
        category=_DEVICE,
        spoofable=True,
    ),
    Column(
        "language_country_surprise",
        "float64",
        "how unusual the language is for its country on this site",
        "bits",
        category=_DEVICE,
        spoofable=True,
    ),
    Column(
        "language_user_surprise",
        "float64",
        "how unusual the language is for its account",
        "bits",
        category=_DEVICE,
        spoofable=True,
    ),
    narrower=_NO_CONTENT,
)
"""What `fraudlog.enrich` adds; which of them depends on what the table has."""

REJECTED: Final[tuple[Column, ...]] = tagged(
    "quarantine",
    _OF_CONTENT,
    Column("source", "category", "file the line stands in"),
    Column("line_number", "int64", "line in that file, counted from 1"),
    Column("reason", "category", "stable code of what was wrong"),
    Column(
        "raw",
        "binary",
        "the line's bytes as they stood; null on disk, where source and line lead back to it",
        treatment="seal",
    ),
    narrower={},
)

SESSIONS: Final[tuple[Column, ...]] = tagged(
    "events",
    _ALL,
    Column("session_id", "string", "keyed hash of the actor and the session's start", category=_ID),
    Column("client_ip", "category", "address of the first event", category=_IP, treatment="ip"),
    Column("ip_prefix", "category", "/24 or /64 of that address", category=_IP, treatment="ip"),
    Column("user", "category", "account, if any event had one", category=_ID, treatment="token"),
    Column("profile", "category", "OS, browser and language of the first event", category=_DEVICE, spoofable=True),
    Column("user_agent", "category", "agent of the first event", category=_DEVICE, spoofable=True),
    Column("browser", "category", "browser of the first event", category=_DEVICE, spoofable=True),
    Column("browser_version", "category", "its major version", category=_DEVICE, spoofable=True),
    Column("os", "category", "operating system of the first event", category=_DEVICE, spoofable=True),
    Column("device_class", "category", "desktop, mobile, tablet or other", category=_DEVICE, spoofable=True),
    Column("language", "category", "Accept-Language of the first event", category=_DEVICE, spoofable=True),
    Column("language_primary", "category", "language liked best of it", category=_DEVICE, spoofable=True),
    Column("country", "category", "country of the first event", category=_PLACE),
    Column("asn", "int64", "autonomous system of the first event"),
    Column("start", "timestamp", "time of the first event", "us since 1970, UTC"),
    Column("end", "timestamp", "time of the last event", "us since 1970, UTC"),
    Column("source", "category", "file of the first event"),
    Column("first_line", "int64", "line of the first event in that file"),
    Column("piece", "int64", "how many sessions a limit cut off before: 0 unless one was too long", "sessions"),
    narrower=_NO_CONTENT,
)
"""The columns of a session besides its features, which `fraudlog.sessions.catalogue` declares."""

SCORES: Final[tuple[Column, ...]] = tagged(
    "scores",
    _ALL,
    Column("session_id", "string", "the session scored", category=_ID),
    Column("start", "timestamp", "time of its first event", "us since 1970, UTC"),
    Column("end", "timestamp", "time of its last event", "us since 1970, UTC"),
    Column("anomaly_score", "float64", "the forest's score: high is odd", "0..1"),
    Column("risk", "float64", "all voices together: high is abusive", "0..1"),
    Column("confidence", "float64", "how much there was to judge by", "0..1"),
    Column("reasons", "reasons", "what the risk is made of, heaviest first"),
    narrower={},
)

DECISIONS: Final[tuple[Column, ...]] = tagged(
    "scores",
    _ALL,
    Column("session_id", "string", "the session decided on", category=_ID),
    Column("verdict", "category", "allow, observe, challenge or deny"),
    Column("scope", "category", "what the verdict holds for: session, user, prefix or profile"),
    Column("expires", "timestamp", "when the verdict ends", "us since 1970, UTC"),
    Column("reasons", "reasons", "why, as in scores"),
    Column("policy_version", "category", "digest of the policy's settings"),
    Column("collateral", "int64", "presumed-human sessions the action would also hit", "sessions"),
    Column("intended", "category", "the verdict the rules gave, before a dry run made it milder"),
    narrower={},
)
