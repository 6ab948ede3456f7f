"""Whose rows: from a raw identifier to the pseudonyms that stand for it, and the rows they stand in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ConfigError
from fraudlog.privacy import IDENTITIES, IpMode, Keyring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["READ_COLUMNS", "Person", "find_person"]

READ_COLUMNS: Final = ("timestamp", "source", "line_number", *IDENTITIES)
"""What of an event is looked at to tell whose it is."""


@dataclass(frozen=True)
class Person:
    """Who asks, as the store knows them.

    Parameters
    ----------
    values : dict of str to str
        Raw identifiers by column of `fraudlog.privacy.IDENTITIES`.
    pseudonyms : dict of str to frozenset of str
        What stands for them, under every epoch's key, and the session tokens that only they used.
    """

    values: Mapping[str, str] = field(repr=False)
    pseudonyms: Mapping[str, frozenset[str]] = field(repr=False)

    @classmethod
    def of(cls, values: Mapping[str, str], ring: Keyring, ip_mode: IpMode = "pfx") -> Person:
        """Compute the pseudonyms of raw identifiers.

        Raises
        ------
        ConfigError
            If none is given, or one of a column that names nobody.
        """
        if not values or set(values) - set(IDENTITIES):
            raise ConfigError(f"name the person by {', '.join(IDENTITIES)}", parameter="person")
        found = {
            column: frozenset(
                name
                for names in ring.pseudonyms(ip_mode).values()
                for name in (names.addresses([value]) if column == "client_ip" else names.tokens([value], column))
                if name is not None
            )
            for column, value in values.items()
        }
        return cls(dict(values), found)

    def mask(self, events: pa.Table) -> NDArray[np.bool_]:
        """Say which rows of a table of events, or of sessions, are theirs."""
        found = np.zeros(len(events), bool)
        for column, names in self.pseudonyms.items():
            if names and column in events.column_names:
                values = pa.array(sorted(names), pa.string())
                found |= pc.is_in(events[column].cast(pa.string()), value_set=values).to_numpy()
        return found

    def with_tokens(self, tokens: Iterable[str]) -> Person:
        """Return the person with session tokens that are theirs too."""
        known = self.pseudonyms.get("session_token", frozenset())
        return Person(self.values, {**self.pseudonyms, "session_token": known | frozenset(tokens)})


def find_person(person: Person, tables: Iterable[pa.Table]) -> Person:
    """Return the person with the session tokens that they used and nobody else did.

    What somebody asked for before they logged in is theirs too, where the same session token says so. A token that
    another account used as well is not followed: its other rows are somebody else's.

    Parameters
    ----------
    person : Person
    tables : iterable of pyarrow.Table
        Events, with `READ_COLUMNS`.
    """
    if "user" not in person.pseudonyms:
        return person
    theirs: set[str] = set()
    others: set[str] = set()
    for table in tables:
        pairs = table.select(["user", "session_token"]).drop_null()
        is_theirs = person.mask(pairs.select(["user"]))
        theirs |= set(pairs.filter(pa.array(is_theirs))["session_token"].unique().to_pylist())
        others |= set(pairs.filter(pa.array(~is_theirs))["session_token"].unique().to_pylist())
    return person.with_tokens(theirs - others)
