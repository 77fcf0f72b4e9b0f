"""The rollout screen: all rollouts, those that live first, and the chosen one whole beside it, live."""

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar

from quarterdeck.history.errors import JournalError
from quarterdeck.history.records import ENDED, RolloutState, Step
from quarterdeck.rollouts.closely import Closely, look_closely, ways_on
from quarterdeck.rollouts.picture.rollout import RolloutSeen
from quarterdeck.rollouts.picture.router import RouterSeen
from quarterdeck.rollouts.picture.target import TargetSeen, progress_of
from quarterdeck.rollouts.promoting import asks_people
from quarterdeck.rollouts.queueing import waits_for_turn
from quarterdeck.tui.cli.times import age, clock, day_and_clock
from quarterdeck.tui.cli.waits import flag_off_words, standing_words
from quarterdeck.tui.room.overview.rollouts import searched
from quarterdeck.tui.room.pane import Pane, Size, unread_rows
from quarterdeck.tui.room.rollout_rows import (
    NO_UPDATES,
    STATE_ROLES,
    column_of,
    host_rows,
    metric_rows,
    one_line,
    progress_row,
    request_row,
    state_row,
    state_words,
    step_row,
)
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, ellipsis, pad, row
from quarterdeck.tui.room.swarm_rows import Update, updates_now
from quarterdeck.tui.room.timeline import is_detail, text_of
from quarterdeck.tui.room.traffic_rows import whole_rows as traffic_rows

_ABORT = (Span("   A", Role.KEY), Span(" abort"))
LOOK_AGAIN = 2  # ticks of the room: whether the worker lives is told by no event


def list_row(
    seen: RolloutSeen, width: int, now: datetime | None = None, *, chosen: bool, target: TargetSeen | None = None
) -> Row:
    """``>812 production/api rollback v2 -> v1 running 1/3  maya``."""
    rollout = seen.rollout
    done, total = progress_of(seen, target)
    words = state_words(rollout.state) + (f" {done}/{total}" if total and rollout.state not in ENDED else "")
    when = age(rollout.ended or rollout.started or rollout.created, now)
    head = f"{rollout.id:>4} {pad(rollout.target, min(20, max(width - 28, 12)))} "  # with its state, before all else
    what = f"{pad(rollout.kind, 8)} {seen.from_version or '-'} -> {seen.to_version or '?'}"
    who = one_line(rollout.requested_by).split("@", 1)[0]
    middle = f" {when:>4} {who}  {what}"
    return (
        Span(">" if chosen else " ", Role.STRONG),
        Span(head, Role.CURSOR if chosen else Role.PLAIN),
        Span(pad(words, 16), STATE_ROLES[rollout.state]),
        Span(ellipsis(middle, max(width - len(head) - 17, 0))),
    )


class RolloutList(Pane):
    name_of: ClassVar[str] = "rollout-list"
    filterable: ClassVar[bool] = True

    def heading(self) -> str:
        living = len(self.room.picture.moving)
        return f"rollouts, {living} under way" if living else "rollouts, none under way"

    def _rollouts(self) -> list[RolloutSeen]:
        """Those that pass the filter."""
        return [seen for seen in self.room.picture.rollouts if self.matcher.matches(searched(seen))]

    def build(self, size: Size) -> Sequence[Row]:
        rollouts, chosen = self._rollouts(), self.room.chosen_rollout
        if self.room.unread:
            return unread_rows()
        if not rollouts:
            words = "no rollout passes the filter" if self.room.picture.rollouts else "nothing was ever rolled out"
            return [row(Span(f" {words}", Role.DIM))]
        now = self.room.now()
        targets = self.room.picture.targets
        return [
            list_row(seen, size.width, now, chosen=seen.id == chosen, target=targets.get(seen.rollout.target))
            for seen in rollouts
        ]

    def chosen_row(self) -> int | None:
        chosen = self.room.chosen_rollout
        return next((at for at, seen in enumerate(self._rollouts()) if seen.id == chosen), None)

    def move(self, by: int) -> None:
        rollouts = self._rollouts()
        if rollouts:
            here = self.chosen_row()
            at = 0 if here is None else max(0, min(here + by, len(rollouts) - 1))
            self.room.choose(target=rollouts[at].rollout.target, rollout=rollouts[at].id)

    def open_chosen(self) -> None:
        """Into the rollout: its steps have the keys then."""
        chosen = self.room.chosen_rollout
        if chosen is not None:
            self.room.choose(rollout=chosen)
            self.room.set_focus(self.room.pane("rollout"))

    def copy_text(self) -> str:
        chosen = self.room.chosen_rollout
        return f"rollout {chosen}" if chosen is not None else ""


