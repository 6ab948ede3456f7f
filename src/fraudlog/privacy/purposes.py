"""What data may be read for: a table of purposes, and the columns that each may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fraudlog.errors import PrivacyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fraudlog.schema import Column

__all__ = ["PURPOSES", "REQUESTS", "PurposeRow", "allowed_columns", "require_purpose"]

REQUESTS: Final = "essential.legal_obligation"
"""To answer a request of the person the data is about, and to end its keeping: sees every column, of that person."""


@dataclass(frozen=True, slots=True)
class PurposeRow:
    """One purpose.

    Parameters
    ----------
    name : str
        Data use of fideslang.
    title : str
        For a heading.
    meaning : str
        What is done, in words for the people it is done to.
    basis : str
        Legal basis, article of the GDPR.
    """

    name: str
    title: str
    meaning: str
    basis: str


PURPOSES: Final[dict[str, PurposeRow]] = {
    row.name: row
    for row in (
        PurposeRow(
            "essential.fraud_detection",
            "Detect and deter abuse",
            "We look at how a visit uses our service to find out whether it is abuse or fraud, and act on that.",
            "legitimate interest in a secure service, Art. 6(1)(f), recitals 47 and 49",
        ),
        PurposeRow(
            "essential.service.authentication",
            "Check that it is you",
            "We compare a login with earlier ones of the same account, to notice when somebody else uses it.",
            "legitimate interest in secure accounts, Art. 6(1)(f), Art. 32",
        ),
        PurposeRow(
            "improve.system",
            "Measure and improve the detection",
            "We measure how often we were wrong and about whom, without knowing which account a visit belongs to.",
            "legitimate interest in accurate decisions, Art. 6(1)(f), Art. 5(1)(d)",
        ),
        PurposeRow(
            REQUESTS,
            "Answer you, and delete in time",
            "We look up, correct or delete what we hold about you when you ask, and delete it when its time is over.",
            "legal obligation, Art. 6(1)(c), Art. 12 to 22",
        ),
    )
}
"""Every purpose, by name."""


def require_purpose(purpose: str) -> PurposeRow:
    """Return the row of a purpose.

    Raises
    ------
    PrivacyError
        If data is not collected for it.
    """
    if purpose not in PURPOSES:
        raise PrivacyError(f"data is not collected for {purpose!r}; it is for {', '.join(PURPOSES)}")
    return PURPOSES[purpose]


def allowed_columns(columns: Iterable[Column], purpose: str) -> tuple[Column, ...]:
    """Return the columns that may be read for a purpose; one without any purpose may be read for none.

    Raises
    ------
    PrivacyError
        If data is not collected for it.

    Examples
    --------
    >>> from fraudlog.schema import EVENTS
    >>> names = [column.name for column in allowed_columns(EVENTS, "essential.service.authentication")]
    >>> "user" in names, "path" in names
    (True, False)
    """
    require_purpose(purpose)
    return tuple(
        column for column in columns if column.purposes and (purpose == REQUESTS or purpose in column.purposes)
    )
