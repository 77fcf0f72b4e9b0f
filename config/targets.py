"""Merges environments and services into targets, and finds what only the whole shows: gaps, clashes, unknown names."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from quarterdeck.config import scalars, slots
from quarterdeck.config.compose.refusals import RunsOn
from quarterdeck.config.compose.service import Made
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.containers import Containers
from quarterdeck.config.flag_reading import FlagUses
from quarterdeck.config.include import Declared
from quarterdeck.config.keys import OVERRIDE
from quarterdeck.config.model import (
    Analyse,
    Artifact,
    Bake,
    Environment,
    Health,
    Hooks,
    Host,
    Keep,
    Logs,
    RollbackPolicy,
    Run,
    Runner,
    SetWeight,
    Share,
    Strategy,
    Target,
)
from quarterdeck.config.nodes import MappingNode, Node, SequenceNode, said, shortened
from quarterdeck.config.notify_reading import untold
from quarterdeck.config.places import Places
from quarterdeck.config.problems import Problems
from quarterdeck.config.routing import Routing
from quarterdeck.config.shapes import Fields, Nothing
from quarterdeck.config.strategies import DEFAULT_STRATEGY

MOST_PLACEMENTS = (
    1_000_000  # targets times their hosts; far more than a fleet can have, few enough to be checked quickly
)
MERGED = ("env", "secrets", "files")
RUNNERS = ("unit", "commands")
RUNNER = "`unit` or `commands`"
TWO_GOES = Share(percent=67.0)  # rounded down, and at least one host: of any number the rest is no more than that
NOT_OF_A_CONTAINER = {
    "path": "the engine keeps it",
    "unit": "the engine runs it",
    "commands": "the engine runs it",
    "files": "use Compose's `configs`",
    "logs": "the engine has them",
    "slots": "two containers run beside each other where `ports` publish a range, such as 8081-8082:80",
}


class _Known(msgspec.Struct, frozen=True):
    """The hosts of an environment that are declared, by what can run on them."""

    names: tuple[str, ...]  # as the environment has them, also those that are not declared
    found: list[Host]
    contained: tuple[Host, ...]  # engines and swarms
    others: tuple[Host, ...]
    engine: str  # the first of them; empty: none
    swarm: str  # the same


class Assembly:
    """Builds every target. What is wrong is added to ``problems``; the targets it concerns are left out."""

    def __init__(
        self,
        declared: Declared,
        hosts: Mapping[str, Host],
        environments: Mapping[str, Environment],
        problems: Problems,
    ) -> None:
        self.declared = declared
        self.hosts = hosts
        self.environments = environments
        self.problems = problems
        self.missing: dict[tuple[str, str], list[str]] = {}  # service and key → environments without it
        self._hosts_of: dict[str, _Known] = {}  # by the environment's name
        self.containers = Containers(declared.main.values.get("fleet", "unnamed"), problems)
        self.places = Places(hosts, problems)
        self.routing = Routing(declared, hosts, problems)
        self.flag_uses = FlagUses(
            _names_in(declared.main, "flags"),
            dict.fromkeys(_names_in(declared.main, "analyses")) | declared.main.values.get("analyses", {}),
            problems,
        )

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
        contained = _is_container(layers)
        hosts = self._hosts(environment, name, contained)
        runs_on = self._runs_on(environment, name) if contained else None
        made = self._container(environment.name, name, layers, values, runs_on) if contained else None
        files = {secret.source for secret in made.spec.secrets} if made is not None else set()
        self._check_variables([below, *layers], values, files)
        self._check_files(layers, values)
        self._check_deadlines(layers, values)
        self._check_analyses(layers, values, contained=contained)
        self._check_notices(layers, values)
        self.flag_uses.check(
            values.get("strategy", DEFAULT_STRATEGY),
            f"{environment.name}/{name}",
            _where(layers, "strategy", "flag"),
            lambda metrics: "" if contained else _not_told(metrics, values),
        )
        if contained:
            complete = self._complete(environment, name, layers, values, ("artifact",))
            if made is None:
                return None
            self._check_image_on(layers, values, runs_on)
            at = _where(layers, "container")
            named = made.fields.node.key("container_name") if made.spec.container_name else at
            self.places.container(environment, name, hosts, made.spec, (named, made.fields.node.value("ports")))
            return self._make(environment, name, layers, hosts, "", values, made.spec) if complete else None
        complete = self._complete(environment, name, layers, values, ("artifact", "path", RUNNER))
        self._check_no_image(layers, values)
        for where, words in slots.faults(values, written=any(layer.has("slots") for layer in layers)):
            self.problems.add(_where(layers, *where), words)
        if "path" not in values:
            return None
        path = scalars.host_path(scalars.fill(values["path"], {"environment": environment.name, "service": name}))
        self.places.directory(environment, name, hosts, path, _where(layers, "path"))
        if "slots" in values:
            self.places.slots(environment, name, hosts, values["slots"], _where(layers, "slots"))
        return self._make(environment, name, layers, hosts, path, values, None) if complete else None

    def _hosts(self, environment: Environment, service: str, contained: bool) -> tuple[Host, ...]:
        """The hosts of the environment on which the service can run: Docker's and swarms for a container, SSH's for all else."""
        known = self._known_hosts(environment)
        found = known.contained if contained else known.others
        if not found and known.found and len(known.found) == len(environment.hosts):
            why = "no Docker host, and it is a container" if contained else "Docker hosts only, and it is no container"
            fix = "{docker: …} or a swarm {swarm: …}" if contained else "{ssh: …}"
            self.problems.add(
                self.declared.places["services"][service],
                f"`{service}` can't run in {environment.name}, which has {why}: add a host {fix} there, or write "
                f"`environments: {{{environment.name}: null}}`",
            )
        return found

    def _known_hosts(self, environment: Environment) -> _Known:
        """Those that are declared. All services of an environment share them."""
        made = self._hosts_of.get(environment.name)
        if made is None or made.names != environment.hosts:
            found = [self.hosts[host] for host in environment.hosts if host in self.hosts]
            made = self._hosts_of[environment.name] = _Known(
                environment.hosts,
                found,
                tuple(host for host in found if host.contained),
                tuple(host for host in found if not host.contained),
                next((host.name for host in found if host.contained and not host.swarm), ""),
                next((host.name for host in found if host.swarm), ""),
            )
        return made

    def _runs_on(self, environment: Environment, service: str) -> RunsOn | None:
        """What the hosts of a container are; None where that is not known, or of both kinds, which is a problem."""
        known = self._known_hosts(environment)
        if known.engine and known.swarm:
            self.problems.add(
                self.declared.places["services"][service],
                f"`{service}` would run in {environment.name} on engines ({known.engine}) and on a swarm ({known.swarm}), which run it "
                f"in different ways: give each an environment of its own, or write `environments: {{{environment.name}: null}}`",
            )
            return None
        return RunsOn.SWARMS if known.swarm else RunsOn.ENGINES if known.engine else None

    def _container(
        self,
        environment: str,
        name: str,
        layers: Sequence[Fields],
        values: dict[str, Any],
        runs_on: RunsOn | None,
    ) -> Made | None:
        """The container of the merged layers; its variables and secrets go below those of the fleet file in ``values``."""
        for key, why in NOT_OF_A_CONTAINER.items():
            if values.get(key):
                self.problems.add(_key_of(layers, key), f"`{key}` has no place beside `container`: {why}")
        artifact: Artifact | None = values.get("artifact")
        if artifact is not None and not artifact.image:
            self.problems.add(
                _where(layers, "artifact"), "a container runs an image: write artifact: {image: REPOSITORY}"
            )
        values.setdefault("health", Health())
        written = values.get("container")
        made = self.containers.made_of(written, name, environment, runs_on) if isinstance(written, Fields) else None
        if made is None:
            return None
        given = values["secrets"]
        for secret, at in made.needed.items():
            if secret not in given:
                near = self.problems.nearest(secret, {*given, *made.declared} - {secret})
                self.problems.add(at, f"the fleet file's `secrets` have no `{said(at, secret)}`", nearest=near)
        # What the fleet file says comes over what the compose file says: a variable of the one may be a secret of the other.
        values["env"] = {
            **{variable: text for variable, text in made.env.items() if variable not in given},
            **values["env"],
        }
        values["secrets"] = {**made.secrets, **given}
        return made

    def _check_no_image(self, layers: Sequence[Fields], values: Mapping[str, Any]) -> None:
        artifact: Artifact | None = values.get("artifact")
        if artifact is not None and artifact.image:
            self.problems.add(
                _where(layers, "artifact", "image"), "an image needs `container` beside the artifact: {} is enough"
            )

    def _check_image_on(self, layers: Sequence[Fields], values: Mapping[str, Any], runs_on: RunsOn | None) -> None:
        artifact: Artifact | None = values.get("artifact")
        if artifact is None or not artifact.image_on:
            return
        if runs_on is RunsOn.SWARMS:
            words = "every node of a swarm fetches its images itself, from a registry: push them to one, and leave `image_on` out"
            self.problems.add(_where(layers, "artifact", "image_on"), words)
            return
        host = self.hosts.get(artifact.image_on)
        if host is None or not host.docker:
            why = f"there is no host `{artifact.image_on}`" if host is None else f"{host.name} is no Docker host"
            engines = [name for name, one in self.hosts.items() if one.docker]
            near = self.problems.nearest(artifact.image_on, engines)
            self.problems.add(_where(layers, "artifact", "image_on"), why, nearest=near)

    def _make(
        self,
        environment: Environment,
        name: str,
        layers: Sequence[Fields],
        hosts: tuple[Host, ...],
        path: str,
        values: Mapping[str, Any],
        container: ContainerSpec | None,
    ) -> Target:
        place = {"environment": environment.name, "service": name}
        runner: Runner = values["unit"] if "unit" in values else Runner(commands=values.get("commands"))
        runner = msgspec.structs.replace(runner, slots=values.get("slots"))
        logs: Logs | None = values.get("logs")
        if logs is not None and logs.files:
            filled = {**place, "slot": "{slot}"}  # as the host has it
            logs = Logs(logs.journal, tuple(scalars.host_path(scalars.fill(file, filled)) for file in logs.files))
        at = _where(layers, "router")
        way = self.routing.way(f"{environment.name}/{name}", values, container, at, _where(layers, "router", "use"))
        strategy: Strategy = values.get("strategy", DEFAULT_STRATEGY)
        self.routing.check(
            strategy,
            way.router if way is not None else None,
            values,
            container,
            _where(layers, "strategy", strategy.kind),
        )
        between = tuple(step.hook for step in strategy.steps if isinstance(step, Run))
        optional = ("health", "on_unreachable", "on_orphan", "progress_deadline")
        return Target(
            environment=environment.name,
            service=name,
            hosts=hosts,
            path=path,
            artifact=values["artifact"],
            runner=runner,
            env=values["env"],
            files=tuple(msgspec.structs.replace(file, path=relative) for relative, file in values["files"].items()),
            secrets=values["secrets"],
            hooks=msgspec.structs.replace(values.get("hooks", Hooks()), steps=between),
            strategy=strategy,
            keep=values.get("keep", Keep()),
            logs=logs,
            rollback=self._rollback(layers, values, routed=way is not None),
            container=container,
            images_on=self.hosts.get(values["artifact"].image_on),
            routed=way.routed if way is not None else None,
            router=way.router if way is not None else None,
            router_host=way.host if way is not None else None,
            **{key: values[key] for key in optional if key in values},
        )

    @staticmethod
    def _rollback(layers: Sequence[Fields], values: Mapping[str, Any], *, routed: bool) -> RollbackPolicy:
        """Behind a router hosts go back in two goes, unless it is said how many may at once: somebody serves all the time."""
        policy: RollbackPolicy = values.get("rollback", RollbackPolicy())
        at = _where(layers, "rollback")
        said = isinstance(at, MappingNode) and "max_unavailable" in at.entries
        return policy if said or not routed else msgspec.structs.replace(policy, max_unavailable=TWO_GOES)

    def _complete(
        self,
        environment: Environment,
        name: str,
        layers: Sequence[Fields],
        values: Mapping[str, Any],
        needed: tuple[str, ...],
    ) -> bool:
        """Whether all that a target needs is there. What is written wrongly was reported, so it is not missing."""
        complete = True
        for key in needed:
            names = RUNNERS if key == RUNNER else (key,)
            if any(one in values for one in names):
                continue
            complete = False
            if not any(layer.has(one) for layer in layers for one in names):
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

    def _check_variables(self, layers: Sequence[Fields], values: Mapping[str, Any], files: AbstractSet[str]) -> None:
        """``files`` are the secrets that a container gets as files."""
        for variable in (values["env"].keys() & values["secrets"].keys()) - files:
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
        strategy: Strategy = values.get("strategy", DEFAULT_STRATEGY)
        for step in strategy.steps:
            if isinstance(step, Run) and step.hook.timeout >= progress:
                at = given or _where(layers, "strategy", "canary", "steps")
                words = f"the timeout of the step `{shortened(step.hook.run)}` ({step.hook.timeout:g}s)"
                self.problems.add(at, f"{rule} {words}")

    def _check_notices(self, layers: Sequence[Fields], values: Mapping[str, Any]) -> None:
        """Each name is one of those in `notify`, and there is somebody to tell."""
        strategy: Strategy = values.get("strategy", DEFAULT_STRATEGY)
        destinations = self.declared.main.values.get("notify")
        if destinations is None and self.declared.main.has("notify"):
            return  # what is wrong there was reported
        for words, near in untold(strategy.steps, destinations or ()):
            self.problems.add(_where(layers, "strategy", "canary", "steps"), words, nearest=near)

    def _check_analyses(self, layers: Sequence[Fields], values: Mapping[str, Any], *, contained: bool) -> None:
        """Each name is one of `analyses`, none compares with a release that runs nowhere any more, or reads what there is not."""
        strategy: Strategy = values.get("strategy", DEFAULT_STRATEGY)
        known = _names_in(self.declared.main, "analyses")
        metrics = self.declared.main.values.get("analyses", {})
        at = _where(layers, "strategy", strategy.kind)
        if isinstance(at, MappingNode) and "steps" in at.entries:
            at = at.value("steps")
        whole = strategy.kind == "flag"
        for step in (*strategy.steps, *([strategy.bake] if strategy.bake else ())):
            whole = whole or (isinstance(step, SetWeight) and step.percent >= 100) or step is strategy.bake
            for name in step.analyses if isinstance(step, Analyse | Bake) else ():
                if name not in known:
                    near = self.problems.nearest(name, known)
                    self.problems.add(at, f"there is no analysis `{name}`", nearest=near)
                elif words := self.routing.not_counted(metrics.get(name, ()), values) or (
                    "" if contained else _not_told(metrics.get(name, ()), values)
                ):
                    self.problems.add(at, f"`{name}` {words}")
                elif isinstance(step, Analyse) and any(
                    metric.compare is not None and metric.count is None for metric in metrics.get(name, ())
                ):
                    self.problems.add(at, f"`{name}` compares: in a step it needs a `count`, of 20 or more mostly")
                elif whole and any(metric.compare is not None for metric in metrics.get(name, ())):
                    words = f"`{name}` compares with the release before, which no host runs here any more"
                    place = "a canary's step" if strategy.kind == "flag" else "a step before `set_weight: 100`"
                    self.problems.add(at, f"{words}: it has its place in {place}")


def _names_in(main: Fields, section: str) -> list[str]:
    """The names under a key of the main file, those of what is written wrongly too."""
    written = main.node.value(section) if main.has(section) else None
    return [entry.key.text for entry in written.entries.values()] if isinstance(written, MappingNode) else []


def _not_told(metrics: Sequence[Any], values: Mapping[str, Any]) -> str:
    """What of these the hosts of a service that is no container can't tell, in words; empty: they can."""
    if "logs" in values and "commands" not in values:
        return ""
    from quarterdeck.config.analyses import HostMetric, LogsMetric

    for metric in metrics:
        if isinstance(metric.source, LogsMetric) and "logs" not in values:
            return "counts lines of logs, and nothing says where they are: add `logs`"
        if isinstance(metric.source, HostMetric) and "commands" in values:
            return "asks hosts for a figure of the service: only a unit or a container has one, nothing that is run by `commands`"
    return ""


