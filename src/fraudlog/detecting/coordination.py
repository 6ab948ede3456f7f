"""The voice of coordination: many networks that do the same thing in the same way, each too little to be seen.

What they have in common is one of three. A *manner* is agent, language, protocol and TLS fingerprint together. One
*shape* is to come straight to a door, with no other page before, to ask the same there and to get the same answer. One
*rhythm* is to ask it equally long after the last step. Windows over other sessions count, as of each event, the
networks (/24, /64) of a day that have it in common, k of n: of its manner those that stood at a door (failed to log
in, logged in, asked for an account, had a card or code refused), of its door those that came straight, or in its
rhythm. Of people's networks a usual share q does. That k - 1 of n - 1 others do is as surprising as the Chernoff bound
of that binomial says: (n - 1) KL(k' || q) / ln 10 digits. Who keeps passwords in a browser comes straight too, and is
in q. An app has no page to come from: that it comes straight says nothing, and it is left out here.

People of a busy manner stand at doors too. So what a session did besides counts: few of those who fail to log in
come for nothing else and never get in. How few is learnt from people at the same door, and the digits are added.

The inverse stands beside it: many agents or accounts behind one prefix are an office, a carrier, a school, unless they
fail together. There one session says less about another, which lowers the confidence and narrows what a verdict
should hold for.
"""

from __future__ import annotations

from functools import lru_cache
from math import isnan
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from fraudlog.detecting.doors import DOORS, Door
from fraudlog.detecting.voices import PLACES, Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["DOORS", "Coordination", "Door", "clients_behind"]


_N: Final = len(DOORS)
_MANNER: Final = 0
_REQUESTS: Final = 1
_HERE: Final = slice(2, 2 + _N)
_AMONG: Final = slice(2 + _N, 2 + 2 * _N)
_OWN: Final = slice(2 + 2 * _N, 2 + 3 * _N)
_THROUGH_IT: Final = slice(2 + 3 * _N, 2 + 4 * _N)
_CALLER: Final = slice(2 + 4 * _N, 5 + 4 * _N)
_ARE_STRAIGHT: Final = np.array([door.kind == "straight" for door in DOORS])
_NAT: Final = ("prefix_users_1d", "prefix_agents_1d", "prefix_failures_1h")
_FEATURES: Final = (
    "manner_prefixes_1d",
    "requests",
    *(door.networks for door in DOORS),
    *(door.among for door in DOORS),
    *(door.own for door in DOORS),
    *(door.through for door in DOORS),
    "browser_requests",
    "automation_share",
    "agent_missing_share",
)
_PLACES: Final = np.array([PLACES[name] for name in _FEATURES])
_NAT_PLACES: Final = np.array([PLACES[name] for name in _NAT])
_SLACK: Final = np.array([door.slack for door in DOORS])
_FEWEST: Final = 20
"""Sessions a manner, or a door, must have before a share or an order is learnt from it."""

_HEARD_FROM: Final = 1.0
"""Digits of surprise below which the others of a manner are as many as they should be."""

_MOST_DIGITS: Final = 6.0
_THROUGH: Final = 1e6
"""Who got through comes after all who did not, however many requests these made."""


