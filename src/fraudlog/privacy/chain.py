"""`Chain`: a file of entries each of which holds the digest of the one before, so that no change goes unseen.

Every byte of the file counts: an entry is one line, written in one way only, and the line is compared whole. A second
file beside it, ``<name>.head``, holds number and digest of the last entry, so that entries cut off the end are missed.
Whoever can write both files can write a new chain; note the head elsewhere to find that too.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fraudlog.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Chain", "Verdict"]

_FIRST: Final = "0" * 64
_OWN: Final = ("n", "prev", "hash")


class Verdict(NamedTuple):
    """What `Chain.verify` found.

    Attributes
    ----------
    is_whole : bool
    entries : int
        Entries that are right, from the first on.
    problem : str
        What is wrong with the next one; empty if nothing is.
    head : str
        Digest of the last right entry: note it elsewhere.
    """

    is_whole: bool
    entries: int
    problem: str
    head: str


class Chain:
    """An append-only file of JSON lines.

    Parameters
    ----------
    path : Path
        The file; made on the first `append`.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> chain = Chain(pathlib.Path(tempfile.mkdtemp()) / "audit.jsonl")
    >>> chain.append({"event": "read", "rows": 3})
    >>> chain.verify().is_whole, chain.entries()[0]["rows"]
    (True, 3)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_name(path.name + ".head")

    def append(self, content: Mapping[str, Any]) -> None:
        """Add an entry, down to the disk.

        Parameters
        ----------
        content : mapping
            JSON-ready; never holds an identifier.

        Raises
        ------
        PrivacyError
            If the chain is broken: nothing is added to one that can't be trusted.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked() as file:
            number, previous = self._end()
            line, digest = _line(number, previous, content)
            file.seek(0, os.SEEK_END)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
            self._write_head(number + 1, digest)

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, as `append` was given them.

        Raises
        ------
        PrivacyError
            If one was changed.
        """
        verdict = self.verify()
        if not verdict.is_whole:
            raise PrivacyError(f"{self.path.name}: {verdict.problem}; see: fraudlog privacy audit verify")
        rows = [json.loads(line) for line in self._data().splitlines()]
        return [{name: value for name, value in row.items() if name not in _OWN} for row in rows]

    def verify(self) -> Verdict:
        """Check every byte of the chain and its head."""
        data = self._data()
        number, previous, before = 0, _FIRST, _FIRST
        for line in data.splitlines(keepends=True):
            problem, digest = _check(line, number, previous)
            if problem:
                return Verdict(False, number, problem, previous)  # noqa: FBT003 -- a named tuple
            number, previous, before = number + 1, digest, previous
        is_right = self._head_data() in (_head(number, previous), _head(number - 1, before) if number > 1 else None)
        is_new = number == 1 and not self._head_data()  # stopped between the first entry and its head
        if is_right or is_new or (not data and not self.head_path.exists()):
            return Verdict(True, number, "", previous)  # noqa: FBT003 -- a named tuple
        return Verdict(False, number, "the head names another last entry: some were cut off", previous)  # noqa: FBT003

    def _end(self) -> tuple[int, str]:
        """Return number and digest that the next entry goes on from; half a line left by a crash is taken away."""
        data = self._data()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        verdict = self.verify()
        if not verdict.is_whole:
            raise PrivacyError(f"{self.path.name}: {verdict.problem}; nothing is added to it")
        return verdict.entries, verdict.head

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _write_head(self, number: int, digest: str) -> None:
        draft = self.head_path.with_name(self.head_path.name + ".new")
        with draft.open("wb") as file:
            file.write(_head(number, digest))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.head_path)

    def _data(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _head_data(self) -> bytes:
        return self.head_path.read_bytes() if self.head_path.exists() else b""


def _head(number: int, digest: str) -> bytes:
    return f"{number} {digest}\n".encode()


def _line(number: int, previous: str, content: Mapping[str, Any]) -> tuple[bytes, str]:
    entry = {**content, "n": number, "prev": previous}
    digest = sha256(_canonical(entry)).hexdigest()
    return _canonical(entry | {"hash": digest}) + b"\n", digest


def _canonical(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()


def _check(line: bytes, number: int, previous: str) -> tuple[str, str]:
    """Return what is wrong with a line, and its digest: it must be, byte for byte, what `append` would write."""
    try:
        row = json.loads(line)
        content = {name: value for name, value in row.items() if name not in _OWN}
        expected, digest = _line(number, previous, content)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return f"entry {number} is not one", ""
    return ("" if expected == line else f"entry {number} was changed, or one before it was taken out"), digest
