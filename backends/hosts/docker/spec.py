"""A container's description as the engine's API takes it at ``POST /containers/create``, as Docker Compose would send it. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quarterdeck.backends.errors import BackendError
from quarterdeck.config.container import ContainerSpec, Healthcheck, Limits, Mount, Network, PublishedPort

Body = dict[str, Any]
_SECOND: Final = 1_000_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class SecretBind:
    """A file in the host's memory that the container sees at ``target``."""

    source: str  # on the host
    target: str


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """``body`` of the call, and the networks that have to be joined by calls of their own, before the start: engines before API 1.44
    take one at the creation."""

    body: Body
    then_join: tuple[tuple[str, Body], ...] = ()
    platform: str = ""


def create_request(
    host: str,
    spec: ContainerSpec,
    *,
    image: str,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    api_version: str,
    secrets: Sequence[SecretBind] = (),
) -> CreateRequest:
    """Restart policy ``no``: what waits must not be started by an engine that starts; the policy of ``restart_policy`` is set when it
    takes over. Raises ``BackendError`` for what this engine's API can't do."""
    api = api_number(api_version)
    _refuse_what_is_too_new(host, spec, api)
    binds, mounts = _mounts(spec.mounts)
    mounts += [{"Type": "bind", "Source": one.source, "Target": one.target, "ReadOnly": True} for one in secrets]
    host_config: Body = {
        "Binds": binds,
        "Mounts": mounts,
        "PortBindings": port_bindings(spec.ports),
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "GroupAdd": list(spec.group_add),
        "ReadonlyRootfs": spec.read_only,
        "Privileged": spec.privileged,
        "CapAdd": list(spec.cap_add),
        "CapDrop": list(spec.cap_drop),
        "SecurityOpt": list(spec.security_opt),
        "Sysctls": dict(spec.sysctls),
        "StorageOpt": dict(spec.storage_opt),
        "ExtraHosts": list(spec.extra_hosts),
        "Dns": list(spec.dns),
        "DnsSearch": list(spec.dns_search),
        "DnsOptions": list(spec.dns_opt),
        "IpcMode": spec.ipc,
        "PidMode": spec.pid,
        "UTSMode": spec.uts,
        "UsernsMode": spec.userns_mode,
        "CgroupnsMode": spec.cgroup,
        "CgroupParent": spec.cgroup_parent,
        "Runtime": spec.runtime,
        "Devices": [
            {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.permissions}
            for one in spec.devices
        ],
        "DeviceCgroupRules": list(spec.device_cgroup_rules),
        "DeviceRequests": [_device_request(one) for one in spec.gpus],
        **limits(spec.limits),
    }
    if spec.init is not None:
        host_config["Init"] = spec.init
    if spec.annotations:
        host_config["Annotations"] = dict(spec.annotations)
    if spec.logging is not None:
        host_config["LogConfig"] = {"Type": spec.logging.driver, "Config": dict(spec.logging.options)}
    body: Body = {
        "Image": image,
        "Env": [f"{name}={value}" for name, value in sorted(env.items())],
        "Labels": dict(labels),
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Tty": spec.tty,
        "OpenStdin": spec.stdin_open,
        "AttachStdout": True,
        "AttachStderr": True,
        "StopTimeout": math.ceil(spec.stop_grace_period),
        "ExposedPorts": {**{_with_protocol(one): {} for one in spec.expose}, **{_port(one): {} for one in spec.ports}},
    }
    if spec.command is not None:
        body["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        body["Entrypoint"] = list(spec.entrypoint)
    if spec.stop_signal:
        body["StopSignal"] = spec.stop_signal
    if spec.healthcheck is not None:
        body["Healthcheck"] = healthcheck(spec.healthcheck, api)
    joins = _networks(spec, api)
    host_config["NetworkMode"] = spec.network_mode or (joins[0][0] if joins else "bridge")
    if spec.mac_address and api < (1, 44):
        body["MacAddress"] = spec.mac_address
    at_once = joins if api >= (1, 44) else joins[:1]
    if at_once:
        body["NetworkingConfig"] = {"EndpointsConfig": dict(at_once)}
    body["HostConfig"] = host_config
    return CreateRequest(body, tuple(joins[len(at_once) :]), spec.platform)


def api_number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)


