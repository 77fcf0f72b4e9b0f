"""Where a rollout stands in the queue of its environment, asked of the journal."""

from typing import Any

import msgspec

from quarterdeck.history.journal import Journal
from quarterdeck.history.queueing import Line
from quarterdeck.history.records import Rollout
from quarterdeck.history.rollouts import BEFORE_BEGIN
from quarterdeck.rollouts.queueing import line_value, line_words, places_of, turn_words


class Queued(msgspec.Struct, frozen=True):
    """Where a rollout stands, or would stand if it were let go now. ``places``: how many may be under way at once."""

    line: Line
    places: int
    environment: str

    @property
    def has_room(self) -> bool:
        """Whether its turn has come."""
        return self.line.has_room(self.places)

    @property
    def ahead(self) -> str:
        """``2 of 2 under way in production: 17 (api v3, by alice), …; 1 before it: …``."""
        return line_words(self.line, self.places, self.environment)

    @property
    def words(self) -> str:
        """The same, of one that waits: ``waits for its turn: 2 of 2 …``."""
        return turn_words(self.line, self.places, self.environment)

    def value(self) -> dict[str, Any]:
        """As JSON."""
        return line_value(self.line, self.places, self.environment)


def in_line(journal: Journal, rollout: Rollout) -> Queued | None:
    """None: it waits for no turn, as a rollback, or has begun or ended."""
    places = places_of(rollout)
    if places is None or rollout.state not in BEFORE_BEGIN:
        return None
    return Queued(journal.line(rollout.id), places, rollout.target.partition("/")[0])


def queued(journal: Journal, rollout: Rollout) -> Queued | None:
    """None: it does not wait for its turn (now)."""
    return in_line(journal, rollout) if journal.in_queue(rollout.id) else None
