"""The ONNX model scores complete rows as the forest does."""

import numpy as np
import pytest

from fraudlog.detecting import SessionForest

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is a bench-only peer")
to_onnx = pytest.importorskip("fraudlog.detecting.onnx", reason="the extra `onnx` is not installed").to_onnx


@pytest.mark.parametrize("n_trees", [1, 300])
@pytest.mark.parametrize("n_features", [3, 300])
def test_equal_to_a_millionth(n_trees, n_features):
    rows = np.random.default_rng(0).lognormal(size=(2000, n_features)).astype(np.float32)
    scorer = SessionForest(n_trees, random_state=0, transforms={"0": "log1p"}).fit(rows).scorer_
    asked = np.concatenate([rows, rows * 9, np.zeros_like(rows[:1])])
    session = onnxruntime.InferenceSession(to_onnx(scorer.forest).SerializeToString())
    scores = session.run(None, {"features": asked})[0][:, 0]
    assert np.abs(scores - scorer.anomaly_score(asked)).max() < 1e-6


def test_names_travel_along():
    rows = np.random.default_rng(0).normal(size=(50, 2))
    model = to_onnx(SessionForest(2, random_state=0).fit(rows).scorer_.forest, feature_names=["a", "b"])
    assert model.metadata_props[0].value == "a,b"
