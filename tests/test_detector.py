"""The detector: scores, reasons that add up, files that can be trusted, and sense on a real log."""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog as fl
from fraudlog.detecting import presumed_human
from fraudlog.errors import ConfigError, ModelError, NotFittedError, SchemaError
from fraudlog.schema import SCORES, column_names
from fraudlog.sessions import feature_names

if TYPE_CHECKING:
    from pathlib import Path


def test_scores_have_the_declared_columns(sample_sessions, sample_scores):
    """One row a session in the order given, all shares between 0 and 1."""
    assert list(sample_scores) == column_names(SCORES)
    assert sample_scores["session_id"].tolist() == sample_sessions["session_id"].tolist()
    for name in ("anomaly_score", "risk", "confidence"):
        assert sample_scores[name].between(0, 1).all()


def test_reasons_add_up_to_the_risk(sample_scores):
    """Nothing of a risk is unexplained, to 1e-9."""
    sums = np.array([sum(reason["contribution"] for reason in reasons) for reasons in sample_scores["reasons"]])
    np.testing.assert_allclose(sums, sample_scores["risk"], atol=1e-9)


def test_every_reason_reads_as_a_sentence(sample_scores):
    """No code without words, no placeholder left."""
    texts = {text for reasons in sample_scores["reasons"] for text in fl.describe_reasons(reasons)}
    assert texts
    assert not any("{" in text or "nan" in text for text in texts)


def test_scanners_and_scripts_stand_above_browsers(sample_sessions, sample_scores):
    """On the real log: who probes, who copies; nine browsers in ten are below them, three in four below crawlers."""
    risk = sample_scores["risk"]
    human = presumed_human(sample_sessions)
    usual, ordinary = risk[human].quantile([0.75, 0.9])
    top = sample_sessions.loc[risk.nlargest(8).index]
    is_copying = (top["pages"] >= 20) & (top["assets"] == 0)
    assert ((top["probe_requests"] > 0) | is_copying).sum() >= 7
    for name in ("probe_requests", "script_requests", "headless_requests"):
        assert risk[sample_sessions[name] > 0].min() > ordinary
    assert risk[sample_sessions["unverifiable_crawler_requests"] > 0].min() > usual
    assert not (risk[human] >= fl.Policy().challenge_at).any()


def test_same_input_gives_the_same_bits(sample_sessions, sample_scores):
    """Fitting again changes nothing."""
    pd.testing.assert_frame_equal(fl.Detector().fit(sample_sessions).score(sample_sessions), sample_scores)


def test_scoring_part_of_a_log_gives_the_same_rows(sample_detector, sample_sessions, sample_scores):
    """A session's score does not depend on which others are scored with it."""
    part = sample_sessions.iloc[100:150]
    expected = sample_scores.iloc[100:150].reset_index(drop=True)
    pd.testing.assert_frame_equal(sample_detector.score(part), expected)


def test_one_row_scores_as_in_its_frame(sample_detector, sample_sessions, sample_scores):
    """A service's answer is the job's, to the last bit, reasons included."""
    names = feature_names()
    for place in range(0, len(sample_sessions), 7):
        session = sample_sessions.iloc[place]
        values = [float(session[name]) if name in session else np.nan for name in names]
        expected = tuple(sample_scores.loc[place, ["anomaly_score", "risk", "confidence", "reasons"]])
        assert tuple(sample_detector.score_one(values, session.to_dict())) == expected


def test_one_row_of_another_length_is_refused(sample_detector):
    """A row of another catalogue is an error, not a guess."""
    with pytest.raises(ConfigError, match="features"):
        sample_detector.score_one([1.0])


def arrays_of(detector: fl.Detector, path: Path) -> dict[str, bytes]:
    """Return all that a model file holds, but for the manifest's entries on the arrays."""
    detector.save(path)
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_forgetting_equals_never_having_seen(tmp_path, sample_sessions):
    """Trees, calibrations, percentiles: the whole model, byte for byte; and a second time on what is left."""
    humans = sample_sessions.loc[presumed_human(sample_sessions), "client_ip"]
    owners = [humans.iloc[0], humans.value_counts().index[0], sample_sessions["client_ip"].iloc[-1]]
    detector = fl.Detector(n_estimators=20).fit(sample_sessions)
    for known in (owners[:1], owners):
        rest = sample_sessions[~sample_sessions["client_ip"].isin(known)]
        assert detector.forget(*known) > 0
        fresh = fl.Detector(n_estimators=20).fit(rest)
        assert arrays_of(detector, tmp_path / "a") == arrays_of(fresh, tmp_path / "b")
    assert detector.forget(*owners) == 0


def test_a_saved_detector_can_still_forget(tmp_path, sample_sessions):
    """If it was saved with what it learnt from; else it says so. Forgetting single sessions works alike."""
    one = sample_sessions["session_id"].iloc[5]
    fl.Detector(n_estimators=20).fit(sample_sessions).save(tmp_path / "m", training=True)
    again = fl.Detector.load(tmp_path / "m")
    assert again.forget(session_ids=[one]) == 1
    fresh = fl.Detector(n_estimators=20).fit(sample_sessions[sample_sessions["session_id"] != one])
    assert arrays_of(again, tmp_path / "a") == arrays_of(fresh, tmp_path / "b")
    with pytest.raises(ConfigError, match="training=True"):
        fl.Detector.load(tmp_path / "a").forget("203.0.113.9")


