"""The careful path: one line at a time, every rule applied. The fast paths must agree with it, line for line."""

from __future__ import annotations

import csv
import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.reading.client_ip import TrustedProxies
from fraudlog.reading.columns import Chunk, Interners, Reject, rows_to_columns
from fraudlog.reading.dropped import MORE, Dropped, name_tree, unknown_names, values_under
from fraudlog.reading.escapes import decode, undo
from fraudlog.reading.fieldmaps import GENERIC, Field, look_up, reader_of
from fraudlog.reading.framing import LINE_LIMIT
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import FORWARDED, MISSING, READERS, TRUNCATED, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.layout import Layout
    from fraudlog.reading.values import Reader, Row

    _Step = tuple[tuple[str, ...], Reader, Target, bool]

__all__ = [
    "CsvReader",
    "JsonReader",
    "LineReader",
    "NamedValues",
    "Options",
    "Record",
    "TextReader",
    "W3cReader",
    "is_scalar",
    "make_reader",
    "w3c_agent",
]

_CACHED: Final = 65_536
_PLANS: Final = 1024
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
        self.client = lru_cache(maxsize=_CACHED)(options.proxies.client)
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
            if len(self._cache) >= _CACHED:
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
        self.regex = layout.regex()
        self.longest = layout.regex(longest=True) if layout.has_free_bare else None
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

    def left(self, match: re.Match[bytes]) -> Iterator[str]:
        """Yield the names of the values that no column takes."""
        for index, name in self.dropped:
            if match[index + 1] not in _NOTHING:
                yield name
        if self.layout.is_open and self.layout.has_more(match):
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
            match = matcher.regex.fullmatch(line)
            if match is None:
                continue
            if matcher.longest is not None and self._fits_twice(matcher.longest, match, line):
                return "ambiguous"
            row = matcher.fill(match.groups())
            if isinstance(row, dict):
                self._left = matcher.left(match)
                return row
            reason = reason or row
        return reason or _why_not(line)

    @staticmethod
    def _fits_twice(longest: re.Pattern[bytes], match: re.Match[bytes], line: bytes) -> bool:
        other = longest.fullmatch(line)
        return other is None or other.groups() != match.groups()

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
        match = _prefix_regex(prefix).match(line)
        if match is not None:
            found[: count - 1] = match.groups()
            rest = line[match.end() :]
            if last.close and last.close not in rest:
                found[count - 1] = re.sub(rb"\\(?:x.?)?\Z", b"", rest)
            break
    return found


def _prefix_regex(layout: Layout) -> re.Pattern[bytes]:
    pattern = layout.regex().pattern.removesuffix(rb"\s*")
    return re.compile(pattern, re.DOTALL)


def _why_not(line: bytes) -> str:
    quotes = sum(found == b'"' for found in _QUOTED.findall(line))
    return "open_quote" if quotes % 2 else "no_match"


class Record:
    """A field map made ready."""

    def __init__(self, fields: Sequence[Field], zone: tzinfo, *, is_lenient: bool) -> None:
        self.steps = [
            (
                field.sources,
                READERS[reader_of(field)],
                Target(field.column, field.unit, zone, field.values),
                is_lenient and field.column not in ("timestamp", "client_ip"),
            )
            for field in fields
        ]
        self._plans: dict[tuple[str, ...], list[_Step]] = {}

    def plan(self, names: tuple[str, ...]) -> list[_Step]:
        """Return the steps that a record with these names can take; records of one program have few sets of names."""
        found = self._plans.get(names)
        if found is None:
            found = [
                (kept, reader, target, may_fail)
                for sources, reader, target, may_fail in self.steps
                if (kept := tuple(source for source in sources if _may_have(names, source)))
            ]
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[names] = found
        return found

    def fill(self, find: Callable[[str], Any], names: tuple[str, ...]) -> Row | str:
        """Read the values that `find` returns into a row, or return the reason why not."""
        row: Row = {}
        try:
            for sources, reader, target, may_fail in self.plan(names):
                if target.column in row:
                    continue
                value = next((found for name in sources if is_scalar(found := find(name))), None)
                if value is None:
                    continue
                try:
                    reader(value, row, target)
                except BadValueError:
                    if not may_fail:
                        raise
        except BadValueError as error:
            return error.code
        return row


def _may_have(names: tuple[str, ...], source: str) -> bool:
    """Tell whether a record with these top-level names can hold a source."""
    return source in names or all(part.split(".")[0] in names or part in names for part in source.split(" + "))


