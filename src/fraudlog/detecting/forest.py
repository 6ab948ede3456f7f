"""The isolation forest: fitted by scikit-learn, scored and explained from flat arrays with NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

__all__ = ["Forest", "fit_forest"]


@dataclass(frozen=True, slots=True)
class Forest:
    """An isolation forest as five flat arrays, all trees one after the other.

    Parameters
    ----------
    feature : ndarray of int64, shape (n_nodes,)
        Column split on, -1 in a leaf.
    threshold : ndarray of float64, shape (n_nodes,)
        A row goes left where its value is at most this.
    left, right : ndarray of int64, shape (n_nodes,)
        Children; a leaf is its own child.
    depth : ndarray of float64, shape (n_nodes,)
        Expected depth at which a row that reached this node is isolated; in a leaf its depth plus the mean of the
        unbuilt tree below it.
    roots : ndarray of int64, shape (n_trees,)
    normalizer : float
        Mean depth in a tree of as many rows as each was built on, c(n) of [1]_.

    References
    ----------
    .. [1] F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation Forest", ICDM 2008.
    """

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    depth: Floats
    roots: Ints
    normalizer: float

    def anomaly_score(self, rows: Floats) -> Floats:
        """Return 2 ** (-mean depth / c(n)) of each row: 0..1, high is odd.

        Parameters
        ----------
        rows : ndarray of float64, shape (n_rows, n_features)
        """
        node = self._leaves(rows)[0]
        score: Floats = np.exp2(-self.depth[node].mean(axis=1) / self.normalizer)
        return score

    def contributions(self, rows: Floats) -> tuple[float, Floats]:
        """Return the score of a row before anything is known of it, and what each feature adds to that.

        The change of the expected depth at each split is credited to the feature split on; the score's difference from
        the base is shared out in proportion.

        Returns
        -------
        base : float
        contributions : ndarray of float64, shape (n_rows, n_features)
            ``base + contributions.sum(axis=1)`` is the score.
        """
        _, credit = self._leaves(rows)
        base = float(np.exp2(-self.depth[self.roots].mean() / self.normalizer))
        change = credit.sum(axis=1, keepdims=True)
        shares = np.divide(credit, change, out=np.zeros_like(credit), where=np.abs(change) > np.finfo(float).eps)
        return base, shares * (self.anomaly_score(rows)[:, None] - base)

    def _leaves(self, rows: Floats) -> tuple[Ints, Floats]:
        """Go down all trees level by level; return each row's leaves, and what each feature did to the depth."""
        rows = np.ascontiguousarray(rows, np.float64)
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots))).copy()
        credit = np.zeros_like(rows)
        at = np.arange(len(rows))[:, None]
        while (self.feature[node] >= 0).any():
            column = np.maximum(self.feature[node], 0)
            child = np.where(rows[at, column] <= self.threshold[node], self.left[node], self.right[node])
            np.add.at(credit, (at, column), self.depth[child] - self.depth[node])
            node = child
        return node, credit

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays to store."""
        names = ("feature", "threshold", "left", "right", "depth", "roots")
        return {name: getattr(self, name) for name in names} | {"normalizer": np.array(self.normalizer)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]], n_features: int) -> Forest:
        """Rebuild a forest, checking every index.

        Raises
        ------
        ModelError
            If an array is missing, an index is out of range, or a child does not lie behind its parent.
        """
        try:
            ints = {name: np.asarray(arrays[name], np.int64) for name in ("feature", "left", "right", "roots")}
            floats = {name: np.asarray(arrays[name], np.float64) for name in ("threshold", "depth")}
            normalizer = float(arrays["normalizer"])
        except (KeyError, TypeError, ValueError):
            raise ModelError("the model's trees are incomplete: fit and save it again") from None
        size = len(ints["feature"])
        own = np.arange(size)
        leaf = ints["feature"] < 0
        forward = (ints["left"] > own) & (ints["right"] > own)
        checks = (
            all(array.ndim == 1 for array in (*ints.values(), *floats.values())),
            all(len(array) == size for name, array in (ints | floats).items() if name != "roots"),
            len(ints["roots"]) > 0 and size > 0,
            ((ints["feature"] >= -1) & (ints["feature"] < n_features)).all(),
            (np.where(leaf, (ints["left"] == own) & (ints["right"] == own), forward)).all(),
            (ints["left"] < size).all() and (ints["right"] < size).all(),
            (ints["roots"] >= 0).all() and (ints["roots"] < size).all(),
            all(np.isfinite(array).all() for array in floats.values()) and np.isfinite(normalizer) and normalizer > 0,
        )
        if not all(checks):
            raise ModelError("the model's trees point outside themselves: the file is damaged or hostile")
        return cls(normalizer=normalizer, **ints, **floats)  # type: ignore[arg-type]


def fit_forest(rows: Floats, *, n_estimators: int, max_samples: int, random_state: int) -> Forest:
    """Fit an isolation forest with scikit-learn and flatten it.

    Parameters
    ----------
    rows : ndarray of float64, shape (n_rows, n_features)
        Without nulls.
    """
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 -- scoring must not import scikit-learn

    fitted = IsolationForest(
        n_estimators=n_estimators, max_samples=min(max_samples, len(rows)), random_state=random_state
    )
    fitted.fit(rows)
    trees = [tree.tree_ for tree in fitted.estimators_]
    roots = np.cumsum([0, *(tree.node_count for tree in trees)])
    parts = [_flatten(tree, int(root)) for tree, root in zip(trees, roots, strict=False)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    normalizer = float(_unbuilt(np.array([fitted.max_samples_]))[0])
    return Forest(roots=roots[:-1], normalizer=normalizer, **joined)


def _unbuilt(rows: NDArray[np.generic]) -> Floats:
    """Return c(n), the mean depth of an unsuccessful search in a binary tree of n rows."""
    n = np.asarray(rows, np.float64)
    many = 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / np.maximum(n, 1)
    return np.where(n > 2, many, np.where(n == 2, 1.0, 0.0))


def _flatten(tree: object, root: int) -> dict[str, NDArray[np.generic]]:
    left, right = (np.asarray(getattr(tree, name)) for name in ("children_left", "children_right"))
    rows = np.asarray(tree.n_node_samples)  # type: ignore[attr-defined]
    leaf = left < 0
    level = np.zeros(len(left))
    for node in np.flatnonzero(~leaf):  # parents come before their children
        level[[left[node], right[node]]] = level[node] + 1
    depth = np.where(leaf, level + _unbuilt(rows), 0.0)
    for node in np.flatnonzero(~leaf)[::-1]:
        below = [left[node], right[node]]
        depth[node] = np.average(depth[below], weights=rows[below])
    own = np.arange(len(left))
    return {
        "feature": np.where(leaf, -1, np.asarray(tree.feature)).astype(np.int64),  # type: ignore[attr-defined]
        "threshold": np.asarray(tree.threshold, np.float64),  # type: ignore[attr-defined]
        "left": np.where(leaf, own, left).astype(np.int64) + root,
        "right": np.where(leaf, own, right).astype(np.int64) + root,
        "depth": depth,
    }
