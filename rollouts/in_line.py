"""Where a rollout stands in the queue of its environment, asked of the journal."""

from typing import Any

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.queueing import Line
from quarterdeck.history.records import Rollout
from quarterdeck.rollouts.queueing import line_value, places_of, turn_words


class Queued(msgspec.Struct, frozen=True):
    """A rollout that waits for its turn. ``places``: how many may be under way at once."""

    line: Line
    places: int
    environment: str

    @property
    def words(self) -> str:
        """``waits for its turn: 2 of 2 under way in production: 17 (api v3, by alice), …``."""
        return turn_words(self.line, self.places, self.environment)

    def value(self) -> dict[str, Any]:
        """As JSON."""
        return line_value(self.line, self.places)


def queued(journal: Journal, rollout: Rollout) -> Queued | None:
    """None: it does not wait for its turn."""
    places = places_of(rollout)
    if places is None or not journal.in_queue(rollout.id):
        return None
    return Queued(journal.line(rollout.id), places, rollout.target.partition("/")[0])
