"""A believable log for benchmarks: sessions of clients, nearly in order, with the columns that enriching derives.

``python benchmarks/make_log.py OUT.parquet EVENTS [ADDRESSES]``: 10 M events a day; every engine reads the same file.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS_PER_S = 10_000_000 / 86_400
CHUNK = 500_000
START_US = 1_750_000_000_000_000
STATUSES = np.array([200, 200, 200, 200, 200, 200, 304, 301, 404, 403, 401, 500], np.int16)
ENDPOINTS = np.array(["page", "asset", "asset", "asset", "api", "login", "search", "checkout"])
METHODS = np.array(["GET", "GET", "GET", "GET", "GET", "POST", "HEAD"])


def plain(column: pa.Array) -> pa.Array:
    """Return a column as a log's reader without dictionaries would give it."""
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def texts(chance: np.random.Generator, values: list[str | None], n: int) -> pa.DictionaryArray:
    """Draw n values."""
    return pa.DictionaryArray.from_arrays(
        pa.array(chance.integers(0, len(values), n).astype(np.int32)), pa.array(values, pa.string())
    )


def of_client(client: np.ndarray, values: list[str | None], salt: int) -> pa.DictionaryArray:
    """Give each client its own value."""
    mixed = (client.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)) >> np.uint64(17)
    codes = (mixed % np.uint64(len(values))).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(values, pa.string()))


def address(client: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Give each client an address and its prefix."""
    distinct, codes = np.unique(client, return_inverse=True)
    octets = [(distinct >> shift & 255).tolist() for shift in (16, 8, 0)]
    ips = [f"{10 + (c >> 24)}.{a}.{b}.{d}" for c, a, b, d in zip(distinct.tolist(), *octets, strict=True)]
    prefixes = [ip.rsplit(".", 1)[0] + ".0/24" for ip in ips]
    indices = pa.array(codes.astype(np.int32))
    encoded = pa.array(prefixes).dictionary_encode()
    return (
        pa.DictionaryArray.from_arrays(indices, pa.array(ips)),
        pa.DictionaryArray.from_arrays(encoded.indices.take(indices), encoded.dictionary),
    )


def chunks(n_events: int, n_addresses: int) -> Iterator[pa.Table]:
    """Give the log in parts: sessions begin evenly, their events follow with long-tailed gaps."""
    chance = np.random.default_rng(7)
    agents = [
        f"Mozilla/5.0 (X11; Linux x86_64; rv:{i % 90}.0) Gecko/{20100000 + i} Firefox/{i % 90}.0" for i in range(3000)
    ]
    languages = ["en-US,en;q=0.9", "de-DE,de;q=0.8", "fr-FR", "ja", "es-ES,es;q=0.7", None]
    paths = [f"/section{i % 40}/part{i % 700}/item-{i}.html" for i in range(60_000)]
    referrers = [None, None, *[f"https://ref{i}.example/" for i in range(500)]]
    made, clock, waiting = 0, 0.0, None
    while made < n_events:
        n_sessions = CHUNK // 8
        starts = clock + np.sort(chance.random(n_sessions)) * CHUNK / EVENTS_PER_S
        clock += CHUNK / EVENTS_PER_S
        lengths = np.minimum(chance.geometric(1 / 8, n_sessions), 400)
        client = np.repeat(chance.integers(0, n_addresses, n_sessions), lengths)
        gaps = np.floor(chance.lognormal(1.5, 1.5, lengths.sum()))
        gaps[np.cumsum(lengths) - lengths] = 0
        total = np.cumsum(gaps)
        first = np.repeat(total[np.cumsum(lengths) - lengths], lengths)
        time = np.floor(np.repeat(starts, lengths) + total - first)
        if waiting is not None:
            time, client = np.append(waiting[0], time), np.append(waiting[1], client)
        order = np.argsort(time, kind="stable")
        is_ready = time[order] < clock if made + len(order) < n_events * 2 else np.ones(len(order), bool)
        ready, later = order[is_ready], order[~is_ready]
        waiting = time[later], time[later] * 0 + client[later]
        ready = ready[: n_events - made]
        client_ip, ip_prefix = address(client[ready].astype(np.int64))
        n = len(ready)
        status = chance.choice(STATUSES, n)
        columns = {
            "timestamp": pa.array((time[ready] * 1e6).astype(np.int64) + START_US).cast(pa.timestamp("us", "UTC")),
            "client_ip": client_ip,
            "ip_prefix": ip_prefix,
            "method": texts(chance, METHODS.tolist(), n),
            "path": texts(chance, paths, n),
            "status": pa.array(status),
            "bytes_sent": pa.array(chance.geometric(1 / 20_000, n)),
            "referrer": texts(chance, referrers, n),
            "user_agent": of_client(client[ready], agents, 1),
            "language": of_client(client[ready], languages, 2),
            "endpoint": texts(chance, ENDPOINTS.tolist(), n),
            "source": texts(chance, ["access.log"], n),
            "line_number": pa.array(np.arange(made, made + n) + 1),
        }
        made += n
        yield pa.table({name: plain(column) for name, column in columns.items()})


def main() -> None:
    """Write the file."""
    path, n_events = sys.argv[1], int(sys.argv[2])
    n_addresses = int(sys.argv[3]) if len(sys.argv) > 3 else n_events // 20
    writer = None
    for table in chunks(n_events, n_addresses):
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


if __name__ == "__main__":
    main()
