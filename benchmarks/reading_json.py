"""JSON lines: this reader beside pyarrow.json, clean and with one bad line in 200; and gzip beside plain text.

python benchmarks/reading_json.py access.log
"""

from __future__ import annotations

import gzip
import io
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.json as pj

from fraudlog.reading import all_formats, read_log
from fraudlog.reading.columns import events_table
from fraudlog.reading.framing import frame
from fraudlog.reading.lines import Options
from fraudlog.reading.pipeline import fast_reader

if TYPE_CHECKING:
    from collections.abc import Callable


def device_lines(count: int) -> list[bytes]:
    """Return records of a device log."""
    rng = random.Random(1)
    systems, browsers, languages = ("iOS", "Android", "Windows"), ("Safari", "Chrome", "Edge"), ("de", "en-US", "pt-BR")
    return [
        json.dumps(
            {
                "ts": 1_700_000_000 + number // 7,
                "user": f"u{rng.randrange(5000)}",
                "device": {"os": rng.choice(systems), "browser": rng.choice(browsers)},
                "language": rng.choice(languages),
                "ip": f"10.0.{rng.randrange(40)}.{rng.randrange(256)}",
                "event": "login",
                "outcome": rng.choice(("success", "failure")),
            }
        ).encode()
        + b"\n"
        for number in range(count)
    ]


def cpu(call: Callable[[], object], runs: int = 5) -> float:
    """Return the median CPU seconds of a call."""
    found = []
    for _ in range(runs):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return statistics.median(found)


def arrow_json(data: bytes) -> int:
    """Read with pyarrow.json; it stops at the first bad line."""
    return pj.read_json(io.BytesIO(data), read_options=pj.ReadOptions(use_threads=False, block_size=4 << 20)).num_rows


def accelerated(data: bytes) -> int:
    """Read with the compiled path, however small the data."""
    reader = fast_reader(all_formats()["json"], Options())
    pieces = [data[start : start + (4 << 20)] for start in range(0, len(data), 4 << 20)]
    return events_table([reader.read_block(block) for block in frame("x", pieces)]).num_rows


def main() -> None:
    """Print the table."""
    lines = device_lines(200_000)
    clean = b"".join(lines)
    bad = b"".join(line[:-9] + b"\n" if number % 200 == 7 else line for number, line in enumerate(lines))
    accelerated(b"".join(lines[:1000]))
    base = cpu(lambda: arrow_json(clean))
    print(f"pyarrow.json, clean: {base / len(lines) * 1e6:.2f} us a line (pyarrow {pa.__version__})")
    for name, data in (("clean", clean), ("0.5 % bad", bad)):
        own = cpu(lambda data=data: accelerated(data))
        print(
            f"fraudlog, {name}: {own / len(lines) * 1e6:.2f} us a line, {own / base:.2f} x pyarrow.json on clean lines"
        )
    try:
        arrow_json(bad)
    except pa.ArrowInvalid as error:
        print(f"pyarrow.json, 0.5 % bad: stops: {str(error)[:60]}")
    plain = Path(sys.argv[1])
    packed = plain.with_suffix(".bench.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes(), 6))
    read_log(plain)
    text, zipped = cpu(lambda: read_log(plain, threads=1), 3), cpu(lambda: read_log(packed, threads=1), 3)
    packed.unlink()
    print(f"plain {text:.2f} s, gzip {zipped:.2f} s of CPU: {zipped / text:.2f} x")


if __name__ == "__main__":
    main()
