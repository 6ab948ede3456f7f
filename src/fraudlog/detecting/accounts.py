"""The voice of the accounts: how unlike its account's earlier logins a session is.

It learns from sessions of an account that are presumed human and were not refused, and judges every session of an
account by what others of it were like. An account with fewer than three of them is learning: the voice abstains.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from math import log10
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from fraudlog.detecting.drawing import mix, mix_one
from fraudlog.detecting.entities import entity_token, entity_tokens, secret
from fraudlog.detecting.histories import COLUMNS, LADDERS, WEEK_DAYS, AccountHistory, LoginRisk, week_of
from fraudlog.detecting.voices import Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]
    Tokens = NDArray[np.uint64]

__all__ = ["ACCOUNT_CODES", "Accounts"]

ACCOUNT_CODES: Final = {
    "ACCOUNT_NETWORK": "a network its account has not been seen in, or seldom",
    "ACCOUNT_AGENT": "a browser or device its account has not used, or seldom",
    "ACCOUNT_LANGUAGE": "a language its account has not used, or seldom",
    "ACCOUNT_QUIET": "an account that seldom logs in",
}
"""Codes of this voice's causes, with a sentence each: one a ladder, and one for the account itself."""

_OAT: Final = "OAT-008"
_REMEMBERED: Final = 1 << 16
_EPOCH: Final = date(1970, 1, 1)
_DAY_US: Final = 86_400_000_000
_PROBE: Final = "fraudlog accounts"


class Accounts:
    """Histories of accounts as a voice.

    Attributes
    ----------
    history : AccountHistory
        The counts; a service may go on learning with them.
    learnt : dict of int to int
        Week of each session they are of, by its token.
    """

    name: ClassVar[str] = "accounts"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.history = AccountHistory()
        self.learnt: dict[int, int] = {}
        self._key = secret(self.parameters)
        self._token = lru_cache(_REMEMBERED)(self._one_token)

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:
        """Count the logins of accounts."""
        wanted = human & _is_login(sessions)
        users = entity_tokens(sessions[wanted], "user", self._key)
        self.history = AccountHistory(self.history.enough)
        weeks = _weeks(sessions[wanted])
        self.history.learn(users.tolist(), self._values(sessions[wanted]), weeks)
        ids = entity_tokens(sessions[wanted], "session_id", self._key).tolist()
        self.learnt = dict(zip(ids, weeks, strict=True))
        return self

    def forget_before(self, day: date) -> int:
        """Take out what was learnt in weeks that began before a day; returns how many logins."""
        first = week_of((day - _EPOCH).days + WEEK_DAYS - 1)
        self.learnt = {session: week for session, week in self.learnt.items() if week >= first}
        return self.history.forget_before(first)

    def held_out(self, sessions: pd.DataFrame, human: Bools) -> Floats:
        """Return the strengths of the presumed-human rows, each as if its own session had not been learnt."""
        return self.judge(sessions[human]).strength

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the decimal logarithm of each session's likelihood ratio; NaN without an account that is known."""
        strength = np.full(len(sessions), np.nan)
        if "user" not in sessions.columns or not len(self.history):
            return Judgement(strength, lambda rows: [[] for _ in rows])
        users = entity_tokens(sessions, "user", self._key)
        rows = np.flatnonzero(users)
        chosen = sessions.iloc[rows]
        ids = entity_tokens(chosen, "session_id", self._key).tolist()
        asked = zip(rows.tolist(), users[rows].tolist(), self._values(chosen).tolist(), ids, strict=True)
        found: dict[int, LoginRisk] = {}
        for row, user, values, session in asked:
            risk = self.history.risk(user, values, is_learnt=session in self.learnt)
            if risk is not None:
                found[row] = risk
                strength[row] = log10(risk.ratio)

        def causes(wanted: Sequence[int]) -> list[list[Cause]]:
            return [_causes(found[row]) for row in wanted]

        return Judgement(strength, causes)

    def prepare(self) -> None:
        """Have nothing to prepare."""

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        known = row.entities
        user = entity_token(known.get("user"), self._key)
        if not user:
            return Opinion(float("nan"), list)
        values = [self._token(place, known.get(column)) for place, column in enumerate(COLUMNS)]
        session = entity_token(known.get("session_id"), self._key) if self.learnt else 0
        risk = self.history.risk(user, values, is_learnt=session in self.learnt)
        if risk is None:
            return Opinion(float("nan"), list)
        return Opinion(log10(risk.ratio), lambda: _causes(risk))

    def _values(self, sessions: pd.DataFrame) -> Tokens:
        """Return the tokens of what a login is told by; one value in two columns has two tokens."""
        columns = [entity_tokens(sessions, column, self._key) for column in COLUMNS]
        return np.stack([_of_column(tokens, place) for place, tokens in enumerate(columns)], axis=1)

    def _one_token(self, place: int, value: Any) -> int:  # noqa: ANN401 -- any cell of a table
        token = entity_token(value, self._key)
        return mix_one(token, place + 1) if token else 0

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the counts, under keyed tokens, and which sessions they are of."""
        return self.history.to_arrays() | {
            "learnt": np.array(sorted(self.learnt), np.uint64),
            "learnt_weeks": np.array([self.learnt[session] for session in sorted(self.learnt)], np.int64),
            "key": np.array([entity_token(_PROBE, self._key)], np.uint64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range, or the accounts were learnt under another key.
        """
        voice = cls(parameters)
        learnt, weeks, probe = (arrays.get(name) for name in ("learnt", "learnt_weeks", "key"))
        if learnt is None or weeks is None or probe is None or learnt.shape != weeks.shape:
            raise ModelError("the model's histories of accounts lack an array: save it again")
        if [one.dtype.str[1:] for one in (learnt, weeks, probe)] != ["u8", "i8", "u8"]:
            raise ModelError("the model's histories of accounts are damaged: save it again")
        voice.history = AccountHistory.from_arrays(arrays)
        voice.learnt = dict(zip(learnt.tolist(), weeks.tolist(), strict=True))
        if len(voice.history) and probe.tolist() != [entity_token(_PROBE, voice._key)]:
            raise ModelError("the model knows accounts under a key: load it with the secret it learnt with")
        return voice


