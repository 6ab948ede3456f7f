"""Who read what: every read of a store is written to its audit trail, before the rows are handed out."""

from __future__ import annotations

import errno
import os
import pwd
import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import OutputError
from fraudlog.privacy import Chain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fraudlog.store.manifest import Part

__all__ = ["AUDIT", "AuditWarning", "ReadTrail", "span_of", "who_asks"]

AUDIT: Final = "audit.jsonl"
"""Name of the trail in a store's ledger."""

_NOT_OURS: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
"""The store may be read but not written: by this account, or by anybody."""


class AuditWarning(UserWarning):
    """A store was read, and its audit trail does not say so: it lies where this process may not write."""


class ReadTrail:
    """Notes reads in a hash-chained trail: who, what for, which table, when, how many rows; of whom, never.

    Where the trail may not be written (a read-only copy, an account that may only read), reading goes on and an
    `AuditWarning` says that it is not noted. A disk that is full or broken is an error, and nothing is read.

    Parameters
    ----------
    path : Path
        The trail; by default that of the store.
    who, purpose : str
    """

    def __init__(self, path: Path, who: str, purpose: str) -> None:
        self.path = path
        self.who = who
        self.purpose = purpose

    def note(self, event: str, table: str, **facts: Any) -> None:  # noqa: ANN401 -- what JSON can hold
        """Write one entry.

        Raises
        ------
        PrivacyError
            If the trail was changed: nothing is read while nobody can say who read before.
        OutputError
            If it can't be written though it may be.
        """
        at = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"event": event, "at": at, "who": self.who, "purpose": self.purpose, "table": table}
        try:
            Chain(self.path).append(entry | facts)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                why = os.strerror(error.errno) if error.errno else "input/output error"
                raise OutputError(
                    f"{self.path}: the audit trail can't be written ({why}), so nothing is read", path=self.path
                ) from None
            warnings.warn(
                f"{self.path}: the audit trail may not be written, so this read is not noted; name a trail of your "
                "own: open_store(..., audit=...)",
                AuditWarning,
                stacklevel=3,
            )


def who_asks() -> str:
    """Return the account of the operating system that this process runs under."""
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # as in a container
        return f"uid {number}"


def span_of(parts: Iterable[Part]) -> list[str]:
    """Return first and last day of some parts; none of none."""
    days = sorted({part.day for part in parts})
    return [days[0], days[-1]] if days else []
