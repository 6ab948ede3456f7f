"""The voice of the forest: how odd a session is beside people's.

Two forests stand behind it, each grown from the sessions of one half of the owners, and a session is scored by all
their trees. So every person's own sessions have a score by trees that never saw that person, which is what a p-value
is measured against; nothing is held back from learning (cross-conformal prediction; Vovk 2015). Which half an owner is
in depends on the key and the owner alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from weakref import ref

import numpy as np

from fraudlog.detecting.entities import entity_tokens, owner_tokens, secret
from fraudlog.detecting.inputs import feature_matrix, transforms_of, usable_features
from fraudlog.detecting.reasons import OTHER, UNUSUAL
from fraudlog.detecting.reference import capped
from fraudlog.detecting.scorer import ForestScorer
from fraudlog.detecting.voices import PLACES, Cause, Judgement, Opinion, Parameters, Row
from fraudlog.errors import ModelError
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.detecting.training import Recipe

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

__all__ = ["Oddness"]

_CAP: Final = 2
_AUTO: Final = (64, 1024)
_FEWEST: Final = 20
"""Rows a half must have; with fewer, both forests learn from all and nothing is held out."""
_NAMED: Final = 4


class Oddness:
    """An isolation forest as a voice.

    Attributes
    ----------
    features_ : list of str
        Features the forest sees.
    """

    name: ClassVar[str] = "forest"

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._known: list[dict[tuple[int, bytes], Any]] = [{}, {}]
        self.features_: list[str] = []

    def after(self, earlier: Mapping[str, Any]) -> None:
        """Need none."""

    @property
    def key(self) -> bytes:
        """Secret under which rows are drawn."""
        return secret(self.parameters)

    def fit(self, sessions: pd.DataFrame, human: Bools, *, features: Sequence[str] | None = None) -> Self:
        """Grow both halves from the presumed-human sessions, or any others, at most two of a source.

        `features` are those to see; by default all of which something is known.
        """
        from fraudlog.detecting.drawing import Pool, mix, source_codes  # noqa: PLC0415 -- scoring must not import pandas or scikit-learn
        from fraudlog.detecting.training import Training, joined  # noqa: PLC0415 -- as above

        key = self.key
        taken = capped(sessions, human, key)
        chosen = sessions[taken]
        seen = usable_features(chosen) if features is None else list(features)
        if seen != self.features_:
            self._known = [{}, {}]
        self.features_ = seen
        rows = feature_matrix(chosen, seen).astype(np.float32)
        tokens = owner_tokens(chosen, key)
        of_rows = mix(tokens ^ _row_ids(chosen, key), 0)
        sources = source_codes(chosen["ip_prefix"]) if "ip_prefix" in chosen.columns else None
        half_of = _halves(tokens)
        self._is_split = bool(half_of.any())
        trainings = []
        for half in (0, 1):
            own = np.flatnonzero(half_of == half) if self._is_split else np.arange(len(rows))
            held = Pool(
                of_rows[own], None if sources is None else _renumbered(sources[own]), np.ones(len(own), np.bool_)
            )
            training = Training(self._recipe(half, key), rows[own], tokens[own], held, known=self._known[half])
            training.grow(range(training.recipe.n_trees))
            trainings.append(training)
        self._known = [training.grown() for training in trainings]
        self._take(joined(trainings))
        return self

    def _recipe(self, half: int, key: bytes) -> Recipe:
        from fraudlog.detecting.drawing import tree_seed  # noqa: PLC0415 -- as above
        from fraudlog.detecting.training import Recipe  # noqa: PLC0415 -- as above
        from fraudlog.detecting.transforms import parse_transforms  # noqa: PLC0415 -- as above

        sizes = self.parameters.max_samples
        return Recipe(
            key=tree_seed(key, half, "halves").to_bytes(8, "little"),
            n_trees=(self.parameters.n_estimators + 1 - half) // 2,
            sizes=(sizes,) if isinstance(sizes, int) else _AUTO,
            cap=_CAP,
            n_columns=len(self.features_),
            transforms=parse_transforms(transforms_of(self.features_), [str(n) for n in range(len(self.features_))]),
        )

    def _take(self, scorer: ForestScorer) -> None:
        self._scorer = scorer
        self._memo: tuple[ref[pd.DataFrame], Floats] | None = None
        self.places = np.array([PLACES[name] for name in self.features_])

    def held_out(self, sessions: pd.DataFrame, rows: Bools) -> Floats:
        """Return the scores of some rows by the trees of the other half of the owners."""
        values = feature_matrix(sessions[rows], self.features_)
        half = owner_tokens(sessions[rows], self.key) & np.uint64(1)
        scores = np.empty(len(values))
        forest = self._scorer.forest
        n_first = (forest.n_trees + 1) // 2
        for own, others in enumerate(((n_first, forest.n_trees), (0, n_first))):
            of_half = half == own
            if of_half.any():
                scorer = replace(self._scorer, forest=forest.only(*others), walks=None)
                scores[of_half] = scorer.anomaly_score(values[of_half])
        return scores

    def judge(self, sessions: pd.DataFrame) -> Judgement:
        """Return the anomaly scores."""
        values = self.values_of(sessions)

        def causes(rows: Sequence[int]) -> list[list[Cause]]:
            return self._causes(values[np.asarray(rows, dtype=np.intp)])

        if self._memo is None or self._memo[0]() is not sessions:
            self._memo = ref(sessions), self._scorer.anomaly_score(values)
        return Judgement(self._memo[1], causes)

    def values_of(self, sessions: pd.DataFrame) -> Floats:
        """Return what it sees of each session."""
        return feature_matrix(sessions, self.features_)

    def prepare(self) -> None:
        """Compile the walk of single rows, where that is possible."""
        self._scorer = self._scorer.compiled()

    def judge_one(self, row: Row) -> Opinion:
        """Judge one session as `judge` does."""
        values = row.features.take(self.places)
        if self.name not in row.memo:
            row.memo[self.name] = self.score_row(values)
        return Opinion(row.memo[self.name], lambda: self._causes(values[np.newaxis], self.credit_one(row))[0])

    def credit_one(self, row: Row) -> Floats:
        """Return what each feature adds to the score of one session, shape (1, n_features); worked out once."""
        known = f"{self.name}.credit"
        if known not in row.memo:
            row.memo[known] = self.credit(row.features.take(self.places)[np.newaxis])
        credit: Floats = row.memo[known]
        return credit

    def score_row(self, values: Floats) -> float:
        """Return the score of one row of the features it sees."""
        return self._scorer.score_row(values)

    def credit(self, values: Floats) -> Floats:
        """Return what each feature adds to the score of each row, shape (n_rows, n_features)."""
        return self._scorer.contributions(values)[1]

    def _causes(self, values: Floats, credit: Floats | None = None) -> list[list[Cause]]:
        """Share the score out over the features that make a session odd: the few that stand out named, the rest not."""
        if not len(values):
            return []
        credit = self.credit(values) if credit is None else credit
        order = self._scorer.reason_order(values, credit)
        # What raises the score counts, whatever lowers it.
        return [self._named(*of_row) for of_row in zip(values, np.maximum(credit, 0.0), order, strict=True)]

    def _named(self, values: Floats, credit: Floats, order: NDArray[np.intp]) -> list[Cause]:
        total = float(credit.sum())
        if total <= 0.0:
            return [Cause(OTHER, 1.0)]
        places = [place for place in order.tolist() if credit[place] > 0][:_NAMED]
        shares = [float(credit[place]) / total for place in places]
        causes = [
            Cause(UNUSUAL + name.upper(), share, name, float(values[place]))
            for place, share in zip(places, shares, strict=True)
            for name in [self.features_[place]]
        ]
        rest = 1.0 - sum(shares)
        return [*causes, Cause(OTHER, rest)] if rest > 1e-9 else causes

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the trees, the percentiles and which features they are about."""
        return self._scorer.to_arrays() | {"features": self.places.astype(np.int64)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], parameters: Parameters) -> Self:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        voice, places = cls(parameters), arrays.get("features")
        scorer = ForestScorer.from_arrays(arrays)
        if places is None or places.dtype.kind != "i" or places.shape != (scorer.n_features,):
            raise ModelError("the model's features are missing or do not fit its forest; save it again")
        if not ((places >= 0) & (places < len(FEATURES))).all():
            raise ModelError("the model's features are out of range; save it again")
        voice.features_ = [FEATURES[place].name for place in places.tolist()]
        voice._take(scorer)
        return voice


def _row_ids(sessions: pd.DataFrame, key: bytes) -> NDArray[np.uint64]:
    """Return a token of each row's session, and of the event it is as of."""
    from fraudlog.detecting.drawing import mix, tree_seed  # noqa: PLC0415 -- as above

    ids = entity_tokens(sessions, "session_id", key)
    if "checkpoint" in sessions.columns:
        ids = ids + sessions["checkpoint"].to_numpy(np.uint64)
    return mix(ids, tree_seed(key, 0, "ids"))


def _halves(tokens: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return which half each row's owner is in: all in the first if one would be too small to learn from."""
    halves = tokens & np.uint64(1)
    enough = _FEWEST <= int(halves.sum()) <= len(halves) - _FEWEST
    return halves if enough else np.zeros_like(halves)


def _renumbered(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)
