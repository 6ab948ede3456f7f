"""Python written for one definition: the code that reads all features off a session's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from fraudlog.sessions.language import Number
from fraudlog.sessions.plan import (
    GROUPED,
    Fine,
    Guarded,
    Lane,
    Operation,
    Scan,
    Size,
    SquareRoot,
    Uncertainty,
    selection,
)

if TYPE_CHECKING:
    from fraudlog.sessions.definition import Definition
    from fraudlog.sessions.live_slots import Slots
    from fraudlog.sessions.plan import Outcome

__all__ = ["live_lanes", "parts_of", "tells_itself", "values_source"]


class _Values:
    """Writes the expression of each feature."""

    def __init__(self, definition: Definition, slots: Slots) -> None:
        self.plan = definition.plan
        self.slots = slots
        self.lanes = {lane: place for place, lane in enumerate(live_lanes(definition))}
        self.shared: dict[Outcome, str] = {}
        self.temporary = 0
        self.lines: list[str] = []

    def share(self, outcome: Outcome, seen: dict[Outcome, int]) -> None:
        """Count how often each inner value is needed."""
        if isinstance(outcome, (Operation, SquareRoot)):
            seen[outcome] = seen.get(outcome, 0) + 1
            if seen[outcome] > 1:
                return
        for inner in parts_of(outcome):
            self.share(inner, seen)

    def write(self, outcome: Outcome) -> str:
        """Return the code of a value, by name if it was worked out before."""
        if outcome in self.shared:
            return self.shared[outcome]
        return self.code(outcome)

    def fresh(self) -> str:
        self.temporary += 1
        return f"x{self.temporary}"

    def code(self, outcome: Outcome) -> str:
        """Return the code of a value."""
        match outcome:
            case Number(value):
                return repr(value)
            case Size():
                return "n"
            case Lane():
                return f"c{self.lanes[outcome]}"
            case Scan():
                return self.scan(outcome)
            case Guarded(value, support):
                return self.guarded(value, support)
            case Fine(value, _, limit):
                return f"({self.write(value)} if coarse <= {limit} else nan)"
            case SquareRoot(operand):
                name = self.fresh()
                return (
                    f"(sqrt({name}) if ({name} := {self.exact(operand)}) > 0.0 else 0.0 if {name} == {name} else nan)"
                )
            case Uncertainty(size, weights):
                return self.uncertainty(size, weights)
            case Operation(operator, left, right):
                return self.operation(operator, left, right)

    def guarded(self, value: Outcome, support: Lane) -> str:
        """Return the code of a value that is null without support; where it has a slot, an empty slot tells."""
        if not tells_itself(value, support):
            return f"({self.write(value)} if c{self.lanes[support]} else nan)"
        name, key = self.fresh(), (value.reference, value.where)
        if value.kind not in GROUPED:
            return f"({name} if ({name} := s[{self.slots[value]}]) is not None else nan)"
        return f"({self.scan(value)} if s[{self.slots['last', key]}] is not None else nan)"

    def exact(self, outcome: Outcome) -> str:
        """Return the code of a value as float; Python's own division of large integers rounds otherwise."""
        code = self.write(outcome)
        return code if isinstance(outcome, (Number, Operation, SquareRoot, Uncertainty)) else f"float({code})"

    def operation(self, operator: str, left: Outcome, right: Outcome) -> str:
        if operator == "/":
            name = self.fresh()
            over, under = (self.write(side) if _is_small(side) else self.exact(side) for side in (left, right))
            return f"({over} / {name} if ({name} := {under}) else nan)"
        one, other = self.exact(left), self.exact(right)
        if operator in "+-*":
            return f"({one} {operator} {other})"
        first, second, sign = self.fresh(), self.fresh(), ">=" if operator == "max" else "<="
        return f"({first} if ({first} := {one}) {sign} ({second} := {other}) or {first} != {first} else {second})"

    def uncertainty(self, size: Lane, weights: Scan) -> str:
        key = (weights.reference, weights.where)
        held, kept = self.slots["held", key], self.slots["weights", key]
        count = f"c{self.lanes[size]}"
        return f"(0.0 if s[{held}] is None else (weights[{count}] - s[{kept}]) / ({count} * 1048576.0))"

    def scan(self, scan: Scan) -> str:
        key = (scan.reference, scan.where)
        match scan.kind:
            case "distinct":
                held, last = self.slots["held", key], self.slots["last", key]
                return f"(len(s[{held}]) if s[{held}] is not None else 0 if s[{last}] is None else 1)"
            case "switches":
                return f"s[{self.slots['switches', key]}]"
            case "top":
                return f"s[{self.slots['top', key]}]"
            case "burst":
                return f"s[{self.slots['burst', scan.where, scan.window_s]}]"
        return f"s[{self.slots[scan]}]"


def tells_itself(value: Outcome, support: Lane) -> TypeGuard[Scan]:
    """Whether the slot of a scan is empty just where its support is 0."""
    if not isinstance(value, Scan) or value.kind in ("sum", "sumsq", "burst", "weights"):
        return False
    return support.condition == selection(value.reference, value.where) and not support.is_known


def live_lanes(definition: Definition) -> list[Lane]:
    """Return the lanes that the live twin counts: not those that only tell whether a slot is empty."""
    needed: dict[Lane, None] = {}

    def walk(outcome: Outcome) -> None:
        match outcome:
            case Lane():
                needed[outcome] = None
            case Guarded(value, support):
                if not tells_itself(value, support):
                    needed[support] = None
                walk(value)
            case Uncertainty(size):
                needed[size] = None
            case _:
                for inner in parts_of(outcome):
                    walk(inner)

    for outcome in definition.plan.outcomes.values():
        walk(outcome)
    return list(needed)


def _is_small(outcome: Outcome) -> bool:
    """Whether a value is an integer so small that Python's and NumPy's division of it are the same."""
    return isinstance(outcome, (Size, Lane)) or (
        isinstance(outcome, Scan) and outcome.kind in ("distinct", "switches", "top", "burst")
    )


def parts_of(outcome: Outcome) -> tuple[Outcome, ...]:
    """Return the values that a value is worked out from."""
    match outcome:
        case Guarded(value) | Fine(value):
            return (value,)
        case Operation(_, left, right):
            return left, right
        case SquareRoot(operand):
            return (operand,)
    return ()


def values_source(definition: Definition, slots: Slots) -> str:
    """Write the function that reads all features off a session's state."""
    plan = definition.plan
    writer = _Values(definition, slots)
    seen: dict[Outcome, int] = {}
    for outcome in plan.outcomes.values():
        writer.share(outcome, seen)
    lines = ["def values(s):", "    n = s[2]"]
    if writer.lanes:
        names = ", ".join(f"c{place}" for place in writer.lanes.values())
        lines.append(f"    {names}, = unpack(s[4].to_bytes({2 * len(writer.lanes)}, 'little'))")
    coarseness = next((o.coarseness for o in plan.outcomes.values() if isinstance(o, Fine)), None)
    if coarseness is not None:
        lines.append(f"    coarse = s[{slots[coarseness]}]")
    for outcome in sorted((o for o, times in seen.items() if times > 1), key=_height):
        name = writer.fresh()
        lines.append(f"    {name} = {writer.code(outcome)}")
        writer.shared[outcome] = name
    listed = ",\n        ".join(writer.write(outcome) for outcome in plan.outcomes.values())
    lines.append(f"    return [\n        {listed}\n    ]")
    return "\n".join(lines)


def _height(outcome: Outcome) -> int:
    return 1 + max((_height(inner) for inner in parts_of(outcome)), default=0)
