"""The voice of the evidence: facts that speak against a session, each with the risk its row of the table states.

The table's weights are expert odds, so they need no calibration; and none is possible on the presumed-human sessions,
which are chosen for having no evidence against them. Rows combine as independent chances do: ``1 - prod(1 - weight)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from fraudlog.detecting.evidence import EVIDENCE, CompiledEvidence, fired
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


class Facts:
    """Evidence as a voice; it learns nothing."""

    name: ClassVar[str] = "evidence"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:  # noqa: ARG002 -- the table is all there is
        """Learn nothing."""
        return self

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:
        """Return the strengths of some rows."""
        return self.judge(sessions[rows]).strength

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the risk the evidence states, 0 where there is none."""
        hits = fired(sessions)
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
        left = 1.0
        for place in hits:
            left *= 1.0 - EVIDENCE[place].weight
        return Opinion(
            1.0 - left, lambda: _causes(hits, [float(row.features[PLACES[_SHOWN[place]]]) for place in hits])
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return nothing: the table is part of the code, and the model file names its digest."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:  # noqa: ARG003 -- see `to_arrays`
        """Build it."""
        return cls(parameters)


def _causes(places: Sequence[int], values: Sequence[float]) -> list[Cause]:
    total = sum(_LOGS[place] for place in places)
    causes = [
        Cause(EVIDENCE[place].code, _LOGS[place] / total, _SHOWN[place], value, EVIDENCE[place].oat)
        for place, value in zip(places, values, strict=True)
    ]
    return sorted(causes, key=lambda cause: -cause.share)
