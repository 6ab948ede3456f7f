"""Coverage-guided fuzzing of the reader with atheris: any bytes, every format.

    python tests/fuzz/reading.py FORMAT [-max_total_time=600] [CORPUS]

It fails on an exception, on a line that is not accounted for, on a table that Arrow finds invalid, and where the
compiled path and the careful path disagree. Hangs are libFuzzer's: ``-timeout=10``.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from typing import Any

import atheris

with atheris.instrument_imports(include=["fraudlog.reading"]):
    from fraudlog.reading import REASONS, all_formats, read_log
    from fraudlog.reading.careful import make_reader
    from fraudlog.reading.framing import frame
    from fraudlog.reading.lines import Options
    from fraudlog.reading.pipeline import fast_reader

from fraudlog.errors import InputError
from fraudlog.reading.columns import events_table, rejected_table


def outcome(reader: Any, data: bytes) -> tuple[Any, ...]:
    """Read `data` and return all tables and counts, checked."""
    chunks = [reader.read_block(block) for block in frame("x", [data])]
    events, rejected = events_table(chunks), rejected_table(chunks)
    n_lines, n_blank = sum(chunk.n_lines for chunk in chunks), sum(chunk.n_blank for chunk in chunks)
    if n_lines != events.num_rows + rejected.num_rows + n_blank:
        raise AssertionError("a line is not accounted for")
    if not set(rejected["reason"].to_pylist()) <= set(REASONS):
        raise AssertionError("a reason that is not in the table")
    events.validate(full=True)
    dropped = sum((Counter(chunk.dropped) for chunk in chunks), Counter())
    return n_lines, n_blank, rejected.to_pylist(), events.to_pylist(), sum(dropped.values())


def target(name: str) -> Any:
    """Return the function that libFuzzer calls."""
    row = all_formats()["common" if name == "auto" else name]

    careful, accelerated = make_reader(row, Options()), fast_reader(row, Options())

    def one_input(data: bytes) -> None:
        found = outcome(careful, data)
        if accelerated is not None and outcome(accelerated, data) != found:
            raise AssertionError("the two paths disagree")

    def any_log(data: bytes) -> None:
        try:
            read_log(io.BytesIO(data))
        except InputError:
            return

    return any_log if name == "auto" else one_input


def main() -> None:
    """Fuzz one format, or ``auto`` for detection and decompression."""
    name = sys.argv.pop(1)
    read = target(name)
    read(b"compile what is compiled before the clock runs\n")
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