def is_scalar(value: Any) -> bool:  # noqa: ANN401 -- whatever JSON holds
    """Tell a value from nothing, a list and an object."""
    return isinstance(value, (str, int, float)) and value not in ("", "-")


class JsonReader(LineReader):
    """One JSON object a line."""

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.fields = options.fields if options.fields is not None else format_.fields
        self.record = Record(self.fields, options.zone, is_lenient=self.fields is GENERIC)
        self.known = name_tree(name for field in self.fields for name in field.sources)

    def read_line(self, line: bytes) -> Row | str | None:
        """Parse the object and look up each field."""
        try:
            record = json.loads(decode(line) if not line.isascii() else line)
        except (ValueError, RecursionError):
            return "not_json"
        if not isinstance(record, dict):
            return "not_object"
        self._left = unknown_names(record, self.known)
        return self.record.fill(lambda name: look_up(record, name), tuple(record))


class NamedValues(LineReader):
    """Values by position whose names a header line gives."""

    names: dict[str, int] | None = None
    n_columns = 0
    unknown: Sequence[tuple[int, str]] = ()

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.fields = options.fields if options.fields is not None else format_.fields
        self.record = Record(self.fields, options.zone, is_lenient=self.fields is GENERIC)

    def _name(self, names: Sequence[str]) -> None:
        """Take the names of a header; of a name that stands there twice the last counts."""
        named = {name.strip(): index for index, name in enumerate(names)}
        if named == self.names and self.n_columns == len(names):
            return
        self.names, self.n_columns = named, len(names)
        known = name_tree(name for field in self.fields for name in field.sources)
        self.unknown = [(index, name) for name, index in self.names.items() if name not in known]

    def _fill(self, values: Sequence[str]) -> Row | str:
        names = self.names
        if names is None:
            return "no_header"
        if len(values) != self.n_columns:
            return "wrong_columns"
        self._left = values_under(self.unknown, values)
        return self.record.fill(lambda name: _positional(values, names, name), tuple(names))


def _positional(values: Sequence[str], names: Mapping[str, int], name: str) -> str | None:
    position = names.get(name)
    if position is not None:
        return values[position]
    if " + " not in name:
        return None
    parts = [_positional(values, names, part) for part in name.split(" + ")]
    return None if any(part in (None, "", "-") for part in parts) else " ".join(map(str, parts))


class W3cReader(NamedValues):
    """W3C extended logs: directives begin with ``#``, and ``#Fields`` may change at any line."""

    def start(self) -> None:
        """Forget the names: each file brings its own."""
        self.names = None

    def read_line(self, line: bytes) -> Row | str | None:
        """Split at tabs, or at blanks where there are none."""
        if line.startswith(b"#"):
            if line[:8].lower() == b"#fields:":
                self._name(decode(line[8:]).split())
            return None
        values = line.rstrip(b"\t \r").split(b"\t") if b"\t" in line else line.rstrip(b" \r").split(b" ")
        texts = [decode(value) for value in values]
        names = self.names
        agent = names.get("cs(User-Agent)") if names else None
        if agent is not None and agent < len(values):
            texts[agent] = w3c_agent(values[agent], self.format.escapes)
        return self._fill(texts)


def w3c_agent(raw: bytes, style: str) -> str:
    """IIS writes a blank as ``+``; CloudFront encodes once, and once encoded twice."""
    if style != "url":
        return decode(undo(raw, "plus"))
    once = undo(raw, "url")
    return decode(undo(once, "url") if b"%20" in once else once)


class CsvReader(NamedValues):
    """CSV with a header line; one record a line."""

    delimiter = ","

    def start(self) -> None:
        """Forget the header: each file brings its own."""
        self.names = None

    def read_line(self, line: bytes) -> Row | str | None:
        """Read the header, then values."""
        if self.names is None:
            text = decode(line)
            self.delimiter = max(",;\t|", key=text.count)
            try:
                values = next(csv.reader([text], delimiter=self.delimiter), [])
            except csv.Error:
                return "no_header"
            self._name(values)
            return None
        try:
            values = next(csv.reader([decode(line)], delimiter=self.delimiter, strict=True), [])
        except csv.Error:
            return "open_quote"
        return self._fill(values)


_READERS: Final[dict[str, type[LineReader]]] = {
    "text": TextReader,
    "json": JsonReader,
    "w3c": W3cReader,
    "csv": CsvReader,
}


def make_reader(format_: Format, options: Options) -> LineReader:
    """Return the careful reader of a format."""
    return _READERS[format_.family](format_, options)
