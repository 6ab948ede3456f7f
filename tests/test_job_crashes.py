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
LINES = sample_lines(480)[::8]  # six hours, so that sessions end
NAMES = ("ENOSPC", "EIO", "EROFS", "EMFILE")


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
    """A site whose store an undisturbed run made, and then took away.

    `half` is one that saw half of the log, `taken` one that saw it all and has still to be published.
    """
    site = Site(tmp_path / "site", model)
    (site.folder / "unpublished.toml").write_text(site.file.read_text())
    public = site.folder / "public"
    site.write_config(
        site.settings
        | {"publish.folder": str(public), "publish.exports": {"nginx-geo": "geo.conf"}}
        | {"metrics.file": str(public / "metrics.prom")}
    )
    site.append(b"".join(LINES[:30]))
    site.run()
    shutil.copytree(site.store, site.folder / "half")
    site.append(b"".join(LINES[30:]))
    site.run()
    site.store.rename(tmp_path / "reference")
    shutil.copytree(tmp_path / "reference", site.folder / "taken")
    (site.folder / "taken" / "ledger" / "published").unlink()
    return site


def broken(
    site,
    what: str,
    count: int,
    library: Path | str = "",
    *,
    seed: int = 1,
    names: str = ",".join(NAMES),
    part: str = "1/1",
) -> dict[str, int]:
    """Run the breaker in a process of its own."""
    environment = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": f"{HERE.parent / 'src'}{os.pathsep}{HERE}"}
    command = [
        sys.executable,
        HERE / "job_breaker.py",
        what,
        site.folder,
        site.folder.parent / "reference",
        count,
        seed,
        names,
        part,
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
@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_killed_a_thousand_times(site, seed):
    """The same at length: 250 kills each time."""
    figures = broken(site, "kill", 250, seed=seed)
    assert figures["kills"] == 250
    assert figures["equal"] == figures["stores"] > 0


def test_a_fault_at_some_calls(site, shim):
    """Full, broken and read-only disks and a lack of handles: an error with its exit code, and no harm."""
    figures = broken(site, "fault", 1, shim)
    assert figures["equal"] == sum(figures[name] for name in NAMES) == 4


@pytest.mark.slow
@pytest.mark.parametrize("part", ["1/2", "2/2"])
@pytest.mark.parametrize("name", NAMES)
def test_a_fault_at_every_call(site, shim, name, part):
    """The same for every call that opens, reads, writes, syncs, renames or removes a file."""
    figures = broken(site, "fault", 0, shim, names=name, part=part)
    assert figures["equal"] == figures[name] == figures[f"{name} calls"] > 50


def test_eight_at_once(site):
    """One winner; the others leave with exit code 4."""
    assert broken(site, "at_once", 8) == {"fine": 1, "locked out": 7, "equal": True}
