"""Who changes an environment now, and who waits for its turn: a line in the order in which deploys came to wait, read and written in one
transaction with what is decided by it.

A place in the line is an event. It is kept while the rollout's worker is heard of, and where a new one takes it up; while nobody is heard
of, others pass.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from quarterdeck.history.clock import boot_id, boottime
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.freezes import Freezes
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.history.rollouts import ACTIVE_SQL, BEFORE_BEGIN

JOINED: Final = "queue.joined"
LEFT: Final = "queue.left"
SECOND: Final = 1_000_000_000  # nanoseconds
HEARD_OF: Final = 20 * SECOND  # without a heartbeat, and others pass; a worker gives one every two seconds
MOVING: Final = (
    RolloutKind.DEPLOY,
    RolloutKind.ROLLBACK,
    RolloutKind.RESTART,
    RolloutKind.DRILL,
)  # what changes hosts for a while

_ACTIVE = (
    "SELECT r.id, r.target, r.kind, r.to_release, r.state, r.requested_by, r.epoch, w.heartbeat, w.boot_id"  # noqa: S608 - constants
    f" FROM rollout r LEFT JOIN worker w ON w.rollout = r.id WHERE r.{ACTIVE_SQL} AND substr(r.target, 1, ?) = ? ORDER BY r.id"
)
_PLACE = "SELECT seq, kind, time FROM event WHERE rollout = ? AND kind IN (?, ?) ORDER BY seq DESC LIMIT 1"


class InLine(msgspec.Struct, frozen=True):
    """A rollout that changes the environment, or waits to. ``heard_of``: its worker gave word a moment ago."""

    id: int
    target: str
    kind: RolloutKind
    to_release: str | None
    state: RolloutState
    requested_by: str
    heard_of: bool


class Line(msgspec.Struct, frozen=True):
    """As it stands for one rollout. ``under_way``: other rollouts that have begun and not ended, whatever they stand at; ``before``: those
    that wait and came earlier, in their order; ``since``: when this one came (ISO 8601 UTC), None: it does not wait in it."""

    under_way: tuple[InLine, ...]
    before: tuple[InLine, ...]
    since: str | None = None

    def has_room(self, places: int) -> bool:
        """Whether its turn has come: of ``places`` one is free, also when all who came earlier have taken theirs."""
        return len(self.under_way) + len(self.before) < places


class Queueing(Freezes):
    """The lines of all environments; there is no row for one."""

    def line(self, rollout: int) -> Line:
        """The line of the rollout's environment. What is under way on its own target is not in it: its place is taken with the target."""
        found = self._known(rollout)
        environment = found.target.partition("/")[0] + "/"
        mine = self._place_of(rollout)
        under_way, waiting = [], []
        for id, target, kind, to, state, by, epoch, heartbeat, boot in self._rows(
            _ACTIVE, (len(environment), environment)
        ):
            if id == rollout or target == found.target:
                continue
            heard_of = boot == boot_id() and boottime() - int(heartbeat) < HEARD_OF
            one = InLine(id, target, RolloutKind(kind), to, RolloutState(state), by, heard_of)
            if epoch > 0 and one.kind in MOVING:
                under_way.append(one)
            elif epoch == 0 and one.state is RolloutState.QUEUED and heard_of and (place := self._place_of(id)):
                waiting.append((place[0], one))
        waiting.sort(key=lambda pair: pair[0])
        before = tuple(one for seq, one in waiting if mine is None or seq < mine[0])
        return Line(tuple(under_way), before, mine[1] if mine is not None else None)

    def join_queue(self, rollout: int, outcome: str, *, supersede: bool = False) -> None:
        """The rollout waits for its turn, state queued. Its place is that of the first time, until it leaves. Event ``queue.joined``.

        ``supersede``: another one of the target that only waits makes way. Raises ``TargetBusy``, and ``RequestRefused`` when it has begun
        or ended.
        """

        def change() -> None:
            self._wait(rollout, outcome, supersede=supersede, queue=True)
            if self._place_of(rollout) is None:
                self._event(JOINED, self._known(rollout).target, rollout, None, {})

        self._write(change, rollout=rollout)

    def leave_queue(self, rollout: int) -> bool:
        """It waits for something else first, and comes anew. Event ``queue.left``; False: it had no place."""

        def change() -> bool:
            found = self._known(rollout)
            if found.state not in BEFORE_BEGIN:
                raise RequestRefused(f"rollout {rollout} is {found.state}: it does not wait for its turn")
            if self._place_of(rollout) is None:
                return False
            self._event(LEFT, found.target, rollout, None, {})
            return True

        return self._write(change, rollout=rollout)

    def in_queue(self, rollout: int) -> bool:
        """Whether it waits for its turn, and for nothing else."""
        return self._known(rollout).state is RolloutState.QUEUED and self._place_of(rollout) is not None

    def unheard_of(self, rollout: int) -> float:
        """Seconds since its last worker gave word. The wall clock is asked only where this machine was started anew meanwhile."""
        worker = self.worker(rollout)
        if worker is not None and worker.boot_id == boot_id():
            return max(boottime() - worker.heartbeat, 0) / SECOND
        last = self.events(rollout=rollout, newest_first=True, limit=1)
        if not last:
            return 0.0
        return max((datetime.now(UTC) - datetime.fromisoformat(last[0].time)).total_seconds(), 0.0)

    def _place_of(self, rollout: int) -> tuple[int, str] | None:
        """The event by which it joined, and its time; None: it has no place."""
        row = self._row(_PLACE, (rollout, JOINED, LEFT))
        return (int(row[0]), str(row[2])) if row is not None and row[1] == JOINED else None
