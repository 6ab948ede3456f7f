"""The events of a store in pieces, a part each and what is carried on, and which rows of each are asked about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from fraudlog.store.tables import TABLES, conform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import date

    from numpy.typing import NDArray

    from fraudlog.jobs.carried import Carried
    from fraudlog.store import Store
    from fraudlog.store.manifest import Part

    Mask = Callable[[pa.Table], NDArray[np.bool_]]

__all__ = ["Pieces", "Rows", "day_of"]

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


@dataclass(frozen=True)
class Rows:
    """Rows of the pieces, and when they were.

    Attributes
    ----------
    of_piece : dict of int to ndarray of int64
        Number of a piece to its rows; pieces without one are left out.
    first_us : int
        Time of the first of them.
    """

    of_piece: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    first_us: int = 1 << 62

    def __len__(self) -> int:
        return sum(map(len, self.of_piece.values()))


class Pieces:
    """Where the events of a store stand.

    Parameters
    ----------
    store : Store
    carried : Carried

    Attributes
    ----------
    parts : list of Part or pyarrow.Table
        Parts of events, parts of late events, events of sessions that wait, and of open sessions: as the numbers say.
    """

    def __init__(self, store: Store, carried: Carried) -> None:
        self.store = store
        events, late = store.manifest.of("events"), store.manifest.of("late")
        self.parts: list[Part | pa.Table] = [*events, *late, carried.held_events, carried.events]
        self.n_events = len(events)
        self.held, self.opened = len(self.parts) - 2, len(self.parts) - 1
        self._of_day: dict[str, list[int]] = {}
        for n, part in enumerate(events):
            self._of_day.setdefault(part.day, []).append(n)

    def is_late(self, n: int) -> bool:
        """Say whether a piece holds events that came too late for a session."""
        return self.n_events <= n < self.held

    def load(self, n: int, columns: Iterable[str] | None = None) -> pa.Table:
        """Return a piece: of some columns, those it lacks left out, or of all columns of late events."""
        part = self.parts[n]
        if isinstance(part, pa.Table):
            table = part if columns is None else part.select([name for name in columns if name in part.column_names])
        else:
            wanted = None if columns is None else list(columns)
            if self.is_late(n) and wanted is not None:
                wanted = [name for name in wanted if name != "session_id"]
            table = self.store.load(part, self.store.path / part.path, wanted)
        if columns is not None:
            return table
        return conform(
            table.drop_columns("session_id") if "session_id" in table.column_names else table, TABLES["late"]
        )

    def search(self, columns: list[str], mask: Mask) -> Rows:
        """Return the rows for which a mask holds, which reads some columns of theirs."""
        found, first_us = {}, 1 << 62
        for n in range(len(self.parts)):
            rows = np.flatnonzero(mask(self.load(n, columns)))
            if len(rows):
                found[n] = rows
                times = self.load(n, ["timestamp"])["timestamp"].take(pa.array(rows))
                first_us = min(first_us, times.cast(pa.int64()).to_numpy().min().item())
        return Rows(found, first_us)

    def tables(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield all pieces with some columns alone."""
        for n in range(len(self.parts)):
            yield self.load(n, columns)

    def near(self, times: NDArray[np.int64], before_us: int, after_us: int) -> list[int]:
        """Return the pieces that may hold an event so near to one of some times; those carried on always."""
        days: set[int] = set()
        for hour in np.unique(times // _HOUR_US).tolist():
            begin, end = hour * _HOUR_US - before_us, (hour + 1) * _HOUR_US + after_us
            days.update(range(begin // _DAY_US, end // _DAY_US + 1))
        named = (day_of(day * _DAY_US).isoformat() for day in sorted(days))
        return [n for day in named for n in self._of_day.get(day, ())] + [self.held, self.opened]


def day_of(time_us: int) -> date:
    """Return the day of a time."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(time_us))).date()
