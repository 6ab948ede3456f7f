"""How a live event's values are looked up: each distinct value, or tuple of values that go together, is read once.

What is looked at stays in tables of bounded size; a value is looked at again after its table was emptied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError
from fraudlog.sessions import codes
from fraudlog.sessions.columns import NULL
from fraudlog.sessions.facts import ACTOR, kept_fields
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import And, Compare, Known, Missing, Not, Or
from fraudlog.sessions.places import offset_minutes
from fraudlog.sessions.plan import atoms_of
from fraudlog.sessions.values import LIVE, profile_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.sessions.codes import Codes
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.live_compiled import Engine
    from fraudlog.sessions.plan import Atom, Lane
    from fraudlog.sessions.population import Population

__all__ = ["ABSENT", "Group", "Layout", "Part", "Reader", "answer", "independent", "lookup"]

ABSENT: Final = object()
"""Stands for a column that an event does not have at all."""

_TOGETHER: Final = (
    (
        "user_agent",
        "language",
        "os",
        "browser",
        "device_id",
        "device_class",
        "language_primary",
        "country",
        "asn",
        "browser_version",
        "is_automation",
        "bot_category",
        "bot_name",
        "tls_fingerprint",
        "protocol",
        "host",
        "agent_kind",
        "agent_conflict",
        "browser_age",
        "language_shape",
        "is_ch_malformed",
        "is_ch_missing",
        "is_ch_brand_same",
        "is_ch_version_same",
        "is_ch_platform_same",
        "is_ch_mobile_same",
        "is_language_malformed",
        "is_language_unknown",
        "is_hosting",
        "is_tor",
    ),
    ("method", "status", "endpoint", "action", "outcome"),
    ("client_ip", "ip_prefix"),
)
"""Columns that change together, so that one look-up serves all: of the client, of the request, of the network."""

_DERIVED: Final[dict[str, tuple[str, ...]]] = {
    "profile": ("os", "browser", "language_primary"),
    "manner": ("user_agent", "language", "protocol", "tls_fingerprint"),
    "shape": ("method", "endpoint", "status", "action", "outcome"),
    "device": ("device_id", "os", "browser", "device_class"),
    "country_language": ("country", "language_primary"),
    "section": ("path",),
    "directory": ("path",),
    "file": ("path",),
    "depth": ("path",),
    "path_length": ("path",),
    "path_number": ("path",),
    "query_length": ("query",),
    "agent_rarity": ("user_agent",),
    "language_rarity": ("language",),
    "profile_rarity": ("os", "browser", "language_primary"),
    "country_language_rarity": ("country", "language_primary"),
}
_DIRECT: Final = ("client_ip", "ip_prefix", "user", "session_token")
_OF_TIME: Final = {
    "time_ms": "t // 1000 if t >= 0 else None",
    "utc_hour": "t // 3600000000 % 24",
    "coarseness": "0 if t % 1000000 else 1 if t % 60000000 else 2",
}
_COMPUTED: Final = {
    "bytes_sent": ("bytes_sent", "b if b.__class__ is int and 0 <= b < 1000000000 else size_of(b)"),
    "duration_ms": ("duration_s", "None if b is None else milliseconds(b)"),
}
_NOT_COLUMNS: Final = ("bytes_sent", "duration_s", "bytes_log2", "duration_ms")


@dataclass(frozen=True)
class Group:
    """Columns that are looked up together, the fields that follow from them, and those of which codes are kept."""

    columns: tuple[str, ...]
    fields: tuple[str, ...]
    coded: tuple[str, ...] = ()


@dataclass
class Layout:
    """What the code of one definition reads, and where its bits stand.

    Attributes
    ----------
    groups : list of Group
        Look-ups of an event.
    direct : tuple of str
        Columns read without a look-up.
    coded : set of str
        Fields of text that a session keeps values of: it keeps their codes.
    computed, of_time : dict of str to str
        Code of further fields.
    needed : set of str
        All fields that are read.
    lanes : list of Lane
        What is counted.
    atoms : dict of Atom to int
        Bits of the mask.
    row_atoms : list of (Atom, int)
        Atoms that no look-up answers, with their bits.
    wheres, rules : dict
        Bits of the conditions of scans, and of windows, among the answers to a mask.
    """

    definition: Definition
    lanes: list[Lane]
    atoms: dict[Atom, int] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    direct: tuple[str, ...] = _DIRECT
    computed: dict[str, tuple[str, str]] = field(default_factory=dict)
    of_time: dict[str, str] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    coded: set[str] = field(default_factory=set)
    asked_missing: set[str] = field(default_factory=set)
    asked_direct: set[str] = field(default_factory=set)
    rule_group: int | None = None
    row_atoms: list[tuple[Atom, int]] = field(default_factory=list)
    steps: list[Reference] = field(default_factory=list)
    wheres: dict[Condition, int] = field(default_factory=dict)
    rules: dict[str, tuple[int, int]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    environment: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, definition: Definition, lanes: list[Lane]) -> Layout:
        """Plan the look-ups of a definition, of whose lanes these are counted."""
        self = cls(definition, lanes)
        plan = definition.plan
        text, numbers = kept_fields(plan)
        atoms = (*plan.early, *plan.late)
        self.needed = {*text, *numbers, *ACTOR, "client_ip", "profile"} | set(plan.fields)
        self.needed |= {atom.reference.field.name for atom in atoms}
        self.needed.discard("source")
        self.coded = {*ACTOR, *(scan.reference.field.name for scan in plan.scans if scan.is_grouped and scan.reference)}
        self.coded |= {name for window in plan.windows for name in window.coded}
        self.coded = {name for name in self.coded if not FIELDS[name].is_number}
        self.asked_direct = {atom.reference.field.name for atom in plan.early if not isinstance(atom, Known)} & set(
            _DIRECT
        )
        self.asked_missing = {atom.reference.field.name for atom in plan.early if isinstance(atom, Missing)}
        references = [scan.reference for scan in plan.scans if scan.reference] + [atom.reference for atom in atoms]
        self.steps = list(dict.fromkeys(reference for reference in references if reference.is_step))
        self.kinds = {window.name: window.kind for window in plan.windows}
        self._add_groups()
        self._add_code()
        self._add_conditions()
        looked_up = {name for group in self.groups for name in (*group.columns, *group.fields)}
        self.atoms = {atom: bit for bit, atom in enumerate(self._asked())}
        self.rule_group = self._find_rule_group()
        self.row_atoms = [
            (atom, bit)
            for atom, bit in self.atoms.items()
            if atom.reference.is_step or atom.reference.field.name not in looked_up
        ]
        self._refuse_what_is_not_told()
        return self

    def _refuse_what_is_not_told(self) -> None:
        """Refuse to guess: whether the log has a column is known of looked-up ones alone, not of wide numbers."""
        for atom, _ in self.row_atoms:
            if isinstance(atom, Missing):
                name = atom.reference.field.name
                raise ConfigError(
                    f"missing({name}) can't be told event by event: ask not known({name}), or use it in batches alone",
                    parameter="definition",
                )

    def _asked(self) -> list[Atom]:
        """Return the atoms of the conditions that a live event is asked, each once."""
        conditions = [lane.condition for lane in self.lanes] + [*self.wheres]
        for window in self.definition.plan.windows:
            conditions += [c for c in (window.where_condition, window.needs_condition) if c is not None]
        return list(dict.fromkeys(atom for condition in conditions for atom in atoms_of(condition)))

    def _find_rule_group(self) -> int | None:
        """Return the one look-up that answers all that windows ask, if there is one."""
        windows = [window for window in self.definition.plan.windows if window.needs]
        asked = {c for window in windows for c in (window.where_condition, window.needs_condition) if c is not None}
        names = {atom.reference.field.name for condition in asked for atom in atoms_of(condition)}
        return next((i for i, group in enumerate(self.groups) if names and names <= set(group.fields)), None)

    def group_of(self, reference: Reference | None) -> int | None:
        """Return which look-up gives a field's value, if any does."""
        if reference is None or reference.is_step:
            return None
        name = reference.field.name
        return next((i for i, group in enumerate(self.groups) if name in group.fields), None)

    def _add_groups(self) -> None:
        columns = {name for name in self.needed if not FIELDS[name].is_computed} - set(_NOT_COLUMNS)
        columns -= set(_DIRECT) - self.asked_direct
        columns |= {"client_ip"} if "ip_prefix" in columns else set()
        columns |= {column for name in self.needed for column in _DERIVED.get(name, ())}
        columns |= {"country"} if "local_hour" in self.needed else set()
        together = [tuple(name for name in group if name in columns) for group in _TOGETHER]
        alone = sorted(columns - {name for group in together for name in group})
        for group in [*together, *((name,) for name in alone)]:
            fields = [*group, *(n for n, needs in _DERIVED.items() if n in self.needed and set(needs) <= set(group))]
            if "country" in group and "local_hour" in self.needed:
                fields.append("offset")
            if group:
                self.groups.append(Group(group, tuple(fields), tuple(name for name in fields if name in self.coded)))

    def _add_code(self) -> None:
        if "bytes_log2" in self.needed:
            self.needed.add("bytes_sent")
        self.computed = {name: code for name, code in _COMPUTED.items() if name in self.needed}
        self.of_time = {name: code for name, code in _OF_TIME.items() if name in self.needed}
        if "local_hour" in self.needed:
            self.of_time["local_hour"] = "None if v_offset is None else (t + v_offset) // 3600000000 % 24"

    def _add_conditions(self) -> None:
        plan = self.definition.plan
        for scan in plan.scans:
            if scan.where is not None:
                self.wheres.setdefault(scan.where, 1 << len(self.wheres))
        for i, window in enumerate(window for window in plan.windows if window.needs):
            self.rules[window.name] = 1 << 2 * i, 2 << 2 * i


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
            source = known[_DERIVED[name][0]]
            return None if source is None else LIVE[name](source)
        if name == "offset":
            minutes = offset_minutes(known["country"])
            return None if minutes is None else minutes * 60_000_000
        if name.endswith("_rarity"):
            return self._rarity(name, known)
        if name in _DERIVED:
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
        value = _joined(column, known) if column in _DERIVED else known[column]
        return None if value is None else self.population.rarity(name, value)


