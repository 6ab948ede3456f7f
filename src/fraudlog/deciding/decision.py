"""`Decision`: what a service is told about the session behind one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from fraudlog.detecting import Reason

__all__ = ["FALLBACKS", "SCOPES", "VERDICTS", "Decision", "Scope", "Verdict"]

Verdict = Literal["allow", "observe", "challenge", "deny"]
Scope = Literal["session", "user", "prefix", "profile"]

VERDICTS: Final[tuple[Verdict, ...]] = ("allow", "observe", "challenge", "deny")
"""Verdicts, the mildest first."""

SCOPES: Final[tuple[Scope, ...]] = ("session", "user", "prefix", "profile")
"""What a verdict may hold for, the narrowest first."""

FALLBACKS: Final[dict[str, str]] = {
    "no_model": "there is no model, or it has not learnt yet",
    "model_failed": "the model could not score this session",
    "no_state": "the shared state could not be reached",
    "bad_event": "the event lacks what a session is made of",
    "scoring_failed": "something in scoring broke; the service counted and logged it",
    "too_slow": "no decision came before the deadline",
}
"""Why a decision is the policy's fallback, or rests on less than it should; code and sentence."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about a session, and why.

    Attributes
    ----------
    session_id : str
        The session decided on, as `build_sessions` names it; empty where none could be told.
    verdict : str
        What to do: allow, observe, challenge or deny. In a dry run never more than observe.
    scope : str
        What the verdict holds for: session, user, prefix or profile.
    expires : datetime
        When it ends, UTC.
    risk : float or None
        0..1, high is abusive; None where no model answered.
    confidence : float or None
        How much there was to judge by, 0..1.
    reasons : tuple of Reason
        What the risk is made of, heaviest first; they add up to it.
    policy_version : str
        Digest of the policy's settings.
    collateral : int
        Presumed-human sessions of the last seven days that the action would also hit.
    intended : str
        The verdict the rules gave, before a dry run made it milder.
    fallback : str or None
        A code of `FALLBACKS`, if something was missing.
    is_dry_run : bool
        Whether the policy only says what it would do.
    inherited : str or None
        The scope of an earlier decision, on another session, that still holds and set this verdict.
    strikes : int
        How many earlier sessions of this target had a challenge or denial that is remembered; each lengthens the next.
    target : str or None
        What the scope names: the account, the network in CIDR form, the profile; None for a session. Personal: it is
        left out of `repr` and `to_dict`.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> Decision("5e1f", "challenge", "session", datetime(2026, 1, 1, tzinfo=UTC), 0.8, 0.5, ()).is_blocking
    True
    """

    session_id: str
    verdict: Verdict
    scope: Scope
    expires: datetime
    risk: float | None
    confidence: float | None
    reasons: tuple[Reason, ...]
    policy_version: str = ""
    collateral: int = 0
    intended: Verdict = "allow"
    fallback: str | None = None
    is_dry_run: bool = False
    inherited: Scope | None = None
    strikes: int = 0
    target: str | None = field(default=None, repr=False)

    @property
    def is_fallback(self) -> bool:
        """Whether something was missing to decide by."""
        return self.fallback is not None

    @property
    def is_blocking(self) -> bool:
        """Whether the request must not simply pass: challenge or deny."""
        return self.verdict in ("challenge", "deny")

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it, without the target."""
        return {
            "session_id": self.session_id,
            "verdict": self.verdict,
            "scope": self.scope,
            "expires": self.expires.isoformat(),
            "risk": self.risk,
            "confidence": self.confidence,
            "reasons": [dict(reason) for reason in self.reasons],
            "policy_version": self.policy_version,
            "collateral": self.collateral,
            "intended": self.intended,
            "fallback": self.fallback,
            "is_dry_run": self.is_dry_run,
            "inherited": self.inherited,
            "strikes": self.strikes,
        }
