"""`read_log` as a whole: columns, summary, limits, frames, errors, and any bytes at all."""

from __future__ import annotations

import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError, FormatError, InputError
from fraudlog.reading import REASONS, Field, Format, all_formats, iter_log, read_log
from fraudlog.reading import formats as formats_module
from fraudlog.reading.decompress import compression_of
from fraudlog.schema import EVENTS, REJECTED, arrow_schema, column_names
from reading_support import corpus_rows, formats_with_corpus

LINE = b'192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET /%s HTTP/1.1" 200 5 "-" "agent"\n'
DEVICE = [
    {"ts": 1700000000, "user": "u1", "device": {"os": "iOS", "browser": "Safari"}, "language": "de", "ip": "192.0.2.1",
     "event": "login", "outcome": "failure"},
    {"ts": 1700000001, "user": "u2", "device": {"os": "Android", "browser": None}, "language": "en", "ip":
    "2001:DB8::1",
     "event": "login", "outcome": "OK"},
]  # fmt: skip


def test_tables_have_the_types_of_the_schema():
    """Only the columns that the format carries, in the schema's order, dictionaries for what repeats."""
    log = read_log(io.BytesIO(LINE % b"a"))
    names = log.table.column_names
    assert names == [name for name in column_names(EVENTS) if name in names]
    assert {"timestamp", "client_ip", "source", "line_number"} <= set(names)
    assert "language" not in names
    schema = arrow_schema(EVENTS)
    assert all(log.table.schema.field(name).type == schema.field(name).type for name in names)
    assert log.rejected_table.schema == arrow_schema(REJECTED)


def test_events_are_a_frame():
    """Pandas sees null, never a minus sign."""
    frame = read_log(io.BytesIO(LINE % b"a")).events
    assert frame["referrer"].isna().all()
    assert str(frame["timestamp"].dtype) == "datetime64[us, UTC]"


def test_summary_is_json():
    """Counts, reasons, range; every reason has its sentence."""
    log = read_log(io.BytesIO(LINE % b"a" + b"junk\n\n" + LINE % b"b"), "combined")
    plain = json.loads(json.dumps(log.summary.to_dict()))
    assert (plain["lines"], plain["events"], plain["rejected"], plain["blank"]) == (4, 2, 1, 1)
    assert set(plain["reasons"]) <= set(REASONS)
    assert plain["first"] == plain["last"] == "2000-10-10T13:55:36+00:00"
    assert "2 events" in repr(log)


def test_too_many_rejects_fail_the_run():
    """Exit code 3, the share and the main reason in the message."""
    data = LINE % b"a" + b"junk\n"
    assert read_log(io.BytesIO(data), max_reject_share=0.5).summary.rejected == 1
    with pytest.raises(FormatError, match=r"50.00%.*no_match") as caught:
        read_log(io.BytesIO(data), max_reject_share=0.4)
    assert caught.value.exit_code == 3
    with pytest.raises(ConfigError):
        read_log(io.BytesIO(data), max_reject_share=4)


def test_long_values_are_cut_with_a_flag():
    """Agents at 1,024 bytes, headers at 512, lines at 64 KiB, never inside a character."""
    head = '192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 '
    data = "".join(
        head + values
        for values in (f'"{"é" * 300}" "agent"\n', f'"-" "{"a" * 2000}"\n', '"-" "b"\n', f'"-" "{"c" * 70000}"\n')
    ).encode()
    table = read_log(io.BytesIO(data), "combined").table
    assert table["is_truncated"].to_pylist() == [True, True, False, True]
    assert table["referrer"].to_pylist()[0] == "é" * 256
    assert [len(agent) for agent in table["user_agent"].to_pylist()[1:]] == [1024, 1, 1024]


def test_fields_map_units_and_renamed_values():
    """The declared map of a device log."""
    data = "\n".join(json.dumps({**row, "ts": row["ts"] * 1000}) for row in DEVICE).encode()
    log = read_log(
        io.BytesIO(data),
        fields={"timestamp": Field("timestamp", ("ts",), unit="ms"), "client_ip": "ip", "user": "user", "os":
        "device.os",
                "action": "event", "outcome": Field("outcome", ("outcome",), values={"OK": "success"})},
    )  # fmt: skip
    assert log.table["outcome"].to_pylist() == ["failure", "success"]
    assert log.table["os"].to_pylist() == ["iOS", "Android"]
    assert log.table["client_ip"].to_pylist() == ["192.0.2.1", "2001:db8::1"]
    assert log.summary.first.isoformat() == "2023-11-14T22:13:20+00:00"
    assert "language" not in log.table.column_names


