"""Peak memory of the feature engine: 1x, 3x, 10x of a log, and as many addresses as events.

``python benchmarks/session_memory.py`` runs each case in a process of its own; the log is made chunk by chunk as it is
read, so that the peak is the engine's. ``python benchmarks/session_memory.py EVENTS ADDRESSES`` runs one case.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

CASES = {
    "1x: 2 M events": (2_000_000, 100_000),
    "3x: 6 M events": (6_000_000, 300_000),
    "10x: 20 M events": (20_000_000, 1_000_000),
    "10 M events, 10 k addresses": (10_000_000, 10_000),
    "10 M events, 10 M addresses": (10_000_000, 10_000_000),
    "50 M events": (50_000_000, 2_500_000),
}


def one_case(n_events: int, n_addresses: int) -> None:
    """Run the engine over a log that is made as it goes, and print what it took beyond the making."""
    from make_log import chunks
    from sessions import FEATURES

    from fraudlog.sessions import DEFAULT, Settings, State, finish, step

    settings = Settings(DEFAULT.only(FEATURES), lateness_us=0, shards=2)
    state, n_sessions, cpu = State(), 0, 0.0
    for table in chunks(n_events, n_addresses):
        began = time.process_time()
        state, sessions, _ = step(state, table, settings)
        n_sessions += len(sessions)
        cpu += time.process_time() - began
    n_sessions += len(finish(state, settings))
    peak = next(line for line in Path("/proc/self/status").read_text("ascii").splitlines() if "VmHWM" in line)
    carried = len(state.opened) if state.opened is not None else 0
    row = {"sessions": n_sessions, "carried": carried, "cpu_s": round(cpu, 1)}
    print(json.dumps(row | {"peak_gb": round(int(peak.split()[1]) / 2**20, 2)}))


def main() -> None:
    """Run all cases, or the one asked for."""
    if len(sys.argv) == 3:
        one_case(int(sys.argv[1]), int(sys.argv[2]))
        return
    for name, (n_events, n_addresses) in CASES.items():
        code = [sys.executable, __file__, str(n_events), str(n_addresses)]
        done = subprocess.run(code, check=True, capture_output=True, text=True)
        print(json.dumps({"case": name} | json.loads(done.stdout)), flush=True)


if __name__ == "__main__":
    main()
