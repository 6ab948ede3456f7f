"""Retention: what is over its time goes, what is held stays, and a kill leaves the old or the new."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import fraudlog as fl
from fraudlog.detecting import Detector
from fraudlog.detecting.histories import COLUMNS, AccountHistory
from fraudlog.enriching import Shield
from fraudlog.errors import InputError
from fraudlog.jobs.carried import Carried
from fraudlog.jobs.line import settings_of
from fraudlog.jobs.models import Models
from fraudlog.privacy import REQUESTS, Chain, Holds, Pseudonyms, Withheld, load_keyring, with_days
from fraudlog.schema import to_pandas
from fraudlog.store import Transaction, open_store
from fraudlog.subjects import Desk, purge, verify_receipt
from job_support import KEY, Site, sample_lines, small_model

LONG = sample_lines(1700)
LINES = LONG[:1500]  # 17 and 18 May 2015
FIRST = datetime(2015, 5, 17, tzinfo=UTC)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A site that took in the log."""
    site = Site(tmp_path_factory.mktemp("filled") / "site", small_model(tmp_path_factory.mktemp("model")))
    site.append(b"".join(LINES))
    site.run()
    return site


@pytest.fixture
def site(filled, tmp_path):
    """A copy of it."""
    copy = Site.__new__(Site)
    shutil.copytree(filled.folder, tmp_path / "site")
    copy.folder, copy.key, copy.log = tmp_path / "site", filled.key, tmp_path / "site" / "logs" / "access.log"
    copy.write_config(filled.settings | {"store.path": str(copy.store), "log.path": str(copy.log)})
    return copy


def rows(site, table):
    return open_store(site.store, purpose=REQUESTS).read(table)


def days_after(n: float) -> datetime:
    return FIRST + timedelta(days=n)


def purged(site, now, **options):
    return purge(site.config, load_keyring(site.key), now, **options)


def test_each_class_has_its_time(site):
    """Events and sessions go after 180 days, scores and decisions after 365; nothing goes a day early."""
    before = {name: len(rows(site, name)) for name in ("events", "sessions", "scores", "decisions")}
    assert purged(site, days_after(180)).rows == {}
    first = purged(site, days_after(181))
    assert set(first.rows) >= {"events", "sessions"}
    assert set(first.rows) <= {"events", "sessions", "late", "rejected", "carried"}
    purged(site, days_after(183))
    assert len(rows(site, "events")) == len(rows(site, "sessions")) == len(rows(site, "rejected")) == 0
    assert len(rows(site, "scores")) == before["scores"]
    purged(site, days_after(368))
    assert len(rows(site, "scores")) == len(rows(site, "decisions")) == 0
    assert open_store(site.store, purpose=REQUESTS).verify() == []


def test_dry_and_again_change_nothing(site):
    """A dry run counts what a wet one takes; a second one finds nothing and writes no receipt."""
    before = site.tree()
    dry = purged(site, days_after(200), is_dry=True)
    assert site.tree() == before
    wet = purged(site, days_after(200))
    assert (dry.rows, dry.after) == (wet.rows, wet.after)
    after = site.tree()
    receipts = list((site.store / "ledger" / "receipts").iterdir())
    assert purged(site, days_after(200)).rows == {}
    assert site.tree() == after
    assert list((site.store / "ledger" / "receipts").iterdir()) == receipts
    assert Chain(site.store / "ledger" / "audit.jsonl").entries()[-1]["rows"] == wet.rows


def test_a_receipt_can_be_checked_and_not_changed(site):
    """Every number in it is signed."""
    receipt = purged(site, days_after(200))
    data = next((site.store / "ledger" / "receipts").iterdir()).read_bytes()
    assert verify_receipt(data) == receipt
    changed = json.loads(data)
    changed["rows"]["events"] += 1
    for bad in (json.dumps(changed).encode(), b"{}", b"no"):
        with pytest.raises(InputError, match="was changed"):
            verify_receipt(bad)


