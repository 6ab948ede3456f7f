"""What a verdict holds for: as narrow as what was judged, and never for many behind one address.

The heaviest reason says what was judged: the account, the address, a profile that many share, or simply the client. A
client is named best by its account, then by its network, and that only where few share it; else by its session.

Many accounts or agents behind one address are an office, a carrier, a school: people. Only where they fail together,
each of them twice in an hour, are they one who tries many, and the network may be named, unless people are known to
come from it.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from fraudlog.deciding.decision import Scope

__all__ = ["SHARED_BY", "SUBJECTS", "Crowd", "Ruling", "Subject", "choose_scope", "crowd_behind", "subject_of"]

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

SHARED_BY: Final = ("prefix_users_1d", "prefix_agents_1d", "prefix_failures_1h")
"""Features that tell how many share an address: accounts and agents in a day, and logins that failed in an hour."""

_FAILURES_EACH: Final = 2.0

Crowd = Literal["few", "many", "one"]
"""Who stands behind an address: few, many, or one who tries many."""


class Ruling(NamedTuple):
    """A verdict's place among `VERDICTS`, what it holds for, the name of that, and whether it spares all bystanders."""

    level: int
    scope: Scope
    target: str | None
    spares_all: bool = False


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


def crowd_behind(
    n_users: float | None, n_agents: float | None, n_failures: float | None, most_users: int, most_agents: int
) -> Crowd:
    """Estimate who stands behind an address; not known counts as many.

    >>> crowd_behind(1, 2, 0, 2, 3), crowd_behind(200, 40, 30, 2, 3), crowd_behind(40, 1, 80, 2, 3)
    ('few', 'many', 'one')
    """
    users, agents = _known(n_users), _known(n_agents)
    if users is None and agents is None:
        return "many"
    clients = max(users or 0.0, agents or 0.0)
    if (users or 0.0) <= most_users and (agents or 0.0) <= most_agents:
        return "few"
    return "one" if (_known(n_failures) or 0.0) >= _FAILURES_EACH * clients else "many"


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
