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
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from fraudlog.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Chain", "Verdict"]

_FIRST: Final = "0" * 64
_OWN: Final = ("n", "prev", "hash")
_TAIL: Final = 4096
"""Bytes that are read to find the last entry; more only where it is longer."""


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
            If the chain's end is broken: nothing is added to one that can't be trusted. Only its last entry is looked
            at, so that a long chain costs no more than a short one; `verify` looks at all of it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked() as file:
            number, previous = self._end(file)
            line, digest = _line(number, previous, content)
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
        head = self._head_data()
        number, previous, before = 0, _FIRST, _FIRST
        for line in self._data().splitlines(keepends=True):
            problem, digest = _check(line, number, previous)
            if problem and _is_half(line) and head == _head(number, previous):  # stopped while it was being added
                break
            if problem:
                return Verdict(is_whole=False, entries=number, problem=problem, head=previous)
            number, previous, before = number + 1, digest, previous
        is_whole = _is_head_of(head, number, previous, before)
        problem = "" if is_whole else "the head names another last entry: some were cut off"
        return Verdict(is_whole, number, problem, previous)

    def _end(self, file: BinaryIO) -> tuple[int, str]:
        """Return number and digest that the next entry goes on from.

        What a crash left is put right before more is added: half a line goes, and a head that is one entry behind is
        written. Left behind, another crash at the same place would put it two behind, as if the end had been cut off.
        """
        last, end, size = _last_line(file)
        number, digest, before = _standing(last) if last else (0, _FIRST, _FIRST)
        if not _is_head_of(self._head_data(), number, digest, before):
            raise PrivacyError(f"{self.path.name}: its last entry was changed or cut off; nothing is added to it")
        if end < size:
            file.truncate(end)
        if number and self._head_data() != _head(number, digest):
            self._write_head(number, digest)
        return number, digest

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
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


def _last_line(file: BinaryIO) -> tuple[bytes, int, int]:
    """Return the last whole line of a file, where it ends, and where the file does."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    while len(tail) < size and tail.count(b"\n") < 2:  # the line's own end, and that of the one before it
        begin = max(0, size - 2 * len(tail) - _TAIL)
        file.seek(begin)
        tail = file.read(size - begin)
    whole = tail[: tail.rfind(b"\n") + 1]
    return whole[whole.rfind(b"\n", 0, -1) + 1 :], size - len(tail) + len(whole), size


def _standing(line: bytes) -> tuple[int, str, str]:
    """Return how many entries there are with the last one, its digest and that before it; -1 if it is none."""
    try:
        row = json.loads(line)
        number, previous = row["n"], row["prev"]
        problem, digest = _check(line, number, previous)
    except (ValueError, KeyError, TypeError, RecursionError):
        return -1, "", ""
    return (-1, "", "") if problem else (number + 1, digest, previous)


def _is_half(line: bytes) -> bool:
    """Say whether a line is the beginning of one, and not a whole one whose end was changed."""
    return not line.endswith(b"\n") and _standing(line[:-1] + b"\n")[0] < 0


def _is_head_of(head: bytes, number: int, digest: str, before: str) -> bool:
    """Say whether a head belongs to so many entries, or to one less: stopped before the head was written."""
    if not number:
        return not head
    return head in (_head(number, digest), _head(number - 1, before) if number > 1 else b"")


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
