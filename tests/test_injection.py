"""Attacks put into a log: all kinds come, only what they do tells them from the log, nothing of the log is lost."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fraudlog as fl
from conftest import shared_data
from fraudlog.errors import ConfigError, FraudlogError, InputError
from fraudlog.evaluation import KINDS, Campaign, benign_events, inject, kind_names
from fraudlog.schema import EVENTS, column_names


@pytest.fixture(scope="module")
def log():
    """Three days of 80 people."""
    return benign_events(3, 80, seed=4)[0]


@pytest.fixture(scope="module")
def attacked(log):
    """The same, with every kind of attack after the first day."""
    return inject(log, campaign=Campaign(mimicry=0.5), since=log["timestamp"].min() + pd.Timedelta("1D"))


def test_at_least_eighteen_kinds_four_of_them_held_out():
    """Names are one each; the table says what is not looked at while tuning."""
    assert len(set(kind_names())) == len(KINDS) >= 18
    assert len(kind_names(held_out=True)) == 4
    assert len(kind_names(held_out=False)) >= 14
    assert {kind.oat for kind in KINDS} <= {f"OAT-{number:03d}" for number in range(1, 22)}


def test_every_kind_comes(attacked):
    """Where the log records what it takes."""
    assert set(attacked.labels["kind"].dropna()) == set(kind_names())
    assert not attacked.left_out


def test_the_logs_own_events_come_through_unchanged(log, attacked):
    """Each once, in order of time; only lines and source are numbered anew."""
    own = attacked.labels["row"].notna().to_numpy()
    rows = attacked.labels["row"][own].astype(int)
    assert sorted(rows) == list(range(len(log)))
    columns = [name for name in log.columns if name not in {"source", "line_number"}]
    found = attacked.events[own][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, log.take(rows)[columns].reset_index(drop=True), check_dtype=False)


def test_no_attack_before_the_window(log, attacked):
    """What lies before stays clean."""
    made_up = attacked.events[attacked.labels["kind"].notna().to_numpy()]
    assert made_up["timestamp"].min() >= log["timestamp"].min() + pd.Timedelta("1D")


def test_lines_and_source_tell_nothing(attacked):
    """All in order of time, one source, numbered through."""
    assert attacked.events["timestamp"].is_monotonic_increasing
    assert set(attacked.events["source"]) == {"log"}
    assert attacked.events["line_number"].tolist() == list(range(1, len(attacked.events) + 1))


def test_the_same_seed_gives_the_same_attacks(log):
    """One kind alone is the same as among others; another seed gives others."""
    both = inject(log, ["carding", "spamming"])
    alone = inject(log, ["carding"])
    carding = both.events[(both.labels["kind"] == "carding").to_numpy()]
    own = alone.events[alone.labels["kind"].notna().to_numpy()]
    columns = [name for name in own.columns if name != "line_number"]
    pd.testing.assert_frame_equal(carding[columns].reset_index(drop=True), own[columns].reset_index(drop=True))
    other = inject(log, ["carding"], Campaign(seed=1))
    assert len(other.events) != len(alone.events) or not other.events.equals(alone.events)


def test_only_what_the_log_records_is_filled(sample_log):
    """A combined log has no account, no language, and a clock of whole seconds."""
    found = inject(sample_log.events)
    made_up = found.events[found.labels["kind"].notna().to_numpy()]
    recorded = {name for name in sample_log.events if sample_log.events[name].notna().any()}
    assert {name for name in made_up if made_up[name].notna().any()} <= recorded | {"source", "line_number"}
    assert (made_up["timestamp"].dt.microsecond == 0).all()
    assert set(found.left_out) == {kind.name for kind in KINDS if "user" in kind.needs}


def test_paths_are_the_logs_own(sample_log):
    """Scrapers copy the pages that are there."""
    found = inject(sample_log.events, ["scraping_fast", "scraping_slow"])
    made_up = found.events[found.labels["kind"].notna().to_numpy()]
    assert made_up["path"].isin(sample_log.events["path"]).mean() > 0.95


def _share(found, column, own_values):
    made_up = found.events[found.labels["kind"].notna().to_numpy()]
    return made_up[column].isin(own_values).mean()


def test_mimicry_borrows_from_the_visitors(log):
    """None of their browsers at 0, nothing but these at 1."""
    own = set(log["user_agent"].dropna())
    bare = inject(log, ["scraping_fast", "carding"], Campaign(mimicry=0))
    full = inject(log, ["scraping_fast", "carding"], Campaign(mimicry=1))
    assert _share(bare, "user_agent", own) == 0
    assert _share(full, "user_agent", own) == 1
    assert _share(full, "language", set(log["language"].dropna())) == 1


def test_rate_and_addresses_are_knobs(log):
    """Twice the rate, half the pause; as many addresses as asked for."""
    slow, fast = (
        inject(log, ["scraping_slow"], Campaign(rate=rate, addresses=3, mimicry=0, share=0.05)) for rate in (1, 8)
    )
    spans = []
    for found in (slow, fast):
        made_up = found.events.assign(actor=found.labels["actor"])[found.labels["kind"].notna().to_numpy()]
        assert made_up.groupby(made_up["actor"].str.rpartition(":")[0])["client_ip"].nunique().max() == 3
        gaps = made_up.groupby("actor")["timestamp"].diff().dt.total_seconds()
        spans.append(gaps.median())
    assert spans[1] < spans[0] / 4


def test_residential_attacks_come_from_many_prefixes(log):
    """One address a session, low and slow."""
    found = inject(log, ["stuffing_residential"], Campaign(share=0.03))
    made_up = fl.enrich(found.events[found.labels["kind"].notna().to_numpy()])
    assert made_up["ip_prefix"].nunique() > 0.8 * made_up["client_ip"].nunique() > 10
    assert (made_up["method"] == "POST").groupby(made_up["client_ip"]).sum().between(1, 4).all()


def test_a_stolen_session_changes_its_language(log):
    """The account is one of the log's; the network is not its own."""
    found = inject(log, ["account_takeover"], Campaign(mimicry=1, share=0.02))
    is_made_up = found.labels["kind"].notna().to_numpy()
    made_up, own = found.events[is_made_up], found.events[~is_made_up]
    assert set(made_up["user"]) <= set(own["user"].dropna())
    changed = [
        set(rows["language"]).isdisjoint(own["language"][own["user"] == user]) for user, rows in made_up.groupby("user")
    ]
    assert np.mean(changed) > 0.5


