"""Chain, keys, purposes, policies, consent, holds and releases: each promise, and what breaks it."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fraudlog as fl
from conftest import ROOT
from fraudlog.enriching import Shield
from fraudlog.errors import ConfigError, InputError, PrivacyError
from fraudlog.privacy import (
    PURPOSES,
    REQUESTS,
    RETENTION,
    Chain,
    Holds,
    Policies,
    PolicyVersion,
    Pseudonyms,
    Withheld,
    add_policy,
    allowed_columns,
    drop_key,
    load_keyring,
    release,
    rotate_key,
    with_days,
)
from fraudlog.privacy.releasing import group_sizes
from fraudlog.schema import EVENTS, SESSIONS, Column
from fraudlog.store import TABLES, open_store

KEY = bytes(range(32))
NOW = datetime(2026, 6, 1, tzinfo=UTC)


# --- audit ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def chain(tmp_path):
    made = Chain(tmp_path / "ledger" / "audit.jsonl")
    for rows in range(3):
        made.append({"event": "read", "rows": rows, "at": "2026-01-01"})
    return made


def test_any_changed_bit_is_found(chain):
    """Every bit of the trail and of its head, one at a time."""
    for path in (chain.path, chain.head_path):
        good = path.read_bytes()
        for bit in range(8 * len(good)):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bad)
            assert not chain.verify().is_whole, (path.name, bit)
        path.write_bytes(good)
    assert chain.verify().is_whole


def test_entries_taken_out_are_missed(chain):
    """From the end, the middle and the beginning; a swapped pair too."""
    lines = chain.path.read_bytes().splitlines(keepends=True)
    for left in ([0], [0, 2], [1, 2], [], [0, 2, 1]):
        chain.path.write_bytes(b"".join(lines[i] for i in left))
        assert not chain.verify().is_whole, left
    with pytest.raises(PrivacyError, match="nothing is added"):
        chain.append({"event": "more"})


def test_appends_stopped_one_after_the_other_before_the_head_are_made_good(chain):
    """Killed twice in a row between an entry and its head: the trail goes on, and no entry is lost."""
    before = len(chain.entries())
    for _ in range(3):
        with mock.patch.object(Chain, "_write_head", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            chain.append({"event": "read"})
    chain.append({"event": "read"})
    assert chain.verify().is_whole
    assert before < len(chain.entries()) <= before + 4


def test_a_stopped_append_is_made_good(chain):
    """Half a line goes; a line whose head was not written yet stays."""
    before = chain.head_path.read_bytes()
    chain.append({"event": "last"})
    chain.head_path.write_bytes(before)
    assert chain.verify().entries == 4
    with chain.path.open("ab") as file:
        file.write(b'{"event":"ha')
    chain.append({"event": "next"})
    assert [entry["event"] for entry in chain.entries()] == ["read", "read", "read", "last", "next"]
    assert stat.S_IMODE(chain.path.stat().st_mode) == 0o600


_FACTS = st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=8) | st.none(), max_size=3)


@given(st.lists(_FACTS, min_size=1, max_size=5), st.data())
def test_any_bit_of_any_trail_is_missed(tmp_path_factory, entries, data):
    """Whatever was noted: one bit changed, in the trail or its head, and `verify` says so; nothing is added then."""
    made = Chain(tmp_path_factory.mktemp("trail") / "audit.jsonl")
    for entry in entries:
        made.append({f"x{name}": value for name, value in entry.items()})
    path = data.draw(st.sampled_from([made.path, made.head_path]))
    good = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(good) - 1))
    path.write_bytes(good[: bit // 8] + bytes([good[bit // 8] ^ 1 << bit % 8]) + good[bit // 8 + 1 :])
    assert not made.verify().is_whole
    if path == made.head_path or bit // 8 >= good[:-1].rfind(b"\n") + 1:
        with pytest.raises(PrivacyError, match="nothing is added"):
            made.append({"event": "more"})
    path.write_bytes(good)
    assert made.verify() == (True, len(entries), "", made.verify().head)


def test_adding_costs_the_same_however_long_the_trail(chain):
    """It looks at the end alone: an entry of any length there, and one far back that was changed, are passed over."""
    chain.append({"event": "long", "columns": ["c" * 50] * 300})
    chain.append({"event": "next"})
    assert chain.verify().entries == 5
    data = bytearray(chain.path.read_bytes())
    data[10] ^= 1
    chain.path.write_bytes(data)
    chain.append({"event": "more"})
    assert not chain.verify().is_whole


def test_half_an_entry_is_no_break(chain):
    """Stopped while it was written: whole still, and gone with the next; a changed end of a line is a break."""
    good = chain.path.read_bytes()
    chain.path.write_bytes(good + b'{"event":"ha')
    assert chain.verify() == chain.verify()._replace(is_whole=True, entries=3)
    chain.append({"event": "next"})
    assert chain.verify().entries == 4
    lines = chain.path.read_bytes()
    chain.head_path.write_bytes(f"3 {json.loads(good.splitlines()[-1])['hash']}\n".encode())
    assert chain.verify().is_whole
    chain.path.write_bytes(lines[:-1] + b"\x0b")
    assert not chain.verify().is_whole


def test_a_chain_that_was_never_written_is_whole(tmp_path):
    """An empty trail says that nothing happened."""
    assert Chain(tmp_path / "a").verify().is_whole
    (tmp_path / "a.head").write_text("2 " + "0" * 64 + "\n")
    assert not Chain(tmp_path / "a").verify().is_whole


# --- keys ----------------------------------------------------------------------------------------------------------


def test_epochs_rotate_and_are_forgotten(tmp_path):
    """After a drop nobody can make the old pseudonym again, nor read it back."""
    path = tmp_path / "key"
    first = load_keyring(path)
    old = Pseudonyms(first.key).tokens(["alice"], "user")
    second = rotate_key(path)
    assert (second.newest, sorted(second.keys)) == (2, [1, 2])
    assert second.pseudonyms()[1].tokens(["alice"], "user") == old
    assert Pseudonyms(second.key).tokens(["alice"], "user") != old
    with pytest.raises(ConfigError, match="in use"):
        drop_key(2, path)
    third = drop_key(1, path)
    assert sorted(third.keys) == [2]
    assert first.key.hex() not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_keyring(path).keys == third.keys
    with pytest.raises(ConfigError, match="no epoch 1"):
        drop_key(1, path)


def test_a_ring_shows_no_key():
    """Neither its repr nor the id of a key tells anything of it."""
    ring = load_keyring(callback=lambda: f"1 {'ab' * 32}\n3 {'cd' * 32}")
    assert ring.newest == 3
    assert "cdcd" not in repr(ring) + Pseudonyms(ring.key).key_id
    with pytest.raises(ConfigError, match="callback") as caught:
        load_keyring(callback=lambda: "1 " + "ab" * 31)
    assert "abab" not in str(caught.value)


# --- purposes ------------------------------------------------------------------------------------------------------


def test_every_column_says_what_it_is_for():
    """Category where it is of a person, purposes, a class of retention and a treatment, for every stored column."""
    for table in TABLES.values():
        for column in table.columns:
            assert column.purposes, (table.name, column.name)
            assert set(column.purposes) <= set(PURPOSES)
            assert column.retention in RETENTION
            assert column.category or column.treatment not in ("ip", "token", "url", "cut")


def test_a_column_without_purpose_is_in_no_table():
    """For no purpose at all, not even a request."""
    bare = Column("shoe_size", "int16", "of the visitor")
    assert bare not in allowed_columns((*EVENTS, bare), REQUESTS)
    assert "path" not in [column.name for column in allowed_columns(EVENTS, "essential.service.authentication")]
    assert "user" not in [column.name for column in allowed_columns(EVENTS, "improve.system")]


def test_a_store_is_read_for_a_purpose(tmp_path):
    """Columns that may not be read for it are absent; asking for one raises; so does another purpose."""
    rows = pa.table({"session_id": ["s"], "user": ["t"], "timestamp": pa.array([1_700_000_000_000_000])})
    rows = rows.set_column(2, "timestamp", rows["timestamp"].cast(pa.timestamp("us", "UTC")))
    with open_store(tmp_path, purpose="essential.fraud_detection", mode="write") as store:
        with store.transaction("test") as change:
            change.append("events", rows, rows["timestamp"])
        assert "user" in store.read("events").column_names
    store = open_store(tmp_path, purpose="improve.system")
    assert "user" not in store.read("events").column_names
    with pytest.raises(PrivacyError, match="user of events may not be read"):
        store.read("events", columns=["user"])
    for other in ("marketing.advertising", "analytics"):
        with pytest.raises(PrivacyError, match="not collected for"):
            open_store(tmp_path, purpose=other)


# --- policies ------------------------------------------------------------------------------------------------------


def version(name: str, effective: datetime, told_days: int = 30) -> PolicyVersion:
    return PolicyVersion(name, "ab" * 32, effective, effective - timedelta(days=told_days))


def test_rows_are_stamped_with_the_policy_of_their_time(tmp_path):
    """The version in force when the request came, not when it is read."""
    path = tmp_path / "policies.jsonl"
    add_policy(path, version("a", datetime(2025, 1, 1, tzinfo=UTC)))
    add_policy(path, version("b", datetime(2025, 6, 1, tzinfo=UTC)))
    log = tmp_path / "a.log"
    line = '192.0.2.1 - - [{}/{}/2025:13:55:36 +0000] "GET /a HTTP/1.0" 200 2326\n'
    log.write_text(line.format("01", "May") + line.format("01", "Jun") + line.format("02", "Jun"))
    table = fl.read_log(log, privacy=Shield(KEY, policies=Policies.load(path))).table
    assert table["notice"].to_pylist() == ["a", "b", "b"]


def test_a_policy_not_in_force_is_refused(tmp_path):
    """Neither one to come, nor one that nobody knows; an empty ledger allows nothing."""
    policies = Policies([version("next", NOW + timedelta(days=1))])
    with pytest.raises(PrivacyError, match="not yet"):
        policies.require("next", NOW)
    with pytest.raises(PrivacyError, match="not in the ledger"):
        policies.require("other", NOW)
    assert policies.require("next", NOW + timedelta(days=2)).version == "next"
    log = tmp_path / "a.log"
    log.write_text('192.0.2.1 - - [01/May/2025:13:55:36 +0000] "GET /a HTTP/1.0" 200 2326\n')
    with pytest.raises(PrivacyError, match="ledger is empty"):
        fl.read_log(log, privacy=Shield(KEY, policies=Policies()))
    with pytest.raises(PrivacyError, match="not yet"):
        fl.read_log(log, privacy=Shield(KEY, policies=policies, now=NOW))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (version("a", NOW), "is in the ledger"),
        (version("b", NOW - timedelta(days=1)), "after those before"),
        (version("b", NOW + timedelta(days=1), -1), "be told"),
    ],
)
def test_a_policy_that_cheats_is_refused(tmp_path, row, message):
    """The same name again, back-dated, or in force before people were told."""
    add_policy(tmp_path / "p", version("a", NOW))
    with pytest.raises(ConfigError, match=message):
        add_policy(tmp_path / "p", row)


# --- withheld, holds, retention --------------------------------------------------------------------------------------


def test_consent_is_honoured_from_the_next_run(tmp_path):
    """Withdrawn: left out. Given again: back. After a rotation of the key: still left out."""
    log = tmp_path / "a.log"
    log.write_text('192.0.2.1 - alice [01/May/2025:13:55:36 +0000] "GET /a HTTP/1.0" 200 2326\n')
    ring, path = load_keyring(tmp_path / "key"), tmp_path / "withheld.json"
    Withheld().adding("alice", "user", ring.key, "consent withdrawn", NOW).save(path)
    newer = rotate_key(tmp_path / "key")
    kept = Withheld.load(path)
    assert fl.read_log(log, privacy=Shield(newer, withheld=kept, now=NOW)).summary.events == 0
    assert "alice" not in path.read_text()
    again = kept.lifting("alice", "user", newer.keys.values(), "consent withdrawn")
    assert fl.read_log(log, privacy=Shield(newer, withheld=again, now=NOW)).summary.events == 1
    path.write_text("[{")
    with pytest.raises(InputError, match="damaged"):
        Withheld.load(path)


def test_a_childs_mark_ends_by_itself():
    """Until then the child can't come back in."""
    barred = Withheld().adding("kid", "user", KEY, "minor", NOW, NOW + timedelta(days=365))
    events = pa.table({"user": ["kid", "other"]})
    assert barred.mask(events, [KEY], NOW).tolist() == [True, False]
    assert barred.mask(events, [KEY], NOW + timedelta(days=366)).tolist() == [False, False]
    assert len(barred.current(NOW + timedelta(days=366))) == 0
    with pytest.raises(ConfigError, match="named by"):
        barred.adding("x", "path", KEY, "minor", NOW)


