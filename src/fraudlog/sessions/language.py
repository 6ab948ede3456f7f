"""The language features are written in: reducers over a session's events, and arithmetic over what they give.

An expression is text, so that it can stand in a table, in a file of the user's own and in a digest. It is read once, by
Python's own parser, into the small trees below; nothing of it is ever executed as Python.

===================  ==================================================================================================
``count()``          events of the session
``count(P)``         events where the condition P holds
``share(P)``         events where P holds, of those where P is known
``sum(X)``           sum; also ``sum(X, P)``: over the events where P holds. So for all below
``sumsq(X)``         sum of squares, X clamped to 2**23 - 1 first
``mean(X)``          sum by number of known values
``min(X) max(X)``    least and greatest value
``first(X) last(X)`` first and last known value
``distinct(C)``      how many different values
``entropy(C)``       Shannon entropy of the values, in bits
``top(C)``           how often the commonest value stands
``switches(C)``      how often a value differs from the last known one
``burst(S)``         most events in any S seconds; ``burst(S, P)``
===================  ==================================================================================================

X is a number, C any field (`fraudlog.sessions.fields`); ``step(X)`` is its change since the event before. Conditions
compare a field with constants (``==``, ``!=``, ``<`` ..., ``in``), look at text (``path.endswith('.js')``), ask
``known(C)`` or ``missing(C)`` (the log has such a column, this event no value), and are joined by ``and or not``.

Null policy: a comparison with null is unknown, unknown conditions count nowhere (Kleene's logic), a reducer that saw no
known value is null, and null spreads through arithmetic; division by zero is null.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Final, Literal

from fraudlog.errors import ConfigError
from fraudlog.sessions.fields import FIELDS, Field

__all__ = [
    "And",
    "Arithmetic",
    "Compare",
    "Condition",
    "Expression",
    "Known",
    "Missing",
    "Not",
    "Number",
    "Or",
    "Reducer",
    "Reference",
    "Root",
    "parse",
    "parse_condition",
]

Operator = Literal["+", "-", "*", "/", "max", "min"]
Comparison = Literal["==", "<", "<=", ">", ">=", "in", "startswith", "endswith", "contains"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A field, or its change since the event before."""

    field: Field
    is_step: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """A field against constants; unknown where the field is null."""

    reference: Reference
    operator: Comparison
    constants: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """Whether a field has a value; never unknown."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Missing:
    """Whether an event lacks a value of a column that its log has; unknown where the log has no such column."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Not:
    """Negation; unknown stays unknown."""

    operand: Condition


@dataclass(frozen=True, slots=True)
class And:
    """Both; false as soon as one is false."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Or:
    """Either; true as soon as one is true."""

    left: Condition
    right: Condition


Condition = Compare | Known | Missing | Not | And | Or


@dataclass(frozen=True, slots=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Reducer:
    """What is kept of a session's events.

    Parameters
    ----------
    kind : str
        One of the table above.
    reference : Reference, optional
        What it reads; ``count``, ``share`` and ``burst`` read none.
    where : Condition, optional
        Which events it reads; all if none.
    window_s : int
        Length of the window of ``burst``, in seconds.
    """

    kind: str
    reference: Reference | None = None
    where: Condition | None = None
    window_s: int = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """An operator over two expressions."""

    operator: Operator
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Root:
    """Square root; of a negative number (rounding of a variance near 0) it is 0."""

    operand: Expression


Expression = Number | Reducer | Arithmetic | Root

_OF_CONDITION: Final = ("count", "share")
_OF_NUMBER: Final = ("sum", "sumsq", "mean", "min", "max", "first", "last")
_OF_ANY: Final = ("distinct", "entropy", "top", "switches")
_OPERATORS: Final[dict[type[ast.operator], Operator]] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_COMPARISONS: Final[dict[type[ast.cmpop], Comparison]] = {
    ast.Eq: "==",
    ast.NotEq: "==",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "in",
}
_NEGATED: Final = (ast.NotEq, ast.NotIn)
_MIRRORED: Final[dict[Comparison, Comparison]] = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TEXT: Final[tuple[Comparison, ...]] = ("startswith", "endswith", "contains")


def parse(text: str, *, name: str = "expression") -> Expression:
    """Read an expression.

    Parameters
    ----------
    text : str
        As in the table above.
    name : str
        What a message calls it.

    Raises
    ------
    ConfigError
        If it is not of this language; the message quotes the part and lists what would be.

    Examples
    --------
    >>> parse("count(status >= 400) / count()").operator
    '/'
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ConfigError(f"{name}: {text!r} is no expression: {error.msg}", parameter=name) from None
    return _Parser(name).expression(tree)


def parse_condition(text: str, *, name: str = "condition") -> Condition:
    """Read a condition alone; raises ConfigError as `parse` does.

    >>> parse_condition("status == 404").operator
    '=='
    """
    return _Parser(name).condition(ast.parse(text, mode="eval").body)


