"""A log, read: its tables, and what became of its lines."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fraudlog.privacy import marks
from fraudlog.schema import to_pandas

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd
    import pyarrow as pa

__all__ = ["ParsedLog", "Summary"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What became of the lines: ``lines == events + rejected + blank``.

    Attributes
    ----------
    sources : tuple of str
        Files, as the caller named them.
    format : str
        Name of the format; several are joined by commas.
    lines, events, rejected, blank : int
        Numbers of lines. Lines that carry no record by design (directives, a CSV header) count as blank.
    reasons : dict of str to int
        Stable code (`reasons.REASONS`) and number of rejects.
    first, last : datetime or None
        Range of the events' times, UTC.
    truncated : int
        Events of which a value was cut.
    problems : dict of str to str
        Source and what was wrong with it as a whole: a cut archive, a file that is no log.
    dropped : dict of str to int
        Name of a field that no column takes, and the number of events in which it had a value. ``(more)`` is what
        stood behind the last field of a text format, ``(other)`` what has no plain name.
    """

    sources: tuple[str, ...]
    format: str
    lines: int
    events: int
    rejected: int
    blank: int
    reasons: dict[str, int] = field(default_factory=dict)
    first: datetime | None = None
    last: datetime | None = None
    truncated: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def reject_share(self) -> float:
        """Share of the lines that carry something and could not be read, 0 to 1."""
        withheld = self.reasons.get("withheld", 0)
        return (self.rejected - withheld) / max(self.events + self.rejected, 1)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it, times in ISO 8601."""
        plain = asdict(self)
        plain["sources"] = list(self.sources)
        for name in ("first", "last"):
            plain[name] = plain[name].isoformat() if plain[name] is not None else None
        return plain


class ParsedLog:
    """A log, read.

    Attributes
    ----------
    table : pyarrow.Table of shape (n_events, n_columns)
        Events, with the columns of ``schema.EVENTS`` that the log carries; strings that repeat are dictionary encoded.
    rejected_table : pyarrow.Table of shape (n_rejected, 4)
        Source, line number, reason code and bytes of each line that is no event.
    summary : Summary
    """

    def __init__(self, table: pa.Table, rejected: pa.Table, summary: Summary) -> None:
        self.table = table
        self.rejected_table = rejected
        self.summary = summary

    @cached_property
    def events(self) -> pd.DataFrame:
        """The events as pandas sees them; made on first use."""
        events = to_pandas(self.table)
        events.attrs |= marks(self.table)
        return events

    @cached_property
    def rejected(self) -> pd.DataFrame:
        """The rejects as pandas sees them; made on first use."""
        return to_pandas(self.rejected_table)

    def __repr__(self) -> str:
        s = self.summary
        counts = f"{s.events:,} events, {s.rejected:,} rejected, {s.blank:,} blank of {s.lines:,} lines"
        return f"<ParsedLog {s.format}: {counts}>"
