"""Read what a log gained since last time, across every kind of rotation: nothing lost, nothing twice.

A *stream* is one run of bytes that a server wrote, whatever the file is called today. It is known by its first bytes
(up to 4 KiB, hashed), not by name or inode: a rename keeps them, a copy has them too, a reused inode does not, and a
truncated file that has grown again begins with others. At each poll every file beside the log is matched to the
streams, compressed or not, and read on from where its stream stood.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from fnmatch import translate
from glob import has_magic
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from fraudlog.errors import InputError
from fraudlog.reading.decompress import compression_of
from fraudlog.reading.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Follower", "Stream"]

_HEAD: Final = 4096
_NAME_DIGITS: Final = 12
_PIECE: Final = 4 << 20
_MOST_STREAMS: Final = 4096
_PACKED: Final = (".gz", ".zst", ".xz", ".bz2")


@dataclass
class Stream:
    """One run of bytes that a server wrote.

    Attributes
    ----------
    head, head_bytes : str, int
        Hash of its first bytes, and how many; grows to 4 KiB with the file.
    offset : int
        Bytes read: always the end of a line.
    line_number : int
        Lines read.
    name : str
        Hash of its first line: the same whatever the file is called, and however long it was when first seen.
    """

    head: str
    head_bytes: int
    offset: int = 0
    line_number: int = 0
    name: str = ""

    def is_head_of(self, content: bytes, key: bytes = b"") -> bool:
        """Tell whether a file that begins with `content` is this stream."""
        return len(content) >= self.head_bytes > 0 and _hash(content[: self.head_bytes], key) == self.head

    def learn(self, content: bytes, key: bytes = b"") -> None:
        """Remember as much of the beginning as there is."""
        if len(content) > self.head_bytes:
            self.head, self.head_bytes = _hash(content, key), len(content)


@dataclass(frozen=True, slots=True)
class Gain:
    """New whole lines of a stream.

    Attributes
    ----------
    data : bytes
    first_line : int
        Number of the first of them in the stream, from 1.
    stream : Stream
        Where they come from.
    offset : int
        Where in the stream they begin.
    head : bytes
        What the stream begins with, up to 4 KiB: a header, for those who did not read it themselves.
    """

    data: bytes
    first_line: int
    stream: Stream
    offset: int
    head: bytes = b""


class Follower:
    r"""Reads on in a log that is rotated while it is read.

    Parameters
    ----------
    path : str or Path
        The log as the server calls it. Rotated files are those in its folder whose names begin with its name, or with
        its stem and a date. A name with ``*``, ``?`` or ``[`` stands for all files of its folder that it fits.
    state : mapping, optional
        From `state`, to go on after a restart.
    key : bytes, optional
        Key of the hashes in `state`, at most 64 bytes: without one, who has the state can test guesses of the lines.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "access.log"
    >>> _ = log.write_bytes(b"one\ntw")
    >>> follower = Follower(log)
    >>> [gain.data for gain in follower.poll()]
    [b'one\n']
    >>> _ = log.write_bytes(b"one\ntwo\n")
    >>> [(gain.data, gain.first_line) for gain in follower.poll()]
    [(b'two\n', 2)]
    >>> follower.close()
    """

    def __init__(self, path: str | Path, state: Mapping[str, Any] | None = None, *, key: bytes = b"") -> None:
        self.path = Path(path)
        self._key = key
        self.streams: list[Stream] = [Stream(**row) for row in (state or {}).get("streams", [])]
        self.done: set[str] = set((state or {}).get("done", []))
        self._held: IO[bytes] | None = None

    def state(self) -> dict[str, Any]:
        """Return what a later run needs, as JSON can hold it."""
        return {"streams": [asdict(stream) for stream in self.streams], "done": sorted(self.done)}

    def close(self) -> None:
        """Let go of the open file."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def poll(self, *, is_final: bool = False) -> Iterator[Gain]:
        """Yield the lines written since the last poll, oldest file first.

        Parameters
        ----------
        is_final : bool, default False
            Also give out a last line without end.
        """
        yield from self._drain_held()
        for file, key in self._files():
            yield from self._read_file(file, is_final=is_final)
            self.done |= {key} - {""}
        if self._held is not None and not self._is_current(self._held):
            yield from self._drain_held()
            self.close()
        if self._held is None:
            self._held = self._opened()
        del self.streams[:-_MOST_STREAMS]

    def _opened(self) -> IO[bytes] | None:
        """Open the log, to have it even if it is renamed away; None where it is not there, or not for us."""
        try:
            return self.path.open("rb")
        except (FileNotFoundError, PermissionError):
            return None
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def _drain_held(self) -> Iterator[Gain]:
        """Read on in the file held open, unless it was truncated and is another stream by now."""
        if self._held is None:
            return
        try:
            self._held.seek(0)
            head = self._held.read(_HEAD)
            stream = self._stream_of(head)
            if stream is not None:
                yield from self._drain(self._held, stream, head, is_final=False)
        except OSError as error:
            raise _unreadable(self.path, error) from None

    def _files(self) -> list[tuple[Path, str]]:
        """Return the rotated files that changed since they were read, oldest change first, and the log itself last.

        Beside each stands what marks it as read.
        """
        folder = self.path.parent
        if not folder.is_dir():
            return []
        name, stem = re.escape(self.path.name), re.escape(self.path.stem)
        rotated = re.compile(
            translate(self.path.name) if has_magic(self.path.name) else rf"{name}[.-].+|{stem}[._-]\d.*"
        )
        aged, present = [], set()
        for file in folder.iterdir():
            if rotated.fullmatch(file.name) and file != self.path:
                with suppress(FileNotFoundError):
                    status = file.stat()
                    key = f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"
                    present.add(key)
                    aged.append((status.st_mtime_ns, file.suffix in _PACKED, str(file), key))
        fresh = [(Path(name), key) for _, _, name, key in sorted(aged) if key not in self.done]
        self.done &= present
        return [*fresh, (self.path, "")] if self.path.exists() else fresh

    def _read_file(self, file: Path, *, is_final: bool) -> Iterator[Gain]:
        try:
            with file.open("rb") as raw:
                kind = compression_of(raw.read(8))
                raw.seek(0)
                if kind:
                    yield from self._read_packed(file)
                    return
                head = raw.read(_HEAD)
                stream = self._stream_of(head)
                if stream is not None:
                    yield from self._drain(raw, stream, head, is_final=is_final)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unreadable(file, error) from None

    def _stream_of(self, head: bytes) -> Stream | None:
        """Return the stream that begins so, the longest match first; a new one if none does."""
        whole = head[: head.rfind(b"\n") + 1]
        if not whole:
            return None
        known = [stream for stream in self.streams if stream.is_head_of(head, self._key)]
        if not known:
            self.streams.append(Stream(_hash(whole, self._key), len(whole), name=self._name(whole)))
            return self.streams[-1]
        stream = max(known, key=lambda stream: stream.head_bytes)
        stream.learn(whole, self._key)
        return stream

    def _name(self, whole: bytes) -> str:
        """Name a new stream after its first line; files that begin alike are numbered."""
        name = _hash(whole[: whole.index(b"\n")], self._key)[:_NAME_DIGITS]
        n_alike = sum(stream.name.partition("-")[0] == name for stream in self.streams)
        return f"{name}-{n_alike + 1}" if n_alike else name

    def _drain(self, raw: IO[bytes], stream: Stream, head: bytes, *, is_final: bool) -> Iterator[Gain]:
        """Read on to the last whole line."""
        raw.seek(stream.offset)
        half = b""
        while piece := raw.read(_PIECE):
            yield from self._take(half + piece, stream, head)
            half = (half + piece)[(half + piece).rfind(b"\n") + 1 :]
        if half and is_final:
            yield from self._take(half + b"\n", stream, head, n_bytes=len(half))

    @staticmethod
    def _take(data: bytes, stream: Stream, head: bytes, n_bytes: int | None = None) -> Iterator[Gain]:
        end = data.rfind(b"\n") + 1
        if end:
            gain = Gain(data[:end], stream.line_number + 1, stream, stream.offset, head)
            stream.offset += end if n_bytes is None else n_bytes
            stream.line_number += data.count(b"\n", 0, end)
            yield gain

    def _read_packed(self, file: Path) -> Iterator[Gain]:
        """Read on in a compressed copy: its stream is over, so a last line without end is given out."""
        source = Source(str(file), file)
        pieces = source.pieces()
        first = next(pieces, b"")
        while len(first) < _HEAD and (more := next(pieces, b"")):
            first += more
        stream = self._stream_of(first[:_HEAD])
        if stream is None:
            return
        skip, half = stream.offset, b""
        for piece in _chain(first, pieces):
            fresh = piece[skip:]
            skip = max(0, skip - len(piece))
            data = half + fresh
            yield from self._take(data, stream, first[:_HEAD])
            half = data[data.rfind(b"\n") + 1 :]
        if half and not source.problem:
            yield from self._take(half + b"\n", stream, first[:_HEAD], n_bytes=len(half))

    def _is_current(self, raw: IO[bytes]) -> bool:
        try:
            return os.path.samestat(os.fstat(raw.fileno()), self.path.stat())
        except FileNotFoundError:
            return False


def _unreadable(file: Path, error: OSError) -> InputError:
    return InputError(f"{file}: {error.strerror or 'it cannot be read'}", source=file)


def _hash(data: bytes, key: bytes) -> str:
    return blake2b(data, digest_size=16, key=key).hexdigest()


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
