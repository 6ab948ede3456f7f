"""The hearing: every voice is asked, their odds are added up, and each part of the risk is put into reasons.

The block of a table and the single row of a service go the same way, so that they come to the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.detecting.evidence import verified_crawler
from fraudlog.detecting.fusion import ODDNESS, odds_of_risk
from fraudlog.detecting.labels import Labelled
from fraudlog.detecting.reasons import OTHER, Reason
from fraudlog.detecting.voices import PLACES, Cause, Row, Voice
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.fusion import Calibration, Stated
    from fraudlog.detecting.voices import Judgement, Opinion

    Floats = NDArray[np.float64]

__all__ = ["Hearing", "RowScore", "Scored"]

_FOREST: Final = "forest"
_MOST: Final = odds_of_risk(ODDNESS)
_AUDIBLE: Final = 0.01
"""Share of a risk below which a voice is not asked for its causes: a reviewer would read `+0.000`."""
_REQUESTS: Final = PLACES["requests"]
_VERIFIED: Final = PLACES["verified_crawler_requests"]


class RowScore(NamedTuple):
    """What `Detector.score_one` says of one session: a row of `fraudlog.schema.SCORES` without id and times."""

    anomaly_score: float
    risk: float
    confidence: float
    reasons: list[Reason]


class Scored(NamedTuple):
    """The same of a block of sessions, column by column."""

    anomaly_score: Floats
    risk: Floats
    confidence: Floats
    reasons: list[list[Reason]]


@dataclass(frozen=True, eq=False)
class Hearing:
    """Fitted voices, how each is heard, and what the reader of a reason is told of its value.

    Parameters
    ----------
    voices : dict of str to Voice
    scales : dict of str to Calibration or Stated
        What turns each voice's strengths into odds.
    population : dict of str to float64 array
        Quantiles of each feature over all sessions seen.
    rarities : frozenset of str
        Voices that say no more than that a session is rare.
    """

    voices: dict[str, Voice]
    scales: dict[str, Calibration | Stated]
    population: dict[str, Floats]
    rarities: frozenset[str]
    _panel: list[tuple[Voice, Calibration | Stated, bool]] = field(init=False, repr=False)
    _odd: list[str] = field(init=False, repr=False)
    _labels: Labelled = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Put voices and scales side by side, in the order of the panel."""
        panel = [(voice, self.scales[name], name in self.rarities) for name, voice in self.voices.items()]
        object.__setattr__(self, "_panel", panel)
        object.__setattr__(self, "_labels", self.voices[Labelled.name])
        object.__setattr__(self, "_odd", [name for name in self.voices if name in self.rarities])

    def of_block(self, sessions: pd.DataFrame) -> Scored:
        """Score the sessions of a frame."""
        judgements = {name: voice.judge(sessions) for name, voice in self.voices.items()}
        silenced = verified_crawler(sessions) | self._labels.pardons(sessions)
        odds = {
            name: np.where(silenced, 0.0, self.scales[name].odds(judgement.strength))
            for name, judgement in judgements.items()
        }
        held = self._held_back(odds)
        for name in self._odd:
            odds[name] = odds[name] * held
        total = np.zeros(len(sessions))
        for part in odds.values():
            total += part
        risk = total / (1.0 + total)
        confidence = _confidence(sessions)
        for judgement in judgements.values():
            if judgement.certainty is not None:
                confidence = confidence * judgement.certainty
        said = self._said(judgements, odds, total, risk)
        reasons = [self._reasons(*row) for row in zip(said, total.tolist(), risk.tolist(), strict=True)]
        return Scored(judgements[_FOREST].strength, risk, confidence, reasons)

    def risk(self, strengths: Mapping[str, Floats]) -> Floats:
        """Return the risk of sessions, given what each voice says of them."""
        return self._fused({name: self.scales[name].odds(strength) for name, strength in strengths.items()})

    def _fused(self, odds: dict[str, Floats]) -> Floats:
        held = self._held_back(odds)
        total = np.zeros(len(held))
        for name in self.voices:
            total += odds[name] * held if name in self.rarities else odds[name]
        return total / (1.0 + total)

    def _held_back(self, odds: Mapping[str, Floats]) -> Floats:
        """Return the factor that keeps the voices that say no more than rare below what that is worth together."""
        rare = np.zeros(len(next(iter(odds.values()))))
        for name in self._odd:
            rare += odds[name]
        return _MOST / np.maximum(rare, _MOST)

    def _said(
        self, judgements: Mapping[str, Judgement], odds: Mapping[str, Floats], total: Floats, risk: Floats
    ) -> list[list[tuple[float, list[Cause]]]]:
        """Ask each voice for causes, only on the rows it is heard on; returns odds and causes by row."""
        said: list[list[tuple[float, list[Cause]]]] = [[] for _ in next(iter(odds.values()))]
        for name, judgement in judgements.items():
            scale = self.scales[name]
            is_heard = (odds[name] >= scale.worth_naming) & (odds[name] >= total * _AUDIBLE)
            rows = np.flatnonzero(is_heard & (risk >= scale.told_from)).tolist()
            for row, causes in zip(rows, judgement.causes(rows), strict=True):
                said[row].append((float(odds[name][row]), causes))
        return said

    def of_one(self, row: Row) -> RowScore:
        """Score one session, bit for bit as `of_block`."""
        values = row.features
        requests = float(values[_REQUESTS])
        is_silenced = requests == values[_VERIFIED] or self._labels.pardons_one(row)
        confidence = requests / (requests + 2) * ((len(values) - int(np.isnan(values).sum())) / len(FEATURES))
        anomaly, rare = 0.0, 0.0
        heard: list[tuple[float, Opinion, Calibration | Stated, bool]] = []
        for voice, scale, is_odd in self._panel:
            opinion = voice.judge_one(row)
            confidence *= opinion.certainty
            if voice.name == _FOREST:
                anomaly = opinion.strength
            odds = 0.0 if is_silenced else scale.odds_one(opinion.strength)
            rare += odds if is_odd else 0.0
            heard.append((odds, opinion, scale, is_odd))
        held = _MOST / max(rare, _MOST)
        parts = [odds * held if is_odd else odds for odds, _, _, is_odd in heard]
        total = 0.0
        for part in parts:
            total += part
        risk = total / (1.0 + total)
        said = [
            (part, opinion.causes())
            for part, (_, opinion, scale, _) in zip(parts, heard, strict=True)
            if part >= scale.worth_naming and part >= total * _AUDIBLE and risk >= scale.told_from
        ]
        return RowScore(anomaly, risk, confidence, self._reasons(said, total, risk))

    def _reasons(self, said: list[tuple[float, list[Cause]]], total: float, risk: float) -> list[Reason]:
        """Share a risk out: each voice its part of the odds, each cause its part of the voice."""
        if total <= 0.0:
            return []
        lumped, reasons = total, []
        for part, causes in said:
            for cause in causes:
                if cause.code != OTHER:
                    lumped -= part * cause.share
                    reasons.append(self._reason(cause, risk * (part / total) * cause.share))
        reasons.sort(key=_heaviest)
        if lumped > total * 1e-9:
            rest = Reason(code=OTHER, contribution=risk * (lumped / total), value=None, percentile=None, oat=None)
            reasons.append(rest)
        return reasons

    def _reason(self, cause: Cause, contribution: float) -> Reason:
        known = not isnan(cause.value)
        grid = self.population.get(cause.feature or "") if known else None
        percentile = None if grid is None else int(grid.searchsorted(cause.value, side="right")) / len(grid)
        return Reason(
            code=cause.code,
            contribution=contribution,
            value=cause.value if known else None,
            percentile=percentile,
            oat=cause.oat,
        )

    def prepare(self) -> None:
        """Make ready to score single rows."""
        for voice in self.voices.values():
            voice.prepare()

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was learnt as arrays of numbers."""
        arrays: dict[str, NDArray[Any]] = {f"population.{name}": array for name, array in self.population.items()}
        for name, voice in self.voices.items():
            arrays |= {f"calibration.{name}.{part}": array for part, array in self.scales[name].to_arrays().items()}
            arrays |= {f"voice.{name}.{part}": array for part, array in voice.to_arrays().items()}
        return arrays


def _heaviest(reason: Reason) -> float:
    return -reason["contribution"]


def _confidence(sessions: pd.DataFrame) -> Floats:
    """Return how much there was to judge by: more requests and more known features, more confidence."""
    requests = sessions["requests"].to_numpy(np.float64)
    names = [name for name in sessions.columns if name in PLACES]
    known = sessions[names].notna().to_numpy().sum(axis=1) / len(FEATURES)
    confidence: Floats = requests / (requests + 2) * known
    return confidence