def test_kept_training_holds_no_address(tmp_path, sample_detector, sample_log):
    """What forgetting needs stands in the file as keyed tokens."""
    sample_detector.save(tmp_path / "m", training=True)
    content = (tmp_path / "m").read_bytes()
    assert not any(address.encode() in content for address in set(sample_log.events["client_ip"]))


def test_saved_detector_scores_the_same(tmp_path, sample_detector, sample_sessions, sample_scores):
    """Bit for bit, and saving twice gives the same bytes."""
    sample_detector.save(tmp_path / "a.fraudlog")
    sample_detector.save(tmp_path / "b.fraudlog")
    assert (tmp_path / "a.fraudlog").read_bytes() == (tmp_path / "b.fraudlog").read_bytes()
    pd.testing.assert_frame_equal(fl.Detector.load(tmp_path / "a.fraudlog").score(sample_sessions), sample_scores)


def test_a_sealed_detector_is_only_read_with_its_key(tmp_path, sample_detector):
    """And says what it was made of and for."""
    sample_detector.save(tmp_path / "m.fraudlog", key=b"0123456789abcdef", policy_version="p1")
    with pytest.raises(ModelError, match="sealed with a key"):
        fl.Detector.load(tmp_path / "m.fraudlog")
    again = fl.Detector.load(tmp_path / "m.fraudlog", key=b"0123456789abcdef")
    assert again.features_ == sample_detector.features_
    with zipfile.ZipFile(tmp_path / "m.fraudlog") as file:
        manifest = json.loads(file.read("manifest.json"))
    assert manifest["policy_version"] == "p1"
    assert set(manifest["transforms"]) == set(sample_detector.features_)


def test_model_file_holds_no_pickle_and_no_address(tmp_path, sample_detector, sample_log):
    """Arrays and JSON only."""
    sample_detector.save(tmp_path / "m.fraudlog")
    with zipfile.ZipFile(tmp_path / "m.fraudlog") as file:
        content = b"".join(file.read(name) for name in file.namelist())
        assert {name.rpartition(".")[2] for name in file.namelist()} == {"bin", "json"}
    assert not any(address.encode() in content for address in set(sample_log.events["client_ip"]))


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_model_is_refused_or_unchanged(tmp_path_factory, sample_detector, data):
    """Any flipped bit: a clear error, or the very same detector (bits of the zip that say nothing)."""
    path = tmp_path_factory.mktemp("model") / "m.fraudlog"
    sample_detector.save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with suppress(ModelError):
        again = fl.Detector.load(path)
        names = ("features_", "reference_size_", "reference_warning_", "sessions_seen_", "window_", "n_estimators")
        assert [getattr(again, name) for name in names] == [getattr(sample_detector, name) for name in names]
        assert (again.human_risk_ == sample_detector.human_risk_).all()


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    """One clear line."""
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(ModelError, match="is no fraudlog model"):
        fl.Detector.load(tmp_path / "m")


def test_missing_model_says_how_to_make_one(tmp_path):
    """`fraudlog fit` makes one."""
    with pytest.raises(ModelError, match="fraudlog fit"):
        fl.Detector.load(tmp_path / "none")


def test_unfitted_detector_says_so(sample_sessions):
    """Fit first."""
    with pytest.raises(NotFittedError, match="fit"):
        fl.Detector().score(sample_sessions)


def test_too_few_people_to_learn_from(sample_sessions):
    """An idea of usual needs people."""
    with pytest.raises(ConfigError, match="presumed human"):
        fl.Detector().fit(sample_sessions.head(20))


def test_missing_feature_is_named(sample_detector, sample_sessions):
    """Another table is refused with the column's name."""
    with pytest.raises(SchemaError, match="lacks the column requests"):
        sample_detector.score(sample_sessions.drop(columns="requests"))


def test_parameters_are_checked():
    """Below 1 tree or 2 rows there is no forest."""
    with pytest.raises(ConfigError, match="n_estimators"):
        fl.Detector(n_estimators=0)


def test_callers_sessions_are_not_changed(sample_sessions):
    """Fit and score read only."""
    before = sample_sessions.copy()
    fl.Detector(n_estimators=5).fit(sample_sessions).score(sample_sessions)
    pd.testing.assert_frame_equal(sample_sessions, before)


def test_it_learns_from_sessions_as_of_their_events(sample_log, sample_sessions):
    """A service asks about unfinished sessions: rows as of an event train the forest, whole sessions are counted."""
    asof = fl.build_sessions(sample_log.table, asof=True)
    detector = fl.Detector().fit(asof)
    whole = fl.Detector().fit(sample_sessions)
    assert detector.sessions_seen_ == whole.sessions_seen_ == len(sample_sessions)
    assert detector.reference_size_ == pytest.approx(whole.reference_size_, rel=0.1)
    assert len(whole._hearing.scales.of["forest"].ordered) <= whole.reference_size_
    human_asof = len(detector._hearing.scales.of["forest"].ordered)
    assert len(whole._hearing.scales.of["forest"].ordered) * 1.5 < human_asof < len(asof)
