"""`fraudlog features`: the catalogue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fraudlog.cli.options import Json
from fraudlog.cli.terminal import open_console
from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["features"]


def features(
    names: Annotated[list[str] | None, typer.Argument(help="Features or families to show; all by default.")] = None,
    *,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/features.md.")] = False,
    as_json: Json = False,
) -> None:
    """Print the catalogue of features: meaning, unit, formula, what each misses.

    Example: fraudlog features tempo
    """
    from fraudlog.sessions import FEATURES, features_as_dicts, features_page

    wanted = set(names or ())
    if unknown := wanted - {row.name for row in FEATURES} - {row.family for row in FEATURES}:
        families = ", ".join(dict.fromkeys(row.family for row in FEATURES))
        raise ConfigError(f"no feature or family {', '.join(sorted(unknown))}; families: {families}", parameter="names")
    rows = [row for row in FEATURES if not wanted or wanted & {row.name, row.family}]
    if as_json:
        typer.echo(json.dumps(features_as_dicts(rows)))
    elif as_markdown:
        typer.echo(features_page(rows))
    else:
        open_console().print(_feature_table(features_as_dicts(rows)))


def _feature_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Column, Table

    table = Table(Column("feature", no_wrap=True), "unit", "meaning", "misses", "OAT", box=None)
    for row in rows:
        table.add_row(*(row[name] for name in ("name", "unit", "meaning", "misses")), " ".join(row["oat"]))
    return table
