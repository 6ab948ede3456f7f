"""Blocks to chunks: which reader, and on how many threads.

Small logs go through the careful path, since loading the accelerator costs half a second. Large ones go through
compiled code where the extra ``fast`` (Numba) is installed. Both give the same result.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Final

from fraudlog.errors import ConfigError
from fraudlog.reading.careful import make_reader
from fraudlog.reading.loose import make_matcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from fraudlog.reading.columns import Chunk
    from fraudlog.reading.formats import Format
    from fraudlog.reading.framing import Block
    from fraudlog.reading.lines import LineReader, Options

__all__ = ["fast_reader", "read_blocks"]

_WORTH_BYTES: Final = 8 << 20
"""Unpacked bytes from which loading the accelerator pays."""
_SAMPLE: Final = 100
ONE_THREAD: Final = ("w3c", "csv")
"""Families whose lines depend on a header before them."""
_AHEAD: Final = 2


def fast_reader(format_: Format, options: Options) -> LineReader | None:
    """Return an accelerated reader of the format, or None if there is none."""
    if format_.family == "frame" or find_spec("numba") is None:
        return None
    if format_.family in ONE_THREAD:
        from fraudlog.reading import fast_fields  # noqa: PLC0415 -- Numba takes half a second

        return (fast_fields.FastW3cReader if format_.family == "w3c" else fast_fields.FastCsvReader)(format_, options)
    if format_.family == "json":
        from fraudlog.reading import fast_json  # noqa: PLC0415 -- as above

        made = fast_json.FastJsonReader(format_, options)
        return made if fast_json.can_accelerate(made) else None
    from fraudlog.reading.fast import FastTextReader, can_accelerate  # noqa: PLC0415 -- Numba takes half a second

    return FastTextReader(format_, options) if can_accelerate(format_.layouts[0]) else None


def best_first(format_: Format, block: Block) -> Format:
    """Return the format with the layout in front that most of the first lines have."""
    if len(format_.layouts) < 2:
        return format_
    lines = block.lines()[:_SAMPLE]
    hits = [sum(make_matcher(layout).match(line) is not None for line in lines) for layout in format_.layouts]
    order = sorted(range(len(hits)), key=lambda index: -hits[index])
    return replace(format_, layouts=tuple(format_.layouts[index] for index in order))


def read_blocks(
    format_: Format,
    options: Options,
    blocks: Iterable[Block],
    *,
    size: int | None = None,
    before: int = 0,
    threads: int | None = None,
) -> Iterator[tuple[Chunk, int]]:
    """Yield the chunk of each block, in order, with the block's size in bytes.

    Parameters
    ----------
    format_ : Format
    options : Options
    blocks : iterable of Block
    size : int, optional
        Unpacked size, where it is known beforehand.
    before : int, default 0
        Bytes that were read from other sources: many small files are a large log.
    threads : int, optional
        By default two where the machine has them.
    """
    if threads is not None and threads < 1:
        raise ConfigError("threads must be at least 1", parameter="threads")
    iterator = iter(blocks)
    first = next(iterator, None)
    if first is None:
        return
    format_ = best_first(format_, first)
    rest = chain([first], iterator)
    careful = make_reader(format_, options)
    if before + (size or 0) < _WORTH_BYTES:
        done = before
        for block in rest:
            yield careful.read_block(block), block.n_bytes
            done += block.n_bytes
            if done >= _WORTH_BYTES:
                break
    yield from _in_parallel(format_, options, rest, threads or min(2, os.cpu_count() or 1), careful)


def _in_parallel(
    format_: Format, options: Options, blocks: Iterator[Block], threads: int, careful: LineReader
) -> Iterator[tuple[Chunk, int]]:
    """Read blocks in turn on `threads` readers; formats whose lines depend on earlier ones take one."""
    first = next(blocks, None)
    if first is None:
        return
    reader = fast_reader(format_, options)
    blocks = chain([first], blocks)
    if reader is None or threads == 1 or format_.family in ONE_THREAD:
        single = reader or careful
        single.go_on_from(careful)
        for block in blocks:
            yield single.read_block(block), block.n_bytes
        return
    readers = [reader] + [made for _ in range(threads - 1) if (made := fast_reader(format_, options)) is not None]
    pools = [ThreadPoolExecutor(1) for _ in readers]
    waiting: deque[tuple[Future[Chunk], int]] = deque()
    try:
        for number, block in enumerate(blocks):
            turn = number % len(readers)
            waiting.append((pools[turn].submit(readers[turn].read_block, block), block.n_bytes))
            while len(waiting) > _AHEAD * len(readers):
                future, n_bytes = waiting.popleft()
                yield future.result(), n_bytes
        for future, n_bytes in waiting:
            yield future.result(), n_bytes
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)
