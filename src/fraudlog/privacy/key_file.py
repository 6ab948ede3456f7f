"""The file of the keys: replaced in one step, and no copy of a key left beside it.

A change writes a draft, gives the old file a second name, renames the draft over it, and overwrites the old one before
its bytes go back to the disk. Killed in between, it leaves a draft or an old file; who opens the keys next destroys
that. Changes hold the folder's lock, so that of two at once neither loses the other's key.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["changing", "replace_keys", "tidy_up"]


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Let nobody else change the keys, and destroy what a killed change left, before the keys are read to be changed.

    Parameters
    ----------
    path : Path
        The file of the keys, which need not be there yet; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(path.parent, fcntl.LOCK_EX):
        _destroy_left(path)
        yield


def tidy_up(path: Path) -> None:
    """Destroy what a killed change left; what a running one is at work on stays."""
    if _draft(path).exists() or _old(path).exists():
        with suppress(BlockingIOError), _locked(path.parent, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _destroy_left(path)


def replace_keys(path: Path, text: str) -> None:
    """Put other keys in place of those in a file, and overwrite these; called while `changing`."""
    draft = _draft(path)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    if not path.exists():
        draft.replace(path)
        _sync(path.parent)
        return
    with path.open("r+b") as before:
        with suppress(OSError):  # some file systems know no second name: there a kill may leave the old bytes unwritten
            os.link(path, _old(path))
        draft.replace(path)
        _sync(path.parent)
        _overwrite(before.fileno())
    _old(path).unlink(missing_ok=True)


def _destroy_left(path: Path) -> None:
    draft, old = _draft(path), _old(path)
    if draft.exists():
        _destroy(draft)
    if old.exists() and path.exists():
        if old.samefile(path):  # killed before the rename: a second name of the keys in use
            old.unlink()
        else:
            _destroy(old)


def _destroy(file: Path) -> None:
    with file.open("r+b") as left:
        _overwrite(left.fileno())
    file.unlink()


def _overwrite(handle: int) -> None:
    os.pwrite(handle, bytes(os.fstat(handle).st_size), 0)
    os.fsync(handle)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")
