"""`fraudlog privacy release`: a table of the store for a notebook, in which nobody stands alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["release"]

_SUFFIXES = (".csv", ".parquet")


def release(
    table: Annotated[str, typer.Argument(help="Table of the store: events, sessions, scores ...")],
    by: Annotated[str, typer.Option(help="Columns to group by, most wanted first, with commas between.")],
    out: Annotated[Path, typer.Option(help="File to write to, .csv or .parquet.")],
    store: Annotated[Path, typer.Option("--store", help="Folder of the store.", show_default=False)],
    *,
    k: Annotated[int, typer.Option(help="Fewest clients of a combination; less than 10 needs --reason.")] = 10,
    purpose: Annotated[str, typer.Option(help="What it is for; columns not collected for that stay out.")] = (
        "improve.system"
    ),
    reason: Annotated[str, typer.Option(help="Why fewer than 10 are needed, for the audit trail.")] = "",
) -> None:
    """Write a table for a notebook: no identifier, times as days, at least ten clients of each combination.

    Example: fraudlog privacy release sessions --by country,browser --out sessions.csv --store store
    """
    from fraudlog.reporting import staged
    from fraudlog.store import open_store

    if out.suffix not in _SUFFIXES:
        raise ConfigError(f"--out ends in {' or '.join(_SUFFIXES)}", parameter="out")
    columns = [name.strip() for name in by.split(",") if name.strip()]
    rows = open_store(store, purpose=purpose).release(table, columns, k=k, reason=reason)
    with staged(out.parent) as draft:
        _write(rows, draft / out.name)
    typer.echo(f"{out}: {len(rows):,} rows, columns {', '.join(rows.column_names)}")


def _write(rows: pa.Table, out: Path) -> None:
    import pyarrow.csv
    import pyarrow.parquet as pq

    if out.suffix == ".csv":
        pyarrow.csv.write_csv(rows, out)
    else:
        pq.write_table(rows, out)
