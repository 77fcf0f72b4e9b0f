"""Rollback and deploy cards on a rollout that is in the journal already, without arming one: as a card is while its rollout goes on.

``python -m tests.room.live_cards FLEET-FILE ROLLOUT`` opens a room with one in the terminal that it is started on.
"""

import sys
from pathlib import Path

from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutKind
from quarterdeck.rollouts.version_words import version_of
from quarterdeck.tui.room.app import NewsCame, Room
from quarterdeck.tui.room.cards.armed import ArmedCard
from quarterdeck.tui.room.cards.deploy import DeployCard
from quarterdeck.tui.room.cards.from_build import Wanted
from quarterdeck.tui.room.cards.rollback import RollbackCard
from quarterdeck.tui.room.open import heed_the_terminal
from quarterdeck.tui.room.opening import Opening
from tests.cli.qd_command import OPERATOR


class Given(ArmedCard):
    """A card of a rollout that somebody else has begun."""

    given: int

    def arm(self) -> None:
        self.rollout_id = self.given
        self.keep_up(self._look)

    def give_up(self) -> None:
        """It was never this card's to cancel."""


class LiveRollback(Given, RollbackCard):
    pass


class LiveDeploy(Given, DeployCard):
    pass


def live_card(room: Room, id: int) -> ArmedCard:
    """The card of the rollout's kind, not yet shown."""
    with Journal.open(room.fleet.state, operator=OPERATOR, create=False, read_only=True) as journal:
        rollout = journal.rollout(id)
    before = room.picture.targets.get(rollout.target)
    if rollout.kind is RolloutKind.ROLLBACK:
        card: LiveRollback | LiveDeploy = LiveRollback(rollout.target, before)
    else:
        card = LiveDeploy(rollout.target, before, Wanted(version_of(rollout.to_release) or ""))
    card.given = id
    return card


class _WithCard(Room):
    """Opens the card when the journal has been read."""

    given: int
    shown = False

    def on_news_came(self, message: NewsCame) -> None:
        super().on_news_came(message)
        if not self.shown and self.picture.head:
            self.shown = True
            self.push_screen(live_card(self, self.given))


def main(fleet_file: str, rollout: str) -> None:
    heed_the_terminal()
    room = _WithCard(Opening(load_fleet(Path(fleet_file)), OPERATOR, observe=False))
    room.given = int(rollout)
    room.run(mouse=False)
    if room.broke is not None:
        sys.exit(room.broke)


if __name__ == "__main__":
    main(*sys.argv[1:])
