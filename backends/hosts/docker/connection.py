"""The hosts contract on one open engine. Each action goes through the gate; how it is done lies in the files beside this one."""

import time
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
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
from quarterdeck.backends.hosts.docker import hooks, images, staging, switching
from quarterdeck.backends.hosts.docker.auth import Auth, no_auth
from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.backends.hosts.docker.exec_session import exec_in_container
from quarterdeck.backends.hosts.docker.facts import read_facts
from quarterdeck.backends.hosts.docker.finishing import Wish, clear, finish
from quarterdeck.backends.hosts.docker.following import follow_target
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.health import HealthChecks
from quarterdeck.backends.hosts.docker.looking import Seen, together
from quarterdeck.backends.hosts.docker.making import Around
from quarterdeck.backends.hosts.docker.new_lines import new_lines_of
from quarterdeck.backends.hosts.docker.operation import UNCHANGED
from quarterdeck.backends.hosts.docker.service_figures import service_figures_of
from quarterdeck.backends.hosts.line_by_line import line_by_line
from quarterdeck.backends.hosts.manifest import check_release_id
from quarterdeck.config.model import Health, Hook, Logs
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.watching import WatchedEngine

_ACTIONS = ("restart", "start", "stop", "none")
_HOOK_ROOM = 45.0  # seconds beside a hook's own


