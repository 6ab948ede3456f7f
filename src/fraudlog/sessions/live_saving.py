"""Open sessions and windows of a live twin as plain values, and back: what a snapshot is made of.

Nothing here names a person but the entity columns of a session, which the caller hides before they leave the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import SchemaError
from fraudlog.sessions.live_slots import CLIENT, HEAD
from fraudlog.sessions.live_state import Layouted, layout_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fraudlog.sessions.live import LiveFeatures

__all__ = ["ENTITIES", "Saver"]

ENTITIES: Final = {
    "client_ip": 7,
    "ip_prefix": 8,
    "user": 9,
    "profile": 10,
    "user_agent": 11,
    "source": 12,
    "first_line": 13,
} | {name.lower(): HEAD.index(name) for name in CLIENT}
"""Columns of a session that its state holds, and the slot of each."""

_ESTIMATED: Final = HEAD.index("ESTIMATED")
_RESTORED: Final = HEAD.index("RESTORED")
_NOTES: Final = HEAD.index("NOTES")
_SPAN: Final = 4
_ID_DIGITS: Final = 32

Actor = tuple[Any, ...]


class Saver:
    """Writes the sessions and windows of a live twin as plain values, and reads them.

    Parameters
    ----------
    live : LiveFeatures
    """

    def __init__(self, live: LiveFeatures) -> None:
        self.live = live
        self.states = Layouted(live.slots, live.weights, live.definition.max_events, live.exact_values)

    @property
    def digest(self) -> str:
        """Digest of all a saved session depends on: definition and layout."""
        return f"{self.live.definition.digest}:{layout_digest(self.live.slots)}"

    def dump(self, actor: Actor) -> dict[str, Any] | None:
        """Return one open session, or None if it is open no more."""
        state = self.live.state_of(actor)
        return None if state is None else self.dump_state(actor, state)

    def dump_state(self, actor: Actor, state: list[Any]) -> dict[str, Any]:
        """Return one session."""
        return {
            "actor": list(actor),
            "id": self.live.id_of(state),
            "span": state[:_SPAN],
            "estimated": state[_ESTIMATED],
            "notes": state[_NOTES],
            "entities": {name: state[place] for name, place in ENTITIES.items() if state[place] is not None},
            "state": self.states.dump(self.live.plain(state)),
        }

    def load(self, saved: Mapping[str, Any], *, are_entities_plain: bool = False) -> tuple[Actor, list[Any]]:
        """Return the actor and the state of a saved session.

        Parameters
        ----------
        saved : mapping
            As `dump` gave it, from anywhere.
        are_entities_plain : bool, default False
            Whether the entities are as they came; if not, the client's next event puts its own in their place.

        Raises
        ------
        SchemaError
            If it is no session of this definition.
        """
        try:
            actor, identity, span = tuple(saved["actor"]), saved["id"], list(saved["span"])
            entities, dumped, is_estimated = dict(saved["entities"]), saved["state"], bool(saved["estimated"])
        except (KeyError, TypeError, ValueError):
            raise SchemaError("a saved session lacks a part") from None
        if not _is_actor(actor) or not _is_span(span, self.live.definition.max_events):
            raise SchemaError("a saved session has no client, or a span that no session has")
        if not isinstance(identity, str) or len(identity) != _ID_DIGITS:
            raise SchemaError("a saved session has no id")
        state = self.live.fresh()
        state[:_SPAN] = span
        state[HEAD.index("ID")] = identity
        for name, place in ENTITIES.items():
            value = entities.get(name)
            if value is not None and not isinstance(value, (str, int)):
                raise SchemaError("a saved session names its client by something else than a text")
            state[place] = value
        state[_ESTIMATED], state[_RESTORED] = is_estimated, not are_entities_plain
        self.states.load(dumped, state)
        return actor, self.live.taken(state)

    def join(self, actor: Actor, state: list[Any]) -> list[Any]:
        """Put a session in beside those that are open; with one of the same client it becomes one.

        Two halves that lie further apart than the gap, or are together longer than a session may be, stay two: the
        earlier one ends.

        Returns
        -------
        list
            The state that is open now.
        """
        live = self.live
        known = live.state_of(actor)
        if known is None:
            live.put(actor, state)
            return state
        earlier, later = (known, state) if known[1] <= state[1] else (state, known)
        definition = live.definition
        first_us, is_apart = min(known[0], state[0]), later[0] - earlier[1] > definition.session_gap_us
        is_long = later[1] - first_us > definition.max_duration_us or known[2] + state[2] > definition.max_events
        if is_apart or is_long:
            live.replace(actor, later, ended=earlier, reason="gap" if is_apart else "limit")
            return later
        joined = self.live.taken(self.states.joined(live.plain(known), live.plain(state)))
        joined[_NOTES] = known[_NOTES]
        live.replace(actor, joined)
        return joined

    def windows(self) -> dict[str, list[Any]]:
        """Return the keys of each window over other sessions."""
        return {name: window.keys.newest() for name, window in self.live.windows.items()}

    def dump_window(self, name: str, key: object) -> list[Any]:
        """Return what one window holds of one key."""
        return [key, self.live.windows[name].dump(key)]

    def join_window(self, name: str, rows: Any) -> None:  # noqa: ANN401 -- anything a file may hold
        """Add to one window what `dump_window` gave.

        Raises
        ------
        SchemaError
            If a row is none.
        """
        window = self.live.windows.get(name)
        if window is None or not isinstance(rows, list):
            raise SchemaError("a saved window is not one of this definition")
        value_type = str if self.live.kinds[name] == "speed" else int
        for row in rows:
            if not _is_window_row(row, value_type):
                raise SchemaError("a saved window holds something else than codes and times")
            window.join(row[0], row[1])


def _is_actor(actor: Actor) -> bool:
    is_named = len(actor) == 2 and actor[0] in ("t", "u") and type(actor[1]) is int
    return is_named or (len(actor) == 3 and all(part is None or type(part) is int for part in actor))


def _is_span(span: list[Any], max_events: int) -> bool:
    if len(span) != _SPAN or not all(type(part) is int for part in span):
        return False
    start, end, count, piece = map(int, span)
    return start <= end and 1 <= count <= max_events and piece >= 0


def _is_window_row(row: Any, value_type: type) -> bool:  # noqa: ANN401 -- as above
    if not isinstance(row, list) or len(row) != 2 or type(row[0]) is not int or not isinstance(row[1], list):
        return False
    return all(
        isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is value_type and type(pair[1]) is int
        for pair in row[1]
    )
