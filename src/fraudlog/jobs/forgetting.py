"""A model file that forgets somebody, in step with the store: both as they were, or both without them.

The store's change is one rename, and the file's is another. Between them stands a note, part of the store's change:
which model was put in place of which. Whoever comes next finishes what it says.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ModelError
from fraudlog.store.files import as_output_error, sync_folder, write_new, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from fraudlog.store import Store

__all__ = ["can_replace", "draft_of", "finish_forgetting", "note_forgetting"]

_NOTE: Final = "forgetting"


def draft_of(path: Path) -> Path:
    """Return where the model that forgot waits until the store has changed."""
    return path.with_name(f".{path.name}.forgetting")


def can_replace(path: Path) -> bool:
    """Say whether a model file may be replaced where it lies."""
    return os.access(path.parent, os.W_OK)


def note_forgetting(path: Path, after: bytes) -> dict[str, Any]:
    """Lay a model beside the one that it is to replace.

    Returns
    -------
    dict
        To be part of the position of the store's change.
    """
    with as_output_error(path.parent):
        write_new(draft_of(path), after)
        sync_folder(path.parent)
    return {_NOTE: {"before": sha256(path.read_bytes()).hexdigest(), "after": sha256(after).hexdigest()}}


def finish_forgetting(path: Path, store: Store) -> None:
    """Put the model that forgot in its place, if the store has changed and the file has not.

    Also where the old file came back, from a copy: it still knows who was forgotten.

    Raises
    ------
    ModelError
        If the model that forgot is gone too.
    """
    note, draft = store.position.get(_NOTE), draft_of(path)
    if note is not None and path.exists() and sha256(path.read_bytes()).hexdigest() == note["before"]:
        data = draft.read_bytes() if draft.exists() else b""
        if sha256(data).hexdigest() != note["after"]:
            names = [one.name for one in store.manifest.documents.values() if one.sha256 == note["after"]]
            data = (store.document(names[0]) if names else None) or b""
        if not data:
            raise ModelError(f"{path}: knows somebody who was erased; fit it anew with `fraudlog fit`", path=path)
        with as_output_error(path.parent):
            write_whole(path, data)
    if draft.exists():
        with as_output_error(path.parent):
            draft.unlink()
