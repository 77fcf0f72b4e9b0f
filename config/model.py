"""The fleet file as frozen values. Nothing here reads a file or knows YAML; durations are seconds, sizes are bytes."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.drills import Drills
from quarterdeck.config.freezes import Freeze
from quarterdeck.config.routers import Routed, Router


class Host(msgspec.Struct, frozen=True):
    """One machine, reached over SSH or as a Docker engine, or a whole Docker Swarm: exactly one of ``ssh``, ``docker`` and ``swarm`` is
    set.

    ``ssh`` is what the user would give to ``ssh``: a name of ~/.ssh/config, or [user@]address[:port].
    ``docker`` is where its engine listens: unix:///path, ssh://[user@]address[:port][/path], tcp://address:port, or context://name.
    ``swarm`` are the addresses of a swarm's managers, in the same forms, in the order in which they are tried.
    ``nodes`` is how the engine of a single node of the swarm is reached, in the same forms, with {address} and {hostname} of the node in
    it; empty: as the managers are.
    ``tls`` is the directory (absolute after loading) with ca.pem, cert.pem and key.pem for tcp://; empty: no TLS.
    ``address`` is the IP address by which routers reach it; empty: the one by which it is reached from here.
    """

    name: str
    ssh: str = ""
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    docker: str = ""
    tls: str = ""
    address: str = ""
    swarm: tuple[str, ...] = ()
    nodes: str = ""

    @property
    def contained(self) -> bool:
        """Whether containers run there."""
        return bool(self.docker or self.swarm)


class SecretReference(msgspec.Struct, frozen=True):
    """Where a secret's value is found; never the value. ``kind`` is env, file, command, sops or age.

    ``source`` is the variable, path, command line, ``FILE#key`` (sops) or file (age).
    """

    kind: str
    source: str


class RegistryLogin(msgspec.Struct, frozen=True):
    """How to log in to an OCI registry. ``password`` is a password or a token: where it is found, never its value."""

    username: str
    password: SecretReference


class Artifact(msgspec.Struct, frozen=True):
    """A tarball or an image to be shipped; exactly one of ``tarball`` and ``image`` is set. ``{version}`` in ``tarball`` and
    ``sha256`` stands for the version asked for.

    ``image`` is a repository as in ``docker pull``, without a tag (``registry.acme.io/api``, ``nginx``): the version is the tag.
    ``image_on`` names the Docker host of the fleet whose engine has the images; empty: a registry has them.

    ``tarball`` is a path (absolute after loading), an http(s):// or an sftp:// URL. ``sha256`` is 64 hex digits, or a
    path or URL
    of a file in the format of sha256sum; None: the checksum is computed when the artifact is first resolved (paths
    only).
    """

    tarball: str = ""
    sha256: str | None = None
    image: str = ""
    image_on: str = ""


class Commands(msgspec.Struct, frozen=True):
    """Shell commands, run in the release's directory with its environment, that stand in for a service manager."""

    start: str
    stop: str
    restart: str | None = None  # None: stop, then start
    status: str | None = None  # exit 0: it runs


class Slots(msgspec.Struct, frozen=True):
    """Ports of two instances of a service that can run beside each other on one host."""

    blue: int
    green: int

    @property
    def ports(self) -> dict[str, int]:
        """By the slot's name."""
        return {"blue": self.blue, "green": self.green}

    def fill(self, text: str, slot: str) -> str:
        """``text`` with {slot} and {port} as they are in that slot."""
        return text.replace("{slot}", slot).replace("{port}", str(self.ports[slot]))


class Runner(msgspec.Struct, frozen=True):
    """How the service is started: a systemd unit (system, or the login user's own) or commands. Exactly one is set, but for
    a container, which needs neither. With ``slots`` the unit is a template (api@.service), and a slot's instance api@blue.service."""

    unit: str | None = None
    user_unit: bool = False
    commands: Commands | None = None
    slots: Slots | None = None  # None: one instance on a host, which is stopped before the next one is started


class HttpCheck(msgspec.Struct, frozen=True):
    port: int
    path: str = "/"
    status: int = 200
    host: str = "127.0.0.1"  # as seen from where the check is made
    contains: str | None = None  # text of the body; {version} and {release} are filled in


