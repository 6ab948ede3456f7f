"""The manifest: what belongs to a store. A file that it does not name is none of the store's."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FORMAT_VERSION", "Document", "Manifest", "Part"]

FORMAT_VERSION: Final = 1
_HOURS: Final = 24
_NAME_DIGITS: Final = 16


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One Parquet file: the rows of one table of some hours of one day.

    Attributes
    ----------
    table, day : str
        Name of the table, and the day as ISO 8601 writes it.
    slice : int
        First hour of the day that it covers.
    rows, bytes : int
    sha256 : str
        Digest of the file.
    """

    table: str
    day: str
    slice: int
    rows: int = 0
    bytes: int = 0
    sha256: str = ""

    @property
    def key(self) -> tuple[str, str, int]:
        """What it is the only part of."""
        return self.table, self.day, self.slice

    @property
    def path(self) -> str:
        """Where it lies in the store."""
        return f"{self.table}/day={self.day}/part-{self.slice:02}-{self.sha256[:_NAME_DIGITS]}.parquet"


@dataclass(frozen=True, slots=True)
class Document:
    """A file that is no table: a state, a model."""

    name: str
    bytes: int
    sha256: str

    @property
    def path(self) -> str:
        """Where it lies in the store: its digest stands before the suffix."""
        stem, dot, suffix = self.name.rpartition(".")
        return f"{stem}-{self.sha256[:_NAME_DIGITS]}{dot}{suffix}"


@dataclass(frozen=True)
class Manifest:
    """All parts and documents of a store; equal stores have equal manifests, byte for byte.

    Attributes
    ----------
    slice_hours : int
        Hours that one part covers: 24 makes one part a day.
    parts : dict of (table, day, slice) to Part
    documents : dict of str to Document
    keys : frozenset of (int, str)
        Epoch and id of each key that pseudonyms in the store were made with; never a key.
    """

    slice_hours: int = _HOURS
    parts: dict[tuple[str, str, int], Part] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    keys: frozenset[tuple[int, str]] = frozenset()

    def of(self, table: str, days: Iterable[date] | None = None) -> list[Part]:
        """Return the parts of a table, in order of time."""
        wanted = None if days is None else {day.isoformat() for day in days}
        return sorted(
            part for part in self.parts.values() if part.table == table and (wanted is None or part.day in wanted)
        )

    def days(self, table: str) -> list[date]:
        """Return the days of which a table has rows."""
        return sorted({date.fromisoformat(part.day) for part in self.parts.values() if part.table == table})

    @property
    def key_rows(self) -> list[dict[str, Any]]:
        """The keys' epochs and ids, as JSON can hold them."""
        return [{"epoch": epoch, "key_id": key_id} for epoch, key_id in sorted(self.keys)]

    @property
    def paths(self) -> set[str]:
        """The files it names."""
        return {part.path for part in self.parts.values()} | {one.path for one in self.documents.values()}

    def changed(
        self, parts: Iterable[Part], documents: dict[str, Document | None], keys: Iterable[tuple[int, str]] = ()
    ) -> Manifest:
        """Return it with some parts and documents in place of those of the same name; empty ones leave, keys stay."""
        after = self.parts | {part.key: part for part in parts}
        kept = self.documents | documents
        return replace(
            self,
            parts={key: part for key, part in after.items() if part.rows},
            documents={name: one for name, one in kept.items() if one is not None},
            keys=self.keys.union(keys),
        )

    def dump(self) -> bytes:
        """Write it as JSON, always the same for the same content."""
        tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for part in sorted(self.parts.values()):
            row = {"file": part.path} | {name: getattr(part, name) for name in ("slice", "rows", "bytes", "sha256")}
            tables.setdefault(part.table, {}).setdefault(part.day, []).append(row)
        content = {
            "format": "fraudlog store",
            "format_version": FORMAT_VERSION,
            "slice_hours": self.slice_hours,
            "keys": self.key_rows,
            "tables": tables,
            "documents": {name: asdict(one) | {"file": one.path} for name, one in self.documents.items()},
        }
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()

    @property
    def sha256(self) -> str:
        """Digest of the manifest as written."""
        return sha256(self.dump()).hexdigest()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Manifest:
        """Read what `dump` wrote.

        Raises
        ------
        InputError
            If it is damaged, or of a later version.
        """
        try:
            content = json.loads(data)
            if content["format"] != "fraudlog store" or content["format_version"] != FORMAT_VERSION:
                raise InputError(f"{where}: of a version this fraudlog does not know; use the newer one", source=where)
            parts = [
                Part(table, day, *(row[name] for name in ("slice", "rows", "bytes", "sha256")))
                for table, days in content["tables"].items()
                for day, rows in days.items()
                for row in rows
            ]
            documents = [Document(name, row["bytes"], row["sha256"]) for name, row in content["documents"].items()]
            keys = frozenset((row["epoch"], row["key_id"]) for row in content["keys"])
            by_name = {one.name: one for one in documents}
            made = cls(content["slice_hours"], {part.key: part for part in parts}, by_name, keys)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{where}: the manifest is damaged; restore it from a copy", source=where) from None
        return made
