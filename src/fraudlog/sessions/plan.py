"""From the expressions of a definition to the few things an evaluator has to keep.

*Atoms* are questions to one event (``status >= 400``), a bit each; all bits of an event are its mask. *Lanes* count the
events for which a condition over the atoms holds: as a condition depends on the mask alone, it is worked out once for
each distinct mask, in the batch and live alike. *Scans* are all other reducers. *Outcomes* say how a feature's value
follows from lanes and scans; the batch kernel and the live twin read the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fraudlog.errors import ConfigError
from fraudlog.sessions.fields import FIELDS
from fraudlog.sessions.language import (
    And,
    Arithmetic,
    Compare,
    Condition,
    Expression,
    Known,
    Missing,
    Not,
    Number,
    Or,
    Reducer,
    Reference,
    Root,
    parse,
)
from fraudlog.sessions.windows import Window, windows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "GROUPED",
    "Atom",
    "Fine",
    "Guarded",
    "Lane",
    "Operation",
    "Outcome",
    "Plan",
    "Scan",
    "Size",
    "SquareRoot",
    "Uncertainty",
    "atoms_of",
    "selection",
    "truth",
]

Atom = Compare | Known | Missing
_WIDEST_SUM: Final = 46

GROUPED: Final = ("distinct", "switches", "weights", "top")
"""Reducers over distinct values."""


@dataclass(frozen=True, slots=True)
class Size:
    """Number of events."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Number of events for which `condition` holds, or with `is_known`, for which it is known."""

    condition: Condition
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """Any other reducer, over the events where `where` holds and the reference has a value."""

    kind: str
    reference: Reference | None
    where: Condition | None = None
    window_s: int = 0

    @property
    def is_grouped(self) -> bool:
        """Whether it compares values with one another, so that a session keeps values."""
        return self.kind in GROUPED


@dataclass(frozen=True, slots=True)
class Guarded:
    """A value that is null unless `support` is above 0."""

    value: Outcome
    support: Lane


@dataclass(frozen=True, slots=True)
class Fine:
    """A value that is null where the session's timestamps are coarser than `coarseness` allows."""

    value: Outcome
    coarseness: Scan
    limit: int


@dataclass(frozen=True, slots=True)
class Operation:
    """Arithmetic on two values; null with a null, or with 0 below the line."""

    operator: str
    left: Outcome
    right: Outcome


