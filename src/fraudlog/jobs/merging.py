"""Several logs as one: lines in the order of time, the same however far each log had come when a run looked.

A line's turn is the newest time in its own log up to it; lines come by their turns, and those of one turn log by log.
So the order is a function of the logs alone, if a line waits until no log can bring one whose turn is earlier: until
every log has come further. A log that falls silent is waited for as long as ``merge.patience`` says, by the time of the
others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from fraudlog.jobs.takes import Take, Taker
from fraudlog.reading.columns import events_table, rejected_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fraudlog.jobs.config import JobConfig
    from fraudlog.jobs.takes import Piece
    from fraudlog.reading.columns import Chunk

__all__ = ["Merger", "taker_of"]

_NEVER: Final = -(1 << 62)
_FOREVER: Final = 1 << 62
_TAG_BYTES: Final = 3


def taker_of(config: JobConfig, key: bytes, position: dict[str, Any], until_us: int | None = None) -> Taker | Merger:
    """Return what reads a configuration's log, or its logs."""
    return Merger(config, key, position, until_us) if config["logs"] else Taker(config, key, position, until_us)


@dataclass
class _Held:
    """Lines that were read and wait for their turn."""

    events: pa.Table
    rejected: pa.Table
    turns: NDArray[np.int64]
    first_line: int
    end_line: int
    piece: Piece

    def part(self, n_events: int) -> tuple[_Held, _Held | None, dict[str, Any]]:
        """Return the lines up to an event, those from it on, and where the reading stands between."""
        if n_events == len(self.turns):
            return self, None, self.piece.position
        line = self.events["line_number"][n_events].as_py()
        is_before = np.asarray(self.rejected["line_number"]) < line
        before = _Held(
            self.events.slice(0, n_events),
            self.rejected.filter(pa.array(is_before)),
            self.turns[:n_events],
            self.first_line,
            line,
            self.piece,
        )
        after = _Held(
            self.events.slice(n_events),
            self.rejected.filter(pa.array(~is_before)),
            self.turns[n_events:],
            line,
            self.end_line,
            self.piece,
        )
        return before, after, self.piece.rolled_back(line)


@dataclass
class _Log:
    """One of the logs, and how far it has come.

    Attributes
    ----------
    newest_us : int
        Newest time read.
    given_us : int
        Newest time given out.
    """

    name: str
    taker: Taker
    position: dict[str, Any]
    newest_us: int
    given_us: int
    held: list[_Held] = field(default_factory=list)
    is_read: bool = False
    is_stopped: bool = False
    n_bytes: int = 0

    def __post_init__(self) -> None:
        self.chunks = self.taker.pieces()

    def read(self) -> None:
        """Read a piece more."""
        found = next(self.chunks, None)
        if found is None:
            self.is_read = True
            return
        chunk, piece, size, self.is_stopped = found
        self.n_bytes += size
        self.held.append(self._hold(chunk, piece))
        if self.is_stopped:  # all behind is of that time or later
            self.is_read, self.newest_us = True, max(self.newest_us, self.taker.until_us or 0)

    def _hold(self, chunk: Chunk, piece: Piece) -> _Held:
        events = events_table([chunk], is_compact=True)
        times = events["timestamp"].cast(pa.int64()).to_numpy()
        turns = np.maximum.accumulate(np.append(self.newest_us, times))[1:]
        self.newest_us = int(turns[-1]) if len(turns) else self.newest_us
        first = piece.gain.first_line
        return _Held(events, rejected_table([chunk]), turns, first, first + chunk.n_lines, piece)

    def give(self, before_us: int) -> list[_Held]:
        """Return the lines whose turn comes before a time, and stand behind them."""
        given: list[_Held] = []
        while self.held:
            part, rest, place = self.held[0].part(int(np.searchsorted(self.held[0].turns, before_us)))
            if rest is not None and not len(part.turns) and part.first_line == part.end_line:
                break
            given.append(part)
            self.position = place
            if rest is not None:
                self.held[0] = rest
                break
            del self.held[0]
        if self.is_read and not self.held and not self.is_stopped and "log" in self.position:
            done = sorted(self.taker.follower.done)
            self.position = self.position | {"log": self.position["log"] | {"done": done}}
        return given


