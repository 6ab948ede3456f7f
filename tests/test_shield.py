"""As events leave the reader: nothing raw, the same features, unknown fields gone, and 1,000 planted identifiers."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import random
import signal
import subprocess
import sys
import urllib.parse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from conftest import ROOT, SAMPLE
from fraudlog.enriching import Shield
from fraudlog.errors import ConfigError
from fraudlog.jobs import job_status
from fraudlog.privacy import IP_MODES, Pseudonyms, Withheld
from fraudlog.sessions import FEATURES
from job_support import Site, sample_lines, small_model
from leak_support import contents, hits

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))
NAMES = [row.name for row in FEATURES]
UNKNOWN = (
    *("Authorization", "Cookie", "Set-Cookie", "email", "e_mail", "phone", "first_name", "last_name", "birth_date"),
    *("password", "passwd", "secret", "api_key", "access_token", "refresh_token", "id_token", "credit_card", "iban"),
    *("ssn", "passport", "street", "city", "zip", "latitude", "longitude", "gender", "religion", "health", "salary"),
    *("X-Forwarded-Email", "X-User-Name", "Proxy-Authorization", "request_body", "response_body", "form", "headers"),
    *("contacts", "advertising_id", "imei", "mac_address", "fingerprint_raw"),
)


def features_of(log) -> pd.DataFrame:
    """Features by first line, which no pseudonym changes."""
    sessions = fl.build_sessions(log.table)
    return sessions.set_index(["source", "first_line", "piece"])[NAMES].sort_index()


@pytest.fixture(scope="module")
def raw_log():
    return fl.read_log(SAMPLE)


@pytest.fixture(scope="module")
def shielded_log():
    return fl.read_log(SAMPLE, privacy=Shield(KEY))


def test_features_are_the_same_behind_the_shield(raw_log, shielded_log):
    """Bit for bit, over all sessions of the sample."""
    pd.testing.assert_frame_equal(features_of(shielded_log), features_of(raw_log), check_exact=True)


def test_markup_in_queries_is_told_behind_the_shield():
    """That a query attacks is seen still; what it says is not, nor what others ask for."""
    queries = ("id=1%27", "id=1'", "q=%3Cscript", "f=%2e%2e/x", "q=shoes", "")
    line = '192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] "GET /a?{} HTTP/1.1" 200 23\n'
    text = "".join(line.format(query) for query in queries).encode()
    raw, shielded = fl.read_log(io.BytesIO(text)), fl.read_log(io.BytesIO(text), privacy=Shield(KEY))
    assert features_of(raw)["markup_in_queries"].item() == 4
    pd.testing.assert_frame_equal(features_of(shielded), features_of(raw), check_exact=True)
    assert set("".join(shielded.events["query"].dropna())) == {"*", "<"}


def test_what_the_address_said_stays_true(raw_log, shielded_log):
    """Networks, crawlers and classes were looked up before the address went, and are not looked up again."""
    raw = fl.enrich(raw_log.events)
    again = fl.enrich(shielded_log.events)
    for name in ("ip_class", "ip_version", "crawler_state", "endpoint", "browser"):
        pd.testing.assert_series_equal(again[name], raw[name], check_dtype=False)
    assert again["ip_prefix"].nunique() == raw["ip_prefix"].nunique()


def test_lines_still_add_up(raw_log, shielded_log):
    """Shielding loses no line."""
    before, after = raw_log.summary, shielded_log.summary
    assert (after.lines, after.events, after.rejected, after.blank) == (
        before.lines,
        before.events,
        before.rejected,
        before.blank,
    )
    assert shielded_log.rejected_table["raw"].null_count == after.rejected


@pytest.mark.parametrize("mode", IP_MODES)
def test_every_ip_mode_builds_sessions(mode):
    """With less of the address, sessions of neighbours may become one, never more than with all of it."""
    table = fl.read_log(SAMPLE, privacy=Shield(KEY, ip_mode=mode)).table
    sessions = fl.build_sessions(table)
    assert 500 < len(sessions) <= 3_026
    raw = set(fl.read_log(SAMPLE).events["client_ip"])
    shown = set(table["client_ip"].to_pylist()) - {None}
    assert len(shown & raw) <= 3  # a pseudonym may be somebody's address by chance
    assert (table["client_ip"].null_count == len(table)) == (mode == "drop")


def test_an_unknown_ip_mode_is_refused():
    """The message lists those there are."""
    with pytest.raises(ConfigError, match="pfx, opaque, truncate, drop"):
        Shield(KEY, ip_mode="hash")  # type: ignore[arg-type]


@given(st.lists(st.ip_addresses() | st.text("abc/.:%1", max_size=6), min_size=1, max_size=8), st.sampled_from(IP_MODES))
def test_no_value_passes_as_it_was(values, mode):
    """Not even one that is no address; nulls stay null."""
    texts = pa.array([*map(str, values), None], pa.string())
    hidden = Pseudonyms(KEY, mode).address_array(texts, "client_ip")
    assert len(hidden) == len(texts)
    assert hidden[-1].as_py() is None
    for before, after in zip(texts.to_pylist()[:-1], hidden.to_pylist()[:-1], strict=True):
        is_kept = mode == "truncate" and before.endswith((".0", "::"))
        assert after != before or is_kept or (mode == "pfx" and ("." in before or ":" in before))


PLANTED = {name: f"planted-{number:02}" for number, name in enumerate(UNKNOWN)}
KNOWN = {"time": "2026-01-01T10:00:00Z", "client_ip": "192.0.2.1", "method": "GET", "path": "/", "status": 200}
_VARIABLES = " ".join(f'"$http_{name.lower().replace("-", "_")}"' for name in UNKNOWN)
_VALUES = " ".join(f'"{value}"' for value in PLANTED.values())
_CADDY = {
    "ts": 1767261600.0,
    "request": {"remote_ip": "192.0.2.1", "proto": "HTTP/2.0", "method": "GET", "host": "a.example", "uri": "/"},
    "status": 200,
}


def _json(row: dict[str, Any]) -> bytes:
    return (json.dumps(row) + "\n").encode()


def _caddy() -> bytes:
    headers = {name: [value] for name, value in PLANTED.items()}
    request = _CADDY["request"] | {"headers": headers | {"User-Agent": ["curl/8"]}} | PLANTED
    return _json(_CADDY | PLANTED | {"request": request, "resp_headers": headers, "user_id": ""})


def _w3c() -> bytes:
    fields = " ".join(f"cs({name})" for name in UNKNOWN)
    return (
        f"#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status {fields}\n"
        f"2026-01-01 10:00:00 192.0.2.1 GET / 200 {' '.join(PLANTED.values())}\n"
    ).encode()


_COMBINED = b'192.0.2.1 - - [01/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8" '
# name: format, bytes of one event (and what stands before it)
_CARRIERS = {
    "json": ("json", lambda: _json(KNOWN | PLANTED)),
    "nested json": (
        "json",
        lambda: _json(KNOWN | {"device": PLANTED, "context": {"user": PLANTED}, "list": [PLANTED]}),
    ),
    "caddy": ("caddy", _caddy),
    "csv": ("csv", lambda: pd.DataFrame([KNOWN | PLANTED]).to_csv(index=False).encode()),
    "w3c": ("w3c", _w3c),
    "log_format": (
        f'$remote_addr [$time_local] "$request" $status {_VARIABLES}',
        lambda: b'192.0.2.1 [01/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 ' + f"{_VALUES}\n".encode(),
    ),
    "further values": (
        "combined",
        lambda: _COMBINED + f"{_VALUES}\n".encode(),
    ),
}


@pytest.mark.parametrize("name", _CARRIERS)
def test_unknown_fields_are_dropped(name):
    """Of 43 fields that no log should hold, none comes in, whatever carries them; each that has a name is counted."""
    assert len(UNKNOWN) >= 40
    log_format, made = _CARRIERS[name]
    for privacy in (None, Shield(KEY)):
        log = fl.read_log(io.BytesIO(made()), log_format, privacy=privacy)
        assert (log.summary.events, log.summary.rejected) == (1, 0)
        assert not planted_in(log.table)
        assert not {field.lower() for field in UNKNOWN} & set(log.table.column_names)
        assert "planted-" not in json.dumps(log.summary.to_dict())
        assert sum(log.summary.dropped.values()) > 0


def planted_in(table: pa.Table) -> list[str]:
    """Return the columns that hold something planted."""
    return [name for name in table.column_names if "planted-" in str(table[name].to_pylist())]


def test_unknown_columns_of_tables_are_dropped(tmp_path):
    """Parquet, pandas, Arrow, polars."""
    frame = pd.DataFrame([KNOWN | PLANTED])
    frame.to_parquet(tmp_path / "frame.parquet")
    polars = pytest.importorskip("polars", reason="the package polars is absent")
    for source in (tmp_path / "frame.parquet", frame, pa.Table.from_pandas(frame), polars.from_pandas(frame)):
        log = fl.read_log(source, privacy=Shield(KEY))
        assert log.summary.events == 1
        assert not planted_in(log.table)
        assert not {name.lower() for name in UNKNOWN} & set(log.table.column_names)


@pytest.mark.parametrize("name", ["json", "csv", "w3c"])
def test_the_job_takes_no_unknown_field(tmp_path, name):
    """Nothing of them in store, state, ledger or report: as bytes, and decoded."""
    log_format, made = _CARRIERS[name]
    www = tmp_path / "www"
    site = Site(tmp_path / "site", small_model(tmp_path), **{"log.format": log_format, "publish.folder": str(www)})
    site.append(made() + made()[made().rfind(b"\n", 0, -1) + 1 :].replace(b"10:00:00", b"12:00:00"))
    assert site.run().tally.events == 2
    blob = b"".join(contents(path) for path in left_by(site, tmp_path / "www"))
    assert len(blob) > 1000
    assert b"planted-" not in blob


def test_who_is_withheld_leaves_a_count_alone(tmp_path):
    """An account that objected: its line is rejected as withheld, and holds no identifier."""
    path = tmp_path / "a.log"
    line = '192.0.2.{} - {} [10/Oct/2025:13:55:36 +0000] "GET /a HTTP/1.0" 200 2326\n'
    path.write_text("".join(line.format(n, name) for n, name in enumerate(["alice", "bob", "alice"])))
    token = Pseudonyms(KEY).tokens(["alice"], "user")[0]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    withheld = Withheld().adding("alice", "user", KEY, "objection", now)
    log = fl.read_log(path, privacy=Shield(KEY, withheld=withheld, now=now))
    assert log.summary.reasons == {"withheld": 2}
    assert log.summary.lines == log.summary.events + log.summary.rejected == 3
    assert log.summary.reject_share == 0
    assert log.rejected_table.to_pylist()[0]["raw"] is None
    assert token not in str(log.table.to_pylist()) + str(log.rejected_table.to_pylist())


def plant(rng: np.random.Generator, n_identifiers: int, n_lines: int) -> tuple[list[str], list[str]]:
    """Return identifiers, and lines of a combined log that hold each in several places."""
    kinds = ("address", "address6", "user", "mail", "token")
    planted: list[tuple[str, str]] = []
    for number in range(n_identifiers):
        kind = kinds[number % len(kinds)]
        value = {
            "address": ".".join(str(octet) for octet in rng.integers(100, 220, 4)),
            "address6": "2a0{}:{:x}:{:x}::{:x}".format(number % 10, *rng.integers(4096, 65535, 2), number + 4096),
            "user": f"planted.user{number:05}",
            "mail": f"planted{number:05}@mail{number}.example",
            "token": f"plantedtoken{rng.integers(1 << 40):010x}{number}",
        }[kind]
        planted.append((kind, value))
    lines = []
    for at in range(n_lines):
        kind, value = planted[at % n_identifiers]
        client = value if kind.startswith("address") else f"198.51.100.{at % 250}"
        user = value if kind in ("user", "mail") else "-"
        where = {0: f"/p?id={value}", 1: "/p", 2: f"/u/{value}/edit", 3: f"/q/{urllib.parse.quote(value, safe='')}"}[
            at % 4
        ]
        if kind == "token":
            where = f"/p;jsessionid={value}?sid={value}"
        referrer = f"https://a.example/r?who={value}" if at % 3 else f"https://{value}:pw@a.example/"
        if kind.startswith("address") and not at % 3:
            referrer = "-"
        agent = f"Mozilla/5.0 (compatible; {value})" if kind == "mail" else "Mozilla/5.0 (X11; Linux) Firefox/128.0"
        second, minute, hour = at % 60, at // 60 % 60, at // 3600 % 24
        lines.append(
            f"{client} - {user} [{10 + at // 86400:02}/Oct/2025:{hour:02}:{minute:02}:{second:02} +0000] "
            f'"GET {where} HTTP/1.1" 200 {at % 9000} "{referrer}" "{agent}"' + ("" if at % 97 else f" torn {value}")
        )
    return [value for _, value in planted], lines


def test_the_search_would_find_what_is_planted():
    """A search that can't find proves nothing."""
    value = "planted.user00001"
    for blob in (
        b"x" + value.encode(),
        base64.b64encode(b"ab" + value.encode() + b"yz"),
        value.encode().hex().encode(),
        urllib.parse.quote("planted00003@mail3.example", safe="").encode(),
        np.array([0x2A07_1234_5678_0000], np.uint64).tobytes(),
    ):
        assert hits([value, "planted00003@mail3.example", "2a07:1234:5678::1003"], blob)


