"""Requests of people over a job's store: after `erase` it is as if they had never come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.privacy import REQUESTS, Chain, Holds, Withheld, load_keyring
from fraudlog.store import open_store
from fraudlog.subjects import Desk
from job_support import Site, sample_lines, saved

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALICE = {"user": "alice7"}


def with_people(lines: list[bytes]) -> list[bytes]:
    """Make every seventh client an account of one of three names; its address stays."""
    made = []
    for line in lines:
        client = line.split(b" ", 1)[0]
        name = {0: b"alice7", 1: b"bob8", 2: b"carol9"}.get(sum(client) % 21)
        made.append(line.replace(b" - - [", b" - " + name + b" [", 1) if name else line)
    return made


LINES = with_people(sample_lines(1500))
WITHOUT = [b"\n" if b" alice7 [" in line else line for line in LINES]


@pytest.fixture(scope="module")
def model(sample_detector, tmp_path_factory):
    return saved(sample_detector, tmp_path_factory.mktemp("model"))


@pytest.fixture
def make_site(tmp_path, model):
    def make(name: str, lines: list[bytes], **values) -> Site:
        site = Site(tmp_path / name, model, **values)
        site.append(b"".join(lines))
        site.run()
        return site

    return make


def desk(site: Site, now: datetime = NOW) -> Desk:
    return Desk(site.config, load_keyring(site.key), now)


def differing(one: Site, other: Site) -> list[str]:
    left, right = one.tree(), other.tree()
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def test_after_erase_the_tree_is_as_if_they_had_never_come(make_site):
    """Byte for byte, ledger apart; the other run read the same file with their lines blank."""
    site, never = make_site("a", LINES), make_site("b", WITHOUT)
    n_theirs = sum(b" alice7 [" in line for line in LINES)
    assert n_theirs > 20
    assert differing(site, never)
    answer = desk(site).erase(ALICE, reference="2026-17")
    assert answer.events == n_theirs
    assert differing(site, never) == []
    assert open_store(site.store, purpose=REQUESTS).verify() == []
    entry = Chain(site.store / "ledger" / "audit.jsonl").entries()[-1]
    assert (entry["event"], entry["events"], entry["reference"]) == ("erase", n_theirs, "2026-17")
    assert desk(site).erase(ALICE).events == 0
    assert differing(site, never) == []
