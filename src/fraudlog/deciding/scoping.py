"""What a verdict holds for: as narrow as what was judged, and never for many behind one address.

The heaviest reason says what was judged: the account, the address, a profile that many share, or simply the client. A
client is named best by its account, then by its network, and that only where few share it; else by its session.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from fraudlog.deciding.decision import Scope

__all__ = ["SHARED_BY", "SUBJECTS", "Ruling", "Subject", "choose_scope", "is_shared", "subject_of"]

Subject = Literal["client", "account", "address", "profile"]

SUBJECTS: Final[dict[str, Subject]] = {
    "LOGIN_": "address",  # whose logins fail is the victim, not the account's owner
    "PREFIX_": "address",
    "ACCOUNT_": "account",
    "USER_": "account",
    "PROFILE_": "profile",
    "COORDINAT": "profile",
}
"""What a reason speaks about, by how its code begins; of the client itself where none fits."""

SHARED_BY: Final = ("prefix_users_1d", "prefix_agents_1h")
"""Features that tell how many share an address: accounts in a day, agents in an hour."""


class Ruling(NamedTuple):
    """A verdict's place among `VERDICTS`, what it holds for, and the name of that."""

    level: int
    scope: Scope
    target: str | None


def subject_of(code: str | None) -> Subject:
    """Return what a reason speaks about.

    >>> subject_of("LOGIN_FAILURES"), subject_of("PROBE_PATHS")
    ('address', 'client')
    """
    if code is not None:
        for beginning, subject in SUBJECTS.items():
            if code.startswith(beginning):
                return subject
    return "client"


def is_shared(n_users: float | None, n_agents: float | None, most_users: int, most_agents: int) -> bool:
    """Say whether an address is taken to be shared; not known counts as shared."""
    users, agents = _known(n_users), _known(n_agents)
    if users is None and agents is None:
        return True
    return (users or 0) > most_users or (agents or 0) > most_agents


def _known(value: float | None) -> float | None:
    return None if value is None or isnan(value) else value


def choose_scope(subject: Subject, user: str | None, profile: str | None, prefix: str | None) -> Scope:
    """Return what a verdict holds for; `prefix` is None where the network is shared or not to be named."""
    if subject == "account" and user is not None:
        return "user"
    if subject == "profile" and profile is not None:
        return "profile"
    if subject == "client" and user is not None:
        return "user"
    return "prefix" if prefix is not None else "session"
