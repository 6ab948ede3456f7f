"""The voice of feedback: how much a session is like those that people called abusive, and not those they called fine.

A shrunk linear discriminant on standardised features: the covariance comes of all sessions presumed human, so that
twenty labels a class have to tell no more than two means (Friedman: "Regularized discriminant analysis", JASA 1989).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

import numpy as np

from fraudlog.detecting.inputs import feature_matrix
from fraudlog.detecting.reasons import LABELLED, OTHER
from fraudlog.detecting.voices import PLACES, Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ModelError
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["FEWEST", "Examples", "Feedback"]

FEWEST: Final = 5
"""Labelled sessions of each class without which the voice abstains."""

_SHRINK: Final = 0.5
_FOLDS: Final = 5
_NAMED: Final = 4


class Examples(NamedTuple):
    """Labelled sessions.

    Parameters
    ----------
    rows : float64 array of shape (n, len(FEATURES))
    is_abusive : bool array of shape (n,)
    """

    rows: Floats
    is_abusive: Bools

    @property
    def are_enough(self) -> bool:
        """Whether there are enough of both classes."""
        return FEWEST <= int(self.is_abusive.sum()) <= len(self.is_abusive) - FEWEST


class Feedback:
    """Labels as a voice."""

    name: ClassVar[str] = "feedback"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._places: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._centre: Floats = np.zeros(0)
        self._scale: Floats = np.ones(0)
        self._weights: Floats = np.zeros(0)
        self._threshold = 0.0
        self._inverse: Floats = np.zeros((0, 0))

    @property
    def abstains(self) -> bool:
        """Whether it has too few labels to say anything."""
        return not self._weights.any()

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:
        """Learn the scale and covariance of the features among people; `learn` adds the labels."""
        names = [row.name for row in FEATURES if row.in_forest and row.name in sessions.columns]
        values = _logs(feature_matrix(sessions[human], names))
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, values, 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / count)
        useful = spread > 1e-9
        self._places = np.array([PLACES[name] for name in names], dtype=np.int64)[useful]
        self._centre, self._scale = centre[useful], spread[useful]
        filled = np.where(known, (values - centre) / np.where(useful, spread, 1.0), 0.0)
        standard = filled[:, useful]
        covariance = standard.T @ standard / max(1, len(standard))
        shrunk = (1 - _SHRINK) * covariance + _SHRINK * np.eye(len(covariance))
        self._inverse = np.linalg.inv(shrunk).astype(np.float64, copy=False)
        self._weights, self._threshold = np.zeros(len(self._places)), 0.0
        return self

    def learn(self, examples: Examples) -> None:
        """Take labelled sessions in place of any before; with too few of a class, abstain."""
        self._weights, self._threshold = self._discriminant(examples)

    def _discriminant(self, examples: Examples) -> tuple[Floats, float]:
        if not examples.are_enough:
            return np.zeros(len(self._places)), 0.0
        standard = self._standard(examples.rows[:, self._places])
        bad, good = (standard[examples.is_abusive == one].mean(axis=0) for one in (True, False))
        weights: Floats = self._inverse @ (bad - good)
        return weights, float(weights @ (bad + good) / 2.0)

    def cross_validated(self, examples: Examples) -> Floats:
        """Return the strength of each example by the labels of the other folds."""
        strength = np.full(len(examples.rows), np.nan)
        for fold in range(_FOLDS):
            out = np.arange(len(strength)) % _FOLDS == fold
            weights, threshold = self._discriminant(Examples(examples.rows[~out], examples.is_abusive[~out]))
            strength[out] = self._standard(examples.rows[out][:, self._places]) @ weights - threshold
        return strength

    def _standard(self, values: Floats) -> Floats:
        scaled = (_logs(values) - self._centre) / self._scale
        return np.clip(np.where(np.isnan(scaled), 0.0, scaled), -8.0, 8.0)

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:
        """Return the strengths of some rows; labels are few and none of them a reference."""
        return self.judge(sessions[rows]).strength

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return how far on the abusive side of the discriminant each session lies; NaN with too few labels."""
        if self.abstains:
            return Judgement(np.full(len(sessions), np.nan), lambda rows: [[] for _ in rows])
        values = feature_matrix(sessions, [FEATURES[place].name for place in self._places])
        parts = self._parts(values)

        def causes(rows: Sequence[int]) -> list[list[Cause]]:
            return [self._causes(values[row], parts[row]) for row in rows]

        return Judgement(parts.sum(axis=1) - self._threshold, causes)

    def _parts(self, values: Floats) -> Floats:
        return np.ascontiguousarray(self._standard(values) * self._weights)

    def prepare(self) -> None:
        """Have nothing to prepare."""

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        if self.abstains:
            return Opinion(float("nan"), list)
        values = row.features.take(self._places)
        parts = self._parts(values[np.newaxis])
        return Opinion(float(parts.sum(axis=1)[0]) - self._threshold, lambda: self._causes(values, parts[0]))

    def _causes(self, values: Floats, parts: Floats) -> list[Cause]:
        raised = np.maximum(parts, 0.0)
        total = float(raised.sum())
        order = [place for place in np.argsort(-parts, kind="stable").tolist()[:_NAMED] if raised[place] > 0]
        names = [FEATURES[self._places[place]].name for place in order]
        causes = [
            Cause(LABELLED + name.upper(), float(raised[place]) / total, name, float(values[place]))
            for place, name in zip(order, names, strict=True)
        ]
        rest = 1.0 - sum(cause.share for cause in causes)
        return [*causes, Cause(OTHER, rest)] if rest > 1e-9 else causes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the discriminant, and what another needs that labels are added to later."""
        return {
            "places": self._places,
            "centre": self._centre,
            "scale": self._scale,
            "weights": self._weights,
            "threshold": np.array([self._threshold]),
            "inverse": self._inverse,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        voice, places = cls(parameters), arrays.get("places")
        if places is None or places.dtype != np.int64 or places.ndim != 1:
            raise ModelError("the model's feedback.places is missing or misshapen: it is damaged")
        n = len(places)
        shapes = {"centre": (n,), "scale": (n,), "weights": (n,), "threshold": (1,), "inverse": (n, n)}
        for name, shape in shapes.items():
            array = arrays.get(name)
            if array is None or array.dtype != np.float64 or array.shape != shape or not np.isfinite(array).all():
                raise ModelError(f"the model's feedback.{name} is missing or misshapen: it is damaged")
        if not ((places >= 0) & (places < len(FEATURES))).all() or not (arrays["scale"] > 0).all():
            raise ModelError("the model's feedback is out of range: it is damaged")
        voice._places, voice._centre, voice._scale = places, arrays["centre"], arrays["scale"]
        voice._weights, voice._threshold = arrays["weights"], float(arrays["threshold"][0])
        voice._inverse = arrays["inverse"]
        return voice


def _logs(values: Floats) -> Floats:
    logs: Floats = np.copysign(np.log1p(np.abs(values)), values)
    return logs
