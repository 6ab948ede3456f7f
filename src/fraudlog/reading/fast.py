"""The fast path for text formats: compiled code reads whole blocks, the careful path the lines it is not sure of."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from fraudlog.reading import kernel, kernel_bytes, kernel_strings
from fraudlog.reading.columns import Chunk, Interners, Reject, join_clients
from fraudlog.reading.dropped import MORE, Dropped
from fraudlog.reading.fast_program import Program, Slot
from fraudlog.reading.framing import LINE_LIMIT
from fraudlog.reading.lines_text import TextReader
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import FORWARDED, TRUNCATED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.lines import Options
    from fraudlog.reading.values import Row

__all__ = ["Assembly", "FastTextReader", "Texts"]

_CAREFUL: Final = -2
_TABLE: Final = 1 << 16
_ARENA: Final = 4 << 20
_MOST_TEXTS: Final = 1 << 20
_MOST_BYTES: Final = 96 << 20


class Texts:
    """The table of strings, and what each became."""

    def __init__(self, n_slots: int) -> None:
        self.seed = np.uint64(secrets.randbits(64) | 1)
        self.hashes = np.zeros(_TABLE, np.uint64)
        self.ids = np.full(_TABLE, -1, np.int32)
        self.entries = np.full((_TABLE // 2 + 1, 3), -1, np.int64)
        self.arena = np.zeros(_ARENA, np.uint8)
        self.used = np.zeros(2, np.int64)
        self.recent = np.zeros(n_slots, np.int64)
        self.codes = np.zeros(_TABLE // 2 + 1, np.int32)
        self.n_decoded = 0
        self.n_slots = n_slots

    def grow(self) -> None:
        """Double what is full."""
        if int(self.used[0]) * 2 >= self.ids.size:
            old_ids, old_hashes = self.ids, self.hashes
            self.hashes = np.zeros(old_ids.size * 2, np.uint64)
            self.ids = np.full(old_ids.size * 2, -1, np.int32)
            kernel_strings.rehash(old_hashes, old_ids, self.hashes, self.ids)
            self.entries = np.vstack([self.entries, np.zeros_like(self.entries)])
            self.codes = np.concatenate([self.codes, np.zeros_like(self.codes)])
        else:
            self.arena = np.concatenate([self.arena, np.zeros_like(self.arena)])

    @property
    def is_full(self) -> bool:
        """Whether it is time to begin anew."""
        return int(self.used[0]) > _MOST_TEXTS or int(self.used[1]) > _MOST_BYTES

    def decode(self, slots: list[Slot], interners: Interners) -> None:
        """Read the strings entered since the last call with the careful readers."""
        first, last = self.n_decoded, int(self.used[0])
        if first == last:
            return
        start = int(self.entries[first, 0])
        fresh = self.arena[start : int(self.used[1])].tobytes()
        rows = self.entries[first:last].tolist()
        self.codes[first:last] = [
            _code(fresh[at - start : at - start + length], slots[slot], interners) for at, length, slot in rows
        ]
        self.n_decoded = last


def _code(raw: bytes, slot: Slot, interners: Interners) -> int:
    """Return the number of a raw string's value in its column, -1 for null, -2 for the careful path."""
    if slot.pattern is not None and slot.pattern.fullmatch(raw) is None:
        return _CAREFUL
    row: Row = {}
    try:
        slot.read(raw, row)
    except BadValueError:
        return _CAREFUL
    if TRUNCATED in row:
        return _CAREFUL
    value = row.get(slot.column)
    return interners[slot.column].code(None if value is None else str(value))


