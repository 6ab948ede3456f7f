"""What the fast readers of records have in common: each distinct value is read once, and columns are put together.

A kernel finds the wanted values of a block and numbers the distinct ones. Numbers and times among them are read by
compiled code, the others by the careful readers; then the field map is applied to whole columns: of a field's names the
first with a value counts, of two fields for one column the first. Lines in doubt go through the careful path.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.reading import kernel_bytes, kernel_values
from fraudlog.reading.columns import Chunk, Interners, Reject, empty_column, finished, is_code, is_null, join_clients
from fraudlog.reading.fast import Texts
from fraudlog.reading.framing import LINE_LIMIT
from fraudlog.reading.lines import LineReader
from fraudlog.reading.lines_named import is_scalar
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import FORWARDED, READERS, TRUNCATED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.lines import Options
    from fraudlog.reading.lines_named import Record
    from fraudlog.reading.values import Row, Target

__all__ = ["FastValues", "Found"]

_DIVISORS: Final = {"s": 1, "auto": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_LONGEST_S: Final = 1_000_000.0


class Found:
    """What a kernel found in a block.

    Attributes
    ----------
    codes : int32 array of shape (n_slots, n_lines)
        Number of each wanted value; below 0 where there is none.
    bounds : int64 array of shape (n_lines, 2)
    state : uint8 array of shape (n_lines,)
        0 read, 1 for the careful path.
    dropped : int64 array of shape (n_lines,)
        Bits of the values without a column, where the kernel notes them so.
    """

    __slots__ = ("bounds", "codes", "dropped", "state")

    def __init__(self, n_slots: int, n_lines: int) -> None:
        self.codes = np.full((max(n_slots, 1), n_lines), -1, np.int32)
        self.bounds = np.zeros((n_lines, 2), np.int64)
        self.state = np.zeros(n_lines, np.uint8)
        self.dropped = np.zeros(n_lines, np.int64)


class FastValues(LineReader):
    """Base of readers whose kernel numbers the values of a field map.

    Attributes
    ----------
    active : list of (int, str)
        Step of the field map and source name of each slot.
    careful : LineReader
    n_skipped : int
        Lines at the beginning of the block that carry no record.
    """

    record: Record
    careful: LineReader
    n_skipped = 0

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.active: list[tuple[int, str]] = []
        self.buffer = np.zeros(kernel_bytes.PAD, np.uint8)

    @abstractmethod
    def find(self, n_lines: int, size: int) -> Found:
        """Let the kernel read what was loaded."""

    @abstractmethod
    def plain(self, raw: bytes, slot: int) -> Any:  # noqa: ANN401 -- whatever a record holds
        """Return the value that some bytes stand for."""

    @abstractmethod
    def count_dropped(self, found: Found, doubtful: list[bytes]) -> dict[str, int]:
        """Count the values without a column; `doubtful` lines were read by the kernel, then carefully."""

    def renew(self) -> None:
        """Forget all distinct values."""
        self.interners = Interners()
        self.texts = Texts(max(len(self.active), 1))
        self.n_known = 0
        self.by_column: dict[str, NDArray[Any]] = {}
        self.fills: dict[int, set[str]] = {}
        self.has = np.zeros(0, np.bool_)
        self.is_bad = np.zeros(0, np.bool_)

    def read_loaded(self, block: Block) -> Chunk:
        """Read the lines of a block."""
        before = self.interners
        self.begin_block(block)
        if self.texts.is_full or self.interners is not before:
            self.renew()
        size = block.n_bytes + (not block.is_ended)
        self.buffer = kernel_bytes.load(self.buffer, block.parts, size)
        found = self.find(block.n_lines, size)
        self._decode()
        return self._assemble(block, found)

    def _decode(self) -> None:
        """Read the values entered since the last block, once each."""
        first, last = self.n_known, int(self.texts.used[0])
        if first == last:
            return
        self._make_room(last + 1)
        slots = self.texts.entries[first:last, 2]
        is_read = np.zeros(last - first, np.bool_)
        for slot, (at, _) in enumerate(self.active):
            target = self.record.steps[at][2]
            rows = np.flatnonzero(slots == slot)
            if rows.size and target.values is None:
                is_read[rows] = self._read_numbers(rows + first, self.record.steps[at][1], target)
                self.fills.setdefault(at, set()).update([target.column] if is_read[rows].any() else [])
        self.has[first:last][is_read] = True
        start = int(self.texts.entries[first, 0])
        arena = self.texts.arena[start : int(self.texts.used[1])].tobytes()
        rest = np.flatnonzero(~is_read) + first
        for number, (at, length, slot) in zip(rest.tolist(), self.texts.entries[rest].tolist(), strict=True):
            self._read_value(arena[at - start : at - start + length], slot, number)
        self.n_known = last

    def _read_numbers(self, rows: NDArray[np.int64], reader: object, target: Target) -> NDArray[np.bool_]:
        """Read the plain numbers and times of a slot; say which those are."""
        texts = self.texts
        if reader is READERS["duration"]:
            amounts = np.empty(rows.size, np.float64)
            kernel_values.read_durations(texts.arena, texts.entries, rows, _DIVISORS[target.unit], amounts)
            good = (amounts >= 0) & (amounts < _LONGEST_S)
            self._column(target.column)[rows[good]] = amounts[good]
            return good
        if reader is not READERS["time"] and reader is not READERS["count"]:
            return np.zeros(rows.size, np.bool_)
        values = np.empty(rows.size, np.int64)
        if reader is READERS["time"]:
            is_utc = self.options.has_utc
            kernel_values.read_times(texts.arena, texts.entries, rows, kernel_values.UNITS[target.unit], is_utc, values)
        else:
            kernel_values.read_counts(texts.arena, texts.entries, rows, values)
        is_good: NDArray[np.bool_] = values >= 0
        self._column(target.column)[rows[is_good]] = values[is_good]
        return is_good

    def _make_room(self, count: int) -> None:
        size = len(self.has)
        if count <= size:
            return
        more = max(2 * size, count, 4096) - size
        self.has = np.append(self.has, np.zeros(more, np.bool_))
        self.is_bad = np.append(self.is_bad, np.zeros(more, np.bool_))
        for name, known in self.by_column.items():
            self.by_column[name] = np.append(known, empty_column(name, more))

    def _column(self, name: str) -> NDArray[Any]:
        """Return what each distinct value says of a column."""
        if name not in self.by_column:
            self.by_column[name] = empty_column(name, len(self.has))
        return self.by_column[name]

    def _read_value(self, raw: bytes, slot: int, number: int) -> None:
        """Read one value; a bad one sends its lines to the careful path."""
        at, _ = self.active[slot]
        _, reader, target, may_fail = self.record.steps[at]
        value = self.plain(raw, slot)
        if not is_scalar(value):
            return
        self.has[number] = True
        row: Row = {}
        try:
            reader(value, row, target)
        except BadValueError:
            if not may_fail:
                self.is_bad[number] = True
                return
        self.is_bad[number] = TRUNCATED in row
        fills = self.fills.setdefault(at, set())
        for name, filled in row.items():
            if name == TRUNCATED or (name == FORWARDED and not self.believes_headers):
                continue
            fills.add(name)
            self._column(name)[number] = self.interners[name].code(str(filled)) if is_code(name) else filled

    def _assemble(self, block: Block, found: Found) -> Chunk:
        state, bounds = found.state, found.bounds
        was_read = state == 0
        columns = self._columns(found.codes, state)
        times = columns.get("timestamp")
        state[(times < 0) if times is not None else slice(None)] = 1
        for values in columns.values():  # what stands there for a line in doubt is not yet true
            values[state != 0] = np.nan if values.dtype == np.float64 else -1
        rejects: list[Reject] = []
        rows: list[Row] = []
        at: list[int] = []
        doubtful: list[bytes] = []
        for index in np.flatnonzero(state).tolist():
            if index < self.n_skipped:
                continue
            line = self.buffer[bounds[index, 0] : bounds[index, 1]].tobytes()
            row = self.careful.read(line)
            if was_read[index]:
                doubtful.append(line)
            if isinstance(row, dict):
                rows.append(row)
                at.append(index)
            elif row is not None:
                rejects.append(Reject(block.first_line + index, row, line[:LINE_LIMIT]))
        self.columns.update(dict.fromkeys(name for name in columns if _is_held(columns[name])))
        self.note_columns(rows)
        keep = state == 0
        keep[at] = True
        made = {
            name: self._finish(name, columns.get(name), rows, at, keep) for name in self.columns if name != TRUNCATED
        }
        if TRUNCATED in self.columns:
            flags = np.zeros(len(state), np.bool_)
            flags[[index for index, row in zip(at, rows, strict=True) if TRUNCATED in row]] = True
            made[TRUNCATED] = (flags[keep], None)
        numbers = np.flatnonzero(keep) + block.first_line
        n_blank = len(state) - len(numbers) - len(rejects)
        dropped = self.count_dropped(found, doubtful)
        return Chunk(block.source, numbers, made, self.interners, rejects, len(state), n_blank, dropped)

    def _columns(self, codes: NDArray[np.int32], state: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Apply the fields in order to all lines: of its names the first with a value, of two fields the first."""
        columns: dict[str, NDArray[Any]] = {}
        self._make_room(self.n_known + 1)
        nothing = self.n_known
        self.has[nothing] = self.is_bad[nothing] = False
        by_step: dict[int, list[int]] = {}
        for number, (at, _) in enumerate(self.active):
            by_step.setdefault(at, []).append(number)
        for at in sorted(by_step):
            chosen = self._chosen(codes, by_step[at])
            column = self.record.steps[at][2].column
            if column and column in columns:
                chosen = np.where(is_null(columns[column]), chosen, nothing)
            if self.is_bad[: nothing + 1].any():
                state[self.is_bad[chosen]] = 1
            for name in sorted(self.fills.get(at, ())):
                values = self._column(name)
                values[nothing] = empty_column(name, 1)[0]
                filled = values[chosen]
                if name not in columns:
                    columns[name] = filled
                else:
                    # an absolute URL names the host only where nothing else did (`values.read_url`)
                    keeps = ~is_null(columns[name]) if name == "host" else is_null(filled)
                    columns[name] = np.where(keeps, columns[name], filled)
        if self.believes_headers:
            nobody = np.full(len(state), -1, np.int32)
            peers, headers = columns.get("client_ip", nobody), columns.pop(FORWARDED, nobody)
            columns["client_ip"] = join_clients(peers, headers, self.interners, self.client)
        return columns

    def _chosen(self, codes: NDArray[np.int32], numbers: list[int]) -> NDArray[np.int32]:
        """Return the value of a field in each line: that of the first name that has one."""
        nothing = self.n_known
        if len(numbers) == 1 and bool(self.has[:nothing].all()):
            return np.where(codes[numbers[0]] < 0, np.int32(nothing), codes[numbers[0]])
        chosen = np.full(codes.shape[1], nothing, np.int32)
        for number in numbers:
            entry = np.where(codes[number] < 0, np.int32(nothing), codes[number])
            chosen = np.where((chosen == nothing) & self.has[entry], entry, chosen)
        return chosen

    def _finish(
        self, name: str, values: NDArray[Any] | None, rows: list[Row], at: list[int], keep: NDArray[np.bool_]
    ) -> Any:  # noqa: ANN401 -- see `Chunk`
        values = empty_column(name, len(keep)) if values is None else values
        if is_code(name):
            code = self.interners[name].code
            values[at] = [code(None if row.get(name) is None else str(row[name])) for row in rows]
        else:
            empty = np.nan if values.dtype == np.float64 else -1
            values[at] = [row.get(name, empty) for row in rows]
        return finished(name, values[keep], self.interners)


def _is_held(values: NDArray[Any]) -> bool:
    return bool((~is_null(values)).any())
