"""`LiveSessions`: the session behind this request, scored and decided on, inside a service."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fraudlog.deciding import VERDICTS, Decision, Policy
from fraudlog.enriching import Enricher
from fraudlog.errors import ConfigError, ModelError, NotFittedError
from fraudlog.schema import MISFIT, misfit
from fraudlog.serving.scoring import is_presumed_human, is_verified_crawler, sharing
from fraudlog.serving.sizes import Size
from fraudlog.serving.snapshot import read_snapshot, write_snapshot
from fraudlog.serving.state import LocalState

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from fraudlog.deciding import ReviewPace
    from fraudlog.detecting import Detector
    from fraudlog.enriching import SiteMix
    from fraudlog.privacy import Pseudonyms
    from fraudlog.serving.state import Seen, State
    from fraudlog.sessions import Population

__all__ = ["LiveSessions"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OBSERVE: Final = 1
_ESTIMATED: Final = 0.9
"""Factor on the confidence in a session some of whose counts are estimates."""


class LiveSessions:
    """Open sessions of a service, each scored and decided on with every request.

    May be called from many threads and from an event loop: it does no input or output and waits for nothing but a
    lock that is held for microseconds (with a shared state, see `RedisState`, it waits for that).

    Parameters
    ----------
    detector : Detector or None
        Fitted or loaded; None decides by the policy's fallback until one is put in by `swap`.
    policy : Policy, optional
    clock : callable, optional
        Gives the time in seconds since 1970, for events without ``timestamp``.
    enricher : Enricher, optional
        Adds the derived columns to each event; by default one without lists or databases.
    state : State, optional
        Where sessions are kept; by default in this process.
    pace : ReviewPace, optional
        Spreads the policy's ``daily_reviews`` over the day; without it who comes first is challenged.
    key : bytes, optional
        Key of the session ids, as `build_sessions` takes it; of the default state. Snapshots need one.
    pseudonyms : Pseudonyms, optional
        Gives that key, and hides in snapshots whose sessions they are.
    max_sessions, max_bytes : int, default 100,000 and 1 GiB
        Most open sessions of the default state, and their memory; beyond, the one silent for longest ends. Further
        bounds are those of `LocalState`.

    Examples
    --------
    >>> import fraudlog as fl
    >>> log = fl.read_log("data/sample/access.log.gz")
    >>> live = fl.LiveSessions(fl.Detector().fit(fl.build_sessions(log.events)), fl.Policy())
    >>> decision = live.observe({"client_ip": "203.0.113.9", "method": "GET", "path": "/.env", "status": 404})
    >>> decision.verdict, decision.scope, decision.reasons[0]["code"]
    ('challenge', 'session', 'PROBE_PATHS')
    """

    def __init__(  # noqa: PLR0913 -- what is judged by, and each bound
        self,
        detector: Detector | None,
        policy: Policy | None = None,
        *,
        clock: Callable[[], float] = time.time,
        enricher: Enricher | None = None,
        state: State | None = None,
        pace: ReviewPace | None = None,
        key: bytes = b"",
        pseudonyms: Pseudonyms | None = None,
        max_sessions: int = 100_000,
        max_bytes: int | None = 1 << 30,
    ) -> None:
        self.policy = self._given_policy = policy or Policy()
        if pace is not None and pace.daily_reviews != self.policy.daily_reviews:
            raise ConfigError("pace and policy differ in daily_reviews: give both the same", parameter="pace")
        self.pace = pace
        self.enricher = enricher or Enricher(mix=_mix(detector))
        self.pseudonyms = pseudonyms
        if pseudonyms is not None and not key:
            key = pseudonyms.session_key
        if state is None:
            state = LocalState(key=key, max_sessions=max_sessions, max_bytes=max_bytes)
        self.state: State = state
        self.swap(detector)
        self._clock = clock

    def swap(self, detector: Detector | None) -> None:
        """Put another model in; each request is judged by the one or the other, as a whole.

        Call its `prepare` before, where it may take a second.
        """
        self.detector: Detector | None = detector
        self.policy = _measured(self._given_policy, detector)
        self.state.use(_population(detector))

    def observe(self, event: Mapping[str, Any]) -> Decision:
        """Take a request in and say what to do.

        Parameters
        ----------
        event : Mapping
            The columns of `fraudlog.schema.EVENTS` the service knows. A header that did not come is None; what the
            service does not record is left out. Without ``timestamp`` the clock says when.

        Returns
        -------
        Decision

        Raises
        ------
        SchemaError
            If the time is naive, or a column holds another type; the message names it, and no session has changed.
        """
        full = self._enriched(event)
        if full.get("timestamp") is None:
            full["timestamp"] = int(self._clock() * 1_000_000)
        return self._decide(self.state.begin(full), full)

    def _enriched(self, event: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {**event, **self.enricher.event(event)}
        except MISFIT as error:
            raise misfit(event, error) from None

    def _decide(self, seen: Seen, event: Mapping[str, Any]) -> Decision:
        policy, entities = self.policy, seen.entities
        if seen.fallback is not None:
            return self._without_model(seen, seen.fallback)
        try:
            score = self._model().score_one(seen.values, entities)
        except NotFittedError:
            return self._without_model(seen, "no_model")
        except (ModelError, ArithmeticError, LookupError, ValueError):
            return self._without_model(seen, "model_failed")
        confidence = score.confidence * _ESTIMATED if seen.is_estimated else score.confidence
        n_users, n_agents, n_failures = sharing(seen.values)
        is_allowed = bool(policy.allow) and _is_allowed(policy, entities, event)
        is_verified = is_verified_crawler(seen.values)
        ruling = policy.rule(
            score.risk,
            confidence,
            score.reasons,
            endpoint=event.get("endpoint"),
            user=entities["user"],
            prefix=entities["ip_prefix"],
            profile=entities["profile"],
            n_users=n_users,
            n_agents=n_agents,
            n_failures=n_failures,
            is_allowed=is_allowed,
            is_verified_crawler=is_verified,
        )
        is_human = is_presumed_human(seen.values, score.reasons)
        admits = None if self.pace is None else partial(self.pace.would_admit, score.risk, seen.start_us)
        settled = self.state.settle(seen, ruling, policy, is_human=is_human, admits=admits)
        level, scope, expires_us = settled.ruling.level, settled.ruling.scope, seen.end_us + settled.ttl_us
        if settled.inherited is not None and settled.scope is not None and not (is_allowed or is_verified):
            level, scope, expires_us = settled.inherited.level, settled.scope, settled.inherited.expires_us
        return Decision(
            seen.session_id,
            VERDICTS[min(level, _OBSERVE) if policy.dry_run else level],
            scope,
            _EPOCH + timedelta(microseconds=expires_us),
            score.risk,
            confidence,
            tuple(score.reasons),
            policy.version,
            settled.collateral,
            VERDICTS[level],
            seen.fallback,
            policy.dry_run,
            settled.scope,
            settled.strikes,
            settled.ruling.target,
        )

    def _model(self) -> Detector:
        if self.detector is None:
            raise NotFittedError("there is no detector")
        return self.detector

    def _without_model(self, seen: Seen, why: str) -> Decision:
        self.state.keep(seen)
        policy = self.policy
        verdict = policy.fallback if not policy.dry_run else VERDICTS[min(VERDICTS.index(policy.fallback), _OBSERVE)]
        expires = _EPOCH + timedelta(microseconds=seen.end_us + policy.ttls_us[0])
        return Decision(
            seen.session_id,
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

    def peek(self, key: str | Mapping[str, Any]) -> Decision | None:
        """Return the decision on an open session as it stands, and take nothing in.

        Parameters
        ----------
        key : str or Mapping
            A session's id, or an event of its client.

        Returns
        -------
        Decision or None
            None if there is no such session open.
        """
        event = {} if isinstance(key, str) else self._enriched(key)
        seen = self.state.peek(key if isinstance(key, str) else event)
        return None if seen is None else self._decide(seen, event)

    def close(self) -> None:
        """End all sessions, as at the end of a log; with a shared state, let go of it."""
        self.state.close()

    def snapshot(self, path: str | os.PathLike[str]) -> dict[str, int]:
        """Write sessions, windows and verdicts to a sealed file that names nobody, while requests go on.

        Returns
        -------
        dict of str to int
            How many sessions, keys of windows and targets of verdicts were written.

        Raises
        ------
        ConfigError
            If there is no key, or the state is a shared one, which outlives this process by itself.
        OutputError
            If the file can't be written.
        """
        return write_snapshot(self._own_state(), path, pseudonyms=self.pseudonyms)

    def restore(self, path: str | os.PathLike[str]) -> dict[str, int]:
        """Go on where a snapshot was taken; call it before the first request.

        Raises
        ------
        ConfigError
            If sessions are open already: `merge` puts a snapshot in beside them.
        InputError, SchemaError
            If the snapshot is missing, damaged, or not one of this key and definition.
        """
        state = self._own_state()
        if len(state):
            raise ConfigError("sessions are open already; merge(path) adds a snapshot to them", parameter="path")
        return read_snapshot(state, path)

    def merge(self, path: str | os.PathLike[str]) -> dict[str, int]:
        """Put the sessions of another process's snapshot in beside those that are open.

        Of a client that both have a session of, the two become one whose counts are those of both; what hangs on the
        order of its requests is then an estimate, which the confidence says.

        Raises
        ------
        InputError, SchemaError
            As `restore`.
        """
        return read_snapshot(self._own_state(), path)

    def sizes(self) -> dict[str, Size]:
        """Return how full each table in this process is, beside the most it may hold.

        Walks the windows under the lock, some milliseconds: for a gauge, not for every request.

        Examples
        --------
        >>> LiveSessions(None, max_sessions=10).sizes()["sessions"]
        Size(held=0, most=10)
        """
        remembered = {f"remembered: {name}": Size(*filled) for name, filled in self.enricher.filled.items()}
        return self.state.sizes() | remembered

    def _own_state(self) -> LocalState:
        if not isinstance(self.state, LocalState):
            raise ConfigError("a shared state needs no snapshot; only one of this process does", parameter="state")
        return self.state


def _measured(policy: Policy, detector: Detector | None) -> Policy:
    """Return the policy with its share of presumed humans as a risk of this detector; as it is, if there is none."""
    if _population(detector) is None or detector is None:
        return policy
    return policy.measured(detector.human_risk_)


def _population(detector: Detector | None) -> Population | None:
    try:
        return None if detector is None else detector.population_
    except NotFittedError:
        return None


def _mix(detector: Detector | None) -> SiteMix | None:
    counts = _population(detector)
    return None if counts is None else counts.mix


def _is_allowed(policy: Policy, entities: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Say whether the session, or the address of this request, is on the allow list."""
    return policy.allow.covers(
        client_ip=entities["client_ip"],
        user=entities["user"],
        profile=entities["profile"],
        user_agent=entities["user_agent"],
    ) or policy.allow.covers(client_ip=event.get("client_ip"))
