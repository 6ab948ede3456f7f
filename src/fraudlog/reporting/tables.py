"""Tables on disk: Parquet, shielded, each file replaced in one step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fraudlog.errors import InputError
from fraudlog.privacy import Pseudonyms, closed, marked, marks, shield
from fraudlog.schema import DECISIONS, EVENTS, REJECTED, SCORES, SESSIONS, Column, to_arrow, to_pandas
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

__all__ = ["TABLES", "read_tables", "write_tables"]

_FEATURE_COLUMNS = tuple(Column(row.name, "float64", row.meaning, row.unit) for row in FEATURES)
_SESSION_ID = Column(
    "session_id", "category", "the session the event belongs to", category="user.unique_id.pseudonymous"
)

TABLES: Final[Mapping[str, tuple[Column, ...]]] = {
    "events": (*EVENTS, _SESSION_ID),
    "rejected": REJECTED,
    "sessions": (*SESSIONS, *_FEATURE_COLUMNS),
    "scores": SCORES,
    "decisions": DECISIONS,
}
"""The tables of a scored log, and their columns on disk."""


def write_tables(
    folder: Path,
    tables: Mapping[str, pd.DataFrame | pa.Table],
    summary: Mapping[str, Any],
    pseudonyms: Pseudonyms | None = None,
    *,
    key_id: str | None = None,
) -> None:
    """Write the tables of a scored log as Parquet, and its summary as JSON.

    The schema is closed: a column it lacks is not written.

    Parameters
    ----------
    folder : Path
        Best one of `staged`.
    tables : mapping of str to DataFrame or pyarrow.Table
        By the names of `TABLES`.
    summary : mapping
        JSON-ready.
    pseudonyms : Pseudonyms, optional
        For tables with raw values; those of a log that was read with a `Shield` need none.
    key_id : str, optional
        What `Pseudonyms.note` says of them, noted in each file; by default that of `pseudonyms`.
    """
    key_id = key_id if pseudonyms is None else pseudonyms.note
    for name, frame in tables.items():
        table = to_arrow(frame, TABLES[name])
        table = closed(table, TABLES[name]) if pseudonyms is None else shield(table, TABLES[name], pseudonyms)
        table = table if key_id is None else marked(table, key_id)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, allow_nan=False), encoding="utf-8")


def read_tables(folder: Path, *names: str) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read tables that `write_tables` wrote, and the summary.

    Raises
    ------
    InputError
        If the folder lacks one of them, or one is damaged.
    """
    needed = [*(f"{name}.parquet" for name in names), "summary.json"]
    lacking = [name for name in needed if not (folder / name).is_file()]
    if lacking:
        raise InputError(f"{folder}: lacks {lacking[0]}; run `fraudlog score LOG --out {folder}`", source=folder)
    try:
        tables = {name: _read(folder / f"{name}.parquet") for name in names}
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    except (OSError, pa.ArrowInvalid, ValueError):
        raise InputError(f"{folder}: a table is damaged; run `fraudlog score` again", source=folder) from None
    return tables, summary


def _read(path: Path) -> pd.DataFrame:
    table = pq.read_table(path)
    frame = to_pandas(table)
    frame.attrs |= marks(table)
    return frame
