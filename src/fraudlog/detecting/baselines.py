"""The voice of the population: how far a session stands out among its own kind.

A kind is what the agent says it is (browser, app, program, nothing) by what it mostly asks for (pages, an API, doors,
assets), so that a program that calls an API is compared with programs that call an API, and not with readers. Each
kind has its own quantiles of pace, breadth, errors and rarity; a kind of fewer than fifty sessions borrows those of its
agents, then of all. The strength is the mean of the three most striking digits: how rare values as far out are, as
-log10. It counts among the site's own values how rare agent, language and country are, so rarity weighs as much as
three features among fifteen can, and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from fraudlog.detecting.evidence import EVIDENCE, CompiledEvidence
from fraudlog.detecting.population import Population as Quantiles
from fraudlog.detecting.voices import PLACES, Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ModelError
from fraudlog.sessions import FEATURES
from fraudlog.sessions import Population as Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["CALLERS", "COMPARED", "PEERS", "PEER_SENTENCES", "PURPOSES", "Baselines"]

PEERS: Final = "PEERS_"
"""Prefix of the codes of features that stand out among the session's own kind."""

CALLERS: Final = ("browser", "app", "program", "nothing")
"""What the agent says it is."""

PURPOSES: Final = ("pages", "api", "doors", "assets")
"""What a session mostly asks for."""

COMPARED: Final = {
    "requests": "high",
    "requests_per_minute": "high",
    "pages_per_minute": "high",
    "page_burst_10s": "high",
    "burst_10s": "high",
    "gap_variation": "low",
    "distinct_paths": "high",
    "repetition": "high",
    "bytes_total": "high",
    "client_error_share": "high",
    "not_found": "high",
    "query_length_max": "high",
    "agent_rarity": "high",
    "language_rarity": "high",
    "country_language_rarity": "high",
}
"""Features that are compared, and which end of each is suspicious."""

_READ: Final = (
    "requests",
    "browser_requests",
    "automation_share",
    "agent_missing_share",
    "api_requests",
    "assets",
    "login_requests",
    "signup_requests",
    "payment_requests",
    "coupon_requests",
    "cart_requests",
    "search_requests",
)
_NAMED: Final = 3
_FEWEST: Final = 50
_ALL: Final = len(CALLERS) * len(PURPOSES) + len(CALLERS)
_PLACES: Final = np.array([PLACES[name] for name in COMPARED])
_KIND_PLACES: Final = np.array([PLACES[name] for name in _READ])
_FACTS: Final = CompiledEvidence([row for row in EVIDENCE if not row.spoofable], list(PLACES))
_SIDES: Final = list(COMPARED.values())


