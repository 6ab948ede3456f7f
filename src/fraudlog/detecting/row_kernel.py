"""What is compiled for a single row (extra ``fast``): its path length, what changed it, and how rare its values are.

The bits are those of NumPy.

A service scores one row between two other pieces of work, with cold caches: what counts is how many cache lines a walk
touches, and how many of their loads overlap. So the trees are kept without the nodes that only fill them up, four
numbers of a node side by side and two children beside each other; and all trees go down together, level by level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numba import njit

from fraudlog.detecting.attribution import STEP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.detecting.population import Population
    from fraudlog.detecting.trees import FlatForest

    Bools = NDArray[np.bool_]

__all__ = ["RowTails", "RowWalks"]

_NODE: Final = np.dtype([("threshold", "f4"), ("share", "f4"), ("child", "i4"), ("feature", "i4")])


class _Packed(NamedTuple):
    """The trees, level by level.

    Parameters
    ----------
    nodes : record array of shape (n_nodes,)
        ``child`` is the place of the left child, the right one stands behind it; 0 is a leaf.
    expected : float64 array of shape (n_nodes,)
        Mean leaf below a node; of a leaf its own.
    most : int
        Most nodes that a row can stand on at once.
    """

    nodes: NDArray[Any]
    expected: NDArray[np.float64]
    most: int


class RowWalks:
    """The compiled walks over one forest, ready.

    Parameters
    ----------
    forest : FlatForest
    """

    def __init__(self, forest: FlatForest) -> None:
        self._packed = _packed(forest)
        self._n_trees = forest.n_trees
        self._n_features = forest.n_features
        unknown = np.full(forest.n_features, np.nan, dtype=np.float32)
        self.path_length(unknown)  # compiled here, not at the first request
        self.changes(unknown)

    def path_length(self, row: NDArray[np.float32]) -> float:
        """Do what `fraudlog.detecting.scoring.row_path_length` does, bit for bit."""
        length: float = _path_length(row, *self._packed, self._n_trees)
        return length

    def changes(self, row: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the summed changes of one row, as `fraudlog.detecting.attribution.changes` does, bit for bit."""
        out = np.zeros(self._n_features)
        _changes(row, *self._packed, self._n_trees, out)
        return out


class RowTails:
    """How rare the values of a single row are, as `Population.tails` says, bit for bit.

    Parameters
    ----------
    population : Population
    """

    def __init__(self, population: Population) -> None:
        self._grid = np.ascontiguousarray(population.grid)
        self._below, self._up_to = population.bounds
        self._sides, self._least = population.sides, 1.0 / (population.n_rows + 1.0)
        self(np.full(len(population.grid), np.nan, dtype=np.float32))  # compiled here, not at the first request

    def __call__(self, row: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the tail of each feature, shape (n_features,)."""
        out = np.ones(len(row))
        _tails(row, self._grid, self._below, self._up_to, self._sides, self._least, out)
        return out


def _packed(forest: FlatForest) -> _Packed:
    """Put the nodes that matter side by side, those of one level after those of the one above."""
    is_inner = _inner(forest)
    active = np.arange(forest.n_trees)
    nodes, expected, most = [], [], forest.n_trees
    first = 0
    for level in range(forest.depth + 1):
        packed = np.zeros(len(active), _NODE)
        expected.append(forest.expected[level].take(active))
        if level < forest.depth:
            inner = np.flatnonzero(is_inner[level].take(active))
            from_forest = forest.levels[level]
            for name in ("threshold", "share", "feature"):
                packed[name][inner] = getattr(from_forest, name).take(active.take(inner))
            packed["child"][inner] = first + len(active) + 2 * np.arange(len(inner))
            children = 2 * active.take(inner)
            most += len(inner)
            first += len(active)
            active = np.stack([children, children + 1], axis=1).reshape(-1)
        else:
            active = active[:0]
        nodes.append(packed)
    return _Packed(np.concatenate(nodes), np.concatenate(expected), most)


def _inner(forest: FlatForest) -> list[Bools]:
    """Say, level by level, which nodes tell rows apart; those below one that does not only fill its tree up."""
    low, high = forest.leaf, forest.leaf
    tells = np.zeros(len(forest.leaf), np.bool_)
    found: list[Bools] = []
    for level in reversed(forest.levels):
        low, high = np.minimum(low[0::2], low[1::2]), np.maximum(high[0::2], high[1::2])
        tells = (level.share != 1.0) | (low != high) | tells[0::2] | tells[1::2]
        found.append(tells)
    return found[::-1]


# Numba compiles what stands here as it stands; the arithmetic is that of `scoring` and `attribution`. A row may stand
# on every leaf at once, so there is room for all.


@njit(nogil=True, cache=True)
def _path_length(row, nodes, expected, most, n_trees):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 -- arrays of Numba's own types
    places, weights = np.empty((2, most), np.int32), np.empty((2, most), np.float64)
    for tree in range(n_trees):
        places[0, tree], weights[0, tree] = tree, 1.0
    now, standing, length = 0, n_trees, 0.0
    while standing:
        then, going = 1 - now, 0
        for i in range(standing):
            place, weight = places[now, i], weights[now, i]
            node = nodes[place]
            child = node.child
            if child == 0:
                length += np.rint(weight * expected[place])
                continue
            value = row[node.feature]
            if np.isnan(value):
                share = np.float64(node.share)
                right = weight * (1.0 - share)
                if right > 0:
                    places[then, going], weights[then, going] = child + 1, right
                    going += 1
                places[then, going], weights[then, going] = child, weight * share
            else:
                places[then, going], weights[then, going] = child + (value > node.threshold), weight
            going += 1
        now, standing = then, going
    return length


@njit(nogil=True, cache=True)
def _changes(row, nodes, expected, most, n_trees, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 -- as above
    places, weights = np.empty((2, most), np.int32), np.empty((2, most), np.float64)
    for tree in range(n_trees):
        places[0, tree], weights[0, tree] = tree, 1.0
    now, standing = 0, n_trees
    while standing:
        then, going = 1 - now, 0
        for i in range(standing):
            place, weight = places[now, i], weights[now, i]
            node = nodes[place]
            child = node.child
            if child == 0:
                continue
            value = row[node.feature]
            if np.isnan(value):
                share = np.float64(node.share)
                right = weight * (1.0 - share)
                if right > 0:
                    places[then, going], weights[then, going] = child + 1, right
                    going += 1
                places[then, going], weights[then, going] = child, weight * share
            else:
                child += value > node.threshold
                out[node.feature] += np.rint(weight * (expected[child] - expected[place]) / STEP)
                places[then, going], weights[then, going] = child, weight
            going += 1
        now, standing = then, going


@njit(nogil=True, cache=True)
def _tails(row, grid, below_of, up_to_of, sides, least, out):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 -- as above
    for place in range(len(row)):
        value = row[place]
        if np.isnan(value):
            continue
        points = grid[place]
        low = max(up_to_of[np.searchsorted(points, value, "right")], least)
        high = max(1.0 - below_of[np.searchsorted(points, value, "left")], least)
        side = sides[place]
        out[place] = high if side == 1 else low if side == 2 else min(1.0, 2.0 * min(high, low))