class FastTextReader(TextReader):
    """As `TextReader`, for a format whose first layout the kernel can read."""

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.layout = self.matchers[0].layout
        readers = {part.variable.reader for part in self.layout.parts}
        self.has_urls = "request_url" in readers
        self.has_requests = self.has_urls or "request" in readers
        self.program = Program(self, self.layout)
        self.texts = Texts(len(self.program.slots))
        self.careful = TextReader(format_, options)
        self.buffer = np.zeros(kernel_bytes.PAD, np.uint8)

    def begin_block(self, block: Block) -> None:
        """Begin the table of strings anew when it is full."""
        before = self.interners
        super().begin_block(block)
        if self.texts.is_full or self.interners is not before:
            self.interners = Interners()
            self.texts = Texts(len(self.program.slots))

    def read_block(self, block: Block) -> Chunk:
        """Read the lines of a block."""
        self.begin_block(block)
        size = block.n_bytes + (not block.is_ended)
        self.load(block, size)
        found = self.run(block.n_lines, size)
        self.texts.decode(self.program.slots, self.interners)
        return Assembly(self, block, found, size).chunk()

    def load(self, block: Block, size: int) -> None:
        """Copy a block to where the kernel reads it."""
        self.buffer = kernel_bytes.load(self.buffer, block.parts, size)

    def run(self, n_lines: int, size: int) -> dict[str, NDArray[Any]]:
        """Let the kernel read what was loaded; return its arrays."""
        program, texts = self.program, self.texts
        found: dict[str, NDArray[Any]] = {
            "codes": np.zeros((len(program.slots), n_lines), np.int32),
            "numbers": np.zeros((max(len(program.numbers), 1), n_lines), np.int64),
            "floats": np.zeros((max(len(program.floats), 1), n_lines), np.float64),
            "spans": np.full((4, n_lines), -1, np.int32),
            "bounds": np.zeros((n_lines, 2), np.int64),
            "state": np.zeros(n_lines, np.uint8),
            "dropped": np.zeros(n_lines, np.int64),
        }
        progress = np.zeros(2, np.int64)
        while not kernel.read_lines(
            self.buffer, size, program.rows, program.literals, program.options, texts.seed, found["codes"],
            found["numbers"], found["floats"], found["spans"], found["bounds"], found["state"],
            found["dropped"], texts.hashes, texts.ids, texts.entries, texts.arena, texts.recent, texts.used, progress,
        ):  # fmt: skip
            texts.grow()
        return found


