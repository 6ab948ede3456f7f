"""Holds: confirmed fraud, kept past its time and past an objection, under a written ground and an end.

A hold names sessions, never a person, and can't outlast the class ``fraud`` of retention. Whatever is erased leaves the
list too.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

from fraudlog.errors import ConfigError, InputError
from fraudlog.privacy.retention import RETENTION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

__all__ = ["Hold", "Holds"]


@dataclass(frozen=True, slots=True)
class Hold:
    """One case.

    Parameters
    ----------
    sessions : tuple of str
        Ids of the sessions that are the evidence.
    ground : str
        Why they must be kept, in words.
    reviewer : str
        Who decided it.
    since, until : str
        ISO 8601.
    """

    sessions: tuple[str, ...]
    ground: str
    reviewer: str
    since: str
    until: str


class Holds:
    """All cases.

    Parameters
    ----------
    holds : iterable of Hold

    Examples
    --------
    >>> since, until = datetime(2026, 1, 1).astimezone(), datetime(2027, 1, 1).astimezone()
    >>> holds = Holds().adding(["3f9c"], "chargeback 12, police informed", "R. Viewer", since, until)
    >>> holds.sessions(since), holds.sessions(until)
    (frozenset({'3f9c'}), frozenset())
    """

    def __init__(self, holds: Iterable[Hold] = ()) -> None:
        self.holds = tuple(holds)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the list at `path`; one that is not there is empty.

        Raises
        ------
        InputError
            If it is damaged.
        """
        try:
            rows = json.loads(path.read_bytes()) if path.exists() else []
            return cls(Hold(tuple(row.pop("sessions")), **row) for row in rows)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError(f"{path}: the list of holds is damaged; restore it from a copy", source=path) from None

    def save(self, path: Path) -> None:
        """Write the list in one step, readable by its owner alone."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            json.dump([asdict(hold) for hold in self.holds], out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)

    def adding(self, sessions: Collection[str], ground: str, reviewer: str, since: datetime, until: datetime) -> Holds:
        """Return the list with one more case.

        Raises
        ------
        ConfigError
            If ground or reviewer is missing, or the end lies before the beginning or beyond the longest time.
        """
        for name, value in (("ground", ground), ("reviewer", reviewer), ("sessions", "".join(sessions))):
            if not value.strip():
                raise ConfigError(f"a hold needs its {name}", parameter=name)
        days = RETENTION["fraud"].days
        if not 0 < (until - since).total_seconds() <= days * 86_400:
            raise ConfigError(f"a hold ends within {days} days of its beginning", parameter="until")
        hold = Hold(tuple(sorted(sessions)), ground, reviewer, since.isoformat(), until.isoformat())
        return Holds((*self.holds, hold))

    def sessions(self, now: datetime) -> frozenset[str]:
        """Return the sessions held at `now`."""
        return frozenset(
            session for hold in self.holds if datetime.fromisoformat(hold.until) > now for session in hold.sessions
        )

    def without(self, sessions: Collection[str], now: datetime) -> Holds:
        """Return the list without some sessions, and without the cases that are over or hold none any more."""
        left = (
            Hold(kept, hold.ground, hold.reviewer, hold.since, hold.until)
            for hold in self.holds
            if datetime.fromisoformat(hold.until) > now
            and (kept := tuple(one for one in hold.sessions if one not in sessions))
        )
        return Holds(left)
