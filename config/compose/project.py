"""What surrounds a service: a compose file with its networks, volumes, configs and secrets; or, for a container that is
described in place, nothing but a name made of the fleet and the environment. Only what the service uses is read."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from quarterdeck.config.compose import declarations
from quarterdeck.config.compose.expansion import Expansion
from quarterdeck.config.compose.keys import IMAGE, SERVICE, TOP_LEVEL, TOP_LEVEL_REFUSED
from quarterdeck.config.compose.refusals import (
    LEAVE_OUT,
    NOT_ON_ENGINES,
    NOT_ON_SWARMS,
    RunsOn,
    taken_back_by_swarm,
)
from quarterdeck.config.compose.relative import rooted
from quarterdeck.config.compose.scalars import PROJECT, project_name
from quarterdeck.config.compose.shapes import NamedMap
from quarterdeck.config.compose.variables import Environment
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode, shortened
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit, matching
from quarterdeck.config.shapes import Fields, Keys, ListOf, Scalar, wrong
from quarterdeck.config.source import read_node

_DECLARED = {
    "networks": NamedMap(declarations.NETWORK, "a mapping of networks"),
    "volumes": NamedMap(declarations.VOLUME, "a mapping of volumes"),
    "configs": NamedMap(declarations.CONFIG, "a mapping of configs"),
    "secrets": NamedMap(declarations.SECRET, "a mapping of secrets"),
}
WITHOUT = ListOf(
    Scalar("a key of the compose service such as depends_on or deploy.placement", matching(r"[a-z_]+(\.[a-z_]+)*")),
    "a list of keys such as [depends_on]",
    distinct=True,
)


class Surroundings(Protocol):
    """``name`` is the project's. ``environment`` None: no variable of this machine may be used."""

    name: str
    environment: Environment | None

    def declared(self, section: str, name: str, /) -> Fields | None:
        """What is declared for one of the networks, volumes, configs or secrets; None when nothing is."""
        ...

    def known(self, section: str, /) -> Iterable[str] | None:
        """The names that are declared there; None: none need to be."""
        ...


class InPlace(msgspec.Struct):
    """A container in the fleet file itself."""

    name: str
    environment: Environment | None = None

    def declared(self, _section: str, _name: str, /) -> Fields | None:
        return None

    def known(self, _section: str, /) -> Iterable[str] | None:
        return None


class Project(msgspec.Struct):
    """A compose file that was read. ``root`` is its top-level mapping, still with merge keys and variables below."""

    path: Path
    name: str
    root: MappingNode
    expansion: Expansion
    problems: Problems
    environment: Environment | None
    read: dict[tuple[str, str], Fields | None] = msgspec.field(default_factory=dict)

    def declared(self, section: str, name: str) -> Fields | None:
        key = (section, name)
        if key not in self.read:
            entry = self._section(section).get(name)
            shape = _DECLARED[section]
            self.read[key] = (
                None if entry is None else shape.one(name, entry[0], self.expansion.whole(entry[1]), self.problems)
            )
        return self.read[key]

    def known(self, section: str) -> Iterable[str] | None:
        return self._section(section).keys()

    def _section(self, section: str) -> Mapping[str, tuple[ScalarNode, Node]]:
        node = self.expansion.merged(self.root.value(section)) if section in self.root.entries else None
        if not isinstance(node, MappingNode):
            return {}
        return {name: (entry.key, entry.value) for name, entry in node.entries.items() if not name.startswith("x-")}

    def check(self) -> None:
        """Adds what is wrong with the file as a whole."""
        for name, (key, value) in self.root.entries.items():
            if name.startswith("x-"):
                continue
            if name in TOP_LEVEL_REFUSED:
                self.problems.add(key, f"`{name}` {TOP_LEVEL_REFUSED[name]}")
            elif name not in TOP_LEVEL:
                near = self.problems.nearest(name, TOP_LEVEL)
                self.problems.add(key, f"unknown key `{shortened(name)}` in a compose file", nearest=near)
            elif name not in ("name", "version") and not (
                isinstance(value, MappingNode) or (isinstance(value, ScalarNode) and value.is_null)
            ):
                wrong(value, f"a mapping of {name}", self.problems)

    def service(self, at: Node, name: str, without: Mapping[str, Node], directory: str | None = None) -> Fields | None:
        """The service ``name``, but for the keys that the fleet file leaves out knowingly. ``at`` is where it names it; ``directory``:
        where relative mounts begin on the hosts."""
        services = self._section("services")
        if name not in services:
            near = self.problems.nearest(name, services)
            self.problems.add(at, f"there is no service `{name}` in {self.path}", nearest=near)
            return None
        key, written = services[name]
        used: set[str] = set()
        node = self._kept(written, SERVICE, "", without, used)
        for left_out, where in without.items():
            if left_out not in used and left_out not in IMAGE:
                there = self.expansion.merged(written)
                near = self.problems.nearest(left_out, there.entries if isinstance(there, MappingNode) else ())
                self.problems.add(
                    where, f"the service `{name}` has no `{left_out}` that could be left out", nearest=near
                )
        if isinstance(node, ScalarNode) and node.is_null:
            return Fields(MappingNode(key.source, key.line, key.column, {}), {})
        whole = self.expansion.whole(node)
        found = SERVICE.read(whole if directory is None else rooted(whole, directory), self.problems)
        return found if isinstance(found, Fields) else None

    def _kept(self, node: Node, keys: Keys, above: str, without: Mapping[str, Node], used: set[str]) -> Node:
        """``node`` without what is left out, and without what is not supported, which is a problem."""
        spread = self.expansion.merged(node)
        if not isinstance(spread, MappingNode):
            return spread
        kept = {}
        for name, entry in spread.entries.items():
            path = above + name
            key = keys.by_name.get(name)
            if path in without:
                used.add(path)
            elif name.startswith("x-") or (not above and name in IMAGE):
                continue
            elif key is None:
                self._unsupported(entry.key, path, keys)
            elif isinstance(key.shape, Keys):
                kept[name] = entry._replace(value=self._kept(entry.value, key.shape, f"{path}.", without, used))
            else:
                kept[name] = entry
        return MappingNode(spread.source, spread.line, spread.column, kept)

    def service_names(self) -> tuple[str, ...]:
        return tuple(self._section("services"))

    def merged_service(self, name: str) -> Node:
        """The service ``name`` as it is written, its merge keys spread."""
        return self.expansion.merged(self._section("services")[name][1])

    def unsupported(self, name: str, runs_on: RunsOn = RunsOn.ENGINES) -> dict[str, str]:
        """What of the service ``name`` can't be had on an engine, or on a swarm, with the reason: what `without` has to name there."""
        service = self.merged_service(name)
        swarm = runs_on is RunsOn.SWARMS
        found: dict[str, str] = taken_back_by_swarm(service) if swarm else {}
        self._find_unsupported(service, SERVICE, "", NOT_ON_SWARMS if swarm else NOT_ON_ENGINES, found)
        return found

    def _find_unsupported(
        self, node: Node, keys: Keys, above: str, not_there: Mapping[str, str], found: dict[str, str]
    ) -> None:
        spread = self.expansion.merged(node)
        for name, entry in spread.entries.items() if isinstance(spread, MappingNode) else ():
            key = keys.by_name.get(name)
            if name.startswith("x-") or (not above and name in IMAGE):
                continue
            if key is None:
                found[above + name] = keys.refused.get(name, "is not known")
            elif above + name in not_there:
                found[above + name] = not_there[above + name]
            elif isinstance(key.shape, Keys):
                self._find_unsupported(entry.value, key.shape, f"{above}{name}.", not_there, found)

    def _unsupported(self, key: ScalarNode, path: str, keys: Keys) -> None:
        why = keys.refused.get(key.text)
        near = None if why else self.problems.nearest(key.text, keys.by_name)
        said = f"`{path}` {why}" if why else f"unknown key `{shortened(path)}` in {keys.title}"
        self.problems.add(key, said + LEAVE_OUT, nearest=near)


