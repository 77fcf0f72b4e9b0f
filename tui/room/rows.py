"""Rows of text that panes are made of: pure values with a role instead of a colour. Imports no screen library: the first
paint uses them before one is loaded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple, overload

from quarterdeck.backends.text_cleaning import clean


class Role(StrEnum):
    """What a piece of text is. A look (see looks.py) says how that is shown; no pane knows a colour."""

    PLAIN = "plain"
    DIM = "dim"  # worth less attention
    STRONG = "strong"
    TITLE = "title"  # the line on top of a pane
    FOCUS = "focus"  # the same, of the pane that has the keys
    OK = "ok"
    MOVING = "moving"
    BAD = "bad"
    WARN = "warn"
    DRIFT = "drift"
    STALE = "stale"
    FROZEN = "frozen"
    KEY = "key"  # a key to press
    CURSOR = "cursor"  # what a key acts on
    PRODUCTION = "production"
    ALERT = "alert"  # the band with the worst thing
    MATCH = "match"  # what a filter found
    NEW = "new"  # of the release that is coming
    OLD = "old"  # of the one that is leaving


class Span(NamedTuple):
    text: str
    role: Role = Role.PLAIN


Row = tuple[Span, ...]
EMPTY: Row = ()


class Lazily(Sequence[Row]):
    """Rows of a long list of which only those on the screen are made."""

    def __init__(self, count: int, make: Callable[[int], Row]) -> None:
        self._count = count
        self._make = make

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self._make(at) for at in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._make(index % self._count)


class Joined(Sequence[Row]):
    """Lists below each other; of a long one only those rows are made that somebody looks at (see ``Lazily``)."""

    def __init__(self, *parts: Sequence[Row]) -> None:
        self._parts = [part for part in parts if len(part)]
        self._count = sum(len(part) for part in self._parts)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._count)
            if step != 1:
                return [self[at] for at in range(start, stop, step)]
            found: list[Row] = []
            for part in self._parts:
                if start < len(part) and stop > 0:
                    found += part[max(start, 0) : stop]
                start, stop = start - len(part), stop - len(part)
            return found
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self[index % self._count : index % self._count + 1][0]


def row(*parts: "Span | str") -> Row:
    """A row of spans; a bare text is plain."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts if part)


def cells(text: str) -> int:
    """Columns that ``text`` takes on a terminal: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only for text that needs it: the first paint stays quick

    return cell_len(text)


def crop(text: str, width: int) -> str:
    """The longest beginning of ``text`` that fits ``width`` columns; cut in the middle of a wide character, a space fills up."""
    if text.isascii() or cells(text) <= width:
        return text[:width] if text.isascii() else text
    from rich.cells import set_cell_size

    return set_cell_size(text, width)


def ellipsis(text: str, width: int) -> str:
    """``text``, or its beginning and ``..`` where it does not fit."""
    if cells(text) <= width:
        return text
    return crop(text, max(width - 2, 0)) + ".."[: max(width, 0)]


def pieces(text: str, width: int) -> Iterator[str]:
    """``text`` broken where ``width`` columns are full; at least one piece."""
    if text.isascii():
        for at in range(0, max(len(text), 1), width):
            yield text[at : at + width]
        return
    begin, used = 0, 0
    for at, character in enumerate(text):
        wide = cells(character)
        if used + wide > width and at > begin:
            yield text[begin:at]
            begin, used = at, 0
        used += wide
    yield text[begin:]


def pad(text: str, width: int) -> str:
    """Exactly ``width`` columns: filled with spaces, or cut with ``..``."""
    short = ellipsis(text, width)
    return short + " " * (width - cells(short))


def width_of(spans: Iterable[Span]) -> int:
    return sum(cells(span.text) for span in spans)


def fit(spans: Sequence[Span], width: int) -> Row:
    """The row in exactly ``width`` columns, and the last guard: nothing that is not printable gets to a terminal."""
    fitted: list[Span] = []
    left = width
    for span in spans:
        if left <= 0:
            break
        if not span.text.isprintable():
            span = Span(clean(span.text).replace("\n", " "), span.role)
        used = cells(span.text)
        if used > left:
            fitted.append(Span(crop(span.text, left), span.role))
            left = 0
            break
        fitted.append(span)
        left -= used
    if left > 0:
        fitted.append(Span(" " * left))
    return tuple(fitted)


def spread(left: Sequence[Span], right: Sequence[Span], width: int) -> Row:
    """``left`` and, at the right edge, ``right``; where both don't fit, the left one is cut."""
    room = width - width_of(right)
    if room <= 0:
        return fit(left, width)
    return (*fit(left, room), *right)


def title(text: str, width: int, *, focused: bool = False, right: str = "") -> Row:
    """``-- matrix ------``; of the pane that has the keys ``== matrix ======``, so that it shows without colour."""
    role, line = (Role.FOCUS, "=") if focused else (Role.TITLE, "-")
    end = f" {right} {line * 2}" if right else ""
    head = f"{line * 2} {text} "
    space = width - cells(end)
    head = crop(head, max(space, 0))
    return fit((Span(head + line * max(space - cells(head), 0) + end, role),), width)


def plain(spans: Iterable[Span]) -> str:
    """The text alone."""
    return "".join(span.text for span in spans)
