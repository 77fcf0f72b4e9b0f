"""What a typed filter lets through, and where in a line it matched: one meaning of ``/`` for every list of the room. Pure.

``text`` is looked for as it is, or as a regular expression when it has the signs of one; ``!`` in front turns it round;
``-f`` in front asks only for the letters in their order. Lower case finds both cases, a capital only itself.
"""

import re
import warnings
from collections.abc import Callable, Iterable, Sequence

import msgspec

from quarterdeck.tui.room.rows import Role, Span

LONGEST = 4096  # characters of a line that are looked at: a regular expression must not stop the screen
FEW = 9  # times: what repeats no more often than that is soon tried through
_REPEATS = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<least>\d*)(?:,(?P<most>\d*))?\})[?+]?")
_SIGNS = frozenset("\\.^$*+?{}[]|()")  # without one of these a text is simply itself

Spans = Sequence[tuple[int, int]]


class Matcher(msgspec.Struct, frozen=True):
    """``words``: as typed. ``fault``: why it is no regular expression; it is then looked for as plain text."""

    words: str = ""
    needle: str = ""
    inverse: bool = False
    fuzzy: bool = False
    fault: str = ""
    _any_case: bool = True
    _pattern: re.Pattern[str] | None = None

    @property
    def active(self) -> bool:
        """Whether it leaves anything out."""
        return bool(self.needle)

    @property
    def literal(self) -> bool:
        """Whether ``needle`` is looked for as it is: then a search for it in many lines at once finds the same."""
        return bool(self.needle) and not self.fuzzy and self._pattern is None

    @property
    def any_case(self) -> bool:
        return self._any_case

    def matches(self, text: str) -> bool:
        """Whether ``text`` is let through."""
        if not self.needle:
            return True
        return self._found(text[:LONGEST]) is not self.inverse

    def keep(self, texts: Iterable[str]) -> list[str]:
        """Those that are let through, in their order; fuzzy ones the closest first."""
        kept = [text for text in texts if self.matches(text)]
        if self.fuzzy and self.needle and not self.inverse:
            kept.sort(key=self.distance)
        return kept

    def distance(self, text: str) -> int:
        """How far the letters of a fuzzy match lie apart: 0 when they stand together. Only for what matches."""
        spans = self._fuzzy_spans(text)
        return (spans[-1][1] - spans[0][0]) - len(self.needle) if spans else len(text)

    def spans(self, text: str) -> Spans:
        """Where ``text`` matches, as (start, behind the end); nothing for an inverse filter."""
        if not self.needle or self.inverse:
            return ()
        if self.fuzzy:
            return self._fuzzy_spans(text) or ()
        if self._pattern is not None:
            return [found.span() for found in self._pattern.finditer(text[:LONGEST]) if found.end() > found.start()]
        inside, at = self._folded(text), 0
        spans: list[tuple[int, int]] = []
        while (at := inside.find(self.needle, at)) >= 0:
            spans.append((at, at + len(self.needle)))
            at += len(self.needle)
        return spans

    def highlighted(self, text: str, role: Role) -> list[Span]:
        """``text`` in ``role``, what matched marked."""
        spans: list[Span] = []
        at = 0
        for start, end in self.spans(text):
            if start > at:
                spans.append(Span(text[at:start], role))
            spans.append(Span(text[start:end], Role.MATCH))
            at = end
        if at < len(text) or not spans:
            spans.append(Span(text[at:], role))
        return spans

    def test(self) -> Callable[[str], bool]:
        """``matches`` as one function, the quickest there is for this filter: for a million lines."""
        needle, wanted = self.needle, not self.inverse
        if not needle:
            return lambda _text: True
        if self._pattern is not None:
            search = self._pattern.search
            return lambda text: (search(text[:LONGEST]) is not None) is wanted
        if not self.fuzzy and not self._any_case:
            return lambda text: (needle in text) is wanted
        return self.matches

    def _found(self, text: str) -> bool:
        if self.fuzzy:
            return self._fuzzy_spans(text) is not None
        if self._pattern is not None:
            return self._pattern.search(text) is not None
        return self.needle in self._folded(text)

    def _folded(self, text: str) -> str:
        """As long as ``text``: a few letters grow when their case is changed, and spans would be wrong."""
        if not self._any_case:
            return text
        lower = text.lower()
        return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)

    def _fuzzy_spans(self, text: str) -> list[tuple[int, int]] | None:
        inside, at = self._folded(text), 0
        spans: list[tuple[int, int]] = []
        for letter in self.needle:
            at = inside.find(letter, at)
            if at < 0:
                return None
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], at + 1)
            else:
                spans.append((at, at + 1))
            at += 1
        return spans


