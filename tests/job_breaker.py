"""Runs the job in children of one process that has run it already, and kills them or breaks their disk.

A program: ``python job_breaker.py kill|fault|at_once SITE REFERENCE COUNT SEED FAULTS PART`` prints figures as JSON.
SITE is a folder with ``job.toml``, a log and stores; REFERENCE a store that an undisturbed run over it left. FAULTS are
names with commas between, and PART, as 1/4, says which of their calls. A child is a fork: what a fresh interpreter
would spend a second or two on, it has from its parent.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from fraudlog.errors import FraudlogError, LockError
from fraudlog.jobs import load_config, run_job, takes
from fraudlog.reading import follow
from fraudlog.store import open_store
from fraudlog.store.manifest import Manifest

PURPOSE = "essential.fraud_detection"
OPEN_READ, OPEN_WRITE, WRITE, SYNC, RENAME, MKDIR, UNLINK, READ = (1 << n for n in range(8))
CHANGES = OPEN_WRITE | WRITE | SYNC | RENAME | MKDIR


class Fault(NamedTuple):
    """A way that a disk fails."""

    code: int
    kinds: int
    is_sticky: bool  # all later calls fail too
    exit_codes: set[int]  # that a run may leave with


FAULTS = {
    "ENOSPC": Fault(errno.ENOSPC, CHANGES, is_sticky=True, exit_codes={0, 6}),
    "EIO": Fault(errno.EIO, CHANGES | OPEN_READ | READ | UNLINK, is_sticky=False, exit_codes={0, 2, 3, 5, 6}),
    "EROFS": Fault(errno.EROFS, OPEN_WRITE | RENAME | MKDIR | UNLINK, is_sticky=True, exit_codes={0, 6}),
    "EMFILE": Fault(errno.EMFILE, OPEN_READ | OPEN_WRITE, is_sticky=False, exit_codes={0, 2, 3, 5, 6}),
}


class Said(NamedTuple):
    """What a run said at its end."""

    code: int
    message: str
    calls: int = 0
    place: str = ""  # kind and path of the call that failed


def digests(folder: Path) -> dict[str, str]:
    """Every file of a store but the ledger's."""
    return {
        str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and "ledger" not in file.relative_to(folder).parts
    }


