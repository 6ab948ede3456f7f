"""`open_store`: a store to read, or to change one transaction at a time."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from fraudlog.errors import ConfigError, InputError, LockError, PrivacyError, SchemaError
from fraudlog.privacy import allowed_columns, require_purpose
from fraudlog.schema import column_names
from fraudlog.store.files import as_output_error, sync_folder, write_whole
from fraudlog.store.manifest import Manifest, Part
from fraudlog.store.tables import TABLES, conform
from fraudlog.store.transaction import STAGING, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["LEDGER", "Store", "open_store"]

Mode = Literal["read", "write"]

LEDGER: Final = "ledger"
_MANIFEST: Final = "manifest.json"
_HOURS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
_TRIES: Final = 3
_COMMITS: Final = f"{LEDGER}/commits.jsonl"
_TAIL: Final = 4096


def open_store(
    path: str | Path, *, purpose: str, mode: Mode = "read", slice_hours: int = 24, timeout_s: float = 0
) -> Store:
    """Open a store.

    Parameters
    ----------
    path : str or Path
    purpose : str
        What the data is wanted for, as ``essential.fraud_detection``; one of `fraudlog.privacy.PURPOSES`. Columns that
        may not be read for it are absent.
    mode : {"read", "write"}, default "read"
        To write takes the store's lock, makes the store if there is none, and clears what a crash left behind.
    slice_hours : int, default 24
        Of a new store: hours of a part, a divisor of 24. Fewer make appending to a busy day cheaper, and more files.
    timeout_s : float, default 0
        How long to wait for the lock, in seconds.

    Returns
    -------
    Store
        A context manager; closing it gives the lock back.

    Raises
    ------
    InputError
        If there is no store at `path`, or its manifest is damaged.
    LockError
        If another process writes to it.
    OutputError
        If it can't be written to.
    PrivacyError
        If the data was not collected for that purpose.
    ConfigError
        If a parameter is out of range.

    Examples
    --------
    >>> import tempfile
    >>> rows = pa.table({"session_id": ["a"], "risk": [0.25]})
    >>> with open_store(tempfile.mkdtemp(), purpose="essential.fraud_detection", mode="write") as store:
    ...     with store.transaction("example") as change:
    ...         change.append("scores", rows, pa.array([1_431_820_800_000_000]))
    ...     store.days("scores"), store.read("scores", columns=["session_id", "risk"]).to_pylist()
    ([datetime.date(2015, 5, 17)], [{'session_id': 'a', 'risk': 0.25}])
    """
    if not purpose:
        raise ConfigError("name the purpose that the data is wanted for", parameter="purpose")
    require_purpose(purpose)
    if mode not in ("read", "write"):
        raise ConfigError("mode is read or write", parameter="mode")
    if slice_hours not in _HOURS:
        raise ConfigError(f"slice_hours is one of {', '.join(map(str, _HOURS))}", parameter="slice_hours")
    return Store(Path(path), purpose, mode, slice_hours, timeout_s)


class Store:
    """A folder of Parquet files and what belongs together among them; made by `open_store`.

    Attributes
    ----------
    path : Path
    purpose : str
        What it was opened for.
    manifest : Manifest
        The parts and documents it holds.
    """

    def __init__(self, path: Path, purpose: str, mode: Mode, slice_hours: int, timeout_s: float) -> None:
        self.path = path
        self.purpose = purpose
        self.mode: Mode = mode
        self._lock: FileLock | None = None
        if mode == "read":
            self.manifest = self._read_manifest()
            return
        with as_output_error(path):
            (path / LEDGER).mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(path / LEDGER / "lock", timeout=timeout_s, mode=0o600)
            try:
                lock.acquire()
            except Timeout:
                raise LockError(f"{path}: another process writes to this store; try again later", path=path) from None
        self._lock = lock
        try:
            self.manifest = self._begin(slice_hours)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- reading ---------------------------------------------------------------------------------------------------

    def days(self, table: str) -> list[date]:
        """Return the days of which a table has rows, in order."""
        return self.manifest.days(_known(table))

    def files(self, table: str, days: Iterable[date] | None = None) -> list[Path]:
        """Return the files of a table: what to give another engine that must not see a change half done."""
        return [self.path / part.path for part in self.manifest.of(_known(table), days)]

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
        barred = self._barred(_known(table))
        wanted = None if columns is None else list(columns)
        if refused := barred & set(wanted or ()):
            raise PrivacyError(f"{', '.join(sorted(refused))} of {table} may not be read for {self.purpose}")
        chosen = None if days is None else list(days)
        for last in range(_TRIES):
            try:
                tables = [
                    self.load(part, self.path / part.path, wanted) for part in self.manifest.of(_known(table), chosen)
                ]
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
        joined = pa.concat_tables([empty, *tables], promote_options="default")
        shown = [name for name in joined.column_names if name not in barred] if wanted is None else wanted
        return joined.select(shown)

    def _barred(self, table: str) -> frozenset[str]:
        """Return the columns of a table that may not be read for this purpose."""
        columns = TABLES[table].columns
        return frozenset(column_names(columns)) - frozenset(column_names(allowed_columns(columns, self.purpose)))

    def load(self, part: Part, path: Path, columns: list[str] | None = None) -> pa.Table:
        """Return the rows of one part from the file that holds them."""
        try:
            return pq.read_table(path, columns=columns, partitioning=None)
        except FileNotFoundError:
            raise
        except pa.ArrowInvalid:
            raise InputError(f"{part.path}: is damaged; restore it from a copy", source=path) from None
        except OSError as error:
            raise _unreadable(part.path, error) from None

    def document(self, name: str) -> bytes | None:
        """Return the content of a document, or None if there is none of that name.

        Raises
        ------
        InputError
            If it is gone, or not what the manifest says.
        """
        found = self.manifest.documents.get(name)
        if found is None:
            return None
        try:
            data = (self.path / found.path).read_bytes()
        except OSError as error:
            raise _unreadable(found.path, error) from None
        if sha256(data).hexdigest() != found.sha256:
            raise InputError(f"{found.path}: is damaged; restore it from a copy", source=found.path)
        return data

    @property
    def position(self) -> dict[str, Any]:
        """Where the last writer stood: what it had taken in when the manifest was written."""
        path = self._position_path(self.manifest)
        try:
            found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        except OSError as error:
            raise _unreadable(path, error) from None
        return found

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

    # --- writing ---------------------------------------------------------------------------------------------------

    def transaction(self, what: str) -> Transaction:
        """Begin a change.

        Parameters
        ----------
        what : str
            The verb, for the log of commits.

        Raises
        ------
        ConfigError
            If the store was opened to read.
        """
        if self._lock is None:
            raise ConfigError("the store was opened to read; open it with mode='write'", parameter="mode")
        return Transaction(self, what)

    def adopt(self, after: Manifest, what: str, position: dict[str, Any] | None) -> None:
        """Make a manifest the store's own; its files lie in their places. Called by `Transaction.commit`."""
        before, stood = self.manifest, self.position
        new = stood if position is None else position
        if after == before and new == stood:
            return
        write_whole(self._position_path(after), json.dumps(new, sort_keys=True).encode())
        if after != before:
            write_whole(self.path / _MANIFEST, after.dump())
        self.manifest = after
        self._log(what, before.sha256)
        self._remove([self.path / path for path in before.paths - after.paths])
        if after != before:
            self._remove([self._position_path(before)])

    def _begin(self, slice_hours: int) -> Manifest:
        if not (self.path / _MANIFEST).exists():
            with as_output_error(self.path):
                write_whole(self.path / _MANIFEST, Manifest(slice_hours).dump())
                sync_folder(self.path.parent)
        self.manifest = self._read_manifest()
        with as_output_error(self.path):
            self._clear()
            logged = self._last_logged()
            if logged is not None and logged != self.manifest.sha256:  # stopped between a change and its entry
                self._log("recovered", logged)
        return self.manifest

    def _read_manifest(self) -> Manifest:
        file = self.path / _MANIFEST
        try:
            return Manifest.parse(file.read_bytes(), str(file))
        except FileNotFoundError:
            raise InputError(f"{self.path}: holds no store; `fraudlog job run` makes one", source=self.path) from None
        except OSError as error:
            raise _unreadable(file, error) from None

    def _position_path(self, manifest: Manifest) -> Path:
        return self.path / LEDGER / f"position-{manifest.sha256[:16]}.json"

    def _log(self, what: str, before: str) -> None:
        """Append to the log of commits, which tells what was done and when, never to whom."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"at": at, "what": what, "before": before, "after": self.manifest.sha256}
        with (self.path / _COMMITS).open("a", encoding="utf-8") as out:
            out.write(json.dumps(entry) + "\n")

    def _last_logged(self) -> str | None:
        """Return the manifest's digest after the last change in the log; None if there is no whole entry."""
        try:
            with (self.path / _COMMITS).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _TAIL))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return None
        whole = [line for line in lines[:-1] if line.startswith(b"{")]
        return json.loads(whole[-1])["after"] if whole else None

    def _present(self) -> set[str]:
        """Return the files that lie where the store's files lie."""
        folders = [*TABLES, "state", "models", STAGING]
        return {
            str(file.relative_to(self.path))
            for folder in folders
            for file in (self.path / folder).rglob("*")
            if file.is_file()
        }

    def _clear(self) -> None:
        """Remove what the manifest does not name: what a crash left behind."""
        keep = self._position_path(self.manifest)
        stale = [self.path / path for path in self._present() - self.manifest.paths]
        stale += [file for file in (self.path / LEDGER).glob("position-*.json") if file != keep]
        stale += [*(self.path / LEDGER).glob(".*.new"), *self.path.glob(".*.new")]
        self._remove(stale)

    def _remove(self, files: Iterable[Path]) -> None:
        """Remove files, and folders that are empty then; what can't be removed now is when the store is next opened."""
        folders: set[Path] = set()
        for file in files:
            with suppress(OSError):
                file.unlink(missing_ok=True)
            folders.update(self.path / parent for parent in file.relative_to(self.path).parents)
        for folder in sorted(folders - {self.path, self.path / LEDGER}, reverse=True):
            with suppress(OSError):  # not empty
                folder.rmdir()


def _unreadable(path: str | Path, error: OSError) -> InputError:
    why = os.strerror(error.errno) if error.errno else "input/output error"
    return InputError(f"{path}: can't be read ({why})", source=path)


def _known(table: str) -> str:
    if table not in TABLES:
        raise SchemaError(f"a store holds no table {table!r}; it holds {', '.join(TABLES)}", missing=[table])
    return table
