"""Bytes to blocks of whole lines.

Only a line feed ends a line: a bare carriage return is what a client sent, not a line of ours. A block holds whole
lines; a line longer than a block grows the block up to `LONGEST_KEPT`, beyond which its rest is read over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["BLOCK_BYTES", "LINE_LIMIT", "Block", "frame"]

BLOCK_BYTES: Final = 4 << 20
"""Size of a block: larger ones leave the cache, smaller ones pay more calls."""
LINE_LIMIT: Final = 64 << 10
"""Longest line in bytes; what stands behind is cut and the event flagged."""
LONGEST_KEPT: Final = 16 << 20
"""A line longer than this is read over from there on, so that a file without line feeds can't fill the memory."""
_FEED: Final = 10
_HEAD_BYTES: Final = 256 << 10
_BOM: Final = b"\xef\xbb\xbf"


class Block:
    """A run of whole lines.

    Parameters
    ----------
    source : str
        Where they come from.
    parts : sequence of bytes or memoryview
        The lines with their ends, in pieces as they were read; the last line of a source may have no end.
    first_line : int
        Number of the first line, from 1.

    Attributes
    ----------
    n_lines, n_bytes : int
        Number of lines, and of bytes.
    """

    __slots__ = ("first_line", "n_bytes", "n_lines", "parts", "source")

    def __init__(self, source: str, parts: Sequence[bytes | memoryview], first_line: int) -> None:
        self.source, self.parts, self.first_line = source, parts, first_line
        self.n_bytes = sum(map(len, parts))
        # vector instructions: `bytes.count` is five times slower on short lines
        feeds = sum(int(np.count_nonzero(np.frombuffer(part, np.uint8) == _FEED)) for part in parts)
        self.n_lines = feeds + (bool(self.n_bytes) and not self.is_ended)

    @property
    def is_ended(self) -> bool:
        """Whether the last line has its end."""
        last = next((part for part in reversed(self.parts) if len(part)), b"")
        return len(last) > 0 and last[-1] == _FEED

    @property
    def data(self) -> bytes:
        """The lines in one piece."""
        return self.parts[0] if len(self.parts) == 1 and isinstance(self.parts[0], bytes) else b"".join(self.parts)

    def first_lines(self, count: int) -> list[bytes]:
        """Return some lines of the beginning, without their ends."""
        head = b"".join(bytes(part[:_HEAD_BYTES]) for part in self.parts)[:_HEAD_BYTES]
        lines = head.split(b"\n")
        if len(head) < self.n_bytes or not lines[-1]:
            lines.pop()
        return lines[:count]

    def lines(self) -> list[bytes]:
        """Return the lines without their ends."""
        lines = self.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return lines


class _Joiner:
    """Gathers pieces of bytes until a line ends, and forgets the middle of a line without end."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def add(self, piece: bytes) -> None:
        if self.size < LONGEST_KEPT:
            self.pieces.append(piece[: LONGEST_KEPT - self.size])
            self.size += len(self.pieces[-1])

    def take(self) -> list[bytes]:
        pieces, self.pieces, self.size = [piece for piece in self.pieces if piece], [], 0
        return pieces


def frame(source: str, pieces: Iterable[bytes], *, first_line: int = 1, keep_half: bool = True) -> Iterator[Block]:
    """Cut pieces of bytes into blocks of whole lines.

    Parameters
    ----------
    source : str
    pieces : iterable of bytes
        Any sizes; about `BLOCK_BYTES` is best.
    first_line : int, default 1
    keep_half : bool, default True
        Whether a last line without end is given out; if not, it is left for the next reading.

    Yields
    ------
    Block
    """
    carry, is_start = _Joiner(), first_line == 1
    for read in pieces:
        piece = read
        if is_start and piece:
            piece, is_start = piece.removeprefix(_BOM), False
        end = piece.rfind(b"\n") + 1
        if not end:
            carry.add(piece)
            continue
        whole: bytes | memoryview = piece if end == len(piece) else memoryview(piece)[:end]
        block = Block(source, [*carry.take(), whole], first_line)
        first_line += block.n_lines
        carry.add(piece[end:])
        yield block
    rest = carry.take()
    if rest and keep_half:
        yield Block(source, rest, first_line)
