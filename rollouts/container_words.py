"""A container's description in the words of the Compose specification, for people: what differs between two, and the short of one. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from quarterdeck.config.container import (
    ContainerSpec,
    Deploy,
    Device,
    Healthcheck,
    Limits,
    Mount,
    Network,
    Pace,
    PublishedPort,
    Ulimit,
    Volume,
)
from quarterdeck.config.release import to_json

_NEW_NAMES = {"order": "deploy.update_config.order", "files": "configs"}
_LIMITS = {
    "cpus": "cpus",
    "memory": "mem_limit",
    "memory_reservation": "mem_reservation",
    "memory_swap": "memswap_limit",
    "memory_swappiness": "mem_swappiness",
    "pids": "pids_limit",
}
_UNITS = (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10))
_BYTES = frozenset({"memory", "memory_reservation", "memory_swap", "shm_size"})
_NO_KEYS = frozenset(
    {"project", "service", "limits", "volumes", "deploy"}
)  # not of the service itself, or told elsewhere
_DEPLOY = {
    "mode": "deploy.mode",
    "replicas": "deploy.replicas",
    "endpoint_mode": "deploy.endpoint_mode",
    "constraints": "deploy.placement.constraints",
    "preferences": "deploy.placement.preferences",
    "max_replicas_per_node": "deploy.placement.max_replicas_per_node",
    "reserved_cpus": "deploy.resources.reservations.cpus",
    "reserved_memory": "deploy.resources.reservations.memory",
}


def compose_words(spec: ContainerSpec) -> dict[str, str]:
    """``{"ports[0]": "8080:80", "mem_limit": "512m", "healthcheck.interval": "2s", …}``: only what is set."""
    plain = ContainerSpec(spec.project, spec.service)
    found: dict[str, str] = {}
    for key in ContainerSpec.__struct_fields__:
        value = getattr(spec, key)
        if key in _NO_KEYS or value == "" or (value == getattr(plain, key) and key != "restart"):
            continue
        name = _NEW_NAMES.get(key, "volumes" if key == "mounts" else key)
        found |= _written(name, value)
    found |= _limits(spec.limits)
    if spec.deploy is not None:
        found |= _deploy(spec.deploy)
    for volume in spec.volumes:
        found |= _outside(f"volumes.{volume.name}", volume)
    return found


def _written(name: str, value: Any) -> dict[str, str]:
    """One key of the service. What has a short syntax is written in it."""
    match value:
        case bool():
            return {name: "true" if value else "false"}
        case float():
            return {name: _seconds(value)}
        case Healthcheck():
            return _healthcheck(name, value)
        case tuple() if name in ("command", "entrypoint"):
            return {name: json.dumps(list(value), ensure_ascii=False)}
        case tuple():
            found: dict[str, str] = {}
            for at, one in enumerate(value):
                found |= _member(f"{name}[{at}]", one)
            return found
        case Mapping():
            return {f"{name}.{key}": str(one) for key, one in value.items()}
        case None:
            return {}
        case str() | int():
            return {name: str(value)}
        case _:
            return _flat(name, to_json(value))


def _member(name: str, one: Any) -> dict[str, str]:
    match one:
        case PublishedPort():
            return {name: port_words(one)}
        case Mount():
            return {name: _mount(one)}
        case Network():
            return {f"networks.{one.name}": ", ".join(_network(one)) or "joined"}
        case Device():
            return {name: f"{one.source}:{one.target}:{one.permissions}"}
        case str():
            return {name: one}
        case _:
            body = to_json(one)
            if isinstance(body, dict) and "content" in body:  # a file of `configs`: that it differs is enough
                body["content"] = f"sha256:{hashlib.sha256(str(body['content']).encode()).hexdigest()[:12]}"
                body["mode"] = f"{int(body['mode']):o}"
            return _flat(name, body)


def port_words(port: PublishedPort) -> str:
    """``8080:80``, ``127.0.0.1:8080:80/udp``, ``80`` for any free one; ``8080:80 mode=host`` on a swarm."""
    published = f"{port.published}:" if port.published or port.host_ip else ""
    address = (f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip) + ":" if port.host_ip else ""
    protocol = f"/{port.protocol}" if port.protocol != "tcp" else ""
    return f"{address}{published}{port.target}{protocol}" + (f" mode={port.mode}" if port.mode else "")


def _mount(mount: Mount) -> str:
    options = [
        *(["ro"] if mount.read_only else []),
        *([mount.propagation] if mount.propagation else []),
        *([mount.selinux] if mount.selinux else []),
        *(["nocopy"] if mount.nocopy else []),
        *([f"subpath={mount.subpath}"] if mount.subpath else []),
        *([f"size={_size(mount.size)}"] if mount.size is not None else []),
        *([f"mode={mount.mode:o}"] if mount.mode is not None else []),
        *([] if mount.create_host_path else ["create_host_path=false"]),
    ]
    source = "tmpfs" if mount.kind == "tmpfs" else mount.source
    return ":".join([*([source] if source else []), mount.target, *([",".join(options)] if options else [])])


def _network(network: Network) -> list[str]:
    found = [f"aliases {' '.join(network.aliases)}"] if network.aliases else []
    found += ["external"] if network.external else []
    for key in ("driver", "ipv4_address", "ipv6_address"):
        if getattr(network, key):
            found.append(f"{key} {getattr(network, key)}")
    found += ["internal"] if network.internal else []
    found += ["attachable"] if network.attachable else []
    found += [f"subnet {subnet}" for subnet in network.subnets if subnet]
    found += [f"gateway {gateway}" for gateway in network.gateways if gateway]
    found += [f"priority {network.priority}"] if network.priority else []
    return found + [f"{name}={value}" for name, value in sorted(network.driver_opts.items())]


def _healthcheck(name: str, check: Healthcheck) -> dict[str, str]:
    found = {f"{name}.test": json.dumps(list(check.test), ensure_ascii=False)} if check.test else {}
    for key in ("interval", "timeout", "start_period", "start_interval"):
        seconds = getattr(check, key)
        if seconds is not None:
            found[f"{name}.{key}"] = _seconds(seconds)
    if check.retries is not None:
        found[f"{name}.retries"] = str(check.retries)
    return found


def _limits(limits: Limits) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in Limits.__struct_fields__:
        value = getattr(limits, key)
        if value is None or value is False or value == "" or key == "ulimits":
            continue
        name = "blkio_config.weight" if key == "blkio_weight" else _LIMITS.get(key, key)
        found[name] = (
            "true"
            if value is True
            else _size(value)
            if key in _BYTES
            else f"{value:g}"
            if isinstance(value, float)
            else str(value)
        )
    for name, limit in limits.ulimits.items():
        found[f"ulimits.{name}"] = _ulimit(limit)
    return found


def _deploy(deploy: Deploy) -> dict[str, str]:
    """What only a swarm is told: what is not as it is without a word."""
    plain = Deploy()
    found: dict[str, str] = {}
    for key, name in _DEPLOY.items():
        value = getattr(deploy, key)
        if value != getattr(plain, key):
            found |= {name: _size(value)} if key == "reserved_memory" else _flat(name, value)
    found |= {f"deploy.labels.{name}": value for name, value in deploy.labels.items()}
    if deploy.restart is not None:
        found["deploy.restart_policy.condition"] = deploy.restart.condition
        for key in ("delay", "window"):
            if getattr(deploy.restart, key) is not None:
                found[f"deploy.restart_policy.{key}"] = _seconds(getattr(deploy.restart, key))
        if deploy.restart.max_attempts is not None:
            found["deploy.restart_policy.max_attempts"] = str(deploy.restart.max_attempts)
    for name, pace in (("update_config", deploy.update), ("rollback_config", deploy.rollback)):
        found |= {} if pace is None else _pace(f"deploy.{name}", pace)
    return found


def _pace(name: str, pace: Pace) -> dict[str, str]:
    found = {f"{name}.parallelism": str(pace.parallelism)}
    for key in ("delay", "monitor"):
        if getattr(pace, key) != getattr(Pace(), key):
            found[f"{name}.{key}"] = _seconds(getattr(pace, key))
    if pace.max_failure_ratio:
        found[f"{name}.max_failure_ratio"] = f"{pace.max_failure_ratio:g}"
    for key in ("order", "failure_action"):
        if getattr(pace, key):
            found[f"{name}.{key}"] = getattr(pace, key)
    return found


def _ulimit(limit: Ulimit) -> str:
    return str(limit.soft) if limit.soft == limit.hard else f"{limit.soft}:{limit.hard}"


def _outside(name: str, volume: Volume) -> dict[str, str]:
    """What is said of a volume beside that it is mounted."""
    words = [
        *(["external"] if volume.external else []),
        *([f"driver {volume.driver}"] if volume.driver else []),
        *(f"{key}={value}" for key, value in sorted(volume.driver_opts.items())),
    ]
    return {name: ", ".join(words)} if words else {}


def _flat(name: str, value: Any) -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for key, one in value.items():
            found |= _flat(f"{name}.{key}", one)
        return found
    if isinstance(value, list | tuple):
        return {name: ", ".join(str(one) for one in value)} if value else {}
    return {} if value is None or value == "" else {name: str(value)}


def _seconds(value: float) -> str:
    return f"{value:g}s"


def _size(value: int) -> str:
    """``512m``, as Compose has it; exact."""
    for unit, size in _UNITS:
        if value > 0 and value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def in_short(spec: ContainerSpec, image: str, target: str) -> str:
    """``image registry/app  container production-web  ports 8080:80  restart always``; on a swarm ``… service … 3 replicas …``."""
    name = spec.container_name or target.replace("/", "-")
    ports = " ".join(port_words(port) for port in spec.ports) or ("host's" if spec.network_mode == "host" else "none")
    if spec.restart:
        return f"image {image}  container {name}  ports {ports}  restart {spec.restart}"
    deploy = spec.deploy or Deploy()
    runs = "one on each node" if deploy.mode == "global" else f"{deploy.replicas} replica{'s' * (deploy.replicas != 1)}"
    restart = deploy.restart.condition if deploy.restart is not None else "any"
    return f"image {image}  service {name}  {runs}  ports {ports}  restart {restart}"