class Assembly:
    """Joins what the kernel read with the lines that the careful path read."""

    def __init__(self, reader: FastTextReader, block: Block, found: dict[str, NDArray[Any]], size: int) -> None:
        self.reader, self.block, self.found, self.size = reader, block, found, size
        self.interners = reader.interners
        self.n_lines = len(found["state"])
        self.state = found["state"]
        self.columns: dict[str, Any] = {}
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.extra = bytearray()

    def chunk(self) -> Chunk:
        """Return the chunk of the block."""
        codes = self._codes()
        at = self._read_carefully()
        keep = self.state == 0
        keep[at] = True
        for name in self.reader.columns:
            self.columns[name] = self._column(name, codes, at)
        if any(TRUNCATED in row for row in self.rows):
            flags = np.zeros(self.n_lines, np.bool_)
            flags[[i for i, row in zip(at, self.rows, strict=True) if TRUNCATED in row]] = True
            self.columns[TRUNCATED] = (flags, None)
        is_all = bool(keep.all())
        columns = self.columns if is_all else {name: _kept(column, keep) for name, column in self.columns.items()}
        starts, ends = self._spans(at, keep if not is_all else None)
        for index, name in enumerate(("path", "query")):
            if name in self.reader.columns:
                columns[name] = self._strings(starts[index], ends[index])
        numbers = np.arange(self.block.first_line, self.block.first_line + self.n_lines, dtype=np.int64)
        n_blank = self.n_lines - int(keep.sum()) - len(self.rejects)
        return Chunk(
            self.block.source, numbers if is_all else numbers[keep], columns, self.interners, self.rejects,
            self.n_lines, n_blank, self._dropped(),
        )  # fmt: skip

    def _dropped(self) -> dict[str, int]:
        """Count the values without a column, by name."""
        counted = Dropped(self.reader.careful.take_dropped())
        bits = self.found["dropped"][self.state == 0]
        if bits.any():
            for bit, name in [*enumerate(self.reader.program.dropped), (kernel.MORE_BIT, MORE)]:
                count = int(np.count_nonzero(bits & (1 << bit)))
                if count:
                    counted.add(name, count)
        return counted

    def _codes(self) -> dict[str, NDArray[np.int32]]:
        """Turn numbers of strings into codes of columns; a line with a value in doubt goes to the careful path."""
        local = self.reader.texts.codes
        codes = {}
        for slot, numbers in zip(self.reader.program.slots, self.found["codes"], strict=True):
            column = local[numbers]
            doubtful = column == _CAREFUL
            if doubtful.any():
                self.state[doubtful] = 1
            codes[slot.column] = column
        if self.state.any():  # what stands there for a line in doubt may be another column's number
            for column in codes.values():
                column[self.state != 0] = -1
        return codes

    def _read_carefully(self) -> NDArray[np.int64]:
        """Read the lines the kernel left; return where those stand that are events."""
        at = []
        buffer, bounds, first = self.reader.buffer, self.found["bounds"], self.block.first_line
        for index in np.flatnonzero(self.state).tolist():
            line = buffer[bounds[index, 0] : bounds[index, 1]].tobytes()
            row = self.reader.careful.read(line)
            if isinstance(row, dict):
                at.append(index)
                self.rows.append(row)
            elif row is not None:
                self.rejects.append(Reject(first + index, row, line[:LINE_LIMIT]))
        return np.array(at, np.int64)

    def _column(self, name: str, codes: dict[str, NDArray[np.int32]], at: NDArray[np.int64]) -> Any:  # noqa: ANN401 -- see `Chunk`
        program = self.reader.program
        patch = [row.get(name) for row in self.rows]
        if name in program.numbers:
            values = self.found["numbers"][program.numbers[name]]
            values[at] = [-1 if value is None else value for value in patch]
            is_null = values < 0
            return (values.astype(np.int16) if name == "status" else values), is_null
        if name in program.floats:
            amounts = self.found["floats"][program.floats[name]]
            amounts[at] = [np.nan if value is None else value for value in patch]
            return amounts, np.isnan(amounts)
        if name in ("path", "query"):
            return None
        column = self._clients(codes) if name == "client_ip" else codes[name]
        code = self.interners[name].code
        column[at] = [code(None if value is None else str(value)) for value in patch]
        return column

    def _clients(self, codes: dict[str, NDArray[np.int32]]) -> NDArray[np.int32]:
        """Find the client behind proxies once for each pair of peer and header."""
        reader = self.reader
        peers = codes.get("client_ip")
        if not reader.believes_headers:
            return peers if peers is not None else np.full(self.n_lines, -1, np.int32)
        nobody = np.full(self.n_lines, -1, np.int32)
        left, right = peers if peers is not None else nobody, codes.get(FORWARDED, nobody)
        return join_clients(left, right, self.interners, reader.client)

    def _spans(
        self, at: NDArray[np.int64], keep: NDArray[np.bool_] | None
    ) -> tuple[list[NDArray[np.int32]], list[NDArray[np.int32]]]:
        """Return where path and query of each event lie: in the block, or behind it in `extra`."""
        spans = self.found["spans"]
        for offset, name in ((0, "path"), (2, "query")):
            for index, row in zip(at.tolist(), self.rows, strict=True):
                value = row.get(name)
                if value is None:
                    spans[offset, index] = -1
                    continue
                spans[offset, index] = self.size + len(self.extra)
                self.extra += str(value).encode()
                spans[offset + 1, index] = self.size + len(self.extra)
        if keep is not None:
            spans = spans[:, keep]
        return [spans[0], spans[2]], [spans[1], spans[3]]

    def _strings(self, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> pa.Array:
        offsets = np.empty(len(starts) + 1, np.int32)
        is_null = starts < 0
        data = np.empty(int(np.where(is_null, 0, ends - starts).sum()), np.uint8)
        extra = np.frombuffer(bytes(self.extra) + b"\0", np.uint8)
        kernel_bytes.gather(self.reader.buffer, extra, self.size, starts, ends, offsets, data)
        valid = pa.py_buffer(np.packbits(~is_null, bitorder="little")) if is_null.any() else None
        return pa.Array.from_buffers(
            pa.string(), len(starts), [valid, pa.py_buffer(offsets), pa.py_buffer(data)], int(is_null.sum())
        )


def _kept(column: Any, keep: NDArray[np.bool_]) -> Any:  # noqa: ANN401 -- see `Chunk`
    if column is None:
        return None
    if isinstance(column, tuple):
        values, is_null = column
        return values[keep], is_null[keep] if is_null is not None else None
    return column[keep]
