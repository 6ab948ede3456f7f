"""`shield`: a table as it may leave the reader, every column treated as the schema says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import SchemaError
from fraudlog.privacy.texts import cut, scrub_own_paths, scrub_paths, scrub_texts, scrub_urls, without_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fraudlog.privacy.pseudonyms import Pseudonyms
    from fraudlog.schema import Column

    Replace = Callable[[pa.Array], pa.Array]

__all__ = ["closed", "shield"]

_NAMING: Final = ("ip", "token")
_PLACES: Final = ("path", "url")
_TEXTS: Final = ("string", "category")


def shield(table: pa.Table, columns: Iterable[Column], pseudonyms: Pseudonyms, *, by_row: bool = False) -> pa.Table:
    """Return `table` with identifiers replaced, queries cut and raw lines left out.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_rows, n_columns)
    columns : iterable of Column
        The table's declaration in `fraudlog.schema`, which is closed: a column that it lacks is left out.
    pseudonyms : Pseudonyms
    by_row : bool, default False
        Look in paths for the identifiers of the same row alone, and not for those of the whole table: then a row comes
        out the same whatever stands in the table beside it.

    Returns
    -------
    pyarrow.Table
        Dictionaries rebuilt from the values that are left. Each distinct value is treated once.
    """
    kept = [column for column in columns if column.name in table.column_names]
    known = pa.array([], pa.string()) if by_row else _identifiers(table, kept)
    arrays = [_treated(table.column(column.name), column, pseudonyms, known) for column in kept]
    if by_row:
        own = [_plain(table.column(column.name)) for column in kept if _is_name(column)]
        for place, column in enumerate(kept):
            if column.treatment in _PLACES:
                arrays[place] = _own_paths(table.column(column.name), column, own, pseudonyms)
    return pa.table(arrays, names=[column.name for column in kept])


def closed(table: pa.Table, columns: Iterable[Column]) -> pa.Table:
    """Return the columns of `table` that `columns` declares: the schema is closed, whatever came in."""
    return table.select([column.name for column in columns if column.name in table.column_names])


def _identifiers(table: pa.Table, columns: Iterable[Column]) -> pa.Array:
    """Return what names a person in this table, and so may name one in a path too: each value that holds a digit."""
    values = [_distinct(table.column(column.name)) for column in columns if _is_name(column)]
    joined = pa.concat_arrays(values).unique() if values else pa.array([], pa.string())
    # An account called `login` would turn every path of that name into a mark.
    return joined.filter(pc.fill_null(pc.match_substring_regex(joined, r"[0-9@.:]"), fill_value=False))


def _is_name(column: Column) -> bool:
    return column.treatment in _NAMING and column.type in _TEXTS


def _plain(values: pa.ChunkedArray) -> pa.Array:
    text = values.cast(pa.string()).combine_chunks()
    if isinstance(text, pa.ChunkedArray):
        text = text.chunk(0) if text.num_chunks else pa.array([], pa.string())
    return text


def _own_paths(values: pa.ChunkedArray, column: Column, own: list[pa.Array], pseudonyms: Pseudonyms) -> pa.ChunkedArray:
    texts = _plain(values)
    if column.treatment == "url":
        encoded = texts.dictionary_encode()
        texts = without_queries(encoded.dictionary, pseudonyms.mark).take(encoded.indices)
    hidden = scrub_own_paths(texts, pseudonyms.mark, own)
    return pa.chunked_array([hidden.dictionary_encode() if pa.types.is_dictionary(values.type) else hidden])


def _distinct(values: pa.ChunkedArray) -> pa.Array:
    found = values.unique().cast(pa.string())
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _treated(values: pa.ChunkedArray, column: Column, pseudonyms: Pseudonyms, known: pa.Array) -> pa.ChunkedArray:
    replace = _replacement(column, pseudonyms, known)
    if column.treatment == "seal":
        return pa.chunked_array([pa.nulls(len(values), values.type)])
    if replace is None:
        return values
    if not (pa.types.is_dictionary(values.type) or pa.types.is_string(values.type)):
        raise SchemaError(f"column {column.name!r} holds {values.type}, not text", missing=[column.name])
    if pa.types.is_dictionary(values.type):
        return _replaced_codes(values, replace)
    return pa.chunked_array([replace(chunk) for chunk in values.chunks], pa.string())


def _replacement(column: Column, pseudonyms: Pseudonyms, known: pa.Array) -> Replace | None:
    """Return how a column's texts change; None if they don't."""
    treatments: dict[str, Replace] = {
        "ip": lambda texts: pseudonyms.address_array(texts, column.name),
        "token": lambda texts: _each_once(texts, lambda plain: pseudonyms.token_array(plain, column.name)),
        "path": lambda texts: scrub_paths(texts, pseudonyms.mark, known),
        "url": lambda texts: scrub_urls(texts, pseudonyms.mark, known),
        "cut": cut,
        "keep": lambda texts: scrub_texts(texts, pseudonyms.mark),
    }
    if column.treatment == "keep" and not (column.spoofable and column.type in _TEXTS):
        return None
    return treatments.get(column.treatment)


def _each_once(texts: pa.Array, replace: Replace) -> pa.Array:
    encoded = texts.dictionary_encode()
    return replace(encoded.dictionary).take(encoded.indices)


def _replaced_codes(values: pa.ChunkedArray, replace: Replace) -> pa.ChunkedArray:
    """Replace the values of a dictionary that rows hold, each once; no other value is carried along."""
    whole: Any = values.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], values.type)
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    used = np.zeros(len(whole.dictionary) + 1, bool)
    used[codes] = True
    kept = np.flatnonzero(used[:-1])
    fresh = replace(whole.dictionary.take(pa.array(kept)).cast(pa.string())).dictionary_encode()
    new_codes = np.full(len(used), -1, np.int32)
    new_codes[kept] = fresh.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    of_rows = new_codes[np.where(codes < 0, len(used) - 1, codes)]
    return pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array(of_rows, mask=of_rows < 0), fresh.dictionary)])
