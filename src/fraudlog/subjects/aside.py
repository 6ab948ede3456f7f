"""What is put aside of people who asked for it: kept and shown to them alone, where nothing else of this works with it.

A document of the store for each request; whose rows lie in it is told by their pseudonyms, so that a person is found
there by whatever they are named by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fraudlog.store.tables import TABLES, conform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.store import Store, Transaction

    Mask = Callable[[pa.Table], NDArray[np.bool_]]
    Edit = Callable[[pa.Table], pa.Table]

__all__ = ["add_aside", "aside_rows", "edit_aside", "take_aside"]

_PREFIX: Final = "state/aside-"
_ORDER: Final = [(name, "ascending") for name in ("timestamp", "source", "line_number")]


def aside_rows(store: Store) -> Iterator[tuple[str, pa.Table]]:
    """Yield each document of what is aside, with its events."""
    for name in sorted(store.manifest.documents):
        data = store.document(name) if name.startswith(_PREFIX) else None
        if data is not None:
            yield name, _read(data)


def add_aside(store: Store, change: Transaction, mark: str, rows: list[pa.Table]) -> None:
    """Put events aside.

    Parameters
    ----------
    store : Store
    change : Transaction
    mark : str
        Of the request: events that lie there already stay beside these.
    rows : list of pyarrow.Table
    """
    name = f"{_PREFIX}{mark}.arrow"
    before = [table for known, table in aside_rows(store) if known == name]
    if rows:
        made = [conform(one, TABLES["late"]) for one in rows]
        change.put(name, _written(pa.concat_tables([*before, *made])))


def take_aside(store: Store, change: Transaction, mask: Mask) -> pa.Table:
    """Take the events away for which a mask holds; returns them."""
    taken = [conform(pa.table({}), TABLES["late"])]
    for name, rows in aside_rows(store):
        found = mask(rows)
        taken.append(rows.filter(pa.array(found)))
        if found.all():
            change.remove(name)
        elif found.any():
            change.put(name, _written(rows.filter(pa.array(~found))))
    return pa.concat_tables(taken)


def edit_aside(store: Store, change: Transaction, mask: Mask, edit: Edit) -> int:
    """Correct the events for which a mask holds; returns how many there are."""
    count = 0
    for name, rows in aside_rows(store):
        found = int(mask(rows).sum())
        if found:
            change.put(name, _written(edit(rows)))
        count += found
    return count


def _written(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows.sort_by(_ORDER).combine_chunks())
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _read(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()
