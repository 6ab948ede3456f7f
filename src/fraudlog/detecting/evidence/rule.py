"""What a piece of evidence is: a code, a sentence, and the conditions under which it speaks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from fraudlog.errors import ConfigError

__all__ = ["LIMIT_OF_CLAIMS", "Condition", "Evidence", "when"]

LIMIT_OF_CLAIMS: Final = 0.45
"""The most that a client's own claim may weigh: below the 0.5 of a challenge, for no agent decides alone."""

_CODE: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_OAT: Final = re.compile(r"OAT-0(?:0[1-9]|1[0-9]|2[01])")


@dataclass(frozen=True, slots=True)
class Condition:
    """A feature compared with a number."""

    feature: str
    operator: Literal[">=", "<="]
    threshold: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence.

    Parameters
    ----------
    code : str
        Stable code, as in ``reasons``.
    sentence : str
        For a person; ``{value}`` is the value of the first condition's feature, ``{percent}`` the same as a share.
    oats : tuple of str
        OWASP Automated Threats it speaks for, the likeliest first.
    weight : float
        Risk it gives a session by itself, 0..1; at most 0.45 if `spoofable`.
    conditions : tuple of Condition
        All must hold; one on a feature that is null makes the row abstain.
    family : str
        What kind of trace it is; rows of one family often fire together.
    spoofable : bool
        Whether it rests on what a client merely says of itself.
    confidence : float
        How sure it is that what the sentence says is so, 0..1, whatever that means for the risk.
    misses : str
        Whom it takes for an abuser wrongly, or what it can't see.
    may_be_habit : bool
        Whether it is of how a client works, and so says nothing against one that always did so.

    Raises
    ------
    ConfigError
        If code, OAT id, weight or confidence is out of its form.

    Examples
    --------
    >>> row = Evidence("EXPORTS", "exported {value} times", ("OAT-011",), 0.3, when("export_requests >= 5"))
    >>> row.oat, row.conditions[0].threshold
    ('OAT-011', 5.0)
    """

    code: str
    sentence: str
    oats: tuple[str, ...]
    weight: float
    conditions: tuple[Condition, ...]
    family: str = "own"
    spoofable: bool = False
    confidence: float = 0.8
    misses: str = ""
    may_be_habit: bool = False

    def __post_init__(self) -> None:
        highest = LIMIT_OF_CLAIMS if self.spoofable else 0.99
        wrong = {
            "code": not _CODE.fullmatch(self.code),
            "oats": not self.oats or not all(_OAT.fullmatch(oat) for oat in self.oats),
            f"weight (above 0, at most {highest})": not 0 < self.weight <= highest,
            "confidence (above 0, at most 1)": not 0 < self.confidence <= 1,
            "conditions": not self.conditions,
        }
        if found := [name for name, is_wrong in wrong.items() if is_wrong]:
            raise ConfigError(f"evidence {self.code}: {', '.join(found)} out of form", parameter="evidence")

    @property
    def oat(self) -> str:
        """The threat it speaks for most."""
        return self.oats[0]

    @property
    def rule(self) -> str:
        """Its conditions as text."""
        return " and ".join(f"{c.feature} {c.operator} {c.threshold:g}" for c in self.conditions)


def when(*conditions: str) -> tuple[Condition, ...]:
    """Read conditions written as ``feature >= number``.

    Raises
    ------
    ConfigError
        If one is written otherwise.

    >>> when("requests >= 3")[0].feature
    'requests'
    """
    return tuple(_read(condition) for condition in conditions)


def _read(condition: str) -> Condition:
    match condition.split():
        case [feature, ">=" | "<=" as operator, number]:
            return Condition(feature, operator, float(number))
    raise ConfigError(f"condition {condition!r}: write a feature, >= or <=, and a number", parameter="conditions")
