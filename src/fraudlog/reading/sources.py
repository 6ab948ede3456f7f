"""Where bytes come from: paths, globs, folders, standard input, file objects, URLs through fsspec."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field
from glob import glob, has_magic
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from fraudlog.errors import ConfigError, InputError
from fraudlog.reading.decompress import Caps, DamageError, compression_of, expand
from fraudlog.reading.framing import frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Source", "find_sources", "read_lines"]

_PIECE: Final = 4 << 20
_USUAL_RATIO: Final = 8
_SKIPPED: Final = (".swp", ".tmp", ".lock")


@dataclass
class Source:
    """One stream of bytes.

    Parameters
    ----------
    name : str
        As the caller named it.
    target : Path, str or binary file object
        A path, a URL, or something with ``read``.
    caps : Caps
        Limits for compressed content.
    """

    name: str
    target: Path | str | IO[Any]
    caps: Caps = field(default_factory=Caps)
    may_fail: bool = False
    """Whether it came from a folder or glob, so that others go on without it."""
    is_packed: bool = False
    """Whether the content is compressed; known once the first piece was read."""
    problem: str = ""
    """What was wrong with the end of the stream, once it was read."""

    @property
    def size(self) -> int | None:
        """Bytes of the file, estimated if it is packed; None where unknown."""
        try:
            stored = self.target.stat().st_size if isinstance(self.target, Path) else None
            return stored if stored is None or not self.is_packed else stored * _USUAL_RATIO
        except OSError:
            return None

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, unpacked. A cut or damaged end is noted in `problem`.

        Raises
        ------
        InputError
            If it can't be opened or read, or lies beyond the caps.
        """
        try:
            with self._open() as stream:
                raw = _raw_pieces(stream)
                head = next(raw, b"")
                kind = compression_of(head)
                chained = _chain(head, raw)
                self.is_packed = bool(kind)
                try:
                    yield from expand(chained, kind, self.name, self.caps) if kind else chained
                except DamageError as damage:
                    self.problem = str(damage)
        except FileNotFoundError:
            raise InputError(f"{self.name}: no such file; check the path", source=self.name) from None
        except IsADirectoryError:
            raise InputError(f"{self.name}: it is a folder", source=self.name) from None
        except PermissionError:
            raise InputError(f"{self.name}: no permission to read it", source=self.name) from None
        except OSError as error:
            raise InputError(f"{self.name}: {error.strerror or 'it cannot be read'}", source=self.name) from None

    def _open(self) -> IO[Any]:
        if isinstance(self.target, Path):
            return self.target.open("rb")
        if isinstance(self.target, str):
            return _open_url(self.target)
        return cast("IO[Any]", _Borrowed(self.target))


class _Borrowed(io.RawIOBase):
    """A caller's file object: read, never closed."""

    def __init__(self, inner: IO[Any]) -> None:
        self._inner = inner

    def read(self, size: int = -1) -> bytes:
        found = self._inner.read(size)
        return found.encode("utf-8", "surrogateescape") if isinstance(found, str) else bytes(found or b"")


def _open_url(url: str) -> IO[Any]:
    try:
        fsspec = import_module("fsspec")
    except ImportError:
        raise ConfigError("reading a URL needs the package fsspec: pip install 'fraudlog[url]'") from None
    try:
        stream: IO[Any] = fsspec.open(url, "rb").open()
    except (ImportError, ValueError):
        scheme = url.partition("://")[0]
        raise InputError(
            f"{scheme}://...: fsspec cannot open this kind of URL; install its package", source=url
        ) from None
    return stream


def _raw_pieces(stream: IO[Any]) -> Iterator[bytes]:
    while piece := stream.read(_PIECE):
        yield piece


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def find_sources(path: Any, caps: Caps | None = None) -> list[Source]:  # noqa: ANN401 -- see Parameters
    """Return the sources that `path` names, files of a folder or glob in order of their names.

    Parameters
    ----------
    path : str, Path, file object, or a list of them
        ``"-"`` is standard input; a string with ``*``, ``?`` or ``[`` a glob; with ``://`` a URL for fsspec.
    caps : Caps, optional

    Raises
    ------
    InputError
        If nothing is there.
    """
    caps = caps or Caps()
    if isinstance(path, (list, tuple, set, frozenset)):
        return _found([source for part in path for source in find_sources(part, caps)], "the list")
    if hasattr(path, "read"):
        return [Source(str(getattr(path, "name", "<file object>")), path, caps)]
    if not isinstance(path, (str, PathLike)):
        raise ConfigError(f"path is a {type(path).__name__}, not a path or file object", parameter="path")
    text = fspath(path)
    if text == "-":
        return [Source("<stdin>", sys.stdin.buffer, caps)]
    if "://" in text:
        return [Source(text, text, caps)]
    return _found(_local(Path(text), text, caps), text)


def _local(path: Path, text: str, caps: Caps) -> list[Source]:
    if path.is_dir():
        return [Source(str(file), file, caps, may_fail=True) for file in _files(path.iterdir())]
    if not path.exists() and has_magic(text):
        return [Source(str(file), file, caps, may_fail=True) for file in _files(map(Path, glob(text, recursive=True)))]  # noqa: PTH207 -- absolute patterns too
    if not path.exists():
        raise InputError(f"{text}: no such file; check the path", source=text)
    return [Source(text, path, caps)]


def _files(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and path.name[:1] != "." and path.suffix not in _SKIPPED)


def _found(sources: list[Source], text: str) -> list[Source]:
    if not sources:
        raise InputError(f"{text}: is a folder or pattern without any file", source=text)
    return sources


def read_lines(path: Any) -> Iterator[bytes]:  # noqa: ANN401 -- as `find_sources`
    r"""Yield the lines of a log as they stand, unpacked, without their ends; numbered as `read_log` numbers them.

    >>> import io
    >>> list(read_lines(io.BytesIO(b"a\nb")))
    [b'a', b'b']
    """
    for source in find_sources(path):
        for block in frame(source.name, source.pieces()):
            yield from (line.removesuffix(b"\r") for line in block.lines())
