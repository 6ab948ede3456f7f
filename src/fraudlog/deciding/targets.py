"""Who else a verdict hits, and how often its target was hit before: for a table of sessions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.deciding.decision import Scope

__all__ = ["BYSTANDERS_US", "COLUMN_OF", "bystanders", "lasting", "strikes_of"]

BYSTANDERS_US: Final = 7 * 86_400_000_000
"""How far back the presumed-human sessions are counted that an action would also hit."""

COLUMN_OF: Final[dict[Scope, str]] = {"user": "user", "prefix": "ip_prefix", "profile": "profile"}
"""Column of a session that a scope names."""


def bystanders(sessions: pd.DataFrame, scope: NDArray[Any], target: NDArray[Any]) -> NDArray[np.int64]:
    """Count, for each row, the presumed-human sessions of the last seven days that its verdict would also hit.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        As from `fraudlog.build_sessions`.
    scope, target : ndarray of object, shape (n_sessions,)
        What each row's verdict holds for; the session alone hits no other.

    Returns
    -------
    ndarray of int64, shape (n_sessions,)
    """
    counts = np.zeros(len(sessions), np.int64)
    if not (scope != "session").any():
        return counts
    from fraudlog.detecting.evidence import presumed_human  # noqa: PLC0415 -- only where a verdict is that wide

    human = presumed_human(sessions)
    start, end = (_microseconds(sessions[name]) for name in ("start", "end"))
    for name, column in COLUMN_OF.items():
        rows = np.flatnonzero(scope == name)
        if len(rows):
            others = sessions[column].to_numpy(dtype=object)
            counts[rows] = _counted(target[rows], end[rows], others[human], start[human])
    counts[(scope != "session") & human] -= 1  # itself
    return counts


def _counted(
    asked: NDArray[Any], until: NDArray[np.int64], values: NDArray[Any], start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the values equal to each one asked whose start lies in the days before its moment."""
    wanted = pd.Index(pd.unique(asked))
    code, place = wanted.get_indexer(pd.Index(values)), wanted.get_indexer(pd.Index(asked))
    code, start = code[code >= 0].astype(np.int64), start[code >= 0]
    # Moments by their rank, so that one number holds value and moment without running over.
    moments, rank = np.unique(start, return_inverse=True)
    line = np.sort(code * (len(moments) + 1) + rank)
    since, to = (
        np.searchsorted(line, place * (len(moments) + 1) + np.searchsorted(moments, bound, side="right"))
        for bound in (until - BYSTANDERS_US, until)
    )
    counts: NDArray[np.int64] = (to - since).astype(np.int64)
    return counts


def strikes_of(end: pd.Series, scope: NDArray[Any], target: NDArray[Any], memory_us: int) -> NDArray[np.int64]:
    """Count, for each row, the earlier ones of its target, unless all were forgotten between them.

    Parameters
    ----------
    end : Series of datetime64, shape (n_rows,)
        When each verdict was given.
    scope, target : ndarray of object, shape (n_rows,)
        Rows without a target have no strikes.
    memory_us : int
        A silence longer than this forgets.
    """
    strikes = np.zeros(len(end), np.int64)
    rows = np.flatnonzero([one is not None for one in target])
    if not len(rows):
        return strikes
    frame = pd.DataFrame({"scope": scope[rows], "target": target[rows], "end": _microseconds(end.iloc[rows])})
    frame = frame.sort_values("end", kind="stable")
    keys = ["scope", "target"]
    frame["run"] = (frame.groupby(keys)["end"].diff() > memory_us).groupby([frame[key] for key in keys]).cumsum()
    strikes[rows[frame.index]] = frame.groupby([*keys, "run"]).cumcount()
    return strikes


def lasting(ttls_us: Sequence[int], strikes: NDArray[np.int64], index: pd.Index) -> pd.Series:
    """Return how long each verdict holds."""
    us = np.array(ttls_us, np.int64)[np.minimum(strikes, len(ttls_us) - 1)]
    return pd.Series(us.astype("timedelta64[us]"), index=index)


def _microseconds(times: pd.Series) -> NDArray[np.int64]:
    us: NDArray[np.int64] = times.to_numpy("datetime64[us]").astype(np.int64)
    return us
