"""Makes the normal form of a container out of a Compose service that was read, and of what surrounds it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from quarterdeck.config.compose import refusals, scalars
from quarterdeck.config.compose.deploy import deploy_of
from quarterdeck.config.compose.files import Files
from quarterdeck.config.compose.limits import limits_of, order_of, reserved_devices, restart_of
from quarterdeck.config.compose.mounts import external_name, long_mount
from quarterdeck.config.compose.networks import networks_of
from quarterdeck.config.compose.project import Surroundings
from quarterdeck.config.compose.refusals import RunsOn
from quarterdeck.config.compose.shapes import Placed
from quarterdeck.config.compose.variables import read_variables
from quarterdeck.config.container import ContainerSpec, Mount, PublishedPort, Volume
from quarterdeck.config.model import SecretReference
from quarterdeck.config.nodes import MappingNode, Node, said
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Fields, wrong

# Keys whose value is the normal form already, and is called the same there.
AS_THEY_ARE = (
    "annotations", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "command", "container_name", "device_cgroup_rules",
    "devices", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "extra_hosts", "group_add", "healthcheck",
    "hostname", "init", "ipc", "logging", "mac_address", "network_mode", "pid", "platform", "privileged", "read_only",
    "runtime", "security_opt", "stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "sysctls", "tty", "user",
    "userns_mode", "uts", "working_dir",
)  # fmt: skip


class Made(msgspec.Struct, frozen=True):
    """``env`` and ``secrets`` are what the service itself says; the fleet file's own come over them. ``needed``: the secrets
    of the fleet file that it mounts, with the places where it says so; ``declared``: the names of the compose file's own."""

    spec: ContainerSpec
    env: Mapping[str, str]
    secrets: Mapping[str, SecretReference]
    needed: Mapping[str, Node]
    declared: tuple[str, ...]
    fields: Fields


def make(
    service: Fields, name: str, around: Surroundings, problems: Problems, *, runs_on: RunsOn | None = RunsOn.ENGINES
) -> Made:
    """The container of the service ``name``. What is wrong is added to ``problems``; ``runs_on`` None: so are its hosts, and what can't be
    had on them is not asked."""
    values = service.values
    swarm = runs_on is RunsOn.SWARMS
    if runs_on is not None:
        refusals.check(service, runs_on, pointed=around.environment is not None, problems=problems)
    found: dict[str, Any] = {key: values[key] for key in AS_THEY_ARE if key in values}
    mounts = _Mounts(around, problems)
    mounts.read(service)
    files = Files(around, problems)
    files.read(service, mounts.targets)
    labels = dict(_labels(service, around, problems))
    labels.update(values.get("labels", {}))
    for key, pairs in (("labels", labels), ("annotations", found.get("annotations", {}))):
        found[key] = {one: text or "" for one, text in pairs.items()}
    ports: tuple[PublishedPort, ...] = _unique(values.get("ports", ()))
    limits = limits_of(service, problems)
    if swarm:  # what is reserved decides on which node a task runs there, and binds it to nothing
        found["deploy"] = deploy_of(service, problems)
        refusals.check_deploy(service, found["deploy"], ports, problems)
        limits = msgspec.structs.replace(limits, memory_reservation=None)
    else:
        ports = _unique((tuple(msgspec.structs.replace(port, mode="") for port in ports),))
    spec = ContainerSpec(
        project=around.name,
        service=name,
        restart="" if swarm else restart_of(service, problems),
        ports=ports,
        expose=_unique(values.get("expose", ())),
        mounts=tuple(mounts.mounts),
        volumes=tuple(mounts.volumes.values()),
        networks=networks_of(service, name, around, problems, runs_on),
        files=tuple(files.files),
        secrets=tuple(files.secrets),
        limits=limits,
        gpus=(*values.get("gpus", ()), *reserved_devices(service)),
        order=order_of(service),
        **found,
    )
    _check_network_mode(service, spec, problems)
    return Made(
        spec,
        _environment(service, around, problems),
        files.references,
        files.needed,
        tuple(around.known("secrets") or ()),
        service,
    )


