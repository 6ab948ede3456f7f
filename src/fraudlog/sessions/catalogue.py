"""Every feature of a session, a row each. A new feature is a new row."""

from __future__ import annotations

from typing import Final

from fraudlog.sessions.definition import (
    ENTROPY_SCALE,
    Feature,
    burst,
    count,
    distinct,
    entropy,
    maximum,
    minimum,
    squares,
    switches,
    total,
)

__all__ = ["FEATURES", "feature_names"]

_REQUESTS = count()
_GAPS = count("has_gap")
_MEAN_GAP_US = total("gap_us") / _GAPS
_MEAN_GAP_S = total("gap_s") / _GAPS

FEATURES: Final[tuple[Feature, ...]] = (
    # volume
    Feature("requests", _REQUESTS, "requests", "volume", "requests in the session", "slow actors", oat=("OAT-011",)),
    Feature("pages", count("is_page"), "requests", "volume", "requests for pages", needs=("path",), oat=("OAT-011",)),
    Feature("bytes_total", total("bytes_sent"), "bytes", "volume", "bytes sent to the client", needs=("bytes_sent",)),
    Feature("duration_s", maximum("time_us") / 1e6 - minimum("time_us") / 1e6, "s", "volume", "first to last request"),
    # tempo
    Feature("gap_mean_s", _MEAN_GAP_US / 1e6, "s", "tempo", "mean silence between requests", "single requests"),
    Feature(
        "gap_deviation_s",
        (squares("gap_s") / _GAPS - _MEAN_GAP_S * _MEAN_GAP_S).sqrt(),
        "s",
        "tempo",
        "standard deviation of the silences, in whole seconds; near 0 for a timer",
        "timers with jitter",
        oat=("OAT-011",),
    ),
    Feature("gap_min_s", minimum("gap_us") / 1e6, "s", "tempo", "shortest silence", "assets a page loads"),
    Feature(
        "page_burst_10s",
        burst(10, "is_page"),
        "requests",
        "tempo",
        "most pages within 10 s",
        "slow actors",
        needs=("path",),
        oat=("OAT-011",),
    ),
    Feature("burst_10s", burst(10), "requests", "tempo", "most requests within 10 s", "slow actors", oat=("OAT-015",)),
    # mix
    Feature(
        "post_share",
        count("is_post") / _REQUESTS,
        "share",
        "mix",
        "share of POST",
        needs=("method",),
        transform="identity",
    ),
    Feature(
        "head_share",
        count("is_head") / _REQUESTS,
        "share",
        "mix",
        "share of HEAD",
        needs=("method",),
        transform="identity",
    ),
    Feature(
        "asset_share",
        count("is_asset") / _REQUESTS,
        "share",
        "mix",
        "share of images, scripts, styles and downloads",
        "cached assets; headless browsers load them too",
        needs=("path",),
        transform="identity",
    ),
    Feature(
        "referrer_missing_share",
        count("is_referrer_missing") / _REQUESTS,
        "share",
        "mix",
        "share of requests without a referrer",
        "referrer policies of sites",
        needs=("referrer",),
        spoofable=True,
        transform="identity",
    ),
    Feature(
        "bytes_mean",
        total("bytes_sent") / count("has_bytes"),
        "bytes",
        "mix",
        "mean size of answers",
        needs=("bytes_sent",),
    ),
    Feature(
        "page_share",
        count("is_page") / _REQUESTS,
        "share",
        "mix",
        "share of requests for pages",
        needs=("path",),
        transform="identity",
    ),
    # navigation
    Feature(
        "distinct_paths", distinct("path"), "paths", "navigation", "different paths", needs=("path",), oat=("OAT-011",)
    ),
    Feature(
        "repetition",
        _REQUESTS / distinct("path"),
        "requests per path",
        "navigation",
        "how often a path is asked for again",
        needs=("path",),
        oat=("OAT-021",),
    ),
    Feature(
        "path_entropy",
        entropy("path") / _REQUESTS / ENTROPY_SCALE,
        "bit",
        "navigation",
        "entropy of the paths asked for",
        needs=("path",),
        transform="identity",
    ),
    Feature(
        "depth_max", maximum("depth"), "slashes", "navigation", "deepest path", needs=("path",), transform="identity"
    ),
    Feature(
        "endpoint_switches",
        switches("endpoint"),
        "switches",
        "navigation",
        "changes between kinds of endpoint",
        needs=("path",),
    ),
    # errors
    Feature(
        "client_errors",
        count("is_client_error"),
        "answers",
        "errors",
        "answers 400 to 499",
        needs=("status",),
        oat=("OAT-014",),
    ),
    Feature(
        "client_error_share",
        count("is_client_error") / _REQUESTS,
        "share",
        "errors",
        "share of answers 400 to 499",
        "broken links of the site itself",
        needs=("status",),
        oat=("OAT-014",),
        transform="identity",
    ),
    Feature(
        "not_found",
        count("is_not_found"),
        "answers",
        "errors",
        "answers 404",
        needs=("status",),
        oat=("OAT-014", "OAT-018"),
    ),
    Feature(
        "server_errors",
        count("is_server_error"),
        "answers",
        "errors",
        "answers 500 to 599",
        needs=("status",),
        oat=("OAT-014",),
    ),
    # identity: what the client says of itself; evidence reads it, the forest does not
    Feature(
        "agents",
        distinct("user_agent"),
        "agents",
        "identity",
        "different agents",
        needs=("user_agent",),
        in_forest=False,
    ),
    Feature(
        "agent_missing_share",
        count("is_agent_missing") / _REQUESTS,
        "share",
        "identity",
        "share of requests without an agent",
        needs=("user_agent",),
        spoofable=True,
        in_forest=False,
    ),
    *(
        Feature(
            f"{kind}_requests",
            count(f"is_{kind}"),
            "requests",
            "identity",
            f"requests whose agent names a {kind}",
            "agents that lie",
            needs=("user_agent",),
            spoofable=True,
            in_forest=False,
        )
        for kind in ("crawler", "feed", "headless", "library", "monitor", "scanner")
    ),
    Feature(
        "browser_requests",
        count("is_browser"),
        "requests",
        "identity",
        "requests whose agent names a browser",
        needs=("user_agent",),
        spoofable=True,
        in_forest=False,
    ),
    Feature(
        "language_missing_share",
        count("is_language_missing") / _REQUESTS,
        "share",
        "identity",
        "share of requests without a language",
        needs=("language",),
        spoofable=True,
        in_forest=False,
    ),
    # endpoints
    Feature(
        "probe_requests",
        count("is_probe"),
        "requests",
        "endpoints",
        "paths only scanners ask for",
        needs=("path",),
        oat=("OAT-014",),
    ),
    Feature(
        "malformed_requests",
        count("is_malformed"),
        "requests",
        "endpoints",
        "request lines that are not HTTP",
        needs=("method",),
        oat=("OAT-014",),
    ),
    Feature(
        "blind_posts",
        count("is_blind_post"),
        "requests",
        "endpoints",
        "POST without a referrer",
        "APIs, which post without one",
        needs=("method", "referrer", "path"),
        oat=("OAT-017",),
    ),
    Feature(
        "login_requests",
        count("is_login"),
        "requests",
        "endpoints",
        "requests to a login",
        needs=("path",),
        oat=("OAT-008",),
    ),
    Feature(
        "login_failures",
        count("is_login_failure"),
        "requests",
        "endpoints",
        "logins answered 401 or 403",
        "sites that answer 200 to a failed login",
        needs=("path", "status"),
        oat=("OAT-007", "OAT-008"),
    ),
    Feature(
        "admin_missing",
        count("is_admin_missing"),
        "requests",
        "endpoints",
        "login or admin paths that do not exist here",
        needs=("path", "status"),
        oat=("OAT-018",),
    ),
    Feature(
        "robots_requests",
        count("is_robots"),
        "requests",
        "endpoints",
        "robots.txt, sitemaps",
        needs=("path",),
        in_forest=False,
    ),
)


def feature_names(*, in_forest: bool = False) -> list[str]:
    """Return the names of all features, or of those the forest sees.

    >>> feature_names()[:3]
    ['requests', 'pages', 'bytes_total']
    """
    return [row.name for row in FEATURES if row.in_forest or not in_forest]
