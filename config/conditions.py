"""Conditions on a measurement (``value < 250``, ``all(values < 5) and len(values) >= 2``) as values, and as text in one canonical form.
Judges nothing: what a condition means for a measurement is said in ``rollouts.analysis.conditions``."""

from typing import Final

import msgspec

OR, AND, NOT, COMPARISON, SUM, PRODUCT, SIGN, ATOM = range(8)  # what binds more loosely comes first


class Number(msgspec.Struct, frozen=True, tag="number"):
    value: float  # finite


class Value(msgspec.Struct, frozen=True, tag="value"):
    """The one number that was measured."""


class Element(msgspec.Struct, frozen=True, tag="element"):
    """Each of the measured numbers in turn; stands within ``any(…)`` and ``all(…)`` only."""


class Aggregate(msgspec.Struct, frozen=True, tag="aggregate"):
    """One number made of all that were measured: len, min, max, sum, mean, median."""

    function: str


class Minus(msgspec.Struct, frozen=True, tag="minus"):
    operand: "Node"


class Absolute(msgspec.Struct, frozen=True, tag="abs"):
    operand: "Node"


class Default(msgspec.Struct, frozen=True, tag="default"):
    """``otherwise`` in place of a number that is missing or NaN."""

    operand: "Node"
    otherwise: "Node"


class Arithmetic(msgspec.Struct, frozen=True, tag="arithmetic"):
    operator: str  # + - * /
    left: "Node"
    right: "Node"


class Comparison(msgspec.Struct, frozen=True, tag="comparison"):
    operator: str  # < <= > >= == !=
    left: "Node"
    right: "Node"


class IsKind(msgspec.Struct, frozen=True, tag="is"):
    """Whether a number is of a kind: isnan, isinf, missing."""

    kind: str
    operand: "Node"


class ForEach(msgspec.Struct, frozen=True, tag="each"):
    """``any(…)`` or ``all(…)`` of the measured numbers."""

    quantifier: str
    operand: "Node"


class Not(msgspec.Struct, frozen=True, tag="not"):
    operand: "Node"


class And(msgspec.Struct, frozen=True, tag="and"):
    operands: tuple["Node", ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    operands: tuple["Node", ...]


Node = (
    Number
    | Value
    | Element
    | Aggregate
    | Minus
    | Absolute
    | Default
    | Arithmetic
    | Comparison
    | IsKind
    | ForEach
    | Not
    | And
    | Or
)

_LEVELS: Final[dict[type, int]] = {Or: OR, And: AND, Not: NOT, Comparison: COMPARISON, Minus: SIGN}


class Condition(msgspec.Struct, frozen=True):
    """``str()`` of it is its canonical text, which is parsed to an equal one."""

    tree: Node

    def __str__(self) -> str:
        return written(self.tree)


def written(node: Node) -> str:
    """The canonical text: single spaces, no bracket that is not needed."""
    match node:
        case Number(value):
            return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
        case Value():
            return "value"
        case Element():
            return "values"
        case Aggregate(function):
            return f"{function}(values)"
        case Minus(operand):
            return f"-{_within(operand, SIGN)}"
        case Absolute(operand):
            return f"abs({written(operand)})"
        case Default(operand, otherwise):
            return f"default({written(operand)}, {written(otherwise)})"
        case Arithmetic(operator, left, right):
            level = _level(node)
            return f"{_within(left, level)} {operator} {_within(right, level + 1)}"
        case Comparison(operator, left, right):
            return f"{_within(left, SUM)} {operator} {_within(right, SUM)}"
        case IsKind(kind, operand):
            return f"{kind}({written(operand)})"
        case ForEach(quantifier, operand):
            return f"{quantifier}({written(operand)})"
        case Not(operand):
            return f"not {_within(operand, NOT)}"
        case And(operands):
            return " and ".join(_within(operand, NOT) for operand in operands)
        case Or(operands):
            return " or ".join(_within(operand, AND) for operand in operands)


def _level(node: Node) -> int:
    if isinstance(node, Arithmetic):
        return SUM if node.operator in "+-" else PRODUCT
    return _LEVELS.get(type(node), ATOM)


def _within(node: Node, least: int) -> str:
    text = written(node)
    return text if _level(node) >= least else f"({text})"