def _unique(groups: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    """The members of all groups in their order, each once."""
    return tuple(dict.fromkeys(member for group in groups for member in group))


def _check_network_mode(service: Fields, spec: ContainerSpec, problems: Problems) -> None:
    if not spec.network_mode:
        return
    at = service.node.key("network_mode")
    if "networks" in service.values:
        problems.add(at, "`network_mode` and `networks` can't both say how it is connected; keep one")
    if spec.network_mode != "bridge" and spec.ports:
        problems.add(at, f"no ports can be published with `network_mode: {spec.network_mode}`")


def _environment(service: Fields, around: Surroundings, problems: Problems) -> dict[str, str]:
    """The variables: those of the files, then `environment`. One without a value is that of who runs qd, or is not set."""
    found: dict[str, str] = {}
    for placed, pairs in _from_files(service, "env_file", around, problems):
        for name, value in pairs.items():
            try:
                scalars.variable(name)
            except Unfit as unfit:
                wrong(placed.node, "a file of variables", problems, Unfit(f"`{name}` can't be one. {unfit}"))
                continue
            _set(found, name, value, placed.node, around, problems)
    written = service.node.value("environment")
    for name, value in service.values.get("environment", {}).items():
        _set(found, name, value, written, around, problems)
    return found


def _set(
    found: dict[str, str], name: str, value: str | None, at: Node, around: Surroundings, problems: Problems
) -> None:
    if value is None and around.environment is None:
        problems.add(
            at, f"`{name}` has no value; a fleet file is the same for everybody, so write it, or use `secrets`"
        )
    elif value is None and around.environment is not None:
        value = around.environment.lookup(name)
        if value is None:
            found.pop(name, None)
    if value is not None:
        found[name] = value


def _labels(service: Fields, around: Surroundings, problems: Problems) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for _, pairs in _from_files(service, "label_file", around, problems):
        found.update(pairs)
    return found


def _from_files(
    service: Fields, key: str, around: Surroundings, problems: Problems
) -> list[tuple[Placed, dict[str, str | None]]]:
    listed = service.values.get(key, ())
    read = []
    for placed in (listed,) if isinstance(listed, Placed) else listed:
        options: Mapping[str, Any] = placed.value.values if isinstance(placed.value, Fields) else {"path": placed.value}
        path = options.get("path")
        if path is None or (not options.get("required", True) and not path.exists()):
            continue
        lookup = around.environment.lookup if around.environment is not None else _nothing
        raw = options.get("format") == "raw"
        at = placed.node.value("path") if isinstance(placed.node, MappingNode) else placed.node
        read.append((placed, read_variables(path, at, problems, lookup, raw=raw)))
    return read


def _nothing(_name: str) -> None:
    """In place, no variable of this machine is looked at."""


class _Mounts(msgspec.Struct):
    around: Surroundings
    problems: Problems
    mounts: list[Mount] = msgspec.field(default_factory=list)
    volumes: dict[str, Volume] = msgspec.field(default_factory=dict)
    targets: dict[str, Node] = msgspec.field(default_factory=dict)

    def read(self, service: Fields) -> None:
        for placed in service.values.get("volumes", ()):
            fields = placed.value if isinstance(placed.value, Fields) else None
            mount = placed.value if fields is None else long_mount(fields, self.problems)
            if mount is None:
                continue
            if mount.kind == "volume" and mount.source:
                volume = self._volume(mount.source, fields, placed.node)
                if volume is None:
                    continue
                mount = _renamed(mount, volume.name)
            self._add(mount, placed.node)
        for mount in service.values.get("tmpfs", ()):
            self._add(mount, service.node.value("tmpfs"))

    def _add(self, mount: Mount, at: Node) -> None:
        if mount.target in self.targets:
            self.problems.add(at, f"something else is mounted at {mount.target} already")
        self.targets.setdefault(mount.target, at)
        self.mounts.append(mount)

    def _volume(self, key: str, fields: Fields | None, at: Node) -> Volume | None:
        known = self.around.known("volumes")
        described = self.around.declared("volumes", key) if known is not None else fields
        if known is not None and key not in known:
            near = self.problems.nearest(key, known)
            self.problems.add(at, f"there is no volume `{said(at, key)}` among the file's `volumes`", nearest=near)
            return None
        volume = _volume(key, described, self.around.name, self.problems)
        first = self.volumes.setdefault(volume.name, volume)
        bare = Volume(volume.name)
        if volume not in (first, bare):
            if first != bare:
                self.problems.add(at, f"the volume `{said(at, key)}` is described in two ways")
            self.volumes[volume.name] = volume
        return volume


def _volume(key: str, described: Fields | None, project: str, problems: Problems) -> Volume:
    values: Mapping[str, Any] = described.values if described is not None else {}
    name = values.get("name")
    external = external_name(values, key)
    if external is not None:
        for other in ("driver", "driver_opts", "labels"):
            if described is not None and described.has(other):
                problems.add(described.node.key(other), f"`{other}` says nothing of an external volume")
        return Volume(external, external=True)
    labels = {one: text or "" for one, text in values.get("labels", {}).items()}
    return Volume(name or f"{project}_{key}", False, values.get("driver", ""), values.get("driver_opts", {}), labels)


def _renamed(mount: Mount, name: str) -> Mount:
    return Mount("volume", mount.target, name, read_only=mount.read_only, nocopy=mount.nocopy, subpath=mount.subpath)
