"""The fast path for JSON lines: compiled code finds the values, the careful readers read each distinct one once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.reading import kernel_json, kernel_trie
from fraudlog.reading.dropped import OTHER, Dropped, unknown_names
from fraudlog.reading.fast_values import FastValues, Found
from fraudlog.reading.fieldmaps import look_up
from fraudlog.reading.lines_named import JsonReader

if TYPE_CHECKING:
    from fraudlog.reading.columns import Chunk
    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.lines import Options

__all__ = ["FastJsonReader", "can_accelerate"]

_SAMPLE: Final = 400
_QUOTE: Final = 34


def can_accelerate(reader: JsonReader) -> bool:
    """Tell whether all names are plain."""
    names = [name for sources, _, _, _ in reader.record.steps for name in sources]
    return not any(" + " in name or "[" in name for name in names)


class FastJsonReader(FastValues, JsonReader):
    """As `JsonReader`, for field maps whose names the kernel can look up."""

    careful: JsonReader

    def __init__(self, format_: Format, options: Options) -> None:
        super().__init__(format_, options)
        self.careful = JsonReader(format_, options)
        self.trie: kernel_trie.Trie | None = None

    def _prepare(self, block: Block) -> kernel_trie.Trie:
        """Look which names the first lines hold; a line that holds another one is read carefully."""
        sources = [(at, name) for at, (names, _, _, _) in enumerate(self.record.steps) for name in names]
        held: set[str] = set()
        for line in block.first_lines(_SAMPLE):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                held.update(name for _, name in sources if name not in held and look_up(record, name) is not None)
        self.active = [source for source in sources if source[1] in held]
        numbers = {source: number for number, source in enumerate(self.active)}
        leaves = [numbers.get(source, kernel_trie.CAREFUL) for source in sources]
        self.renew()
        return kernel_trie.make_trie([name for _, name in sources], leaves)

    def read_block(self, block: Block) -> Chunk:
        """Read the lines of a block."""
        if self.trie is None:
            self.trie = self._prepare(block)
        return self.read_loaded(block)

    def find(self, n_lines: int, size: int) -> Found:
        """Let the kernel read what was loaded."""
        found, trie, texts, progress = Found(len(self.active), n_lines), self.trie, self.texts, np.zeros(2, np.int64)
        if trie is None:
            raise TypeError("nothing was prepared")
        trie.seen[:] = 0
        while not kernel_json.read_objects(
            self.buffer, size, trie.table, trie.keys, trie.leaf, trie.seen, trie.counts, trie.grown, texts.seed,
            found.codes, found.bounds, found.state, texts.hashes, texts.ids, texts.entries, texts.arena, texts.recent,
            texts.used, progress,
        ):  # fmt: skip
            texts.grow()
        return found

    def plain(self, raw: bytes, slot: int) -> Any:  # noqa: ANN401, ARG002 -- whatever JSON holds
        """Read a JSON value; text without escapes without a parser."""
        if raw[0] == _QUOTE and b"\\" not in raw:
            return raw[1:-1].decode("ascii")
        return int(raw) if raw.isdigit() else json.loads(raw)

    def count_dropped(self, found: Found, doubtful: list[bytes]) -> dict[str, int]:  # noqa: ARG002 -- the trie counts
        """Count the values without a column: what the kernel counted, less what it counted in doubtful lines."""
        dropped = Dropped()
        for name, count in self.trie.take_counts() if self.trie is not None else ():
            dropped.add(name or OTHER, count)
        for line in doubtful:
            for name in unknown_names(json.loads(line), self.careful.known):
                dropped.add(name, -1)
        dropped.merge(self.careful.take_dropped())
        return {name: count for name, count in dropped.items() if count}
