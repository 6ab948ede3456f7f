"""`fraudlog report`: the page anew, from the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["page_of", "report"]


def report(
    folder: Annotated[Path, typer.Argument(help="Folder that `fraudlog score` wrote.", show_default=False)],
) -> None:
    """Write report.html anew from the tables in FOLDER.

    The page is self-contained: it runs no script and asks nothing of anybody.

    Example: fraudlog report scored
    """
    from fraudlog.reporting import staged

    page = page_of(folder)
    with staged(folder) as draft:
        (draft / "report.html").write_text(page, encoding="utf-8")
    typer.echo(str(folder / "report.html"))


def page_of(folder: Path) -> str:
    """Return the report of the tables in `folder`: as shielded on disk, not as in memory."""
    from fraudlog.reporting import read_tables, render_report

    tables, summary = read_tables(folder, "sessions", "scores", "decisions")
    return render_report(summary, tables["sessions"], tables["scores"], tables["decisions"])