class Baselines:
    """Quantiles of each kind as a voice.

    Attributes
    ----------
    counts : fraudlog.sessions.Population
        How often each agent, language and profile stood among the sessions learnt from.
    quantiles_ : dict of int to Quantiles
        Of each kind that is known: caller by purpose, then callers, then all.
    """

    name: ClassVar[str] = "population"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.counts = Counts()
        self.quantiles_: dict[int, Quantiles] = {}
        self._group_of: list[int] = []
        self._tails: dict[int, Callable[[NDArray[np.float32]], Floats]] = {}

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:  # noqa: ARG002 -- programs have peers too
        """Learn from all sessions that no fact speaks against, whatever their agents claim."""
        self.counts = Counts.of_sessions(sessions)
        is_calm = ~_FACTS.fired(_matrix(sessions, list(PLACES))).any(axis=1)
        values = _matrix(sessions, list(COMPARED)).astype(np.float32)
        kinds = _kinds(_matrix(sessions, _READ))
        self.quantiles_, self._group_of = {}, []
        for group in range(_ALL + 1):
            rows = values[is_calm & _belongs(kinds, group)]
            if len(rows) >= _FEWEST or (group == _ALL and len(rows)):
                self.quantiles_[group] = Quantiles.of(rows, _SIDES)
        return self

    def held_out(self, sessions: pd.DataFrame, human: Bools) -> Floats:
        """Return the strengths of the presumed-human rows: one session hardly moves a quantile."""
        return self.judge(sessions[human]).strength

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the mean digits of the three features that stand out most; NaN where nothing was learnt."""
        values, digits = _matrix(sessions, list(COMPARED)), self._digits(sessions)

        def causes(rows: Sequence[int]) -> list[list[Cause]]:
            return [_causes(values[row], digits[row]) for row in rows]

        return Judgement(_strength(digits), causes)

    def _digits(self, sessions: pd.DataFrame) -> Floats:
        values = _matrix(sessions, list(COMPARED)).astype(np.float32)
        groups = self._groups(_kinds(_matrix(sessions, _READ)))
        digits = np.full(values.shape, np.nan)
        for group, quantiles in self.quantiles_.items():
            rows = np.flatnonzero(groups == group)
            digits[rows] = -np.log10(quantiles.tails(values[rows]))
        return digits

    def _groups(self, kinds: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whose quantiles each session is held against: its kind's, its callers', or those of all."""
        chosen = np.full(len(kinds), _ALL)
        for group in sorted(self.quantiles_, reverse=True):
            chosen[_belongs(kinds, group)] = group
        return chosen

    def prepare(self) -> None:
        """Look up once whose quantiles each kind is held against, and compile what looks into them."""
        self._look_up()
        self._tails = {group: quantiles.compiled_tails() for group, quantiles in self.quantiles_.items()}

    def _look_up(self) -> None:
        self._group_of = self._groups(np.arange(len(CALLERS) * len(PURPOSES))).tolist()
        self._tails = {group: quantiles.tails_of_row for group, quantiles in self.quantiles_.items()}

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        if not self._group_of:
            self._look_up()
        tails = self._tails.get(self._group_of[_kind_of(row.features.take(_KIND_PLACES).tolist())])
        if tails is None:
            return Opinion(float("nan"), list)
        values = row.features.take(_PLACES)
        digits = -np.log10(tails(values.astype(np.float32)))
        return Opinion(float(_strength(digits[np.newaxis])[0]), lambda: _causes(values, digits))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the counts, and the quantiles of each kind."""
        arrays = {f"counts.{name}": array for name, array in self.counts.to_arrays().items()}
        for group, quantiles in self.quantiles_.items():
            arrays |= {f"group.{group}.{name}": array for name, array in quantiles.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        voice = cls(parameters)
        voice.counts = Counts.from_arrays(_under("counts.", arrays))
        for group in range(_ALL + 1):
            if own := _under(f"group.{group}.", arrays):
                voice.quantiles_[group] = Quantiles.from_arrays(own, len(COMPARED))
        if any(not (quantiles.sides == 2).any() for quantiles in voice.quantiles_.values()):
            raise ModelError("the model's quantiles of kinds look at other ends: it is damaged")
        return voice


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _matrix(sessions: pd.DataFrame, names: Sequence[str]) -> Floats:
    """Return features as numbers, NaN where the table lacks one."""
    return sessions.reindex(columns=list(names)).to_numpy(np.float64, na_value=np.nan)


def _kinds(values: Floats) -> NDArray[np.int64]:
    """Return the kind of each session: caller by purpose."""
    known = np.nan_to_num(values, nan=0.0)
    requests, browsers, automated, unnamed, api, assets = known.T[:6]
    half = np.maximum(requests, 1.0) / 2.0
    caller = np.select([unnamed >= 0.5, automated > 0, browsers >= half], [3, 2, 0], 1)
    purpose = np.select([api >= half, known[:, 6:].sum(axis=1) >= half, assets >= requests], [1, 2, 3], 0)
    kinds: NDArray[np.int64] = caller * len(PURPOSES) + purpose
    return kinds


def _kind_of(values: Sequence[float]) -> int:
    """Return the kind of one session, as `_kinds` does, at a tenth of the cost."""
    requests, browsers, automated, unnamed, api, assets, *actions = (0.0 if x != x else x for x in values)  # noqa: PLR0124
    half = max(requests, 1.0) / 2.0
    caller = 3 if unnamed >= 0.5 else 2 if automated > 0 else 0 if browsers >= half else 1
    purpose = 1 if api >= half else 2 if sum(actions) >= half else 3 if assets >= requests else 0
    return caller * len(PURPOSES) + purpose


def _belongs(kinds: NDArray[np.int64], group: int) -> Bools:
    """Say which sessions a group is of: a kind, all of one caller, or all."""
    n_kinds = len(CALLERS) * len(PURPOSES)
    if group == _ALL:
        return np.ones(len(kinds), np.bool_)
    return np.equal(kinds, group) if group < n_kinds else np.equal(kinds // len(PURPOSES), group - n_kinds)


def _strength(digits: Floats) -> Floats:
    strength: Floats = np.sort(digits, axis=1)[:, -_NAMED:].sum(axis=1) / _NAMED
    return strength


def _causes(values: Floats, digits: Floats) -> list[Cause]:
    order = np.argsort(-digits, kind="stable")[:_NAMED].tolist()
    total = float(digits[order].sum())
    names = list(COMPARED)
    if total <= 0:
        return [Cause(PEERS + names[order[0]].upper(), 1.0, names[order[0]], float(values[order[0]]))]
    return [
        Cause(PEERS + names[place].upper(), float(digits[place]) / total, names[place], float(values[place]))
        for place in order
        if digits[place] > 0
    ]


PEER_SENTENCES: Final = {
    PEERS + row.name.upper(): f"beside others of its kind: {row.meaning.partition(';')[0]} ({{value}})"
    for row in FEATURES
    if row.name in COMPARED
}
"""For a person, one sentence a code."""
