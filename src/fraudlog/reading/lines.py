"""The careful path: one line at a time, every rule applied. The fast paths must agree with it, line for line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from fraudlog.reading.client_ip import TrustedProxies
from fraudlog.reading.columns import Chunk, Interners, Reject, rows_to_columns
from fraudlog.reading.dropped import Dropped
from fraudlog.reading.framing import LINE_LIMIT
from fraudlog.reading.values import FORWARDED, TRUNCATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fraudlog.reading.fieldmaps import Field
    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.values import Row

__all__ = ["CACHED", "LineReader", "Options"]

CACHED: Final = 65_536
"""Distinct values a reader remembers."""
_INTERNED_BYTES: Final = 96 << 20
"""When the distinct texts take more than this, numbering begins anew: a client that changes its agent with each
request must not fill the memory."""
_EMPTY: Final = b" \t\r\v\f\0"


@dataclass(frozen=True)
class Options:
    """What the caller says about a log besides its format."""

    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    zone: tzinfo = UTC
    fields: tuple[Field, ...] | None = None

    @property
    def has_utc(self) -> bool:
        """Whether a time without zone is in UTC."""
        return self.zone is UTC


class LineReader(ABC):
    """Reads the lines of one format.

    A line gives a row, a reason code, or None where it carries no record (a header or directive).
    """

    def __init__(self, format_: Format, options: Options) -> None:
        self.format = format_
        self.options = options
        self.interners = Interners()
        self.columns: dict[str, None] = {}
        self.dropped = Dropped()
        self._left: Iterable[str] = ()
        self.client = lru_cache(maxsize=CACHED)(options.proxies.client)
        self.believes_headers = bool(options.proxies.networks) or format_.appends_peer

    @abstractmethod
    def read_line(self, line: bytes) -> Row | str | None:
        """Read one line, without its end and no longer than the limit."""

    def read_cut_line(self, line: bytes) -> Row | str | None:
        """Read what is left of a line that was longer than the limit."""
        row = self.read_line(line)
        return "line_too_long" if isinstance(row, str) else row

    def start(self) -> None:  # noqa: B027 -- most formats carry nothing from file to file
        """Begin a new source."""

    def go_on_from(self, other: LineReader) -> None:  # noqa: B027 -- as above
        """Take over what `other` learnt from the lines before."""

    def read(self, line: bytes) -> Row | str | None:
        """Read one line of any length."""
        line = line.lstrip(b"\0").removesuffix(b"\r")
        if not line.strip(_EMPTY):
            return None
        if len(line) <= LINE_LIMIT:
            row = self._settle(self.read_line(line))
        else:
            row = self._settle(self.read_cut_line(line[:LINE_LIMIT]))
            if isinstance(row, dict):
                row[TRUNCATED] = True
        if isinstance(row, dict):
            for name in self._left:
                self.dropped.add(name)
        self._left = ()
        return row

    def take_dropped(self) -> dict[str, int]:
        """Return what was dropped since the last call, by name."""
        taken, self.dropped = self.dropped, Dropped()
        return taken

    def _settle(self, row: Row | str | None) -> Row | str | None:
        """Find the client behind proxies and check that there is a time."""
        if not isinstance(row, dict):
            return row
        header = row.pop(FORWARDED, None)
        row.pop("_unknown", None)
        if self.believes_headers:
            peer = row.pop("client_ip", None)
            client = self.client(peer, header)
            if client is not None:
                row["client_ip"] = client
        return row if "timestamp" in row else "missing_time"

    def read_block(self, block: Block) -> Chunk:
        """Read the lines of a block."""
        rows: list[Row] = []
        numbers: list[int] = []
        rejects: list[Reject] = []
        lines = block.lines()
        self.begin_block(block)
        for number, line in enumerate(lines, start=block.first_line):
            row = self.read(line)
            if isinstance(row, dict):
                rows.append(row)
                numbers.append(number)
            elif row is not None:
                rejects.append(Reject(number, row, line[:LINE_LIMIT]))
        self.note_columns(rows)
        return Chunk(
            block.source,
            np.array(numbers, np.int64),
            rows_to_columns(rows, self.columns, self.interners),
            self.interners,
            rejects,
            len(lines),
            len(lines) - len(rows) - len(rejects),
            self.take_dropped(),
        )

    def begin_block(self, block: Block) -> None:
        """Forget what must not be carried into this block."""
        if block.first_line == 1:
            self.start()
        if self.interners.n_bytes > _INTERNED_BYTES:
            self.interners = Interners()

    def note_columns(self, rows: Sequence[Row]) -> None:
        """Remember which columns the log has; a column once seen stays."""
        for row in rows:
            if not row.keys() <= self.columns.keys():
                self.columns.update(dict.fromkeys(row))
