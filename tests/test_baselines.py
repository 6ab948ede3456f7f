"""Sessions beside their own kind, and how rare is what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import fraudlog as fl
from fraudlog.detecting.baselines import COMPARED, PEERS, Baselines
from fraudlog.detecting.evidence import presumed_human
from fraudlog.detecting.voices import PLACES, Parameters, Row
from fraudlog.errors import ModelError
from fraudlog.sessions import Population

RARITIES = ["agent_rarity", "language_rarity", "profile_rarity", "country_language_rarity"]


def made(n, seed, **more):
    """Sessions of one kind, around some numbers."""
    rng = np.random.default_rng(seed)
    values = {name: rng.lognormal(1, 0.3, n) for name in COMPARED}
    kind = {"requests": 10.0, "browser_requests": 10.0, "automation_share": 0.0, "agent_missing_share": 0.0}
    frame = pd.DataFrame(values | {name: np.full(n, value) for name, value in (kind | more).items()})
    return frame.assign(session_id=[f"{seed}-{i}" for i in range(n)], user_agent="a", probe_requests=0.0)


PEOPLE = {"requests_per_minute": 5.0}
PARTNER = {"requests_per_minute": 300.0, "automation_share": 1.0, "browser_requests": 0.0, "api_requests": 10.0}


@pytest.fixture(scope="module")
def voice():
    """A site of people and of partners whose programs call an API."""
    sessions = pd.concat([made(400, 1, **PEOPLE), made(100, 2, **PARTNER)], ignore_index=True)
    jitter = np.random.default_rng(3).lognormal(0, 0.2, len(sessions))
    sessions["requests_per_minute"] *= jitter
    return Baselines().fit(sessions, np.ones(len(sessions), bool))


def test_a_program_is_compared_with_programs(voice):
    """Three hundred calls a minute are usual for a partner's program and striking for a reader."""
    partner, reader = made(1, 9, **PARTNER), made(1, 9, **(PEOPLE | {"requests_per_minute": 300.0}))
    usual, striking = voice.judge(partner), voice.judge(reader)
    codes = [[cause.code for cause in one.causes([0])[0]] for one in (usual, striking)]
    assert striking.strength[0] > usual.strength[0] + 0.3
    assert codes[1][0] == PEERS + "REQUESTS_PER_MINUTE"


def test_a_kind_that_is_not_known_borrows_from_all(voice):
    """Ten apps are too few for quantiles of their own; the voice still has something to say."""
    app = made(1, 4, browser_requests=0.0)
    assert voice.judge(app).strength[0] >= 0
    empty = Baselines()
    assert np.isnan(empty.judge(app).strength).all()


def test_abusers_do_not_set_what_is_usual():
    """Sessions that a fact speaks against are not learnt, whatever their agent."""
    scanners = made(300, 5, probe_requests=9.0, not_found=500.0)
    people = made(300, 6)
    sessions = pd.concat([people, scanners], ignore_index=True)
    voice = Baselines().fit(sessions, np.ones(len(sessions), bool))
    assert voice.judge(scanners.head(1)).strength[0] > np.median(voice.judge(people).strength)


def test_one_session_is_judged_as_in_a_frame(sample_sessions):
    """Bit for bit, reasons too, before and after a visit to a file; causes share the strength out."""
    voice = Baselines().fit(sample_sessions, presumed_human(sample_sessions))
    again = Baselines.from_arrays(voice.to_arrays(), Parameters())
    part = sample_sessions.head(150)
    judgement = voice.judge(part)
    assert again.judge(part).strength.tobytes() == judgement.strength.tobytes()
    for place, row in enumerate(part[list(PLACES)].to_numpy(np.float64, na_value=np.nan)):
        opinion = again.judge_one(Row(row, {}))
        assert np.float64(opinion.strength).tobytes() == judgement.strength[place].tobytes()
        assert opinion.causes() == judgement.causes([place])[0]
        assert sum(cause.share for cause in opinion.causes()) == pytest.approx(1)


def test_damaged_arrays_are_refused(voice):
    """Counts of the wrong type, or quantiles of another number of features."""
    arrays = voice.to_arrays()
    name = next(name for name in arrays if name.endswith("quantiles.grid"))
    for key, wrong in (("counts.profile.counts", np.array([-1])), (name, arrays[name][:2])):
        with pytest.raises(ModelError):
            Baselines.from_arrays(arrays | {key: wrong}, Parameters())


# --- how rare --------------------------------------------------------------------------------------------------------
def test_rarities_are_known_without_being_asked_for(sample_sessions, sample_detector, sample_log):
    """A log is its own measure of what is rare, unless a model's counts are given."""
    assert sample_sessions[["agent_rarity", "profile_rarity"]].notna().any().all()
    again = fl.build_sessions(sample_log.table, population=sample_detector.population_)
    pd.testing.assert_frame_equal(again[RARITIES], sample_sessions[RARITIES])
    assert fl.build_sessions(sample_log.table, population=None)[RARITIES].isna().all().all()


def test_a_detector_keeps_its_counts(tmp_path, sample_detector):
    """In the file too, and as hashes: a rare agent may name a person."""
    sample_detector.save(tmp_path / "m.fraudlog")
    again = fl.Detector.load(tmp_path / "m.fraudlog")
    assert again.population_ == sample_detector.population_
    assert b"Mozilla" not in (tmp_path / "m.fraudlog").read_bytes()


def test_counts_add_up_and_subtract(sample_sessions):
    """Two periods together are the whole; a session taken out was never counted."""
    whole = Population.of_sessions(sample_sessions)
    first, second = (Population.of_sessions(part) for part in (sample_sessions[:1000], sample_sessions[1000:]))
    assert first + second == whole
    assert whole - first == second


def test_a_session_counts_once_and_so_does_one_as_of_many_events(sample_log, sample_sessions):
    """A busy session does not make its agent common."""
    asof = fl.build_sessions(sample_log.table, asof=True)
    assert Population.of_sessions(asof) == Population.of_sessions(sample_sessions)
    assert Population.fit(sample_log.table) == Population.of_sessions(sample_sessions)


def test_a_language_is_rare_in_its_country():
    """French is usual in France and rare in Japan."""
    rows = [("FR", "fr")] * 90 + [("JP", "ja")] * 90 + [("JP", "fr")]
    table = pa.table(
        {
            "country": pa.array([country for country, _ in rows]).dictionary_encode(),
            "language_primary": pa.array([language for _, language in rows]).dictionary_encode(),
        }
    )
    population = Population.of_sessions(table)
    usual, rare = population.rarities("country_language_rarity", ["FR fr", "JP fr"])
    assert rare > usual + 5 * 1024


@pytest.mark.parametrize("wrong", [{}, {"profile.values": np.zeros(3, np.uint64)}, {"profile.counts": np.array([0])}])
def test_damaged_counts_are_refused(wrong, sample_sessions):
    """Missing, misshapen or out of range."""
    arrays = Population.of_sessions(sample_sessions).to_arrays() | wrong if wrong else {}
    with pytest.raises(ModelError, match="save it again"):
        Population.from_arrays(arrays)
