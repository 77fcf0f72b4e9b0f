"""What a host can be asked to do. Every implementation passes the same contract tests (tests/contract/)."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from quarterdeck.config.model import Health, Hook, Host, Logs
from quarterdeck.config.release import Release


class Fence(msgspec.Struct, frozen=True):
    """Who asks. A host refuses an epoch lower than the highest it has seen for the target (``Fenced``).

    ``anchor`` is the head of the audit chain ("<seq>:<hash>"): the host keeps the last one it was told.
    """

    target: str
    epoch: int
    holder: str  # "rollout 12, alice@bastion": what the loser of a race is told
    anchor: str = ""


class KeptRelease(msgspec.Struct, frozen=True):
    """A release that lies complete on the host. ``intact``: its manifest's hash holds. ``manifest`` as written
    there."""

    release: str
    intact: bool
    manifest: Mapping[str, object] | None = None
    warm: bool = False  # its container is kept, stopped: it is started again without a registry
    asked: str = ""  # of a Swarm: when a registry was last asked for its image, ISO 8601 UTC; empty: it was not


class SwarmTask(msgspec.Struct, frozen=True):
    """A task of a Swarm's service: a container on one of the nodes, or on its way there. ``state`` in Swarm's words (running, starting,
    preparing, pending, shutdown, …)."""

    id: str
    slot: int  # 0: of a global service, one a node
    node: str  # its hostname; empty while it waits for one
    release: str
    state: str
    said: str = ""  # why it waits, or failed
    wanted: bool = True  # False: it is on its way out


class SwarmNode(msgspec.Struct, frozen=True):
    """A machine of a Swarm, as its managers see it."""

    hostname: str
    state: str  # ready, down, unknown, disconnected
    availability: str  # active, pause, drain
    manager: bool = False
    leader: bool = False


class TargetFacts(msgspec.Struct, frozen=True):
    """What a host says of a target. ``current`` is the release that the link points to, None: none."""

    current: str | None
    running: bool | None  # None: can't be told (no status command)
    kept: tuple[KeptRelease, ...]
    epoch: int  # highest fence seen, 0: none
    holder: str
    anchor: str
    good: tuple[str, ...]  # releases that proved themselves here, newest last
    free_bytes: int | None
    problems: tuple[str, ...] = ()  # missing tools or permissions, in words
    bad: tuple[str, ...] = ()  # releases that were left because they were bad, as far as this host was told
    drift: tuple[str, ...] = ()  # what was changed there behind our back, in words
    # False: ``current`` runs, but not as it was started by us, or something is being started or stopped: a rollout does not leave it alone
    as_started: bool = True
    left: tuple[str, ...] = ()  # what work that was cut short has left there, by name; it takes no part in anything
    fleet: str = ""  # of which fleet ``current`` was put there, where the host tells that
    tasks: tuple[SwarmTask, ...] = ()  # of a Swarm: what runs of the target there, and on which node
    nodes: tuple[SwarmNode, ...] = ()  # of a Swarm: its machines
    # Of Docker: what is to run in the name of a release and is not of it, in words: its labels stay where somebody gives it another image
    mismatch: str = ""


class StageOutcome(msgspec.Struct, frozen=True):
    release: str
    already: bool  # it was there, complete
    seconds: float


class SwitchOutcome(msgspec.Struct, frozen=True):
    """Read back on the host, after the change, inside the same locked command."""

    current: str | None
    previous: str | None
    replayed: bool  # this op_id had run before: the recorded outcome
    seconds: float
    beside: bool = False  # the new one runs beside the old one, which still is ``current``: ``retire`` ends that


class CommandOutcome(msgspec.Struct, frozen=True):
    exit_status: int
    output: str  # stdout and stderr, last 64 KiB, cleaned of escape sequences
    replayed: bool
    seconds: float


class HealthOutcome(msgspec.Struct, frozen=True):
    healthy: bool
    detail: str  # "http 500 from :8080/healthz", "refused", …
    seconds: float
    checks: int = 1
    well: int | None = (
        None  # of a Swarm: how many of the release's tasks run and are well; None: nobody has counted them
    )


class Vitals(msgspec.Struct, frozen=True):
    """-1, and a ``disk_total`` of 0: not told, as an engine that is reached over TCP tells little of its machine."""

    load_1m: float
    cores: int
    memory_total: int  # bytes
    memory_available: int
    disk_total: int  # of the target's path
    disk_free: int
    uptime: float  # seconds
    cpu_busy: int = 0  # ticks of all cores since the start, to be compared with an earlier look
    cpu_total: int = 0  # likewise; 0: not told


class ContainerFigures(msgspec.Struct, frozen=True):
    """What one container of a target uses now. None: nobody tells, as of one that does not run."""

    release: str
    cpu: float | None  # percent of one core since the last look; None at the first
    memory: int | None  # bytes, without what the kernel only caches
    memory_limit: int | None  # bytes; None: it may use whatever there is
    restarts: int  # by the engine, since it was last started by somebody
    out_of_memory: int  # how often something in it was killed for want of memory, since it is watched
    received: float | None  # bytes a second over its networks since the last look
    sent: float | None


class ServiceFigures(msgspec.Struct, frozen=True):
    """What a host tells of the service of one release. None: it does not, or the service does not run."""

    restarts: int | None = None  # by systemd or the engine, since it was last started by somebody
    oom_kills: int | None = None  # for want of memory, in its present life; an engine tells of one at most
    memory: int | None = None  # bytes
    memory_limit: int | None = None  # bytes: its own, else the machine's
    cpu_seconds: float | None = None  # of one core, in its present life


class LogLine(msgspec.Struct, frozen=True):
    host: str
    text: str  # cleaned
    time: str | None = None  # ISO 8601 UTC where the source says it
    dropped: int = 0  # lines lost before this one (bounded memory)
    source: str = ""  # the file or the failed release that it is of, where there are several; ``text`` begins with it


class LogBatch(msgspec.Struct, frozen=True):
    """Lines of one source on a host, taken in together: a flood costs little more than a trickle."""

    host: str
    texts: Sequence[str]  # cleaned; a carriage return has become a line break in one
    times: Sequence[str | None] | None = None  # ISO 8601 UTC, one a line; None: the source says none
    dropped: int = 0  # lines lost before the first one
    source: str = ""  # ``web.log: `` where there are several files; ``v2-0a1b2c3d4e: `` for a container that has failed


class NewLines(msgspec.Struct, frozen=True):
    """What a log got since a mark. ``mark`` is the next one: any text without a line break, of use to the host that told it alone."""

    mark: str
    texts: Sequence[str] = ()  # cleaned, in the order in which they came, long ones cut
    dropped: int = 0  # lines that came too, and are not among them: of a flood only its first lines are read


class Size(msgspec.Struct, frozen=True):
    """Of a terminal, in characters."""

    columns: int
    lines: int


class Terminal(msgspec.Struct, frozen=True):
    """That a command is to run on. ``kind``: what TERM says of it."""

    kind: str
    size: Size


class Printed(msgspec.Struct, frozen=True):
    """What a command printed, as it printed it. ``error``: on its standard error, which is never so on a terminal."""

    data: bytes
    error: bool = False


class Exited(msgspec.Struct, frozen=True):
    """How a command ended; nothing comes after it."""

    status: int


Typed = AsyncIterator[bytes | Size]
"""A command's standard input; on a terminal also what size that has by now."""


