"""The reference: whom a detector takes for usual, and that the share of programs does not turn it over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

import fraudlog as fl
from conftest import SAMPLE, make_events
from fraudlog.detecting.panel import settled
from fraudlog.detecting.reference import Reference, capped, suspects, trimmed
from fraudlog.detecting.voices import Parameters
from fraudlog.errors import ConfigError
from fraudlog.sessions import feature_names

KEY = bytes(range(16))


@pytest.fixture(scope="module")
def disguised() -> pd.DataFrame:
    """The real log; programs that name themselves are labelled, then given the agents of visitors."""
    rng = np.random.default_rng(0)
    events = fl.read_log(SAMPLE).events
    agents = events["user_agent"].astype("object")
    program = fl.enrich(events)["is_automation"].fillna(value=False).to_numpy(bool) | agents.isna().to_numpy()
    actors = (events["client_ip"].astype("object") + "|" + agents.fillna("")).to_numpy()
    names = pd.unique(actors[program])
    new = dict(zip(names, rng.choice(agents[~program].unique(), len(names)), strict=True))
    changed = agents.to_numpy().copy()
    changed[program] = [new[actor] for actor in actors[program]]
    events = events.assign(user_agent=pd.array(changed, dtype="str"))
    labels = pd.Series(program).groupby(fl.sessionize(events)["session_id"].to_numpy()).max()
    sessions = fl.build_sessions(events)
    sessions["label"] = sessions["session_id"].map(labels).to_numpy(bool)
    return sessions[sessions["requests"] >= 3]


def thinned(sessions: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Take sessions out of one class until programs have the share."""
    rng = np.random.default_rng(seed)
    bots, people = (np.flatnonzero(sessions["label"] == one) for one in (True, False))
    wanted = int(share * len(people) / (1 - share))
    if wanted <= len(bots):
        bots = rng.choice(bots, wanted, replace=False)
    else:
        people = rng.choice(people, int(len(bots) * (1 - share) / share), replace=False)
    return sessions.iloc[np.sort(np.r_[bots, people])].reset_index(drop=True)


def test_no_share_of_programs_turns_the_risk_over(disguised):
    """From 1 to 90 %, without a word in the agent: above 0.85 throughout, where a plain forest falls below one half."""
    plain, ours = {}, {}
    for share, draws in ((0.01, 1), (0.25, 1), (0.9, 4)):  # at 90 % some 25 people are left: one draw says little
        found = [thinned(disguised, share, seed) for seed in range(draws)]
        plain[share] = np.mean([roc_auc_score(one["label"], plain_forest(one)) for one in found])
        risks = [fl.Detector().fit(one).score(one)["risk"] for one in found]
        ours[share] = np.mean([roc_auc_score(one["label"], risk) for one, risk in zip(found, risks, strict=True)])
    assert plain[0.01] > 0.8
    assert plain[0.9] < 0.5
    assert min(ours.values()) > 0.85, ours


def plain_forest(sessions):
    """Score with scikit-learn's forest, fitted on everything."""
    values = sessions.reindex(columns=feature_names(in_forest=True)).to_numpy(float)
    values = np.nan_to_num(values[:, ~np.isnan(values).all(axis=0)])
    return -IsolationForest(random_state=0).fit(values).score_samples(values)


def people(n):
    return [{"client_ip": f"198.{i % 200}.7.1", "path": f"/{i % 5}", "at": i * 50} for i in range(n)]


def test_too_few_people_is_an_error_that_says_what_to_do():
    """Forty-nine people among programs are not enough."""
    scanners = [{"client_ip": f"203.0.{i}.9", "path": "/.env", "status": 404} for i in range(200)]
    with pytest.raises(ConfigError, match="49 of 249 sessions are presumed human; fit on a longer period"):
        fl.Detector(n_estimators=5).fit(fl.build_sessions(make_events(*people(49), *scanners)))


def test_scarce_people_are_a_warning():
    """Sixty among three hundred will do, and a person is told; on an ordinary site nobody is."""
    scanners = [{"client_ip": f"203.{i // 200}.{i % 200}.9", "path": "/.env", "status": 404} for i in range(300)]
    few = fl.Detector(n_estimators=5).fit(fl.build_sessions(make_events(*people(60), *scanners)))
    assert "60 of 360 sessions" in few.reference_warning_
    assert fl.Detector(n_estimators=5).fit(fl.build_sessions(make_events(*people(60)))).reference_warning_ is None


