"""Arrow columns as arrays of codes and numbers: what the kernel computes on.

Inside the kernel, null is code or number -1: fields are never negative (`fraudlog.sessions.fields`), and one array is
half the work of an array and a mask. No table that leaves the kernel holds such a number.
"""

from __future__ import annotations

import os
import secrets
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "NULL",
    "Text",
    "accelerator",
    "combine",
    "concatenated",
    "dense",
    "gathered",
    "joined",
    "looked_up",
    "repeated",
    "stable_order",
    "text_of",
]


NULL: Final = -1
_WORTH_LOADING: Final = 100_000
_WORTH_CALLING: Final = 4_000
_COUNTED_AT_ONCE: Final = 4
_TOO_WIDE: Final = 1 << 62


@cache
def _compiled() -> Any:  # noqa: ANN401 -- a module, or None
    return import_module("fraudlog.sessions.fast") if find_spec("numba") else None


def accelerator(n_rows: int) -> Any:  # noqa: ANN401 -- as above
    """Return the compiled twins of some loops, or None where numba is not installed or would not pay for its loading.

    ``FRAUDLOG_FAST=0`` in the environment turns them off.
    """
    worth = _WORTH_CALLING if _compiled.cache_info().currsize else _WORTH_LOADING
    return _compiled() if n_rows >= worth and os.environ.get("FRAUDLOG_FAST", "1") != "0" else None


def repeated(value: int, n_rows: int, kind: type[np.integer[Any]] = np.int64) -> NDArray[Any]:
    """Return one number for all rows; it is stored once, so a column that a log lacks costs nothing on its way."""
    return np.broadcast_to(kind(value), n_rows)


def _is_repeated(column: NDArray[Any]) -> bool:
    return column.strides == (0,) and len(column) > 0


def gathered(column: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows of a column; rows must exist."""
    if _is_repeated(column):
        return np.broadcast_to(column[0], len(rows))
    compiled = accelerator(len(rows))
    found: NDArray[Any] = column.take(rows) if compiled is None else compiled.gathered(column, rows)
    return found


def looked_up(of_codes: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Return what stands for each code in a table whose last entry stands for null."""
    if _is_repeated(codes):
        return np.broadcast_to(of_codes[codes[0]], len(codes))
    compiled = accelerator(len(codes))
    found: NDArray[Any] = of_codes[codes] if compiled is None else compiled.looked_up(of_codes, codes)
    return found


def _mark(used: NDArray[np.bool_], codes: NDArray[np.int32]) -> None:
    """Set what stands at each code."""
    compiled = accelerator(len(codes))
    if compiled is None:
        used[codes] = True
    else:
        compiled.mark(used, codes)


def joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return columns one below the other."""
    if all(_is_repeated(column) and column[0] == columns[0][0] for column in columns):
        return np.broadcast_to(columns[0][0], sum(map(len, columns)))
    return np.concatenate(columns)


class Text(NamedTuple):
    """A column of text: a code for each row, -1 for null, and the distinct values."""

    codes: NDArray[np.int32]
    values: pa.StringArray

    def take(self, rows: NDArray[np.int64]) -> Text:
        """Return some rows; values that none of them has are dropped, so that nothing outlives its events."""
        return Text(gathered(self.codes, rows), self.values).compacted()

    def compacted(self) -> Text:
        """Return the same without values that no row has."""
        if not len(self.values):
            return self
        used = np.zeros(len(self.values) + 1, bool)
        _mark(used, self.codes[:1] if _is_repeated(self.codes) else self.codes)
        used[-1] = False
        if used[:-1].all():
            return self
        renumbered = np.cumsum(used, dtype=np.int32) - np.int32(1)
        renumbered[-1] = NULL
        kept = np.flatnonzero(used)
        return Text(looked_up(renumbered, self.codes), self.values.take(pa.array(kept)))

    def mapped(self, values: pa.Array) -> Text:
        """Return the column of another value for each distinct one; several may become the same, or null."""
        encoded = values.dictionary_encode()
        codes = np.append(_codes(encoded), np.int32(NULL))
        return Text(looked_up(codes, self.codes), encoded.dictionary)

    def numbers(self, of_values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a number for each row from a number for each distinct value."""
        return looked_up(np.append(of_values, NULL), self.codes)

    def array(self) -> pa.DictionaryArray:
        """Return it as Arrow stores it."""
        if _is_repeated(self.codes) and self.codes[0] == NULL:
            return pa.nulls(len(self.codes), pa.dictionary(pa.int32(), self.values.type))
        is_null = self.codes == NULL
        indices = pa.array(self.codes, mask=is_null if is_null.any() else None)
        return pa.DictionaryArray.from_arrays(indices, self.values)


def _codes(array: pa.DictionaryArray) -> NDArray[np.int32]:
    indices = array.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int32()), NULL)
    codes: NDArray[np.int32] = indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    return codes