def test_a_hold_needs_ground_reviewer_and_end(tmp_path):
    """And ends; what is erased leaves it."""
    holds = Holds().adding(["s1", "s2"], "chargeback", "R. Viewer", NOW, NOW + timedelta(days=90))
    holds.save(tmp_path / "holds.json")
    holds = Holds.load(tmp_path / "holds.json")
    assert holds.sessions(NOW) == {"s1", "s2"}
    assert holds.without({"s1"}, NOW).sessions(NOW) == {"s2"}
    assert holds.without({"s1", "s2"}, NOW).holds == ()
    assert holds.sessions(NOW + timedelta(days=91)) == frozenset()
    for arguments in (
        (["s"], " ", "R", NOW, NOW + timedelta(days=1)),
        (["s"], "g", "", NOW, NOW + timedelta(days=1)),
        ([], "g", "R", NOW, NOW + timedelta(days=1)),
        (["s"], "g", "R", NOW, NOW),
        (["s"], "g", "R", NOW, NOW + timedelta(days=1096)),
    ):
        with pytest.raises(ConfigError, match="hold"):
            Holds().adding(*arguments)


def test_retention_is_the_promised_one_or_shorter():
    """180 days, 365, and three years of confirmed fraud; never longer than the notice says."""
    assert {name: row.days for name, row in RETENTION.items()} == {
        "events": 180,
        "models": 180,
        "quarantine": 180,
        "scores": 365,
        "fraud": 1095,
    }
    assert with_days({"events": 30})["events"].days == 30
    for wrong in ({"events": 181}, {"events": 0}, {"other": 1}):
        with pytest.raises(ConfigError):
            with_days(wrong)


