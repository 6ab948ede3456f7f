"""`fraudlog score`: from logs to tables, decisions and a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import fraudlog as fl
from fraudlog.cli.options import Format, Gap, IpMode, Json, KeyFile, Logs, Model, Out, RejectShare
from fraudlog.cli.report import page_of
from fraudlog.cli.scoring import budget_of, budget_text, pseudonyms, score_logs
from fraudlog.cli.terminal import open_console, progress
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from fraudlog.cli.scoring import Scored

__all__ = ["score"]


def score(
    logs: Logs,
    out: Out = Path("fraudlog-out"),
    model: Model = None,
    *,
    log_format: Format = "auto",
    max_reject_share: RejectShare = None,
    session_gap: Gap = "30min",
    daily_reviews: Annotated[int | None, typer.Option(help="At most so many challenges a day.", min=0)] = None,
    human_share: Annotated[
        float | None,
        typer.Option(help="Challenge at most this share of presumed humans; 0.005 is 0.5 %.", min=0, max=1),
    ] = None,
    top: Annotated[int, typer.Option(help="Sessions to print.", min=0)] = 10,
    fail_on: Annotated[
        str | None, typer.Option(help="Exit with 1 if a session gets this verdict or a harder one.")
    ] = None,
    key_file: KeyFile = None,
    ip_mode: IpMode = "pfx",
    as_json: Json = False,
) -> None:
    """Score the sessions of LOGS; write tables and a report to --out.

    Writes events, rejected, sessions, scores and decisions as Parquet, summary.json and report.html. No raw address,
    account or token reaches the disk.

    Example: fraudlog score access.log.gz --out scored --daily-reviews 20
    """
    from fraudlog.deciding import VERDICTS

    if fail_on is not None and fail_on not in VERDICTS:
        raise ConfigError(f"--fail-on knows {', '.join(VERDICTS)}", parameter="fail_on")
    policy = fl.Policy(daily_reviews=daily_reviews, human_share=human_share)
    names = pseudonyms(key_file, out, ip_mode)
    with progress() as step:
        scored = score_logs(logs, model, log_format, session_gap, names, step, max_reject_share)
        scored.summary["budget"] = budget_of(scored.detector, human_share)
        decisions = policy.measured(scored.detector.human_risk_).decide(scored.scores, scored.sessions)
        step("writing")
        paths = _write(out, scored, decisions, names.note)
    _print_score(scored, decisions, paths, top, as_json=as_json)
    if fail_on is not None and decisions["verdict"].isin(VERDICTS[VERDICTS.index(fail_on) :]).any():
        raise typer.Exit(1)


def _write(out: Path, scored: Scored, decisions: pd.DataFrame, key_id: str) -> dict[str, Path]:
    from fraudlog.reporting import staged, write_tables

    frames = {
        "events": scored.events,
        "rejected": scored.log.rejected_table,
        "sessions": scored.sessions,
        "scores": scored.scores,
        "decisions": decisions,
    }
    with staged(out) as draft:
        write_tables(draft, frames, scored.summary, key_id=key_id)
        (draft / "report.html").write_text(page_of(draft), encoding="utf-8")
    files = [*(f"{name}.parquet" for name in frames), "summary.json", "report.html"]
    return {name.partition(".")[0]: out / name for name in files}


def _print_score(scored: Scored, decisions: pd.DataFrame, paths: dict[str, Path], top: int, *, as_json: bool) -> None:
    from fraudlog.deciding import VERDICTS
    from fraudlog.reporting import top_sessions, top_table

    counts = {verdict: int((decisions["verdict"] == verdict).sum()) for verdict in VERDICTS}
    rows = top_sessions(scored.sessions, scored.scores, decisions, top)
    if as_json:
        found = {"sessions": len(scored.sessions), "verdicts": counts, "top": rows}
        written = {"out": {name: str(path) for name, path in paths.items()}}
        typer.echo(json.dumps(scored.summary | found | written, allow_nan=False))
        return
    log = scored.log.summary
    console = open_console()
    if rows:
        console.print(top_table(rows))
        console.print()
    console.print(
        f"{log.lines:,} lines = {log.events:,} events + {log.rejected:,} rejected + {log.blank:,} blank; "
        f"{len(scored.sessions):,} sessions: " + ", ".join(f"{n:,} {verdict}" for verdict, n in counts.items()),
        highlight=False,
        soft_wrap=True,
    )
    if (budget := scored.summary["budget"]) is not None:
        console.print(budget_text(budget), highlight=False, soft_wrap=True)
    console.print(f"report: {paths['report']}", highlight=False, markup=False, soft_wrap=True)