class Coordination:
    """Campaigns as a voice.

    Attributes
    ----------
    shares_ : float64 array of shape (len(DOORS),)
        Usual share of people's networks at each door: of a manner those that stand there on a day, of those who stand
        there those that came straight, or in one rhythm.
    company_ : list of float64 arrays
        Of people who came to each door, whether or not they got through: what else they did, rising.
    """

    name: ClassVar[str] = "coordination"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.shares_: Floats = np.full(_N, 0.5)
        self.company_: list[Floats] = [np.zeros(0)] * _N

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:
        """Learn how many people's networks stand at each door, and what they do besides."""
        people = sessions[human & _is_whole(sessions)]
        values = _matrix(people, _FEATURES)
        self.shares_ = _usual_shares(_stood(values), _manners(people))
        calm = self._surprise(values) < _HEARD_FROM
        company, came = _company(values), values[:, _OWN] >= 1
        self.company_ = [np.sort(company[calm[:, door] & came[:, door], door]) for door in range(_N)]
        return self

    def held_out(self, sessions: pd.DataFrame, human: Bools) -> Floats:
        """Return the strengths of the presumed-human rows."""
        return self.judge(sessions[human]).strength

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the digits of surprise; 0 for who stands at no door, NaN where the log tells no manner."""
        values = _matrix(sessions, _FEATURES)
        strength, door = self._strength(values)
        certainty = _certainty(_matrix(sessions, _NAT))
        if "user" in sessions.columns:
            certainty = np.where(sessions["user"].notna(), 1.0, certainty)

        def causes(rows: Sequence[int]) -> list[list[Cause]]:
            return [_causes(int(door[row]), values[row]) for row in rows]

        return Judgement(strength, causes, certainty)

    def prepare(self) -> None:
        """Have nothing to prepare."""

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        values = row.features.take(_PLACES)
        user = row.entities.get("user")
        is_known = user is not None and user == user  # noqa: PLR0124 -- NaN is not itself
        certainty = 1.0 if is_known else _certainty_of(*map(_known, row.features.take(_NAT_PLACES).tolist()))
        at_doors = values[_HERE].tolist()
        if not any(count >= 1 for count in at_doors):
            return Opinion(float("nan") if isnan(values[_MANNER]) else 0.0, list, certainty)
        strength, door = self._strength(values[np.newaxis])
        return Opinion(float(strength[0]), lambda: _causes(int(door[0]), values), certainty)

    def _strength(self, values: Floats) -> tuple[Floats, NDArray[np.intp]]:
        surprise = self._surprise(values)
        company, alone = _company(values), np.zeros_like(surprise)
        for door, people in enumerate(self.company_):
            if len(people) >= _FEWEST:
                no_more = np.searchsorted(people, company[:, door], side="right")
                alone[:, door] = -np.log10((no_more + 1.0) / (len(people) + 1.0))
        heard = np.where(surprise >= _HEARD_FROM, np.minimum(surprise, _MOST_DIGITS) + alone, 0.0)
        door = heard.argmax(axis=1)
        strength = heard[np.arange(len(values)), door]
        tells_nothing = np.isnan(values[:, _MANNER]) & np.isnan(values[:, _HERE]).all(axis=1)
        return np.where(tells_nothing, np.nan, strength), door

    def _surprise(self, values: Floats) -> Floats:
        """Return the digits of the Chernoff bound, at each door; 0 where the others are as many as usual or fewer."""
        others = np.maximum(np.nan_to_num(values[:, _AMONG], nan=0.0) - 1.0, 1.0)
        here = np.minimum(np.nan_to_num(values[:, _HERE], nan=0.0) - 1.0, others)
        share, usual = np.clip(here / others, 0.0, 1.0), np.minimum(self.shares_ * _SLACK, 0.95)
        with np.errstate(divide="ignore", invalid="ignore"):
            more = np.where(share > 0, share * np.log(share / usual), 0.0)
            less = np.where(share < 1, (1.0 - share) * np.log((1.0 - share) / (1.0 - usual)), 0.0)
        digits = others * (more + less) / np.log(10.0)
        found: Floats = np.where((here >= 2) & (share > usual) & ~(_apps(values) & _ARE_STRAIGHT), digits, 0.0)
        return found

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what people do at each door."""
        return {"shares": self.shares_} | {f"company.{door}": people for door, people in enumerate(self.company_)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        voice, shares = cls(parameters), arrays.get("shares")
        company = [arrays.get(f"company.{door}") for door in range(_N)]
        if shares is None or shares.dtype != np.float64 or shares.shape != (_N,):
            raise ModelError("the model's shares of doors are missing or misshapen: save it again")
        if not ((shares > 0) & (shares < 1)).all():
            raise ModelError("the model's shares of doors are out of range: save it again")
        for people in company:
            if people is None or people.dtype != np.float64 or people.ndim != 1 or not (np.diff(people) >= 0).all():
                raise ModelError("the model's people at doors are missing or out of order: save it again")
        voice.shares_ = shares
        voice.company_ = [people for people in company if people is not None]
        return voice


def clients_behind(sessions: pd.DataFrame) -> Floats:
    """Estimate how many clients stand behind each session's prefix.

    The accounts or the agents of a day, whichever are more; 1 where their logins fail together, for then
    they are one who tries many.

    Returns
    -------
    float64 array of shape (n_sessions,)
        At least 1.
    """
    return _clients(_matrix(sessions, _NAT))


def _clients(values: Floats) -> Floats:
    known = np.nan_to_num(values, nan=0.0)
    clients = np.maximum(np.maximum(known[:, 0], known[:, 1]), 1.0)
    return np.where(2.0 * known[:, 2] >= clients, 1.0, clients)


def _certainty(values: Floats) -> Floats:
    """Return the factor on the confidence: 1 for one client, 0.67 for four, 0.5 for sixteen."""
    return 1.0 / (1.0 + np.log2(_clients(values)) / 4.0)


def _known(value: float) -> float:
    return 0.0 if isnan(value) else value


@lru_cache(4096)  # they are whole numbers, mostly small
def _certainty_of(n_users: float, n_agents: float, n_failures: float) -> float:
    """Do what `_certainty` does for one."""
    return float(_certainty(np.array([[n_users, n_agents, n_failures]]))[0])


def _matrix(sessions: pd.DataFrame, names: Sequence[str]) -> Floats:
    """Return features as numbers, NaN where the table lacks one."""
    columns = [
        sessions[name].to_numpy(np.float64, na_value=np.nan)
        if name in sessions.columns
        else np.full(len(sessions), np.nan)
        for name in names
    ]
    return np.stack(columns, axis=1)


def _is_whole(sessions: pd.DataFrame) -> Bools:
    is_last = sessions["is_last"].to_numpy(bool) if "is_last" in sessions.columns else np.ones(len(sessions), bool)
    return np.asarray(is_last, np.bool_)


def _manners(sessions: pd.DataFrame) -> NDArray[np.int64]:
    """Give each session the number of its manner, as far as the table tells it: by agent and language."""
    from fraudlog.detecting.drawing import numbered  # noqa: PLC0415 -- scoring one row must not import pandas

    codes = [numbered(sessions[name])[0] for name in ("user_agent", "language") if name in sessions.columns]
    if not codes:
        return np.zeros(len(sessions), np.int64)
    return np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _stood(values: Floats) -> Floats:
    """Return of each session what the usual share at each door is the mean of; NaN where it is not asked.

    Of a manner, whether it stood there; of those who did, whether it came straight, and the share of others in its
    rhythm.
    """
    here, among = values[:, _HERE], values[:, _AMONG]
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = np.where(among >= 2, (here - 1.0) / (among - 1.0), np.nan)
    stood = {
        "manner": (here >= 1).astype(np.float64),
        "straight": np.where((among >= 1) & ~_apps(values), (here >= 1).astype(np.float64), np.nan),
        "rhythm": alike,
    }
    return np.stack([stood[door.kind][:, place] for place, door in enumerate(DOORS)], axis=1)


def _usual_shares(stood: Floats, manners: NDArray[np.int64]) -> Floats:
    """Return the usual share at each door: the median manner's, so that a campaign in a few can't set it.

    The median is weighted by sessions, over manners that have twenty; at most the share over all.
    """
    return np.array(
        [_usual_share(column[known], manners[known]) for column, known in zip(stood.T, ~np.isnan(stood.T), strict=True)]
    )


def _usual_share(stood: Floats, manners: NDArray[np.int64]) -> float:
    n = np.bincount(manners, minlength=1)
    big = n >= _FEWEST
    over_all = float((stood.sum() + 1.0) / (len(stood) + 2.0))
    if not big.any():
        return over_all
    of_manner = (np.bincount(manners, weights=stood, minlength=len(n))[big] + 0.5) / (n[big] + 1.0)
    order = np.argsort(of_manner)
    half = np.searchsorted(np.cumsum(n[big][order]), n[big].sum() / 2.0)
    return min(over_all, float(of_manner[order][half]))


def _apps(values: Floats) -> Bools:
    """Say which sessions name neither a browser nor a program, but something; shaped as a column."""
    return np.asarray((np.nan_to_num(values[:, _CALLER], nan=1.0) <= 0).all(axis=1, keepdims=True), np.bool_)


def _company(values: Floats) -> Floats:
    """Return how much a session did besides standing at each door; who got through comes last."""
    through = np.nan_to_num(values[:, _THROUGH_IT], nan=0.0) >= 1
    beside = np.maximum(values[:, _REQUESTS : _REQUESTS + 1] - np.nan_to_num(values[:, _OWN], nan=0.0), 0.0)
    return beside + np.where(through, _THROUGH, 0.0)


def _causes(door: int, values: Floats) -> list[Cause]:
    row = DOORS[door]
    return [Cause(row.code, 1.0, row.networks, float(values[_HERE][door]), row.oat)]
