"""One session of a live twin, as its callers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from fraudlog.schema import SESSIONS
from fraudlog.sessions.live_slots import CLIENT, HEAD

if TYPE_CHECKING:
    from fraudlog.sessions.live import LiveFeatures

__all__ = ["LiveSession", "Reason"]

Reason = Literal["open", "gap", "limit", "idle", "evicted", "closed"]
_ESTIMATED: Final = HEAD.index("ESTIMATED")
_NOTES: Final = HEAD.index("NOTES")
_ENTITIES: Final = (
    ("client_ip", 7),
    ("ip_prefix", 8),
    ("user", 9),
    ("profile", 10),
    ("user_agent", 11),
    *((name.lower(), HEAD.index(name)) for name in CLIENT),
)
_COLUMNS: Final = tuple((name.lower(), HEAD.index(name)) for name in CLIENT)


class LiveSession:
    """One session: what it is, and its features so far (or at its end).

    Attributes
    ----------
    reason : str
        ``open``, or why it ended: ``gap`` (the actor came back later), ``limit`` (too long), ``idle`` (silent for the
        gap), ``evicted`` (room was needed), ``closed``.
    """

    __slots__ = ("_live", "_state", "reason")

    def __init__(self, live: LiveFeatures, state: list[Any], reason: Reason) -> None:
        self._live = live
        self._state = state
        self.reason = reason

    @property
    def session_id(self) -> str:
        """The same id that `build_sessions` gives."""
        return self._live.id_of(self._state)

    @property
    def n_events(self) -> int:
        """Events so far."""
        count: int = self._state[2]
        return count

    @property
    def piece(self) -> int:
        """How many sessions a limit cut off before this one."""
        piece: int = self._state[3]
        return piece

    @property
    def start_us(self) -> int:
        """Time of the first event, in microseconds."""
        start: int = self._state[0]
        return start

    @property
    def end_us(self) -> int:
        """Time of the last event, in microseconds."""
        end: int = self._state[1]
        return end

    @property
    def is_estimated(self) -> bool:
        """Whether some counts are estimates: it had more distinct values than are kept, or was joined of two halves."""
        estimated: bool = self._state[_ESTIMATED]
        return estimated

    @property
    def notes(self) -> Any:  # noqa: ANN401 -- the caller's own
        """What a service keeps with the session; None at first."""
        return self._state[_NOTES]

    @notes.setter
    def notes(self, notes: Any) -> None:  # noqa: ANN401 -- as above
        self._state[_NOTES] = notes

    @property
    def entities(self) -> dict[str, Any]:
        """What the session is, by the columns of `fraudlog.schema.SESSIONS`; without its times."""
        state = self._state
        return {name: state[place] for name, place in _ENTITIES}

    @property
    def features(self) -> dict[str, float]:
        """Features by name."""
        return dict(zip(self._live.definition.names, self._live.values(self._state).tolist(), strict=True))

    def row(self) -> dict[str, Any]:
        """Return it as a row of the table of sessions."""
        state = self._state
        named = {
            "session_id": self.session_id,
            "client_ip": state[7],
            "ip_prefix": state[8],
            "user": state[9],
            "profile": state[10],
            "user_agent": state[11],
            "start": state[0],
            "end": state[1],
            "source": state[12],
            "first_line": state[13],
            "piece": state[3],
            **{name: state[place] for name, place in _COLUMNS},
        }
        return {column.name: named[column.name] for column in SESSIONS} | self.features
