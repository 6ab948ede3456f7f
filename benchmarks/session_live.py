"""The live twin, compiled and written: time an event with all features, and memory of many open sessions.

``python benchmarks/session_live.py [SESSIONS]``: first a mixed log of long and short sessions, timed event by event
(after a warm-up); then SESSIONS open sessions of two events each, each of an address of its own.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

import numpy as np

from fraudlog.sessions import DEFAULT, LiveFeatures

WARM_UP, TIMED = 50_000, 100_000
AGENTS = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{i}.0) Gecko/20100101 Firefox/{i}.0" for i in range(300)]
PATHS = [f"/section{i % 40}/part{i % 700}/item-{i}.html" for i in range(5_000)]
ENDPOINTS = ("page", "asset", "asset", "asset", "api", "login", "search", "checkout")


def event(time_us: int, client: int, chance: np.random.Generator, users: int) -> dict[str, object]:
    """Make one request of a client."""
    draw = chance.integers(0, 1 << 30, 4).tolist()
    address = f"10.{client >> 16 & 255}.{client >> 8 & 255}.{client & 255}"
    return {
        "timestamp": time_us,
        "client_ip": address,
        "ip_prefix": address.rsplit(".", 1)[0] + ".0/24" if client < 1 << 24 else address,
        "user": f"user{client % users}" if users and client % 5 == 0 else None,
        "method": "GET" if draw[0] % 7 else "POST",
        "path": PATHS[draw[1] % len(PATHS)],
        "status": (200, 200, 200, 304, 404, 401)[draw[2] % 6],
        "bytes_sent": draw[3] % 60_000,
        "referrer": None if draw[0] % 3 else "https://example.org/",
        "user_agent": AGENTS[client % 300],
        "language": "en-US,en;q=0.9",
        "language_primary": "en",
        "os": "Linux",
        "browser": "Firefox",
        "device_class": "desktop",
        "country": ("FR", "DE", "JP", None)[client % 4],
        "is_automation": False,
        "endpoint": ENDPOINTS[draw[1] % 8],
    }


def timed(*, is_compiled: bool) -> None:
    """Print percentiles of the time an event takes, update and all features: by the clock, and of the CPU alone."""
    chance = np.random.default_rng(3)
    clients = chance.zipf(1.3, WARM_UP + TIMED) % 20_000
    moments = np.cumsum(chance.exponential(20_000, len(clients))).astype(np.int64) + 1_750_000_000_000_000
    events = [event(t, c, chance, 2_000) for t, c in zip(moments.tolist(), clients.tolist(), strict=True)]
    live = LiveFeatures(is_compiled=is_compiled)
    for one in events[:WARM_UP]:
        live.observe(one)
    gc.freeze()
    wall, cpu = np.empty(TIMED), np.empty(TIMED)
    for i, one in enumerate(events[WARM_UP:]):
        used, began = time.thread_time_ns(), time.perf_counter_ns()
        live.observe(one)
        wall[i] = time.perf_counter_ns() - began
        cpu[i] = time.thread_time_ns() - used
    began_s = time.thread_time()
    for _ in range(5_000_000):
        pass
    pace_ms = (time.thread_time() - began_s) / 5 * 1000
    form = "compiled" if is_compiled else "written"
    for name, times in (("wall", wall), ("CPU", cpu)):
        p50, p90, p99, p999 = np.percentile(times / 1000, [50, 90, 99, 99.9])
        found = f"p50 {p50:.1f} us, p90 {p90:.1f}, p99 {p99:.1f}, p99.9 {p999:.0f}"
        print(f"{form}, {len(DEFAULT.features)} features, {name}: {found}")
    print(f"(on this machine, at this moment, a million turns of an empty loop take {pace_ms:.0f} ms of CPU)")


def resident_gb() -> float:
    """Return the memory this process holds."""
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in status if "VmRSS" in line).split()[1]) / 2**20


def crowded(n_sessions: int) -> None:
    """Print the memory of so many open sessions."""
    chance = np.random.default_rng(4)
    live = LiveFeatures(max_sessions=n_sessions, on_end=lambda _: None)
    before = resident_gb()
    start = 1_750_000_000_000_000
    for i in range(2 * n_sessions):
        live.observe(event(start + 100 * i, i % n_sessions, chance, 0))
    held = resident_gb() - before
    print(f"{len(live):,} open sessions of 2 events: {held:.2f} GB, {held * 2**30 / len(live):,.0f} bytes a session")


if __name__ == "__main__":
    for compiled in (True, False):
        timed(is_compiled=compiled)
    crowded(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
