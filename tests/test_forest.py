"""The estimator keeps scikit-learn's contract, refuses bad parameters, and forgets without a trace."""

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from fraudlog.detecting import SessionForest
from fraudlog.errors import ConfigError, ModelError

KEY = b"0123456789abcdef"


def check_name(check):
    return getattr(check.func, "__name__", str(check))


CHECKS = [check for _, check in estimator_checks_generator(SessionForest(n_trees=10))]


@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API:UserWarning")
@pytest.mark.parametrize("check", CHECKS, ids=check_name)
def test_scikit_learn_finds_nothing_wrong(check):
    check(SessionForest(n_trees=10))


@pytest.fixture(scope="module")
def sessions():
    rng = np.random.default_rng(0)
    owners = np.array([f"user{n}" for n in rng.integers(0, 400, size=1500)])
    rows = rng.lognormal(size=(1500, 5))
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return (
        pd.DataFrame(rows, columns=list("abcde")),
        owners,
        np.arange(1500),
        np.char.add("p", (np.arange(1500) // 4).astype(str)),
    )


def fitted(sessions, keep=slice(None), **parameters):
    rows, owners, ids, sources = sessions
    settings = {"n_trees": 40, "max_samples": 64, "key": KEY, "transforms": {"a": "log1p", "b": "rank:high"}}
    forest = SessionForest(**(settings | parameters))
    return forest.fit(rows.iloc[keep], owners=owners[keep], ids=ids[keep], sources=sources[keep])


def same(one, other):
    a, b = one.to_arrays(), other.to_arrays()
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def test_signs_are_those_of_scikit_learn(sessions):
    forest, rows = fitted(sessions), sessions[0]
    scores = forest.anomaly_score(rows)
    assert (scores.min(), scores.max()) > (0, 0)
    assert scores.max() < 1
    assert (forest.score_samples(rows) == -scores).all()
    assert (forest.decision_function(rows) == 0.5 - scores).all()
    assert ((forest.predict(rows) == -1) == (scores > 0.5)).all()


def test_frames_tables_and_arrays_score_alike(sessions):
    pl = pytest.importorskip("polars", reason="polars is optional")
    forest, rows = fitted(sessions), sessions[0]
    nullable = rows.convert_dtypes(dtype_backend="pyarrow").mask(rows.isna())
    inputs = [nullable, pa.Table.from_pandas(rows, preserve_index=False), pl.from_pandas(rows)]
    assert forest.feature_names_in_.tolist() == list("abcde")
    for given in inputs:
        assert (forest.anomaly_score(given) == forest.anomaly_score(rows)).all()
        assert SessionForest(5, random_state=0).fit(given).feature_names_in_.tolist() == list("abcde")


def test_works_in_a_pipeline_and_as_a_clone(sessions):
    rows = sessions[0].fillna(1.0)
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), SessionForest(20, random_state=0))
    scores = clone(pipeline).fit(rows).score_samples(rows)
    assert (scores == pipeline.fit(rows).score_samples(rows)).all()


def test_a_forest_survives_pickling_between_processes(sessions):
    forest = fitted(sessions)
    assert same(pickle.loads(pickle.dumps(forest)), forest)  # noqa: S301 -- our own bytes


def test_the_same_state_gives_the_same_forest_and_another_does_not(sessions):
    assert same(fitted(sessions, key=None, random_state=4), fitted(sessions, key=None, random_state=4))
    assert not same(fitted(sessions, key=None, random_state=4), fitted(sessions, key=None, random_state=5))
    assert not same(fitted(sessions, key=None), fitted(sessions, key=None))


def test_the_order_of_rows_does_not_matter(sessions):
    order = np.random.default_rng(1).permutation(1500)
    assert same(fitted(sessions, keep=order), fitted(sessions))


@pytest.mark.parametrize("cap", [None, 1, 2])
def test_forgetting_equals_never_having_seen(sessions, cap):
    owners = sessions[1]
    forest = fitted(sessions, cap_per_source=cap)
    gone = np.random.default_rng(2).permutation(np.unique(owners))[:12].tolist()
    grown = [forest.forget(owner) for owner in gone[:6]]
    forest.forget(*gone[6:])
    assert max(grown) > 0
    assert same(forest, fitted(sessions, keep=~np.isin(owners, gone), cap_per_source=cap))


def test_forgetting_works_when_every_row_is_in_every_tree(sessions):
    owners = sessions[1]
    keep = np.arange(1500) < 60
    forest = fitted(sessions, keep=keep)
    forest.forget(owners[0], owners[3])
    assert same(forest, fitted(sessions, keep=keep & ~np.isin(owners, [owners[0], owners[3]])))


def test_forgetting_leaves_the_other_trees_alone(sessions):
    forest = fitted(sessions, n_trees=100, max_samples=32)
    before = dict(forest.training_.trees)
    n_grown = forest.forget(sessions[1][0])
    changed = [tree for tree, grown in forest.training_.trees.items() if grown is not before[tree]]
    assert len(changed) == n_grown < 30


