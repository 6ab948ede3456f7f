"""What a detector knows of somebody, and what is left of it without them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np

from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.entities import entity_token, entity_tokens
from fraudlog.detecting.learnt import is_theirs, kept, table_from_arrays, table_to_arrays

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.fitting import Told
    from fraudlog.detecting.voices import Voice

    Tokens = NDArray[np.uint64]

__all__ = ["Whom", "disowned", "known_of", "without"]

_NEVER = np.iinfo(np.int64).max


class Whom(NamedTuple):
    """Somebody, as a detector knows them.

    Parameters
    ----------
    owners, sessions : list of int
        Tokens of accounts, or addresses, and of single sessions.
    key : bytes
        Of the tokens.
    """

    owners: list[int]
    sessions: list[int]
    key: bytes

    @classmethod
    def of(cls, owners: Iterable[object], session_ids: Iterable[str], key: bytes) -> Self:
        """Make the tokens of accounts and sessions as they stood in the table it learnt from."""
        return cls([entity_token(one, key) for one in owners], [entity_token(one, key) for one in session_ids], key)

    def rows(self, sessions: pd.DataFrame) -> NDArray[np.bool_]:
        """Say which rows are theirs."""
        return is_theirs(sessions, self.owners, self.sessions, self.key)


def without(
    learnt: pd.DataFrame, told: Told, whom: Whom, instead: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, int]:
    """Return what a detector is to learn from without somebody, and how many rows and labels were theirs.

    Parameters
    ----------
    learnt : DataFrame
        What it learnt from.
    told : Told
        Labels, which lose what names them.
    whom : Whom
    instead : DataFrame, optional
        Sessions of theirs as they should have been: each takes the place of the row with its id, and their labels stay.
    """
    gone = whom.rows(learnt)
    if instead is not None:
        if told.examples is not None:
            told.examples = _corrected(told.examples, whom.rows(told.examples), instead, whom.key)
        return _corrected(learnt, gone, instead, whom.key), int(gone.sum())
    theirs = {*whom.sessions, *entity_tokens(learnt[gone], "session_id", whom.key).tolist()}
    n_labels = len(told.book.entries)
    told.book.drop([*whom.owners, *theirs])
    told.flagged = told.flagged[~np.isin(told.flagged, np.array(sorted(theirs), np.uint64))]
    if told.examples is not None:
        told.examples = told.examples[~whom.rows(told.examples)]
    return learnt[~gone], int(gone.sum()) + n_labels - len(told.book.entries)


def _corrected(learnt: pd.DataFrame, theirs: NDArray[np.bool_], instead: pd.DataFrame, key: bytes) -> pd.DataFrame:
    """Put sessions in place of the rows with their ids; rows of theirs for which there is none go."""
    import pandas as pd  # noqa: PLC0415 -- loading a model does not need it

    right = kept(instead)
    if learnt["session_id"].dtype.kind == "u":
        right = table_from_arrays(table_to_arrays(right, key))
    place = {token: row for row, token in enumerate(entity_tokens(right, "session_id", key).tolist())}
    tokens = entity_tokens(learnt, "session_id", key).tolist()
    is_whole = learnt["is_last"].to_numpy(bool) if "is_last" in learnt.columns else np.ones(len(learnt), bool)
    rows = [row for row in np.flatnonzero(theirs & is_whole).tolist() if tokens[row] in place]
    fixed = right.iloc[[place[tokens[row]] for row in rows]].set_index(learnt.index[rows])
    for name in ("checkpoint", "is_last"):
        if name in learnt.columns:
            fixed[name] = learnt[name].iloc[rows]
    left = learnt[~theirs]
    both = pd.concat([_plain(left), _plain(fixed.reindex(columns=learnt.columns))])
    return both.loc[learnt.index[learnt.index.isin(both.index)]].reset_index(drop=True)


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts are no categories, so that two go one below the other."""
    texts = {name: "str" for name in table.columns if table[name].dtype.name == "category"}
    return table.astype(texts)


def disowned(voices: Mapping[str, Voice], told: Told, whom: Whom, *, labels: bool) -> int:
    """Take out what a detector holds under somebody's name: how they log in, and labels; returns how many."""
    accounts, n_labels = cast("Accounts", voices[Accounts.name]), len(told.book.entries)
    if labels:
        told.book.drop([*whom.owners, *whom.sessions])
    n_accounts = sum(accounts.history.forget(owner) for owner in whom.owners)
    theirs = set(whom.sessions)
    accounts.learnt = {session: week for session, week in accounts.learnt.items() if session not in theirs}
    return n_accounts + n_labels - len(told.book.entries)


def known_of(learnt: pd.DataFrame | None, voices: Mapping[str, Voice], told: Told, whom: Whom) -> dict[str, Any]:
    """Return what a detector knows of somebody."""
    history = cast("Accounts", voices[Accounts.name]).history
    labels = told.book.of([*whom.owners, *whom.sessions])
    return {
        "sessions_learnt": None if learnt is None else int(whom.rows(learnt).sum()),
        "logins_counted": sum(history.logins(owner) for owner in whom.owners),
        "labels": [
            {"kind": kind, "is_abusive": entry.is_abusive, "origin": entry.origin}
            | ({} if entry.expires_us == _NEVER else {"expires": datetime.fromtimestamp(entry.expires_us / 1e6, UTC)})
            for kind, entry in labels
        ],
    }
