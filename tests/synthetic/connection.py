"""The hosts contract for a host in memory. It runs no command: hooks answer what the world says, logs are empty."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.backends.errors import BackendError, CommandFailed
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
from quarterdeck.config.model import Health, Hook, Logs
from quarterdeck.config.release import Release
from tests.synthetic.host import FREE_BYTES, SyntheticHost
from tests.synthetic.operations import Operation

if TYPE_CHECKING:
    from tests.synthetic.world import World

GIB = 1 << 30


class SyntheticConnection:
    """Made by ``SyntheticHosts.connect``."""

    def __init__(self, world: "World", host: SyntheticHost) -> None:
        self._world = world
        self._host = host
        self._executions = 0

    @property
    def host(self) -> str:
        return self._host.name

    @property
    def executions(self) -> int:
        return self._executions

    def _doing(self, operation: Operation, action: str, deadline: float) -> AbstractAsyncContextManager[None]:
        self._executions += 1
        return self._world.doing(self.host, operation, action, deadline)

    async def facts(
        self,
        target: str,
        path: str,
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,
    ) -> TargetFacts:
        async with self._doing(Operation.LOOK, f"read what runs of {target}", deadline):
            return self._host.facts(target)

    async def stage(
        self, release: Release, archive: Path | None, secrets: SecretValues, fence: Fence, *, deadline: float = 600.0
    ) -> StageOutcome:
        begun = time.monotonic()
        del archive, secrets  # nothing is sent
        async with self._doing(Operation.STAGE, f"stage {release.id}", deadline):
            already = self._host.stage(release, fence)
        return StageOutcome(release.id, already, time.monotonic() - begun)

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
        begun = time.monotonic()
        del secrets
        async with self._doing(Operation.SWITCH, f"switch to {release.id}", deadline):
            outcome = self._host.switch(release, fence, op_id, action)
        return msgspec.structs.replace(outcome, seconds=time.monotonic() - begun)

    async def retire(self, release: Release, fence: Fence, op_id: str, *, deadline: float = 120.0) -> SwitchOutcome:
        """Two never run beside each other here."""
        del op_id
        async with self._doing(Operation.SWITCH, f"retire what runs beside {release.id}", deadline):
            current = self._host.facts(fence.target).current
        return SwitchOutcome(current, current, False, 0.0)

    async def withdraw(
        self,
        release: Release,
        fence: Fence,
        op_id: str,
        *,
        surely: bool = False,
        deadline: float = 120.0,
    ) -> SwitchOutcome:
        async with self._doing(Operation.SWITCH, f"withdraw {release.id}", deadline):
            return self._host.withdraw(release, fence, op_id)

    async def clear(self, path: str, fence: Fence, op_id: str, *, deadline: float = 120.0) -> None:
        del path
        async with self._doing(Operation.SWITCH, "remove what is there", deadline):
            self._host.clear(fence, op_id)

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
        async with self._doing(Operation.SWITCH, f"run the hook {command}", hook.timeout):
            status, output, replayed = self._host.hook(release, fence, op_id, "run a hook", lambda: self._world.hook)
        return CommandOutcome(status, output, replayed, 0.0)

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        begun = time.monotonic()
        try:
            async with self._doing(Operation.HEALTH, "check the health", health.timeout):
                running = self._host.of(release.target).running == release.id
        except CommandFailed as error:
            return HealthOutcome(False, error.problem, time.monotonic() - begun)
        healthy = running and release.id not in self._world.ill
        detail = "http 200" if healthy else "http 500" if running else "refused"
        return HealthOutcome(healthy, detail, time.monotonic() - begun)

    async def address_of(self, release: Release, port: int | None) -> str:
        del release
        return self.host if port is None else f"{self.host}:{port}"

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
        async with self._doing(Operation.FINISH, f"finish {release.id}", deadline):
            return self._host.finish(release, keep, fence, op_id, good=good, bad=bad, prune_to=prune_to)

    async def vitals(self, path: str, *, deadline: float = 10.0) -> Vitals:
        del path
        async with self._doing(Operation.LOOK, "read vitals", deadline):
            return Vitals(0.5, 4, 8 * GIB, 5 * GIB, 2 * FREE_BYTES, FREE_BYTES, time.monotonic())

    async def logs(
        self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        del logs, release, lines, follow
        nothing: tuple[LogLine, ...] = ()
        for line in nothing:
            yield line

    async def log_batches(
        self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False
    ) -> AsyncGenerator[LogBatch, None]:
        del logs, release, lines, follow
        nothing: tuple[LogBatch, ...] = ()
        for batch in nothing:
            yield batch

    async def new_lines(
        self, logs: Logs, release: Release, mark: str = "", *, lines: int = 10_000, deadline: float = 10.0
    ) -> NewLines:
        del logs, release, lines
        async with self._doing(Operation.LOOK, "read new lines", deadline):
            return NewLines(mark or "0")

    async def service_figures(self, release: Release, *, deadline: float = 10.0) -> ServiceFigures:
        async with self._doing(Operation.LOOK, f"read the figures of {release.id}", deadline):
            return ServiceFigures()

    async def exec_in(
        self,
        target: str,
        path: str,
        command: Sequence[str],
        *,
        deadline: float | None,
        input: Typed | None = None,
        terminal: Terminal | None = None,
        task: str = "",
    ) -> AsyncGenerator[Printed | Exited, None]:
        del path, command, deadline, input, terminal, task  # only a swarm has tasks
        if self._host.facts(target).current is None:
            raise CommandFailed(self.host, "run a command", "no release is current there", exit_status=None)
        self._refuse()
        yield Exited(0)

    async def execute(self, command: str, *, deadline: float, input: bytes = b"") -> CommandOutcome:
        del command, deadline, input
        self._refuse()
        return CommandOutcome(0, "", False, 0.0)

    def _refuse(self) -> None:
        raise BackendError(self.host, "run a command", "a synthetic host runs none")

    async def close(self) -> None:
        return None