def leak_test(tmp_path, monkeypatch, capfd, n_identifiers: int, n_lines: int) -> None:
    """Read, train, score and report a log full of planted identifiers; none may be in anything that comes out."""
    from fraudlog import cli  # noqa: PLC0415 -- used here alone

    identifiers, lines = plant(np.random.default_rng(7), n_identifiers, n_lines)
    log = tmp_path / "in" / "access.log"
    log.parent.mkdir()
    log.write_bytes(gzip.decompress(SAMPLE.read_bytes()) + ("\n".join(lines) + "\n").encode())  # people to learn from
    monkeypatch.setenv("FRAUDLOG_KEY", KEY.hex())
    monkeypatch.setenv("TMPDIR", str(tmp_path / "out"))
    (tmp_path / "out").mkdir()
    runs = (
        ["fit", str(log), "--format", "combined", "--model", str(tmp_path / "out" / "m.fraudlog")],
        ["score", str(log), "--format", "combined", "--out", str(tmp_path / "out" / "scored"), "--json"],
        ["report", str(tmp_path / "out" / "scored")],
        ["score", str(log), "--format", "combined", "--max-reject-share", "0", "--out", str(tmp_path / "out" / "x")],
    )
    for arguments in runs:
        monkeypatch.setattr("sys.argv", ["fraudlog", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code in (0, None, 3), arguments
    shown = capfd.readouterr()
    blob = shown.out.encode() + shown.err.encode()
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {"m.fraudlog", "events.parquet", "report.html", "rejected.parquet"} <= {path.name for path in files}
    blob += b"".join(contents(path) for path in files)
    found = hits(identifiers, blob)
    # An encrypted address may by chance be spelt like a planted one: at most one in four thousand million a pair.
    assert found == []


def test_planted_identifiers_leave_no_trace(tmp_path, monkeypatch, capfd):
    """100 identifiers in 6,000 lines; `test_a_thousand_in_a_million` does the whole."""
    leak_test(tmp_path, monkeypatch, capfd, 100, 6_000)


@pytest.mark.slow
def test_a_thousand_in_a_million(tmp_path, monkeypatch, capfd):
    """1,000 identifiers in 1,000,000 lines."""
    leak_test(tmp_path, monkeypatch, capfd, 1_000, 1_000_000)


def killed_job(tmp_path, n_identifiers: int, n_lines: int, kills: int) -> None:
    """Take planted lines in by the job, killed again and again; look through all it leaves, drafts and stderr too."""
    identifiers, lines = plant(np.random.default_rng(3), n_identifiers, n_lines)
    places = {"publish.folder": str(tmp_path / "out" / "www"), "metrics.file": str(tmp_path / "out" / "job.prom")}
    places["sql.url"] = f"sqlite:///{tmp_path / 'out' / 'copy.sqlite'}"
    site = Site(tmp_path / "site", small_model(tmp_path), **places)
    site.append(b"".join(sample_lines(1500)) + ("\n".join(lines) + "\n").encode())
    (tmp_path / "out").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(tmp_path / "out"), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-X", "faulthandler", "-m", "fraudlog", "job", "run", "--config", str(site.file)]
    shown, chance = b"", random.Random(1)  # noqa: S311 -- moments, not keys
    seen = b""
    for attempt in range(kills + 1):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            try:
                out, err = running.communicate(timeout=None if attempt == kills else 1.5 + chance.random() * 4)
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGABRT if attempt % 2 else signal.SIGKILL)
                out, err = running.communicate()
        shown += out + err
        seen += b"".join(contents(path) for path in left_by(site, tmp_path / "out"))
    files = left_by(site, tmp_path / "out")
    assert {"manifest.json", "report.html", "job.prom", "copy.sqlite", "runs.jsonl"} <= {path.name for path in files}
    assert json.loads((site.store / "ledger" / "runs.jsonl").read_text().splitlines()[-1])["carried_events"] > 0
    assert sum(store_counts(site)[name] for name in ("events", "rejected")) == 1500 + n_lines
    assert any(path.suffix == ".arrow" for path in files)
    assert hits(identifiers, shown + seen) == []


def store_counts(site: Site) -> dict[str, int]:
    """Return what became of the lines over all runs, the killed ones too."""
    counts: dict[str, int] = job_status(site.config)["counts"]
    return counts


def left_by(site: Site, out: Path) -> list[Path]:
    """Return every whole file that the job left, drafts of a killed one too."""
    return [path for folder in (site.store, out) for path in folder.rglob("*") if path.is_file()]


def test_a_killed_job_leaves_no_planted_identifier(tmp_path):
    """Nor does what it was writing when it died."""
    killed_job(tmp_path, 100, 3_000, 2)


@pytest.mark.slow
def test_a_job_killed_over_a_million_lines(tmp_path):
    """1,000 identifiers, ten kills."""
    killed_job(tmp_path, 1_000, 1_000_000, 10)
