"""One round of health checks of a release: as many of its tasks as are wanted run, and each of them answers by itself.

A task is asked where its node publishes its port (host mode), at its own address on its node, or in its container. Where nobody reaches
the node's engine, its port in the swarm's ingress is asked instead, which says of the service and not of each task."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import BackendError, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.checking import LOCALHOST, Streams, ask_over, place, reached_at
from quarterdeck.backends.hosts.contract import HealthOutcome
from quarterdeck.backends.hosts.docker.health import RUNS_FOR, check_command
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.looking import Node, Seen, Service, Task, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.backends.hosts.swarm.nodes import Nodes
from quarterdeck.backends.hosts.swarm.spec import deploy_of
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import CommandCheck, Health, HttpCheck, TcpCheck
from quarterdeck.config.release import Release

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_ACTION: Final = "check the service"
_ASKING: Final = 10.0  # seconds for a manager to say what runs
_AT_ONCE: Final = 10  # tasks that are asked at the same time
_BRIDGE: Final = "docker_gwbridge"  # by which a node reaches its tasks


class SwarmHealth:
    """Checks of one connection. It remembers since when it has seen a task run."""

    def __init__(self, managers: Managers, nodes: Nodes) -> None:
        self._managers = managers
        self._nodes = nodes
        self._since: dict[str, float] = {}

    async def check(self, health: Health, release: Release, seen: Seen | None = None) -> HealthOutcome:
        """``seen``: a look that was made a moment ago. Raises only ``Unreachable``, for a lost swarm."""
        started = time.monotonic()
        try:
            seen = seen or await look(self._managers, release.target, _ACTION, deadline=_ASKING)
        except Unreachable:
            raise
        except CommandTimedOut as error:
            raise Unreachable(error.host, error.action, error.problem, left=error.left, advice=error.advice) from None
        except BackendError as error:
            return HealthOutcome(False, error.problem, time.monotonic() - started)
        healthy, detail, checks, well = await self._judge(health, release, seen)
        return HealthOutcome(healthy, detail, time.monotonic() - started, checks, well)

    async def _judge(self, health: Health, release: Release, seen: Seen) -> tuple[bool, str, int, int | None]:
        """Whether it is well, why, how many checks were made, and how many tasks are well where each that runs was asked."""
        service = serving(seen, release)
        if service is None and seen.fixed is not None and seen.current == release.id:
            return *await self._while_updated(health, release, seen, seen.fixed), None
        if service is None:
            return False, f"there is no service of {release.id}", 1, None
        mine = [one for one in seen.of(service) if one.release == release.id and one.is_wanted]
        running = [one for one in mine if one.runs]
        wanted = len(mine) if service.is_global else service.replicas
        if not wanted and service.container_spec is not None and not deploy_of(service.container_spec).replicas:
            return True, "no task is wanted, as its replicas say", 1, None
        if not running:
            return False, f"0 of {max(wanted, 1)} tasks run{self._why(mine)}", 1, 0
        outcomes = await self.of_tasks(health, release, running)
        well = sum(one.healthy for one in outcomes)
        bad = next((one for one in outcomes if not one.healthy), None)
        if len(running) < wanted:
            ill = f", {well} are well: {bad.detail}" if bad is not None else self._why(mine)
            return False, f"{len(running)} of {wanted} tasks run{ill}", len(outcomes), well
        if bad is not None:
            return False, f"{well} of {len(running)} tasks are well: {bad.detail}", len(outcomes), well
        return True, f"{len(running)} task{'s' if len(running) > 1 else ''}: {outcomes[0].detail}", len(outcomes), well

    async def _while_updated(
        self, health: Health, release: Release, seen: Seen, service: Service
    ) -> tuple[bool, str, int]:
        """Of the release that an update comes from: as many tasks run as are wanted, and those that are left of it are well. The others are
        checked by who makes the update."""
        running = [one for one in seen.of(service) if one.is_wanted and one.runs]
        words = f"an update to {service.release} is under way, "
        if not service.is_global and len(running) < service.replicas:
            return False, f"{words}{len(running)} of {service.replicas} tasks run", 1
        mine = [one for one in running if one.release == release.id]
        outcomes = await self.of_tasks(health, release, mine)
        bad = next((one for one in outcomes if not one.healthy), None)
        if bad is not None:
            return False, f"{words}{bad.detail}", len(outcomes)
        return True, f"{words}{len(mine)} of {len(running)} tasks are of {release.version}", max(1, len(outcomes))

    def _why(self, mine: Sequence[Task]) -> str:
        waiting = next((one for one in mine if not one.runs), None)
        if waiting is None:
            return ""
        said = clean(waiting.said)
        return f": one is {waiting.state}{', ' if said else ''}{said}"

    async def of_tasks(self, health: Health, release: Release, tasks: Sequence[Task]) -> list[HealthOutcome]:
        """One for each, in their order. Nothing is raised: a task that can't be asked is not well."""
        room = asyncio.Semaphore(_AT_ONCE)

        async def one(task: Task) -> HealthOutcome:
            started = time.monotonic()
            async with room:
                try:
                    healthy, detail = await self._of_task(health, release, task)
                except BackendError as error:
                    healthy, detail = False, error.problem
            return HealthOutcome(healthy, detail, time.monotonic() - started)

        known = {task.id for task in tasks}
        self._since = {id: at for id, at in self._since.items() if id in known or len(self._since) < 1000}
        return list(await asyncio.gather(*(one(task) for task in tasks)))

    async def _of_task(self, health: Health, release: Release, task: Task) -> tuple[bool, str]:
        since = self._since.setdefault(task.id, time.monotonic())
        node = await self._nodes.find(task.node, _ACTION, deadline=_ASKING)
        if node is None or not node.is_ready:
            return False, f"the node of a task is {'gone' if node is None else f'{node.state} ({node.hostname})'}"
        told: list[str] = []
        for check in (health.http, health.tcp, health.command):
            if check is None:
                continue
            healthy, detail = await self._one(health, check, release, task, node)
            told.append(detail)
            if not healthy:
                return False, f"{detail} (on {node.hostname})"
        if told:
            return True, ", ".join(told)
        ran = time.monotonic() - since
        if ran < RUNS_FOR:
            return False, f"it has run for {ran:.1f} s: without a check it must for {RUNS_FOR:g} s (on {node.hostname})"
        return True, f"it has run for {RUNS_FOR:g} s"

    async def _one(
        self, health: Health, check: HttpCheck | TcpCheck | CommandCheck, release: Release, task: Task, node: Node
    ) -> tuple[bool, str]:
        if isinstance(check, CommandCheck):
            engine = await self._nodes.engine_of(node, _ACTION)
            try:
                return await check_command(engine, check, health.timeout, task.container)
            except CommandTimedOut as error:
                return False, f"the command {check.run!r}: {error.problem}, of the engine"
        address, port, way = await self._where(health, check, task, node)
        if way is None:
            return (
                False,
                f"nothing reaches port {check.port} of a task on {node.hostname}: publish it in host mode, or give the host nodes: ssh://…",
            )
        where = place(address, check, port)

        async def opening() -> Streams:
            if health.made_from == "bastion":
                return await asyncio.open_connection(address, port)
            return await way.open_tcp(address, port, deadline=health.timeout)

        try:
            async with asyncio.timeout(health.timeout):
                return await ask_over(opening, check, release, address, where)
        except TimeoutError:
            return False, f"no answer from {where} within {health.timeout:g} s"

    async def _where(
        self, health: Health, check: HttpCheck | TcpCheck, task: Task, node: Node
    ) -> "tuple[str, int, Engine | None]":
        """Address and port that are asked, and by way of which engine's machine."""
        manager = self._managers.engine
        if check.host != LOCALHOST:
            return check.host, check.port, manager
        published = next((one for one, port, protocol in task.ports if (port, protocol) == (check.port, "tcp")), 0)
        if published:
            return node.address, published, manager
        if health.made_from != "bastion":
            try:
                engine = await self._nodes.engine_of(node, _ACTION)
                address = await address_on_node(engine, task.container)
                if address and (engine.is_there or address == LOCALHOST):
                    return address, check.port, engine
            except BackendError:
                pass  # asked where the swarm's ingress publishes it, if it does
        ingress = await self._ingress(task, check.port)
        return node.address, ingress, manager if ingress else None

    async def _ingress(self, task: Task, port: int) -> int:
        from quarterdeck.backends.hosts.swarm import calls

        found: Body = await self._managers.ask(
            _ACTION, lambda client: calls.get(client, f"/services/{task.service}"), deadline=_ASKING
        )
        return published_by(found, port)

    async def address_of(self, release: Release, port: int | None) -> str:
        """Where ``port`` of the release's service is reached from here: by the ingress at a manager, in host mode at a node that has a
        task of it. Raises ``Unreachable`` when the swarm is lost."""
        from quarterdeck.backends.hosts.swarm import calls

        manager = self._managers.engine.address
        if port is None:
            return reached_at(manager, None)
        try:
            seen = await look(self._managers, release.target, _ACTION, deadline=_ASKING)
        except CommandTimedOut as error:
            raise Unreachable(error.host, error.action, error.problem, left=error.left, advice=error.advice) from None
        service = serving(seen, release)
        if service is None:
            return reached_at(manager, port)
        running = [one for one in seen.of(service) if one.release == release.id and one.runs and one.is_wanted]
        for task in running:
            for published, target, protocol in task.ports:
                node = await self._nodes.find(task.node, _ACTION, deadline=_ASKING)
                if (target, protocol) == (port, "tcp") and node is not None:
                    return reached_at(node.address, published)
        body: Body = await self._managers.ask(
            _ACTION, lambda client: calls.get(client, f"/services/{service.id}"), deadline=_ASKING
        )
        return reached_at(manager, published_by(body, port) or port)


