"""`fraudlog privacy`: each verb over a small store, and what goes wrong."""

from __future__ import annotations

import base64
import inspect
import json
import secrets
import shlex
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fraudlog.cli import app
from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.privacy import REQUESTS, Keyring, load_key, load_keyring
from fraudlog.store import open_store
from job_support import Site, sample_lines, small_model

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNNER = CliRunner()
LINES = [line.replace(b" - - [", b" - zoe5 [", 1) if n % 9 == 1 else line for n, line in enumerate(sample_lines(700))]


@pytest.fixture
def site(tmp_path):
    (tmp_path / "key").write_text(secrets.token_hex(32))  # no row of numbers, which stands in many a file
    (tmp_path / "key").chmod(0o600)
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


def ring_of(site) -> Keyring:
    return load_keyring(site.key)


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
    first = load_key(key)
    assert "epoch 1" in ask("key", "list", "--key-file", key)
    assert [row["epoch"] for row in json.loads(ask("key", "rotate", "--key-file", key, "--json"))["keys"]] == [2, 1]
    assert "epoch 2" in ask("key", "drop", "1", "--key-file", key)
    assert first.hex() not in key.read_text()


def test_manifests_name_keys_by_epoch_and_id_alone(site, tmp_path):
    """Each key that wrote to the store, and that of a scored folder; the key itself is in no file of either."""

    def named() -> list[dict[str, object]]:
        rows: list[dict[str, object]] = json.loads((site.store / "manifest.json").read_bytes())["keys"]
        return rows

    assert named() == [{"epoch": 1, "key_id": ring_of(site).current().key_id}]
    ask("key", "rotate", "--key-file", site.key)
    site.run()
    assert [row["epoch"] for row in named()] == [1]  # nothing came in under the new one
    site.append(b"".join(sample_lines(760)[700:]))
    site.run()
    ids = {epoch: names.key_id for epoch, names in ring_of(site).pseudonyms().items()}
    assert named() == [{"epoch": epoch, "key_id": ids[epoch]} for epoch in (1, 2)]
    (tmp_path / "a.log").write_bytes(b"".join(LINES[:200]))
    options = ("--model", site.settings["model.path"], "--out", tmp_path / "out", "--key-file", site.key)
    assert RUNNER.invoke(app, ["score", str(tmp_path / "a.log"), *map(str, options)]).exit_code == 0
    said = json.loads((tmp_path / "out" / "summary.json").read_bytes())["key"]
    assert said == {"epoch": 2, "key_id": ids[2], "ip_mode": "pfx"}
    files = [path for folder in (site.store, tmp_path / "out") for path in folder.rglob("*") if path.is_file()]
    for key in ring_of(site).keys.values():
        for spelling in (key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)[:-3]):
            assert not any(spelling in path.read_bytes() for path in files)


def test_a_table_for_a_notebook(site, tmp_path):
    """Ten clients of each combination, as CSV or Parquet; fewer with a reason, which the trail keeps."""
    out = tmp_path / "sessions.csv"
    assert "rows, columns" in ask("release", "sessions", "--by", "os,browser", "--out", out, "--store", site.store)
    rows = pd.read_csv(out)
    assert not {"client_ip", "user", "session_id", "user_agent"} & set(rows.columns)
    assert 0 < len(rows) < 700
    few = ("release", "sessions", "--by", "os", "--out", tmp_path / "few.parquet", "--store", site.store, "--k", 3)
    with pytest.raises(PrivacyError, match="reason"):
        ask(*few)
    ask(*few, "--reason", "defect 12")
    assert len(pd.read_parquet(tmp_path / "few.parquet")) >= len(rows)
    trail = [json.loads(line) for line in ask("audit", "show", "--store", site.store).splitlines()]
    assert [(row["k"], row["reason"]) for row in trail if row["event"] == "release"] == [(10, ""), (3, "defect 12")]
    for wrong in (("--by", "user"), ("--by", "os", "--purpose", "marketing")):
        with pytest.raises((ConfigError, PrivacyError)):
            ask("release", "events", *wrong, "--out", out, "--store", site.store)


