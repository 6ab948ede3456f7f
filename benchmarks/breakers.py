"""Forty hostile lines: how many cells each reader gets wrong.

    python benchmarks/breakers.py

Each line stands between two good ones in a file of its own. A cell is wrong if it is not what the server meant, if the
line should have been refused and was not (all its cells), or if its neighbours suffered. Six cells a line: client,
time, request, status, size, agent.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

IP, WHEN = "192.0.2.7", "10/Oct/2000:13:55:36 -0700"
MICROS = 971_211_336_000_000
CELLS = ("client", "time", "request", "status", "size", "agent")
GOOD = [
    f'192.0.2.{n} - - [{WHEN}] "GET /good{n} HTTP/1.1" 200 {n} "-" "good {n}"'.encode() for n in (1, 2)
]  # fmt: skip
GOOD_CELLS = [(f"192.0.2.{n}", MICROS, f"GET /good{n} HTTP/1.1", 200, n, f"good {n}") for n in (1, 2)]


def line(
    request: str = "GET / HTTP/1.1", agent: str = "a", *, client: str = IP, user: str = "-", when: str = WHEN,
    status: str = "200", size: str = "5", referrer: str = "-",
) -> bytes:  # fmt: skip
    """Return a combined line as latin-1 bytes."""
    return f'{client} - {user} [{when}] "{request}" {status} {size} "{referrer}" "{agent}"'.encode("latin-1")


def cells(**other: Any) -> tuple[Any, ...]:
    """Return the six cells of an ordinary line, some of them other."""
    plain = {"client": IP, "time": MICROS, "request": "GET / HTTP/1.1", "status": 200, "size": 5, "agent": "a"}
    return tuple((plain | other)[name] for name in CELLS)


HOSTILE: list[tuple[str, bytes, tuple[Any, ...] | None]] = [
    ("TLS hello escaped by nginx", line(r"\x16\x03\x01\x02\x00"), cells(request="\x16\x03\x01\x02\x00")),
    ("TLS hello escaped, with blank", line(r"\x16\x03 \x01"), cells(request="\x16\x03 \x01")),
    ("TLS bytes raw", line("\x16\x03\x01"), cells(request="\x16\x03\x01")),
    ("request is a dash", line("-", status="408"), cells(request=None, status=408)),
    ("request is empty", line("", status="400"), cells(request=None, status=400)),
    ("NUL in the agent", line(agent="a\0b"), cells(agent="a\0b")),
    ("bare CR in the agent", line(agent="a\rb"), cells(agent="a\rb")),
    ("quote in the agent, Apache", line(agent=r"say \"hi\""), cells(agent='say "hi"')),
    ("quote in the agent, nginx", line(agent=r"say \x22hi\x22"), cells(agent='say "hi"')),
    ("backslash at the end, Apache", line(agent=r"a\\"), cells(agent="a\\")),
    ("backslash at the end, nginx", line(agent=r"a\x5C"), cells(agent="a\\")),
    ("backslash and quote", line(agent=r"a\\\"b"), cells(agent='a\\"b')),
    ("tab and newline escaped", line(agent=r"a\tb\nc"), cells(agent="a\tb\nc")),
    ("raw quote in the agent", line(agent='a" "b'), cells(agent="a")),
    ("UTF-8 escaped", line(agent=r"caf\xC3\xA9"), cells(agent="café")),
    ("UTF-8 raw", line().replace(b'"a"', '"café"'.encode()), cells(agent="café")),
    ("invalid UTF-8 raw", line(agent="caf\xe9"), cells(agent="caf\\xe9")),
    ("open quote at the end", line()[:-1], None),
    ("cut inside the request", line()[:60], None),
    ("two lines fused", line()[:55] + line(), None),
    ("user with blanks", line(user="john doe"), cells()),
    ("user forges a time", line(user="x [01/Jan/2020:00:00:00 +0000]"), cells()),
    ("user forges half a time", line(user="x [01/Jan/2020:00:00:00 +0000"), cells()),
    ("status 2xx", line(status="2xx"), None),
    ("status 99999", line(status="99999"), None),
    ("day 32", line(when="32/Oct/2000:13:55:36 -0700"), None),
    ("30 February", line(when="30/Feb/2000:13:55:36 -0700"), None),
    ("month Foo", line(when="10/Foo/2000:13:55:36 -0700"), None),
    ("hour 25", line(when="10/Oct/2000:25:55:36 -0700"), None),
    ("leap second", line(when="31/Dec/2016:23:59:60 +0000"), cells(time=1_483_228_800_000_000)),
    ("year 1970", line(when="01/Jan/1970:00:00:00 +0000"), None),
    ("offset half an hour", line(when="10/Oct/2000:13:55:36 +0530"), cells(time=971_166_336_000_000)),
    ("address 999.1.1.1", line(client="999.1.1.1"), None),
    ("IPv6 in capitals", line(client="2001:DB8::1"), cells(client="2001:db8::1")),
    ("IPv4 mapped", line(client="::ffff:192.0.2.7"), cells()),
    ("size is a dash", line(size="-"), cells(size=None)),
    ("size negative", line(size="-5"), None),
    ("target of 20 kB", line(f"GET /{'a' * 20_000} HTTP/1.1"), cells(request=f"GET /{'a' * 20_000} HTTP/1.1")),
    ("target with blanks", line("GET /a b HTTP/1.1"), cells(request="GET /a b HTTP/1.1")),
    (
        "a forged line in the referrer",
        line(referrer=r"\" 200 5 \n6.6.6.6 - - [10/Oct/2001:13:55:36 +0000] \"GET"),
        cells(),
    ),
]


def ours(path: str) -> list[tuple[Any, ...]]:
    """Read with this library."""
    from fraudlog.reading import read_log

    rows = []
    for row in read_log(path, "combined").table.to_pylist():
        target = None if row["path"] is None else row["path"] + (f"?{row['query']}" if row["query"] else "")
        parts = [part for part in (row["method"], target, row["protocol"]) if part]
        micros = (row["timestamp"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        request = " ".join(parts) or None
        rows.append((row["client_ip"], micros, request, row["status"], row["bytes_sent"], row["user_agent"]))
    return rows


def clf_micros(text: str | None) -> int | None:
    """Read a common log time as a careful user would."""
    try:
        return int(datetime.strptime(str(text).strip("[]"), "%d/%b/%Y:%H:%M:%S %z").timestamp() * 1e6)
    except ValueError:
        return None


def number(text: Any) -> int | None:
    """Read a number as a careful user would."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return None


