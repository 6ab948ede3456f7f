"""Requests for the benchmarks of a service: a site with people, scrapers, scanners and password guessers.

The values come from pools of fixed size, so that the tables of what was seen fill up early and a slope of the memory is
one; a share of the addresses is new each time, as on a real site.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import fraudlog as fl

__all__ = ["fitted", "requests"]

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{0}.0.0.0 Safari/537.36"
)
AGENTS = [FIREFOX.format(i) for i in range(100, 150)] + [CHROME.format(i) for i in range(100, 150)]
PATHS = [f"/section{i % 40}/item-{i}.html" for i in range(2_000)]
ASSETS = [f"/static/{i}.css" for i in range(60)]
PROBES = ("/.env", "/wp-login.php", "/.git/config", "/phpmyadmin/", "/backup.zip")
_SHARES = 60
KINDS = ("person", "person", "person", "person", "person", "person", "scraper", "scanner", "guesser")


def requests(
    n_events: int,
    *,
    seed: int = 5,
    start_us: int = 1_760_000_000_000_000,
    per_second: float = 2_000.0,
    new_share: float = 0.05,
):
    """Give requests in order of time, made a thousand at a time; a share of them from addresses never seen."""
    new = round(new_share * _SHARES)
    chance = np.random.default_rng(seed)
    now = start_us
    for first in range(0, n_events, 1_000):
        clients = (chance.zipf(1.25, 1_000) % 20_000).tolist()
        draws = chance.integers(0, 1 << 30, (1_000, 3)).tolist()
        steps = chance.exponential(1e6 / per_second, 1_000).astype(np.int64).tolist()
        for client, draw, step in zip(clients, draws, steps, strict=True):
            now += step + 1
            yield request(now, client, draw, is_new=draw[2] % _SHARES < new)
        if first + 1_000 >= n_events:
            return


def request(time_us: int, client: int, draw: list[int], *, is_new: bool) -> dict[str, object]:
    """Make one request of a client."""
    kind = KINDS[client % len(KINDS)]
    block = draw[2] >> 6 & 0xFFFFFF if is_new else client
    agent = (
        "python-requests/2.32.3" if kind == "guesser" else None if kind == "scanner" else AGENTS[client % len(AGENTS)]
    )
    made = {
        "timestamp": time_us,
        "client_ip": f"{100 + (block >> 16 & 63)}.{block >> 8 & 255}.{block & 255}.{client % 250}",
        "method": "POST" if kind == "guesser" else "GET",
        "path": PATHS[draw[0] % len(PATHS)],
        "query": None,
        "protocol": "HTTP/1.1",
        "status": (200, 200, 200, 304, 200, 404)[draw[1] % 6],
        "bytes_sent": draw[1] % 60_000,
        "referrer": "https://example.org/" if draw[0] % 3 else None,
        "user_agent": agent,
        "language": None if kind == "scanner" else "en-US,en;q=0.9",
    }
    if kind == "person" and draw[0] % 3:
        made["path"] = ASSETS[draw[0] % len(ASSETS)]
    elif kind == "scanner":
        made |= {"path": PROBES[draw[0] % len(PROBES)], "status": 404}
    elif kind == "guesser":
        made |= {"path": "/login", "status": 401, "user": f"user{draw[0] % 500}"}
    return made


def fitted(n_events: int, *, seed: int) -> fl.Detector:
    """Return a detector that learnt from such requests, ready to score."""
    rows = list(requests(n_events, seed=seed, per_second=20.0))
    times = pa.array([row.pop("timestamp") for row in rows], pa.timestamp("us", "UTC"))
    table = pa.Table.from_pylist(rows).append_column("timestamp", times)
    return fl.Detector(random_state=seed).fit(fl.build_sessions(table, asof=(1, 3, 10))).prepare()
