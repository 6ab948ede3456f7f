"""`fraudlog evidence`: the table of evidence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraudlog.cli.options import Json
from fraudlog.cli.terminal import open_console
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["evidence"]


def evidence(
    names: Annotated[
        list[str] | None, typer.Argument(help="Codes, families or OAT ids to show; all by default.")
    ] = None,
    *,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/evidence.md.")] = False,
    as_json: Json = False,
) -> None:
    """Print what speaks against a session: each code, its rule, its weight, and whom it misses.

    Example: fraudlog evidence OAT-008
    """
    from fraudlog.detecting.evidence import EVIDENCE
    from fraudlog.detecting.evidence.document import evidence_as_dicts, evidence_page

    wanted, known = set(names or ()), {name for row in EVIDENCE for name in (row.code, row.family, *row.oats)}
    if unknown := wanted - known:
        families = ", ".join(dict.fromkeys(row.family for row in EVIDENCE))
        raise ConfigError(f"no evidence {', '.join(sorted(unknown))}; families: {families}", parameter="names")
    rows = [row for row in EVIDENCE if not wanted or wanted & {row.code, row.family, *row.oats}]
    if as_json:
        typer.echo(json.dumps(evidence_as_dicts(rows)))
    elif as_markdown:
        typer.echo(evidence_page() if not wanted else evidence_page(rows))
    else:
        open_console().print(_evidence_table(evidence_as_dicts(rows)))


def _evidence_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Column, Table

    table = Table(Column("code", no_wrap=True), "weight", "what it says", "rule", "OAT", box=None)
    for row in rows:
        table.add_row(row["code"], f"{row['weight']:g}", row["sentence"], row["rule"], " ".join(row["oats"]))
    return table