class Merger:
    """Takes what several logs gained.

    Parameters
    ----------
    config : JobConfig
        With ``logs``.
    key : bytes
        Beginnings of files are remembered as hashes with it.
    position : dict
        Of the last `Take`, or empty.
    until_us : int, optional
        Stop in each log before its first event of this time or later.
    """

    def __init__(self, config: JobConfig, key: bytes, position: dict[str, Any], until_us: int | None = None) -> None:
        stood = position.get("logs", {})
        self.patience_us = pd.Timedelta(config["merge.patience"]).value // 1000
        self.take_bytes = config["run.take_mb"]
        self.logs: list[_Log] = []
        for one in config.inputs:
            name = one["log.name"]
            place = stood.get(name, {})
            tag = blake2b(name.encode(), digest_size=_TAG_BYTES, key=key).hexdigest()
            taker = Taker(one, key, place, until_us, tag=f"{tag}/")
            newest = place.get("newest_us", _NEVER)
            self.logs.append(_Log(name, taker, place, newest, newest))
            self.take_bytes = taker.take_bytes

    def __iter__(self) -> Iterator[Take]:
        """Yield takes of about as many bytes as configured; the last may be empty."""
        while reading := [log for log in self.logs if not log.is_read]:
            min(reading, key=lambda log: log.newest_us).read()
            if sum(log.n_bytes for log in self.logs) >= self.take_bytes and any(not log.is_read for log in self.logs):
                given = self._given()
                if any(held for held in given):
                    yield self._take(given)
        yield self._take(self._given())

    def close(self) -> None:
        """Let go of the logs."""
        for log in self.logs:
            log.taker.close()

    def _given(self) -> list[list[_Held]]:
        newest = [log.newest_us for log in self.logs]
        before_us = max(min(newest), max(newest) - self.patience_us) if len(newest) > 1 else _FOREVER
        if any(not log.is_read for log in self.logs):  # the one that lags may come further yet
            before_us = min(before_us, *(log.newest_us for log in self.logs if not log.is_read))
        for log in self.logs:
            log.n_bytes = 0
        return [log.give(before_us) for log in self.logs]

    def _take(self, given: list[list[_Held]]) -> Take:
        parts = [(n, held) for n, helds in enumerate(given) for held in helds]
        newest: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        for n, held in parts:
            source = f"log/{self.logs[n].taker.tag}{held.piece.gain.stream.name}"
            lines, turns = newest.get(source, (np.zeros(0, np.int64), np.array([self.logs[n].given_us])))
            newest[source] = (np.append(lines, held.events["line_number"].to_numpy()), np.append(turns, held.turns))
            if len(held.turns):
                self.logs[n].given_us = int(held.turns[-1])
        events = _joined([held.events for _, held in parts], events_table([]))
        turns = np.concatenate([np.zeros(0, np.int64), *(held.turns for _, held in parts)])
        log = np.repeat([n for n, _ in parts] or [0], [len(held.turns) for _, held in parts] or [0])
        events = events.take(pa.array(np.lexsort((np.arange(len(turns)), log, turns))))
        rejected = _joined([held.rejected for _, held in parts], rejected_table([]))
        n_lines = sum(held.end_line - held.first_line for _, held in parts)
        n_blank = n_lines - len(events) - len(rejected)
        counts = {"lines": n_lines, "events": len(events), "rejected": len(rejected), "blank": n_blank}
        return Take(events, rejected, counts, self._position(), newest)

    def _position(self) -> dict[str, Any]:
        logs = {log.name: log.position | {"newest_us": log.given_us} for log in self.logs}
        streams = [
            {"name": f"{log.taker.tag}{stream['name']}"}
            for log in self.logs
            for stream in log.position.get("log", {}).get("streams", [])
        ]
        return {"logs": logs, "log": {"streams": streams}}


def _joined(tables: list[pa.Table], nothing: pa.Table) -> pa.Table:
    return pa.concat_tables([nothing, *tables], promote_options="default").unify_dictionaries().combine_chunks()
