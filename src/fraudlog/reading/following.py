"""`follow_log`: batches of events from a log that is written and rotated meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError, FormatError
from fraudlog.reading.careful import make_reader
from fraudlog.reading.detect import HEAD_BYTES, detect
from fraudlog.reading.follow import Follower
from fraudlog.reading.framing import Block
from fraudlog.reading.lines_named import NamedValues
from fraudlog.reading.log import Run
from fraudlog.reading.pipeline import fast_reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import tzinfo
    from pathlib import Path

    from fraudlog.reading.columns import Chunk
    from fraudlog.reading.follow import Gain
    from fraudlog.reading.formats import Format
    from fraudlog.reading.lines import LineReader
    from fraudlog.reading.log import Privacy
    from fraudlog.reading.parsed import ParsedLog

__all__ = ["follow_log"]

_BATCH_BYTES: Final = 32 << 20
_WORTH_BYTES: Final = 4 << 20


def follow_log(
    path: str | Path | Follower,
    format: str = "auto",  # noqa: A002 -- the word of every reader
    *,
    interval_s: float | None = 1.0,
    batch_bytes: int = _BATCH_BYTES,
    fields: Mapping[str, Any] | None = None,
    trusted_proxies: Iterable[str] = (),
    timezone: str | tzinfo = "UTC",
    privacy: Privacy | None = None,
) -> Iterator[ParsedLog]:
    r"""Read on in a log while it is written and rotated: nothing lost, nothing twice.

    Parameters
    ----------
    path : str, Path or Follower
        The log as the server calls it. Pass a `Follower` to keep its state: after each batch ``follower.state()`` says
        what was given out, so store it when the batch is dealt with.
    format : str, default "auto"
        As for `read_log`; told from the first lines that come. Name it for a log that begins with few lines.
    interval_s : float or None, default 1.0
        Seconds between two looks at the log. None: return when all there is was read.
    batch_bytes : int, default 32 MiB
        Bytes of log in a batch, at most, about.
    fields, trusted_proxies, timezone, privacy
        As for `read_log`.

    Yields
    ------
    ParsedLog
        The new lines, as soon as there are some. Line numbers are those of the file they were first written to.

    Raises
    ------
    FormatError
        If no format fits the first 256 KiB.
    ConfigError
        If a parameter is out of range.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> log = pathlib.Path(tempfile.mkdtemp()) / "access.log"
    >>> line = b'192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 2326\n'
    >>> _ = log.write_bytes(line + line[:20])
    >>> follower = Follower(log)
    >>> [batch.summary.events for batch in follow_log(follower, interval_s=None)]
    [1]
    >>> _ = log.write_bytes(line * 3)
    >>> [batch.table["line_number"].to_pylist() for batch in follow_log(follower, interval_s=None)]
    [[2, 3]]
    >>> follower.close()
    """
    if interval_s is not None and interval_s <= 0:
        raise ConfigError("interval_s must be above 0, or None to read once", parameter="interval_s")
    follower = path if isinstance(path, Follower) else Follower(path)
    run = Run(None, format, fields, trusted_proxies, timezone)
    run.privacy = privacy
    reading = _Following(run, str(follower.path), batch_bytes)
    try:
        yield from reading.batches(follower.poll())
        while interval_s is not None:
            time.sleep(interval_s)
            yield from reading.batches(follower.poll())
        yield from reading.rest()
    finally:
        if follower is not path:
            follower.close()


class _Following:
    """What is kept from poll to poll: the format, once told, and its readers."""

    def __init__(self, run: Run, source: str, batch_bytes: int) -> None:
        self.run, self.source, self.batch_bytes = run, source, batch_bytes
        self.waiting: list[Gain] = []
        self.head = b""
        self.careful: LineReader | None = None
        self.quick: LineReader | None = None
        if run.chosen is not None:
            self._begin(run.chosen)

    def batches(self, gains: Iterator[Gain]) -> Iterator[ParsedLog]:
        """Yield the events of some gains."""
        size = 0
        for gain in gains:
            self.waiting.append(gain)
            size += len(gain.data)
            if size >= self.batch_bytes and self._can_read():
                yield self._read()
                size = 0
        if self.waiting and self._can_read():
            yield self._read()

    def rest(self) -> Iterator[ParsedLog]:
        """Yield the events of lines that were too few to tell their format; raise if it can't be told."""
        if self.waiting:
            self._tell(b"".join(gain.data for gain in self.waiting))
            yield self._read()

    def _can_read(self) -> bool:
        if self.careful is not None:
            return True
        data = b"".join(gain.data for gain in self.waiting)
        try:
            self._tell(data)
        except FormatError:
            if len(data) >= HEAD_BYTES:
                raise
            return False
        return True

    def _tell(self, data: bytes) -> None:
        head = self.waiting[0].head if self.waiting[0].first_line > 1 else b""
        lines = head[: head.rfind(b"\n") + 1] + data
        self._begin(detect(lines[:HEAD_BYTES], self.source, self.run.options))

    def _begin(self, chosen: Format) -> None:
        self.run.formats[chosen.name] = None
        self.run.chosen = chosen
        self.careful = make_reader(chosen, self.run.options)

    def _read(self) -> ParsedLog:
        gains, self.waiting = self.waiting, []
        return self.run.collect([self._chunk(gain) for gain in gains], is_compact=True)

    def _chunk(self, gain: Gain) -> Chunk:
        careful = self.careful
        if careful is None or self.run.chosen is None:
            raise TypeError("the format is not known yet")
        is_other = not gain.head.startswith(self.head)
        if isinstance(careful, NamedValues) and gain.first_line > 1 and (is_other or careful.names is None):
            careful.start()
            for line in gain.head.split(b"\n")[:-1]:
                if careful.names is None:
                    careful.read(line)
        self.head = gain.head
        if len(gain.data) < _WORTH_BYTES:
            return careful.read_block(Block(self.source, [gain.data], gain.first_line))
        self.quick = self.quick or fast_reader(self.run.chosen, self.run.options) or careful
        self.quick.go_on_from(careful)
        return self.quick.read_block(Block(self.source, [gain.data], gain.first_line))