class TcpCheck(msgspec.Struct, frozen=True):
    port: int
    host: str = "127.0.0.1"


class CommandCheck(msgspec.Struct, frozen=True):
    run: str  # on the host, in the release's directory, with its environment, or in the container; exit 0 is healthy


class Health(msgspec.Struct, frozen=True):
    """A health gate. All checks that are set must pass; none is set only of a container without a gate of its own, where the
    engine's health check is asked, or that it keeps running."""

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    command: CommandCheck | None = None
    interval: float = 2.0  # between two checks once it answers; the first ones after a switch come quicker
    timeout: float = 5.0  # of a single check
    min_healthy_time: float = 0.0  # must stay healthy for so long (deploys only)
    healthy_deadline: float = 120.0  # must be healthy within this after the switch
    made_from: str = "host"  # host: over the SSH connection, as the host sees it; bastion: from here, to its address


class HookWhere(StrEnum):
    ONE = "one"  # the first host of the rollout
    EACH = "each"
    HERE = "here"  # the bastion


class Hook(msgspec.Struct, frozen=True):
    run: str
    where: HookWhere = HookWhere.ONE
    timeout: float = 300.0
    reversible: bool = True
    on_rollback: str | None = None


class Hooks(msgspec.Struct, frozen=True):
    before: tuple[Hook, ...] = ()  # once the release is on the hosts, before the first switch
    after: tuple[Hook, ...] = ()  # after the last host is healthy
    steps: tuple[Hook, ...] = ()  # those of the strategy's `run` steps, in their order

    def of(self, phase: str) -> tuple[Hook, ...]:
        """Those of ``before``, ``after`` or ``steps``."""
        return {"before": self.before, "after": self.after, "steps": self.steps}[phase]

    @property
    def every(self) -> tuple[Hook, ...]:
        """All of them, in the order in which they run."""
        return (*self.before, *self.steps, *self.after)


class Share(msgspec.Struct, frozen=True):
    """A number of hosts, or a percentage of them. Exactly one is set."""

    count: int | None = None
    percent: float | None = None

    def of(self, total: int) -> int:
        """How many of ``total`` hosts: at least 1 where total is; a percentage is rounded down, as Nomad and
        Kubernetes do."""
        if total <= 0:
            return 0
        wanted = self.count if self.count is not None else int(total * (self.percent or 0.0) / 100)
        return max(1, min(total, wanted))


class SetWeight(msgspec.Struct, frozen=True, tag_field="step", tag="set_weight"):
    """So many percent of the target run the new release from here on."""

    percent: float  # above 0, up to 100


class SetScale(msgspec.Struct, frozen=True, tag_field="step", tag="set_scale"):
    """So many hosts run the new release from here on, whatever its weight is; there is a router."""

    share: Share


class SetRoute(msgspec.Struct, frozen=True, tag_field="step", tag="set_route"):
    """Requests that match go to the new release from here on, whatever its weight is; there is a router. ``rules``: pairs of ``header`` or
    ``cookie`` and the value; empty: none do any more."""

    rules: tuple[tuple[str, str], ...] = ()


class SetFlag(msgspec.Struct, frozen=True, tag_field="step", tag="set_flag"):
    """So many percent get what the release has brought from here on."""

    percent: int  # 1 to 100


class Pause(msgspec.Struct, frozen=True, tag_field="step", tag="pause"):
    seconds: float | None = None  # None: until somebody promotes


class Run(msgspec.Struct, frozen=True, tag_field="step", tag="run"):
    hook: Hook


class Bake(msgspec.Struct, frozen=True, tag_field="step", tag="bake"):
    """Every host runs the new release and is watched; it is taken back when it fails."""

    seconds: float
    analyses: tuple[str, ...] = ()  # measured meanwhile


class Analyse(msgspec.Struct, frozen=True, tag_field="step", tag="analysis"):
    """The new release is measured, where it runs, before more hosts get it."""

    analyses: tuple[str, ...]


class ApprovalPolicy(msgspec.Struct, frozen=True, rename={"who": "from"}):
    """Who must agree before a deploy begins, or goes on. ``who``: users and @groups, None: everybody may."""

    count: int = 1
    who: tuple[str, ...] | None = None
    prevent_self_review: bool = True  # whoever asked for a rollout does not count
    timeout: float = 8 * 3600.0  # seconds that it is waited for


