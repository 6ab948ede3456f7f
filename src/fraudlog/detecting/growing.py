"""Grow trees with scikit-learn's builder and lay them out flat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.tree import ExtraTreeRegressor

from fraudlog.detecting.transforms import Transform, forward, round_down, thresholds_in_raw_values
from fraudlog.detecting.trees import NEVER_RIGHT, ONE, FlatForest, average_path_length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


__all__ = ["Grown", "assemble", "cut_apart", "from_sklearn", "grow_tree", "tree_depth"]


class Grown(NamedTuple):
    """One tree filled up to its depth; level after level, in the types and units of `FlatForest`."""

    feature: NDArray[np.uint16]
    threshold: NDArray[np.float32]
    share: NDArray[np.float32]
    leaf: NDArray[np.float64]

    @property
    def depth(self) -> int:
        """Levels above the leaves."""
        return len(self.leaf).bit_length() - 1


def tree_depth(n_rows: int) -> int:
    """Return the depth at which a tree of `n_rows` rows stops: the depth of a balanced one.

    >>> tree_depth(256), tree_depth(257)
    (8, 9)
    """
    return max(1, (n_rows - 1).bit_length())


def grow_tree(rows: NDArray[np.float32], transforms: Sequence[Transform], n_features: int, seed: int) -> Grown:
    """Grow one tree on its rows.

    Parameters
    ----------
    rows : float32 array of shape (n_rows, n_columns)
        In the order they were drawn; NaN where a value is missing.
    transforms : sequence of Transform
        One for each column.
    n_features : int
        How many of the columns the tree may ask for.
    seed : int
        All the tree's chance: its columns, its draws for missing values, its cuts.
    """
    chance = np.random.RandomState(seed & 0xFFFFFFFF)  # its stream is frozen for good, so fits repeat
    columns = np.sort(chance.permutation(rows.shape[1])[:n_features])
    raw = _filled(rows[:, columns], chance)
    scaled = raw.copy()
    used = [transforms[column] for column in columns]
    for transform in {*used} - {Transform("identity")}:
        places = np.flatnonzero([one == transform for one in used])
        scaled[:, places] = forward(raw[:, places], transform)
    depth = tree_depth(len(rows))
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
    for place in np.unique(tree.feature[tree.feature >= 0]):
        if not transforms[place].is_plain:
            nodes = np.flatnonzero(tree.feature == place)
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
    typical = float(average_path_length([n_rows[0]])[0])
    lengths = tree.compute_node_depths() - 1.0 + average_path_length(n_rows)
    leaf = lengths[levels[-1]] / typical if typical else np.ones(1 << depth)  # one row isolates nothing: one half
    return Grown(column[inner], threshold[inner], share[inner], np.rint(leaf * ONE))


def assemble(trees: Sequence[Grown], n_features: int) -> FlatForest:
    """Put trees together, level by level; the shallower ones are filled up to the depth of the deepest."""
    depth = max(tree.depth for tree in trees)
    filled = [_deepened(tree, depth) for tree in trees]
    levels = [slice((1 << level) - 1, (2 << level) - 1) for level in range(depth)]

    def by_level(name: str) -> NDArray[Any]:
        stacked = np.stack([getattr(tree, name) for tree in filled])
        return np.concatenate([stacked[:, level].reshape(-1) for level in levels])

    return FlatForest(
        n_trees=len(trees),
        depth=depth,
        n_features=n_features,
        feature=by_level("feature").astype(np.uint8 if n_features <= 1 << 8 else np.uint16),
        threshold=by_level("threshold"),
        share=by_level("share"),
        leaf=np.concatenate([tree.leaf for tree in filled]),
        unit=len(trees) * ONE,
    )


def _deepened(tree: Grown, depth: int) -> Grown:
    if tree.depth == depth:
        return tree
    n_more = (1 << depth) - (1 << tree.depth)
    return Grown(
        np.append(tree.feature, np.zeros(n_more, dtype=np.uint16)),
        np.append(tree.threshold, np.full(n_more, NEVER_RIGHT, dtype=np.float32)),
        np.append(tree.share, np.ones(n_more, dtype=np.float32)),
        np.repeat(tree.leaf, 1 << (depth - tree.depth)),
    )


def cut_apart(forest: FlatForest, depths: Sequence[int]) -> list[Grown]:
    """Return the trees that `assemble` put together, given the depth of each."""
    levels = [forest.level_slice(level) for level in range(forest.depth)]

    def inner(array: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([array[level].reshape(forest.n_trees, -1) for level in levels], axis=1)

    feature, threshold, share = inner(forest.feature.astype(np.uint16)), inner(forest.threshold), inner(forest.share)
    leaf = forest.leaf.reshape(forest.n_trees, -1)
    return [
        Grown(
            feature[tree, : (1 << depth) - 1],
            threshold[tree, : (1 << depth) - 1],
            share[tree, : (1 << depth) - 1],
            leaf[tree, :: 1 << (forest.depth - depth)],
        )
        for tree, depth in enumerate(depths)
    ]


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
    return assemble(trees, int(forest.n_features_in_))
