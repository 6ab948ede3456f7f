"""Reads of a store leave a trace of who, what for, which table, when and how many; of whom, never."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from conftest import ROOT
from fraudlog.errors import ConfigError, OutputError, PrivacyError
from fraudlog.privacy import Chain
from fraudlog.store import AuditWarning, open_store
from fraudlog.store.reads import who_asks

DETECTING = "essential.fraud_detection"
AUTHENTICATING = "essential.service.authentication"
IMPROVING = "improve.system"


@pytest.fixture
def folder(tmp_path):
    """A store of forty sessions of twenty clients, and a document."""
    n = 40
    end = pa.array([1_431_820_800_000_000] * n).cast(pa.timestamp("us", "UTC"))
    rows = pa.table(
        {
            "session_id": [f"s{i}" for i in range(n)],
            "client_ip": [f"198.51.100.{i % 20}" for i in range(n)],
            "user": ["usertoken"] * n,
            "browser": ["Firefox"] * (n - 2) + ["Lynx"] * 2,
            "start": end,
            "end": end,
            "requests": [float(i) for i in range(n)],
        }
    )
    with open_store(tmp_path / "store", purpose=DETECTING, mode="write") as store, store.transaction("test") as change:
        change.append("sessions", rows, end)
        change.put("state/x.arrow", b"events")
    return tmp_path / "store"


def trail(folder):
    return Chain(folder / "ledger" / "audit.jsonl").entries()


def test_a_read_leaves_a_trace_and_no_identifier(folder):
    """Who, purpose, table, when, rows; opening alone leaves none."""
    store = open_store(folder, purpose=DETECTING, who="R. Viewer")
    assert not (folder / "ledger" / "audit.jsonl").exists()
    began = datetime.now(UTC).replace(microsecond=0)
    store.read("sessions", columns=["session_id"], days=[date(2015, 5, 17)])
    open_store(folder, purpose=IMPROVING).read("sessions")
    store.files("sessions")
    first, second, third = trail(folder)
    assert datetime.fromisoformat(first.pop("at")) >= began
    assert first == {
        "event": "read",
        "who": "R. Viewer",
        "purpose": DETECTING,
        "table": "sessions",
        "columns": ["session_id"],
        "days": ["2015-05-17", "2015-05-17"],
        "rows": 40,
    }
    assert (second["who"], second["purpose"], second["columns"]) == (who_asks(), IMPROVING, "all")
    assert (third["event"], third["rows"]) == ("files", 40)
    text = (folder / "ledger" / "audit.jsonl").read_text()
    assert "usertoken" not in text
    assert "198.51" not in text


def test_features_are_read_for_what_they_are_computed_for(folder):
    """Who checks a login sees none; neither by name, nor as whole files, nor in documents."""
    store = open_store(folder, purpose=AUTHENTICATING)
    assert "requests" not in store.read("sessions").column_names
    assert "requests" in open_store(folder, purpose=IMPROVING).read("sessions").column_names
    with pytest.raises(PrivacyError, match="requests of sessions may not be read"):
        store.read("sessions", columns=["requests"])
    for purpose in (AUTHENTICATING, IMPROVING):
        with pytest.raises(PrivacyError, match="not to be read for"):
            open_store(folder, purpose=purpose).files("sessions")
        with pytest.raises(PrivacyError, match="documents may not"):
            open_store(folder, purpose=purpose).document("state/x.arrow")
    assert open_store(folder, purpose=DETECTING).document("state/x.arrow") == b"events"
    assert [entry["event"] for entry in trail(folder)] == ["read", "read"]


_READER = """
import json, os, sys, warnings
from fraudlog.store import open_store
import pyarrow.parquet
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    rows = [len(open_store("store", purpose="essential.fraud_detection", audit=trail).read("sessions"))
            for trail in (None, "mine/audit.jsonl")]
print(json.dumps([rows, [(one.category.__name__, str(one.message)) for one in told]]))
"""


def test_a_store_that_may_only_be_read_is_read_with_a_warning(folder):
    """An account without the right to write: rows come, a warning says that nothing was noted; its own trail is one."""
    own = folder.parent / "mine"
    own.mkdir()
    own.chmod(0o777)
    folder.parent.chmod(0o755)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = subprocess.run(
        [sys.executable, "-c", _READER],
        cwd=folder.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, told = json.loads(done.stdout)
    assert rows == [40, 40]
    assert [name for name, _ in told] == [AuditWarning.__name__]
    assert "not noted" in told[0][1]
    assert Chain(own / "audit.jsonl").entries()[0]["rows"] == 40
    assert not (folder / "ledger" / "audit.jsonl").exists()


def test_nothing_is_read_over_a_full_disk_or_a_broken_trail(folder):
    """Nobody could say who read."""
    store = open_store(folder, purpose=DETECTING)
    store.read("sessions")
    path = folder / "ledger" / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"rows":40', b'"rows":41'))
    with pytest.raises(PrivacyError, match="nothing is added"):
        store.read("sessions")

    with pytest.raises(OutputError, match="nothing is read"):
        open_store(folder, purpose=DETECTING, audit="/dev/full").read("sessions")


def test_a_release_is_noted_with_its_reason(folder):
    """Ten clients of each combination; fewer with a reason, which stands in the trail."""
    store = open_store(folder, purpose=IMPROVING)
    assert set(store.release("sessions", ["browser"])["browser"].to_pylist()) == {"Firefox"}
    with pytest.raises(PrivacyError, match="reason"):
        store.release("sessions", ["browser"], k=2)
    found = store.release("sessions", ["browser"], k=2, reason="defect 12")
    assert set(found["browser"].to_pylist()) == {"Firefox", "Lynx"}
    assert not {"user", "client_ip", "session_id"} & set(found.column_names)
    with pytest.raises(ConfigError, match="user can't be released"):
        store.release("sessions", ["user"])
    rows = trail(folder)
    assert [(row["event"], row["k"], row["reason"], row["rows"]) for row in rows] == [
        ("release", 10, "", 38),
        ("release", 2, "defect 12", 40),
    ]
    assert json.dumps(rows[1]["by"]) == '["browser"]'
