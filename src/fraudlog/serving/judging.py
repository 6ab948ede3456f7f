"""`RequestJudge`: a decision when a request arrives, the whole event when it is answered; both middlewares share it.

It stands at the edge of somebody else's application: whatever is raised on this side of it, the request is served.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, OrderedDict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from fraudlog.deciding import VERDICTS, Decision
from fraudlog.enriching.networks import read_address
from fraudlog.errors import ConfigError
from fraudlog.serving.live import LiveSessions
from fraudlog.serving.memory import LocalMemory
from fraudlog.serving.state import LocalState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.deciding.decision import Verdict
    from fraudlog.serving.memory import Mark, Target

__all__ = ["RequestJudge"]

_FIRST: Final = {"client_ip": "192.0.2.1", "path": "/", "user_agent": "Mozilla/5.0", "language": "en"}
_SHARED: Final = ("detector", "policy", "enricher", "pace")
"""What a request that is judged by itself is judged by."""

_log = logging.getLogger("fraudlog.serving")
_Actor = tuple[str | None, ...]
P = ParamSpec("P")
Result = TypeVar("Result")


class RequestJudge:
    """Decides on requests as they arrive, and takes them in once they are answered.

    A request is judged by the verdict that its session has earned so far, with the answers it got; the first one of a
    session by what it shows itself. Each is counted once, when it is answered, so that a service and a batch over its
    log see the same events.

    Parameters
    ----------
    live : LiveSessions
    on_decision : callable, optional
        Takes each `Decision` made on an answered request, as for a log of them.
    max_remembered : int, default 100,000
        Most sessions whose verdict is kept for their next request; beyond, the one silent for longest goes.

    Attributes
    ----------
    failures : Counter of str
        Requests that were served without a score, by the kind of error; each is also logged.
    """

    def __init__(
        self,
        live: LiveSessions,
        *,
        on_decision: Callable[[Decision], object] | None = None,
        max_remembered: int = 100_000,
    ) -> None:
        if max_remembered < 1:
            raise ConfigError("max_remembered is below 1", parameter="max_remembered")
        self.live = live
        self.failures: Counter[str] = Counter()
        self._on_decision = on_decision
        self._most = max_remembered
        self._standing: OrderedDict[_Actor, Decision] = OrderedDict()
        self._lock = threading.Lock()
        self._alone_lock = threading.Lock()
        key = live.state.live.key if isinstance(live.state, LocalState) else b""
        population = None if live.detector is None else live.detector.population_
        self._alone_state = LocalState(key=key, max_sessions=1, population=population)
        self._alone = LiveSessions(None, live.policy, enricher=live.enricher, state=self._alone_state)
        self.arrive(_FIRST)  # loads what is loaded on first use, so that no request has to wait for it
        self.failures.clear()

    def arrive(self, event: Mapping[str, Any]) -> Decision:
        """Return what to do about a request that has not been answered yet; never raises.

        Parameters
        ----------
        event : Mapping
            As from `EventReader.read`.
        """
        return self.safely(self._judged, event) or self.fallback("scoring_failed")

    def leave(self, event: Mapping[str, Any]) -> Decision:
        """Take an answered request into its session, and remember what it earned; never raises.

        Parameters
        ----------
        event : Mapping
            The same with ``status``, ``bytes_sent``, ``duration_s``, and what the service added, as ``user``.
        """
        decision = self.safely(self.live.observe, event)
        if decision is None:
            return self.fallback("scoring_failed")
        if decision.fallback != "no_model":
            self.safely(self._remember, event, decision)
        if self._on_decision is not None:
            self.safely(self._on_decision, decision)
        return decision

    def safely(self, work: Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result | None:
        """Do a part of the judging; what goes wrong in it is counted, logged by its kind alone, and None returned.

        A detector, a policy's rule, a state or a callback may be anybody's code and raise anything; the visitor behind
        the request must not pay for it. What ends a process or a task (KeyboardInterrupt, CancelledError) is no
        `Exception` and goes on.
        """
        try:
            return work(*arguments, **named)
        except Exception as error:  # noqa: BLE001 -- the one place where anything is caught; see above
            self.missed(type(error).__name__)
            return None

    def missed(self, kind: str) -> None:
        """Count and log a request that was served without a score, or not taken in."""
        with self._lock:
            self.failures[kind] += 1
        _log.warning("a request was served without a score: %s", kind)

    def too_slow(self) -> Decision:
        """Count a decision that came too late, and return the policy's fallback."""
        self.missed("TooSlow")
        return self.fallback("too_slow")

    def fallback(self, why: str) -> Decision:
        """Return the decision that stands where none could be made.

        Parameters
        ----------
        why : str
            A code of `fraudlog.deciding.FALLBACKS`.
        """
        policy = self.live.policy
        verdict: Verdict = policy.fallback
        if policy.dry_run and VERDICTS.index(verdict) > 1:
            verdict = "observe"
        expires = datetime.now(UTC) + timedelta(microseconds=policy.ttls_us[0])
        return Decision(
            "",
            verdict,
            "session",
            expires,
            None,
            None,
            (),
            policy.version,
            intended=policy.fallback,
            fallback=why,
            is_dry_run=policy.dry_run,
        )

    def _judged(self, event: Mapping[str, Any]) -> Decision:
        return self._remembered(_actor(event)) or self.live.peek(event) or self._by_itself(event)

    def _remembered(self, actor: _Actor) -> Decision | None:
        with self._lock:
            decision = self._standing.get(actor)
            if decision is None:
                return None
            if decision.expires.timestamp() <= time.time():
                del self._standing[actor]
                return None
            self._standing.move_to_end(actor)
            return decision

    def _remember(self, event: Mapping[str, Any], decision: Decision) -> None:
        actor = _actor(event)
        with self._lock:
            self._standing[actor] = decision
            self._standing.move_to_end(actor)
            if len(self._standing) > self._most:
                self._standing.popitem(last=False)

    def _by_itself(self, event: Mapping[str, Any]) -> Decision:
        """Judge a request as a session of its own, and forget it again: it is counted when it is answered.

        A verdict that stands for its account, network or profile holds for it too.
        """
        alone, live = self._alone, self.live
        with self._alone_lock:
            for name in _SHARED:
                setattr(alone, name, getattr(live, name))
            self._alone_state.memory = _Onlooker(live.state.memory if isinstance(live.state, LocalState) else None)
            try:
                return alone.observe(event)
            finally:
                self._alone_state.close()


class _Onlooker(LocalMemory):
    """The memory of another state, to look at."""

    def __init__(self, other: LocalMemory | None) -> None:
        super().__init__(1)
        if other is not None:
            self.marks, self.counts, self.days = other.marks, other.counts, other.days

    def put_mark(self, target: Target, mark: Mark) -> None:
        """Leave it as it is."""

    def add_people(self, target: Target, start_us: int, count: int) -> None:
        """Leave it as it is."""

    def add_today(self, day: int, seen: int, spent: int) -> None:
        """Leave it as it is."""


@lru_cache(maxsize=65_536)
def _prefix_of(address: str | None) -> str | None:
    prefix = read_address(address)[1]
    return prefix if isinstance(prefix, str) else None


def _actor(event: Mapping[str, Any]) -> _Actor:
    """Return whose session an event belongs to: the first of token, account and (prefix, agent, language) known."""
    token, user = event.get("session_token"), event.get("user")
    if token is not None:
        return ("token", token)
    if user is not None:
        return ("user", user)
    return (_prefix_of(event.get("client_ip")), event.get("user_agent"), event.get("language"))
