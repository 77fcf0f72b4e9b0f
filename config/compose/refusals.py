"""What of a Compose service engines can't do that swarms can, and the other way round. Each is refused where it is written, with what to
do instead; whether the service runs on the one or the other is known only when it meets its hosts."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from quarterdeck.config.compose.shapes import Placed
from quarterdeck.config.container import Deploy, Mount, PublishedPort
from quarterdeck.config.nodes import Entry, MappingNode, Node, ScalarNode, SequenceNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Fields, wrong


class RunsOn(StrEnum):
    """What the hosts of a container are: engines, each with one container of it, or swarms, each with one service."""

    ENGINES = "engines"
    SWARMS = "swarms"


_ONE = "a host has one container of a service; give it more hosts"
_STRATEGY = "is said by the fleet file's `strategy` and `rollback`"
_TIMES = "can't be kept: an engine has its own times"
SWARM = "is for a swarm only"
NOT_ON_ENGINES: Mapping[str, str] = {
    "deploy.endpoint_mode": SWARM,
    "deploy.labels": SWARM,
    "deploy.placement": "is said by the hosts of the fleet file's environments",
    "deploy.resources.reservations.cpus": "can't be kept: an engine reserves no CPUs; use `cpu_shares`",
    "deploy.restart_policy.delay": _TIMES,
    "deploy.restart_policy.window": _TIMES,
    "deploy.rollback_config": "is said by the fleet file's `rollback`",
    "deploy.update_config.delay": _STRATEGY,
    "deploy.update_config.failure_action": _STRATEGY,
    "deploy.update_config.max_failure_ratio": _STRATEGY,
    "deploy.update_config.monitor": _STRATEGY,
    "deploy.update_config.parallelism": _STRATEGY,
    "scale": f"can't be kept: {_ONE}",
}
_ONLY_ON_ENGINES = {
    "deploy.mode": ("replicated", "a host has one container of a service"),
    "deploy.replicas": ("1", _ONE),
}

_OF_THE_NODES = "can't be had on a swarm: say it to the engines of its nodes"
_NOWHERE = "can't be had on a swarm: leave it out, or run it on an engine, a host {docker: …}"
_TASK = "can't be had on a swarm: each task has its own"
_DEVICE = "can't be had on a swarm: what needs a device belongs on an engine, a host {docker: …}"
_CPUS = "can't be had on a swarm: use `cpus`"
# Checked against what the Engine's API 1.41 has of a task (TaskSpec); whatever else is there a swarm passes over without a word.
NOT_ON_SWARMS: Mapping[str, str] = {
    "annotations": "can't be had on a swarm: use `labels`",
    "blkio_config": "can't be had on a swarm: it limits memory, CPUs and processes only",
    "cgroup": _TASK,
    "cgroup_parent": _OF_THE_NODES,
    "container_name": "can't be had on a swarm: it names the containers of its tasks itself",
    "cpu_period": _CPUS,
    "cpu_quota": _CPUS,
    "cpu_shares": "can't be had on a swarm: use `deploy.resources.reservations.cpus`",
    "cpuset": "can't be had on a swarm: use `cpus`, and `deploy.placement` for which nodes",
    "deploy.resources.reservations.devices": _DEVICE,
    "device_cgroup_rules": _DEVICE,
    "devices": _DEVICE,
    "domainname": "can't be had on a swarm: write the whole name as `hostname`",
    "gpus": _DEVICE,
    "ipc": _TASK,
    "mac_address": _TASK,
    "mem_reservation": "can't be had on a swarm: use `deploy.resources.reservations.memory`",
    "mem_swappiness": _NOWHERE,
    "memswap_limit": _NOWHERE,
    "oom_kill_disable": _NOWHERE,
    "oom_score_adj": _NOWHERE,
    "pid": _TASK,
    "platform": "can't be had on a swarm: use `deploy.placement.constraints`, such as [node.platform.arch == x86_64]",
    "privileged": "can't be had on a swarm: give it what it needs by `cap_add`, or run it on an engine, a host {docker: …}",
    "runtime": _OF_THE_NODES,
    "shm_size": 'can\'t be had on a swarm: mount it, as tmpfs: ["/dev/shm:size=64m"]',
    "storage_opt": _OF_THE_NODES,
    "userns_mode": _OF_THE_NODES,
    "uts": _TASK,
}
# Said by whoever deploys with `docker stack deploy`: Compose itself passes it over on an engine.
_SAYS_A_SWARM = (
    "deploy.endpoint_mode",
    "deploy.labels",
    "deploy.placement",
    "deploy.rollback_config",
    *(
        f"deploy.update_config.{key}"
        for key in ("delay", "failure_action", "max_failure_ratio", "monitor", "parallelism")
    ),
)
_FAILURE_ACTIONS = ("deploy.update_config.failure_action", "deploy.rollback_config.failure_action")
_TAKEN_BACK = (
    "Quarterdeck takes a release back by itself, on all hosts and with its hooks: write `pause`, and see `rollback`"
)
LEAVE_OUT = "; nothing is ignored: to leave it out, name it in `without` of the fleet file"


def not_on_engines(service: Node) -> dict[str, str]:
    """Those keys of a service that is written so which no engine has, and why; by their names from the service on."""
    return {path: why for path, why in NOT_ON_ENGINES.items() if _written(service, path) is not None}


def says_a_swarm(service: Node) -> str:
    """The first key of a service that is written so which only a swarm goes by; empty: none."""
    mode = _written(service, "deploy.mode")
    if mode is not None and isinstance(mode.value, ScalarNode) and mode.value.text == "global":
        return "deploy.mode: global"
    return next((path for path in _SAYS_A_SWARM if _written(service, path) is not None), "")


def taken_back_by_swarm(service: Node) -> dict[str, str]:
    """Where a service that is written so lets a swarm take a release back by itself, and why that can't be."""
    return {
        path: _TAKEN_BACK
        for path in _FAILURE_ACTIONS
        if (entry := _written(service, path)) is not None
        and isinstance(entry.value, ScalarNode)
        and entry.value.text == "rollback"
    }


