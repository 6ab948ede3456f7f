"""Parquet files and frames (pandas, polars, Arrow: whatever speaks the Arrow PyCapsule interface), column by column.

Numbers and times that Arrow already types are taken over as whole arrays. Of other values each distinct one is read
once, by the same readers as the lines of a log, and spread over the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import FormatError
from fraudlog.reading.columns import (
    Chunk,
    Interners,
    Reject,
    empty_column,
    finished,
    is_code,
    is_null,
    join_clients,
)
from fraudlog.reading.dropped import Dropped, Tree, name_tree
from fraudlog.reading.fieldmaps import GENERIC, Field, reader_of
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.times import FIRST, LAST
from fraudlog.reading.values import FORWARDED, MISSING, READERS, TRUNCATED, Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fraudlog.reading.lines import Options
    from fraudlog.reading.values import Row

__all__ = ["is_frame", "open_parquet", "read_frame"]

_BATCH_ROWS: Final = 131_072
_SECONDS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
_MAGNITUDES: Final = {"s": 1e11, "ms": 1e14, "us": 1e17, "ns": 1e19}
_LARGEST: Final = 10**18


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
        yield _Batch(batch, fields, options, interners).chunk(source, first_line)
        first_line += batch.num_rows


class _Batch:
    """One batch of rows, and what was read of it so far.

    ``reasons`` holds a number for each row: 0, or 1 more than the place of its reason in ``codes``.
    """

    def __init__(
        self, batch: pa.RecordBatch, fields: tuple[Field, ...], options: Options, interners: Interners
    ) -> None:
        self.batch, self.fields, self.options, self.interners = batch, fields, options, interners
        self.n_rows = batch.num_rows
        self.columns: dict[str, NDArray[Any]] = {}
        self.is_truncated = np.zeros(self.n_rows, np.bool_)
        self.codes: list[str] = []
        self.reasons = np.zeros(self.n_rows, np.int64)

    def chunk(self, source: str, first_line: int) -> Chunk:
        """Read all fields and return the rows that are events."""
        for field in self.fields:
            self._read_field(field)
        self._find_clients()
        times = self.columns.get("timestamp")
        self._refuse(is_null(times) if times is not None else np.ones(self.n_rows, np.bool_), "missing_time")
        is_good = self.reasons == 0
        good = np.flatnonzero(is_good)
        columns = {name: finished(name, values[is_good], self.interners) for name, values in self.columns.items()}
        if self.is_truncated[is_good].any():
            columns[TRUNCATED] = (self.is_truncated[is_good], None)
        rejects = [
            Reject(first_line + at, self.codes[self.reasons[at] - 1], self._raw(at))
            for at in np.flatnonzero(~is_good).tolist()
        ]
        dropped = _dropped(self.batch, good, self.fields)
        return Chunk(source, good + first_line, columns, self.interners, rejects, self.n_rows, 0, dropped)

    def _raw(self, at: int) -> bytes:
        return repr(self.batch.slice(at, 1).to_pylist()[0]).encode()

    def _refuse(self, rows: NDArray[np.bool_], code: str) -> None:
        """Note a reason for rows that have none yet."""
        if rows.any():
            if code not in self.codes:
                self.codes.append(code)
            self.reasons[rows & (self.reasons == 0)] = self.codes.index(code) + 1

    def _read_field(self, field: Field) -> None:
        """Take the first of a field's names that has a value, row by row."""
        is_open = np.ones(self.n_rows, np.bool_)
        if field.column in self.columns:
            is_open &= is_null(self.columns[field.column])
        is_lenient = self.fields is GENERIC and field.column not in ("timestamp", "client_ip")
        for name in field.sources:
            column = _column(self.batch, name)
            if column is not None and is_open.any():
                values = _Values(column, field, self.options, self.interners)
                use = is_open & values.has
                for code in values.codes if not is_lenient else ():
                    self._refuse(use & values.is_bad(code), code)
                for filled, found in values.columns.items():
                    self._fill(filled, found, use)
                self.is_truncated |= use & values.is_truncated
                is_open &= ~values.has

    def _fill(self, name: str, found: NDArray[Any], use: NDArray[np.bool_]) -> None:
        known = self.columns.setdefault(name, empty_column(name, self.n_rows))
        # an absolute URL names the host only where nothing else did (`values.read_url`)
        use = use & ~is_null(found) & (is_null(known) if name == "host" else True)
        known[use] = found[use]

    def _find_clients(self) -> None:
        headers = self.columns.pop(FORWARDED, None)
        if self.options.proxies.networks:
            nobody = empty_column("client_ip", self.n_rows)
            peers = self.columns.get("client_ip", nobody)
            self.columns["client_ip"] = join_clients(
                peers, headers if headers is not None else nobody, self.interners, self.options.proxies.client
            )