def test_fewer_people_will_do_where_asked_and_nothing_is_claimed_of_what_is_odd():
    """Of nine people no p-value is below a tenth: what is only rare stays far below a challenge, evidence is heard."""
    scanners = [{"client_ip": f"203.0.{i}.9", "path": "/.env", "status": 404} for i in range(20)]
    sessions = fl.build_sessions(make_events(*people(9), *scanners))
    detector = fl.Detector(n_estimators=5, min_reference=1).fit(sessions)
    assert "only 9 of 29 sessions are presumed human" in detector.reference_warning_
    risk = detector.score(sessions).risk
    probed = sessions.ip_prefix.str.startswith("203.")
    assert risk[probed].min() > 0.2 > risk[~probed].max()


def test_nobody_to_learn_from_is_an_error_however_few_are_asked_for():
    """Without a single person there is nothing to be calibrated on."""
    scanners = [{"client_ip": f"203.0.{i}.9", "path": "/.env", "status": 404} for i in range(20)]
    with pytest.raises(ConfigError, match="0 of 20 sessions are presumed human"):
        fl.Detector(n_estimators=5, min_reference=1).fit(fl.build_sessions(make_events(*scanners)))
    with pytest.raises(ConfigError, match="min_reference is below 1"):
        fl.Detector(min_reference=0)


def test_a_source_counts_a_few_times_only():
    """However often it comes; which of its sessions count depends on the key, not on the others."""
    rows = [{"client_ip": "203.0.113.9", "at": i * 4000} for i in range(20)] + people(10)
    sessions = fl.build_sessions(make_events(*rows))
    every = np.ones(len(sessions), bool)
    chosen = capped(sessions, every, KEY)
    noisy = (sessions["ip_prefix"] == "203.0.113.0/24").to_numpy()
    assert (chosen & noisy).sum() == 2
    assert chosen[~noisy].all()
    alone = capped(sessions[noisy], every[noisy], KEY)
    assert (alone == chosen[noisy]).all()


def test_who_is_like_the_suspects_is_trimmed():
    """More than their typical one; where there are no suspects nobody is."""
    human = np.array([True, True, True, False, False, False])
    reference = Reference(human, np.ones(6, bool))
    likeness = np.array([0.1, 0.2, 0.9, 0.5, 0.6, 0.7])
    assert trimmed(reference, ~human, likeness).tolist() == [False, False, True, False, False, False]
    assert not trimmed(reference, np.zeros(6, bool), likeness).any()


@pytest.mark.parametrize(("n", "leads"), [(3, False), (300, True)])
def test_likeness_leads_where_suspects_are_many(n, leads):
    """A few who trip over a row are no sort of their own; where they are many, being rare says nothing."""
    scanners = [{"client_ip": f"203.{i // 200}.{i % 200}.9", "path": "/.env", "status": 404} for i in range(n)]
    sessions = fl.build_sessions(make_events(*people(150), *scanners))
    _, likeness_leads = settled(sessions, Parameters(n_estimators=5), np.zeros(len(sessions), bool))
    assert likeness_leads == leads
    scales = fl.Detector(n_estimators=5).fit(sessions)._hearing.scales.of
    assert scales["likeness"].leads == leads


def test_a_program_that_says_so_is_no_suspect():
    """Its name is no reason to learn what abuse looks like from it; what it does is."""
    script = {"client_ip": "203.0.113.9", "user_agent": "python-requests/2.31"}
    honest = fl.build_sessions(make_events(*({**script, "path": f"/{i}", "at": i * 60} for i in range(3))))
    scanner = fl.build_sessions(make_events({**script, "path": "/.env", "status": 404}))
    assert suspects(scanner).all()
    assert not suspects(honest).any()


def test_suspects_are_those_spoken_against(sample_sessions):
    """Scanners are, verified crawlers are not."""
    found = suspects(sample_sessions)
    assert found[(sample_sessions["probe_requests"] > 0).to_numpy()].all()
    verified = (sample_sessions["verified_crawler_requests"] == sample_sessions["requests"]).to_numpy()
    assert verified.any()
    assert not found[verified].any()
