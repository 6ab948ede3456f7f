"""What becomes of a person's events: they go, or are corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fraudlog.subjects.persons import Person
    from fraudlog.subjects.pieces import Pieces

__all__ = ["Edit", "Gone"]


class Gone:
    """Leaves a person's events out, but for lines that are held."""

    def __init__(self, person: Person, held: frozenset[tuple[str, int]], *, keeps: bool = False) -> None:
        self.person = person
        self.held = held
        self.keeps = keeps
        self.rows: list[pa.Table] = []
        self.sessions: frozenset[str] = frozenset()
        self.n_held = 0

    def __call__(self, events: pa.Table) -> pa.Table:
        """Return the events that stay."""
        mask = self.mask(events)
        if self.keeps and mask.any():
            rows = events.filter(pa.array(mask))
            self.rows.append(rows.drop_columns("session_id") if "session_id" in rows.column_names else rows)
        return events.filter(pa.array(~mask)) if mask.any() else events

    def mask(self, events: pa.Table) -> NDArray[np.bool_]:
        """Say which events go."""
        mask = self.person.mask(events)
        return mask & ~_among(events, self.held, mask) if self.held else mask

    @property
    def columns(self) -> list[str]:
        """What of an event `mask` looks at."""
        return [*(["source", "line_number"] if self.held else []), *self.person.pseudonyms]

    def note_sessions(self, pieces: Pieces) -> frozenset[str]:
        """Remember which sessions are theirs, and how many of their events are held."""
        found: set[str] = set()
        for n in range(pieces.n_events):
            rows = pieces.load(n, self.columns)
            mask = self.person.mask(rows)
            if mask.any():
                goes = self.mask(rows)
                self.n_held += int((mask & ~goes).sum())
                ids = pieces.load(n, ["session_id"])["session_id"]
                found |= set(ids.filter(pa.array(goes)).drop_null().to_pylist())
        self.sessions = frozenset(found)
        return self.sessions


class Edit:
    """Corrects columns of a person's events."""

    def __init__(self, person: Person, corrected: dict[str, Any], lines: frozenset[tuple[str, int]] | None) -> None:
        self.person, self.corrected, self.lines = person, corrected, lines

    def mask(self, events: pa.Table) -> NDArray[np.bool_]:
        """Say which events are corrected."""
        mask = self.person.mask(events)
        return mask if self.lines is None else mask & _among(events, self.lines, mask)

    def __call__(self, events: pa.Table) -> pa.Table:
        """Return the events as they should have been."""
        mask = pa.array(self.mask(events))
        for name, value in self.corrected.items():
            place = events.column_names.index(name)
            kind = events.schema.field(name).type
            fixed = pc.if_else(mask, pa.scalar(value).cast(kind), events[name])
            events = events.set_column(place, name, fixed)
        return events


def _among(events: pa.Table, lines: frozenset[tuple[str, int]], asked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which of the events asked about stand in `lines`; few are asked about."""
    found = np.zeros(len(events), bool)
    rows = np.flatnonzero(asked)
    chosen = events.select(["source", "line_number"]).take(pa.array(rows))
    pairs = zip(chosen["source"].to_pylist(), chosen["line_number"].to_pylist(), strict=True)
    found[rows] = [pair in lines for pair in pairs]
    return found
