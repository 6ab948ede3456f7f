"""The program of the compiled live twin: the plan of a definition as rows of whole numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from fraudlog.sessions.language import Compare, Number
from fraudlog.sessions.live_slots import HEAD
from fraudlog.sessions.live_source import groups_of, kinds_of
from fraudlog.sessions.live_values import parts_of, tells_itself
from fraudlog.sessions.live_words import COUNTS, Op, Part, Test, Value
from fraudlog.sessions.plan import (
    GROUPED,
    Fine,
    Guarded,
    Lane,
    Operation,
    Scan,
    Size,
    Uncertainty,
)

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.language import Condition, Reference
    from fraudlog.sessions.live_layout import Group, Layout
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.plan import Atom, Outcome
    from fraudlog.sessions.windows import Window

__all__ = ["WORD_BITS", "Program"]

WORD_BITS: Final = 62
"""Bits of a mask that stand in one word; the sign and one more are left out."""

LANES_IN_WORD: Final = 4
_NUMBERS: Final = {"sum": 0, "sumsq": 1, "min": 2, "max": 3, "first": 4, "last": 5}
_WIDE_BITS: Final = 23
_TESTS: Final = {
    "==": Test.EQUAL,
    "in": Test.EQUAL,
    "<": Test.LESS,
    "<=": Test.LESS_OR_EQUAL,
    ">": Test.GREATER,
    ">=": Test.GREATER_OR_EQUAL,
}
_OPERATIONS: Final = {
    "+": Op.ADD,
    "-": Op.SUBTRACT,
    "*": Op.MULTIPLY,
    "/": Op.DIVIDE,
    "max": Op.GREATER,
    "min": Op.SMALLER,
}
_FIXED: Final = {
    "bytes_sent": Value.BYTES,
    "duration_ms": Value.DURATION,
    "client_ip": Value.CLIENT_IP,
    "ip_prefix": Value.IP_PREFIX,
    "user": Value.USER,
    "session_token": Value.SESSION_TOKEN,
    "time_ms": Value.TIME_MS,
    "utc_hour": Value.UTC_HOUR,
    "local_hour": Value.LOCAL_HOUR,
    "coarseness": Value.COARSENESS,
    "gap_ms": Value.GAP_MS,
    "gap_log2": Value.GAP_LOG2,
    "page_gap_ms": Value.PAGE_GAP_MS,
    "bytes_log2": Value.BYTES_LOG2,
}
_SPECIAL: Final = {"offset": Value.OFFSET, "is_page": Value.IS_PAGE, "rules": Value.RULES}
Row = tuple[int, ...]


@dataclass
class Program:
    """What the compiled loops do for one definition.

    Attributes
    ----------
    parts : dict of Part to list of tuple of int
        Rows of each part.
    places : dict of str to int
        Where a field's value stands in the event at hand.
    entries : list of int
        Where the entry of each look-up is named there.
    given : dict of str to int
        Fields that windows fill, and where.
    fields : list of tuple of str
        What an entry of each look-up holds behind its mask.
    constants : dict of int to float
        Registers that hold a constant.
    """

    definition: Definition
    layout: Layout
    slots: Slots
    parts: dict[Part, list[Row]] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=lambda: {name: int(place) for name, place in _FIXED.items()})
    entries: list[int] = field(default_factory=list)
    given: dict[str, int] = field(default_factory=dict)
    fields: list[tuple[str, ...]] = field(default_factory=list)
    constants: dict[int, float] = field(default_factory=dict)
    n_values: int = 0
    n_registers: int = 0
    watched: tuple[Window, ...] = ()
    most_values: int = 1 << 62

    def __post_init__(self) -> None:
        self.n_mask_words = len(self.layout.atoms) // WORD_BITS + 1
        self.n_lane_words = -(-len(self.layout.lanes) // LANES_IN_WORD)
        self.first_slot = COUNTS + self.n_lane_words
        self.page_slot = self._slot("page") if "page" in self.slots else -1
        self._place_fields()
        self._write_tests()
        self._write_updates()
        _Features(self).write()

    def _slot(self, key: object) -> int:
        return self.slots[key] - len(HEAD)

    def _slot_or_none(self, key: object) -> int:
        return self._slot(key) if key in self.slots else -1

    # --- where values stand ------------------------------------------------------------------------------------------
    def _place_fields(self) -> None:
        at = int(Value.FIRST_FREE)
        self.entries = list(range(at, at + len(self.layout.groups)))
        at += len(self.entries)
        windows = self.definition.plan.windows
        for window in [window for window in windows if window not in self.watched]:
            for name in window.fields:
                self.given[name] = self.places[name] = at
                at += 1
        for name in [name for window in self.watched for name in window.fields]:
            self.places[name] = at
            at += 1
        rows: list[Row] = []
        for entry, group in zip(self.entries, self.layout.groups, strict=True):
            names = self._kept_of(group)
            self.fields.append((*names, *(name for name in _SPECIAL if self._is_special(name, group))))
            rows.append((entry, at, len(names), self.n_mask_words))
            for n, name in enumerate(self.fields[-1][len(names) :], len(names)):
                rows.append((entry, int(_SPECIAL[name]), 1, self.n_mask_words + n))
            self.places |= {name: at + n for n, name in enumerate(names)}
            at += len(names)
        self.parts[Part.GROUPS] = rows
        steps: list[Row] = []
        for reference in self.layout.steps:
            steps.append((self.places[reference.field.name], self._slot(("step", reference)), at))
            self.places[f"step {reference.field.name}"] = at
            at += 1
        self.parts[Part.STEPS] = steps
        self.n_values = at

    def _kept_of(self, group: Group) -> list[str]:
        """Return the fields of a look-up that a state keeps something of."""
        references = [scan.reference for scan in self.definition.plan.scans] + [*self.layout.steps]
        wanted = {reference.field.name for reference in references if reference is not None}
        wanted |= {name for window in self.watched for name in window.reads}
        return [name for name in group.fields if name in wanted and name not in _FIXED]

    def _is_special(self, name: str, group: Group) -> bool:
        if name == "rules":
            return bool(self.watched) and self.layout.rule_group == self.layout.groups.index(group)
        return name in group.fields if name == "offset" else self.page_slot >= 0 and "endpoint" in group.fields

    def place_of(self, reference: Reference) -> int:
        """Return where the value of a reference stands."""
        name = reference.field.name
        return self.places[f"step {name}" if reference.is_step else name]

    # --- what is done with an event ----------------------------------------------------------------------------------
    def _write_tests(self) -> None:
        rows: list[Row] = []
        for atom, bit in self.layout.row_atoms:
            place, word, flag = self.place_of(atom.reference), bit // WORD_BITS, 1 << bit % WORD_BITS
            rows += [(place, test, constant, word, flag) for test, constant in _asked(atom)]
        self.parts[Part.TESTS] = rows

    def _where(self, condition: Condition | None) -> int:
        return 0 if condition is None else self.layout.wheres[condition]

    def _write_updates(self) -> None:
        scans = self.definition.plan.scans
        self.parts[Part.NUMBERS] = [
            (
                _NUMBERS[scan.kind],
                self.place_of(scan.reference),
                self._slot(scan),
                self._where(scan.where),
                int(scan.reference.field.bits > _WIDE_BITS or scan.reference.is_step),
            )
            for scan in scans
            if scan.kind in _NUMBERS and scan.reference is not None
        ]
        self.parts[Part.HELD] = [self._held((reference, where)) for reference, where in groups_of(self.definition)]
        bursts: list[Row] = []
        windows: list[Row] = []
        for where in dict.fromkeys(scan.where for scan in scans if scan.kind == "burst"):
            lengths = sorted(scan.window_s for scan in scans if scan.kind == "burst" and scan.where == where)
            at = self._slot_or_none(("at", where))
            longest = lengths[-1] * 1_000_000
            bursts.append((self._where(where), self._slot(("times", where)), at, len(lengths), len(windows), longest))
            windows += [
                (s * 1_000_000, self._slot(("head", where, s)), self._slot(("burst", where, s))) for s in lengths
            ]
        self.parts[Part.BURSTS], self.parts[Part.WINDOWS] = bursts, windows
        self.parts[Part.WATCHES] = [self._watch(n, window) for n, window in enumerate(self.watched)]

    def _watch(self, number: int, window: Window) -> Row:
        needed, where = self.layout.rules.get(window.name, (0, 0))
        return (
            int(window.kind == "distinct"),
            number,
            self.places[window.key],
            self.places[window.value] if window.value else -1,
            needed,
            where,
            self.places[window.name],
            self.places[window.new] if window.new else -1,
            window.window_us,
            self.most_values,
        )

    def _held(self, key: tuple[Reference | None, Condition | None]) -> Row:
        reference, where = key
        if reference is None:
            raise TypeError(key)
        is_counted = bool(kinds_of(key, self.definition) & {"weights", "top"})
        return (
            self.place_of(reference),
            self._where(where),
            self._slot(("last", key)),
            self._slot_or_none(("held", key)),
            self._slot(("top", key)) if is_counted else -1,
            self._slot(("weights", key)) if is_counted else -1,
            self._slot_or_none(("switches", key)),
        )


def _asked(atom: Atom) -> list[tuple[int, int]]:
    """Return the tests of which any has to hold."""
    if not isinstance(atom, Compare):
        return [(int(Test.KNOWN), 0)]
    return [(int(_TESTS[atom.operator]), int(constant)) for constant in atom.constants]


class _Features:
    """Writes the steps that read the features off, those of a kind and height together."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lanes = {lane: place for place, lane in enumerate(program.layout.lanes)}
        self.rows: list[tuple[int, Op, int, int, int]] = []
        self.heights: dict[int, int] = {}
        self.known: dict[Outcome, int] = {}

    def write(self) -> None:
        """Write all steps; the first registers are the features."""
        program, outcomes = self.program, list(self.program.definition.plan.outcomes.values())
        wanted = [self.register(outcome) for outcome in outcomes]
        final: dict[int, int] = {}
        for feature, register in enumerate(wanted):
            if register in final or register in program.constants:
                copied = self.add(Op.COPY, register, reads=(register,))
                final[copied] = feature
            else:
                final[register] = feature
        others = [register for register in self.heights if register not in final]
        final |= {register: len(outcomes) + n for n, register in enumerate(others)}
        program.n_registers = len(final)
        program.constants = {final[register]: value for register, value in program.constants.items()}
        rows = [
            (self.heights[dst], op, *(final[a] if n in _READS[op] else a for n, a in enumerate(given)), final[dst])
            for dst, op, *given in self.rows
        ]
        rows.sort()
        program.parts[Part.OPS] = [row[2:] for row in rows]
        runs: list[Row] = []
        for n, (height, op, *_) in enumerate(rows):
            if n == 0 or rows[n - 1][:2] != (height, op):
                runs.append((int(op), n, n + 1))
            else:
                runs[-1] = (int(op), runs[-1][1], n + 1)
        program.parts[Part.RUNS] = runs

    def add(self, op: Op, a: int = 0, b: int = 0, c: int = 0, reads: tuple[int, ...] = ()) -> int:
        """Add a step; returns its register."""
        register = len(self.heights)
        self.heights[register] = 1 + max((self.heights[one] for one in reads), default=0)
        self.rows.append((register, op, a, b, c))
        return register

    def register(self, outcome: Outcome) -> int:
        """Return the register of a value, worked out once."""
        if outcome not in self.known:
            self.known[outcome] = self.step(outcome)
        return self.known[outcome]

    def step(self, outcome: Outcome) -> int:
        """Write the step of a value, after those of what it reads."""
        slot = self.program._slot  # noqa: SLF001 -- one thing in two classes
        match outcome:
            case Number(value):
                register = len(self.heights)
                self.heights[register] = 0
                self.program.constants[register] = value
                return register
            case Size():
                return self.add(Op.COUNT)
            case Lane():
                return self.add(Op.LANE, self.lanes[outcome])
            case Scan():
                return self.scan(outcome)
            case Uncertainty(size, weights):
                key = (weights.reference, weights.where)
                return self.add(Op.ENTROPY, self.lanes[size], slot(("held", key)), slot(("weights", key)))
            case Guarded(value, support):
                return self.guarded(value, support)
        reads = tuple(self.register(one) for one in parts_of(outcome))
        match outcome:
            case Fine(_, coarseness, limit):
                return self.add(Op.FINE, reads[0], limit, slot(coarseness), reads=reads)
            case Operation(operator):
                return self.add(_OPERATIONS[operator], reads[0], reads[1], reads=reads)
        return self.add(Op.SQUARE_ROOT, reads[0], reads=reads)

    def guarded(self, value: Outcome, support: Lane) -> int:
        """Write a value that is null without support."""
        register = self.register(value)
        if not tells_itself(value, support):
            return self.add(Op.GUARD, register, self.lanes[support], reads=(register,))
        if value.kind not in GROUPED:
            return register
        last = self.program._slot(("last", (value.reference, value.where)))  # noqa: SLF001 -- as above
        return self.add(Op.GUARD_SLOT, register, last, reads=(register,))

    def scan(self, scan: Scan) -> int:
        """Write the step of what a slot holds."""
        slot, key = self.program._slot, (scan.reference, scan.where)  # noqa: SLF001 -- as above
        if scan.kind == "distinct":
            return self.add(Op.DISTINCT, slot(("held", key)), slot(("last", key)))
        if scan.kind in ("switches", "top"):
            return self.add(Op.SLOT, slot((scan.kind, key)))
        if scan.kind == "burst":
            return self.add(Op.SLOT, slot(("burst", scan.where, scan.window_s)))
        return self.add(Op.SLOT, slot(scan))


_READS: Final[dict[Op, tuple[int, ...]]] = {
    op: (0, 1) if op in _OPERATIONS.values() else (0,)
    for op in Op
    if op not in (Op.COUNT, Op.LANE, Op.SLOT, Op.ENTROPY, Op.DISTINCT)
} | dict.fromkeys((Op.COUNT, Op.LANE, Op.SLOT, Op.ENTROPY, Op.DISTINCT), ())
"""Which words of a step name a register."""