# --- releases ------------------------------------------------------------------------------------------------------

_SMALL = st.sampled_from(["Linux", "Windows", "Android", None])


@given(st.lists(st.tuples(_SMALL, _SMALL, st.integers(0, 3)), max_size=60), st.integers(10, 15))
def test_nobody_stands_alone_in_a_release(rows, k):
    """Every combination that comes out has k rows, whatever came in."""
    names = ("os", "browser", "status")
    table = pa.table({name: pa.array([row[i] for row in rows]) for i, name in enumerate(names)})
    columns = (*EVENTS, *SESSIONS)
    declared = {column.name: column for column in columns}.values()
    found = release(table, declared, quasi=["os", "browser"], k=k)
    assert len(found) <= len(table)
    assert (group_sizes(found, ["os", "browser"]) >= k).all()


def test_a_release_holds_no_identifier_and_no_free_text():
    """Ids, places in logs and texts that were not asked for are gone; times are days."""
    n = 20
    table = pa.table(
        {
            "timestamp": pa.array([1_700_000_000_000_000 + i for i in range(n)]).cast(pa.timestamp("us", "UTC")),
            "client_ip": [f"192.0.2.{i}" for i in range(n)],
            "user": ["t"] * n,
            "path": ["/a"] * n,
            "os": ["Linux"] * n,
            "status": pa.array([200] * n, pa.int16()),
            "source": ["a.log"] * n,
            "line_number": list(range(n)),
        }
    )
    found = release(table, EVENTS, quasi=["os"])
    assert set(found.column_names) == {"timestamp", "os", "status"}
    assert len(found["timestamp"].unique()) == 1
    with pytest.raises(ConfigError, match="can't be released"):
        release(table, EVENTS, quasi=["client_ip"])


