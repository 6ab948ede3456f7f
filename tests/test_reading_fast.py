"""The compiled path and the careful path agree on every line, whatever stands in it."""

from __future__ import annotations

import io
import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.reading import TrustedProxies, all_formats, pipeline, read_log, sources
from fraudlog.reading.careful import make_reader
from fraudlog.reading.columns import events_table, rejected_table
from fraudlog.reading.framing import Block, frame
from fraudlog.reading.lines import Options
from fraudlog.reading.pipeline import fast_reader
from reading_support import corpus_rows, shared_data

pytest.importorskip("numba", reason="the extra `fast` is not installed")
fast = pytest.importorskip("fraudlog.reading.fast")

JSON = ["json", "caddy", "traefik_json", "gcp_load_balancer", "cloudflare_logpush", "azure_front_door", "nginx_json"]
JSON_PIECES = [
    *(
        b'"',
        b"\\",
        b"\\u00e9",
        b'\\"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b"true",
        b"1e5",
        b"-0",
        b"01",
        b"NaN",
    ),
    *(b'"ip":"6.6.6.6",', b'"a":{"ip":"1.1.1.1"},', b"\xc3\xa9", b"\xff", b"\t", b"\0", b" ", b'"ts":5,', b"\n"),
    *(b'{"ts":1700000000}', b'"user":{"id":1,"id":2},', b'"user":null,', b'"device":{},', b'"user.id":"x",'),
]
ACCELERATED = [
    "combined", "common", "vhost_combined", "traefik_clf", "haproxy_http", "bunkerweb", "envoy", "aws_alb", "aws_elb",
    "aws_s3",
]  # fmt: skip
PIECES = [
    b'"', b"\\", b'\\"', b"\\x22", b"\\x", b"-", b" ", b"  ", b"\t", b"\r", b"\0", b"\x80", b"\xff\xfe",
    b"\xc3\xa9",
    b"[", b"]", b"{", b"}", b"?", b"#", b"%", b"::1", b"999.1.1.1", b"32/Foo/2021:25:61:61 +9999", b"23:59:60",
    b"2xx",
    b"99999999999999999999", b" HTTP/1.1", b"GET", b'" 200 5 "-" "-"', b"[10/Oct/2000:13:55:36 -0700]", b"\n", b"",
    b"\x7f", b"1.2.3.4", b"GET /x HTTP/1.1",
]  # fmt: skip
OPTIONS = [Options(), Options(TrustedProxies(["10.0.0.0/8", "127.0.0.1", "192.168.0.0/16"]))]


def lines_of(name: str) -> list[bytes]:
    """Return the corpus of a format as lines, and a few of its relatives'."""
    return [row["line"].encode() for other in (name, "combined") for row in corpus_rows(other)][:200]


def mutate(line: bytes, rng: random.Random, pieces: list[bytes]) -> bytes:
    """Return the line with a few pieces put in, taken out or doubled."""
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randrange(len(line) + 1)
        kind = rng.random()
        if kind < 0.5:
            line = line[:at] + rng.choice(pieces) + line[at:]
        elif kind < 0.7:
            line = line[:at] + line[at + rng.randrange(1, 12) :]
        elif kind < 0.85:
            line = line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
        else:
            line = line[:at] + line[max(0, at - rng.randrange(60)) : at] + line[at:]
    return line


def assert_equal_paths(name: str, data: bytes, options: Options, *, pieces: int = 1) -> None:
    """Read `data` both ways and compare all tables and counts."""
    step = len(data) // pieces + 1
    results = []
    accelerated = fast_reader(all_formats()[name], options)
    assert accelerated is not None
    for reader in (accelerated, make_reader(all_formats()[name], options)):
        cut = [data[start : start + step] for start in range(0, len(data), step)]
        chunks = [reader.read_block(block) for block in frame("x", cut)]
        lines, blank = sum(chunk.n_lines for chunk in chunks), sum(chunk.n_blank for chunk in chunks)
        events, rejected = events_table(chunks), rejected_table(chunks)
        assert lines == events.num_rows + rejected.num_rows + blank
        dropped = sum((Counter(chunk.dropped) for chunk in chunks), Counter())
        results.append((lines, blank, rejected.to_pylist(), events, dropped))
    assert results[0][:3] == results[1][:3]
    assert sum(results[0][4].values()) == sum(results[1][4].values())
    if "(other)" not in results[0][4]:
        assert results[0][4] == results[1][4]
    careful = results[1][3]
    for column in results[0][3].column_names:
        got = results[0][3][column].to_pylist()
        assert got == careful[column].to_pylist(), column
    assert results[0][3].column_names == careful.column_names
    results[0][3].validate(full=True)


