"""Crawler claims: a table of cases, the resolver's limits, and that nobody is asked unless given."""

from __future__ import annotations

import json
import socket
import threading
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from fraudlog.enriching.agents import read_agent
from fraudlog.enriching.crawlers import CRAWLER_STATES, CrawlerVerifier, claimed_crawler
from fraudlog.enriching.resolving import NameCheck, SystemResolver
from fraudlog.errors import ConfigError

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "corpus" / "crawlers" / "cases.jsonl").read_text().splitlines()
]
YANDEX = "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)"


class Names:
    """A resolver over two dictionaries; the word timeout stands for silence."""

    def __init__(self, reverse, forward):
        self.tables = {"reverse": reverse, "forward": forward}
        self.asked = 0

    def _look(self, table, key):
        self.asked += 1
        found = self.tables[table].get(key)
        if found is None:
            raise LookupError(key)
        if found == "timeout":
            raise TimeoutError(key)
        return found

    def reverse(self, address):
        return self._look("reverse", address)

    def forward(self, name):
        return self._look("forward", name)


def _day(text):
    return np.array([np.nan if text is None else (date.fromisoformat(text) - date(1970, 1, 1)).days], float)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['state']}: {case['why']}")
def test_the_state_of_each_case(case):
    """The state of each case."""
    resolver = Names(**case["names"]) if "names" in case else None
    verifier = CrawlerVerifier(resolver)
    category = read_agent(case["agent"]).bot_category
    assert verifier.states([case["agent"]], [case["address"]], [category], _day(case.get("day"))) == [case["state"]]


def test_the_table_has_sixty_cases_and_every_state():
    """The table has sixty cases and every state."""
    assert len(CASES) >= 60
    assert {case["state"] for case in CASES} - {None} == set(CRAWLER_STATES)


def test_no_name_is_looked_up_without_a_resolver(monkeypatch):
    """No name is looked up without a resolver."""

    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("gethostbyaddr", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    assert CrawlerVerifier().states([YANDEX], ["5.255.253.1"], ["crawler"]) == ["unverifiable"]


def test_answers_are_remembered_and_silence_is_asked_again():
    """Answers are remembered and silence is asked again."""
    resolver = Names({"1.1.1.1": ["a.yandex.ru"], "1.1.1.2": "timeout"}, {"a.yandex.ru": ["1.1.1.1"]})
    verifier = CrawlerVerifier(resolver)
    for _ in range(2):
        states = verifier.states([YANDEX] * 2, ["1.1.1.1", "1.1.1.2"], ["crawler"] * 2)
        assert states == ["verified", "unverifiable"]
    assert resolver.asked == 2 + 1 + 1


def test_a_slow_resolver_costs_the_time_limit_and_no_more():
    """A slow resolver costs the time limit and no more."""
    release = threading.Event()

    class Slow:
        def reverse(self, _):
            release.wait(20)
            raise TimeoutError

        forward = reverse

    verifier = CrawlerVerifier(Slow(), time_limit_s=0.2)
    started = time.monotonic()
    addresses = [f"8.8.4.{number}" for number in range(50)]
    assert set(verifier.states([YANDEX] * 50, addresses, ["crawler"] * 50)) == {"unverifiable"}
    assert time.monotonic() - started < 2
    release.set()


def test_the_memory_of_names_is_bounded():
    """The memory of names is bounded."""
    resolver = Names({}, {})
    check = NameCheck(resolver, time_limit_s=5, limit=10)
    check.confirm([(f"8.8.4.{number}", ("yandex.ru",)) for number in range(40)])
    assert len(check._known) == 10


def test_a_time_limit_of_nothing_is_refused():
    """A time limit of nothing is refused."""
    with pytest.raises(ConfigError, match="above 0"):
        CrawlerVerifier(Names({}, {}), time_limit_s=0)


def test_the_systems_resolver_speaks_the_protocol(monkeypatch):
    """The systems resolver speaks the protocol."""

    def no_name(_):
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "gethostbyaddr", lambda _: ("a.example", ["b.example"], ["1.1.1.1"]))
    assert SystemResolver().reverse("1.1.1.1") == ["a.example", "b.example"]
    monkeypatch.setattr(socket, "gethostbyaddr", no_name)
    with pytest.raises(LookupError):
        SystemResolver().reverse("1.1.1.1")
    assert "127.0.0.1" in SystemResolver().forward("localhost") + SystemResolver().forward("127.0.0.1")


def test_claims_go_to_the_operator_that_is_named():
    """Claims go to the operator that is named."""
    assert claimed_crawler("AdsBot-Google (+http://www.google.com/adsbot.html)") == "google_other"
    assert claimed_crawler("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0") is None
