"""The keys of a Compose service that a container can have, a sentence for each, and why the others can't be had."""

from quarterdeck.config import scalars as fleet_scalars
from quarterdeck.config.compose import declarations, parts, scalars
from quarterdeck.config.compose.deploy import DEPLOY, REPLICAS
from quarterdeck.config.compose.mounts import MOUNT, MOUNT_IN_PLACE, SIZE, TMPFS
from quarterdeck.config.compose.parts import LATER, SOME_TEXT, WINDOWS, whole
from quarterdeck.config.compose.ports import EXPOSED, PORT
from quarterdeck.config.compose.shapes import BOOLEAN, ByForm, NamedMap, Pairs, WithPlace, one_or_many
from quarterdeck.config.kinds import TEXT
from quarterdeck.config.locations import LocalPath
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Key, Keys, ListOf, MapOf, Scalar, Schema, Shape, wrong

_COMMAND = ByForm(
    "a command line, or a list of its words",
    scalar=Scalar("a command line", scalars.words, {"type": "string"}),
    sequence=ListOf(TEXT, "a list of words"),
)
_NAMES = ListOf(SOME_TEXT, "a list of names")
_ANY_COUNT = whole(-1, scalars.LARGEST, "a whole number")


def _matching(pattern: str, expected: str) -> Scalar:
    return Scalar(expected, fleet_scalars.matching(pattern))


def _namespace(expected: str, *names: str, container: bool = True) -> Scalar:
    return Scalar(expected, scalars.namespace(*names, container=container))


def _files(long: Keys, what: str) -> ListOf:
    expected = f"a list of {what}"
    return ListOf(WithPlace(ByForm(f"a name, or {long.expected}", scalar=SOME_TEXT, mapping=long)), expected)


_PATH = LocalPath("the path of a file")
_ENV_FILES = ByForm(
    "the path of a file, or a list of files",
    scalar=WithPlace(_PATH),
    sequence=ListOf(
        WithPlace(ByForm("a path, or a mapping (path, required, format)", scalar=_PATH, mapping=parts.ENV_FILE)),
        "a list of files",
    ),
)
_LABEL_FILES = ByForm(
    "the path of a file, or a list of files",
    scalar=WithPlace(_PATH),
    sequence=ListOf(WithPlace(_PATH), "a list of files"),
)
_ENVIRONMENT = Pairs("a mapping or a list of variables", scalars.variable)
_REFUSED = {
    "attach": "is for `docker compose up` only",
    "cpu_count": WINDOWS,
    "cpu_percent": WINDOWS,
    "cpu_rt_period": LATER,
    "cpu_rt_runtime": LATER,
    "credential_spec": WINDOWS,
    "depends_on": "can't be kept: services are rolled out each on its own",
    "develop": "is for development only",
    "extends": "is not supported: write the service out, or merge it in with a YAML anchor",
    "external_links": "is not supported: use networks and their aliases",
    "isolation": WINDOWS,
    "links": "is not supported: use networks and their aliases",
    "models": LATER,
    "post_start": "is not supported: use the fleet file's `hooks`",
    "pre_stop": "is not supported: use the fleet file's `hooks`",
    "profiles": "can't be kept: the fleet file's environments say where a service is",
    "provider": "is not a container",
    "pull_policy": "can't be kept: the image of a release is fetched by its digest",
    "use_api_socket": LATER,
    "volumes_from": "is not supported: name the volumes",
}
IMAGE = {
    "image": "is said by the fleet file's `artifact`",
    "build": "is not done here: the fleet file's `artifact` names the image",
}


class HostAddresses(Shape, frozen=True):
    """Names with one address or several."""

    expected: str = "a mapping of names to addresses"

    def read(self, node: Node, problems: Problems) -> tuple[str, ...] | None:
        found: list[str] = []
        for key, value in node.entries.values() if isinstance(node, MappingNode) else ():
            for one in value.items if isinstance(value, SequenceNode) else (value,):
                text = f"{key.text}={one.text}" if isinstance(one, ScalarNode) and not one.is_null else ""
                try:
                    found.append(scalars.extra_host(text))
                except Unfit as unfit:
                    wrong(one, "an IP address or host-gateway", problems, unfit)
        return tuple(found)

    def schema(self, _definitions: dict[str, Schema], /) -> Schema:
        return {"type": "object", "additionalProperties": {"type": ["string", "array"], "items": {"type": "string"}}}


