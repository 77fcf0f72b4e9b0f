"""A container as the Compose specification describes a service, in normal form: long syntax only, sizes in bytes, durations in seconds.

What the YAML may look like is the reader's business (config/compose/); what an engine is sent is the backend's.
"""

from collections.abc import Mapping

import msgspec


class PublishedPort(msgspec.Struct, frozen=True):
    """``target`` is the container's port. ``published``: the host's port, a range ``8000-8009`` of which a free one is taken when the
    container is made, or empty: any free one, another with every start."""

    target: int
    published: str = ""
    host_ip: str = ""  # empty: all addresses
    protocol: str = "tcp"  # tcp | udp | sctp
    mode: str = ""  # on a swarm: host | ingress; empty: not said, which is ingress there


class Mount(msgspec.Struct, frozen=True):
    """``source`` of a bind is a path on the host; of a volume its name on the engine (empty: an anonymous one); of a tmpfs nothing."""

    kind: str  # bind | volume | tmpfs
    target: str
    source: str = ""
    read_only: bool = False
    propagation: str = ""  # bind: private, rprivate, shared, …
    create_host_path: bool = True  # bind: make the directory on the host when it is missing
    selinux: str = ""  # bind: z or Z
    nocopy: bool = False  # volume: don't copy what the image has there
    subpath: str = ""  # volume
    size: int | None = None  # tmpfs, bytes
    mode: int | None = None  # tmpfs


class Volume(msgspec.Struct, frozen=True):
    """A volume that has to be there before the container is made. ``external``: never made by us, its absence is an error."""

    name: str  # on the engine
    external: bool = False
    driver: str = ""
    driver_opts: Mapping[str, str] = msgspec.field(default_factory=dict)
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)


class Network(msgspec.Struct, frozen=True):
    """A network that the container is connected to. ``name`` is that on the engine; ``external`` as for volumes.

    ``subnets`` and ``gateways`` stand side by side: one of each for every address range, empty where nothing was said.
    """

    name: str
    external: bool = False
    driver: str = ""
    driver_opts: Mapping[str, str] = msgspec.field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    subnets: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    aliases: tuple[str, ...] = ()  # of the container in it; the service's own name is one of them
    ipv4_address: str = ""
    ipv6_address: str = ""
    priority: int = 0


class Healthcheck(msgspec.Struct, frozen=True):
    """``test`` as an engine takes it: ``("CMD", …)``, ``("CMD-SHELL", text)`` or ``("NONE",)``; empty: the image's own. None: as the
    image says."""

    test: tuple[str, ...] = ()
    interval: float | None = None
    timeout: float | None = None
    start_period: float | None = None
    start_interval: float | None = None
    retries: int | None = None


class Logging(msgspec.Struct, frozen=True):
    driver: str  # empty: the engine's default
    options: Mapping[str, str] = msgspec.field(default_factory=dict)


class ContainerFile(msgspec.Struct, frozen=True):
    """A file of Compose's ``configs``: part of the release."""

    target: str  # absolute, in the container
    content: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


class SecretFile(msgspec.Struct, frozen=True):
    """A secret that the container gets as a file in memory, not as a variable. ``source`` is its name among the target's secrets."""

    source: str
    target: str  # absolute: /run/secrets/<name> where nothing else was said
    uid: int = 0
    gid: int = 0
    mode: int = 0o444  # as Compose: the user of the container is seldom root


class Ulimit(msgspec.Struct, frozen=True):
    soft: int
    hard: int


class Device(msgspec.Struct, frozen=True):
    source: str
    target: str
    permissions: str = "rwm"


class Limits(msgspec.Struct, frozen=True):
    """What the container may use. None: no limit."""

    cpus: float | None = None
    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpuset: str = ""
    memory: int | None = None
    memory_reservation: int | None = None
    memory_swap: int | None = None  # with swap; -1: unlimited swap
    memory_swappiness: int | None = None
    pids: int | None = None
    shm_size: int | None = None
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    blkio_weight: int | None = None
    ulimits: Mapping[str, Ulimit] = msgspec.field(default_factory=dict)


