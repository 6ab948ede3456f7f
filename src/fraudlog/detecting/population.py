"""Where a value stands among the rows the forest was fitted on: percentiles, for showing and for ordering reasons.

Each feature keeps some 300 of its quantiles, dense at both ends, where a percentile says most.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["SIDES", "Population"]

SIDES: Final = ("both", "high", "low")
"""Which end of a feature is suspicious, as the model file numbers them."""

_TAIL: Final = np.r_[np.arange(16), np.round(16 * 1.3 ** np.arange(1, 40))].astype(np.int64)


@dataclass(frozen=True, eq=False)
class Population:
    """Quantiles of each feature.

    Parameters
    ----------
    grid : float32 array of shape (n_features, n_points)
        Quantiles, never decreasing along a row; a feature that was always missing is all zero.
    ranks : float64 array of shape (n_points,)
        Probability of each point, rising from 0 to 1.
    sides : uint8 array of shape (n_features,)
        Which end is suspicious: a number into `SIDES`.
    n_rows : int
        Rows the quantiles come from: a tail is never said to be rarer than 1 in ``n_rows + 1``.
    """

    grid: NDArray[np.float32]
    ranks: NDArray[np.float64]
    sides: NDArray[np.uint8]
    n_rows: int

    @classmethod
    def of(cls, rows: NDArray[np.float32], sides: Sequence[str]) -> Population:
        """Learn from rows of shape (n_rows, n_features), NaN where a value is missing."""
        ordered = np.sort(np.ascontiguousarray(rows.T), axis=1)  # NaN sorts to the end
        known = np.isfinite(ordered).sum(axis=1)
        points = _points(len(rows))
        ranks = points / max(1, len(rows) - 1)
        places = np.rint(ranks * np.maximum(known - 1, 0)[:, np.newaxis]).astype(np.int64)
        grid = np.take_along_axis(ordered, places, axis=1)
        grid[known == 0] = 0.0
        return cls(grid, ranks, np.asarray([SIDES.index(side) for side in sides], dtype=np.uint8), len(rows))

    @cached_property
    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share of rows below, and up to, a value that has k points of the grid below, and up to, it."""
        between = (self.ranks[1:] + self.ranks[:-1]) / 2.0
        return np.r_[0.0, between, 1.0], np.r_[0.0, between, 1.0]

    def percentiles(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of the population below each value, ties counted half; NaN where the value is missing."""
        below, up_to = self._shares(values)
        return np.where(np.isnan(values), np.nan, (below + up_to) / 2.0)

    def tails(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how rare a value as far out as this is, at the suspicious end.

        Where both ends are, it is the rarer of them, doubled. Missing values are
        not rare: 1. The least is ``1 / (n_rows + 1)``.
        """
        below, up_to = self._shares(values)
        least = 1.0 / (self.n_rows + 1.0)
        high, low = np.maximum(1.0 - below, least), np.maximum(up_to, least)
        both = np.minimum(1.0, 2.0 * np.minimum(high, low))
        tail = np.where(self.sides == 1, high, np.where(self.sides == 2, low, both))
        return np.where(np.isnan(values), 1.0, tail)

    def _shares(self, values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        below_of, up_to_of = self.bounds
        if len(values) <= 4:
            below = (self.grid < values[:, :, np.newaxis]).sum(axis=2)
            up_to = (self.grid <= values[:, :, np.newaxis]).sum(axis=2)
        else:
            below, up_to = (np.empty(values.shape, dtype=np.intp) for _ in range(2))
            for feature, points in enumerate(self.grid):
                below[:, feature] = points.searchsorted(values[:, feature], "left")
                up_to[:, feature] = points.searchsorted(values[:, feature], "right")
        return below_of[below], up_to_of[up_to]

    def compiled_tails(self) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
        """Return what gives the tails of one row, of shape (n_features,): compiled, where ``fast`` is installed."""
        if find_spec("numba"):
            from fraudlog.detecting.row_kernel import RowTails  # noqa: PLC0415 -- loads Numba, which a service must not need

            return RowTails(self)
        return self.tails_of_row

    def tails_of_row(self, row: NDArray[np.float32]) -> NDArray[np.float64]:
        """Do what `tails` does for one row, of shape (n_features,)."""
        tails: NDArray[np.float64] = self.tails(row[np.newaxis])[0]
        return tails

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes."""
        return {
            "quantiles.grid": self.grid,
            "quantiles.ranks": self.ranks,
            "quantiles.sides": self.sides,
            "quantiles.n_rows": np.asarray([self.n_rows], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_features: int) -> Population:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen, or not in order.
        """
        names = ("quantiles.grid", "quantiles.ranks", "quantiles.sides", "quantiles.n_rows")
        missing = [name for name in names if name not in arrays]
        if missing:
            raise ModelError(f"the model lacks the array {missing[0]}: it was not written by this version of fraudlog")
        grid, ranks, sides, n_rows = (arrays[name] for name in names)
        shapes = {
            "quantiles.grid": grid.dtype.str[1:] == "f4" and grid.ndim == 2 and grid.shape[0] == n_features,
            "quantiles.ranks": ranks.dtype.str[1:] == "f8" and grid.ndim == 2 and ranks.shape == grid.shape[1:],
            "quantiles.sides": sides.dtype.str[1:] == "u1" and sides.shape == (n_features,),
            "quantiles.n_rows": n_rows.dtype.str[1:] == "i8" and n_rows.shape == (1,),
        }
        _require(shapes, "has another type or shape than the forest asks for")
        content = {
            "quantiles.grid": bool(np.isfinite(grid).all()) and bool((np.diff(grid, axis=1) >= 0).all()),
            "quantiles.ranks": bool((np.diff(ranks) >= 0).all() and (ranks >= 0).all() and (ranks <= 1).all()),
            "quantiles.sides": bool((sides < len(SIDES)).all()),
            "quantiles.n_rows": bool(n_rows[0] > 0),
        }
        _require(content, "holds a number out of order")
        return cls(grid, ranks, sides, int(n_rows[0]))


def _points(n_rows: int) -> NDArray[np.int64]:
    """Return the ranks to keep: every one at the ends, ever fewer inwards, and an even ladder of 128 between."""
    last = max(0, n_rows - 1)
    ladder = np.rint(np.linspace(0, last, 129)).astype(np.int64)
    ends = _TAIL[last // 2 >= _TAIL]
    return np.unique(np.r_[ends, last - ends, ladder])


def _require(checks: Mapping[str, bool], message: str) -> None:
    for name, holds in checks.items():
        if not holds:
            raise ModelError(f"{name} {message}: the model is damaged or was not written by fraudlog")
