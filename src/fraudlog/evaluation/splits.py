"""What to learn from and what to score: split by time, or by whose the sessions are; never at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from fraudlog.errors import ConfigError
from fraudlog.schema import require_columns

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = ["Split", "entity_split", "time_split"]


class Split(NamedTuple):
    """Two sets of sessions without one in common.

    Attributes
    ----------
    learn, score : ndarray of bool, shape (n_sessions,)
    """

    learn: NDArray[np.bool_]
    score: NDArray[np.bool_]


def time_split(sessions: pd.DataFrame, *, share: float | None = None, at: pd.Timestamp | None = None) -> Split:
    """Learn from the earlier sessions, score the later ones; those open at the cut are in neither.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        Needs ``start`` and ``end``.
    share : float, optional
        Of the time, from the first start to the last; default 0.6.
    at : Timestamp, optional
        The cut itself.

    Examples
    --------
    >>> import pandas as pd
    >>> times = pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-05"], utc=True)
    >>> split = time_split(pd.DataFrame({"start": times, "end": times}), share=0.5)
    >>> split.learn.tolist(), split.score.tolist()
    ([True, True, False], [False, False, True])
    """
    require_columns(sessions, ["start", "end"], table="sessions")
    first, last = sessions["start"].min(), sessions["start"].max()
    cut = at if at is not None else first + (last - first) * _checked(0.6 if share is None else share)
    return Split((sessions["end"] < cut).to_numpy(bool), (sessions["start"] >= cut).to_numpy(bool))


def entity_split(sessions: pd.DataFrame, *, by: str = "ip_prefix", share: float = 0.6, seed: int = 0) -> Split:
    """Learn from some entities, score others: nobody is in both, so that nothing can be known by heart.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
    by : str, default "ip_prefix"
        Column that says whose a session is; sessions that do not say are each their own.
    share : float, default 0.6
        Of the entities, to learn from.
    seed : int, default 0

    Examples
    --------
    >>> import pandas as pd
    >>> sessions = pd.DataFrame({"ip_prefix": ["a", "a", "b", "c", "c"]})
    >>> split = entity_split(sessions)
    >>> set(sessions.ip_prefix[split.learn]) & set(sessions.ip_prefix[split.score])
    set()
    """
    require_columns(sessions, [by], table="sessions")
    whose = sessions[by].astype("object")
    whose = whose.where(whose.notna(), [("nobody", i) for i in range(len(whose))])
    codes = whose.map({value: i for i, value in enumerate(dict.fromkeys(whose))}).to_numpy()
    splitter = GroupShuffleSplit(n_splits=1, train_size=_checked(share), random_state=seed)
    learn = np.zeros(len(sessions), bool)
    learn[next(splitter.split(codes, groups=codes))[0]] = True
    return Split(learn, ~learn)


def _checked(share: float) -> float:
    if not 0 < share < 1:
        raise ConfigError("share must be between 0 and 1", parameter="share")
    return share
