"""The live twin: the features of every open session after each event, at constant work an event.

Equal to the batch kernel, bit for bit, on events that come in order. An event older than its session's last is taken as
of that last moment, and counted: a service can't reorder what it has answered already.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fraudlog.errors import ConfigError, SchemaError
from fraudlog.schema import MISFIT, misfit
from fraudlog.sessions.catalogue import DEFAULT
from fraudlog.sessions.codes import Codes, derived
from fraudlog.sessions.live_making import Wanted, made_for
from fraudlog.sessions.live_sample import sample_of
from fraudlog.sessions.live_session import LiveSession, Reason
from fraudlog.sessions.live_size import size_of
from fraudlog.sessions.live_slots import HEAD
from fraudlog.sessions.segments import actor_text, session_id
from fraudlog.sessions.window_live import window_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.population import Population

__all__ = ["LiveFeatures", "LiveSession"]

_CHECKED_AT_ONCE: Final = 2
_WEIGHED_EVERY: Final = 63
_LANES: Final = HEAD.index("LANES")
_MOST_SHAPES: Final = 256
_WEIGHT: Final = HEAD.index("WEIGHT")
_ESTIMATED: Final = HEAD.index("ESTIMATED")


class LiveFeatures:
    """Open sessions of a service, and the features of each after every event.

    Parameters
    ----------
    definition : Definition, optional
        Features and limits; the catalogue's, if none.
    key : bytes, optional
        Key of the session ids.
    population : Population, optional
        How rare values are.
    max_sessions : int, default 1,000,000
        Most open sessions; beyond, the one silent for longest is evicted.
    max_bytes : int, optional
        Most memory of the open sessions, likewise; see `fraudlog.sessions.live_size`.
    exact_values : int, optional
        Most distinct values of one field that a session keeps; with more it goes on with a sample of them, and what
        is counted in it becomes an estimate (see `fraudlog.sessions.live_sample`). Without it all are kept.
    on_end : callable, optional
        Takes each `LiveSession` that ended; without one they wait in `ended`, from where the caller takes them.
    make_window : callable, optional
        Makes what stands for a `Window` over other sessions; by default one of this process.
    is_compiled : bool, optional
        Whether to compile the update and the reading of features (extra ``fast``), to the same bits; by default where
        numba is installed. Compiling takes some 20 s the first time on a machine, and a second from then on.

    Attributes
    ----------
    ended : deque of LiveSession
        Sessions that ended, unless `on_end` takes them.
    n_clamped : int
        Events that were older than their session's last, and were taken as of that moment.

    Raises
    ------
    ConfigError
        If a feature is batch-only: a function of the whole table can't be kept up event by event. If `is_compiled` is
        set and numba is not installed.

    Examples
    --------
    >>> live = LiveFeatures()
    >>> for second in (0, 10, 30):
    ...     event = {"timestamp": second * 1_000_000, "client_ip": "203.0.113.9", "ip_prefix": "203.0.113.0/24"}
    ...     _ = live.observe(event)
    >>> live.current.features["gap_mean_s"], len(live)
    (15.0, 1)
    """

    def __init__(  # noqa: PLR0913 -- each is a choice of its own
        self,
        definition: Definition | None = None,
        *,
        key: bytes = b"",
        population: Population | None = None,
        max_sessions: int = 1_000_000,
        max_bytes: int | None = None,
        exact_values: int | None = None,
        on_end: Callable[[LiveSession], None] | None = None,
        make_window: Callable[..., Any] = window_for,
        is_compiled: bool | None = None,
    ) -> None:
        self.definition = definition or DEFAULT
        if batch_only := [row.name for row in self.definition.features if row.is_batch_only]:
            raise ConfigError(
                f"features {', '.join(batch_only)} are batch-only: leave them out of a live definition, or write them "
                "as expressions",
                parameter="definition",
            )
        if exact_values is not None and exact_values < 1:
            raise ConfigError("exact_values is below 1; 1,024 is usual", parameter="exact_values")
        self.key = key
        self.code = Codes(derived(key))
        self.max_sessions = max_sessions
        self.max_bytes = max_bytes
        self.exact_values = exact_values
        self.n_bytes = 0
        self.ended: deque[LiveSession] = deque()
        self.n_clamped = 0
        self._on_end = on_end or self.ended.append
        self._open: OrderedDict[tuple[Any, ...], list[Any]] = OrderedDict()
        self._last: list[Any] | None = None
        self._expires_us = -1 << 62
        self._shapes: dict[tuple[str, ...], tuple[Any, ...]] = {}
        wanted = Wanted(self.definition, self.code, population, max_sessions, exact_values, make_window, is_compiled)
        made = made_for(wanted, self._called_back())
        self._observe, self._values, self._engine = made.observe, made.values, made.engine
        self.slots, self.windows, self.weights = made.slots, made.windows, made.weights
        self._readers, self._looked_up = made.readers, made.looked_up
        self.kinds = {window.name: window.kind for window in self.definition.plan.windows}
        self._row = np.zeros(0).copy if self._engine is None else self._engine.row.copy
        self._initial = self.slots.initial if self._engine is None else self.slots.initial[: len(HEAD)]

    def _called_back(self) -> dict[str, Any]:
        """Return what the function that takes events in asks of this twin, by the name it has there."""
        return {
            "find": self._open.get,
            "moved": self._open.move_to_end,
            "opened": self._opened,
            "ended": self._ended,
            "clamped": self._clamped,
            "sampled": self._sampled,
            "shape_get": self._shapes.get,
            "shape_miss": self._shape,
        }

    def _shape(self, event: Mapping[str, Any]) -> tuple[Any, ...]:
        """Work out how an event with these columns is read."""
        columns = frozenset(event)
        shape = tuple(part for reader in self._readers for part in reader.way(columns))
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        self._shapes[tuple(event)] = shape
        return shape

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[LiveSession]:
        """Give the open sessions, the one silent for longest first."""
        return (LiveSession(self, state, "open") for state in list(self._open.values()))

    def observe(self, event: Mapping[str, Any]) -> NDArray[np.float64]:
        """Take an event in.

        Parameters
        ----------
        event : Mapping
            The columns of `schema.EVENTS` and `schema.DERIVED` the service knows; None is null, and a column that is
            not there is one its log lacks.

        Returns
        -------
        ndarray of float64, shape (n_features,)
            The session's features as of this event, in the order of the definition; null is NaN.

        Raises
        ------
        SchemaError
            If the time is missing or naive, or a column holds another type; no session has changed then.
        """
        try:
            self._last = state = self._observe(event)
        except MISFIT as error:
            raise misfit(event, error) from None
        values = self.values(state) if state[_LANES].__class__ is int else self._row()
        if self.max_bytes is not None and (not state[2] & state[2] - 1 or not state[2] & _WEIGHED_EVERY):
            self._weigh(state)
        if state[1] > self._expires_us:
            self._expire(state[1])
        return values

    def values(self, state: list[Any]) -> NDArray[np.float64]:
        """Return the features of a state."""
        if self._engine is not None and not isinstance(state[_LANES], int):
            return self._engine.values(state)
        return np.array(self._values(state), np.float64)

    def plain(self, state: list[Any]) -> list[Any]:
        """Return a state as the list that `slots` lays out, whichever form it has."""
        return state if self._engine is None else self._engine.plain(state)

    def taken(self, state: list[Any]) -> list[Any]:
        """Return a plain state in the form that this twin keeps."""
        if self._engine is not None and isinstance(state[_LANES], int):
            self._engine.make_flat(state)
        return state

    @property
    def is_compiled(self) -> bool:
        """Whether events are taken in by compiled code."""
        return self._engine is not None

    def tables(self) -> dict[str, int]:
        """Return how many entries each table of values seen before has; of the parts of a definition the largest."""
        sizes = {", ".join(reader.group.columns): len(reader.entries) for reader in self._readers}
        return sizes | {
            name: max((len(table) for table in tables), default=0) for name, tables in self._looked_up.items()
        }

    @property
    def current(self) -> LiveSession:
        """The session of the last event."""
        if self._last is None:
            raise SchemaError("no event was observed yet")
        return LiveSession(self, self._last, "open")

    def close(self) -> None:
        """End all sessions, as at the end of a log."""
        while self._open:
            self._ended(self._open.popitem(last=False)[1], "closed")

    def id_of(self, state: list[Any]) -> str:
        """Return a session's id; worked out when first asked for."""
        if state[6] is None:
            kind = state[5]
            is_client = len(kind) == 3
            token, user = (kind[1] if kind[0] == "t" else None, kind[1]) if not is_client else (None, None)
            text = actor_text(token, user, kind if is_client else ())
            state[6] = session_id(text, state[0], state[3], self.key)
        identity: str = state[6]
        return identity

    def _sampled(self, state: list[Any], held: int, weights: int | None) -> None:
        """Go on with a sample of a session's values, or keep the estimate that follows from it."""
        values = state[held]
        if isinstance(values, (set, dict)):
            state[held] = values = sample_of(values, self.exact_values or 1, self.weights)
            state[_ESTIMATED] = True
        if weights is not None:
            state[weights] = min(values.weight, self.weights[state[2]])

    def actors(self) -> list[tuple[Any, ...]]:
        """Return the keys of the open sessions, the one silent for longest first."""
        return list(self._open)

    def state_of(self, actor: tuple[Any, ...]) -> list[Any] | None:
        """Return the state of an open session."""
        return self._open.get(actor)

    def actor_of(self, event: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the key of the session that an event would belong to, if it is open."""
        for kind, name in (("t", "session_token"), ("u", "user")):
            if event.get(name) is not None:
                return kind, self.code(event[name])
        prefix = event.get("ip_prefix") or event.get("client_ip")
        client = (prefix, event.get("user_agent"), event.get("language"))
        return tuple(None if part is None else self.code(part) for part in client)

    def use(self, population: Population | None) -> None:
        """Take the rarities of another model, from the next event on."""
        for reader in self._readers:
            if reader.population is not population:
                reader.population = population
                reader.clear()

    def clear(self) -> None:
        """Let all open sessions go without a word."""
        self._open.clear()
        self.n_bytes = 0

    def fresh(self) -> list[Any]:
        """Return the plain state of a session without an event."""
        return self.slots.initial.copy()

    def put(self, actor: tuple[Any, ...], state: list[Any]) -> None:
        """Open a session that another process, or an earlier one, had open."""
        self._open[actor] = state
        self._weigh(state)
        if len(self._open) > self.max_sessions:
            self._evict()

    def replace(
        self, actor: tuple[Any, ...], state: list[Any], *, ended: list[Any] | None = None, reason: Reason = "gap"
    ) -> None:
        """Go on with another state of an open session; the one `ended` is given out."""
        self.n_bytes -= self._open[actor][_WEIGHT]
        self._open[actor] = state
        state[_WEIGHT] = 0
        self._weigh(state)
        if ended is not None:
            ended[_WEIGHT] = 0
            self._ended(ended, reason)

    def _weigh(self, state: list[Any]) -> None:
        """Weigh a session anew, and make room if all are too heavy."""
        if self.max_bytes is None:
            return
        weight = size_of(state)
        self.n_bytes += weight - state[_WEIGHT]
        state[_WEIGHT] = weight
        while self.n_bytes > self.max_bytes and len(self._open) > 1:
            self._evict()

    def _evict(self) -> None:
        self._ended(self._open.popitem(last=False)[1], "evicted")

    def _opened(self, actor: tuple[Any, ...], named: tuple[Any, ...], time_us: int, piece: int) -> list[Any]:
        state = self._initial.copy()
        if self._engine is not None:
            state[_LANES] = self._engine.initial.copy()
        state[0] = state[1] = time_us
        state[3] = piece
        state[5] = named
        self._open[actor] = state
        self._open.move_to_end(actor)
        if len(self._open) > self.max_sessions:
            self._evict()
        return state

    def _expire(self, now_us: int) -> None:
        """End sessions that have been silent for longer than the gap, a few at a time."""
        for _ in range(_CHECKED_AT_ONCE):
            oldest = next(iter(self._open.values()))
            self._expires_us = oldest[1] + self.definition.session_gap_us
            if now_us <= self._expires_us:
                return
            self._ended(self._open.popitem(last=False)[1], "idle")

    def _ended(self, state: list[Any], reason: Reason) -> None:
        self.n_bytes -= state[_WEIGHT]
        self._on_end(LiveSession(self, state, reason))

    def _clamped(self) -> None:
        self.n_clamped += 1