def _joined(name: str, known: Mapping[str, Any]) -> str | None:
    given = [known.get(column) for column in _DERIVED[name]]
    parts = [None if value is None else str(value) for value in given]
    if name == "country_language":
        return None if None in parts else profile_of(*parts)
    if name == "device":
        return parts[0] if parts[0] is not None else profile_of(*parts[1:])
    return profile_of(*parts)


def lookup(
    layout: Layout, masks: dict[int, tuple[int, int]], rules: dict[int, int], parts: list[Part]
) -> dict[str, Callable[[int], Any]]:
    """Return the functions that work out a mask not met before: what its lanes count, and which conditions hold."""
    plan = layout.definition.plan
    places = layout.atoms

    def lanes(mask: int) -> tuple[int, int]:
        counted = where = 0
        for part in parts:
            lane_bits, where_bits = part(mask)
            counted |= lane_bits
            where |= where_bits
        entry = (counted, where)
        _keep(masks, mask, entry)
        return entry

    asked = [
        (flag, _asker(condition, places))
        for window in plan.windows
        if window.name in layout.rules
        for flag, condition in zip(
            layout.rules[window.name], (window.needs_condition, window.where_condition), strict=True
        )
        if condition is not None
    ]

    def window_rules(mask: int) -> int:
        holding = sum(flag for flag, ask in asked if ask(mask)[0])
        _keep(rules, mask, holding)
        return holding

    return {"lane_miss": lanes, "rule_miss": window_rules}


