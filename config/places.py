"""Finds targets that stand in each other's way on one machine, or one swarm: the same directory, container name, or published port."""

from collections.abc import Iterable, Mapping

import msgspec

from quarterdeck.config.container import ContainerSpec, PublishedPort
from quarterdeck.config.model import Environment, Host, Slots
from quarterdeck.config.nodes import Node
from quarterdeck.config.problems import Problems

SOCKET = "/run/docker.sock"
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - it is compared with, nothing listens here


Machines = frozenset[str]
"""Of one environment, as addresses: of a thousand hosts that have a hundred services, the set is made once and kept a hundred times."""


class Taken(msgspec.Struct):
    """Who has a directory, on which machines; where several claim it, the first of them."""

    by_path: dict[str, list[tuple[Machines, str]]] = msgspec.field(default_factory=dict)

    def add(self, path: str, machines: Machines, target: str) -> None:
        self.by_path.setdefault(path, []).append((machines, target))

    def of(self, machine: str, path: str) -> str | None:
        return next((target for machines, target in self.by_path.get(path, ()) if machine in machines), None)

    def anywhere(self, machines: Machines, path: str) -> bool:
        """Whether it is anybody's on one of ``machines``."""
        return any(not machines.isdisjoint(taken) for taken, _ in self.by_path.get(path, ()))

    def copy(self) -> "Taken":
        return Taken({path: list(taken) for path, taken in self.by_path.items()})


class Places(msgspec.Struct):
    """What is taken, by machine. Clashes are added to ``problems``."""

    hosts: Mapping[str, Host]
    problems: Problems
    occupied: Taken = msgspec.field(default_factory=Taken)  # paths, by ssh address
    above: Taken = msgspec.field(default_factory=Taken)  # the same for each directory above a path
    named: dict[tuple[str, str], str] = msgspec.field(default_factory=dict)  # engine and container name → target
    published: dict[tuple[str, int, str], list[tuple[PublishedPort, str]]] = msgspec.field(
        default_factory=dict
    )  # → port and target
    listened: dict[tuple[str, int], str] = msgspec.field(default_factory=dict)  # ssh address and slot's port → target
    reached: dict[tuple[str, str, str], str] = msgspec.field(
        default_factory=dict
    )  # engine, network, name in it → target
    engines: dict[str, str] = msgspec.field(default_factory=dict)  # as engines_of has them, once there is a container
    machines: dict[tuple[str, bool], tuple[tuple[Host, ...], Machines]] = msgspec.field(default_factory=dict)

    def directory(self, environment: Environment, service: str, hosts: tuple[Host, ...], path: str, at: Node) -> None:
        """Two targets may share a host, not a directory: neither may be the other's, nor lie in it."""
        target = f"{environment.name}/{service}"
        parents = _directories_above(path)
        machines = self._machines(environment.name, hosts, absolute=path.startswith("/"))
        free = len(machines) == len(hosts) and not (
            self.occupied.anywhere(machines, path)
            or self.above.anywhere(machines, path)
            or any(self.occupied.anywhere(machines, one) for one in parents)
        )
        if not free:
            self._directory_clashes(environment, target, hosts, path, parents, at)
        self.occupied.add(path, machines, target)
        for directory in parents:
            self.above.add(directory, machines, target)

    def _machines(self, environment: str, hosts: tuple[Host, ...], *, absolute: bool) -> Machines:
        known = self.machines.get((environment, absolute))
        if known is not None and known[0] is hosts:
            return known[1]
        made = frozenset(_machine(host, absolute=absolute) for host in hosts)
        self.machines[environment, absolute] = hosts, made
        return made

    def _directory_clashes(
        self,
        environment: Environment,
        target: str,
        hosts: tuple[Host, ...],
        path: str,
        parents: list[str],
        at: Node,
    ) -> None:
        mine: set[str] = set()
        for host in hosts:
            machine = _machine(host, absolute=path.startswith("/"))
            other = self.occupied.of(machine, path) or (target if machine in mine else self.above.of(machine, path))
            other = other or next((found for one in parents if (found := self.occupied.of(machine, one))), None)
            mine.add(machine)
            if other == target:
                self.problems.add(at, f"{environment.name} has the machine {machine} twice, so {path} too")
            elif other is not None:
                self.problems.add(at, f"{target} and {other} are both in {path} on {host.name}; give each its own path")

    def slots(self, environment: Environment, service: str, hosts: tuple[Host, ...], slots: Slots, at: Node) -> None:
        """Two targets may share a host, not a port that instances listen on."""
        target = f"{environment.name}/{service}"
        for host in hosts:
            machine = host.ssh.rpartition("@")[2]
            for port in slots.ports.values():
                other = self.listened.setdefault((machine, port), target)
                if other != target:
                    self.problems.add(at, f"{target} and {other} both listen on port {port} of {host.name}")

    def container(
        self,
        environment: Environment,
        service: str,
        hosts: tuple[Host, ...],
        spec: ContainerSpec,
        at: tuple[Node, Node],
    ) -> None:
        """Two targets may share an engine, not a container's name, nor a port of the host. ``at``: where the name and the
        ports are said."""
        target = f"{environment.name}/{service}"
        name = spec.container_name or f"{environment.name}-{service}"
        if not self.engines:
            self.engines = engines_of(self.hosts.values())
        for host in hosts:
            engine = self.engines[host.name]
            other = self.named.get((engine, name))
            if other == target:
                which = f"swarm {', '.join(host.swarm)}" if host.swarm else f"engine {host.docker}"
                self.problems.add(at[0], f"{environment.name} has the {which} twice, so {name} too")
                continue
            if other is not None and host.swarm:
                words = (
                    f"{target} and {other} are both `{name}` on the swarm {host.name}; give one of them another name"
                )
                self.problems.add(at[0], words)
            elif other is not None:
                self.problems.add(
                    at[0],
                    f"{target} and {other} are both the container `{name}` on {host.name}; give each its own "
                    "`container_name`",
                )
            self.named.setdefault((engine, name), target)
            self._reach(engine, spec, target, host, at[0])
            for port in spec.ports:
                if port.published.isdigit():
                    key = (engine, int(port.published), port.protocol)
                    self._publish(key, port, target, host, at[1])

    def _reach(self, engine: str, spec: ContainerSpec, target: str, host: Host, at: Node) -> None:
        """A name leads to one target only in a network that is made here: else staging would answer production's callers."""
        for network in spec.networks:
            for alias in () if network.external else network.aliases:
                other = self.reached.setdefault((engine, network.name, alias), target)
                if other != target:
                    self.problems.add(
                        at,
                        f"{target} and {other} are both `{alias}` in the network `{network.name}` on {host.name}; give one of them "
                        "another network, by `networks` or `project`",
                    )
                    return

    def _publish(self, key: tuple[str, int, str], port: PublishedPort, target: str, host: Host, at: Node) -> None:
        taken = self.published.setdefault(key, [])
        for other_port, other in taken:
            if target != other and port.mode == other_port.mode == "host":
                continue  # the swarm runs them on different nodes
            address, other_address = port.host_ip, other_port.host_ip
            if address == other_address or _EVERYWHERE & {address, other_address}:
                who = f"{target} publishes" if other == target else f"{target} and {other} both publish"
                again = " twice" if other == target else ""
                self.problems.add(at, f"{who} the port {key[1]}/{key[2]} on {host.name}{again}")
                return
        taken.append((port, target))


