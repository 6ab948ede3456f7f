"""How rare an agent, a language, a profile is on this site: counted once, then frozen with the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from math import log2
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from fraudlog.sessions.definition import Definition
from fraudlog.sessions.facts import Encoder
from fraudlog.sessions.stream import enriched

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Population"]

_COLUMN_OF: Final = {
    "agent_rarity": "user_agent",
    "language_rarity": "language",
    "profile_rarity": "profile",
    "country_language_rarity": "country_language",
}
_UNIT: Final = 1024


@dataclass(frozen=True)
class Population:
    """Counts of values in a log, and the rarity that follows from them.

    Rarity is ``-log2((c + 1) / (n + d + 1))`` for a value that stood c times among n, d of them different: a value
    never seen is as rare as the log is long. Of a language in a country, n and d are those of the country.

    Parameters
    ----------
    counts : dict of str to dict of str to int
        Of each field, how often each value stood.

    Examples
    --------
    >>> times = pa.array([0, 1, 2], pa.timestamp("us", "UTC"))
    >>> languages = ["en", "en", "fr"]
    >>> events = pa.table({"timestamp": times, "client_ip": ["203.0.113.9"] * 3, "language": languages})
    >>> Population.fit(events).rarities("language_rarity", ["en", "fr", "xx", None])
    [1024, 1623, 2647, -1]
    """

    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def fit(cls, events: pa.Table) -> Population:
        """Count the values of a log; give it sessions presumed human, if others are many."""
        encoder = Encoder(enriched(events), Definition(()), None)
        counts = {}
        for name in _COLUMN_OF.values():
            counted = encoder.text(name).array().value_counts()
            values, times = counted.field("values").cast(pa.string()).to_pylist(), counted.field("counts").to_pylist()
            counts[name] = {value: n for value, n in zip(values, times, strict=True) if value is not None}
        return cls(counts)

    @staticmethod
    def column_of(name: str) -> str:
        """Return the field whose rarity a field of numbers is."""
        return _COLUMN_OF[name]

    @cached_property
    def _totals(self) -> dict[str, tuple[Counter[str], Counter[str]]]:
        """Return, of each field, the number of events and of values, by group."""
        totals = {}
        for name, counts in self.counts.items():
            events, values = Counter[str](), Counter[str]()
            for value, count in counts.items():
                group = _group(name, value)
                events[group] += count
                values[group] += 1
            totals[name] = events, values
        return totals

    def rarities(self, name: str, values: Sequence[str | None]) -> list[int]:
        """Return the rarity of values in 1/1024 bit; -1 for null."""
        return [-1 if value is None else self.rarity(name, value) for value in values]

    def rarity(self, name: str, value: str) -> int:
        """Return the rarity of one value in 1/1024 bit."""
        column = _COLUMN_OF[name]
        events, values = self._totals.get(column, (Counter[str](), Counter[str]()))
        group = _group(column, value)
        count = self.counts.get(column, {}).get(value, 0)
        return int(log2((events[group] + values[group] + 1) / (count + 1)) * _UNIT + 0.5)


def _group(name: str, value: str) -> str:
    return value.split(" ", 1)[0] if name == "country_language" else ""
