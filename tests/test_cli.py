"""The command, run as a command: results, errors, exit codes, and a full disk."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import subprocess
import sys
from contextlib import suppress

import pandas as pd
import pytest

from conftest import ROOT, SAMPLE
from fraudlog.schema import DECISIONS, SCORES, column_names

TABLES = {"events", "rejected", "sessions", "scores", "decisions"}


def run(*arguments, **options) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fraudlog", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    """One key for all runs of this module."""
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text("42" * 32)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def scored(tmp_path_factory, key_file):
    """The sample log, scored."""
    out = tmp_path_factory.mktemp("scored") / "out"
    done = run("score", SAMPLE.relative_to(ROOT), "--out", out, "--json", "--key-file", key_file)
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout), done.stderr


def test_a_short_log_is_scored_by_its_evidence_and_says_so(tmp_path, key_file):
    """A log of an hour has too few people to learn from; a scanner in it is found all the same."""
    log = tmp_path / "short.log"
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    rows = [("198.51.100.7", "/", 200, agent), *(("203.0.113.9", path, 404, "-") for path in ("/.env", "/.git/config"))]
    log.write_text(
        "".join(
            f'{ip} - - [17/May/2026:10:00:0{i} +0000] "GET {path} HTTP/1.1" {status} 12 "-" "{agent}"\n'
            for i, (ip, path, status, agent) in enumerate(rows)
        )
    )
    done = run("score", log, "--out", tmp_path / "out", "--json", "--key-file", key_file)
    assert done.returncode == 0, done.stderr
    assert "only 1 of 2 sessions are presumed human" in done.stderr
    found = json.loads(done.stdout)
    assert [row["verdict"] for row in found["top"]] == ["challenge"]
    assert found["model"]["warning"] in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("verb", ["score", "fit", "evaluate", "suggest-endpoints"])
def test_a_log_without_an_event_is_said_to_be_one(verb, tmp_path):
    """Whatever is asked of it."""
    (tmp_path / "empty.log").touch()
    done = run(verb, tmp_path / "empty.log")
    assert (done.returncode, done.stderr) == (3, f"fraudlog: {tmp_path}/empty.log: holds no event of a session\n")


def test_a_file_among_logs_that_is_none_is_named_once(tmp_path, key_file):
    """The others are read, and the message does not stammer."""
    (tmp_path / "a.log").write_text('198.51.100.7 - - [17/May/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 12\n')
    (tmp_path / "b.log").write_bytes(bytes(range(256)) * 8)
    done = run("score", tmp_path, "--out", tmp_path / "out", "--key-file", key_file)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"fraudlog: {tmp_path}/b.log: is no access log of a known format")


def test_score_writes_tables_and_a_report(scored):
    """Parquet that pandas reads, the declared columns, every line accounted for."""
    out, found, _ = scored
    assert {path.name for path in out.iterdir()} == {f"{name}.parquet" for name in TABLES} | {
        "report.html",
        "summary.json",
    }
    frames = {name: pd.read_parquet(out / f"{name}.parquet") for name in TABLES}
    log = found["log"]
    assert log["lines"] == len(frames["events"]) + len(frames["rejected"]) + log["blank"] == 10_000
    assert list(frames["scores"]) == column_names(SCORES)
    assert list(frames["decisions"]) == column_names(DECISIONS)
    assert len(frames["sessions"]) == len(frames["scores"]) == found["sessions"] == sum(found["verdicts"].values())
    assert set(frames["events"]["session_id"]) == set(frames["sessions"]["session_id"])


def test_json_is_one_object_and_progress_stays_off_a_pipe(scored):
    """Nothing but JSON on stdout, nothing at all on stderr."""
    _, found, stderr = scored
    assert stderr == ""
    assert found["top"][0]["risk"] >= found["top"][-1]["risk"]
    assert found["top"][0]["reasons"][0]["text"]


def test_no_raw_address_is_written(scored, sample_log):
    """None of the log's 1,753 addresses stands in any output: not in a column, decoded, nor in the page."""
    out, _, _ = scored
    plain = set(sample_log.events["client_ip"])
    for path in out.iterdir():
        content = pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else path.read_text("utf-8")
        shown = set(re.findall(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])", content))
        # A pseudonym may by chance be another client's address; more than a few can not.
        assert len(shown & plain) <= 3, path.name


def test_scoring_again_gives_the_same_bytes(scored, tmp_path, key_file):
    """The same log, key and options: the same files."""
    out, _, _ = scored
    done = run("score", SAMPLE.relative_to(ROOT), "--out", tmp_path / "again", "--key-file", key_file)
    assert done.returncode == 0
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_table_names_the_top_sessions_with_reasons(tmp_path, key_file):
    """What a person sees first."""
    done = run("score", SAMPLE, "--out", tmp_path, "--top", "3", "--key-file", key_file)
    assert done.returncode == 0
    assert "10,000 lines = 9,999 events + 1 rejected + 0 blank" in done.stdout
    assert "scanners" in done.stdout
    assert "report:" in done.stdout