@pytest.mark.parametrize(
    "fields",
    [{"colour": "c"}, {"os": Field("os", ("o",), reader="x")}, {"os": Field("os", ("o",), unit="h")}],
)
def test_a_map_that_cannot_be(fields):
    """A column, reader or unit that does not exist."""
    with pytest.raises(ConfigError, match="fields"):
        read_log(io.BytesIO(b"{}\n"), fields=fields)


def frames() -> dict[str, object]:
    """Return the same rows as each kind of frame."""
    table = pa.Table.from_pylist(DEVICE)
    return {"arrow": table, "batch": table.to_batches()[0], "pandas": pd.DataFrame(DEVICE), "reader": table.to_reader()}


@pytest.mark.parametrize("kind", ["arrow", "batch", "pandas", "reader"])
def test_frames_read_like_lines(kind):
    """Pandas and Arrow, through the PyCapsule interface, give what JSON lines give."""
    lines = read_log(io.BytesIO("\n".join(map(json.dumps, DEVICE)).encode()))
    assert_same_events(read_log(frames()[kind]), lines)


def test_polars_frames():
    """Polars, through the PyCapsule interface."""
    polars = pytest.importorskip("polars")
    lines = read_log(io.BytesIO("\n".join(map(json.dumps, DEVICE)).encode()))
    assert_same_events(read_log(polars.DataFrame(DEVICE)), lines)


def test_parquet(tmp_path):
    """A Parquet file, told by its first bytes."""
    file = tmp_path / "events.bin"
    pq.write_table(pa.Table.from_pylist(DEVICE), file)
    lines = read_log(io.BytesIO("\n".join(map(json.dumps, DEVICE)).encode()))
    assert_same_events(read_log(file), lines)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(FormatError, match="damaged"):
        read_log(file)


def assert_same_events(got, expected):
    """Compare all columns but the source."""
    drop = ["source"]
    assert got.table.drop_columns(drop).to_pylist() == expected.table.drop_columns(drop).to_pylist()


def test_frame_rows_that_are_no_events():
    """Rejected rows keep their reason and content; typed times are taken as they are."""
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(["2024-01-01T00:00:00Z", None, "1971-01-01T00:00:00Z", "2024-01-01T00:00:00Z"]),
            "ip": ["192.0.2.1", "192.0.2.1", "192.0.2.1", "nowhere"],
        }
    )
    log = read_log(frame)
    assert log.rejected_table["reason"].to_pylist() == ["missing_time", "bad_time", "bad_address"]
    assert log.summary.lines == 4
    assert b"nowhere" in log.rejected_table["raw"][2].as_py()


def test_w3c_fields_may_change_in_the_middle():
    """IIS writes a new directive when its settings change."""
    data = b"""#Software: IIS
#Fields: date time c-ip cs-method cs-uri-stem sc-status
2024-01-01 00:00:00 192.0.2.1 GET /a 200
#Fields: date time cs-method cs-uri-stem c-ip cs(User-Agent) sc-status
2024-01-01 00:00:01 GET /b 192.0.2.2 Mozilla/5.0+(X11) 404
"""
    log = read_log(io.BytesIO(data))
    assert log.table["path"].to_pylist() == ["/a", "/b"]
    assert log.table["client_ip"].to_pylist() == ["192.0.2.1", "192.0.2.2"]
    assert log.table["user_agent"].to_pylist() == [None, "Mozilla/5.0 (X11)"]
    assert (log.summary.lines, log.summary.blank) == (5, 3)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("w3c", b"#Fields: date time time c-ip\n2024-01-01 x 00:00:01 192.0.2.1\n2024-01-01 x 192.0.2.1\n"),
        ("csv", b"ts,ip,ip\n1700000000,x,192.0.2.1\n1700000000,192.0.2.1\n"),
    ],
)
def test_a_name_that_stands_twice_in_a_header(name, data):
    """The last counts, and the number of values is that of the header. Found by fuzzing."""
    log = read_log(io.BytesIO(data), name)
    assert log.table["client_ip"].to_pylist() == ["192.0.2.1"]
    assert log.summary.reasons == {"wrong_columns": 1}


