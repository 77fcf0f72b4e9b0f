"""An armed rollback as an operator makes one: armed, looked at, then ``go``. Timed from the ``go`` to the state succeeded.

``python -m benchmarks.armed FLEET TARGET`` prints one line of JSON; with a VERSION after that, it is a deploy.
"""

import json
import os
import sys
import time
from pathlib import Path

from quarterdeck.config.load import load_fleet
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import ENDED, RolloutState
from quarterdeck.rollouts.awaiting import await_state
from quarterdeck.rollouts.control import Control

LONGEST = 120.0  # seconds, of arming and of the rollback each
SETTLE = 0.3  # seconds between readiness and ``go``: an operator is slower than the worker's last bookkeeping


def _processor_seconds(pid: int) -> float:
    """What the process has used so far, all of its threads (the kernel's nanoseconds, finer than its ticks)."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def main() -> int:
    fleet = load_fleet(Path(sys.argv[1]))
    operator = current_operator()
    with Journal.open(fleet.state, operator=operator) as journal:
        control = Control(fleet, journal, operator)
        begin = time.monotonic()
        if len(sys.argv) > 3:
            rollout = control.arm_deploy(sys.argv[2], sys.argv[3], reason="benchmark").id
        else:
            rollout = control.arm_rollback(sys.argv[2], reason="benchmark").id
        while (now := journal.rollout(rollout)).plan is None:
            if now.state in ENDED or time.monotonic() - begin > LONGEST:
                print(f"it was not armed: {now.state} {now.outcome}", file=sys.stderr)
                return 1
            time.sleep(0.005)
        arming = time.monotonic() - begin
        assert now.pid is not None
        time.sleep(SETTLE)
        worker_before, own_before = _processor_seconds(now.pid), time.process_time()
        begin = time.monotonic()
        control.go(rollout, now.plan_hash)
        ended = await_state(control.journal, rollout, ENDED, LONGEST)
        seconds = time.monotonic() - begin
        own = time.process_time() - own_before
        try:
            worker: float | None = _processor_seconds(now.pid) - worker_before
        except FileNotFoundError:
            worker = None  # it was quicker to leave than this process to look
        if ended is None or ended.state is not RolloutState.SUCCEEDED:
            print(f"it did not succeed: {ended}", file=sys.stderr)
            return 1
        # Of what ran beside the new one until that was healthy: a drain that is meant, and not waited for by any user of the service.
        drain = max(
            (float(step.outcome.get("retired_in", 0.0)) for step in journal.steps(rollout) if step.outcome), default=0.0
        )
        told = {"arming": arming, "seconds": seconds, "drain": drain, "worker_cpu": worker, "own_cpu": own}
        print(json.dumps(told | {"rollout": rollout}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