def nothing(text: Any) -> str | None:
    """Turn a dash into nothing."""
    return None if text in ("-", "", None) or text != text else text  # noqa: PLR0124 -- NaN


def apachelogs(path: str) -> list[tuple[Any, ...]]:
    """Read with apachelogs, which decodes latin-1: turned back to UTF-8 here."""
    from apachelogs import InvalidEntryError, LogParser

    parser, rows = LogParser('%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"'), []

    def text(value: str | None) -> str | None:
        return None if value is None else value.encode("latin-1", "replace").decode("utf-8", "backslashreplace")

    with Path(path).open(encoding="latin-1", newline="\n") as stream:
        for raw in stream:
            try:
                entry = parser.parse(raw.rstrip("\n"))
            except (InvalidEntryError, ValueError):
                continue
            micros = int(entry.request_time.timestamp() * 1e6)
            agent = text(entry.headers_in["User-Agent"])
            rows.append(
                (entry.remote_host, micros, text(entry.request_line), entry.final_status, entry.bytes_sent, agent)
            )
    return rows


def lars(path: str) -> list[tuple[Any, ...]]:
    """Read with lars."""
    from lars.apache import COMBINED, ApacheSource

    rows = []
    with Path(path).open(encoding="latin-1", newline="\n") as stream, ApacheSource(stream, COMBINED) as source:
        for row in source:
            time = row.time.replace(tzinfo=UTC) if row.time else None
            request = None if row.request is None else f"{row.request.method} {row.request.url} {row.request.protocol}"
            micros = int(time.timestamp() * 1e6) if time else None
            agent = nothing(row.req_User_agent)
            rows.append((str(row.remote_host), micros, request, row.status, row.size, agent))
    return rows


def split_rows(rows: list[list[Any]]) -> list[tuple[Any, ...]]:
    """Turn the ten columns of a blank-separated reading into cells."""
    return [
        (r[0], clf_micros(f"{r[3]} {r[4]}"), nothing(r[5]), number(r[6]), number(nothing(r[7])), nothing(r[9]))
        for r in rows
    ]


def pandas_c(path: str) -> list[tuple[Any, ...]]:
    """Read with pandas' CSV reader, blanks as separators."""
    import pandas as pd

    frame = pd.read_csv(
        path, sep=" ", quotechar='"', escapechar="\\", header=None, names=range(10), dtype=str, on_bad_lines="skip",
        encoding="utf-8", encoding_errors="backslashreplace", keep_default_na=False,
    )  # fmt: skip
    return split_rows(frame.to_numpy().tolist())