def serving(seen: Seen, release: Release) -> Service | None:
    """The service that tasks of ``release`` are of: the target's own where that has it, else the one that holds it alone."""
    fixed = seen.fixed
    if fixed is not None and fixed.release == release.id:
        return fixed
    kept = seen.kept(release)
    return kept if kept is not None and not kept.is_stopped else None


def published_by(body: Body, port: int) -> int:
    """The port of the ingress that leads to ``port`` of a service; 0: none does."""
    ports: Sequence[Body] = (body.get("Endpoint") or {}).get("Ports") or ()
    for one in ports:
        if one.get("PublishMode") == "ingress" and (one.get("TargetPort"), one.get("Protocol", "tcp")) == (port, "tcp"):
            return int(one.get("PublishedPort") or 0)
    return 0


async def address_on_node(engine: "Engine", container: str) -> str:
    """By which its node reaches it; empty where it has none. Addresses in overlay networks are for other tasks only."""

    def read(client: Any) -> str:
        body = client.inspect_container(container)
        networks: dict[str, Any] = (body.get("NetworkSettings") or {}).get("Networks") or {}
        if "bridge" in networks:
            return str(networks["bridge"].get("IPAddress") or "")
        if (body.get("HostConfig") or {}).get("NetworkMode") == "host":
            return LOCALHOST
        bridge = client.inspect_network(_BRIDGE)
        found: dict[str, Any] = (bridge.get("Containers") or {}).get(container) or {}
        return str(found.get("IPv4Address") or "").partition("/")[0]

    return await engine.call(_ACTION, read, deadline=_ASKING)
