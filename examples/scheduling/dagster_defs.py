"""Dagster definitions: the store as an asset, made every hour, with what the run said as its metadata."""

from pathlib import Path

import dagster as dg

from fraudlog.jobs import load_config, run_job

CONFIG = Path("/etc/fraudlog/job.toml")


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=2, delay=300))
def fraudlog_store() -> dg.MaterializeResult:
    """Score what the access log gained, into the store."""
    report = run_job(load_config(CONFIG)).to_dict()
    return dg.MaterializeResult(metadata={name: report[name] for name in ("lines", "events", "rejected", "sessions")})


hourly = dg.ScheduleDefinition(
    name="fraudlog_hourly", target=dg.AssetSelection.assets(fraudlog_store), cron_schedule="5 * * * *"
)
defs = dg.Definitions(assets=[fraudlog_store], schedules=[hourly])