def _service_keys(*, in_place: bool) -> tuple[Key, ...]:
    attachment = declarations.ATTACHMENT_IN_PLACE if in_place else declarations.ATTACHMENT
    networks: Shape = ByForm(
        "a list of networks, or a mapping of them",
        sequence=ListOf(WithPlace(_matching(scalars.NAME, "the name of a network")), "a list of networks"),
        mapping=NamedMap(attachment, "a mapping of networks"),
    )
    config = Keys(
        "a mounted config in place" if in_place else "a mounted config",
        (*parts.MOUNTED_FILE, *(declarations.CONFIG_SOURCE if in_place else ())),
        compose=True,
    )
    secret = Keys("a mounted secret in place" if in_place else "a mounted secret", parts.MOUNTED_FILE, compose=True)
    return (
        Key("annotations", parts.LABELS, "Annotations for the runtime."),
        Key("blkio_config", parts.BLKIO, "Its share of the disks."),
        Key("cap_add", _NAMES, "Capabilities that it gets."),
        Key("cap_drop", _NAMES, "Capabilities that it loses."),
        Key("cgroup", _namespace("`host` or `private`", "host", "private", container=False), "Its cgroup namespace."),
        Key("cgroup_parent", SOME_TEXT, "The cgroup above its own."),
        Key("command", _COMMAND, "The command, instead of the image's; text is split as a shell splits it."),
        Key("configs", _files(config, "configs"), "Files that become part of each release."),
        Key(
            "container_name",
            _matching(scalars.RESOURCE, "a name as an engine takes it: letters, digits, `_`, `.`, `-`"),
            "The running container's name. Without it: `<environment>-<service>`.",
        ),
        Key("cpu_period", whole(0, 1_000_000, "microseconds"), "The scheduler's period, in microseconds."),
        Key("cpu_quota", _ANY_COUNT, "Its time in each period, in microseconds."),
        Key("cpu_shares", whole(0, 262_144, "a whole number to 262144"), "Its share of the CPUs when they are busy."),
        Key("cpus", parts.CPUS, "The CPUs that it may use."),
        Key("cpuset", _matching(r"[0-9]+([-,][0-9]+)*", "CPUs such as 0-3 or 0,1"), "The CPUs it may run on."),
        Key("deploy", DEPLOY, "Resources, the restart policy, and how many tasks of it run where on a swarm."),
        Key("device_cgroup_rules", _NAMES, "Rules for devices."),
        Key("devices", ListOf(parts.DEVICE, "a list of devices"), "Devices of the hosts."),
        Key(
            "dns",
            one_or_many(Scalar("an IP address", scalars.address), "an address or a list of them"),
            "Name servers.",
        ),
        Key("dns_opt", _NAMES, "Options for looking names up."),
        Key("dns_search", one_or_many(SOME_TEXT, "a domain or a list of them"), "Domains to look names up in."),
        Key("domainname", SOME_TEXT, "Its domain."),
        Key("entrypoint", _COMMAND, "The entrypoint, instead of the image's; text is split as a shell splits it."),
        Key("env_file", _ENV_FILES, "Files with variables; `environment`, then the fleet file's `env` come over them."),
        Key("environment", _ENVIRONMENT, "Variables; those of the fleet file's `env` come over them."),
        Key("expose", ListOf(EXPOSED, "a list of ports"), "Ports that other containers may use."),
        Key(
            "extra_hosts",
            ByForm(
                "a list such as [db:10.0.0.5], or a mapping of names to addresses",
                sequence=ListOf(Scalar("a host such as db:10.0.0.5", scalars.extra_host), "a list of hosts"),
                mapping=HostAddresses(),
            ),
            "Lines for its /etc/hosts.",
        ),
        Key("gpus", parts.GPUS, "GPUs."),
        Key("group_add", _NAMES, "Further groups of its user."),
        Key("healthcheck", parts.HEALTHCHECK, "How the engine knows that it is well."),
        Key("hostname", SOME_TEXT, "Its host name."),
        Key("init", BOOLEAN, "Whether a small init passes signals on and reaps."),
        Key(
            "ipc",
            _namespace(
                "`host`, `none`, `private`, `shareable` or container:NAME", "host", "none", "private", "shareable"
            ),
            "Its IPC namespace.",
        ),
        Key("label_file", _LABEL_FILES, "Files with labels; `labels` come over them."),
        Key("labels", parts.LABELS, "Labels."),
        Key("logging", parts.LOGGING, "Where the engine puts its logs."),
        Key(
            "mac_address",
            _matching(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}", "an address such as 02:42:ac:11:00:02"),
            "Its address in the network.",
        ),
        Key("mem_limit", SIZE, "The memory that it may use."),
        Key("mem_reservation", SIZE, "The memory that is its own when there is little."),
        Key("mem_swappiness", whole(0, 100, "a percentage from 0 to 100"), "How readily its memory is swapped out."),
        Key(
            "memswap_limit",
            Scalar("a size such as 2g, or -1", scalars.size_or_unlimited, {"type": ["string", "integer"]}),
            "Memory and swap together; -1 for no limit.",
        ),
        Key(
            "network_mode",
            _namespace("`host`, `none`, `bridge` or container:NAME", "host", "none", "bridge"),
            "The host's network, none, the engine's default, or another container's, instead of `networks`.",
        ),
        Key("networks", networks, "Its networks. Without them: the project's default network."),
        Key("oom_kill_disable", BOOLEAN, "Whether it is spared when memory runs out.", default="false"),
        Key("oom_score_adj", whole(-1000, 1000, "a whole number from -1000 to 1000"), "How readily it is killed then."),
        Key("pid", _namespace("`host` or container:NAME", "host"), "Its PID namespace."),
        Key("pids_limit", parts.PIDS, "How many processes it may have."),
        Key("platform", SOME_TEXT, "The platform of the image, such as linux/amd64."),
        Key("ports", ListOf(PORT, "a list of ports"), "Ports that are published on the hosts."),
        Key("privileged", BOOLEAN, "Whether it may do everything on the hosts.", default="false"),
        Key("read_only", BOOLEAN, "Whether its own files can't be changed.", default="false"),
        Key(
            "restart",
            _matching(scalars.RESTART, "`no`, `always`, `unless-stopped` or `on-failure[:times]`"),
            "When the engine starts it again.",
            default="no",
        ),
        Key("runtime", SOME_TEXT, "The engine's runtime for it."),
        Key("scale", REPLICAS, "How many tasks a swarm runs, as `deploy.replicas`."),
        Key("secrets", _files(secret, "secrets"), "Secrets that it gets as files instead of as variables."),
        Key(
            "security_opt",
            ListOf(Scalar("an option such as no-new-privileges:true", scalars.security_option), "a list of options"),
            "Options for the kernel's protections; no profiles that lie on this machine.",
        ),
        Key("shm_size", SIZE, "The size of its /dev/shm."),
        Key("stdin_open", BOOLEAN, "Whether its standard input is open.", default="false"),
        Key("stop_grace_period", parts.DURATION, "How long it may take to stop.", default="10s"),
        Key("stop_signal", _matching(r"[A-Z0-9+-]{1,16}", "a signal such as SIGTERM"), "The signal that stops it."),
        Key("storage_opt", parts.OPTIONS, "Options of the storage driver."),
        Key("sysctls", Pairs("a mapping or a list of kernel settings", bare=False), "Kernel settings."),
        Key(
            "tmpfs",
            one_or_many(TMPFS, "a path or a list of paths"),
            "File systems in memory; of options, size and mode.",
        ),
        Key("tty", BOOLEAN, "Whether it has a terminal.", default="false"),
        Key(
            "ulimits",
            MapOf(
                parts.ULIMIT, "a mapping of names to limits", _matching(r"[a-z]+", "the name of a limit such as nofile")
            ),
            "Limits of its processes.",
        ),
        Key("user", SOME_TEXT, "The user that it runs as."),
        Key("userns_mode", _namespace("`host`", "host", container=False), "Its user namespace."),
        Key("uts", _namespace("`host`", "host", container=False), "Its UTS namespace."),
        Key(
            "volumes",
            ListOf(MOUNT_IN_PLACE if in_place else MOUNT, "a list of mounts"),
            "What is mounted: volumes, directories of the hosts by their absolute path, tmpfs.",
        ),
        Key("working_dir", SOME_TEXT, "The directory that its command starts in."),
    )


SERVICE = Keys("a compose service", _service_keys(in_place=False), refused={**_REFUSED, **IMAGE}, compose=True)
IN_PLACE = Keys("a container", _service_keys(in_place=True), refused={**_REFUSED, **IMAGE}, compose=True)
TOP_LEVEL = ("name", "version", "services", "networks", "volumes", "configs", "secrets")
TOP_LEVEL_REFUSED = {
    "include": "is not supported: name the file that holds the service",
    "models": LATER,
}
