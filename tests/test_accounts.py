"""Histories of accounts: the published formula, counts that subtract exactly, and the voice that speaks by them."""

from __future__ import annotations

import random
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive_accounts as naive
from fraudlog.detecting.accounts import Accounts
from fraudlog.detecting.histories import COLUMNS, AccountHistory
from fraudlog.detecting.voices import PLACES, Parameters, Row
from fraudlog.errors import ModelError

KEY = b"0123456789abcdef"
CHOICES = {
    "client_ip": [f"a{i}" for i in range(9)],
    "ip_prefix": [f"p{i}" for i in range(4)],
    "asn": [1, 2, None],
    "country": ["FR", "DE", None],
    "user_agent": ["Firefox 128", "Firefox 129", "Chrome 128", None],
    "browser": ["Firefox", "Chrome", None],
    "os": ["Linux", "Windows", None],
    "device_class": ["desktop", None],
    "language": ["fr", "de,en", None],
    "language_primary": ["fr", "de", None],
}


def some_logins(seed, n, users=4):
    """Random logins, with holes."""
    chance = random.Random(seed)  # noqa: S311 -- test data
    return [
        {"user": f"u{chance.randrange(users)}", "session_id": f"s{i}"}
        | {name: chance.choice(values) for name, values in CHOICES.items()}
        for i in range(n)
    ]


def usual(user, **more):
    """A login as most are."""
    row = {name: values[0] for name, values in CHOICES.items()}
    return row | {"user": user, "session_id": f"{user}{random.random()}"} | more  # noqa: S311 -- test data


def frame(logins):
    """A table of sessions, as whole ones."""
    table = pd.DataFrame(logins).astype({"asn": "Int64"})
    return table.assign(login_failures=0.0)


def fitted(logins):
    """The voice after these logins."""
    table = frame(logins)
    return Accounts(Parameters(key=KEY)).fit(table, np.ones(len(table), bool))


@given(st.integers(0, 2**32), st.integers(4, 60))
@settings(max_examples=40)
def test_the_risk_is_the_published_formula(seed, n):
    """Equal to 1e-9 to the formula, written out on the list of logins."""
    logins = some_logins(seed, n)
    *known, asked = logins
    found = fitted(known).judge(frame([asked])).strength[0]
    n_mine = sum(one["user"] == asked["user"] for one in known)
    if n_mine < 3:
        assert np.isnan(found)
    else:
        assert 10**found == pytest.approx(naive.risk(known, asked["user"], asked), rel=1e-9)


@given(st.integers(0, 2**32), st.integers(8, 40))
@settings(max_examples=20)
def test_a_login_that_was_learnt_is_judged_by_the_others(seed, n):
    """Fitting and scoring the same log must not compare a login with itself."""
    logins = some_logins(seed, n)
    strength = fitted(logins).judge(frame(logins)).strength
    for place, login in enumerate(logins):
        others = logins[:place] + logins[place + 1 :]
        if sum(one["user"] == login["user"] for one in others) >= 3:
            accounts = len({one["user"] for one in logins})
            expected = naive.risk(others, login["user"], login)
            expected *= len({one["user"] for one in others}) / accounts
            assert 10 ** strength[place] == pytest.approx(expected, rel=1e-9)


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 39))
@settings(max_examples=40)
def test_counts_merge_and_subtract_exactly(seed, n, cut):
    """Two halves merged are the whole, one taken out again is the other; forgetting is never having seen."""
    logins = some_logins(seed, n)
    voice = Accounts(Parameters(key=KEY))

    weeks = {id(one): n % 3 for n, one in enumerate(logins)}

    def history(part):
        made = AccountHistory()
        if part:
            table = frame(part)
            made.learn(
                [int(one["user"][1:]) + 1 for one in part], voice._values(table), [weeks[id(one)] for one in part]
            )
        return made

    whole, first, second = history(logins), history(logins[:cut]), history(logins[cut:])
    first.merge(second)
    assert first == whole
    first.subtract(second)
    assert first == history(logins[:cut])
    assert whole.forget(1) == any(one["user"] == "u0" for one in logins)
    assert whole == history([one for one in logins if one["user"] != "u0"])
    assert AccountHistory.from_arrays(whole.to_arrays()) == whole
    left = [one for one in logins if one["user"] != "u0" and weeks[id(one)] > 0]
    assert whole.forget_before(1) == len(logins) - len(left) - sum(one["user"] == "u0" for one in logins)
    assert (whole, whole.own) == (history(left), history(left).own)


@pytest.mark.parametrize("name", ["weeks", "learnt_weeks"])
def test_histories_without_their_weeks_are_refused(name):
    """What can't be purged by its age is not read."""
    arrays = fitted([usual("ann")] * 3).to_arrays()
    lacking = {one: array for one, array in arrays.items() if one != name}
    for bad in ({}, {name: arrays[name][:-1]}, {name: arrays[name].astype(np.float64)}):
        with pytest.raises(ModelError, match="histories of accounts"):
            Accounts.from_arrays(lacking | bad, Parameters(key=KEY))


def test_more_than_was_learnt_cannot_be_taken_out():
    """A count below 0 would be a lie."""
    with pytest.raises(ValueError, match="more logins"):
        AccountHistory().subtract(fitted([usual("ann")]).history)