class ComposeFiles(msgspec.Struct):
    """The compose files that a fleet file points at, each read once."""

    problems: Problems
    roots: dict[Path, MappingNode | None] = msgspec.field(default_factory=dict)
    projects: dict[tuple[Path, str], Project | None] = msgspec.field(default_factory=dict)

    def project(self, at: ScalarNode, given: str | None) -> Project | None:
        """The project of the file that ``at`` names; ``given`` is its name when the fleet file says one."""
        path = at.source.path.parent / Path(at.text).expanduser()
        key = (path, given or "")
        if key not in self.projects:
            if path not in self.roots:
                self.roots[path] = self._root(path, at)
            root = self.roots[path]
            self.projects[key] = None if root is None else self._project(path, root, at, given)
        return self.projects[key]

    def _root(self, path: Path, at: ScalarNode) -> MappingNode | None:
        node = read_node(path, self.problems, included=at, merge=True)
        if node is None:
            return None
        if not isinstance(node, MappingNode) or "services" not in node.entries:
            # Said here, without a word of its content: it may be any file.
            self.problems.add(at, f"{path} is no compose file: it has no services")
            return None
        return node

    def _project(self, path: Path, root: MappingNode, at: ScalarNode, given: str | None) -> Project | None:
        directory = path.absolute().parent
        environment = Environment(directory, self.problems)
        expansion = Expansion(environment, self.problems)
        spread = expansion.merged(root)
        assert isinstance(spread, MappingNode)
        name = given or self._written_name(spread, expansion) or project_name(directory.resolve().name)
        if not name:
            self.problems.add(at, f"no project's name can be made of {directory}; write `project: NAME` beside it")
            return None
        environment.own["COMPOSE_PROJECT_NAME"] = name
        project = Project(path, name, spread, expansion, self.problems, environment)
        project.check()
        return project

    def _written_name(self, root: MappingNode, expansion: Expansion) -> str:
        node = root.value("name") if "name" in root.entries else None
        if node is None or (isinstance(node, ScalarNode) and node.is_null):
            return ""
        expected = "a project's name: small letters, digits, `-`, `_`"
        if not isinstance(node, ScalarNode):
            wrong(node, expected, self.problems)
            return "unnamed"
        written = expansion.scalar(node)
        try:
            return matching(PROJECT)(written.text)
        except Unfit:
            wrong(written, expected, self.problems)
            return "unnamed"


def left_out(node: Node) -> dict[str, Node]:
    """The keys of a `without` that was read, with their places."""
    items = node.items if isinstance(node, SequenceNode) else ()
    return {item.text: item for item in items if isinstance(item, ScalarNode)}
