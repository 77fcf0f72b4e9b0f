"""The history: every event that is worth a line, of the fleet or of one target, and the chosen one whole beside it."""

import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import ClassVar

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event
from quarterdeck.rollouts.statistics import Statistics, statistics
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.plots import plot_rows
from quarterdeck.tui.room.rows import Lazily, Role, Row, Span
from quarterdeck.tui.room.timeline import Pages, entry_rows, long_row, shown

PAGE = 400  # events a page
NEAR_THE_END = 20  # rows before the end at which the next page is asked for
ASK_AGAIN = 2.0  # seconds after a journal that did not answer, or could not be read
DAYS = 28  # that the figures are of
BEFORE = timedelta(days=7)  # that is read before them: what a rollback left may have been deployed then


class History(Pane):
    """The chosen event is known by its number: news above it move nothing."""

    name_of: ClassVar[str] = "history"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.seq: int | None = None
        self.of_target: str | None = None  # None: of the whole fleet
        self.details = False
        self._pages = Pages()
        self._shown: list[Event] = []
        self._made_of: object = None
        self._reading: Pages | None = None  # which pages the journal is being asked for
        self._fault = ""
        self._again = 0.0  # not asked before, by the clock that only goes on

    # what is in it

    def show_only(self, target: str | None) -> None:
        """Of one target, or of the whole fleet."""
        if target != self.of_target:
            self.of_target = target
            self._pages, self.seq, self.top = Pages(), None, 0
            self._ask_for_older()
        self.renew()
        self.room.pane("entry").renew()

    def toggle_details(self) -> bool:
        """Shows steps that went as they should too, or leaves them out; whether they are shown now."""
        self.details = not self.details
        self.renew()
        return self.details

    def chosen(self) -> Event | None:
        return next((event for event in self._shown if event.seq == self.seq), self._shown[0] if self._shown else None)

    def heading(self) -> str:
        of = self.of_target or "the whole fleet"
        found = f"  /{self.matcher.words}/" if self.matcher.active else ""
        steps = ", with every step" if self.details else ""
        return f"history of {of}{steps}{found}"

    def heading_right(self) -> str:
        self._sift()  # the title is made before the rows
        return f"{len(self._shown)}{'' if self._pages.complete else '+'}"

    def build(self, size: Size) -> Sequence[Row]:
        self._sift()
        if not self._pages.complete and len(self._shown) < self.top + size.height + NEAR_THE_END:
            self._ask_for_older()
        if not self._shown:
            text = self._fault or (self._nothing())
            return [(Span(f" {text}", Role.BAD if self._fault else Role.DIM),)]
        chosen = self.chosen()
        events = self._shown
        return Lazily(
            len(events), lambda at: long_row(events[at], size.width, chosen=events[at] is chosen, find=self.matcher)
        )

    def _sift(self) -> None:
        """Takes in what came, and finds anew what is shown when something changed."""
        self._take_news()
        made_of = (len(self._pages.events), self._pages.newest, self.details, self.matcher)
        if self._made_of != made_of:
            self._made_of = made_of
            self._shown = shown(self._pages.events, details=self.details, find=self.matcher)

    def _nothing(self) -> str:
        if not self._pages.complete:
            return "reading ..."
        return "nothing passes the filter" if self._pages.events else "nothing has happened yet"

    def _take_news(self) -> None:
        recent = self.room.recent
        if recent and recent[-1].seq > self._pages.newest:
            self._pages.add_news([e for e in recent if self.of_target is None or e.target == self.of_target])

    def _ask_for_older(self) -> None:
        """Called with each build. What is being asked for is waited for: asking anew would give it up."""
        pages = self._pages
        if self.is_mounted and self._reading is not pages and time.monotonic() >= self._again:
            self._reading = pages
            self.fetch(partial(self._read_older, pages), "older events")

    async def _read_older(self, pages: Pages) -> None:
        target, before = self.of_target, pages.oldest

        def read(journal: Journal) -> list[Event]:
            return journal.events(limit=PAGE, target=target, newest_first=True, before=before)

        try:
            page = await self.room.desk.ask(read)
        except (JournalError, TimeoutError) as error:
            self._fault = str(error) or "the journal did not answer in time"
            self._again = time.monotonic() + ASK_AGAIN
        else:
            self._fault = ""
            pages.add_older(page, complete=len(page) < PAGE)
        finally:
            if self._reading is pages:
                self._reading = None
        self.renew()

    # moving

    def chosen_row(self) -> int | None:
        chosen = self.chosen()
        return self._shown.index(chosen) if chosen is not None else None

    def move(self, by: int) -> None:
        if not self._shown:
            return
        at = max(0, min((self.chosen_row() or 0) + by, len(self._shown) - 1))
        self.seq = self._shown[at].seq
        self.renew()
        self.room.pane("entry").renew()

    def open_chosen(self) -> None:
        chosen = self.chosen()
        if chosen is not None and chosen.rollout is not None:
            self.room.visit("rollouts", target=chosen.target, rollout=chosen.rollout)

    def copy_text(self) -> str:
        chosen = self.chosen()
        return (
            "" if chosen is None else "\n".join("".join(span.text for span in line) for line in entry_rows(chosen, 200))
        )


class Entry(Pane):
    """The chosen event whole, and the figures of its target below."""

    name_of: ClassVar[str] = "entry"

    def __init__(self) -> None:
        super().__init__()
        self._figures: Statistics | None = None
        self._figures_of: tuple[str | None, int] | None = None

    def heading(self) -> str:
        return "entry"

    def heading_right(self) -> str:
        """An entry may be of any target, and what is done from here is not done to that one."""
        history, target = self.room.pane("history"), self.room.place.target
        assert isinstance(history, History)
        return f"keys act on {target}" if target is not None and target != history.of_target else ""

    def build(self, size: Size) -> Sequence[Row]:
        history = self.room.pane("history")
        assert isinstance(history, History)
        chosen = history.chosen()
        rows = entry_rows(chosen, size.width) if chosen is not None else [(Span(" nothing is chosen", Role.DIM),)]
        ended = max((seen.id for seen in self.room.picture.rollouts if seen.rollout.ended), default=0)
        wanted = (history.of_target, ended)
        if self._figures_of != wanted:
            self._figures_of = wanted
            self.fetch(partial(self._count, history.of_target), "figures")
        if self._figures is not None:
            rows += [(), *plot_rows(self._figures, size.width, history.of_target or "the whole fleet")]
        return rows

    async def _count(self, target: str | None) -> None:
        now = self.room.now()

        def count(journal: Journal) -> Statistics:
            first = (now - timedelta(days=DAYS) - BEFORE).strftime("%Y-%m-%dT")
            after = journal.seq_at(first) - 1
            return statistics(journal.changes(None if target is None else [target], after=after), now, days=DAYS)

        try:
            self._figures = await self.room.desk.ask(count)
        except (JournalError, TimeoutError):
            self._figures = None  # the header says what is wrong with the journal
        self.renew()
