"""Entries of a log as rows of the screen. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from quarterdeck.rollouts.logs.spool import Level, Line, Side
from quarterdeck.tui.room.logs.folding import Entry, Item
from quarterdeck.tui.room.logs.marks import Mark, clock
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.rows import Role, Row, Span, cells, crop, ellipsis, fit, pad, pieces

WIDEST_HOST: Final = 16
SHOWN: Final = 8192  # characters of a line that are broken into rows at most
_ROLES: Final = {
    Level.UNKNOWN: Role.PLAIN,
    Level.DEBUG: Role.DIM,
    Level.INFO: Role.PLAIN,
    Level.WARN: Role.WARN,
    Level.ERROR: Role.BAD,
    Level.NOTICE: Role.STALE,
}


class Style(msgspec.Struct, frozen=True):
    """How lines are shown. ``shift``: columns that are out of sight on the left; ``sides``: N or O in front of each line."""

    hosts: tuple[str, ...] = ()
    timestamps: bool = True
    wrap: bool = False
    shift: int = 0
    sides: bool = False
    matcher: Matcher = EVERYTHING

    def host(self, number: int) -> str:
        return self.hosts[number] if number < len(self.hosts) else "?"

    @property
    def host_width(self) -> int:
        return min(max((cells(host) for host in self.hosts), default=0), WIDEST_HOST)


def role_of(level: Level) -> Role:
    return _ROLES[level]


def rows_of(item: Item, style: Style, width: int) -> list[Row]:
    """The rows of an entry or a mark, each as wide as ``width``."""
    if isinstance(item, Mark):
        return [fit((Span(ellipsis(f" ==== mark {clock(item.time)} {item.text} ====", width), Role.STRONG),), width)]
    rows: list[Row] = []
    for at, line in enumerate(item.lines):
        tail = _repeats(item) if at == 0 else ""
        rows += _rows_of_line(line, style, width, tail, first=at == 0)
    return rows


def _repeats(entry: Entry) -> str:
    if entry.count == 1:
        return ""
    seconds = round((entry.head.time - entry.since) / 1000)
    hosts = f", {len(entry.hosts)} hosts" if len(entry.hosts) > 1 else ""
    more = "+" if entry.open else ""
    return f"   (x{entry.count}{more} in {seconds}s{hosts})"


def _rows_of_line(line: Line, style: Style, width: int, tail: str, *, first: bool) -> list[Row]:
    head: list[Span] = [Span(" ")]
    if style.timestamps:
        when = _when(line)
        head.append(Span(f"{when} " if first else " " * 9, Role.DIM))
    if style.host_width:
        head.append(Span(pad(style.host(line.host) if first else "", style.host_width) + " ", Role.DIM))
    if style.sides:
        mark = {Side.NEW: ("N ", Role.NEW), Side.OLD: ("O ", Role.OLD)}.get(line.side, ("  ", Role.PLAIN))
        head.append(Span(mark[0] if first else "  ", mark[1]))
    used = sum(cells(span.text) for span in head)
    room = max(width - used, 1)
    role = _ROLES[line.level]
    text = line.body if line.level is not Level.NOTICE else f"-- {line.body} --"
    if not style.wrap:
        fitting = text[style.shift :] if style.shift else text
        space = max(room - cells(tail), 0)
        if tail and cells(fitting) > space:
            fitting = ellipsis(fitting, space)
        spans = [*head, *_marked(fitting, role, style.matcher, space)]
        if tail:
            spans.append(Span(tail, Role.STRONG))
        return [fit(spans, width)]
    rows = []
    for number, piece in enumerate(pieces(text[:SHOWN] + tail, room)):
        lead = head if number == 0 else [Span(" " * used)]
        rows.append(fit([*lead, *_marked(piece, role, style.matcher, room)], width))
    return rows


def _marked(text: str, role: Role, matcher: Matcher, room: int) -> list[Span]:
    shown = text if len(text) <= room else crop(text, room).rstrip("\0")
    return matcher.highlighted(shown, role) if matcher.active else [Span(shown, role)]


def plain_lines(items: Sequence[Item], style: Style) -> Iterator[str]:
    """The same as text for a file or a clipboard: whole lines, as they came."""
    for item in items:
        if isinstance(item, Mark):
            yield f"==== mark {clock(item.time)} {item.text} ===="
            continue
        for at, line in enumerate(item.lines):
            yield plain_line(line, style) + (_repeats(item) if at == 0 else "")


def plain_line(line: Line, style: Style) -> str:
    body = f"-- {line.body} --" if line.level is Level.NOTICE else line.body
    return f"{_when(line)} {style.host(line.host)} {body}"


def _when(line: Line) -> str:
    return "--:--:--" if line.undated else clock(line.time)
