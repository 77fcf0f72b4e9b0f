"""What is in a Swarm of a target: its services, their tasks, the nodes. Reads, and judges what was read; changes nothing."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.docker.looking import manifest_in
from quarterdeck.backends.hosts.docker.names import DIGEST, NAME, PORTS, RELEASE, ROLE, TARGET
from quarterdeck.backends.hosts.docker.register import State, epoch_of
from quarterdeck.backends.hosts.swarm import calls
from quarterdeck.backends.hosts.swarm.calls import Body
from quarterdeck.backends.hosts.swarm.names import LEAVING
from quarterdeck.backends.hosts.swarm.register import Reading, Register
from quarterdeck.backends.hosts.swarm.templates import same_task
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.release import Release, release_from_json

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.swarm.managers import Managers

_BEFORE: Final = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting")
"""States of a task on its way to running."""
FAILED: Final = ("failed", "rejected", "complete")
"""How a task ends without having been asked to. A service's task that ended with 0 has ended all the same."""


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    hostname: str
    address: str  # by which the other nodes reach it
    state: str  # unknown, down, ready, disconnected
    availability: str  # active, pause, drain
    manager: bool
    leader: bool
    version: str = ""  # of its engine
    labels: Mapping[str, str] | None = None

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"


@dataclass(frozen=True, slots=True)
class Task:
    """``state``: new … starting, running, complete, shutdown, failed, rejected, remove, orphaned. ``wanted``: what Swarm wants it to be."""

    id: str
    service: str  # its id
    slot: int  # 0: of a global service, one a node
    node: str  # its id; empty while it waits for one
    state: str
    wanted: str
    image: str
    spec: Body  # what it was made by
    release: str  # by the label of its container
    digest: str
    said: str  # what its node said of it last: why it waits, or failed
    exit_status: int | None
    container: str  # its id on the node; empty while there is none
    at: str  # ISO 8601 UTC, of ``state``
    ports: tuple[tuple[int, int, str], ...] = ()  # of the node, in host mode: published, target, protocol

    @property
    def runs(self) -> bool:
        return self.state == "running"

    @property
    def is_coming(self) -> bool:
        return self.state in _BEFORE

    @property
    def is_wanted(self) -> bool:
        """Swarm wants it to run: whatever is not so is on its way out, or history."""
        return self.wanted in ("running", "ready", "accepted", "complete")

    @property
    def may_run(self) -> bool:
        """There may be a process of it: also of one that is being stopped, or whose node nobody reaches."""
        return self.state in (*_BEFORE[4:], "running")

    @property
    def has_failed(self) -> bool:
        return self.state in FAILED


@dataclass(frozen=True, slots=True)
class Service:
    id: str
    version: int  # of the object: a change begins with it
    name: str
    labels: Mapping[str, str]
    spec: Body
    update: str  # "", updating, paused, completed, rollback_started, rollback_paused, rollback_completed
    update_said: str

    @property
    def release(self) -> str:
        return self.labels.get(RELEASE, "")

    @property
    def is_fixed(self) -> bool:
        """It has the target's own name: it goes from release to release."""
        return self.name == self.labels.get(NAME)

    @property
    def template(self) -> Body:
        found: Body = self.spec.get("TaskTemplate") or {}
        return found

    @property
    def container(self) -> Body:
        found: Body = self.template.get("ContainerSpec") or {}
        return found

    @property
    def is_global(self) -> bool:
        return "Global" in (self.spec.get("Mode") or {})

    @property
    def replicas(self) -> int:
        """Of a replicated one, as they are wanted."""
        mode: Body = self.spec.get("Mode") or {}
        return int((mode.get("Replicated") or {}).get("Replicas") or 0)

    @property
    def is_stopped(self) -> bool:
        """It is to have no task at all."""
        if self.is_global:
            return STOPPED in ((self.template.get("Placement") or {}).get("Constraints") or ())
        return self.replicas == 0

    @property
    def manifest(self) -> Mapping[str, Any] | None:
        return manifest_in(self.labels)

    @property
    def container_spec(self) -> ContainerSpec | None:
        """How it was made; None where its label tells nothing sound."""
        body = self.manifest
        try:
            return release_from_json(body["release"]).container if body else None
        except (KeyError, ValueError):
            return None

    @property
    def chosen_ports(self) -> frozenset[str]:
        return frozenset(self.labels.get(PORTS, "").split())


