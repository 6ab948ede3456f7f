"""Where open sessions are kept: the interface, and the one inside this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fraudlog.deciding.targets import COLUMN_OF
from fraudlog.serving.memory import LocalMemory, Notes, Settled, Target, settle
from fraudlog.sessions import LiveFeatures, LiveSession
from fraudlog.sessions.codes import Codes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.deciding import Policy, Scope
    from fraudlog.deciding.scoping import Ruling
    from fraudlog.sessions import Definition, Population

__all__ = ["LocalState", "Seen", "State"]


@dataclass(slots=True)
class Seen:
    """A session as of one event.

    Attributes
    ----------
    session_id : str
    values : list of float
        Features in the order of the catalogue.
    start_us, end_us : int
    entities : dict
        What it is, by the columns of `fraudlog.schema.SESSIONS`.
    targets : dict of scope to Target
        Its account, network and profile, hashed.
    notes : Notes
        What is remembered of it for deciding.
    is_estimated : bool
        Whether some counts are estimates because it has more distinct values than are kept.
    fallback : str or None
        A code of `FALLBACKS`, if the state could not be reached.
    """

    session_id: str
    values: list[float]
    start_us: int
    end_us: int
    entities: Mapping[str, Any]
    targets: dict[Scope, Target]
    notes: Notes
    is_estimated: bool = False
    fallback: str | None = None


class State(Protocol):
    """Keeps open sessions and the memory of verdicts."""

    def begin(self, event: Mapping[str, Any]) -> Seen:
        """Take an event, with its derived columns, into its session."""
        ...

    def settle(self, seen: Seen, ruling: Ruling, policy: Policy, *, is_human: bool) -> Settled:
        """Remember what was ruled."""
        ...


class LocalState:
    """The state of one process, in its memory.

    Parameters
    ----------
    definition, key, population, max_sessions
        As `LiveFeatures`.
    on_end : callable, optional
        Takes each session that ended. Called while the state is locked: hand it on and return.
    """

    def __init__(
        self,
        definition: Definition | None = None,
        *,
        key: bytes = b"",
        population: Population | None = None,
        max_sessions: int = 100_000,
        on_end: Callable[[LiveSession], None] | None = None,
    ) -> None:
        self.live = LiveFeatures(
            definition, key=key, population=population, max_sessions=max_sessions, on_end=on_end or _forget
        )
        self.memory = LocalMemory(2 * max_sessions)
        self._code = Codes(key)
        self._lock = threading.Lock()
        self._notes: dict[str, Notes] = {}

    def __len__(self) -> int:
        return len(self.live)

    def begin(self, event: Mapping[str, Any]) -> Seen:
        """Take an event, with its derived columns, into its session."""
        with self._lock:
            values = self.live.observe(event)
            session = self.live.current
            identity = session.session_id
            notes = self._notes.setdefault(identity, Notes())
            row = session.row()
            return Seen(identity, values, session.start_us, session.end_us, row, self.targets(row), notes)

    def targets(self, row: Mapping[str, Any]) -> dict[Scope, Target]:
        """Return the account, network and profile of a session, hashed."""
        return {
            scope: (scope, self._code(row[column])) for scope, column in COLUMN_OF.items() if row[column] is not None
        }

    def settle(self, seen: Seen, ruling: Ruling, policy: Policy, *, is_human: bool) -> Settled:
        """Remember what was ruled."""
        span = (seen.start_us, seen.end_us)
        with self._lock:
            return settle(ruling, seen.targets, seen.notes, span, policy, self.memory, is_human=is_human)

    def close(self) -> None:
        """End all sessions."""
        with self._lock:
            self.live.close()


def _forget(session: LiveSession) -> None:
    """Let an ended session go."""