def text_of(column: pa.ChunkedArray | pa.Array) -> Text:
    """Encode a column of text or dictionary type; the values are distinct and each is used."""
    array = column
    if isinstance(array, pa.ChunkedArray):
        if array.num_chunks == 1:
            array = array.chunk(0)
        else:
            if pa.types.is_dictionary(array.type):
                array = array.unify_dictionaries()
            array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        text = Text(_codes(array), array.dictionary.cast(pa.string()))
        if len(text.values) > len(text.codes):
            text = text.compacted()
        text = _distinct(text)
    else:
        encoded = array.cast(pa.string()).dictionary_encode()
        text = Text(_codes(encoded), encoded.dictionary)
    return _repeated_or(text)


def _repeated_or(text: Text) -> Text:
    """Store a column of nulls alone, or of one value without any, as that one."""
    codes = text.codes
    if len(text.values) > 1 or not len(codes) or codes.min() != codes.max():
        return text
    return Text(repeated(int(codes[0]), len(codes), np.int32), text.values.slice(0, 1 + int(codes[0])))


def _distinct(text: Text) -> Text:
    """Merge equal or null values: Arrow promises neither distinct nor non-null ones in a dictionary."""
    encoded = text.values.dictionary_encode()
    if len(encoded.dictionary) == len(text.values):
        return text
    return text.mapped(text.values)


def concatenated(texts: Sequence[Text]) -> Text:
    """Join columns one below the other; the values of the first keep their codes."""
    filled = [text for text in texts if len(text.codes)]
    if len(filled) < 2:
        return filled[0] if filled else texts[0]
    values, codes = filled[0].values, [filled[0].codes]
    for text in filled[1:]:
        place = pc.index_in(text.values, value_set=values)
        is_new = pc.is_null(place).to_numpy(zero_copy_only=False)
        new_codes = np.append(pc.fill_null(place, NULL).to_numpy(), np.int32(NULL))
        new_codes[:-1][is_new] = np.arange(len(values), len(values) + is_new.sum())
        values = pa.concat_arrays([values, text.values.filter(pa.array(is_new))])
        codes.append(looked_up(new_codes, text.codes))
    return Text(joined(codes), values)


def dense(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return codes of integers, numbered in the order they first stand, and the distinct integers."""
    compiled = accelerator(len(numbers))
    if compiled is not None:
        found: tuple[NDArray[np.int32], NDArray[np.int64]] = compiled.dense(numbers, secrets.randbits(63))
        return found
    encoded = pa.array(numbers).dictionary_encode()
    return _codes(encoded), encoded.dictionary.to_numpy(zero_copy_only=False)


def combine(texts: Sequence[Text]) -> tuple[NDArray[np.int32], list[NDArray[np.int32]]]:
    """Return codes of the rows of several columns together, and each column's code for each distinct row."""
    varying = [text for text in texts if not _is_repeated(text.codes)]
    codes, parts = _combined(varying) if varying else (repeated(0, len(texts[0].codes), np.int32), [])
    n_distinct = len(parts[0]) if parts else 1
    found = iter(parts)
    return codes, [
        np.full(n_distinct, text.codes[0], np.int32) if _is_repeated(text.codes) else next(found) for text in texts
    ]


def _combined(texts: Sequence[Text]) -> tuple[NDArray[np.int32], list[NDArray[np.int32]]]:
    """Do what `combine` does: the codes of a row are the digits of one number, made dense where it grows too wide."""
    numbers = np.zeros(len(texts[0].codes), np.int64)
    radices: list[int] = []
    parts: list[NDArray[np.int32]] = []
    for text in texts:
        radix = len(text.values) + 1
        if prod(radices) * radix >= _TOO_WIDE:
            codes, distinct = dense(numbers)
            numbers, parts, radices = codes.astype(np.int64), _digits(distinct, radices, parts), [len(distinct)]
        numbers = numbers * radix + text.codes + 1
        radices.append(radix)
    codes, distinct = dense(numbers)
    return codes, _digits(distinct, radices, parts)


def _digits(numbers: NDArray[np.int64], radices: list[int], parts: list[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    """Take numbers apart; where there are parts already, the first digit says which row of them."""
    digits: list[NDArray[np.int64]] = []
    for radix in reversed(radices):
        digits.insert(0, numbers % radix)
        numbers = numbers // radix
    if parts:
        row = digits.pop(0)
        parts = [part[row] for part in parts]
    return [*parts, *((digit - 1).astype(np.int32) for digit in digits)]


def stable_order(codes: NDArray[np.int32] | NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Return the stable order of codes in ``0 <= code < limit``, by counting 16 bits at a time.

    NumPy sorts 16-bit integers by counting when told to be stable; two such passes take a third of its sort of 32 bits.
    """
    compiled = accelerator(len(codes))
    if compiled is not None and limit <= _COUNTED_AT_ONCE * len(codes):
        order_of: NDArray[np.int64] = compiled.stable_order(codes, limit)
        return order_of
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    shift = 16
    while limit > 1 << shift:
        digit = (codes >> shift & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
        shift += 16
    return order
