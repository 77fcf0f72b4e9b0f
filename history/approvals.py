"""What people say about a plan that waits for their word: each word is bound to the plan's hash, and a person counts once."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from quarterdeck.history.chain import plain
from quarterdeck.history.clock import boot_id, boottime, now
from quarterdeck.history.errors import RequestRefused, TargetBusy
from quarterdeck.history.records import Approval, Rollout, RolloutState, StepState
from quarterdeck.history.requests import Requests

SELECT = "SELECT id, rollout, plan_hash, verdict, person, by, uid, time, reason, step FROM approval"
NANOSECONDS = 1_000_000_000
MOST_WANTED = 1000


class Approvals(Requests):
    """Words about plans, in the order in which they were said."""

    def want_approvals(
        self, rollout: int, outcome: str, wanted: dict[str, Any], *, supersede: bool = False, afresh: bool = False
    ) -> None:
        """The rollout waits, state queued, for words about the plan that it has now. Event ``approvals.wanted`` with ``wanted``, and
        ``{"plan_hash", "until", "boot", "until_boottime"}``: so long it waits, counted from the first time that it began to.

        ``wanted["timeout"]`` is in seconds. ``afresh``: the time begins anew. ``supersede``: another one that only waits, too, makes way.
        Raises ``TargetBusy``, and ``RequestRefused`` when it has begun or ended.
        """

        def change() -> None:
            found = self._wait(rollout, outcome, supersede=supersede)
            earlier = None if afresh else self.wanted_approvals(rollout)
            before = earlier or _times(float(wanted["timeout"]))
            times = {name: before[name] for name in ("until", "boot", "until_boottime")}
            self._event(
                "approvals.wanted", found.target, rollout, None, {**wanted, **times, "plan_hash": found.plan_hash}
            )

        self._write(change, rollout=rollout)

    def _wait(self, rollout: int, outcome: str, *, supersede: bool = False, queue: bool = False) -> Rollout:
        """From armed to queued, or queued with another sentence: the target is taken as far as other deploys are concerned. ``queue``: what
        it waits for is its turn, and no person. Within a transaction. Raises ``TargetBusy``, ``RequestRefused``."""
        found = self._known(rollout)
        if found.state not in (RolloutState.ARMED, RolloutState.QUEUED):
            raise RequestRefused(f"rollout {rollout} is {found.state}: it does not wait to begin")
        other = self.active(found.target)
        if other is not None and other.id != rollout:
            if not supersede or other.state is not RolloutState.QUEUED:
                raise TargetBusy(other)
            words = f"superseded by rollout {rollout} ({found.kind}) of {found.requested_by}"
            self._change_state(other, RolloutState.SUPERSEDED, words, {"by": rollout})
        self._change_state(found, RolloutState.QUEUED, outcome, {"queue": True} if queue else {})
        return found

    def want_approvals_at(self, rollout: int, epoch: int, step: int, wanted: dict[str, Any]) -> dict[str, Any]:
        """A step that has begun waits for words about it. Event ``approvals.wanted`` as above, with ``step`` and its ``op_id``, once for
        each try of it: a worker that takes over finds it, and waits no longer. Gives its body. Raises ``EpochLost``."""

        def change() -> dict[str, Any]:
            found = self._working(rollout, epoch)
            op_id = self._step(rollout, step).op_id
            before = self.wanted_approvals(rollout, step)
            if before is not None and before["op_id"] == op_id:
                return before
            times = _times(float(wanted["timeout"]))
            body = {**wanted, **times, "plan_hash": found.plan_hash, "step": step, "op_id": op_id}
            self._event("approvals.wanted", found.target, rollout, None, body)
            return body

        return self._write(change, rollout=rollout)

    def wanted_approvals(self, rollout: int, step: int = 0) -> dict[str, Any] | None:
        """The body of its newest event ``approvals.wanted`` of that step (0: before it begins); None: it never waited for words there."""
        found = self.events(rollout=rollout, kind="approvals.wanted", newest_first=True, limit=MOST_WANTED)
        return next((dict(event.body) for event in found if int(event.body.get("step") or 0) == step), None)

    def give_word(self, rollout: int, plan_hash: str, verdict: str, reason: str = "", *, step: int = 0) -> Approval:
        """``verdict``: approved or rejected. Event of that name. The same word of the same user is given back as it was said. ``step``:
        where it stands, and is to go on or not; 0: it has not begun.

        Raises ``RequestRefused`` when the rollout does not wait for it there (any more), or has another plan now.
        """

        def change() -> Approval:
            found = self._known(rollout)
            self._waits_for_words(found, step)
            if found.plan_hash != plan_hash:
                raise RequestRefused(f"the plan of rollout {rollout} has changed since it was shown: look at it again")
            key = (rollout, plan_hash, step, self._operator.uid, verdict)
            which = "WHERE rollout = ? AND plan_hash = ? AND step = ? AND uid = ? AND verdict = ?"
            row = self._row(f"{SELECT} {which}", key)
            if row is None:
                self._connection.execute(
                    "INSERT INTO approval (rollout, plan_hash, step, uid, verdict, person, by, time, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, plain(self._operator.person), plain(self._operator.label), now(), plain(reason)),
                )
                body: dict[str, Any] = {"plan_hash": plan_hash, "reason": reason, "where": self._operator.where}
                body |= {"step": step} if step else {}
                self._event(verdict, found.target, rollout, None, body)
                row = self._row(f"{SELECT} {which}", key)
            return Approval(*row)

        return self._write(change, rollout=rollout, urgent=True)

    def _waits_for_words(self, found: Rollout, seq: int) -> None:
        """Raises ``RequestRefused``."""
        state = str(found.state).replace("_", " ")
        if not seq:
            if found.state is not RolloutState.QUEUED:
                raise RequestRefused(f"rollout {found.id} is {state}: it does not wait for anybody's word")
            return
        if found.state not in (RolloutState.RUNNING, RolloutState.PAUSED):
            raise RequestRefused(f"rollout {found.id} is {state}: it does not wait for anybody's word")
        step = self._step(found.id, seq)
        wanted = self.wanted_approvals(found.id, seq)
        if step.state is not StepState.STARTED or wanted is None or wanted["op_id"] != step.op_id:
            raise RequestRefused(f"rollout {found.id} does not wait for anybody's word at step {seq}")
        if seconds_left(wanted) <= 0:  # whoever decides finds every word that was in time, and no other
            raise RequestRefused(f"the time for a word at step {seq} of rollout {found.id} is over")

    def approvals(self, rollout: int) -> list[Approval]:
        """All words about its plans, also about earlier ones, the oldest first."""
        return [Approval(*row) for row in self._rows(f"{SELECT} WHERE rollout = ? ORDER BY id", (rollout,))]


def seconds_left(wanted: Mapping[str, Any]) -> float:
    """Of the time in an event ``approvals.wanted``. The wall clock is asked only where this machine was started anew meanwhile."""
    if wanted.get("boot") == boot_id():
        return (int(wanted["until_boottime"]) - boottime()) / NANOSECONDS
    if not wanted.get("until"):
        return 0.0
    return (datetime.fromisoformat(str(wanted["until"])) - datetime.now(UTC)).total_seconds()


def _times(seconds: float) -> dict[str, Any]:
    return {
        "until": now(seconds),
        "boot": boot_id(),
        "until_boottime": boottime() + int(seconds * NANOSECONDS),
    }
