"""The forest as an ONNX model (extra ``onnx``), for runtimes without Python.

One ``TreeEnsembleRegressor`` node and a power of two. ONNX has no way to send a missing value down both branches, so
the model is for complete rows; it says so in its documentation string, and sends NaN to the left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, checker, helper

from fraudlog.detecting.trees import NEVER_RIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.detecting.trees import FlatForest

__all__ = ["to_onnx"]

_DOC = "fraudlog anomaly score, 0..1, high is odd. For complete rows only: NaN goes to the left child."


def to_onnx(forest: FlatForest, *, feature_names: Sequence[str] | None = None) -> Any:  # noqa: ANN401 -- a ModelProto
    """Return the forest as an ONNX model.

    Input ``features`` is float32 of shape (n_rows, n_features), output ``anomaly_score`` float32 of shape (n_rows, 1),
    equal to `ForestScorer.anomaly_score` to 1e-6 on complete rows.

    Parameters
    ----------
    forest : FlatForest
    feature_names : sequence of str, optional
        Kept in the model's metadata.

    Returns
    -------
    onnx.ModelProto

    Examples
    --------
    >>> from fraudlog.detecting import SessionForest
    >>> rows = np.random.default_rng(0).normal(size=(300, 3))
    >>> model = to_onnx(SessionForest(5, random_state=0).fit(rows).scorer_.forest)
    >>> model.graph.output[0].name
    'anomaly_score'
    """
    # Leaves are kept as distances from what each tree expects, in units of the exponent: float32 sums stay near 0.
    expected = forest.expected[0].sum() / forest.unit
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor", ["features"], ["exponent"], domain="ai.onnx.ml", n_targets=1, **_trees(forest)
        ),
        helper.make_node("Add", ["exponent", "expected"], ["length"]),
        helper.make_node("Pow", ["two", "length"], ["anomaly_score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "fraudlog_forest",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", forest.n_features])],
        [helper.make_tensor_value_info("anomaly_score", TensorProto.FLOAT, ["rows", 1])],
        [
            helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
            helper.make_tensor("expected", TensorProto.FLOAT, [1], [-expected]),
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, doc_string=_DOC, producer_name="fraudlog")
    if feature_names is not None:
        helper.set_model_props(model, {"feature_names": ",".join(feature_names)})
    checker.check_model(model)
    return model


def _trees(forest: FlatForest) -> dict[str, Any]:
    """Return the attributes of the node: each tree a heap, cut off where all below is one leaf."""
    n_nodes = (2 << forest.depth) - 1
    own = np.arange(n_nodes)
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("id", "feature", "value", "mode", "left", "right")}
    leaves: dict[str, list[NDArray[Any]]] = {"id": [], "weight": []}
    trees, leaf_trees = [], []
    for tree in range(forest.n_trees):
        feature, threshold, length = _heap(forest, tree)
        splits = threshold < NEVER_RIGHT
        kept = _reached(splits)
        number = np.cumsum(kept) - 1  # runtimes want a tree's nodes numbered without gaps
        columns["id"].append(number[kept])
        columns["feature"].append(np.where(splits, feature, 0)[kept])
        columns["value"].append(np.where(splits, threshold, 0.0)[kept])
        columns["mode"].append(np.where(splits, "BRANCH_LEQ", "LEAF")[kept])
        columns["left"].append(np.where(splits, number[np.minimum(2 * own + 1, n_nodes - 1)], 0)[kept])
        columns["right"].append(np.where(splits, number[np.minimum(2 * own + 2, n_nodes - 1)], 0)[kept])
        leaves["id"].append(number[kept & ~splits])
        leaves["weight"].append((forest.expected[0][tree] - length[kept & ~splits]) / forest.unit)
        trees.append(np.full(kept.sum(), tree))
        leaf_trees.append(np.full((kept & ~splits).sum(), tree))
    joined = {name: np.concatenate(parts).tolist() for name, parts in columns.items()}
    ids = np.concatenate(leaves["id"]).tolist()
    return {
        "nodes_treeids": np.concatenate(trees).tolist(),
        "nodes_nodeids": joined["id"],
        "nodes_featureids": joined["feature"],
        "nodes_values": joined["value"],
        "nodes_modes": joined["mode"],
        "nodes_truenodeids": joined["left"],
        "nodes_falsenodeids": joined["right"],
        "target_treeids": np.concatenate(leaf_trees).tolist(),
        "target_nodeids": ids,
        "target_ids": [0] * len(ids),
        "target_weights": np.concatenate(leaves["weight"]).tolist(),
    }


def _heap(forest: FlatForest, tree: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return one tree as a heap from place 0: feature, threshold (a leaf never sends right), path length if a leaf."""
    places = [slice(tree << level, (tree + 1) << level) for level in range(forest.depth + 1)]
    inner = [forest.level_slice(level) for level in range(forest.depth)]
    n_leaves = 1 << forest.depth
    feature = np.concatenate(
        [forest.feature[where][place] for where, place in zip(inner, places, strict=False)] + [np.zeros(n_leaves)]
    )
    threshold = np.concatenate(
        [forest.threshold[where][place] for where, place in zip(inner, places, strict=False)]
        + [np.full(n_leaves, NEVER_RIGHT)]
    )
    length = np.concatenate([level[place] for level, place in zip(forest.expected, places, strict=True)])
    return feature.astype(np.int64), threshold, length


def _reached(splits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which places of a heap have nothing but splits above them."""
    reached = np.zeros(len(splits), dtype=np.bool_)
    reached[0] = True
    for start in ((1 << level) - 1 for level in range(1, len(splits).bit_length())):
        places = np.arange(start, 2 * start + 1)
        above = (places - 1) // 2
        reached[places] = reached[above] & splits[above]
    return reached