def test_fewer_than_ten_needs_a_reason():
    """And data is not released for what it was not collected for."""
    table = pa.table({"os": ["Linux"] * 5})
    with pytest.raises(PrivacyError, match="reason"):
        release(table, EVENTS, quasi=["os"], k=2)
    with pytest.raises(PrivacyError, match="must be kept"):
        release(table, EVENTS, quasi=["os"], k=2, reason="defect 12")
    kept: dict[str, object] = {}
    found = release(table, EVENTS, quasi=["os"], k=2, reason="defect 12", audit=kept.update)
    assert len(found) == kept["rows"] == 5
    assert (kept["reason"], kept["k"]) == ("defect 12", 2)
    assert len(release(table, EVENTS, quasi=["os"])) == 0
    with pytest.raises(PrivacyError, match="not collected"):
        release(table, EVENTS, quasi=["os"], purpose="marketing")


def test_one_client_who_came_often_is_no_crowd():
    """Ten clients of an address each, not ten rows; where addresses were dropped, ten sessions."""
    table = pa.table(
        {
            "client_ip": pa.array([f"a{n}" for n in range(10)] + ["b"] * 30).dictionary_encode(),
            "session_id": [f"s{n}" for n in range(40)],
            "browser": ["Firefox"] * 10 + ["Lynx"] * 30,
            "asn": list(range(40)),
        }
    )
    columns = {column.name: column for column in (*EVENTS, *SESSIONS)}.values()
    found = release(table, columns, quasi=["browser"])
    assert set(found["browser"].to_pylist()) == {"Firefox"}
    assert found.column_names == ["browser"]
    dropped = table.set_column(0, "client_ip", pa.nulls(40, pa.string()))
    assert len(release(dropped, columns, quasi=["browser"])) == 40


