"""What a run did, for Prometheus: the text file that its node exporter collects."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING

from fraudlog.errors import ConfigError
from fraudlog.reporting import staged

if TYPE_CHECKING:
    from pathlib import Path

    from fraudlog.jobs.run import RunReport
    from fraudlog.store import Store

__all__ = ["write_metrics"]

_GAUGES = (
    ("last_run_timestamp_seconds", "when the last run that ended well did so"),
    ("last_run_duration_seconds", "how long it took"),
    ("last_run_sessions", "sessions it scored"),
    ("last_run_takes", "changes of the store it made"),
    ("carried_events", "events of sessions that are still open"),
    ("newest_event_timestamp_seconds", "time of the newest event in the store"),
    ("store_bytes", "bytes of the store's tables"),
)


def write_metrics(file: Path, report: RunReport, store: Store) -> None:
    """Write the metrics of a run, in one step.

    Lines and verdicts come with a label for what became of them; no label names anybody.
    """
    try:
        prometheus = import_module("prometheus_client")
    except ImportError:
        raise ConfigError(
            "metrics.file needs the package prometheus-client: pip install 'fraudlog[metrics]'",
            parameter="metrics.file",
        ) from None
    registry = prometheus.CollectorRegistry()
    newest = 0.0 if report.newest is None else _seconds(report.newest)
    values = (
        time.time(),
        report.seconds,
        report.tally.sessions,
        report.takes,
        report.carried_events,
        newest,
        sum(part.bytes for part in store.manifest.parts.values()),
    )
    for (name, meaning), value in zip(_GAUGES, values, strict=True):
        prometheus.Gauge(f"fraudlog_job_{name}", meaning, registry=registry).set(value)
    lines = prometheus.Counter("fraudlog_job_lines", "lines taken so far", ["became"], registry=registry)
    counts = store.position.get("counts", {})
    for name in ("events", "rejected", "blank"):
        lines.labels(name).inc(counts.get(name, 0))
    verdicts = prometheus.Gauge("fraudlog_job_verdicts", "sessions of the days touched", ["verdict"], registry=registry)
    for verdict, count in report.tally.verdicts.items():
        verdicts.labels(verdict).set(count)
    with staged(file.parent) as draft:
        prometheus.write_to_textfile(str(draft / file.name), registry)


def _seconds(moment: str) -> float:
    from datetime import datetime  # noqa: PLC0415 -- one value

    return datetime.fromisoformat(moment).timestamp()
