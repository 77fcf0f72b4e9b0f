"""The fleet file's key `container`: Compose's keys in place, or a service of a compose file that it points at."""

from typing import Any

from quarterdeck.config.compose.keys import IN_PLACE
from quarterdeck.config.compose.project import WITHOUT, ComposeFiles, InPlace, left_out
from quarterdeck.config.compose.refusals import RunsOn
from quarterdeck.config.compose.relative import host_directory
from quarterdeck.config.compose.scalars import NAME, PROJECT
from quarterdeck.config.compose.service import Made, make
from quarterdeck.config.locations import LocalPath
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import matching
from quarterdeck.config.shapes import Fields, Key, Keys, Scalar, Schema, Shape, wrong

POINTED_AT = Keys(
    "a container of a compose file",
    (
        Key(
            "compose", LocalPath("the path of a compose file"), "The compose file, relative to this one.", required=True
        ),
        Key("service", Scalar("the name of a service", matching(NAME)), "Its service.", required=True),
        Key(
            "project",
            Scalar("a project's name: small letters, digits, `-`, `_`", matching(PROJECT)),
            "The project's name, instead of the file's `name` or its directory's.",
        ),
        Key(
            "directory",
            Scalar("an absolute path on the hosts", host_directory),
            "Where the relative paths of its mounts begin on the hosts.",
        ),
        Key("without", WITHOUT, "Keys of the service that are left out knowingly, such as depends_on."),
    ),
)


class Container(Shape, frozen=True):
    """Read as ``Fields`` of the one or the other; ``Containers`` makes the container of it."""

    expected: str = "a mapping of Compose's keys, or {compose: FILE, service: NAME}"

    def read(self, node: Node, problems: Problems) -> Any:
        if not isinstance(node, MappingNode):
            return wrong(node, self.expected, problems)
        return (POINTED_AT if points(node) else IN_PLACE).read(node, problems)

    def schema(self, definitions: dict[str, Schema], /) -> Schema:
        return {"anyOf": [POINTED_AT.schema(definitions), IN_PLACE.schema(definitions)]}


CONTAINER = Container()


def points(node: MappingNode) -> bool:
    """Whether it points at a compose file. The others are no keys of a service, so they say so as well."""
    return any(name in node.entries for name in POINTED_AT.by_name)


class Containers:
    """Makes the containers of a fleet: what a compose file describes once for engines and once for swarms, what stands in place once an
    environment."""

    def __init__(self, fleet: str, problems: Problems) -> None:
        self.fleet = fleet
        self.problems = problems
        self.files = ComposeFiles(problems)
        self.made: dict[tuple[int, str, str, RunsOn | None], Made | None] = {}

    def made_of(self, written: Fields, service: str, environment: str, runs_on: RunsOn | None) -> Made | None:
        """The container that ``written`` describes for ``service``; None when what is wrong does not let one be made. ``runs_on`` None:
        what its hosts are is not known."""
        key = (id(written), service, "" if points(written.node) else environment, runs_on)
        if key not in self.made:
            self.made[key] = self._make(written, service, environment, runs_on)
        return self.made[key]

    def _make(self, written: Fields, service: str, environment: str, runs_on: RunsOn | None) -> Made | None:
        if not points(written.node):
            # Two environments on one engine share no network, where one would answer the other's callers, and no data.
            return make(written, service, InPlace(f"{self.fleet}-{environment}"), self.problems, runs_on=runs_on)
        at, named = written.node.value("compose"), written.node.value("service")
        needed = {"compose", "service", *({"directory"} & written.node.entries.keys())}
        if not isinstance(at, ScalarNode) or not needed <= written.values.keys():
            return None  # reported
        project = self.files.project(at, written.values.get("project"))
        if project is None:
            return None
        without = left_out(written.node.value("without"))
        found = project.service(named, written.values["service"], without, written.values.get("directory"))
        if found is None:
            return None
        return make(found, written.values["service"], project, self.problems, runs_on=runs_on)
