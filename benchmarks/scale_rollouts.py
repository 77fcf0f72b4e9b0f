"""Rollouts and an observer on hosts in memory, in a process of their own, so that its memory is theirs:
``python -m benchmarks.scale_rollouts HOSTS``. Prints JSON.

The worker's session, its plans, the journal on this disk, and the observer are the real ones. Hosts answer after set times (``LATENCIES``);
there is no SSH, no archive on its way, and nothing runs anywhere.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.config.model import Hooks
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.observer.leader import Leader
from quarterdeck.rollouts.observer.pace import Pace
from quarterdeck.rollouts.plans.plan import HostNow, plan_deploy
from tests.synthetic.operations import Latency, Operation
from tests.synthetic.rollouts import TARGET, WHO, Rolled, SyntheticField
from tests.synthetic.world import SyntheticHosts

LATENCIES: Final = {
    Operation.CONNECT: Latency(0.05, 0.03),
    Operation.LOOK: Latency(0.02, 0.01),
    Operation.STAGE: Latency(0.3, 0.2),
    Operation.SWITCH: Latency(0.15, 0.1),
    Operation.HEALTH: Latency(0.02, 0.01),
    Operation.FINISH: Latency(0.02, 0.01),
}
SETTLING, WATCHED = 10.0, 20.0  # seconds of an observer: before, and while it is measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("hosts", type=int)
    parser.add_argument("--quick", action="store_true", help="the observer for a few seconds only")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        print(json.dumps(asyncio.run(measured(Path(directory), chosen.hosts, quick=chosen.quick)), indent=1))


async def measured(directory: Path, count: int, *, quick: bool) -> dict[str, Any]:
    field = SyntheticField(directory, count)
    field.world.latencies = LATENCIES
    await _well(field, field.deploy("v1"))
    found: dict[str, Any] = {"hosts": count, "plan ms": _plan(field)}
    found["deploy"] = await _well(field, field.deploy("v2"))
    found["rollback"] = await _well(field, field.roll_back())
    found["at work at once"] = {str(kind): crowd.most for kind, crowd in field.world.crowds.items()}
    found["worker MB"] = _peak()
    with Journal.open(field.fleet.state, read_only=True) as journal:
        found["journal"] = {
            "events": journal.head()[0],
            "steps": sum(len(journal.steps(rollout.id)) for rollout in journal.rollouts(TARGET)),
            "MB": round(sum(one.stat().st_size for one in field.fleet.state.glob("history.db*")) / 1e6, 1),
        }
    found["observer"] = await _watched(field, *((2.0, 4.0) if quick else (SETTLING, WATCHED)))
    return found


async def _well(field: SyntheticField, rolling: Any) -> dict[str, float]:
    """Of one rollout: seconds from connecting to the worker's last bookkeeping, and of processor, the hosts' own included."""
    used = time.process_time()
    rolled: Rolled = await rolling
    if rolled.rollout.state is not RolloutState.SUCCEEDED:
        raise SystemExit(f"it did not succeed: {rolled.rollout.outcome}")
    return {
        "seconds": round(rolled.seconds, 2),
        "processor": round(time.process_time() - used, 2),
        "hosts": len(field.names),
    }


def _plan(field: SyntheticField) -> float:
    """Milliseconds for the plan alone, the best of some."""
    hosts = [HostNow(name, "v1-x", True, frozenset({"v1-x"})) for name in field.names]
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        plan_deploy(hosts, "v2-y", field.fleet.targets[TARGET].strategy, Hooks())
        times.append((time.perf_counter() - begun) * 1000)
    return round(min(times), 1)


async def _watched(field: SyntheticField, settling: float, seconds: float) -> dict[str, float]:
    """An observer that nobody has a target open for: what it takes of a core, and how many looks it makes."""
    hosts = SyntheticHosts(field.world, field.fleet.name)
    with patch.object(Hosts, "of", lambda _: hosts):
        leader = Leader(field.fleet, Clerk(field.fleet.state, WHO), lambda: None, Pace())
        running = asyncio.create_task(leader.run())
        await asyncio.sleep(settling)
        used, looks, begun = time.process_time(), field.world.crowds[Operation.LOOK].total, time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - begun
        found = {
            "percent of a core": round((time.process_time() - used) / took * 100, 1),
            "looks a second": round((field.world.crowds[Operation.LOOK].total - looks) / took, 1),
        }
        if running.done():
            raise SystemExit(f"the observer ended: {running.exception()!r}")
        running.cancel()
        await asyncio.wait([running])
    return found | {"MB, with the worker before it": _peak()}


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)


if __name__ == "__main__":
    main()
