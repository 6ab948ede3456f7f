"""Benign traffic made up: it hangs together, repeats, and holds what detectors wrongly take for abuse."""

from __future__ import annotations

import ipaddress
from datetime import date
from random import Random

import pandas as pd
import pytest

import fraudlog as fl
from fraudlog.enriching import read_address, read_agent, read_language
from fraudlog.errors import ConfigError
from fraudlog.evaluation import benign_events
from fraudlog.evaluation.benign import GROUPS
from fraudlog.evaluation.clients import accept_language, browser, network
from fraudlog.evaluation.programs import PROGRAMS
from fraudlog.evaluation.words import COUNTRIES
from fraudlog.schema import EVENTS, column_names


@pytest.fixture(scope="module")
def benign():
    """Four days of 160 people."""
    return benign_events(4, 160, seed=3)


def test_events_are_those_of_the_schema_in_order_of_time(benign):
    """As `read_log` gives them."""
    events, truth = benign
    assert set(events) <= set(column_names(EVENTS))
    assert events["timestamp"].is_monotonic_increasing
    assert str(events["timestamp"].dtype) == "datetime64[us, UTC]"
    assert len(truth) == len(events)
    assert events[["timestamp", "client_ip", "path", "user_agent"]].notna().all().all()


def test_the_same_seed_gives_the_same_events():
    """And another one another site."""
    first, again, other = (benign_events(1, 15, seed=seed)[0] for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert set(first["host"]) != set(other["host"])


def test_every_group_comes(benign):
    """People of each kind, and each welcome program."""
    _, truth = benign
    assert set(truth["group"]) == {row.name for row in GROUPS} | {row.group for row in PROGRAMS}


@pytest.mark.parametrize(
    ("group", "column", "at_least"), [("carrier", "user_agent", 3), ("office", "user_agent", 3), ("office", "user", 2)]
)
def test_many_people_share_an_address(benign, group, column, at_least):
    """Behind a carrier's or an office's gate."""
    events, truth = benign
    own = events[truth["group"] == group]
    assert own.groupby("client_ip")[column].nunique().max() >= at_least


def test_people_fail_to_sign_in_and_travel(benign):
    """What an account's guard sees of honest people."""
    events, truth = benign
    logins = events[(events["method"] == "POST") & (truth["group"].isin(["forgetful", "angry", "home"]))]
    assert logins["path"].value_counts().max() > 5
    abroad = events[truth["group"] == "traveller"].groupby(truth["actor"])["asn"].nunique()
    assert abroad.max() > 1


def test_crawlers_verify(benign):
    """Their addresses lie in the networks that their operators publish."""
    events, truth = benign
    crawlers = fl.enrich(events[truth["group"] == "crawler"])
    assert set(crawlers["crawler_state"]) == {"verified"}


def test_browsers_are_real_to_the_parsers():
    """Agent, language and hints hang together, whatever the year."""
    rng = Random(0)  # noqa: S311 -- test data
    for _ in range(300):
        client = browser(rng, date(rng.randrange(2014, 2028), 5, 1), rng.choice(COUNTRIES).languages)
        facts = read_agent(client.user_agent)
        assert facts.agent_kind == "browser", client.user_agent
        assert not facts.is_automation
        assert facts.agent_conflict is None, client.user_agent
        assert not read_language(client.language).is_language_malformed


def test_hints_agree_with_the_agent():
    """As a browser's do."""
    rng = Random(1)  # noqa: S311 -- test data
    events, _ = benign_events(1, 40, seed=5)
    seen = fl.enrich(events[events["ch_ua"].notna()])
    assert seen[["is_ch_version_same", "is_ch_platform_same", "is_ch_mobile_same"]].all().all()
    assert not seen["is_ch_malformed"].any()
    assert accept_language(rng, "en-US").startswith("en-US,en;q=")


def test_addresses_are_ordinary_ones():
    """None of a special range, and /24 and /64 hold together."""
    rng = Random(2)  # noqa: S311 -- test data
    for number in range(200):
        home = network(rng, "DE", is_v6=number % 3 == 0).inside(rng)
        one, two = (home.address(rng) for _ in range(2))
        assert ipaddress.ip_address(one).is_global
        assert read_address(one)[1] == read_address(two)[1]


@pytest.mark.parametrize("parameters", [{"days": 0}, {"people": 0}])
def test_nothing_to_make_is_an_error(parameters):
    """That names the parameter."""
    with pytest.raises(ConfigError) as error:
        benign_events(**parameters)
    assert error.value.parameter in parameters
