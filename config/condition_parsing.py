"""From the text of a condition to its value. A small grammar of its own, by recursive descent: nothing is ever executed, and no text
is longer, deeper or of more parts than what is said here."""

import re
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec

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
from quarterdeck.config.problems import nearest
from quarterdeck.config.scalars import Unfit

LONGEST: Final = 400  # characters
DEEPEST: Final = 20  # brackets, `not` and signs within each other
MOST_PARTS: Final = 100  # numbers, names and operators together

AGGREGATES: Final = ("len", "min", "max", "sum", "mean", "median")
KINDS: Final = ("isnan", "isinf", "missing")
QUANTIFIERS: Final = ("any", "all")
FUNCTIONS: Final = (*AGGREGATES, *KINDS, *QUANTIFIERS, "abs", "default")
WORDS: Final = ("value", "values", "and", "or", "not", *FUNCTIONS)
COMPARISONS: Final = ("<", "<=", ">", ">=", "==", "!=")
# As other tools write them.
_MEANT: Final = {
    "result": "value",
    "results": "values",
    "&&": "and",
    "||": "or",
    "!": "not",
    "=": "==",
    "<>": "!=",
    "=<": "<=",
    "=>": ">=",
    "avg": "mean",
    "average": "mean",
    "count": "len",
    "nan": "isnan",
}
_TRUTHS: Final = (Comparison, IsKind, ForEach, Not, And, Or)
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?P<unit>[A-Za-z0-9_.%]*)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>&&|\|\||<=|>=|==|!=|<>|=<|=>|[-+*/(),<>=!]))"
)


class ConditionUnfit(Unfit):
    """A text that is no condition. ``column`` counts from 1, within the text."""

    def __init__(self, why: str, column: int, *, nearest: str | None = None) -> None:
        super().__init__(f"{why} (column {column})", nearest=nearest)
        self.column = column


class _Token(msgspec.Struct, frozen=True):
    kind: str  # number, word, mark, end
    text: str
    column: int