def run_in_child(work, arm=lambda: None) -> tuple[int, int]:
    """Start some work in a fork; returns its process and a pipe that tells what came of it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(120)  # a child that hangs is killed, and that is seen
        arm()
        said = Said(0, "fine")
        try:
            work()
        except FraudlogError as error:
            said = Said(error.exit_code, f"{type(error).__name__}: {error}")
        except BaseException as error:  # noqa: BLE001 -- whatever it is, the parent must hear of it
            said = Said(1, f"unexpected {error!r}")
        if SHIM is not None:
            calls, place = SHIM.faults_counted(), SHIM.faults_failed_at().decode()
            SHIM.faults_arm(b"", 0, 0, 0, 0)
            said = said._replace(calls=calls, place=place)
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    return child, reading


def finish(child: int, reading: int) -> Said | None:
    """Wait for a child; returns what it said, None if it was killed."""
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    status = os.waitpid(child, 0)[1]
    assert not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM), "a child hung"
    return Said(*json.loads(said)) if said else None


def manifest_of(store: Path) -> bytes | None:
    """Return what says which files belong to a store; None if there is none."""
    file = store / "manifest.json"
    return file.read_bytes() if file.exists() else None


class Breaker:
    """One site, and what may happen to it."""

    def __init__(self, site: Path, reference: Path, seed: int, names: str = "", part: str = "1/1") -> None:
        self.names = names.split(",") if names else list(FAULTS)
        number, self.n_parts = map(int, part.split("/"))
        self.first = number - 1
        self.site = site
        self.store = site / "store"
        self.expected, self.finished = digests(reference), manifest_of(reference)
        self.chance = random.Random(seed)  # noqa: S311 -- moments, not keys
        self.config = load_config(site / "job.toml")
        self.unpublished = load_config(site / "unpublished.toml")
        log = self.config["log.path"].read_bytes()
        self.secrets = {line.split(b" ", 1)[0].decode() for line in log.splitlines()}
        self.secrets.add(self.config["privacy.key_file"].read_text().strip())
        follow._PIECE, takes._TAKE_UNIT = len(log) // 8, len(log) // 6  # many takes
        self.scratch = site.parent / "scratch"
        self.scratch.mkdir(exist_ok=True)
        tempfile.tempdir = str(self.scratch)
        self._warm()

    def _warm(self) -> None:
        """Run once in this very process, so that all children have what is made once."""
        self.start_from(None)
        self.run()
        self.check_published("an undisturbed run")
        assert digests(self.store) == self.expected
        self.start_from(None)
        gc.freeze()

    def run(self) -> None:
        run_job(self.config)

    def check_whole(self) -> None:
        """All that the manifest names must be there, unchanged."""
        if (self.store / "manifest.json").exists():
            problems = [
                p for p in open_store(self.store, purpose=PURPOSE).verify() if not p.endswith("not in the manifest")
            ]
            assert not problems, problems

    def kill(self, count: int) -> dict[str, object]:
        """Kill runs at random moments; whenever one comes through, compare the store and begin anew."""
        figures = Counter(kills=0, stores=0, equal=0)
        began = time.monotonic()
        assert finish(*run_in_child(self.run)).code == 0
        longest = time.monotonic() - began
        shutil.rmtree(self.store)
        while figures["kills"] < count or self.store.exists():
            began = time.monotonic()
            child, reading = run_in_child(self.run)
            if figures["kills"] < count:
                is_done = bool(select.select([reading], [], [], self.chance.random() * longest)[0])
                if is_done:  # how long a run takes hangs on what else the machine does
                    longest = (longest + time.monotonic() - began) / 2
                else:
                    os.kill(child, signal.SIGKILL)
            said = finish(child, reading)
            if said is None:
                figures["kills"] += 1
                self.check_whole()
                continue
            assert said.code == 0, said
            figures["stores"] += 1
            figures["equal"] += digests(self.store) == self.expected
            shutil.rmtree(self.store)
        return dict(figures)

    def fault(self, count: int) -> dict[str, object]:
        """Let every call in turn fail (or `count` of them, drawn), each way a disk can; then run again.

        Of a run that makes a store, of one that goes on with it, and of one that has only to publish.
        """
        takes._TAKE_UNIT = 1 << 20  # one take: every call of a run counts once
        figures: Counter[str] = Counter()
        published, half, taken = self.config, self.site / "half", self.site / "taken"
        starts = {None: self.unpublished, half: self.unpublished, taken: published}
        for name, fault in ((name, FAULTS[name]) for name in self.names):
            for start, self.config in {half: published}.items() if count else starts.items():
                self.start_from(start)
                said = finish(*run_in_child(self.run, lambda f=fault: self.arm(-1, f)))
                assert said.code == 0, said
                calls = list(range(1, said.calls + 1))[self.first :: self.n_parts]
                figures[f"{name} calls"] += len(calls)
                if count:
                    calls = sorted(self.chance.sample(calls, min(count, len(calls))))
                for nth in calls:
                    self.one_fault(start, nth, name, figures)
        return dict(figures)

    def arm(self, nth: int, fault: Fault) -> None:
        """Let a call below the site's folder, its key, model and temporary files among them, fail in this process."""
        SHIM.faults_arm(str(self.site.parent).encode(), nth, fault.code, fault.kinds, fault.is_sticky)

    def start_from(self, store: Path | None) -> None:
        """Let a store stand as it did at the start: none, or one that saw half of the log."""
        for made in (self.store, self.site / "public"):
            shutil.rmtree(made, ignore_errors=True)
        if store is not None:
            shutil.copytree(store, self.store)

    def one_fault(self, start: Path | None, nth: int, name: str, figures: Counter[str]) -> None:
        """Let one call fail; the store is as it was, or as it is to be, and after another run it is as it is to be."""
        self.start_from(start)
        said = finish(*run_in_child(self.run, lambda: self.arm(nth, FAULTS[name])))
        figures[name] += 1
        figures[f"{name}: exit code {said.code}"] += 1
        where = (name, nth, said)
        assert said.code in FAULTS[name].exit_codes, where
        assert not any(secret in said.message for secret in self.secrets), where
        self.check_whole()
        stands = manifest_of(self.store)
        is_new = stands == self.finished
        assert is_new or stands in (None, manifest_of(start) if start else Manifest().dump()), where
        figures[f"{name}: {'new' if is_new else 'old'} state"] += 1
        again = finish(*run_in_child(self.run))
        assert again.code == 0, (where, again)
        assert digests(self.store) == self.expected, where
        assert not [*self.scratch.iterdir()], where
        if self.config is not self.unpublished:
            self.check_published(where)
        figures["equal"] += 1

    def check_published(self, where: object) -> None:
        """What people look at is that of the store, with no draft beside it."""
        names = {file.name for file in (self.site / "public").iterdir()}
        assert names == {"report.html", "summary.json", "geo.conf", "metrics.prom"}, (where, names)
        summary = json.loads((self.site / "public" / "summary.json").read_bytes())
        assert summary["manifest"] == self.expected["manifest.json"], where

    def at_once(self, count: int) -> dict[str, object]:
        """Start many at one moment; one does it, the others find the lock held."""
        figures: Counter[str] = Counter()
        children = [run_in_child(self.run) for _ in range(count)]
        for child in children:
            figures[f"exit code {finish(*child).code}"] += 1
        figures["equal"] = digests(self.store) == self.expected
        return {
            "fine": figures["exit code 0"],
            "locked out": figures[f"exit code {LockError.exit_code}"],
            "equal": figures["equal"],
        }


SHIM = ctypes.CDLL(os.environ["LD_PRELOAD"]) if os.environ.get("LD_PRELOAD", "").endswith("faults.so") else None
if SHIM is not None:
    SHIM.faults_counted.restype = ctypes.c_long
    SHIM.faults_failed_at.restype = ctypes.c_char_p
    SHIM.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]

if __name__ == "__main__":
    _, what, site_, reference_, count_, seed_, names_, part_ = sys.argv
    breaker = Breaker(Path(site_), Path(reference_), int(seed_), names_, part_)
    print(json.dumps(getattr(breaker, what)(int(count_))))  # noqa: T201 -- a program
