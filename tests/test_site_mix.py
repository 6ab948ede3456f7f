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
