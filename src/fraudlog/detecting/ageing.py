"""What a model remembers of single accounts and sessions, and that it goes when its time is over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.entities import entity_tokens

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.fitting import Fitted, Told

__all__ = ["without_before"]


def without_before(day: date, fitted: Fitted, told: Told, key: bytes) -> tuple[Fitted, int]:
    """Return what was learnt without what is remembered of single accounts and sessions from before a day.

    Parameters
    ----------
    day : date
    fitted : Fitted
        Its histories of accounts are changed in place.
    told : Told
        Changed in place.
    key : bytes
        Of the tokens.

    Returns
    -------
    fitted : Fitted
    n_gone : int
        Logins and sessions that went.
    """
    n_gone = cast("Accounts", fitted.hearing.voices[Accounts.name]).forget_before(day)
    if told.examples is not None:
        told.examples = told.examples[~_ended_before(told.examples, day)]
    if fitted.sessions is None or not (is_old := _ended_before(fitted.sessions, day)).any():
        return fitted, n_gone
    left = fitted.sessions[~is_old].reset_index(drop=True)
    told.flagged = told.flagged[np.isin(told.flagged, entity_tokens(left, "session_id", key))]
    return replace(fitted, sessions=left), n_gone + int(is_old.sum())


def _ended_before(sessions: pd.DataFrame, day: date) -> NDArray[np.bool_]:
    ends = sessions["end"].dt.tz_convert(None).to_numpy("datetime64[us]")
    is_old: NDArray[np.bool_] = ends < np.datetime64(day)
    return is_old
