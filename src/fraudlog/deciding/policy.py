"""`Policy`: scores into decisions, within a budget of reviews."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import pandas as pd

from fraudlog.errors import ConfigError
from fraudlog.schema import DECISIONS, column_names, require_columns

__all__ = ["VERDICTS", "Policy"]

VERDICTS: Final = ("allow", "observe", "challenge", "deny")
"""Verdicts, the mildest first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to do about a risk.

    Nothing is denied unless `deny_at` asks for it: a solely automated denial is for people to ask for (GDPR, art. 22).

    Parameters
    ----------
    daily_reviews : int, optional
        At most so many challenges a day (UTC, by the session's start): those of the highest risk. The rest is observed.
    observe_at, challenge_at : float, default 0.3 and 0.5
        Risks from which a session is observed or challenged.
    deny_at : float, optional
        Risk from which it is denied.
    ttl : str, default "1h"
        How long a verdict holds after the session's end.

    Examples
    --------
    >>> scores = pd.DataFrame({
    ...     "session_id": ["a", "b", "c"], "risk": [0.9, 0.6, 0.1], "reasons": [[], [], []],
    ...     "start": pd.to_datetime(["2015-05-17"] * 3, utc=True), "end": pd.to_datetime(["2015-05-17"] * 3, utc=True),
    ... })
    >>> Policy(daily_reviews=1).decide(scores).verdict.tolist()
    ['challenge', 'observe', 'allow']
    """

    daily_reviews: int | None = None
    observe_at: float = 0.3
    challenge_at: float = 0.5
    deny_at: float | None = None
    ttl: str = "1h"

    def __post_init__(self) -> None:
        """Check the settings against each other."""
        if self.daily_reviews is not None and self.daily_reviews < 0:
            raise ConfigError(
                "daily_reviews is below 0; use 0 or more, or None for no limit", parameter="daily_reviews"
            )
        steps = [0.0, self.observe_at, self.challenge_at, 1.0 if self.deny_at is None else self.deny_at, 1.0]
        if steps != sorted(steps):
            raise ConfigError(
                "thresholds must rise from 0 to 1: observe_at, challenge_at, deny_at", parameter="observe_at"
            )
        try:
            pd.Timedelta(self.ttl)
        except ValueError:
            raise ConfigError("ttl is no length of time; write it as 1h or 30min", parameter="ttl") from None

    @property
    def version(self) -> str:
        """Digest of the settings: decisions of the same version were made by the same rules."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:12]

    def decide(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Say what to do about each session.

        Parameters
        ----------
        scores : DataFrame of shape (n_sessions, n_columns)
            As from ``Detector.score``.

        Returns
        -------
        DataFrame of shape (n_sessions, 7)
            `fraudlog.schema.DECISIONS`, in the order of `scores`.

        Raises
        ------
        SchemaError
            If a column is missing.
        """
        require_columns(scores, ["session_id", "start", "end", "risk", "reasons"], table="scores")
        risk = scores["risk"].to_numpy(np.float64)
        level = np.digitize(risk, [self.observe_at, self.challenge_at])
        if self.daily_reviews is not None:
            day = scores["start"].dt.floor("D")
            rank = scores["risk"].where(level > 1).groupby(day).rank(method="first", ascending=False)
            level[(level > 1) & (rank > self.daily_reviews).to_numpy()] = 1
        if self.deny_at is not None:
            level[risk >= self.deny_at] = 3
        columns = {
            "session_id": scores["session_id"],
            "verdict": pd.array(np.array(VERDICTS, dtype=object)[level], dtype="str"),
            "scope": pd.array(["session"] * len(scores), dtype="str"),
            "expires": scores["end"] + pd.Timedelta(self.ttl),
            "reasons": scores["reasons"],
            "policy_version": pd.array([self.version] * len(scores), dtype="str"),
            # The scope is the session itself, so no other session is hit.
            "collateral": pd.array(np.zeros(len(scores), np.int64), dtype="Int64"),
        }
        return pd.DataFrame({name: columns[name] for name in column_names(DECISIONS)})