def _refuse_what_is_too_new(host: str, spec: ContainerSpec, api: tuple[int, int]) -> None:
    wanted = {
        "a volume's subpath": ((1, 45), any(mount.subpath for mount in spec.mounts)),
        "annotations": ((1, 43), bool(spec.annotations)),
        "a health check's start_interval": ((1, 44), spec.healthcheck is not None and spec.healthcheck.start_interval),
    }
    for words, (least, used) in wanted.items():
        if used and api < least:
            raise BackendError(
                host,
                "make the container",
                f"{words} needs an engine with API {least[0]}.{least[1]}, and this one has {api[0]}.{api[1]}",
                left="Nothing was changed there",
                advice="update the engine, or do without",
            )


def _port(port: PublishedPort) -> str:
    return f"{port.target}/{port.protocol}"


def _with_protocol(port: str) -> str:
    return port if "/" in port else f"{port}/tcp"


def port_bindings(ports: Sequence[PublishedPort]) -> Body:
    found: Body = {}
    for port in ports:
        found.setdefault(_port(port), []).append({"HostIp": port.host_ip, "HostPort": port.published})
    return found


def restart_policy(spec: ContainerSpec) -> Body:
    """``restart`` as the engine takes it, for the container that runs."""
    name, _, count = spec.restart.partition(":")
    return {"Name": name or "no", "MaximumRetryCount": int(count or 0)}


def _mounts(mounts: Sequence[Mount]) -> tuple[list[str], list[Body]]:
    """Legacy binds where the engine is to make the host's directory, or to label it: its newer form does neither."""
    binds: list[str] = []
    found: list[Body] = []
    for mount in mounts:
        if (
            mount.kind == "bind"
            and (mount.create_host_path or mount.selinux)
            and ":" not in mount.source + mount.target
        ):
            options = ["ro" if mount.read_only else "rw", mount.propagation, mount.selinux]
            binds.append(f"{mount.source}:{mount.target}:{','.join(one for one in options if one)}")
            continue
        body: Body = {"Type": mount.kind, "Target": mount.target, "ReadOnly": mount.read_only}
        if mount.source:
            body["Source"] = mount.source
        if mount.kind == "bind" and mount.propagation:
            body["BindOptions"] = {"Propagation": mount.propagation}
        if mount.kind == "volume" and (mount.nocopy or mount.subpath):
            body["VolumeOptions"] = {"NoCopy": mount.nocopy, **({"Subpath": mount.subpath} if mount.subpath else {})}
        if mount.kind == "tmpfs":
            given = {"SizeBytes": mount.size, "Mode": mount.mode}
            body["TmpfsOptions"] = {name: value for name, value in given.items() if value is not None}
        found.append(body)
    return binds, found


def limits(limits: Limits) -> Body:
    given: Body = {
        "NanoCpus": None if limits.cpus is None else round(limits.cpus * _SECOND),
        "CpuShares": limits.cpu_shares,
        "CpuPeriod": limits.cpu_period,
        "CpuQuota": limits.cpu_quota,
        "CpusetCpus": limits.cpuset or None,
        "Memory": limits.memory,
        "MemoryReservation": limits.memory_reservation,
        "MemorySwap": limits.memory_swap,
        "MemorySwappiness": limits.memory_swappiness,
        "PidsLimit": limits.pids,
        "ShmSize": limits.shm_size,
        "OomKillDisable": limits.oom_kill_disable or None,
        "OomScoreAdj": limits.oom_score_adj,
        "BlkioWeight": limits.blkio_weight,
        "Ulimits": [{"Name": name, "Soft": one.soft, "Hard": one.hard} for name, one in sorted(limits.ulimits.items())],
    }
    return {name: value for name, value in given.items() if value is not None}


