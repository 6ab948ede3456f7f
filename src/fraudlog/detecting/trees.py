"""A forest as flat arrays: perfect binary trees, stored level by level.

Every tree is filled up to the same depth, so no child pointer is needed: the children of node ``i`` of one level are
the nodes ``2 i`` and ``2 i + 1`` of the next. A hostile file can therefore hold neither a cycle nor a child out of
range; what can be wrong (a feature, a threshold, a size) is checked in `FlatForest.from_arrays`.

A level stands as one run of ``n_trees * 2**level`` nodes, tree after tree, and the levels stand after one another.

Leaves hold path lengths relative to what is usual in a tree of so many rows, so trees of several sizes can be mixed, in
whole multiples of a tiny step. Their sums stay below 2**53, so they are exact in any order: one row alone, a batch, the
compiled kernel and any number of threads give the same bits. The rounding moves a score by some 1e-14.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_DEPTH", "NEVER_RIGHT", "ONE", "FlatForest", "Level", "average_path_length"]

ONE: Final = 2.0**40
"""What stands in a leaf for a path as long as c(rows of the tree): the length that scores one half."""

MAX_DEPTH: Final = 16
"""Deepest tree: 65,536 rows. Filled up trees double with every level."""

NEVER_RIGHT: Final = np.finfo(np.float32).max
"""Threshold of a node that only fills its tree up: both its subtrees are the same leaf."""

_EXACT: Final = 2.0**53


class Level(NamedTuple):
    """One level of all trees, ready for a walk."""

    feature: NDArray[np.intp]
    threshold: NDArray[np.float32]
    share: NDArray[np.float64]
    expected: NDArray[np.float64]


def average_path_length(n_rows: NDArray[Any] | Sequence[int]) -> NDArray[np.float64]:
    """Return the mean number of splits that isolates one of `n_rows` rows at random.

    This is c(n) of Liu, Ting and Zhou, "Isolation Forest", ICDM 2008, eq. 1, with the harmonic number as there.

    >>> average_path_length([1, 2, 256]).round(4)
    array([ 0.    ,  1.    , 10.2448])
    """
    n = np.asarray(n_rows, dtype=np.float64)
    large = np.maximum(n, 3.0)
    many = 2.0 * (np.log(large - 1.0) + np.euler_gamma) - 2.0 * (large - 1.0) / large
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, many))


@dataclass(frozen=True, eq=False)
class FlatForest:
    """Trees of one depth as four flat arrays.

    Parameters
    ----------
    n_trees, depth, n_features : int
        Size of the forest; each tree has ``2**depth`` leaves.
    feature : unsigned integer array of shape (n_trees * (2**depth - 1),)
        Feature that a node looks at.
    threshold : float32 array of the same shape
        A row goes right if its value is greater. Rounded down from float64, so float32 values compare alike.
    share : float32 array of the same shape
        Share of the node's training rows that went left; a missing value goes both ways by it.
    leaf : float64 array of shape (n_trees * 2**depth,)
        Path length of each leaf over c(rows of the tree), times `ONE`; whole numbers.
    unit : float
        ``n_trees * ONE``: the sum of leaves that scores one half.
    """

    n_trees: int
    depth: int
    n_features: int
    feature: NDArray[Any] = field(repr=False)
    threshold: NDArray[np.float32] = field(repr=False)
    share: NDArray[np.float32] = field(repr=False)
    leaf: NDArray[np.float64] = field(repr=False)
    unit: float = field(repr=False)

    def level_slice(self, level: int) -> slice:
        """Return where the nodes of `level` stand in `feature`, `threshold` and `share`."""
        return slice(self.n_trees * ((1 << level) - 1), self.n_trees * ((2 << level) - 1))

    def only(self, first: int, end: int) -> FlatForest:
        """Return the forest of some of the trees; they give the path lengths that they gave among the others."""

        def of_levels(values: NDArray[Any]) -> NDArray[Any]:
            levels = [values[self.level_slice(level)].reshape(self.n_trees, -1) for level in range(self.depth)]
            return np.concatenate([level[first:end].reshape(-1) for level in levels] or [values[:0]])

        return replace(
            self,
            n_trees=end - first,
            feature=of_levels(self.feature),
            threshold=of_levels(self.threshold),
            share=of_levels(self.share),
            leaf=self.leaf.reshape(self.n_trees, -1)[first:end].reshape(-1),
            unit=(end - first) * ONE,
        )

    @cached_property
    def expected(self) -> tuple[NDArray[np.float64], ...]:
        """Mean leaf below each node, by level from the roots to the leaves, in the leaves' units.

        The mean is weighted by the training rows' shares, so a row that goes both ways expects what it did before.
        """
        below = [self.leaf]
        for level in reversed(range(self.depth)):
            share = self.share[self.level_slice(level)].astype(np.float64)
            below.append(share * below[-1][0::2] + (1.0 - share) * below[-1][1::2])
        return tuple(reversed(below))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels from the roots down, with indices as NumPy wants them."""
        return tuple(
            Level(
                self.feature[where].astype(np.intp),
                np.ascontiguousarray(self.threshold[where]),
                self.share[where].astype(np.float64),
                self.expected[level],
            )
            for level, where in ((level, self.level_slice(level)) for level in range(self.depth))
        )

    @cached_property
    def base(self) -> float:
        """Score that a row gets of which nothing is known."""
        return float(np.exp2(-np.asarray([self.expected[0].sum()]) / self.unit)[0])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that `from_arrays` takes."""
        return {
            "forest.size": np.asarray([self.n_trees, self.depth, self.n_features], dtype=np.int64),
            "forest.unit": np.asarray([self.unit], dtype=np.float64),
            "forest.feature": self.feature,
            "forest.threshold": self.threshold,
            "forest.share": self.share,
            "forest.leaf": self.leaf,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FlatForest:
        """Build a forest from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, has another type or size than the others ask for, points to a feature that is not
            there, or holds a number no fit can give.
        """
        n_trees, depth, n_features = _size(arrays)
        n_inner, n_leaves = n_trees * ((1 << depth) - 1), n_trees << depth
        forest = cls(
            n_trees=n_trees,
            depth=depth,
            n_features=n_features,
            feature=_array(arrays, "forest.feature", ("u1", "u2"), n_inner),
            threshold=_array(arrays, "forest.threshold", ("f4",), n_inner),
            share=_array(arrays, "forest.share", ("f4",), n_inner),
            leaf=_array(arrays, "forest.leaf", ("f8",), n_leaves),
            unit=float(_array(arrays, "forest.unit", ("f8",), 1)[0]),
        )
        _check_content(forest)
        return forest


def _array(arrays: Mapping[str, NDArray[Any]], name: str, kinds: tuple[str, ...], size: int) -> NDArray[Any]:
    if name not in arrays:
        raise ModelError(f"the model lacks the array {name}: it was not written by this version of fraudlog")
    array = arrays[name]
    if array.dtype.str[1:] not in kinds or array.shape != (size,):
        raise ModelError(f"{name} has type {array.dtype} and shape {array.shape}, not {kinds[0]} and ({size},)")
    return array


def _size(arrays: Mapping[str, NDArray[Any]]) -> tuple[int, int, int]:
    n_trees, depth, n_features = (int(number) for number in _array(arrays, "forest.size", ("i8",), 3))
    if not (1 <= n_trees <= 10_000 and 0 <= depth <= MAX_DEPTH and 1 <= n_features <= 1 << 16):
        raise ModelError(
            f"forest.size says {n_trees} trees of depth {depth} over {n_features} features; allowed are 1 to 10000, "
            f"0 to {MAX_DEPTH} and 1 to {1 << 16}"
        )
    return n_trees, depth, n_features


def _check_content(forest: FlatForest) -> None:
    share, leaf = forest.share, forest.leaf
    checks = {
        "forest.feature names a feature that is not there": bool((forest.feature < forest.n_features).all()),
        "forest.threshold holds a number that is not finite": bool(np.isfinite(forest.threshold).all()),
        "forest.share holds a number outside 0..1": bool(((share >= 0) & (share <= 1)).all()),
        "forest.leaf holds a number that is no path length": bool(((leaf >= 0) & (leaf == np.rint(leaf))).all()),
        "forest.leaf holds path lengths too long to add up": float(leaf.max()) * forest.n_trees < _EXACT,
        "forest.unit is not a positive number": bool(np.isfinite(forest.unit)) and forest.unit > 0,
    }
    for message, holds in checks.items():
        if not holds:
            raise ModelError(f"{message}: the model is damaged or was not written by fraudlog")