def _is_container(layers: Sequence[Fields]) -> bool:
    """Whether the last layer that says how the service runs says that it is a container."""
    for layer in reversed(layers):
        if layer.has("container"):
            return True
        if any(layer.has(runner) for runner in RUNNERS):
            return False
    return False


def _merge(environment: Fields, layers: Sequence[Fields]) -> dict[str, Any]:
    """The values of a service in an environment: later layers replace whole keys, but add to env, secrets and files."""
    values: dict[str, Any] = {key: dict(environment.values.get(key, {})) for key in MERGED}
    for layer in layers:
        if any(layer.has(runner) for runner in (*RUNNERS, "container")):
            for runner in (*RUNNERS, "container", *(("path", "slots") if layer.has("container") else ())):
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


def _key_of(layers: Sequence[Fields], name: str) -> Node:
    """The key ``name`` in the last layer that has it."""
    return next((layer.node.key(name) for layer in reversed(layers) if layer.has(name)), layers[-1].node)


def _key_where(layers: Sequence[Fields], section: str, name: str) -> Node:
    """The key ``name`` of the mapping ``section`` in the last layer that has it."""
    for layer in reversed(layers):
        node = layer.node.value(section)
        if layer.has(section) and isinstance(node, MappingNode) and name in node.entries:
            return node.key(name)
    return layers[-1].node


def _key(node: Node, name: str) -> Node:
    return node.key(name) if isinstance(node, MappingNode) else node
