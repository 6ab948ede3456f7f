"""The compiled walks of single rows give the bits of the NumPy walks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fraudlog.detecting import SessionForest
from fraudlog.detecting.attribution import changes
from fraudlog.detecting.population import SIDES, Population
from fraudlog.detecting.scoring import row_path_length

pytest.importorskip("numba", reason="the extra `fast` is not installed")

from fraudlog.detecting.row_kernel import RowTails, RowWalks

N_FEATURES = 7


def forest_of(max_samples, share=0.1, n_trees=9, seed=0):
    rng = np.random.default_rng(seed)
    rows = np.round(
        rng.normal(size=(400, N_FEATURES)), 1
    )  # rounded, so that values meet thresholds and trees have holes
    rows[rng.random(rows.shape) < share] = np.nan
    return SessionForest(n_trees, max_samples=max_samples, random_state=seed).fit(rows).scorer_.forest


def check(forest, row):
    walks = RowWalks(forest)
    assert walks.path_length(row) == row_path_length(forest, row)
    assert (walks.changes(row) == changes(forest, row[np.newaxis])[0]).all()


@pytest.mark.parametrize("max_samples", [2, 3, 5, 100, 400])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_same_bits_as_numpy(max_samples, share):
    forest, rng = forest_of(max_samples), np.random.default_rng(1)
    walks = RowWalks(forest)
    rows = (rng.normal(size=(150, N_FEATURES)) * 3).astype(np.float32)
    rows[rng.random(rows.shape) < share] = np.nan
    assert [walks.path_length(row) for row in rows] == [row_path_length(forest, row) for row in rows]
    assert (np.stack([walks.changes(row) for row in rows]) == changes(forest, rows)).all()


FOREST = forest_of(64)
FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True) | st.sampled_from(
    np.unique(FOREST.threshold).tolist()
)


@settings(max_examples=150, deadline=None)
@given(arrays.arrays(np.float32, N_FEATURES, elements=FLOATS.map(np.float32)))
def test_no_row_is_too_odd(row):
    check(FOREST, row)


TRAINED = np.round(np.random.default_rng(4).normal(size=(300, N_FEATURES)), 1).astype(np.float32)
POPULATION = Population.of(TRAINED, [SIDES[place % len(SIDES)] for place in range(N_FEATURES)])


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.float32, N_FEATURES, elements=FLOATS.map(np.float32) | st.sampled_from(TRAINED[:, 0].tolist())))
def test_the_tails_of_a_row_have_the_same_bits(row):
    assert (RowTails(POPULATION)(row) == POPULATION.tails(row[np.newaxis])[0]).all()


def test_a_forest_whose_fillers_were_tampered_with_is_walked_as_it_stands():
    """A share below 1, or another leaf, where a node only filled its tree up: no node is left out that matters."""
    rng = np.random.default_rng(3)
    share, leaf = FOREST.share.copy(), FOREST.leaf.copy()
    share[rng.integers(0, len(share), 60)] = 0.5
    leaf[rng.integers(0, len(leaf), 60)] += 12345.0
    forest = replace(FOREST, share=share, leaf=leaf)
    rows = (rng.normal(size=(60, N_FEATURES)) * 3).astype(np.float32)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    rows[0] = np.inf
    for row in rows:
        check(forest, row)


def test_a_prepared_scorer_gives_the_same_scores_and_reasons():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(600, N_FEATURES))
    plain = SessionForest(20, random_state=0).fit(rows).scorer_
    quick = plain.compiled()
    for row in rows[:50] * 2.0:
        assert quick.score_row(row) == plain.score_row(row)
        assert (quick.contributions([row])[1] == plain.contributions([row])[1]).all()
        assert (quick.reason_order([row]) == plain.reason_order([row])).all()