class RolloutWhole(Pane):
    """One rollout, asked of the journal when something happens to it."""

    name_of: ClassVar[str] = "rollout"

    def __init__(self) -> None:
        super().__init__()
        self.seen: Closely | None = None
        self.step: int | None = None  # the step that the cursor is on, by its number
        self._asked: tuple[int, int] | None = None  # which rollout, up to which event
        self._looking: tuple[int, int] | None = None  # that one is asked for, and not answered yet
        self._ticks = 0
        self._fault = ""
        self._step_rows: dict[int, int] = {}  # by the step's number: its row

    def heading(self) -> str:
        if self.seen is None:
            return "rollout"
        return f"rollout {self.seen.rollout.id}  {self.seen.rollout.target}"

    def heading_right(self) -> str:
        return "enter: a step whole" if self.has_focus and self.step is not None else ""

    def build(self, size: Size) -> Sequence[Row]:
        self._ask()
        if self._fault:
            return [row(Span(f" {self._fault}", Role.BAD))]
        if self.seen is None:
            words = f"nothing was ever rolled out on {self.room.place.target or 'it'}"
            words = "reading ..." if self.room.chosen_rollout is not None else words
            return [row(Span(f" {words}", Role.DIM))]
        target = self.room.picture.targets.get(self.seen.rollout.target)
        router = target.router if target is not None and not self.seen.ended else None
        swarms = updates_now(self.room.picture, self.seen)
        now = self.room.now()
        rows, self._step_rows = whole_rows(self.seen, size.width, self.step, now, router=router, swarms=swarms)
        return rows

    def _ask(self) -> None:
        """Asks for the chosen rollout when another one was chosen, something happened to it, its worker may have died, or it could not be
        read; not while an answer about it is on its way: asking anew would give that up, and news may come faster than answers."""
        room = self.room
        chosen = room.chosen_rollout
        if chosen is None or not self.is_mounted:
            self.seen, self._asked = None, None
            return
        head = max((event.seq for event in room.recent if event.rollout == chosen), default=0)
        self._ticks += 1
        if self._looking is not None and self._looking[0] == chosen:
            return
        may_be_stale = bool(self._fault) or (self.seen is not None and not self.seen.ended)
        if self._asked != (chosen, head) or (may_be_stale and self._ticks > LOOK_AGAIN):
            if self._asked is None or self._asked[0] != chosen:
                self.step, self.top = None, 0
            self._asked = self._looking = asked = (chosen, head)
            self._ticks = 0
            self.fetch(partial(self._look, asked), "rollout")

    async def _look(self, asked: tuple[int, int]) -> None:
        try:
            self.seen = await self.room.desk.ask(lambda journal: look_closely(journal, asked[0]))
            self._fault = ""
        except (JournalError, TimeoutError) as error:
            self._fault = str(error) or "the journal did not answer in time"
        finally:
            if self._looking is asked:  # and not a later one of the same rollout
                self._looking = None
        self.renew()

    # moving

    def _steps(self) -> Sequence[Step]:
        return self.seen.steps if self.seen is not None else ()

    def chosen_row(self) -> int | None:
        return self._step_rows.get(self.step) if self.step is not None else None

    def move(self, by: int) -> None:
        numbers = [step.seq for step in sorted(self._steps(), key=lambda step: (step.batch, step.seq))]
        if not numbers:
            super().move(by)
            return
        if self.step not in numbers:
            under_way = self.seen.under_way if self.seen is not None else None
            self.step = under_way.seq if under_way is not None and not (self.seen and self.seen.ended) else numbers[0]
        else:
            self.step = numbers[max(0, min(numbers.index(self.step) + by, len(numbers) - 1))]
        self.renew()

    def open_chosen(self) -> None:
        from quarterdeck.tui.room.cards.reading import step_card

        step = next((step for step in self._steps() if step.seq == self.step), None)
        if step is not None and self.seen is not None:
            self.room.push_screen(step_card(self.seen.rollout.target, step, self.room.size.width - 8))

    def copy_text(self) -> str:
        return f"rollout {self.seen.rollout.id}: {self.seen.rollout.outcome}" if self.seen is not None else ""


