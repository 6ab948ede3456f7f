<<<<<<< HEAD
"""Percentiles tell where a value stands among the rows fitted on."""

import numpy as np
import pytest

from fraudlog.detecting.population import Population


@pytest.fixture(scope="module")
def population():
    rows = np.random.default_rng(0).permutation(np.arange(10_000.0))[:, np.newaxis].repeat(3, axis=1)
    return Population.of(rows.astype(np.float32), ["both", "high", "low"])


def test_percentiles_are_those_of_the_rows(population):
    asked = np.float32([[0] * 3, [2_500] * 3, [5_000] * 3, [9_990] * 3, [99_999] * 3, [-5] * 3])
    expected = [0.0, 0.25, 0.5, 0.999, 1.0, 0.0]
    assert population.percentiles(asked)[:, 0] == pytest.approx(expected, abs=0.01)
    assert population.percentiles(asked)[3, 0] == pytest.approx(0.999, abs=0.0003)


def test_tails_look_at_the_suspicious_end(population):
    both, high, low = population.tails(np.float32([[9_990] * 3]))[0]
    assert high == pytest.approx(0.001, rel=0.2)
    assert both == pytest.approx(0.002, rel=0.2)
    assert low > 0.99


def test_a_value_beyond_all_is_as_rare_as_can_be_said(population):
    assert population.tails(np.float32([[1e9] * 3]))[0, 1] == 1 / 10_001


def test_missing_values_are_not_rare(population):
    missing = np.full((1, 3), np.nan, dtype=np.float32)
    assert population.tails(missing).tolist() == [[1.0, 1.0, 1.0]]
    assert np.isnan(population.percentiles(missing)).all()


def test_few_rows_and_many_are_looked_up_alike(population):
    asked = np.random.default_rng(1).normal(5_000, 6_000, size=(300, 3)).astype(np.float32)
    together = population.tails(asked)
    assert all((population.tails(asked[[n]])[0] == together[n]).all() for n in range(300))


def test_a_usual_value_among_many_equals_is_not_rare():
    rows = np.zeros((1000, 1), dtype=np.float32)
    rows[:5] = 1.0
    population = Population.of(rows, ["both"])
    usual, odd = population.tails(np.float32([[0.0], [1.0]]))[:, 0]
    assert usual == 1.0
    assert odd == pytest.approx(0.01, abs=0.005)


def test_a_feature_that_was_always_missing_has_a_place():
    population = Population.of(np.full((50, 1), np.nan, dtype=np.float32), ["both"])
    assert np.isfinite(population.tails(np.float32([[3.0]]))).all()
=======
"""Ages and surprises learnt from the site's own traffic."""

from __future__ import annotations

import copy
import math

import pyarrow as pa
import pytest

from fraudlog.enriching.population import SiteMix


def _events(rows):
    names = (
        "ip_prefix",
        "user_agent",
        "browser",
        "browser_version",
        "is_automation",
        "language_primary",
        "country",
        "user",
    )
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


def _people(count, version, language="en", country="US", user=None):
    return [
        {
            "ip_prefix": f"10.0.{number}.0/24",
            "user_agent": f"Chrome {version}",
            "browser": "Chrome",
            "browser_version": version,
            "is_automation": False,
            "language_primary": language,
            "country": country,
            "user": user,
        }
        for number in range(count)
    ]


def test_age_is_counted_from_the_newest_version_that_the_site_really_uses():
    """Age is counted from the newest version that the site really uses."""
    made_up = [{**row, "browser_version": "999"} for row in _people(2, "999")]
    mix = SiteMix().learn(_events(_people(70, "140") + _people(30, "139") + made_up))
    assert mix.browser_age("Chrome", "140") == 0
    assert mix.browser_age("Chrome", "120") == 20
    assert mix.browser_age("Chrome", "999") == -859
    assert mix.browser_newer_share("Chrome", "139") == pytest.approx(72 / 102)


def test_one_busy_client_counts_once():
    """One busy client counts once."""
    mix = SiteMix().learn(_events(_people(30, "140") + _people(1, "80") * 5_000))
    assert mix.browsers["Chrome"] == {140: 30, 80: 1}


def test_programs_do_not_count():
    """Programs do not count."""
    bots = [{**row, "is_automation": True} for row in _people(40, "80")]
    assert SiteMix().learn(_events(bots)).browsers == {}


def test_too_few_clients_say_nothing():
    """Too few clients say nothing."""
    mix = SiteMix().learn(_events(_people(19, "140")))
    assert mix.browser_age("Chrome", "140") is None
    assert mix.browser_newer_share("Firefox", "140") is None
    assert mix.country_surprise("US", "en") is None


def test_a_rare_language_for_a_country_or_account_surprises_more():
    """A rare language for a country or account surprises more."""
    mix = SiteMix().learn(_events(_people(60, "140", "en", "US") + _people(30, "139", "de", "DE", user="ann")))
    usual, unusual = mix.country_surprise("DE", "de"), mix.country_surprise("DE", "ko")
    assert usual < 0.1
    assert unusual > 5
    assert mix.country_surprise("DE", "en") < unusual  # common elsewhere on the site
    assert mix.user_surprise("ann", "de") < mix.user_surprise("ann", "en")
    assert mix.user_surprise("bob", "de") is None
    assert mix.country_surprise("DE", None) is None


def test_probabilities_of_the_languages_seen_stay_below_one():
    """Probabilities of the languages seen stay below one."""
    mix = SiteMix().learn(_events(_people(30, "140", "en") + _people(10, "139", "de")))
    total = sum(2 ** -mix.country_surprise("US", language) for language in ("en", "de"))
    assert total < 1 or math.isclose(total, 1)


def test_counts_of_two_periods_add_up_and_an_account_is_forgotten():
    """Counts of two periods add up and an account is forgotten."""
    first, second = _events(_people(30, "140", user="ann")), _events(_people(25, "139", "de", "DE", user="bob"))
    both = SiteMix().learn(first).learn(second)
    assert SiteMix().learn(first).merge(SiteMix().learn(second)) == both
    without = copy.deepcopy(both)
    without.forget_user("ann")
    assert "ann" not in without.users
    assert without.browsers == both.browsers
>>>>>>> d9e1f4f (Test enriching against uap-core, WebOb and real lists)