def test_group_sizes_equal_counting():
    """Against a dictionary."""
    rng = np.random.default_rng(0)
    columns = {name: rng.integers(0, 3, 200).tolist() for name in ("a", "b")}
    rows = list(zip(columns["a"], columns["b"], strict=True))
    assert group_sizes(pa.table(columns), ["a", "b"]).tolist() == [rows.count(row) for row in rows]
    clients = rng.integers(0, 9, 200)
    distinct = [len({c for c, other in zip(clients.tolist(), rows, strict=True) if other == row}) for row in rows]
    assert group_sizes(pa.table(columns), ["a", "b"], clients).tolist() == distinct
    assert json.dumps(group_sizes(pa.table({"a": []}), ["a"]).tolist()) == "[]"


# --- keys under kill -------------------------------------------------------------------------------------------------

_TURN = """
import sys; from pathlib import Path; from fraudlog.privacy import drop_key, rotate_key
print("ready", flush=True); sys.stdin.readline()
ring = rotate_key(Path(sys.argv[1])); drop_key(min(ring.keys), Path(sys.argv[1]))
"""


def turned_under_kill(path, count: int) -> set[int]:
    """Kill a rotation followed by a drop at random moments; the ring is always one of the three it can be."""
    chance = random.Random(5)  # noqa: S311 -- moments, not keys
    load_keyring(path)
    seen = set()
    for _ in range(count):
        before = load_keyring(path).keys
        with subprocess.Popen(
            [sys.executable, "-c", _TURN, str(path)],
            env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as turning:
            turning.stdout.readline()
            turning.stdin.write(b"go\n")
            turning.stdin.flush()
            time.sleep(chance.random() * 0.003)
            turning.kill()
        after = load_keyring(path).keys
        kept = {epoch: after[epoch] for epoch in after.keys() & before.keys()}
        assert all(before[epoch] == key for epoch, key in kept.items())
        assert set(after) in (
            set(before),
            set(before) | {max(before) + 1},
            (set(before) | {max(before) + 1}) - {min(before)},
        )
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        seen.add(len(after) - len(before))
    return seen


def test_a_killed_rotation_leaves_the_old_ring_or_the_new(tmp_path):
    """A few times; `test_keys_killed_two_hundred_times` at length."""
    turned_under_kill(tmp_path / "key", 3)


@pytest.mark.slow
def test_keys_killed_two_hundred_times(tmp_path):
    """The same 200 times; some died before, some behind."""
    assert len(turned_under_kill(tmp_path / "key", 200)) > 1
