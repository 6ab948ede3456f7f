"""One change of a store: many tables, all or nothing."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa

from fraudlog.errors import ConfigError
from fraudlog.store.files import as_output_error, parquet, publish, sync_folder, write_new
from fraudlog.store.manifest import Document, Manifest, Part
from fraudlog.store.reader import STAGING
from fraudlog.store.tables import TABLES, conform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from fraudlog.store.store import Store

__all__ = ["Transaction"]

_HOUR_US: Final = 3_600_000_000
_FOLDERS: Final = ("state", "models")


class Transaction:
    """A change of a store, made visible by one rename when the ``with`` block ends well.

    Until then everything lies in a folder of its own; if anything fails, the store stands as it did.

    Parameters
    ----------
    store : Store
        Opened to write.
    what : str
        The verb, for the log of commits: ``run``, ``erase``, ``purge`` ...

    Attributes
    ----------
    position : dict, optional
        Where the writer stands after the change, as JSON can hold it; by default where it stood before.
    """

    def __init__(self, store: Store, what: str) -> None:
        self.store = store
        self.what = what
        self.position: dict[str, Any] | None = None
        self._parts: dict[tuple[str, str, int], Part] = {}
        self._documents: dict[str, Document | None] = {}
        self._drafts: dict[str, Path] = {}
        self._keys: set[tuple[int, str]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.drop()

    @property
    def _staging(self) -> Path:
        return self.store.path / STAGING

    @property
    def before(self) -> Manifest:
        """The store's manifest as it stands."""
        return self.store.manifest

    @property
    def after(self) -> Manifest:
        """The manifest as this change leaves it so far."""
        return self.before.changed(self._parts.values(), self._documents, self._keys)

    @property
    def touched(self) -> list[Part]:
        """The parts that this change writes or empties."""
        return sorted(self._parts.values())

    def read(self, table: str, *, days: Iterable[date] | None = None) -> pa.Table:
        """Return rows of a table as this change leaves them so far, in the order of the parts."""
        tables = [self._rows(part) for part in self.after.of(table, days)]
        return pa.concat_tables([_nothing(table), *tables], promote_options="default")

    def append(self, table: str, rows: pa.Table, at: pa.Array | pa.ChunkedArray | NDArray[np.int64]) -> None:
        """Add rows; each goes to the part of its own time.

        Parameters
        ----------
        table : str
            One of `TABLES`.
        rows : pyarrow.Table of shape (n_rows, n_columns)
            Shielded already: the store knows no key.
        at : array of timestamp or int64 (us), shape (n_rows,)
            What the table's `StoredTable.day_of` says.

        Raises
        ------
        SchemaError
            If a column is not of this table; the message names it.
        """
        rows = conform(rows, TABLES[table])
        for day, hour, chosen in _by_part(at, self.before.slice_hours):
            part = self._part(table, day, hour)
            self._stage(part, pa.concat_tables([self._rows(part), rows.take(chosen)], promote_options="default"))

    def replace(self, table: str, rows: pa.Table, at: pa.Array | pa.ChunkedArray | NDArray[np.int64]) -> None:
        """Put rows in place of all rows of the parts that they fall into."""
        rows = conform(rows, TABLES[table])
        for day, hour, chosen in _by_part(at, self.before.slice_hours):
            self._stage(self._part(table, day, hour), rows.take(chosen))

    def rewrite(self, table: str, change: Callable[[pa.Table], pa.Table], days: Iterable[date] | None = None) -> int:
        """Let `change` make other rows of the rows of each part; a part that it leaves alone is not touched.

        Parameters
        ----------
        table : str
        change : callable
            From the rows of one part to those to stand there instead; none removes the part. Returning the very
            table it was given says that nothing changes, and spares the comparison.
        days : iterable of date, optional
            Only the parts of these days.

        Returns
        -------
        int
            How many parts were written or removed.
        """
        n_touched = 0
        for old in self.before.of(table, days):
            part = self._parts.get(old.key, old)
            rows = self._rows(part)
            changed = change(rows)
            if changed is not rows and self._stage(part, conform(changed, TABLES[table])) != part.sha256:
                n_touched += 1
        return n_touched

    def clear(self, table: str, days: Iterable[date] | None = None) -> None:
        """Take all rows of a table away, or those of some days; nothing is read for it."""
        for part in self.before.of(table, days):
            self._parts[part.key] = Part(*part.key)

    def put(self, name: str, data: bytes) -> None:
        """Add or replace a document: a file under ``state/`` or ``models/``.

        Raises
        ------
        ConfigError
            If the name is not of that form.
        """
        parts = PurePosixPath(name).parts
        if len(parts) != 2 or parts[0] not in _FOLDERS or parts[1].startswith(".") or "." not in parts[1]:
            raise ConfigError(f"a document is named as {_FOLDERS[0]}/name.suffix or {_FOLDERS[1]}/name.suffix")
        made = Document(name, len(data), sha256(data).hexdigest())
        self._documents[name] = made
        self._draft(made.path, data)

    def note_key(self, epoch: int, key_id: str) -> None:
        """Say which key the pseudonyms in the rows were made with, by its epoch and id alone."""
        self._keys.add((epoch, key_id))

    def remove(self, name: str) -> None:
        """Take a document away."""
        self._documents[name] = None

    def drop(self) -> None:
        """Forget the change; what was written for it is removed."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def commit(self) -> None:
        """Make the change visible; called by the end of the ``with`` block."""
        after = self.after
        with as_output_error(self.store.path):
            fresh = sorted(after.paths - self.before.paths)
            for path in fresh:
                publish(self._drafts[path], self.store.path / path)
            for folder in sorted({str(folder) for path in fresh for folder in PurePosixPath(path).parents}):
                sync_folder(self.store.path / folder)
            self.store.adopt(after, self.what, self.position)

    def _part(self, table: str, day: str, hour: int) -> Part:
        key = (table, day, hour)
        return self._parts.get(key) or self.before.parts.get(key) or Part(*key)

    def _rows(self, part: Part) -> pa.Table:
        """Return the rows of a part as this change has made them so far."""
        path = self._drafts.get(part.path, self.store.path / part.path)
        return self.store.load(part, path) if part.rows else _nothing(part.table)

    def _stage(self, part: Part, rows: pa.Table) -> str:
        """Write a part's new rows to the staging folder; returns the digest."""
        if part.path in self._drafts and part.path not in self.before.paths:
            self._drafts.pop(part.path).unlink(missing_ok=True)
        table = TABLES[part.table]
        features = sorted(name for name in rows.column_names if name not in {one.name for one in table.columns})
        ordered = rows.select([*(one.name for one in table.columns), *features])
        data = parquet(ordered.sort_by([(name, "ascending") for name in table.order]))
        made = Part(*part.key, len(rows), len(data), sha256(data).hexdigest())
        self._parts[part.key] = made
        if len(rows):
            self._draft(made.path, data)
        return made.sha256

    def _draft(self, path: str, data: bytes) -> None:
        with as_output_error(self.store.path):
            self._drafts[path] = self._staging / path
            write_new(self._staging / path, data)


def _nothing(table: str) -> pa.Table:
    return conform(pa.table({}), TABLES[table])


def _by_part(
    at: pa.Array | pa.ChunkedArray | NDArray[np.int64], slice_hours: int
) -> Iterator[tuple[str, int, NDArray[np.int64]]]:
    """Yield each day and first hour with the rows that fall into it."""
    if isinstance(at, (pa.Array, pa.ChunkedArray)):
        kind = at.type
        at = (at.cast(pa.timestamp("us", "UTC")).cast(pa.int64()) if pa.types.is_timestamp(kind) else at).to_numpy()
    if not len(at):
        return
    slices = np.asarray(at, np.int64) // (slice_hours * _HOUR_US)
    order = np.argsort(slices, kind="stable")
    found, firsts = np.unique(slices[order], return_index=True)
    for number, chosen in zip(found.tolist(), np.split(order, firsts[1:]), strict=True):
        begin = np.datetime64(number * slice_hours, "h")
        day = begin.astype("datetime64[D]")
        yield str(day), int((begin - day).astype(int)), chosen