class _Parser:
    """Turns Python's tree into ours, or says what does not belong."""

    def __init__(self, name: str) -> None:
        self.name = name

    def refuse(self, node: ast.AST, expected: str) -> ConfigError:
        return ConfigError(f"{self.name}: {ast.unparse(node)!r} is not {expected}", parameter=self.name)

    def expression(self, node: ast.expr) -> Expression:
        match node:
            case ast.Constant(value=bool()):
                raise self.refuse(node, "a number")
            case ast.Constant(value=int() | float() as value):
                return Number(float(value))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return Arithmetic(_OPERATORS[type(op)], self.expression(left), self.expression(right))
            case ast.Call(func=ast.Name(id="sqrt"), args=[operand], keywords=[]):
                return Root(self.expression(operand))
            case ast.Call(func=ast.Name(id="larger" | "smaller" as kind), args=[left, right], keywords=[]):
                operator: Operator = "max" if kind == "larger" else "min"
                return Arithmetic(operator, self.expression(left), self.expression(right))
            case ast.Call(func=ast.Name(id=kind), args=arguments, keywords=[]):
                return self.reducer(node, kind, arguments)
        raise self.refuse(node, "a number, an operator + - * /, sqrt, larger, smaller or a reducer")

    def reducer(self, node: ast.Call, kind: str, arguments: list[ast.expr]) -> Reducer:
        if kind in _OF_CONDITION and len(arguments) <= 1 and (arguments or kind == "count"):
            return Reducer(kind, where=self.condition(arguments[0]) if arguments else None)
        if kind == "burst" and 1 <= len(arguments) <= 2:
            where = self.condition(arguments[1]) if arguments[1:] else None
            return Reducer(kind, where=where, window_s=self.window(arguments[0]))
        if kind in _OF_NUMBER + _OF_ANY and 1 <= len(arguments) <= 2:
            reference = self.reference(arguments[0])
            if kind in _OF_NUMBER and not reference.field.is_number:
                raise self.refuse(arguments[0], f"a number, which {kind} needs")
            if kind in _OF_ANY and reference.is_step:
                raise self.refuse(arguments[0], f"a field, which {kind} needs")
            return Reducer(kind, reference, self.condition(arguments[1]) if arguments[1:] else None)
        raise self.refuse(node, f"one of the reducers {', '.join((*_OF_CONDITION, *_OF_NUMBER, *_OF_ANY, 'burst'))}")

    def window(self, node: ast.expr) -> int:
        match node:
            case ast.Constant(value=int() as seconds) if 0 < seconds <= 3600:
                return seconds
        raise self.refuse(node, "a window of 1 to 3600 whole seconds")

    def reference(self, node: ast.expr) -> Reference:
        match node:
            case ast.Name(id=name) if name in FIELDS:
                return Reference(FIELDS[name])
            case ast.Call(func=ast.Name(id="step"), args=[ast.Name(id=name)], keywords=[]) if name in FIELDS:
                if FIELDS[name].is_number and not FIELDS[name].is_sequential:
                    return Reference(FIELDS[name], is_step=True)
        raise self.refuse(node, f"a field: {', '.join(sorted(FIELDS))}")

    def condition(self, node: ast.expr) -> Condition:
        match node:
            case ast.BoolOp(op=op, values=[first, *others]):
                joined = self.condition(first)
                for other in others:
                    kind = And if isinstance(op, ast.And) else Or
                    joined = kind(joined, self.condition(other))
                return joined
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.condition(operand))
            case ast.Call(func=ast.Name(id="known"), args=[argument], keywords=[]):
                return Known(self.reference(argument))
            case ast.Call(func=ast.Name(id="missing"), args=[argument], keywords=[]):
                return Missing(self.column(argument))
            case ast.Call(func=ast.Attribute(value=value, attr=attr), args=[ast.Constant(value=str() as text)]):
                return self.text(node, self.reference(value), attr, text)
            case ast.Compare():
                return self.comparison(node)
        raise self.refuse(
            node, "a condition: a comparison, known, missing, startswith, endswith, contains, and, or, not"
        )

    def column(self, node: ast.expr) -> Reference:
        reference = self.reference(node)
        if reference.is_step or reference.field.is_computed:
            raise self.refuse(node, "a column of the log, which missing needs")
        return reference

    def text(self, node: ast.expr, reference: Reference, attr: str, text: str) -> Condition:
        for operator in _TEXT:
            if operator == attr and not reference.field.is_number:
                return Compare(reference, operator, (text,))
        raise self.refuse(node, f"a look at text: {', '.join(_TEXT)}")

    def comparison(self, node: ast.Compare) -> Condition:
        operands = [node.left, *node.comparators]
        joined: Condition | None = None
        for left, op, right in zip(operands, node.ops, operands[1:], strict=False):
            one = self.one_comparison(node, left, op, right)
            joined = one if joined is None else And(joined, one)
        if joined is None:
            raise self.refuse(node, "a comparison")
        return joined

    def one_comparison(self, node: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Condition:
        if type(op) not in _COMPARISONS:
            raise self.refuse(node, "a comparison by == != < <= > >= in")
        operator = _COMPARISONS[type(op)]
        if isinstance(left, ast.Constant) and operator in _MIRRORED:
            left, right, operator = right, left, _MIRRORED[operator]
        reference = self.reference(left)
        constants = self.constants(right, reference, is_list=operator == "in")
        if operator in ("<", "<=", ">", ">=") and not reference.field.is_number:
            raise self.refuse(left, f"a number, which {operator} needs")
        found = Compare(reference, operator, constants)
        return Not(found) if isinstance(op, _NEGATED) else found

    def constants(self, node: ast.expr, reference: Reference, *, is_list: bool) -> tuple[str | int, ...]:
        kind = int if reference.field.is_number else str
        nodes = node.elts if is_list and isinstance(node, (ast.Tuple, ast.List)) else [node]
        values = [self.constant(one) for one in nodes]
        if not values or any(type(value) is not kind for value in values):
            raise self.refuse(node, f"{'a list of constants' if is_list else 'a constant'} of type {kind.__name__}")
        return tuple(value for value in values if isinstance(value, (str, int)))

    def constant(self, node: ast.expr) -> object:
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise self.refuse(node, "a constant") from None
