"""Merges environments and services into targets, and finds what only the whole shows: gaps, clashes, unknown names."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quarterdeck.config import scalars
from quarterdeck.config.include import Declared
from quarterdeck.config.keys import OVERRIDE
from quarterdeck.config.model import (
    Environment,
    Health,
    Hooks,
    Host,
    Keep,
    Logs,
    RollbackPolicy,
    Runner,
    Target,
)
from quarterdeck.config.nodes import MappingNode, Node, SequenceNode, shortened
from quarterdeck.config.parts import DEFAULT_STRATEGY
from quarterdeck.config.problems import Problems
from quarterdeck.config.shapes import Fields, Nothing

MOST_PLACEMENTS = 300_000  # targets times their hosts; far more than a fleet can have, few enough to be checked quickly
MERGED = ("env", "secrets", "files")
RUNNERS = ("unit", "commands")


class Assembly(msgspec.Struct):
    """Builds every target. What is wrong is added to ``problems``; the targets it concerns are left out."""

    declared: Declared
    hosts: Mapping[str, Host]
    environments: Mapping[str, Environment]
    problems: Problems
    missing: dict[tuple[str, str], list[str]] = msgspec.field(
        default_factory=dict
    )  # service and key → environments without it
    occupied: dict[tuple[str, str], str] = msgspec.field(default_factory=dict)  # ssh address and path → target
    above: dict[tuple[str, str], str] = msgspec.field(
        default_factory=dict
    )  # ssh address and each directory above a path → target

    def targets(self) -> dict[str, Target]:
        """The targets by name, environments first, both in the order of the file."""
        self._check_overrides()
        targets: dict[str, Target] = {}
        services = self.declared.values["services"]
        wanted = sum(max(1, len(environment.hosts)) for environment in self.environments.values()) * len(services)
        if wanted > MOST_PLACEMENTS:
            self.problems.add(self.declared.main.node, f"these are more than {MOST_PLACEMENTS} services on hosts")
            return {}
        for environment in self.environments.values():
            for name, service in services.items():
                target = self._target(environment, name, service)
                if target is not None:
                    targets[target.name] = target
        self._report_missing()
        return targets

    def _check_overrides(self) -> None:
        known = self.declared.places["environments"]
        for service in self.declared.values["services"].values():
            if service.has("unit") and service.has("commands"):
                self._two_runners(service)
            for name, override in service.values.get("environments", {}).items():
                if name not in known:
                    at = _key(service.node.value("environments"), name)
                    self.problems.add(
                        at, f"there is no environment `{name}`", nearest=self.problems.nearest(name, known)
                    )
                elif isinstance(override, Fields) and override.has("unit") and override.has("commands"):
                    self._two_runners(override)

    def _two_runners(self, fields: Fields) -> None:
        self.problems.add(fields.node.key("commands"), "`unit` and `commands` can't both run the service; keep one")

    def _target(self, environment: Environment, name: str, service: Fields) -> Target | None:
        override = service.values.get("environments", {}).get(environment.name)
        if isinstance(override, Nothing):
            return None
        layers = [service] if override is None else [service, override]
        below = self.declared.values["environments"][environment.name]
        values = _merge(below, layers)
        self._check_variables([below, *layers], values)
        self._check_files(layers, values)
        self._check_deadlines(layers, values)
        complete = self._complete(environment, name, layers, values)
        if "path" not in values:
            return None
        place = {"environment": environment.name, "service": name}
        path = scalars.host_path(scalars.fill(values["path"], place))
        self._occupy(environment, name, path, _where(layers, "path"))
        return self._make(environment, name, path, values) if complete else None

    def _make(self, environment: Environment, name: str, path: str, values: Mapping[str, Any]) -> Target:
        place = {"environment": environment.name, "service": name}
        runner: Runner = values["unit"] if "unit" in values else Runner(commands=values["commands"])
        logs: Logs | None = values.get("logs")
        if logs is not None and logs.files:
            logs = Logs(logs.journal, tuple(scalars.host_path(scalars.fill(file, place)) for file in logs.files))
        optional = ("health", "hooks", "on_unreachable", "on_orphan", "progress_deadline")
        return Target(
            environment=environment.name,
            service=name,
            hosts=tuple(self.hosts[host] for host in environment.hosts if host in self.hosts),
            path=path,
            artifact=values["artifact"],
            runner=runner,
            env=values["env"],
            files=tuple(msgspec.structs.replace(file, path=relative) for relative, file in values["files"].items()),
            secrets=values["secrets"],
            strategy=values.get("strategy", DEFAULT_STRATEGY),
            keep=values.get("keep", Keep()),
            logs=logs,
            rollback=values.get("rollback", RollbackPolicy()),
            **{key: values[key] for key in optional if key in values},
        )

    def _complete(
        self, environment: Environment, name: str, layers: Sequence[Fields], values: Mapping[str, Any]
    ) -> bool:
        """Whether all that a target needs is there. What is written wrongly was reported, so it is not missing."""
        complete = True
        for key, names in {"artifact": ("artifact",), "path": ("path",), "`unit` or `commands`": RUNNERS}.items():
            if any(one in values for one in names):
                continue
            complete = False
            # A container would need neither path nor unit; that there are none yet was reported.
            if not any(layer.has(one) for layer in layers for one in (*names, "container")):
                self.missing.setdefault((name, key), []).append(environment.name)
        return complete

    def _report_missing(self) -> None:
        for (service, key), environments in self.missing.items():
            shown = key if "`" in key else f"`{key}`"
            overrides = self.declared.values["services"][service].values.get("environments", {})
            there = [name for name in self.environments if not isinstance(overrides.get(name), Nothing)]
            where = "" if environments == there else f" for {', '.join(environments)}"
            at = self.declared.places["services"][service]
            self.problems.add(at, f"the service `{service}` needs {shown}{where}")

    def _check_variables(self, layers: Sequence[Fields], values: Mapping[str, Any]) -> None:
        for variable in values["env"].keys() & values["secrets"].keys():
            at, other = (_key_where(layers, section, variable) for section in ("secrets", "env"))
            place = f"{other.source.path}:{other.line}:{other.column}"
            self.problems.add(at, f"`{variable}` is both a secret and an ordinary variable: also in env, {place}")

    def _check_files(self, layers: Sequence[Fields], values: Mapping[str, Any]) -> None:
        for path in values["files"]:
            above, slash, _ = path.rpartition("/")
            while slash:
                if above in values["files"]:
                    at = _where(layers, "files")
                    self.problems.add(at, f"`{above}` can't be a file and the directory of `{path}`")
                above, slash, _ = above.rpartition("/")

    def _check_deadlines(self, layers: Sequence[Fields], values: Mapping[str, Any]) -> None:
        """No single step may be allowed to take as long as a deploy may stand still: it would be taken back for nothing."""
        progress = values.get("progress_deadline", OVERRIDE.default("progress_deadline"))
        given = _where(layers, "progress_deadline") if any(layer.has("progress_deadline") for layer in layers) else None
        rule = f"progress_deadline ({progress:g}s) must be longer than"
        health: Health | None = values.get("health")
        if health is not None and health.healthy_deadline + health.min_healthy_time >= progress:
            longest = f"healthy_deadline ({health.healthy_deadline:g}s)"
            if health.min_healthy_time:
                longest += f" and min_healthy_time ({health.min_healthy_time:g}s) together"
            self.problems.add(given or _where(layers, "health", "healthy_deadline"), f"{rule} {longest}")
        hooks: Hooks = values.get("hooks", Hooks())
        for phase, listed in (("before", hooks.before), ("after", hooks.after)):
            nodes = _where(layers, "hooks", phase)
            for index, hook in enumerate(listed):
                if hook.timeout < progress:
                    continue
                at = nodes.items[index] if isinstance(nodes, SequenceNode) else nodes
                if isinstance(at, MappingNode) and "timeout" in at.entries:
                    at = at.value("timeout")
                elif given is not None:
                    at = given
                self.problems.add(at, f"{rule} the timeout of the hook `{shortened(hook.run)}` ({hook.timeout:g}s)")

    def _occupy(self, environment: Environment, service: str, path: str, at: Node) -> None:
        """Two targets may share a host, not a directory: neither may be the other's, nor lie in it."""
        target = f"{environment.name}/{service}"
        parents = _directories_above(path)
        for host in environment.hosts:
            if host not in self.hosts:
                continue
            # An absolute path is the same for every login; ~/ is not.
            login = self.hosts[host].ssh
            machine = login.rpartition("@")[2] if path.startswith("/") else login
            other = self.occupied.get((machine, path)) or self.above.get((machine, path))
            other = other or next(
                (self.occupied[machine, one] for one in parents if (machine, one) in self.occupied), None
            )
            if other == target:
                self.problems.add(at, f"{environment.name} has the machine {machine} twice, so {path} too")
            elif other is not None:
                self.problems.add(at, f"{target} and {other} are both in {path} on {host}; give each its own path")
            self.occupied.setdefault((machine, path), target)
            for directory in parents:
                self.above.setdefault((machine, directory), target)