STOPPED: Final = "node.id == nowhere"
"""The constraint by which a global service has no task."""


@dataclass(frozen=True, slots=True)
class Seen:
    """``services``: of releases, the newest first. ``tasks``: all that Swarm remembers of them."""

    state: State
    reading: Reading
    services: tuple[Service, ...]
    tasks: tuple[Task, ...]
    aside: tuple[Service, ...] = ()  # of no release: hooks

    @property
    def epoch(self) -> int:
        return max([self.state.epoch, *(epoch_of(one.labels) for one in (*self.services, *self.aside))])

    @property
    def fixed(self) -> Service | None:
        return next((one for one in self.services if one.is_fixed), None)

    def kept(self, release: Release) -> Service | None:
        """The service that holds ``release`` alone."""
        return next(
            (
                one
                for one in self.services
                if not one.is_fixed and one.release == release.id and one.labels.get(DIGEST) == release.digest
            ),
            None,
        )

    def of(self, service: Service) -> tuple[Task, ...]:
        return tuple(one for one in self.tasks if one.service == service.id)

    def running(self, release: str) -> tuple[Task, ...]:
        """Tasks of ``release`` that run and are to run."""
        return tuple(one for one in self.tasks if one.release == release and one.runs and one.is_wanted)

    @property
    def releases_running(self) -> tuple[str, ...]:
        """Whose tasks run and are to run, those of the current one first."""
        found = dict.fromkeys(one.release for one in self.tasks if one.runs and one.is_wanted)
        return tuple(sorted(found, key=lambda one: one != self.current))

    @property
    def live(self) -> Service | None:
        """The service of what is current."""
        current = self.current
        fixed = self.fixed
        if fixed is not None:
            return fixed
        return next((one for one in self.services if one.release == current), None) if current else None

    @property
    def current(self) -> str | None:
        """What the last action that came to its end has put there, as long as a service of it is there. Where the register was lost: what
        the fixed service says, else what alone is to run."""
        before = self.state.current
        if before and any(one.release == before for one in self.services):
            return before
        if before and self.fixed is not None:
            return before
        if not before and not self.reading.is_there:
            if self.fixed is not None:
                return self.fixed.release or None
            at_work = [one.release for one in self.services if not one.is_stopped]
            return at_work[0] if len(at_work) == 1 else None
        return None


def is_of(task: Task, service: Service) -> bool:
    """Whether it is as the service says now: not of an earlier release, not with secrets of before, and not from before a restart."""
    return same_task(task.spec, service.template)


async def look(managers: "Managers", target: str, action: str, *, deadline: float, again: int = 5) -> Seen:
    """Two questions, one after the other: tasks are asked for by the services that are there."""
    try:
        async with asyncio.TaskGroup() as group:
            register = group.create_task(Register(managers, target).look(action, deadline=deadline))
            listed = group.create_task(list_services(managers, action, target=target, deadline=deadline))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    services = listed.result()
    try:
        tasks = await list_tasks(managers, action, [one.id for one in services], deadline=deadline)
    except EngineRefused as error:
        if error.status != 404 or not again:
            raise
        return await look(managers, target, action, deadline=deadline, again=again - 1)  # one was removed in between
    return seen_in(register.result(), services, tasks)


def seen_in(reading: Reading, services: Sequence[Service], tasks: Sequence[Task]) -> Seen:
    of_releases = tuple(one for one in services if ROLE not in one.labels and LEAVING not in one.labels)
    aside = tuple(one for one in services if ROLE in one.labels or LEAVING in one.labels)
    ids = {one.id for one in of_releases}
    state = reading.state
    if not reading.is_there:
        state = State(epoch=max((epoch_of(one.labels) for one in services), default=0))
    return Seen(state, reading, of_releases, tuple(one for one in tasks if one.service in ids), aside)


