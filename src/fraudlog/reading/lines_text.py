"""The careful path for lines built by a template: the common log and its relatives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from fraudlog.reading.dropped import MORE
from fraudlog.reading.escapes import decode, undo
from fraudlog.reading.lines import CACHED, LineReader
from fraudlog.reading.loose import make_matcher
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import MISSING, READERS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from fraudlog.reading.formats import Format
    from fraudlog.reading.layout import Layout
    from fraudlog.reading.lines import Options
    from fraudlog.reading.loose import Fit
    from fraudlog.reading.values import Row

__all__ = ["TextReader"]


class _Part:
    """One value of a layout, made ready: undo escapes, decode, read; repeated bytes are read once."""

    __slots__ = ("_cache", "_reader", "_style", "_target")

    def __init__(self, reader: str, target: Target, style: str, *, is_cached: bool) -> None:
        self._reader, self._target, self._style = READERS[reader], target, style
        self._cache: dict[bytes, Row] | None = {} if is_cached else None

    def read(self, raw: bytes, row: Row) -> None:
        """Read `raw` into `row`."""
        if self._cache is None:
            self._reader(decode(undo(raw, self._style)), row, self._target)
            return
        known = self._cache.get(raw)
        if known is None:
            known = {}
            self._reader(decode(undo(raw, self._style)), known, self._target)
            if len(self._cache) >= CACHED:
                self._cache.clear()
            self._cache[raw] = known
        row.update(known)


_CACHEABLE: Final = frozenset({"text", "address", "address_port", "status", "forwarded", "protocol", "clf_time"})
_NOTHING: Final = (None, *(text.encode() for text in MISSING))
_QUOTED: Final = re.compile(rb'\\.|"', re.DOTALL)


class _Matcher:
    """A layout made ready."""

    def __init__(self, layout: Layout, zone: tzinfo) -> None:
        self.layout = layout
        self.match = make_matcher(layout).match
        self.parts: list[_Part | None] = []
        self.dropped: list[tuple[int, str]] = []
        for index, part in enumerate(layout.parts):
            variable = part.variable
            if not variable.reader:
                self.parts.append(None)
                self.dropped.append((index, part.name))
                continue
            target = Target(variable.column, variable.unit, zone)
            style = layout.escapes
            self.parts.append(_Part(variable.reader, target, style, is_cached=variable.reader in _CACHEABLE))

    def fill(self, groups: Sequence[bytes | None]) -> Row | str:
        """Read matched values into a row, or return the reason why not."""
        row: Row = {}
        try:
            for part, raw in zip(self.parts, groups, strict=True):
                if part is not None and raw is not None:
                    part.read(raw, row)
        except BadValueError as error:
            return error.code
        return row

    def left(self, line: bytes, fit: Fit) -> Iterator[str]:
        """Yield the names of the values that no column takes."""
        for index, name in self.dropped:
            if fit.groups[index] not in _NOTHING:
                yield name
        if self.layout.is_open and self.layout.has_more(line, fit.end):
            yield MORE


class TextReader(LineReader):
    """Lines built by a template: the common log and its relatives."""

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.matchers = [_Matcher(layout, options.zone) for layout in format_.layouts]
        self.columns.update(dict.fromkeys(sorted(set().union(*(layout.columns for layout in format_.layouts)))))
        if not self.believes_headers and not self._has_client():
            self.columns.pop("client_ip", None)

    def _has_client(self) -> bool:
        return any(part.variable.column == "client_ip" for m in self.matchers for part in m.layout.parts)

    def read_line(self, line: bytes) -> Row | str | None:
        """Try the layouts in turn, always in one order: what a line says must not hang on the lines before it."""
        reason = ""
        for matcher in self.matchers:
            fit = matcher.match(line)
            if fit is None:
                continue
            if isinstance(fit, str):
                return fit
            row = matcher.fill(fit.groups)
            if isinstance(row, dict):
                self._left = matcher.left(line, fit)
                return row
            reason = reason or row
        return reason or _why_not(line)

    def read_cut_line(self, line: bytes) -> Row | str | None:
        """Read the values before the cut; the one in which the cut lies is kept as far as it goes."""
        for matcher in self.matchers:
            groups = _cut_groups(matcher.layout, line)
            row = matcher.fill(groups)
            if isinstance(row, dict) and "timestamp" in row:
                return row
        return "line_too_long"


def _cut_groups(layout: Layout, line: bytes) -> list[bytes | None]:
    """Match as many values of `layout` as `line` begins with."""
    found: list[bytes | None] = [None] * len(layout.parts)
    for count in range(len(layout.parts), 0, -1):
        head, last = layout.parts[: count - 1], layout.parts[count - 1]
        prefix = type(layout)(head, last.literal, layout.escapes) if head else None
        if prefix is None:
            break
        fit = make_matcher(prefix, is_whole=False).first(line)
        if fit is not None:
            found[: count - 1] = fit.groups
            rest = line[fit.end + len(head[-1].close) + len(prefix.tail) :]
            if last.close and last.close not in rest:
                found[count - 1] = re.sub(rb"\\(?:x.?)?\Z", b"", rest)
            break
    return found


def _why_not(line: bytes) -> str:
    quotes = sum(found == b'"' for found in _QUOTED.findall(line))
    return "open_quote" if quotes % 2 else "no_match"
