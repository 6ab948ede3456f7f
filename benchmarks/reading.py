"""Reading a combined log: CPU per line of this reader and of its peers, side by side in one run.

    python benchmarks/reading.py access.log --runs 5

Peers that are not installed are left out. Each runs in a process of its own, in turn, `runs` times; the table gives
medians of CPU time per line with their range, wall time, and the ratio to this reader on one thread. The C file is
compiled on the spot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
REGEX = (
    r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\s*$'
)


def ours(path: str, threads: int) -> int:
    """Read with this library: all fields typed, escapes undone, rejects kept."""
    from fraudlog.reading import read_log

    return read_log(path, threads=threads).summary.events


def ours_careful(path: str) -> int:
    """Read with the careful path alone."""
    from fraudlog.reading.careful import make_reader
    from fraudlog.reading.formats import all_formats
    from fraudlog.reading.framing import frame
    from fraudlog.reading.lines import Options

    reader = make_reader(all_formats()["combined"], Options())
    return sum(reader.read_block(block).n_events for block in frame(path, pieces(path)))


def pieces(path: str) -> Iterator[bytes]:
    """Yield the file in pieces of 4 MB."""
    with Path(path).open("rb") as stream:
        while piece := stream.read(4 << 20):
            yield piece


def apachelogs(path: str) -> int:
    """Pure Python, typed fields."""
    from apachelogs import InvalidEntryError, LogParser

    parser, found = LogParser('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'), 0
    with Path(path).open(encoding="latin-1") as stream:
        for line in stream:
            try:
                parser.parse(line.rstrip("\n"))
            except InvalidEntryError:
                continue
            found += 1
    return found


def lars(path: str) -> int:
    """Pure Python, typed fields."""
    import warnings

    from lars.apache import COMBINED, ApacheSource

    warnings.simplefilter("ignore")
    with Path(path).open(encoding="latin-1") as stream, ApacheSource(stream, COMBINED) as source:
        return sum(1 for _ in source)


def pandas_regex(path: str) -> int:
    """Split with the regex engine of pandas' CSV reader, the recipe of many tutorials."""
    import pandas as pd

    return len(
        pd.read_csv(
            path, sep=r'\s(?=(?:[^"]*"[^"]*")*[^"]*$)(?![^\[]*\])', engine="python", header=None, on_bad_lines="skip"
        )
    )


def polars_csv(path: str) -> int:
    """Split on quotes by the CSV reader, then types: the fastest trick there is; escapes are garbled."""
    import polars as pl

    frame = (
        pl.scan_csv(
            path, separator='"', quote_char=None, has_header=False, infer_schema=False, truncate_ragged_lines=True
        )
        .with_columns(
            pl.col("column_1").str.split_exact(" ", 4).struct.field("field_0").cast(pl.Categorical).alias("ip"),
            pl.col("column_1").str.slice(-28, 26).str.to_datetime("%d/%b/%Y:%H:%M:%S %z", strict=False).alias("time"),
            pl.col("column_2").str.split_exact(" ", 2).alias("request"),
            pl.col("column_3").str.strip_chars().str.split_exact(" ", 1).alias("numbers"),
            pl.col("column_4").cast(pl.Categorical),
            pl.col("column_6").cast(pl.Categorical),
        )
        .with_columns(
            pl.col("request").struct.field("field_0").cast(pl.Categorical).alias("method"),
            pl.col("request").struct.field("field_1").alias("target"),
            pl.col("request").struct.field("field_2").cast(pl.Categorical).alias("protocol"),
            pl.col("numbers").struct.field("field_0").cast(pl.Int16, strict=False).alias("status"),
            pl.col("numbers").struct.field("field_1").cast(pl.Int64, strict=False).alias("size"),
        )
        .drop("request", "numbers", "column_1", "column_2", "column_3")
    )
    return frame.collect().height


def polars_regex(path: str) -> int:
    """Read lines as one column and extract groups."""
    import polars as pl

    names = ("ip", "ident", "user", "time", "request", "status", "size", "referrer", "agent")
    frame = pl.scan_csv(path, separator="\x01", quote_char=None, has_header=False, new_columns=["line"])
    groups = [pl.col("line").str.extract(REGEX, at + 1).alias(name) for at, name in enumerate(names)]
    return frame.select(groups).collect().height


