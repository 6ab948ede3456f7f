"""Runs the job in children of one process that has all imported, and kills them or breaks their disk.

A program: ``python job_breaker.py kill|fault SITE REFERENCE COUNT SEED`` prints one JSON object of figures. SITE is a
folder with ``job.toml`` and a log; REFERENCE a store that an undisturbed run over it left.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

from fraudlog.errors import FraudlogError, LockError
from fraudlog.jobs import load_config, run_job, takes
from fraudlog.reading import follow
from fraudlog.store import open_store

PURPOSE = "essential.fraud_detection"
OPEN_READ, OPEN_WRITE, WRITE, SYNC, RENAME, MKDIR, UNLINK = (1 << n for n in range(7))
FAULTS = {
    # name: errno, kinds of call, whether all later ones fail too
    "ENOSPC": (errno.ENOSPC, OPEN_WRITE | WRITE | SYNC | RENAME | MKDIR, True),
    "EIO": (errno.EIO, OPEN_READ | OPEN_WRITE | WRITE | SYNC | RENAME | MKDIR | UNLINK, False),
    "EROFS": (errno.EROFS, OPEN_WRITE | RENAME | MKDIR | UNLINK, True),
    "EMFILE": (errno.EMFILE, OPEN_READ | OPEN_WRITE, False),
}


def digests(folder: Path) -> dict[str, str]:
    """Every file of a store but the ledger's."""
    return {
        str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and "ledger" not in file.relative_to(folder).parts
    }


class Breaker:
    """One site, and what may happen to it."""

    def __init__(self, site: Path, reference: Path, seed: int) -> None:
        self.site = site
        self.store = site / "store"
        self.expected = digests(reference)
        self.chance = random.Random(seed)  # noqa: S311 -- moments, not keys
        self.config = load_config(site / "job.toml")
        size = self.config["log.path"].stat().st_size
        follow._PIECE, takes._TAKE_UNIT = size // 8, size // 6  # many takes

    def child(self, arm=lambda: None) -> tuple[int, int]:
        """Start a run in a child; returns its process and a pipe that tells what came of it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            arm()
            said = "fine"
            try:
                run_job(self.config)
            except FraudlogError as error:
                said = f"{type(error).__name__} {error.exit_code}: {error}"
            except BaseException as error:  # noqa: BLE001 -- whatever it is, the parent must hear of it
                said = f"unexpected {error!r}"
            counted = SHIM.faults_counted() if SHIM is not None else 0
            os.write(writing, json.dumps([said, counted]).encode())
            os._exit(0)
        os.close(writing)
        return child, reading

    def finish(self, child: int, reading: int) -> list[object] | None:
        """Wait for a child; returns what it said, None if it was killed."""
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return json.loads(said) if said else None

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
        assert self.finish(*self.child())[0] == "fine"
        longest = time.monotonic() - began
        shutil.rmtree(self.store)
        while figures["kills"] < count or self.store.exists():
            began = time.monotonic()
            child, reading = self.child()
            if figures["kills"] < count:
                is_done = bool(select.select([reading], [], [], self.chance.random() * longest)[0])
                if is_done:  # how long a run takes hangs on what else the machine does
                    longest = (longest + time.monotonic() - began) / 2
                else:
                    os.kill(child, signal.SIGKILL)
            said = self.finish(child, reading)
            if said is None:
                figures["kills"] += 1
                self.check_whole()
                continue
            assert said[0] == "fine", said
            figures["stores"] += 1
            figures["equal"] += digests(self.store) == self.expected
            shutil.rmtree(self.store)
        return dict(figures)

    def fault(self, count: int) -> dict[str, object]:
        """Let every call in turn fail (or `count` of them, drawn), each way a disk can; then run again."""
        takes._TAKE_UNIT = 1 << 20  # one take: every call of a run counts once
        figures: Counter[str] = Counter()
        half = self.site / "half"
        for name, (code, kinds, sticky) in FAULTS.items():
            for start in ("half",) if count else ("new", "half"):
                self.start_from(half if start == "half" else None)
                said = self.finish(*self.child(lambda k=kinds: SHIM.faults_arm(str(self.store).encode(), -1, 0, k, 0)))
                assert said[0] == "fine", said
                calls = list(range(1, said[1] + 1))
                figures[f"{name} calls"] += len(calls)
                if count:
                    calls = sorted(self.chance.sample(calls, min(count, len(calls))))
                for nth in calls:
                    self.one_fault(half if start == "half" else None, nth, code, kinds, sticky, name, figures)
        return dict(figures)

    def start_from(self, store: Path | None) -> None:
        shutil.rmtree(self.store, ignore_errors=True)
        if store is not None:
            shutil.copytree(store, self.store)

    def one_fault(self, start, nth, code, kinds, sticky, name, figures) -> None:
        self.start_from(start)
        arm = lambda: SHIM.faults_arm(str(self.store).encode(), nth, code, kinds, sticky)  # noqa: E731 -- for the child
        said = self.finish(*self.child(arm))
        figures[name] += 1
        figures[f"{name}: {said[0].partition(':')[0]}"] += 1
        assert not said[0].startswith("unexpected"), (name, nth, said)
        self.check_whole()
        again = self.finish(*self.child())
        assert again[0] == "fine", (name, nth, again)
        assert digests(self.store) == self.expected, (name, nth)
        figures["equal"] += 1

    def at_once(self, count: int) -> dict[str, object]:
        """Start many at one moment; one does it, the others find the lock held."""
        figures: Counter[str] = Counter()
        children = [self.child() for _ in range(count)]
        for child in children:
            figures[self.finish(*child)[0].partition(":")[0]] += 1
        figures["equal"] = digests(self.store) == self.expected
        figures["locked out"] = figures.pop(f"LockError {LockError.exit_code}", 0)
        return dict(figures)


SHIM = ctypes.CDLL(os.environ["LD_PRELOAD"]) if os.environ.get("LD_PRELOAD", "").endswith("faults.so") else None
if SHIM is not None:
    SHIM.faults_counted.restype = ctypes.c_long
    SHIM.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]

if __name__ == "__main__":
    _, what, site_, reference_, count_, seed_ = sys.argv
    breaker = Breaker(Path(site_), Path(reference_), int(seed_))
    print(json.dumps(getattr(breaker, what)(int(count_))))  # noqa: T201 -- a program
