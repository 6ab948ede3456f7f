"""Parquet files and frames (pandas, polars, Arrow: whatever speaks the Arrow PyCapsule interface), column by column.

Each distinct value is read once, by the same readers as the lines of a log; numbers and times that Arrow already types
are converted without that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import FormatError
from fraudlog.reading.columns import Chunk, Interners, Reject, rows_to_columns
from fraudlog.reading.dropped import Dropped, Tree, name_tree
from fraudlog.reading.fieldmaps import GENERIC, Field, reader_of
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.times import FIRST, LAST
from fraudlog.reading.values import FORWARDED, MISSING, READERS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fraudlog.reading.lines import Options
    from fraudlog.reading.values import Row

__all__ = ["is_frame", "open_parquet", "read_frame"]

_BATCH_ROWS: Final = 131_072


def is_frame(value: Any) -> bool:  # noqa: ANN401 -- anything a caller passes as a path
    """Tell a frame or table from a path."""
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__dataframe__") or hasattr(value, "to_arrow")


def open_parquet(path: Path) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a Parquet file.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 -- 10 ms that only Parquet needs

    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(_BATCH_ROWS)
    except (pa.ArrowInvalid, OSError):
        raise FormatError(f"{path}: the Parquet file is damaged", source=path) from None


def frame_batches(frame: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401 -- any frame
    """Yield the batches of a frame."""
    if isinstance(frame, pa.RecordBatch):
        yield frame
        return
    table = frame if isinstance(frame, pa.Table) else pa.table(frame)
    yield from table.to_batches(_BATCH_ROWS)


def read_frame(
    batches: Iterator[pa.RecordBatch], source: str, options: Options, interners: Interners, first_line: int = 1
) -> Iterator[Chunk]:
    """Turn batches into chunks; row numbers count from `first_line`."""
    fields = options.fields if options.fields is not None else GENERIC
    for batch in batches:
        yield _read_batch(batch, source, fields, options, interners, first_line)
        first_line += batch.num_rows


def _read_batch(
    batch: pa.RecordBatch,
    source: str,
    fields: tuple[Field, ...],
    options: Options,
    interners: Interners,
    first_line: int,
) -> Chunk:
    n_rows = batch.num_rows
    reason = np.full(n_rows, "", object)
    rows_of: dict[str, list[Any]] = {}
    for field in fields:
        if field.column in rows_of:
            continue
        column = next((c for name in field.sources if (c := _column(batch, name)) is not None), None)
        if column is not None:
            _read_column(column, field, options, rows_of, reason, is_lenient=fields is GENERIC)
    times = rows_of.get("timestamp", [None] * n_rows)
    clients = rows_of.get("client_ip", [None] * n_rows)
    headers = rows_of.pop(FORWARDED, None)
    if options.proxies.networks:
        rows_of["client_ip"] = [
            options.proxies.client(peer, header)
            for peer, header in zip(clients, headers or [None] * n_rows, strict=True)
        ]
    for position, time in enumerate(times):
        if time is None and not reason[position]:
            reason[position] = "missing_time"
    good = np.flatnonzero(reason == "")
    rows: list[Row] = [{} for _ in range(len(good))]
    for name, values in rows_of.items():
        for row, at in zip(rows, good.tolist(), strict=True):
            if values[at] is not None:
                row[name] = values[at]
    rejects = [
        Reject(first_line + position, str(reason[position]), repr(batch.slice(position, 1).to_pylist()[0]).encode())
        for position, code in enumerate(reason.tolist())
        if code
    ]
    names = [name for name in rows_of if not name.startswith("_")]
    return Chunk(
        source,
        good.astype(np.int64) + first_line,
        rows_to_columns(rows, names, interners),
        interners,
        rejects,
        n_rows,
        0,
        _dropped(batch, good, fields),
    )


def _dropped(batch: pa.RecordBatch, good: NDArray[np.int64], fields: tuple[Field, ...]) -> Dropped:
    """Count the values without a column, by name."""
    dropped = Dropped()
    known = name_tree(name for field in fields for name in field.sources)
    kept = batch if len(good) == batch.num_rows else batch.take(pa.array(good))
    _count_unknown(dict(zip(kept.schema.names, kept.columns, strict=True)), known, "", dropped)
    return dropped


def _count_unknown(columns: dict[str, pa.Array], known: Tree, prefix: str, dropped: Dropped) -> None:
    for name, column in columns.items():
        if name not in known:
            count = len(column) - column.null_count
            if count:
                dropped.add(prefix + name, count)
        elif pa.types.is_struct(column.type):
            below = {field.name: pc.struct_field(column, field.name) for field in column.type}
            _count_unknown(below, known[name], f"{prefix}{name}.", dropped)


def _column(batch: pa.RecordBatch, source: str) -> pa.Array | None:
    """Return the column under a dotted name, or None."""
    names = batch.schema.names
    if source in names:
        return batch.column(names.index(source))
    head, _, rest = source.partition(".")
    if not rest or head not in names or not pa.types.is_struct(batch.schema.field(head).type):
        return None
    column = batch.column(names.index(head))
    for step in rest.split("."):
        if not pa.types.is_struct(column.type) or column.type.get_field_index(step) < 0:
            return None
        column = pc.struct_field(column, step)
    return column


def _read_column(
    column: pa.Array,
    field: Field,
    options: Options,
    rows_of: dict[str, list[Any]],
    reason: NDArray[np.object_],
    *,
    is_lenient: bool,
) -> None:
    """Read each distinct value once and spread the results over the rows."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        _read_times(column, rows_of, field, reason)
        return
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    reader, target = READERS[reader_of(field)], Target(field.column, field.unit, options.zone, field.values)
    results: list[Row] = []
    codes: list[str] = []
    for value in encoded.dictionary.to_pylist():
        row: Row = {}
        code = ""
        if isinstance(value, (str, int, float)) and value not in MISSING and value == value:  # noqa: PLR0124 -- NaN
            try:
                reader(value, row, target)
            except BadValueError as error:
                code = "" if is_lenient and field.column not in ("timestamp", "client_ip") else error.code
        results.append(row)
        codes.append(code)
    positions = encoded.indices.to_pylist()
    for name in dict.fromkeys(key for row in results for key in row):
        rows_of.setdefault(name, [None if at is None else results[at].get(name) for at in positions])
    for row_number, at in enumerate(positions):
        if at is not None and codes[at] and not reason[row_number]:
            reason[row_number] = codes[at]


def _read_times(column: pa.Array, rows_of: dict[str, list[Any]], field: Field, reason: NDArray[np.object_]) -> None:
    micros = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
    values = micros.to_pylist()
    for position, value in enumerate(values):
        if value is not None and not FIRST <= value < LAST:
            reason[position] = "bad_time"
    rows_of[field.column] = values
