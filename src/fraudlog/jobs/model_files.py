"""Models as a store keeps them: an index of who spoke since when, and bytes that never lie outside the store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final

from fraudlog.detecting import Detector
from fraudlog.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from fraudlog.store import Store

__all__ = ["INDEX", "Entry", "aged", "bytes_of", "dumped", "entries_of", "loaded", "saved"]

INDEX: Final = "models/index.json"
"""Document of a store that lists its models."""


@dataclass(frozen=True)
class Entry:
    """A model and the end of a session from which on it speaks; one that was refused has no name."""

    since_us: int
    name: str | None
    sha256: str
    why: str


def entries_of(store: Store) -> list[Entry]:
    """Return which models spoke in a store, and since when."""
    index = store.document(INDEX)
    return [Entry(**row) for row in json.loads(index)] if index else []


def dumped(entries: Sequence[Entry]) -> bytes:
    """Return the index of models as it is stored."""
    return (json.dumps([asdict(one) for one in entries], indent=1) + "\n").encode()


def bytes_of(path: Path) -> bytes:
    """Return what is in the file of the configuration's model.

    Raises
    ------
    ModelError
        If it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: can't be read ({error.strerror}); make one with `fraudlog fit LOG --model {path}`", path=path
        ) from None


def loaded(data: bytes, path: Path, seals: Sequence[bytes | None] = (None,)) -> Detector:
    """Read a detector from bytes, sealed with one of some keys; the error names the file that they came from."""
    problem = ""
    for seal in seals:
        try:
            return Detector.load(_Copy(data, path), key=seal)
        except ModelError as error:
            problem = problem or str(error)
    raise ModelError(problem, path=path)


class _Copy(BytesIO):
    """A model in memory, called as the file that it was read from: on a disk it would outlive a crash."""

    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(data)
        self.name = str(path)


def saved(detector: Detector, seal: bytes | None, *, training: bool = False) -> bytes:
    """Return a model as `Detector.save` writes it; nothing of it lies on a disk meanwhile."""
    file = BytesIO()
    detector.save(file, key=seal, training=training)
    return file.getvalue()


def aged(detector: Detector, data: bytes, first_day: date, seal: bytes | None) -> tuple[int, bytes]:
    """Take out of a model what it remembers of single people from before a day; its bytes stay if there is nothing."""
    n_gone = detector.forget_before(first_day)
    if not n_gone:
        return 0, data
    return n_gone, saved(detector, seal, training=detector.can_forget)
