"""`LiveSessions`: the session behind this request, scored and decided on, inside a service."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from fraudlog.deciding import VERDICTS, Decision, Policy
from fraudlog.enriching import Enricher
from fraudlog.errors import ModelError, NotFittedError
from fraudlog.serving.scoring import is_presumed_human, is_verified_crawler, score_one, sharing
from fraudlog.serving.state import LocalState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.detecting import Detector
    from fraudlog.serving.state import Seen, State

__all__ = ["LiveSessions"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OBSERVE: Final = 1


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
    key : bytes, optional
        Key of the session ids, as `build_sessions` takes it; of the default state.
    max_sessions : int, default 100,000
        Most open sessions of the default state; beyond, the one silent for longest ends.

    Examples
    --------
    >>> import fraudlog as fl
    >>> log = fl.read_log("data/sample/access.log.gz")
    >>> live = fl.LiveSessions(fl.Detector().fit(fl.build_sessions(log.events)), fl.Policy())
    >>> decision = live.observe({"client_ip": "203.0.113.9", "method": "GET", "path": "/.env", "status": 404})
    >>> decision.verdict, decision.scope, decision.reasons[0]["code"]
    ('challenge', 'session', 'PROBE_PATHS')
    """

    def __init__(
        self,
        detector: Detector | None,
        policy: Policy | None = None,
        *,
        clock: Callable[[], float] = time.time,
        enricher: Enricher | None = None,
        state: State | None = None,
        key: bytes = b"",
        max_sessions: int = 100_000,
    ) -> None:
        self.detector = detector
        self.policy = policy or Policy()
        self.enricher = enricher or Enricher()
        self.state: State = state or LocalState(
            key=key, max_sessions=max_sessions, population=None if detector is None else detector.population_
        )
        self._clock = clock

    def swap(self, detector: Detector | None) -> None:
        """Put another model in; each request is judged by the one or the other, as a whole."""
        self.detector = detector

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
            If the time is naive.
        """
        full = {**event, **self.enricher.event(event)}
        if full.get("timestamp") is None:
            full["timestamp"] = int(self._clock() * 1_000_000)
        return self._decide(self.state.begin(full), full)

    def _decide(self, seen: Seen, event: Mapping[str, Any]) -> Decision:
        policy, fallback = self.policy, seen.fallback
        entities = seen.entities
        try:
            score = score_one(self._model(), seen.values, entities)
        except NotFittedError:
            return self._without_model(seen, "no_model")
        except ModelError:
            return self._without_model(seen, "model_failed")
        n_users, n_agents = sharing(seen.values)
        is_allowed = bool(policy.allow) and policy.allow.covers(
            client_ip=entities["client_ip"],
            user=entities["user"],
            profile=entities["profile"],
            user_agent=entities["user_agent"],
        )
        ruling = policy.rule(
            score.risk,
            score.confidence,
            score.reasons,
            endpoint=event.get("endpoint"),
            user=entities["user"],
            prefix=entities["ip_prefix"],
            profile=entities["profile"],
            n_users=n_users,
            n_agents=n_agents,
            is_allowed=is_allowed,
            is_verified_crawler=is_verified_crawler(seen.values),
        )
        is_human = is_presumed_human(seen.values, score.reasons)
        settled = self.state.settle(seen, ruling, policy, is_human=is_human)
        level, scope, expires_us = settled.ruling.level, settled.ruling.scope, seen.end_us + settled.ttl_us
        if settled.inherited is not None and settled.scope is not None and not is_allowed:
            level, scope, expires_us = settled.inherited.level, settled.scope, settled.inherited.expires_us
        return Decision(
            seen.session_id,
            VERDICTS[min(level, _OBSERVE) if policy.dry_run else level],
            scope,
            _EPOCH + timedelta(microseconds=expires_us),
            score.risk,
            score.confidence,
            tuple(score.reasons),
            policy.version,
            settled.collateral,
            VERDICTS[level],
            fallback,
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
