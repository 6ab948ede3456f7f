"""Labels of your own, from a CSV: which sessions, lines, accounts or addresses were abusive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from fraudlog.errors import ConfigError, InputError, SchemaError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

__all__ = ["LABEL_KEYS", "label_sessions", "read_labels"]

LABEL_KEYS: Final = ("session_id", "user", "client_ip", "ip_prefix", "user_agent", "profile")
"""Columns of sessions that labels can be given for, the narrowest first."""

_YES: Final = frozenset({"1", "true", "yes", "y", "fraud", "abuse", "abusive", "bad", "bot", "attack", "malicious"})
_NO: Final = frozenset({"0", "false", "no", "n", "ok", "benign", "good", "human", "normal", "legitimate"})


def read_labels(path: str | os.PathLike[str], columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Read labels from a CSV file.

    Parameters
    ----------
    path : path-like
        With a header: ``label`` and at least one of `LABEL_KEYS`; ``since`` and ``until`` narrow a row to a time.
    columns : mapping of str to str, optional
        What the file calls them: ``{"label": "is_fraud", "client_ip": "addr"}``.

    Returns
    -------
    DataFrame of shape (n_labels, n_columns)
        ``label`` as bool (0/1, yes/no, fraud/benign, bot/human ...), the keys as text, times in UTC.

    Raises
    ------
    InputError
        If the file can't be read, or a label is neither yes nor no; the message names the row.
    SchemaError
        If it has no label, or no key.
    """
    name = Path(path).name
    try:
        frame = pd.read_csv(path, dtype=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{name}: can't be read as CSV ({type(error).__name__})", source=name) from None
    frame = frame.rename(columns={theirs: ours for ours, theirs in (columns or {}).items()})
    keys = [key for key in LABEL_KEYS if key in frame.columns]
    if "label" not in frame.columns or not keys:
        raise SchemaError(
            f"{name} has {', '.join(map(str, frame.columns))}; it needs label and one of {', '.join(LABEL_KEYS)}: "
            "say what it calls them by a column map",
            missing=["label"],
        )
    times = {when: _times(frame[when], name) for when in ("since", "until") if when in frame.columns}
    return frame[["label", *keys]].assign(label=_truth(frame["label"], name), **times)


def label_sessions(sessions: pd.DataFrame, labels: pd.DataFrame) -> pd.Series:
    """Say of each session what the labels say of it.

    Parameters
    ----------
    sessions : DataFrame of shape (n_sessions, n_columns)
        As from `fraudlog.build_sessions`.
    labels : DataFrame of shape (n_labels, n_columns)
        As from `read_labels`. A row speaks of the sessions that agree with all its keys and start within its time.

    Returns
    -------
    Series of shape (n_sessions,)
        Nullable booleans; null where no row speaks. Where rows differ, the narrower key wins, then "abusive".

    Examples
    --------
    >>> sessions = pd.DataFrame({"client_ip": ["203.0.113.9", "203.0.113.8", "203.0.113.7"]})
    >>> labels = pd.DataFrame({"client_ip": ["203.0.113.9", "203.0.113.8"], "label": [True, False]})
    >>> label_sessions(sessions, labels).tolist()
    [True, False, <NA>]
    """
    found = pd.Series(pd.NA, index=sessions.index, dtype="boolean")
    keys = [key for key in LABEL_KEYS if key in labels.columns]
    if missing := [key for key in keys if key not in sessions.columns]:
        raise SchemaError(f"the sessions have no {', '.join(missing)} to find labels by", missing=missing)
    said = labels[keys].notna()
    for pattern in sorted({tuple(row) for row in said.to_numpy()}, key=_narrowest(keys)):
        used = [key for key, is_used in zip(keys, pattern, strict=True) if is_used]
        if used:
            rows = labels[(said.to_numpy() == pattern).all(axis=1)]
            found = found.fillna(_joined(sessions, rows, used))
    return found


def _narrowest(keys: list[str]) -> Callable[[tuple[bool, ...]], list[bool]]:
    """Return what to sort the keys in use by: a narrower key decides before a wider one."""
    return lambda pattern: [not pattern[keys.index(key)] for key in keys]


def _joined(sessions: pd.DataFrame, rows: pd.DataFrame, keys: list[str]) -> pd.Series:
    known = sessions[[*keys, *(["start"] if "start" in sessions else [])]].reset_index(names="place")
    both = known.astype(dict.fromkeys(keys, "str")).merge(rows.astype(dict.fromkeys(keys, "str")), on=keys)
    for when, is_in in (("since", pd.Series.ge), ("until", pd.Series.lt)):
        if when in both.columns:
            both = both[is_in(both["start"], both[when]) | both[when].isna()]
    return both.groupby("place")["label"].max().reindex(sessions.index).astype("boolean")


def _truth(column: pd.Series, name: str) -> pd.Series:
    words = column.astype("str").str.strip().str.lower()
    unclear = ~words.isin(_YES | _NO)
    if unclear.any():
        raise InputError(
            f"{name} row {int(unclear.to_numpy().argmax()) + 1}: label is neither yes nor no; write 1 or 0", source=name
        )
    return words.isin(_YES)


def _times(column: pd.Series, name: str) -> pd.Series:
    try:
        return pd.to_datetime(column, utc=True, format="ISO8601")
    except ValueError:
        raise ConfigError(
            f"{name}: {column.name} holds a value that is no time in ISO 8601", parameter=str(column.name)
        ) from None
