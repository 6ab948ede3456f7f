"""Blocks to chunks: which reader, on how many threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fraudlog.reading.lines import Options, make_reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fraudlog.reading.columns import Chunk
    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block

__all__ = ["read_blocks"]


def read_blocks(
    format_: Format, options: Options, blocks: Iterable[Block], *, size: int | None = None, threads: int | None = None
) -> Iterator[tuple[Chunk, int]]:
    """Yield the chunk of each block, in order, with the block's size in bytes."""
    del size, threads
    reader = make_reader(format_, options)
    for block in blocks:
        yield reader.read_block(block), len(block.data)
