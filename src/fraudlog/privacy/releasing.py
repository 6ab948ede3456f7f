"""Tables for notebooks: nobody stands alone in what leaves the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.privacy.purposes import allowed_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fraudlog.schema import Column

__all__ = ["LEAST_K", "group_sizes", "release"]

LEAST_K: Final = 10
_NAMING: Final = ("ip", "token")
_IDS: Final = ("session_id", "source", "line_number", "first_line", "raw")
_OTHER: Final = "other"


def release(
    table: pa.Table,
    columns: Iterable[Column],
    *,
    quasi: Sequence[str],
    k: int = LEAST_K,
    purpose: str = "improve.system",
    reason: str = "",
) -> pa.Table:
    """Return a table in which every combination of `quasi` stands in at least `k` rows.

    Identifiers and places in logs are left out, times are cut to the day. The values of a combination that too few rows
    have become ``other``, one column after the other from the right; rows that are still too few are left out.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_rows, n_columns)
        Shielded.
    columns : iterable of Column
        Its declaration.
    quasi : sequence of str
        Columns by which somebody could be recognised together: what you group by, most wanted first. Texts that are
        not among them are left out.
    k : int, default 10
        Fewest rows of a combination. Less than 10 needs a `reason`.
    purpose : str, default "improve.system"
        What the table is for; columns that may not be read for it are left out.
    reason : str
        Why fewer than 10 are needed; goes into the audit trail.

    Raises
    ------
    PrivacyError
        If `k` is below 10 without a reason, or data is not collected for `purpose`.
    ConfigError
        If `quasi` names a column that is not there or may not be released.

    Examples
    --------
    >>> from fraudlog.schema import DERIVED
    >>> table = pa.table({"browser": ["Firefox"] * 12 + ["Lynx"], "os": ["Linux"] * 13})
    >>> found = release(table, DERIVED, quasi=["os", "browser"])
    >>> found.group_by(["os", "browser"]).aggregate([([], "count_all")]).to_pylist()
    [{'os': 'Linux', 'browser': 'Firefox', 'count_all': 12}]
    """
    if k < 1 or (k < LEAST_K and not reason.strip()):
        raise PrivacyError(
            f"a table with k = {k} is released only for a purpose and with a reason; {LEAST_K} needs none"
        )
    declared = [column for column in allowed_columns(columns, purpose) if column.name in table.column_names]
    allowed = [column for column in declared if _may_leave(column)]
    known = {column.name for column in allowed}
    if unknown := [name for name in quasi if name not in known]:
        raise ConfigError(f"{', '.join(unknown)} can't be released; {', '.join(sorted(known))} can", parameter="quasi")
    kept = [column for column in allowed if column.name in quasi or column.type not in ("string", "category")]
    shown = pa.table({column.name: _coarse(table[column.name], column) for column in kept})
    times = [column.name for column in kept if column.type == "timestamp"]
    return _grouped(shown, [*quasi, *(name for name in times if name not in quasi)], k)


def group_sizes(table: pa.Table, names: Sequence[str]) -> NDArray[np.int64]:
    """Return for each row how many rows share its values in `names`."""
    if not names:
        return np.full(len(table), len(table))
    codes = np.zeros(len(table), np.int64)
    for name in names:
        column = table[name].combine_chunks()
        own = pc.dictionary_encode(column, null_encoding="encode").indices.to_numpy(zero_copy_only=False)
        _, codes = np.unique(codes * (int(own.max(initial=0)) + 1) + own, return_inverse=True)
    sizes: NDArray[np.int64] = np.bincount(codes)[codes] if len(codes) else codes
    return sizes


def _may_leave(column: Column) -> bool:
    return column.treatment == "keep" and column.name not in _IDS and column.type not in ("binary", "reasons")


def _coarse(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    if column.type == "timestamp":
        return pc.floor_temporal(values, unit="day")
    return values.cast(pa.string()) if column.type in ("string", "category") else values


def _grouped(table: pa.Table, quasi: Sequence[str], k: int) -> pa.Table:
    """Generalise what is rare from the right, then leave out what still is."""
    for name in reversed([name for name in quasi if pa.types.is_string(table.schema.field(name).type)][1:]):
        rare = pa.array(group_sizes(table, quasi) < k)
        masked = pc.if_else(rare, pa.scalar(_OTHER), table[name])
        table = table.set_column(table.column_names.index(name), name, masked)
    return table.filter(pa.array(group_sizes(table, quasi) >= k))