def _machine(host: Host, *, absolute: bool) -> str:
    """An absolute path is the same for every login; ~/ is not."""
    return host.ssh.rpartition("@")[2] if absolute else host.ssh


def engines_of(hosts: Iterable[Host]) -> dict[str, str]:
    """By the name of each host with containers: the same text for the same engine or swarm, as far as addresses show it. Swarms that have
    a manager in common are one."""
    found: dict[str, str] = {}
    joined: dict[str, str] = {}  # an engine's address → the first of the swarm's
    for host in hosts:
        if not host.contained:
            continue
        engines = [_engine(address) for address in host.swarm or (host.docker,)]
        known = list(dict.fromkeys(joined[engine] for engine in engines if engine in joined))
        first = known[0] if known else engines[0]
        joined |= dict.fromkeys(engines, first)
        if len(known) > 1:  # this one shows that they were the same all along
            joined = {engine: first if one in known else one for engine, one in joined.items()}
            found = {name: first if one in known else one for name, one in found.items()}
        found[host.name] = first
    return found


def _engine(address: str) -> str:
    """The same text for the same engine, as far as its address shows it."""
    scheme, _, rest = address.partition("://")
    if scheme == "unix":
        return "unix:" + _socket(rest)
    if scheme == "ssh":
        login, slash, path = rest.partition("/")
        return f"ssh:{login.rpartition('@')[2].removesuffix(':22')}:{_socket(slash + path)}"
    return address


def _socket(path: str) -> str:
    return path.removeprefix("/var") if path.startswith("/var/run/") else path or SOCKET


def _directories_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts))]
