"""A request that is killed at any moment: the store is the old or the new one, and the request again gives the new."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

import fraudlog as fl
from fraudlog.enriching import Shield
from fraudlog.jobs.forgetting import draft_of
from fraudlog.privacy import REQUESTS, Chain, Pseudonyms, load_keyring
from fraudlog.store import open_store
from fraudlog.subjects import Desk, purge
from job_breaker import finish, run_in_child
from job_support import KEY, Site, sample_lines

LINES = sample_lines(1600)[::4]
NOW = datetime(2015, 5, 19, tzinfo=UTC)
PERSON = {"client_ip": LINES[40].split(b" ", 1)[0].decode()}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A site that took in the log, whose model keeps the sessions it learnt from, the person's among them."""
    folder = tmp_path_factory.mktemp("filled")
    names = Pseudonyms(bytes.fromhex(KEY))
    log = fl.read_log(io.BytesIO(b"".join(sample_lines(1600))), privacy=Shield(names))
    sessions = fl.build_sessions(log.table, key=names.session_key)
    fl.Detector(n_estimators=10).fit(sessions).save(folder / "model.fraudlog", training=True)
    site = Site(folder / "site", folder / "model.fraudlog")
    site.append(b"".join(LINES))
    site.run()
    shutil.copytree(folder / "site", folder / "spare")
    shutil.copy(folder / "model.fraudlog", folder / "spare.fraudlog")
    return site


class Requests:
    """One site, and a request that is made of it again and again."""

    def __init__(self, site: Site, what: str) -> None:
        self.site, self.what = site, what
        self.folder = site.folder.parent
        self.model = self.folder / "model.fraudlog"
        self.ring = load_keyring(site.key)

    def restore(self) -> None:
        """Let all stand as it did before the request."""
        shutil.rmtree(self.site.store)
        shutil.copytree(self.folder / "spare" / "store", self.site.store)
        shutil.copy(self.folder / "spare.fraudlog", self.model)

    def ask(self) -> None:
        if self.what == "purge":
            purge(self.site.config, self.ring, NOW + timedelta(days=182))
        else:
            Desk(self.site.config, self.ring, NOW).erase(PERSON, minor=self.what == "erase minor")

    def stands(self) -> dict[str, bytes]:
        """Return all files but the ledger's, and the model."""
        return self.site.tree() | {"model": self.model.read_bytes()}

    def kill(self, count: int, seed: int) -> Counter[str]:
        """Kill the request at random moments."""
        chance = random.Random(seed)  # noqa: S311 -- moments, not keys
        self.restore()
        old = self.stands()
        began = time.monotonic()
        self.ask()
        new, longest = self.stands(), time.monotonic() - began
        assert old["manifest.json"] != new["manifest.json"]
        assert old["model"] != new["model"]
        outcomes: Counter[str] = Counter()
        while outcomes["killed"] < count:
            self.restore()
            child, said = run_in_child(self.ask)
            time.sleep(chance.random() * longest)
            os.kill(child, signal.SIGKILL)
            was_killed = finish(child, said) is None
            longest *= 1.05 if was_killed else 0.9
            outcomes["killed"] += was_killed
            outcomes[self.check_whole(old, new)] += 1
            self.ask()
            assert self.stands() == new
            assert not draft_of(self.model).exists()
            assert Chain(self.site.store / "ledger" / "audit.jsonl").verify().is_whole
        return outcomes

    def check_whole(self, old: dict[str, bytes], new: dict[str, bytes]) -> str:
        """Check that a reader sees the old store or the new one, and that nothing it names is missing."""
        problems = open_store(self.site.store, purpose=REQUESTS).verify()
        assert all(problem.endswith("not in the manifest") for problem in problems), problems
        manifest = (self.site.store / "manifest.json").read_bytes()
        assert manifest in (old["manifest.json"], new["manifest.json"])
        return "old" if manifest == old["manifest.json"] else "new"


@pytest.mark.parametrize("what", ["erase", "erase minor", "purge"])
def test_killed_at_random_moments(filled, what):
    """A few times; the slow test at length."""
    assert Requests(filled, what).kill(2, 1)["killed"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(("what", "count"), [("erase", 100), ("erase minor", 50), ("purge", 200)])
def test_killed_often(filled, what, count):
    """The same at length, from before the first byte is written to after the last."""
    outcomes = Requests(filled, what).kill(count, 2)
    assert outcomes["killed"] == count
    assert min(outcomes["old"], outcomes["new"]) > 0
