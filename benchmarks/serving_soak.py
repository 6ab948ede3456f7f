"""A service under load for an hour: memory, errors, and models swapped while it answers.

``python benchmarks/serving_soak.py [MINUTES [REQUESTS_A_SECOND]]``: paced requests, another model every 20 seconds, a
snapshot every two minutes. Each hundredth answer is held against what the two models say of the same session; an
answer that is neither's, or missing, is counted. Memory is that of the process; its slope is fitted over the second
half, after the tables of seen values have filled.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from serving_load import fitted, requests

import fraudlog as fl
from fraudlog.errors import FraudlogError

CHECKED = 100
SWAP_S, SNAPSHOT_S, SAMPLE_S = 20.0, 120.0, 10.0


def resident_mb() -> float:
    """Return the memory this process holds."""
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in status if "VmRSS" in line).split()[1]) / 1024


def soak(minutes: float, per_second: float) -> None:  # noqa: C901 -- one loop, in the order of its clock
    """Run, and print what happened every minute and at the end."""
    models = [fitted(20_000, seed=seed) for seed in (1, 2)]
    live = fl.LiveSessions(models[0], fl.Policy(), key=b"soak" * 8, max_sessions=5_000)
    folder = tempfile.TemporaryDirectory()
    began = time.perf_counter()
    due = {"swap": SWAP_S, "snapshot": SNAPSHOT_S, "sample": 0.0, "line": 60.0}
    counts = {"answers": 0, "errors": 0, "wrong": 0, "missing": 0, "checked": 0, "swaps": 0, "snapshots": 0}
    took: list[float] = []
    memory: list[tuple[float, float]] = []
    source = requests(1 << 40, per_second=per_second)
    while (passed := time.perf_counter() - began) < minutes * 60:
        event = next(source)
        wait = counts["answers"] / per_second - passed
        if wait > 0.002:
            time.sleep(wait)
        at = time.perf_counter()
        try:
            decision = live.observe(event)
        except (FraudlogError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            counts["errors"] += 1
            print("error:", type(error).__name__)
            continue
        if len(took) < 2_000_000:
            took.append(time.perf_counter() - at)
        counts["answers"] += 1
        if decision.risk is None:
            counts["missing"] += 1
        elif counts["answers"] % CHECKED == 0:
            check(live, models, decision, counts)
        passed = time.perf_counter() - began
        if passed >= due["swap"]:
            due["swap"] += SWAP_S
            counts["swaps"] += 1
            live.swap(models[counts["swaps"] % 2])
        if passed >= due["snapshot"]:
            due["snapshot"] += SNAPSHOT_S
            counts["snapshots"] += 1
            live.snapshot(Path(folder.name) / "live.fraudlog")
        if passed >= due["sample"]:
            due["sample"] += SAMPLE_S
            gc.collect()
            memory.append((passed / 3600, resident_mb()))
        if passed >= due["line"]:
            due["line"] += 60.0
            print(f"{passed / 60:.0f} min: {counts}, {memory[-1][1]:.1f} MB, {len(live.state)} sessions", flush=True)
    report(counts, took, memory)


def check(live, models, decision, counts) -> None:
    """Hold an answer against what either model says of the same session."""
    seen = live.state.peek(decision.session_id)
    counts["checked"] += 1
    risks = {model.score_one(seen.values, seen.entities).risk for model in models}
    counts["wrong"] += decision.risk not in risks


def report(counts, took, memory) -> None:
    """Print the end."""
    p50, p99, p999 = np.percentile(np.array(took) * 1000, [50, 99, 99.9])
    hours, megabytes = (np.array(column) for column in zip(*memory[len(memory) // 2 :], strict=True))
    slope = np.polyfit(hours, megabytes, 1)[0]
    print(counts)
    print(f"observe: p50 {p50:.3f} ms, p99 {p99:.3f} ms, p99.9 {p999:.3f} ms")
    print(f"memory: {megabytes[0]:.1f} MB halfway, {megabytes[-1]:.1f} MB at the end, slope {slope:+.2f} MB/h")


if __name__ == "__main__":
    soak(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0, float(sys.argv[2]) if len(sys.argv) > 2 else 2_000.0)
