"""`open_store`: a store to read, or to change one transaction at a time."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from filelock import FileLock, Timeout

from fraudlog.errors import ConfigError, LockError
from fraudlog.privacy import require_purpose
from fraudlog.store.files import as_output_error, sync_folder, write_whole
from fraudlog.store.manifest import Manifest
from fraudlog.store.reader import MANIFEST, Reader, unreadable
from fraudlog.store.reads import AUDIT, ReadTrail, who_asks
from fraudlog.store.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

__all__ = ["LEDGER", "Store", "open_store"]

Mode = Literal["read", "write"]

LEDGER: Final = "ledger"
_HOURS: Final = (1, 2, 3, 4, 6, 8, 12, 24)
_COMMITS: Final = f"{LEDGER}/commits.jsonl"
_TAIL: Final = 4096


def open_store(
    path: str | Path,
    *,
    purpose: str,
    mode: Mode = "read",
    slice_hours: int = 24,
    timeout_s: float = 0,
    who: str = "",
    audit: str | Path | None = None,
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
    who : str, optional
        Who reads, for the audit trail; by default the account of the operating system.
    audit : str or Path, optional
        The trail that reads are noted in; by default the store's own. Opening notes nothing.

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
    >>> import tempfile, pyarrow as pa
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
    trail = Path(path, LEDGER, AUDIT) if audit is None else Path(audit)
    return Store(Path(path), ReadTrail(trail, who or who_asks(), purpose), mode, slice_hours, timeout_s)


class Store(Reader):
    """A folder of Parquet files and what belongs together among them; made by `open_store`.

    Attributes
    ----------
    path : Path
    purpose : str
        What it was opened for.
    manifest : Manifest
        The parts and documents it holds.
    """

    def __init__(self, path: Path, trail: ReadTrail, mode: Mode, slice_hours: int, timeout_s: float) -> None:
        super().__init__(path, trail)
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

    @property
    def position(self) -> dict[str, Any]:
        """Where the last writer stood: what it had taken in when the manifest was written."""
        path = self._position_path(self.manifest)
        try:
            found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        except OSError as error:
            raise unreadable(path, error) from None
        return found

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
            write_whole(self.path / MANIFEST, after.dump())
        self.manifest = after
        self._log(what, before.sha256)
        self._remove([self.path / path for path in before.paths - after.paths])
        if after != before:
            self._remove([self._position_path(before)])

    def _begin(self, slice_hours: int) -> Manifest:
        if not (self.path / MANIFEST).exists():
            with as_output_error(self.path):
                write_whole(self.path / MANIFEST, Manifest(slice_hours).dump())
                sync_folder(self.path.parent)
        self.manifest = self._read_manifest()
        with as_output_error(self.path):
            self._clear()
            logged = self._last_logged()
            if logged is not None and logged != self.manifest.sha256:  # stopped between a change and its entry
                self._log("recovered", logged)
        return self.manifest

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
