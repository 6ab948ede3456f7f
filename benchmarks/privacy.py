"""What privacy costs: pseudonyms beside a peer, reading behind the shield, a person taken out, a purge.

``python benchmarks/privacy.py [pseudonyms|shield|subjects ROWS DAYS|learnt ROWS DAYS]``. Times are CPU seconds of one
process. ``subjects`` has a log of one profile that nobody is presumed human in; ``learnt`` one of people, from whose
sessions the job learns models of its own.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

import fraudlog as fl
from fraudlog.enriching import Enricher, Shield
from fraudlog.jobs import load_config, run_job, sample_config
from fraudlog.privacy import Pseudonyms, load_keyring
from fraudlog.privacy.addresses import Addresses, format_addresses
from fraudlog.privacy.ipcrypt import PrefixCipher
from fraudlog.subjects import Desk, purge

KEY = bytes(range(32))
SAMPLE = Path(__file__).parent.parent / "data" / "sample" / "access.log.gz"
SOMEBODY = 20_002
"""A client with an account who comes on three days alone."""
START = datetime(2026, 1, 1, tzinfo=UTC)


def cpu(work, repeats=3):
    """Return the least CPU time of some repeats, and the result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


def of_networks(rng, n, host_bits):
    """Return distinct IPv6 addresses as a large log has them: 300 networks of 32 bits, 5,000 of 48, 40,000 of 64."""
    wide = rng.integers(0x2001_0000, 0x2FFF_FFFF, 300).astype(np.uint64)
    sites = rng.choice(wide, 5_000) << np.uint64(16) | rng.integers(0, 1 << 16, 5_000).astype(np.uint64)
    networks = rng.choice(sites, 40_000) << np.uint64(16) | rng.integers(0, 1 << 8, 40_000).astype(np.uint64)
    return rng.choice(networks, n), rng.integers(0, 1 << host_bits, n).astype(np.uint64)


def rates(numbers, batch=0):
    """Return M/s of the cipher alone and from text to text: at once, or in batches that follow each other."""
    texts, n = format_addresses(numbers), len(numbers)
    steps = [slice(at, at + (batch or n)) for at in range(0, n, batch or n)]
    parts = [Addresses(numbers.version[one], numbers.high[one], numbers.low[one]) for one in steps]
    chunks = [texts.slice(one.start, batch or n) for one in steps]

    def cipher():
        made = PrefixCipher(KEY)
        for part in parts:
            made.encrypt(part)

    def whole():
        names = Pseudonyms(KEY)
        for chunk in chunks:
            names.address_array(chunk)

    return [n / cpu(work)[0] / 1e6 for work in (cipher, whole)]