def test_what_stands_for_two_reasons_comes_back_when_neither_does(site):
    """Restricted and objected: one lifted, nothing comes back; the wrong one named, nothing happens."""
    who = ("--config", site.file, "--user", "zoe5")
    before = site.tree()
    with pytest.raises(ConfigError, match="no restriction stands"):
        ask("lift", *who)
    ask("restrict", *who)
    with pytest.raises(ConfigError, match="no objection stands"):
        ask("lift", *who, "--objection")
    ask("object", *who)
    assert json.loads(ask("lift", *who, "--json"))["events"] == 0
    assert site.tree() != before
    assert json.loads(ask("lift", *who, "--objection", "--json"))["events"] > 0
    assert site.tree() == before


def test_who_never_came_can_be_restricted_and_let_in(site):
    """Nothing is put aside; the list alone says so, and forgets it again."""
    who = ("--config", site.file, "--user", "newcomer1")
    assert "spelt as the log has it" in ask("restrict", *who)
    assert json.loads(ask("lift", *who, "--json"))["events"] == 0
    assert json.loads((site.store / "ledger" / "withheld.json").read_bytes()) == []


def test_another_key_is_refused_where_it_would_do_nothing(site, tmp_path):
    """A withdrawal under a key that the job does not have would bar nobody; a missing key file is not made."""
    (tmp_path / "other").write_text(secrets.token_hex(32))
    (tmp_path / "other").chmod(0o600)
    for verb in ("withdraw", "consent"):
        with pytest.raises(ConfigError, match="another key"):
            ask("policy", verb, "--user", "zoe5", "--store", site.store, "--key-file", tmp_path / "other")
        with pytest.raises(ConfigError, match="no key file"):
            ask("policy", verb, "--user", "zoe5", "--store", site.store)
    for arguments in (("key", "list"), ("key", "rotate"), ("key", "drop", "1")):
        with pytest.raises(ConfigError, match="no key file"):
            ask(*arguments, "--key-file", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_hold_is_on_sessions_that_are_there(site):
    """By the ten digits that reports show; a beginning of none, or of many, is refused."""
    session = open_store(site.store, purpose=REQUESTS).read("sessions")["session_id"][0].as_py()
    how = ("--ground", "chargeback", "--reviewer", "R", "--until", f"{datetime.now(UTC).year + 1}-01-01")
    ask("hold", session[:10], *how, "--config", site.file)
    assert json.loads((site.store / "ledger" / "holds.json").read_bytes())[0]["sessions"] == [session]
    for wrong in ("zzzz", ""):
        with pytest.raises(ConfigError, match="begin"):
            ask("hold", wrong, *how, "--config", site.file)


def _examples(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _examples(command, (*path, name))
        else:
            text = inspect.cleandoc(command.help or "").partition("Example: fraudlog ")[2].partition("\n\n")[0]
            assert text.startswith(" ".join(("privacy", *path, name))), (path, name)
            yield tuple(shlex.split(text)[1:])


def test_every_example_runs(site, monkeypatch):
    """Each verb's `--help` has one; all of them, in the folder of a job, with the names they use."""
    monkeypatch.chdir(site.folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(site.folder / "config"))
    key = site.folder / "config" / "fraudlog" / "key"
    key.parent.mkdir(parents=True)
    shutil.copy(site.key, key)
    (site.folder / "v3.md").write_text("We keep a log.")
    session = open_store(site.store, purpose=REQUESTS).read("sessions")["session_id"][0].as_py()
    here = {"alice": "zoe5", "3f9c20b1aa": session[:10], "2027-01-01": f"{datetime.now(UTC).year + 1}-01-01"}
    examples = list(_examples(get_command(app).commands["privacy"]))
    assert len(examples) > 15
    for words in sorted(examples, key=lambda words: words[0] in ("erase", "key")):  # after which others find nothing
        ask(*(here.get(word, word) for word in words))


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