def test_progress_shows_on_a_terminal(tmp_path, key_file):
    """On stderr, when that is a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fraudlog", "score", SAMPLE, "--out", tmp_path, "--key-file", key_file]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs, env=environment, cwd=ROOT)
    os.close(theirs)
    shown = b""
    # The terminal must be read while the command runs, or it fills up; at its end Linux answers EIO.
    with suppress(OSError):
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)
    assert process.wait() == 0
    assert b"reading" in shown


def test_fit_then_score_with_the_model(scored, tmp_path, key_file):
    """Learn from a log, then score it: to the same risks as scoring it without a model."""
    model = tmp_path / "m.fraudlog"
    done = run("fit", SAMPLE, "--model", model, "--key-file", key_file)
    assert done.returncode == 0
    assert "presumed-human of 3,026 sessions" in done.stdout
    done = run("score", SAMPLE, "--model", model, "--out", tmp_path / "out", "--json", "--key-file", key_file)
    assert json.loads(done.stdout)["model"]["origin"] == "detector m.fraudlog"
    ours, theirs = (pd.read_parquet(out / "scores.parquet") for out in (tmp_path / "out", scored[0]))
    pd.testing.assert_frame_equal(ours, theirs)


def test_report_is_written_anew_from_the_tables(scored):
    """The same page, without the log."""
    out, _, _ = scored
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert run("report", out).returncode == 0
    assert (out / "report.html").read_bytes() == before


def test_explain_prints_reasons_and_lines(scored, key_file):
    """By the beginning of a session's id."""
    out, found, _ = scored
    top = found["top"][0]
    risk = pd.read_parquet(out / "scores.parquet").set_index("session_id")["risk"][top["session_id"]]
    done = run("explain", SAMPLE.relative_to(ROOT), top["session_id"][:10], "--key-file", key_file)
    assert done.returncode == 0, done.stderr
    assert f"risk {risk:.2f}" in done.stdout
    assert done.stdout.count("access.log.gz:") == top["requests"]
    assert done.stdout.count("]  lines ") == len(top["reasons"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["score", "missing.log"], 3, "fraudlog: missing.log: no such file; check the path"),
        (["score", "some.png"], 3, "fraudlog: some.png: is no access log of a known format"),
        (["score", "folder"], 3, "fraudlog: folder: is a folder"),
        (["score", "empty.log"], 3, "fraudlog: empty.log:"),
        (["score", "good.log", "--format", "nonsense"], 2, "is not known; use auto"),
        (["score", "good.log", "--model", "missing.fraudlog"], 5, "no such model"),
        (["score", "good.log", "--model", "some.png"], 5, "is no fraudlog model"),
        (["score", "good.log", "--fail-on", "panic"], 2, "--fail-on knows allow, observe, challenge, deny"),
        (["fit", "good.log"], 2, "presumed human"),
        (["explain", "abc"], 2, "name the log, then the session"),
        (["report", "folder"], 3, "lacks sessions.parquet"),
    ],
)
def test_errors_are_one_clear_line(tmp_path, arguments, code, message):
    """On stderr, with the exit code of their kind, without a traceback."""
    (tmp_path / "some.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.log").touch()
    (tmp_path / "good.log").write_text('203.0.113.9 - - [17/May/2015:10:05:03 +0200] "GET / HTTP/1.0" 304 -\n')
    command = [sys.executable, "-m", "fraudlog", *arguments]
    source = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=source)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "203.0.113.9" not in done.stderr
    assert done.stdout == ""


def test_fail_on_turns_findings_into_an_exit_code(tmp_path, key_file):
    """For schedulers: 1 if there is something to look at."""
    done = run("score", SAMPLE, "--out", tmp_path, "--fail-on", "challenge", "--key-file", key_file)
    assert done.returncode == 1
    done = run("score", SAMPLE, "--out", tmp_path, "--fail-on", "deny", "--key-file", key_file)
    assert done.returncode == 0


def test_a_full_disk_leaves_the_last_run_as_it_was(scored, key_file):
    """The kernel refuses files above 50 kB: one clear line, exit 6, the old files byte for byte, no draft."""
    out, _, _ = scored
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))}
    done = run("score", SAMPLE, "--out", out, "--daily-reviews", "1", "--key-file", key_file, **limit)
    assert done.returncode == 6, done.stderr
    assert "can't be written (File too large)" in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_too_many_rejects_fail_the_run(tmp_path, key_file):
    """Exit 3, and nothing is written."""
    log = tmp_path / "half.log"
    line = '203.0.113.9 - - [17/May/2015:10:05:03 +0200] "GET / HTTP/1.0" 304 -\n'
    log.write_text((line + "no log line\n") * 50)
    done = run("score", log, "--out", tmp_path / "out", "--max-reject-share", "0.1", "--key-file", key_file)
    assert done.returncode == 3
    assert "reject" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["score", "fit", "report", "explain", "features", "suggest-endpoints", "evaluate"])
def test_help_says_what_it_does_with_an_example(verb):
    """For every verb."""
    done = run(verb, "--help", env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0
    assert f"Example: fraudlog {verb} " in done.stdout


def test_version_is_the_packages():
    """As in the changelog."""
    assert run("--version").stdout == "fraudlog 0.1.0\n"


def test_closed_pipe_is_no_error(tmp_path, key_file):
    """`fraudlog score ... | head -1` ends quietly."""
    command = f"{sys.executable} -m fraudlog score {SAMPLE} --out {tmp_path} --key-file {key_file} | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "Traceback" not in done.stderr
