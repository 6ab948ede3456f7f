"""The voice of the evidence: facts that speak against a session, each with the risk its row of the table states.

The table's weights are expert odds, so they need no calibration; and none is possible on the presumed-human sessions,
which are chosen for having no evidence against them. Rows combine as independent chances do: ``1 - prod(1 - weight)``.
What it learns is which client has always worked in a way that would speak against a stranger: see
`fraudlog.detecting.habits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from fraudlog.detecting.entities import secret
from fraudlog.detecting.evidence import EVIDENCE, CompiledEvidence, fired
from fraudlog.detecting.habits import Habits, goes_through_many
from fraudlog.detecting.voices import PLACES, Cause, Judgement, Opinion, Parameters, Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Facts"]

_TABLE: Final = CompiledEvidence(EVIDENCE, list(PLACES))
_SHOWN: Final = [row.conditions[0].feature for row in EVIDENCE]
_LOGS: Final = [float(-np.log1p(-row.weight)) for row in EVIDENCE]
_WHOLE: Final = PLACES["requests"]
_VERIFIED: Final = PLACES["verified_crawler_requests"]
_PATHS, _ASSETS = PLACES["distinct_paths"], PLACES["asset_share"]


class Facts:
    """Evidence as a voice; it learns no more than habits.

    Attributes
    ----------
    doubted : bool array of shape (n_sessions,) or None
        Which of the sessions it is fitted on were flagged or called abusive: set before `fit`.
    """

    name: ClassVar[str] = "evidence"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self.doubted: Bools | None = None
        self._habits = Habits(secret(self.parameters))

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:  # noqa: ARG002 -- whom evidence speaks against is no human
        """Learn who has which habit."""
        doubted = np.zeros(len(sessions), np.bool_) if self.doubted is None else self.doubted
        self._habits.fit(sessions, fired(sessions), doubted)
        return self

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:
        """Return the strengths of some rows."""
        return self.judge(sessions[rows]).strength

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the risk the evidence states, 0 where there is none."""
        hits = fired(sessions)
        hits &= ~self._habits.of(sessions, hits)
        left = np.ones(len(sessions))
        for place, row in enumerate(EVIDENCE):
            left[hits[:, place]] *= 1.0 - row.weight
        shown = {
            name: sessions[name].to_numpy(np.float64, na_value=np.nan) for name in {*_SHOWN} & set(sessions.columns)
        }

        def causes(rows: Sequence[int]) -> list[list[Cause]]:
            found = [np.flatnonzero(hits[row]).tolist() for row in rows]
            return [
                _causes(places, [float(shown[_SHOWN[place]][row]) for place in places])
                for row, places in zip(rows, found, strict=True)
            ]

        return Judgement(1.0 - left, causes)

    def prepare(self) -> None:
        """Have nothing to prepare."""

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        hits = _TABLE.fired_one(row.features)
        if not hits or row.features[_WHOLE] == row.features[_VERIFIED]:
            return Opinion(0.0, list)
        walks = goes_through_many(float(row.features[_PATHS]), float(row.features[_ASSETS]))
        hits = self._habits.left_of(row.entities, hits, walks=walks)
        left = 1.0
        for place in hits:
            left *= 1.0 - EVIDENCE[place].weight
        return Opinion(
            1.0 - left, lambda: _causes(hits, [float(row.features[PLACES[_SHOWN[place]]]) for place in hits])
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the habits: the table is part of the code, and the model file names its digest."""
        return {"habits": self._habits.tokens}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of order.
        """
        voice = cls(parameters)
        voice._habits = Habits.from_arrays(arrays, secret(parameters))
        return voice


def _causes(places: Sequence[int], values: Sequence[float]) -> list[Cause]:
    total = sum(_LOGS[place] for place in places)
    causes = [
        Cause(EVIDENCE[place].code, _LOGS[place] / total, _SHOWN[place], value, EVIDENCE[place].oat)
        for place, value in zip(places, values, strict=True)
    ]
    return sorted(causes, key=lambda cause: -cause.share)
