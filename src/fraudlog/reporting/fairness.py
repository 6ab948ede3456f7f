"""Whom the flags fall on: flag rates by language, operating system and rarity of the browser, with intervals.

Rare is not abusive. A group that is flagged at least twice as often as all others, beyond what chance explains, is
warned of: somebody should look at its reasons before anything is done. Sessions whose agent names a program are left
out, for programs are not people who could be treated unfairly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from fraudlog.deciding.budget import wilson

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GROUPINGS", "Group", "Grouping", "fairness"]

_RATIO: Final = 2.0
_SHOWN: Final = 8
_FEWEST: Final = 20
_UNKNOWN: Final = "unknown"


class Group(NamedTuple):
    """Flags of one group.

    Parameters
    ----------
    name : str
    sessions, flagged : int
    rate, low, high : float
        Flagged share, and its 95 % interval of Wilson.
    ratio : float or None
        Rate by the rate of all others; None where nobody of the others was flagged.
    is_warned : bool
        Whether the ratio is at least 2 and the two intervals lie apart.
    """

    name: str
    sessions: int
    flagged: int
    rate: float
    low: float
    high: float
    ratio: float | None
    is_warned: bool


class Grouping(NamedTuple):
    """One way to tell groups apart: a title, and what gives each session its group."""

    title: str
    group_of: Callable[[pd.DataFrame], pd.Series]


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Take a column of the sessions; all are unknown where the table lacks it."""

    def group_of(sessions: pd.DataFrame) -> pd.Series:
        if name not in sessions.columns:
            return pd.Series(_UNKNOWN, index=sessions.index, dtype=object)
        return sessions[name].astype("object").fillna(_UNKNOWN)

    return group_of


def _rarity(sessions: pd.DataFrame) -> pd.Series:
    browsers = _column("browser")(sessions)
    share = browsers.map(browsers.value_counts(normalize=True))
    names = ["rare: under 1 %", "uncommon: 1 to 10 %", "common: over 10 %"]
    return pd.Series(np.array(names, dtype=object)[np.digitize(share, [0.01, 0.1])], index=sessions.index)


GROUPINGS: Final = (
    Grouping("language", _column("language_primary")),
    Grouping("operating system", _column("os")),
    Grouping("browser", _column("browser")),
    Grouping("rarity of the browser", _rarity),
)
"""How the report tells groups apart, a row each."""


def fairness(sessions: pd.DataFrame, flagged: pd.Series) -> dict[str, list[Group]]:
    """Return flag rates by group, the largest groups first.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        Groups by ``language_primary``, ``os`` and ``browser``; ``automation_share`` leaves programs out.
    flagged : Series of bool, shape (n_sessions,)
        Whether a session was challenged or denied.

    Returns
    -------
    dict of str to list of Group
        By the titles of `GROUPINGS`.

    Examples
    --------
    >>> sessions = pd.DataFrame({"language_primary": ["en"] * 200 + ["eo"] * 40})
    >>> flagged = pd.Series([False] * 196 + [True] * 4 + [True] * 8 + [False] * 32)
    >>> [(group.name, group.flagged, group.is_warned) for group in fairness(sessions, flagged)["language"]]
    [('en', 4, False), ('eo', 8, True)]
    """
    programs = sessions.get("automation_share", pd.Series(0.0, index=sessions.index)).fillna(0.0) > 0
    people, hits = sessions[~programs], flagged[~programs].astype(bool)
    return {grouping.title: _groups(grouping.group_of(people), hits) for grouping in GROUPINGS}


def _groups(names: pd.Series, flagged: pd.Series) -> list[Group]:
    counted = flagged.groupby(names).agg(["size", "sum"])
    n, hits = int(counted["size"].sum()), int(counted["sum"].sum())
    rows = counted.sort_values("size", ascending=False, kind="stable").itertuples()
    groups = [_group(str(row[0]), int(row[1]), int(row[2]), n - int(row[1]), hits - int(row[2])) for row in rows]
    return groups[:_SHOWN] + [group for group in groups[_SHOWN:] if group.is_warned]


def _group(name: str, size: int, hits: int, others: int, their_hits: int) -> Group:
    (low, high), (_, their_high) = wilson(hits, size), wilson(their_hits, others)
    rate, their_rate = hits / size, their_hits / others if others else 0.0
    ratio = rate / their_rate if their_rate else None
    stands_out = bool(hits) and size >= _FEWEST and others > 0 and low > their_high
    return Group(name, size, hits, rate, low, high, ratio, stands_out and (ratio is None or ratio >= _RATIO))
