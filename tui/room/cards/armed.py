"""A card with a worker behind it: armed when the card opens, let go by the confirming key, live afterwards.

What the key lets go is the plan that was shown, named by its hash. A card that is closed before gives its worker up; one
that is closed later leaves it alone, and so does a room that dies.
"""

import contextlib
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from quarterdeck.history.errors import JournalError
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Rollout, RolloutKind, RolloutState
from quarterdeck.rollouts.closely import Closely, look_closely, ways_on
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.policy import WayRound, way_round
from quarterdeck.rollouts.promoting import waits_in
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.rollouts.way_back.facts import WayFacts, way_facts
from quarterdeck.tui.cli.waits import standing_words
from quarterdeck.tui.room.aside import aside
from quarterdeck.tui.room.card import SLOW, Card, Sheet, keys_rows
from quarterdeck.tui.room.cards.checks import (
    Check,
    Level,
    check_rows,
    commits_words,
    is_production,
    outdated,
    place_words,
    reds,
)
from quarterdeck.tui.room.cards.under_way import AbortCard, WaysOnCard
from quarterdeck.tui.room.cards.words import ReasonCard
from quarterdeck.tui.room.desk import Desk, News
from quarterdeck.tui.room.freezing import freeze_words
from quarterdeck.tui.room.rollout_rows import host_rows, metric_rows, one_line, progress_row, request_row, state_row
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, row
from quarterdeck.tui.room.swarm_rows import updates_now
from quarterdeck.tui.room.traffic_rows import short_spans
from quarterdeck.tui.room.wrapping import said_rows

if TYPE_CHECKING:
    from quarterdeck.config.release import Release
    from quarterdeck.rollouts.commits import Between

LONGEST_NAME = 80
NOT_YET = "the hosts are still being looked at: nothing was started"