def condition(text: str) -> Condition:
    """The condition that ``text`` says. Raises ``ConditionUnfit``, with the place and what was probably meant."""
    if len(text) > LONGEST:
        raise ConditionUnfit(f"a condition has at most {LONGEST} characters", LONGEST + 1)
    return Condition(_Parser(_tokens(text)).whole())


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            column = at + len(text[at:]) - len(text[at:].lstrip()) + 1
            if text[column - 1] == "[":
                why = "there are no lists here: `value` is the one number, max(values) and its kind make one of several"
                raise ConditionUnfit(why, column)
            raise ConditionUnfit(f"{text[column - 1]!r} has no meaning in a condition", column)
        kind = match.lastgroup if match.lastgroup != "unit" else "number"
        assert kind is not None
        column = match.start(kind) + 1
        if match["unit"]:
            why = "a number has no unit here, it is in that of the metric" if match["number"] else ""
            raise ConditionUnfit(why, match.start("unit") + 1, nearest=match["number"])
        found.append(_Token(kind, match[kind], column))
        at = match.end()
    if len(found) > MOST_PARTS:
        raise ConditionUnfit(f"a condition has at most {MOST_PARTS} parts", found[MOST_PARTS].column)
    found.append(_Token("end", "", end + 1))
    return found


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._each = False  # within any(…) or all(…)
        self._elements = 0  # how often ``values`` stood for each of them
        self._measured = False  # whether anything measured was named

    def whole(self) -> Node:
        start = self._next
        tree = self._truth()
        if self._next.kind != "end":
            self._unexpected("`and`, `or` or the end")
        if not self._measured:
            raise ConditionUnfit("it says nothing of what was measured: `value` or `values`", start.column)
        return tree

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += 1
        return token

    def _is(self, *texts: str) -> bool:
        return self._next.kind != "number" and self._next.text in texts

    def _expect(self, text: str) -> None:
        if not self._is(text):
            self._unexpected(f"`{text}`")
        self._take()

    def _unexpected(self, wanted: str) -> NoReturn:
        token = self._next
        if token.kind == "end":
            raise ConditionUnfit(f"it ends where {wanted} is expected", token.column)
        meant = _MEANT.get(token.text.casefold())
        if meant is None and token.kind == "word":
            meant = nearest(token.text, WORDS)
        if meant == token.text:
            meant = None
        raise ConditionUnfit(f"expected {wanted}, found `{token.text[:40]}`", token.column, nearest=meant)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ConditionUnfit(f"more than {DEEPEST} brackets or signs within each other", self._next.column)

    def _truth(self) -> Node:
        """What is true or false."""
        column = self._next.column
        node = self._either()
        if not isinstance(node, _TRUTHS):
            if self._is("=", "=<", "=>", "<>", "!", "&&", "||"):
                self._unexpected("a comparison")
            raise ConditionUnfit("a number is no condition: compare it with another one", column)
        return node

    def _number(self, read: Callable[[], Node]) -> Node:
        column = self._next.column
        node = read()
        if isinstance(node, _TRUTHS):
            raise ConditionUnfit("expected a number, found what is true or false", column)
        return node

    def _either(self) -> Node:
        return self._joined("or", Or, self._both)

    def _both(self) -> Node:
        return self._joined("and", And, self._negated)

    def _joined(self, word: str, kind: type[And] | type[Or], read: Callable[[], Node]) -> Node:
        column = self._next.column
        first = read()
        if not self._is(word):
            return first
        operands: list[Node] = []
        while True:
            if not isinstance(first, _TRUTHS):
                raise ConditionUnfit(f"`{word}` stands between two conditions, this is a number", column)
            # (a and b) and c is a and b and c
            operands += first.operands if isinstance(first, kind) else (first,)
            if not self._is(word):
                return kind(tuple(operands))
            self._take()
            column = self._next.column
            first = read()

    def _negated(self) -> Node:
        if not self._is("not"):
            return self._compared()
        self._take()
        column = self._next.column
        self._deeper()
        operand = self._negated()
        self._depth -= 1
        if not isinstance(operand, _TRUTHS):
            raise ConditionUnfit("`not` stands before a condition, this is a number", column)
        return Not(operand)

    def _compared(self) -> Node:
        column = self._next.column
        left = self._sum()
        if not self._is(*COMPARISONS):
            return left
        if isinstance(left, _TRUTHS):
            raise ConditionUnfit("expected a number, found what is true or false", column)
        operator = self._take().text
        right = self._number(self._sum)
        if self._is(*COMPARISONS):
            raise ConditionUnfit("comparisons can't be chained: write `… and …`", self._next.column)
        return Comparison(operator, left, right)

    def _sum(self) -> Node:
        return self._calculated("+-", self._product)

    def _product(self) -> Node:
        return self._calculated("*/", self._signed)

    def _calculated(self, operators: str, read: Callable[[], Node]) -> Node:
        column = self._next.column
        left = read()
        while self._is(*operators):
            if isinstance(left, _TRUTHS):
                raise ConditionUnfit("expected a number, found what is true or false", column)
            operator = self._take().text
            left = Arithmetic(operator, left, self._number(read))
        return left

    def _signed(self) -> Node:
        if not self._is("-"):
            return self._atom()
        self._take()
        self._deeper()
        operand = self._number(self._signed)
        self._depth -= 1
        if isinstance(operand, Number):
            return Number(0.0 - operand.value)
        return operand.operand if isinstance(operand, Minus) else Minus(operand)

    def _atom(self) -> Node:
        token = self._next
        if token.kind == "number":
            self._take()
            value = float(token.text)
            if value == float("inf"):
                raise ConditionUnfit("the number is too large", token.column)
            return Number(value)
        if self._is("("):
            self._take()
            self._deeper()
            node = self._either()
            self._depth -= 1
            self._expect(")")
            return node
        if self._is("value"):
            self._take()
            self._measured = True
            return Value()
        if self._is("values"):
            return self._element()
        if token.kind == "word" and token.text in FUNCTIONS:
            return self._call()
        return self._unexpected("a number, `value`, `values` or a function")

    def _element(self) -> Node:
        token = self._take()
        if not self._each:
            raise ConditionUnfit(
                "`values` are several numbers: compare max(values), or all of them by all(values < …)", token.column
            )
        self._elements += 1
        self._measured = True
        return Element()

    def _call(self) -> Node:
        name = self._take()
        self._expect("(")
        self._deeper()
        node = self._called(name)
        self._depth -= 1
        self._expect(")")
        return node

    def _called(self, name: _Token) -> Node:
        if name.text in AGGREGATES:
            if self._is("value"):
                why = f"`{name.text}` is of several numbers, `value` is one"
                raise ConditionUnfit(why, self._next.column, nearest="values")
            self._expect("values")
            self._measured = True
            return Aggregate(name.text)
        if name.text in QUANTIFIERS:
            if self._each:
                raise ConditionUnfit(f"`{name.text}` can't stand within any(…) or all(…)", name.column)
            self._each, self._elements = True, 0
            operand = self._truth()
            self._each = False
            if not self._elements:
                raise ConditionUnfit(f"`{name.text}` is about each of `values`, which it does not name", name.column)
            return ForEach(name.text, operand)
        operand = self._number(self._sum)
        if name.text in KINDS:
            return IsKind(name.text, operand)
        if name.text == "abs":
            return Absolute(operand)
        self._expect(",")
        return Default(operand, self._number(self._sum))
