"""All conditions of a table at once: one comparison of arrays, for a million sessions or for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fraudlog.detecting.evidence.rule import Evidence

__all__ = ["CompiledEvidence"]


class CompiledEvidence:
    """A table of evidence over columns of known order.

    Parameters
    ----------
    rows : sequence of Evidence
    columns : sequence of str
        Names of the columns of the matrices that `fired` takes.

    Examples
    --------
    >>> from fraudlog.detecting.evidence import Evidence, when
    >>> row = Evidence("MANY", "many", ("OAT-011",), 0.3, when("requests >= 9", "pages <= 2"))
    >>> CompiledEvidence([row], ["requests", "pages"]).fired(np.array([[9.0, 2.0], [9.0, 3.0], [9.0, np.nan]]))
    array([[ True],
           [False],
           [False]])
    """

    def __init__(self, rows: Sequence[Evidence], columns: Sequence[str]) -> None:
        self.n_rows = len(rows)
        place = {name: i for i, name in enumerate(columns)}
        able = [i for i, row in enumerate(rows) if all(c.feature in place for c in row.conditions)]
        conditions = [condition for i in able for condition in rows[i].conditions]
        sizes = [len(rows[i].conditions) for i in able]
        self._able = np.array(able, np.intp)
        self._starts = np.cumsum([0, *sizes[:-1]]) if sizes else np.array([], np.intp)
        self._columns = np.array([place[condition.feature] for condition in conditions], np.intp)
        self._signs = np.array([1.0 if condition.operator == ">=" else -1.0 for condition in conditions])
        self._limits = self._signs * np.array([condition.threshold for condition in conditions])

    def fired(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Say which rows speak: all conditions hold, none is on a null.

        Parameters
        ----------
        values : ndarray of float64, shape (n_sessions, n_columns)

        Returns
        -------
        ndarray of bool, shape (n_sessions, n_rows)
        """
        found = np.zeros((len(values), self.n_rows), bool)
        if len(self._able):
            held = values[:, self._columns] * self._signs >= self._limits
            found[:, self._able] = np.logical_and.reduceat(held, self._starts, axis=1)
        return found

    def fired_one(self, values: NDArray[np.float64]) -> list[int]:
        """Return the places of the rows that speak of one session, shape (n_columns,), at half the cost."""
        if not len(self._able):
            return []
        held = values.take(self._columns) * self._signs >= self._limits
        speaks = np.logical_and.reduceat(held, self._starts)
        places: list[int] = self._able[speaks].tolist()
        return places
