"""Joins a service's `router` with the routers of the fleet file: what it leaves out comes from the health gate, and what only both
together show is found."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.include import Declared
from quarterdeck.config.model import Health, Host, SetRoute, SetScale, SetWeight, Slots, Strategy
from quarterdeck.config.nodes import MappingNode, Node
from quarterdeck.config.problems import Problems
from quarterdeck.config.router_keys import named
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Routed, Router


class Way(NamedTuple):
    """How requests come to a target."""

    routed: Routed
    router: Router
    host: Host | None  # that the router runs on; None: this machine


class Routing:
    def __init__(self, declared: Declared, hosts: Mapping[str, Host], problems: Problems) -> None:
        self.problems = problems
        self.hosts = hosts
        self.routers: dict[str, Router] = named(declared.main.values.get("routers", {}))
        self._written = declared.main.node.value("routers") if declared.main.has("routers") else None
        self._taken: dict[str, str] = {}  # what routers call a service → the target
        self._check_hosts()

    def _check_hosts(self) -> None:
        for name, router in self.routers.items():
            host = self.hosts.get(router.host) if router.host else None
            if not router.host or (host is not None and host.ssh):
                continue
            why = f"{router.host} is reached over no SSH" if host is not None else f"there is no host `{router.host}`"
            near = self.problems.nearest(router.host, [one.name for one in self.hosts.values() if one.ssh])
            self.problems.add(self._host_node(name), why, nearest=near)

    def _host_node(self, name: str) -> Node:
        assert isinstance(self._written, MappingNode)
        router = self._written.value(name)
        kind = next(iter(router.entries.values())).value if isinstance(router, MappingNode) else router
        return kind.value("host") if isinstance(kind, MappingNode) and "host" in kind.entries else router

    def not_counted(self, metrics: Sequence[Any], values: Mapping[str, Any]) -> str:
        """What of these metrics the service's router can't tell, in words; empty: it can."""
        from quarterdeck.config.analyses import RouterMetric

        asked = next((metric.source for metric in metrics if isinstance(metric.source, RouterMetric)), None)
        if asked is None:
            return ""
        asks = f"asks the router for {asked.figure}"
        routed: Routed | None = values.get("router")
        if routed is None:
            return f"{asks}, and the service has no `router`: add one, or measure by `probe` or `prometheus`"
        router = self.routers.get(routed.router)
        if router is None or isinstance(router, HaproxyRouter):
            return ""  # that there is none is said where it is named
        kind = "nginx" if isinstance(router, NginxRouter) else "Caddy"
        return f"{asks}, and {router.name} is {kind}, which does not count by release: measure by `probe` or `prometheus`, or use HAProxy"

    def way(
        self, target: str, values: Mapping[str, Any], container: ContainerSpec | None, at: Node, named_here: Node
    ) -> Way | None:
        """``at``: where the service's router is said; ``named_here``: where the router itself is named. None: there is none, or what is
        wrong with it was added to the problems."""
        routed: Routed | None = values.get("router")
        if routed is None:
            return None
        router = self.routers.get(routed.router)
        if router is None and isinstance(self._written, MappingNode) and routed.router in self._written.entries:
            return None  # what is wrong with it is said there
        if router is None:
            near = self.problems.nearest(routed.router, self.routers)
            self.problems.add(named_here, f"there is no router `{routed.router}`", nearest=near)
            return None
        other = self._taken.setdefault(routed.name, target)
        if other != target:
            self.problems.add(
                named_here,
                f"{other} and {target} are both `{routed.name}`: give one another name there, by `environments`",
            )
            return None
        health: Health | None = values.get("health")
        http = health.http if health is not None else None
        tcp = health.tcp if health is not None else None
        checked = http or tcp
        slots: Slots | None = values.get("slots")
        known = checked.port if checked is not None else slots.blue if slots is not None else 0
        port = routed.port or known  # one of a slot's stands for that of each instance
        if not port:
            words = "it is not known where the service listens: add `port`, or a health gate that asks one"
            self.problems.add(at, words)
            return None
        if container is not None and not any(one.target == port for one in container.ports):
            self.problems.add(
                at, f"the container publishes no port for its {port}, so the router can't reach it: add `ports`"
            )
            return None
        ephemeral = container is not None and any(one.target == port and not one.published for one in container.ports)
        if ephemeral:
            words = (
                f"the container's port {port} gets another port of the host with every start, which the router can't know: publish a "
                f'range of two or more ("8081-8082:{port}", with which two run beside each other), or a fixed port ("8081:{port}")'
            )
            self.problems.add(at, words)
            return None
        check = routed.check or (http.path if http is not None else "/")
        return Way(
            msgspec.structs.replace(routed, port=port, check=check), router, self.hosts.get(router.host or "") or None
        )

    def check(
        self,
        strategy: Strategy,
        router: Router | None,
        values: Mapping[str, Any],
        container: ContainerSpec | None,
        at: Node,
    ) -> None:
        """Whether the strategy asks for what there is nobody to do. ``at``: where it is said."""
        if router is None and values.get("router") is None:  # else what is wrong with its router is said
            needing = next((name for kind, name in _ROUTED if any(isinstance(one, kind) for one in strategy.steps)), "")
            if needing:
                what = _NAMED.get(strategy.kind, f"`{needing}`")
                self.problems.add(at, f"{what} needs a router in front of the service: add `router`")
        elif strategy.kind == "blue_green" and container is None and values.get("slots") is None:
            self.problems.add(at, "blue/green runs two instances on a host: add `slots`")
        elif strategy.kind == "blue_green" and container is not None and (fixed := _fixed(container)):
            words = f'publish a range of two or more: "{fixed}-{int(fixed) + 1}:…"'
            self.problems.add(at, f"blue/green runs two containers on a host, and both publish port {fixed}: {words}")
        elif isinstance(router, CaddyRouter):
            for step in strategy.steps:
                if isinstance(step, SetWeight) and step.percent != round(step.percent):
                    self.problems.add(at, f"set_weight {step.percent:g}: Caddy shares requests in whole percents")


def _fixed(container: ContainerSpec) -> str:
    """A port of the host that only one container can have; empty: there is none."""
    return next((port.published for port in container.ports if port.published.isdigit()), "")


_NAMED = {"ab": "an A/B test", "blue_green": "blue/green"}
_ROUTED = ((SetRoute, "set_route"), (SetScale, "set_scale"))
