"""The doors at which a campaign is seen: what its networks ask for, and what they have in common there."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["DOORS", "Door"]


class Door(NamedTuple):
    """Where many networks may act in one manner.

    Parameters
    ----------
    code : str
        Code of the cause.
    sentence : str
        For a person; ``{value}`` is the number of networks.
    networks : str
        Feature: networks of the session's manner that stood here within a day.
    own : str
        Feature: requests of the session itself that went here.
    through : str
        Feature: requests that got through; with one, the session is no longer like those that only try.
    oat : str
        OWASP Automated Threat.
    among : str
        Feature: networks that could have.
    slack : float
        How many times the usual share is still a busy day.
    """

    code: str
    sentence: str
    networks: str
    own: str
    through: str
    oat: str
    among: str = "manner_prefixes_1d"
    slack: float = 2.0

    @property
    def kind(self) -> str:
        """What the networks have in common: ``manner``, ``straight`` (their shape) or ``rhythm``."""
        return self.networks.partition("_")[0]


DOORS: Final = (
    Door(
        "COORDINATED_FAILURES",
        "one of {value} networks that failed to log in in the same manner within a day",
        "manner_failures_1d",
        "login_requests",
        "login_successes",
        "OAT-008",
    ),
    Door(
        "COORDINATED_LOGINS",
        "one of {value} networks that logged in in the same manner within a day",
        "manner_logins_1d",
        "login_requests",
        "account_requests",
        "OAT-008",
        slack=3.0,
    ),
    Door(
        "COORDINATED_SIGNUPS",
        "one of {value} networks that asked for accounts in the same manner within a day",
        "manner_signups_1d",
        "signup_requests",
        "account_requests",
        "OAT-019",
    ),
    Door(
        "COORDINATED_REFUSALS",
        "one of {value} networks whose cards or codes were refused in the same manner within a day",
        "manner_refusals_1d",
        "payment_requests",
        "account_requests",
        "OAT-001",
    ),
    Door(
        "STRAIGHT_LOGINS",
        "one of {value} networks that came straight to log in and got the same answer within a day",
        "straight_logins_1d",
        "login_requests",
        "account_requests",
        "OAT-008",
        "straight_logins_of_1d",
        slack=1.5,
    ),
    Door(
        "STRAIGHT_SIGNUPS",
        "one of {value} networks that came straight to ask for an account within a day",
        "straight_signups_1d",
        "signup_requests",
        "account_requests",
        "OAT-019",
        "straight_signups_of_1d",
        slack=1.5,
    ),
    Door(
        "RHYTHM_LOGINS",
        "one of {value} networks that logged in after the same pause, to a quarter of a second, within a day",
        "rhythm_logins_1d",
        "login_requests",
        "account_requests",
        "OAT-008",
        "rhythm_logins_of_1d",
        slack=4.0,
    ),
    Door(
        "RHYTHM_SIGNUPS",
        "one of {value} networks that asked for an account after the same pause, to a quarter of a second",
        "rhythm_signups_1d",
        "signup_requests",
        "account_requests",
        "OAT-019",
        "rhythm_signups_of_1d",
        slack=4.0,
    ),
)
"""All doors, and what those who stand there may have in common."""
