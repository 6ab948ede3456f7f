"""Why a row scores as it does: contributions that add up to the score, without any model of the model.

Down a path the expected path length changes from node to node; each change is put down to the feature the node asked
for. The changes add up to the row's path length minus what an unknown row expects, by telescoping, in every tree and
whatever features the tree was given (TreeSHAP conditions on a feature set the trees do not share and is off there).
A missing value goes both ways by the training shares, which changes no expectation, so it contributes nothing.

Each change is rounded to whole steps before it is added, as path lengths are, so that their order does not matter: the
compiled walk of a single row gives the same bits.

The score is ``base * 2 ** -delta`` with ``delta`` the summed change. Since ``expm1(u) / u`` is smooth, the
contributions in score units are the changes times one factor, also where ups and downs cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.detecting.scoring import walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.detecting.trees import FlatForest

__all__ = ["STEP", "changes", "contributions", "in_score_units", "reason_order"]

STEP: Final = 32.0
"""What changes are counted in. The leaves of all trees add up to less than 2 ** 53 and a tree has at most 16 levels, so
that any sum of whole steps is exact; the rounding moves a contribution by less than 1e-10."""

_BLOCK: Final = 1 << 17


def contributions(forest: FlatForest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return each feature's share in each score.

    Parameters
    ----------
    forest : FlatForest
    values : float32 array of shape (n_rows, n_features)
        NaN where a value is missing.

    Returns
    -------
    float64 array of shape (n_rows, n_features)
        ``forest.base + contributions.sum(axis=1)`` is the anomaly score; positive speaks for odd.
    """
    return in_score_units(forest, changes(forest, values))


def changes(forest: FlatForest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how far each feature moves each row's expected path length, in steps; whole numbers."""
    out = np.empty(values.shape, dtype=np.float64)
    missing = bool(np.isnan(values).any())
    size = max(1, _BLOCK // (forest.n_trees << (forest.depth // 2 if missing else 0)))
    for start in range(0, len(values), size):
        out[start : start + size] = _block(forest, values[start : start + size])
    return out


def _block(forest: FlatForest, values: NDArray[np.float32]) -> NDArray[np.float64]:
    cells, changed = [], []
    for level, (step, _) in enumerate(walk(forest, values)):
        before = step.before
        gained = forest.expected[level + 1].take(step.child) - forest.expected[level].take(before.node)
        cells.append(before.row * forest.n_features + step.feature)
        changed.append(np.where(step.splits, 0.0, np.rint(before.weight * gained / STEP)))
    if not cells:
        return np.zeros(values.shape)
    summed = np.bincount(np.concatenate(cells), weights=np.concatenate(changed), minlength=values.size)
    return summed.astype(np.float64, copy=False).reshape(values.shape)


def in_score_units(forest: FlatForest, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn `changes` of rows into contributions to their scores."""
    exponents = steps * (-np.log(2.0) * STEP / forest.unit)
    total = exponents.sum(axis=1, keepdims=True)
    slope = np.divide(np.expm1(total), total, out=np.ones_like(total), where=total != 0)
    scaled: NDArray[np.float64] = forest.base * slope * exponents
    return scaled


def reason_order(contributions: NDArray[np.float64], tails: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order the features of each row for a reader: by contribution and by how rare the value is on its own.

    Parameters
    ----------
    contributions, tails : float64 arrays of shape (n_rows, n_features)

    Returns
    -------
    intp array of shape (n_rows, n_features)
    """
    share = contributions / np.maximum(np.abs(contributions).max(axis=1, keepdims=True), 1e-300)
    surprise = -np.log(tails)
    rarity = surprise / np.maximum(surprise.max(axis=1, keepdims=True), 1e-300)
    return np.argsort(-(share + 2.0 * rarity), axis=1, kind="stable")
