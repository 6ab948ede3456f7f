"""The flat forest: equal to scikit-learn's, additive, and safe against hostile arrays."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from fraudlog.detecting.forest import Forest, fit_forest
from fraudlog.errors import ModelError

ROWS = np.random.default_rng(0).normal(size=(2000, 7))
FOREST = fit_forest(ROWS, n_estimators=50, max_samples=256, random_state=3)


def test_score_equals_scikit_learns():
    """The paper's score, which scikit-learn gives with its sign turned, to 1e-12."""
    other = IsolationForest(n_estimators=50, max_samples=256, random_state=3).fit(ROWS)
    np.testing.assert_allclose(FOREST.anomaly_score(ROWS), -other.score_samples(ROWS), atol=1e-12)


def test_contributions_add_up():
    """Base + sum is the score, to 1e-9."""
    base, parts = FOREST.contributions(ROWS)
    np.testing.assert_allclose(base + parts.sum(axis=1), FOREST.anomaly_score(ROWS), atol=1e-9)


@pytest.mark.parametrize("column", range(7))
def test_a_planted_oddity_is_named_first(column):
    """A row odd in one feature is explained by that feature."""
    row = np.zeros((1, 7))
    row[0, column] = 8.0
    assert FOREST.contributions(row)[1].argmax() == column


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("feature", 0, 7),
        ("feature", 0, -2),
        ("left", 0, 0),
        ("right", 0, 10**9),
        ("roots", 0, -1),
        ("threshold", 0, np.nan),
        ("depth", 0, np.inf),
    ],
)
def test_hostile_arrays_are_refused(name, place, value):
    """A cycle, an index out of range, a threshold that is no number."""
    arrays = {key: np.array(array) for key, array in FOREST.to_arrays().items()}
    arrays[name][place] = value
    with pytest.raises(ModelError):
        Forest.from_arrays(arrays, 7)


def test_missing_array_is_refused():
    """All six are needed."""
    arrays = FOREST.to_arrays()
    del arrays["left"]
    with pytest.raises(ModelError):
        Forest.from_arrays(arrays, 7)
