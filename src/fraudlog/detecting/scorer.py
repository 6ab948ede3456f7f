"""What a service needs of a fitted forest: scores, reasons and percentiles, from arrays and NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting import attribution
from fraudlog.detecting.population import Population
from fraudlog.detecting.scoring import as_rows, path_lengths, row_path_length, scores_of
from fraudlog.detecting.trees import FlatForest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from fraudlog.detecting.row_kernel import RowWalks

__all__ = ["ForestScorer"]

_WORTH_COMPILING: Final = 50_000
"""Rows from which on the compiled walk makes up for loading Numba (half a second, and some seconds the first time)."""


@dataclass(frozen=True, eq=False)
class ForestScorer:
    """A fitted forest, ready to score.

    Made by `fraudlog.detecting.SessionForest` (as ``scorer_``) or by `from_arrays`. Never changes, so threads may share
    it.

    Parameters
    ----------
    forest : FlatForest
    population : Population
    walks : RowWalks, optional
        Compiled walks of a single row; see `compiled`.
    tails : callable, optional
        How rare the values of a single row are, likewise.

    Examples
    --------
    >>> from fraudlog.detecting import SessionForest
    >>> rows = np.random.default_rng(0).normal(size=(200, 3))
    >>> saved = SessionForest(random_state=0).fit(rows).to_arrays()
    >>> scorer = ForestScorer.from_arrays(saved)
    >>> bool(scorer.score_row([9.0, 0.0, 0.0]) > scorer.score_row([0.0, 0.0, 0.0]))
    True
    """

    forest: FlatForest
    population: Population
    walks: RowWalks | None = None
    tails: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None

    def compiled(self) -> ForestScorer:
        """Return the same with compiled walks for single rows, where the extra ``fast`` is installed; same bits.

        It takes half a second to load, and some seconds the first time on a machine: for the start of a service.
        """
        if not find_spec("numba"):
            return self
        from fraudlog.detecting.row_kernel import RowWalks  # noqa: PLC0415 -- loads Numba, which a service must not need

        return replace(self, walks=RowWalks(self.forest), tails=self.population.compiled_tails())

    @property
    def n_features(self) -> int:
        """How many features a row has."""
        return self.forest.n_features

    @property
    def base(self) -> float:
        """Score of a row of which nothing is known."""
        return self.forest.base

    def score_row(self, row: Any) -> float:  # noqa: ANN401 -- anything NumPy reads
        """Return the anomaly score of one row of shape (n_features,), bit for bit that of `anomaly_score`."""
        with np.errstate(over="ignore"):  # beyond float32 is beyond every threshold
            values = np.asarray(row, dtype=np.float32)
        if values.shape != (self.forest.n_features,):
            raise ValueError(f"the forest was fitted on {self.n_features} features; the row has shape {values.shape}")
        length = row_path_length(self.forest, values) if self.walks is None else self.walks.path_length(values)
        return float(scores_of(self.forest, np.asarray([length]))[0])

    def anomaly_score(self, X: Any, *, n_threads: int = 1) -> NDArray[np.float64]:  # noqa: ANN401, N803 -- scikit-learn's name
        """Return the anomaly score of each row, 0..1; high is odd.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            NaN where a value is missing.
        n_threads : int, default 1
            Threads of the compiled walk, which large batches take where the extra ``fast`` is installed; the bits are
            the same with and without it and under any number.

        Returns
        -------
        float64 array of shape (n_rows,)
        """
        rows = as_rows(X, self.n_features)
        if len(rows) >= _WORTH_COMPILING and self.forest.depth >= 3 and find_spec("numba"):
            from fraudlog.detecting import kernel  # noqa: PLC0415 -- loads Numba, which a service must not need

            return scores_of(self.forest, kernel.path_lengths(self.forest, rows, n_threads))
        return scores_of(self.forest, path_lengths(self.forest, rows))

    def contributions(self, X: Any) -> tuple[float, NDArray[np.float64]]:  # noqa: ANN401, N803 -- as above
        """Return the base and what each feature adds to it: ``base + contributions.sum(axis=1)`` is the score.

        Returns
        -------
        base : float
        contributions : float64 array of shape (n_rows, n_features)
            0 where the value is missing.
        """
        return self.base, self._contributions(as_rows(X, self.n_features))

    def _contributions(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.walks is None or len(rows) != 1:
            return attribution.contributions(self.forest, rows)
        return attribution.in_score_units(self.forest, self.walks.changes(rows[0])[np.newaxis])

    def percentiles(self, X: Any) -> NDArray[np.float64]:  # noqa: ANN401, N803 -- as above
        """Return the share of the training rows below each value, 0..1, shape (n_rows, n_features)."""
        return self.population.percentiles(as_rows(X, self.n_features))

    def reason_order(self, X: Any, contributions: NDArray[np.float64] | None = None) -> NDArray[np.intp]:  # noqa: ANN401, N803
        """Return the features of each row, the one to name first in front.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        contributions : float64 array of shape (n_rows, n_features), optional
            As from `contributions`, if at hand.

        Returns
        -------
        intp array of shape (n_rows, n_features)
        """
        rows = as_rows(X, self.n_features)
        if contributions is None:
            contributions = self._contributions(rows)
        one = self.tails if len(rows) == 1 else None
        tails = self.population.tails(rows) if one is None else one(rows[0])[np.newaxis]
        return attribution.reason_order(contributions, tails)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes."""
        return self.forest.to_arrays() | self.population.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ForestScorer:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If they are not what `to_arrays` gives.
        """
        forest = FlatForest.from_arrays(arrays)
        return cls(forest, Population.from_arrays(arrays, forest.n_features))
