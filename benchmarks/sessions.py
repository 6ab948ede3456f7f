"""The same features of the same log by this library, DuckDB, Polars and pandas: CPU, wall, peak memory, side by side.

``python benchmarks/sessions.py LOG.parquet [engine ...]`` runs each engine in a process of its own, two threads each,
from Parquet to Parquet, and compares what they found. The 40 features are those that SQL can say: no bursts (a RANGE
window in SQL), nothing across sessions. Peers cap no session and know no null policy; they do less.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FEATURES = [
    "requests",
    "pages",
    "bytes_total",
    "bytes_max",
    "duration_s",
    "gap_mean_s",
    "gap_deviation_s",
    "gap_max_s",
    "hours",
    "utc_night_share",
    "get_share",
    "post_share",
    "head_share",
    "methods",
    "asset_share",
    "page_share",
    "assets_per_page",
    "referrer_missing_share",
    "referrers",
    "bytes_mean",
    "distinct_paths",
    "coverage",
    "repetition",
    "path_entropy",
    "endpoint_switches",
    "depth_max",
    "depth_mean",
    "client_errors",
    "client_error_share",
    "unauthorized",
    "forbidden",
    "not_found",
    "not_found_paths",
    "server_errors",
    "agents",
    "languages",
    "addresses",
    "status_entropy",
    "login_requests",
    "login_failures",
]
GAP_US = 1_800_000_000
TEXT = ["client_ip", "ip_prefix", "method", "path", "referrer", "user_agent", "language", "endpoint", "source"]


def fraudlog(log: str, out: str, shards: int = 2, features: str = "") -> None:
    """Run this library: batches of a Parquet file through `step`."""
    import pyarrow.parquet as pq

    from fraudlog.sessions import DEFAULT, Settings, State, finish, step

    definition = DEFAULT if features == "all" else DEFAULT.only(FEATURES)
    settings = Settings(definition, lateness_us=0, shards=shards)
    state, writer = State(), None
    file = pq.ParquetFile(log, read_dictionary=TEXT)
    for group in range(file.num_row_groups):
        state, sessions, _ = step(state, read_group(file, group), settings)
        writer = writer or pq.ParquetWriter(out, sessions.schema, use_dictionary=texts(sessions.schema))
        writer.write_table(sessions)
    if writer:
        writer.write_table(finish(state, settings))
        writer.close()


def read_group(file, group: int):
    """Read a row group column by column: what decoding one column needs is free for the next."""
    import pyarrow as pa

    names = file.schema_arrow.names
    columns = [file.read_row_group(group, columns=[name], use_threads=False).column(0) for name in names]
    return pa.table(columns, names=names)


def texts(schema) -> list[str]:
    """Return the columns of repeated text, which alone are worth a dictionary in the file."""
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_dictionary(field.type)]


SQL = f"""
COPY (
WITH e AS (
  SELECT epoch_us(timestamp) AS t, line_number AS l, hash(ip_prefix, user_agent, language) AS actor,
    hash(path) AS p, CASE WHEN referrer IS NOT NULL THEN hash(referrer) END AS r, hash(method) AS m, method,
    status, bytes_sent AS b, endpoint, hash(endpoint) AS eh, length(path) - length(replace(path, '/', '')) AS depth,
    hash(user_agent) AS ua, CASE WHEN language IS NOT NULL THEN hash(language) END AS lang, hash(client_ip) AS ip
  FROM read_parquet('{{log}}')),
g AS (SELECT *, t - lag(t) OVER w AS gap, lag(eh) OVER w AS before FROM e
      WINDOW w AS (PARTITION BY actor ORDER BY t, l)),
s AS (
  SELECT * REPLACE (CASE WHEN gap <= {GAP_US} THEN gap // 1000 END AS gap),
    sum(CASE WHEN gap IS NULL OR gap > {GAP_US} THEN 1 ELSE 0 END)
      OVER (PARTITION BY actor ORDER BY t, l ROWS UNBOUNDED PRECEDING) AS sid
  FROM g)
SELECT actor, sid, min(t) AS start, count(*) AS requests, count(*) FILTER (endpoint = 'page') AS pages,
  sum(b) AS bytes_total, max(b) AS bytes_max, (max(t) // 1000 - min(t) // 1000) / 1000 AS duration_s,
  avg(gap) / 1000 AS gap_mean_s, stddev_pop(gap) / 1000 AS gap_deviation_s, max(gap) / 1000 AS gap_max_s,
  count(DISTINCT t // 3600000000 % 24) AS hours, avg((t // 3600000000 % 24 < 6)::INT) AS utc_night_share,
  avg((method = 'GET')::INT) AS get_share, avg((method = 'POST')::INT) AS post_share,
  avg((method = 'HEAD')::INT) AS head_share, count(DISTINCT m) AS methods,
  avg((endpoint = 'asset')::INT) AS asset_share, avg((endpoint = 'page')::INT) AS page_share,
  count(*) FILTER (endpoint = 'asset') / nullif(count(*) FILTER (endpoint = 'page'), 0) AS assets_per_page,
  avg((r IS NULL)::INT) AS referrer_missing_share, nullif(count(DISTINCT r), 0) AS referrers, avg(b) AS bytes_mean,
  count(DISTINCT p) AS distinct_paths, count(DISTINCT p) / count(*) AS coverage,
  count(*) / count(DISTINCT p) AS repetition, entropy(p) AS path_entropy,
  count(*) FILTER (eh <> before AND gap IS NOT NULL) AS endpoint_switches, max(depth) AS depth_max,
  avg(depth) AS depth_mean, count(*) FILTER (status BETWEEN 400 AND 499) AS client_errors,
  avg((status BETWEEN 400 AND 499)::INT) AS client_error_share, count(*) FILTER (status = 401) AS unauthorized,
  count(*) FILTER (status = 403) AS forbidden, count(*) FILTER (status = 404) AS not_found,
  count(DISTINCT p) FILTER (status = 404) AS not_found_paths,
  count(*) FILTER (status BETWEEN 500 AND 599) AS server_errors, count(DISTINCT ua) AS agents,
  nullif(count(DISTINCT lang), 0) AS languages, count(DISTINCT ip) AS addresses, entropy(status) AS status_entropy,
  count(*) FILTER (endpoint = 'login') AS login_requests,
  count(*) FILTER (endpoint = 'login' AND status IN (401, 403)) AS login_failures
FROM s GROUP BY actor, sid
) TO '{{out}}' (FORMAT parquet)
"""


def duckdb(log: str, out: str, memory: str = "") -> None:
    """Run DuckDB: strings hashed first, one window, one aggregate."""
    import duckdb as engine

    connection = engine.connect()
    connection.execute("SET threads = 2; SET preserve_insertion_order = false")
    if memory:
        connection.execute(f"SET memory_limit = '{memory}'; SET temp_directory = '{Path(out).parent / 'spill'}'")
    connection.execute(SQL.format(log=log, out=out))


def polars(log: str, out: str) -> None:
    """Run Polars: lazy, streaming; strings hashed first."""
    import polars as pl

    c = pl.col
    t = c("timestamp").dt.epoch("us")
    actor = pl.struct(c("ip_prefix").hash(), c("user_agent").hash(), c("language").hash()).hash()
    frame = (
        pl.scan_parquet(log)
        .select(
            actor.alias("actor"),
            t.alias("t"),
            c("line_number").alias("l"),
            c("path").hash().alias("p"),
            c("path").str.count_matches("/", literal=True).alias("depth"),
            pl.when(c("referrer").is_not_null()).then(c("referrer").hash()).alias("r"),
            pl.when(c("language").is_not_null()).then(c("language").hash()).alias("lang"),
            c("user_agent").hash().alias("ua"),
            c("client_ip").hash().alias("ip"),
            c("method").hash().alias("m"),
            *((c("method") == name).alias(name) for name in ("GET", "POST", "HEAD")),
            *((c("endpoint") == name).alias(name) for name in ("page", "asset", "login")),
            c("endpoint").hash().alias("eh"),
            c("status"),
            c("bytes_sent").alias("b"),
        )
        .sort("actor", "t", "l")
        .with_columns(gap=c("t") - c("t").shift(), same=c("actor") == c("actor").shift(), before=c("eh").shift())
        .with_columns(goes_on=(c("same") & (c("gap") <= GAP_US)).fill_null(value=False))
        .with_columns(sid=(~c("goes_on")).cum_sum(), gap=pl.when(c("goes_on")).then(c("gap") // 1000))
    )
    n, status, paths = pl.len(), c("status"), c("p").n_unique()
    pages, client_error = c("page").sum(), status.is_between(400, 499)
    features = {
        "start": c("t").min(),
        "requests": n,
        "pages": pages,
        "bytes_total": c("b").sum(),
        "bytes_max": c("b").max(),
        "duration_s": (c("t").max() // 1000 - c("t").min() // 1000) / 1000,
        "gap_mean_s": c("gap").mean() / 1000,
        "gap_deviation_s": c("gap").std(ddof=0) / 1000,
        "gap_max_s": c("gap").max() / 1000,
        "hours": (c("t") // 3_600_000_000 % 24).n_unique(),
        "utc_night_share": (c("t") // 3_600_000_000 % 24 < 6).mean(),
        "get_share": c("GET").mean(),
        "post_share": c("POST").mean(),
        "head_share": c("HEAD").mean(),
        "methods": c("m").n_unique(),
        "asset_share": c("asset").mean(),
        "page_share": c("page").mean(),
        "assets_per_page": c("asset").sum() / pages,
        "referrer_missing_share": c("r").is_null().mean(),
        "referrers": c("r").drop_nulls().n_unique(),
        "bytes_mean": c("b").mean(),
        "distinct_paths": paths,
        "coverage": paths / n,
        "repetition": n / paths,
        "path_entropy": c("p").unique_counts().entropy(base=2),
        "endpoint_switches": (c("goes_on") & (c("eh") != c("before"))).sum(),
        "depth_max": c("depth").max(),
        "depth_mean": c("depth").mean(),
        "client_errors": client_error.sum(),
        "client_error_share": client_error.mean(),
        "unauthorized": (status == 401).sum(),
        "forbidden": (status == 403).sum(),
        "not_found": (status == 404).sum(),
        "not_found_paths": c("p").filter(status == 404).n_unique(),
        "server_errors": status.is_between(500, 599).sum(),
        "agents": c("ua").n_unique(),
        "languages": c("lang").drop_nulls().n_unique(),
        "addresses": c("ip").n_unique(),
        "status_entropy": status.unique_counts().entropy(base=2),
        "login_requests": c("login").sum(),
        "login_failures": (c("login") & status.is_in([401, 403])).sum(),
    }
    frame.group_by("sid").agg(**features).sink_parquet(out, engine="streaming")


def pandas(log: str, out: str) -> None:
    """Run pandas: text as codes first, sums by groupby, counts of values by a second one."""
    import numpy as np
    import pandas as pd

    raw = pd.read_parquet(log)
    frame = pd.DataFrame({name: pd.factorize(raw[name])[0] for name in TEXT if name != "source"})
    frame["t"] = raw["timestamp"].astype("int64")
    frame["b"], frame["status"], frame["l"] = raw["bytes_sent"], raw["status"], raw["line_number"]
    frame["depth"] = raw["path"].str.count("/")
    for column in ("method", "endpoint"):
        for name in {"method": ("GET", "POST", "HEAD"), "endpoint": ("page", "asset", "login")}[column]:
            frame[name] = (raw[column] == name).to_numpy()
    del raw
    frame["actor"] = frame.groupby(["ip_prefix", "user_agent", "language"], sort=False).ngroup()
    frame = frame.sort_values(["actor", "t", "l"], ignore_index=True)
    gap = frame["t"].diff()
    goes_on = (frame["actor"] == frame["actor"].shift()) & (gap <= GAP_US)
    frame["sid"] = (~goes_on).cumsum()
    frame["gap"] = (gap // 1000).where(goes_on)
    frame["switched"] = goes_on & (frame["endpoint"] != frame["endpoint"].shift())
    frame["hour"] = frame["t"] // 3_600_000_000 % 24
    frame["night"], frame["no_ref"] = frame["hour"] < 6, frame["referrer"] < 0
    frame["e4"], frame["e5"] = frame["status"].between(400, 499), frame["status"].between(500, 599)
    for code in (401, 403, 404):
        frame[f"s{code}"] = frame["status"] == code
    frame["failed"] = frame["login"] & frame["status"].isin([401, 403])
    for name in ("referrer", "language"):
        frame[name] = frame[name].where(frame[name] >= 0)
    frame["lost"] = frame["path"].where(frame["s404"])
    group = frame.groupby("sid", sort=False)
    sums = [
        "b",
        "GET",
        "POST",
        "HEAD",
        "page",
        "asset",
        "login",
        "switched",
        "night",
        "no_ref",
        "e4",
        "e5",
        "s401",
        "s403",
        "s404",
        "failed",
        "gap",
        "depth",
    ]
    total = group[sums].sum()
    n, spread, gaps = group.size(), group[["t", "b", "depth", "gap"]].agg(["min", "max"]), group["gap"].count()
    unique = {
        name: group[name].nunique()
        for name in ["path", "referrer", "method", "language", "user_agent", "client_ip", "hour", "lost"]
    }
    mean_gap = total["gap"] / gaps

    def entropy(name: str) -> pd.Series:
        counts = frame.groupby(["sid", name], sort=False).size().astype(float)
        weights = (counts * np.log2(counts)).groupby(level=0, sort=False).sum()
        return np.log2(n) - weights / n

    features = {
        "start": spread["t"]["min"],
        "requests": n,
        "pages": total["page"],
        "bytes_total": total["b"],
        "bytes_max": spread["b"]["max"],
        "duration_s": (spread["t"]["max"] // 1000 - spread["t"]["min"] // 1000) / 1000,
        "gap_mean_s": mean_gap / 1000,
        "gap_deviation_s": group["gap"].std(ddof=0) / 1000,
        "gap_max_s": spread["gap"]["max"] / 1000,
        "hours": unique["hour"],
        "utc_night_share": total["night"] / n,
        "get_share": total["GET"] / n,
        "post_share": total["POST"] / n,
        "head_share": total["HEAD"] / n,
        "methods": unique["method"],
        "asset_share": total["asset"] / n,
        "page_share": total["page"] / n,
        "assets_per_page": (total["asset"] / total["page"]).where(total["page"] > 0),
        "referrer_missing_share": total["no_ref"] / n,
        "referrers": unique["referrer"].where(unique["referrer"] > 0),
        "bytes_mean": total["b"] / n,
        "distinct_paths": unique["path"],
        "coverage": unique["path"] / n,
        "repetition": n / unique["path"],
        "path_entropy": entropy("path"),
        "endpoint_switches": total["switched"],
        "depth_max": spread["depth"]["max"],
        "depth_mean": total["depth"] / n,
        "client_errors": total["e4"],
        "client_error_share": total["e4"] / n,
        "unauthorized": total["s401"],
        "forbidden": total["s403"],
        "not_found": total["s404"],
        "not_found_paths": unique["lost"],
        "server_errors": total["e5"],
        "agents": unique["user_agent"],
        "languages": unique["language"].where(unique["language"] > 0),
        "addresses": unique["client_ip"],
        "status_entropy": entropy("status"),
        "login_requests": total["login"],
        "login_failures": total["failed"],
    }
    pd.DataFrame(features).to_parquet(out)


ENGINES = {
    "fraudlog": fraudlog,
    "fraudlog, 1 thread": lambda log, out: fraudlog(log, out, shards=1),
    "fraudlog, all features": lambda log, out: fraudlog(log, out, features="all"),
    "duckdb": duckdb,
    "duckdb, 2 GB": lambda log, out: duckdb(log, out, memory="2GB"),
    "polars": polars,
    "pandas": pandas,
}


def measured(log: str, name: str, out: str, limit_gb: float) -> dict[str, object]:
    """Run one engine in its own process; CPU, wall and peak memory are the process's own."""
    code = [sys.executable, __file__, log, name, "--inside", out]
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    limit = int(limit_gb * 2**30)
    preexec = (lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))) if limit_gb else None
    done = subprocess.run(code, check=False, capture_output=True, text=True, preexec_fn=preexec)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, object] = {"engine": name, "wall_s": round(time.perf_counter() - began, 1)}
    row["cpu_s"] = round(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, 1)
    if done.returncode:
        return row | {"failed": (done.stderr.strip().splitlines() or ["killed"])[-1][:80]}
    return row | json.loads(done.stdout.splitlines()[-1]) | summary(out)


