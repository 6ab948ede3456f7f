"""Evidence of those who look for what a site runs and where it is weak: OAT-004, OAT-014, OAT-018."""

from __future__ import annotations

from typing import Final

from fraudlog.detecting.evidence.rule import Evidence, when

__all__ = ["ROWS"]

_FAMILY: Final = "scanning"
_WEAK: Final = ("OAT-014",)
_PRINT: Final = ("OAT-018",)
_KIND: Final = ("OAT-004", "OAT-014")

ROWS: Final = (
    Evidence(
        "PROBE_PATHS",
        "asked for paths that only scanners ask for ({value})",
        (*_WEAK, "OAT-018"),
        0.6,
        when("probe_requests >= 1"),
        _FAMILY,
        confidence=0.95,
        misses="the site's own security tests",
    ),
    Evidence(
        "PROBE_SWEEP",
        "asked for several such paths ({value})",
        _WEAK,
        0.55,
        when("probe_requests >= 2"),
        _FAMILY,
        confidence=0.98,
        misses="the site's own security tests",
    ),
    Evidence(
        "ADMIN_GUESSED",
        "tried a login or admin path that this site does not have",
        (*_PRINT, "OAT-014"),
        0.35,
        when("admin_missing >= 1"),
        _FAMILY,
        misses="an old bookmark",
    ),
    Evidence(
        "ADMIN_SWEEP",
        "tried several login or admin paths that this site does not have ({value})",
        (*_PRINT, "OAT-014"),
        0.5,
        when("admin_missing >= 2"),
        _FAMILY,
        confidence=0.9,
        misses="a site that moved its login",
    ),
    Evidence(
        "NOT_FOUND_SWEEP",
        "asked for paths that do not exist ({value})",
        (*_PRINT, "OAT-014"),
        0.5,
        when("not_found >= 4", "client_error_share >= 0.5"),
        _FAMILY,
        misses="a page with many broken links",
    ),
    Evidence(
        "NOT_FOUND_TREE",
        "asked for {value} different paths that do not exist",
        (*_PRINT, "OAT-014"),
        0.5,
        when("not_found_paths >= 15", "not_found >= 15"),
        _FAMILY,
        confidence=0.9,
        misses="a site that just moved",
    ),
    Evidence(
        "MALFORMED_REQUESTS",
        "sent requests that are not HTTP ({value})",
        (*_WEAK, "OAT-004"),
        0.5,
        when("malformed_requests >= 1"),
        _FAMILY,
        confidence=0.9,
        misses="TLS spoken to a plain port by mistake",
    ),
    Evidence(
        "ODD_METHODS",
        "used methods that pages never use ({value})",
        _KIND,
        0.4,
        when("odd_methods >= 1"),
        _FAMILY,
        confidence=0.85,
        misses="WebDAV, where it is offered",
    ),
    Evidence(
        "VERSION_FILES",
        "asked for files that tell a program's version ({value})",
        _KIND,
        0.4,
        when("version_files >= 1"),
        _FAMILY,
        misses="sites that offer such files",
    ),
    Evidence(
        "MARKUP_IN_QUERIES",
        "sent single quotes, tags or climbing paths in queries ({value})",
        _WEAK,
        0.4,
        when("markup_in_queries >= 2"),
        _FAMILY,
        misses="searches for words with an apostrophe",
    ),
    Evidence(
        "LONG_QUERIES_REFUSED",
        "sent a query of {value} characters, and was refused",
        _WEAK,
        0.3,
        when("query_length_max >= 1500", "client_errors >= 1"),
        _FAMILY,
        confidence=0.6,
        misses="forms that send everything by GET",
    ),
    Evidence(
        "ERRORS_PROVOKED",
        "made the server fail ({value} times)",
        _WEAK,
        0.3,
        when("server_errors >= 3", "server_error_share >= 0.3", "distinct_paths >= 3"),
        _FAMILY,
        confidence=0.5,
        misses="a site that is down for all",
    ),
    Evidence(
        "HEAD_SWEEP",
        "{percent} of the requests ask for headers only",
        (*_PRINT, "OAT-004"),
        0.3,
        when("head_share >= 0.5", "requests >= 3", "health_share <= 0.5"),
        _FAMILY,
        misses="link checkers",
        may_be_habit=True,
    ),
    Evidence(
        "REFUSED_SWEEP",
        "was refused {value} times",
        (*_PRINT, "OAT-014"),
        0.35,
        when("forbidden >= 6", "distinct_paths >= 6"),
        _FAMILY,
        confidence=0.7,
        misses="answers of the own defence, unless it is named",
    ),
    Evidence(
        "SCANNER_AGENT",
        "the agent names a vulnerability scanner",
        _WEAK,
        0.45,
        when("scanner_requests >= 1"),
        "claims",
        spoofable=True,
        confidence=0.95,
        misses="the site's own security tests",
    ),
)
