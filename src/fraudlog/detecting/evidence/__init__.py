"""Evidence: facts that speak against a session, a row each, with a stable code.

A row fires where all its conditions hold on the features of a session. It abstains where a feature is null. A new piece
of evidence is a new row in the file of its family, one case that fires and one that stays quiet
(`tests/test_evidence.py`). Other packages add theirs by the entry point ``fraudlog.evidence``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.detecting.evidence import claims, harvesting, logins, money, scanning
from fraudlog.detecting.evidence.compiled import CompiledEvidence
from fraudlog.detecting.evidence.installed import installed_evidence, joined
from fraudlog.detecting.evidence.rule import LIMIT_OF_CLAIMS, Condition, Evidence, when

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "BUILT_IN",
    "EVIDENCE",
    "FAINT",
    "LIMIT_OF_CLAIMS",
    "CompiledEvidence",
    "Condition",
    "Evidence",
    "fired",
    "presumed_human",
    "spoken_against",
    "verified_crawler",
    "when",
]

BUILT_IN: Final[tuple[Evidence, ...]] = (*scanning.ROWS, *harvesting.ROWS, *logins.ROWS, *money.ROWS, *claims.ROWS)
"""What fraudlog brings."""

EVIDENCE: Final[tuple[Evidence, ...]] = joined(BUILT_IN, installed_evidence())
"""All evidence: what fraudlog brings, then what installed packages do."""

FAINT: Final = 0.2
"""Evidence that together weighs less says too little to keep a session out of what is presumed human."""

_DOUBTFUL: Final = -np.log1p(-FAINT)
_DIGITS: Final = np.array([-np.log1p(-row.weight) for row in EVIDENCE])
_ARE_CLAIMS: Final = np.array([row.family == "claims" for row in EVIDENCE])

_BATCH: Final = 1 << 16


def fired(sessions: pd.DataFrame, rows: Sequence[Evidence] = EVIDENCE) -> NDArray[np.bool_]:
    """Say which evidence speaks against which session; none does against a verified crawler.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        As from `fraudlog.build_sessions`; a feature that is not there or null makes its rows abstain.
    rows : sequence of Evidence, optional
        All, if not given.

    Returns
    -------
    ndarray of bool, shape (n_sessions, len(rows))
    """
    wanted = dict.fromkeys(condition.feature for row in rows for condition in row.conditions)
    names = [name for name in wanted if name in sessions.columns]
    compiled = CompiledEvidence(rows, names)
    values = sessions[names].to_numpy(np.float64)
    parts = [compiled.fired(values[first : first + _BATCH]) for first in range(0, len(values), _BATCH)]
    result = np.concatenate(parts) if parts else compiled.fired(values)
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


def spoken_against(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say against which sessions evidence speaks, and not only that a program says what it is.

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
    """
    hits = fired(sessions)
    against: NDArray[np.bool_] = hits @ _DIGITS >= _DOUBTFUL
    if "automation_share" in sessions.columns:
        says_so = sessions["automation_share"].to_numpy(np.float64) > 0
        against &= ~says_so | (hits @ np.where(_ARE_CLAIMS, 0.0, _DIGITS) >= _DOUBTFUL)
    return against


def presumed_human(sessions: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which sessions are presumed human: next to nothing speaks against them, and no program names itself.

    Evidence that together weighs less than 0.2, as an old browser does, keeps nobody out: the reference must not be
    made of fashionable clients alone.

    Returns
    -------
    ndarray of bool, shape (n_sessions,)
    """
    speaks = [fired(sessions) @ _DIGITS >= _DOUBTFUL]
    if "automation_share" in sessions.columns:
        speaks.append(sessions["automation_share"].to_numpy(np.float64) > 0)
    human: NDArray[np.bool_] = ~np.logical_or.reduce(speaks)
    return human
