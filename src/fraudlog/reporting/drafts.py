"""Files of a folder, replaced each in one step, by way of a draft folder that no crash leaves behind for good."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from fraudlog.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["staged"]

_DRAFT: Final = ".draft-"


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give a draft folder inside `folder`; when all went well, move its files to `folder`, each in one step.

    If anything fails before that, a full disk or a bug, `folder` stands as it was and the draft is removed. Drafts that
    a killed process left are removed too: what is in them is about people, and nobody would look for it there.

    Raises
    ------
    OutputError
        If something can't be written; the message names the file and the operating system's reason.
    """
    draft = folder / f"{_DRAFT}{os.getpid()}"
    try:
        for left in folder.glob(f"{_DRAFT}*"):
            _remove_left(left)
        with _held(draft):
            try:
                yield draft
                _publish(draft, folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "input/output error"
        raise OutputError(
            f"{folder}: can't be written ({why}); what stood there before still does", path=folder
        ) from None


def _publish(draft: Path, folder: Path) -> None:
    for path in sorted(draft.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for path in sorted(draft.iterdir()):
        path.replace(folder / path.name)
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _held(draft: Path) -> Iterator[None]:
    """Make a draft folder and hold its lock, which ends with the process, however that ends."""
    handle = None
    while handle is None:
        draft.mkdir(parents=True)
        handle = _locked(draft)
    try:
        yield
    finally:
        os.close(handle)


def _locked(draft: Path) -> int | None:
    """Return a handle that holds the draft's lock; None if another process took the draft for one that was left."""
    with suppress(FileNotFoundError):
        handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if draft.exists():
            return handle
        os.close(handle)
    return None


def _remove_left(draft: Path) -> None:
    """Remove a draft that nobody works on; one that another process holds, or has just finished, is left alone."""
    with suppress(FileNotFoundError, BlockingIOError, PermissionError):
        handle = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(draft)
        finally:
            os.close(handle)
