"""What a condition means for a measurement: true, false, or unknown. A number that is missing or NaN makes a comparison unknown, and
unknown is never success: ``not (value < 5)`` does not become true because nothing was measured."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final

from quarterdeck.config.conditions import (
    Absolute,
    Aggregate,
    And,
    Arithmetic,
    Comparison,
    Condition,
    Default,
    Element,
    ForEach,
    IsKind,
    Minus,
    Node,
    Not,
    Number,
    Or,
    Value,
)

_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
}
_AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "min": min,
    "max": max,
    "sum": math.fsum,
    "mean": statistics.fmean,
    "median": statistics.median,
}


def holds(condition: Condition, value: float | None, values: Sequence[float]) -> bool | None:
    """Whether it is so; None: it can't be told (Kleene's three-valued logic). ``value`` is the one number, ``values`` are all."""
    return _truth(condition.tree, value, values, None)


def names_value(condition: Condition) -> bool:
    """Whether it is about the one number."""
    return _names_value(condition.tree)


def _names_value(node: Node) -> bool:
    match node:
        case Value():
            return True
        case Number() | Element() | Aggregate():
            return False
        case And(operands) | Or(operands):
            return any(_names_value(operand) for operand in operands)
        case Arithmetic(_, left, right) | Comparison(_, left, right) | Default(left, right):
            return _names_value(left) or _names_value(right)
        case _:
            return _names_value(node.operand)


def _truth(node: Node, value: float | None, values: Sequence[float], element: float | None) -> bool | None:
    match node:
        case And(operands):
            return _all([_truth(operand, value, values, element) for operand in operands])
        case Or(operands):
            return _any([_truth(operand, value, values, element) for operand in operands])
        case Not(operand):
            truth = _truth(operand, value, values, element)
            return None if truth is None else not truth
        case ForEach(quantifier, operand):
            # Of nothing neither is known: that no series was bad is no success where there was no series.
            if not values:
                return None
            truths = [_truth(operand, value, values, one) for one in values]
            return _all(truths) if quantifier == "all" else _any(truths)
        case IsKind(kind, operand):
            number = _number(operand, value, values, element)
            if kind == "missing":
                return number is None
            if number is None:
                return None
            return math.isnan(number) if kind == "isnan" else math.isinf(number)
        case Comparison(operator, left, right):
            first, second = _number(left, value, values, element), _number(right, value, values, element)
            if first is None or second is None or math.isnan(first) or math.isnan(second):
                return None
            return _COMPARISONS[operator](first, second)
        case _:
            raise AssertionError(f"a number where a condition was parsed: {node}")


def _number(node: Node, value: float | None, values: Sequence[float], element: float | None) -> float | None:
    """None: missing. What can't be calculated (a division by zero, infinity less infinity) is NaN."""
    match node:
        case Number(written):
            return written
        case Value():
            return value
        case Element():
            return element
        case Aggregate(function):
            return _aggregate(function, values)
        case Minus(operand):
            number = _number(operand, value, values, element)
            return None if number is None else -number
        case Absolute(operand):
            number = _number(operand, value, values, element)
            return None if number is None else abs(number)
        case Default(operand, otherwise):
            number = _number(operand, value, values, element)
            known = number is not None and not math.isnan(number)
            return number if known else _number(otherwise, value, values, element)
        case Arithmetic(operator, left, right):
            first, second = _number(left, value, values, element), _number(right, value, values, element)
            return None if first is None or second is None else _calculated(operator, first, second)
        case _:
            raise AssertionError(f"a condition where a number was parsed: {node}")


def _aggregate(function: str, values: Sequence[float]) -> float | None:
    if function == "len":
        return float(len(values))
    if not values:
        return None
    if any(math.isnan(one) for one in values):
        return math.nan
    try:
        return float(_AGGREGATES[function](values))
    except (OverflowError, ValueError):  # infinities of both signs
        return math.nan


def _calculated(operator: str, left: float, right: float) -> float:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case _:
            return left / right if right else math.nan


def _all(truths: Sequence[bool | None]) -> bool | None:
    if False in truths:
        return False
    return None if None in truths else True


def _any(truths: Sequence[bool | None]) -> bool | None:
    if True in truths:
        return True
    return None if None in truths else False