class SecretValues(msgspec.Struct, frozen=True):
    """Values on their way to a host: shown nowhere, in no repr."""

    values: Mapping[str, str] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return "SecretValues()"


class Connection(Protocol):
    """An open way to one host. Methods raise ``BackendError`` and its kinds; every one has a deadline (seconds)."""

    @property
    def host(self) -> str: ...

    @property
    def executions(self) -> int:
        """How many commands were executed on the host through this connection (a budget that tests watch)."""
        ...

    async def facts(
        self,
        target: str,
        path: str,
        release: Release | None = None,
        *,
        deadline: float = 20.0,
        then_switch: bool = False,
    ) -> TargetFacts:
        """One execution, changes nothing. ``release`` says how to ask whether the service runs. ``then_switch``: where it can,
        the execution goes on to be that of the next ``switch``; nothing happens until that is asked for."""
        ...

    async def stage(
        self, release: Release, archive: Path | None, secrets: SecretValues, fence: Fence, *, deadline: float = 600.0
    ) -> StageOutcome:
        """Uploads, checks the SHA-256, unpacks (outside the lock), adds config files, env and manifest, renames into
        place. ``archive`` is None for an image, which the host fetches itself; where no registry has it,
        ``ArtifactMissing`` asks for one as ``docker save`` writes it.

        Idempotent: a complete release of the same manifest is left as it is. ArtifactRefused, NoSpace, Fenced, …
        """
        ...

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
        """One execution: gate, ``current`` renamed to the release, service restarted, link, manifest and service read
        back.

        ``secrets``: written anew beside the release where they differ from what lies there (empty: what lies there is
        kept).
        ``action``: restart (the default; of a service with slots, what is current and runs is left alone); start (after ``stop``); stop
        (the link is not touched); none (link only).
        ``served``: a router leads requests there at this moment, or may, and goes on with that: a restart leaves alone what is current and
        runs.
        The same ``op_id`` again gives the recorded outcome and does nothing; on a Docker engine it is done again where a restart of the
        engine has ended what it had started.
        """
        ...

    async def retire(self, release: Release, fence: Fence, op_id: str, *, deadline: float = 120.0) -> SwitchOutcome:
        """After a switch that answered ``beside``: gives the traffic to ``release``, stops what ran before it and makes ``release``
        current. Where nothing runs beside it, it answers what is current."""
        ...

    async def withdraw(
        self, release: Release, fence: Fence, op_id: str, *, surely: bool = False, deadline: float = 120.0
    ) -> SwitchOutcome:
        """One execution: stops the service of ``release`` and removes ``current``: nothing ran here before. ``surely``: the target goes
        from here. What runs of other releases is stopped, too, and where a stop has failed and nobody can tell whether the service runs,
        that failure is raised and ``current`` stays."""
        ...

    async def clear(self, path: str, fence: Fence, op_id: str, *, deadline: float = 120.0) -> None:
        """Removes all releases of the fence's target from the host, and what they shared; none may be current or run (``withdraw``), else
        ``CommandFailed``. The fence stays."""
        ...

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
        """Runs ``command`` (hook.run or hook.on_rollback) in the release's directory under the gate and
        hook.timeout."""
        ...

    async def check_health(self, health: Health, release: Release) -> HealthOutcome:
        """One round of all checks, each under ``health.timeout``. Never raises for an unhealthy service;
        ``Unreachable`` for a lost host."""
        ...

    async def address_of(self, release: Release, port: int | None) -> str:
        """Where what listens on ``port`` for the release is reached from here: host:port (of a container: the published port; of a
        service with slots: that of the release's slot, or of the one that a switch would start it in), the host alone for None. Raises
        ``Unreachable`` for a lost host."""
        ...

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
        """One execution: marks the release good, those of ``bad`` as bad, and removes old ones; gives the ids that were
        removed.

        Never removes current, ``keep`` or the newest ``prune_to`` others. ``warm``: how many containers of earlier releases are kept
        stopped, those of ``keep`` and the last good one's included, which always are.
        """
        ...

    async def vitals(self, path: str, *, deadline: float = 10.0) -> Vitals: ...

    def logs(self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False) -> AsyncIterator[LogLine]:
        """The last ``lines`` and, with ``follow``, what comes. Closing the iterator ends the command on the host."""
        ...

    def log_batches(
        self, logs: Logs, release: Release, *, lines: int = 100, follow: bool = False
    ) -> AsyncGenerator[LogBatch, None]:
        """The same, for many lines a second."""
        ...

    async def new_lines(
        self, logs: Logs, release: Release, mark: str = "", *, lines: int = 10_000, deadline: float = 10.0
    ) -> NewLines:
        """One execution: what the log of ``release`` got since ``mark``, each line once; of more than ``lines`` the first ones. Without a
        mark nothing is read, and it is told where the log ends. Of a container, and of a slot with a log of its own: that one; else the
        service's, whichever release of it wrote there. ``CommandFailed`` where there is no such log, ``NotPermitted``.
        """
        ...

    async def service_figures(self, release: Release, *, deadline: float = 10.0) -> ServiceFigures:
        """One execution: of the release's unit or container. ``CommandFailed`` where there is none: of a service that is run by
        commands nobody tells."""
        ...

    def exec_in(
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
        """Runs an operator's ``command`` where the target's current release runs: in its directory with its environment, in its
        container. Without the gate: it is the operator who knows what it does.

        Each argument arrives as it is, no shell reads it. Without ``input`` its standard input is empty. The last value is ``Exited``.
        ``deadline``: seconds, then it is ended there and ``CommandTimedOut`` raised; None: for as long as somebody reads. Closing the
        generator ends it, too. ``CommandFailed`` where nothing of the target is there, or no exit status came back.

        ``task``: of a Swarm, in which of its tasks: ``SLOT`` or ``@HOSTNAME`` of the node; empty: in any. No other host has such.
        """
        ...

    async def execute(self, command: str, *, deadline: float, input: bytes = b"") -> CommandOutcome:
        """A bare command without the gate, for read-only questions (doctor)."""
        ...

    async def close(self) -> None: ...


class Watched(Connection, Protocol):
    """A connection for an observer, never for a worker. ``facts`` of many targets that are asked for together share what they read, and
    ``check_health`` goes by what ``facts`` read a moment before; none is older than the question that began the look."""

    def changes(self) -> AsyncGenerator[frozenset[str] | None, None]:
        """Targets to which something has just happened on the host, as it tells it by itself. None: anything may have happened, look at
        all; so it begins, and so it goes on after it was cut. Never ends by itself; raises where it can't be had."""
        ...

    async def figures(
        self, targets: Collection[str], *, deadline: float = 10.0
    ) -> Mapping[str, Sequence[ContainerFigures]]:
        """By target: of the live container and those that run beside it, as ``facts`` last saw them."""
        ...


@runtime_checkable
class Watchable(Protocol):
    """A connection to a host that tells of changes by itself."""

    def watched(self) -> Watched:
        """The same connection, for an observer."""
        ...


@runtime_checkable
class Progressing(Protocol):
    """A connection on which one action moves many machines, one after the other."""

    @property
    def came_forward(self) -> float:
        """When the action under way last made a step forward, by the monotonic clock; 0: it has not."""
        ...


class HostBackend(Protocol):
    async def connect(self, host: Host, *, deadline: float = 20.0) -> Connection:
        """Raises ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``."""
        ...
