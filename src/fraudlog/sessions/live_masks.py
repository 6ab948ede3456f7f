"""What follows from the mask of a live event: the lanes it counts in, and which conditions hold.

A mask is worked out when it is first met, and kept in tables of bounded size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fraudlog.sessions import codes
from fraudlog.sessions.language import And, Known, Missing, Not, Or
from fraudlog.sessions.plan import atoms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fraudlog.sessions.language import Condition
    from fraudlog.sessions.live_layout import Layout
    from fraudlog.sessions.plan import Atom

__all__ = ["Part", "independent", "lookup"]

_Answer = tuple[bool, bool]


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
