"""A release's container as a Swarm takes it at ``POST /services/create``, as ``docker stack deploy`` would send it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quarterdeck.backends.hosts.docker.spec import Body, api_number, healthcheck, limits
from quarterdeck.backends.hosts.swarm.looking import STOPPED
from quarterdeck.config.container import ContainerFile, ContainerSpec, Deploy, Mount, Pace, PublishedPort, SecretFile

_SECOND: Final = 1_000_000_000  # nanoseconds
HOLD: Final = 24 * 3600.0  # seconds: Swarm waits so long between two parts of an update, unless it is told to go on
MONITOR: Final = (
    5.0  # seconds after its start in which a task's end counts as a failure of the update, where nothing else was said
)

Reference = tuple[str, str]
"""The id and the name of a config, or of a secret."""


def deploy_of(spec: ContainerSpec) -> Deploy:
    return spec.deploy or Deploy()


def task_template(
    spec: ContainerSpec,
    *,
    image: str,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    networks: Mapping[str, str],
    api_version: str,
    configs: Sequence[tuple[Reference, ContainerFile]] = (),
    secrets: Sequence[tuple[Reference, SecretFile]] = (),
) -> Body:
    """What makes a task. Two of the same are the same to Swarm, so nothing in it may change but with the release. ``networks``: ids by
    name."""
    deploy = deploy_of(spec)
    container: Body = {
        "Image": image,
        "Labels": dict(labels),
        "Env": [f"{name}={value}" for name, value in sorted(env.items())],
        "Hostname": spec.hostname,
        "Dir": spec.working_dir,
        "User": spec.user,
        "Groups": list(spec.group_add),
        "TTY": spec.tty,
        "OpenStdin": spec.stdin_open,
        "ReadOnly": spec.read_only,
        "Mounts": [_mount(one, spec) for one in spec.mounts],
        "StopGracePeriod": round(spec.stop_grace_period * _SECOND),
        "Hosts": [_host(one) for one in spec.extra_hosts],
        "DNSConfig": {"Nameservers": list(spec.dns), "Search": list(spec.dns_search), "Options": list(spec.dns_opt)},
        "Configs": [_file("ConfigID", "ConfigName", *one) for one in configs],
        "Secrets": [_file("SecretID", "SecretName", *one) for one in secrets],
        "Sysctls": dict(spec.sysctls),
        "CapabilityAdd": list(spec.cap_add),
        "CapabilityDrop": list(spec.cap_drop),
        "Ulimits": [
            {"Name": name, "Soft": one.soft, "Hard": one.hard} for name, one in sorted(spec.limits.ulimits.items())
        ],
    }
    if spec.command is not None:
        container["Args"] = list(spec.command)
    if spec.entrypoint is not None:
        container["Command"] = list(spec.entrypoint)
    if spec.init is not None:
        container["Init"] = spec.init
    if spec.stop_signal:
        container["StopSignal"] = spec.stop_signal
    if spec.healthcheck is not None:
        container["Healthcheck"] = healthcheck(spec.healthcheck, api_number(api_version))
    template: Body = {
        "ContainerSpec": container,
        "Resources": _resources(spec, deploy),
        "RestartPolicy": _restart(deploy),
        "Placement": _placement(spec, deploy),
        "Networks": _networks(spec, networks),
        "ForceUpdate": 0,
    }
    if spec.logging is not None:
        template["LogDriver"] = {"Name": spec.logging.driver or "json-file", "Options": dict(spec.logging.options)}
    return template


def service(
    name: str,
    labels: Mapping[str, str],
    template: Mapping[str, Any],
    mode: Mapping[str, Any],
    endpoint: Body,
    back: Mapping[str, Any],
) -> Body:
    """``back``: of Swarm's own way back, which only a person asks for."""
    return {
        "Name": name,
        "Labels": dict(labels),
        "TaskTemplate": template,
        "Mode": mode,
        "UpdateConfig": pace(None, ""),
        "RollbackConfig": back,
        "EndpointSpec": endpoint,
    }


def mode(deploy: Deploy) -> Body:
    if deploy.mode == "global":
        return {"Global": {}}
    return {"Replicated": {"Replicas": deploy.replicas}}


def way_back(spec: ContainerSpec) -> Body:
    """Of ``docker service rollback``, as Compose's ``rollback_config`` says."""
    deploy = deploy_of(spec)
    return pace(deploy.rollback, order_back(spec))


NONE_RUNS: Final[Mapping[str, Any]] = {"Replicated": {"Replicas": 0}}


def stopped(template: Body) -> Body:
    """Of a global service, so that it has no task anywhere."""
    placement: Mapping[str, Any] = template.get("Placement") or {}
    constraints = [*(one for one in placement.get("Constraints") or () if one != STOPPED), STOPPED]
    return {**template, "Placement": {**placement, "Constraints": constraints}}


def endpoint(spec: ContainerSpec, *, published: bool = True) -> Body:
    """Without ``published`` no port: of a service that waits, so that it takes nobody's."""
    deploy = deploy_of(spec)
    body: Body = {"Mode": deploy.endpoint_mode or "vip"}
    if published and spec.ports:
        body["Ports"] = [_port(one) for one in spec.ports]
    return body


