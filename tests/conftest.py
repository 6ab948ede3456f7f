"""What the tests share: where the data lies, and a scored sample log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

import fraudlog as fl

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "data" / "sample" / "access.log.gz"
SHARED = ROOT.parent / "shared" / "data"
collect_ignore = ["fuzz"]  # programs of their own, run by `make fuzz`

# No deadline: the machines that run the tests differ by more than any deadline would tell.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def shared_data(name: str) -> Path:
    """Return a file of the shared data, or skip where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"shared data is absent: {name}")
    return path


def make_events(*rows: Mapping[str, Any]) -> pd.DataFrame:
    """Return events one second apart from one client, changed as `rows` say."""
    base = {
        "client_ip": "203.0.113.9",
        "method": "GET",
        "path": "/",
        "status": 200,
        "bytes_sent": 1000,
        "referrer": None,
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "language": "en",
        "source": "a.log",
    }
    start = pd.Timestamp("2026-01-01T10:00:00Z")
    full = [
        base | {"timestamp": start + pd.Timedelta(seconds=row.get("at", i)), "line_number": i + 1} | dict(row)
        for i, row in enumerate(rows)
    ]
    frame = pd.DataFrame(full).drop(columns="at", errors="ignore")
    return frame.assign(timestamp=frame["timestamp"].astype("datetime64[us, UTC]"))


@pytest.fixture(scope="session")
def sample_log() -> fl.ParsedLog:
    """The sample log, read."""
    return fl.read_log(SAMPLE)


@pytest.fixture(scope="session")
def sample_sessions(sample_log) -> pd.DataFrame:
    """Its sessions."""
    return fl.build_sessions(sample_log.table)


@pytest.fixture(scope="session")
def sample_detector(sample_sessions) -> fl.Detector:
    """A detector fitted on them."""
    return fl.Detector().fit(sample_sessions)


@pytest.fixture(scope="session")
def sample_scores(sample_detector, sample_sessions) -> pd.DataFrame:
    """Their scores."""
    return sample_detector.score(sample_sessions)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory, monkeypatch) -> None:
    """Keep the tests' keys out of the home of whoever runs them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    monkeypatch.delenv("FRAUDLOG_KEY", raising=False)
