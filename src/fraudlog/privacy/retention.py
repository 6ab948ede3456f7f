"""How long what is kept: a table of classes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from fraudlog.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["RETENTION", "RetentionRow", "cutoff", "with_days"]


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """One class of retention.

    Parameters
    ----------
    name : str
        As `fraudlog.schema.Column.retention` names it.
    days : int
        Kept so long after the day it stands under.
    what : str
        What falls into it.
    why : str
        Why so long and no longer.
    """

    name: str
    days: int
    what: str
    why: str


RETENTION: Final[dict[str, RetentionRow]] = {
    row.name: row
    for row in (
        RetentionRow(
            "events",
            180,
            "requests, and sessions with their features",
            "campaigns are slow and come back; half a year is the lower end of what CNIL asks of security logs",
        ),
        RetentionRow(
            "models",
            180,
            "what models remember of single people: how accounts logged in, by week, and rows kept to forget them by",
            "a login is compared with the account's earlier ones; no longer than the sessions it was learnt from",
        ),
        RetentionRow(
            "quarantine",
            180,
            "place and reason of lines that are no event; never the line",
            "long enough to see that a format changed",
        ),
        RetentionRow(
            "scores",
            365,
            "scores, reasons and decisions",
            "a decision can be contested, and must be explained until then",
        ),
        RetentionRow(
            "fraud",
            3 * 365,
            "what a reviewer confirmed as fraud, under a written ground and an end",
            "claims: no longer than the usual limitation of three years",
        ),
    )
}
"""Every class, by name."""


def with_days(days: Mapping[str, int]) -> dict[str, RetentionRow]:
    """Return the table with shorter times.

    Raises
    ------
    ConfigError
        If there is no such class, or the time is longer than the table's: then change the notice first.

    Examples
    --------
    >>> with_days({"events": 90})["events"].days
    90
    """
    changed = dict(RETENTION)
    for name, count in days.items():
        if name not in RETENTION:
            raise ConfigError(f"there is no class of retention {name!r}; there are {', '.join(RETENTION)}")
        if not 0 < count <= RETENTION[name].days:
            raise ConfigError(f"{name} may be kept from 1 to {RETENTION[name].days} days", parameter=name)
        row = RETENTION[name]
        changed[name] = RetentionRow(row.name, count, row.what, row.why)
    return changed


def cutoff(row: RetentionRow, now: datetime) -> datetime:
    """Return the moment before which rows of a class are to go."""
    return now - timedelta(days=row.days)