def pace(given: Pace | None, order: str, *, parallelism: int | None = None, delay: float | None = None) -> Body:
    """Of an update, or of Swarm's own way back. A failure pauses it: to take something back is Quarterdeck's decision."""
    pace = given or Pace()
    return {
        "Parallelism": pace.parallelism if parallelism is None else parallelism,
        "Delay": round((pace.delay if delay is None else delay) * _SECOND),
        "FailureAction": "pause",
        "Monitor": round((MONITOR if pace.monitor is None else pace.monitor) * _SECOND),
        "MaxFailureRatio": pace.max_failure_ratio,
        "Order": order or pace.order or "stop-first",
    }


def said_order(spec: ContainerSpec, way: Pace | None) -> str:
    """Which of two tasks goes first, as the fleet file says; empty: it does not."""
    return (way.order if way is not None else "") or spec.order


def order_of(spec: ContainerSpec, way: Pace | None) -> str:
    """A new task starts before the old one stops, unless something was said, or both would want the same port of a node."""
    if said := said_order(spec, way):
        return said
    return "stop-first" if any(port.mode == "host" and port.published for port in spec.ports) else "start-first"


def order_back(spec: ContainerSpec) -> str:
    """As ``rollback_config`` says, and where it says nothing of it as ``update_config`` does."""
    deploy = deploy_of(spec)
    said = deploy.rollback is not None and deploy.rollback.order
    return order_of(spec, deploy.rollback if said else deploy.update)


def _port(port: PublishedPort) -> Body:
    body: Body = {"Protocol": port.protocol, "TargetPort": port.target, "PublishMode": port.mode or "ingress"}
    if port.published:
        body["PublishedPort"] = int(port.published)
    return body


def _resources(spec: ContainerSpec, deploy: Deploy) -> Body:
    given = limits(spec.limits)
    most = {"NanoCPUs": given.get("NanoCpus"), "MemoryBytes": given.get("Memory"), "Pids": given.get("PidsLimit")}
    reserved_memory = deploy.reserved_memory or spec.limits.memory_reservation
    least = {
        "NanoCPUs": None if deploy.reserved_cpus is None else round(deploy.reserved_cpus * _SECOND),
        "MemoryBytes": reserved_memory,
    }
    return {
        "Limits": {name: value for name, value in most.items() if value},
        "Reservations": {name: value for name, value in least.items() if value},
    }


def _restart(deploy: Deploy) -> Body:
    given = deploy.restart
    if given is None:
        return {"Condition": "any", "Delay": 5 * _SECOND, "MaxAttempts": 0}
    body: Body = {"Condition": given.condition or "any"}
    if given.delay is not None:
        body["Delay"] = round(given.delay * _SECOND)
    if given.max_attempts is not None:
        body["MaxAttempts"] = given.max_attempts
    if given.window is not None:
        body["Window"] = round(given.window * _SECOND)
    return body


def _placement(spec: ContainerSpec, deploy: Deploy) -> Body:
    body: Body = {
        "Constraints": list(deploy.constraints),
        "Preferences": [{"Spread": {"SpreadDescriptor": one}} for one in deploy.preferences],
    }
    if deploy.max_replicas_per_node:
        body["MaxReplicas"] = deploy.max_replicas_per_node
    if spec.platform:
        system, _, rest = spec.platform.partition("/")
        body["Platforms"] = [{"OS": system, "Architecture": rest.partition("/")[0]}]
    return body


def _networks(spec: ContainerSpec, ids: Mapping[str, str]) -> list[Body]:
    """Networks of the node itself, ``host`` among them, are given by their names as well."""
    if spec.network_mode:
        return [{"Target": spec.network_mode}] if spec.network_mode in ("host", "none") else []
    ordered = sorted(spec.networks, key=lambda network: (-network.priority, network.name))
    return [{"Target": ids[one.name], "Aliases": list(one.aliases)} for one in ordered]


def _mount(mount: Mount, spec: ContainerSpec) -> Body:
    body: Body = {"Type": mount.kind, "Target": mount.target, "ReadOnly": mount.read_only}
    if mount.source:
        body["Source"] = mount.source
    if mount.kind == "bind" and mount.propagation:
        body["BindOptions"] = {"Propagation": mount.propagation}
    if mount.kind == "volume":
        made = next((one for one in spec.volumes if one.name == mount.source and not one.external), None)
        options: Body = {"NoCopy": mount.nocopy} if mount.nocopy else {}
        if made is not None:
            options["Labels"] = dict(made.labels)
            if made.driver:
                options["DriverConfig"] = {"Name": made.driver, "Options": dict(made.driver_opts)}
        if options:
            body["VolumeOptions"] = options
    if mount.kind == "tmpfs":
        given = {"SizeBytes": mount.size, "Mode": mount.mode}
        body["TmpfsOptions"] = {name: value for name, value in given.items() if value is not None}
    return body


def _host(entry: str) -> str:
    """``name:address`` as a line of /etc/hosts."""
    name, _, address = entry.partition(":")
    return f"{address} {name}"


def _file(id_key: str, name_key: str, reference: Reference, file: ContainerFile | SecretFile) -> Body:
    placed = {"Name": file.target, "UID": str(file.uid), "GID": str(file.gid), "Mode": file.mode}
    return {"File": placed, id_key: reference[0], name_key: reference[1]}