def test_what_is_forgotten_is_nowhere_left(sessions):
    forest = fitted(sessions)
    held = np.flatnonzero(sessions[1] == "user7")
    forest.forget("user7")
    assert np.isnan(forest.training_.rows[held]).all()
    assert not any(np.isin(held, drawn).any() for drawn in forest.training_.drawn.values())
    assert forest.forget("user7") == 0


def test_without_owners_rows_are_forgotten_by_position():
    rows = np.random.default_rng(0).normal(size=(300, 3))
    forest = SessionForest(20, max_samples=64, key=KEY).fit(rows)
    drawn = int(forest.training_.drawn[0][0])
    assert forest.forget(drawn) > 0
    keep = np.arange(300) != drawn
    again = SessionForest(20, max_samples=64, key=KEY)
    other = again.fit(rows[keep], ids=np.arange(300)[keep], owners=None)
    assert forest.training_.rows_per_tree == other.training_.rows_per_tree


def test_an_unknown_owner_is_nothing_to_forget(sessions):
    forest = fitted(sessions)
    before = fitted(sessions)
    assert forest.forget("nobody", 17) == 0
    assert same(forest, before)


def test_forgetting_everybody_is_refused():
    forest = SessionForest(2, key=KEY).fit(np.zeros((4, 1)), owners=["a", "a", "b", "b"])
    with pytest.raises(ConfigError, match="leave no row"):
        forest.forget("a", "b")


def test_a_saved_forest_with_its_training_rows_still_forgets(sessions):
    parameters = {"max_samples": 64, "key": KEY, "transforms": {"a": "log1p", "b": "rank:high"}}
    again = SessionForest.from_arrays(
        fitted(sessions).to_arrays(training=True), feature_names=list("abcde"), **parameters
    )
    assert same(again, fitted(sessions))
    assert again.forget("user7") > 0
    assert same(again, fitted(sessions, keep=sessions[1] != "user7"))


def test_a_saved_forest_without_them_scores_and_says_that_it_can_not_forget(sessions):
    forest = fitted(sessions)
    again = SessionForest.from_arrays(forest.to_arrays(), feature_names=list("abcde"))
    assert (again.anomaly_score(sessions[0]) == forest.anomaly_score(sessions[0])).all()
    with pytest.raises(ConfigError, match="saved without its training rows"):
        again.forget("user7")


def test_training_rows_of_another_recipe_are_refused(sessions):
    arrays = fitted(sessions).to_arrays(training=True)
    with pytest.raises(ModelError, match="give the parameters it was fitted with"):
        SessionForest.from_arrays(arrays, max_samples=32, key=KEY)
    del arrays["training.owners"]
    with pytest.raises(ModelError, match=r"training\.owners is missing"):
        SessionForest.from_arrays(arrays, max_samples=64, key=KEY)


def test_a_source_can_not_fill_the_trees():
    """One source with a third of all rows takes the score of its kind down, unless it is capped."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(2000, 4)), rng.normal(5, 0.05, size=(1000, 4))])
    sources = np.r_[np.arange(2000), np.full(1000, -1)]
    capped, open_ = (
        SessionForest(random_state=0, max_samples=256, cap_per_source=cap)
        .fit(rows, sources=sources)
        .anomaly_score([[5.0] * 4])
        for cap in (2, None)
    )
    assert capped > 0.6 > open_


def test_null_sources_are_sources_of_their_own():
    rows = np.random.default_rng(0).normal(size=(100, 2))
    sources = np.array([None] * 90 + ["a"] * 10, dtype=object)
    assert SessionForest(3, cap_per_source=2).fit(rows, sources=sources).n_rows_ == 92


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"n_trees": 0}, "n_trees"),
        ({"n_trees": True}, "n_trees"),
        ({"max_samples": 0}, "max_samples"),
        ({"max_samples": 0.5}, "max_samples"),
        ({"max_samples": 1 << 17}, "max_samples"),
        ({"max_features": 0.0}, "max_features"),
        ({"max_features": 9}, "max_features"),
        ({"cap_per_source": 0}, "cap_per_source"),
        ({"key": b"short"}, "key"),
    ],
)
def test_a_parameter_out_of_range_is_named(parameters, named):
    with pytest.raises(ConfigError, match=named) as caught:
        SessionForest(**parameters).fit(np.zeros((10, 3)))
    assert caught.value.parameter == named


@pytest.mark.parametrize("column", ["owners", "ids", "sources"])
def test_a_column_of_another_length_is_refused(column):
    with pytest.raises(ConfigError, match=f"{column} has 3 values for 10 rows"):
        SessionForest(2).fit(np.zeros((10, 3)), **{column: ["a", "b", "c"]})


def test_an_unfitted_forest_says_so():
    for ask in ("anomaly_score", "contributions", "reason_order"):
        with pytest.raises(NotFittedError):
            getattr(SessionForest(), ask)(np.zeros((1, 1)))


def test_columns_without_any_value_or_spread_do_no_harm():
    rows = np.random.default_rng(0).normal(size=(200, 3))
    rows[:, 1], rows[:, 2] = np.nan, 4.0
    forest = SessionForest(10, random_state=0).fit(rows)
    assert np.isfinite(forest.anomaly_score(rows)).all()
    assert (forest.contributions(rows)[1][:, 1:] == 0).all()
