"""Evidence of those who take what a site shows, or its time: OAT-011, OAT-015, and clicks that no person makes."""

from __future__ import annotations

from typing import Final

from fraudlog.detecting.evidence.rule import Evidence, when

__all__ = ["ROWS"]

_FAMILY: Final = "harvesting"
_FLOOD: Final = "flooding"
_SCRAPING: Final = ("OAT-011",)
_DENIAL: Final = ("OAT-015",)
_NOT_A_PARTNER: Final = "api_client_share <= 0.5"
_NO_CRAWLER: Final = "unverifiable_crawler_requests <= 0"
"""Walking a site is a crawler's work; that nothing confirms its name is evidence of its own."""

ROWS: Final = (
    Evidence(
        "PAGES_WITHOUT_ASSETS",
        "a browser that read {value} pages and loaded no image, style or script",
        _SCRAPING,
        0.4,
        when("pages >= 4", "asset_share <= 0", "browser_requests >= 1"),
        _FAMILY,
        misses="screen readers and text browsers; assets kept by the browser or served elsewhere",
    ),
    Evidence(
        "PAGE_BURST",
        "opened {value} pages within 10 s",
        _SCRAPING,
        0.4,
        when("page_burst_10s >= 6"),
        _FAMILY,
        misses="tabs restored at once",
    ),
    Evidence(
        "TIMER",
        "requests come at equal distances: the silences deviate by {value} s",
        (*_SCRAPING, "OAT-015"),
        0.4,
        when(
            "gap_deviation_s <= 0.8",
            "gap_mean_s >= 2",
            "requests >= 6",
            "distinct_paths >= 3",
            "health_share <= 0.5",
            _NOT_A_PARTNER,
        ),
        _FAMILY,
        misses="pages that refresh themselves",
    ),
    Evidence(
        "TIMER_WITH_PAUSES",
        "requests come at nearly equal distances: the silences deviate by {percent} of their mean",
        _SCRAPING,
        0.3,
        when(
            "gap_variation <= 0.2",
            "gap_mean_s >= 2",
            "requests >= 12",
            "distinct_paths >= 6",
            "health_share <= 0.5",
            _NOT_A_PARTNER,
        ),
        _FAMILY,
        misses="a slide show",
    ),
    Evidence(
        "SAME_PATH_AGAIN",
        "asked {value} times for each path",
        ("OAT-021", "OAT-005", "OAT-016"),
        0.3,
        when("repetition >= 6", "page_share >= 0.5", "health_share <= 0.5"),
        _FAMILY,
        confidence=0.6,
        misses="pages that refresh themselves; monitors of one page",
    ),
    Evidence(
        "CATALOGUE_WALK",
        "walked through {value} paths without coming back to one, and loaded nothing beside them",
        _SCRAPING,
        0.5,
        when("distinct_paths >= 40", "coverage >= 0.95", "asset_share <= 0.05", _NO_CRAWLER, _NOT_A_PARTNER),
        _FAMILY,
        confidence=0.9,
        misses="programs that keep a copy of a site with its leave",
    ),
    Evidence(
        "NUMBERS_COUNTED",
        "counted through numbered paths: {percent} of the steps go to the next number",
        (*_SCRAPING, "OAT-020"),
        0.45,
        when("sequential_share >= 0.4", "path_numbers >= 8"),
        _FAMILY,
        misses="people who leaf through pages",
    ),
    Evidence(
        "PAGES_WITHOUT_PAUSE",
        "read {value} pages and never stopped for a minute",
        _SCRAPING,
        0.35,
        when("pages >= 25", "pause_share <= 0", "asset_share <= 0.2", _NO_CRAWLER),
        _FAMILY,
        misses="people who search in a hurry",
    ),
    Evidence(
        "SEARCHES_WITHOUT_PAUSE",
        "searched {value} times and loaded nothing beside the answers",
        _SCRAPING,
        0.4,
        when("search_requests >= 15", "asset_share <= 0", _NOT_A_PARTNER),
        _FAMILY,
        misses="single-page apps that search as one types",
    ),
    Evidence(
        "EXPORT_SERIES",
        "exported {value} times",
        _SCRAPING,
        0.35,
        when("export_requests >= 6", _NOT_A_PARTNER),
        _FAMILY,
        misses="sites whose pages are tables to download",
    ),
    Evidence(
        "API_WITHOUT_PAGE",
        "a browser that called an API {value} times and never opened a page",
        (*_SCRAPING, "OAT-020"),
        0.3,
        when("api_requests >= 15", "pages <= 0", "asset_share <= 0", "browser_requests >= 1", _NOT_A_PARTNER),
        _FAMILY,
        confidence=0.6,
        misses="pages served from another host; apps that name a browser",
    ),
    Evidence(
        "BROWSER_READS_ROBOTS",
        "a browser that asked for robots.txt or a sitemap ({value})",
        _SCRAPING,
        0.3,
        when("robots_requests >= 1", "browser_requests >= 1"),
        "claims",
        spoofable=True,
        misses="the curious",
    ),
    Evidence(
        "REQUEST_BURST",
        "sent {value} requests within a second",
        _DENIAL,
        0.4,
        when("burst_1s >= 25", "asset_share <= 0.5"),
        _FLOOD,
        misses="apps that load everything at once",
    ),
    Evidence(
        "REQUEST_FLOOD",
        "sent {value} requests within a minute",
        (*_DENIAL, "OAT-011"),
        0.5,
        when("burst_60s >= 240", "asset_share <= 0.5"),
        _FLOOD,
        confidence=0.9,
        misses="apps that stream by small requests",
    ),
    Evidence(
        "COSTLY_REQUESTS",
        "asked for answers that took {value} s on average, again and again",
        _DENIAL,
        0.35,
        when("server_time_mean_s >= 2", "requests >= 15", "burst_60s >= 8", "asset_share <= 0.2"),
        _FLOOD,
        confidence=0.5,
        misses="a server that is slow for all",
    ),
    Evidence(
        "LIMIT_IGNORED",
        "went on after being told to slow down ({value} times)",
        (*_DENIAL, "OAT-011"),
        0.4,
        when("rate_limited >= 5"),
        _FLOOD,
        misses="clients that retry by themselves",
    ),
    Evidence(
        "PREFIX_FLOOD",
        "its network sent {value} requests within 10 minutes",
        _DENIAL,
        0.2,
        when("prefix_requests_10m >= 3000", "requests >= 200", "asset_share <= 0.5"),
        _FLOOD,
        confidence=0.5,
        misses="carriers and large offices",
    ),
)