_Answer = tuple[bool, bool]


def _asker(condition: Condition, places: Mapping[Atom, int]) -> Callable[[int], _Answer]:
    """Return what works out from a mask whether a condition holds, and whether it is known: `plan.truth`, read once."""
    match condition:
        case Not(operand):
            ask = _asker(operand, places)
            return lambda mask: _negated(ask(mask))
        case And(left, right) | Or(left, right):
            one, other = _asker(left, places), _asker(right, places)
            join = _both if isinstance(condition, And) else _either
            return lambda mask: join(one(mask), other(mask))
    own = 1 << places[condition]
    if isinstance(condition, Known):
        return lambda mask: (mask & own != 0, True)
    known = 1 << places[Known(condition.reference)]
    asked = own | known if isinstance(condition, Missing) else known
    return lambda mask: (mask & own != 0, mask & asked != 0)


def _negated(answer: _Answer) -> _Answer:
    holds, known = answer
    return known and not holds, known


def _both(one: _Answer, other: _Answer) -> _Answer:
    holds = one[0] and other[0]
    return holds, (one[1] and other[1]) or (one[1] and not one[0]) or (other[1] and not other[0])


def _either(one: _Answer, other: _Answer) -> _Answer:
    holds = one[0] or other[0]
    return holds, holds or (one[1] and other[1])


class Part:
    """Lanes and conditions that share atoms, worked out once for each answer to just those atoms.

    Whole masks are as many as there are combinations of all answers; the answers to a few atoms are few.
    """

    def __init__(self, layout: Layout, atoms: frozenset[Atom]) -> None:
        self.mask = sum(1 << layout.atoms[atom] for atom in atoms)
        self.lanes = [
            (1 << 16 * place, int(lane.is_known), _asker(lane.condition, layout.atoms))
            for place, lane in enumerate(layout.lanes)
            if atoms.issuperset(atoms_of(lane.condition))
        ]
        self.wheres = [
            (flag, _asker(condition, layout.atoms))
            for condition, flag in layout.wheres.items()
            if atoms.issuperset(atoms_of(condition))
        ]
        self.known: dict[int, tuple[int, int]] = {}

    def __call__(self, mask: int) -> tuple[int, int]:
        """Return the lanes that count, and the conditions that hold."""
        own = mask & self.mask
        entry = self.known.get(own)
        return entry if entry is not None else self._work_out(own)

    def _work_out(self, mask: int) -> tuple[int, int]:
        counted = sum(one for one, is_known, ask in self.lanes if ask(mask)[is_known])
        where = sum(flag for flag, ask in self.wheres if ask(mask)[0])
        entry = (counted, where)
        _keep(self.known, mask, entry)
        return entry


def independent(layout: Layout) -> list[Part]:
    """Part the atoms so that each condition finds all of its own in one part."""
    conditions = [lane.condition for lane in layout.lanes] + [*layout.wheres]
    parts: list[frozenset[Atom]] = []
    for atoms in (frozenset(atoms_of(condition)) for condition in conditions):
        shared = [part for part in parts if part & atoms]
        parts = [part for part in parts if not part & atoms] + [atoms.union(*shared)]
    return [Part(layout, part) for part in parts]


def _keep(table: dict[int, Any], mask: int, entry: Any) -> None:  # noqa: ANN401 -- a table's entry
    if len(table) >= codes.MOST_ENTRIES:
        table.clear()
    table[mask] = entry
