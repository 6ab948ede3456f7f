"""All walks give the same bits, those of the slow twin and nearly those of scikit-learn."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

import naive_forest
from fraudlog.detecting import ForestScorer, SessionForest, write_model
from fraudlog.detecting.growing import from_sklearn
from fraudlog.detecting.scoring import path_lengths, row_path_length, scores_of


def with_holes(rows, share, seed=0):
    holed = np.array(rows, dtype=np.float32)
    holed[np.random.default_rng(seed).random(holed.shape) < share] = np.nan
    return holed


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(7).normal(size=(2000, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def scorer(rows):
    return SessionForest(30, max_samples=64, random_state=1).fit(with_holes(rows, 0.05)).scorer_


@pytest.mark.parametrize("max_features", [1.0, 0.5])
def test_scores_equal_those_of_scikit_learn_on_the_same_trees(max_features):
    chance = np.random.default_rng(0)
    rows = np.concatenate([chance.normal(size=(90_000, 8)), chance.integers(0, 4, size=(10_000, 8))]).astype(np.float32)
    theirs = IsolationForest(max_features=max_features, random_state=3).fit(rows[::7])
    ours = from_sklearn(theirs)
    assert np.abs(scores_of(ours, path_lengths(ours, rows)) + theirs.score_samples(rows)).max() < 1e-12


def test_trees_of_our_own_equal_scikit_learn_scoring_them(rows):
    """A forest of the same trees, put together from scikit-learn's parts alone."""
    theirs = IsolationForest(n_estimators=20, max_samples=100, random_state=0).fit(rows)
    ours = from_sklearn(theirs)
    assert ours.depth == 7
    assert np.abs(scores_of(ours, path_lengths(ours, rows)) + theirs.score_samples(rows)).max() < 1e-12


def test_a_row_of_the_training_value_itself_goes_where_scikit_learn_sends_it():
    """Thresholds are float64 there and float32 here: rounding down keeps every comparison."""
    rows = np.linspace(0, 1, 300, dtype=np.float32)[:, np.newaxis] ** 3
    theirs = IsolationForest(random_state=0).fit(rows)
    ours = from_sklearn(theirs)
    near = np.concatenate([rows, np.nextafter(rows, np.float32(2)), np.nextafter(rows, np.float32(-1))])
    assert np.abs(scores_of(ours, path_lengths(ours, near)) + theirs.score_samples(near)).max() < 1e-12


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_rows_alone_and_in_a_batch_have_the_same_bits(scorer, rows, share):
    holed = with_holes(rows[:200], share)
    assert scorer.anomaly_score(holed).tolist() == [scorer.score_row(row) for row in holed]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_scores_equal_the_slow_twin(scorer, rows, share):
    holed = with_holes(rows[:25], share)
    assert scorer.anomaly_score(holed).tolist() == [naive_forest.score(scorer.forest, row) for row in holed]


def test_a_row_of_which_nothing_is_known_scores_the_base(scorer):
    assert scorer.score_row([np.nan] * 6) == pytest.approx(scorer.base, abs=1e-12)


def test_a_missing_value_scores_between_what_it_could_be(scorer):
    known = np.zeros((400, 6), dtype=np.float32)
    known[:, 0] = np.linspace(-4, 4, 400)
    scores = scorer.anomaly_score(known)
    missing = scorer.score_row([np.nan, 0, 0, 0, 0, 0])
    assert scores.min() < missing < scores.max()


def test_infinite_values_are_beyond_every_threshold(scorer):
    assert scorer.score_row([np.inf] * 6) == scorer.score_row([3e38] * 6)
    assert scorer.score_row([-np.inf] * 6) == scorer.score_row([-3e38] * 6)
    assert scorer.score_row([1e300] * 6) == scorer.score_row([np.inf] * 6)


def test_scores_do_not_depend_on_the_company_of_a_row(scorer, rows):
    holed = with_holes(rows, 0.1)
    order = np.random.default_rng(1).permutation(len(holed))
    assert (scorer.anomaly_score(holed[order]) == scorer.anomaly_score(holed)[order]).all()


def test_threads_share_a_scorer(scorer, rows):
    with ThreadPoolExecutor(8) as threads:
        scored = list(threads.map(scorer.score_row, rows[:400]))
    assert scored == scorer.anomaly_score(rows[:400]).tolist()


def test_a_row_of_another_width_is_refused(scorer):
    with pytest.raises(ValueError, match=r"fitted on 6 features; the row has shape \(5,\)"):
        scorer.score_row([0.0] * 5)
    with pytest.raises(ValueError, match=r"fitted on 6 features; the rows have shape \(3, 7\)"):
        scorer.anomaly_score(np.zeros((3, 7)))


@settings(max_examples=30, deadline=None)
@given(
    n_rows=st.integers(1, 60),
    n_features=st.integers(1, 5),
    max_samples=st.integers(1, 70),
    holes=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_any_forest_scores_any_row_like_the_slow_twin(n_rows, n_features, max_samples, holes, seed):
    rows = np.random.default_rng(seed).integers(-3, 4, size=(n_rows, n_features)).astype(np.float32)
    scorer = SessionForest(3, max_samples=max_samples, random_state=seed).fit(with_holes(rows, holes / 2, seed)).scorer_
    asked = with_holes(rows[:6], holes, seed + 1)
    scores = scorer.anomaly_score(asked)
    assert scores.tolist() == [naive_forest.score(scorer.forest, row) for row in asked]
    assert ((scores > 0) & (scores <= 1)).all()


_PRINT_BITS = """
import sys, zlib
import numpy as np
from fraudlog.detecting import SessionForest
rows = np.random.default_rng(0).normal(size=(3000, 5))
rows[::9, 2] = np.nan
sources = np.array(["s" + str(n % 700) for n in range(3000)])
forest = SessionForest(20, max_samples=128, key=b"k" * 16).fit(rows, owners=sources, sources=sources)
print(zlib.crc32(forest.anomaly_score(rows).tobytes()), zlib.crc32(forest.contributions(rows)[1].tobytes()))
"""


def test_the_bits_do_not_depend_on_threads_or_hash_seed():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", _PRINT_BITS],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for threads, seed in (("1", "0"), ("2", "4711"))
    }
    assert len(outputs) == 1


_SCORE_ONLY = """
import sys
from fraudlog.detecting import ForestScorer, read_model
scorer = ForestScorer.from_arrays(read_model(sys.argv[1])[0])
print(scorer.score_row([0.0] * 6), scorer.contributions([[0.0] * 6])[1].sum() + scorer.base)
heavy = {"sklearn", "pandas", "pyarrow", "scipy", "numba"} & set(sys.modules)
assert not heavy, heavy
"""


def test_loading_and_scoring_imports_numpy_alone(scorer, tmp_path):
    write_model(tmp_path / "m", scorer.to_arrays(), {})
    done = subprocess.run(
        [sys.executable, "-c", _SCORE_ONLY, str(tmp_path / "m")], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[0]) == scorer.score_row([0.0] * 6)


def test_arrays_rebuild_the_scorer(scorer, rows):
    again = ForestScorer.from_arrays(scorer.to_arrays())
    holed = with_holes(rows, 0.1)
    assert (again.anomaly_score(holed) == scorer.anomaly_score(holed)).all()
    assert (again.reason_order(holed) == scorer.reason_order(holed)).all()
    assert row_path_length(again.forest, rows[0]) == row_path_length(scorer.forest, rows[0])
