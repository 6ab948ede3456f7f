"""Tables for notebooks: nobody stands alone in what leaves the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.privacy.purposes import allowed_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from fraudlog.schema import Column

__all__ = ["LEAST_K", "group_sizes", "release"]

LEAST_K: Final = 10
_NAMING: Final = ("ip", "token")
_IDS: Final = ("session_id", "source", "line_number", "first_line", "raw")
_NETWORKS: Final = ("asn",)
_CLIENTS: Final = ("client_ip", "session_id")
_OTHER: Final = "other"


def release(
    table: pa.Table,
    columns: Iterable[Column],
    *,
    quasi: Sequence[str],
    k: int = LEAST_K,
    purpose: str = "improve.system",
    reason: str = "",
    audit: Callable[..., object] | None = None,
) -> pa.Table:
    """Return a table in which every combination of `quasi` is that of at least `k` clients.

    Identifiers and places in logs are left out, and what else tells people apart (texts, networks, what a device says
    of itself) unless `quasi` names it; times are cut to the day. The values of a combination that too few clients have
    become ``other``, one column after the other from the right; rows of still too few are left out.

    Parameters
    ----------
    table : pyarrow.Table of shape (n_rows, n_columns)
        Shielded.
    columns : iterable of Column
        Its declaration.
    quasi : sequence of str
        Columns by which somebody could be recognised together: what you group by, most wanted first.
    k : int, default 10
        Fewest clients of a combination: addresses where the table has them, else sessions, else rows. Less than 10
        needs a `reason` and a trail that keeps it.
    purpose : str, default "improve.system"
        What the table is for; columns that may not be read for it are left out.
    reason : str
        Why fewer than 10 are needed.
    audit : callable, optional
        Takes what is to be remembered of the release by name (``by``, ``k``, ``reason``, ``rows``); if it raises,
        nothing is released. `fraudlog.store.Store.release` gives that of the store.

    Raises
    ------
    PrivacyError
        If `k` is below 10 without a reason or a trail, or data is not collected for `purpose`.
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
    if k < LEAST_K and audit is None:
        raise PrivacyError(f"the reason of a table with k = {k} must be kept: use Store.release, or give audit=")
    declared = [column for column in allowed_columns(columns, purpose) if column.name in table.column_names]
    allowed = [column for column in declared if _may_leave(column)]
    known = {column.name for column in allowed}
    if unknown := [name for name in quasi if name not in known]:
        raise ConfigError(f"{', '.join(unknown)} can't be released; {', '.join(sorted(known))} can", parameter="quasi")
    kept = [column for column in allowed if column.name in quasi or not _tells_apart(column)]
    shown = pa.table({column.name: _coarse(table[column.name], column) for column in kept})
    times = [column.name for column in kept if column.type == "timestamp"]
    found = _grouped(shown, _clients(table), [*quasi, *(name for name in times if name not in quasi)], k)
    if audit is not None:
        audit(by=list(quasi), k=k, reason=reason.strip(), rows=len(found))
    return found


def group_sizes(table: pa.Table, names: Sequence[str], clients: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Return for each row how many rows share its values in `names`; with `clients`, how many of these."""
    codes = np.zeros(len(table), np.int64)
    for name in names:
        codes = _joined(codes, _coded(table[name]))
    if clients is None:
        sizes: NDArray[np.int64] = np.bincount(codes)[codes] if len(codes) else codes
        return sizes
    _, firsts = np.unique(_joined(codes, clients), return_index=True)
    distinct: NDArray[np.int64] = np.bincount(codes[firsts])[codes] if len(codes) else codes
    return distinct


def _joined(codes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers that are equal where both are."""
    _, joined = np.unique(codes * (int(others.max(initial=0)) + 1) + others, return_inverse=True)
    numbers: NDArray[np.int64] = joined.astype(np.int64)
    return numbers


def _coded(values: pa.ChunkedArray) -> NDArray[np.int64]:
    plain = values.combine_chunks()
    if pa.types.is_dictionary(plain.type):
        plain = plain.cast(plain.type.value_type)
    encoded = pc.dictionary_encode(plain, null_encoding="encode")
    codes: NDArray[np.int64] = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _clients(table: pa.Table) -> NDArray[np.int64]:
    """Return a number for the client of each row: somebody who came often is one and the same."""
    for name in _CLIENTS:
        if name in table.column_names and table[name].null_count < len(table):
            return _coded(table[name])
    return np.arange(len(table))


def _may_leave(column: Column) -> bool:
    return column.treatment == "keep" and column.name not in _IDS and column.type not in ("binary", "reasons")


def _tells_apart(column: Column) -> bool:
    """Say whether a column singles people out by itself or with others: texts, networks, what is of a person."""
    return column.type in ("string", "category") or bool(column.category) or column.name in _NETWORKS


def _coarse(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    if column.type == "timestamp":
        return pc.floor_temporal(values, unit="day")
    return values.cast(pa.string()) if column.type in ("string", "category") else values


def _grouped(table: pa.Table, clients: NDArray[np.int64], quasi: Sequence[str], k: int) -> pa.Table:
    """Generalise what is rare from the right, then leave out what still is."""
    for name in reversed([name for name in quasi if pa.types.is_string(table.schema.field(name).type)][1:]):
        rare = pa.array(group_sizes(table, quasi, clients) < k)
        masked = pc.if_else(rare, pa.scalar(_OTHER), table[name])
        table = table.set_column(table.column_names.index(name), name, masked)
    return table.filter(pa.array(group_sizes(table, quasi, clients) >= k))