def test_extra_quoted_fields_are_named_by_their_look():
    """Accept-Language, client hints, request time and addresses behind the agent."""
    line = (
        b'192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "agent" "de-DE,de;q=0.9" '
        rb'"\"Chromium\";v=\"120\", \"Not A\";v=\"99\"" "\"Windows\"" "?0" 0.004 "whatever it is"'
    )
    table = read_log(io.BytesIO(line + b"\n")).table
    row = table.to_pylist()[0]
    assert (row["language"], row["ch_platform"], row["ch_mobile"]) == ("de-DE,de;q=0.9", '"Windows"', "?0")
    assert row["ch_ua"] == '"Chromium";v="120", "Not A";v="99"'
    assert row["duration_s"] == 0.004


def test_a_third_party_format(monkeypatch):
    """An entry point adds a row."""

    class Entry:
        @staticmethod
        def load() -> Format:
            return Format("bars", "text", "a test", ("$iso_time|$remote_addr|$user",))

    monkeypatch.setattr(formats_module, "entry_points", lambda group: [Entry] if group == "fraudlog.formats" else [])
    all_formats.cache_clear()
    try:
        log = read_log(io.BytesIO(b"2024-01-01T00:00:00Z|192.0.2.1|x\n"))
        assert log.summary.format == "bars"
    finally:
        monkeypatch.undo()
        all_formats.cache_clear()


HOSTILE = st.sampled_from([row["line"].encode() for name in formats_with_corpus() for row in corpus_rows(name)[:4]])


@given(st.lists(st.binary(max_size=40) | HOSTILE, max_size=12), st.sampled_from(sorted(all_formats())))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_accounted_for(parts, name):
    """Whatever stands in a log, in every format: no exception, and every line counted."""
    if all_formats()[name].family == "frame":
        name = "json"
    data = b"\n".join(parts)
    assume(not compression_of(data))  # a packed stream that is cut or damaged is an error, tested beside the caps
    for log in (read_log(io.BytesIO(data), name), *iter_log(io.BytesIO(data), name, batch_bytes=64)):
        summary = log.summary
        assert summary.lines == summary.events + summary.rejected + summary.blank
        assert summary.events == log.table.num_rows
        assert summary.rejected == log.rejected_table.num_rows
        assert set(summary.reasons) <= set(REASONS)
        log.table.validate(full=True)
    lines = data.count(b"\n") + (not data.endswith(b"\n")) if data else 0
    assert read_log(io.BytesIO(data), name).summary.lines == lines


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data):
    """Detection gives a log or one clear error."""
    message = ""
    try:
        read_log(io.BytesIO(data))
    except InputError as error:
        message = str(error)
    assert "\n" not in message


@pytest.mark.parametrize("depth", [1_000, 30_000])
def test_deep_json_is_refused(depth):
    """Nesting without end is no record, and no crash."""
    log = read_log(io.BytesIO(b'{"ts":1700000000,"ip":"192.0.2.1"}\n' + b'{"a":' * depth + b"\n"), "json")
    assert log.summary.reasons in ({"not_json": 1}, {"line_too_long": 1})


def test_what_no_column_takes_is_counted_by_name():
    lines = [
        b'{"ts":1700000000,"ip":"192.0.2.1","serial":"F2","device":{"os":"iOS","imei":"3"},"nothing":null,"x":"-"}',
        b'{"ts":1700000001,"ip":"192.0.2.1","serial":"F3","203.0.113.9":1,"deep":{"a":{"b":1}}}',
        b'{"serial":"no time, so no event"}',
    ]
    summary = read_log(io.BytesIO(b"\n".join(lines) + b"\n")).summary
    assert summary.dropped == {"(other)": 1, "deep": 1, "device.imei": 1, "serial": 2}