def arrow_csv(path: str) -> list[tuple[Any, ...]]:
    """Read with pyarrow.csv."""
    import pyarrow as pa
    import pyarrow.csv as pc

    names = [f"c{n}" for n in range(10)]
    table = pc.read_csv(
        path,
        read_options=pc.ReadOptions(column_names=names),
        parse_options=pc.ParseOptions(
            delimiter=" ",
            escape_char="\\",
            double_quote=False,
            newlines_in_values=False,
            invalid_row_handler=lambda _: "skip",
        ),
        convert_options=pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )
    return split_rows([list(row.values()) for row in table.to_pylist()])


def duckdb_csv(path: str) -> list[tuple[Any, ...]]:
    """Read with DuckDB's CSV reader, bad lines to quarantine."""
    import duckdb

    columns = "{" + ",".join(f"'c{n}':'VARCHAR'" for n in range(10)) + "}"
    query = (
        f"SELECT * FROM read_csv(?, delim=' ', quote='\"', escape='\\', header=false, auto_detect=false, "
        f"strict_mode=false, ignore_errors=true, columns={columns})"
    )
    return split_rows([list(row) for row in duckdb.execute(query, [path]).fetchall()])


def polars_csv(path: str) -> list[tuple[Any, ...]]:
    """Split on quotes with Polars."""
    import polars as pl

    frame = pl.read_csv(
        path, separator='"', quote_char=None, has_header=False, infer_schema=False, truncate_ragged_lines=True,
        encoding="utf8-lossy",
    )  # fmt: skip
    rows = []
    for row in frame.iter_rows():
        head, numbers = (row[0] or "").split(" "), (row[2] or "").strip().split(" ")
        when = (row[0] or "").partition("[")[2].partition("]")[0]
        size = number(numbers[1]) if len(numbers) > 1 else None
        agent = nothing(row[5]) if len(row) > 5 else None
        rows.append((head[0], clf_micros(when), nothing(row[1]), number(numbers[0]), size, agent))
    return rows


READERS = {
    "fraudlog": ours,
    "apachelogs": apachelogs,
    "lars": lars,
    "pandas CSV": pandas_c,
    "pyarrow.csv": arrow_csv,
    "DuckDB CSV": duckdb_csv,
    "Polars on quotes": polars_csv,
}


def wrong_cells(rows: list[tuple[Any, ...]], expected: tuple[Any, ...] | None) -> int:
    """Count the wrong cells of three lines."""
    wrong, rest = 0, list(rows)
    for cells_of_good in GOOD_CELLS:
        match = next((row for row in rest if row[0] == cells_of_good[0]), None)
        wrong += len(CELLS) if match is None else sum(a != b for a, b in zip(match, cells_of_good, strict=True))
        if match is not None:
            rest.remove(match)
    if expected is None:
        return wrong + len(CELLS) * bool(rest)
    if not rest:
        return wrong + len(CELLS)
    return (
        wrong
        + min(sum(a != b for a, b in zip(row, expected, strict=True)) for row in rest)
        + len(CELLS) * (len(rest) - 1)
    )


def judge(name: str, raw: bytes, expected: tuple[Any, ...] | None, folder: Path) -> int:
    """Return the wrong cells of one reader on one hostile line; a reader that fails gets all of them wrong."""
    file = folder / "access.log"
    file.write_bytes(b"\n".join([GOOD[0], raw, GOOD[1], b""]))
    try:
        rows = READERS[name](str(file))
    except Exception:  # noqa: BLE001 -- peers fail in ways of their own
        rows = []
    return wrong_cells(rows, expected)


def main() -> int:
    """Print the table; fail if any peer has fewer wrong cells."""
    with tempfile.TemporaryDirectory() as folder:
        table = [
            (title, [judge(name, raw, expected, Path(folder)) for name in READERS]) for title, raw, expected in HOSTILE
        ]
    print("| hostile line | " + " | ".join(READERS) + " |\n|---|" + "---:|" * len(READERS))
    for title, counts in table:
        print(f"| {title} | " + " | ".join(str(count or "") for count in counts) + " |")
    totals = [sum(counts[index] for _, counts in table) for index in range(len(READERS))]
    print(f"| **wrong cells of {18 * len(HOSTILE)}** | " + " | ".join(map(str, totals)) + " |")
    return int(min(totals[1:]) < totals[0])


if __name__ == "__main__":
    sys.exit(main())