def test_held_sessions_outlive_their_time_until_the_hold_ends(site):
    """Events, session, score and decision of the evidence stay, of others nothing."""
    session = rows(site, "sessions")["session_id"][0].as_py()
    until = days_after(400)
    Holds().adding([session], "chargeback 12", "R. Viewer", days_after(1), until).save(
        site.store / "ledger" / "holds.json"
    )
    receipt = purged(site, days_after(380))
    assert receipt.held["sessions"] == 1
    for name in ("events", "sessions", "scores", "decisions"):
        assert set(rows(site, name)["session_id"].to_pylist()) == {session}
    purged(site, days_after(401))
    assert len(rows(site, "events")) == len(rows(site, "scores")) == 0
    assert not Holds.load(site.store / "ledger" / "holds.json").holds


def test_what_was_put_aside_goes_too_and_bars_end(site):
    """A restricted person's data is not kept for ever; a child's bar is cleared when it is over."""
    desk = Desk(site.config, load_keyring(site.key), days_after(1))
    client = LINES[10].split(b" ", 1)[0].decode()
    assert desk.restrict({"client_ip": client}).events > 0
    withheld = Withheld.load(site.store / "ledger" / "withheld.json")
    withheld.adding("kid", "user", bytes(32), "minor", days_after(1), days_after(100)).save(
        site.store / "ledger" / "withheld.json"
    )
    receipt = purged(site, days_after(200))
    assert len(receipt.documents) == 1
    assert [entry.why for entry in Withheld.load(site.store / "ledger" / "withheld.json").entries] == ["restriction"]


def test_shorter_times_are_honoured(site):
    """30 days of events instead of 180."""
    assert purged(site, days_after(33), retention=with_days({"events": 30})).rows["events"] > 0
    assert replace(with_days({})["events"], days=180) == with_days({})["events"]


