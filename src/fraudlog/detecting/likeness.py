"""The voice of likeness: how much more a session is like those evidence speaks against than like people's.

Evidence names some abusers; those it misses often behave like the ones it names. So a second forest is grown from the
sessions evidence speaks against, and the voice is the difference: how odd among people, less how odd among suspects.
Where people become few among many programs the first forest alone turns over and calls people odd; the difference does
not, for what is usual everywhere cancels.

Where the suspects are a few people who trip over one row each, to be like them says little: the voice does not lead
there, and is heard only of what is as striking as one person in 50.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np

from fraudlog.detecting.oddness import Oddness
from fraudlog.detecting.reasons import LIKE, OTHER
from fraudlog.detecting.reference import capped, suspects
from fraudlog.detecting.voices import Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Likeness"]

_FEWEST: Final = 20
"""Suspects, capped by source, without which the voice abstains."""
_NAMED: Final = 4


class Likeness:
    """Two forests as a voice: that of people, borrowed, and that of suspects."""

    name: ClassVar[str] = "likeness"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        half = self.parameters._replace(n_estimators=max(2, self.parameters.n_estimators // 2))
        self._suspects = Oddness(half)
        self._people = Oddness(self.parameters)
        self._abstains = True

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Take the forest of people from the voice that has one.

        Raises
        ------
        ModelError
            If the two forests, as loaded, do not see the same features.
        """
        self._people = earlier["forest"]
        if not self._abstains and self._suspects.features_ != self._people.features_:
            raise ModelError("the forests of people and suspects see other features: the model is damaged")

    def fit(self, sessions: pd.DataFrame, human: Bools) -> Self:  # noqa: ARG002 -- the people are the other forest's
        """Grow the forest of suspects on the features the forest of people sees."""
        chosen = capped(sessions, suspects(sessions), self._people.key)
        self._abstains = int(chosen.sum()) < _FEWEST
        if not self._abstains:
            self._suspects.fit(sessions, chosen, features=self._people.features_)
        return self

    @property
    def abstains(self) -> bool:
        """Whether there were too few suspects to learn from."""
        return self._abstains

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:
        """Return the strengths of some rows by trees that did not learn from their owners."""
        if self._abstains:
            return np.full(int(rows.sum()), np.nan)
        chosen = sessions[rows]
        among = self._suspects.judge(chosen).strength.copy()
        if (learnt := suspects(chosen)).any():
            among[learnt] = self._suspects.held_out(chosen, learnt)
        return self._people.held_out(sessions, rows) - among

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the difference of the two scores."""
        people = self._people.judge(sessions)
        if self._abstains:
            return Judgement(np.full(len(sessions), np.nan), lambda rows: [[] for _ in rows])
        values = self._people.values_of(sessions)
        strength = people.strength - self._suspects.judge(sessions).strength

        def causes(rows: Sequence[int]) -> list[list[Cause]]:
            return self._causes(values[np.asarray(rows, dtype=np.intp)])

        return Judgement(strength, causes)

    def prepare(self) -> None:
        """Compile the walk of single rows, where that is possible."""
        if not self._abstains:
            self._suspects.prepare()

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        if self._abstains:
            return Opinion(float("nan"), list)
        values = row.features.take(self._people.places)
        strength = self._people.judge_one(row).strength - self._suspects.score_row(values)
        return Opinion(strength, lambda: self._causes(values[np.newaxis], self._people.credit_one(row))[0])

    def _causes(self, values: Floats, of_people: Floats | None = None) -> list[list[Cause]]:
        """Name the features that are odder among people than among suspects."""
        if not len(values):
            return []
        of_people = self._people.credit(values) if of_people is None else of_people
        credit = of_people - self._suspects.credit(values)
        order = np.argsort(-credit, axis=1, kind="stable")
        names = self._people.features_
        result = []
        for row, parts, places in zip(values, np.maximum(credit, 0.0), order.tolist(), strict=True):
            total = float(parts.sum())
            named = [place for place in places[:_NAMED] if parts[place] > 0]
            shares = [float(parts[place]) / total for place in named]
            causes = [
                Cause(LIKE + names[place].upper(), share, names[place], float(row[place]))
                for place, share in zip(named, shares, strict=True)
            ]
            rest = 1.0 - sum(shares)
            result.append([*causes, Cause(OTHER, rest)] if rest > 1e-9 else causes)
        return result

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the forest of suspects; nothing if it abstains."""
        return {} if self._abstains else self._suspects.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere; `after` checks that both forests see the same features.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        voice = cls(parameters)
        if arrays:
            voice._suspects = Oddness.from_arrays(arrays, voice._suspects.parameters)
            voice._abstains = False
        return voice
