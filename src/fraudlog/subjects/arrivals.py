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

__all__ = ["Arrivals", "places_of", "ranks_of"]

_KEYS: Final = ["timestamp", "source", "line_number"]
_DAY_US: Final = 86_400_000_000
_NEVER: Final = -(1 << 62)


def ranks_of(store: Store, rows: pa.Table) -> NDArray[np.int64]:
    """Return the place of each row's file among the log's files, in the order they were begun."""
    streams = store.position.get("log", {}).get("streams", [])
    names = pa.array([f"log/{stream['name']}" for stream in streams], pa.string())
    rank = pc.index_in(rows["source"].cast(pa.string()), value_set=names)
    places: NDArray[np.int64] = pc.fill_null(rank, 1 << 20).to_numpy().astype(np.int64)
    return places


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
        first = min((int(self._places(rows).min()) for rows in self._gone_rows()), default=1 << 62)
        behind = places > first
        return bool((self._newest_before(places[behind]) >= least[behind]).all())

    def _newest_before(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the newest time of the events that stay and came before each place."""
        order = np.argsort(places, kind="stable")
        newest = np.full(len(places) + 1, _NEVER)
        for n in range(len(self.pieces.parts) if len(places) else 0):
            if not self.pieces.is_late(n):
                rows = self._staying(n)
                at = np.searchsorted(places[order], self._places(rows), side="right")
                np.maximum.at(newest, at, _times(rows))
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