async def list_services(
    managers: "Managers", action: str, *, deadline: float, target: str = "", name: str = ""
) -> list[Service]:
    """The newest first; of ``target``, or those whose name begins with ``name``."""
    kind, wanted = ("label", f"{TARGET}={target}") if target else ("name", name)
    found: list[Body] = await managers.ask(
        action, lambda client: calls.get(client, "/services", **{kind: [wanted]}), deadline=deadline
    )
    newest_first = sorted(found, key=lambda one: str(one.get("CreatedAt", "")), reverse=True)
    return [service_in(one) for one in newest_first]


async def list_tasks(managers: "Managers", action: str, services: Sequence[str], *, deadline: float) -> list[Task]:
    if not services:
        return []
    found: list[Body] = await managers.ask(
        action, lambda client: calls.get(client, "/tasks", service=list(services)), deadline=deadline
    )
    return sorted((task_in(one) for one in found), key=lambda one: (one.slot, one.at))


async def list_nodes(managers: "Managers", action: str, *, deadline: float) -> list[Node]:
    found: list[Body] = await managers.ask(action, lambda client: calls.get(client, "/nodes"), deadline=deadline)
    return sorted((node_in(one) for one in found), key=lambda one: one.hostname)


def service_in(body: Body) -> Service:
    spec: Body = body.get("Spec") or {}
    update: Body = body.get("UpdateStatus") or {}
    return Service(
        id=str(body["ID"]),
        version=int((body.get("Version") or {}).get("Index") or 0),
        name=str(spec.get("Name", "")),
        labels=spec.get("Labels") or {},
        spec=spec,
        update=str(update.get("State") or ""),
        update_said=str(update.get("Message") or ""),
    )


def task_in(body: Body) -> Task:
    status: Body = body.get("Status") or {}
    spec: Body = body.get("Spec") or {}
    container: Body = spec.get("ContainerSpec") or {}
    labels: Mapping[str, str] = container.get("Labels") or {}
    there: Body = status.get("ContainerStatus") or {}
    exit_status = there.get("ExitCode")
    return Task(
        id=str(body["ID"]),
        service=str(body.get("ServiceID", "")),
        slot=int(body.get("Slot") or 0),
        node=str(body.get("NodeID") or ""),
        state=str(status.get("State", "")),
        wanted=str(body.get("DesiredState", "")),
        image=str(container.get("Image", "")),
        spec=spec,
        release=labels.get(RELEASE, ""),
        digest=labels.get(DIGEST, ""),
        said=str(status.get("Err") or ""),
        exit_status=int(exit_status) if exit_status is not None and there.get("ContainerID") else None,
        container=str(there.get("ContainerID") or ""),
        at=str(status.get("Timestamp", "")),
        ports=tuple(
            (int(one.get("PublishedPort") or 0), int(one.get("TargetPort") or 0), str(one.get("Protocol", "tcp")))
            for one in (status.get("PortStatus") or {}).get("Ports") or ()
        ),
    )


def node_in(body: Body) -> Node:
    spec: Body = body.get("Spec") or {}
    status: Body = body.get("Status") or {}
    manager: Body = body.get("ManagerStatus") or {}
    described: Body = body.get("Description") or {}
    address = str(status.get("Addr", ""))
    if address in ("", "0.0.0.0", "127.0.0.1", "::", "::1") and manager.get("Addr"):  # noqa: S104 # what a leader may say of itself
        address = str(manager["Addr"]).rpartition(":")[0].strip("[]")
    return Node(
        id=str(body["ID"]),
        hostname=str(described.get("Hostname", "")),
        address=address,
        state=str(status.get("State", "unknown")),
        availability=str(spec.get("Availability", "")),
        manager=spec.get("Role") == "manager",
        leader=bool(manager.get("Leader")),
        version=str((described.get("Engine") or {}).get("EngineVersion", "")),
        labels=spec.get("Labels") or {},
    )