def test_a_stolen_token_goes_on_in_the_same_session(log):
    """Where the log records tokens, the thief shows the victim's."""
    tokens = ("t-" + log["user"].fillna(log["client_ip"])).astype("str")
    found = inject(log.assign(session_token=tokens), ["account_takeover", "scraping_fast"], Campaign(mimicry=1))
    made_up = found.events[found.labels["kind"].notna().to_numpy()].assign(kind=found.labels["kind"].dropna())
    stolen = made_up[made_up["kind"] == "account_takeover"]
    assert (stolen["session_token"] == "t-" + stolen["user"]).all()
    assert not set(made_up["session_token"][made_up["kind"] == "scraping_fast"]) & set(tokens)


def test_agents_of_real_lists_can_be_given(log):
    """Browsers of a published list, to hide behind."""
    with gzip.open(shared_data("ua/fake_useragent_browsers.jsonl.gz"), "rt") as lines:
        agents = [json.loads(line)["useragent"] for line in lines][:500]
    found = inject(log, ["headless_browser"], Campaign(mimicry=1), agents=agents)
    assert _share(found, "user_agent", set(agents)) == 1


@pytest.mark.parametrize(
    ("campaign", "kinds", "parameter"),
    [
        ({"mimicry": 1.5}, None, "mimicry"),
        ({"share": 0}, None, "share"),
        ({"rate": 0}, None, "rate"),
        ({"addresses": 0}, None, "addresses"),
        ({}, ["world_domination"], "kinds"),
    ],
)
def test_knobs_out_of_range_are_errors(log, campaign, kinds, parameter):
    """That name the knob."""
    with pytest.raises(ConfigError) as error:
        inject(log, kinds, Campaign(**campaign))
    assert error.value.parameter == parameter


def test_no_event_in_the_window_is_an_error(log):
    """There would be nothing to tell attacks from."""
    with pytest.raises(InputError, match="window"):
        inject(log, ["carding"], since=log["timestamp"].max() + pd.Timedelta("1D"))


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@st.composite
def _logs(draw):
    """Little logs with any of their columns missing or empty."""
    n = draw(st.integers(2, 12))
    texts = {
        "user": st.sampled_from(["ann", "bob", None]),
        "method": st.sampled_from(["GET", "POST", None]),
        "referrer": st.sampled_from(["https://a.example/x", "-", None]),
        "user_agent": st.sampled_from([FIREFOX, "curl/8", None]),
        "language": st.sampled_from(["de", None]),
        "protocol": st.sampled_from(["HTTP/1.1", None]),
        "country": st.sampled_from(["DE", None]),
    }  # fmt: skip
    kept = draw(st.sets(st.sampled_from(sorted(texts))))
    columns = {
        name: pd.array(draw(st.lists(texts[name], min_size=n, max_size=n)), dtype="str") for name in sorted(kept)
    }
    paths = draw(st.lists(st.sampled_from(["/", "/a/1", "/login", "", "*", "/é", None]), min_size=n, max_size=n))
    addresses = draw(st.lists(st.sampled_from(["8.8.8.8", "2a00::1", "::1", "nonsense"]), min_size=n, max_size=n))
    seconds = sorted(draw(st.lists(st.integers(0, 200_000), min_size=n, max_size=n)))
    return pd.DataFrame(
        {"timestamp": pd.to_datetime(seconds, unit="s", utc=True).astype("datetime64[us, UTC]"), "client_ip": addresses,
         "path": pd.array(paths, dtype="str")} | columns
    )  # fmt: skip


@settings(max_examples=12)
@given(_logs(), st.floats(0, 1), st.integers(0, 5))
def test_any_log_can_be_attacked(log, mimicry, seed):
    """Whatever it lacks: its own events come through, the columns are its own, the sessions can be built."""
    try:
        found = inject(log, ["spamming", "stuffing_residential"], Campaign(mimicry=mimicry, seed=seed))
    except FraudlogError:
        pytest.fail("a log with time, address and path is enough")
    assert found.labels["row"].notna().sum() == len(log)
    assert set(found.events) <= set(column_names(EVENTS))
    assert len(fl.build_sessions(found.events)) > 0
