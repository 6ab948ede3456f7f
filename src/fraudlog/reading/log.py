"""`read_log` and `iter_log`: a log in, a table of events and one of rejects out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError, FormatError, InputError
from fraudlog.reading.client_ip import TrustedProxies
from fraudlog.reading.columns import Chunk, Interners, events_table, rejected_table
from fraudlog.reading.detect import HEAD_BYTES, detect
from fraudlog.reading.fieldmaps import declared
from fraudlog.reading.formats import Format, find_format
from fraudlog.reading.frames import frame_batches, is_frame, open_parquet, read_frame
from fraudlog.reading.framing import frame
from fraudlog.reading.lines import Options
from fraudlog.reading.parsed import ParsedLog, Summary
from fraudlog.reading.pipeline import read_blocks
from fraudlog.reading.sources import Source, find_sources
from fraudlog.reading.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fraudlog.reading.decompress import Caps

__all__ = ["Privacy", "Run", "iter_log", "read_log"]

_PARQUET: Final = b"PAR1"
_BATCH_BYTES: Final = 32 << 20


class Privacy(Protocol):
    """What becomes of the tables before they leave the reader; `fraudlog.enriching.Shield` is one."""

    def __call__(self, events: pa.Table, rejected: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Return both tables as they may be seen; together they have as many rows as before."""


def read_log(  # noqa: PLR0913 -- each is a thing a log may need said
    path: Any,  # noqa: ANN401 -- see Parameters
    format: str = "auto",  # noqa: A002 -- the word of every reader
    *,
    fields: Mapping[str, Any] | None = None,
    trusted_proxies: Iterable[str] = (),
    timezone: str | tzinfo = "UTC",
    max_reject_share: float | None = None,
    keep_half: bool = True,
    caps: Caps | None = None,
    threads: int | None = None,
    privacy: Privacy | None = None,
) -> ParsedLog:
    r"""Read a whole access or device log.

    Parameters
    ----------
    path : str, Path, file object, frame, or a list of them
        A file (plain, gzip, bzip2, xz, zstd, Parquet), glob, folder, ``"-"`` for standard input, a URL for fsspec, or a
        pandas, polars or Arrow frame.
    format : str, default "auto"
        Name of a format (``formats.all_formats``), or the string of an nginx ``log_format`` or Apache ``LogFormat``.
    fields : mapping, optional
        Column of events to the name of its value in the log (dotted into objects), or a `fieldmaps.Field` with unit and
        renamed values. For text formats, to the name of a variable.
    trusted_proxies : iterable of str
        Networks of your own proxies. Behind them the client is the rightmost hop of ``X-Forwarded-For`` or
        ``Forwarded`` that is not one of them. Without any, the header is not read.
    timezone : str or tzinfo, default "UTC"
        Zone of times that do not say.
    max_reject_share : float, optional
        Raise if more than this share of the lines (0 to 1) is rejected.
    keep_half : bool, default True
        Read a last line that has no end. False leaves it to the next reading.
    caps : Caps, optional
        Limits for compressed files.
    threads : int, optional
        Threads for large logs; by default two where the accelerator is installed.
    privacy : Privacy, optional
        Takes the identifiers out before the tables leave the reader, see `fraudlog.enriching.Shield`. Without it the
        tables hold raw values, in memory alone; nothing here writes.

    Returns
    -------
    ParsedLog

    Raises
    ------
    InputError
        If a file is missing or can't be read.
    FormatError
        If no format fits, a file unpacks beyond the caps, or too many lines are rejected.
    ConfigError
        If a parameter is out of range.

    Examples
    --------
    >>> import io
    >>> log = read_log(io.BytesIO(b'192.0.2.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b HTTP/1.0" 200 2326\n'))
    >>> log.table["path"][0].as_py(), log.table["status"][0].as_py(), log.summary.format
    ('/a', 200, 'common')
    """
    if max_reject_share is not None and not 0 <= max_reject_share <= 1:
        raise ConfigError("max_reject_share must lie between 0 and 1", parameter="max_reject_share")
    if path is None:
        raise ConfigError("path is None: name a file, a pattern, a file object or a frame", parameter="path")
    run = Run(path, format, fields, trusted_proxies, timezone, keep_half=keep_half, caps=caps, threads=threads)
    run.privacy = privacy
    log = run.collect(list(run.chunks()))
    share = log.summary.reject_share
    if max_reject_share is not None and share > max_reject_share:
        main = max(log.summary.reasons, key=log.summary.reasons.__getitem__)
        raise FormatError(
            f"{run.label}: {share:.2%} of the lines were rejected, more than {max_reject_share:.2%}; mostly {main}",
            source=run.label,
        )
    return log


