"""Campaigns of many networks, each too little to be seen; and what stands behind one address."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.detecting.coordination import DOORS, Coordination, clients_behind
from fraudlog.detecting.evidence import presumed_human
from fraudlog.detecting.voices import PLACES, Parameters, Row
from fraudlog.errors import ModelError
from generated_traffic import address, site, stuffing


def built(traffic):
    """Sessions of made-up traffic, and which are the campaign's."""
    events = traffic.table()
    attacks = events.pop("is_attack").to_numpy()
    ids = fl.sessionize(events)["session_id"]
    sessions = fl.build_sessions(events)
    return sessions, sessions["session_id"].isin(set(ids[attacks])).to_numpy()


@pytest.fixture(scope="module")
def calm():
    """A voice that learnt from a day without a campaign."""
    sessions, _ = built(site(5, 2_000, days=1))
    return Coordination().fit(sessions, presumed_human(sessions))


@pytest.fixture(scope="module")
def attacked():
    """A day with a campaign of 60 networks, two tries each: half a percent of the requests."""
    traffic = site(6, 2_000, days=1)
    stuffing(traffic, 60, days=1, agent="one")
    return built(traffic)


def recall(strength, attacks, rate):
    """Share of the campaign above what `rate` of the others reach."""
    said = np.nan_to_num(strength)
    return (said[attacks] > np.quantile(said[~attacks], 1 - rate, method="higher")).mean()


def test_a_campaign_of_two_tries_each_is_found(calm, attacked):
    """Sixty networks of one browser at 0.1 % false positives, but for the first two."""
    sessions, attacks = attacked
    judgement = calm.judge(sessions)
    assert recall(judgement.strength, attacks, 0.001) >= 0.9
    found = np.flatnonzero(attacks & (judgement.strength > 3))
    causes = judgement.causes(found.tolist())
    assert {cause.code for (cause,) in causes} <= {door.code for door in DOORS}
    assert all(cause.value >= 3 for (cause,) in causes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("agent", "renders"), [("few", False), ("one", False), ("few", True), ("natural", False), ("natural", True)]
)
def test_five_hundred_addresses_with_two_tries_each_are_found(agent, renders):
    """Half a percent of the requests of three days: recall at least 0.9 at 0.1 % of people's sessions."""
    clean, _ = built(site(5, 16_500))
    traffic = site(6, 16_500)
    stuffing(traffic, 500, agent=agent, renders=renders)
    sessions, attacks = built(traffic)
    voice = Coordination().fit(clean, presumed_human(clean))
    assert recall(voice.judge(sessions).strength, attacks, 0.001) >= 0.9


