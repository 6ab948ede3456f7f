"""Every format: CPU a line of the compiled path beside the careful one, over its corpus lines repeated.

python benchmarks/reading_formats.py [FORMAT ...]

Each repetition has its own digits in addresses and paths, so that distinct values are not all known after the first.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fraudlog.reading import all_formats
from fraudlog.reading.careful import make_reader
from fraudlog.reading.columns import events_table
from fraudlog.reading.framing import frame
from fraudlog.reading.lines import Options
from fraudlog.reading.pipeline import fast_reader

if TYPE_CHECKING:
    from fraudlog.reading.lines import LineReader

CORPUS = Path(__file__).parents[1] / "tests" / "corpus" / "reading"
_PATH = re.compile(rb"/(?=[a-zA-Z])")
_BYTES = 24 << 20


def lines_like(name: str) -> bytes:
    """Return the corpus of a format that are events, many times, with paths of their own."""
    rows = [json.loads(text) for text in (CORPUS / f"{name}.jsonl").read_text("utf-8").splitlines()]
    good = [row for row in rows if "reject" not in row["expected"]]
    header = good[0].get("header", "")
    lines = [row["line"].encode() for row in good if row.get("header", "") == header]
    body = b"\n".join(lines) + b"\n"
    turns = _BYTES // len(body) + 1
    return (
        header.encode()
        + b"\n" * bool(header)
        + b"".join(body if turn % 4 else _PATH.sub(b"/%d" % turn, body) for turn in range(turns))
    )


def cost(reader: LineReader, data: bytes) -> tuple[float, int]:
    """Return CPU microseconds a line, and the number of events."""
    pieces = [data[start : start + (4 << 20)] for start in range(0, len(data), 4 << 20)]
    began = time.process_time()
    chunks = [reader.read_block(block) for block in frame("x", pieces)]
    events = events_table(chunks).num_rows
    return (time.process_time() - began) / sum(chunk.n_lines for chunk in chunks) * 1e6, events


def main() -> None:
    """Print a row for each format."""
    names = sys.argv[1:] or sorted(path.stem for path in CORPUS.glob("*.jsonl"))
    print("| format | careful us | compiled us | careful / compiled |\n|---|---:|---:|---:|")
    for name in names:
        data = lines_like(name)
        part = data[: 2 << 20]
        careful, _ = cost(make_reader(all_formats()[name], Options()), part)
        made = fast_reader(all_formats()[name], Options())
        if made is None:
            print(f"| {name} | {careful:.1f} | - | |")
            continue
        cost(made, part)
        compiled, _ = min(cost(fast_reader(all_formats()[name], Options()) or made, data) for _ in range(3))
        print(f"| {name} | {careful:.1f} | {compiled:.2f} | {careful / compiled:.1f} |", flush=True)


if __name__ == "__main__":
    main()
