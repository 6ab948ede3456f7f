"""Memory of reading without end: a log, repeated through a pipe, in batches.

``python benchmarks/reading_stream.py access.log 10``: peak memory of `iter_log` over ten times the log, above what the
import takes. In every repetition each address is another one, so that the distinct values grow with the log.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_ADDRESS = re.compile(rb"^\d+\.", re.MULTILINE)


def held_mb(name: str) -> float:
    """Return a figure of this process's memory: VmRSS, VmHWM."""
    status = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in status if line.startswith(name)).split()[1]) / 1024


def feed(path: Path, times: int, out: BinaryIO) -> None:
    """Write the log so often, the first number of each address another each time."""
    for turn in range(times):
        with path.open("rb") as stream:
            while piece := stream.read(4 << 20):
                piece += stream.readline()
                out.write(_ADDRESS.sub(b"%d." % (turn + 11), piece))


def main() -> None:
    """Read from a child that writes, and print the peak."""
    path, times = Path(sys.argv[1]), int(sys.argv[2])
    if len(sys.argv) > 3:
        feed(path, times, sys.stdout.buffer)
        return
    from fraudlog.reading import fast, fast_json, iter_log

    imported = held_mb("VmRSS")
    child = subprocess.Popen([sys.executable, __file__, *sys.argv[1:3], "feed"], stdout=subprocess.PIPE)
    began, lines, batches = time.process_time(), 0, 0
    for log in iter_log(child.stdout, "combined"):
        lines += log.summary.lines
        batches += 1
    child.wait()
    peak = held_mb("VmHWM")
    used = (time.process_time() - began) / lines * 1e6
    print(f"{lines:,} lines in {batches} batches, {used:.2f} us of CPU a line")
    print(
        f"peak {peak:.0f} MB, {peak - imported:.0f} above the import ({fast.__name__}, {fast_json.__name__} among it)"
    )


if __name__ == "__main__":
    main()
