"""Cards for a rollout that is under way: abort it, or let one that stands still go on. Each says first what it will do."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.closely import Closely, WayOn, look_closely, ways_on
from quarterdeck.rollouts.plans.plan import Action
from quarterdeck.tui.cli.waits import standing_words
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.cards.checks import is_production, place_words
from quarterdeck.tui.room.desk import News
from quarterdeck.tui.room.rollout_rows import host_rows, metric_rows, one_line, progress_row, state_row
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, row
from quarterdeck.tui.room.swarm_rows import updates_now
from quarterdeck.tui.room.wrapping import said_rows, wrapped

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room

KEYS = {"resume": "r", "retry": "t", "skip": "s", "promote": "p"}
FULL = "f"


def _key(way: WayOn) -> str:
    return FULL if way.full else KEYS[way.kind]


def _word(way: WayOn) -> str:
    return "in full" if way.full else way.kind


class RolloutCard(Card):
    """Works on the rollout it was opened on. ``seen`` is None until the journal has answered."""

    def __init__(self, rollout: int, target: str) -> None:
        super().__init__()
        self.rollout_id = rollout
        self.target = target
        self.seen: Closely | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.keep_up(self._look)

    def news(self, news: News) -> None:
        if any(event.rollout == self.rollout_id for event in news.events):
            self.keep_up(self._look)

    async def _look(self) -> None:
        id = self.rollout_id

        def read(journal: Journal) -> Closely:
            return look_closely(journal, id)

        before = self.means()
        self.seen = await self.room.desk.ask(read)
        if self.means() != before:
            self.guard.restart()
        self.renew()

    def means(self) -> object:
        """What the keys would do: when that changes, they are dead again for a moment."""
        raise NotImplementedError

    def headed(self, verb: str, top: list[Row], body: list[Row], foot: list[Row]) -> Sheet:
        environments = self.room.picture.environments
        production = is_production(self.target.partition("/")[0], environments)
        title = f"{verb}  {place_words(self.target, environments)}"
        return Sheet(title, body, foot, top=top, right=f"rollout {self.rollout_id}", production=production)


def abort_words(seen: Closely) -> list[str]:
    """What an abort would do now, a sentence a line."""
    state = seen.rollout.state
    if seen.ended:
        return [f"It has ended already: {str(state).replace('_', ' ')}. There is nothing to abort."]
    if state in (RolloutState.ARMED, RolloutState.QUEUED):
        return ["It has changed nothing yet: its worker leaves."]
    if state in (RolloutState.ABORTING, RolloutState.ROLLING_BACK):
        return ["It is being taken back already: another abort changes nothing."]
    touched = list(
        dict.fromkeys(s.host for s in seen.steps if s.action in (Action.STOP, Action.SWITCH) and s.attempt > 0)
    )
    untouched = [host.host for host in seen.hosts if host.host not in touched]
    lines = []
    if not seen.alive:
        lines.append("Its worker is dead: a new one is started for this.")
    lines.append("It stops now; what is under way on a host is not waited for.")
    if seen.rollout.kind is RolloutKind.ROLLBACK:
        lines.append("A rollback is not taken back: each host stays as it is at that moment.")
    elif touched:
        lines.append(f"Taken back to {seen.from_version or 'nothing'}: {' '.join(touched)}")
    if untouched:
        lines.append(f"Not touched: {' '.join(untouched)}")
    return lines


class AbortCard(RolloutCard):
    """Abort always wins: the card only says what it will do."""

    def means(self) -> object:
        return None if self.seen is None else (self.seen.rollout.state, self.seen.ended)

    @property
    def useful(self) -> bool:
        return self.seen is not None and not self.seen.ended

    def pressed(self, key: str) -> None:
        if key in ("escape", "q"):
            self.leave()
        elif key == "y" and self.guard.open and self.useful:
            self.begin(self._abort, "abort")

    async def _abort(self) -> None:
        await self.room.asked.ask(self.rollout_id, "abort")
        self.leave()

    def sheet(self, width: int) -> Sheet:
        if self.seen is None:
            return self.headed(
                "ABORT", [], [row(Span("? reading the journal", Role.STALE))], [EMPTY, *keys_rows(width, ("esc", "no"))]
            )
        swarms = updates_now(self.room.picture, self.seen)
        said = abort_words(self.seen)
        body: list[Row] = [line for words in said for line in wrapped(one_line(words), width, Role.STRONG)]
        body += [EMPTY, *host_rows(self.seen.hosts, width, ended=self.seen.ended, swarms=swarms)]
        foot: list[Row] = [EMPTY]
        foot += said_rows(self.said, width)
        keys = (("y", "abort it"), ("esc", "no")) if self.useful else (("esc", "close"),)
        foot += keys_rows(width, *keys, dead=self.useful and not self.guard.open)
        return self.headed(
            "ABORT",
            [state_row(self.seen, width, self.room.now()), progress_row(self.seen, width, swarms=swarms), EMPTY],
            body,
            foot,
        )


class WaysOnCard(RolloutCard):
    """Promote, resume, retry or skip: whichever makes sense, each with what it does."""

    _asking = False

    def means(self) -> object:
        return None if self.seen is None else ways_on(self.seen)

    @property
    def ways(self) -> Sequence[WayOn]:
        return ways_on(self.seen)[0] if self.seen is not None else ()

    def pressed(self, key: str) -> None:
        if key in ("escape", "q"):
            self.leave()
            return
        way = next((way for way in self.ways if _key(way) == key), None)
        if way is not None and self.guard.open and not self._asking:
            self._asking = True  # a second press is no second wish, and does not end the first
            self.begin(partial(self._ask, way), "ask")

    async def _ask(self, way: WayOn) -> None:
        assert self.seen is not None
        try:
            await carry_on(self.room, self.seen, way)
        finally:
            self._asking = False
        self.leave()

    def sheet(self, width: int) -> Sheet:
        if self.seen is None:
            return self.headed(
                "GO ON",
                [],
                [row(Span("? reading the journal", Role.STALE))],
                [EMPTY, *keys_rows(width, ("esc", "close"))],
            )
        swarms = updates_now(self.room.picture, self.seen)
        ways, why = ways_on(self.seen)
        body: list[Row] = [
            line
            for way in ways
            for line in wrapped(
                one_line(way.does),
                width,
                head=(Span(f"{_key(way)}  ", Role.KEY), Span(f"{_word(way):<7} ", Role.STRONG)),
            )
        ]
        if why:
            body += wrapped(why, width, Role.WARN)
        if stands := standing_words(self.seen.steps, self.seen.rollout.outcome, self.room.now()):
            body += [EMPTY, *wrapped(one_line(stands), width, Role.WARN)]
        if self.seen.metrics:
            body += [EMPTY, *metric_rows(self.seen.metrics, width)]
        body += [EMPTY, *host_rows(self.seen.hosts, width, ended=self.seen.ended, swarms=swarms)]
        foot: list[Row] = [EMPTY]
        foot += said_rows(self.said, width)
        keys = [(_key(way), _word(way)) for way in ways]
        foot += keys_rows(width, *keys, ("esc", "no"), dead=bool(keys) and not self.guard.open)
        return self.headed(
            "GO ON",
            [state_row(self.seen, width, self.room.now()), progress_row(self.seen, width, swarms=swarms), EMPTY],
            body,
            foot,
        )


async def carry_on(room: "Room", seen: Closely, way: WayOn) -> None:
    """Asks for ``way``, and says what came of it when it is known."""
    id = seen.rollout.id
    if way.kind == "retry" and seen.ended:
        again = await room.desk.act(lambda control: control.retry(id))
        room.watched.watch(again.id)
        room.say(f"rollout {again.id} tries again what rollout {id} could not do")
    elif way.kind == "resume" and seen.rollout.state is not RolloutState.PAUSED:
        await room.desk.act(lambda control: control.resume(id, wait=False))
        room.watched.watch(id)
        room.say(f"a new worker was started for rollout {id}")
    elif way.kind == "promote":
        await room.asked.promote(id, full=way.full)
    else:
        await room.asked.ask(id, way.kind, way.step)
