"""Whatever stops the job, a kill, a full disk or another job: the store is whole, and the next run puts all right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from job_support import Site, sample_lines, small_model

HERE = Path(__file__).parent
LINES = sample_lines(200)


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """The library that makes calls fail."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is absent")
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small detector."""
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def site(model, tmp_path):
    """A site whose store an undisturbed run made, and then took away; `half` is one that saw half of the log."""
    site = Site(tmp_path / "site", model)
    site.append(b"".join(LINES[:100]))
    site.run()
    shutil.copytree(site.store, site.folder / "half")
    site.append(b"".join(LINES[100:]))
    site.run()
    site.store.rename(tmp_path / "reference")
    return site


def broken(site, what: str, count: int, library: Path | str = "", seed: int = 1) -> dict[str, int]:
    """Run the breaker in a process of its own, in which nothing has started a thread yet."""
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": f"{HERE.parent / 'src'}{os.pathsep}{HERE}"}
    command = [
        sys.executable,
        HERE / "job_breaker.py",
        what,
        site.folder,
        site.folder.parent / "reference",
        count,
        seed,
    ]
    done = subprocess.run([str(part) for part in command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_killed_at_random_moments(site):
    """Every store that comes of it is that of the undisturbed run."""
    figures = broken(site, "kill", 6)
    assert figures["kills"] == 6
    assert figures["equal"] == figures["stores"] > 0


@pytest.mark.slow
def test_killed_a_thousand_times(site):
    """The same at length."""
    figures = broken(site, "kill", 1000, seed=2)
    assert figures["kills"] == 1000
    assert figures["equal"] == figures["stores"] > 0


def test_a_fault_at_some_calls(site, shim):
    """Full, broken and read-only disks and a lack of handles: an error with its exit code, and no harm."""
    figures = broken(site, "fault", 1, shim)
    assert figures["equal"] == sum(figures[name] for name in ("ENOSPC", "EIO", "EROFS", "EMFILE")) == 4


@pytest.mark.slow
def test_a_fault_at_every_call(site, shim):
    """The same for every call that opens, writes, syncs, renames or removes."""
    figures = broken(site, "fault", 0, shim)
    names = ("ENOSPC", "EIO", "EROFS", "EMFILE")
    assert all(figures[name] == figures[f"{name} calls"] > 20 for name in names)
    assert figures["equal"] == sum(figures[name] for name in names)


def test_eight_at_once(site):
    """One winner; the others leave with exit code 4."""
    assert broken(site, "at_once", 8) == {"fine": 1, "locked out": 7, "equal": True}
