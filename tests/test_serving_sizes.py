"""Memory: whatever clients send, each table of a service stays within its bound, and those that can fill do."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import fraudlog as fl
from fraudlog.enriching import distinct, enricher
from fraudlog.enriching.distinct import FactTable
from fraudlog.serving import LocalState
from fraudlog.sessions import codes
from serving_support import request

N_EVENTS = 900
MOST = 60


@pytest.fixture
def live(monkeypatch):
    """A service whose tables are all small."""
    monkeypatch.setattr(codes, "MOST_ENTRIES", MOST)
    monkeypatch.setattr(enricher, "_REMEMBERED", MOST)
    monkeypatch.setitem(FactTable.__init__.__kwdefaults__, "limit", MOST)
    return fl.LiveSessions(None, state=LocalState(max_sessions=40, max_bytes=400_000, exact_values=16))


def flood(i: int) -> dict[str, object]:
    """A request of which everything is new, or new for its network, its account or its session."""
    return request(
        i * 7.0,
        f"203.{i % 250}.{i // 250}.9" if i % 3 else f"198.51.100.{i % 250}",
        path=f"/{i}/p{i * 7}.html" if i % 5 else f"/login?{i}",
        status=401 if i % 5 == 0 else 404,
        user_agent=f"Mozilla/5.0 (X11; Linux x86_64; rv:{i}.0) Gecko/20100101 Firefox/{i}.0",
        language=f"en;q=0.{i}",
        user=f"user-{i}" if i % 4 == 0 else None,
        session_token="one-of-many-values" if i % 4 == 1 else None,
        country=("FR", "JP", None)[i % 3],
        ch_ua=f'"Chromium";v="{i}"',
        referrer=f"https://example.org/{i}",
        query=f"q={i}",
        host=f"h{i}.example.org",
        tls_fingerprint=f"t{i}",
        device_id=f"d{i}",
    )


def test_no_table_outgrows_its_bound(live):
    """Sessions, their values, windows, caches of values, verdicts: counted after every request."""
    highest: dict[str, int] = {}
    for i in range(N_EVENTS):
        live.observe(flood(i))
        for name, size in live.sizes().items():
            highest[name] = max(highest.get(name, 0), size.held)
            assert size.most is not None, name
            assert size.held <= size.most, name
    sizes = live.sizes()
    full = {name for name, size in sizes.items() if highest[name] >= size.most // 3}
    assert {"sessions", "session ids", "codes"} <= full
    assert {f"remembered: {name}" for name in ("user_agent", "language", "path", "client_ip", "hints")} <= full
    assert sum(name.startswith("window") for name in full) >= 10
    assert sum(name.startswith("facts") for name in full) >= 4


def test_marks_and_people_are_bounded(sample_detector):
    """With a model, which challenges: what was not touched for longest goes."""
    live = fl.LiveSessions(sample_detector, state=LocalState(max_sessions=10))
    for i in range(60):
        for second in range(2):
            live.observe(request(i + second / 10, f"203.0.{i}.9", path="/.env", status=404, user_agent=f"sqlmap/{i}"))
            live.observe(request(i + second / 10, f"198.51.{i}.9"))
        for name in ("verdicts", "people"):
            assert live.sizes()[name].held <= live.sizes()[name].most == 20
    assert live.sizes()["verdicts"].held == live.sizes()["people"].held == 20


def test_many_threads_may_forget_at_once(monkeypatch):
    """A table that is full is emptied by whoever finds it so; nobody trips over another."""
    monkeypatch.setattr(distinct, "_LONGEST_REMEMBERED", 4096)
    table = FactTable(lambda text: (text,), [("text", distinct.pa.string())], limit=8)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(lambda i: table.one(str(i)), range(8_000)))
    finally:
        sys.setswitchinterval(before)
    assert found == [(str(i),) for i in range(8_000)]
    assert table.filled[0] <= 8 + 4  # each thread may add one between the look and the cut
