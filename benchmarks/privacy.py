"""What privacy costs: pseudonyms beside a peer, reading behind the shield, a person taken out, a purge.

``python benchmarks/privacy.py [pseudonyms|shield|subjects ROWS DAYS]``. Times are CPU seconds of one process.
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
from fraudlog.privacy.addresses import Addresses, format_addresses, parse_addresses
from fraudlog.privacy.ipcrypt import encrypt_pfx
from fraudlog.subjects import Desk, purge

KEY = bytes(range(32))
START = datetime(2026, 1, 1, tzinfo=UTC)


def cpu(work, repeats=3):
    """Return the least CPU time of some repeats, and the result."""
    best, result = float("inf"), None
    for _ in range(repeats):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


def pseudonyms():
    """Distinct random addresses, which share little; and accounts."""
    rng = np.random.default_rng(0)
    n = 1_000_000
    names = Pseudonyms(KEY)
    print(f"| {n:,} distinct values | M/s |\n| --- | --- |")
    for kind in (4, 6):
        high = rng.integers(0, 1 << 63, n).astype(np.uint64) * np.uint64(kind == 6)
        low = rng.integers(0, 1 << (32 if kind == 4 else 63), n).astype(np.uint64)
        numbers = Addresses(np.full(n, kind, np.uint8), high, low)
        texts = format_addresses(numbers)
        seconds, _ = cpu(lambda numbers=numbers: encrypt_pfx(numbers, KEY))
        print(f"| ipcrypt-pfx, IPv{kind}, the cipher alone | {n / seconds / 1e6:.2f} |")
        seconds, _ = cpu(lambda texts=texts: names.address_array(texts))
        print(f"| ipcrypt-pfx, IPv{kind}, string to string | {n / seconds / 1e6:.2f} |")
        assert parse_addresses(texts).version.min() == kind
    accounts = pa.array([f"account{i}" for i in range(n)])
    seconds, _ = cpu(lambda: names.token_array(accounts, "user"), 1)
    print(f"| keyed tokens | {n / seconds / 1e6:.2f} |")
    try:
        import ipcrypt
    except ImportError:
        print("| ipcrypt (PyPI) | not installed |")
        return
    few = texts.slice(0, 2000).to_pylist()
    seconds, _ = cpu(lambda: [ipcrypt.pfx_encrypt(one, KEY) for one in few], 1)
    print(f"| ipcrypt {version('ipcrypt')} (PyPI), IPv6 | {len(few) / seconds / 1e6:.4f} |")


def lines_of(n_rows, n_days):
    """Return a log of some days: people with accounts, visitors without, a hundred prefixes, 40 agents."""
    rng = np.random.default_rng(1)
    agents = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0" for v in range(100, 140)]
    step = n_days * 86_400 / n_rows
    client = rng.integers(0, 20_000, n_rows)
    page = rng.integers(0, 500, n_rows)
    for row in range(n_rows):
        who = int(client[row])
        at = START + timedelta(seconds=step * row)
        user = f"user{who}" if who % 3 else "-"
        yield (
            f"198.{who % 100}.{who // 256 % 256}.{who % 256} - {user} [{at:%d/%b/%Y:%H:%M:%S} +0000] "
            f'"GET /p/{page[row]} HTTP/1.1" 200 {500 + who % 300} "-" "{agents[who % 40]}"\n'
        )


def shield():
    """Reading a log with and without the shield, and what of it is the enrichment that is done anyway."""
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


def subjects(n_rows=1_000_000, n_days=90):
    """A store of some rows in as many partitions as days; people taken out of it; a purge."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "logs").mkdir()
        with (folder / "logs" / "access.log").open("w") as out:
            out.writelines(lines_of(n_rows, n_days))
        month = io.BytesIO("".join(lines_of(30_000, 3)).encode())
        log = fl.read_log(month, "combined", privacy=Shield(KEY))
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
                }
            )
        )
        config = load_config(folder / "job.toml")
        wall = time.monotonic()
        seconds, report = cpu(lambda: run_job(config), 1)
        print(f"| {n_rows:,} rows, {n_days} days | CPU s | clock s | files written |\n| --- | --- | --- | --- |")
        print(
            f"| the job itself, {report.tally.sessions:,} sessions | {seconds:.1f} | {time.monotonic() - wall:.1f} | all |"
        )
        ring = load_keyring(folder / "key")
        whole = {path: path.stat().st_mtime_ns for path in (folder / "store").rglob("*.parquet")}
        # user1 came on most days; the last is somebody whose every event lies near the end
        for what, user in (("somebody of every day", "user1"), ("nobody", "nobody")):
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
        seconds, receipt = cpu(lambda: purge(config, ring.key, START + timedelta(days=180 + n_days // 2)), 1)
        gone = sum(receipt.rows.values())
        print(f"| purge half of it, {gone:,} rows | {seconds:.1f} | {time.monotonic() - wall:.1f} | 0 |")


if __name__ == "__main__":
    what, *numbers = sys.argv[1:] or ["pseudonyms"]
    {"pseudonyms": pseudonyms, "shield": shield, "subjects": subjects}[what](*map(int, numbers))
