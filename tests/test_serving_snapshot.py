"""Snapshots: a killed service goes on where it was; two halves become one; nothing in the file names anybody."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import fraudlog as fl
from conftest import ROOT
from fraudlog.detecting import read_model, write_model
from fraudlog.enriching import Enricher
from fraudlog.errors import ConfigError, InputError, SchemaError
from fraudlog.privacy import Pseudonyms
from fraudlog.serving import LocalState
from fraudlog.serving.snapshot import _seal_key, read_snapshot, write_snapshot
from serving_support import KEY, events_in_order, probe, request

SERVICE = """
import sys, time
from serving_support import KEY, events_in_order, probe, request
import fraudlog as fl
live = fl.LiveSessions(fl.Detector.load(sys.argv[1]), key=KEY)
for second in range(3):
    live.observe(probe(second))
for second in range(5):
    live.observe(request(second, "198.51.100.7", path=f"/{second}", user="alice"))
live.snapshot(sys.argv[2])
print("ready", flush=True)
time.sleep(600)
"""


def mixed(second: int):
    """A request of one of six clients."""
    made = probe if second % 6 == 0 else request
    return made(
        second, f"198.51.100.{second % 6}", path=f"/a/{second % 9}", user=f"u{second % 4}" if second % 2 else None
    )


def same(one, other) -> bool:
    """Whether two decisions are the same."""
    return one.to_dict() == other.to_dict()


def test_a_killed_service_goes_on(tmp_path, sample_detector):
    """A real process, killed: the next one decides as if it had served all requests itself."""
    model, path = str(tmp_path / "model"), str(tmp_path / "live.fraudlog")
    sample_detector.save(model)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    command = [sys.executable, "-c", SERVICE, model, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    whole, restored = (fl.LiveSessions(fl.Detector.load(model), key=KEY) for _ in range(2))
    for second in range(3):
        whole.observe(probe(second))
    for second in range(5):
        whole.observe(request(second, "198.51.100.7", path=f"/{second}", user="alice"))
    assert restored.restore(path)["sessions"] == 2
    for event in (probe(10), request(11, "198.51.100.7", path="/x", user="alice"), request(12, "203.0.113.80")):
        one, other = whole.observe(event), restored.observe(event)
        assert same(one, other)
        assert one.target == other.target


def test_all_features_go_on_the_same_after_any_number_of_restarts(tmp_path, sample_detector):
    """Windows over other sessions, distinct values, bursts and people by network too."""
    whole, parts = (fl.LiveSessions(sample_detector, key=KEY) for _ in range(2))
    for second in range(60):
        event = mixed(second)
        assert same(whole.observe(event), parts.observe(event))
        if second % 20 == 19:
            parts.snapshot(tmp_path / "s")
            parts = fl.LiveSessions(sample_detector, key=KEY)
            parts.restore(tmp_path / "s")
    for one, other in zip(whole.state.live, parts.state.live, strict=True):
        assert one.session_id == other.session_id
        assert repr(one.features) == repr(other.features)


def test_every_state_of_a_real_log_is_read_back(sample_log):
    """After each event; a burst that is over leaves pointers to nothing behind."""
    state, enricher = LocalState(key=KEY), Enricher()
    for event in events_in_order(sample_log.table.slice(0, 600)):
        full = event | enricher.event(event)
        state.begin(full)
        actor = state.live.actor_of(full)
        saved = json.loads(json.dumps(state.saver.dump(actor) | {"notes": None}))
        known, read = state.saver.load(saved)
        assert known == actor
        assert repr(state.live.values(read)) == repr(state.live.values(state.live.state_of(actor)))


def test_a_sample_of_many_values_goes_on_the_same(tmp_path):
    """Of sets and of counts."""
    whole = LocalState(key=KEY, exact_values=20)
    for i in range(100):
        whole.begin(request(i, path=f"/{i}/{i}", ip_prefix="203.0.113.0/24"))
    write_snapshot(whole, tmp_path / "s")
    again = LocalState(key=KEY, exact_values=20)
    read_snapshot(again, tmp_path / "s")
    for i in range(100, 130):
        event = request(i, path=f"/{i}/{i}", ip_prefix="203.0.113.0/24")
        one, other = whole.begin(event), again.begin(event)
        assert repr(one.values) == repr(other.values)
        assert other.is_estimated


def test_the_file_names_nobody(tmp_path, sample_detector):
    """No address, account, path, agent or token in it, with pseudonyms or without; and the seal holds."""
    for pseudonyms in (None, Pseudonyms(bytes(range(32)))):
        live = fl.LiveSessions(sample_detector, key=KEY, pseudonyms=pseudonyms)
        live.observe(request(user="alice-smith", path="/private/letters", session_token="tok-123"))  # noqa: S106 -- a test value
        live.observe(probe(1, "192.0.2.77"))
        live.observe(request(2, "not an address"))
        path = tmp_path / "s"
        live.snapshot(path)
        data = path.read_bytes()
        for name in (b"alice", b"203.0.113", b"192.0.2", b"private", b"letters", b"tok-123", b".env"):
            assert name not in data
        with zipfile.ZipFile(path) as archive:
            rows = json.loads(archive.read("arrays/sessions.bin"))
        shown = [row["entities"] for row in rows]
        assert all(("client_ip" in one) is (pseudonyms is not None) for one in shown[:2])
        if pseudonyms is not None:
            assert shown[0]["user"] == pseudonyms.tokens(["alice-smith"], "user")[0]
            assert shown[1]["client_ip"] == pseudonyms.addresses(["192.0.2.77"])[0]


def test_a_pseudonym_gives_way_to_the_clients_next_request(tmp_path, sample_detector):
    """So that a verdict names the network, not its pseudonym."""
    names = Pseudonyms(bytes(range(32)))
    live = fl.LiveSessions(sample_detector, pseudonyms=names)
    for second in range(3):
        live.observe(probe(second))
    live.snapshot(tmp_path / "s")
    again = fl.LiveSessions(sample_detector, pseudonyms=names)
    again.restore(tmp_path / "s")
    assert again.observe(probe(5)).target == "203.0.113.0/24"


def test_two_processes_become_one(tmp_path, sample_detector):
    """Counts, sums and distinct values are those of one that saw all; what hangs on order says it is estimated."""
    whole, one, other = (fl.LiveSessions(sample_detector, key=KEY) for _ in range(3))
    for second in range(40):
        event = mixed(second)
        whole.observe(event)
        (one if second // 3 % 2 else other).observe(event)
    one.snapshot(tmp_path / "one")
    merged = fl.LiveSessions(sample_detector, key=KEY)
    other.snapshot(tmp_path / "other")
    merged.restore(tmp_path / "one")
    merged.merge(tmp_path / "other")
    features = {session.session_id: session.features for session in whole.state.live}
    found = {session.session_id: session for session in merged.state.live}
    assert set(found) == set(features)
    exact = ("requests", "distinct_paths", "not_found", "bytes_total", "duration_s", "path_entropy", "probe_requests")
    names = [name for name in exact if name in next(iter(features.values()))]
    assert len(names) >= 5
    for identity, session in found.items():
        for name in names:
            assert session.features[name] == pytest.approx(features[identity][name], nan_ok=True), name
    joined = [identity for identity, session in found.items() if session.is_estimated]
    assert joined
    assert all(merged.peek(identity).confidence < whole.peek(identity).confidence for identity in joined)


def test_halves_that_lie_apart_stay_two(tmp_path, sample_detector):
    """The earlier one ends."""
    early, late = (fl.LiveSessions(sample_detector, key=KEY) for _ in range(2))
    early.observe(request(0))
    late.observe(request(7200))
    early.snapshot(tmp_path / "s")
    assert late.merge(tmp_path / "s")["sessions"] == 1
    assert [session.n_events for session in late.state.live] == [1]
    assert not next(iter(late.state.live)).is_estimated


def test_what_can_not_be_restored_is_refused(tmp_path, sample_detector):
    """Without a key, with another, damaged, missing, of other limits, over open sessions; nothing is taken in."""
    live = fl.LiveSessions(sample_detector, key=KEY)
    live.observe(request())
    path = tmp_path / "s"
    live.snapshot(path)
    with pytest.raises(ConfigError, match="needs a key"):
        fl.LiveSessions(sample_detector).snapshot(path)
    with pytest.raises(ConfigError, match="open already"):
        live.restore(path)
    with pytest.raises(InputError, match="no such snapshot"):
        fl.LiveSessions(sample_detector, key=KEY).restore(tmp_path / "none")
    with pytest.raises(SchemaError, match="can't be trusted"):
        fl.LiveSessions(sample_detector, key=b"another key of sixteen").restore(path)
    other = LocalState(fl.sessions.define(session_gap="10min"), key=KEY)
    with pytest.raises(SchemaError, match="other features or limits"):
        read_snapshot(other, path)
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), len(data) // 37):
        path.write_bytes(bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place + 1 :]))
        fresh = fl.LiveSessions(sample_detector, key=KEY)
        with pytest.raises(SchemaError):
            fresh.restore(path)
        assert len(fresh.state) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.pop("actor"),
        lambda row: row.update(actor=["t"]),
        lambda row: row.update(span=[5, 1, 1, 0]),
        lambda row: row.update(span=[0, 1, 10**9, 0]),
        lambda row: row.update(id="short"),
        lambda row: row.update(entities={"user": ["x"]}),
        lambda row: row.update(notes=[1]),
        lambda row: row.update(state=["zz", []]),
        lambda row: row["state"][1].pop(),
        lambda row: row["state"].__setitem__(1, [{"a": 1}] * len(row["state"][1])),
        lambda row: row["state"].__setitem__(1, [10**30] * len(row["state"][1])),
    ],
)
def test_a_sealed_file_with_nonsense_in_it_is_refused(tmp_path, sample_detector, change):
    """Who has the key may still have a bug: each part is checked before any is taken in."""
    live = fl.LiveSessions(sample_detector, key=KEY)
    for second in range(3):
        live.observe(request(second, path=f"/{second}"))
    path = tmp_path / "s"
    live.snapshot(path)
    arrays, manifest = read_model(path, key=_seal_key(live.state))
    rows = json.loads(arrays["sessions"].tobytes())
    change(rows[0])
    changed = dict(arrays) | {"sessions": np.frombuffer(json.dumps(rows).encode(), np.uint8)}
    write_model(path, changed, manifest, key=_seal_key(live.state))
    fresh = fl.LiveSessions(sample_detector, key=KEY)
    with pytest.raises(SchemaError):
        fresh.restore(path)
    assert len(fresh.state) == 0
