"""Metrics against their definitions, splits, leaks, labels by CSV, and the stress test as a whole."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError, InputError, SchemaError
from fraudlog.evaluation import (
    Campaign,
    Design,
    auroc,
    average_precision,
    benign_events,
    bootstrap,
    entity_split,
    label_sessions,
    precision_at_k,
    read_labels,
    recall_at_budget,
    recall_at_fpr,
    scan_leaks,
    stress_test,
    threshold_at_fpr,
    time_split,
    trial,
)


@st.composite
def scored(draw):
    """Labels of both classes, with scores that tie often."""
    labels = [True, False, *draw(st.lists(st.booleans(), max_size=30))]
    scores = draw(st.lists(st.integers(0, 6), min_size=len(labels), max_size=len(labels)))
    return np.array(labels), np.array(scores) / 6


@settings(max_examples=40)
@given(scored())
def test_auroc_is_the_chance_of_the_right_order(drawn):
    """Counted pair by pair."""
    labels, scores = drawn
    pairs = [(p > n) + (p == n) / 2 for p in scores[labels] for n in scores[~labels]]
    assert math.isclose(auroc(labels, scores), float(np.mean(pairs)))


@settings(max_examples=40)
@given(scored(), st.floats(0, 1))
def test_recall_at_fpr_is_the_best_of_all_thresholds(drawn, fpr):
    """Tried one by one; and the threshold of the benign alone gives the same."""
    labels, scores = drawn
    tried = [
        (scores[labels] >= limit).mean()
        for limit in [*scores, 2.0]
        if (scores[~labels] >= limit).mean() <= fpr
    ]  # fmt: skip
    assert recall_at_fpr(labels, scores, fpr) == max(tried)
    limit = threshold_at_fpr(scores[~labels], fpr)
    assert (scores[~labels] >= limit).mean() <= fpr


@settings(max_examples=40)
@given(scored())
def test_precision_at_all_is_the_share(drawn):
    """And at any k it lies between 0 and 1."""
    labels, scores = drawn
    assert math.isclose(precision_at_k(labels, scores, len(labels)), labels.mean())
    assert 0 <= precision_at_k(labels, scores, 1) <= 1
    assert labels.mean() / 2 <= average_precision(labels, scores) <= 1


def test_recall_at_budget_gives_ties_no_luck():
    """Two that tie for one review are both left."""
    assert recall_at_budget([1, 1, 0], [0.9, 0.9, 0.1], [1, 1, 1], 1) == 0
    assert recall_at_budget([1, 1, 0], [0.9, 0.9, 0.1], [1, 1, 1], 2) == 1
    assert recall_at_budget([1, 1, 0], [0.9, 0.9, 0.1], [1, 2, 1], 1) == 1


def _distance(labels, scores):
    return scores[labels].mean() - scores[~labels].mean()


def test_bootstrap_covers_the_truth_as_often_as_it_says():
    """Of 100 samples about 95; by groups the interval is wider where groups go together."""
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(100):
        labels = rng.random(150) < 0.5
        found = bootstrap(_distance, labels, rng.normal(size=150) + labels, n_draws=100, seed=seed)
        hits += found.low <= 1 <= found.high
    assert 85 <= hits <= 100
    groups = np.repeat(np.arange(15), 20)
    labels = groups % 2 == 0
    scores = rng.normal(size=15)[groups] + rng.normal(size=300) / 10 + labels
    alone, together = bootstrap(_distance, labels, scores), bootstrap(_distance, labels, scores, groups=groups)
    assert together.high - together.low > alone.high - alone.low


@pytest.mark.parametrize("metric", [auroc, average_precision, recall_at_fpr])
def test_one_class_is_an_error(metric):
    """There is nothing to tell apart."""
    with pytest.raises(InputError, match="both classes"):
        metric([0, 0], [0.1, 0.2])


def test_columns_of_two_lengths_are_an_error():
    """And so are a k and a budget that ask for nothing."""
    with pytest.raises(ConfigError):
        auroc([0, 1], [0.1])
    with pytest.raises(ConfigError, match="k must"):
        precision_at_k([0, 1], [0.1, 0.2], 3)
    with pytest.raises(ConfigError, match="budget"):
        recall_at_budget([0, 1], [0.1, 0.2], [1, 1], 0)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 300)), min_size=2, max_size=40), st.floats(0.05, 0.95))
def test_time_split_never_learns_from_later(rows, share):
    """What is learnt from has ended before anything scored begins."""
    start = pd.to_datetime([first for first, _ in rows], unit="s", utc=True)
    end = pd.to_datetime([first + length for first, length in rows], unit="s", utc=True)
    split = time_split(pd.DataFrame({"start": start, "end": end}), share=share)
    assert not (split.learn & split.score).any()
    if split.learn.any() and split.score.any():
        assert end[split.learn].max() < start[split.score].min()


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), min_size=4, max_size=40), st.integers(0, 9))
def test_entity_split_keeps_entities_together(whose, seed):
    """Nobody is on both sides; who is nobody stands alone."""
    sessions = pd.DataFrame({"user": pd.array([*whose, "x", "y", "z"], dtype="str")})
    split = entity_split(sessions, by="user", seed=seed)
    assert (split.learn ^ split.score).all()
    known = sessions["user"].notna()
    assert not set(sessions["user"][split.learn & known]) & set(sessions["user"][split.score & known])


def _sessions(n=400, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.3
    sessions = pd.DataFrame(
        {
            "start": pd.to_datetime(rng.integers(0, 10**6, n), unit="s", utc=True),
            "client_ip": pd.array([f"192.0.2.{i}" for i in rng.integers(0, 50, n)], dtype="str"),
            "requests": rng.poisson(5 + 3 * labels).astype(float),
            "reasons": [[] for _ in range(n)],
        }
    )
    return sessions, labels, rng


def test_an_honest_set_has_no_leak():
    """A feature that helps is none."""
    sessions, labels, _ = _sessions()
    found = scan_leaks(sessions, labels)
    assert found["leak"].isna().all()
    assert set(found["column"]) == {"start", "client_ip", "requests", "row"}


@pytest.mark.parametrize(
    ("column", "make", "leak"),
    [
        ("requests", lambda y, _: y * 1.0, "value"),
        ("requests", lambda y, rng: np.where(y, rng.choice([3, 7], len(y)), rng.choice([1, 5, 9], len(y))), "value"),
        ("requests", lambda y, rng: np.where(y, np.nan, rng.normal(size=len(y))), "missing"),
        ("start", lambda y, _: pd.to_datetime(np.where(y, 10**6, 5), unit="s", utc=True), "order"),
        ("client_ip", lambda y, _: np.where(y, "192.0.2.1", "192.0.2.2"), "entity"),
        ("session_id", lambda y, rng: np.where(y, 10**6, 0) + rng.integers(0, 999, len(y)), "order"),
        ("colour", lambda y, rng: np.where(y, rng.choice(["a", "b"], len(y)), "c"), "value"),
    ],
)
def test_labels_that_are_functions_of_a_column_are_found(column, make, leak):
    """Of its value, of its absence, of time, id or owner."""
    sessions, labels, rng = _sessions()
    worst = scan_leaks(sessions.assign(**{column: make(labels, rng)}), labels).iloc[0]
    assert (worst["column"], worst["leak"]) == (column, leak)


def test_rows_in_order_of_their_labels_are_found():
    """As sets put together file by file are."""
    sessions, labels, _ = _sessions()
    found = scan_leaks(sessions, np.sort(labels))
    assert found.iloc[0][["column", "leak"]].tolist() == ["row", "order"]


def test_labels_by_csv_with_other_names(tmp_path):
    """A column map, times, and the narrower key first."""
    path = tmp_path / "labels.csv"
    path.write_text("addr,who,is_fraud,since\n192.0.2.1,,yes,\n192.0.2.2,,1,2026-01-02\n,ann,no,\n")
    labels = read_labels(path, {"client_ip": "addr", "user": "who", "label": "is_fraud"})
    sessions = pd.DataFrame(
        {
            "client_ip": pd.array(["192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.1", "192.0.2.9"], dtype="str"),
            "user": pd.array([None, None, None, "ann", None], dtype="str"),
            "start": pd.to_datetime(["2026-01-01", "2026-01-01", "2026-01-03", "2026-01-01", "2026-01-01"], utc=True),
        }
    )
    assert label_sessions(sessions, labels).tolist() == [True, pd.NA, True, False, pd.NA]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("client_ip,label\n192.0.2.1,perhaps\n", InputError, "row 1"),
        ("client_ip,verdict\n192.0.2.1,1\n", SchemaError, "verdict"),
        ("label\n1\n", SchemaError, "session_id"),
        ("client_ip,label,since\n192.0.2.1,1,soon\n", ConfigError, "since"),
        ("", InputError, "CSV"),
    ],
)
def test_labels_that_can_not_be_read(tmp_path, text, error, message):
    """Say which row or column, and never whose."""
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(error, match=message) as found:
        read_labels(path)
    assert "192.0.2.1" not in str(found.value)


@pytest.fixture(scope="module")
def log():
    """Four days of 60 people."""
    return benign_events(4, 60, seed=6)[0]


def test_a_trial_learns_from_the_clean_part_alone(log):
    """Sessions learnt from are those of the log without attacks, and end before the first attack."""
    found = trial(log, ["spamming", "carding"])
    assert found.learn["end"].max() < found.score["start"].min()
    assert set(found.kind.dropna()) == {"spamming", "carding"}
    assert found.counts[found.kind.notna()].all()
    assert (~found.counts).any()  # programs that name themselves
    assert trial(log, ["spamming"], design=Design(counts_all=True)).counts.all()


def test_a_perfect_and_a_blind_scorer(log):
    """One finds all, one nothing; every kind has its row."""
    truth = {}

    def perfect(learn, score, seed):  # noqa: ARG001 -- a scorer takes these
        return truth["kind"].notna().to_numpy(float)

    def blind(learn, score, seed):  # noqa: ARG001 -- as above
        return np.zeros(len(score))

    design = Design(seeds=1)
    truth["kind"] = trial(log, ["spamming", "carding"], Campaign(), design).kind
    found = stress_test(log, ["spamming", "carding"], design=design, scorers={"perfect": perfect, "blind": blind})
    assert found.table("perfect")["recall"].tolist() == [1, 1]
    assert found.table("blind")["recall"].tolist() == [0, 0]
    assert set(found.table("blind")["kind"]) == {"spamming", "carding"}
    assert found.overall.set_index("scorer").loc["perfect", "low"] == 1


def test_the_injection_itself_has_no_leak_of_place(log):
    """No id, line, order or source gives made-up sessions away."""
    found = trial(log, campaign=Campaign(mimicry=0.8, share=0.05))
    leaks = scan_leaks(found.score, found.kind.notna())
    assert not leaks["leak"].isin(["order"]).any()


@pytest.mark.parametrize("design", [{"seeds": 0}, {"split": 1}, {"fpr": 2}, {"budget": 0}])
def test_designs_out_of_range_are_errors(design):
    """That name the parameter."""
    with pytest.raises(ConfigError) as error:
        Design(**design)
    assert error.value.parameter in design


def test_too_short_a_log_is_an_error(log):
    """With the number of sessions, and what to do."""
    with pytest.raises(InputError, match="longer log"):
        trial(log.head(60), ["spamming"])
