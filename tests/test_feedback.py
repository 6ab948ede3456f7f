"""Feedback: labels judge what they name and teach what is like it; taken back, they leave no trace."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

import fraudlog as fl
from conftest import make_events
from fraudlog.detecting import Label
from fraudlog.detecting.labels import LabelBook
from fraudlog.errors import ConfigError
from fraudlog.evaluation import Campaign, benign_events, inject
from fraudlog.sessions import feature_names

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def hard() -> pd.DataFrame:
    """Takeovers, slow stuffing and cashing out that mimic people in every trait, among people."""
    events, _ = benign_events(days=4, people=110, seed=2)
    kinds = ["account_takeover", "stuffing_residential", "cashing_out"]
    found = inject(events, kinds, Campaign(mimicry=1.0, seed=2, share=0.05))
    of_session = fl.sessionize(found.events)["session_id"].to_numpy()
    labels = pd.Series(found.labels["kind"].notna().to_numpy()).groupby(of_session).max()
    sessions = fl.build_sessions(found.events)
    sessions["label"] = sessions["session_id"].map(labels).to_numpy(bool)
    return sessions[(sessions["automation_share"] == 0) | sessions["label"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def site() -> pd.DataFrame:
    """Sixty people, a hundred sessions."""
    people = [{"client_ip": f"198.51.{i % 60}.1", "path": f"/{i % 7}", "at": i * 3000} for i in range(100)]
    users = [{**row, "user": f"u{i % 60}"} for i, row in enumerate(people)]
    return fl.build_sessions(make_events(*users, {"path": "/.env", "user": "u99", "client_ip": "203.0.113.9"}))


def small() -> fl.Detector:
    return fl.Detector(n_estimators=10)


def test_twenty_labels_a_class_help_by_a_tenth(hard):
    """On the hard set, where a plain forest is near chance, AUROC over the sessions nobody labelled."""
    truth = hard["label"].to_numpy()
    values = hard.reindex(columns=feature_names(in_forest=True)).to_numpy(float)
    values = values[:, ~np.isnan(values).all(axis=0)]
    plain = -IsolationForest(random_state=0).fit(np.nan_to_num(values)).score_samples(np.nan_to_num(values))
    assert roc_auc_score(truth, plain) < 0.65
    rng = np.random.default_rng(0)
    detector = fl.Detector(n_estimators=60).fit(hard)
    before = detector.score(hard)["risk"]
    picked = np.r_[
        rng.choice(np.flatnonzero(truth), 20, replace=False), rng.choice(np.flatnonzero(~truth), 20, replace=False)
    ]
    detector.learn(Label("session", hard["session_id"][row], bool(truth[row])) for row in picked)
    after = detector.score(hard)["risk"]
    rest = np.setdiff1d(np.arange(len(hard)), picked)
    gain = roc_auc_score(truth[rest], after[rest]) - roc_auc_score(truth[rest], before[rest])
    assert gain >= 0.1
    for row in rest[:40]:  # and one row is judged as in the table
        session = hard.iloc[row]
        names = [float(session[name]) if name in session else np.nan for name in feature_names()]
        assert detector.score_one(names, session.to_dict()).risk == after[row]


def test_what_is_called_fine_is_fine(site):
    """The same account flagged for months: one label says it is fine, and nothing is held against it."""
    detector = small().fit(site)
    flagged = site["user"] == "u99"
    assert detector.score(site)["risk"][flagged].item() > 0.5
    detector.learn([Label("user", "u99", is_abusive=False, origin="desk")], now=NOW)
    scores = detector.score(site)
    assert scores["risk"][flagged].item() == 0
    assert scores["reasons"][flagged].item() == []


@pytest.mark.parametrize("kind", ["session", "user", "prefix", "profile"])
def test_what_is_called_abusive_is_flagged(site, kind):
    """By session, account, prefix or profile; the reason says so."""
    column = {"session": "session_id", "prefix": "ip_prefix"}.get(kind, kind)
    value = site[column].iloc[0]
    detector = small().fit(site).learn([Label(kind, value, is_abusive=True)], now=NOW) if kind != "profile" else None
    if detector is None:  # everybody has the same profile: nobody would be left to learn from
        with pytest.raises(ConfigError, match="presumed human"):
            small().fit(site).learn([Label(kind, value, is_abusive=True)], now=NOW)
        return
    scores = detector.score(site)
    named = (site[column] == value).to_numpy()
    assert (scores["risk"][named] >= 0.9).all()
    assert all("LABELLED_ABUSIVE" in [reason["code"] for reason in reasons] for reasons in scores["reasons"][named])


def test_the_narrower_label_counts(site):
    """A session that is fine in a prefix that is not."""
    one = site.iloc[0]
    labels = [Label("prefix", one["ip_prefix"], is_abusive=True), Label("session", one["session_id"], is_abusive=False)]
    assert small().fit(site).learn(labels, now=NOW).score(site)["risk"].iloc[0] == 0


def test_taken_back_it_leaves_no_trace(tmp_path, site):
    """The file is byte for byte that of a detector that never heard it."""
    labels = [Label("session", one, is_abusive=place % 2 == 0) for place, one in enumerate(site["session_id"][:20])]
    detector = small().fit(site).learn(labels, now=NOW)
    detector.save(tmp_path / "taught")
    assert detector.unlearn(labels) == 20
    detector.save(tmp_path / "a")
    small().fit(site).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "taught").read_bytes()


def test_labels_have_their_time(site):
    """What starts after it is not touched; once it is over the next lesson drops it."""
    user = site["user"].iloc[0]
    sessions = site[site["user"] == user]
    between = sessions["start"].iloc[0] + (sessions["start"].iloc[1] - sessions["start"].iloc[0]) / 2
    label = Label("user", user, is_abusive=True, expires=between.to_pydatetime())
    detector = small().fit(site).learn([label], now=NOW)
    assert (detector.score(sessions)["risk"] >= 0.9).tolist() == [True, False]
    detector.learn([], now=datetime(2030, 1, 1, tzinfo=UTC))
    assert (detector.score(sessions)["risk"] < 0.9).all()
    with pytest.raises(ConfigError, match="time zone"):
        Label("user", "a", is_abusive=True, expires=datetime(2030, 1, 1))  # noqa: DTZ001 -- that is the mistake


def test_labels_are_saved_and_forgotten_with_their_owner(tmp_path, site):
    """They are of use after loading; a person who is forgotten takes theirs along."""
    user = site["user"].iloc[0]
    detector = small().fit(site).learn([Label("user", user, is_abusive=True, origin="désk")], now=NOW)
    detector.save(tmp_path / "m", training=True)
    again = fl.Detector.load(tmp_path / "m")
    pd.testing.assert_frame_equal(again.score(site), detector.score(site))
    assert [entry.origin for entry in again._told.book.entries.values()] == ["désk"]
    assert again.forget(user) == (site["user"] == user).sum()
    assert not again._told.book.entries
    assert user.encode() not in (tmp_path / "m").read_bytes()


def test_labels_are_no_features(site):
    """Tables of sessions are the same before and after; and no code of a label is a feature's."""
    before = site.copy()
    small().fit(site).learn([Label("user", "u1", is_abusive=True)], now=NOW)
    pd.testing.assert_frame_equal(site, before)
    assert not any("label" in name for name in feature_names())


def test_what_was_flagged_is_not_learnt_as_usual(site):
    """Fit on a window whose flagged sessions are named: they are out of the reference."""
    flagged = site.loc[site["user"] != "u99", "session_id"].iloc[:10]
    assert small().fit(site, flagged=flagged).reference_size_ == small().fit(site).reference_size_ - 10


def test_labels_need_what_was_learnt(tmp_path, site):
    """A detector saved without it can't be taught, and says so."""
    small().fit(site).save(tmp_path / "m")
    with pytest.raises(ConfigError, match="training=True"):
        fl.Detector.load(tmp_path / "m").learn([Label("user", "u1", is_abusive=True)])
    with pytest.raises(ConfigError, match="kind"):
        Label("address", "a", is_abusive=True)


def test_what_is_no_label_is_refused():
    """By its type, and none of those beside it is taken in."""
    book = LabelBook(b"k" * 16)
    with pytest.raises(ConfigError, match="labels holds a str, not a Label"):
        book.add([Label("session", "3f", is_abusive=True, origin="desk"), "3f"])
    assert not book.entries