def test_a_new_network_costs_less_the_more_of_it_is_known():
    """The ladder: a new address in the usual prefix, in the usual country, in no usual place."""
    known = [usual("ann") for _ in range(10)] + [usual("bob", client_ip="b", ip_prefix="q", asn=9, country="JP")] * 10
    elsewhere = [
        {},
        {"client_ip": "new"},
        {"client_ip": "new", "ip_prefix": "new"},
        {"client_ip": "new", "ip_prefix": "new", "asn": 77},
        {"client_ip": "new", "ip_prefix": "new", "asn": 77, "country": "BR"},
    ]
    strength = fitted(known).judge(frame([usual("ann", **one) for one in elsewhere])).strength
    assert strength.tolist() == sorted(strength.tolist())
    assert strength[0] < 0 < strength[-1]


def test_a_stolen_account_stands_above_travellers_and_new_phones():
    """Another network, agent and language at once is worse than one of them."""
    people = [usual(f"u{i}", client_ip=f"a{i}", ip_prefix=f"p{i}") for i in range(40) for _ in range(6)]
    voice = fitted(people)
    abroad = {"client_ip": "x", "ip_prefix": "x", "asn": 7, "country": "BR"}
    phone = {"user_agent": "Mobile Safari", "browser": "Mobile Safari", "os": "iOS", "device_class": "mobile"}
    language = {"language": "pt", "language_primary": "pt"}
    asked = [usual("u3", **one) for one in ({}, abroad, phone, abroad | phone | language)]
    judgement = voice.judge(frame(asked))
    home, traveller, new_phone, stolen = judgement.strength
    assert home < min(traveller, new_phone)
    assert stolen > max(traveller, new_phone) + 0.5
    codes = {cause.code for cause in judgement.causes([3])[0]}
    assert codes >= {"ACCOUNT_NETWORK", "ACCOUNT_AGENT", "ACCOUNT_LANGUAGE"}
    assert sum(cause.share for cause in judgement.causes([3])[0]) == pytest.approx(1)


def test_new_accounts_are_learning():
    """Two logins are no habit; the voice abstains, and says which state it is."""
    voice = fitted([usual("ann")] * 2 + [usual("bob")] * 3)
    ann, bob = (int(voice.history.to_arrays()["users"][i]) for i in range(2))
    assert {voice.history.state(ann), voice.history.state(bob)} == {"learning", "known"}
    assert voice.history.state(5) == "unknown"
    strength = voice.judge(frame([usual("ann"), usual("bob"), usual("eve")])).strength
    assert np.isnan(strength).tolist() == [True, False, True]


def test_refused_logins_and_suspects_are_not_learnt():
    """What was refused says nothing of the account's owner; nor does what is not presumed human."""
    table = frame([usual("ann")] * 6).assign(login_failures=[0, 1, 0, 0, 0, 0])
    human = np.array([True, True, False, True, True, True])
    voice = Accounts(Parameters(key=KEY)).fit(table, human)
    assert voice.history.everyone[len(COLUMNS)] == 4


@given(st.integers(0, 2**32))
@settings(max_examples=15)
def test_one_session_is_judged_as_in_a_frame(seed):
    """Bit for bit, reasons too, before and after a visit to a file."""
    logins = some_logins(seed, 60)
    voice = fitted(logins[:40])
    again = Accounts.from_arrays(voice.to_arrays(), Parameters(key=KEY))
    judgement = voice.judge(frame(logins))
    assert again.judge(frame(logins)).strength.tobytes() == judgement.strength.tobytes()
    for place, login in enumerate(logins):
        opinion = again.judge_one(Row(np.full(len(PLACES), np.nan), login))
        assert np.float64(opinion.strength).tobytes() == judgement.strength[place].tobytes()
        if not np.isnan(opinion.strength):
            assert opinion.causes() == judgement.causes([place])[0]


def test_a_model_learnt_under_a_key_needs_it():
    """Under another key every account would seem new."""
    arrays = fitted([usual("ann")] * 3).to_arrays()
    with pytest.raises(ModelError, match="secret"):
        Accounts.from_arrays(arrays, Parameters())


@pytest.mark.parametrize("name", ["users", "ends", "values", "counts", "enough", "learnt", "key"])
def test_damaged_arrays_are_refused(name):
    """Missing, of another type, or too long."""
    arrays = fitted([usual("ann")] * 3).to_arrays()
    for wrong in (None, arrays[name].astype(np.float32), np.append(arrays[name], arrays[name][:1])[::-1][:0]):
        damaged = {key: value for key, value in (arrays | {name: wrong}).items() if value is not None}
        if name == "learnt" and wrong is not None and not len(wrong) and wrong.dtype == np.uint64:
            continue  # no session learnt is a sound list
        with pytest.raises(ModelError):
            Accounts.from_arrays(damaged, Parameters(key=KEY))


def test_a_login_is_judged_in_fifty_microseconds():
    """A service's budget, on histories of 5,000 accounts: the best of some rounds of CPU time."""
    rng = np.random.default_rng(0)
    values = rng.integers(1000, 1 << 60, (40_000, len(COLUMNS)), dtype=np.uint64)
    history = AccountHistory()
    history.learn((np.arange(40_000) % 5_000).tolist(), values)
    asked = values[:2_000].tolist()

    def once():
        start = time.process_time()
        for user, row in enumerate(asked):
            history.risk(user, row)
        return (time.process_time() - start) / len(asked)

    assert min(once() for _ in range(5)) < 50e-6