def _of_column(tokens: Tokens, place: int) -> Tokens:
    return np.where(tokens == 0, np.uint64(0), mix(tokens, place + 1))


def _weeks(sessions: pd.DataFrame) -> list[int]:
    """Return the week that each session ended in; the first of all where that is not known."""
    if "end" not in sessions.columns:
        return [0] * len(sessions)
    days = sessions["end"].astype("datetime64[us, UTC]").astype("int64").to_numpy() // _DAY_US
    return [week_of(day) for day in days.tolist()]


def _is_login(sessions: pd.DataFrame) -> Bools:
    """Say which rows are whole sessions of an account that got in."""
    if "user" not in sessions.columns:
        return np.zeros(len(sessions), bool)
    login = sessions["user"].notna().to_numpy()
    if "is_last" in sessions.columns:
        login = login & sessions["is_last"].to_numpy(bool)
    if "login_failures" in sessions.columns:
        login = login & ~(sessions["login_failures"].to_numpy(np.float64) > 0)
    return np.asarray(login, np.bool_)


def _causes(risk: LoginRisk) -> list[Cause]:
    """Share the strength out over what made the login unlike the account."""
    logs = [max(log10(part), 0.0) for part in risk.parts]
    total = sum(logs) or 1.0
    codes = [f"ACCOUNT_{ladder.name.upper()}" for ladder in LADDERS] + ["ACCOUNT_QUIET"]
    causes = [Cause(code, part / total, None, oat=_OAT) for code, part in zip(codes, logs, strict=True) if part > 0]
    return sorted(causes, key=lambda cause: -cause.share) or [Cause("ACCOUNT_QUIET", 1.0, None, oat=_OAT)]