@pytest.mark.parametrize("name", ACCELERATED)
def test_mutated_lines_read_alike(name):
    """Some thousands of damaged lines, in one block and in several."""
    rng = random.Random(name)  # noqa: S311 -- not for secrets
    lines = lines_of(name)
    for pieces in (1, 3):
        data = b"\n".join(mutate(rng.choice(lines), rng, PIECES) for _ in range(4000))
        assert_equal_paths(name, data, OPTIONS[pieces > 1], pieces=pieces)


@pytest.mark.parametrize("name", JSON)
def test_damaged_json_reads_alike(name):
    """Some thousands of damaged objects: keys twice, nested, odd numbers, escapes, cut anywhere."""
    rng = random.Random(name)  # noqa: S311 -- not for secrets
    lines = [row["line"].encode() for row in corpus_rows(name)]
    data = b"\n".join(mutate(rng.choice(lines), rng, JSON_PIECES) for _ in range(2500))
    for options in OPTIONS:
        assert_equal_paths(name, data, options, pieces=3)


def test_json_behind_proxies_reads_alike():
    """The client is found once for each pair of peer and header."""
    rng = random.Random(4)  # noqa: S311 -- not for secrets
    hops = ["203.0.113.9", "10.0.0.1", "", "unknown", "203.0.113.9, 10.0.0.2", "::1", "x"]
    peers = ["10.0.0.1", "192.0.2.1", "", "unix:"]
    records = [{"ts": 1_700_000_000, "ip": rng.choice(peers), "x_forwarded_for": rng.choice(hops)} for _ in range(500)]
    data = "\n".join(json.dumps(record) for record in records).encode()
    for options in OPTIONS:
        assert_equal_paths("json", data, options)


NAMED = ["w3c", "cloudfront", "csv"]
NAMED_PIECES = [
    b'"', b'""', b",", b";", b"\t", b" ", b"-", b"+", b"%20", b"\r", b"\0", b"#", b"\xff", b"\xc3\xa9", b"\n", b"",
    b'"a,b"', b"2024-01-01", b"23:59:60", b"999.1.1.1", b"#Fields: date time c-ip\n", b"\n#Fields: time c-ip x\n",
]  # fmt: skip


def with_header(name: str, rng: random.Random) -> bytes:
    """Return the damaged corpus lines of a format below a header."""
    rows = corpus_rows(name)
    header = rng.choice(rows).get("header", "")
    lines = [row["line"].encode() for row in rows if row.get("header", "") == header]
    damaged = [mutate(rng.choice(lines), rng, NAMED_PIECES) for _ in range(1500)]
    return b"\n".join([header.encode(), *damaged, *lines * 20])


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("options", OPTIONS)
def test_damaged_tables_read_alike(name, options):
    """W3C and CSV: values too many, too few, quoted, empty; directives and headers inside."""
    rng = random.Random(name)  # noqa: S311 -- not for secrets
    for pieces in (1, 4):
        assert_equal_paths(name, with_header(name, rng), options, pieces=pieces)


@given(st.data(), st.sampled_from([b",", b";", b"\t"]))
@settings(max_examples=100, deadline=None)
def test_any_csv_reads_alike(data, stop):
    """Any values in each place, as a CSV writer or an attacker writes them."""
    value = st.sampled_from(NAMED_PIECES) | st.binary(max_size=8) | st.just(b"1700000000") | st.just(b"192.0.2.1")
    rows = [stop.join(data.draw(st.lists(value, min_size=3, max_size=5))) for _ in range(4)]
    good = stop.join((b"1700000000", b"192.0.2.1", b"x", b"/a?b"))
    assert_equal_paths("csv", b"\n".join([stop.join((b"ts", b"ip", b"secret", b"url")), *rows, good]), OPTIONS[0])


def test_a_header_that_can_not_be_read_is_a_reject_in_both():
    """Found by the fuzzer: a carriage return in the header; the next line is the header then."""
    assert_equal_paths("csv", b"ts,ip\r\0s\nts,ip,url\n1700000000,192.0.2.1,/a\n", OPTIONS[0])


