"""The sheet with compiled reducers: one pass over the rows each, no array as long as the batch in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.sessions import scans
from fraudlog.sessions.columns import NULL, dense
from fraudlog.sessions.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.sessions.kernel import Kernel
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.plan import Scan

__all__ = ["FastSheet"]

_ALL: Final = np.zeros(0, bool)
_DENSE_FROM: Final = 1 << 22
_LEAST_STEP: Final = np.iinfo(np.int64).min + 1


class FastSheet(Sheet):
    """What `Sheet` is, where numba is installed."""

    def __init__(self, kernel: Kernel, ends: NDArray[np.int64]) -> None:
        self.reducers = kernel.compiled
        self._holds: dict[Condition, NDArray[np.bool_]] = {}
        self._codes: dict[Reference, tuple[NDArray[np.int32], int]] = {}
        self._grouped: dict[tuple[Any, Any], list[NDArray[np.int64]]] = {}
        super().__init__(kernel, ends)

    def counts(self) -> Sequence[NDArray[np.int64]]:
        """Return the counts of all lanes at the wanted rows."""
        words = list(self.lane_words())
        if not words:
            return []
        table = np.stack(words, axis=1)
        found: NDArray[np.int64] = self.reducers.counts(self.kernel.masks[0], table, self.firsts, self.ends)
        return list(found.T.copy())

    def _where(self, scan: Scan) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Return the rows' masks, and for which of these a scan's condition holds; none where it has no condition."""
        masks = self.kernel.masks[0]
        if scan.where is None:
            return masks, _ALL
        if scan.where not in self._holds:
            self._holds[scan.where] = self.kernel.holding(scan.where)[0]
        return masks, self._holds[scan.where]

    def _reduced(self, scan: Scan) -> NDArray[np.int64]:
        if scan.reference is None:
            raise TypeError(scan.kind)
        least = _LEAST_STEP if scan.reference.is_step else 0
        found: NDArray[np.int64] = self.reducers.reduced(
            scan.kind, self.kernel.number(scan.reference), least, *self._where(scan), self.firsts, self.ends
        )
        return found

    _sum = _sumsq = _min = _max = _first = _last = _reduced

    def _coded(self, scan: Scan) -> tuple[NDArray[np.int32], int]:
        """Return a small code for each row's value, -1 where it has none, and how many there can be."""
        reference = scan.reference
        if reference is None:
            raise TypeError(scan.kind)
        if reference not in self._codes:
            self._codes[reference] = self._small_codes(reference)
        return self._codes[reference]

    def _small_codes(self, reference: Reference) -> tuple[NDArray[np.int32], int]:
        codes = self.kernel.codes(reference)
        if not reference.field.is_number:
            return codes, len(self.kernel.facts.text[reference.field.name].values)
        limit = int(codes.max()) + 1
        if not reference.is_step and limit <= _DENSE_FROM:
            return codes.astype(np.int32), limit
        small, distinct = dense(codes)
        return np.where(self.kernel.known(reference), small, np.int32(NULL)), len(distinct)

    def _of_values(self, scan: Scan) -> list[NDArray[np.int64]]:
        """Return number of values, sum of their weights, and the count of the commonest."""
        key = (scan.reference, scan.where)
        if key not in self._grouped:
            steps = np.diff(scans.weights(self.kernel.definition.max_events))
            found = self.reducers.grouped(*self._coded(scan), steps, *self._where(scan), self.firsts, self.ends)
            self._grouped[key] = list(found)
        return self._grouped[key]

    def _distinct(self, scan: Scan) -> NDArray[np.int64]:
        return self._of_values(scan)[0]

    def _weights(self, scan: Scan) -> NDArray[np.int64]:
        return self._of_values(scan)[1]

    def _top(self, scan: Scan) -> NDArray[np.int64]:
        return self._of_values(scan)[2]

    def _switches(self, scan: Scan) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.reducers.switches(
            self._coded(scan)[0], *self._where(scan), self.firsts, self.ends
        )
        return found

    def _burst(self, scan: Scan) -> NDArray[np.int64]:
        window_us = scan.window_s * 1_000_000
        found: NDArray[np.int64] = self.reducers.bursts(
            self.kernel.facts.time, window_us, *self._where(scan), self.firsts, self.ends
        )
        return found
