"""The hosts contract on one Swarm. Each action goes through the gate; how it is done lies in the files beside this one."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from quarterdeck.backends.errors import BackendError, Unreachable
from quarterdeck.backends.hosts.contract import (
    CommandOutcome,
    Exited,
    Fence,
    HealthOutcome,
    LogBatch,
    LogLine,
    NewLines,
    Printed,
    SecretValues,
    ServiceFigures,
    StageOutcome,
    SwitchOutcome,
    TargetFacts,
    Terminal,
    Typed,
    Vitals,
)
from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.backends.hosts.docker.connection import switched
from quarterdeck.backends.hosts.docker.finishing import Wish
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.switching import remembering
from quarterdeck.backends.hosts.line_by_line import line_by_line
from quarterdeck.backends.hosts.manifest import check_release_id
from quarterdeck.backends.hosts.swarm import finishing, hooks, staging, switching
from quarterdeck.backends.hosts.swarm.facts import read_facts
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.health import SwarmHealth
from quarterdeck.backends.hosts.swarm.looking import Seen
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.registries import Registries
from quarterdeck.config.model import Health, Hook, Logs
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.swarm.watching import WatchedSwarm

_ACTIONS = ("restart", "start", "stop", "none")
_HOOK_ROOM = 150.0  # seconds beside a hook's own: a node is found, and fetches the image


class SwarmConnection:
    """A Swarm as a host. Made by ``SwarmBackend.connect``. ``auth`` gives the credentials that nodes pull with; ``fleet``: the name of
    the fleet whose targets these are."""

    def __init__(
        self,
        managers: Managers,
        nodes: Nodes,
        auth: Auth = no_auth,
        fleet: str = "",
        registries: Registries | None = None,
    ) -> None:
        self._managers = managers
        self._nodes = nodes
        self._auth = auth
        self._fleet = fleet
        self._health = SwarmHealth(managers, nodes)
        self._registries = registries or Registries(managers, auth)

    @property
    def host(self) -> str:
        return self._managers.host

    @property
    def executions(self) -> int:
        """Calls of engines' APIs."""
        return self._managers.calls + self._nodes.calls

    @property
    def came_forward(self) -> float:
        """See ``Progressing``."""
        return self._managers.came_forward

    @property
    def version(self) -> str:
        """Of the engine of the manager that was asked last."""
        return self._managers.version

    def watched(self) -> "WatchedSwarm":
        """The same swarm for an observer; closing one of the two closes it."""
        from quarterdeck.backends.hosts.swarm.watching import WatchedSwarm

        return WatchedSwarm(self._managers, self._nodes, self._auth, self._fleet, self._registries)

    async def facts(
        self,
        target: str,
        path: str,  # noqa: ARG002 # of the contract: a container has no directory on the host
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,  # noqa: ARG002 # of the contract: nothing here gets cheaper by it
    ) -> TargetFacts:
        """Changes nothing. ``release`` tells the live name, so that a foreign service which has it is told of."""
        facts = await read_facts(self._managers, self._nodes, self._registries, target, release, deadline=deadline)
        return msgspec.structs.replace(facts, free_bytes=await self._free_bytes(deadline))

    async def _free_bytes(self, deadline: float) -> int | None:
        """Of the manager's disk, which keeps the swarm's own state; None where nobody tells."""
        try:
            vitals = await self._managers.engine.vitals(deadline=deadline)
        except Unreachable:
            return None
        except BackendError:
            return None
        return vitals.disk_free if vitals.disk_total else None

    async def stage(
        self, release: Release, archive: Path | None, secrets: SecretValues, fence: Fence, *, deadline: float = 600.0
    ) -> StageOutcome:
        """A registry has the image; a service without a task holds the rest of the release."""
        gate = self._gate(release, fence, f"stage {release.id}", deadline, wants="")
        started = time.monotonic()
        if archive is not None:
            raise BackendError(
                self.host,
                gate.words,
                "its artifact is a file, and the nodes of a swarm fetch images from a registry",
                left=UNCHANGED,
                advice="give the service an image that a registry has, or the host an SSH entry",
            )
        already = await staging.stage(gate, self._nodes, release, secrets.values, self._auth, self._fleet)
        return StageOutcome(release.id, already, time.monotonic() - started)

    async def switch(
        self,
        release: Release,
        secrets: SecretValues,
        fence: Fence,
        op_id: str,
        *,
        action: str = "restart",
        served: bool = False,
        deadline: float = 120.0,
    ) -> SwitchOutcome:
        """Moves the target's service to the release, task by task, or starts a service of the release's own ``beside`` the live one where
        ports can be chosen. ``deadline``: for each step forward of it."""
        if action not in _ACTIONS:
            raise ValueError(f"no such action: {action}")
        words = f"{'stop the service of' if action == 'stop' else 'switch to'} {release.id}"
        gate = self._gate(release, fence, words, deadline, wants="" if action == "stop" else release.id)
        gate.hide(secrets.values.values())

        async def change(seen: Seen) -> dict[str, Any]:
            means = self._means(gate, release, deadline, seen)
            outcome = await switching.switch(means, seen, release, secrets.values, action, op_id, served=served)
            return outcome if action == "stop" else remembering(outcome, seen.state, release)

        return await switched(gate.once(op_id, f"switch {action}", change))

    async def retire(self, release: Release, fence: Fence, op_id: str, *, deadline: float = 120.0) -> SwitchOutcome:
        """Ends what runs beside ``release``, which is current from then on."""
        gate = self._gate(release, fence, f"retire what runs beside {release.id}", deadline)

        async def change(seen: Seen) -> dict[str, Any]:
            return await switching.retire(self._means(gate, release, deadline, seen), seen, release)

        return await switched(gate.once(op_id, "retire", change))

    async def withdraw(
        self, release: Release, fence: Fence, op_id: str, *, surely: bool = False, deadline: float = 120.0
    ) -> SwitchOutcome:
        """Ends the tasks of ``release``; none is current then."""
        gate = self._gate(release, fence, f"withdraw {release.id}", deadline, wants="")

        async def change(seen: Seen) -> dict[str, Any]:
            return await switching.withdraw(self._means(gate, release, deadline, seen), seen, release, every=surely)

        return await switched(gate.once(op_id, "withdraw", change))

    async def clear(self, path: str, fence: Fence, op_id: str, *, deadline: float = 120.0) -> None:  # noqa: ARG002 # of the contract
        """The target's services, configs and secrets. Networks, volumes and images stay."""
        gate = SwarmGate(self._managers, fence, "remove what is there", deadline)

        async def change(seen: Seen) -> dict[str, Any]:
            return await finishing.clear(gate, seen)

        await gate.once(op_id, "clear", change)

    async def hook(
        self,
        hook: Hook,
        command: str,
        release: Release,
        fence: Fence,
        op_id: str,
        *,
        extra_env: Mapping[str, str] | None = None,
    ) -> CommandOutcome:
        """Runs ``command`` in a task of its own under the gate and ``hook.timeout``. An exit status that is not 0 is an outcome."""
        gate = self._gate(release, fence, f"run the hook {command!r}", hook.timeout + _HOOK_ROOM)
        started = time.monotonic()

        async def run(seen: Seen) -> dict[str, Any]:
            return await hooks.run_hook(gate, self._nodes, seen, release, command, hook.timeout, extra_env or {})

        outcome, replayed = await gate.once(op_id, "hook", run, begun=True)
        return CommandOutcome(outcome["exit"], outcome["output"], replayed, time.monotonic() - started)

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        """One round of all checks of each task, each under ``health.timeout``. Raises only ``Unreachable``, for a lost swarm."""
        return await self._health.check(health, release)

    async def address_of(self, release: Release, port: int | None) -> str:
        """The swarm's ingress at a manager, or in host mode a node that has a task of the release. Raises ``Unreachable``."""
        return await self._health.address_of(release, port)

    async def finish(
        self,
        release: Release,
        keep: Sequence[str],
        fence: Fence,
        op_id: str,
        *,
        good: bool = True,
        bad: Sequence[str] = (),
        prune_to: int = 5,
        warm: int = 1,
        deadline: float = 120.0,
    ) -> tuple[str, ...]:
        """Marks the release good, others bad, and removes old services; gives the ids of the releases that are forgotten."""
        gate = self._gate(release, fence, f"finish {release.id}", deadline)
        for name in (*keep, *bad):
            check_release_id(self.host, gate.words, name)
        wish = Wish(release.id, frozenset(keep), good, tuple(bad), max(0, prune_to), max(0, warm))

        async def change(seen: Seen) -> dict[str, Any]:
            return await finishing.finish(gate, seen, wish)

        outcome, _ = await gate.once(op_id, "finish", change)
        return tuple(outcome["removed"])

    async def vitals(self, path: str, *, deadline: float = 10.0) -> Vitals:  # noqa: ARG002 # of the contract: the engine's own place
        """Of the manager's machine, as far as anybody tells."""
        return await self._managers.engine.vitals(deadline=deadline)

    async def unreached_nodes(self, *, deadline: float = 20.0) -> list[tuple[str, str]]:
        """See ``Nodes.unreached``."""
        return await self._nodes.unreached("look at its nodes", deadline=deadline)

    def logs(
        self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        """``log_batches``, line by line."""
        return line_by_line(self.log_batches(logs, release, lines=lines, follow=follow))

    def log_batches(
        self,
        logs: Logs,  # noqa: ARG002 # of the contract: a service has one log
        release: Release,
        *,
        lines: int = 100,
        follow: bool = False,
    ) -> AsyncGenerator[LogBatch, None]:
        """What the tasks of the target print, each line with the task's slot and node. Close the generator to end it."""
        from quarterdeck.backends.hosts.swarm.following import follow_target

        return follow_target(self._managers, self._nodes, release.target, lines=lines, follow=follow)

    async def new_lines(
        self,
        logs: Logs,  # noqa: ARG002 # of the contract: a service has one log
        release: Release,
        mark: str = "",
        *,
        lines: int = 10_000,
        deadline: float = 10.0,
    ) -> NewLines:
        """Of the release's own tasks. The mark says how far each was read."""
        from quarterdeck.backends.hosts.swarm.new_lines import new_lines_of

        return await new_lines_of(self._managers, self._nodes, release, mark, lines=lines, deadline=deadline)

    async def service_figures(self, release: Release, *, deadline: float = 10.0) -> ServiceFigures:
        """Of its tasks together, as far as their nodes are reached."""
        from quarterdeck.backends.hosts.swarm.figures import service_figures_of

        return await service_figures_of(self._managers, self._nodes, release, deadline=deadline)

    def exec_in(
        self,
        target: str,
        path: str,  # noqa: ARG002 # of the contract: a container has no directory on the host
        command: Sequence[str],
        *,
        deadline: float | None,
        input: Typed | None = None,
        terminal: Terminal | None = None,
        task: str = "",
    ) -> AsyncGenerator[Printed | Exited, None]:
        """Runs ``command`` in a task of the current release, on a node whose engine is reached."""
        from quarterdeck.backends.hosts.swarm.executing import exec_in_task

        return exec_in_task(
            self._managers, self._nodes, target, command, deadline=deadline, input=input, terminal=terminal, task=task
        )

    async def execute(self, command: str, *, deadline: float, input: bytes = b"") -> CommandOutcome:
        """A bare command on the manager's machine, where it is reached over SSH; else there is no shell to ask."""
        ssh = self._managers.engine.ssh
        if ssh is None:
            raise BackendError(
                self.host,
                "run a command",
                "a swarm has no shell: only its engines are reached",
                left=UNCHANGED,
                advice="ask an engine, or give the host as swarm: ssh://…",
            )
        return await ssh.execute(command, deadline=deadline, input=input)

    async def close(self) -> None:
        """Closes the ways to managers and nodes: what they have begun, they go on with."""
        await self._registries.close()
        await self._nodes.close()
        await self._managers.close()

    def _means(self, gate: SwarmGate, release: Release, deadline: float, seen: Seen) -> switching.Means:
        """What ends takes its own time to stop, and what begins its own."""
        specs = [release.container, *(one.container_spec for one in seen.services)]
        grace = max([one.stop_grace_period for one in specs if one is not None], default=0.0)
        gate.allow(deadline + grace)
        return switching.Means(gate, self._nodes, self._health, self._fleet, deadline + grace)

    def _gate(
        self, release: Release, fence: Fence, words: str, deadline: float, *, wants: str | None = None
    ) -> SwarmGate:
        """``deadline`` is that of the work itself: what a container may take to stop comes on top."""
        check_release_id(self.host, words, release.id)
        grace = release.container.stop_grace_period if release.container is not None else 0.0
        return SwarmGate(self._managers, fence, words, deadline + grace, wants=wants, auth=self._auth)
