"""Undo gzip, bzip2, xz and zstd, told by their first bytes: many members, cut ends, and bombs.

What is readable before a cut or a damaged member is given out, then `Damage` says what was wrong. A stream that grows
beyond the caps raises: it is no log.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Caps", "DamageError", "compression_of", "expand"]

MAGIC: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of a compressed file."""

_STEP: Final = 1 << 20
_OUTPUT: Final = 128 << 10
"""Bytes out of one call: what a damaged stream gave in the call that failed is lost."""
_BLOCK: Final = 4 << 20


class DamageError(Exception):
    """What stands behind is not readable; its text says why, for a person."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits against files that unpack to far more than any log.

    Parameters
    ----------
    max_bytes : int, default 1 TiB
        Most bytes that one source may unpack to.
    max_ratio : float, default 400
        Most bytes out for a byte in, once 64 MiB are out. Access logs reach 10 to 60; gzip can reach 1,029, zstd and
        xz far more.
    """

    max_bytes: int = 1 << 40
    max_ratio: float = 400.0

    def check(self, n_in: int, n_out: int, source: str) -> None:
        """Raise `FormatError` beyond a cap."""
        if n_out > self.max_bytes or (n_out > 64 << 20 and n_out > self.max_ratio * max(n_in, 1)):
            raise FormatError(
                f"{source}: it unpacks to {n_out:,} bytes from {n_in:,}, beyond the cap; if it is a log, raise "
                "max_ratio or max_bytes",
                source=source,
            )


class _Gzip:
    """Zlib in the shape of bz2 and lzma."""

    def __init__(self) -> None:
        library = _zlib()
        self._error: type[Exception] = library.error
        self._inner: Any = library.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = _OUTPUT) -> bytes:
        try:
            return bytes(self._inner.decompress(self._inner.unconsumed_tail + data, max_length))
        except self._error as error:
            raise zlib.error(str(error)) from None


def _zlib() -> Any:  # noqa: ANN401 -- a module
    """Return ISA-L's zlib if it is installed: 2.5 times the standard library's speed."""
    try:
        return import_module("isal.isal_zlib")
    except ImportError:
        return zlib


class _Zstd:
    """Zstandard's streaming object in the shape of bz2 and lzma; frames follow one another like members."""

    needs_input = True

    def __init__(self) -> None:
        try:
            zstandard = import_module("zstandard")
        except ImportError:
            raise ConfigError("reading .zst needs the package zstandard: pip install 'fraudlog[zstd]'") from None
        self._error: type[Exception] = zstandard.ZstdError
        self._inner: Any = zstandard.ZstdDecompressor(max_window_size=128 << 20).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int = _OUTPUT) -> bytes:  # noqa: ARG002 -- the library has no limit
        try:
            return bytes(self._inner.decompress(data))
        except self._error as error:
            raise zlib.error(str(error)) from None


_OPENERS: Final[dict[str, Callable[[], Any]]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=512 << 20),
    "zstd": _Zstd,
}
_PIECE: Final = {"zstd": 16 << 10}
"""Bytes fed at once where the output of one call can't be limited."""


def compression_of(head: bytes) -> str:
    r"""Return gzip, bzip2, xz, zstd, or an empty string.

    >>> compression_of(b"\x1f\x8b\x08"), compression_of(b"127.0.0.1 - -")
    ('gzip', '')
    """
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


def expand(pieces: Iterator[bytes], kind: str, source: str, caps: Caps) -> Iterator[bytes]:
    """Yield the unpacked bytes of a compressed stream.

    Raises
    ------
    DamageError
        After the last readable bytes, if the stream is cut or damaged.
    FormatError
        Beyond the caps.
    """
    held: list[bytes] = []
    n_held = 0
    try:
        for out in _expand(pieces, kind, source, caps):
            held.append(out)
            n_held += len(out)
            if n_held >= _BLOCK:
                yield b"".join(held)
                held, n_held = [], 0
    except DamageError:
        yield b"".join(held)
        raise
    yield b"".join(held)


def _expand(pieces: Iterator[bytes], kind: str, source: str, caps: Caps) -> Iterator[bytes]:
    n_in = n_out = 0
    member = _OPENERS[kind]()
    is_fresh = True
    for piece in pieces:
        for data in _slices(piece, _PIECE.get(kind, _STEP)):
            n_in += len(data)
            for out, opened in _feed(member, data, kind):
                member, is_fresh = opened, False
                n_out += len(out)
                caps.check(n_in, n_out, source)
                yield out
    if not is_fresh and not member.eof:
        raise DamageError("the compressed stream is cut; what came before the cut was read")


def _slices(piece: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(piece), size):
        yield piece[start : start + size]


def _feed(member: Any, data: bytes, kind: str) -> Iterator[tuple[bytes, Any]]:  # noqa: ANN401 -- a `_Member`
    """Push `data` through, opening the next member where one ends; zero padding between members is skipped."""
    while True:
        if member.eof:
            data = data.lstrip(b"\0")
            if not data:
                yield b"", member
                return
            member = _OPENERS[kind]()
        try:
            out = member.decompress(data, _OUTPUT)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
            raise DamageError(f"the compressed stream is damaged: {type(error).__name__}") from None
        yield out, member
        if member.eof:
            data = member.unused_data
        elif member.needs_input:
            return
        else:
            data = b""
