"""Grow trees with scikit-learn's builder and lay them out flat."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.tree import ExtraTreeRegressor

from fraudlog.detecting.transforms import forward, round_down, thresholds_in_raw_values
from fraudlog.detecting.trees import NEVER_RIGHT, STEP, FlatForest, average_path_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.detecting.transforms import Transform

__all__ = ["Grown", "assemble", "from_sklearn", "grow_tree", "tree_depth"]


class Grown(NamedTuple):
    """One tree filled up to full depth; level after level, in the types of `FlatForest`."""

    feature: NDArray[np.uint16]
    threshold: NDArray[np.float32]
    share: NDArray[np.float32]
    leaf: NDArray[np.float64]


def tree_depth(n_rows: int) -> int:
    """Return the depth at which a tree of `n_rows` rows stops: the depth of a balanced one.

    >>> tree_depth(256), tree_depth(257)
    (8, 9)
    """
    return max(1, (n_rows - 1).bit_length())


def grow_tree(
    rows: NDArray[np.float32], transforms: Sequence[Transform], n_features: int, depth: int, seed: int
) -> Grown:
    """Grow one tree on its rows.

    Parameters
    ----------
    rows : float32 array of shape (n_rows, n_columns)
        In the order they were drawn; NaN where a value is missing.
    transforms : sequence of Transform
        One for each column.
    n_features : int
        How many of the columns the tree may ask for.
    depth : int
    seed : int
        All the tree's chance: its columns, its draws for missing values, its cuts.
    """
    chance = np.random.RandomState(seed & 0xFFFFFFFF)  # its stream is frozen for good, so fits repeat
    columns = np.sort(chance.permutation(rows.shape[1])[:n_features])
    raw = _filled(rows[:, columns], chance)
    scaled = raw.copy()
    used = [transforms[column] for column in columns]
    for place in (place for place, transform in enumerate(used) if not transform.is_plain):
        scaled[:, place] = forward(raw[:, place], used[place])
    builder = ExtraTreeRegressor(max_depth=depth, max_features=1, random_state=chance.randint(2**31 - 1))
    tree = builder.fit(scaled, chance.uniform(size=len(rows)), check_input=False).tree_
    return _laid_out(tree, columns, _raw_thresholds(tree, raw, scaled, used), depth)


def _filled(rows: NDArray[np.float32], chance: np.random.RandomState) -> NDArray[np.float32]:
    """Fill each missing value with one drawn from the tree's other rows, so that its feature cuts as it does else."""
    rows = np.ascontiguousarray(rows)
    missing = np.isnan(rows)
    for place in np.flatnonzero(missing.any(axis=0)):
        holes = missing[:, place]
        known = rows[~holes, place]
        rows[holes, place] = known[chance.randint(len(known), size=holes.sum())] if len(known) else 0.0
    return rows


def _raw_thresholds(
    tree: Any,  # noqa: ANN401 -- scikit-learn ships no types
    raw: NDArray[np.float32],
    scaled: NDArray[np.float32],
    transforms: Sequence[Transform],
) -> NDArray[np.float32]:
    thresholds = round_down(tree.threshold)
    for place, transform in enumerate(transforms):
        nodes = np.flatnonzero(tree.feature == place)
        if len(nodes) and not transform.is_plain:
            thresholds[nodes] = thresholds_in_raw_values(tree.threshold[nodes], raw[:, place], scaled[:, place])
    return thresholds


def _laid_out(
    tree: Any,  # noqa: ANN401 -- as above
    columns: NDArray[np.int64],
    thresholds: NDArray[np.float32],
    depth: int,
) -> Grown:
    """Walk a scikit-learn tree level by level; below a leaf that comes early, the leaf stands for both children."""
    left, right, n_rows = tree.children_left, tree.children_right, tree.n_node_samples
    ends = left < 0
    column = columns[np.where(ends, 0, tree.feature)].astype(np.uint16)
    column[ends] = 0
    threshold = np.where(ends, np.float32(NEVER_RIGHT), thresholds)
    share = np.where(ends, 1.0, n_rows[left] / n_rows).astype(np.float32)
    own = np.arange(len(left))
    left, right = np.where(ends, own, left), np.where(ends, own, right)
    levels = [np.zeros(1, dtype=np.intp)]
    for _ in range(depth):
        levels.append(np.stack([left[levels[-1]], right[levels[-1]]], axis=1).reshape(-1))
    inner = np.concatenate(levels[:-1])
    lengths = tree.compute_node_depths() - 1.0 + average_path_length(n_rows)
    return Grown(column[inner], threshold[inner], share[inner], np.rint(lengths[levels[-1]] / STEP))


def assemble(trees: Sequence[Grown], depth: int, n_features: int, n_rows: int) -> FlatForest:
    """Put trees of one depth together, level by level.

    Parameters
    ----------
    trees : sequence of Grown
    depth, n_features : int
    n_rows : int
        Rows that each tree was grown from.
    """
    bounds = [(1 << level) - 1 for level in range(depth + 1)]
    inner = {
        name: np.concatenate(
            [
                np.stack([getattr(tree, name)[start:stop] for tree in trees]).reshape(-1)
                for start, stop in pairwise(bounds)
            ]
        )
        for name in ("feature", "threshold", "share")
    }
    narrow = np.uint8 if n_features <= 1 << 8 else np.uint16
    typical = float(average_path_length([n_rows])[0])
    leaf = np.concatenate([tree.leaf for tree in trees])
    return FlatForest(
        n_trees=len(trees),
        depth=depth,
        n_features=n_features,
        feature=inner["feature"].astype(narrow),
        threshold=inner["threshold"],
        share=inner["share"],
        leaf=leaf if typical else np.ones_like(leaf),  # one row isolates nothing: every score is one half
        unit=len(trees) * typical / STEP if typical else float(len(trees)),
    )


def from_sklearn(forest: Any) -> FlatForest:  # noqa: ANN401 -- as above
    """Lay out a fitted ``sklearn.ensemble.IsolationForest``.

    Its scores are ``-forest.score_samples(X)`` to 1e-12 on complete rows. Missing values differ: scikit-learn learns
    a direction for them, here they go both ways.

    >>> from sklearn.ensemble import IsolationForest
    >>> forest = IsolationForest(n_estimators=10, random_state=0).fit(np.arange(20.0).reshape(10, 2))
    >>> from_sklearn(forest).n_trees
    10
    """
    n_rows = int(forest._max_samples)  # noqa: SLF001 -- what scikit-learn itself scores with
    depth = tree_depth(max(n_rows, 2))
    trees = [
        _laid_out(tree.tree_, np.asarray(columns), round_down(tree.tree_.threshold), depth)
        for tree, columns in zip(forest.estimators_, forest.estimators_features_, strict=True)
    ]
    return assemble(trees, depth, int(forest.n_features_in_), n_rows)
