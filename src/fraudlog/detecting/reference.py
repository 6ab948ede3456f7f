"""Who is presumed human: the sessions that every voice takes for usual.

Presumed human is a session no evidence speaks against, unless it is more like those that evidence does speak against
than their typical one is (`trimmed`). At most a few sessions of one source count (`capped`), so that a source can't
teach by repeating itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from fraudlog.detecting.entities import entity_tokens
from fraudlog.detecting.evidence import presumed_human, spoken_against
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Reference", "capped", "is_finished", "suspects", "trimmed"]

_CAP: Final = 2
_FEW: Final = 50
"""Presumed-human sessions below which there is hardly an idea of usual."""
_SCARCE: Final = 0.25
"""Share of presumed humans below which the reference is said to be scarce."""


class Reference(NamedTuple):
    """Whom a detector learns from.

    Parameters
    ----------
    human : bool array of shape (n_rows,)
        Rows of sessions presumed human.
    finished : bool array of shape (n_rows,)
        Rows that are whole sessions, and not one as of an earlier event.
    """

    human: Bools
    finished: Bools

    @classmethod
    def of(cls, sessions: pd.DataFrame) -> Reference:
        """Presume human whom no evidence speaks against."""
        finished = is_finished(sessions)
        return cls(_throughout(sessions, presumed_human(sessions), finished), finished)

    def without(self, sessions: pd.DataFrame, trimmed: Bools) -> Reference:
        """Return the reference without the rows of `trimmed`, and without the other rows of their sessions."""
        return Reference(_throughout(sessions, self.human & ~trimmed, self.finished), self.finished)

    @property
    def size(self) -> int:
        """Sessions presumed human."""
        return int((self.human & self.finished).sum())

    @property
    def seen(self) -> int:
        """Sessions in all."""
        return int(self.finished.sum())

    def check(self, fewest: int) -> None:
        """Refuse to learn from fewer than `fewest`.

        Raises
        ------
        ConfigError
        """
        if self.size < fewest:
            raise ConfigError(
                f"{self.size} of {self.seen} sessions are presumed human; fit on a longer period, with at least "
                f"{fewest}, or on one with less automated traffic",
                parameter="sessions",
            )

    @property
    def warning(self) -> str | None:
        """Return what a person should know of it, if anything."""
        if self.size < _FEW:
            return (
                f"only {self.size:,} of {self.seen:,} sessions are presumed human: too few to say what is usual, so "
                "hardly anything but evidence is heard"
            )
        if self.size >= _SCARCE * self.seen:
            return None
        return (
            f"only {self.size:,} of {self.seen:,} sessions are presumed human: what is usual here may be set by "
            "programs; look at the top of the list before trusting the rest"
        )


def is_finished(sessions: pd.DataFrame) -> Bools:
    """Say which rows are whole sessions, and not one as of an earlier event."""
    if "is_last" not in sessions.columns:
        return np.ones(len(sessions), bool)
    finished: Bools = sessions["is_last"].to_numpy(bool)
    return finished


def _throughout(sessions: pd.DataFrame, human: Bools, finished: Bools) -> Bools:
    """Leave out every row of a session that one row speaks against: its end speaks against its beginning too."""
    if "checkpoint" not in sessions.columns:
        return human
    whole = sessions.loc[human & finished, "session_id"]
    return human & sessions["session_id"].isin(whole).to_numpy()


def suspects(sessions: pd.DataFrame) -> Bools:
    """Say which rows evidence speaks against, programs that do no more than say what they are aside."""
    return spoken_against(sessions)


def capped(sessions: pd.DataFrame, rows: Bools, key: bytes, *, most: int = _CAP) -> Bools:
    """Return `rows` with at most a few sessions of each source: those of the lowest keyed rank.

    Parameters
    ----------
    sessions : DataFrame of shape (n_rows, n_columns)
        The source is ``ip_prefix``; without one a session is a source of its own.
    rows : bool array of shape (n_rows,)
    key : bytes
    most : int, default 2
        Sessions of a source.

    Returns
    -------
    bool array of shape (n_rows,)
    """
    import pandas as pd  # noqa: PLC0415 -- scoring one row needs no pandas

    from fraudlog.detecting.drawing import mix, tree_seed  # noqa: PLC0415 -- as above

    chosen = sessions[rows]
    ids = mix(entity_tokens(chosen, "session_id", key), tree_seed(key, 0, "cap"))
    sources = entity_tokens(chosen, "ip_prefix", key)
    sources = np.where(sources == 0, ids, sources)
    rank = pd.Series(ids).groupby(sources).rank(method="dense").to_numpy()
    result = np.zeros(len(rows), bool)
    result[np.flatnonzero(rows)[rank <= most]] = True
    return result


def trimmed(reference: Reference, suspected: Bools, likeness: Floats) -> Bools:
    """Say which presumed-human rows are more like the suspects than their typical one is.

    Parameters
    ----------
    reference : Reference
    suspected : bool array of shape (n_rows,)
        As from `suspects`.
    likeness : float64 array of shape (n_rows,)
        High is like the suspects, NaN unknown.
    """
    known = likeness[suspected & ~np.isnan(likeness)]
    if not len(known):
        return np.zeros(len(likeness), bool)
    return reference.human & (likeness > np.median(known))