@pytest.mark.parametrize("n_lines", [1, 60_000])
def test_keys_that_name_somebody_are_counted_and_not_shown(n_lines):
    """A hostile record uses identifiers as keys, at the top and below what is known; both readers alike."""
    who = [
        "mail@example.org",
        "192.0.2.77",
        "ip-192-0-2-77",
        "2001:db8::7",
        "x-2001-db8-7",
        "+4915112345678",
        "u4815162342",
    ]
    who += [
        "session_9f86d081884c7d65",
        "aii6o442nknk6xrx2urxscqsym",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI",
        "AKIAIOSFODNN7EXAMPLEQWERTZ",
    ]
    record = {
        "ts": 1700000000,
        "ip": "192.0.2.1",
        "device": {"os": "iOS", **dict.fromkeys(who, 1)},
        **dict.fromkeys(who, 1),
    }
    log = read_log(io.BytesIO((json.dumps(record | {"appBuild": 1}) + "\n").encode() * n_lines))
    assert log.summary.dropped == {"(other)": 2 * len(who) * n_lines, "appBuild": n_lines}
    assert not any(one in repr(log.summary) for one in who)


def test_dropped_values_of_text_csv_w3c_and_frames_are_counted():
    combined = b'192.0.2.1 id - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1 "-" "a" 1 "secret"\n'
    assert read_log(io.BytesIO(combined)).summary.dropped == {"(more)": 1, "ident": 1}
    named = '$remote_addr [$time_local] "$request" "$cookie_sid" "$http_x_token"'
    line = b'192.0.2.1 [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" "abc" "-"\n'
    assert read_log(io.BytesIO(line), named).summary.dropped == {"cookie_sid": 1}
    assert read_log(io.BytesIO(line), named, fields={"session_token": "cookie_sid"}).summary.dropped == {}
    table = b"ts,ip,email,note\n1700000000,192.0.2.1,a@example.com,\n1700000001,192.0.2.1,b@example.com,x\n"
    assert read_log(io.BytesIO(table)).summary.dropped == {"email": 2, "note": 1}
    w3c = b"#Fields: date time c-ip s-sitename cs(Cookie)\n2024-01-01 00:00:00 192.0.2.1 W3SVC1 -\n"
    assert read_log(io.BytesIO(w3c)).summary.dropped == {"s-sitename": 1}
    frame = pa.table(
        {"ts": [1700000000, None], "ip": ["192.0.2.1"] * 2, "email": ["a", "b"], "d": [{"os": "x", "n": 1}] * 2}
    )
    assert read_log(frame, fields={"timestamp": "ts", "client_ip": "ip", "os": "d.os"}).summary.dropped == {
        "d.n": 1,
        "email": 1,
    }


FRAME_VALUES = {
    "ts": st.sampled_from(
        [1_700_000_000, 1_700_000_000_123, 1_700_000_000_123_456, 10**18, 5, -1, 10**17, 1.7e9 + 0.25, None]
    ),
    "ip": st.sampled_from(["192.0.2.1", "10.0.0.1", "::1", "x", "", "-", None]),
    "user": st.sampled_from(["a", "-", None]),
    "user_id": st.sampled_from(["b", 7, None]),
    "bytes": st.sampled_from([0, 17, -3, 2**62, 1.5, None]),
    "latency_ms": st.sampled_from([0, 1, 12, -1, 3.25, None]),
    "url": st.sampled_from(["/a?b", "https://h.example/x", "", None]),
    "x_forwarded_for": st.sampled_from(["203.0.113.9", "junk", None]),
    "other": st.sampled_from([1, None]),
}


@given(st.lists(st.fixed_dictionaries(FRAME_VALUES), min_size=1, max_size=12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_frame_reads_as_its_lines_do(records, is_behind_proxies):
    """The same records as JSON lines and as a frame give the same events and as many rejects."""
    proxies = ["10.0.0.0/8"] if is_behind_proxies else []
    lines = "".join(json.dumps({k: v for k, v in record.items() if v is not None}) + "\n" for record in records)
    columns = {}
    for name in FRAME_VALUES:
        values = [record[name] for record in records]
        is_text = any(isinstance(value, str) for value in values)
        values = [str(value) if is_text and value is not None else value for value in values]
        has_float = any(isinstance(value, float) for value in values)
        columns[name] = pa.array([float(v) if has_float and v is not None else v for v in values])
    want = read_log(io.BytesIO(lines.encode()), "json", trusted_proxies=proxies)
    got = read_log(pa.table(columns), trusted_proxies=proxies)
    drop = {"source"}
    assert [{k: v for k, v in row.items() if k not in drop and v is not None} for row in got.table.to_pylist()] == [
        {k: v for k, v in row.items() if k not in drop and v is not None} for row in want.table.to_pylist()
    ]
    assert got.summary.reasons == want.summary.reasons
    assert got.summary.dropped == want.summary.dropped
