"""Habits: a client that always did so is not blamed for it, a stranger is, and nothing grave is ever one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fraudlog as fl
from conftest import make_events
from fraudlog.detecting.evidence import EVIDENCE, fired
from fraudlog.detecting.facts import Facts
from fraudlog.detecting.habits import Habits
from fraudlog.detecting.voices import PLACES, Parameters, Row
from fraudlog.errors import ModelError

DAY_S = 86_400
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
MONITOR = {"client_ip": "203.0.113.9", "user_agent": "Check/1.0", "method": "HEAD", "path": "/"}


def checks(days, **other):
    """Ten checks a day, headers only, of one page."""
    return [MONITOR | {"at": day * DAY_S + n * 900} | other for day in range(days) for n in range(10)]


def sessions_of(*rows):
    return fl.build_sessions(make_events(*rows))


def fitted(sessions, doubted=None):
    voice = Facts(Parameters(key=bytes(16)))
    voice.doubted = doubted
    return voice.fit(sessions, np.zeros(len(sessions), bool))


def test_what_a_client_does_on_three_days_is_its_habit():
    """On two it is not, and the same from elsewhere or under another name stays evidence."""
    known, later = sessions_of(*checks(3)), sessions_of(*checks(1))
    assert fitted(known).judge(later).strength.max() == 0.0
    assert fitted(sessions_of(*checks(2))).judge(later).strength.max() > 0.2
    for other in ({"client_ip": "198.51.100.9"}, {"user_agent": "Check/2.0"}):
        assert fitted(known).judge(sessions_of(*checks(1, **other))).strength.max() > 0.2


def test_only_how_a_client_works_can_be_a_habit():
    """A known client that starts to look for weak spots is spoken against, and one that always did has no habits."""
    probes = [MONITOR | {"path": "/.env", "status": 404, "at": 20_000 + n} for n in range(3)]
    known = sessions_of(*checks(3))
    turned = fitted(known).judge(sessions_of(*checks(1), *probes))
    assert turned.strength.max() > 0.5
    always = sessions_of(*checks(3), *probes)
    assert fitted(always).judge(sessions_of(*checks(1))).strength.max() > 0.2
    codes = {row.code for row in EVIDENCE if row.may_be_habit}
    assert not codes & {"PROBE_PATHS", "LOGIN_FAILURES", "CARD_SERIES", "NUMBERS_COUNTED", "CATALOGUE_WALK"}


def copying(days, pages):
    """A copier's nights: so many pages by a timer, nothing beside them."""
    return [
        {
            "path": f"/shoes/{chr(97 + n)}" if n < 26 else f"/boots/{chr(71 + n)}",
            "at": day * DAY_S + n * 30,
            "user_agent": FIREFOX,
        }
        for day in range(days)
        for n in range(pages)
    ]


def test_taking_a_catalogue_every_night_is_no_habit():
    """However often it was done; who reads a few pages as regularly is left alone."""
    copier, reader = sessions_of(*copying(4, 30)), sessions_of(*copying(4, 9))
    assert fitted(copier).judge(sessions_of(*copying(1, 30))).strength.min() > 0.5
    assert fitted(copier).judge(sessions_of(*copying(1, 9))).strength.min() > 0.3
    assert fitted(reader).judge(sessions_of(*copying(1, 9))).strength.max() == 0.0
    assert fitted(reader).judge(sessions_of(*copying(1, 30))).strength.min() > 0.5
    row = sessions_of(*copying(1, 30)).iloc[0].to_dict()
    values = np.array([row.get(name, np.nan) for name in PLACES], dtype=np.float64)
    assert (
        fitted(reader).judge_one(Row(values, {name: row[name] for name in ("ip_prefix", "user_agent")})).strength > 0.5
    )


def test_what_was_flagged_is_no_habit():
    """Whom a person called abusive is not forgiven for doing it every day."""
    known = sessions_of(*checks(3))
    doubted = np.zeros(len(known), bool)
    doubted[0] = True
    assert fitted(known, doubted).judge(sessions_of(*checks(1))).strength.max() > 0.2


def test_one_session_is_forgiven_as_in_its_frame():
    """Row by row, saved or not: the same bits; without knowing whose it is, nothing is forgiven."""
    known = sessions_of(*checks(3), *checks(1, client_ip="198.51.100.9"))
    voice = fitted(known)
    again = Facts.from_arrays(voice.to_arrays(), voice.parameters)
    whole = voice.judge(known).strength
    assert 0 < (whole > 0).sum() < len(known)
    for place, row in enumerate(known.to_dict("records")):
        values = np.array([row.get(name, np.nan) for name in PLACES], dtype=np.float64)
        entities = {name: None if pd.isna(row[name]) else row[name] for name in ("ip_prefix", "user_agent")}
        assert voice.judge_one(Row(values, entities)).strength == whole[place]
        assert again.judge_one(Row(values, entities)).strength == whole[place]
        assert voice.judge_one(Row(values, {})).strength > 0.2


def test_a_client_without_a_prefix_has_none():
    """Nobody is known by a null."""
    known = sessions_of(*checks(3)).assign(ip_prefix=None)
    habits = Habits(bytes(16)).fit(known, fired(known), np.zeros(len(known), bool))
    assert not len(habits.tokens)


def test_damaged_habits_are_refused():
    """Arrays may come from anywhere."""
    for wrong in (np.array([2, 1], np.uint64), np.array([1.0]), np.zeros((1, 1), np.uint64)):
        with pytest.raises(ModelError, match="habits"):
            Habits.from_arrays({"habits": wrong}, bytes(16))
    with pytest.raises(ModelError, match="habits"):
        Habits.from_arrays({}, bytes(16))
