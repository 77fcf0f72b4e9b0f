"""The traffic bar: which release gets how many of the requests, as text that needs no colour. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from quarterdeck.rollouts.picture.router import RouterSeen, SideSeen
from quarterdeck.tui.cli.routing_words import first_new, percent, rules_words, side_name
from quarterdeck.tui.cli.times import age
from quarterdeck.tui.room.rows import Role, Row, Span, cells, ellipsis, fit, pad, width_of

_LEAST, _MOST = 7, 24  # columns of the bar, with its brackets
_SIDES: Final = 2
_WORD: Final = 4  # columns below which nothing that is cut tells anything


def bar(value: float, width: int) -> str:
    """``[#####.....]``: ``#`` for ``value`` percent. Who gets something has at least one column, however little it is."""
    inside = max(width - 2, 1)
    full = round(inside * value / 100)
    if 0 < value < 100 and inside > 1:
        full = min(max(full, 1), inside - 1)
    return f"[{'#' * full}{'.' * (inside - full)}]"


def short_spans(seen: RouterSeen, width: int, now: datetime | None = None, *, new: str | None = None) -> list[Span]:
    """``v2 25 % [#####...............] v1 75 %  header beta to v2``, at most ``width`` columns; what matters less is left out first.
    ``new``: the release that is coming."""
    if seen.error is not None:
        return _lost_spans(seen, width, now)
    sides = first_new(seen.sides, new)
    if not sides:
        return [Span(ellipsis(f"nobody is behind {seen.name}", width), Role.WARN)]
    # Only while something is coming: else what somebody changed is what is wrong, and said as that.
    changed = f"~ {'; '.join(seen.changed)}" if new and seen.changed else ""
    left = width - cells(changed) - 2 if changed else width  # it comes before figures and the bar
    spans = _shares(seen, sides, left, new, counted=True) or _shares(seen, sides, left, new, counted=False)
    for more, role in ((changed, Role.DRIFT), (rules_words(seen), Role.PLAIN)):
        left = width - width_of(spans) - 2
        if more and left > _WORD:
            spans.append(Span(f"  {ellipsis(more, left)}", role))
    return spans if width_of(spans) <= width else list(fit(spans, width))


def _shares(seen: RouterSeen, sides: Sequence[SideSeen], width: int, new: str | None, *, counted: bool) -> list[Span]:
    """Both sides, with the bar between them where there is room; nothing where what is counted leaves none for it."""
    spans = _side_spans(seen, sides[0], new, counted)
    if len(sides) < _SIDES:
        return spans if not counted or width_of(spans) <= width else []
    second = _side_spans(seen, sides[1], new, counted)
    room = width - width_of(spans) - width_of(second) - 2
    if counted and room < _LEAST:
        return []
    besides = room - cells(rules_words(seen)) - 2  # so that rules are whole where both have room
    if room >= _LEAST:
        spans.append(Span(f" {bar(sides[0].percent, min(besides if besides >= _LEAST else room, _MOST))}"))
    return [*spans, Span(" "), *second]


def _side_spans(seen: RouterSeen, side: SideSeen, new: str | None, counted: bool) -> list[Span]:
    role = Role.PLAIN if new is None else Role.NEW if side.release == new else Role.OLD
    spans = [Span(side_name(seen, side), role), Span(f" {percent(side.percent)}{_rate(side) if counted else ''}")]
    if side.failing and counted:
        spans.append(Span(f" {side.failing:.3g}/s fail", Role.BAD))
    if side.live < side.servers:
        role = Role.BAD if not side.live and side.percent else Role.WARN
        spans.append(Span(f" {side.live}/{side.servers} live", role))
    return spans


def _rate(side: SideSeen) -> str:
    return f" {side.per_second:.3g}/s" if side.per_second is not None else ""


def _lost_spans(seen: RouterSeen, width: int, now: datetime | None) -> list[Span]:
    """What was last known, with its age, and why it is no newer."""
    known = ", ".join(f"{side_name(seen, side)} {percent(side.percent)}" for side in seen.sides)
    when = f"{known} {age(seen.seen, now)} ago" if seen.seen and known else "never seen"
    why = _why(seen)
    if cells(when) + 2 + cells(why) > width:
        why = why.split(": ", 2)[-1]  # without whom and what was asked: what is wrong is not to be cut off
    return [Span(ellipsis(f"{when}; {why}", width), Role.STALE)]


def _why(seen: RouterSeen) -> str:
    return " ".join((seen.error or "").split())


def whole_rows(seen: RouterSeen, width: int, now: datetime | None = None, *, new: str | None = None) -> list[Row]:
    """A line for each release, the rules, what somebody changed, why it can't be asked."""
    rows: list[Row] = []
    names = min(max((cells(side_name(seen, side)) for side in seen.sides), default=0), 14)
    for side in first_new(seen.sides, new):
        role = Role.PLAIN if new is None else Role.NEW if side.release == new else Role.OLD
        name = pad(side_name(seen, side), names)
        drawn = bar(side.percent, 22 if width >= 70 else 12)
        counted = f"{_rate(side):>8}" if side.per_second is not None else ""
        failing = f" {side.failing:.3g}/s fail" if side.failing else ""
        live = f" {side.live}/{side.servers} live" if side.servers else " no server"
        text = f"{percent(side.percent):>8} {drawn}{counted}"
        left = max(width - cells(name) - cells(text) - cells(failing) - 2, 0)
        rows.append(
            (
                Span(f"  {name}", role),
                Span(text),
                Span(failing, Role.BAD),
                Span(ellipsis(live, left), Role.WARN if side.live < side.servers else Role.DIM),
            )
        )
    lines = [(rules_words(seen), Role.PLAIN), *((words, Role.DRIFT) for words in seen.changed)]
    if seen.error is not None:
        known = f"seen {age(seen.seen, now)} ago: " if seen.seen else ""
        lines.append((f"{known}{_why(seen)}", Role.STALE))
    rows += [(Span(f"  {ellipsis(text, max(width - 2, 0))}", role),) for text, role in lines if text]
    return rows
