"""Where the time of reading a combined log goes, stage by stage: CPU per line on one thread.

python benchmarks/reading_stages.py access.log
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fraudlog.reading import all_formats
from fraudlog.reading.columns import events_table
from fraudlog.reading.fast import Assembly, FastTextReader
from fraudlog.reading.framing import frame
from fraudlog.reading.lines import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGES = ("read", "frame", "load", "kernel", "decode distinct strings", "assemble", "table")


def pieces(path: Path) -> Iterator[bytes]:
    """Yield the file in pieces of 4 MB."""
    with path.open("rb") as stream:
        while piece := stream.read(4 << 20):
            yield piece


def one_run(path: Path) -> tuple[dict[str, float], int]:
    """Read once and return the CPU seconds of each stage, and the number of lines."""
    spent = dict.fromkeys(STAGES, 0.0)
    clock = time.process_time
    start = clock()
    read = list(pieces(path))
    spent["read"] = clock() - start
    start = clock()
    blocks = list(frame("x", read))
    spent["frame"] = clock() - start
    reader, chunks = FastTextReader(all_formats()["combined"], Options()), []
    for block in blocks:
        reader.begin_block(block)
        size = block.n_bytes + (not block.is_ended)
        marks = [clock()]
        reader.load(block, size)
        marks.append(clock())
        found = reader.run(block.n_lines, size)
        marks.append(clock())
        reader.texts.decode(reader.program.slots, reader.interners)
        marks.append(clock())
        chunks.append(Assembly(reader, block, found, size).chunk())
        marks.append(clock())
        for stage, before, after in zip(STAGES[2:6], marks, marks[1:], strict=False):
            spent[stage] += after - before
    start = clock()
    events_table(chunks)
    spent["table"] = clock() - start
    return spent, sum(block.n_lines for block in blocks)


def main() -> None:
    """Print the table."""
    path = Path(sys.argv[1])
    one_run(path)
    runs = [one_run(path) for _ in range(5)]
    n_lines = runs[0][1]
    medians = {stage: statistics.median(run[stage] for run, _ in runs) / n_lines * 1e6 for stage in STAGES}
    total = sum(medians.values())
    print("| stage | CPU us a line | share |\n|---|---:|---:|")
    for stage, value in medians.items():
        print(f"| {stage} | {value:.3f} | {value / total:.0%} |")
    print(f"| all | {total:.3f} | |")


if __name__ == "__main__":
    main()
