"""The fast path for W3C extended logs and CSV: compiled code cuts the lines, each distinct value is read once."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.reading import kernel_fields
from fraudlog.reading.dropped import Dropped
from fraudlog.reading.escapes import decode
from fraudlog.reading.fast_values import FastValues, Found
from fraudlog.reading.lines_named import CsvReader, NamedValues, W3cReader, w3c_agent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.columns import Chunk
    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.lines import LineReader, Options

__all__ = ["FastCsvReader", "FastFieldsReader", "FastW3cReader"]

_AGENT: Final = "cs(User-Agent)"
_MOST_BITS: Final = 62


class FastFieldsReader(FastValues, NamedValues):
    """As the careful reader of the family; a block in which the header changes goes through that one whole."""

    careful: NamedValues
    unused: NDArray[np.int64]

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.mapped: object = None
        self.wanted = np.zeros((0, 2), np.int64)
        self.begin = 0

    def read_block(self, block: Block) -> Chunk:
        """Read the lines of a block."""
        if block.first_line == 1:
            self.careful.start()
        self.n_skipped, self.begin = self._read_header(block)
        names = self.careful.names
        if names is None or self.begin < 0 or (names is not self.mapped and not self._map()):
            self.careful.columns.update(self.columns)
            chunk = self.careful.read_block(block)
            self.columns.update(self.careful.columns)
            return chunk
        return self.read_loaded(block)

    @abstractmethod
    def _read_header(self, block: Block) -> tuple[int, int]:
        """Read the lines a block begins with that carry no record; return their number and bytes.

        The bytes are -1 if lines like that also stand further down.
        """

    def _map(self) -> bool:
        """Find the columns of the wanted values; false if the kernel can't."""
        names, careful = self.careful.names or {}, self.careful
        self.mapped = None
        active, wanted = [], []
        for at, (sources, _, _, _) in enumerate(self.record.steps):
            for source in sources:
                parts = [source] if source in names else source.split(" + ")
                places = [names[part] for part in parts if part in names]
                if len(places) < len(parts):
                    continue
                if len(places) > 1 and np.any(np.diff(places) != 1):
                    return False
                active.append((at, source))
                wanted.append((places[0], places[-1]))
        if careful.n_columns > kernel_fields.MOST_COLUMNS or len(careful.unknown) > _MOST_BITS or not active:
            return False
        self.active, self.wanted = active, np.array(wanted, np.int64)
        self.unused = np.array([index for index, _ in careful.unknown], np.int64)
        self.mapped = careful.names
        self.renew()
        return True

    def find(self, n_lines: int, size: int) -> Found:
        """Let the kernel read what was loaded."""
        found, texts, progress = Found(len(self.active), n_lines), self.texts, np.array([self.n_skipped, self.begin])
        found.state[: self.n_skipped] = 1
        places = np.zeros((self.careful.n_columns, 2), np.int64)
        while not kernel_fields.read_fields(
            self.buffer, size, self.stop, places, self.wanted, self.unused, texts.seed, found.codes, found.bounds,
            found.state, found.dropped, texts.hashes, texts.ids, texts.entries, texts.arena, texts.recent, texts.used,
            progress,
        ):  # fmt: skip
            texts.grow()
        return found

    @property
    def stop(self) -> int:
        """The delimiter, or 0 where tabs or blanks delimit."""
        return 0

    def plain(self, raw: bytes, slot: int) -> Any:  # noqa: ANN401 -- see `FastValues`
        """Return a value as the careful path has it."""
        first, last = self.wanted[slot]
        if first != last:
            return decode(raw.replace(b"\t", b" "))
        return decode(raw)

    def count_dropped(self, found: Found, doubtful: list[bytes]) -> dict[str, int]:  # noqa: ARG002 -- bits say it
        """Count the values without a column."""
        dropped = Dropped(self.careful.take_dropped())
        bits = found.dropped[found.state == 0]
        if bits.any():
            for bit, (_, name) in enumerate(self.careful.unknown):
                count = int(np.count_nonzero(bits & (1 << bit)))
                if count:
                    dropped.add(name, count)
        return dropped

    def go_on_from(self, other: LineReader) -> None:
        """Read on with the header that another reader saw."""
        if isinstance(other, NamedValues):
            self.careful = other


class FastW3cReader(FastFieldsReader, W3cReader):
    """As `W3cReader`."""

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.careful = W3cReader(format_, options)

    def _read_header(self, block: Block) -> tuple[int, int]:
        data, at, count = block.data, 0, 0
        while data.startswith(b"#", at) and (end := data.find(b"\n", at)) >= 0:
            self.careful.read(data[at:end])
            at, count = end + 1, count + 1
        inside = data.find(b"\n#", at)
        while inside >= 0:
            if data[inside + 1 : inside + 9].lower() == b"#fields:":
                return count, -1
            inside = data.find(b"\n#", inside + 1)
        return count, -1 if data.startswith(b"#", at) else at

    def plain(self, raw: bytes, slot: int) -> Any:  # noqa: ANN401 -- see `FastValues`
        """Return a value as the careful path has it; agents are escaped in their own way."""
        if self.active[slot][1] == _AGENT:
            return w3c_agent(raw, self.format.escapes)
        return super().plain(raw, slot)


class FastCsvReader(FastFieldsReader, CsvReader):
    """As `CsvReader`."""

    careful: CsvReader

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.careful = CsvReader(format_, options)

    def _read_header(self, block: Block) -> tuple[int, int]:
        data, at, count = block.data, 0, 0
        while self.careful.names is None and (end := data.find(b"\n", at)) >= 0:
            if isinstance(self.careful.read(data[at:end]), str):  # it names nothing: a reject, for the careful path
                return count, -1
            at, count = end + 1, count + 1
        return count, at

    @property
    def stop(self) -> int:
        """The delimiter."""
        return ord(self.careful.delimiter)
