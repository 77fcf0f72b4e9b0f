"""What the journal itself costs in a deploy: the writes of the last one that succeeded are made again, on a new journal
on the same disk, and timed one by one."""

import os
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

from quarterdeck.config.load import load_fleet
from quarterdeck.history.identity import process_identity
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Event, NewStep, Observation, Rollout, RolloutKind, RolloutState, StepState

HEARTBEAT = 2.0  # seconds between two heartbeats of a worker


def journal_share(fleet_file: Path, directory: Path, deploy_seconds: float) -> dict[str, float]:
    """``writes`` (transactions up to the success), their ``seconds`` in all, and the ``share`` of ``deploy_seconds``: an upper bound, since
    a worker writes beside its work on the hosts."""
    with Journal.open(load_fleet(fleet_file).state, create=False) as old, Journal.open(directory) as new:
        rollout = next(
            one for one in old.rollouts() if one.kind is RolloutKind.DEPLOY and one.state is RolloutState.SUCCEEDED
        )
        replay = _Replay(old, new, rollout, deploy_seconds)
        replay.run()
    return {"writes": replay.writes, "seconds": replay.seconds, "share": replay.seconds / deploy_seconds}


class _Replay:
    def __init__(self, old: Journal, new: Journal, rollout: Rollout, deploy_seconds: float) -> None:
        self.old = old
        self.new = new
        self.rollout = rollout
        self.deploy_seconds = deploy_seconds
        self.writes = 0
        self.seconds = 0.0

    def _write(self, function: Callable[..., Any], *words: Any, **options: Any) -> Any:
        begin = time.perf_counter()
        result = function(*words, **options)
        self.seconds += time.perf_counter() - begin
        self.writes += 1
        return result

    def run(self) -> None:
        """Everything that the command and the worker wrote, in their order, until the rollout had succeeded."""
        new, rollout = self.new, self.rollout
        assert rollout.to_release is not None
        row = self.old.release(rollout.to_release)
        assert row is not None
        armed = self._write(new.arm, rollout.target, rollout.kind, options=rollout.options, reason=rollout.reason)
        self._write(new.set_worker, armed.id, os.getpid(), *process_identity(os.getpid()))
        for _ in range(1 + int(self.deploy_seconds / HEARTBEAT)):
            self._write(new.heartbeat, armed.id)
        self._write(new.put_release, row.release)
        self._write(
            new.set_plan,
            armed.id,
            rollout.plan,
            rollout.plan_hash,
            to_release=row.id,
            from_release=rollout.from_release,
        )
        self._write(new.seed_epoch, rollout.target, 1)
        epoch = self._write(new.begin, armed.id, preempt="nothing")
        steps = self.old.steps(rollout.id)
        self._write(new.add_steps, armed.id, epoch, [NewStep(s.seq, s.host, s.action, s.batch, s.body) for s in steps])
        for kind, group in groupby(self._work(), key=lambda event: event.kind):
            events = list(group)
            if kind == "step.started":
                self._write(new.start_steps, armed.id, epoch, [event.body["step"] for event in events])
            elif kind == "step.done":
                for event in events:
                    self._write(
                        new.end_step,
                        armed.id,
                        epoch,
                        event.body["step"],
                        StepState.DONE,
                        event.body.get("outcome") or {},
                    )
        seen = [
            Observation(rollout.target, step.host, step.ended, row.id, row.release.version, "healthy", None, {})
            for step in steps
            if step.action == "switch" and step.ended is not None
        ]
        self._write(new.observe, seen)
        self._write(new.judge, row.id, "good", "", rollout=armed.id)
        self._write(new.set_state, armed.id, epoch, RolloutState.SUCCEEDED, outcome=rollout.outcome)

    def _work(self) -> list[Event]:
        """What was done on the hosts, up to the success: what comes later (cleaning up) is waited for by nobody."""
        found: list[Event] = []
        after = 0
        while events := self.old.events(after, rollout=self.rollout.id, limit=500):
            after = events[-1].seq
            for event in events:
                if event.kind == "state" and event.body.get("to") == RolloutState.SUCCEEDED:
                    return found
                if event.kind in ("step.started", "step.done"):
                    found.append(event)
        return found