class ArmedCard(Card):
    """``target``: what it was opened on, whatever is chosen behind it meanwhile."""

    kind: ClassVar[RolloutKind]
    verb: ClassVar[str]
    doing: ClassVar[str]  # «roll back»: what the key does

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target
        self.rollout_id: int | None = None  # of the armed rollout
        self.seen: Closely | None = None
        self.facts: WayFacts | None = None
        self.refused = ""  # why there is no rollout
        self.way_round: WayRound | None = None  # what would set that refusal aside, with a reason
        self.went = False  # it was let go
        self.typed: str | None = None  # the name, as far as it is typed
        self.commits: Between | None = (
            None  # between the two releases; None: not known yet, or nothing says where the source is
        )
        self._between: tuple[str, str] | None = None  # the releases that git was asked about
        self._arming = 0  # which try: an older one that comes late is given up

    # what a subclass says

    def wish(self) -> Callable[[Control], Rollout]:
        """Arms it."""
        raise NotImplementedError

    def checks(self) -> Sequence[Check]:
        raise NotImplementedError

    def ends(self, width: int) -> list[Row]:
        """From, to and how: the rows on top."""
        raise NotImplementedError

    def more_keys(self) -> tuple[tuple[str, str], ...]:
        """Between the confirming key and `esc`."""
        return ()

    def pressed_while_armed(self, key: str) -> None:
        """A key of ``more_keys``."""

    def refusal_words(self) -> str:
        return one_line(self.not_begun)

    def refused_keys(self) -> tuple[tuple[str, str], ...]:
        """What helps when it was not let begin."""
        return (("r", "look again"),)

    # what is known

    @property
    def planned(self) -> bool:
        return self.seen is not None and bool(self.seen.rollout.plan_hash) and bool(self.seen.plan)

    @property
    def looked(self) -> str | None:
        """When the hosts were asked what the plan is made from."""
        events = self.seen.events if self.seen is not None else ()
        return next((event.time for event in events if event.kind == "armed"), None)

    @property
    def frozen(self) -> str:
        """What freezes the environment now; empty: nothing."""
        room = self.room
        environment = room.fleet.environments.get(self.target.partition("/")[0])
        return freeze_words(environment, room.picture, room.now())

    @property
    def begun(self) -> bool:
        if self.seen is None:
            return False
        return self.seen.rollout.epoch > 0 or self.seen.rollout.state is RolloutState.QUEUED  # let go, and it waits

    @property
    def not_begun(self) -> str:
        """Why it will not begin; empty while it may."""
        if self.refused:
            return self.refused
        if self.seen is not None and self.seen.ended and not self.begun:
            return self.seen.rollout.outcome or str(self.seen.rollout.state)
        return ""

    @property
    def old(self) -> bool:
        """Whether another rollout came in between: what is shown is no more, and would be refused."""
        return outdated(self.facts, self.kind) is not None

    @property
    def service(self) -> str:
        return self.target.partition("/")[2]

    # arming

    def on_mount(self) -> None:
        super().on_mount()
        self.arm()

    def arm(self) -> None:
        """A worker for what the card says now. The one before is given up."""
        self.give_up()
        self._arming += 1
        self.rollout_id, self.seen, self.facts, self.refused, self.went, self.typed = None, None, None, "", False, None
        self.way_round = None
        self.commits, self._between = None, None
        self.guard.restart()
        self.begin(partial(self._arm, self._arming), "arm")

    async def _arm(self, number: int) -> None:
        try:
            rollout = await self.room.desk.act(self.wish())
        except Refused as error:
            if number == self._arming:
                self.way_round = way_round(str(error))
                self.refused = error.why if "--" in error.advice else str(error)  # a card has keys, not options
                self.renew()
            return
        except TimeoutError:
            if number == self._arming:
                self.refused = SLOW  # and `r` looks again: one that is armed all the same waits for nobody's word, and ends by itself
                self.renew()
            return
        if number != self._arming or self.gone:
            await _cancel(self.room.desk, rollout.id)
            return
        self.rollout_id = rollout.id
        self.room.waiting.hold(rollout.id)
        self.room.watched.watch(rollout.id)
        self.keep_up(self._look)

    def news(self, news: News) -> None:
        in_line = self.facts is not None and self.facts.queue is not None  # others of its environment concern it, too
        if self.rollout_id is not None and any(
            e.rollout == self.rollout_id or e.target == self.target or (in_line and e.kind == "state")
            for e in news.events
        ):
            self.keep_up(self._look)

    async def _look(self) -> None:
        id, facts = self.rollout_id, self.facts
        if id is None:
            return

        def read(journal: Journal) -> tuple[Closely, WayFacts]:
            seen = look_closely(journal, id)
            armed = seen.rollout.state is RolloutState.ARMED
            return seen, way_facts(journal, seen.rollout) if armed or facts is None else facts

        seen, facts = await self.room.desk.ask(read)
        if id != self.rollout_id:
            return
        before = (self.seen.rollout.plan_hash if self.seen is not None else "", bool(reds(self.checks())), self.old)
        self.seen, self.facts = seen, facts
        self.said = "" if self.said == NOT_YET and self.planned else self.said
        self._ask_git()
        if before != (seen.rollout.plan_hash, bool(reds(self.checks())), self.old):
            self.guard.restart()  # nobody can have read yet what the key would do now
            self.typed = None
        self.renew()

    def _ask_git(self) -> None:
        """Beside the card, once for these two releases: nothing on it waits for the answer."""
        leaving, to = (self.facts.leaving, self.facts.to) if self.facts is not None else (None, None)
        if (
            leaving is None
            or to is None
            or self.service not in self.room.fleet.sources
            or not self.room.opening.observe
        ):
            return
        pair = (leaving.row.id, to.row.id)
        if pair != self._between:
            self._between, self.commits = pair, None
            self.begin(partial(self._read_commits, pair, leaving.row.release, to.row.release), "commits")

    async def _read_commits(self, pair: tuple[str, str], before: "Release", after: "Release") -> None:
        from quarterdeck.rollouts.commits import between

        fleet = self.room.fleet
        found = await aside(lambda: between(fleet, before, after))
        if pair == self._between:
            self.commits = found
            self.renew()

    def commit_checks(self) -> list[Check]:
        """One line of what git says; it never stands in the way."""
        if self._between is None:
            return []
        if self.commits is None:
            return [Check(Level.OK, "commits: git is being asked, nothing waits for it")]
        return [Check(Level.OK, commits_words(self.commits))]

    def give_up(self) -> None:
        """Cancels what is armed, unless it was let go."""
        if self.rollout_id is not None and not self.went and not self.begun:
            self.room.waiting.forget(self.rollout_id)
            self.room.run_worker(_cancel(self.room.desk, self.rollout_id), group=f"give up {self.rollout_id}")

    def left(self) -> None:
        self.give_up()

    async def on_unmount(self) -> None:
        """The room is left with the card open."""
        if not self.gone:
            self.gone = True
            if self.rollout_id is not None and not self.went and not self.begun:
                await _cancel(self.room.desk, self.rollout_id)

    # keys

    @property
    def typing(self) -> bool:
        return self.typed is not None

    def pressed(self, key: str) -> None:
        self.said = ""
        if key in ("escape", "q"):
            self.leave()
        elif self.begun:
            self._pressed_while_live(key)
        elif self.not_begun:
            self.pressed_when_refused(key)
        elif key == "r" and self.old and not self.went:
            self.arm()
        elif key == "y":
            self._confirm()
        elif self.guard.open and not self.went:
            self.pressed_while_armed(key)

    def _confirm(self) -> None:
        if self.went:
            return
        if self.old:  # also in the dead time, which begins anew with that: nobody is to think that it was started
            self.said = "another rollout came in between, nothing was started: r looks again"
        elif not self.guard.open:
            return
        elif not self.planned:
            self.said = NOT_YET
        elif reds(self.checks()) or self.room.settings.confirm == "name":
            self.typed = ""
            self.guard.restart()
        else:
            self._go()

    def type_key(self, key: str, character: str | None) -> None:
        assert self.typed is not None
        if key == "escape":
            self.typed = None
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif character and self.guard.open:
            self.typed = (self.typed + character)[:LONGEST_NAME]
            if self.typed == self.service:
                self.typed = None
                self._go()

    def _go(self) -> None:
        assert self.seen is not None
        self.went = True
        self.room.waiting.forget(self.seen.rollout.id)
        self.begin(partial(self._say_go, self.seen.rollout.id, self.seen.rollout.plan_hash), "go")

    async def _say_go(self, id: int, plan_hash: str) -> None:
        try:
            await self.room.desk.act(lambda control: control.go(id, plan_hash))
        except Refused as error:
            if id != self.rollout_id:
                return
            self.went = False
            self.arm()  # anew: what was shown is no more
            self.say(f"nothing was started: {error}")

    def pressed_when_refused(self, key: str) -> None:
        if key == "r":
            self.arm()
        elif key == "2":
            other = self.facts.other.id if self.facts is not None and self.facts.other is not None else None
            self.leave()
            self.room.visit("rollouts", target=self.target, rollout=other)

    def _pressed_while_live(self, key: str) -> None:
        assert self.seen is not None
        id = self.seen.rollout.id
        match key:
            case "n":
                self.room.push_screen(ReasonCard(id, self.target))
            case "P" if not self.seen.ended:
                step = self.seen.under_way.seq if self.seen.under_way is not None else None
                self.begin(partial(self.room.asked.ask, id, "pause", step), "ask")
            case "A" if not self.seen.ended:
                self.room.push_screen(AbortCard(id, self.target))
            case "p":
                self.room.push_screen(WaysOnCard(id, self.target))
            case "2":
                self.leave()
                self.room.visit("rollouts", target=self.target, rollout=id)
            case "Q":
                self.leave()
                self.begin(partial(self.room.action_act, "quit"), "quit")

    # what is shown

    def sheet(self, width: int) -> Sheet:
        environments = self.room.picture.environments
        production = is_production(self.target.partition("/")[0], environments)
        title = f"{self.verb}  {place_words(self.target, environments)}"
        right = f"rollout {self.rollout_id}" if self.rollout_id is not None else "starting"
        if self.begun:
            return Sheet(title, *self._live(width), right=right, production=production)
        if self.not_begun:
            return Sheet(title, *self._refusal(width), right=right, production=production)
        checks = self.checks()
        foot: list[Row] = [EMPTY]
        foot += said_rows(self.said, width)
        foot += self._confirming(width, checks)
        return Sheet(
            title,
            check_rows([*checks, *self.commit_checks()], width),
            foot,
            self.ends(width),
            right=right,
            production=production,
        )

    def _confirming(self, width: int, checks: Sequence[Check]) -> list[Row]:
        if self.went:
            return [row(Span("let go; waiting for the worker to begin", Role.MOVING))]
        if self.typed is not None:
            wait = "" if self.guard.open else "   (wait)"
            return [
                row(Span(f"Red lines: type {self.service} to {self.doing}; it goes with the last letter. ", Role.WARN)),
                row(Span("> ", Role.KEY), self.typed, Span("_", Role.CURSOR), Span(wait, Role.DIM)),
                *keys_rows(width, ("esc", "no")),
            ]
        if self.old:
            return keys_rows(width, ("r", "look again"), *self.more_keys(), ("esc", "no"))
        wants_name = bool(reds(checks))
        label = f"{self.doing}, by typing {self.service}" if wants_name else self.doing
        dead = not (self.guard.open and self.planned)
        return keys_rows(width, ("y", label), *self.more_keys(), ("esc", "no"), dead=dead)

    def _refusal(self, width: int) -> tuple[list[Row], list[Row]]:
        why = self.refusal_words()
        body: list[Row] = [row(Span("Nothing was started.", Role.BAD)), EMPTY]
        body += [row(Span(piece, Role.WARN)) for piece in textwrap.wrap(why, width) or [""]]
        return body, [EMPTY, *keys_rows(width, *self.refused_keys(), ("2", "rollouts"), ("esc", "close"))]

    def _requests(self, width: int) -> list[Row]:
        """Which release gets how many of them, while it goes on."""
        target = self.room.picture.targets.get(self.target)
        if self.seen is None or self.seen.ended or target is None or target.router is None:
            return []
        new = self.seen.rollout.to_release
        return [tuple(short_spans(target.router, width, self.room.now(), new=new))]

    def _live(self, width: int) -> tuple[list[Row], list[Row]]:
        assert self.seen is not None
        seen = self.seen
        swarms = updates_now(self.room.picture, seen)
        body: list[Row] = [
            state_row(seen, width, self.room.now()),
            progress_row(seen, width, swarms=swarms),
            *self._requests(width),
            EMPTY,
            *host_rows(seen.hosts, width, ended=seen.ended, swarms=swarms),
        ]
        if seen.metrics:
            body += [EMPTY, *metric_rows(seen.metrics, width)]
        asked = [request for request in seen.requests if request.kind != "go"]
        if asked:
            body += [EMPTY, *(request_row(request, width) for request in asked)]
        if stands := standing_words(seen.steps, seen.rollout.outcome, self.room.now()):
            role = Role.OK if seen.rollout.state is RolloutState.SUCCEEDED else Role.WARN
            body += [EMPTY, *(row(Span(piece, role)) for piece in textwrap.wrap(one_line(stands), width))]
        reason = one_line(seen.rollout.reason)
        body += [EMPTY, row(Span("why   ", Role.DIM), reason or Span("no reason yet: n writes one down", Role.DIM))]
        foot: list[Row] = [EMPTY]
        foot += said_rows(self.said, width)
        if seen.ended:
            keys = (("n", "reason"), ("2", "rollout"), *self._way_on(seen))
            foot += keys_rows(width, *keys, ("esc", "close"), ("Q", "leave"))
        else:
            pause = () if seen.rollout.state is RolloutState.QUEUED else (("P", "pause"),)
            foot += keys_rows(
                width,
                *pause,
                ("A", "abort"),
                *self._way_on(seen),
                ("n", "reason"),
                ("2", "rollout"),
                ("esc", "close"),
                ("Q", "leave, it goes on"),
            )
        return body, foot

    @staticmethod
    def _way_on(seen: Closely) -> tuple[tuple[str, str], ...]:
        ways, _ = ways_on(seen)
        stands = (RolloutState.PAUSED, RolloutState.ORPHANED, RolloutState.FAILED)
        waits = seen.rollout.state in stands or waits_in(seen.steps) is not None
        return (("p", " or ".join(dict.fromkeys(way.kind for way in ways))),) if ways and waits else ()


async def _cancel(desk: Desk, id: int) -> None:
    """Gives up what is armed. One that has ended or begun by itself is left alone."""
    with contextlib.suppress(Refused, JournalError, TimeoutError):
        await desk.act(lambda control: control.cancel(id))
