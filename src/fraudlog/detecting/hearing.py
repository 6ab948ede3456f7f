"""The hearing: every voice is asked, their odds are added up, and each part of the risk is put into reasons.

The block of a table and the single row of a service go the same way, so that they come to the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.detecting.evidence import verified_crawler
from fraudlog.detecting.fusion import Calibration
from fraudlog.detecting.labels import Labelled
from fraudlog.detecting.panel import CHORUS, LEAD, PANEL, RARITIES
from fraudlog.detecting.reasons import OTHER, Reason
from fraudlog.detecting.voices import PLACES, Cause, Row, Voice
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.fusion import Stated
    from fraudlog.detecting.panel import Scales
    from fraudlog.detecting.voices import Judgement, Opinion

    Floats = NDArray[np.float64]

__all__ = ["Hearing", "RowScore", "Scored"]

_FOREST: Final = "forest"
_VOICE, _ECHO = (list(PANEL).index(name) for name in ("evidence", "likeness"))
"""Likeness, learnt from what evidence speaks against, is heard as far as it says more than evidence does."""
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


class Choirs(NamedTuple):
    """Which voices add up, by their places on the panel: the measured, those that know more than rare, the leaders."""

    measured: list[int]
    known: list[int]
    leaders: list[int]


@dataclass(frozen=True, eq=False)
class Hearing:
    """Fitted voices, how each is heard, and what the reader of a reason is told of its value.

    Parameters
    ----------
    voices : dict of str to Voice
    scales : Scales
        What turns the voices' strengths into odds.
    population : dict of str to float64 array
        Quantiles of each feature over all sessions seen.
    """

    voices: dict[str, Voice]
    scales: Scales
    population: dict[str, Floats]
    _panel: list[tuple[Voice, Calibration | Stated]] = field(init=False, repr=False)
    _choirs: Choirs = field(init=False, repr=False)
    _labels: Labelled = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Put voices and scales side by side, in the order of the panel."""
        panel = [(voice, self.scales.of[name]) for name, voice in self.voices.items()]
        measured = [at for at, (_, scale) in enumerate(panel) if isinstance(scale, Calibration)]
        known = [at for at in measured if panel[at][0].name not in RARITIES]
        leaders = [at for at, (_, scale) in enumerate(panel) if isinstance(scale, Calibration) and scale.leads]
        object.__setattr__(self, "_panel", panel)
        object.__setattr__(self, "_choirs", Choirs(measured, known, leaders))
        object.__setattr__(self, "_labels", self.voices[Labelled.name])

    def of_block(self, sessions: pd.DataFrame) -> Scored:
        """Score the sessions of a frame."""
        judgements = {name: voice.judge(sessions) for name, voice in self.voices.items()}
        heard = self._heard({name: judgement.strength for name, judgement in judgements.items()})
        silenced = verified_crawler(sessions) | self._labels.pardons(sessions)
        parts = {name: np.where(silenced, 0.0, part) for name, part in self._parts(heard).items()}
        total = _added(parts.values())
        risk = total / (1.0 + total)
        confidence = _confidence(sessions)
        for judgement in judgements.values():
            if judgement.certainty is not None:
                confidence = confidence * judgement.certainty
        said = self._said(judgements, heard, parts, total, risk)
        reasons = [self._reasons(*row) for row in zip(said, total.tolist(), risk.tolist(), strict=True)]
        return Scored(judgements[_FOREST].strength, risk, confidence, reasons)

    def risk(self, strengths: Mapping[str, Floats]) -> Floats:
        """Return the risk of sessions, given what each voice says of them."""
        total = _added(self._parts(self._heard(strengths)).values())
        return total / (1.0 + total)

    def risk_of_own(self, strengths: Mapping[str, Floats]) -> Floats:
        """Return the risk of those the voices are calibrated on, each measured against the others alone."""
        total = _added(self._parts(self._heard(strengths, are_own=True)).values())
        return total / (1.0 + total)

    def _heard(self, strengths: Mapping[str, Floats], *, are_own: bool = False) -> dict[str, Floats]:
        """Return what is heard of each voice: odds of one that states risks, else -ln p."""
        scales = self.scales.of
        if are_own:
            return {name: scales[name].heard_of_own(strength) for name, strength in strengths.items()}
        return {name: scales[name].heard(strength) for name, strength in strengths.items()}

    def _parts(self, heard: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return each voice's part of the odds: as stated, or its share of what all measured ones are worth."""
        said = [heard[name] for name in self.voices]
        together, known, lead = (_added([said[at] for at in choir]) for choir in self._choirs)
        worth = self.scales.chorus.odds(together, known) / np.where(together > 0, together, 1.0)
        parts = list(said)
        for at in self._choirs.measured:
            parts[at] = said[at] * worth
        parts[_ECHO] = np.maximum(parts[_ECHO] - parts[_VOICE], 0.0)
        lifted = self.scales.lead.lifts(lead, _added(parts)) / np.where(lead > 0, lead, 1.0)
        for at in self._choirs.leaders:
            parts[at] = parts[at] + said[at] * lifted
        return dict(zip(self.voices, parts, strict=True))

    def _said(
        self,
        judgements: Mapping[str, Judgement],
        heard: Mapping[str, Floats],
        parts: Mapping[str, Floats],
        total: Floats,
        risk: Floats,
    ) -> list[list[tuple[float, list[Cause]]]]:
        """Ask each voice for causes, only on the rows it is heard on; returns odds and causes by row."""
        said: list[list[tuple[float, list[Cause]]]] = [[] for _ in range(len(total))]
        for name, judgement in judgements.items():
            scale, part = self.scales.of[name], parts[name]
            is_heard = (part > 0) & (part >= total * _AUDIBLE) & (heard[name] >= scale.worth_naming)
            rows = np.flatnonzero(is_heard & (risk >= scale.told_from)).tolist()
            for row, causes in zip(rows, judgement.causes(rows), strict=True):
                said[row].append((float(part[row]), causes))
        return said

    def of_one(self, row: Row) -> RowScore:
        """Score one session, bit for bit as `of_block`."""
        values = row.features
        requests = float(values[_REQUESTS])
        is_silenced = requests == values[_VERIFIED] or self._labels.pardons_one(row)
        confidence = requests / (requests + 2) * ((len(values) - int(np.isnan(values).sum())) / len(FEATURES))
        anomaly = 0.0
        heard: list[tuple[float, Opinion, Calibration | Stated]] = []
        for voice, scale in self._panel:
            opinion = voice.judge_one(row)
            confidence *= opinion.certainty
            if voice.name == _FOREST:
                anomaly = opinion.strength
            heard.append((scale.heard_one(opinion.strength), opinion, scale))
        if is_silenced:
            return RowScore(anomaly, 0.0, confidence, [])
        parts = self._parts_of_one([one for one, _, _ in heard])
        total = _total(parts)
        risk = total / (1.0 + total)
        said = [
            (part, opinion.causes())
            for part, (one, opinion, scale) in zip(parts, heard, strict=True)
            if part > 0 and part >= total * _AUDIBLE and one >= scale.worth_naming and risk >= scale.told_from
        ]
        return RowScore(anomaly, risk, confidence, self._reasons(said, total, risk))

    def _parts_of_one(self, said: list[float]) -> list[float]:
        """Do what `_parts` does for one, in the order of the panel."""
        together, known, lead = (_total([said[at] for at in choir]) for choir in self._choirs)
        worth = self.scales.chorus.odds_one(together, known) / (together if together > 0 else 1.0)
        parts = list(said)
        for at in self._choirs.measured:
            parts[at] = said[at] * worth
        parts[_ECHO] = max(parts[_ECHO] - parts[_VOICE], 0.0)
        lifted = self.scales.lead.lifts_one(lead, _total(parts)) / (lead if lead > 0 else 1.0)
        for at in self._choirs.leaders:
            parts[at] = parts[at] + said[at] * lifted
        return parts

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
            arrays |= {f"calibration.{name}.{part}": array for part, array in self.scales.of[name].to_arrays().items()}
            arrays |= {f"voice.{name}.{part}": array for part, array in voice.to_arrays().items()}
        for name, together in ((CHORUS, self.scales.chorus), (LEAD, self.scales.lead)):
            arrays |= {f"calibration.{name}.{part}": array for part, array in together.to_arrays().items()}
        return arrays


def _added(parts: Iterable[Floats]) -> Floats:
    """Add up in the order given, so that a single row comes to the same bits."""
    first, *others = parts
    total = first.copy()
    for part in others:
        total += part
    return total


def _total(parts: list[float]) -> float:
    """Do what `_added` does for one: `sum` rounds otherwise from Python 3.12 on."""
    total = 0.0
    for part in parts:
        total += part
    return total


def _heaviest(reason: Reason) -> float:
    return -reason["contribution"]


def _confidence(sessions: pd.DataFrame) -> Floats:
    """Return how much there was to judge by: more requests and more known features, more confidence."""
    requests = sessions["requests"].to_numpy(np.float64)
    names = [name for name in sessions.columns if name in PLACES]
    known = sessions[names].notna().to_numpy().sum(axis=1) / len(FEATURES)
    confidence: Floats = requests / (requests + 2) * known
    return confidence
