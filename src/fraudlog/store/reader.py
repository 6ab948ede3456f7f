"""Reading a store: for a purpose, and not without a trace."""

from __future__ import annotations

import os
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from fraudlog.errors import InputError, PrivacyError, SchemaError
from fraudlog.privacy import LEAST_K, REQUESTS, allowed_columns, release
from fraudlog.schema import column_names
from fraudlog.store.manifest import Manifest
from fraudlog.store.reads import span_of
from fraudlog.store.tables import TABLES, barred_columns, conform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date
    from pathlib import Path

    from fraudlog.store.manifest import Part
    from fraudlog.store.reads import ReadTrail

__all__ = ["MANIFEST", "STAGING", "Reader", "unreadable"]

MANIFEST: Final = "manifest.json"
STAGING: Final = ".staging"
"""Folder of changes that are not visible yet."""
_TRIES: Final = 3
_OF_DOCUMENTS: Final = ("essential.fraud_detection", REQUESTS)


class Reader:
    """What a store holds, for who may read it; `open_store` makes a `Store`, which can be changed too.

    Attributes
    ----------
    path : Path
    purpose : str
        What it was opened for.
    manifest : Manifest
        The parts and documents it holds.
    """

    path: Path
    mode: Literal["read", "write"]
    manifest: Manifest

    def __init__(self, path: Path, trail: ReadTrail) -> None:
        self.path = path
        self.purpose = trail.purpose
        self._trail = trail

    def days(self, table: str) -> list[date]:
        """Return the days of which a table has rows, in order."""
        return self.manifest.days(_known(table))

    def files(self, table: str, days: Iterable[date] | None = None) -> list[Path]:
        """Return the files of a table: what to give another engine that must not see a change half done.

        Raises
        ------
        PrivacyError
            If they hold a column that may not be read for the purpose that the store was opened for: another engine
            would read it all the same.
        """
        held = [*column_names(TABLES[_known(table)].columns), *(["features"] if TABLES[table].has_features else [])]
        if barred := barred_columns(TABLES[table], held, self.purpose):
            raise PrivacyError(
                f"files of {table} hold {', '.join(sorted(barred)[:3])}, not to be read for {self.purpose}; read() "
                "leaves that out"
            )
        parts = self.manifest.of(table, days)
        self._trail.note("files", table, days=span_of(parts), rows=sum(part.rows for part in parts))
        return [self.path / part.path for part in parts]

    def read(self, table: str, *, columns: Iterable[str] | None = None, days: Iterable[date] | None = None) -> pa.Table:
        """Return rows of a table.

        Parameters
        ----------
        table : str
            One of `TABLES`.
        columns : iterable of str, optional
            All, unless some are named.
        days : iterable of date, optional
            Days of the parts; see `StoredTable.day_of`.

        Returns
        -------
        pyarrow.Table
            In the order of the parts, and in each of `StoredTable.order`; strings are plain.

        Raises
        ------
        SchemaError
            If there is no such table or column.
        PrivacyError
            If a named column may not be read for the purpose that the store was opened for.
        """
        wanted = None if columns is None else list(columns)
        if refused := barred_columns(TABLES[_known(table)], wanted or (), self.purpose):
            raise PrivacyError(f"{', '.join(sorted(refused))} of {table} may not be read for {self.purpose}")
        chosen = None if days is None else list(days)
        rows = self._rows(table, wanted, chosen)
        barred = barred_columns(TABLES[table], rows.column_names, self.purpose)
        shown = rows.select([name for name in rows.column_names if name not in barred] if wanted is None else wanted)
        parts = self.manifest.of(table, chosen)
        self._trail.note("read", table, columns=wanted or "all", days=span_of(parts), rows=len(rows))
        return shown

    def _rows(self, table: str, wanted: list[str] | None, days: list[date] | None) -> pa.Table:
        for last in range(_TRIES):
            try:
                tables = [self.load(part, self.path / part.path, wanted) for part in self.manifest.of(table, days)]
                break
            except FileNotFoundError:  # a writer has just replaced it: its manifest names the new one
                if self.mode == "write" or last == _TRIES - 1:
                    raise InputError(f"{self.path}: a file of {table} is gone; run verify", source=self.path) from None
                self.manifest = self._read_manifest()
        empty = conform(pa.table({}), TABLES[table])
        if wanted is not None:
            missing = [name for name in wanted if all(name not in one.column_names for one in (empty, *tables))]
            if missing:
                raise SchemaError(f"{table} holds no column {', '.join(missing)}", missing=missing)
            empty = empty.select([name for name in wanted if name in empty.column_names])
        return pa.concat_tables([empty, *tables], promote_options="default")

    def release(
        self,
        table: str,
        by: Sequence[str],
        *,
        k: int = LEAST_K,
        reason: str = "",
        days: Iterable[date] | None = None,
    ) -> pa.Table:
        """Return rows of a table for a notebook, in which every combination of `by` is that of at least `k` clients.

        Parameters
        ----------
        table : str
            One of `TABLES`.
        by : sequence of str
            What you group by, most wanted first; see `fraudlog.privacy.release`.
        k : int, default 10
            Fewest clients of a combination; less than 10 needs a `reason`, which goes into the audit trail.
        reason : str
        days : iterable of date, optional

        Raises
        ------
        PrivacyError, ConfigError
            As `fraudlog.privacy.release`.
        """
        declared = allowed_columns(TABLES[_known(table)].columns, self.purpose)
        chosen = None if days is None else list(days)
        rows = self._rows(table, column_names(declared), chosen)
        span = span_of(self.manifest.of(table, chosen))
        trail = partial(self._trail.note, "release", table, days=span)
        return release(rows, declared, quasi=by, k=k, purpose=self.purpose, reason=reason, audit=trail)

    def load(self, part: Part, path: Path, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one part from the file that holds them."""
        try:
            return pq.read_table(path, columns=columns, partitioning=None)
        except FileNotFoundError:
            raise
        except pa.ArrowInvalid:
            raise InputError(f"{part.path}: is damaged; restore it from a copy", source=path) from None
        except OSError as error:
            raise unreadable(part.path, error) from None

    def document(self, name: str) -> bytes | None:
        """Return the content of a document, or None if there is none of that name.

        Raises
        ------
        InputError
            If it is gone, or not what the manifest says.
        PrivacyError
            If the store was opened for a purpose that may not see every column: documents hold whole events.
        """
        if self.purpose not in _OF_DOCUMENTS:
            raise PrivacyError(f"documents may not be read for {self.purpose}; for {', '.join(_OF_DOCUMENTS)} they may")
        found = self.manifest.documents.get(name)
        if found is None:
            return None
        try:
            data = (self.path / found.path).read_bytes()
        except OSError as error:
            raise unreadable(found.path, error) from None
        if sha256(data).hexdigest() != found.sha256:
            raise InputError(f"{found.path}: is damaged; restore it from a copy", source=found.path)
        return data

    def verify(self) -> list[str]:
        """Return what is wrong: files that are missing, changed, or not the store's; empty if all is well."""
        named: dict[str, str] = {part.path: part.sha256 for part in self.manifest.parts.values()}
        named |= {one.path: one.sha256 for one in self.manifest.documents.values()}
        problems = []
        for path, digest in sorted(named.items()):
            file = self.path / path
            if not file.exists():
                problems.append(f"{path}: missing")
            elif sha256(file.read_bytes()).hexdigest() != digest:
                problems.append(f"{path}: changed")
        return problems + [f"{path}: not in the manifest" for path in sorted(self._present() - set(named))]

    def _read_manifest(self) -> Manifest:
        file = self.path / MANIFEST
        try:
            return Manifest.parse(file.read_bytes(), str(file))
        except FileNotFoundError:
            raise InputError(f"{self.path}: holds no store; `fraudlog job run` makes one", source=self.path) from None
        except OSError as error:
            raise unreadable(file, error) from None

    def _present(self) -> set[str]:
        """Return the files that lie where the store's files lie."""
        folders = [*TABLES, "state", "models", STAGING]
        return {
            str(file.relative_to(self.path))
            for folder in folders
            for file in (self.path / folder).rglob("*")
            if file.is_file()
        }


def unreadable(path: str | Path, error: OSError) -> InputError:
    """Return the error of this library for one of the operating system's."""
    why = os.strerror(error.errno) if error.errno else "input/output error"
    return InputError(f"{path}: can't be read ({why})", source=path)


def _known(table: str) -> str:
    if table not in TABLES:
        raise SchemaError(f"a store holds no table {table!r}; it holds {', '.join(TABLES)}", missing=[table])
    return table
