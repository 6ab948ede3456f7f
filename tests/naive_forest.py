"""Slow, readable twins of the forest's walks: one row, one tree, one node at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fraudlog.detecting.trees import FlatForest


def node_at(forest: FlatForest, tree: int, level: int, place: int) -> tuple[int, float, float]:
    """Return feature, threshold and left share of one node."""
    index = forest.level_slice(level).start + tree * 2**level + place
    return int(forest.feature[index]), float(forest.threshold[index]), float(forest.share[index])


def leaves(forest: FlatForest, row: np.ndarray, tree: int) -> list[tuple[float, int]]:
    """Return the (weight, leaf) pairs that a row reaches in one tree."""

    def below(level: int, place: int, weight: float) -> list[tuple[float, int]]:
        if level == forest.depth:
            return [(weight, tree * 2**level + place)]
        feature, threshold, share = node_at(forest, tree, level, place)
        if math.isnan(row[feature]):
            left = below(level + 1, 2 * place, weight * share)
            return left + (below(level + 1, 2 * place + 1, weight * (1.0 - share)) if weight * (1.0 - share) else [])
        return below(level + 1, 2 * place + int(row[feature] > threshold), weight)

    return below(0, 0, 1.0)


def score(forest: FlatForest, row: np.ndarray) -> float:
    """Return the anomaly score of one row."""
    length = 0
    for tree in range(forest.n_trees):
        length += sum(round(weight * float(forest.leaf[leaf])) for weight, leaf in leaves(forest, row, tree))
    return float(np.exp2(-np.asarray([length], dtype=float) / forest.unit)[0])


def expected(forest: FlatForest, tree: int, level: int, place: int) -> float:
    """Return the mean path length of the training rows below a node."""
    if level == forest.depth:
        return float(forest.leaf[tree * 2**level + place])
    _, _, share = node_at(forest, tree, level, place)
    left, right = (expected(forest, tree, level + 1, 2 * place + side) for side in (0, 1))
    return share * left + (1.0 - share) * right


def contributions(forest: FlatForest, row: np.ndarray) -> np.ndarray:
    """Return each feature's summed change of expected path length, as a share of the score's distance to the base."""
    changes = np.zeros(forest.n_features)

    def below(tree: int, level: int, place: int, weight: float) -> None:
        if level == forest.depth:
            return
        feature, threshold, share = node_at(forest, tree, level, place)
        if math.isnan(row[feature]):
            below(tree, level + 1, 2 * place, weight * share)
            below(tree, level + 1, 2 * place + 1, weight * (1.0 - share))
            return
        child = 2 * place + int(row[feature] > threshold)
        changes[feature] += weight * (expected(forest, tree, level + 1, child) - expected(forest, tree, level, place))
        below(tree, level + 1, child, weight)

    for tree in range(forest.n_trees):
        below(tree, 0, 0, 1.0)
    return changes * (score(forest, row) - forest.base) / changes.sum()
