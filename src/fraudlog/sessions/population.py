"""How rare an agent, a language, a profile is on this site: counted once, then frozen with the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from math import log2
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudlog.errors import ModelError
from fraudlog.schema import SESSIONS, to_arrow
from fraudlog.sessions.values import profile_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from fraudlog.enriching import SiteMix

__all__ = ["READ", "Population"]

_COLUMN_OF: Final = {
    "agent_rarity": "user_agent",
    "language_rarity": "language",
    "profile_rarity": "profile",
    "country_language_rarity": "country_language",
}
_UNIT: Final = 1024
_HALF: Final = 32
_READ: Final = (
    *("user_agent", "language", "profile", "country", "language_primary"),
    *("ip_prefix", "browser", "browser_version"),
)
READ: Final = ("automation_share",)
"""Features that are read besides: programs have no part in the mix of browsers."""


@dataclass(frozen=True)
class Population:
    """Counts of values among the sessions of a log, and the rarity that follows from them.

    A session counts once, by its first event, so that a busy one does not make its agent common. Rarity is
    ``-log2((c + 1) / (n + d + 1))`` for a value that stood in c of n sessions, d values being different: a value never
    seen is as rare as the log is long. Of a language in a country, n and d are those of the country.

    Parameters
    ----------
    counts : dict of str to dict of int to int
        Of each field, in how many sessions each value stood. Values are 64-bit hashes: a rare agent may name a person.
    mix : SiteMix, optional
        The site's browser versions and languages, each client counting once; no counts of single accounts. Two of them
        add up and can't be taken apart.

    Examples
    --------
    >>> times = pa.array([0, 1, 2], pa.timestamp("us", "UTC"))
    >>> addresses = ["203.0.113.9", "198.51.100.7", "192.0.2.1"]
    >>> events = pa.table({"timestamp": times, "client_ip": addresses, "language": ["en", "en", "fr"]})
    >>> Population.fit(events).rarities("language_rarity", ["en", "fr", "xx", None])
    [1024, 1623, 2647, -1]
    """

    counts: dict[str, dict[int, int]] = field(default_factory=dict)
    mix: SiteMix | None = field(default=None, compare=False)

    @classmethod
    def fit(cls, events: pa.Table) -> Population:
        """Count the sessions of a log."""
        from fraudlog.sessions.build import build_sessions_table  # noqa: PLC0415 -- it fits one of these itself
        from fraudlog.sessions.catalogue import DEFAULT  # noqa: PLC0415 -- as above
        from fraudlog.sessions.stream import Settings  # noqa: PLC0415 -- as above

        return cls.of_sessions(build_sessions_table(events, Settings(DEFAULT.only(READ))))

    @classmethod
    def of_sessions(cls, sessions: pd.DataFrame | pa.Table) -> Population:
        """Count sessions that are built already; of rows as of events, the last of each session.

        Parameters
        ----------
        sessions : DataFrame or pyarrow.Table of shape (n_sessions, n_columns)
            As from `build_sessions`. Give it those presumed human, if others are many.
        """
        is_last = sessions["is_last"] if "is_last" in _names(sessions) else None
        table = to_arrow(sessions, [column for column in SESSIONS if column.name in _READ])
        if set(READ) <= set(_names(sessions)):
            programs = np.asarray(sessions[READ[0]], np.float64)
            table = table.append_column("is_automation", pa.array(programs > 0, mask=np.isnan(programs)))
        if is_last is not None:
            table = table.filter(pa.array(is_last) if not isinstance(is_last, pa.ChunkedArray) else is_last)
        counts = {name: _count(table, (name,)) for name in ("user_agent", "language", "profile")}
        counts["country_language"] = _count(table, ("country", "language_primary"))
        return cls(counts, _site_mix().learn(table.drop_columns("user") if "user" in table.column_names else table))

    def __add__(self, other: Population) -> Population:
        """Return the counts of both."""
        return self._combined(other, 1)

    def __sub__(self, other: Population) -> Population:
        """Return what is left without the other's sessions: as if they had never been counted."""
        return self._combined(other, -1)

    def _combined(self, other: Population, sign: int) -> Population:
        fields = {}
        for name in {**self.counts, **other.counts}:
            counts = Counter(self.counts.get(name, {}))
            for value, count in other.counts.get(name, {}).items():
                counts[value] += sign * count
            fields[name] = {value: count for value, count in counts.items() if count > 0}
        both = sign > 0 and self.mix is not None and other.mix is not None
        return Population(fields, _site_mix().merge(self.mix).merge(other.mix) if both else None)  # type: ignore[arg-type] # both

    @staticmethod
    def column_of(name: str) -> str:
        """Return the field whose rarity a field of numbers is."""
        return _COLUMN_OF[name]

    @cached_property
    def _totals(self) -> dict[str, tuple[Counter[int], Counter[int]]]:
        """Return, of each field, the number of sessions and of values, by group."""
        totals = {}
        for name, counts in self.counts.items():
            sessions, values = Counter[int](), Counter[int]()
            for value, count in counts.items():
                group = _group(name, value)
                sessions[group] += count
                values[group] += 1
            totals[name] = sessions, values
        return totals

    def rarities(self, name: str, values: Sequence[str | None]) -> list[int]:
        """Return the rarity of values in 1/1024 bit; -1 for null."""
        return [-1 if value is None else self.rarity(name, value) for value in values]

    def rarity(self, name: str, value: str) -> int:
        """Return the rarity of one value in 1/1024 bit."""
        column = _COLUMN_OF[name]
        sessions, values = self._totals.get(column, (Counter[int](), Counter[int]()))
        token = _token(column, value)
        group = _group(column, token)
        count = self.counts.get(column, {}).get(token, 0)
        return int(log2((sessions[group] + values[group] + 1) / (count + 1)) * _UNIT + 0.5)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the counts as arrays of numbers."""
        arrays: dict[str, NDArray[Any]] = {}
        for name, counts in sorted(self.counts.items()):
            pairs = sorted(counts.items())
            arrays[f"{name}.values"] = np.array([value for value, _ in pairs], np.uint64)
            arrays[f"{name}.counts"] = np.array([count for _, count in pairs], np.int64)
        if self.mix is not None:
            arrays["mix"] = np.frombuffer(self.mix.to_bytes(), np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Population:
        """Build from arrays that may come from anywhere.

        Raises
        ------
        ModelError
            If an array is missing, misshapen or out of range.
        """
        counted = {}
        for name in _COLUMN_OF.values():
            values, counts = arrays.get(f"{name}.values"), arrays.get(f"{name}.counts")
            if values is None or counts is None or values.shape != counts.shape or values.ndim != 1:
                raise ModelError(f"the model's counts of {name} are missing or misshapen: save it again")
            if values.dtype != np.uint64 or counts.dtype != np.int64 or not (counts > 0).all():
                raise ModelError(f"the model's counts of {name} are out of range: save it again")
            counted[name] = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return cls(counted, _read_mix(arrays.get("mix")))


def _site_mix() -> SiteMix:
    from fraudlog.enriching import SiteMix  # noqa: PLC0415 -- half of the room's loading

    return SiteMix()


def _read_mix(raw: NDArray[Any] | None) -> SiteMix | None:
    if raw is None:
        return None
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise ModelError("the model's mix of browsers is misshapen: save it again")
    try:
        return _site_mix().from_bytes(raw.tobytes())
    except ValueError:
        raise ModelError("the model's mix of browsers is damaged: save it again") from None


def _names(sessions: pd.DataFrame | pa.Table) -> list[str]:
    return list(sessions.column_names if isinstance(sessions, pa.Table) else sessions.columns)


def _count(table: pa.Table, columns: tuple[str, ...]) -> dict[int, int]:
    """Count the values of a column, or the pairs of two; a null is none."""
    if not set(columns) <= set(table.column_names):
        return {}
    plain = pa.table({name: pc.cast(table[name], pa.string()) for name in columns}).drop_null()
    grouped = plain.group_by(list(columns)).aggregate([([], "count_all")])
    values = zip(*(grouped[name].to_pylist() for name in columns), strict=True)
    name = columns[0] if len(columns) == 1 else "country_language"
    texts = [value[0] if len(value) == 1 else cast("str", profile_of(*value)) for value in values]
    counted = Counter[int]()
    for text, count in zip(texts, grouped["count_all"].to_pylist(), strict=True):
        counted[_token(name, text)] += count
    return dict(counted)


def _token(name: str, value: str) -> int:
    """Return the hash a value is counted by; of a language in a country, its upper half is the country's."""
    own = _hash(value)
    if name != "country_language":
        return own
    return _hash(value.split(" ", 1)[0]) >> _HALF << _HALF | own & ((1 << _HALF) - 1)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _group(name: str, token: int) -> int:
    return token >> _HALF if name == "country_language" else 0
