"""`Policy`: scores into decisions, by rules, within a budget of reviews, and with a way back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pandas as pd

from fraudlog.deciding.allowing import AllowList
from fraudlog.deciding.budget import human_budget, on_budget
from fraudlog.deciding.decision import SCOPES, VERDICTS, Scope, Verdict
from fraudlog.deciding.rules import Rule
from fraudlog.deciding.scoping import SHARED_BY, Ruling, choose_scope, crowd_behind, subject_of
from fraudlog.deciding.settings import check, read_toml, table_of, typed
from fraudlog.deciding.targets import bystanders, lasting, strikes_of
from fraudlog.detecting.evidence import verified_crawler
from fraudlog.errors import ConfigError, SchemaError
from fraudlog.schema import DECISIONS, column_names, require_columns
from fraudlog.sessions.definition import microseconds

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from fraudlog.detecting import Reason

__all__ = ["Policy"]

_OBSERVE: Final = 1
_CHALLENGE: Final = 2
_DENY: Final = 3


@dataclass(frozen=True)
class Policy:
    """What to do about a risk, to whom, and for how long.

    Nothing is denied unless `deny_at` or a rule asks for it: a solely automated denial is for people to ask for (GDPR,
    art. 22). Who is on the allow list always passes, and a crawler whose address confirms its name is never challenged.

    Parameters
    ----------
    daily_reviews : int, optional
        At most so many challenges a day (UTC, by the session's start): those of the highest risk. The rest is observed.
    human_share : float, optional
        At most this share of presumed humans is challenged (0.005 is 0.5 %), instead of from a risk on. What risk that
        is depends on the detector: decide by ``policy.measured(detector.human_risk_)``; jobs and services do so.
    observe_at, challenge_at : float, default 0.3 and 0.5
        Risks from which a session is observed or challenged.
    deny_at : float, optional
        Risk from which it is denied.
    challenge_confidence, deny_confidence : float, default 0 and 0.25
        Confidence below which a session is observed instead of challenged, or challenged instead of denied.
    rules : tuple of Rule
        Verdicts by evidence and endpoint; the hardest that holds counts, then the caps.
    scopes : tuple of str, default session, user and prefix
        What a verdict may hold for; what is not among these is narrowed to the session.
    shared_users, shared_agents : int, default 2 and 3
        An address with more accounts or more agents in a day is shared: no verdict holds for all of it,
        unless they fail to log in together and no presumed human was seen there for seven days.
    max_collateral : int, optional
        More presumed-human sessions of the last seven days than this that would also be hit narrow a verdict to the
        session.
    ttl : str, default "1h"
        How long a verdict holds after the session's last request.
    escalation : float, default 2
        Factor by which each earlier session of the same account, network or profile that was challenged or denied
        lengthens it; 1 for none.
    max_ttl, memory : str, default "7D"
        Longest a verdict holds, and how long the earlier ones are remembered.
    allow : AllowList, optional
    fallback : str, default "observe"
        Verdict when the model can't answer; never deny.
    dry_run : bool, default False
        Say what would be done (`intended`) and do no more than observe.
    human_risk : float, optional
        The risk that `human_share` came to; set by `measured`.

    Raises
    ------
    ConfigError
        If a setting is out of range or does not fit another; it names the parameter.

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
    challenge_confidence: float = 0.0
    deny_confidence: float = 0.25
    rules: tuple[Rule, ...] = ()
    scopes: tuple[Scope, ...] = ("session", "user", "prefix")
    shared_users: int = 2
    shared_agents: int = 3
    max_collateral: int | None = None
    ttl: str = "1h"
    escalation: float = 2.0
    max_ttl: str = "7D"
    memory: str = "7D"
    allow: AllowList = AllowList()  # noqa: RUF009 -- frozen
    fallback: Verdict = "observe"
    dry_run: bool = False
    human_share: float | None = None
    human_risk: float | None = None

    def __post_init__(self) -> None:
        for name, kind in (("rules", Rule), ("allow", AllowList)):
            object.__setattr__(self, name, typed(getattr(self, name), kind, name))
        object.__setattr__(self, "scopes", tuple(self.scopes))
        check(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Return the policy of settings by name, as `to_dict` gives them.

        Raises
        ------
        ConfigError
            If a name is not a setting; the message lists those there are.
        """
        names = [field.name for field in fields(cls)]
        return cls(**table_of(settings, names, "policy"))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Self:
        """Return the policy of a TOML file: its table ``[policy]``, or the whole file.

        Raises
        ------
        ConfigError
            If it can't be read, is no TOML, or a setting is wrong.
        """
        settings = read_toml(path)
        return cls.from_dict(settings.get("policy", settings))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON and TOML hold them. The allow list may name accounts."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        nested = {"rules": [rule.to_dict() for rule in self.rules], "allow": self.allow.to_dict()}
        return values | {"scopes": list(self.scopes)} | nested

    def measured(self, human_risks: ArrayLike) -> Self:
        """Return the policy with the risk that `human_share` comes to; itself, if it has none.

        Parameters
        ----------
        human_risks : array-like of shape (n_people,)
            Risks of presumed humans that the detector did not learn from, as ``Detector.human_risk_``.

        Examples
        --------
        >>> policy = Policy(human_share=0.01).measured(np.linspace(0, 0.5, 999))
        >>> round(policy.challenge_at, 3)
        0.495
        """
        if self.human_share is None:
            return self
        budget = human_budget(human_risks, self.human_share)
        return replace(on_budget(self, budget), human_risk=budget.risk)  # type: ignore[return-value] # its own kind

    def _check_measured(self) -> None:
        if self.human_share is not None and self.human_risk is None:
            raise ConfigError(
                "human_share is no risk yet: decide by policy.measured(detector.human_risk_)", parameter="human_share"
            )

    @cached_property
    def version(self) -> str:
        """Digest of the settings: decisions of the same version were made by the same rules."""
        return hashlib.sha256(repr(sorted(self.to_dict().items())).encode()).hexdigest()[:12]

    @cached_property
    def ttls_us(self) -> tuple[int, ...]:
        """How long a verdict holds, in microseconds, after 0, 1, 2 ... earlier ones; the last for all more."""
        ttl, longest = microseconds(self.ttl, "ttl"), microseconds(self.max_ttl, "max_ttl")
        steps = [min(ttl, longest)]
        while self.escalation > 1 and steps[-1] < longest and len(steps) < 64:
            steps.append(min(int(ttl * self.escalation ** len(steps)), longest))
        return tuple(steps)

    @cached_property
    def memory_us(self) -> int:
        """How long earlier verdicts are remembered, in microseconds."""
        return microseconds(self.memory, "memory")

    # --- one session of a service ------------------------------------------------------------------------------------

    def rule(  # noqa: PLR0913 -- what is known of a session, each a value of its own
        self,
        risk: float,
        confidence: float,
        reasons: Sequence[Reason],
        *,
        endpoint: str | None = None,
        user: str | None = None,
        prefix: str | None = None,
        profile: str | None = None,
        n_users: float | None = None,
        n_agents: float | None = None,
        n_failures: float | None = None,
        is_allowed: bool = False,
        is_verified_crawler: bool = False,
    ) -> Ruling:
        """Say what to do about one session, and what that holds for; `decide` gives the same for a table."""
        if is_allowed:
            return Ruling(0, "session", None)
        level = self._level(risk, confidence, reasons, endpoint)
        if level < _CHALLENGE:
            return Ruling(level, "session", None)
        if is_verified_crawler:
            return Ruling(_OBSERVE, "session", None)
        return Ruling(level, *self._scope(reasons, user, prefix, profile, n_users, n_agents, n_failures))

    def _level(self, risk: float, confidence: float, reasons: Sequence[Reason], endpoint: str | None) -> int:
        self._check_measured()
        level = int(risk >= self.observe_at) + int(risk >= self.challenge_at)
        if self.deny_at is not None and risk >= self.deny_at:
            level = _DENY
        if level == _DENY and confidence < self.deny_confidence:
            level = _CHALLENGE
        if level == _CHALLENGE and confidence < self.challenge_confidence:
            level = _OBSERVE
        if self.rules:
            codes = {reason["code"] for reason in reasons}
            for rule in self._ordered:
                if rule.holds(risk, confidence, codes, endpoint):
                    level = min(level, rule.level) if rule.is_cap else max(level, rule.level)
        return int(level)

    @cached_property
    def _ordered(self) -> tuple[Rule, ...]:
        """Rules that make verdicts harder before those that cap them."""
        return tuple(sorted(self.rules, key=lambda rule: rule.is_cap))

    def _scope(
        self,
        reasons: Sequence[Reason],
        user: str | None,
        prefix: str | None,
        profile: str | None,
        n_users: float | None,
        n_agents: float | None,
        n_failures: float | None,
    ) -> tuple[Scope, str | None, bool]:
        crowd = crowd_behind(n_users, n_agents, n_failures, self.shared_users, self.shared_agents)
        if crowd == "many":
            prefix = None
        scope = choose_scope(subject_of(reasons[0]["code"] if reasons else None), user, profile, prefix)
        if scope not in self.scopes:
            scope = "session"
        target = {"session": None, "user": user, "prefix": prefix, "profile": profile}[scope]
        if scope == "prefix" and target is not None and self.allow.touches(target):
            return "session", None, False
        return scope, target, crowd == "one" and scope == "prefix"

    # --- a table -----------------------------------------------------------------------------------------------------

    def decide(self, scores: pd.DataFrame, sessions: pd.DataFrame | None = None) -> pd.DataFrame:
        """Say what to do about each session.

        Parameters
        ----------
        scores : DataFrame of shape (n_sessions, n_columns)
            As from ``Detector.score``.
        sessions : DataFrame of shape (n_sessions, n_columns), optional
            The sessions scored, in the same order. Without them nobody's account or network is known: every verdict
            holds for its session alone, and an allow list can't be honoured.

        Returns
        -------
        DataFrame of shape (n_sessions, 8)
            `fraudlog.schema.DECISIONS`, in the order of `scores`.

        Raises
        ------
        SchemaError
            If a column is missing, or there is an allow list and no table of sessions.
        """
        require_columns(scores, ["session_id", "start", "end", "risk", "reasons"], table="scores")
        known = _joined(scores, sessions, needed=bool(self.allow))
        level = self._levels(scores)
        if sessions is not None:
            is_verified = verified_crawler(known)
            level[is_verified] = np.minimum(level[is_verified], _OBSERVE)
            level[self.allow.rows(known)] = 0
        level = self._within_budget(scores, level)
        scope, target, spares_all = self._scopes(scores, known, level)
        collateral = bystanders(known, scope, target) if sessions is not None else np.zeros(len(scores), np.int64)
        narrowed = spares_all & (collateral > 0)
        if self.max_collateral is not None:
            narrowed |= collateral > self.max_collateral
        scope[narrowed], target[narrowed], collateral[narrowed] = "session", None, 0
        strikes = strikes_of(scores["end"], scope, target, self.memory_us)
        verdicts = np.array(VERDICTS, dtype=object)
        columns = {
            "session_id": scores["session_id"],
            "verdict": pd.array(verdicts[np.minimum(level, _OBSERVE) if self.dry_run else level], dtype="str"),
            "scope": pd.array(scope, dtype="str"),
            "expires": scores["end"] + lasting(self.ttls_us, strikes, scores.index),
            "reasons": scores["reasons"],
            "policy_version": pd.array([self.version] * len(scores), dtype="str"),
            "collateral": pd.array(collateral, dtype="Int64"),
            "intended": pd.array(verdicts[level], dtype="str"),
        }
        return pd.DataFrame({name: columns[name] for name in column_names(DECISIONS)})

    def _levels(self, scores: pd.DataFrame) -> NDArray[np.int64]:
        """Return what `_level` returns for each row."""
        self._check_measured()
        risk = scores["risk"].to_numpy(np.float64)
        has_confidence = "confidence" in scores.columns
        confidence = scores["confidence"].to_numpy(np.float64) if has_confidence else np.ones(len(scores))
        level: NDArray[np.int64] = np.digitize(risk, [self.observe_at, self.challenge_at])
        if self.deny_at is not None:
            level[risk >= self.deny_at] = _DENY
        level[(level == _DENY) & (confidence < self.deny_confidence)] = _CHALLENGE
        level[(level == _CHALLENGE) & (confidence < self.challenge_confidence)] = _OBSERVE
        if self.rules:
            codes = [{reason["code"] for reason in reasons} for reasons in scores["reasons"]]
            for rule in self._ordered:
                rows = rule.rows(risk, confidence, codes)
                bound = np.minimum if rule.is_cap else np.maximum
                level[rows] = bound(level[rows], rule.level)
        return level

    def _within_budget(self, scores: pd.DataFrame, level: NDArray[np.int64]) -> NDArray[np.int64]:
        """Observe what goes beyond the day's reviews, the lowest risks first."""
        if self.daily_reviews is None:
            return level
        is_challenge = level == _CHALLENGE
        day = scores["start"].dt.floor("D")
        rank = scores["risk"].where(is_challenge).groupby(day).rank(method="first", ascending=False)
        return np.where(is_challenge & (rank > self.daily_reviews).to_numpy(), _OBSERVE, level)

    def _scopes(
        self, scores: pd.DataFrame, known: pd.DataFrame, level: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
        """Return scope, target and whether all bystanders are spared; only challenges and denials reach further."""
        scope = np.full(len(scores), SCOPES[0], dtype=object)
        target = np.full(len(scores), None, dtype=object)
        spares_all = np.zeros(len(scores), bool)
        rows = np.flatnonzero(level >= _CHALLENGE)
        names = ("user", "ip_prefix", "profile", *SHARED_BY)
        if not len(rows) or not any(name in known.columns for name in names):
            return scope, target, spares_all
        picked = known.iloc[rows]
        columns = [_values(picked, name) for name in names]
        reasons = scores["reasons"].iloc[rows]
        chosen = [self._scope(why, *row) for why, row in zip(reasons, zip(*columns, strict=True), strict=True)]
        for column, values in zip((scope, target, spares_all), zip(*chosen, strict=True), strict=True):
            column[rows] = values
        return scope, target, spares_all


def _joined(scores: pd.DataFrame, sessions: pd.DataFrame | None, *, needed: bool) -> pd.DataFrame:
    """Return the table of sessions, row by row that of the scores; an empty one if there is none."""
    if sessions is None:
        if needed:
            raise SchemaError(
                "the policy has an allow list: pass the table of sessions too, decide(scores, sessions)",
                missing=["client_ip", "user", "profile"],
            )
        return pd.DataFrame(index=scores.index)
    require_columns(sessions, ["session_id", "start", "end"], table="sessions")
    same = len(sessions) == len(scores) and sessions["session_id"].tolist() == scores["session_id"].tolist()
    if not same:
        raise SchemaError("scores and sessions are not the same sessions in the same order", missing=["session_id"])
    return sessions


def _values(frame: pd.DataFrame, name: str) -> list[Any]:
    """Return a column as plain values, None for null and for a column that is not there."""
    if name not in frame.columns:
        return [None] * len(frame)
    column = frame[name]
    return column.astype(object).where(column.notna(), None).tolist()
