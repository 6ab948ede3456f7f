"""A service under load for an hour: memory, errors, and models swapped while it answers.

``python benchmarks/serving_soak.py [MINUTES [REQUESTS_A_SECOND [WARMING]]]``. First the tables are filled, as weeks of
traffic would fill them: WARMING requests, mostly of addresses never seen, as fast as they go, over some hours of their
own.
Then paced requests, another model every 20 seconds, a snapshot every two minutes. Each hundredth answer is held against
what the two models say of the same session; one that is neither's, or missing, is counted. Memory is that of the
process; its slope is fitted over the second half. The benchmark itself keeps nothing that grows.
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
from fraudlog.serving import LocalState

CHECKED = 100
WARMING, WITH_MODEL, WARM_PER_SECOND, WARM_NEW = 300_000, 0.1, 20.0, 0.6
SWAP_S, SNAPSHOT_S, SAMPLE_S = 20.0, 120.0, 10.0
BOUNDS = {"max_sessions": 5_000, "max_bytes": 12 << 20, "exact_values": 256}


class Times:
    """Percentiles of waits, in buckets of 5 us up to 0.1 s: as much memory after an hour as at first."""

    def __init__(self):
        self.counts = np.zeros(20_001, np.int64)

    def add(self, seconds):
        """Take a wait in."""
        self.counts[min(int(seconds * 200_000), 20_000)] += 1

    def percentile(self, share):
        """Return milliseconds."""
        return float(np.searchsorted(np.cumsum(self.counts), share * self.counts.sum())) / 200


def resident_mb() -> float:
    """Return the memory this process holds."""
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in status if "VmRSS" in line).split()[1]) / 1024


def service(models, snapshot, warming) -> tuple[fl.LiveSessions, int]:
    """Return a service whose tables are full, and the time of its last request."""
    live = fl.LiveSessions(None, fl.Policy(), state=LocalState(key=b"soak" * 8, **BOUNDS))
    began, event = time.perf_counter(), {}
    scored = warming - int(warming * WITH_MODEL)  # the last part is scored too, by the one and then the other
    for place, event in enumerate(requests(warming, per_second=WARM_PER_SECOND, new_share=WARM_NEW)):
        if place in {scored, (scored + warming) // 2}:
            live.swap(models[place == scored])
            live.snapshot(snapshot)
        live.observe(event)
    live.swap(models[0])
    print(f"warm after {time.perf_counter() - began:.0f} s, {resident_mb():.1f} MB", flush=True)
    return live, event["timestamp"]


def soak(minutes: float, per_second: float, warming: int) -> None:
    """Run, and print what happened every minute and at the end."""
    models = [fitted(20_000, seed=seed) for seed in (1, 2)]
    half, held = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        snapshot = Path(folder) / "live.fraudlog"
        live, last_us = service(models, snapshot, warming)
        run = Run(live, models, snapshot)
        source = requests(1 << 40, start_us=last_us, per_second=per_second)
        while (passed := time.perf_counter() - run.began) < minutes * 60:
            if (ahead := run.counts["answers"] / per_second - passed) > 0.002:
                time.sleep(ahead)
            run.answer(next(source))
            run.tick(time.perf_counter() - run.began)
            if not half and passed > minutes * 30:
                half = run.live.sizes()
        held = run.live.sizes()
    run.report()
    for name, size in held.items():
        if size.held > half[name].held and not (size.most and size.held > 0.9 * size.most):
            print(f"still filling: {name}, {half[name].held} halfway, {size.held} of {size.most} now")


class Run:
    """The paced part, its clock and its counts."""

    def __init__(self, live, models, snapshot):
        self.live, self.models, self.snapshot = live, models, snapshot
        self.counts = dict.fromkeys(("answers", "errors", "missing", "wrong", "checked", "swaps", "snapshots"), 0)
        self.times = Times()
        self.memory = []
        self.due = {"swap": SWAP_S, "snapshots": SNAPSHOT_S, "sample": 0.0, "line": 60.0}
        self.began = time.perf_counter()

    def answer(self, event):
        """Take one request in, timed and now and then checked."""
        at = time.perf_counter()
        try:
            decision = self.live.observe(event)
        except (FraudlogError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            self.counts["errors"] += 1
            print("error:", type(error).__name__)
            return
        self.times.add(time.perf_counter() - at)
        self.counts["answers"] += 1
        if decision.risk is None:
            self.counts["missing"] += 1
        elif self.counts["answers"] % CHECKED == 0:
            seen = self.live.state.peek(decision.session_id)
            self.counts["checked"] += 1
            risks = {model.score_one(seen.values, seen.entities).risk for model in self.models}
            self.counts["wrong"] += decision.risk not in risks

    def tick(self, passed):
        """Do what is due."""
        if self._is_due("swap", SWAP_S, passed):
            self.counts["swaps"] += 1
            self.live.swap(self.models[self.counts["swaps"] % 2])
        if self._is_due("snapshots", SNAPSHOT_S, passed):
            self.counts["snapshots"] += 1
            self.live.snapshot(self.snapshot)
        if self._is_due("sample", SAMPLE_S, passed):
            gc.collect()
            self.memory.append((passed / 3600, resident_mb()))
        if self._is_due("line", 60.0, passed):
            rate = self.counts["answers"] / passed
            megabytes = self.memory[-1][1]
            print(f"{passed / 60:.0f} min: {self.counts}, {rate:,.0f}/s, {megabytes:.1f} MB", flush=True)

    def _is_due(self, name, every, passed):
        is_due = passed >= self.due[name]
        self.due[name] += every if is_due else 0.0
        return is_due

    def report(self):
        """Print the end."""
        p50, p99, p999 = (self.times.percentile(share) for share in (0.5, 0.99, 0.999))
        hours, megabytes = (np.array(column) for column in zip(*self.memory[len(self.memory) // 2 :], strict=True))
        slope = np.polyfit(hours, megabytes, 1)[0]
        print(self.counts)
        print(f"observe: p50 {p50:.3f} ms, p99 {p99:.3f} ms, p99.9 {p999:.3f} ms")
        print(f"memory: {megabytes[0]:.1f} MB halfway, {megabytes[-1]:.1f} MB at the end, slope {slope:+.2f} MB/h")


if __name__ == "__main__":
    given = [float(text) for text in sys.argv[1:]]
    minutes, per_second, warming = [*given, *(60.0, 2_000.0, float(WARMING))[len(given) :]]
    soak(minutes, per_second, int(warming))
