"""Habits: what a client known for long has always done, and nothing came of it.

A monitor asks for one page round the clock, a reader of feeds names no browser, somebody's browser sends no referrer.
Each of these is evidence against a stranger. Against a client that did so on three days and never did anything worse it
says nothing new: it is compared with itself. Only evidence of how a client works can be a habit, never what it did at a
door or took away (`Evidence.may_be_habit`), nor what a person flagged or called abusive.

And what it does must be harmless in kind. A monitor asks for a page or ten, a reader of feeds for its feeds; a program
that copies a catalogue every night does so every night, and is none the more welcome. So whoever goes through many
different paths, other than files that pages need, has no habits in that session, and a client that did so on three days
has none at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from fraudlog.detecting.drawing import mix, mix_one
from fraudlog.detecting.entities import entity_token, entity_tokens
from fraudlog.detecting.evidence import EVIDENCE
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
    Tokens = NDArray[np.uint64]

__all__ = ["Habits", "goes_through_many"]

_DAYS: Final = 3
"""Days on which a client must have done it."""
_MAY_BE: Final = np.array([row.may_be_habit for row in EVIDENCE])
_MANY_PATHS: Final = 20
"""Different paths of a session, other than assets, from which on it takes what a site shows: more than a monitor or a
reader of feeds asks for."""
_SALTS: Final = [int.from_bytes(row.code.encode().ljust(8, b"\0")[-8:], "little") for row in EVIDENCE]
_DAY_NS: Final = 86_400 * 10**9


def goes_through_many(distinct_paths: float, asset_share: float) -> bool:
    """Say whether one session walks a site; unknown paths are none.

    >>> goes_through_many(40.0, 0.0), goes_through_many(40.0, 0.9), goes_through_many(float("nan"), 0.0)
    (True, False, False)
    """
    share = 0.0 if asset_share != asset_share else asset_share  # noqa: PLR0124 -- NaN is not itself
    return distinct_paths * (1.0 - share) >= _MANY_PATHS


def _walks(sessions: pd.DataFrame) -> Bools:
    """Do what `goes_through_many` does for a frame."""
    if "distinct_paths" not in sessions.columns:
        return np.zeros(len(sessions), np.bool_)
    paths = sessions["distinct_paths"].to_numpy(np.float64, na_value=np.nan)
    has_share = "asset_share" in sessions.columns
    share = sessions["asset_share"].to_numpy(np.float64, na_value=0.0) if has_share else np.zeros(len(sessions))
    many: Bools = paths * (1.0 - np.nan_to_num(share, nan=0.0)) >= _MANY_PATHS
    return many


class Habits:
    """Which client has which habit: tokens of both together, rising.

    A client is a prefix and an agent.

    Parameters
    ----------
    key : bytes
        As from `fraudlog.detecting.entities.secret`.
    tokens : uint64 array of shape (n_habits,), optional

    Examples
    --------
    >>> import pandas as pd
    >>> days = pd.to_datetime(["2026-03-02", "2026-03-03", "2026-03-04"], utc=True)
    >>> sessions = pd.DataFrame({"start": days, "ip_prefix": "192.0.2.0/24", "user_agent": "Check/1"})
    >>> hits = np.zeros((3, len(EVIDENCE)), bool)
    >>> row = next(place for place, row in enumerate(EVIDENCE) if row.may_be_habit)
    >>> hits[:, row] = True
    >>> habits = Habits(bytes(16)).fit(sessions, hits, np.zeros(3, bool))
    >>> int(habits.of(sessions, hits).sum()), int(habits.of(sessions.assign(user_agent="Other/1"), hits).sum())
    (3, 0)
    """

    def __init__(self, key: bytes, tokens: Tokens | None = None) -> None:
        self._key = key
        self.tokens: Tokens = np.zeros(0, np.uint64) if tokens is None else tokens

    def fit(self, sessions: pd.DataFrame, hits: Bools, doubted: Bools) -> Self:
        """Learn who has which.

        Parameters
        ----------
        sessions : DataFrame of shape (n_sessions, n_columns)
        hits : bool array of shape (n_sessions, len(EVIDENCE))
            As from `fraudlog.detecting.evidence.fired`.
        doubted : bool array of shape (n_sessions,)
            Sessions that were flagged or called abusive: their clients have no habits.
        """
        import pandas as pd  # noqa: PLC0415 -- scoring one row needs no pandas

        clients, walks = self._clients(sessions), _walks(sessions)
        days = sessions["start"].astype("datetime64[ns, UTC]").astype("int64").to_numpy() // _DAY_NS
        walking = pd.Series(days[walks]).groupby(clients[walks]).nunique()
        copiers = walking.index[walking >= _DAYS].to_numpy(np.uint64)
        bad = np.concatenate([clients[doubted | hits[:, ~_MAY_BE].any(axis=1)], copiers])
        is_fine = ~np.isin(clients, bad) & (clients != 0) & ~walks
        found = [np.zeros(0, np.uint64)]
        for place in np.flatnonzero(_MAY_BE & hits[is_fine].any(axis=0)).tolist():
            rows = hits[:, place] & is_fine
            lasting = pd.Series(days[rows]).groupby(clients[rows]).nunique()
            found.append(mix(lasting.index[lasting >= _DAYS].to_numpy(np.uint64), _SALTS[place]))
        self.tokens = np.unique(np.concatenate(found))
        return self

    def _clients(self, sessions: pd.DataFrame) -> Tokens:
        """Return a token of each session's client; 0 where the prefix is unknown."""
        prefixes = entity_tokens(sessions, "ip_prefix", self._key)
        agents = mix(entity_tokens(sessions, "user_agent", self._key), 0)
        return np.where(prefixes == 0, np.uint64(0), mix(prefixes ^ agents, 0))

    def of(self, sessions: pd.DataFrame, hits: Bools) -> Bools:
        """Say which of the evidence against each session is a habit of its client; shaped as `hits`."""
        found = np.zeros_like(hits)
        if len(self.tokens):
            clients = self._clients(sessions)
            may = (clients != 0) & ~_walks(sessions)
            for place in np.flatnonzero(_MAY_BE & hits.any(axis=0)).tolist():
                found[:, place] = hits[:, place] & np.isin(mix(clients, _SALTS[place]), self.tokens) & may
        return found

    def left_of(self, entities: Mapping[str, Any], places: Sequence[int], *, walks: bool) -> list[int]:
        """Return the evidence against one session that is no habit of its client; none is of one that walks."""
        prefix = entities.get("ip_prefix")
        if walks or not len(self.tokens) or prefix is None or not _MAY_BE[list(places)].any():
            return list(places)
        agent = mix_one(entity_token(entities.get("user_agent"), self._key), 0)
        client = mix_one(entity_token(prefix, self._key) ^ agent, 0)
        return [place for place in places if not (_MAY_BE[place] and self._has(mix_one(client, _SALTS[place])))]

    def _has(self, token: int) -> bool:
        at = int(self.tokens.searchsorted(np.uint64(token)))
        return at < len(self.tokens) and int(self.tokens[at]) == token

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], key: bytes) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If the array is missing, misshapen or not in order.
        """
        tokens = arrays.get("habits")
        if tokens is None or tokens.dtype != np.uint64 or tokens.ndim != 1 or not (tokens[1:] > tokens[:-1]).all():
            raise ModelError("the model's habits are missing or misshapen: it is damaged")
        return cls(key, tokens)
