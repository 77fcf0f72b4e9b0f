"""What people say about a plan that waits for their word: each word is bound to the plan's hash, and a person counts once."""

from typing import Any

from quarterdeck.history.chain import plain
from quarterdeck.history.clock import boot_id, boottime, now
from quarterdeck.history.errors import RequestRefused, TargetBusy
from quarterdeck.history.records import Approval, RolloutState
from quarterdeck.history.requests import Requests

SELECT = "SELECT id, rollout, plan_hash, verdict, person, by, uid, time, reason FROM approval"
NANOSECONDS = 1_000_000_000


class Approvals(Requests):
    """Words about plans, in the order in which they were said."""

    def want_approvals(self, rollout: int, outcome: str, wanted: dict[str, Any], *, supersede: bool = False) -> None:
        """The rollout waits, state queued, for words about the plan that it has now. Event ``approvals.wanted`` with ``wanted``, and
        ``{"plan_hash", "until", "boot", "until_boottime"}``: so long it waits, counted from the first time that it began to.

        ``wanted["timeout"]`` is in seconds. ``supersede``: another one that only waits, too, makes way. Raises ``TargetBusy``, and
        ``RequestRefused`` when it has begun or ended.
        """

        def change() -> None:
            found = self._known(rollout)
            if found.state not in (RolloutState.ARMED, RolloutState.QUEUED):
                raise RequestRefused(f"rollout {rollout} is {found.state}: it does not wait for anybody's word")
            other = self.active(found.target)
            if other is not None and other.id != rollout:
                if not supersede or other.state is not RolloutState.QUEUED:
                    raise TargetBusy(other)
                self._change_state(
                    other,
                    RolloutState.SUPERSEDED,
                    f"superseded by rollout {rollout} ({found.kind}) of {found.requested_by}",
                    {"by": rollout},
                )
            self._change_state(found, RolloutState.QUEUED, outcome, {})
            before = self.wanted_approvals(rollout)
            if before is None:
                ends = boottime() + int(float(wanted["timeout"]) * NANOSECONDS)
                before = {"until": now(float(wanted["timeout"])), "boot": boot_id(), "until_boottime": ends}
            times = {name: before[name] for name in ("until", "boot", "until_boottime")}
            self._event(
                "approvals.wanted", found.target, rollout, None, {**wanted, **times, "plan_hash": found.plan_hash}
            )

        self._write(change, rollout=rollout)

    def wanted_approvals(self, rollout: int) -> dict[str, Any] | None:
        """The body of its newest event ``approvals.wanted``; None: it never waited for anybody's word."""
        found = self.events(rollout=rollout, kind="approvals.wanted", newest_first=True, limit=1)
        return dict(found[0].body) if found else None

    def give_word(self, rollout: int, plan_hash: str, verdict: str, reason: str = "") -> Approval:
        """``verdict``: approved or rejected. Event of that name. The same word of the same user is given back as it was said.

        Raises ``RequestRefused`` when the rollout does not wait for it (any more), or has another plan now.
        """

        def change() -> Approval:
            found = self._known(rollout)
            if found.state is not RolloutState.QUEUED:
                state = str(found.state).replace("_", " ")
                raise RequestRefused(f"rollout {rollout} is {state}: it does not wait for anybody's word")
            if found.plan_hash != plan_hash:
                raise RequestRefused(f"the plan of rollout {rollout} has changed since it was shown: look at it again")
            key = (rollout, plan_hash, self._operator.uid, verdict)
            which = "WHERE rollout = ? AND plan_hash = ? AND uid = ? AND verdict = ?"
            row = self._row(f"{SELECT} {which}", key)
            if row is None:
                self._connection.execute(
                    "INSERT INTO approval (rollout, plan_hash, uid, verdict, person, by, time, reason)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*key, plain(self._operator.person), plain(self._operator.label), now(), plain(reason)),
                )
                body = {"plan_hash": plan_hash, "reason": reason, "where": self._operator.where}
                self._event(verdict, found.target, rollout, None, body)
                row = self._row(f"{SELECT} {which}", key)
            return Approval(*row)

        return self._write(change, rollout=rollout, urgent=True)

    def approvals(self, rollout: int) -> list[Approval]:
        """All words about its plans, also about earlier ones, the oldest first."""
        return [Approval(*row) for row in self._rows(f"{SELECT} WHERE rollout = ? ORDER BY id", (rollout,))]
