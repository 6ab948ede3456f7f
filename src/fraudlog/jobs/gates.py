"""What keeps a job from going over to a model that it learnt anew, and what it says of how far the log has moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.detecting.drift import ADVICE

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fraudlog.detecting import Detector
    from fraudlog.detecting.drift import Drift

__all__ = ["flag_rate_gate", "told", "too_far"]

_FLAGGED: Final = 0.5
_LEAST_FLAGGED: Final = 10
_NAMED: Final = 3


def flag_rate_gate(max_ratio: float) -> Callable[[Detector, Detector, pd.DataFrame], str]:
    """Return a gate that refuses a model which flags many times more, or fewer, sessions than the one before.

    A gate takes the old and the new detector and the sessions that the new one learnt from; it returns why the new one
    is refused, or nothing.

    Parameters
    ----------
    max_ratio : float
        How many times. Below ten flagged sessions nothing is said about a rate.
    """

    def gate(old: Detector, new: Detector, sessions: pd.DataFrame) -> str:
        before, after = (
            max(int((detector.score(sessions)["risk"] >= _FLAGGED).sum()), _LEAST_FLAGGED) for detector in (old, new)
        )
        is_far = max(before, after) > max_ratio * min(before, after)
        return f"flags {after} of {len(sessions)} sessions, the old model {before}" if is_far else ""

    return gate


def told(drift: Drift) -> str:
    """Say for the report of a run how far the window has moved from the old model's, and what to do about it."""
    moved = drift.table[drift.table["is_drifted"]]
    named = f": {', '.join(moved['name'].head(_NAMED))}" if len(moved) else ""
    return f"drift: {drift.advice} ({ADVICE[drift.advice]}); {len(moved)} of {len(drift.table)} moved{named}"


def too_far(drift: Drift, most: float) -> str:
    """Say why a window is too far from the old model's to learn from, or nothing.

    Parameters
    ----------
    drift : Drift
        Of the new window, as the old model sees it.
    most : float
        Share of features that may have moved. If most have, it is the log that has changed, not the visitors.
    """
    share = float(drift.table["is_drifted"].mean()) if len(drift.table) else 0.0
    return f"{share:.0%} of the features moved since the old model's window" if share > most else ""
