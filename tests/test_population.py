"""Percentiles tell where a value stands among the rows fitted on."""

import numpy as np
import pytest

from fraudlog.detecting.population import Population


@pytest.fixture(scope="module")
def population():
    rows = np.random.default_rng(0).permutation(np.arange(10_000.0))[:, np.newaxis].repeat(3, axis=1)
    return Population.of(rows.astype(np.float32), ["both", "high", "low"])


def test_percentiles_are_those_of_the_rows(population):
    asked = np.float32([[0] * 3, [2_500] * 3, [5_000] * 3, [9_990] * 3, [99_999] * 3, [-5] * 3])
    expected = [0.0, 0.25, 0.5, 0.999, 1.0, 0.0]
    assert population.percentiles(asked)[:, 0] == pytest.approx(expected, abs=0.01)
    assert population.percentiles(asked)[3, 0] == pytest.approx(0.999, abs=0.0003)


def test_tails_look_at_the_suspicious_end(population):
    both, high, low = population.tails(np.float32([[9_990] * 3]))[0]
    assert high == pytest.approx(0.001, rel=0.2)
    assert both == pytest.approx(0.002, rel=0.2)
    assert low > 0.99


def test_a_value_beyond_all_is_as_rare_as_can_be_said(population):
    assert population.tails(np.float32([[1e9] * 3]))[0, 1] == 1 / 10_001


def test_missing_values_are_not_rare(population):
    missing = np.full((1, 3), np.nan, dtype=np.float32)
    assert population.tails(missing).tolist() == [[1.0, 1.0, 1.0]]
    assert np.isnan(population.percentiles(missing)).all()


def test_few_rows_and_many_are_looked_up_alike(population):
    asked = np.random.default_rng(1).normal(5_000, 6_000, size=(300, 3)).astype(np.float32)
    together = population.tails(asked)
    assert all((population.tails(asked[[n]])[0] == together[n]).all() for n in range(300))


def test_a_usual_value_among_many_equals_is_not_rare():
    rows = np.zeros((1000, 1), dtype=np.float32)
    rows[:5] = 1.0
    population = Population.of(rows, ["both"])
    usual, odd = population.tails(np.float32([[0.0], [1.0]]))[:, 0]
    assert usual == 1.0
    assert odd == pytest.approx(0.01, abs=0.005)


def test_a_feature_that_was_always_missing_has_a_place():
    population = Population.of(np.full((50, 1), np.nan, dtype=np.float32), ["both"])
    assert np.isfinite(population.tails(np.float32([[3.0]]))).all()