class DockerConnection:
    """An open engine as a host. Made by ``DockerBackend.connect``. ``auth`` gives the credentials that the engine pulls with."""

    def __init__(self, engine: Engine, auth: Auth = no_auth) -> None:
        self._engine = engine
        self._auth = auth
        self._health = HealthChecks(engine)

    @property
    def host(self) -> str:
        return self._engine.host

    @property
    def executions(self) -> int:
        """Calls of the engine's API."""
        return self._engine.calls

    @property
    def engine(self) -> Engine:
        """For observers: events and figures of many containers at once."""
        return self._engine

    def watched(self) -> "WatchedEngine":
        """The same engine for an observer; closing one of the two closes it."""
        from quarterdeck.backends.hosts.docker.watching import WatchedEngine

        return WatchedEngine(self._engine, self._auth)

    async def facts(
        self,
        target: str,
        path: str,  # noqa: ARG002 # of the contract: a container has no directory on the host
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,  # noqa: ARG002 # of the contract: nothing here gets cheaper by it
    ) -> TargetFacts:
        """Changes nothing. ``release`` tells the live name, so that a foreign container which has it is told of."""
        facts, free = await together(
            read_facts(self._engine, target, release, deadline=deadline), self._free_bytes(deadline)
        )
        return msgspec.structs.replace(facts, free_bytes=free)

    async def _free_bytes(self, deadline: float) -> int | None:
        """Of the disk that the engine keeps its data on; None where nobody tells."""
        try:
            vitals = await self._engine.vitals(deadline=deadline)
        except Unreachable:
            raise
        except BackendError:
            return None
        return vitals.disk_free if vitals.disk_total else None

    async def stage(
        self, release: Release, archive: Path | None, secrets: SecretValues, fence: Fence, *, deadline: float = 600.0
    ) -> StageOutcome:
        """The engine pulls the image by its digest; the container is made, and not started."""
        # Nothing is put in the place of what runs yet, and perhaps never: until then that is what is wanted.
        gate = self._gate(release, fence, f"stage {release.id}", deadline, wants="")
        started = time.monotonic()
        if archive is not None and not images.travels(release):
            raise BackendError(
                self.host,
                gate.words,
                "its artifact is a tarball, and a Docker engine runs images",
                left=UNCHANGED,
                advice="give the service an image, or the host an SSH entry",
            )
        already = await staging.stage(gate, release, secrets.values, self._auth, archive)
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
        """Starts the release's container beside the live one where both can run (``beside``), else in its place."""
        if action not in _ACTIONS:
            raise ValueError(f"no such action: {action}")
        words = f"{'stop the service of' if action == 'stop' else 'switch to'} {release.id}"
        gate = self._gate(release, fence, words, deadline, wants="" if action == "stop" else release.id)
        gate.hide(secrets.values.values())
        self._health.forget(release)

        around = Around(gate, release)

        async def change(seen: Seen) -> dict[str, Any]:
            outcome = await switching.switch(gate, seen, around, release, secrets.values, action, op_id, served=served)
            return outcome if action == "stop" else switching.remembering(outcome, seen.state, release)

        def stands(seen: Seen, outcome: Mapping[str, Any]) -> bool:
            return action not in ("restart", "start") or switching.stands(seen, release, outcome)

        outcome = await switched(gate.once(op_id, f"switch {action}", change, beside=around.ask, stands=stands))
        if outcome.replayed and outcome.beside:
            await switching.rejoin(gate, release)
        if gate.running is not None:
            self._health.expect(release, gate.running)
        return outcome

    async def retire(self, release: Release, fence: Fence, op_id: str, *, deadline: float = 120.0) -> SwitchOutcome:
        """Leads the networks to ``release``, gives it the live name, and stops what ran before it."""
        gate = self._gate(release, fence, f"retire what runs beside {release.id}", deadline)

        async def change(seen: Seen) -> dict[str, Any]:
            return await switching.retire(gate, seen, release)

        return await switched(gate.once(op_id, "retire", change))

    async def withdraw(
        self, release: Release, fence: Fence, op_id: str, *, surely: bool = False, deadline: float = 120.0
    ) -> SwitchOutcome:
        """Stops the containers of ``release``; none is live then."""
        gate = self._gate(release, fence, f"withdraw {release.id}", deadline, wants="")

        async def change(seen: Seen) -> dict[str, Any]:
            return await switching.withdraw(gate, seen, release, every=surely)

        return await switched(gate.once(op_id, "withdraw", change))

    async def clear(self, path: str, fence: Fence, op_id: str, *, deadline: float = 120.0) -> None:  # noqa: ARG002 # of the contract
        """The target's containers, their secret files, and images that no other target needs. Networks, volumes and images that no
        registry has stay."""
        gate = Gate(self._engine, fence, "remove what is there", deadline)

        async def change(seen: Seen) -> dict[str, Any]:
            return await clear(gate, seen)

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
        """Runs ``command`` in the release's container under the gate and ``hook.timeout``. An exit status that is not 0 is an outcome."""
        gate = self._gate(release, fence, f"run the hook {command!r}", hook.timeout + _HOOK_ROOM)
        started = time.monotonic()

        async def run(seen: Seen) -> dict[str, Any]:
            return await hooks.run_hook(gate, seen, release, command, hook.timeout, extra_env or {})

        outcome, replayed = await gate.once(op_id, "hook", run, begun=True)
        return CommandOutcome(outcome["exit"], outcome["output"], replayed, time.monotonic() - started)

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        """One round of all checks, each under ``health.timeout``. Raises only ``Unreachable``, for a lost engine."""
        return await self._health.check(health, release)

    async def address_of(self, release: Release, port: int | None) -> str:
        """The engine's machine as seen from here, with the published port. Raises ``Unreachable`` for a lost engine."""
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
        """Marks the release good, others bad, and removes old containers and images; gives the ids of the releases that were removed."""
        gate = self._gate(release, fence, f"finish {release.id}", deadline)
        for name in (*keep, *bad):
            check_release_id(self.host, gate.words, name)
        wish = Wish(release.id, frozenset(keep), good, tuple(bad), max(0, prune_to), max(0, warm))

        async def change(seen: Seen) -> dict[str, Any]:
            return await finish(gate, seen, wish)

        outcome, _ = await gate.once(op_id, "finish", change)
        return tuple(outcome["removed"])

    async def vitals(self, path: str, *, deadline: float = 10.0) -> Vitals:  # noqa: ARG002 # of the contract: the engine's own place
        """Of the engine's machine, as far as anybody tells; the disk is the one that the engine keeps its data on."""
        return await self._engine.vitals(deadline=deadline)

    def logs(
        self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        """``log_batches``, line by line."""
        return line_by_line(self.log_batches(logs, release, lines=lines, follow=follow))

    def log_batches(
        self,
        logs: Logs,  # noqa: ARG002 # of the contract: a container has one log
        release: Release,
        *,
        lines: int = 100,
        follow: bool = False,
    ) -> AsyncGenerator[LogBatch, None]:
        """What the containers of the target print, over switches from one to another. Close the generator to end it."""
        return follow_target(self._engine, release.target, lines=lines, follow=follow)

    async def new_lines(
        self,
        logs: Logs,  # noqa: ARG002 # of the contract: a container has one log
        release: Release,
        mark: str = "",
        *,
        lines: int = 10_000,
        deadline: float = 10.0,
    ) -> NewLines:
        """Of the release's own container. The mark is the container, and the time of its last line."""
        return await new_lines_of(self._engine, release, mark, lines=lines, deadline=deadline)

    async def service_figures(self, release: Release, *, deadline: float = 10.0) -> ServiceFigures:
        """Of its container."""
        return await service_figures_of(self._engine, release, deadline=deadline)

    def exec_in(
        self,
        target: str,
        path: str,  # noqa: ARG002 # of the contract: a container has no directory on the host
        command: Sequence[str],
        *,
        deadline: float | None,
        input: Typed | None = None,
        terminal: Terminal | None = None,
        task: str = "",  # noqa: ARG002 # of the contract: only a swarm has tasks
    ) -> AsyncGenerator[Printed | Exited, None]:
        """Runs ``command`` in the live container, as the user that the service runs as. What the engine says of a command that can't
        be started is its output, with the status 126 or 127."""
        return exec_in_container(self._engine, target, command, deadline=deadline, input=input, terminal=terminal)

    async def execute(self, command: str, *, deadline: float, input: bytes = b"") -> CommandOutcome:
        """A bare command on the host, where its engine is reached over SSH; else there is no shell to ask."""
        ssh = self._engine.ssh
        if ssh is None:
            raise BackendError(
                self.host,
                "run a command",
                "a Docker host has no shell: only its engine is reached",
                left=UNCHANGED,
                advice="ask the engine, or give the host as docker: ssh://…",
            )
        return await ssh.execute(command, deadline=deadline, input=input)

    async def close(self) -> None:
        """Closes the way to the engine: what it has begun, it goes on with."""
        await self._engine.close()

    def _gate(self, release: Release, fence: Fence, words: str, deadline: float, *, wants: str | None = None) -> Gate:
        """``deadline`` is that of the work itself: what a container may take to stop comes on top."""
        check_release_id(self.host, words, release.id)
        return Gate(self._engine, fence, words, deadline, wants=wants)


async def switched(going: Awaitable[tuple[dict[str, Any], bool]]) -> SwitchOutcome:
    started = time.monotonic()
    outcome, replayed = await going
    return SwitchOutcome(
        current=outcome["current"] or None,
        previous=outcome["previous"] or None,
        replayed=replayed,
        seconds=time.monotonic() - started,
        beside=bool(outcome.get("beside")),
    )
