"""Contributions add up, agree with the slow twin, and name what was planted."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import IsolationForest

import naive_forest
from fraudlog.detecting import SessionForest
from fraudlog.detecting.attribution import contributions
from fraudlog.detecting.growing import from_sklearn


def holed(rows, share):
    rows = rows.copy()
    rows[np.random.default_rng(3).random(rows.shape) < share] = np.nan
    return rows


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(2).normal(size=(3000, 12))


@pytest.mark.parametrize("max_features", [1.0, 0.4])
@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_base_and_contributions_add_up_to_the_score(rows, max_features, share):
    forest = SessionForest(50, max_samples=256, max_features=max_features, random_state=0).fit(rows)
    asked = np.concatenate([holed(rows[:300], share), holed(rows[:50] * 10, share)])
    base, parts = forest.contributions(asked)
    assert np.abs(base + parts.sum(axis=1) - forest.anomaly_score(asked)).max() < 1e-9


def test_contributions_equal_the_slow_twin(rows):
    scorer = SessionForest(8, max_samples=32, max_features=0.5, random_state=0).fit(holed(rows, 0.1)).scorer_
    asked = holed(rows[:15], 0.2).astype(np.float32)
    slow = [naive_forest.contributions(scorer.forest, row) for row in asked]
    np.testing.assert_allclose(scorer.contributions(asked)[1], slow, rtol=0, atol=1e-9)


def test_contributions_have_the_same_bits_alone_and_in_a_batch(rows):
    scorer = SessionForest(40, max_samples=128, random_state=0).fit(rows).scorer_
    asked = holed(rows[:200], 0.1)
    together = scorer.contributions(asked)[1]
    assert all((scorer.contributions(asked[[n]])[1][0] == together[n]).all() for n in range(len(asked)))


def test_a_missing_value_contributes_nothing(rows):
    forest = SessionForest(50, random_state=0).fit(rows)
    asked = rows[:20].copy()
    asked[:, 4] = np.nan
    assert (forest.contributions(asked)[1][:, 4] == 0).all()


def planted(rng, n_features):
    """Return sessions-like rows and one anomaly for each of 400 rows: one feature far out in its own tail."""
    rows = np.exp(
        rng.normal(size=(4000, n_features)) @ np.linalg.qr(rng.normal(size=(n_features, n_features)))[0] * 0.8
    )
    asked, where = rows[:400].copy(), rng.integers(0, n_features, 400)
    asked[np.arange(400), where] = np.quantile(rows, 0.999, axis=0)[where] * rng.uniform(1.1, 3.0, size=400)
    return rows[400:], asked, where


def test_the_planted_feature_is_named_first():
    rows, asked, where = planted(np.random.default_rng(5), 20)
    forest = SessionForest(random_state=0, transforms={str(n): "log1p" for n in range(20)}).fit(rows)
    order = forest.reason_order(asked)
    first = (order[:, 0] == where).mean()
    top = (order[:, :3] == where[:, np.newaxis]).any(axis=1).mean()
    assert (first, top) >= (0.9, 0.97), (first, top)
    assert top >= 0.97


def test_agrees_with_shap_where_shap_is_right(rows):
    shap = pytest.importorskip("shap", reason="shap is a bench-only peer")
    plain = IsolationForest(random_state=0).fit(rows)
    asked = np.concatenate([rows[:60], rows[:60] * 2.5]).astype(np.float32)
    theirs = -shap.TreeExplainer(plain).shap_values(asked)
    ours = contributions(from_sklearn(plain), asked)
    agreement = [spearmanr(a, b).statistic for a, b in zip(ours, theirs, strict=True)]
    assert np.mean(agreement) >= 0.9