class Restart(msgspec.Struct, frozen=True):
    """When a swarm starts a task again. None: as the swarm does it (after 5 s, without end, everything counted)."""

    condition: str = "any"  # none | on-failure | any
    delay: float | None = None  # seconds between two attempts
    max_attempts: int | None = None  # 0: without end
    window: float | None = None  # seconds in which attempts are counted; 0: all of them are


class Pace(msgspec.Struct, frozen=True):
    """How a swarm replaces the tasks of a service, on the way to a release or on the way back."""

    parallelism: int = 1  # tasks at once; 0: all of them
    delay: float = 0.0  # seconds between two groups of them
    monitor: float | None = None  # seconds in which a new task that fails counts; None: as the swarm does it (5 s)
    max_failure_ratio: float = 0.0  # the part of the tasks that may fail, 0 to 1
    order: str = ""  # start-first | stop-first; empty: not said, which is stop-first
    failure_action: str = (
        ""  # pause; empty: not said, the same. Never rollback: no swarm takes a release back by itself
    )


class Deploy(msgspec.Struct, frozen=True):
    """What only a swarm can do with a service: how many of its tasks run, on which nodes, and how they are replaced."""

    mode: str = "replicated"  # replicated | global: one on each node
    replicas: int = 1  # of a replicated service; 0: none
    endpoint_mode: str = ""  # vip | dnsrr; empty: not said, which is vip
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)  # the service's; its containers have their own
    constraints: tuple[str, ...] = ()  # "node.role == worker"
    preferences: tuple[str, ...] = ()  # node labels over whose values tasks are spread, "node.labels.zone"
    max_replicas_per_node: int | None = None  # None: no bound
    reserved_cpus: float | None = None
    reserved_memory: int | None = None  # bytes
    restart: Restart | None = None  # None: as the swarm does it, any
    update: Pace | None = None  # None: as the swarm does it, one after the other
    rollback: Pace | None = None  # the same on the way back


class ContainerSpec(msgspec.Struct, frozen=True):
    """How a release's container is made. Image, environment variables and secrets' references are the release's own.

    ``project`` is Compose's: it is the prefix of networks and volumes that are not given a name (already applied here).
    """

    project: str
    service: str  # the service's name in Compose's sense: its alias in its networks
    container_name: str = ""  # empty: <environment>-<service>
    command: tuple[str, ...] | None = None  # None: the image's
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    group_add: tuple[str, ...] = ()
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    init: bool | None = None
    tty: bool = False
    stdin_open: bool = False
    read_only: bool = False
    privileged: bool = False
    platform: str = ""
    runtime: str = ""
    restart: str = "no"  # no | always | unless-stopped | on-failure[:count]; empty on a swarm: ``deploy`` says it there
    stop_signal: str = ""
    stop_grace_period: float = 10.0
    healthcheck: Healthcheck | None = None
    ports: tuple[PublishedPort, ...] = ()
    expose: tuple[str, ...] = ()  # "8080/tcp"
    mounts: tuple[Mount, ...] = ()
    volumes: tuple[Volume, ...] = ()  # those that ``mounts`` name
    network_mode: str = ""  # host, none, bridge, container:NAME; empty: ``networks``
    networks: tuple[Network, ...] = ()
    extra_hosts: tuple[str, ...] = ()  # "name:address"
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    mac_address: str = ""
    labels: Mapping[str, str] = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    logging: Logging | None = None
    files: tuple[ContainerFile, ...] = ()
    secrets: tuple[SecretFile, ...] = ()
    limits: Limits = Limits()
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    # Each with some of: driver, count ("-1": all), device_ids ("0,1"), capabilities ("gpu,compute"), options ("name=value,…").
    gpus: tuple[Mapping[str, str], ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = msgspec.field(default_factory=dict)
    storage_opt: Mapping[str, str] = msgspec.field(default_factory=dict)
    ipc: str = ""
    pid: str = ""
    uts: str = ""
    userns_mode: str = ""
    cgroup: str = ""  # host | private
    cgroup_parent: str = ""
    order: str = ""  # start-first | stop-first; empty: as the container allows
    deploy: Deploy | None = None  # None: nothing was said that only a swarm can do, or the hosts are engines