def duckdb_csv(path: str) -> int:
    """Read as CSV with a blank as separator; bracketed times come in two columns."""
    import duckdb

    columns = ",".join(f"'c{n}':'VARCHAR'" for n in range(10))
    query = (
        "SELECT c0, strptime(c3 || ' ' || c4, '[%d/%b/%Y:%H:%M:%S %z]') t, split(c5, ' ') r, c6::SMALLINT s, "
        "try_cast(c7 AS BIGINT) b, c8, c9 FROM read_csv(?, delim=' ', quote='\"', escape='\\', header=false, "
        f"auto_detect=false, strict_mode=false, ignore_errors=true, columns={{{columns}}})"
    )
    return len(duckdb.execute(query, [path]).to_arrow_table())


def duckdb_regex(path: str) -> int:
    """Extract groups with RE2."""
    import duckdb

    pattern = REGEX.replace("'", "''")
    names = "['ip','i','u','t','r','s','b','f','a']"
    query = (
        f"SELECT regexp_extract(line, '{pattern}', {names}) x FROM read_csv(?, delim='\x01', quote='', escape='', "
        "header=false, auto_detect=false, columns={'line': 'VARCHAR'})"
    )
    return len(duckdb.execute(query, [path]).to_arrow_table())


def arrow_csv(path: str) -> int:
    """pyarrow.csv with a blank as separator and a backslash as escape."""
    import pyarrow.csv as pc

    table = pc.read_csv(
        path,
        read_options=pc.ReadOptions(column_names=[f"c{n}" for n in range(10)]),
        parse_options=pc.ParseOptions(
            delimiter=" ", quote_char='"', escape_char="\\", double_quote=False, invalid_row_handler=lambda _: "skip"
        ),
        convert_options=pc.ConvertOptions(auto_dict_encode=False),
    )
    return table.num_rows


