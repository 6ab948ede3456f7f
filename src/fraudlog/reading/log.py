"""`read_log`: a log file into a table of events and a table of rejects, with every line accounted for."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fraudlog.errors import ConfigError, FormatError
from fraudlog.reading.formats import FORMATS, LogFormat, detect_format
from fraudlog.reading.lines import parse_line
from fraudlog.reading.sources import read_lines
from fraudlog.schema import EVENTS, REJECTED, arrow_schema, to_pandas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import pandas as pd

__all__ = ["LogSummary", "ParsedLog", "read_log"]

_HEAD_LINES = 200


@dataclass(frozen=True)
class LogSummary:
    """Where every line of a log went: ``lines == events + rejected + blank``."""

    sources: tuple[str, ...]
    format: str
    lines: int
    events: int
    rejected: int
    blank: int
    reasons: dict[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain JSON-ready values."""
        times = {"first": self.first and self.first.isoformat(), "last": self.last and self.last.isoformat()}
        return asdict(self) | {"sources": list(self.sources)} | times


@dataclass(frozen=True)
class ParsedLog:
    """What a log held.

    Attributes
    ----------
    table : pyarrow.Table of shape (n_events, n_columns)
        The events, strings dictionary-encoded, with the columns of `fraudlog.schema.EVENTS` that the format carries.
    rejected_table : pyarrow.Table of shape (n_rejected, 4)
        The lines that are no events, with a reason each.
    summary : LogSummary
        Where every line went.
    """

    table: pa.Table
    rejected_table: pa.Table
    summary: LogSummary

    @cached_property
    def events(self) -> pd.DataFrame:
        """The events as a frame."""
        return to_pandas(self.table)

    @cached_property
    def rejected(self) -> pd.DataFrame:
        """The rejected lines as a frame."""
        return to_pandas(self.rejected_table)


def read_log(path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], format: str = "auto") -> ParsedLog:  # noqa: A002 -- the word users know
    r"""Read one or more access logs.

    Parameters
    ----------
    path : path or sequence of paths
        Plain or gzip files, told apart by content.
    format : str, default "auto"
        Name of a row of `fraudlog.reading.FORMATS`, or "auto" to detect it from the first lines.

    Returns
    -------
    ParsedLog
        Its ``events``, ``rejected`` and ``summary``; no line is lost.

    Raises
    ------
    InputError
        If a file can't be opened.
    FormatError
        If no known format fits.
    ConfigError
        If `format` is not a known name.

    Examples
    --------
    >>> from pathlib import Path; from tempfile import mkdtemp
    >>> log = Path(mkdtemp(), "access.log")
    >>> _ = log.write_text('::1 - - [17/May/2015:10:05:03 +0000] "GET /a?b=1 HTTP/1.1" 200 12\nnonsense\n')
    >>> parsed = read_log(log)
    >>> parsed.events[["client_ip", "path", "status"]].values.tolist()
    [['::1', '/a', 200]]
    >>> parsed.rejected[["line_number", "reason"]].values.tolist()
    [[2, 'no_match']]
    """
    if format != "auto" and format not in {row.name for row in FORMATS}:
        known = ", ".join(row.name for row in FORMATS)
        raise ConfigError(f"format {format!r} is not known; use auto, {known}", parameter="format")
    paths = [Path(path)] if isinstance(path, (str, os.PathLike)) else [Path(one) for one in path]
    events: list[dict[str, object]] = []
    rejected: list[dict[str, object]] = []
    names: list[str] = []
    blank = 0
    for one in paths:
        raw = list(read_lines(one))
        form = _format_of(one, raw, format)
        names.append(form.name)
        blank += _parse(one, raw, form, events, rejected)
    return _parsed(paths, names, events, rejected, blank)


def _format_of(path: Path, raw: list[bytes], name: str) -> LogFormat:
    if name != "auto":
        return next(row for row in FORMATS if row.name == name)
    found = detect_format([line for line in raw[:_HEAD_LINES] if line.strip()])
    if found is None:
        known = ", ".join(row.name for row in FORMATS)
        raise FormatError(f"{path}: is no access log of a known format ({known})", source=path)
    return found


def _parse(
    path: Path,
    raw: Iterable[bytes],
    form: LogFormat,
    events: list[dict[str, object]],
    rejected: list[dict[str, object]],
) -> int:
    blank = 0
    for number, line in enumerate(raw, start=1):
        if not line.strip():
            blank += 1
            continue
        place = {"source": str(path), "line_number": number}
        result = parse_line(line, form)
        if isinstance(result, str):
            rejected.append(place | {"reason": result, "raw": line})
        else:
            events.append(result | place)
    return blank


def _parsed(
    paths: Sequence[Path],
    names: Sequence[str],
    events: list[dict[str, object]],
    rejected: list[dict[str, object]],
    blank: int,
) -> ParsedLog:
    carried = {name for event in events for name in event} | {"timestamp", "client_ip", "source", "line_number"}
    schema = arrow_schema(column for column in EVENTS if column.name in carried)
    times = [event["timestamp"] for event in events]
    summary = LogSummary(
        sources=tuple(str(path) for path in paths),
        format=", ".join(dict.fromkeys(names)),
        lines=len(events) + len(rejected) + blank,
        events=len(events),
        rejected=len(rejected),
        blank=blank,
        reasons=dict(Counter(str(row["reason"]) for row in rejected)),
        first=min(times, default=None),  # type: ignore[type-var, arg-type]
        last=max(times, default=None),  # type: ignore[type-var, arg-type]
    )
    return ParsedLog(
        pa.Table.from_pylist(events, schema=schema),
        pa.Table.from_pylist(rejected, schema=arrow_schema(REJECTED)),
        summary,
    )
