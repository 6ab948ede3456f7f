"""In which order events came, and what hung on it: which were late, and under which day a rejected line stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.store import Store
    from fraudlog.subjects.pieces import Pieces, Rows

__all__ = ["Arrivals", "logs_of", "newest_before", "order_of", "places_of", "ranks_of"]

_KEYS: Final = ["timestamp", "source", "line_number"]
_DAY_US: Final = 86_400_000_000
_APART_US: Final = 1 << 53
"""More than any time: added once a log, so that what is newest in one says nothing of the next."""


def ranks_of(store: Store, rows: pa.Table) -> NDArray[np.int64]:
    """Return the place of each row's file among the files: log by log, and of a log in the order they were begun."""
    names = pa.array([f"log/{name}" for name in _streams(store)], pa.string())
    rank = pc.index_in(rows["source"].cast(pa.string()), value_set=names)
    places: NDArray[np.int64] = pc.fill_null(rank, 1 << 20).to_numpy().astype(np.int64)
    return places


def _streams(store: Store) -> list[str]:
    return [stream["name"] for stream in store.position.get("log", {}).get("streams", [])]


def logs_of(store: Store, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return of places which of several logs they are in, by the tag before the names of its files; 0 of one log."""
    tags = [name.rpartition("/")[0] for name in _streams(store)]
    number = {tag: n for n, tag in enumerate(dict.fromkeys(tags))}
    of_rank = np.array([*(number[tag] for tag in tags), 0], np.int64)
    found: NDArray[np.int64] = of_rank[np.minimum(places >> 40, len(tags))]
    return found


def order_of(store: Store, places: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order in which lines came: of several logs by the newest time in the line's own (`jobs.merging`)."""
    order = np.argsort(places, kind="stable")
    logs = logs_of(store, places)[order]
    if not logs.any():
        return order
    turns = np.maximum.accumulate(times[order] + logs * _APART_US) - logs * _APART_US
    return order[np.lexsort((np.arange(len(order)), logs, turns))]


def newest_before(
    store: Store, places: NDArray[np.int64], times: NDArray[np.int64], asked: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the newest time of events before some places in their own log; 0 where none was."""
    order = np.argsort(places, kind="stable")
    apart = logs_of(store, places)[order] * _APART_US
    newest = np.maximum.accumulate(np.append(0, times[order] + apart))
    found = newest[np.searchsorted(places[order], asked)] - logs_of(store, asked) * _APART_US
    return np.maximum(found, 0)


def places_of(rows: pa.Table, ranks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return numbers that rise in the order in which lines came."""
    lines: NDArray[np.int64] = rows["line_number"].to_numpy()
    return ranks << 40 | lines


class Arrivals:
    """Tells whether the others would stand where they do without the events that go.

    An event that goes may have been the newest when it came. Later ones were late by it, or a rejected line was put
    under its day; without it neither need be so, unless another event as new had come before them.

    Parameters
    ----------
    store : Store
    pieces : Pieces
    gone : Rows
        Events that go.
    """

    def __init__(self, store: Store, pieces: Pieces, gone: Rows) -> None:
        self.store, self.pieces, self.gone = store, pieces, gone

    def are_as_before(self, lateness_us: int) -> bool:
        """Say whether every late event is late still, and every rejected line stands under its day still."""
        late = [self._staying(n) for n in range(self.pieces.n_events, self.pieces.held)]
        days = {int(time) // _DAY_US for rows in self._gone_rows() for time in _times(rows)}
        manifest, load = self.store.manifest, self.store.load
        rejected = [
            (load(part, self.store.path / part.path, ["source", "line_number"]), _day(part.day))
            for part in manifest.of("rejected")
            if _day(part.day) in days
        ]
        asked = [self._places(rows) for rows in late] + [self._places(rows) for rows, _ in rejected]
        needed = [_times(rows) + lateness_us + 1 for rows in late]
        needed += [np.full(len(rows), day * _DAY_US) for rows, day in rejected]
        if not asked:
            return True
        places, least = np.concatenate(asked), np.concatenate(needed)
        is_late = np.arange(len(places)) < sum(map(len, late))
        if logs_of(self.store, places).any():  # of several logs, what came before a line hangs on all of them
            first_us = min((int(_times(rows).min()) for rows in self._gone_rows()), default=1 << 62)
            return not (is_late & (least > first_us)).any() and self._suffices(places[~is_late], least[~is_late])
        first = min((int(self._places(rows).min()) for rows in self._gone_rows()), default=1 << 62)
        behind = places > first
        return self._suffices(places[behind], least[behind])

    def _suffices(self, places: NDArray[np.int64], least: NDArray[np.int64]) -> bool:
        """Say whether an event as new as is needed stays before each place, in its own log."""
        logs = logs_of(self.store, places)
        return bool((self._newest_before(places) >= least + logs * _APART_US).all())

    def _newest_before(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the newest time of the events that stay and came before each place."""
        order = np.argsort(places, kind="stable")
        newest = np.full(len(places) + 1, -_APART_US)
        for n in range(len(self.pieces.parts) if len(places) else 0):
            if not self.pieces.is_late(n):
                rows = self._staying(n)
                stood = self._places(rows)
                at = np.searchsorted(places[order], stood, side="right")
                np.maximum.at(newest, at, _times(rows) + logs_of(self.store, stood) * _APART_US)
        found = np.empty(len(places), np.int64)
        found[order] = np.maximum.accumulate(newest)[: len(places)]
        return found

    def _staying(self, n: int) -> pa.Table:
        rows = self.pieces.load(n, _KEYS)
        gone = self.gone.of_piece.get(n)
        return rows if gone is None else rows.take(pa.array(np.delete(np.arange(len(rows)), gone)))

    def _gone_rows(self) -> list[pa.Table]:
        of_piece = self.gone.of_piece.items()
        return [self.pieces.load(n, _KEYS).take(pa.array(rows)) for n, rows in of_piece if not self.pieces.is_late(n)]

    def _places(self, rows: pa.Table) -> NDArray[np.int64]:
        return places_of(rows, ranks_of(self.store, rows))


def _times(rows: pa.Table) -> NDArray[np.int64]:
    times: NDArray[np.int64] = rows["timestamp"].cast(pa.int64()).to_numpy()
    return times


def _day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))