def kill_loop(site, count: int, seed: int) -> None:
    """Kill a purge at random moments; the store is the old one or the new one, and a purge after it gives the new."""
    spare = site.folder.parent / "spare"
    shutil.copytree(site.store, spare)
    old = site.tree()
    purged(site, days_after(200))
    new = site.tree()
    chance = random.Random(seed)  # noqa: S311 -- moments, not keys
    code = (
        "import sys; from datetime import datetime; from pathlib import Path\n"
        "from fraudlog.jobs import load_config; from fraudlog.privacy import load_keyring; import os, time\n"
        "from fraudlog.subjects import purge; import fraudlog.jobs.run, fraudlog.reporting\n"
        "config = load_config(Path(sys.argv[1])); key = load_keyring(Path(sys.argv[2]))\n"
        "for line in sys.stdin:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        purge(config, key, datetime.fromisoformat(sys.argv[3])); os._exit(0)\n"
        "    time.sleep(float(line)); os.kill(child, 9); status = os.waitpid(child, 0)[1]\n"
        "    print(status, flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent / "src")}
    command = [sys.executable, "-c", code, str(site.file), str(site.key), days_after(200).isoformat()]
    outcomes = {"old": 0, "new": 0, "killed": 0}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        limit = 0.4
        for _ in range(count):
            shutil.rmtree(site.store)
            shutil.copytree(spare, site.store)
            parent.stdin.write(f"{chance.random() * limit}\n")
            parent.stdin.flush()
            status = int(parent.stdout.readline())
            outcomes["killed"] += status == signal.SIGKILL
            limit = max(0.05, min(4.0, limit * (1.2 if status == signal.SIGKILL else 0.8)))
            stands = site.tree()
            named = {name: data for name, data in stands.items() if name in old or name in new}
            is_new = stands["manifest.json"] == new["manifest.json"]
            expected = new if is_new else old
            assert all(named.get(name) == data for name, data in expected.items())
            outcomes["new" if is_new else "old"] += 1
            purged(site, days_after(200))
            assert site.tree() == new
        parent.stdin.close()
    assert outcomes["killed"] > 0


def test_killed_at_random_moments(site):
    """A few times; `test_killed_two_hundred_times` at length."""
    kill_loop(site, 8, 1)


@pytest.mark.slow
def test_killed_two_hundred_times(site):
    """The same 200 times."""
    kill_loop(site, 200, 2)


def logged_in(line: bytes) -> bytes:
    """Return a line with an account: one for each address."""
    client = line.split(b" ", 1)[0]
    return line.replace(b" - - [", b" - u" + client.replace(b".", b"") + b" [", 1)


@cache
def two_weeks() -> pd.DataFrame:
    """Sessions of accounts, and the same a week later."""
    names = Pseudonyms(bytes.fromhex(KEY))
    log = fl.read_log(io.BytesIO(b"".join(map(logged_in, LONG))), privacy=Shield(names))
    sessions = fl.build_sessions(log.table, key=names.session_key)
    week = timedelta(days=7)
    later = sessions.assign(
        start=sessions["start"] + week, end=sessions["end"] + week, session_id=sessions["session_id"].astype(str) + "b"
    )
    return pd.concat([sessions, later], ignore_index=True)


def with_accounts(folder, *, training: bool = False, **values) -> Site:
    """A site whose log names accounts, and whose model learnt from them for two weeks."""
    path = folder / "model.fraudlog"
    fl.Detector(n_estimators=20).fit(two_weeks()).save(path, training=training, policy_version="v7")
    site = Site(folder / "site", path, **values)
    site.append(b"".join(map(logged_in, LINES)))
    site.run()
    return site


def remembered(model) -> AccountHistory:
    return Detector.load(model)._hearing.voices["accounts"].history


def test_histories_of_accounts_go_by_week_out_of_the_model_that_speaks_too(tmp_path):
    """The configuration's file and the store's copy forget the older week, and remember the later as it was."""
    site = with_accounts(tmp_path)
    model = site.folder.parent / "model.fraudlog"
    before, scores = remembered(model), rows(site, "scores")
    first, second = sorted(before.weeks)
    begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(weeks=first)
    assert purged(site, begin + timedelta(days=180)).rows == {}
    assert remembered(model) == before
    receipt = purged(site, begin + timedelta(days=181))
    n_first = sum(part[len(COLUMNS)] for part in before.weeks[first].values())
    assert receipt.rows["models"] == n_first > 0
    after = remembered(model)
    assert after.weeks == {second: before.weeks[second]}
    before.forget_before(second)
    assert after == before
    assert open_store(site.store, purpose=REQUESTS).document("models/given-1.fraudlog") == model.read_bytes()
    assert Detector.load(model).policy_version_ == "v7"
    assert rows(site, "scores").equals(scores)
    assert "models" not in purged(site, begin + timedelta(days=187)).rows
    site.append(LONG[1600])
    assert site.run().models == []  # not taken for a new one
    assert purged(site, days_after(205)).rows["models"] > 0
    assert len(remembered(model)) == 0
    assert all(token not in model.read_bytes() for token in tokens_in(before))


def tokens_in(history: AccountHistory) -> list[bytes]:
    return [token.to_bytes(8, "little") for token in history.own]


def test_sessions_kept_in_a_model_go_with_their_class(tmp_path):
    """A model saved with what it learnt from keeps no session longer than the store does; the forest stays."""
    site = with_accounts(tmp_path, training=True)
    model = site.folder.parent / "model.fraudlog"
    before = Detector.load(model)
    sample = to_pandas(rows(site, "sessions"))
    risk = before.score(sample.assign(user=None))["risk"]
    receipt = purged(site, days_after(187))
    after = Detector.load(model)
    assert after.can_forget
    assert after._fitted.sessions["end"].min() >= pd.Timestamp(days_after(187) - timedelta(days=180)).floor("D")
    gone = len(before._fitted.sessions) - len(after._fitted.sessions)
    assert 0 < gone < receipt.rows["models"]
    assert after.score(sample.assign(user=None))["risk"].equals(risk)
    purged(site, days_after(205))
    assert len(Detector.load(model)._fitted.sessions) == 0


def test_models_of_the_job_forget_histories_too(tmp_path):
    """Sealed with the store's own key as before, and still the one that speaks."""
    site = with_accounts(tmp_path, **{"retrain.every_days": 1, "retrain.max_flag_ratio": 50, "retrain.max_drift": 1.0})
    site.append(b"".join(map(logged_in, sample_lines(6000)[1500:])))
    site.run()
    made = {name for name in site.tree() if name.startswith("models/2015")}
    assert made
    assert purged(site, days_after(190)).rows["models"] > 0
    seals = list(load_keyring(site.key).derived("models").values())
    models = Models(site.config, open_store(site.store, purpose=REQUESTS), seals)
    for entry in models.entries:
        if entry.name is not None:
            assert len(models._detector(entry.name)._hearing.voices["accounts"].history) == 0
    assert not {name for name in site.tree() if name.startswith("models/2015")} & made
    site.append(sample_lines(6100)[-1])
    assert site.run().tally.events == 1


def test_a_model_that_may_not_be_replaced_is_told_of(tmp_path, monkeypatch):
    """The store is purged, the model stays whole in both places, and the receipt says what is left to do."""
    site = with_accounts(tmp_path)
    model = site.folder.parent / "model.fraudlog"
    before = model.read_bytes()
    monkeypatch.setattr("fraudlog.subjects.purging.can_replace", lambda _: False)
    receipt = purged(site, days_after(187))
    assert receipt.rows["events"] > 0
    assert "models" not in receipt.rows
    assert "fit it anew" in receipt.notes[0]
    assert model.read_bytes() == before
    site.append(LONG[1600])
    assert site.run().models == []


def test_a_receipt_comes_after_a_kill_too(site, monkeypatch):
    """A purge that dies once the store has changed: the next one writes the receipt and its entry, once."""
    whole = Transaction.commit

    def dying(change):
        whole(change)
        raise KeyboardInterrupt

    monkeypatch.setattr(Transaction, "commit", dying)
    with pytest.raises(KeyboardInterrupt):
        purged(site, days_after(200))
    monkeypatch.undo()
    receipts, trail = site.store / "ledger" / "receipts", Chain(site.store / "ledger" / "audit.jsonl")
    assert not receipts.exists()
    site.run()  # keeps what is left to finish
    for _ in range(2):
        assert purged(site, days_after(200)).rows == {}
        (file,) = receipts.iterdir()
        assert verify_receipt(file.read_bytes()).rows["events"] > 0
        assert [entry["event"] for entry in trail.entries()].count("purge") == 1


def test_what_the_job_carries_goes_too(site):
    """Open sessions, those that wait, and what windows remember of prefixes and accounts; a later run goes on."""
    definition = settings_of(site.config, Pseudonyms(load_keyring(site.key).key)).definition

    def carried():
        return Carried.load(open_store(site.store, purpose=REQUESTS), definition)

    before = carried()
    assert len(before.events) > 0
    assert sum(len(window["key"]) for window in before.state.windows.values()) > 0
    assert "carried" not in purged(site, days_after(150)).rows
    receipt = purged(site, days_after(183))
    assert receipt.rows["carried"] > len(before.events)
    after = carried()
    assert len(after.events) == len(after.held_events) == len(after.held_sessions) == 0
    assert all(len(window["key"]) == 0 for window in after.state.windows.values())
    assert after.state.newest_us == before.state.newest_us
    assert "over their time" in receipt.notes[0]
    data = b"".join(file.read_bytes() for file in (site.store / "state").iterdir())
    assert b"208." not in data
    site.append(sample_lines(1600)[-1])
    assert site.run().tally.events == 1


def test_open_sessions_stay_while_they_go_on(site):
    """A session whose last request is in time keeps its first ones too."""
    definition = settings_of(site.config, Pseudonyms(load_keyring(site.key).key)).definition
    newest = Carried.load(open_store(site.store, purpose=REQUESTS), definition).newest
    day = datetime.fromisoformat(newest).replace(hour=0, minute=0, second=0)
    purged(site, day + timedelta(days=180, hours=12))
    after = Carried.load(open_store(site.store, purpose=REQUESTS), definition)
    assert len(after.events) > 0


def test_models_that_speak_no_more_go_with_their_scores(tmp_path):
    """The one that speaks stays, and the configuration's is not taken in again."""
    site = Site(tmp_path / "site", small_model(tmp_path), **{"retrain.every_days": 1, "retrain.max_flag_ratio": 50})
    site.append(b"".join(sample_lines(6000)))
    site.run()
    models = {name for name in site.tree() if name.startswith("models/2015")}
    assert len(models) >= 2
    receipt = purged(site, days_after(380))
    assert len(receipt.documents) == len(models)
    assert len([name for name in site.tree() if name.endswith(".fraudlog")]) == 1
    site.append(sample_lines(6100)[-1])
    assert site.run().models == []
