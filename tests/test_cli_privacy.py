"""`fraudlog privacy`: each verb over a small store, and what goes wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from fraudlog.cli import app
from fraudlog.errors import ConfigError
from fraudlog.privacy import REQUESTS
from fraudlog.store import open_store
from job_support import Site, sample_lines, small_model

RUNNER = CliRunner()
LINES = [line.replace(b" - - [", b" - zoe5 [", 1) if n % 9 == 1 else line for n, line in enumerate(sample_lines(700))]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path / "site", small_model(tmp_path))
    made.append(b"".join(LINES))
    made.run()
    return made


def ask(*arguments: object) -> str:
    done = RUNNER.invoke(app, ["privacy", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_requests_of_a_person(site, tmp_path):
    """Access in three forms, rectify, restrict, lift, object, erase; the trail tells all of it and stays whole."""
    who = ("--config", site.file, "--user", "zoe5")
    held = json.loads(ask("access", *who))["held"]
    assert len(held["events"]) > 0
    assert ask("access", *who, "--form", "csv").startswith("table,")
    page = tmp_path / "zoe.html"
    assert ask("access", *who, "--form", "html", "--out", page).strip() == str(page)
    assert page.stat().st_mode & 0o777 == 0o600
    assert json.loads(ask("rectify", *who, "--set", "country=FR", "--json"))["events"] > 0
    assert "events of theirs" in ask("restrict", *who)
    assert json.loads(ask("lift", *who, "--json"))["what"] == "lift"
    assert json.loads(ask("object", *who, "--json"))["what"] == "objection"
    ask("lift", *who, "--objection")
    assert json.loads(ask("erase", *who, "--reference", "2026-17", "--json"))["events"] > 0
    assert json.loads(ask("access", *who))["held"]["events"] == []
    trail = [json.loads(line)["event"] for line in ask("audit", "show", "--store", site.store).splitlines()]
    assert {"access", "rectify", "restriction", "lift", "objection", "erase"} <= set(trail)
    assert "whole" in ask("audit", "verify", "--store", site.store)
    assert b"zoe5" not in b"".join(path.read_bytes() for path in site.store.rglob("*") if path.is_file())


def test_audit_verify_fails_on_a_changed_byte(site):
    """With exit code 1."""
    ask("erase", "--config", site.file, "--user", "nobody")
    trail = site.store / "ledger" / "audit.jsonl"
    trail.write_bytes(trail.read_bytes().replace(b"erase", b"Erase"))
    assert RUNNER.invoke(app, ["privacy", "audit", "verify", "--store", str(site.store)]).exit_code == 1


def test_purge_hold_and_policies(site, tmp_path):
    """A dry purge, a hold, a wet purge; a policy, consent and its withdrawal."""
    until = f"{datetime.now(UTC).year + 2}-01-01"
    session = open_store(site.store, purpose=REQUESTS).read("sessions")["session_id"][0].as_py()
    ask("hold", session, "--ground", "chargeback", "--reviewer", "R", "--until", until, "--config", site.file)
    dry = json.loads(ask("purge", "--config", site.file, "--now", "2016-06-01", "--dry-run", "--json"))
    assert dry["is_dry"]
    assert "rows gone" in ask("purge", "--config", site.file, "--now", "2016-06-01")
    assert open_store(site.store, purpose=REQUESTS).read("sessions")["session_id"].to_pylist() == [session]
    text = tmp_path / "policy.md"
    text.write_text("We keep a log.")
    times = ("--effective", "2015-01-01", "--notified", "2014-12-01")
    ask("policy", "add", "v1", "--text", text, *times, "--store", site.store)
    assert json.loads(ask("policy", "list", "--store", site.store, "--json"))["policies"][0]["is_in_force"]
    ask("policy", "withdraw", "--user", "zoe5", "--store", site.store, "--key-file", site.key)
    site.append(next(line for line in LINES if b"zoe5" in line))
    assert site.run().tally.withheld == 1
    ask("policy", "consent", "--user", "zoe5", "--store", site.store, "--key-file", site.key)
    site.append(next(line for line in LINES if b"zoe5" in line))
    assert site.run().tally.withheld == 0


def test_keys_rotate_and_drop(tmp_path):
    """Ids, never keys."""
    key = tmp_path / "key"
    first = json.loads(ask("key", "list", "--key-file", key, "--json"))["keys"]
    assert [row["epoch"] for row in json.loads(ask("key", "rotate", "--key-file", key, "--json"))["keys"]] == [2, 1]
    assert "epoch 2" in ask("key", "drop", "1", "--key-file", key)
    assert first[0]["key_id"] not in key.read_text()


def test_documents_are_written(tmp_path):
    """Four pages."""
    ask("docs", "--out", tmp_path / "docs")
    assert len(list((tmp_path / "docs").glob("*.md"))) == 4


def test_mistakes_are_told(site):
    """No person, an unknown form, a day that is none."""
    for arguments in (
        ("erase", "--config", site.file),
        ("access", "--config", site.file, "--user", "zoe5", "--form", "pdf"),
        ("purge", "--config", site.file, "--now", "soon"),
        ("audit", "verify", "--store", site.folder / "none"),
    ):
        with pytest.raises(ConfigError):
            ask(*arguments)
