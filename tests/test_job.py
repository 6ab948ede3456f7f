"""The job: exactly once, the same bytes however a log was cut into runs."""

from __future__ import annotations

import gzip
import json
import shutil
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudlog.errors import ConfigError, FormatError, InputError, LockError, ModelError
from fraudlog.jobs import job_status
from fraudlog.jobs.carried import Carried
from fraudlog.jobs.line import settings_of
from fraudlog.privacy import Pseudonyms, drop_key, load_key, load_keyring, rotate_key
from fraudlog.store import open_store
from job_support import Site, sample_lines, small_model

PURPOSE = "essential.fraud_detection"
LINES = sample_lines(600)
BAD = [
    b"\n",
    b"\x16\x03\x01 no request\n",
    b'203.0.113.9 - - [99/May/2015:10:05:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\n',
]
NAMED = [
    b'203.0.113.9 - %s [17/May/2015:12:05:0%d +0000] "GET /u/%s HTTP/1.1" 200 1 "http://a.example/%s?q" "-"\n' % row
    for row in ((b"alice7", 1, b"bob88", b"alice7"), (b"bob88", 3, b"alice7", b"bob88"), (b"bob88", 5, b"bob88", b"x"))
]
"""Accounts that name themselves and each other in paths."""
PLACE = next(i for i, line in enumerate(LINES) if b"[17/May/2015:12:05" in line)
LOG = b"".join([*LINES[:PLACE], *NAMED, *LINES[PLACE:400], *BAD, LINES[20], *LINES[400:]])
N_LINES = LOG.count(b"\n")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory):
    """One run over the whole log."""
    site = Site(tmp_path_factory.mktemp("whole") / "site", model)
    site.append(LOG)
    site.report = site.run()
    return site


def events_of(site):
    """Where every event stands that the store knows: those of closed and of open sessions, and those too late."""
    store = open_store(site.store, purpose=PURPOSE)
    names = Pseudonyms(load_key(site.key))
    carried = Carried.load(store, settings_of(site.config, names).definition)
    tables = [store.read("events"), store.read("late"), carried.events, carried.held_events]
    return [
        (row["source"], row["line_number"])
        for table in tables
        for row in table.select(["source", "line_number"]).to_pylist()
    ]


def test_every_line_is_accounted_for(undisturbed):
    """Lines are events, rejected or blank; every event is in the store once."""
    tally = undisturbed.report.tally
    assert tally.lines == N_LINES == tally.events + tally.rejected + tally.blank
    assert (tally.rejected, tally.blank, tally.late) == (2, 1, 1)
    found = events_of(undisturbed)
    assert len(found) == len(set(found)) == tally.events
    with open_store(undisturbed.store, purpose=PURPOSE) as store:
        assert store.verify() == []
        assert len(store.read("scores")) == len(store.read("decisions")) == tally.sessions > 80
        assert store.read("rejected")["line_number"].to_pylist() == [405, 406]


@settings(max_examples=4)
@given(cuts=st.sets(st.integers(1, len(LOG) - 1), min_size=1, max_size=3))
def test_runs_may_be_cut_anywhere(model, undisturbed, tmp_path_factory, cuts):
    """In the middle of a line too: the store is the same, byte for byte."""
    site = Site(tmp_path_factory.mktemp("cut") / "site", model)
    bounds = [0, *sorted(cuts), len(LOG)]
    n_lines = 0
    for first, end in pairwise(bounds):
        site.append(LOG[first:end])
        n_lines += site.run().tally.lines
    assert n_lines == N_LINES
    assert site.tree() == undisturbed.tree()


@pytest.mark.slow
def test_the_whole_real_log_in_days_and_at_once(model, tmp_path):
    """Ten thousand lines over four days, a model learnt anew each day: by runs of a day, of odd pieces, and one."""
    log = b"".join(sample_lines(10_000))
    trees = []
    for name, cuts in (("once", []), ("odd", [12_345, 700_001, 1_500_000, 1_500_001]), ("days", [])):
        site = Site(tmp_path / name, model, **{"retrain.every_days": 1, "retrain.max_flag_ratio": 50})
        for first, end in pairwise([0, *cuts, len(log)]):
            site.append(log[first:end])
            if name == "days":
                for day in (18, 19, 20):
                    site.run(until=datetime(2015, 5, day, tzinfo=UTC))
            site.run()
        trees.append(site.tree())
    assert trees[0] == trees[1] == trees[2]
    assert sum(path.startswith("models/2015") for path in trees[0]) == 3


def test_takes_do_not_show(model, undisturbed, tmp_path, monkeypatch):
    """A run of many takes leaves what a run of one leaves."""
    site = Site(tmp_path / "site", model)
    site.append(LOG)
    monkeypatch.setattr("fraudlog.reading.follow._PIECE", 15_000)
    monkeypatch.setattr("fraudlog.jobs.takes._TAKE_UNIT", 20_000)
    report = site.run()
    assert report.takes > 3
    assert site.tree() == undisturbed.tree()


def test_a_second_run_finds_nothing(undisturbed):
    """And changes nothing."""
    before = undisturbed.tree()
    assert undisturbed.run().tally.lines == 0
    assert undisturbed.tree() == before


