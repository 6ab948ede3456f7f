"""Clauses of the privacy promise over a job and its store: children, holds, policies in force, consent."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fraudlog.cli import app
from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.privacy import REQUESTS, Chain, Policies, PolicyVersion, Pseudonyms, Withheld, add_policy, load_keyring
from fraudlog.privacy import rotate_key as rotate
from fraudlog.store import open_store
from fraudlog.subjects import Desk
from job_support import KEY, Site, sample_lines, small_model

NOW = datetime.now(UTC)
ZOE = {"user": "zoe5"}
USER = Pseudonyms(bytes.fromhex(KEY)).tokens(["zoe5"], "user")[0]
LINES = [line.replace(b" - - [", b" - zoe5 [", 1) if n % 9 == 1 else line for n, line in enumerate(sample_lines(500))]
HERS = next(line for line in LINES if b"zoe5" in line)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Site:
    folder = tmp_path_factory.mktemp("clauses")
    site = Site(folder / "site", small_model(folder))
    site.append(b"".join(LINES))
    site.run()
    return site


@pytest.fixture
def site(whole, tmp_path) -> Site:
    """A copy of its own."""
    (tmp_path / "key").write_text(KEY)
    (tmp_path / "key").chmod(0o600)
    made = Site(tmp_path / "site", Path(whole.settings["model.path"]))
    shutil.copytree(whole.store, made.store)
    shutil.copy2(whole.log, made.log)
    return made


def ask(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["privacy", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def desk(site: Site, now: datetime = NOW) -> Desk:
    return Desk(site.config, load_keyring(site.key), now)


def her_sessions(site: Site) -> list[str]:
    rows = open_store(site.store, purpose=REQUESTS).read("events", columns=["user", "session_id"]).to_pylist()
    return sorted({row["session_id"] for row in rows if row["user"] == USER})


def hold(site: Site, session: str, until: datetime) -> None:
    given = ("--ground", "chargeback 12", "--reviewer", "R. Viewer", "--until", until.date(), "--config", site.file)
    ask("hold", session, *given)


@pytest.mark.parametrize("verb", ["erase", "restrict", "object"])
def test_what_is_held_stays_until_the_hold_ends(site, verb):
    """Evidence of fraud, whatever is asked; nothing else of theirs; and once the day has come, that goes too."""
    kept, *others = her_sessions(site)
    assert others
    hold(site, kept, NOW + timedelta(days=90))
    answer = getattr(desk(site), verb)(ZOE)
    assert answer.held > 0
    assert her_sessions(site) == [kept]
    later = getattr(desk(site, NOW + timedelta(days=91)), verb)(ZOE)
    assert (later.held, later.events > 0) == (0, True)
    assert her_sessions(site) == []


def test_a_child_goes_in_spite_of_a_hold_and_stays_out(site):
    """By the command: under the name, after a rotation of the key too; a year later the mark has ended by itself."""
    hold(site, her_sessions(site)[0], NOW + timedelta(days=90))
    answer = json.loads(ask("erase", "--minor", "--config", site.file, "--user", "zoe5", "--json"))
    assert (answer["what"], answer["held"], answer["events"] > 0) == ("erase minor", 0, True)
    assert her_sessions(site) == []
    marks = (site.store / "ledger" / "withheld.json").read_text()
    assert "zoe5" not in marks
    assert USER not in marks
    rotate(site.key)
    site.append(HERS)
    report = site.run()
    assert (report.tally.events, report.tally.withheld) == (0, 1)
    withheld = Withheld.load(site.store / "ledger" / "withheld.json")
    ends = [datetime.fromisoformat(entry.until) for entry in withheld.entries]
    assert [entry.why for entry in withheld.entries] == ["minor"]
    assert all(timedelta(days=364) < end - NOW < timedelta(days=366) for end in ends)
    assert len(withheld.current(NOW + timedelta(days=366))) == 0
    trail = Chain(site.store / "ledger" / "audit.jsonl").entries()
    assert "erase minor" in [entry["event"] for entry in trail]


def test_a_mark_bars_the_tokens_that_the_child_used():
    """Under a token that they alone used nobody comes in without an account, whatever key is the newest."""
    old, new = bytes(range(32)), bytes(range(1, 33))
    names = {"session_token": Pseudonyms(old).tokens(["token-1"], "session_token")}
    barred = Withheld().adding("kid", "user", old, "minor", NOW, NOW + timedelta(days=1), names)
    import pyarrow as pa  # noqa: PLC0415 -- used here alone

    events = pa.table({"user": [None, "kid", None], "session_token": ["token-1", None, "token-2"]})
    assert barred.mask(events, [new, old], NOW).tolist() == [True, True, False]
    assert barred.mask(events, [new], NOW).tolist() == [False, False, False]
    assert barred.mask(events, [new, old], NOW + timedelta(days=2)).tolist() == [False, False, False]
    stored = pa.table({"session_token": names["session_token"]})
    assert barred.mask_stored(stored, [new, old], NOW).tolist() == [True]
    assert "token-1" not in repr(barred.entries)


def version(name: str, effective: datetime) -> PolicyVersion:
    return PolicyVersion(name, "ab" * 32, effective, effective - timedelta(days=30))


def test_a_job_takes_nothing_in_under_a_policy_to_come(site):
    """The run is refused, the store stands as it did; once one is in force, rows bear the version of their time."""
    ledger = site.store / "ledger" / "policies.jsonl"
    add_policy(ledger, version("next", NOW + timedelta(days=3)))
    before = site.tree()
    site.append(b"".join(sample_lines(900)[500:]))
    with pytest.raises(PrivacyError, match="not yet"):
        site.run()
    assert site.tree() == before
    ledger.unlink()
    ledger.with_name("policies.jsonl.head").unlink()
    add_policy(ledger, version("2015", datetime(2015, 1, 1, tzinfo=UTC)))
    site.run()
    rows = open_store(site.store, purpose=REQUESTS).read("events", columns=["notice"])["notice"].to_pylist()
    assert set(rows) == {None, "2015"}
    assert Policies.load(ledger).in_force(NOW).text_hash == "ab" * 32


def test_a_changed_ledger_of_policies_stops_the_run(site):
    """Nobody can tell what was in force."""
    ledger = site.store / "ledger" / "policies.jsonl"
    add_policy(ledger, version("2015", datetime(2015, 1, 1, tzinfo=UTC)))
    ledger.write_bytes(ledger.read_bytes().replace(b"2015-01", b"2014-01"))
    with pytest.raises(PrivacyError, match="was changed"):
        site.run()


def test_withdrawn_consent_is_heard_from_the_next_run_on(site):
    """What is stored stays; nothing further comes in, until consent is given again; of others, all does."""
    before = len(her_sessions(site))
    ask("policy", "withdraw", "--user", "zoe5", "--store", site.store, "--key-file", site.key)
    assert len(her_sessions(site)) == before
    site.append(HERS + HERS.replace(b" zoe5 ", b" kim "))
    report = site.run()
    assert (report.tally.events, report.tally.withheld) == (1, 1)
    ask("policy", "consent", "--user", "zoe5", "--store", site.store, "--key-file", site.key)
    site.append(HERS)
    report = site.run()
    assert (report.tally.events, report.tally.withheld) == (1, 0)


def test_what_two_requests_keep_aside_comes_back_with_the_last(site):
    """Restricted by account, and by an address of theirs: lifting the one leaves what the other is about."""
    client = HERS.split(b" ", 1)[0].decode()
    n_all = desk(site).restrict(ZOE).events
    desk(site).object({"client_ip": client})
    back = desk(site).lift(ZOE).events
    assert 0 < back < n_all
    assert back + desk(site).lift({"client_ip": client}, why="objection").events >= n_all
    with pytest.raises(ConfigError, match="nothing of this person"):
        desk(site).lift(ZOE)


def test_lifting_by_more_than_was_asked_with_brings_all_back(site):
    """Restricted by account, lifted by account and address: nothing is left aside that nobody can reach."""
    client = HERS.split(b" ", 1)[0].decode()
    n_all = desk(site).restrict(ZOE).events
    assert desk(site).lift({**ZOE, "client_ip": client}).events == n_all
    assert not [name for name in site.tree() if "aside" in name]


def test_a_table_for_a_notebook_needs_ten_of_each(site):
    """By the command; fewer with a reason, which the trail keeps; never for what the data was not collected for."""
    out = site.folder / "t.csv"
    given = ("release", "sessions", "--by", "os,browser", "--out", out, "--store", site.store)
    for wrong, raised in ((("--k", 9), PrivacyError), (("--purpose", "marketing"), PrivacyError)):
        with pytest.raises(raised):
            ask(*given, *wrong)
    assert not out.exists()
    ask(*given, "--k", 9, "--reason", "defect 12")
    entry = [one for one in Chain(site.store / "ledger" / "audit.jsonl").entries() if one["event"] == "release"][-1]
    assert (entry["k"], entry["reason"]) == (9, "defect 12")
