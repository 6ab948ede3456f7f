"""A scan for labels that say what a column says already: such a set measures nothing but its own making.

Published sets of logs have labels that are functions of one field (an address, a time of day, a port), and any method
scores 0.99 on them. What tells classes apart all alone is shown here before a figure is believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from fraudlog.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LEAK_AT", "scan_leaks"]

LEAK_AT: Final = 0.98
"""AUROC of one column alone from which it is called a leak."""

_ORDER: Final = {"start", "end", "timestamp", "first_line", "line_number", "session_id", "piece", "row"}
_WHOSE: Final = {"client_ip", "ip_prefix", "user", "session_token", "source", "host", "device_id"}
_BINS: Final = 16


def scan_leaks(sessions: pd.DataFrame, labels: ArrayLike, *, at: float = LEAK_AT) -> pd.DataFrame:
    """Look for columns that give the labels away, each alone.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        Every column is looked at: values, where values are missing, times, ids, the order of the rows.
    labels : array-like of bool, shape (n_sessions,)
    at : float, default 0.98
        AUROC from which a column is a leak.

    Returns
    -------
    DataFrame of shape (n_columns + 1, 5)
        ``column``; ``auroc`` of its values, the better of their order and of the labels of the same value in the other
        half; ``missing_auroc`` of whether it is null; ``information``, the share of the label's entropy that it takes
        away (0..1); ``leak``: null, "value", "missing", "order" (an id, a time, the order of rows) or "entity"
        (whose the session is). Worst first.

    Raises
    ------
    InputError
        If only one class is there.

    Examples
    --------
    >>> sessions = pd.DataFrame({"requests": [1, 2, 1, 2] * 10, "made": [0, 0, 1, 1] * 10})
    >>> scan_leaks(sessions, [0, 0, 1, 1] * 10).iloc[0][["column", "leak"]].tolist()
    ['made', 'value']
    """
    positive = np.asarray(labels).astype(bool)
    if not 0 < positive.sum() < len(positive):
        raise InputError("both classes are needed: at least one abusive and one benign session")
    looked_at = {str(name): sessions[name] for name in sessions.columns if not _is_list(sessions[name])}
    rows = [_row(name, column, positive, at) for name, column in looked_at.items()]
    rows.append(_row("row", pd.Series(np.arange(len(positive))), positive, at))
    found = pd.DataFrame(rows, columns=["column", "auroc", "missing_auroc", "information", "leak"])
    worst = found[["auroc", "missing_auroc"]].max(axis=1)
    return found.iloc[np.argsort(-worst.to_numpy(), kind="stable")].reset_index(drop=True)


_Row = tuple[str, float, float, float, str | None]


def _row(name: str, column: pd.Series, positive: NDArray[np.bool_], at: float) -> _Row:
    missing = column.isna().to_numpy(bool)
    values, groups = _numbers(column, positive)
    auroc = max(_turned(positive, values), _turned(positive, _by_the_other_half(groups, positive)))
    missing_auroc = _turned(positive, missing.astype(float))
    information = _information(groups, positive)
    leak = None
    if auroc >= at and missing_auroc < at:
        leak = "order" if name in _ORDER else "entity" if name in _WHOSE else "value"
    elif missing_auroc >= at:
        leak = "missing"
    return name, auroc, missing_auroc, information, leak


def _numbers(column: pd.Series, positive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return a column as numbers that can be ranked, and as groups that can be counted; text by its groups alone."""
    if pd.api.types.is_datetime64_any_dtype(column):
        column = column.astype("int64")
    if pd.api.types.is_numeric_dtype(column):
        values = column.astype("Float64").to_numpy(np.float64, na_value=np.nan)
        known = values[~np.isnan(values)]
        ranks = np.asarray(pd.Series(values).rank(pct=True).fillna(0), np.float64)
        return np.where(np.isnan(values), np.median(known) if len(known) else 0.0, values), _groups(ranks)
    # A missing text is a value like others here: factorize gives it -1.
    return np.zeros(len(positive)), pd.factorize(column.astype("object"))[0].astype(np.int64) + 1


def _groups(ranks: NDArray[np.float64]) -> NDArray[np.int64]:
    groups: NDArray[np.int64] = np.ceil(ranks * _BINS).astype(np.int64)
    return groups


def _by_the_other_half(codes: NDArray[np.int64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return, for each value, the share of positives of the same value in the other half; unseen, that of all."""
    half = np.random.default_rng(0).permutation(len(codes)) % 2
    table = _counted(codes * 2 + half, positive).reshape(-1, 2, 2)[:, ::-1]  # by value, by the half it is not in
    sizes = table.sum(axis=2)
    shares = np.divide(table[..., 1], sizes, out=np.full(sizes.shape, positive.mean()), where=sizes > 0)
    result: NDArray[np.float64] = shares[codes, half]
    return result


def _information(codes: NDArray[np.int64], positive: NDArray[np.bool_]) -> float:
    """Return the share of the label's entropy that the groups take away (Theil's uncertainty coefficient)."""
    table = _counted(codes, positive)
    table = table[table.sum(axis=1) > 0]
    return max(0.0, 1 - _entropy(table) / _entropy(table.sum(axis=0, keepdims=True)))


def _entropy(table: NDArray[np.int64]) -> float:
    """Return the entropy of the label that is left once the row is known, times the number of all."""
    shares = table / table.sum(axis=1, keepdims=True)
    return -float((table * np.log2(np.where(table > 0, shares, 1))).sum())


def _counted(codes: NDArray[np.int64], positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count negatives and positives of each code; as many codes as make pairs."""
    n_codes = (int(codes.max()) // 2 + 1) * 2
    return np.bincount(codes * 2 + positive, minlength=n_codes * 2).reshape(n_codes, 2)


def _turned(positive: NDArray[np.bool_], values: NDArray[np.float64]) -> float:
    """Return the AUROC of one column, turned to be at least 0.5, by its ranks (Mann and Whitney)."""
    n_positive = int(positive.sum())
    wins = float(pd.Series(values).rank().to_numpy()[positive].sum()) - n_positive * (n_positive + 1) / 2
    auroc = wins / (n_positive * (len(positive) - n_positive))
    return max(auroc, 1 - auroc)


def _is_list(column: pd.Series) -> bool:
    known = column.dropna()
    return len(known) > 0 and isinstance(known.iloc[0], (list, dict, np.ndarray))
