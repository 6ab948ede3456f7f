"""Every line of the corpus becomes the event that another program read from it."""

from __future__ import annotations

import io

import pytest

from fraudlog.errors import FormatError
from fraudlog.reading import all_formats, read_log
from fraudlog.reading.careful import make_reader
from fraudlog.reading.lines import Options
from reading_support import as_expected, corpus_rows, formats_with_corpus, shared_data


@pytest.mark.parametrize("name", formats_with_corpus())
def test_careful_reader_gives_the_expected_fields(name):
    """Line by line, field by field, through the careful reader."""
    for row in corpus_rows(name):
        reader = make_reader(all_formats()[name], Options())
        if "header" in row:
            reader.read(row["header"].encode())
        got = as_expected(reader.read(row["line"].encode()))
        if row["expected"] == {"reject": "*"}:
            assert "reject" in got, row["line"]
        else:
            assert got == row["expected"], row["line"]


@pytest.mark.parametrize("name", formats_with_corpus())
def test_read_log_gives_the_expected_fields(name):
    """The same through `read_log`, whichever path it takes, with every line accounted for."""
    rows = corpus_rows(name)
    header = rows[0].get("header")
    lines = ([header] if header else []) + [row["line"] for row in rows]
    log = read_log(io.BytesIO("\n".join(lines).encode() + b"\n"), name)
    summary = log.summary
    assert summary.lines == summary.events + summary.rejected + summary.blank == len(lines)
    offset = 1 + len(lines) - len(rows)
    got = {event["line_number"]: as_expected(event) for event in log.table.to_pylist()}
    rejects = {reject["line_number"]: reject for reject in log.rejected_table.to_pylist()}
    for number, row in enumerate(rows, start=offset):
        if "reject" in row["expected"]:
            assert row["expected"]["reject"] in ("*", rejects[number]["reason"])
            assert rejects[number]["raw"] == row["line"].encode()
        else:
            assert got[number] == row["expected"]


@pytest.mark.parametrize("name", [name for name in formats_with_corpus() if name not in ("csv", "envoy_json", "json")])
def test_format_is_detected(name):
    """The format is told from its lines alone."""
    rows = [row for row in corpus_rows(name) if "reject" not in row["expected"]]
    header = rows[0].get("header")
    lines = ([header] if header else []) + [row["line"] for row in rows]
    assert read_log(io.BytesIO("\n".join(lines).encode() + b"\n")).summary.format == name


def test_corpus_is_as_large_as_promised():
    """At least 400 lines over all formats, and a file for each format that reads lines."""
    names = formats_with_corpus()
    assert sum(len(corpus_rows(name)) for name in names) >= 400
    assert set(names) >= {name for name, row in all_formats().items() if row.family != "frame"}


@pytest.mark.parametrize("file", ["apache_error.log", "nginx_error.log"])
def test_error_log_is_refused(file):
    """An error log must not read as an access log."""
    with pytest.raises(FormatError, match="error log"):
        read_log(shared_data(f"parser/advertools/{file}"))


@pytest.mark.parametrize(
    ("file", "events", "rejected"),
    [
        ("logs/elastic_apache_logs.log", 9_999, 1),
        ("parser/advertools/combined_with_errors.log", 885, 4),
        ("parser/advertools/nginx_access.log", 1_000, 0),
        ("parser/telegraf_nginx_logs.ndjson", 500, 0),
        ("parser/opensearch/nginx_raw.log", 1_408, 0),
    ],
)
def test_real_logs_are_accounted_for(file, events, rejected):
    """Whole real logs, counted."""
    summary = read_log(shared_data(file)).summary
    assert (summary.events, summary.rejected) == (events, rejected)
    assert summary.lines == summary.events + summary.rejected + summary.blank