def refused(n_networks, *, let_in=0.0, agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"):
    """A session of each count: refused once at a login to which so many networks came straight within a day."""
    values = dict.fromkeys(PLACES, 0.0) | {
        "requests": 9.0,
        "login_requests": 2.0,
        "login_failures": 1.0,
        "login_successes": let_in,
        "browser_requests": 9.0 if agent.startswith("Mozilla") else 0.0,
        "straight_logins_of_1d": 1.0,
        "straight_logins_1d": 1.0,
    }
    rows = [values | {"straight_logins_of_1d": float(count)} for count in np.atleast_1d(n_networks)]
    return pd.DataFrame(rows).assign(user_agent=agent, is_last=True)


def test_more_refusals_than_ever_are_a_crowd():
    """Heard of those never let in, at more than twice the busiest day; not on a busy one, nor of who was let in."""
    voice = Coordination().fit(refused(np.arange(1, 31)), np.ones(30, bool))
    assert voice.crowd_[0] == pytest.approx(28.55)
    judgement = voice.judge(refused([200, 50]))
    assert judgement.strength.tolist() == [pytest.approx(3.0, abs=0.1), 0.0]
    assert judgement.causes([0])[0][0].code == "CROWD_OF_FAILURES"
    assert voice.judge(refused(200, let_in=1.0)).strength.item() == 0.0
    few = Coordination().fit(refused(np.arange(1, 4)), np.ones(3, bool))
    assert few.judge(refused(200)).strength.item() == 0.0


def test_an_app_comes_straight_by_nature():
    """Where many come straight to the login, a browser among them is heard, an app is not."""
    voice = Coordination().fit(refused(np.full(60, 20)).assign(straight_logins_1d=0.0), np.ones(60, bool))
    many = {"straight_logins_1d": 30.0, "straight_logins_of_1d": 30.0}
    assert voice.judge(refused(30).assign(**many)).strength.item() > 3
    assert voice.judge(refused(30, agent="Shop/4.1").assign(**many)).strength.item() == 0.0


def test_people_alone_are_no_campaign(calm):
    """Another day without one: who stands out at all is one in a hundred at most."""
    sessions, _ = built(site(8, 2_000, days=1))
    assert (np.nan_to_num(calm.judge(sessions).strength) > 3).mean() < 0.01


def test_one_network_is_no_campaign(calm):
    """A single one that fails is not the others' fault, nor two of one manner."""
    failed = {"path": "/login", "method": "POST", "status": 401}
    rows = [failed | {"client_ip": address(i), "at": i} for i in range(2) for _ in "ab"]
    assert calm.judge(fl.build_sessions(make_events(*rows))).strength.tolist() == [0.0, 0.0]


def test_farms_of_accounts_are_found(calm):
    """Twelve networks that ask for accounts in one manner."""
    rows = [
        {"path": "/signup", "method": "POST", "client_ip": address(i), "at": i * 600, "referrer": "https://a.example/"}
        for i in range(12)
    ]
    sessions = fl.build_sessions(make_events(*rows))
    judgement = calm.judge(sessions)
    last = int(np.argmax(sessions["manner_signups_1d"]))
    assert judgement.strength[last] > 3
    assert judgement.causes([last])[0][0].code == "COORDINATED_SIGNUPS"


def test_it_abstains_where_the_log_tells_no_manner(calm):
    """No agent, language, protocol or TLS fingerprint: nothing to go by."""
    sessions = fl.build_sessions(make_events({}).drop(columns=["user_agent", "language"]))
    assert np.isnan(calm.judge(sessions).strength).all()
    assert np.isnan(calm.judge(sessions.drop(columns="manner_prefixes_1d")).strength).all()


def test_one_session_is_judged_as_in_a_frame(calm, attacked):
    """Bit for bit, before and after a visit to a file."""
    sessions, attacks = attacked
    part = pd.concat([sessions[attacks], sessions[~attacks].head(200)], ignore_index=True)
    again = Coordination.from_arrays(calm.to_arrays(), Parameters())
    judgement = calm.judge(part)
    values = part[list(PLACES)].to_numpy(np.float64, na_value=np.nan)
    for place, row in enumerate(part.astype(object).where(part.notna(), None).to_dict("records")):
        opinion = again.judge_one(Row(values[place], row))
        assert np.float64(opinion.strength).tobytes() == judgement.strength[place].tobytes()
        assert np.float64(opinion.certainty).tobytes() == judgement.certainty[place].tobytes()
        if opinion.strength > 0:
            assert opinion.causes() == judgement.causes([place])[0]


def test_an_office_lowers_the_confidence():
    """Twenty agents behind one prefix are people, one is one; an account is known wherever it is."""
    office = [{"user_agent": f"Mozilla/5.0 Firefox/{i}", "client_ip": f"203.0.113.{i}", "at": i} for i in range(20)]
    sessions = fl.build_sessions(make_events(*office, {"client_ip": "198.51.100.7"}))
    clients = clients_behind(sessions)
    assert clients.max() == 20
    assert clients[sessions["client_ip"] == "198.51.100.7"] == 1
    certainty = Coordination().judge(sessions).certainty
    assert certainty[np.argmax(clients)] < 0.5 < certainty[np.argmin(clients)] == 1
    known = sessions.assign(user="ann")
    assert set(Coordination().judge(known).certainty) == {1.0}


def test_agents_that_fail_together_are_no_office():
    """One who tries many accounts with many agents must not hide behind an estimate of many clients."""
    rows = [
        {"path": "/login", "method": "POST", "status": 401, "user_agent": f"Mozilla/5.0 Firefox/{i}", "at": i}
        for i in range(20)
    ]
    assert clients_behind(fl.build_sessions(make_events(*rows))).tolist()[-1] == 1


@pytest.mark.parametrize("name", ["shares", "company.0", "company.3"])
def test_damaged_arrays_are_refused(calm, name):
    """Missing, of another type, or out of range."""
    arrays = calm.to_arrays()
    for wrong in (None, arrays[name].astype(np.float32), np.array([2.0, 1.0])):
        damaged = {key: value for key, value in (arrays | {name: wrong}).items() if value is not None}
        with pytest.raises(ModelError):
            Coordination.from_arrays(damaged, Parameters())


# --- one shape, one rhythm -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def usual():
    """A voice that learnt from a day of a larger site without a campaign; a quarter of its people come straight."""
    sessions, _ = built(site(5, 4_000, days=1))
    return Coordination().fit(sessions, presumed_human(sessions))


def various(n=120, **how):
    """A day with a campaign whose browsers are as various as people's."""
    traffic = site(7, 4_000, days=1)
    stuffing(traffic, n, days=1, agent="natural", **how)
    return built(traffic)


@pytest.mark.parametrize(("how", "code"), [({}, "STRAIGHT_LOGINS"), ({"renders": True}, "STRAIGHT_LOGINS")])
def test_a_campaign_of_many_browsers_is_found_by_its_shape(usual, how, code):
    """No manner holds more than a few of them, but all come straight to the login and fail, and they are too many."""
    sessions, attacks = various(**how)
    judgement = usual.judge(sessions)
    assert recall(judgement.strength, attacks, 0.001) >= 0.85
    found = np.flatnonzero(attacks & (judgement.strength > 3))
    codes = [cause.code for (cause,) in judgement.causes(found.tolist())]
    assert codes.count(code) > len(codes) / 2


def test_a_campaign_that_browses_first_is_found_by_its_rhythm(usual):
    """It looks at items as people do, but pauses equally long before each try."""
    sessions, attacks = various(renders=True, browses=True, pause=4.1)
    judgement = usual.judge(sessions)
    assert recall(judgement.strength, attacks, 0.001) >= 0.85
    found = np.flatnonzero(attacks & (judgement.strength > 3))
    assert {"RHYTHM_LOGINS"} <= {cause.code for (cause,) in judgement.causes(found.tolist())}


def test_keepers_of_passwords_are_no_campaign(usual):
    """A quarter of the people who log in came straight; on another such day next to none of them stands out."""
    sessions, _ = built(site(9, 4_000, days=1))
    straight = sessions["straight_logins_1d"].notna().to_numpy()
    assert straight.sum() > 100
    assert (np.nan_to_num(usual.judge(sessions).strength[straight]) > 3).mean() < 0.01


def test_where_everybody_comes_straight_nobody_is_told_by_it():
    """An app's clients ask for nothing before they log in: the usual share is near one, and many are no surprise."""
    rows = [
        {"path": "/login", "method": "POST", "status": 401, "client_ip": address(i), "at": i * 300} for i in range(200)
    ]
    sessions = fl.build_sessions(make_events(*rows))
    voice = Coordination().fit(sessions, np.ones(len(sessions), bool))
    place = [door.code for door in DOORS].index("STRAIGHT_LOGINS")
    assert voice.shares_[place] > 0.9
    assert {cause.code for (cause,) in voice.judge(sessions).causes(range(len(sessions)))} <= {
        door.code for door in DOORS if door.kind == "manner"
    }
