"""The freeze card of an environment: what freezes it now, what will, and by whom; it can be frozen by hand here, and that be ended."""

import textwrap

from quarterdeck.rollouts.freezing import end_freezes, freeze
from quarterdeck.rollouts.frozen import Standing, by_hand
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.cards.checks import is_production
from quarterdeck.tui.room.cards.words import WordsCard
from quarterdeck.tui.room.freezing import standing_of, window_words
from quarterdeck.tui.room.rollout_rows import one_line
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, row
from quarterdeck.tui.room.wrapping import said_rows


class FreezeCard(Card):
    def __init__(self, environment: str) -> None:
        super().__init__()
        self.environment = environment

    @property
    def standing(self) -> Standing:
        room = self.room
        declared = room.fleet.environments.get(self.environment)
        if declared is None:
            return Standing(self.environment, None, None)
        return standing_of(declared, room.picture, room.now())

    @property
    def held(self) -> bool:
        """Whether somebody froze it by hand, and that holds."""
        now = self.room.now()
        return any(window.holds(now) for window in by_hand(self.room.picture.around.freezes, self.environment))

    def pressed(self, key: str) -> None:
        if key in ("escape", "q"):
            self.leave()
        elif key == "f" and self.guard.open:
            self.room.push_screen(
                WordsCard(
                    f"freeze  {self.environment}",
                    "No deploy begins there until somebody ends it; a rollback always may. Why?",
                    self._freeze,
                    does="freeze it",
                )
            )
        elif key == "u" and self.held and self.guard.open:
            self.begin(self._end, "unfreeze")

    async def _freeze(self, reason: str) -> None:
        await self.room.desk.act(lambda control: freeze(control, self.environment, None, reason))
        self.room.say(f"{self.environment} is frozen until somebody ends it")

    async def _end(self) -> None:
        ended = await self.room.desk.act(lambda control: end_freezes(control, self.environment))
        self.say(f"ended: {'; '.join(one_line(one.reason) for one in ended)}")

    def sheet(self, width: int) -> Sheet:
        standing = self.standing
        body: list[Row] = []

        def lines(label: str, text: str, role: Role = Role.PLAIN) -> None:
            for number, piece in enumerate(textwrap.wrap(text, max(width - 6, 20)) or [""]):
                body.append(row(Span(f"{label if number == 0 else '':<6}", Role.DIM), Span(piece, role)))

        if standing.now is None:
            lines("now", "not frozen", Role.OK)
        else:
            lines("now", f"frozen {one_line(standing.now.words)}", Role.FROZEN)
            for window in standing.now.windows:
                who = one_line(window.words)
                lines("", f"{window_words(window)} ({who})" if window.by_hand is None else f"{who}: {window.reason}")
        lines("next", one_line(window_words(standing.next)) if standing.next is not None else "none is declared")
        body.append(EMPTY)
        lines(
            "",
            "While it is frozen no deploy begins there, unless it is set aside with a reason (o on the deploy card).",
        )
        lines("", "What is under way goes on, and a rollback is never blocked.")
        foot: list[Row] = [EMPTY]
        foot += said_rows(self.said, width)
        keys = [("f", "freeze it now, with a reason"), *([("u", "end what was frozen by hand")] if self.held else [])]
        foot += keys_rows(width, *keys, ("esc", "close"), dead=not self.guard.open)
        production = is_production(self.environment, self.room.picture.environments)
        return Sheet(f"FREEZE  {self.environment.upper()}", body, foot, production=production)