def _device_request(gpu: Mapping[str, str]) -> Body:
    ids = [one for one in gpu.get("device_ids", "").split(",") if one]
    count = gpu.get("count", "" if ids else "all")
    capabilities = [one for one in gpu.get("capabilities", "").split(",") if one] or ["gpu"]
    body: Body = {"Driver": gpu.get("driver", ""), "Capabilities": [capabilities], "DeviceIDs": ids}
    if count:
        body["Count"] = -1 if count == "all" else int(count)
    return body


def healthcheck(check: Healthcheck, api: tuple[int, int]) -> Body:
    durations = {"Interval": check.interval, "Timeout": check.timeout, "StartPeriod": check.start_period}
    if api >= (1, 44):
        durations["StartInterval"] = check.start_interval
    body: Body = {name: round(value * _SECOND) for name, value in durations.items() if value is not None}
    if check.test:
        body["Test"] = list(check.test)
    if check.retries is not None:
        body["Retries"] = check.retries
    return body


def _networks(spec: ContainerSpec, api: tuple[int, int]) -> list[tuple[str, Body]]:
    """The one of the highest priority first: the engine makes it the container's default route."""
    if spec.network_mode:
        return []
    ordered = sorted(spec.networks, key=lambda network: (-network.priority, network.name))
    found = [(network.name, endpoint(network)) for network in ordered]
    if found and spec.mac_address and api >= (1, 44):
        found[0][1]["MacAddress"] = spec.mac_address
    return found


def endpoint(network: Network, *, with_aliases: bool = True) -> Body:
    """How the container is joined to ``network``. Without aliases nobody is led to it by the service's name."""
    body: Body = {"Aliases": list(network.aliases) if with_aliases else []}
    addresses = {"IPv4Address": network.ipv4_address, "IPv6Address": network.ipv6_address}
    if any(addresses.values()):
        body["IPAMConfig"] = {name: value for name, value in addresses.items() if value}
    return body


def can_run_beside(new: ContainerSpec, old: ContainerSpec) -> str:
    """Empty where a container of ``new`` may run while one of ``old`` does; else why not, in words."""
    for port in new.ports:
        for other in old.ports:
            if port.published and _clash(port, other):
                return f"both publish port {port.published}"
    for spec in (new, old):
        if spec.network_mode == "host" or spec.network_mode.startswith("container:"):
            return f"its network is {spec.network_mode}"
        if spec.mac_address:
            return "it has a fixed MAC address"
        if any(network.ipv4_address or network.ipv6_address for network in spec.networks):
            return "it has a fixed address"
    written = {mount.source for mount in old.mounts if _shared(mount) and not mount.read_only}
    read = {mount.source for mount in old.mounts if _shared(mount)}
    for mount in new.mounts:
        if _shared(mount) and (mount.source in written or (not mount.read_only and mount.source in read)):
            return f"both use {mount.source}"
    return ""


def _shared(mount: Mount) -> bool:
    return mount.kind in ("bind", "volume") and bool(mount.source)


def _clash(one: PublishedPort, other: PublishedPort) -> bool:
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 # compared, not bound to
    same_place = one.host_ip == other.host_ip or one.host_ip in everywhere or other.host_ip in everywhere
    first, last = _range(one.published)
    begin, end = _range(other.published)
    # Of a range the engine takes a free one: two ranges clash only where there is no second port.
    alone = first == last or begin == end or (first, last) != (begin, end)
    return (
        same_place
        and one.protocol == other.protocol
        and bool(other.published)
        and alone
        and first <= end
        and begin <= last
    )


def _range(published: str) -> tuple[int, int]:
    first, _, last = published.partition("-")
    return (int(first or 0), int(last or first or 0))