def whole_rows(
    seen: Closely,
    width: int,
    chosen: int | None,
    now: datetime | None = None,
    *,
    router: RouterSeen | None = None,
    swarms: Mapping[str, Update] = NO_UPDATES,
) -> tuple[list[Row], dict[int, int]]:
    """All rows of a rollout, and the row of each step by its number. ``router``, ``swarms``: as they are now, of a rollout that goes on."""
    rollout = seen.rollout
    rows: list[Row] = [
        _indented(state_row(seen, width - 1, now)),
        _indented(progress_row(seen, width - 1, swarms=swarms)),
    ]
    rows += _said("", one_line(standing_words(seen.steps, rollout.outcome, now)), width, STATE_ROLES[rollout.state])
    if seen.flag_off is not None:
        rows += _said("!", one_line(flag_off_words(seen.flag_off)), width, Role.WARN)
    rows += _said("why", one_line(rollout.reason), width, Role.PLAIN)
    rows.append(_worker_row(seen, width))
    ways, _ = ways_on(seen)
    if ways and rollout.state is not RolloutState.SUCCEEDED:
        words = " or ".join(dict.fromkeys(way.kind for way in ways))
        rows.append(row(" ", Span("p", Role.KEY), f" {words}", *(() if seen.ended else _ABORT)))
    elif waits_for_turn(rollout):
        rows.append(row(*_ABORT))
    elif rollout.state is RolloutState.QUEUED or (not seen.ended and asks_people(seen.steps)):
        rows.append(row(" ", Span("a", Role.KEY), " approve", *_ABORT))
    elif not seen.ended:
        rows.append(row(" ", Span("P", Role.KEY), " pause   ", Span("A", Role.KEY), " abort"))
    if seen.debts:
        rows += _said("owed", " ".join(debt.host for debt in seen.debts), width, Role.BAD)
    if router is not None:
        rows += [_heading(f"requests through {one_line(router.name)}")]
        rows += traffic_rows(router, width, now, new=rollout.to_release)
    rows += (
        [
            _heading("hosts"),
            *(_indented(line) for line in host_rows(seen.hosts, width - 1, ended=seen.ended, swarms=swarms)),
        ]
        if seen.hosts
        else []
    )
    if seen.metrics:
        rows += [_heading("measured"), *(_indented(line) for line in metric_rows(seen.metrics, width - 1))]
    if seen.requests:
        rows += [_heading("asked for"), *(_indented(request_row(request, width - 1)) for request in seen.requests)]
    where: dict[int, int] = {}
    wave = None
    column = column_of(seen.steps, width)
    for step in sorted(seen.steps, key=lambda step: (step.batch, step.seq)):
        if step.batch != wave:
            wave = step.batch
            rows.append(_heading(f"wave {wave + 1}"))
        where[step.seq] = len(rows)
        rows.append(step_row(step, width, now, chosen=step.seq == chosen, column=column))
    rows.append(_heading("what happened"))
    for event in reversed(seen.events):
        if not is_detail(event):
            text, role = text_of(event)
            rows.append(row(Span(f" {clock(event.time)} ", Role.DIM), Span(ellipsis(text, max(width - 10, 0)), role)))
    return rows, where


def _worker_row(seen: Closely, width: int) -> Row:
    rollout = seen.rollout
    asked = f" asked {day_and_clock(rollout.created)} by {one_line(rollout.requested_by)}"
    pid = f"worker {seen.worker.pid}" if seen.worker is not None else "no worker yet"
    if seen.ended:
        state, role = f"{pid}, ended", Role.DIM
    elif seen.alive:
        state, role = f"{pid}, alive", Role.OK
    else:
        state, role = (f"{pid} is DEAD" if seen.worker is not None else pid), Role.BAD
    return row(Span(f" {state}", role), Span(ellipsis(f"  {asked}", max(width - len(state) - 1, 0)), Role.DIM))


def _said(label: str, text: str, width: int, role: Role) -> list[Row]:
    if not text:
        return []
    head = f" {label} " if label else " "
    pieces = textwrap.wrap(text, max(width - len(head), 20))
    return [
        row(Span(head if number == 0 else " " * len(head), Role.DIM), Span(piece, role))
        for number, piece in enumerate(pieces)
    ]


def _heading(text: str) -> Row:
    return row(Span(f" {text}", Role.STRONG))


def _indented(line: Row) -> Row:
    return (Span(" "), *line) if line else EMPTY
