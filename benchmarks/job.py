"""The job beside plain `score`: what the store, its exactness and its state cost, and how takes and parts show.

Run: ``python benchmarks/job.py [LINES]``. Prints a Markdown table. CPU is of the process and its threads.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

KEY = bytes(range(32)).hex()
SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "access.log.gz"
DATE = re.compile(rb"\[(\d\d/\w{3}/\d{4})")
SPAN = timedelta(days=4)


def run(*command: str, env: dict[str, str]) -> tuple[float, float, str]:
    """CPU seconds and peak GB of a command, and what it printed."""
    program = (
        "import json, resource, runpy, sys\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_module('fraudlog', run_name='__main__')\n"
        "finally:\n"
        "    used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "    sys.stderr.write('\\n' + json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6]) + '\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "fraudlog", *command], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    cpu, peak = json.loads(done.stderr.strip().splitlines()[-1])
    return cpu, peak, done.stdout


def write_log(path: Path, lines: int) -> None:
    """Write the real sample log again and again, four days later each time."""
    with gzip.open(SAMPLE) as packed:
        sample = packed.readlines()

    def later(turn: int, line: bytes) -> bytes:
        def moved(found: re.Match[bytes]) -> bytes:
            day = datetime.strptime(found[1].decode(), "%d/%b/%Y").replace(tzinfo=UTC) + turn * SPAN
            return b"[" + day.strftime("%d/%b/%Y").encode()

        return DATE.sub(moved, line, count=1)

    with path.open("wb") as out:
        for turn in range(-(-lines // len(sample))):
            out.writelines(later(turn, line) for line in sample[: lines - turn * len(sample)])


def config(folder: Path, log: Path, model: Path, **changes: object) -> str:
    """Write a configuration; returns its path."""
    from fraudlog.jobs import sample_config

    values = {
        "store.path": str(folder / "store"),
        "log.path": str(log),
        "log.format": "combined",
        "model.path": str(model),
    }
    folder.mkdir()
    (folder / "job.toml").write_text(sample_config(values | changes))
    return str(folder / "job.toml")


def main() -> None:
    """Print the table."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    folder = Path(tempfile.mkdtemp())
    log, model = folder / "access.log", folder / "model.fraudlog"
    environment = os.environ | {"FRAUDLOG_KEY": KEY}
    write_log(log, lines)
    run("fit", str(SAMPLE), "--model", str(model), env=environment)
    print(f"{lines:,} lines, {log.stat().st_size / 1e6:.0f} MB, {os.cpu_count()} cores\n")
    print("| what | CPU s | lines/s of CPU | against `score` | peak GB | store MB |\n|---|---|---|---|---|---|")
    cpu, peak, _ = run(
        "score", str(log), "--model", str(model), "--out", str(folder / "out"), "--json", env=environment
    )
    base = cpu
    print(f"| `fraudlog score` | {cpu:.1f} | {lines / cpu:,.0f} | 1 | {peak:.2f} | |")
    for name, changes in (
        ("`job run`, takes of 64 MB", {}),
        ("`job run`, takes of 8 MB", {"run.take_mb": 8}),
        ("`job run`, takes of 8 MB, parts of 1 h", {"run.take_mb": 8, "store.slice_hours": 1}),
    ):
        place = folder / name.replace("`", "").replace(" ", "-").replace(",", "")
        cpu, peak, said = run("job", "run", "--config", config(place, log, model, **changes), env=environment)
        if json.loads(said)["lines"] != lines:
            raise SystemExit(said)
        size = sum(file.stat().st_size for file in place.rglob("*.parquet")) / 1e6
        print(f"| {name} | {cpu:.1f} | {lines / cpu:,.0f} | {cpu / base:.2f} | {peak:.2f} | {size:.0f} |")
        if not changes:
            cpu, peak, _ = run("job", "run", "--config", str(place / "job.toml"), env=environment)
            print(f"| the same again, nothing new | {cpu:.1f} | | {cpu / base:.2f} | {peak:.2f} | |")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
