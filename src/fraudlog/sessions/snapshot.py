"""A stream's state as bytes: arrays and JSON in one Arrow batch, nothing that can run, the same for equal states.

What a state holds in an order that depends on how the log was cut (the values behind codes, the rows of a window) is
put in order first, so that states after the same events are the same bytes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from fraudlog.errors import InputError
from fraudlog.sessions.columns import NULL, Text, text_of
from fraudlog.sessions.facts import Facts
from fraudlog.sessions.stream import ROW, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition

__all__ = ["dump_state", "load_state"]

_VERSION: Final = 1
_META: Final = b"fraudlog"
_PARTS: Final = ("opened", "pending")


def dump_state(state: State, definition: Definition) -> bytes:
    """Write a state.

    Parameters
    ----------
    state : State
    definition : Definition
        What it was made by; another can't read it.

    Returns
    -------
    bytes
        An Arrow stream of one row whose columns are lists. How many events came late is left out: the late table knows.
    """
    columns: dict[str, pa.Array] = {}
    for name in _PARTS:
        facts = getattr(state, name)
        if facts is not None:
            columns |= {f"{name}/{key}": column for key, column in _facts_columns(facts).items()}
    for name, window in sorted(state.windows.items()):
        columns |= {f"window/{name}/{key}": pa.array(column) for key, column in _in_order(window).items()}
    meta = {"version": _VERSION, "definition": definition.digest, "newest_us": state.newest_us}
    lists = [_one_list(column) for column in columns.values()]
    fields = [pa.field(name, column.type) for name, column in zip(columns, lists, strict=True)]
    schema = pa.schema(fields, {_META: json.dumps(meta, sort_keys=True).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(lists, schema=schema))
    written: bytes = sink.getvalue().to_pybytes()
    return written


def load_state(data: bytes, definition: Definition) -> State | None:
    """Read a state.

    Returns
    -------
    State or None
        None if it was made by another definition, whose facts say other things.

    Raises
    ------
    InputError
        If the bytes are no state.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            batch = reader.read_next_batch()
        batch.validate(full=True)
        meta = json.loads(batch.schema.metadata[_META])
        if meta["version"] != _VERSION or meta["definition"] != definition.digest:
            return None
        columns = {name: batch.column(name)[0].values for name in batch.schema.names}
        opened, pending = (
            _facts(_below(columns, f"{name}/")) if f"{name}/time" in columns else None for name in _PARTS
        )
        windows: dict[str, dict[str, NDArray[Any]]] = {}
        for name, column in _below(columns, "window/").items():
            window, _, key = name.rpartition("/")
            windows.setdefault(window, {})[key] = _numbers(column)
        return State(opened, pending, windows, newest_us=int(meta["newest_us"]))
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError, StopIteration):
        raise InputError("the state of the stream is damaged; restore the store from a copy") from None


def _below(columns: dict[str, pa.Array], prefix: str) -> dict[str, pa.Array]:
    return {name.removeprefix(prefix): column for name, column in columns.items() if name.startswith(prefix)}


def _one_list(column: pa.Array) -> pa.ListArray:
    return pa.LargeListArray.from_arrays(pa.array([0, len(column)], pa.int64()), column)


def _numbers(column: pa.Array) -> NDArray[Any]:
    numbers: NDArray[Any] = column.to_numpy(zero_copy_only=False).copy()
    return numbers


def _facts_columns(facts: Facts) -> dict[str, pa.Array]:
    columns = {"time": pa.array(facts.time), "line": pa.array(facts.line)}
    for name, text in sorted(facts.text.items()):
        ordered = text_of(text.array().cast(pa.string()))  # values in the order they first stand, none unused
        columns |= {f"code/{name}": pa.array(ordered.codes), f"value/{name}": ordered.values}
    columns |= {f"number/{name}": pa.array(column) for name, column in sorted(facts.numbers.items()) if name != ROW}
    columns |= {f"word/{place:03}": pa.array(word) for place, word in enumerate(facts.words)}
    return columns


def _facts(columns: dict[str, pa.Array]) -> Facts:
    numbers = {name: _numbers(column) for name, column in columns.items() if not name.startswith("value/")}
    if len({len(column) for column in numbers.values()}) > 1:
        raise ValueError("columns of different lengths")
    text = {}
    for name, values in _below(columns, "value/").items():
        codes = numbers[f"code/{name}"].astype(np.int32, copy=False)
        if len(codes) and not NULL <= codes.min() <= codes.max() < max(len(values), 1):
            raise ValueError("a code without a value")
        text[name] = Text(codes, values)
    words = [numbers[name] for name in sorted(numbers) if name.startswith("word/")]
    return Facts(
        numbers["time"],
        numbers["line"],
        text,
        {name.removeprefix("number/"): column for name, column in numbers.items() if name.startswith("number/")},
        words,
    )


def _in_order(window: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Put what a window remembers in order of time, then key, then value: each pair stands there once."""
    names = sorted(window)
    first = [name for name in ("time", "bucket") if name in window]
    order = np.lexsort([window[name] for name in reversed([*first, *(name for name in names if name not in first)])])
    return {name: window[name][order] for name in names}