def arrow_regex(path: str) -> int:
    """RE2 through Arrow's extract_regex."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pattern = (
        r'^(?P<a>\S+) (?P<b>\S+) (?P<c>\S+) \[(?P<d>[^\]]+)\] "(?P<e>(?:[^"\\]|\\.)*)" (?P<f>\d{3}) (?P<g>\d+|-) '
        r'"(?P<h>(?:[^"\\]|\\.)*)" "(?P<i>(?:[^"\\]|\\.)*)"\s*$'
    )
    lines = pa.array(Path(path).read_bytes().decode("utf-8", "replace").splitlines())
    return len(pc.extract_regex(lines, pattern))


PEERS = {
    "fraudlog, one thread": (lambda path: ours(path, 1), 1.0),
    "fraudlog, two threads": (lambda path: ours(path, 2), 1.0),
    "fraudlog, careful path": (ours_careful, 0.2),
    "Polars CSV split on quotes": (polars_csv, 1.0),
    "DuckDB CSV": (duckdb_csv, 1.0),
    "pyarrow.csv": (arrow_csv, 1.0),
    "Polars regex": (polars_regex, 0.3),
    "Arrow regex": (arrow_regex, 0.3),
    "DuckDB regex": (duckdb_regex, 0.3),
    "pandas regex reader": (pandas_regex, 0.05),
    "apachelogs": (apachelogs, 0.05),
    "lars": (lars, 0.05),
}
"""Reader and the share of the file it gets: slow ones read less."""


def run_one(name: str, path: str) -> None:
    """Run a peer once and print CPU and wall seconds and rows; imports and a warm-up are not counted."""
    reader, _ = PEERS[name]
    with tempfile.NamedTemporaryFile(suffix=".log") as warm:
        Path(warm.name).write_bytes(b"".join(Path(path).open("rb").readlines()[:2000]))
        reader(warm.name)
        if name.startswith("fraudlog"):
            from fraudlog.reading.formats import all_formats
            from fraudlog.reading.lines import Options
            from fraudlog.reading.pipeline import fast_reader

            made = fast_reader(all_formats()["combined"], Options())
            if made is not None:
                from fraudlog.reading.framing import frame

                for block in frame("warm", pieces(warm.name)):
                    made.read_block(block)
    cpu, wall = time.process_time(), time.perf_counter()
    rows = reader(path)
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, rows]))


def part_of(path: Path, share: float, folder: Path) -> tuple[Path, int]:
    """Return the first part of the log, and its lines."""
    lines = path.read_bytes().splitlines(keepends=True)
    kept = lines[: max(int(len(lines) * share), 1000)]
    made = folder / f"part_{share}.log"
    if not made.exists():
        made.write_bytes(b"".join(kept))
    return made, len(kept)


def measure(path: Path, runs: int, folder: Path) -> dict[str, list[tuple[float, float, int]]]:
    """Run all peers in turn, `runs` rounds."""
    found: dict[str, list[tuple[float, float, int]]] = {}
    for _ in range(runs):
        for name, (_, share) in PEERS.items():
            part, n_lines = part_of(path, share, folder)
            done = subprocess.run(
                [sys.executable, __file__, str(part), "--one", name],
                capture_output=True,
                text=True,
                check=False,
                env=os.environ,
            )
            if done.returncode:
                found.setdefault(f"{name}: fails", []).append((float("nan"), float("nan"), 0))
                print(name, done.stderr.strip().splitlines()[-1:], file=sys.stderr)
                continue
            cpu, wall, rows = json.loads(done.stdout.splitlines()[-1])
            found.setdefault(name, []).append((cpu / n_lines * 1e6, wall / n_lines * 1e6, rows))
        one_pass(path, folder, found)
        goaccess(part_of(path, 0.2, folder), folder, found)
    return found


def goaccess(part: tuple[Path, int], folder: Path, found: dict[str, list[tuple[float, float, int]]]) -> None:
    """Run GoAccess to its JSON report, where it is installed; it counts as it parses and can do neither alone."""
    program = shutil.which("goaccess")
    if program is None:
        return
    path, n_lines = part
    page = folder / "goaccess.json"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    code = [program, path, "--log-format=COMBINED", "--no-global-config", "--no-progress", "-o", page]
    subprocess.run(code, check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    rows = json.loads(page.read_text("utf-8", "replace"))["general"]["valid_requests"]
    found.setdefault("GoAccess, to its report", []).append((cpu / n_lines * 1e6, wall / n_lines * 1e6, rows))


def one_pass(path: Path, folder: Path, found: dict[str, list[tuple[float, float, int]]]) -> None:
    """Run the C file, where there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return
    binary = folder / "one_pass"
    if not binary.exists():
        subprocess.run([compiler, "-O3", "-march=native", "-o", binary, HERE / "one_pass.c"], check=True)
    out = subprocess.run([binary, path, "1"], capture_output=True, text=True, check=True).stdout.split()
    lines = int(out[1]) + int(out[2])
    found.setdefault("one C pass", []).append((float(out[0]) / lines * 1e6, float(out[0]) / lines * 1e6, int(out[1])))


def report(found: dict[str, list[tuple[float, float, int]]]) -> None:
    """Print the table."""
    base = statistics.median(cpu for cpu, _, _ in found["fraudlog, one thread"])
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| reader | CPU us a line (range) | wall us | CPU / ours | rows of its part |\n|---|---:|---:|---:|---:|")
    for name, runs in sorted(found.items(), key=lambda item: statistics.median(run[0] for run in item[1])):
        cpu, wall = [run[0] for run in runs], statistics.median(run[1] for run in runs)
        middle = statistics.median(cpu)
        spread = f"{middle:.2f} ({min(cpu):.2f}-{max(cpu):.2f})"
        print(f"| {name} | {spread} | {wall:.2f} | {middle / base:.2f} | {runs[0][2]:,} |")


def main() -> None:
    """Measure, or run one peer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", default="")
    arguments = parser.parse_args()
    if arguments.one:
        run_one(arguments.one, str(arguments.log))
        return
    with tempfile.TemporaryDirectory() as folder:
        report(measure(arguments.log, arguments.runs, Path(folder)))


if __name__ == "__main__":
    main()
