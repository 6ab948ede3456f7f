"""What is shown and written: safe against the log's own text, self-contained, whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from conftest import make_events
from fraudlog.errors import InputError, OutputError
from fraudlog.privacy import Pseudonyms
from fraudlog.reporting import read_tables, render_report, safe_text, staged, write_tables

NAMES = Pseudonyms(bytes(range(32)))
SUMMARY = {
    "log": {
        "sources": ["a.log"],
        "format": "combined",
        "lines": 60,
        "events": 60,
        "rejected": 0,
        "blank": 0,
        "reasons": {},
    }
    | {"first": "2026-01-01T10:00:00+00:00", "last": "2026-01-01T12:00:00+00:00"},
    "model": {"origin": "fitted on this very log", "reference_size": 60, "sessions_seen": 61, "window": ["a", "b"]},
}


class _Tags(HTMLParser):
    """Collects the tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@pytest.fixture(scope="module")
def hostile() -> dict[str, pd.DataFrame]:
    """A log whose agents attack the reader, among 60 ordinary clients."""
    nasty = '<script>alert(1)</script><img src="http://evil.example/x"> \x1b[31m\u202e{{ 7*7 }}'
    people = [{"client_ip": f"198.51.{i}.1", "path": f"/{i % 7}", "at": i * 100} for i in range(60)]
    events = make_events(*people, {"client_ip": "203.0.113.9", "path": "/.env", "status": 404, "user_agent": nasty})
    sessions = fl.build_sessions(events)
    scores = fl.Detector(n_estimators=10).fit(sessions).score(sessions)
    return {"events": events, "sessions": sessions, "scores": scores, "decisions": fl.Policy().decide(scores)}


def test_report_runs_nothing_and_asks_nobody(hostile):
    """No script, no link, no image: the page is one file, and its policy forbids the rest."""
    page = render_report(SUMMARY, hostile["sessions"], hostile["scores"], hostile["decisions"])
    found = _Tags(page)
    assert {"script", "img", "iframe", "link", "object", "form", "a"}.isdisjoint(found.tags)
    assert {"src", "href", "action", "onload", "onclick"}.isdisjoint(name for name, _ in found.attributes)
    assert "default-src 'none'" in page
    assert "url(" not in page


def test_report_shows_hostile_text_as_text(hostile):
    """The agent is there, escaped, without terminal codes or reordering."""
    page = render_report(SUMMARY, hostile["sessions"], hostile["scores"], hostile["decisions"])
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


@given(st.text())
def test_safe_text_is_one_printable_line(text):
    """Whatever the log says."""
    shown = safe_text(text, 50)
    assert len(shown) <= 50
    shown.encode("utf-8")
    assert not set(shown) & set("\x00\x07\x1b\r\n\x7f\x85\x9b\u200b\u2028\u202e\u2066\ufeff")


def test_tables_come_back_as_written(tmp_path, hostile):
    """Same rows; addresses replaced, everything else equal."""
    tables = {name: hostile[name] for name in ("sessions", "scores", "decisions")}
    write_tables(tmp_path, tables, SUMMARY, NAMES)
    back, summary = read_tables(tmp_path, *tables)
    assert summary == SUMMARY
    pd.testing.assert_frame_equal(back["scores"].drop(columns="reasons"), hostile["scores"].drop(columns="reasons"))
    assert [list(map(dict, row)) for row in back["scores"]["reasons"]] == hostile["scores"]["reasons"].tolist()
    assert set(back["sessions"]["client_ip"]).isdisjoint(hostile["sessions"]["client_ip"])
    same = [name for name in hostile["sessions"] if name not in ("client_ip", "ip_prefix")]
    pd.testing.assert_frame_equal(back["sessions"][same], hostile["sessions"][same])


def test_nothing_raw_is_written(tmp_path, hostile):
    """Not in the bytes, not in the decoded pages."""
    write_tables(tmp_path, hostile, SUMMARY, NAMES)
    for path in tmp_path.iterdir():
        decoded = pd.read_parquet(path).to_csv().encode() if path.suffix == ".parquet" else b""
        content = path.read_bytes() + decoded
        assert b"203.0.113.9" not in content
        assert b"198.51." not in content


def test_a_failed_write_leaves_what_was_there(tmp_path):
    """A full disk, by the kernel's own error: the old file stands, no draft stays."""
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(OutputError, match="No space left on device"), staged(tmp_path) as draft:  # noqa: PT012
        (draft / "a.bin").write_bytes(b"new")
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_staged_files_replace_the_old_ones(tmp_path):
    """All of them, once all are written."""
    (tmp_path / "a.bin").write_bytes(b"old")
    with staged(tmp_path) as draft:
        (draft / "a.bin").write_bytes(b"new")
        assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert (tmp_path / "a.bin").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_draft_that_a_killed_process_left_is_removed(tmp_path):
    """What is in it is about people; a draft that another process works on stays."""
    (tmp_path / ".draft-1").mkdir()
    (tmp_path / ".draft-1" / "geo.conf").write_text("192.0.2.7")
    with staged(tmp_path) as draft:
        assert [one.name for one in tmp_path.iterdir()] == [draft.name]
        (draft / "a.bin").write_bytes(b"new")
        other = (
            "import sys, pathlib; from fraudlog.reporting import staged\nwith staged(pathlib.Path(sys.argv[1])): pass"
        )
        subprocess.run([sys.executable, "-c", other, str(tmp_path)], check=True)
        assert draft.is_dir()
    assert [one.name for one in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    """Say so, in the system's words."""
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="Not a directory"), staged(tmp_path / "out"):
        pass


def test_reading_an_empty_or_damaged_folder(tmp_path):
    """Say which table lacks, or that one is damaged."""
    with pytest.raises(InputError, match=r"lacks sessions\.parquet"):
        read_tables(tmp_path, "sessions")
    (tmp_path / "sessions.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        read_tables(tmp_path, "sessions")
