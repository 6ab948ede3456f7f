"""Who is not to be taken in: consent withdrawn, objection, restriction, a child's data removed.

The list holds keyed marks, no pseudonym: it can be asked whether somebody is on it, not who is. A mark can have an end.
Every epoch's key is asked, so an entry outlives a rotation; it ends with the key it was made with.

An entry also bears marks of what stands for the person in the store, their session tokens among it: what comes in under
such a token without an account is theirs too.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError, InputError
from fraudlog.privacy.pseudonyms import Pseudonyms, derive_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["IDENTITIES", "Entry", "Why", "Withheld", "identity_mark"]

IDENTITIES: Final = ("user", "device_id", "session_token", "client_ip")
"""Columns that can say who somebody is."""

_TOKEN: Final = IDENTITIES[2]

Why = Literal["consent withdrawn", "objection", "restriction", "minor"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One person that is not to be taken in.

    Parameters
    ----------
    column : str
        One of `IDENTITIES`.
    mark : str
        `identity_mark` of the value.
    why : str
    since : str
        ISO 8601.
    until : str or None
        End of it; None for as long as it is not lifted.
    stored : tuple of str
        `identity_mark` of each pseudonym that stands for the person.
    """

    column: str
    mark: str
    why: Why
    since: str
    until: str | None = None
    stored: tuple[str, ...] = ()


def identity_mark(value: str, column: str, key: bytes) -> str:
    """Return the keyed mark of a raw identifier."""
    made = derive_key(key, f"withheld {column}")
    return hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=made, digest_size=16).hexdigest()


def _stored_mark(pseudonym: str, column: str, key: bytes) -> str:
    return identity_mark(pseudonym, f"stored {column}", key)


class Withheld:
    """All entries.

    Parameters
    ----------
    entries : iterable of Entry

    Examples
    --------
    >>> key, since = bytes(range(32)), datetime(2026, 1, 1).astimezone()
    >>> list_ = Withheld().adding("alice", "user", key, "objection", since)
    >>> list_.mask(pa.table({"user": ["alice", "bob", None]}), [key], since).tolist()
    [True, False, False]
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = tuple(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the list at `path`; one that is not there is empty.

        Raises
        ------
        InputError
            If it is damaged: then nobody knows who objected, and nothing may be taken in.
        """
        try:
            rows = json.loads(path.read_bytes()) if path.exists() else []
            return cls(Entry(**{**row, "stored": tuple(row.get("stored", ()))}) for row in rows)
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{path}: the list of who objected is damaged; restore it from a copy") from None

    def save(self, path: Path) -> None:
        """Write the list in one step, readable by its owner alone."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = path.with_name(f".{path.name}.new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as out:
            json.dump([asdict(entry) for entry in self.entries], out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(path)

    def adding(
        self,
        value: str,
        column: str,
        key: bytes,
        why: Why,
        since: datetime,
        until: datetime | None = None,
        pseudonyms: Mapping[str, Iterable[str]] = MappingProxyType({}),
    ) -> Withheld:
        """Return the list with one more person.

        Parameters
        ----------
        value, column, key, why, since, until
            As of `Entry`.
        pseudonyms : mapping of str to iterable of str, optional
            What stands for the person in the store, by column.

        Raises
        ------
        ConfigError
            If `column` says nothing of who somebody is.
        """
        if column not in IDENTITIES:
            raise ConfigError(f"a person is named by {', '.join(IDENTITIES)}", parameter="column")
        entry = Entry(
            column,
            identity_mark(value, column, key),
            why,
            since.isoformat(),
            None if until is None else until.isoformat(),
            tuple(sorted(_stored_mark(one, name, key) for name, ones in pseudonyms.items() for one in ones)),
        )
        return Withheld(dict.fromkeys((*self.entries, entry)))

    def lifting(self, value: str, column: str, keys: Iterable[bytes], why: Why) -> Withheld:
        """Return the list without the entries of a person for this reason: consent given again, a restriction over."""
        marks = {identity_mark(value, column, key) for key in keys}
        return Withheld(
            entry for entry in self.entries if not (entry.mark in marks and entry.column == column and entry.why == why)
        )

    def reasons(self, values: Mapping[str, str], keys: Iterable[bytes]) -> frozenset[Why]:
        """Return why a person is on the list.

        Parameters
        ----------
        values : mapping of str to str
            Raw identifiers by column.
        keys : iterable of bytes
            Of every epoch.
        """
        marks = {(column, identity_mark(value, column, key)) for key in keys for column, value in values.items()}
        return frozenset(entry.why for entry in self.entries if (entry.column, entry.mark) in marks)

    def current(self, now: datetime) -> Withheld:
        """Return the entries that hold at `now`."""
        return Withheld(
            entry for entry in self.entries if entry.until is None or datetime.fromisoformat(entry.until) > now
        )

    def mask(self, events: pa.Table, keys: Iterable[bytes], now: datetime) -> NDArray[np.bool_]:
        """Say which raw events are not to be taken in.

        Parameters
        ----------
        events : pyarrow.Table of shape (n_events, n_columns)
            As the reader made them, identifiers still in them.
        keys : iterable of bytes
            Of every epoch.
        now : datetime
            Entries that ended before are passed over.
        """
        found = np.zeros(len(events), bool)
        current, keys = self.current(now), tuple(keys)
        marks: dict[str, set[str]] = {}
        for entry in current.entries:
            marks.setdefault(entry.column, set()).add(entry.mark)
        for column in marks.keys() & set(events.column_names):
            found |= _holding(events[column], partial(_is_marked, identity_mark, column, marks[column], keys))
        return found | _mask_of_tokens(current, events, keys)

    def mask_stored(self, events: pa.Table, keys: Iterable[bytes], now: datetime) -> NDArray[np.bool_]:
        """Say which stored events are of somebody who is not to be taken in.

        Parameters
        ----------
        events : pyarrow.Table of shape (n_events, n_columns)
            With pseudonyms.
        keys, now
            As of `mask`.
        """
        found, keys = np.zeros(len(events), bool), tuple(keys)
        stored = {mark for entry in self.current(now).entries for mark in entry.stored}
        for column in (name for name in IDENTITIES if stored and name in events.column_names):
            found |= _holding(events[column], partial(_is_marked, _stored_mark, column, stored, keys))
        return found


def _is_marked(
    mark: Callable[[str, str, bytes], str], column: str, marks: Collection[str], keys: Iterable[bytes], value: str
) -> bool:
    return any(mark(value, column, key) in marks for key in keys)


def _mask_of_tokens(withheld: Withheld, events: pa.Table, keys: tuple[bytes, ...]) -> NDArray[np.bool_]:
    """Say which raw events bear a session token of somebody on the list, known by its pseudonym alone."""
    stored = {mark for entry in withheld.entries for mark in entry.stored}
    if not stored or _TOKEN not in events.column_names:
        return np.zeros(len(events), bool)
    names = [Pseudonyms(key) for key in keys]

    def is_theirs(token: str) -> bool:
        known = [made.tokens([token], _TOKEN)[0] or "" for made in names]
        return any(_is_marked(_stored_mark, _TOKEN, stored, keys, one) for one in known)

    return _holding(events[_TOKEN], is_theirs)


def _holding(values: pa.ChunkedArray, is_theirs: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Say which rows hold a value that something is true of; each distinct one is asked about once."""
    texts = values.cast(pa.string())
    hits = [value for value in texts.unique().to_pylist() if value is not None and is_theirs(value)]
    mask: NDArray[np.bool_] = pc.is_in(texts, value_set=pa.array(hits, pa.string())).to_numpy()
    return mask
