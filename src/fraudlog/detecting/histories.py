"""How accounts log in: counts that add up and that `forget` subtracts exactly, and the risk of a login by them.

They are kept by week, so that what is over its time can be taken out too: after `forget_before` the counts are those
that never saw the weeks before.

The risk is the likelihood ratio of Freeman et al. [1]_, as Wiefling et al. [2]_ deploy it: how much likelier this
network, agent and language are for anybody than for this account,

    S(x) = prod over features of p(x_k) / p(x_k | u, legitimate)  *  p(u | attack) / p(u | legitimate),

with attacks spread over all accounts alike, p(u | attack) = 1 / accounts. A feature is a ladder from the value itself
to what is more general: address, prefix, autonomous system, country. The account's probability interpolates linearly
between the rungs, p(x | u) = sum over rungs of w_l p(x | v_l) p(v_l | u), where v_l is what x is on that rung, and the
values within v_l are as they are for everybody: p(x | v_l) = p(x) / p(v_l). So a new address in the usual network
costs little. Unseen values keep a share of 1 / (n + 1) of all: of everybody's, for one value more; of the account's,
spread as everybody's values are (back-off).

References
----------
.. [1] Freeman, Jain, Duermuth, Biggio, Giacinto: "Who are you? A statistical approach to measuring user authenticity",
   NDSS 2016.
.. [2] Wiefling, Jorgensen, Thunem, Lo Iacono: "Pump up password security!", ACM TOPS 26 (2022).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    Tokens = NDArray[np.uint64]
    Floats = NDArray[np.float64]

__all__ = ["COLUMNS", "LADDERS", "WEEK_DAYS", "AccountHistory", "Ladder", "LoginRisk", "week_of"]


class Ladder(NamedTuple):
    """A feature of a login, from the value itself to what is more general.

    Parameters
    ----------
    name : str
    rungs : tuple of (str, float)
        Columns of the table of sessions, each with its weight; where a login lacks one, the others share its weight.
    """

    name: str
    rungs: tuple[tuple[str, float], ...]


LADDERS: Final = (
    Ladder("network", (("client_ip", 0.4), ("ip_prefix", 0.25), ("asn", 0.2), ("country", 0.15))),
    Ladder("agent", (("user_agent", 0.4), ("browser", 0.3), ("os", 0.2), ("device_class", 0.1))),
    Ladder("language", (("language", 0.6), ("language_primary", 0.4))),
)
"""What a login shows."""

COLUMNS: Final = tuple(column for ladder in LADDERS for column, _ in ladder.rungs)
"""Columns of the table of sessions that a login is told by, in order."""

_RUNGS: Final = [[(COLUMNS.index(column), weight) for column, weight in ladder.rungs] for ladder in LADDERS]
WEEK_DAYS: Final = 7
"""Histories are kept by so many days."""
_KINDS: Final = {"users": "u8", "weeks": "i8", "ends": "i8", "values": "u8", "counts": "i8", "enough": "i8"}
"""Arrays of a model file, and their types."""
_LOGINS: Final = len(COLUMNS)
"""Where the number of logins stands among the counts; below it, how many of them had a value in each column."""


class LoginRisk(NamedTuple):
    """The risk of one login.

    Parameters
    ----------
    ratio : float
        Likelihood ratio: above 1 it is likelier somebody else's login.
    parts : tuple of float
        The factor of each of `LADDERS`, and last of the account itself; their product is the ratio.
    """

    ratio: float
    parts: tuple[float, ...]


class AccountHistory:
    """Counts of how each account logged in.

    Parameters
    ----------
    enough : int, default 3
        Logins an account must have before its logins are judged; until then it is learning.

    Examples
    --------
    >>> history = AccountHistory()
    >>> usual = np.arange(1, 11, dtype=np.uint64)
    >>> history.learn([1, 1, 1, 2], np.stack([usual, usual, usual, usual + np.uint64(100)]))
    >>> history.state(1), history.state(2), history.state(3)
    ('known', 'learning', 'unknown')
    >>> history.risk(1, usual.tolist()).ratio < 1 < history.risk(1, (usual + np.uint64(50)).tolist()).ratio
    True
    """

    def __init__(self, enough: int = 3) -> None:
        self.enough = enough
        self._weeks: dict[int, dict[int, dict[int, int]]] = {}
        self._unread: Mapping[str, NDArray[Any]] | None = None
        self.own: dict[int, dict[int, int]] = {}
        self.everyone: dict[int, int] = {}

    @property
    def weeks(self) -> dict[int, dict[int, dict[int, int]]]:
        """The counts of each week, by account; taken out of the arrays of a file only when somebody asks."""
        if self._unread is not None:
            self._weeks, self._unread = _by_week(self._unread), None
        return self._weeks

    def __len__(self) -> int:
        """Return how many accounts are known."""
        return len(self.own)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccountHistory) and self.weeks == other.weeks and self.everyone == other.everyone

    __hash__ = None  # type: ignore[assignment] # it changes

    def state(self, user: int) -> str:
        """Say whether an account is ``unknown``, ``learning`` or ``known``."""
        mine = self.own.get(user)
        return "unknown" if mine is None else "known" if mine[_LOGINS] >= self.enough else "learning"

    def learn(self, users: Iterable[int], values: Tokens, weeks: Iterable[int] | None = None) -> None:
        """Count logins.

        Parameters
        ----------
        users : iterable of int
            Token of each login's account.
        values : uint64 array of shape (n_logins, len(COLUMNS))
            Token of each value; 0 is unknown. A token says which column it is of, too.
        weeks : iterable of int, optional
            Week of each login, as `week_of` counts them; the first of all, if not given.
        """
        for user, row, week in zip(users, values.tolist(), [0] * len(values) if weeks is None else weeks, strict=True):
            self._add(self._part(week, int(user)), row)
            self._add(self.own.setdefault(int(user), {}), row)
            self._add(self.everyone, row)

    def _part(self, week: int, user: int) -> dict[int, int]:
        return self.weeks.setdefault(int(week), {}).setdefault(user, {})

    @staticmethod
    def _add(counts: dict[int, int], row: Sequence[int]) -> None:
        for column, value in enumerate(row):
            if value:
                counts[value] = counts.get(value, 0) + 1
                counts[column] = counts.get(column, 0) + 1
        counts[_LOGINS] = counts.get(_LOGINS, 0) + 1

    def merge(self, other: AccountHistory) -> None:
        """Add the counts of another period, or of another part of the accounts."""
        for week, users in other.weeks.items():
            for user, counts in users.items():
                _plus(self._part(week, user), counts)
                _plus(self.own.setdefault(user, {}), counts)
                _plus(self.everyone, counts)

    def subtract(self, other: AccountHistory) -> None:
        """Take counts out that were merged or learnt before: what remains never saw them.

        Raises
        ------
        ValueError
            If they were not all in.
        """
        for week, users in other.weeks.items():
            for user, counts in users.items():
                _minus(self.weeks.get(week, {}).get(user, {}), counts)
                self._take_out(user, counts)
        self._drop_empty()

    def logins(self, user: int) -> int:
        """Return how many logins of an account were counted."""
        return self.own.get(user, {}).get(_LOGINS, 0)

    def forget(self, user: int) -> bool:
        """Take an account out as if it had never logged in; says whether it was there."""
        counts = self.own.get(user)
        if counts is None:
            return False
        self._take_out(user, dict(counts))
        for users in self.weeks.values():
            users.pop(user, None)
        self._drop_empty()
        return True

    def forget_before(self, week: int) -> int:
        """Take all weeks before one out as if nobody had logged in in them; returns how many logins went."""
        n_gone = 0
        for old in [one for one in self.weeks if one < week]:
            for user, counts in self.weeks.pop(old).items():
                n_gone += counts[_LOGINS]
                self._take_out(user, counts)
        return n_gone

    def _take_out(self, user: int, counts: Mapping[int, int]) -> None:
        mine = self.own.get(user, {})
        _minus(mine, counts)
        if not mine:
            del self.own[user]
        _minus(self.everyone, counts)

    def _drop_empty(self) -> None:
        parts = {week: {user: part for user, part in users.items() if part} for week, users in self.weeks.items()}
        self._weeks = {week: users for week, users in parts.items() if users}

    def risk(self, user: int, values: Sequence[int], *, is_learnt: bool = False) -> LoginRisk | None:
        """Return the risk of a login, or None while its account is learning or unknown.

        Parameters
        ----------
        user : int
            Token of the account.
        values : sequence of int, shape (len(COLUMNS),)
            Tokens of the values, as `learn` takes them.
        is_learnt : bool
            Whether this very login was counted: then it is judged as if it had not been.
        """
        mine = self.own.get(user)
        seen = int(is_learnt)
        if mine is None or mine[_LOGINS] - seen < self.enough:
            return None
        ratio, parts = 1.0, []
        for rungs in _RUNGS:
            part = self._ladder(mine, rungs, values, seen)
            parts.append(part)
            ratio *= part
        part = (self.everyone[_LOGINS] - seen) / (len(self.own) * (mine[_LOGINS] - seen))
        return LoginRisk(ratio * part, (*parts, part))

    def _ladder(
        self, mine: Mapping[int, int], rungs: Sequence[tuple[int, float]], values: Sequence[int], seen: int
    ) -> float:
        """Return p(x) / p(x | u) of one feature: 1 where the login, or the account, lacks it wholly."""
        everyone = self.everyone
        likelier = weights = 0.0
        for column, weight in rungs:
            value = values[column]
            n_mine = mine.get(column, 0) - seen
            if not value or n_mine <= 0:
                continue
            of_all = max(everyone.get(value, 0) - seen, 1) / (everyone[column] - seen + 1)
            of_mine = max(mine.get(value, 0) - seen, 0) + of_all
            likelier += weight * (of_mine / (n_mine + 1) / of_all)
            weights += weight
        return weights / likelier if weights else 1.0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the counts as arrays of numbers, by account and week."""
        keys = sorted((user, week) for week, users in self.weeks.items() for user in users)
        pairs = [sorted(self.weeks[week][user].items()) for user, week in keys]
        return {
            "users": np.array([user for user, _ in keys], np.uint64),
            "weeks": np.array([week for _, week in keys], np.int64),
            "ends": np.cumsum([0, *(len(one) for one in pairs)])[1:].astype(np.int64),
            "values": np.array([value for one in pairs for value, _ in one], np.uint64),
            "counts": np.array([count for one in pairs for _, count in one], np.int64),
            "enough": np.array([self.enough], np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> AccountHistory:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        found = {name: arrays[name] for name in _KINDS if name in arrays}
        if len(found) < len(_KINDS):
            raise ModelError("the model's histories of accounts lack an array: save it again")
        if any(found[name].dtype.str[1:] != kind for name, kind in _KINDS.items()) or not _fits(**found):
            raise ModelError("the model's histories of accounts are damaged: save it again")
        history = cls(int(found["enough"][0]))
        history._unread = found
        history.own = _by_user(found)
        everyone, place = np.unique(found["values"], return_inverse=True)
        total = np.zeros(len(everyone), np.int64)
        np.add.at(total, place, found["counts"])
        history.everyone = dict(zip(everyone.tolist(), total.tolist(), strict=True))
        return history


def _by_week(found: Mapping[str, NDArray[Any]]) -> dict[int, dict[int, dict[int, int]]]:
    """Return the counts of each part, by week and account."""
    weeks: dict[int, dict[int, dict[int, int]]] = {}
    bounds = pairwise([0, *found["ends"].tolist()])
    listed = list(zip(found["values"].tolist(), found["counts"].tolist(), strict=True))
    for user, week, (first, end) in zip(found["users"].tolist(), found["weeks"].tolist(), bounds, strict=True):
        weeks.setdefault(week, {})[user] = dict(listed[first:end])
    return weeks


def _by_user(found: Mapping[str, NDArray[Any]]) -> dict[int, dict[int, int]]:
    """Return the counts of each account over all weeks."""
    if not len(found["users"]):
        return {}
    owners = np.repeat(found["users"], np.diff(found["ends"], prepend=0))
    order = np.lexsort((found["values"], owners))
    owners, values = owners[order], found["values"][order]
    is_new = np.append(True, (owners[1:] != owners[:-1]) | (values[1:] != values[:-1]))
    firsts = np.flatnonzero(is_new)
    counts = np.add.reduceat(found["counts"][order], firsts)
    listed = list(zip(values[firsts].tolist(), counts.tolist(), strict=True))
    users, begins = np.unique(owners[firsts], return_index=True)
    bounds = pairwise([*begins.tolist(), len(listed)])
    return {user: dict(listed[first:end]) for user, (first, end) in zip(users.tolist(), bounds, strict=True)}


def week_of(day: int) -> int:
    """Return the week of a day, both counted from 1 January 1970: what histories are kept by.

    Examples
    --------
    >>> week_of(6), week_of(7)
    (0, 1)
    """
    return day // WEEK_DAYS


def _fits(
    users: NDArray[Any],
    weeks: NDArray[Any],
    ends: NDArray[Any],
    values: NDArray[Any],
    counts: NDArray[Any],
    enough: NDArray[Any],
) -> bool:
    """Say whether arrays are of the sizes that belong together, with every count above 0 and every part once."""
    if users.ndim != 1 or not users.shape == weeks.shape == ends.shape or enough.shape != (1,):
        return False
    last = int(ends[-1]) if len(ends) else 0
    is_rising = bool((np.diff(ends, prepend=0) > 0).all() and (counts > 0).all())
    if not (values.shape == counts.shape == (last,) and is_rising):
        return False
    order = np.lexsort((weeks, users))
    is_again = (np.diff(users[order]) == 0) & (np.diff(weeks[order]) == 0)
    n_logins = np.add.reduceat(values == _LOGINS, np.append(0, ends[:-1])) if len(ends) else ends
    return not is_again.any() and bool((n_logins == 1).all())


def _plus(counts: dict[int, int], more: Mapping[int, int]) -> None:
    for value, count in more.items():
        counts[value] = counts.get(value, 0) + count


def _minus(counts: dict[int, int], less: Mapping[int, int]) -> None:
    for value, count in less.items():
        left = counts.get(value, 0) - count
        if left < 0:
            raise ValueError("more logins to take out than were counted")
        if left:
            counts[value] = left
        else:
            del counts[value]
