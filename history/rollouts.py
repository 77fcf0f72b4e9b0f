"""Rollouts, fences and workers: one active rollout a target, an epoch that only grows, and who works on it."""

import os
from collections.abc import Callable
from typing import Any, Literal

from quarterdeck.history.asked import Asked
from quarterdeck.history.chain import from_text, plain, to_text
from quarterdeck.history.clock import boot_id, boottime, now
from quarterdeck.history.errors import EpochLost, RequestRefused, TargetBusy, UnknownRollout, Withdrawn
from quarterdeck.history.records import ENDED, Rollout, RolloutKind, RolloutState, Worker, Working

ENDED_SQL = "('succeeded', 'rolled_back', 'failed', 'cancelled', 'superseded')"
ACTIVE_SQL = "state NOT IN ('armed', 'succeeded', 'rolled_back', 'failed', 'cancelled', 'superseded')"
TAKEN_BACK = frozenset({RolloutState.ROLLED_BACK, RolloutState.FAILED, RolloutState.CANCELLED})  # ends of an abort
BEFORE_BEGIN = (RolloutState.ARMED, RolloutState.QUEUED)
START_SECONDS = 30  # a rollout just written down has so long until its worker must hold the lock

SELECT = (
    "SELECT r.id, r.target, r.kind, r.from_release, r.to_release, r.state, r.epoch, r.plan, r.plan_hash, r.options,"
    " r.requested_by, r.uid, r.reason, r.created, r.started, r.ended, r.outcome, w.pid"
    " FROM rollout r LEFT JOIN worker w ON w.rollout = r.id"
)

Preempt = Literal["nothing", "deploys", "everything"]


