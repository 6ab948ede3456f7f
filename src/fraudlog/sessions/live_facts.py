"""How a live event's values are looked up: each distinct value, or tuple of values that go together, is read once.

What is looked at stays in tables of bounded size; a value is looked at again after its table was emptied.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from fraudlog.sessions import codes
from fraudlog.sessions.columns import NULL
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import Compare, Known, Missing
from fraudlog.sessions.live_layout import DERIVED
from fraudlog.sessions.places import offset_minutes
from fraudlog.sessions.values import LIVE, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.sessions.codes import Codes
    from fraudlog.sessions.live_compiled import Engine
    from fraudlog.sessions.live_layout import Group, Layout
    from fraudlog.sessions.plan import Atom
    from fraudlog.sessions.population import Population

__all__ = ["ABSENT", "Reader", "answer"]

ABSENT: Final = object()
"""Stands for a column that an event does not have at all."""


def _nothing(_event: object) -> None:
    """Return the key of an event that has none of a look-up's columns."""


def answer(atom: Atom, value: Any) -> bool:  # noqa: ANN401 -- any field's value
    """Answer one atom for one value; `ABSENT` and None answer nothing but that they are missing."""
    if isinstance(atom, Missing):
        return value is None
    if value is None or value is ABSENT:
        return False
    return isinstance(atom, Known) or _compare(atom, value)


def _compare(atom: Compare, value: Any) -> bool:  # noqa: ANN401 -- as above
    constant: Any = atom.constants[0]
    looks: dict[str, Callable[[], bool]] = {
        "==": lambda: value == constant,
        "in": lambda: value in atom.constants,
        "<": lambda: value < constant,
        "<=": lambda: value <= constant,
        ">": lambda: value > constant,
        ">=": lambda: value >= constant,
        "startswith": lambda: value.startswith(constant),
        "endswith": lambda: value.endswith(constant),
        "contains": lambda: constant in value,
    }
    return bool(looks[atom.operator]())


class Seen(dict[Any, tuple[Any, ...]]):
    """Entries of one look-up, by the values of those of its columns that an event has."""

    __slots__ = ("columns", "reader")

    def __init__(self, reader: Reader, columns: tuple[str, ...]) -> None:
        super().__init__()
        self.reader = reader
        self.columns = columns

    def __missing__(self, key: Any) -> tuple[Any, ...]:  # noqa: ANN401 -- one value or a tuple of them
        """Find or make the entry of values not met before, and keep it."""
        given = dict(zip(self.columns, key if len(self.columns) > 1 else (key,), strict=False))
        entry = self.reader.entry_of(given)
        if len(self) >= codes.MOST_ENTRIES:
            self.clear()
        self[key] = entry
        return entry


class Reader:
    """Works out one group's entries: the mask of its atoms, and the values of its fields.

    An entry is a tuple: where the compiled engine keeps it (0 without one), the rules of windows it answers, the mask,
    the fields' values, the codes of those that are kept.
    """

    def __init__(
        self,
        group: Group,
        layout: Layout,
        population: Population | None,
        code: Codes,
        rules_of: Callable[[int], int],
    ) -> None:
        self.group = group
        self.code = code
        self.definition = layout.definition
        self.population = population
        self.engine: Engine | None = None
        self.place = layout.groups.index(group)
        self.is_rule_group = layout.rule_group == self.place
        self.rules_of = rules_of
        self.nothing = {c: ABSENT if c in layout.asked_missing else None for c in group.columns}
        names = set(group.fields) | set(group.columns)
        self.atoms = [
            (1 << bit, atom)
            for atom, bit in layout.atoms.items()
            if atom.reference.field.name in names and not atom.reference.is_step
        ]
        self.entries: dict[Any, tuple[Any, ...]] = {}
        self.seen: dict[tuple[str, ...], Seen] = {}

    def way(self, columns: frozenset[str]) -> tuple[Callable[[Any], Any], Seen]:
        """Return how the key of an event with these columns is got, and the entries by such keys."""
        present = tuple(column for column in self.group.columns if column in columns)
        if present not in self.seen:
            self.seen[present] = Seen(self, present)
        return itemgetter(*present) if present else _nothing, self.seen[present]

    def clear(self) -> None:
        """Forget all entries."""
        self.entries.clear()
        for seen in self.seen.values():
            seen.clear()
        if self.engine is not None:
            self.engine.drop_entries(self.place)

    def entry_of(self, known: dict[str, Any]) -> tuple[Any, ...]:
        """Return the entry of the values of some columns; the others are not there."""
        given = self.nothing | known
        key = tuple(given.values())
        entry = self.entries.get(key)
        return self._made(key, given) if entry is None else entry

    def _made(self, key: tuple[Any, ...], given: dict[str, Any]) -> tuple[Any, ...]:
        values = {name: self._value(name, given) for name in self.group.fields}
        mask = sum(bit for bit, atom in self.atoms if answer(atom, self._asked(atom, values, given)))
        if len(self.entries) >= codes.MOST_ENTRIES:
            self.clear()
        coded = {name: None if values[name] is None else self.code(values[name]) for name in self.group.coded}
        rules = self.rules_of(mask) if self.is_rule_group else 0
        place = 0
        if self.engine is not None:
            asked = {"is_page": int(values.get("endpoint") == "page"), "rules": rules}
            place = self.engine.entry(self.place, mask, values | coded | asked)
        self.entries[key] = entry = (place, rules, mask, *values.values(), *coded.values())
        return entry

    @staticmethod
    def _asked(atom: Atom, values: Mapping[str, Any], given: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- any value
        name = atom.reference.field.name
        return given[name] if isinstance(atom, Missing) else values[name]

    def _value(self, name: str, given: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- any field's value
        known = {column: None if value is ABSENT else value for column, value in given.items()}
        if name == "ip_prefix":
            return known["client_ip"] if known[name] is None else known[name]
        if name in LIVE:
            source = known[DERIVED[name][0]]
            return None if source is None else LIVE[name](source)
        if name == "offset":
            minutes = offset_minutes(known["country"])
            return None if minutes is None else minutes * 60_000_000
        if name.endswith("_rarity"):
            return self._rarity(name, known)
        if name in DERIVED:
            return _joined(name, known)
        return self._number(name, known[name]) if FIELDS[name].is_number else known[name]

    def _number(self, name: str, value: Any) -> int | None:  # noqa: ANN401 -- an integer, a bool or None
        number = NULL if value is None else min(int(value), (1 << FIELDS[name].bits) - 1)
        is_own = name == "status" and number in self.definition.own_statuses
        return None if number < 0 or is_own else number

    def _rarity(self, name: str, known: Mapping[str, Any]) -> int | None:
        if self.population is None:
            return None
        column = self.population.column_of(name)
        value = _joined(column, known) if column in DERIVED else known[column]
        return None if value is None else self.population.rarity(name, value)


def _joined(name: str, known: Mapping[str, Any]) -> str | None:
    given = [known.get(column) for column in DERIVED[name]]
    parts = [None if value is None else str(value) for value in given]
    if name == "country_language":
        return None if None in parts else profile_of(*parts)
    if name == "device":
        return parts[0] if parts[0] is not None else profile_of(*parts[1:])
    return profile_of(*parts)
