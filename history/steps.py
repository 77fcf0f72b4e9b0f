"""The steps of a rollout: begun at least once, each with its outcome recorded once, always under the epoch."""

import os
from collections.abc import Sequence
from typing import Any

from quarterdeck.history.chain import from_text, to_text
from quarterdeck.history.clock import now
from quarterdeck.history.errors import RequestRefused
from quarterdeck.history.records import HalfWay, NewStep, RolloutKind, RolloutState, Step, StepState, Working
from quarterdeck.history.releases import WHOLE_SQL
from quarterdeck.history.standings import Standings

COLUMNS = "rollout, seq, host, action, batch, body, op_id, state, attempt, epoch, outcome, started, ended"
FINAL = frozenset({StepState.DONE, StepState.SKIPPED})


class Steps(Standings):
    """Steps, written by the worker that holds the epoch. All raise ``EpochLost`` when it does not any more."""

    def add_steps(self, rollout: int, epoch: int, steps: Sequence[NewStep]) -> None:
        """Adds pending steps. No event: a plan is told by ``armed``, a step when it starts."""

        def change() -> None:
            self._working(rollout, epoch)
            nonce = self._row("SELECT nonce FROM rollout WHERE id = ?", (rollout,))[0]
            self._connection.executemany(
                "INSERT INTO step (rollout, seq, host, action, batch, body, op_id, epoch) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        rollout,
                        new.seq,
                        new.host,
                        new.action,
                        new.batch,
                        to_text(new.body),
                        f"{rollout}.{new.seq}.{nonce}",
                        epoch,
                    )
                    for new in steps
                ],
            )

        if steps:
            self._write(change, rollout=rollout)

    def steps(self, rollout: int) -> list[Step]:
        """All steps in their order."""
        sql = f"SELECT {COLUMNS} FROM step WHERE rollout = ? ORDER BY seq"  # noqa: S608 - constants
        return [_to_step(row) for row in self._rows(sql, (rollout,))]

    def hook_steps(self, target: str, release: str) -> list[Step]:
        """All steps of hooks of ``release`` on ``target`` that were begun, also those that undo one, in the order in which they were
        last worked on. By an index of their own: a rollback asks for them."""
        columns = ", ".join(f"s.{name}" for name in COLUMNS.split(", "))
        rows = self._rows(
            f"SELECT {columns} FROM rollout r"  # noqa: S608 - constants
            " JOIN step s INDEXED BY hook_step ON s.rollout = r.id AND s.action = 'hook'"
            " WHERE r.target = ? AND s.attempt > 0 AND json_extract(s.body, '$.release') = ?"
            " ORDER BY s.epoch, s.rollout, s.seq",
            (target, release),
        )
        return [_to_step(row) for row in rows]

    def first_brought(self, target: str, release: str) -> bool:
        """Whether the first deploy of ``release`` that began on ``target`` here put it on hosts, or was to. Not so where it was adopted, or
        found there by a deploy that had nothing to do: its hooks ran where nobody of this journal saw them. Nor where there was none."""
        row = self._row(
            "SELECT r.plan IS NULL, EXISTS (SELECT 1 FROM step s WHERE s.rollout = r.id),"
            " EXISTS (SELECT 1 FROM step s WHERE s.rollout = r.id AND s.action = 'stage')"
            " FROM rollout r WHERE r.target = ? AND r.to_release = ? AND r.kind = 'deploy' AND r.epoch > 0"
            " ORDER BY r.epoch LIMIT 1",
            (target, release),
        )
        if row is None or row[0]:
            return False
        return bool(row[2]) or not row[1]

    def half_way(self, target: str, *, other_than: int, limit: int = 200) -> list[HalfWay]:
        """Those that began on ``target`` after the last one that succeeded there, the newest first: what they have left may be half-way.
        One that was about some hosts only is no end of that. ``other_than``: a rollout that is left out."""
        active = self.active(target)
        found = []
        if active is not None and active.epoch > 0 and active.id != other_than:
            found.append(HalfWay(active.id, active.kind, active.state, active.from_release, active.to_release))
        rows = self._rows(  # one is under way at a time: the last to end was the last to begin
            "SELECT id, kind, state, from_release, to_release FROM rollout"
            " WHERE target = ? AND ended_seq IS NOT NULL AND epoch > 0 AND id <> ? ORDER BY ended_seq DESC LIMIT ?",
            (target, other_than, limit),
        )
        for id, kind, state, before, after in rows:
            whole = f"SELECT {WHOLE_SQL} FROM rollout WHERE id = ?"  # noqa: S608 - constants
            if state == RolloutState.SUCCEEDED and self._row(whole, (id,))[0]:
                break
            found.append(HalfWay(id, RolloutKind(kind), RolloutState(state), before, after))
        return found

    def start_steps(self, rollout: int, epoch: int, seqs: Sequence[int]) -> list[Step]:
        """Writes down, before anything is done, that these are begun: attempt + 1, event ``step.started`` each.

        Raises ``RequestRefused`` when one of them is done or skipped, or the rollout has ended.
        """

        def change() -> list[Step]:
            found = self._working(rollout, epoch)
            time = now()
            started = []
            for seq in seqs:
                step = self._step(rollout, seq)
                if step.state in FINAL:
                    raise RequestRefused(f"step {seq} of rollout {rollout} is {step.state} already")
                self._connection.execute(
                    "UPDATE step SET state = 'started', attempt = attempt + 1, epoch = ?, outcome = '{}', started = ?,"
                    " ended = NULL WHERE rollout = ? AND seq = ?",
                    (epoch, time, rollout, seq),
                )
                step = self._step(rollout, seq)
                body = {
                    "step": seq,
                    "action": step.action,
                    "attempt": step.attempt,
                    "op_id": step.op_id,
                    "batch": step.batch,
                }
                self._event("step.started", found.target, rollout, step.host, body)
                started.append(step)
            return started

        return self._write(change, rollout=rollout) if seqs else []

    def end_step(self, rollout: int, epoch: int, seq: int, state: StepState, outcome: dict[str, Any]) -> None:
        """Records the outcome of a step: done, failed or skipped. Event ``step.<state>``. See ``end_steps``."""
        self.end_steps(rollout, epoch, [(seq, state, outcome)])

    def end_steps(self, rollout: int, epoch: int, outcomes: Sequence[tuple[int, StepState, dict[str, Any]]]) -> None:
        """Records several outcomes in one transaction. A step that has ended so already keeps its first outcome.

        Raises ``RequestRefused`` when one has ended otherwise. Finds room in the reserve: what was done must be known.
        """

        def change() -> None:
            found = self._working(rollout, epoch)
            for seq, state, outcome in outcomes:
                self._end(found, epoch, seq, StepState(state), outcome)

        if outcomes:
            self._write(change, rollout=rollout, urgent=True)

    def retry_step(self, rollout: int, epoch: int, seq: int) -> Step:
        """An operator wants another try: pending again, with a new op_id so that hosts do not answer with the old outcome.

        Event ``step.retry``. Raises ``RequestRefused`` unless the step had failed or was left started.
        """

        def change() -> Step:
            found = self._working(rollout, epoch)
            step = self._step(rollout, seq)
            if step.state not in (StepState.FAILED, StepState.STARTED):
                raise RequestRefused(
                    f"step {seq} of rollout {rollout} is {step.state}: only a failed one can be tried again"
                )
            op_id = f"{rollout}.{seq}.{os.urandom(4).hex()}"
            self._connection.execute(
                "UPDATE step SET state = 'pending', op_id = ?, outcome = '{}', ended = NULL WHERE rollout = ? AND seq = ?",
                (op_id, rollout, seq),
            )
            body = {"step": seq, "action": step.action, "op_id": op_id}
            self._event("step.retry", found.target, rollout, step.host, body)
            return self._step(rollout, seq)

        return self._write(change, rollout=rollout)

    def _end(self, found: Working, epoch: int, seq: int, state: StepState, outcome: dict[str, Any]) -> None:
        if state not in (StepState.DONE, StepState.FAILED, StepState.SKIPPED):
            raise ValueError(state)
        step = self._step(found.id, seq)
        if step.state == state:
            return
        if step.state in FINAL:
            raise RequestRefused(f"step {seq} of rollout {found.id} is {step.state} already")
        self._connection.execute(
            "UPDATE step SET state = ?, epoch = ?, outcome = ?, ended = ? WHERE rollout = ? AND seq = ?",
            (str(state), epoch, to_text(outcome), now(), found.id, seq),
        )
        body = {"step": seq, "action": step.action, "attempt": step.attempt, "outcome": outcome}
        self._event(f"step.{state}", found.target, found.id, step.host, body)

    def _step(self, rollout: int, seq: int) -> Step:
        row = self._row(f"SELECT {COLUMNS} FROM step WHERE rollout = ? AND seq = ?", (rollout, seq))  # noqa: S608 - constants
        if row is None:
            raise RequestRefused(f"rollout {rollout} has no step {seq}")
        return _to_step(row)


def _to_step(row: tuple[Any, ...]) -> Step:
    rollout, seq, host, action, batch, body, op_id, state, attempt, epoch, outcome, started, ended = row
    body, outcome = from_text(body), from_text(outcome)
    state = StepState(state)
    return Step(rollout, seq, host, action, batch, body, op_id, state, attempt, epoch, outcome, started, ended)
