"""The compiled walk gives the bits of the NumPy walk."""

import numpy as np
import pytest

from fraudlog.detecting import SessionForest, scorer
from fraudlog.detecting.scoring import path_lengths

kernel = pytest.importorskip("fraudlog.detecting.kernel", reason="the extra `fast` is not installed")


@pytest.mark.parametrize("max_samples", [5, 100, 256])
@pytest.mark.parametrize("n_rows", [1, 127, 128, 1000, 40_000])
@pytest.mark.parametrize("share", [0.0, 0.05])
def test_same_bits_as_numpy(max_samples, n_rows, share):
    rng = np.random.default_rng(n_rows)
    rows = rng.normal(size=(n_rows, 7)).astype(np.float32)
    rows[rng.random(rows.shape) < share] = np.nan
    forest = SessionForest(7, max_samples=max_samples, random_state=0).fit(rng.normal(size=(400, 7))).scorer_.forest
    expected = path_lengths(forest, rows)
    for n_threads in (1, 2, 3):
        assert (kernel.path_lengths(forest, rows, n_threads) == expected).all()


def test_large_batches_take_it_and_small_ones_do_not(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(3000, 4))
    fitted = SessionForest(5, random_state=0).fit(rows).scorer_
    expected = fitted.anomaly_score(rows)
    asked = []
    true = kernel.path_lengths
    monkeypatch.setattr(kernel, "path_lengths", lambda *given: asked.append(1) or true(*given))
    monkeypatch.setattr(scorer, "_WORTH_COMPILING", 1000)
    assert (fitted.anomaly_score(rows, n_threads=2) == expected).all()
    assert (fitted.anomaly_score(rows[:999]) == expected[:999]).all()
    assert len(asked) == 1
