"""The policy ledger: which privacy policy was in force when, and who was told of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from fraudlog.errors import ConfigError, PrivacyError
from fraudlog.privacy.chain import Chain

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Policies", "PolicyVersion", "add_policy", "hash_text"]


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of the privacy policy.

    Parameters
    ----------
    version : str
        Its name, as ``2026-03``.
    text_hash : str
        SHA-256 of its text, hex.
    effective : datetime
        When it comes into force, UTC.
    notified : datetime
        When people were told of it, UTC; not after `effective`.
    """

    version: str
    text_hash: str
    effective: datetime
    notified: datetime


class Policies:
    """All versions of the policy, in the order they come into force.

    Parameters
    ----------
    versions : iterable of PolicyVersion

    Examples
    --------
    >>> told, since = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    >>> policies = Policies([PolicyVersion("2026-02", "ab" * 32, since, told)])
    >>> policies.in_force(datetime(2026, 3, 1, tzinfo=UTC)).version
    '2026-02'
    >>> policies.in_force(told) is None
    True
    """

    def __init__(self, versions: Iterable[PolicyVersion] = ()) -> None:
        self.versions = tuple(sorted(versions, key=lambda row: row.effective))
        names = [row.version for row in self.versions]
        if len(set(names)) < len(names):
            raise ConfigError("two versions of the policy have one name", parameter="version")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the ledger `path`; one that is not there holds no version."""
        return cls(_from_entry(entry) for entry in Chain(path).entries())

    def in_force(self, moment: datetime) -> PolicyVersion | None:
        """Return the version in force at a moment; None before the first."""
        known = [row for row in self.versions if row.effective <= moment]
        return known[-1] if known else None

    def require(self, version: str, now: datetime) -> PolicyVersion:
        """Return `version` if events may be processed under it at `now`.

        Raises
        ------
        PrivacyError
            If no such version stands in the ledger, or it is not in force yet.
        """
        found = next((row for row in self.versions if row.version == version), None)
        if found is None:
            known = ", ".join(row.version for row in self.versions) or "none"
            raise PrivacyError(f"policy version {version!r} is not in the ledger; it holds {known}")
        if found.effective > now:
            raise PrivacyError(f"policy version {version!r} is in force from {found.effective.isoformat()}, not yet")
        return found

    def require_one(self, now: datetime) -> PolicyVersion:
        """Return the version in force at `now`.

        Raises
        ------
        PrivacyError
            If none is: then nothing may be processed.
        """
        found = self.in_force(now)
        if found is not None:
            return found
        if not self.versions:
            raise PrivacyError("the policy ledger is empty; add the version in force: fraudlog privacy policy add")
        return self.require(self.versions[0].version, now)

    def stamp(self, times: pa.ChunkedArray) -> pa.Array:
        """Return the version in force at each time; null before the first."""
        starts = np.array([_microseconds(row.effective) for row in self.versions])
        place = np.searchsorted(starts, times.cast(pa.int64()).to_numpy(), side="right") - 1
        names = pa.array([row.version for row in self.versions], pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(place.astype(np.int32), mask=place < 0), names)


def add_policy(path: Path, row: PolicyVersion) -> None:
    """Append a version to the ledger.

    Raises
    ------
    ConfigError
        If it is there already, comes into force before the last one, or before people were told.
    """
    known = Policies.load(path).versions
    if any(old.version == row.version for old in known):
        raise ConfigError(
            f"version {row.version!r} is in the ledger; a changed text is a new version", parameter="version"
        )
    if row.notified > row.effective:
        raise ConfigError("people must be told before a version comes into force", parameter="notified")
    if known and row.effective <= known[-1].effective:
        raise ConfigError("a version comes into force after those before it", parameter="effective")
    Chain(path).append(
        {
            "event": "policy",
            "version": row.version,
            "text_hash": row.text_hash,
            "effective": row.effective.isoformat(),
            "notified": row.notified.isoformat(),
        }
    )


def hash_text(path: Path) -> str:
    """Return the SHA-256 of a policy's text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _from_entry(entry: dict[str, Any]) -> PolicyVersion:
    moments = [datetime.fromisoformat(entry[name]).astimezone(UTC) for name in ("effective", "notified")]
    return PolicyVersion(entry["version"], entry["text_hash"], *moments)


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (moment.resolution)