def check(service: Fields, runs_on: RunsOn, *, pointed: bool, problems: Problems) -> None:
    """Adds what can't be had there. ``pointed``: the service stands in a compose file, so that the fleet file can leave keys out."""
    more = LEAVE_OUT if pointed else ""
    for path, why in (NOT_ON_ENGINES if runs_on is RunsOn.ENGINES else NOT_ON_SWARMS).items():
        entry = _written(service.node, path)
        if entry is not None and service.values.get(path) is not False:  # `privileged: false` asks for nothing
            problems.add(entry.key, f"`{path}` {why}{more}")
    if runs_on is RunsOn.SWARMS:
        _Swarm(service, problems, more).check()
        return
    for path, (word, why) in _ONLY_ON_ENGINES.items():
        entry = _written(service.node, path)
        if entry is not None and not (isinstance(entry.value, ScalarNode) and entry.value.text == word):
            wrong(entry.value, f"`{word}`", problems, Unfit(why))


def check_deploy(service: Fields, deploy: Deploy | None, ports: tuple[PublishedPort, ...], problems: Problems) -> None:
    """What only the whole of it shows, on a swarm."""
    if deploy is None:
        return
    if deploy.endpoint_mode == "dnsrr":
        at = service.node.value("deploy", "endpoint_mode")
        for port in ports:
            if port.mode != "host":
                words = f"with `dnsrr` no port is published on all nodes: give the port {port.target} `mode: host`, in its long form"
                problems.add(at, words)
    if deploy.mode != "global":
        return
    for path in ("deploy.replicas", "scale", "deploy.placement.max_replicas_per_node"):
        entry = _written(service.node, path)
        if entry is not None:
            problems.add(entry.key, f"`{path}` says nothing of a global service: it has one task on each node")
    for port in ports:
        if "-" in port.published:
            words = f"a global service has a task on each node, all on the same port: publish one port, not the range {port.published}"
            problems.add(service.node.value("ports"), words)


class _Swarm:
    """What a swarm can do in part only."""

    def __init__(self, service: Fields, problems: Problems, more: str) -> None:
        self.service = service
        self.problems = problems
        self.more = more

    def check(self) -> None:
        mode = self.service.values.get("network_mode")
        if mode is not None and mode not in ("host", "bridge"):
            words = "its tasks have `networks`, the host's network or the engine's default"
            at = self.service.node.key("network_mode")
            self.problems.add(
                at, f"`network_mode: {mode.partition(':')[0]}` can't be had on a swarm: {words}{self.more}"
            )
        for node, option in self._members("security_opt"):
            if not str(option).startswith("label="):
                words = "can't be had on a swarm, of options only label=…: say it to the engines of its nodes"
                self.problems.add(node, f"`security_opt` {words}{self.more}")
        for node, ports in self._members("ports"):
            if any(port.host_ip for port in ports):
                self.problems.add(
                    _at(node, "host_ip"), "a swarm publishes a port on all addresses of a node: leave the address out"
                )
        for node, mount in self._members("volumes"):
            self._mount(node, mount)
        for path, words in taken_back_by_swarm(self.service.node).items():
            entry = _written(self.service.node, path)
            if entry is not None:
                self.problems.add(entry.value, words)

    def _mount(self, node: Node, placed: Placed) -> None:
        options = placed.value
        selinux = subpath = False
        if isinstance(options, Mount):
            selinux, subpath = bool(options.selinux), bool(options.subpath)
        elif isinstance(options, Fields):
            bind, volume = (options.values.get(name) for name in ("bind", "volume"))
            selinux = isinstance(bind, Fields) and "selinux" in bind.values
            subpath = isinstance(volume, Fields) and "subpath" in volume.values
            if isinstance(bind, Fields) and bind.values.get("create_host_path"):
                words = "a swarm makes no directory on its nodes: make it there, and leave `create_host_path` out"
                self.problems.add(_at(node, "bind", "create_host_path"), words)
        if selinux:
            self.problems.add(_at(node, "bind", "selinux"), "a swarm relabels nothing for SELinux: do it on the nodes")
        if subpath:
            self.problems.add(
                _at(node, "volume", "subpath"), "a swarm mounts whole volumes: give the path a volume of its own"
            )

    def _members(self, key: str) -> Iterator[tuple[Node, Any]]:
        """The members of a list that was read whole, each with its node."""
        node = self.service.node.value(key)
        values = self.service.values.get(key)
        if values is not None and isinstance(node, SequenceNode) and len(node.items) == len(values):
            yield from zip(node.items, values, strict=True)


def _written(service: Node, path: str) -> Entry | None:
    """The key at ``path``, and its value; None where it is not written, or as null, which is as if it were not."""
    node, found = service, None
    for name in path.split("."):
        if not isinstance(node, MappingNode) or name not in node.entries:
            return None
        found = node.entries[name]
        node = found.value
    return None if isinstance(node, ScalarNode) and node.is_null else found


def _at(node: Node, *names: str) -> Node:
    """The key ``names`` leads to; ``node`` itself in its short form."""
    above = node.value(*names[:-1]) if isinstance(node, MappingNode) else node
    return above.key(names[-1]) if isinstance(above, MappingNode) else node