def iter_log(  # noqa: PLR0913 -- as above
    path: Any,  # noqa: ANN401 -- see `read_log`
    format: str = "auto",  # noqa: A002 -- as above
    *,
    batch_bytes: int = _BATCH_BYTES,
    fields: Mapping[str, Any] | None = None,
    trusted_proxies: Iterable[str] = (),
    timezone: str | tzinfo = "UTC",
    keep_half: bool = True,
    caps: Caps | None = None,
    threads: int | None = None,
    privacy: Privacy | None = None,
) -> Iterator[ParsedLog]:
    """Read a log of any size in batches of bounded memory, in order.

    Parameters
    ----------
    path, format, fields, trusted_proxies, timezone, keep_half, caps, threads, privacy
        As for `read_log`.
    batch_bytes : int, default 32 MiB
        Bytes of unpacked log in a batch, about.

    Yields
    ------
    ParsedLog
        Each with its own tables, dictionaries and summary. A later batch may have more columns than an earlier one, if
        a record brought a value that none had before.
    """
    run = Run(path, format, fields, trusted_proxies, timezone, keep_half=keep_half, caps=caps, threads=threads)
    run.privacy = privacy
    held: list[Chunk] = []
    size = 0
    for chunk, n_bytes in run.sized_chunks():
        held.append(chunk)
        size += n_bytes
        if size >= batch_bytes:
            yield run.collect(held, is_compact=True)
            held, size = [], 0
    if held:
        yield run.collect(held, is_compact=True)


