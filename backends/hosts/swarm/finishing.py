"""What comes after a rollout: the good and the bad are remembered, and what nobody goes back to is removed."""

from typing import Any

from quarterdeck.backends.errors import BackendError, CommandFailed, EngineRefused
from quarterdeck.backends.hosts.docker.finishing import Wish, remembered, sorted_out
from quarterdeck.backends.hosts.swarm import objects
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Seen, Service


async def finish(gate: SwarmGate, seen: Seen, wish: Wish) -> dict[str, Any]:
    """``removed``: ids of releases that can't be gone back to any more. Images stay on the nodes, which Swarm itself never removes."""
    every = remembered(seen.state, [(one.release, one.manifest) for one in seen.services])
    sorting = sorted_out(
        seen.state, wish, seen.current, every, running={one.release for one in seen.services if not one.is_stopped}
    )
    kept = 0
    waiting = [one for one in seen.services if not one.is_fixed and one.is_stopped]
    for one in waiting:  # those that are always kept count first
        kept += one.release in sorting.protected and one.release != seen.current
    for one in waiting:
        if one.release in sorting.protected:
            continue
        if one.release not in sorting.leaving and kept < wish.warm:
            kept += 1
            continue
        await _tried(gate, one)
    for one in seen.aside:
        await _tried(gate, one)
    await objects.remove_unused(gate)
    return sorting.outcome(seen.current)


async def clear(gate: SwarmGate, seen: Seen) -> dict[str, Any]:
    """Everything of the target goes, but the register with its epoch. Raises ``CommandFailed`` while one of its services is to run."""
    running = [one.name for one in seen.services if not one.is_stopped]
    if running or seen.current is not None:
        raise CommandFailed(
            gate.host,
            gate.words,
            f"{', '.join(running) or 'its service'} is there and may run",
            exit_status=None,
            left="Nothing was removed",
        )
    for one in (*seen.services, *seen.aside):
        await gate.remove_service(one)
    await objects.remove_unused(gate)
    return {"state": {"current": "", "good": (), "bad": (), "releases": {}, "started": {}}}


async def _tried(gate: SwarmGate, service: Service) -> None:
    try:
        await gate.remove_service(service)
    except (EngineRefused, CommandFailed):
        return  # it is looked for again the next time
    except BackendError:
        raise
