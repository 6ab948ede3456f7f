"""The fast path for JSON lines: compiled code finds the values, the careful readers read each distinct one once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from fraudlog.reading import kernel, kernel_json
from fraudlog.reading.columns import Chunk, Interners, Reject
from fraudlog.reading.dropped import OTHER, Dropped, unknown_names
from fraudlog.reading.fast import Texts
from fraudlog.reading.fieldmaps import look_up
from fraudlog.reading.framing import LINE_LIMIT
from fraudlog.reading.lines import JsonReader, Options, is_scalar
from fraudlog.reading.reasons import BadValueError
from fraudlog.reading.values import FORWARDED, TRUNCATED
from fraudlog.schema import EVENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.values import Row

__all__ = ["FastJsonReader", "can_accelerate"]

_SAMPLE: Final = 400
_QUOTE: Final = 34
_SCALAR: Final = "_scalar"
"""Key of a row that marks a value which is one, even if it fills no column."""
_TYPES: Final = {column.name: column.type for column in EVENTS}
_DTYPES: Final[dict[str, Any]] = {"timestamp": np.int64, "int16": np.int16, "int64": np.int64, "float64": np.float64}


def can_accelerate(reader: JsonReader) -> bool:
    """Tell whether all names are plain, and the client does not hang on a header."""
    names = [name for sources, _, _, _ in reader.record.steps for name in sources]
    return not reader.believes_headers and not any(" + " in name or "[" in name for name in names)


class FastJsonReader(JsonReader):
    """As `JsonReader`, for field maps whose names the kernel can look up."""

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.careful = JsonReader(format_, options)
        self.active: list[tuple[int, str]] | None = None
        self.buffer = np.zeros(kernel.PAD, np.uint8)

    def _prepare(self, block: Block) -> None:
        """Look which names the first lines hold; a line that holds another one is read carefully."""
        sources = [(at, name) for at, (names, _, _, _) in enumerate(self.record.steps) for name in names]
        records = []
        for line in block.lines()[:_SAMPLE]:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                records.append(record)
        held = [any(look_up(record, name) is not None for record in records) for _, name in sources]
        self.active = [source for source, is_held in zip(sources, held, strict=True) if is_held]
        numbers = {source: number for number, source in enumerate(self.active)}
        leaves = [numbers.get(source, kernel_json.CAREFUL) for source in sources]
        self.trie = kernel_json.make_trie([name for _, name in sources], leaves)
        self._renew()

    def _renew(self) -> None:
        self.interners = Interners()
        self.texts = Texts(max(len(self.active or ()), 1))
        self.rows: list[Row | None] = []
        self.by_column: dict[str, NDArray[Any]] = {}
        self.fills: dict[int, set[str]] = {}
        self.has = np.zeros(0, np.bool_)
        self.is_bad = np.zeros(0, np.bool_)

    def read_block(self, block: Block) -> Chunk:
        """Read the lines of a block."""
        if self.active is None:
            self._prepare(block)
        before = self.interners
        self.begin_block(block)
        if self.texts.is_full or self.interners is not before:
            self._renew()
        size = block.n_bytes + (not block.is_ended)
        self.buffer = kernel.load(self.buffer, block.parts, size)
        codes, bounds, state = self._run(block.n_lines, size)
        self._decode()
        return self._assemble(block, codes, bounds, state)

    def _run(self, n_lines: int, size: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.uint8]]:
        codes = np.full((max(len(self.active or ()), 1), n_lines), -1, np.int32)
        bounds, state = np.zeros((n_lines, 2), np.int64), np.zeros(n_lines, np.uint8)
        trie = self.trie
        trie.seen[:] = 0
        progress, texts = np.zeros(2, np.int64), self.texts
        while not kernel_json.read_objects(
            self.buffer, size, trie.table, trie.keys, trie.leaf, trie.seen, trie.counts, trie.grown,
            texts.seed, codes, bounds, state, texts.hashes, texts.ids,
            texts.entries, texts.arena, texts.recent, texts.used, progress,
        ):  # fmt: skip
            texts.grow()
        return codes, bounds, state

    def _decode(self) -> None:
        """Read the values entered since the last block, once each."""
        first, last = len(self.rows), int(self.texts.used[0])
        if first == last:
            return
        arena = self.texts.arena[: int(self.texts.used[1])].tobytes()
        for at, length, slot in self.texts.entries[first:last].tolist():
            self.rows.append(self._read_value(arena[at : at + length], slot))
        fresh = self.rows[first:last]
        self.is_bad = np.append(self.is_bad, [row is None or TRUNCATED in row for row in fresh])
        self.has = np.append(self.has, [row is None or _SCALAR in row for row in fresh])
        for name in {key for row in fresh if row for key in row} - {_SCALAR, TRUNCATED, FORWARDED}:
            if name not in self.by_column:
                self.by_column[name] = self._empty(name, 0)
        for name in self.by_column:
            self._extend(name, fresh, last)

    @staticmethod
    def _empty(name: str, count: int) -> NDArray[Any]:
        dtype = _DTYPES.get(_TYPES[name])
        if dtype is None:
            return np.full(count, -1, np.int32)
        return np.full(count, np.nan) if dtype is np.float64 else np.full(count, -1, np.int64)

    def _extend(self, name: str, fresh: list[Row | None], last: int) -> None:
        known = self.by_column[name]
        added = self._empty(name, last - len(known))
        offset = len(added) - len(fresh)
        is_text = _DTYPES.get(_TYPES[name]) is None
        code = self.interners[name].code
        for index, row in enumerate(fresh):
            if row and name in row:
                added[offset + index] = code(str(row[name])) if is_text else row[name]
        self.by_column[name] = np.concatenate([known, added])

    def _read_value(self, raw: bytes, slot: int) -> Row | None:
        """Read one value; None where the careful path must see the line."""
        at, _ = (self.active or [])[slot]
        _, reader, target, may_fail = self.record.steps[at]
        value = _plain(raw)
        if not is_scalar(value):
            return {}
        row: Row = {}
        try:
            reader(value, row, target)
        except BadValueError:
            if not may_fail:
                return None
        self.fills.setdefault(at, set()).update(name for name in row if name not in (TRUNCATED, FORWARDED))
        row[_SCALAR] = True
        return row

    def _assemble(
        self, block: Block, codes: NDArray[np.int32], bounds: NDArray[np.int64], state: NDArray[np.uint8]
    ) -> Chunk:
        dropped = Dropped()
        for name, count in self.trie.take_counts():
            dropped.add(name or OTHER, count)
        is_counted = state == 0
        columns = self._columns(codes, state)
        times = columns.get("timestamp")
        state[(times < 0) if times is not None else slice(None)] = 1
        for values in columns.values():  # what stands there for a line in doubt is not yet true
            values[state != 0] = np.nan if values.dtype == np.float64 else -1
        rejects: list[Reject] = []
        rows: list[Row] = []
        at: list[int] = []
        for index in np.flatnonzero(state).tolist():
            line = self.buffer[bounds[index, 0] : bounds[index, 1]].tobytes()
            row = self.careful.read(line)
            if is_counted[index]:
                for name in unknown_names(json.loads(line), self.careful.known):
                    dropped.add(name, -1)
            if isinstance(row, dict):
                rows.append(row)
                at.append(index)
            elif row is not None:
                rejects.append(Reject(block.first_line + index, row, line[:LINE_LIMIT]))
        self.columns.update(dict.fromkeys(name for name in columns if self._is_held(columns[name])))
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
        dropped.merge(self.careful.take_dropped())
        counted = {name: count for name, count in dropped.items() if count}
        return Chunk(block.source, numbers, made, self.interners, rejects, len(state), n_blank, counted)

    @staticmethod
    def _is_held(values: NDArray[Any]) -> bool:
        return bool((~np.isnan(values)).any() if values.dtype == np.float64 else (values >= 0).any())

    def _columns(self, codes: NDArray[np.int32], state: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Apply the fields in order to all lines: of its names the first with a value, of two fields the first."""
        n_lines = len(state)
        columns: dict[str, NDArray[Any]] = {}
        has, is_bad = np.append(self.has, False), np.append(self.is_bad, False)
        by_step: dict[int, list[int]] = {}
        for number, (at, _) in enumerate(self.active or ()):
            by_step.setdefault(at, []).append(number)
        nothing = len(self.rows)
        for at in sorted(by_step):
            chosen = np.full(n_lines, nothing, np.int64)
            for number in by_step[at]:
                entry = np.where(codes[number] < 0, nothing, codes[number]).astype(np.int64)
                chosen = np.where((chosen == nothing) & has[entry], entry, chosen)
            column = self.record.steps[at][2].column
            if column and column in columns:
                chosen = np.where(_is_null(columns[column]), chosen, nothing)
            state[is_bad[chosen]] = 1
            for name in sorted(self.fills.get(at, ())):
                found = np.append(self.by_column[name], self._empty(name, 1))[chosen]
                if name not in columns:
                    columns[name] = found if self._is_held(found) else columns.get(name, found)
                else:
                    # an absolute URL names the host only where nothing else did (`values.read_url`)
                    keeps = ~_is_null(columns[name]) if name == "host" else _is_null(found)
                    columns[name] = np.where(keeps, columns[name], found)
        return {name: values for name, values in columns.items() if values is not None}

    def _finish(
        self, name: str, values: NDArray[Any] | None, rows: list[Row], at: list[int], keep: NDArray[np.bool_]
    ) -> Any:  # noqa: ANN401 -- see `Chunk`
        values = self._empty(name, len(keep)) if values is None else values
        dtype = _DTYPES.get(_TYPES[name])
        if dtype is None:
            code = self.interners[name].code
            values[at] = [code(None if row.get(name) is None else str(row[name])) for row in rows]
            kept = values[keep].astype(np.int32)
            if _TYPES[name] == "string":
                return pa.array(self.interners[name].values, pa.string()).take(pa.array(kept, mask=kept < 0))
            return kept
        empty = np.nan if dtype is np.float64 else -1
        values[at] = [row.get(name, empty) for row in rows]
        kept = values[keep]
        return kept.astype(dtype), _is_null(kept)


def _plain(raw: bytes) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """Read a JSON value; text without escapes without a parser."""
    if raw[0] == _QUOTE and b"\\" not in raw:
        return raw[1:-1].decode("ascii")
    if raw.isdigit():
        return int(raw)
    return json.loads(raw)


def _is_null(values: NDArray[Any]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(values) if values.dtype == np.float64 else values < 0
    return found