class Run:
    """One reading: the sources, the options, and what was found on the way."""

    def __init__(
        self,
        path: Any,  # noqa: ANN401 -- see `read_log`
        format_: str,
        fields: Mapping[str, Any] | None,
        proxies: Iterable[str],
        timezone: str | tzinfo,
        *,
        keep_half: bool = True,
        caps: Caps | None = None,
        threads: int | None = None,
    ) -> None:
        self.privacy: Privacy | None = None
        self.chosen = None if format_ == "auto" else find_format(format_)
        self.frame = path if is_frame(path) else None
        self.sources = [] if self.frame is not None or path is None else find_sources(path, caps)
        self.label = str(path) if isinstance(path, str) else "the log"
        self.keep_half, self.threads = keep_half, threads
        self.n_bytes = 0
        self.problems: dict[str, str] = {}
        self.formats: dict[str, None] = {}
        self.fields = fields
        known = self.chosen.fields if self.chosen is not None else ()
        is_text = self.chosen is not None and self.chosen.family == "text"
        rows = declared(fields, known) if fields is not None and not is_text else None
        if is_text and fields is not None and self.chosen is not None:
            self.chosen = with_named_values(self.chosen, fields)
        self.options = Options(TrustedProxies(proxies), _zone(timezone), rows)

    def chunks(self) -> Iterator[Chunk]:
        """Yield the parsed blocks of all sources."""
        for chunk, _ in self.sized_chunks():
            yield chunk

    def sized_chunks(self) -> Iterator[tuple[Chunk, int]]:
        """Yield each parsed block with the number of bytes it came from."""
        if self.frame is not None:
            self.formats["frame"] = None
            for chunk in read_frame(frame_batches(self.frame), "<frame>", self.options, Interners()):
                yield chunk, 200 * chunk.n_lines
            return
        first_error: InputError | None = None
        n_read = 0
        for source in self.sources:
            try:
                yield from self._one(source)
                n_read += 1
            except InputError as error:
                if not source.may_fail:
                    raise
                first_error = first_error or error
                self.problems[source.name] = str(error).removeprefix(f"{source.name}: ")
        if not n_read and first_error is not None:
            raise first_error

    def _one(self, source: Source) -> Iterator[tuple[Chunk, int]]:
        pieces = source.pieces()
        head = next(pieces, b"")
        while b"\n" not in head[:HEAD_BYTES] and len(head) < HEAD_BYTES and (more := next(pieces, b"")):
            head += more
        if head.startswith(_PARQUET):
            yield from self._parquet(source)
            return
        if not head.strip():
            chosen = self.chosen or find_format("common")
        else:
            chosen = self.chosen or detect(head[:HEAD_BYTES], source.name, self.options)
            self.formats[chosen.name] = None
        blocks = frame(source.name, _chain(head, pieces), keep_half=self.keep_half)
        n_events, before = 0, self.n_bytes
        for chunk, n_bytes in read_blocks(
            chosen, self.options, blocks, size=source.size, before=before, threads=self.threads
        ):
            n_events += chunk.n_events
            self.n_bytes += n_bytes
            yield chunk, n_bytes
        if source.problem:
            self._note_problem(source, n_events)

    def _note_problem(self, source: Source, n_events: int) -> None:
        """Keep what was wrong with the end of a source; where nothing came before it, that is an error."""
        if not n_events:
            raise InputError(f"{source.name}: {source.problem}", source=source.name)
        self.problems[source.name] = source.problem

    def _parquet(self, source: Source) -> Iterator[tuple[Chunk, int]]:
        if not isinstance(source.target, Path):
            raise InputError(f"{source.name}: Parquet is read from a path; pass one, or a frame", source=source.name)
        self.formats["parquet"] = None
        for chunk in read_frame(open_parquet(source.target), source.name, self.options, Interners()):
            yield chunk, 200 * chunk.n_lines

    def collect(self, chunks: list[Chunk], *, is_compact: bool = False) -> ParsedLog:
        """Join chunks and sum them up."""
        table, rejected = events_table(chunks, is_compact=is_compact), rejected_table(chunks)
        if self.privacy is not None:
            table, rejected = self.privacy(table, rejected)
        reasons = Counter(rejected["reason"].to_pylist())
        first, last = _range(table)
        sources = tuple(dict.fromkeys(chunk.source for chunk in chunks)) or tuple(s.name for s in self.sources)
        summary = Summary(
            sources,
            ", ".join(self.formats) or "none",
            sum(chunk.n_lines for chunk in chunks),
            table.num_rows,
            sum(reasons.values()),
            sum(chunk.n_blank for chunk in chunks),
            dict(reasons.most_common()),
            first,
            last,
            pc.sum(table["is_truncated"]).as_py() or 0,
            dict(self.problems),
            _dropped(chunks),
        )
        return ParsedLog(table, rejected, summary)


def with_named_values(chosen: Format, fields: Mapping[str, Any]) -> Format:
    """Return a text format in which the caller's variables fill columns, as ``{"session_token": "cookie_sid"}``."""
    declared(fields)
    layouts = []
    for layout in chosen.layouts:
        parts = [
            replace(part, variable=Variable(column, "text", part.variable.pattern, part.variable.is_free))
            if (column := next((c for c, name in fields.items() if name == part.name), None))
            else part
            for part in layout.parts
        ]
        layouts.append(replace(layout, parts=tuple(parts)))
    return replace(chosen, layouts=tuple(layouts))


def _zone(timezone: str | tzinfo) -> tzinfo:
    if isinstance(timezone, tzinfo):
        return timezone
    try:
        return UTC if timezone == "UTC" else ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError(f"timezone {timezone!r} is not a name of the tz database", parameter="timezone") from None


def _dropped(chunks: Iterable[Chunk]) -> dict[str, int]:
    counted = Counter[str]()
    for chunk in chunks:
        counted.update(chunk.dropped)
    return dict(sorted(counted.items()))


def _range(table: pa.Table) -> tuple[datetime | None, datetime | None]:
    if not table.num_rows:
        return None, None
    found = pc.min_max(table["timestamp"].cast(pa.int64())).as_py()
    return tuple(datetime.fromtimestamp(found[side] / 1e6, UTC) for side in ("min", "max"))  # type: ignore[return-value]


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest
