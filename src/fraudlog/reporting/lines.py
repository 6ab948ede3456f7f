"""Which lines of a log stand behind each reason of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.detecting import feature_of
from fraudlog.schema import require_columns
from fraudlog.sessions import build_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

__all__ = ["line_ranges", "reason_lines"]

_MOST: Final = 20


def reason_lines(
    reasons: Sequence[Mapping[str, Any]], events: pd.DataFrame, *, most: int = _MOST
) -> list[list[tuple[str, int]]]:
    """Return the lines to look at for each reason of one session.

    The feature behind a reason is computed of every event as of a session of its own: those where it is above 0 are
    the lines that count towards it. Where that tells none apart, as with pace and mix, it is the whole session.

    Parameters
    ----------
    reasons : sequence of mapping
        As from ``Detector.score``, of one session.
    events : DataFrame of shape (n_events, n_columns)
        The events of that session; needs ``source`` and ``line_number``.
    most : int, default 20
        Most lines for a reason, the first ones.

    Returns
    -------
    list of list of (str, int)
        Source and line number, for each reason in the order given.

    Raises
    ------
    SchemaError
        If a column is missing.

    Examples
    --------
    >>> import fraudlog as fl
    >>> log = fl.read_log("data/sample/access.log.gz")
    >>> scores = fl.Detector().fit(fl.build_sessions(log.table)).score(fl.build_sessions(log.table))
    >>> top = scores.loc[scores.risk.idxmax()]
    >>> events = fl.sessionize(log.table)
    >>> own = events[events.session_id == top.session_id]
    >>> all(1 <= len(lines) <= len(own) for lines in reason_lines(top.reasons, own))
    True
    """
    require_columns(events, ["source", "line_number"], table="events")
    own = events.drop(columns="session_id", errors="ignore").sort_values(["timestamp", "line_number"])
    single = build_sessions(own.assign(session_token=[f"line {place}" for place in range(len(own))]))
    lines = [(str(source), int(number)) for source, number in zip(own["source"], own["line_number"], strict=True)]
    place_of = {line: place for place, line in enumerate(lines)}
    order = [place_of[str(s), int(n)] for s, n in zip(single["source"], single["first_line"], strict=True)]
    result = []
    for reason in reasons:
        feature, counts = feature_of(reason["code"]), np.zeros(len(own), bool)
        if feature in single.columns:
            counts[order] = single[feature].to_numpy(np.float64) > 0
        chosen = np.flatnonzero(counts) if counts.any() else np.arange(len(own))
        result.append([lines[place] for place in chosen[:most]])
    return result


def line_ranges(lines: Sequence[tuple[str, int]]) -> str:
    """Return line numbers as a person writes them; files are named where there are several.

    >>> line_ranges([("a.log", 3), ("a.log", 4), ("a.log", 9)])
    'lines 3-4, 9'
    >>> line_ranges([("a.log", 3), ("a.log", 4), ("a.log", 5), ("a.log", 9), ("b.log", 1)])
    'a.log: 3-5, 9; b.log: 1'
    """
    by_source: dict[str, list[int]] = {}
    for source, number in lines:
        by_source.setdefault(source, []).append(number)
    if len(by_source) == 1:
        return f"lines {_ranges(sorted(next(iter(by_source.values()))))}"
    return "; ".join(f"{source}: {_ranges(sorted(numbers))}" for source, numbers in by_source.items())


def _ranges(numbers: Sequence[int]) -> str:
    starts = [number for number in numbers if number - 1 not in numbers]
    ends = [number for number in numbers if number + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
