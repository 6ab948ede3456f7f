"""What people look at: the report of the last days, each file replaced in one step."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fraudlog.reporting import render_report, staged
from fraudlog.schema import to_pandas

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fraudlog.store import Store

__all__ = ["publish"]


def publish(store: Store, folder: Path, n_days: int, summary: Mapping[str, Any]) -> None:
    """Write ``report.html`` and ``summary.json`` of the last days of a store.

    Parameters
    ----------
    store : Store
    folder : Path
    n_days : int
        Days up to the newest one that the store holds.
    summary : mapping
        As `fraudlog.reporting.render_report` takes it, but for the span of time, which is added.
    """
    days = store.days("sessions")
    wanted = [day for day in days if day > days[-1] - timedelta(days=n_days)] if days else []
    sessions, scores, decisions = (
        to_pandas(store.read(table, days=wanted)) for table in ("sessions", "scores", "decisions")
    )
    span = {"first": None, "last": None}
    if len(sessions):
        span = {"first": sessions["start"].min().isoformat(), "last": sessions["end"].max().isoformat()}
    full = {**summary, "log": summary["log"] | span}
    with staged(folder) as draft:
        if len(sessions):
            (draft / "report.html").write_text(render_report(full, sessions, scores, decisions), encoding="utf-8")
        (draft / "summary.json").write_text(json.dumps(full, indent=1), encoding="utf-8")
