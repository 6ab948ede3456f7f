"""The careful path for values that have names: JSON objects, W3C extended logs and CSV."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Final

from fraudlog.reading.dropped import name_tree, unknown_names, values_under
from fraudlog.reading.escapes import decode, undo
from fraudlog.reading.fieldmaps import GENERIC, look_up, reader_of
from fraudlog.reading.lines import LineReader
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import READERS, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

    from fraudlog.reading.fieldmaps import Field
    from fraudlog.reading.formats import Format
    from fraudlog.reading.lines import Options
    from fraudlog.reading.values import Reader, Row

    _Step = tuple[tuple[str, ...], Reader, Target, bool]

__all__ = ["CsvReader", "JsonReader", "NamedValues", "Record", "W3cReader", "is_scalar", "w3c_agent"]

_PLANS: Final = 1024


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