@pytest.mark.parametrize("name", ["w3c", "csv"])
def test_a_header_is_carried_from_the_careful_reader(name, monkeypatch):
    """A source of unknown size begins with the careful reader; the compiled one goes on with its header."""
    header, line = {
        "w3c": (b"#Fields: date time c-ip cs-uri-stem\n", b"2024-01-01 00:00:00 192.0.2.1 /%d\n"),
        "csv": (b"ts,ip,path\n", b"1700000000,192.0.2.1,/%d\n"),
    }[name]
    monkeypatch.setattr(pipeline, "_WORTH_BYTES", 1)
    monkeypatch.setattr(sources, "_PIECE", 1 << 16)
    data = header + b"".join(line % number for number in range(10_000))
    log = read_log(io.BytesIO(data))
    assert log.summary.events == 10_000
    assert log.table["path"].to_pylist() == [f"/{number}" for number in range(10_000)]


NAMES = st.sampled_from(["ts", "ip", "user", "id", "device", "os", "url", "0", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=150)
def test_any_json_reads_alike(value):
    """Any value JSON can hold, under names that matter."""
    data = json.dumps({"ts": 1_700_000_000, "ip": "192.0.2.1", "user": value, "device": value}).encode()
    assert_equal_paths("json", data + b"\n" + json.dumps(value).encode(), OPTIONS[0])


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=12), max_size=30), st.sampled_from(ACCELERATED))
@settings(max_examples=150, deadline=None)
def test_any_bytes_read_alike(pieces, name):
    """Bytes of no format at all, and hostile pieces put together."""
    assert_equal_paths(name, b"".join(pieces), OPTIONS[0])


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_any_values_in_the_layout_read_alike(data):
    """Any text in each place of a combined line."""
    text = st.sampled_from(PIECES) | st.binary(max_size=20)
    user, request, referrer, agent = (data.draw(text) for _ in range(4))
    status, size = data.draw(text | st.just(b"200")), data.draw(text | st.just(b"17"))
    time = data.draw(st.just(b"10/Oct/2000:13:55:36 -0700") | text)
    line = b'192.0.2.1 - %s [%s] "%s" %s %s "%s" "%s"' % (user, time, request, status, size, referrer, agent)
    assert_equal_paths("combined", line, OPTIONS[0])


@pytest.mark.parametrize("name", ["combined", "haproxy_http"])
def test_lines_longer_than_the_limit_read_alike(name):
    """A long target, a long agent, a line cut inside quotes."""
    line = lines_of(name)[0]
    long = [line.replace(b" HTTP/", b"a" * size + b" HTTP/") for size in (1_000, 65_000, 66_000, 200_000)]
    long += [line.replace(b'"GET', b'"' + b"\\x41" * 20_000 + b'"GET'), line + b"x" * 70_000, b"x" * 70_000, line[:40]]
    assert_equal_paths(name, b"\n".join(long), OPTIONS[0])


def test_distinct_strings_grow_the_table():
    """More distinct strings than the first table holds, in several blocks."""
    lines = [
        b'10.%d.%d.%d - - [10/Oct/2000:13:55:36 +0000] "GET /%d HTTP/1.1" 200 %d "-" "agent %d"'
        % (number >> 16, number >> 8 & 255, number & 255, number, number, number)
        for number in range(60_000)
    ]
    assert_equal_paths("combined", b"\n".join(lines), OPTIONS[0], pieces=3)


def test_real_log_reads_alike():
    """Ten thousand real lines."""
    assert_equal_paths("combined", shared_data("logs/elastic_apache_logs.log").read_bytes(), OPTIONS[0], pieces=4)


def test_strings_are_decoded_once_each(monkeypatch):
    """The careful readers see each distinct string once, however many lines hold it."""
    reader = fast.FastTextReader(all_formats()["combined"], Options())
    seen = []
    original = fast._code
    monkeypatch.setattr(fast, "_code", lambda raw, slot, interners: seen.append(raw) or original(raw, slot, interners))
    line = b'192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1 "https://a.example/" "agent"\n'
    for _ in range(3):
        reader.read_block(Block("x", [line * 1000], 1))
    assert sorted(seen) == sorted(
        [b"192.0.2.1", b"-", b"https://a.example/", b"agent", b"GET", b"HTTP/1.1", b"-"][: len(seen)]
    )
