"""Where open sessions are kept: the interface, and the one inside this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fraudlog.deciding.targets import COLUMN_OF
from fraudlog.serving.memory import LocalMemory, Notes, Settled, Target, settle
from fraudlog.serving.sizes import Size, sizes_of
from fraudlog.sessions import LiveFeatures, LiveSession
from fraudlog.sessions.live_saving import Saver

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fraudlog.deciding import Policy, Scope, Today
    from fraudlog.deciding.scoping import Ruling
    from fraudlog.sessions import Definition, Population
    from fraudlog.sessions.codes import Codes

    Admits = Callable[[Today], bool] | None

__all__ = ["LocalState", "Seen", "State", "seen_in", "targets_of"]


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
    slot : object
        The state's own.
    """

    session_id: str
    values: NDArray[np.float64]
    start_us: int
    end_us: int
    entities: Mapping[str, Any]
    targets: dict[Scope, Target]
    notes: Notes
    is_estimated: bool = False
    fallback: str | None = None
    slot: Any = None


class State(Protocol):
    """Keeps open sessions and the memory of verdicts.

    Attributes
    ----------
    waits : bool
        Whether a call may wait for a network: an event loop then asks it from a thread.
    """

    waits: bool

    def begin(self, event: Mapping[str, Any]) -> Seen:
        """Take an event, with its derived columns, into its session."""
        ...

    def settle(self, seen: Seen, ruling: Ruling, policy: Policy, *, is_human: bool, admits: Admits = None) -> Settled:
        """Remember what was ruled; see `fraudlog.serving.memory.settle`."""
        ...

    def peek(self, key: str | Mapping[str, Any]) -> Seen | None:
        """Return an open session by its id, or by an event of its client, without touching it."""
        ...

    def keep(self, seen: Seen) -> None:
        """Take in a session about which nothing was ruled."""
        ...

    def use(self, population: Population | None) -> None:
        """Take the rarities of another model."""
        ...

    def sizes(self) -> dict[str, Size]:
        """Return how full each table in this process is."""
        ...

    def close(self) -> None:
        """End all sessions, or let go of what holds them."""
        ...


class LocalState:
    """The state of one process, in its memory, bounded in sessions, bytes and distinct values.

    Parameters
    ----------
    definition, key, population, max_sessions, max_bytes, exact_values
        As `LiveFeatures`.
    on_end : callable, optional
        Takes each session that ended. Called while the state is locked: hand it on and return.
    """

    waits = False

    def __init__(
        self,
        definition: Definition | None = None,
        *,
        key: bytes = b"",
        population: Population | None = None,
        max_sessions: int = 100_000,
        max_bytes: int | None = 1 << 30,
        exact_values: int | None = 1024,
        on_end: Callable[[LiveSession], None] | None = None,
    ) -> None:
        self._on_end = on_end
        self.live = LiveFeatures(
            definition,
            key=key,
            population=population,
            max_sessions=max_sessions,
            max_bytes=max_bytes,
            exact_values=exact_values,
            on_end=self._ended,
        )
        self.saver = Saver(self.live)
        self.memory = LocalMemory(2 * max_sessions)
        self.lock = threading.Lock()
        self._by_id: dict[str, tuple[Any, ...]] = {}

    def __len__(self) -> int:
        return len(self.live)

    def begin(self, event: Mapping[str, Any]) -> Seen:
        """Take an event, with its derived columns, into its session."""
        with self.lock:
            values = self.live.observe(event)
            session = self.live.current
            if session.n_events == 1:
                self._by_id[session.session_id] = self.live.actor_of(event)
            return seen_in(session, values, self.live.code)

    def peek(self, key: str | Mapping[str, Any]) -> Seen | None:
        """Return an open session by its id, or by an event of its client, without touching it."""
        with self.lock:
            actor = self._by_id.get(key) if isinstance(key, str) else self.live.actor_of(key)
            state = None if actor is None else self.live.state_of(actor)
            if state is None:
                return None
            return seen_in(LiveSession(self.live, state, "open"), self.live.values(state), self.live.code)

    def settle(self, seen: Seen, ruling: Ruling, policy: Policy, *, is_human: bool, admits: Admits = None) -> Settled:
        """Remember what was ruled."""
        span = (seen.start_us, seen.end_us)
        with self.lock:
            return settle(ruling, seen.targets, seen.notes, span, policy, self.memory, is_human=is_human, admits=admits)

    def keep(self, seen: Seen) -> None:
        """Take in a session about which nothing was ruled: it is in already."""

    def use(self, population: Population | None) -> None:
        """Take the rarities of another model."""
        with self.lock:
            self.live.use(population)

    def add(self, actor: tuple[Any, ...], state: list[Any], notes: Notes) -> None:
        """Put a session in that another process had open; the caller holds the lock."""
        known = self.live.state_of(actor)
        joined = self.saver.join(actor, state)
        session = LiveSession(self.live, joined, "open")
        if known is None or session.notes is None:
            session.notes = notes
        self._by_id[session.session_id] = actor

    @property
    def n_ids(self) -> int:
        """How many sessions can be found by their id."""
        return len(self._by_id)

    def sizes(self) -> dict[str, Size]:
        """Return how full each table is."""
        with self.lock:
            return sizes_of(self)

    def close(self) -> None:
        """End all sessions."""
        with self.lock:
            self.live.close()

    def _ended(self, session: LiveSession) -> None:
        self._by_id.pop(session.session_id, None)
        if self._on_end is not None:
            self._on_end(session)


def seen_in(session: LiveSession, values: NDArray[np.float64], code: Codes, slot: object = None) -> Seen:
    """Return a session as of its last event, with room for notes on it; `slot` is the state's own."""
    if session.notes is None:
        session.notes = Notes()
    entities = session.entities
    return Seen(
        session.session_id,
        values,
        session.start_us,
        session.end_us,
        entities,
        targets_of(entities, code),
        session.notes,
        session.is_estimated,
        slot=slot,
    )


def targets_of(entities: Mapping[str, Any], code: Codes) -> dict[Scope, Target]:
    """Return the account, network and profile of a session, hashed."""
    found: dict[Scope, Target] = {}
    for scope, column in COLUMN_OF.items():
        value = entities.get(column)
        if value is not None:
            found[scope] = (scope, code(value))
    return found
