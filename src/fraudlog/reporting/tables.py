"""Tables on disk: Parquet, shielded, each file replaced in one step."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fraudlog.errors import InputError, OutputError
from fraudlog.privacy import Pseudonyms, shield
from fraudlog.schema import DECISIONS, EVENTS, REJECTED, SCORES, SESSIONS, Column, to_arrow, to_pandas
from fraudlog.sessions import FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pandas as pd

__all__ = ["TABLES", "read_tables", "replace_file", "write_tables"]

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
    folder: Path, tables: Mapping[str, pd.DataFrame | pa.Table], summary: Mapping[str, Any], pseudonyms: Pseudonyms
) -> dict[str, Path]:
    """Write the tables of a scored log as Parquet, and its summary as JSON.

    No raw address, account or token reaches the disk, nor a temporary file: each table is shielded first.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    tables : mapping of str to DataFrame or pyarrow.Table
        By the names of `TABLES`.
    summary : mapping
        JSON-ready.
    pseudonyms : Pseudonyms

    Returns
    -------
    dict of str to Path
        What was written.

    Raises
    ------
    OutputError
        If the disk is full or the folder can't be written to; files of an earlier run then stand as they were.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be made a folder ({error.strerror}); name another", path=folder) from None
    paths = {}
    for name, frame in tables.items():
        table = shield(to_arrow(frame, TABLES[name]), TABLES[name], pseudonyms)
        paths[name] = folder / f"{name}.parquet"
        replace_file(paths[name], partial(pq.write_table, table, compression="zstd"))
    paths["summary"] = folder / "summary.json"
    text = json.dumps(summary, indent=1, allow_nan=False)
    replace_file(paths["summary"], lambda draft: draft.write_text(text, encoding="utf-8"))
    return paths


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a draft, then put the draft in the place of `path` in one step, safe against a crash.

    Raises
    ------
    OutputError
        If writing fails; the draft is removed and `path` stands as it was.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise OutputError(
            f"{path}: can't be written ({error.strerror or 'input/output error'}); what stood there before still does",
            path=path,
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def read_tables(folder: Path, *names: str) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read tables that `write_tables` wrote, and the summary.

    Raises
    ------
    InputError
        If the folder lacks one of them, or one is damaged.
    """
    try:
        tables = {name: to_pandas(pq.read_table(folder / f"{name}.parquet")) for name in names}
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    except FileNotFoundError as error:
        lacking = os.path.basename(error.filename or "a table")  # noqa: PTH119 -- a name out of an error, not a path
        raise InputError(f"{folder}: lacks {lacking}; run `fraudlog score LOG --out {folder}`", source=folder) from None
    except (OSError, pa.ArrowInvalid, ValueError):
        raise InputError(f"{folder}: a table is damaged; run `fraudlog score` again", source=folder) from None
    return tables, summary
