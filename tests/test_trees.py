"""Arrays from anywhere are checked before they are walked."""

import numpy as np
import pytest

from fraudlog.detecting import ForestScorer, SessionForest
from fraudlog.detecting.trees import FlatForest, average_path_length
from fraudlog.errors import ModelError


@pytest.fixture(scope="module")
def arrays():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    return SessionForest(4, max_samples=16, random_state=0).fit(rows).to_arrays()


def spoilt(array, value, place=3):
    array = array.copy()
    array[place] = value
    return array


CRAFTED = {
    "feature out of range": ("forest.feature", lambda a: spoilt(a, 3)),
    "feature far out of range": ("forest.feature", lambda a: spoilt(a, 255)),
    "features as text": ("forest.feature", lambda a: a.astype("S1")),
    "features as signed numbers": ("forest.feature", lambda a: a.astype(np.int8)),
    "a node less": ("forest.feature", lambda a: a[:-1]),
    "NaN threshold": ("forest.threshold", lambda a: spoilt(a, np.nan)),
    "infinite threshold": ("forest.threshold", lambda a: spoilt(a, np.inf)),
    "wide thresholds": ("forest.threshold", lambda a: a.astype(np.float64)),
    "negative share": ("forest.share", lambda a: spoilt(a, -0.1)),
    "share above one": ("forest.share", lambda a: spoilt(a, 1.5)),
    "NaN share": ("forest.share", lambda a: spoilt(a, np.nan)),
    "a leaf more": ("forest.leaf", lambda a: np.append(a, 0.0)),
    "NaN leaf": ("forest.leaf", lambda a: spoilt(a, np.nan)),
    "broken leaf": ("forest.leaf", lambda a: spoilt(a, 0.5)),
    "leaf beyond exact sums": ("forest.leaf", lambda a: spoilt(a, 2.0**52)),
    "negative leaf": ("forest.leaf", lambda a: spoilt(a, -1.0)),
    "no unit": ("forest.unit", lambda a: a * 0),
    "NaN unit": ("forest.unit", lambda a: a * np.nan),
    "no trees": ("forest.size", lambda a: spoilt(a, 0, 0)),
    "giant forest": ("forest.size", lambda a: spoilt(a, 2**62, 0)),
    "giant depth": ("forest.size", lambda a: spoilt(a, 60, 1)),
    "negative depth": ("forest.size", lambda a: spoilt(a, -1, 1)),
    "no features": ("forest.size", lambda a: spoilt(a, 0, 2)),
    "size as two": ("forest.size", lambda a: a[:2]),
    "population of fewer features": ("quantiles.grid", lambda a: a[:-1]),
    "population out of order": ("quantiles.grid", lambda a: a[:, ::-1]),
    "population NaN": ("quantiles.grid", lambda a: a * np.nan),
    "population flat": ("quantiles.grid", lambda a: a.reshape(-1)),
    "ranks out of order": ("quantiles.ranks", lambda a: a[::-1]),
    "ranks above one": ("quantiles.ranks", lambda a: a + 1),
    "unknown side": ("quantiles.sides", lambda a: a + 7),
    "population of nobody": ("quantiles.n_rows", lambda a: a * 0),
}


@pytest.mark.parametrize(("name", "spoil"), CRAFTED.values(), ids=CRAFTED)
def test_crafted_arrays_are_refused(arrays, name, spoil):
    with pytest.raises(ModelError):
        ForestScorer.from_arrays(arrays | {name: spoil(arrays[name])})


def test_a_missing_array_is_named(arrays):
    for name in arrays:
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            ForestScorer.from_arrays({key: value for key, value in arrays.items() if key != name})


def test_what_a_fit_gives_is_accepted(arrays):
    assert FlatForest.from_arrays(arrays).n_trees == 4


def test_the_average_path_length_is_that_of_the_paper():
    harmonic = np.log(255) + np.euler_gamma
    assert average_path_length([256])[0] == pytest.approx(2 * harmonic - 2 * 255 / 256)
    assert average_path_length([0, 1, 2]).tolist() == [0.0, 0.0, 1.0]