def pseudonyms():
    """Distinct addresses at random, which share little; as a log has them; accounts; and a peer on the same."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    none = np.zeros(n, np.uint64)
    words = rng.integers(0, 1 << 63, (2, n)).astype(np.uint64)
    kinds = {
        "IPv4, random": (4, none, rng.integers(0, 1 << 32, n).astype(np.uint64), 0),
        "IPv6, random: the worst case": (6, words[0], words[1], 0),
        "IPv6 as in a log, random hosts": (6, *of_networks(rng, n, 63), 0),
        "the same in batches of 20,000": (6, *of_networks(rng, n, 63), 20_000),
        "IPv6 as in a log, low hosts": (6, *of_networks(rng, n, 10), 0),
    }
    try:
        import ipcrypt
    except ImportError:
        ipcrypt = None
    peer = "not installed" if ipcrypt is None else f"ipcrypt {version('ipcrypt')} (PyPI)"
    print(f"| {n:,} addresses | the cipher alone, M/s | text to text, M/s | {peer}, M/s |\n| --- | --- | --- | --- |")
    for name, (kind, high, low, batch) in kinds.items():
        numbers = Addresses(np.full(n, kind, np.uint8), high, low)
        alone, whole = rates(numbers, batch)
        beside = "-"
        if ipcrypt is not None:
            few = format_addresses(numbers).slice(0, 1000).to_pylist()
            beside = f"{len(few) / cpu(lambda few=few: [ipcrypt.pfx_encrypt(one, KEY) for one in few], 1)[0] / 1e6:.4f}"
        print(f"| {name} | {alone:.2f} | {whole:.2f} | {beside} |")
    names = Pseudonyms(KEY)
    accounts = pa.array([f"account{i}" for i in range(n)])
    seconds, _ = cpu(lambda: names.token_array(accounts, "user"), 1)
    print(f"| keyed tokens of accounts | - | {n / seconds / 1e6:.2f} | - |")


def lines_of(n_rows, n_days):
    """Return a log of some days: visits of ten requests by people with accounts and others, many at a time."""
    rng = np.random.default_rng(1)
    agents = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0" for v in range(100, 140)]
    n_visits = n_rows // 10
    begins, clients = np.sort(rng.integers(0, n_days * 86_400, n_visits)), rng.integers(0, 20_000, n_visits)
    theirs = np.searchsorted(begins, np.array([0.11, 0.44, 0.45]) * n_days * 86_400)
    clients[theirs] = SOMEBODY
    begin, client = np.repeat(begins, 10), np.repeat(clients, 10)
    at = begin + np.tile(np.arange(10) * 20, n_visits)
    page = rng.integers(0, 500, n_rows)
    for row in np.argsort(at, kind="stable").tolist():
        who = int(client[row])
        moment = START + timedelta(seconds=int(at[row]))
        user = f"user{who}" if who % 3 else "-"
        yield (
            f"198.{who % 100}.{who // 256 % 256}.{who % 256} - {user} [{moment:%d/%b/%Y:%H:%M:%S} +0000] "
            f'"GET /p/{page[row]} HTTP/1.1" 200 {500 + who % 300} "-" "{agents[who % 40]}"\n'
        )


PROGRAMS = (
    *(f"(Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.0.0 Safari/537.36"
      for v in range(135, 145)),
    *(f"(X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0" for v in range(138, 146)),
    *(f"(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{v} Safari/605.1.15"
      for v in ("18.5", "18.6", "26.0")),
)  # fmt: skip
PAGE = np.array([-1, 0, 1, 2, -1, 2, -1, -1, 2, -1])
"""The ten requests of a visit: a page, or one of `ASSETS`."""
ASSETS = ("/static/site.css", "/static/app.js", "/static/logo.png")


def lives_of(n_rows, n_days, seed=1):
    """Return a log as people make it: pages with what belongs to them, read for as long as people read."""
    rng = np.random.default_rng(seed)
    n_visits = n_rows // 10
    begins, clients = np.sort(rng.integers(0, n_days * 86_400, n_visits)), rng.integers(0, 20_000, n_visits)
    clients[np.searchsorted(begins, np.array([0.11, 0.44, 0.45]) * n_days * 86_400)] = SOMEBODY
    wait = np.where(PAGE < 0, rng.lognormal(3.2, 1.0, (n_visits, 10)), rng.random((n_visits, 10)) * 1.5)
    wait[:, 0] = 0
    at = (begins[:, None] + np.minimum(np.cumsum(wait, axis=1), 1500)).astype(np.int64).ravel()
    page = rng.zipf(1.4, (n_visits, 10)) % 500
    for step in np.flatnonzero(PAGE >= 0):
        page[:, step] = page[:, step - 1]
    before = np.concatenate([np.full((n_visits, 1), -1), page[:, :-1]], axis=1).ravel()
    page, sizes = page.ravel(), rng.integers(200, 60_000, n_rows)
    for row in np.argsort(at, kind="stable").tolist():
        who, asset = int(clients[row // 10]), int(PAGE[row % 10])
        moment = START + timedelta(seconds=int(at[row]))
        path = f"/p/{page[row]}" if asset < 0 else ASSETS[asset]
        referrer = "-" if before[row] < 0 else f"https://shop.example/p/{before[row]}"
        yield (
            f"198.{who % 100}.{who // 256 % 256}.{who % 256} - {f'user{who}' if who % 3 else '-'} "
            f'[{moment:%d/%b/%Y:%H:%M:%S} +0000] "GET {path} HTTP/1.1" 200 {sizes[row]} "{referrer}" '
            f'"Mozilla/5.0 {PROGRAMS[who % len(PROGRAMS)]}"\n'
        )


def shield():
    """Read a log with and without the shield; enrichment is done either way."""
    data = "".join(lines_of(300_000, 3)).encode()
    raw, log = cpu(lambda: fl.read_log(io.BytesIO(data), "combined"), 2)
    enriched, _ = cpu(lambda: Enricher().table(log.table), 2)
    hidden, _ = cpu(lambda: fl.read_log(io.BytesIO(data), "combined", privacy=Shield(KEY)), 2)
    own = hidden - raw - enriched
    print("| 300,000 lines | CPU s | us a line |\n| --- | --- | --- |")
    for name, seconds in (
        ("read", raw),
        ("enrich", enriched),
        ("read behind the shield", hidden),
        ("the shield alone", own),
    ):
        print(f"| {name} | {seconds:.2f} | {seconds / 0.3:.2f} |")


def learnt(n_rows=1_000_000, n_days=90):
    """Do what `subjects` does with a job that learns its own models, every 28 days of the 28 before."""
    first = io.BytesIO("".join(lives_of(100_000, 20, 7)).encode())
    subjects(n_rows, n_days, lives_of, fl.read_log(first, "combined", privacy=Shield(KEY)), {"retrain.every_days": 28})


def subjects(n_rows=1_000_000, n_days=90, made=lines_of, known=None, values=None):
    """Fill a store with some rows in as many partitions as days; take people out of it; purge it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        with (folder / "logs" / "access.log").open("w") as out:
            out.writelines(made(n_rows, n_days))
        log = known or fl.read_log(SAMPLE, privacy=Shield(KEY))
        fl.Detector().fit(fl.build_sessions(log.table)).save(folder / "model.fraudlog")
        (folder / "key").write_text(KEY.hex())
        (folder / "key").chmod(0o600)
        (folder / "job.toml").write_text(
            sample_config(
                {
                    "store.path": str(folder / "store"),
                    "log.path": str(folder / "logs" / "access.log"),
                    "model.path": str(folder / "model.fraudlog"),
                    "privacy.key_file": str(folder / "key"),
                    "run.take_mb": 256,
                    **(values or {}),
                }
            )
        )
        config = load_config(folder / "job.toml")
        wall = time.monotonic()
        seconds, report = cpu(lambda: run_job(config), 1)
        print(f"| {n_rows:,} rows, {n_days} days | CPU s | clock s | files written |\n| --- | --- | --- | --- |")
        print(f"| the job, {report.tally.sessions:,} sessions | {seconds:.1f} | {time.monotonic() - wall:.1f} | all |")
        ring = load_keyring(folder / "key")
        whole = {path: path.stat().st_mtime_ns for path in (folder / "store").rglob("*.parquet")}
        people = (("somebody of three days", f"user{SOMEBODY}"), ("who comes always", "user1"), ("nobody", "nobody"))
        for what, user in people:
            wall = time.monotonic()
            seconds, answer = cpu(lambda user=user: Desk(config, ring).erase({"user": user}), 1)
            after = {path: path.stat().st_mtime_ns for path in (folder / "store").rglob("*.parquet")}
            touched = sum(whole.get(path) != at for path, at in after.items())
            whole = after
            print(
                f"| erase {what}, {answer.events} events, {answer.sessions_rescored:,} sessions judged anew | "
                f"{seconds:.1f} | {time.monotonic() - wall:.1f} | {touched} of {len(after)} |"
            )
        wall = time.monotonic()
        seconds, receipt = cpu(lambda: purge(config, ring, START + timedelta(days=180 + n_days // 2)), 1)
        gone = sum(receipt.rows.values())
        print(f"| purge half of it, {gone:,} rows | {seconds:.1f} | {time.monotonic() - wall:.1f} | 0 |")


if __name__ == "__main__":
    what, *numbers = sys.argv[1:] or ["pseudonyms"]
    {"pseudonyms": pseudonyms, "shield": shield, "subjects": subjects, "learnt": learnt}[what](*map(int, numbers))
