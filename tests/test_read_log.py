"""Reading: every line accounted for, fields as the server meant them, clear errors."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from conftest import shared_data
from fraudlog.errors import ConfigError, FormatError, InputError

GOOD = '203.0.113.9 - - [17/May/2015:10:05:03 +0200] "GET /a%20b?q=1 HTTP/1.1" 200 12 "http://r.example/?x" "Agent/1"'
COMMON = '203.0.113.9 - - [17/May/2015:10:05:03 +0200] "GET / HTTP/1.0" 304 -'


def read(tmp_path, *lines: str | bytes) -> fl.ParsedLog:
    path = tmp_path / "access.log"
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
    return fl.read_log(path)


def test_combined_line_becomes_an_event(tmp_path):
    """All fields of a line, in UTC, path and query apart."""
    event = read(tmp_path, GOOD).events.iloc[0].to_dict()
    assert event["timestamp"] == datetime(2015, 5, 17, 8, 5, 3, tzinfo=UTC)
    assert (event["client_ip"], event["method"], event["path"], event["query"]) == (
        "203.0.113.9",
        "GET",
        "/a%20b",
        "q=1",
    )
    assert (event["status"], event["bytes_sent"], event["protocol"]) == (200, 12, "HTTP/1.1")
    assert (event["referrer"], event["user_agent"]) == ("http://r.example/?x", "Agent/1")


def test_common_line_has_neither_agent_nor_referrer(tmp_path):
    """A column that the format does not carry is not there; a dash is null."""
    log = read(tmp_path, COMMON)
    assert log.summary.format == "common"
    assert "user_agent" not in log.events
    assert log.events["bytes_sent"].isna().all()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (GOOD.replace("17/May", "32/May"), "bad_time"),
        (GOOD.replace("May", "Foo"), "bad_time"),
        (GOOD.replace("203.0.113.9", "999.1.1.1"), "bad_address"),
        (GOOD.replace(" 200 ", " 2xx "), "bad_status"),
        (GOOD.replace(" 12 ", " 1k "), "bad_number"),
        (GOOD[:-10], "no_match"),
        (GOOD + GOOD, "no_match"),
        ("x" * 20_000, "no_match"),
    ],
)
def test_bad_line_is_kept_with_its_reason(tmp_path, line, reason):
    """Rejected with source, line number, a stable code and the raw bytes; its neighbours are read."""
    log = read(tmp_path, GOOD, line, "", GOOD)
    assert log.rejected[["line_number", "reason", "raw"]].to_numpy().tolist() == [[2, reason, line.encode()]]
    assert log.events["line_number"].tolist() == [1, 4]
    assert (log.summary.lines, log.summary.events, log.summary.rejected, log.summary.blank) == (4, 2, 1, 1)
    assert log.summary.reasons == {reason: 1}


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (rb"a \"quoted\" word", 'a "quoted" word'),
        (rb"a \x22quoted\x22 word", 'a "quoted" word'),
        (rb"back\\slash", r"back\slash"),
        (b"caf\xe9", r"caf\xe9"),
        ("größe".encode(), "größe"),
        (b"A" * 5000, "A" * 1024),
        (b"-", None),
    ],
)
def test_escapes_are_undone_as_the_server_wrote_them(tmp_path, agent, expected):
    """Apache escapes quotes with a backslash, nginx by hex; a byte that is no UTF-8 shows as hex."""
    found = read(tmp_path, GOOD.encode().replace(b"Agent/1", agent)).events["user_agent"].item()
    assert found == expected if expected else found != found  # noqa: PLR0124 -- null is not equal to itself


@pytest.mark.parametrize("request_line", ["-", "", r"\x16\x03\x01\x02", "GET", "GET / HTTP/1.1 extra?"])
def test_a_request_that_is_no_http_is_an_event(tmp_path, request_line):
    """TLS bytes on a plain port or an empty request are the attacker's doing, and worth keeping."""
    log = read(tmp_path, GOOD.replace("GET /a%20b?q=1 HTTP/1.1", request_line))
    assert log.summary.events == 1


def test_an_injected_quote_can_not_forge_a_field(tmp_path):
    """What stands inside a quoted field stays there."""
    line = GOOD.replace("Agent/1", r"x\" 200 1 \"-\" \"198.51.100.1 - admin [01/Jan/2000:00:00:00 +0000]")
    event = read(tmp_path, line).events.iloc[0]
    assert event["client_ip"] == "203.0.113.9"
    assert event["timestamp"].year == 2015


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    """Members one after the other are one log."""
    path = tmp_path / "access.log"
    path.write_bytes(gzip.compress(GOOD.encode() + b"\n") + gzip.compress(GOOD.encode() + b"\n"))
    assert fl.read_log(path).summary.events == 2


def test_several_files_are_one_log(tmp_path):
    """Each event knows its file and line."""
    paths = [tmp_path / "a.log", tmp_path / "b.log"]
    for path in paths:
        path.write_text(GOOD + "\n")
    events = fl.read_log(paths).events
    assert events["source"].tolist() == [str(path) for path in paths]


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, b"hello\nworld\n", b"{}\n"])
def test_a_file_that_is_no_log_is_refused(tmp_path, content):
    """One clear line, not thousands of rejects."""
    path = tmp_path / "some.png"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"some\.png"):
        fl.read_log(path)


def test_errors_say_what_to_do(tmp_path):
    """Missing file, folder, cut gzip, unknown format."""
    with pytest.raises(InputError, match="no such file"):
        fl.read_log(tmp_path / "missing.log")
    with pytest.raises(ConfigError, match="use auto"):
        fl.read_log(tmp_path / "missing.log", format="nonsense")
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(GOOD.encode() * 100)[:60])
    with pytest.raises(InputError):
        fl.read_log(cut)


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=20))
def test_any_bytes_between_good_lines_are_accounted_for(tmp_path_factory, junk):
    """``lines == events + rejected + blank`` whatever an attacker writes."""
    path = tmp_path_factory.mktemp("junk") / "access.log"
    path.write_bytes(b"".join(line + b"\n" for line in [*[GOOD.encode()] * 20, *junk]))
    log = fl.read_log(path)
    summary = log.summary
    assert summary.lines == 20 + len(junk) == summary.events + summary.rejected + summary.blank
    assert (len(log.events), len(log.rejected)) == (summary.events, summary.rejected)


def test_sample_log_is_read_whole(sample_log):
    """10,000 real lines: one is cut inside its quotes."""
    summary = sample_log.summary
    assert (summary.lines, summary.events, summary.rejected) == (10_000, 9_999, 1)
    assert sample_log.rejected["line_number"].item() == 8899


def test_real_nginx_log_is_read_whole():
    """A real nginx log of another site."""
    summary = fl.read_log(shared_data("parser/advertools/nginx_access.log")).summary
    assert summary.lines == summary.events + summary.rejected + summary.blank
    assert summary.events == 1000


def test_an_error_log_is_not_read_as_an_access_log():
    """Its lines have times too, but no requests."""
    with pytest.raises(FormatError):
        fl.read_log(shared_data("parser/advertools/nginx_error.log"))
