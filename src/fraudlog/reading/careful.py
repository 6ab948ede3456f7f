"""Which careful reader a family of formats has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fraudlog.reading.lines_named import CsvReader, JsonReader, W3cReader
from fraudlog.reading.lines_text import TextReader

if TYPE_CHECKING:
    from fraudlog.reading.formats import Format
    from fraudlog.reading.lines import LineReader, Options

__all__ = ["make_reader"]

_READERS: Final[dict[str, type[LineReader]]] = {
    "text": TextReader,
    "json": JsonReader,
    "w3c": W3cReader,
    "csv": CsvReader,
}


def make_reader(format_: Format, options: Options) -> LineReader:
    """Return the careful reader of a format."""
    return _READERS[format_.family](format_, options)
