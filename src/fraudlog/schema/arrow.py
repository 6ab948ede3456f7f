"""Tables between Arrow and pandas, with the types the schema declares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fraudlog.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import pyarrow as pa

    from fraudlog.schema.columns import Column, Type

__all__ = ["arrow_schema", "is_shielded", "require_columns", "to_arrow", "to_pandas"]


def _arrow_type(kind: Type) -> pa.DataType:
    import pyarrow as pa  # noqa: PLC0415 -- the schema is also read where Arrow is not needed

    reason = [
        ("code", pa.string()),
        ("contribution", pa.float64()),
        ("value", pa.float64()),
        ("percentile", pa.float64()),
        ("oat", pa.string()),
    ]
    types: dict[str, Any] = {
        "timestamp": pa.timestamp("us", tz="UTC"),
        "string": pa.string(),
        "category": pa.dictionary(pa.int32(), pa.string()),
        "binary": pa.binary(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "reasons": pa.list_(pa.struct(reason)),
    }
    return types[kind]


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Return the Arrow schema of `columns`.

    >>> from fraudlog.schema import REJECTED
    >>> arrow_schema(REJECTED).field("line_number").type
    DataType(int64)
    """
    import pyarrow as pa  # noqa: PLC0415 -- as above

    return pa.schema([pa.field(column.name, _arrow_type(column.type)) for column in columns])


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Turn an Arrow table into the frame users see: Arrow-backed strings, nullable integers, UTC timestamps.

    Dictionary columns come out as plain strings, so that a filtered frame holds no value of the rows it dropped.
    """
    import pandas as pd  # noqa: PLC0415 -- as above
    import pyarrow as pa  # noqa: PLC0415 -- as above

    surface = {
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    plain = pa.schema(
        [
            pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
            for field in table.schema
        ]
    )
    frame: pd.DataFrame = table.cast(plain).to_pandas(types_mapper=surface.get)
    return frame


def to_arrow(frame: pd.DataFrame | pa.Table, columns: Iterable[Column]) -> pa.Table:
    """Turn a frame or table into Arrow with the types the schema declares; columns it does not have are left out.

    Raises
    ------
    SchemaError
        If a column holds values of another type; the message names the column, never a value.
    """
    import pyarrow as pa  # noqa: PLC0415 -- as above

    wanted = [column for column in columns if column.name in set(_names(frame))]
    arrays = []
    for column in wanted:
        kind = _arrow_type(column.type)
        values = frame[column.name] if not isinstance(frame, pa.Table) else frame.column(column.name)
        try:
            arrays.append(_cast(values, kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError):
            found = getattr(values, "dtype", getattr(values, "type", "?"))
            raise SchemaError(
                f"column {column.name!r} holds {found}, which does not convert to {kind}: convert it before the call",
                missing=[column.name],
            ) from None
    return pa.table(arrays, schema=pa.schema([(column.name, _arrow_type(column.type)) for column in wanted]))


def _cast(values: Any, kind: pa.DataType) -> pa.ChunkedArray:  # noqa: ANN401 -- a pandas or an Arrow column
    import pyarrow as pa  # noqa: PLC0415 -- as above

    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        values = pa.array(values, from_pandas=True)
    if isinstance(values, pa.Array):
        values = pa.chunked_array([values])
    if values.type == kind:
        return values
    if pa.types.is_dictionary(kind):
        return values.cast(pa.string()).dictionary_encode().unify_dictionaries()
    return values.cast(kind)


def _names(frame: pd.DataFrame | pa.Table) -> list[str]:
    import pyarrow as pa  # noqa: PLC0415 -- as above

    if not hasattr(frame, "columns"):
        raise SchemaError(f"what was given is a {type(frame).__name__}, not a frame")
    return list(frame.column_names) if isinstance(frame, pa.Table) else [str(name) for name in frame.columns]


def is_shielded(frame: pd.DataFrame | pa.Table) -> bool:
    """Return whether a table of events left the reader through `fraudlog.enriching.Shield`, so holds pseudonyms."""
    return {"notice", "ip_prefix"} <= set(_names(frame))


def require_columns(frame: pd.DataFrame | pa.Table, needed: Iterable[str], *, table: str) -> None:
    """Check that `frame` has the columns `needed`.

    Raises
    ------
    SchemaError
        If it is no frame, or one is missing; the message lists those that are there.
    """
    found = _names(frame)
    missing = [name for name in needed if name not in set(found)]
    if missing:
        raise SchemaError(
            f"{table} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; it has "
            f"{', '.join(found) if found else 'none'}",
            missing=missing,
        )