def _merge(environment: Fields, layers: Sequence[Fields]) -> dict[str, Any]:
    """The values of a service in an environment: later layers replace whole keys, but add to env, secrets and files."""
    values: dict[str, Any] = {key: dict(environment.values.get(key, {})) for key in MERGED}
    for layer in layers:
        if any(layer.has(runner) for runner in RUNNERS):
            for runner in RUNNERS:
                values.pop(runner, None)
        for key, value in layer.values.items():
            if key in MERGED:
                values[key].update(value)
            elif key != "environments":
                values[key] = value
    return values


def _where(layers: Sequence[Fields], *names: str) -> Node:
    """The node below these keys in the last layer that has them all; else in the last that has the first of them."""
    for wanted in (names, names[:1]):
        for layer in reversed(layers):
            node: Node = layer.node
            for name in wanted:
                if not isinstance(node, MappingNode) or name not in node.entries:
                    break
                node = node.entries[name].value
            else:
                return node
    return layers[-1].node


def _key_where(layers: Sequence[Fields], section: str, name: str) -> Node:
    """The key ``name`` of the mapping ``section`` in the last layer that has it."""
    for layer in reversed(layers):
        node = layer.node.value(section)
        if layer.has(section) and isinstance(node, MappingNode) and name in node.entries:
            return node.key(name)
    return layers[-1].node


def _key(node: Node, name: str) -> Node:
    return node.key(name) if isinstance(node, MappingNode) else node


def _directories_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts))]