EVERYTHING = Matcher()


def matcher(words: str) -> Matcher:
    """The filter that was typed. Never raises: a broken regular expression is looked for as text, and says so in ``fault``."""
    rest, inverse, fuzzy = words.strip(), False, False
    while True:
        if rest.startswith("!") and not inverse:
            rest, inverse = rest[1:].lstrip(), True
        elif not fuzzy and (rest == "-f" or rest.startswith("-f ")):
            rest, fuzzy = rest[2:].lstrip(), True
        else:
            break
    if not rest:
        return Matcher(words.strip())
    any_case = rest == rest.lower()
    if fuzzy:
        return Matcher(words.strip(), rest.replace(" ", ""), inverse, fuzzy=True, _any_case=any_case)
    pattern, fault = None, ""
    if _SIGNS & set(rest) and repeats_within_repeats(rest):
        fault = f"{rest} repeats what repeats, which can take for ever on some line: looked for as text"
    elif _SIGNS & set(rest):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "[[" is odd, not wrong, and standard error is the screen
                pattern = re.compile(rest, re.IGNORECASE if any_case else 0)
        except (re.error, OverflowError, RecursionError) as error:
            fault = f"{rest} is no regular expression ({error}): looked for as text"
    return Matcher(words.strip(), rest, inverse, fault=fault, _any_case=any_case, _pattern=pattern)


def repeats_within_repeats(expression: str) -> bool:
    """Whether a group that repeats without end is nothing but what does so itself, as in ``(a+)+`` or ``(\\d+,?)*``: on a line that nearly
    matches, Python's engine tries every way to divide it among the two, and the screen would stand still meanwhile. What must stand
    between the repeats, as the point in ``(\\d+\\.)+``, leaves one way only."""
    groups, at = [_Group()], 0
    while at < len(expression):
        character, at = expression[at], at + 1
        if character == "(":
            groups.append(_Group())
            if expression.startswith("?", at):  # what kind of group it is, is no part of it
                at = next((place + 1 for place in range(at, len(expression)) if expression[place] in ":=!>)"), at)
            continue
        if character == "|":
            groups[-1].next_branch()
            continue
        loose = False
        if character == ")" and len(groups) > 1:
            loose = groups.pop().loose
        elif character == "\\":
            at += 1
        elif character == "[":
            at = _behind_class(expression, at)
        many, optional, at = _repeat(expression, at)
        if loose and many:
            return True
        groups[-1].add(repeats=many or loose, must=not (many or optional or loose or character in "^$"))
    return False


class _Group:
    """``loose``: one of its branches holds what repeats, and nothing that must stand there beside it."""

    def __init__(self) -> None:
        self._repeats = self._must = self._loose = False

    def add(self, *, repeats: bool, must: bool) -> None:
        self._repeats, self._must = self._repeats or repeats, self._must or must

    def next_branch(self) -> None:
        self._loose = self.loose
        self._repeats = self._must = False

    @property
    def loose(self) -> bool:
        return self._loose or (self._repeats and not self._must)


def _repeat(expression: str, at: int) -> tuple[bool, bool, int]:
    """Of the repeat at ``at``: whether it goes on for long, whether it may be none at all, and what is behind it."""
    found = _REPEATS.match(expression, at)
    if found is None:
        return False, False, at
    least, most = found["least"], found["most"]
    if found["sign"]:
        return found["sign"] != "?", found["sign"] != "+", found.end()
    many = most == "" or (most is not None and int(most) > FEW) or (most is None and int(least or 0) > FEW)
    return many, int(least or 0) == 0, found.end()


def _behind_class(expression: str, at: int) -> int:
    """Behind the ``]`` of a class that begins before ``at``; one that comes first is a member of it."""
    at += expression.startswith("^", at)
    at += expression.startswith("]", at)
    while at < len(expression) and expression[at] != "]":
        at += 2 if expression[at] == "\\" else 1
    return at + 1
