"""Bytes on a disk, whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from fraudlog.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["as_output_error", "parquet", "publish", "sync_folder", "write_new", "write_whole"]

_ROW_GROUP: Final = 1 << 17
_OWN: Final = 0o700
"""Folders of a store are their owner's alone, for what they hold is about people."""


def parquet(rows: pa.Table) -> bytes:
    """Return rows as a Parquet file: the same bytes for the same rows, however they came together.

    Strings are written from plain values, so that neither a dictionary nor a statistic holds a value no row has.
    """
    sink = pa.BufferOutputStream()
    table = rows.combine_chunks()
    # Without Arrow's own copy of the schema, in which the fields of lists are named as they happened to be.
    pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP, version="2.6", store_schema=False)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def write_new(path: Path, data: bytes) -> None:
    """Write a file that nobody reads yet, down to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=_OWN)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(draft: Path, path: Path) -> None:
    """Move a written file to its place; the folder is synced by the caller, once for many."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=_OWN)
    draft.replace(path)


def write_whole(path: Path, data: bytes) -> None:
    """Replace one file in one step: temporary file, fsync, rename, fsync of the folder."""
    draft = path.with_name(f".{path.name}.new")
    write_new(draft, data)
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def as_output_error(folder: Path, done: str = "written") -> Iterator[None]:
    """Turn the operating system's errors into `OutputError`: a full or broken disk, a folder that is read-only."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "input/output error"
        raise OutputError(
            f"{folder}: can't be {done} ({why}); what stood there before still does; run again once it can",
            path=folder,
        ) from None
