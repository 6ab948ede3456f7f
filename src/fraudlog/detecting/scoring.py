"""Scores from flat trees with NumPy alone.

Three walks, one arithmetic. A single complete row takes some six NumPy calls a level for all trees at once, so the
number of trees hardly matters. Batches do the same for a block of rows. A row with missing values goes down both
branches of a node that asks for one, each part weighted by the share of training rows that went there; the parts are
rounded to whole steps before they are added, so that their order does not matter either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fraudlog.detecting.trees import FlatForest, Level

__all__ = ["Front", "path_lengths", "row_path_length", "scores_of", "walk"]

_BLOCK: Final = 1 << 16
"""Row-tree pairs that a block of complete rows holds: temporaries stay in the second-level cache."""

_FRONT: Final = 1 << 22
"""Node visits that a block of rows with missing values may grow to: some 100 MB at the worst."""


class Front(NamedTuple):
    """Where a block of rows stands on one level: one entry for each (row, node) that a part of the row has reached."""

    row: NDArray[np.intp]
    node: NDArray[np.intp]
    weight: NDArray[np.float64]


def scores_of(forest: FlatForest, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn summed path lengths into scores: 2 ** -(length / c), Liu et al. 2008, eq. 2."""
    scores: NDArray[np.float64] = np.exp2(-lengths / forest.unit)
    return scores


def row_path_length(forest: FlatForest, row: NDArray[np.float32]) -> float:
    """Return the summed path length of one row, in the leaves' units.

    Parameters
    ----------
    forest : FlatForest
    row : float32 array of shape (n_features,)
        NaN where a value is missing.
    """
    holes = np.isnan(row)
    if holes.any():
        return _missing_row(forest, row, holes)
    node = np.arange(forest.n_trees)
    for level in forest.levels:
        right = row[level.feature[node]] > level.threshold[node]
        node += node
        node += right
    return float(forest.leaf[node].sum())


def _missing_row(forest: FlatForest, row: NDArray[np.float32], holes: NDArray[np.bool_]) -> float:
    """Walk one row down both branches wherever its value is missing: `_missing_block` for one, in fewer calls."""
    node = np.arange(forest.n_trees)
    weight = np.ones(forest.n_trees)
    for level in forest.levels:
        feature = level.feature.take(node)
        split = holes.take(feature).nonzero()[0]
        right = row.take(feature) > level.threshold.take(node)
        share = level.share.take(node.take(split))
        node += node
        node += right
        if len(split):
            part = weight.take(split) * (1.0 - share)
            both = (part > 0).nonzero()[0]  # a node that only fills its tree up sends nothing to the right
            weight[split] *= share
            node = np.concatenate((node, node.take(split.take(both)) + 1))
            weight = np.concatenate((weight, part.take(both)))
    return float(np.rint(weight * forest.leaf.take(node)).sum())


def path_lengths(forest: FlatForest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the summed path length of each row, in the leaves' units.

    Parameters
    ----------
    forest : FlatForest
    values : float32 array of shape (n_rows, n_features), C order
        NaN where a value is missing.

    Returns
    -------
    float64 array of shape (n_rows,)
    """
    lengths = np.empty(len(values), dtype=np.float64)
    incomplete = np.isnan(values).any(axis=1)
    for rows in _blocks(np.flatnonzero(~incomplete), max(1, _BLOCK // forest.n_trees)):
        lengths[rows] = _complete_block(forest, values[rows])
    for rows in _blocks(np.flatnonzero(incomplete), max(1, _FRONT // (forest.n_trees << forest.depth))):
        lengths[rows] = _missing_block(forest, values[rows])
    return lengths


def _blocks(rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _complete_block(forest: FlatForest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    flat = values.reshape(-1)
    start = np.arange(len(values))[:, np.newaxis] * forest.n_features
    node = np.broadcast_to(np.arange(forest.n_trees), (len(values), forest.n_trees)).copy()
    for level in forest.levels:
        right = flat.take(start + level.feature.take(node)) > level.threshold.take(node)
        node += node
        node += right
    lengths: NDArray[np.float64] = forest.leaf.take(node).sum(axis=1)
    return lengths


def _missing_block(forest: FlatForest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    front = start_front(forest, len(values))
    for _, front in walk(forest, values):  # noqa: B007 -- the last front is the one that counts
        pass
    parts = np.rint(front.weight * forest.leaf.take(front.node))
    return np.bincount(front.row, weights=parts, minlength=len(values)).astype(np.float64, copy=False)


def start_front(forest: FlatForest, n_rows: int) -> Front:
    """Return the front at the roots: every row, whole, in every tree."""
    row = np.repeat(np.arange(n_rows), forest.n_trees)
    return Front(row, np.tile(np.arange(forest.n_trees), n_rows), np.ones(len(row)))


def walk(forest: FlatForest, values: NDArray[np.float32]) -> Iterator[tuple[Step, Front]]:
    """Go down level by level, splitting rows where a value is missing.

    Yields
    ------
    (Step, Front)
        What was decided on the level, and the front on the next.
    """
    flat = values.reshape(-1)
    front = start_front(forest, len(values))
    for level in forest.levels:
        step = _decide(level, flat, forest.n_features, front)
        front = _advance(level, front, step)
        yield step, front


class Step(NamedTuple):
    """What a level decides: for each entry of the front, the feature asked for, the child, and whether it splits."""

    feature: NDArray[np.intp]
    child: NDArray[np.intp]
    splits: NDArray[np.bool_]
    before: Front


def _decide(level: Level, flat: NDArray[np.float32], n_features: int, front: Front) -> Step:
    feature = level.feature.take(front.node)
    value = flat.take(front.row * n_features + feature)
    child = 2 * front.node + (value > level.threshold.take(front.node))
    return Step(feature, child, np.isnan(value), front)


def _advance(level: Level, front: Front, step: Step) -> Front:
    split = np.flatnonzero(step.splits)
    if not len(split):
        return Front(front.row, step.child, front.weight)
    share = level.share.take(front.node[split])
    weight = front.weight.copy()
    weight[split] *= share
    right = front.weight[split] * (1.0 - share)
    both = np.flatnonzero(right > 0)  # a node that only fills its tree up sends nothing to the right
    return Front(
        np.concatenate([front.row, front.row[split][both]]),
        np.concatenate([step.child, step.child[split][both] + 1]),
        np.concatenate([weight, right[both]]),
    )


def as_rows(values: Any, n_features: int) -> NDArray[np.float32]:  # noqa: ANN401 -- anything NumPy reads
    """Turn array-likes into the C-ordered float32 rows that the walks take.

    Raises
    ------
    ValueError
        If the shape is not (n_rows, n_features).
    """
    with np.errstate(over="ignore"):  # beyond float32 is beyond every threshold
        rows: NDArray[np.float32] = np.ascontiguousarray(np.asarray(values), dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise ValueError(f"the forest was fitted on {n_features} features; the rows have shape {rows.shape}")
    return rows
