"""Reading on in a log: what no run has taken yet, cut into takes that each say where the reading stands after them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from fraudlog.errors import ConfigError
from fraudlog.reading import Follower, TrustedProxies, with_named_values
from fraudlog.reading.columns import Chunk, events_table, rejected_table
from fraudlog.reading.fieldmaps import declared
from fraudlog.reading.formats import find_format
from fraudlog.reading.framing import Block
from fraudlog.reading.lines import Options
from fraudlog.reading.pipeline import read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.reading.follow import Gain
    from fraudlog.reading.formats import Format

__all__ = ["Piece", "Take", "Taker"]

_PEEK_BYTES: Final = 8 << 20
_TAKE_UNIT: Final = 1 << 20
_DIRECTIVE: Final = b"#fields:"


@dataclass(frozen=True)
class Take:
    """Some lines, read.

    Attributes
    ----------
    events, rejected : pyarrow.Table
        In the order of the lines, with raw values: nothing here may be written.
    counts : dict of str to int
        Lines, events, rejected and blank.
    position : dict
        What a later `Taker` needs to go on behind these lines, as JSON can hold it.
    newest : dict of str to (ndarray, ndarray), optional
        Of several logs, by source: lines of its events, and the newest time in its log before the first of them and up
        to each.
    """

    events: pa.Table
    rejected: pa.Table
    counts: dict[str, int]
    position: dict[str, Any]
    newest: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] | None = None


@dataclass(frozen=True)
class Piece:
    """A block of lines on its way through the reader, and where the reading stands behind it."""

    gain: Gain
    family: str
    preamble: str
    position: dict[str, Any]

    def rolled_back(self, line: int) -> dict[str, Any]:
        """Return the position as if the block had ended before a line."""
        n_bytes = 0
        for _ in range(line - self.gain.first_line):
            n_bytes = self.gain.data.index(b"\n", n_bytes) + 1
        name = self.gain.stream.name
        moved = {"offset": self.gain.offset + n_bytes, "line_number": line - 1}
        streams = [row | moved if row["name"] == name else row for row in self.position["log"]["streams"]]
        preambles = {key: text for key, text in self.position["preambles"].items() if key != name}
        if header := _header(self.gain.data[:n_bytes], self.gain.first_line, self.family) or self.preamble:
            preambles[name] = header
        return self.position | {"log": self.position["log"] | {"streams": streams}, "preambles": preambles}


class Taker:
    """Takes what a log gained.

    Parameters
    ----------
    config : JobConfig
    key : bytes
        Beginnings of files are remembered as hashes with it.
    position : dict
        Of the last `Take`, or empty.
    until_us : int, optional
        Stop before the first event of this time or later, and leave it and all behind it for another run.
    tag : str, default ""
        Put before the names of the log's files, where there are several logs.
    """

    def __init__(
        self, config: JobConfig, key: bytes, position: dict[str, Any], until_us: int | None = None, *, tag: str = ""
    ) -> None:
        self.tag = tag
        self.follower = Follower(config["log.path"], position.get("log"), key=key)
        self.preambles: dict[str, str] = dict(position.get("preambles", {}))
        self.until_us = until_us
        self.take_bytes = config["run.take_mb"] * _TAKE_UNIT
        self.format, self.options = _reader(config)
        self._done = sorted(self.follower.done)

    def __iter__(self) -> Iterator[Take]:
        """Yield takes of about as many bytes as configured; the last may be empty, and says that all was looked at."""
        held: list[Chunk] = []
        n_bytes, position, is_stopped = 0, self._position(), False
        for chunk, piece, size, is_stopped in self.pieces():  # noqa: B007 -- the last one counts
            held.append(chunk)
            n_bytes += size
            position = piece.position
            if n_bytes >= self.take_bytes:
                yield _take(held, position)
                held, n_bytes = [], 0
        if not is_stopped:  # only now have the rotated files been read to their ends
            done = sorted(self.follower.done)
            position = position | {"log": position["log"] | {"done": done}}
        yield _take(held, position)

    def close(self) -> None:
        """Let go of the log."""
        self.follower.close()

    def _position(self) -> dict[str, Any]:
        streams = self.follower.state()["streams"]
        return {"log": {"streams": streams, "done": self._done}, "preambles": dict(sorted(self.preambles.items()))}

    def pieces(self) -> Iterator[tuple[Chunk, Piece, int, bool]]:
        """Yield parsed blocks with where each stands, its bytes, and whether the reading is to stop there."""
        for _, pieces in groupby(self._pieces(), key=lambda piece: piece.gain.stream.name):
            waiting: deque[tuple[Piece, int]] = deque()
            peeked, size = _peek(pieces)
            blocks = _blocks(chain(peeked, pieces), waiting, self.tag)  # noqa: B031 -- the rest of it
            for chunk, n_bytes in read_blocks(self.format, self.options, blocks, size=size):
                piece, n_before = waiting.popleft()
                whole = _without(chunk, n_before)
                end = None if self.until_us is None else _first_not_before(whole, self.until_us)
                if end is not None:
                    line = int(whole.line_numbers[end])
                    stopped = replace(piece, position=piece.rolled_back(line))
                    yield _before(whole, end, line - piece.gain.first_line), stopped, n_bytes, True
                    return
                yield whole, piece, n_bytes, False

    def _pieces(self) -> Iterator[Piece]:
        """Yield gains, each with the position behind it: that of this moment, for whoever looks ahead moves it on."""
        for gain in self.follower.poll():
            preamble = self.preambles.get(gain.stream.name, "")
            if header := _header(gain.data, gain.first_line, self.format.family):
                self.preambles[gain.stream.name] = header
            yield Piece(gain, self.format.family, preamble, self._position())


def _header(data: bytes, first_line: int, family: str) -> str:
    """Return the line that names the columns of lines after these; empty if it is not among them."""
    if family == "csv" and first_line == 1 and data:
        return _line_at(data, 0)
    if family == "w3c":
        place = data.lower().rfind(b"\n" + _DIRECTIVE) + 1
        if place or data[: len(_DIRECTIVE)].lower() == _DIRECTIVE:
            return _line_at(data, place)
    return ""


def _reader(config: JobConfig) -> tuple[Format, Options]:
    """Return the format and what else a reader has to know; the words are those of `read_log`."""
    if config["log.format"] == "auto":
        raise ConfigError("log.format must be given: `fraudlog job init --log LOG` finds it", parameter="log.format")
    chosen = find_format(config["log.format"])
    fields = dict(config["log.fields"])
    rows = None
    if fields and chosen.family == "text":
        chosen = with_named_values(chosen, fields)
    elif fields:
        rows = declared(fields, chosen.fields)
    try:
        zone = ZoneInfo(config["log.timezone"])
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError("log.timezone is no name of the tz database", parameter="log.timezone") from None
    return chosen, Options(TrustedProxies(config["log.trusted_proxies"]), zone, rows)


def _peek(pieces: Iterator[Piece]) -> tuple[list[Piece], int]:
    """Take the first gains, so that the reader knows whether there is much to read."""
    peeked: list[Piece] = []
    size = 0
    for piece in pieces:
        peeked.append(piece)
        size += len(piece.gain.data)
        if size >= _PEEK_BYTES:
            break
    return peeked, size


def _blocks(pieces: Iterable[Piece], waiting: deque[tuple[Piece, int]], tag: str) -> Iterator[Block]:
    """Make blocks of gains; a stream read on in its middle gets the line that says what its columns are."""
    is_first = True
    for piece in pieces:
        gain = piece.gain
        parts = [piece.preamble.encode("latin-1"), gain.data] if piece.preamble and is_first else [gain.data]
        is_first = False
        waiting.append((piece, len(parts) - 1))
        yield Block(f"log/{tag}{gain.stream.name}", parts, gain.first_line - (len(parts) - 1))


def _line_at(data: bytes, place: int) -> str:
    return data[place : data.index(b"\n", place) + 1].decode("latin-1")


def _without(chunk: Chunk, n_before: int) -> Chunk:
    """Return a chunk without the line that was put before its own; it carries no record."""
    return replace(chunk, n_lines=chunk.n_lines - n_before, n_blank=chunk.n_blank - n_before) if n_before else chunk


def _first_not_before(chunk: Chunk, until_us: int) -> int | None:
    """Return the position of the chunk's first event of this time or later, or None."""
    is_late = np.asarray(chunk.columns["timestamp"][0] if chunk.n_events else [], np.int64) >= until_us
    return int(is_late.argmax()) if is_late.any() else None


def _before(chunk: Chunk, end: int, n_lines: int) -> Chunk:
    """Return the first lines of a chunk, which hold its first `end` events."""
    line = int(chunk.line_numbers[end])
    columns = {
        name: tuple(None if part is None else part[:end] for part in column)
        if isinstance(column, tuple)
        else column[:end]
        for name, column in chunk.columns.items()
    }
    rejects = [reject for reject in chunk.rejects if reject.line_number < line]
    n_blank = n_lines - end - len(rejects)
    numbers = chunk.line_numbers[:end]
    return replace(chunk, line_numbers=numbers, columns=columns, rejects=rejects, n_lines=n_lines, n_blank=n_blank)


def _take(chunks: list[Chunk], position: dict[str, Any]) -> Take:
    events, rejected = events_table(chunks, is_compact=True), rejected_table(chunks)
    counts = {
        "lines": sum(chunk.n_lines for chunk in chunks),
        "events": len(events),
        "rejected": len(rejected),
        "blank": sum(chunk.n_blank for chunk in chunks),
    }
    return Take(events, rejected, counts, position)