class OnTimeout(StrEnum):
    ABORT = "abort"  # the hosts go back to what they ran
    PROMOTE = "promote"  # silence is consent


class Approve(msgspec.Struct, frozen=True, tag_field="step", tag="approval"):
    """It stands still here until so many people have agreed to the plan at this very step."""

    policy: ApprovalPolicy = ApprovalPolicy()
    on_timeout: OnTimeout = OnTimeout.ABORT


class Notice(msgspec.Struct, frozen=True, tag_field="step", tag="notify"):
    """People are told that the rollout has come here, which it waits for in no way. ``to``: names of destinations; None: all that are
    about the target. ``title`` and ``body``: as those of a destination; empty: its own."""

    to: tuple[str, ...] | None = None
    title: str = ""
    body: str = ""


CanaryStep = SetWeight | SetScale | SetRoute | SetFlag | Pause | Run | Bake | Analyse | Approve | Notice


class Strategy(msgspec.Struct, frozen=True):
    """How the hosts of a target are moved. recreate: stop all, switch all, start all. rolling: batch after batch. canary: step after
    step. flag: as rolling, and then a feature flag goes up step after step.

    ``batches`` are sizes, the last one repeats until every host is done (as Ansible's ``serial``); empty:
    max_unavailable.
    Within a batch at most ``max_unavailable`` hosts are out of service at once (None: the whole batch).
    """

    kind: str = "rolling"  # recreate | rolling | canary | ab | blue_green | flag
    batches: tuple[Share, ...] = ()
    max_unavailable: Share | None = None
    max_surge: Share | None = None  # rolling: in place of it, where both releases can run on a host at the same time
    order: str = "listed"  # listed | reversed | random (seeded by the rollout's id)
    pause: float = 0.0  # seconds between two batches
    bake: Bake | None = None  # how all hosts are watched before it counts as success
    scale_down_delay: float = 0.0  # seconds that the old instances go on running once all requests go to the new ones
    steps: tuple[CanaryStep, ...] = ()  # of a canary; what is left of the hosts moves after the last one; or of a flag
    flag: str = ""  # the name of the flag
    safeguards: tuple[str, ...] = ()  # analyses that are measured as long as the flag is above what it was


class OnUnreachable(StrEnum):
    STOP = "stop"
    CONTINUE = "continue"


class RollbackPolicy(msgspec.Struct, frozen=True):
    """``max_unavailable`` bounds how many hosts go back at once: all of them unless said otherwise, since time
    counts."""

    automatic: bool = True
    max_unavailable: Share = Share(percent=100.0)
    on_unreachable: OnUnreachable = OnUnreachable.CONTINUE


class Keep(msgspec.Struct, frozen=True):
    releases: int = 5  # on each host (of containers: images), beside the current one and those that a rollback needs
    warm: int = 1  # containers of earlier releases that are kept stopped, ready to be started again


class Logs(msgspec.Struct, frozen=True):
    journal: str | None = None  # a systemd unit
    files: tuple[str, ...] = ()  # globs on the host


class ConfigFile(msgspec.Struct, frozen=True):
    """A file of the release's configuration: where it goes below the release's directory, and its text."""

    path: str
    content: str
    mode: int = 0o644


class Target(msgspec.Struct, frozen=True):
    """A service in an environment, with everything merged: what a rollout works from."""

    environment: str
    service: str
    hosts: tuple[Host, ...]
    path: str  # on the host, absolute or ~/…: releases/, shared/, current; empty for a container
    artifact: Artifact
    runner: Runner
    env: Mapping[str, str] = msgspec.field(default_factory=dict)
    files: tuple[ConfigFile, ...] = ()
    secrets: Mapping[str, SecretReference] = msgspec.field(default_factory=dict)
    health: Health | None = None
    strategy: Strategy = Strategy()
    hooks: Hooks = Hooks()
    keep: Keep = Keep()
    logs: Logs | None = None
    rollback: RollbackPolicy = RollbackPolicy()
    on_unreachable: OnUnreachable = OnUnreachable.STOP  # of a deploy
    on_orphan: str = "hold"  # resume | hold | roll_back: a deploy whose worker died (a rollback is resumed)
    progress_deadline: float = 600.0  # seconds without a step done before a deploy is taken back
    container: ContainerSpec | None = None  # None: a service on SSH hosts
    images_on: Host | None = None  # where images are that no registry has
    routed: Routed | None = None  # None: requests come to the hosts by ways that are not ours
    router: Router | None = None  # that of ``routed``
    router_host: Host | None = None  # that the router runs on; None: this machine

    @property
    def name(self) -> str:
        return f"{self.environment}/{self.service}"