def summary(out: str) -> dict[str, object]:
    """Return sessions and the sums of some features, which all engines must share."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(out, columns=FEATURES)
    sums = {
        name: pc.sum(pc.if_else(pc.is_finite(c), c, 0)).as_py() if "float" in str(c.type) else pc.sum(c).as_py()
        for name in FEATURES
        for c in [table.column(name)]
    }
    return {"sessions": len(table), "sums": sums}


def main() -> None:
    """Run the engines one after another, and print their table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("engines", nargs="*", default=list(ENGINES))
    parser.add_argument("--inside")
    parser.add_argument("--limit-gb", type=float, default=0.0)
    options = parser.parse_args()
    if options.inside:
        ENGINES[options.engines[0]](options.log, options.inside)
        peak = next(line for line in Path("/proc/self/status").read_text("ascii").splitlines() if "VmHWM" in line)
        print(json.dumps({"peak_gb": round(int(peak.split()[1]) / 2**20, 2)}))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.engines or list(ENGINES):
            rows.append(measured(options.log, name, str(Path(folder) / "out.parquet"), options.limit_gb))
            shown = {key: value for key, value in rows[-1].items() if key != "sums"}
            print(json.dumps(shown), flush=True)
    whole = [row for row in rows if "sums" in row]
    for row in whole[1:]:
        for name, value in row["sums"].items():
            expected = whole[0]["sums"][name]
            if abs(value - expected) > 1e-6 * max(1.0, abs(expected)):
                print(f"{row['engine']}: sum of {name} is {value}, {whole[0]['engine']} has {expected}")


if __name__ == "__main__":
    main()
