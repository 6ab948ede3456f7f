"""`fraudlog job`: the scheduled run, its configuration and its state."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraudlog.cli.options import Json
from fraudlog.cli.terminal import open_console, progress
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from fraudlog.jobs import RunReport

__all__ = ["job"]

job = typer.Typer(
    help="Take in what a log gained, on a schedule: exactly once, into a store.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Config = Annotated[Path, typer.Option(help="Configuration; `fraudlog job init` writes one.")]
_CONFIG = Path("job.toml")
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]


@job.command()
def run(
    config: Config = _CONFIG,
    *,
    since: Annotated[
        datetime | None, typer.Option(help="Leave events before this time out, for good (UTC).", formats=_FORMATS)
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(help="Leave events of this time or later to another run (UTC).", formats=_FORMATS)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything, and leave all as it stands.")] = False,
    as_json: Json = False,
) -> None:
    """Read on in the log, score the sessions that ended, decide, and publish.

    A run may be stopped at any moment; the next one goes on from the last whole step. Prints one JSON object on a line
    where nobody looks on.

    Example: fraudlog job run --config /etc/fraudlog/job.toml
    """
    from fraudlog.jobs import load_config, run_job

    settings = load_config(config)
    with progress() as step:
        report = run_job(settings, since=_utc(since), until=_utc(until), dry_run=dry_run, step=step)
    if as_json or not sys.stdout.isatty():
        typer.echo(json.dumps(report.to_dict(), allow_nan=False))
    else:
        _print_report(report)


@job.command()
def init(
    config: Config = _CONFIG,
    *,
    log: Annotated[Path | None, typer.Option(help="Log to read; its format and what it records are found out.")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of the store.")] = None,
    model: Annotated[Path | None, typer.Option(help="Detector from `fraudlog fit`.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration that is there.")] = False,
) -> None:
    """Write a commented configuration.

    Example: fraudlog job init --config job.toml --log /var/log/nginx/access.log
    """
    from fraudlog.jobs import sample_config

    if config.exists() and not force:
        raise ConfigError(f"{config} is there already; --force replaces it", parameter="config")
    given: dict[str, Any] = {"log.path": log, "store.path": store, "model.path": model}
    values = {name: str(value.absolute()) for name, value in given.items() if value is not None}
    if log is not None:
        values |= _look_at(log)
    from fraudlog.reporting import staged

    with staged(config.absolute().parent) as draft:
        (draft / config.name).write_text(sample_config(values), encoding="utf-8")
    typer.echo(str(config))


@job.command()
def status(config: Config = _CONFIG, *, as_json: Json = False) -> None:
    """Say what the store holds, and how the last run went.

    Example: fraudlog job status --config job.toml
    """
    from fraudlog.jobs import job_status, load_config

    found = job_status(load_config(config))
    if as_json:
        typer.echo(json.dumps(found))
        return
    console = open_console()
    for name, table in found["tables"].items():
        days = f"{table['first']} to {table['last']}" if table["rows"] else ""
        console.print(f"{name:10} {table['rows']:>12,} rows {table['bytes']:>14,} bytes  {days}", highlight=False)
    last = found["last_run"]
    if last is not None:
        console.print(
            f"last run   {last['started']}: {last['lines']:,} lines, {last['sessions']:,} sessions", highlight=False
        )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _look_at(log: Path) -> dict[str, Any]:
    """Return what a log's first lines say of its format, and which headers it records."""
    import fraudlog as fl

    sample = next(fl.iter_log(log, batch_bytes=1 << 20, keep_half=False), None)
    if sample is None:
        raise ConfigError(f"--log {log}: holds no line yet; give log.format by hand", parameter="log")
    table = sample.table
    records = [
        name for name in ("language", "ch_ua") if name in table.column_names and table[name].null_count < len(table)
    ]
    return {"log.format": sample.summary.format, "log.records": records}


def _print_report(report: RunReport) -> None:
    tally = report.tally
    console = open_console()
    console.print(
        f"{tally.lines:,} lines = {tally.events:,} events + {tally.rejected:,} rejected + {tally.blank:,} blank; "
        f"{tally.sessions:,} sessions scored; {report.carried_events:,} events of open sessions carried on",
        highlight=False,
        soft_wrap=True,
    )
    if tally.verdicts:
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in tally.verdicts.items())
        console.print(f"verdicts of the days touched: {counts}", highlight=False, soft_wrap=True)
