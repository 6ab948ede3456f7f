"""`shield`: a table as it may reach a disk, every column treated as the schema says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fraudlog.privacy.pseudonyms import Pseudonyms
    from fraudlog.schema import Column

__all__ = ["shield"]


def shield(table: pa.Table, columns: Iterable[Column], pseudonyms: Pseudonyms) -> pa.Table:
    """Return `table` with identifiers replaced, queries cut and raw lines left out.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_rows, n_columns)
    columns : iterable of Column
        The table's declaration in `fraudlog.schema`, which is closed: a column that it lacks is left out.
    pseudonyms : Pseudonyms

    Returns
    -------
    pyarrow.Table
        Dictionaries rebuilt from the values that are left.
    """
    kept = [column for column in columns if column.name in table.column_names]
    arrays = [_treated(table.column(column.name), column, pseudonyms) for column in kept]
    return pa.table(arrays, names=[column.name for column in kept])


def _treated(values: pa.ChunkedArray, column: Column, pseudonyms: Pseudonyms) -> pa.ChunkedArray:
    if column.treatment in ("cut", "seal"):
        return pa.chunked_array([pa.nulls(len(values), values.type)])
    if column.treatment == "ip":
        return _replaced(values, pseudonyms.addresses)
    if column.treatment == "token":
        return _replaced(values, lambda plain: pseudonyms.tokens(plain, column.name))
    if column.treatment == "path":
        return _replaced(values, lambda plain: [value.partition("?")[0] for value in plain])
    return values


def _replaced(values: pa.ChunkedArray, replace: Callable[[Sequence[str]], list[str]]) -> pa.ChunkedArray:
    """Replace each distinct value once."""
    text = values.cast(pa.string()).combine_chunks()
    codes = text.dictionary_encode()
    hidden = pa.array(replace(codes.dictionary.to_pylist()), pa.string())
    result = hidden.take(codes.indices)
    return pa.chunked_array([result.dictionary_encode() if pa.types.is_dictionary(values.type) else result])