class Requirements(msgspec.Struct, frozen=True):
    """What must hold for a deploy to begin, beside the order of the environments."""

    rollback_ready: bool = False  # the way back from it is open
    max_drill_age: float | None = None  # seconds since the rollback was last practised with success
    build: str = ""  # passed: the build that made the version has; empty: nobody asks


class Preview(msgspec.Struct, frozen=True):
    """An environment with a lifetime, made of another one by `qd env clone`. Times in ISO 8601 UTC, to the second. ``fault``: why it can't
    be used and has no targets; empty: it can."""

    name: str
    origin: str = ""
    hosts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    env: Mapping[str, str] = msgspec.field(default_factory=dict)  # what is another there
    made: str = ""
    by: str = ""
    until: str = ""
    file: Path = Path()
    fault: str = ""

    def is_over(self, now: str) -> bool:
        """Whether its lifetime is over at ``now`` (ISO 8601 UTC, with or without fractions of a second)."""
        return bool(self.until) and self.until[:19] <= now[:19]


class Environment(msgspec.Struct, frozen=True):
    name: str
    hosts: tuple[str, ...]
    after: str | None = None  # only a release that succeeded there may come here …
    soak: float = 0.0  # … and has run there for so many seconds
    freezes: tuple[Freeze, ...] = ()  # when nothing goes out
    approvals: ApprovalPolicy | None = None  # None: nobody has to agree
    require: Requirements = Requirements()
    max_parallel: int | None = (
        None  # deploys that are under way there at once, of all services; None: as many as there are
    )
    drills: Drills = Drills()
    preview: Preview | None = None  # None: it is one of the fleet file's

    @property
    def until(self) -> str | None:
        """When a preview's lifetime is over; None: it is none."""
        return self.preview.until if self.preview is not None else None


class Operators(msgspec.Struct, frozen=True):
    """Who may do what: unix users and @groups. None: everybody may. Enforced below the screen and the command line."""

    view: tuple[str, ...] | None = None
    deploy: tuple[str, ...] | None = None
    approve: tuple[str, ...] | None = None  # where an environment does not say it itself


class Fleet(msgspec.Struct, frozen=True):
    name: str
    file: Path
    state: Path  # directory of the journal
    hosts: Mapping[str, Host]
    environments: Mapping[str, Environment]  # in the order of the file, previews before them
    services: tuple[str, ...]  # in the order of the file
    targets: Mapping[str, Target]  # by name, environments first
    operators: Operators = Operators()
    ssh_config: tuple[Path, ...] = ()  # empty: ~/.ssh/config
    known_hosts: tuple[Path, ...] = ()  # empty: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts
    runbooks: Mapping[str, Path] = msgspec.field(default_factory=dict)  # by service: a Markdown file
    registries: Mapping[str, RegistryLogin] = msgspec.field(default_factory=dict)  # by host[:port][/part of the path]
    analyses: Mapping[str, Any] = msgspec.field(default_factory=dict)  # config.analyses.Analysis by name
    routers: Mapping[str, Router] = msgspec.field(default_factory=dict)
    flags: Mapping[str, Any] = msgspec.field(default_factory=dict)  # config.flags.Flag by name
    notify: tuple[Any, ...] = ()  # config.notifications.Destination, in the order of the file
    builds: Mapping[str, Any] = msgspec.field(default_factory=dict)  # config.builds.Builds by service
    sources: Mapping[str, Any] = msgspec.field(default_factory=dict)  # config.builds.Repository by service
    previews: Mapping[str, Preview] = msgspec.field(default_factory=dict)  # those that can't be used, too
    previews_in: Path = Path()  # the directory of their files
    files: tuple[Path, ...] = ()  # all that was read for it, ``file`` first: when one changes, it is another fleet
