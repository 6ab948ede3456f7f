"""`fraudlog suggest-endpoints`: what the paths of a log are."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudlog.cli.options import Format, Json, Logs
from fraudlog.cli.scoring import read_logs
from fraudlog.cli.terminal import open_console, progress

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["suggest_endpoints"]


def suggest_endpoints(
    logs: Logs,
    *,
    out: Annotated[Path | None, typer.Option(help="TOML file to write the map to.")] = None,
    log_format: Format = "auto",
    fewest_requests: Annotated[int, typer.Option(help="Leave out paths with fewer requests.", min=1)] = 3,
    as_json: Json = False,
) -> None:
    """Propose what the paths in LOGS are: login, checkout, asset, API ... with the reason for each.

    Read it, correct it, and give the file to `fraudlog.enriching.EndpointMap.from_file`.

    Example: fraudlog suggest-endpoints access.log.gz --out endpoints.toml
    """
    from fraudlog.enriching import Shield
    from fraudlog.enriching.suggesting import suggest_endpoints, write_map
    from fraudlog.reporting import staged

    with progress() as step:
        step("reading")
        events = read_logs(logs, log_format, Shield(secrets.token_bytes(32))).table
        step("looking at the traffic")
        proposals = suggest_endpoints(events, fewest_requests=fewest_requests)
    if out is not None:
        with staged(out.parent) as draft:
            (draft / out.name).write_text(write_map(proposals), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps({"proposals": proposals.to_dict("records")}, allow_nan=False))
        return
    _print_proposals(proposals)


def _print_proposals(proposals: pd.DataFrame) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from fraudlog.reporting import safe_text

    table = Table("requests", "endpoint", "path", "why", box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for row in proposals.to_dict("records"):
        table.add_row(f"{row['requests']:,}", row["endpoint"], Text(safe_text(row["template"], 80)), Text(row["why"]))
    open_console().print(table)
