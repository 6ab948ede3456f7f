"""The catalogue's rows on what kinds of request a session makes, and what went wrong."""

from __future__ import annotations

from typing import Final

from fraudlog.sessions.definition import Feature
from fraudlog.sessions.rows_sources import DENIAL, ILIOU, PRINTING, SCANNING, SCRAPING, STEVANOVIC, TAN

__all__ = ["ERRORS", "MIX"]


def _share(name: str, expression: str, meaning: str, misses: str = "", source: str = TAN, **more: object) -> Feature:
    oat = more.pop("oat", ())
    return Feature(name, expression, "share", "mix", meaning, misses, oat, source, transform="identity", **more)  # type: ignore[arg-type]


_IMAGES: Final = " or ".join(
    f"path.endswith('.{kind}')" for kind in ("png", "jpg", "jpeg", "gif", "webp", "svg", "ico")
)

MIX: Final = (
    _share("get_share", "share(method == 'GET')", "share of GET"),
    _share("post_share", "share(method == 'POST')", "share of POST", "sites that are all forms", oat=("OAT-007",)),
    _share("head_share", "share(method == 'HEAD')", "share of HEAD", "link checkers", STEVANOVIC, oat=("OAT-018",)),
    _share(
        "other_method_share",
        "share(method not in ('GET', 'POST', 'HEAD'))",
        "share of other methods",
        "APIs, where PUT and DELETE are usual",
        oat=SCANNING,
    ),
    Feature("methods", "distinct(method)", "methods", "mix", "different methods", "APIs", SCANNING, ""),
    _share("asset_share", "share(endpoint == 'asset')", "share of assets", "cached assets", ""),
    _share("page_share", "share(endpoint == 'page')", "share of pages", "single-page apps", TAN),
    _share("image_share", f"share({_IMAGES})", "share of images", "browsers that block images", TAN),
    _share(
        "script_share",
        "share(path.endswith('.js') or path.endswith('.css'))",
        "share of scripts and styles",
        "cached assets; headless browsers load them too",
        ILIOU,
    ),
    Feature(
        "assets_per_page",
        "count(endpoint == 'asset') / count(endpoint == 'page')",
        "assets a page",
        "mix",
        "assets by pages; 0 for a client that renders nothing",
        "cached assets; pages without any",
        SCRAPING,
        STEVANOVIC,
        suspicious="low",
    ),
    Feature(
        "favicons",
        "count(path.endswith('/favicon.ico'))",
        "requests",
        "mix",
        "requests for the favicon, which browsers make",
        "cached icons",
        (),
        "",
        in_forest=False,
    ),
    _share(
        "referrer_missing_share",
        "share(missing(referrer))",
        "share of requests without a referrer",
        "referrer policies of sites",
        STEVANOVIC,
        spoofable=True,
    ),
    Feature("referrers", "distinct(referrer)", "referrers", "mix", "different referrers", "", (), "", spoofable=True),
    _share("query_share", "share(not missing(query))", "share of requests with a query", "", ""),
    _share(
        "old_protocol_share",
        "share(protocol in ('HTTP/0.9', 'HTTP/1.0'))",
        "share of HTTP/1.0 and older",
        "proxies of companies",
        "",
        spoofable=True,
    ),
    Feature("bytes_mean", "mean(bytes_sent)", "bytes", "mix", "mean size of answers", "", (), ""),
    Feature(
        "bytes_deviation",
        "sqrt(sumsq(bytes_log2) / count(known(bytes_log2)) - mean(bytes_log2) * mean(bytes_log2))",
        "bit",
        "mix",
        "standard deviation of the sizes of answers, in powers of two",
        "",
        SCRAPING,
        "",
        transform="identity",
        suspicious="low",
    ),
    _share("redirect_share", "share(301 <= status <= 308 and status != 304)", "share of redirects", "", ILIOU),
    _share("not_modified_share", "share(status == 304)", "share of answers from the client's cache", "", ""),
    Feature(
        "status_entropy",
        "entropy(status)",
        "bit",
        "mix",
        "entropy of the statuses",
        "",
        SCANNING,
        transform="identity",
    ),
)
"""What kinds of request."""


def _errors(name: str, condition: str, meaning: str, misses: str = "", oat: tuple[str, ...] = SCANNING) -> Feature:
    return Feature(
        name,
        f"count({condition})",
        "answers",
        "errors",
        meaning,
        misses,
        oat,
        ILIOU if name == "client_errors" else "",
        suspicious="high",
    )


ERRORS: Final = (
    _errors("client_errors", "400 <= status <= 499", "answers 400 to 499"),
    Feature(
        "client_error_share",
        "share(400 <= status <= 499)",
        "share",
        "errors",
        "share of answers 400 to 499",
        "broken links of the site itself",
        SCANNING,
        STEVANOVIC,
        transform="identity",
        suspicious="high",
    ),
    _errors("unauthorized", "status == 401", "answers 401", "forgetful people", ("OAT-007", "OAT-008")),
    _errors("forbidden", "status == 403", "answers 403", "answers of the own defence, unless said so"),
    _errors("not_found", "status == 404", "answers 404", "broken links", SCANNING + PRINTING),
    Feature(
        "not_found_paths",
        "distinct(path, status == 404)",
        "paths",
        "errors",
        "different paths that are not there",
        "broken links",
        SCANNING + PRINTING,
        suspicious="high",
    ),
    _errors("rate_limited", "status == 429", "answers 429", "answers of the own defence, unless said so", DENIAL),
    _errors("server_errors", "500 <= status <= 599", "answers 500 to 599", "a site that is down"),
    Feature(
        "server_error_share",
        "share(500 <= status <= 599)",
        "share",
        "errors",
        "share of answers 500 to 599",
        "a site that is down",
        SCANNING,
        "",
        transform="identity",
        suspicious="high",
    ),
)
"""What went wrong."""
