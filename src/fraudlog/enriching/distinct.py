"""Facts of repeating strings, each distinct value computed once.

A log holds few agents and languages, and each stands in many rows. A `FactTable` looks at the values of the dictionary
only, remembers what it found between calls, and gathers the result for the rows by index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt


__all__ = ["CATEGORY", "FactTable", "distinct_rows", "encodable", "encode_once", "gather"]

CATEGORY: Final = pa.dictionary(pa.int32(), pa.string())
_DEFAULT_LIMIT: Final = 200_000
_LONGEST_REMEMBERED: Final = 4096


def encodable(text: str) -> str:
    """Return `text` with lone surrogates, which no UTF-8 engine takes, replaced by question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def encode_once(values: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    """Return `values` as one dictionary array whose dictionary holds nothing that no row uses.

    >>> encode_once(pa.chunked_array([["a", "b"], ["a", None]])).dictionary.to_pylist()
    ['a', 'b']
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.unify_dictionaries() if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        values = values.combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # no chunk at all
            values = values.chunk(0) if values.num_chunks else pa.array([], CATEGORY)
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    return _without_unused(encoded)


def _without_unused(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    size = len(encoded.dictionary)
    indices = encoded.indices
    if not size:
        return encoded
    used = np.zeros(size, dtype=bool)
    used[pc.drop_null(indices).to_numpy(zero_copy_only=False)] = True
    if used.all():
        return encoded
    renumbered = pa.array(np.cumsum(used, dtype=np.int32) - 1)
    return pa.DictionaryArray.from_arrays(renumbered.take(indices), encoded.dictionary.filter(pa.array(used)))


def distinct_rows(columns: Sequence[pa.DictionaryArray]) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Return the first row of each distinct combination of `columns`, and for each row the number of its combination.

    >>> columns = [encode_once(pa.array(list("aba"))), encode_once(pa.array(list("xxx")))]
    >>> first, combination = distinct_rows(columns)
    >>> first.tolist(), combination.to_pylist()
    ([0, 1], [0, 1, 0])
    """
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        # renumbered after each column, so that the product of two sizes never overflows
        wide = codes * (len(column.dictionary) + 1) + pc.fill_null(column.indices, -1).to_numpy() + 1
        encoded = pa.array(wide).dictionary_encode()
        codes = encoded.indices.to_numpy().astype(np.int64)
    first = np.full(int(codes.max()) + 1 if len(codes) else 0, -1, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return first, pa.array(codes.astype(np.int32))


def gather(values: pa.Array, indices: pa.Array) -> pa.Array:
    """Return ``values[indices]``, null where an index is null; strings come out dictionary encoded."""
    if pa.types.is_string(values.type):
        values = values.dictionary_encode()
    return values.take(indices)


class FactTable:
    """Remembers what was found about each distinct string.

    Parameters
    ----------
    compute : callable
        Takes one string, returns a tuple of facts; called once for each distinct value.
    columns : sequence of (str, DataType)
        Name and Arrow type of each fact.
    limit : int, default 200,000
        Most values remembered, each of at most 4,096 characters. When it is reached the older half is forgotten, so
        that a client that sends a new agent with every request costs time but no memory.

    Attributes
    ----------
    computed : int
        How often `compute` was called: the number of distinct values seen, as long as nothing was forgotten.
    """

    def __init__(
        self,
        compute: Callable[[str], tuple[Any, ...]],
        columns: Sequence[tuple[str, pa.DataType]],
        *,
        limit: int = _DEFAULT_LIMIT,
    ) -> None:
        self.computed = 0
        self.columns = tuple(columns)
        self._compute = compute
        self._limit = limit
        self._known: dict[str, tuple[Any, ...]] = {}

    @property
    def filled(self) -> tuple[int, int]:
        """How many values are remembered, and how many may be."""
        return len(self._known), self._limit

    def one(self, value: str | None) -> tuple[Any, ...]:
        """Return the facts of one value; all None for None."""
        if value is None:
            return (None,) * len(self.columns)
        facts = self._known.get(value)
        if facts is None:
            facts = self._compute(value)
            self.computed += 1
            if len(value) <= _LONGEST_REMEMBERED:
                self._remember(value, facts)
        return facts

    def _remember(self, value: str, facts: tuple[Any, ...]) -> None:
        if len(self._known) >= self._limit:
            self._forget_older_half()
        self._known[value] = facts

    def lookup(self, values: pa.Array | pa.ChunkedArray) -> dict[str, pa.Array]:
        """Return one array a fact, each as long as `values`."""
        encoded = encode_once(values)
        rows = [self.one(value) for value in encoded.dictionary.to_pylist()]
        transposed = zip(*rows, strict=True) if rows else ((),) * len(self.columns)
        return {
            name: gather(pa.array(facts, kind), encoded.indices)
            for (name, kind), facts in zip(self.columns, transposed, strict=True)
        }

    def _forget_older_half(self) -> None:
        for value in list(self._known)[: max(1, self._limit // 2)]:
            self._known.pop(value, None)  # another thread may be at it too