@dataclass(frozen=True, slots=True)
class SquareRoot:
    """Square root, 0 below 0."""

    operand: Outcome


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Entropy of `size` values from the sum of ``c log2 c`` over their counts."""

    size: Lane
    weights: Scan


Outcome = Size | Lane | Scan | Guarded | Fine | Operation | SquareRoot | Uncertainty | Number

_COARSENESS: Final = Scan("min", Reference(FIELDS["coarseness"]))


def truth(condition: Condition, bit: Callable[[Atom], Any]) -> tuple[Any, Any]:
    """Work out Kleene's logic: whether a condition holds, and whether it is known.

    Parameters
    ----------
    condition : Condition
        What to ask.
    bit : callable
        Gives the answer to an atom: a bool, or an array of them; both are combined by the same bit operators.
    """
    match condition:
        case Known():
            return bit(condition), bit(condition) | True
        case Missing(reference):
            return bit(condition), bit(condition) | bit(Known(reference))
        case Compare(reference):
            return bit(condition), bit(Known(reference))
        case Not(operand):
            holds, known = truth(operand, bit)
            return known & (holds ^ True), known
        case And(left, right):
            (holds, known), (other, other_known) = truth(left, bit), truth(right, bit)
            return holds & other, (known & other_known) | (known & (holds ^ True)) | (other_known & (other ^ True))
        case Or(left, right):
            (holds, known), (other, other_known) = truth(left, bit), truth(right, bit)
            return holds | other, (known & other_known) | holds | other


def atoms_of(condition: Condition | None) -> Iterator[Atom]:
    """Give every atom of a condition, with the question whether its field is known."""
    match condition:
        case Compare(reference) | Missing(reference):
            yield Known(reference)
            yield condition
        case Known():
            yield condition
        case Not(operand):
            yield from atoms_of(operand)
        case And(left, right) | Or(left, right):
            yield from atoms_of(left)
            yield from atoms_of(right)


def _known(condition: Condition) -> Lane:
    """Count where a condition is known; conditions on one field share the count of its values."""
    atoms = list(atoms_of(condition))
    references = {atom.reference for atom in atoms}
    if len(references) == 1 and any(isinstance(atom, Compare) for atom in atoms) and _is_compared(condition):
        return Lane(Known(references.pop()))
    return Lane(condition, is_known=True)


def _is_compared(condition: Condition) -> bool:
    """Whether a condition holds comparisons alone, so that it is known just where its field is."""
    match condition:
        case Compare():
            return True
        case Not(operand):
            return _is_compared(operand)
        case And(left, right) | Or(left, right):
            return _is_compared(left) and _is_compared(right)
    return False


def selection(reference: Reference | None, where: Condition | None) -> Condition | None:
    """Return which events a reducer reads: those where the reference has a value and `where` holds."""
    if reference is None:
        return where
    return Known(reference) if where is None else And(Known(reference), where)


def _outcome(expression: Expression) -> Outcome:
    match expression:
        case Number():
            return expression
        case Arithmetic(operator, left, right):
            return Operation(operator, _outcome(left), _outcome(right))
        case Root(operand):
            return SquareRoot(_outcome(operand))
        case Reducer(kind, None, None, window_s):
            return Scan(kind, None, None, window_s) if kind == "burst" else Size()
        case Reducer(kind, None, where, window_s) if where is not None:
            return _of_condition(kind, where, window_s)
        case Reducer(kind, reference, where) if reference is not None:
            return _of_field(kind, reference, where)
    raise AssertionError  # pragma: no cover -- the parser makes no other tree


def _of_condition(kind: str, where: Condition, window_s: int) -> Outcome:
    if kind == "share":
        return Operation("/", Lane(where), _known(where))
    value = Scan(kind, None, where, window_s) if kind == "burst" else Lane(where)
    return Guarded(value, _known(where))


def _of_field(kind: str, reference: Reference, where: Condition | None) -> Outcome:
    seen = Lane(selection(reference, where) or Known(reference))
    if kind in ("sum", "mean") and reference.field.bits > _WIDEST_SUM:
        raise ConfigError(f"{reference.field.name} is too wide to be summed", parameter=reference.field.name)
    if kind == "mean":
        return Operation("/", Scan("sum", reference, where), seen)
    if kind == "entropy":
        return Guarded(Uncertainty(seen, Scan("weights", reference, where)), seen)
    if kind == "distinct":  # none is an answer, if both the field and the condition are known at all
        guarded = Guarded(Scan(kind, reference, where), Lane(Known(reference)))
        return guarded if where is None else Guarded(guarded, _known(where))
    return Guarded(Scan(kind, reference, where), seen)


def _leaves(outcome: Outcome) -> Iterator[Lane | Scan]:
    match outcome:
        case Lane() | Scan():
            yield outcome
        case Guarded(value, support):
            yield support
            yield from _leaves(value)
        case Fine(value, coarseness):
            yield coarseness
            yield from _leaves(value)
        case Operation(_, left, right):
            yield from _leaves(left)
            yield from _leaves(right)
        case SquareRoot(operand):
            yield from _leaves(operand)
        case Uncertainty(size, weights):
            yield size
            yield weights


@dataclass(frozen=True)
class Plan:
    """All that the expressions of a definition need.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        How each feature's value follows.
    lanes, scans : tuple
        What is counted, and what else is kept.
    early, late : tuple of Atom
        Questions to an event as it stands, and those that wait for its place among the others.
    fields : tuple of str
        Fields read.
    windows : tuple of Window
        Windows over other sessions that fill some of them.
    """

    outcomes: dict[str, Outcome]
    lanes: tuple[Lane, ...]
    scans: tuple[Scan, ...]
    early: tuple[Atom, ...]
    late: tuple[Atom, ...]
    fields: tuple[str, ...]
    windows: tuple[Window, ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, int]]) -> Plan:
        """Make the plan of features given as name, expression and coarsest resolution in seconds."""
        limits = {0: 0, 1: 1}
        outcomes: dict[str, Outcome] = {}
        for name, text, resolution_s in rows:
            outcome = _outcome(parse(text, name=f"feature {name}"))
            limit = limits.get(resolution_s)
            outcomes[name] = outcome if limit is None else Fine(outcome, _COARSENESS, limit)
        leaves = list(dict.fromkeys(leaf for outcome in outcomes.values() for leaf in _leaves(outcome)))
        lanes = tuple(leaf for leaf in leaves if isinstance(leaf, Lane))
        scans = tuple(leaf for leaf in leaves if isinstance(leaf, Scan))
        conditions = [lane.condition for lane in lanes] + [selection(scan.reference, scan.where) for scan in scans]
        atoms = list(dict.fromkeys(atom for condition in conditions for atom in atoms_of(condition)))
        windows = windows_of(atom.reference.field.name for atom in atoms)
        asked = [window.where_condition for window in windows] + [window.needs_condition for window in windows]
        atoms = list(dict.fromkeys([*atoms, *(atom for condition in asked for atom in atoms_of(condition))]))
        late = tuple(atom for atom in atoms if _is_late(atom.reference))
        early = tuple(atom for atom in atoms if not _is_late(atom.reference))
        read = {atom.reference.field.name for atom in atoms}
        return cls(outcomes, lanes, scans, early, late, tuple(name for name in FIELDS if name in read), windows)


def _is_late(reference: Reference) -> bool:
    return reference.is_step or reference.field.is_sequential
