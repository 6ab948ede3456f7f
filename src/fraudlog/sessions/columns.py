"""Arrow columns as arrays of codes and numbers: what the kernel computes on.

Inside the kernel, null is code or number -1: fields are never negative (`fraudlog.sessions.fields`), and one array is
half the work of an array and a mask. No table that leaves the kernel holds such a number.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["NULL", "Text", "accelerator", "combine", "concatenated", "dense", "stable_order", "text_of"]


NULL: Final = -1
_WORTH_COMPILING: Final = 100_000
_COUNTED_AT_ONCE: Final = 4


@cache
def _compiled() -> Any:  # noqa: ANN401 -- a module, or None
    return import_module("fraudlog.sessions.fast") if find_spec("numba") else None


def accelerator(n_rows: int) -> Any:  # noqa: ANN401 -- as above
    """Return the compiled twins of some loops, or None where numba is not installed or would not pay for its loading.

    ``FRAUDLOG_FAST=0`` in the environment turns them off.
    """
    return _compiled() if n_rows >= _WORTH_COMPILING and os.environ.get("FRAUDLOG_FAST", "1") != "0" else None


class Text(NamedTuple):
    """A column of text: a code for each row, -1 for null, and the distinct values."""

    codes: NDArray[np.int32]
    values: pa.StringArray

    def take(self, rows: NDArray[np.int64]) -> Text:
        """Return some rows; values that none of them has are dropped, so that nothing outlives its events."""
        return Text(self.codes.take(rows), self.values).compacted()

    def compacted(self) -> Text:
        """Return the same without values that no row has."""
        if not len(self.values):
            return self
        used = np.zeros(len(self.values) + 1, bool)
        used[self.codes] = True
        used[-1] = False
        if used.sum() == len(self.values):
            return self
        renumbered = np.cumsum(used, dtype=np.int32) - np.int32(1)
        renumbered[-1] = NULL
        kept = np.flatnonzero(used)
        return Text(renumbered[self.codes], self.values.take(pa.array(kept)))

    def mapped(self, values: pa.Array) -> Text:
        """Return the column of another value for each distinct one; several may become the same, or null."""
        encoded = values.dictionary_encode()
        codes = np.append(_codes(encoded), np.int32(NULL))
        return Text(codes[self.codes], encoded.dictionary)

    def numbers(self, of_values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a number for each row from a number for each distinct value."""
        return np.append(of_values, NULL)[self.codes]

    def array(self) -> pa.DictionaryArray:
        """Return it as Arrow stores it."""
        return pa.DictionaryArray.from_arrays(pa.array(self.codes, mask=self.codes == NULL), self.values)


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
        if pa.types.is_dictionary(array.type):
            array = array.unify_dictionaries()
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        text = Text(_codes(array), array.dictionary.cast(pa.string()))
        if len(text.values) > len(text.codes):
            text = text.compacted()
        return _distinct(text)
    encoded = array.cast(pa.string()).dictionary_encode()
    return Text(_codes(encoded), encoded.dictionary)


def _distinct(text: Text) -> Text:
    """Merge equal or null values: Arrow promises neither distinct nor non-null ones in a dictionary."""
    encoded = text.values.dictionary_encode()
    if len(encoded.dictionary) == len(text.values):
        return text
    return text.mapped(text.values)


def concatenated(texts: Sequence[Text]) -> Text:
    """Join columns one below the other."""
    filled = [text for text in texts if len(text.codes)]
    if len(filled) < 2:
        return filled[0] if filled else texts[0]
    chunks = pa.chunked_array([text.array() for text in filled]).unify_dictionaries()
    codes = np.concatenate([_codes(chunk) for chunk in chunks.chunks])
    return Text(codes, chunks.chunk(0).dictionary)


def dense(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return codes of integers, numbered in the order they first stand, and the distinct integers."""
    encoded = pa.array(numbers).dictionary_encode()
    return _codes(encoded), encoded.dictionary.to_numpy(zero_copy_only=False)


def combine(texts: Sequence[Text]) -> tuple[NDArray[np.int32], list[NDArray[np.int32]]]:
    """Return codes of the rows of several columns together, and each column's code for each distinct row."""
    combined = np.zeros(len(texts[0].codes), np.int64)
    parts: list[NDArray[np.int32]] = []
    for text in texts:
        radix = len(text.values) + 1
        codes, distinct = dense(combined * radix + (text.codes.astype(np.int64) + 1))
        parts = [part[distinct // radix] for part in parts]
        parts.append((distinct % radix - 1).astype(np.int32))
        combined = codes.astype(np.int64)
    return combined.astype(np.int32), parts


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