class Rollouts(Asked):
    """The life of rollouts, from armed to ended."""

    def arm(
        self,
        target: str,
        kind: RolloutKind,
        *,
        from_release: str | None = None,
        to_release: str | None = None,
        options: dict[str, Any] | None = None,
        reason: str = "",
    ) -> Rollout:
        """Writes down a new rollout, state armed: it changes nothing yet and blocks nobody. Event ``requested``."""

        def change() -> Rollout:
            self._connection.execute("INSERT INTO target (name) VALUES (?) ON CONFLICT DO NOTHING", (target,))
            cursor = self._connection.execute(
                "INSERT INTO rollout (target, kind, from_release, to_release, state, options, requested_by, uid, reason,"
                " created, nonce, boot_id, created_boottime) VALUES (?, ?, ?, ?, 'armed', ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    target,
                    str(kind),
                    from_release,
                    to_release,
                    to_text(options or {}),
                    plain(self._operator.label),
                    self._operator.uid,
                    plain(reason),
                    now(),
                    os.urandom(4).hex(),
                    boot_id(),
                    boottime(),
                ),
            )
            rollout = cursor.lastrowid
            assert rollout is not None
            body = {"kind": str(kind), "from_release": from_release, "to_release": to_release, "options": options or {}}
            self._event("requested", target, rollout, None, {**body, "reason": reason, "where": self._operator.where})
            return self._known(rollout)

        return self._write(change, urgent=kind == RolloutKind.ROLLBACK)

    def set_plan(
        self,
        rollout: int,
        plan: Any,
        plan_hash: str,
        *,
        to_release: str | None,
        from_release: str | None,
        body: dict[str, Any] | None = None,
    ) -> None:
        """Stores the plan of a rollout that has not begun; event ``armed`` with ``body`` (or the plan) and the hash.

        Raises ``RequestRefused`` when it has begun or ended.
        """

        def change() -> None:
            found = self._known(rollout)
            if found.state not in BEFORE_BEGIN:
                raise RequestRefused(f"rollout {rollout} is {found.state}: its plan stands")
            self._connection.execute(
                "UPDATE rollout SET plan = ?, plan_hash = ?, to_release = ?, from_release = ? WHERE id = ?",
                (to_text(plan), plan_hash, to_release, from_release, rollout),
            )
            told = body or (plan if isinstance(plan, dict) else {})
            more = {"plan_hash": plan_hash, "from_release": from_release, "to_release": to_release}
            self._event("armed", found.target, rollout, None, {**told, **more})

        self._write(change, rollout=rollout)

    def begin(self, rollout: int, *, preempt: Preempt) -> int:
        """Takes the target: armed or queued becomes running, with a new epoch, which is returned. One transaction.

        ``preempt`` says which active rollout of the target may be superseded: none, any but a rollback, or any.
        Raises ``TargetBusy`` (nothing was changed), ``Withdrawn`` when it is to be cancelled or aborted, however late that
        was asked, and ``RequestRefused`` when the rollout has begun or ended already.
        """

        def change() -> int:
            mine = self._known(rollout)
            if mine.state not in BEFORE_BEGIN:
                raise RequestRefused(f"rollout {rollout} can't begin: it is {mine.state}")
            withdrawn = [request for request in self.open_requests(rollout) if request.kind in ("cancel", "abort")]
            if withdrawn:
                raise Withdrawn(rollout, withdrawn[0])
            other = self.active(mine.target)
            if other is not None and other.id != rollout:
                if preempt == "nothing" or (preempt == "deploys" and other.kind == RolloutKind.ROLLBACK):
                    raise TargetBusy(other)
                outcome = f"superseded by rollout {rollout} ({mine.kind}) of {mine.requested_by}"
                self._change_state(other, RolloutState.SUPERSEDED, outcome, {"by": rollout})
            epoch = self._raise_fence(mine.target)
            self._connection.execute("UPDATE rollout SET epoch = ?, started = ? WHERE id = ?", (epoch, now(), rollout))
            self._change_state(mine, RolloutState.RUNNING, "", {"epoch": epoch})
            return epoch

        return self._write(change, rollout=rollout)

    def take_over(self, rollout: int) -> int:
        """A new worker, which holds the worker lock already, goes on with an active rollout. Returns the new epoch.

        An orphaned one is again in the state it had before. Event ``takeover``. Raises ``RequestRefused`` when the rollout
        is not active (any more).
        """

        def change() -> int:
            found = self._known(rollout)
            if found.state in ENDED or found.state == RolloutState.ARMED:
                raise RequestRefused(f"rollout {rollout} can't be taken over: it is {found.state}")
            state: RolloutState = found.state
            if state == RolloutState.ORPHANED:
                before = self._row("SELECT resumed_state FROM rollout WHERE id = ?", (rollout,))[0]
                state = RolloutState(before or RolloutState.RUNNING)
            epoch = self._raise_fence(found.target)
            self._connection.execute(
                "UPDATE rollout SET epoch = ?, state = ?, resumed_state = NULL, outcome = '' WHERE id = ?",
                (epoch, str(state), rollout),
            )
            body = {"epoch": epoch, "from": str(found.state), "to": str(state), "dead_worker": found.pid}
            self._event("takeover", found.target, rollout, None, body)
            return epoch

        return self._write(change, rollout=rollout, urgent=True)

    def turn_back(self, rollout: int, epoch: int, outcome: str, state: RolloutState = RolloutState.ABORTING) -> int:
        """The rollout is aborting (``state``: or something like it), under a new epoch, which is returned: what still runs of it on
        its hosts is of an older one then, and gives way there. One transaction. Raises as ``set_state`` does."""

        def change() -> int:
            found = self._known(rollout)
            self._check_epoch(found, epoch)
            if found.state in ENDED:
                raise RequestRefused(f"rollout {rollout} has ended: {found.state}")
            raised = self._raise_fence(found.target)
            self._connection.execute("UPDATE rollout SET epoch = ? WHERE id = ?", (raised, rollout))
            self._change_state(found, state, outcome, {"epoch": raised})
            return raised

        return self._write(change, rollout=rollout, urgent=True)

    def seed_epoch(self, target: str, at_least: int) -> None:
        """Raises the fence to what was found on the hosts: a lost journal must not reset it. Event ``fence`` when it grew."""

        def change() -> None:
            self._connection.execute("INSERT INTO target (name) VALUES (?) ON CONFLICT DO NOTHING", (target,))
            changed = self._connection.execute(
                "UPDATE target SET fence = ? WHERE name = ? AND fence < ?", (at_least, target, at_least)
            )
            if changed.rowcount:
                self._event("fence", target, None, None, {"epoch": at_least})

        if self._fence(target) < at_least:
            self._write(change, urgent=True)

    def set_state(
        self,
        rollout: int,
        epoch: int | None,
        state: RolloutState,
        *,
        outcome: str = "",
        body: dict[str, Any] | None = None,
    ) -> None:
        """Event ``state`` with ``{"from", "to", "outcome", …body}``. Success makes the release the last good one.

        An ended rollout stays as it ended: the same state again does nothing, another is ``RequestRefused``.
        Raises ``EpochLost`` when ``epoch`` is given and no longer the target's; ``TargetBusy`` when another one is active.
        """

        def change() -> None:
            found = self._known(rollout)
            if epoch is not None:
                self._check_epoch(found, epoch)
            if found.state in ENDED:
                if found.state == state:
                    return
                raise RequestRefused(f"rollout {rollout} has ended: {found.state}")
            if found.state == RolloutState.ARMED and state not in ENDED:
                if state != RolloutState.QUEUED:
                    raise RequestRefused(f"rollout {rollout} is armed and must begin first")
                other = self.active(found.target)
                if other is not None:
                    raise TargetBusy(other)
            self._change_state(found, state, outcome, body or {})

        self._write(change, rollout=rollout, urgent=True)

    def set_reason(self, rollout: int, reason: str) -> None:
        """Why the operator wants it; event ``reason``."""

        def change() -> None:
            found = self._known(rollout)
            self._connection.execute("UPDATE rollout SET reason = ? WHERE id = ?", (plain(reason), rollout))
            self._event("reason", found.target, rollout, None, {"reason": reason})

        self._write(change, rollout=rollout)

    def set_worker(self, rollout: int, pid: int, start_ticks: int, boot_id: str) -> None:
        """Which process works on it now (see identity.process_identity); event ``worker``."""

        def change() -> None:
            found = self._known(rollout)
            self._connection.execute(
                "INSERT INTO worker (rollout, pid, start_ticks, boot_id, heartbeat) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (rollout) DO UPDATE SET pid = excluded.pid, start_ticks = excluded.start_ticks,"
                " boot_id = excluded.boot_id, heartbeat = excluded.heartbeat",
                (rollout, pid, start_ticks, boot_id, boottime()),
            )
            self._event("worker", found.target, rollout, None, {"pid": pid})

        self._write(change, rollout=rollout, urgent=True)

    def heartbeat(self, rollout: int) -> None:
        """The worker says that it is not hung (boot time). No event."""
        self._write(
            lambda: self._connection.execute(
                "UPDATE worker SET heartbeat = ? WHERE rollout = ?", (boottime(), rollout)
            ),
            rollout=rollout,
        )

    def worker(self, rollout: int) -> Worker | None:
        """The last process that worked on it; whether it lives is told by its lock, not by this."""
        row = self._row(
            "SELECT rollout, pid, start_ticks, boot_id, heartbeat FROM worker WHERE rollout = ?", (rollout,)
        )
        return None if row is None else Worker(*row)

    def rollout(self, id: int) -> Rollout:
        """Raises ``UnknownRollout``."""
        return self._known(id)

    def state_of(self, rollout: int) -> RolloutState:
        """Its state alone, for who asks often. Raises ``UnknownRollout``."""
        row = self._row("SELECT state FROM rollout WHERE id = ?", (rollout,))
        if row is None:
            raise UnknownRollout(rollout)
        return RolloutState(row[0])

    def rollouts(self, target: str | None = None, limit: int = 50, active_only: bool = False) -> list[Rollout]:
        """Rollouts, the newest first."""
        conditions = [*(["r.target = ?"] if target is not None else []), *(["r." + ACTIVE_SQL] if active_only else [])]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        values = [*([target] if target is not None else []), limit]
        return [to_rollout(row) for row in self._rows(f"{SELECT}{where} ORDER BY r.id DESC LIMIT ?", values)]

    def living(self) -> list[Rollout]:
        """All that have not ended, armed ones too, but for those written down so lately that no worker can be expected yet.

        The oldest first.
        """
        rows = self._rows(
            f"{SELECT} WHERE r.state NOT IN {ENDED_SQL}"
            " AND (w.pid IS NOT NULL OR r.boot_id <> ? OR r.created_boottime < ?) ORDER BY r.id",
            (boot_id(), boottime() - START_SECONDS * 1_000_000_000),
        )
        return [to_rollout(row) for row in rows]

    def active(self, target: str) -> Rollout | None:
        """The one rollout that is going on with the target (orphaned ones count), or None."""
        row = self._row(f"{SELECT} WHERE r.target = ? AND r.{ACTIVE_SQL}", (target,))
        return None if row is None else to_rollout(row)

    def mark_orphaned(self, rollout: Rollout, is_held: Callable[[], bool]) -> Rollout:
        """Writes down that the worker of ``rollout`` is dead: orphaned, or cancelled when it was still armed.

        Nothing is done when it has moved on since it was read, or when ``is_held()`` says that somebody works on it.
        Returns the rollout as it is afterwards.
        """

        def change() -> Rollout:
            found = self._known(rollout.id)
            moved = (found.state, found.epoch, found.pid) != (rollout.state, rollout.epoch, rollout.pid)
            if moved or found.state in ENDED or found.state == RolloutState.ORPHANED or is_held():
                return found
            if found.state == RolloutState.QUEUED:
                return found  # it has changed nothing: whoever comes gives it a worker, and it goes on waiting
            process = f"its worker (process {found.pid})" if found.pid is not None else "its worker"
            if found.state == RolloutState.ARMED:
                self._change_state(
                    found, RolloutState.CANCELLED, f"{process} ended before the go; nothing was changed", {}
                )
            else:
                way_on = f"nothing changes until somebody decides: qd resume {found.id}, or qd abort {found.id}"
                outcome = f"{process} died while it was {found.state}; {way_on}"
                self._change_state(found, RolloutState.ORPHANED, outcome, {})
            return self._known(rollout.id)

        return self._write(change, rollout=rollout.id, urgent=True)

    def _known(self, rollout: int) -> Rollout:
        row = self._row(f"{SELECT} WHERE r.id = ?", (rollout,))
        if row is None:
            raise UnknownRollout(rollout)
        return to_rollout(row)

    def _change_state(self, found: Rollout, state: RolloutState, outcome: str, body: dict[str, Any]) -> None:
        """Writes the new state and its event into the open transaction."""
        told = {"from": str(found.state), "to": str(state), "outcome": outcome, **body}
        if state in ENDED:
            told |= {"boot": boot_id(), "boottime": boottime()}  # how long something ran is told by a clock nobody sets
        event = self._event("state", found.target, found.id, None, told)
        if state in ENDED:
            self._close_requests(found, state, outcome)
            self._connection.execute(
                "UPDATE rollout SET state = ?, outcome = ?, ended = ?, ended_seq = ? WHERE id = ?",
                (str(state), plain(outcome), event.time, event.seq, found.id),
            )
        else:
            before = str(found.state) if state == RolloutState.ORPHANED else None
            self._connection.execute(
                "UPDATE rollout SET state = ?, outcome = ?, resumed_state = ? WHERE id = ?",
                (str(state), plain(outcome), before, found.id),
            )
        if (
            state == RolloutState.SUCCEEDED
            and found.to_release
            and not found.partial
            and found.kind in (RolloutKind.DEPLOY, RolloutKind.ROLLBACK)
        ):
            self._proved(found.to_release, event.time, event.seq)
            self._connection.execute(
                "UPDATE release SET verdict = 'good' WHERE id = ? AND verdict = 'untried'", (found.to_release,)
            )

    def _close_requests(self, found: Rollout, state: RolloutState, outcome: str) -> None:
        """What is still asked of a rollout that ends is answered with its end: no wish stays open for ever."""
        for request in self.open_requests(found.id):
            done = request.kind in ("abort", "cancel") and state in TAKEN_BACK
            if state == RolloutState.SUPERSEDED:
                answer = f"the rollout was {outcome}"
            elif request.kind == "abort" and state == RolloutState.SUCCEEDED and found.kind is RolloutKind.DRILL:
                answer = "the drill was on its way forward already: what ran before it runs again"
            elif request.kind == "abort" and state == RolloutState.SUCCEEDED:
                answer = f"it had succeeded already; to take it back: qd rollback {found.target}"
            else:
                answer = f"the rollout {'has' if done else 'had'} ended: {state.replace('_', ' ')}"
            self._close(request, found.target, "done" if done else "refused", answer)

    def _fence(self, target: str) -> int:
        row = self._row("SELECT fence FROM target WHERE name = ?", (target,))
        return 0 if row is None else int(row[0])

    def _raise_fence(self, target: str) -> int:
        self._connection.execute("UPDATE target SET fence = fence + 1 WHERE name = ?", (target,))
        return self._fence(target)

    def last_begun(self, target: str, *, other_than: int) -> Rollout | None:
        """The rollout that was the last to begin on ``target``, ``other_than`` left out."""
        row = self._row(
            f"{SELECT} WHERE r.target = ? AND r.epoch > 0 AND r.id <> ? ORDER BY r.epoch DESC LIMIT 1",
            (target, other_than),
        )
        return None if row is None else to_rollout(row)

    def check_epoch(self, rollout: int, epoch: int) -> None:
        """Raises ``EpochLost`` unless ``epoch`` is the rollout's and still the highest of its target."""
        self._check_epoch(self._known(rollout), epoch)

    def _check_epoch(self, found: Rollout | Working, epoch: int) -> None:
        """Raises ``EpochLost`` unless ``epoch`` is the rollout's and still the highest of its target."""
        fence = self._fence(found.target)
        if fence == epoch == found.epoch:
            return
        row = self._row(
            f"{SELECT} WHERE r.target = ? AND r.epoch = ? ORDER BY r.id DESC LIMIT 1", (found.target, fence)
        )
        if row is None:
            taker = "somebody who is not in this journal"
        elif row[0] == found.id:
            last = self.events(rollout=found.id, kind="takeover", newest_first=True, limit=1)
            taker = f"another worker of it, started by {last[0].who}" if last else "another worker of it"
        else:
            other = to_rollout(row)
            taker = f"rollout {other.id} ({other.kind}) of {other.requested_by}"
        raise EpochLost(found.id, epoch, fence, taker)

    def _working(self, rollout: int, epoch: int) -> Working:
        """The rollout, whose epoch still holds and which has not ended — or has ended well: telling the hosts comes afterwards. Without its
        plan and options, which grow with its hosts: each of their steps asks."""
        row = self._row("SELECT id, target, state, epoch, plan_hash FROM rollout WHERE id = ?", (rollout,))
        if row is None:
            raise UnknownRollout(rollout)
        found = Working(row[0], row[1], RolloutState(row[2]), row[3], row[4])
        self._check_epoch(found, epoch)
        if found.state in ENDED and found.state not in (RolloutState.SUCCEEDED, RolloutState.ROLLED_BACK):
            raise RequestRefused(f"rollout {rollout} has ended: {found.state}")
        return found


def to_rollout(row: tuple[Any, ...]) -> Rollout:
    """A rollout from the columns of SELECT."""
    plan = None if row[7] is None else from_text(row[7])
    kind, state, options = RolloutKind(row[2]), RolloutState(row[5]), from_text(row[9])
    return Rollout(row[0], row[1], kind, row[3], row[4], state, row[6], plan, row[8], options, *row[10:])
