"""The language features are written in: a few reducers over a session's events, and arithmetic over their results.

A feature is an expression. Evaluators (the batch kernel in `fraudlog.sessions.kernel`, the slow twin in the tests) walk
the same expression, so that a feature is defined once. Reducers give whole numbers (times in microseconds, entropies in
units of 2**-20 bit), which makes their results independent of the order of summation and equal in every evaluator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["ENTROPY_SCALE", "Expression", "Feature", "Reducer", "burst", "count", "distinct", "entropy", "maximum"]
__all__ += ["minimum", "squares", "switches", "total"]

ENTROPY_SCALE: Final = 1 << 20
Kind = Literal["count", "total", "squares", "minimum", "maximum", "distinct", "entropy", "switches", "burst"]
Operator = Literal["+", "-", "*", "/", "sqrt"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A number or an operator over expressions; a reducer is the other kind of leaf."""

    operator: Operator | None = None
    operands: tuple[Expression, ...] = ()
    number: float = 0.0

    def _with(self, operator: Operator, other: Expression | float) -> Expression:
        right = other if isinstance(other, Expression) else Expression(number=float(other))
        return Expression(operator, (self, right))

    def __add__(self, other: Expression | float) -> Expression:
        return self._with("+", other)

    def __sub__(self, other: Expression | float) -> Expression:
        return self._with("-", other)

    def __mul__(self, other: Expression | float) -> Expression:
        return self._with("*", other)

    def __truediv__(self, other: Expression | float) -> Expression:
        return self._with("/", other)

    def sqrt(self) -> Expression:
        """Square root; null where the operand is below 0."""
        return Expression("sqrt", (self,))


@dataclass(frozen=True, slots=True)
class Reducer(Expression):
    """What is kept of a session's events.

    Parameters
    ----------
    kind : str
        What to compute.
    fact : str
        Name of the fact (`fraudlog.sessions.facts`) it reads; for ``count`` the events where that fact holds.
    window_s : int
        Length of the window of ``burst``, in seconds.
    """

    kind: Kind = "count"
    fact: str = ""
    window_s: int = 0


def count(fact: str = "") -> Reducer:
    """Events, or those where the fact `fact` holds."""
    return Reducer(kind="count", fact=fact)


def total(fact: str) -> Reducer:
    """Sum of `fact`; null where every value is."""
    return Reducer(kind="total", fact=fact)


def squares(fact: str) -> Reducer:
    """Sum of squares of `fact`; null where every value is."""
    return Reducer(kind="squares", fact=fact)


def minimum(fact: str) -> Reducer:
    """Least value of `fact`; null where every value is."""
    return Reducer(kind="minimum", fact=fact)


def maximum(fact: str) -> Reducer:
    """Greatest value of `fact`; null where every value is."""
    return Reducer(kind="maximum", fact=fact)


def distinct(fact: str) -> Reducer:
    """How many different values `fact` has."""
    return Reducer(kind="distinct", fact=fact)


def entropy(fact: str) -> Reducer:
    """``n log2 n - sum(c log2 c)`` over the counts of the values of `fact`, each term rounded to 2**-20 bit."""
    return Reducer(kind="entropy", fact=fact)


def switches(fact: str) -> Reducer:
    """How often `fact` differs from its last known value."""
    return Reducer(kind="switches", fact=fact)


def burst(window_s: int, fact: str = "") -> Reducer:
    """Most events, or those where `fact` holds, that start within `window_s` seconds."""
    return Reducer(kind="burst", fact=fact, window_s=window_s)


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a session.

    Parameters
    ----------
    name : str
        Column name.
    expression : Expression
        How it is computed.
    unit : str
        Unit of the value.
    family : str
        volume, tempo, mix, navigation, errors, identity or endpoints.
    meaning : str
        One phrase for a person.
    misses : str
        What it can't see.
    needs : tuple of str
        Event columns without which it is null.
    spoofable : bool
        Whether a client can choose it freely.
    oat : tuple of str
        OWASP Automated Threats it speaks to.
    transform : str
        What the forest sees: ``log1p`` or ``identity``.
    in_forest : bool
        Whether the forest sees it at all; what an agent merely claims is left to evidence.
    """

    name: str
    expression: Expression
    unit: str
    family: str
    meaning: str
    misses: str = ""
    needs: tuple[str, ...] = ()
    spoofable: bool = False
    oat: tuple[str, ...] = ()
    transform: Literal["log1p", "identity"] = "log1p"
    in_forest: bool = True