class _Values:
    """What one column of a frame says of the columns of events.

    Attributes
    ----------
    columns : dict of str to ndarray
    has : ndarray of bool
        Rows with a value, good or bad.
    codes : list of str
        Reasons why values were refused.
    """

    def __init__(self, column: pa.Array, field: Field, options: Options, interners: Interners) -> None:
        self.field, self.options, self.interners = field, options, interners
        self.columns: dict[str, NDArray[Any]] = {}
        self.codes: list[str] = []
        self._bad = np.zeros(len(column), np.int64)
        self.is_truncated = np.zeros(len(column), np.bool_)
        self.has = column.is_valid().to_numpy(zero_copy_only=False)
        is_time = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        plain = _PLAIN.get(reader_of(field)) if is_number and field.values is None else None
        if is_time:
            self._take_times(column)
        elif plain is not None:
            plain(self, column)
        else:
            self._read_distinct(column)

    def is_bad(self, code: str) -> NDArray[np.bool_]:
        """Say which rows were refused for a reason."""
        found: NDArray[np.bool_] = self._bad == self.codes.index(code) + 1
        return found

    def _refuse(self, rows: NDArray[np.bool_], code: str) -> None:
        if rows.any():
            self.codes.append(code)
            self._bad[rows] = len(self.codes)

    def _put(self, values: NDArray[Any], is_good: NDArray[np.bool_], code: str) -> None:
        empty = np.nan if values.dtype == np.float64 else -1
        self.columns[self.field.column] = np.where(is_good, values, empty)
        self._refuse(self.has & ~is_good, code)

    def _take_times(self, column: pa.Array) -> None:
        micros = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
        values = micros.fill_null(-1).to_numpy(zero_copy_only=False)
        self._put(values, (values >= FIRST) & (values < LAST), "bad_time")

    def take_epochs(self, column: pa.Array) -> None:
        """Take numbers since 1970, as `times.from_number` does."""
        values = _numbers(column)
        self.has &= ~np.isnan(values)
        size, lower = np.abs(values), 0.0
        micros = np.full(len(values), -1, np.int64)
        for unit, upper in _MAGNITUDES.items():
            is_of_unit = (size >= lower) & (size < upper) if self.field.unit == "auto" else unit == self.field.unit
            rows = np.isfinite(values) & is_of_unit
            micros[rows] = _micros(values[rows], unit)
            lower = upper
        self._put(micros, (micros >= FIRST) & (micros < LAST), "bad_time")

    def take_counts(self, column: pa.Array) -> None:
        """Take whole numbers, as `values.read_count` does."""
        values = _numbers(column)
        self.has &= ~np.isnan(values)
        is_good = (values >= 0) & (values < _LARGEST) & (values == np.floor(values))
        self._put(np.where(is_good, values, -1).astype(np.int64), is_good, "bad_number")

    def take_durations(self, column: pa.Array) -> None:
        """Take durations, as `values.read_duration` does: what is below 0 is unknown."""
        values = _numbers(column).astype(np.float64)
        self.has &= ~np.isnan(values)
        divisor = {"s": 1, "auto": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[self.field.unit]
        amounts = values if divisor == 1 else np.round(values / divisor, 9)
        is_known = np.isfinite(values) & (values >= 0)
        self.columns[self.field.column] = np.where(is_known, amounts, np.nan)
        self._refuse(self.has & np.isinf(values), "bad_number")

    def _read_distinct(self, column: pa.Array) -> None:
        """Read each distinct value once."""
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        field = self.field
        reader, target = READERS[reader_of(field)], Target(field.column, field.unit, self.options.zone, field.values)
        nothing = len(distinct)
        made: dict[str, NDArray[Any]] = {}
        has, is_cut, bad = (np.zeros(nothing + 1, kind) for kind in (np.bool_, np.bool_, np.int64))
        for at, value in enumerate(distinct):
            if not isinstance(value, (str, int, float)) or value in MISSING or value != value:  # noqa: PLR0124 -- NaN
                continue
            has[at] = True
            row: Row = {}
            try:
                reader(value, row, target)
            except BadValueError as error:
                if error.code not in self.codes:
                    self.codes.append(error.code)
                bad[at], row = self.codes.index(error.code) + 1, {}
            is_cut[at] = bool(row.pop(TRUNCATED, False))
            for name, filled in row.items():
                values = made.setdefault(name, empty_column(name, nothing + 1))
                values[at] = self.interners[name].code(str(filled)) if is_code(name) else filled
        at_rows = encoded.indices.fill_null(nothing).to_numpy(zero_copy_only=False)
        self.has, self.is_truncated, self._bad = has[at_rows], is_cut[at_rows], bad[at_rows]
        self.columns = {name: values[at_rows] for name, values in made.items()}


_PLAIN: Final = {"time": _Values.take_epochs, "count": _Values.take_counts, "duration": _Values.take_durations}


def _micros(values: NDArray[Any], unit: str) -> NDArray[np.int64]:
    """Return times in microseconds; below 0 where they are out of range."""
    if unit == "ns":
        whole: NDArray[np.int64] = np.where(np.abs(values) < _LARGEST * 9, values, -1).astype(np.int64)
        return whole // 1000
    scale = _SECONDS[unit]
    near: NDArray[Any] = np.where(np.abs(values) < LAST / scale, values, -1)
    micros: NDArray[np.int64] = np.rint(near * scale).astype(np.int64)
    return micros


def _numbers(column: pa.Array) -> NDArray[Any]:
    """Return numbers as NumPy has them; whole ones stay whole where none is missing."""
    if column.null_count == 0:
        found: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return found
    if pa.types.is_integer(column.type):
        return np.where(column.is_valid(), column.fill_null(0).to_numpy(zero_copy_only=False), -1)
    return column.fill_null(np.nan).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


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
