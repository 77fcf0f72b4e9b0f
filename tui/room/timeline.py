"""Events as one line each, for the timeline and the history. Pure."""

from collections.abc import Iterable, Sequence

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.history.records import Event
from quarterdeck.tui.cli.following import describe
from quarterdeck.tui.cli.times import clock, day_and_clock
from quarterdeck.tui.room.matching import EVERYTHING, Matcher
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis, pad

_DETAILS = frozenset(
    {
        "worker",
        "fence",
        "release",
        "analysis.begun",
        "approvals.wanted",
        "analysis.measured",
        "notified",
        "queue.joined",
        "queue.left",
        "routed",
    }
)
_ROLES = {
    "ok": Role.OK,
    "bad": Role.BAD,
    "warn": Role.WARN,
    "dim": Role.DIM,
    "moving": Role.MOVING,
    "bold": Role.STRONG,
}


def is_detail(event: Event) -> bool:
    """Steps that went as they should, and what only a debugger wants to know."""
    return event.kind in _DETAILS or (event.kind.startswith("step.") and event.kind != "step.failed")


def text_of(event: Event) -> tuple[str, Role]:
    """What happened, on which host, in words; and the role it is shown in."""
    line, style = describe(event)
    text = " ".join(clean(line or event.kind).split()).removeprefix("- ")
    who = f" by {event.who}" if event.who and event.who not in text else ""
    return text + who, _ROLES.get(style, Role.PLAIN)


def shown(
    events: Iterable[Event], *, target: str | None = None, details: bool = False, find: Matcher = EVERYTHING
) -> list[Event]:
    """Those of ``events`` that are worth a line, in their order. ``target``: only of that one, and of the whole fleet."""
    return [
        event
        for event in events
        if (details or not is_detail(event))
        and (target is None or event.target == target)
        and (not find.active or find.matches(searched(event)))
    ]


def searched(event: Event) -> str:
    """All that a filter looks at."""
    number = f"#{event.rollout}" if event.rollout else ""
    return f"{day_and_clock(event.time)} {event.target or ''} {number} {text_of(event)[0]}"


def short_row(event: Event, width: int) -> Row:
    """``14:31:02 production/api failed …``: for the pane in the overview."""
    text, role = text_of(event)
    where = event.target or "fleet"
    head = f" {clock(event.time)} "
    return (
        Span(head, Role.DIM),
        Span(f"{where} "),
        Span(ellipsis(text, max(width - len(head) - len(where) - 1, 0)), role),
    )


def long_row(event: Event, width: int, *, chosen: bool, find: Matcher = EVERYTHING) -> Row:
    """With date, target and rollout in columns; narrow terminals get the time without the date."""
    text, role = text_of(event)
    time = day_and_clock(event.time) if width >= 100 else clock(event.time)
    where = pad(event.target or "fleet", 22 if width >= 100 else 18)
    number = pad(f"#{event.rollout}" if event.rollout else "", 5)
    mark = Span(">", Role.STRONG) if chosen else Span(" ")
    room = max(width - len(time) - len(where) - len(number) - 4, 0)
    return (
        mark,
        Span(f"{time} ", Role.DIM),
        Span(f"{where} ", Role.STRONG if chosen else Role.PLAIN),
        Span(f"{number} ", Role.DIM),
        *find.highlighted(ellipsis(text, room), role),
    )


def entry_rows(event: Event, width: int) -> list[Row]:
    """One event whole: who, when, where, what, and the link of the chain."""
    rows: list[Row] = [
        _pair("event", f"{event.seq}  {event.kind}"),
        _pair("time", f"{day_and_clock(event.time)} UTC"),
        _pair("who", f"{event.who} (uid {event.uid})"),
        _pair("target", event.target or "-"),
        _pair("rollout", f"#{event.rollout}" if event.rollout else "-"),
        _pair("host", event.host or "-"),
        _pair("hash", event.hash),
    ]
    for name, value in event.body.items():
        rows += wrapped(name, _words(value), width)
    return rows


def _words(value: object) -> str:
    if isinstance(value, str | int | float) or value is None:
        return clean(str(value))
    import json

    return clean(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _pair(name: str, value: str) -> Row:
    return (Span(f" {pad(name, 9)} ", Role.DIM), Span(value))


def wrapped(name: str, text: str, width: int) -> list[Row]:
    """A named text over as many lines as it needs."""
    import textwrap

    room = max(width - 12, 20)
    pieces = [piece for line in text.splitlines() or [""] for piece in (textwrap.wrap(line, room) or [""])]
    head = pad(name, 9) if len(name) <= 9 else name
    rows: list[Row] = []
    if len(name) > 9:
        rows.append((Span(f" {head}", Role.DIM),))
        head = pad("", 9)
    for piece in pieces:
        rows.append((Span(f" {head} ", Role.DIM), Span(piece)))
        head = pad("", 9)
    return rows


class Pages:
    """A list of events that grows at both ends: news in front, older pages behind. Newest first, each one once."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.complete = False  # there is nothing older

    @property
    def newest(self) -> int:
        return self.events[0].seq if self.events else 0

    @property
    def oldest(self) -> int | None:
        return self.events[-1].seq if self.events else None

    def add_news(self, events: Sequence[Event]) -> None:
        """``events`` in the order they happened."""
        newest = self.newest
        self.events[:0] = [event for event in reversed(events) if event.seq > newest]

    def add_older(self, page: Sequence[Event], *, complete: bool) -> None:
        """``page``: newest first."""
        oldest = self.oldest
        self.events += [event for event in page if oldest is None or event.seq < oldest]
        self.complete = complete
