"""Evidence: facts that speak against a session, a row each, with a stable code.

A row fires where all its conditions hold on the features of a session. It abstains where a feature is null. A new piece
of evidence is a new row, one test that fires and one that stays quiet (`tests/test_evidence.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import ge, le
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["EVIDENCE", "Condition", "Evidence", "fired", "presumed_human", "verified_crawler"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A feature compared with a number."""

    feature: str
    operator: Literal[">=", "<="]
    threshold: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence.

    Parameters
    ----------
    code : str
        Stable code, as in ``reasons``.
    sentence : str
        For a person; ``{value}`` is the value of the first condition's feature.
    oat : str
        OWASP Automated Threat it speaks for.
    weight : float
        Risk it gives a session by itself, 0..1.
    conditions : tuple of Condition
        All must hold.
    spoofable : bool
        Whether a client can choose not to show it at no cost.
    """

    code: str
    sentence: str
    oat: str
    weight: float
    conditions: tuple[Condition, ...]
    spoofable: bool = False


def _if(*conditions: str) -> tuple[Condition, ...]:
    """Read conditions written as ``feature >= number``."""
    parts = [condition.split() for condition in conditions]
    return tuple(Condition(feature, operator, float(number)) for feature, operator, number in parts)  # type: ignore[arg-type]


# What an agent merely claims never weighs more than 0.45, so that no agent string alone reaches the 0.5 of a challenge.
EVIDENCE: Final[tuple[Evidence, ...]] = (
    Evidence(
        "PROBE_PATHS",
        "asked for paths that only scanners ask for ({value})",
        "OAT-014",
        0.6,
        _if("probe_requests >= 1"),
    ),
    Evidence(
        "ADMIN_GUESSED",
        "tried a login or admin path that this site does not have",
        "OAT-018",
        0.5,
        _if("admin_missing >= 1"),
    ),
    Evidence(
        "ADMIN_SWEEP",
        "tried several login or admin paths that this site does not have ({value})",
        "OAT-018",
        0.5,
        _if("admin_missing >= 2"),
    ),
    Evidence(
        "NOT_FOUND_SWEEP",
        "asked for paths that do not exist ({value})",
        "OAT-018",
        0.5,
        _if("not_found >= 4", "client_error_share >= 0.5"),
    ),
    Evidence("LOGIN_FAILURES", "logins were refused ({value})", "OAT-008", 0.6, _if("login_failures >= 5")),
    Evidence(
        "MALFORMED_REQUESTS",
        "sent requests that are not HTTP ({value})",
        "OAT-014",
        0.5,
        _if("malformed_requests >= 1"),
    ),
    Evidence("BLIND_POST", "posted without coming from a page ({value})", "OAT-017", 0.45, _if("blind_posts >= 1")),
    Evidence(
        "PAGES_WITHOUT_ASSETS",
        "a browser that read {value} pages and loaded no image, style or script",
        "OAT-011",
        0.4,
        _if("pages >= 4", "asset_share <= 0", "browser_requests >= 1"),
    ),
    Evidence("PAGE_BURST", "opened {value} pages within 10 s", "OAT-011", 0.4, _if("page_burst_10s >= 6")),
    Evidence(
        "TIMER",
        "requests come at equal distances: the silences deviate by {value} s",
        "OAT-011",
        0.4,
        _if("gap_deviation_s <= 0.8", "gap_mean_s >= 2", "requests >= 6"),
    ),
    Evidence(
        "SAME_PATH_AGAIN",
        "asked {value} times for each path",
        "OAT-021",
        0.3,
        _if("repetition >= 6", "page_share >= 0.5"),
    ),
    Evidence(
        "HEAD_SWEEP",
        "{percent} of the requests ask for headers only",
        "OAT-018",
        0.3,
        _if("head_share >= 0.5", "requests >= 3"),
    ),
    Evidence(
        "SCANNER_AGENT",
        "the agent names a vulnerability scanner",
        "OAT-014",
        0.45,
        _if("scanner_requests >= 1"),
        spoofable=True,
    ),
    Evidence(
        "HEADLESS_AGENT",
        "the agent names a browser without a screen",
        "OAT-011",
        0.4,
        _if("headless_requests >= 1"),
        spoofable=True,
    ),
    Evidence(
        "SCRIPT_AGENT",
        "the agent names a script library or download tool",
        "OAT-011",
        0.35,
        _if("script_requests >= 1"),
        spoofable=True,
    ),
    Evidence("AGENT_MISSING", "sent no agent", "OAT-011", 0.35, _if("agent_missing_share >= 0.5"), spoofable=True),
    Evidence(
        "CRAWLER_FAKE",
        "the agent names a crawler whose published addresses this is none of",
        "OAT-011",
        0.6,
        _if("fake_crawler_requests >= 1"),
    ),
    Evidence(
        "CRAWLER_UNVERIFIED",
        "the agent names a crawler, which nothing confirms",
        "OAT-011",
        0.25,
        _if("unverifiable_crawler_requests >= 1"),
        spoofable=True,
    ),
    Evidence(
        "BROWSER_READS_ROBOTS",
        "a browser that asked for robots.txt or a sitemap ({value})",
        "OAT-011",
        0.3,
        _if("robots_requests >= 1", "browser_requests >= 1"),
        spoofable=True,
    ),
    Evidence(
        "LANGUAGE_MISSING",
        "a browser that sent no language",
        "OAT-011",
        0.35,
        _if("language_missing_share >= 0.9", "browser_requests >= 1"),
        spoofable=True,
    ),
)
"""All evidence."""

_COMPARE: Final = {">=": ge, "<=": le}


def fired(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which evidence speaks against which session; none does against a verified crawler.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        As from `fraudlog.build_sessions`; a feature that is not there or null makes its rows abstain.

    Returns
    -------
    ndarray of bool, shape (n_sessions, len(EVIDENCE))
    """
    result = np.zeros((len(sessions), len(EVIDENCE)), bool)
    for i, row in enumerate(EVIDENCE):
        if all(condition.feature in sessions.columns for condition in row.conditions):
            held = [
                _COMPARE[condition.operator](sessions[condition.feature].to_numpy(float), condition.threshold)
                for condition in row.conditions
            ]
            result[:, i] = np.logical_and.reduce(held)
    result[verified_crawler(sessions)] = False
    return result


def verified_crawler(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which sessions are wholly those of a crawler whose address confirms its name.

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
    """
    if not {"requests", "verified_crawler_requests"} <= set(sessions.columns):
        return np.zeros(len(sessions), bool)
    verified = sessions["verified_crawler_requests"].to_numpy(np.float64)
    whole: NDArray[np.bool_] = np.equal(verified, sessions["requests"].to_numpy(np.float64))
    return whole


def presumed_human(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which sessions are presumed human: no evidence speaks against them and no program names itself.

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
    """
    speaks = [fired(sessions).any(axis=1)]
    if "automation_share" in sessions.columns:
        speaks.append(sessions["automation_share"].to_numpy(np.float64) > 0)
    human: NDArray[np.bool_] = ~np.logical_or.reduce(speaks)
    return human