@pytest.mark.parametrize("kind", ["rename", "rename and pack", "copytruncate"])
def test_rotation_between_runs(model, undisturbed, tmp_path, kind):
    """Whatever rotates the log, nothing is lost and nothing taken twice."""
    site = Site(tmp_path / "site", model)
    bounds = [LOG.rfind(b"\n", 0, place) + 1 for place in (1, 30_000, 75_000, len(LOG))]
    for turn, (first, end) in enumerate(pairwise(bounds)):
        half = first + (end - first) // 2
        site.append(LOG[first:half])
        site.run()
        site.append(LOG[half:end])
        old = site.log.with_name(f"access.log.{9 - turn}")
        if kind == "copytruncate":
            shutil.copy(site.log, old)
            site.log.write_bytes(b"")
        else:
            site.log.rename(old)
        if kind == "rename and pack":
            with gzip.open(f"{old}.gz", "wb") as packed:
                packed.write(old.read_bytes())
            old.unlink()
        site.run()
    found = events_of(site)
    assert len(found) == len(set(found)) == undisturbed.report.tally.events
    status = job_status(site.config)
    assert status["counts"]["lines"] == N_LINES
    assert status["counts"]["events"] == len(found)


def test_a_dry_run_leaves_all_as_it_stands(model, tmp_path):
    """It says what a run would do; a store that was not there is not made."""
    site = Site(tmp_path / "site", model)
    site.append(LOG)
    assert site.run(dry_run=True).tally.sessions > 80
    assert not site.store.exists()
    site.run()
    site.append(b"".join(LINES[-3:]))
    before = site.tree(), (site.store / "ledger" / "commits.jsonl").read_bytes()
    assert site.run(dry_run=True).tally.lines == 3
    assert (site.tree(), (site.store / "ledger" / "commits.jsonl").read_bytes()) == before
    assert site.run().tally.lines == 3


def test_since_and_until_bound_a_run(model, undisturbed, tmp_path):
    """Runs to a time and from there on leave what one run leaves; what is before `since` is counted and left out."""
    site = Site(tmp_path / "site", model)
    site.append(LOG)
    moments = [datetime(2015, 5, 17, hour, tzinfo=UTC) for hour in (11, 13)]
    counts = [site.run(until=until).tally.lines for until in moments]
    assert 0 < counts[0] < sum(counts) < N_LINES
    assert sum(counts) + site.run().tally.lines == N_LINES
    assert site.tree() == undisturbed.tree()

    later = Site(tmp_path / "later", model)
    later.append(LOG)
    tally = later.run(since=moments[0]).tally
    assert 0 < tally.skipped < tally.events
    assert len(events_of(later)) == tally.events - tally.skipped
    with pytest.raises(ConfigError, match="time zone"):
        later.run(until=datetime(2015, 5, 17))  # noqa: DTZ001 -- the point


def test_one_job_at_a_time(undisturbed):
    """The lock is the store's: exit code 4 for whoever comes second."""
    with open_store(undisturbed.store, purpose=PURPOSE, mode="write"), pytest.raises(LockError):
        undisturbed.run()


def test_what_can_not_be_read_leaves_the_store_alone(model, undisturbed, tmp_path):
    """A missing model, a wrong format, a key of another store, a missing log."""
    site = Site(tmp_path / "site", model)
    site.append(LOG)
    site.write_config(site.settings | {"model.path": str(tmp_path / "none")})
    with pytest.raises(ModelError, match="fraudlog fit"):
        site.run()
    site.write_config(site.settings | {"model.path": str(model), "log.format": "caddy"})
    with pytest.raises(FormatError, match=r"log\.format"):
        site.run()
    site.write_config(site.settings | {"log.format": "auto"})
    with pytest.raises(ConfigError, match="init"):
        site.run()
    shutil.copytree(undisturbed.store, tmp_path / "copy")
    site.write_config(
        site.settings | {"log.format": "combined", "store.path": str(tmp_path / "copy"), "sessions.gap": "10min"}
    )
    with pytest.raises(InputError, match="another definition"):
        site.run()


def test_status_says_what_is_there(undisturbed):
    """Rows and days of each table, and the last run."""
    status = job_status(undisturbed.config)
    assert status["tables"]["sessions"]["rows"] == undisturbed.report.tally.sessions
    assert status["tables"]["events"]["first"] == "2015-05-17"
    assert status["models"] == ["models/given-1.fraudlog"]
    assert json.dumps(status)


@pytest.mark.parametrize("values", [{}, {"retrain.every_days": 1, "retrain.max_flag_ratio": 50}], ids=["", "retrained"])
def test_a_dropped_key_stops_no_job(model, tmp_path, values):
    """After rotate and drop, with no run in between, the log goes on where it stood: nothing lost, nothing twice."""
    lines = sample_lines(3000)
    site = Site(tmp_path / "site", model, **values)
    site.append(b"".join(lines[:2200]))
    site.run()
    old = site.key.read_text().split()[0]
    assert drop_key(1, _rotated(site)).newest == 2
    assert old not in site.key.read_text()
    site.log.rename(site.log.with_name("access.log.1"))
    site.append(b"".join(lines[2200:]))
    report = site.run()
    assert report.tally.lines == 800
    found = events_of(site)
    assert len(found) == len(set(found)) == job_status(site.config)["counts"]["events"]
    assert drop_key(2, _rotated(site)).kept.keys() == {*load_keyring(site.key).kept}
    assert len(load_keyring(site.key).kept) == 2
    assert site.run().tally.lines == 0
    site.key.write_text(site.key.read_text().replace("kept", "kept x"))
    with pytest.raises(ConfigError, match="hex digits"):
        site.run()


def _rotated(site):
    rotate_key(site.key)
    return site.key
