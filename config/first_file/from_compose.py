"""A compose file: each service that has an image becomes one of the fleet, and is pointed at where it is described. Nothing
is copied; what can't be had is left out by name."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from quarterdeck.config.compose.project import ComposeFiles, Project
from quarterdeck.config.compose.refusals import RunsOn, says_a_swarm
from quarterdeck.config.compose.scalars import NAME
from quarterdeck.config.compose.service import make
from quarterdeck.config.first_file.draft import (
    CannotBegin,
    Draft,
    FoundSecret,
    FoundService,
    Said,
    Told,
    Waiting,
)
from quarterdeck.config.first_file.naming import free_name
from quarterdeck.config.first_file.secret_looks import looks_secret, without_secrets
from quarterdeck.config.nodes import MappingNode, Node, ScalarNode, SequenceNode, Source
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import IMAGE, VARIABLE, Unfit, image_repository

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")  # in Compose's order
_KEY = re.compile(r"[a-z_]+(\.[a-z_]+)*")
_ONE_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:[:?+-][^{}]*)?\}|\$([A-Za-z_][A-Za-z0-9_]*)")
_LEFT_OUT = {
    RunsOn.ENGINES: "left out knowingly: a host alone can't have it",
    RunsOn.SWARMS: "left out knowingly: a Swarm can't have it",
}
OVERRIDES = ("override.yaml", "override.yml")


def read_compose(path: Path, beside: Path) -> Draft:
    """What ``path`` describes, for a fleet file in the directory ``beside``. Raises ``CannotBegin``."""
    problems = Problems()
    project = _project(path, problems)
    if project is None:
        first = without_secrets(str(next(iter(problems.found.values()))))
        raise CannotBegin(f"{path} can't be taken over: {first}")
    found: list[FoundService] = []
    waiting: list[Waiting] = []
    left: list[Said] = []
    secrets: list[FoundSecret] = []
    runs_on = RunsOn.SWARMS if any(_says_a_swarm(project, name) for name in project.service_names()) else RunsOn.ENGINES
    for name in project.service_names():
        one = _Service(
            path, beside, name, runs_on, {service.name for service in (*found, *(one.service for one in waiting))}
        )
        one.read()
        left += one.left
        secrets += one.secrets
        if one.service is not None and not one.why:
            found.append(one.service)
        elif one.service is not None:
            waiting.append(Waiting(one.service, tuple(one.why)))
    for other in _overrides(path):
        left.append(
            Said(other.name, "the whole file", "a fleet points at one compose file; what it adds must be there")
        )
    return Draft(
        origins=(path.name,),
        fleet=project.name,
        services=tuple(found),
        left=tuple(left),
        secrets=tuple(secrets),
        waiting=tuple(waiting),
    )


def _says_a_swarm(project: Project, name: str) -> str:
    return says_a_swarm(project.merged_service(name))


def _overrides(path: Path) -> list[Path]:
    stem = path.name.rpartition(".")[0]
    return [other for end in OVERRIDES if (other := path.parent / f"{stem}.{end}").is_file()]


def _project(path: Path, problems: Problems) -> Project | None:
    at = ScalarNode(Source(path.parent / "fleet.yml", path.absolute().parent), 1, 1, path.name, True)
    return ComposeFiles(problems).project(at, None)


class _Service(msgspec.Struct):
    """One service of the file. ``why`` it can't be used as it is: said by the reader that a fleet file is read with."""

    path: Path
    beside: Path
    name: str
    runs_on: RunsOn  # what the whole file is for
    taken: set[str]
    service: FoundService | None = None
    why: list[str] = msgspec.field(default_factory=list)
    left: list[Said] = msgspec.field(default_factory=list)
    secrets: list[FoundSecret] = msgspec.field(default_factory=list)

    @property
    def source(self) -> str:
        return f"{self.path.name}: {self.name}"

    def read(self) -> None:
        problems = Problems()
        project = _project(self.path, problems)
        assert project is not None  # it was read before
        written = project.merged_service(self.name)
        if not isinstance(written, MappingNode) or "image" not in written.entries:
            self.left.append(
                Said(self.source, "the service", "it has no image: name the one that its build is pushed as")
            )
            return
        image = self._image(project, written.value("image"))
        if image is None:
            return
        if not re.fullmatch(NAME, self.name):
            self.left.append(Said(self.source, "the service", "its name can't be said in a fleet file"))
            return
        unsupported = project.unsupported(self.name, self.runs_on)
        without = [key for key in unsupported if _KEY.fullmatch(key)]
        self.left += [Said(self.source, key, why) for key, why in unsupported.items()]
        if "build" in written.entries:
            self.left.append(
                Said(self.source, "build", "a release is an image that is there already: build and push it in CI")
            )
        relative = (
            _relative_mounts(project.expansion.whole(written.value("volumes"))) if "volumes" in written.entries else []
        )
        directory = f"/srv/{project.name}" if relative else None
        keys, to_do = self._keys(project, problems, image, without, directory)
        if relative:
            to_do.append(f"{', '.join(relative)} are looked for below {directory} on the hosts: put them there")
        self.service = FoundService(
            free_name(self.name, self.taken, "service"),
            self.source,
            keys,
            to_do=tuple(to_do),
            says_swarm=_says_a_swarm(project, self.name),
        )
        self.why += [without_secrets(problem.message) for problem in problems.found.values()]

    def _keys(
        self, project: Project, problems: Problems, image: str, without: list[str], directory: str | None
    ) -> tuple[dict[str, object], list[str]]:
        at = os.path.relpath(self.path, self.beside)
        pointer: dict[str, object] = {"compose": at, "service": self.name}
        if directory is not None:
            pointer["directory"] = directory
        if without:
            pointer["without"] = without
        place = ScalarNode(Source(self.path, self.path.parent), 1, 1, self.name, True)
        fields = project.service(place, self.name, dict.fromkeys(without, place), directory)
        container: object = Told(pointer, _LEFT_OUT[self.runs_on]) if without else pointer
        keys: dict[str, object] = {"artifact": Told({"image": image}, "the version is the tag"), "container": container}
        to_do: list[str] = []
        if fields is not None:
            made = make(fields, self.name, project, problems, runs_on=self.runs_on)
            references = self._references(project, made.env)
            references |= {name: {"env": _variable(name)} for name in made.needed if name not in references}
            for name in made.needed:
                self.secrets.append(FoundSecret(_variable(name), f"{self.source}: secrets", self.name))
            if references:
                keys["secrets"] = references
            if "healthcheck" not in fields.values:
                to_do.append("say how one knows that it is well, such as health: {http: {port: 8080, path: /healthz}}")
        return keys, to_do

    def _references(self, project: Project, variables: Mapping[str, str]) -> dict[str, object]:
        """References for the variables that look like secrets: they come over what the compose file says."""
        found: dict[str, object] = {}
        written = _written(project.merged_service(self.name))
        for name, value in variables.items():
            if value and re.fullmatch(VARIABLE, name) and looks_secret(name, value):
                # Filled in from one variable as a whole, it is that variable which holds the value.
                whole = _ONE_VARIABLE.fullmatch(written.get(name, ""))
                variable = (whole[1] or whole[2]) if whole else name
                found[name] = {"env": variable}
                self.secrets.append(FoundSecret(variable, f"{self.source}: environment", self.name))
        return found

    def _image(self, project: Project, node: Node) -> str | None:
        written = project.expansion.scalar(_tag_aside(node)) if isinstance(node, ScalarNode) else None
        try:
            if written is None:
                raise Unfit("it is no text")
            return image_repository(_repository(written.text))
        except Unfit:
            shown = node.shown if isinstance(node, ScalarNode) else "image"
            why = "its image is no repository that a version's tag could be added to"
            if "$" in shown:
                why += "; set its variables, or put them into .env beside it"
            self.left.append(Said(self.source, f"image {shown}", why))
            return None


def _tag_aside(node: ScalarNode) -> ScalarNode:
    """Without a tag or digest that is filled in from a variable: it need not be set to know the repository."""
    text = re.sub(r"[:@](\$\{[^{}]*\}|\$[A-Za-z_][A-Za-z0-9_]*)$", "", node.text)
    return msgspec.structs.replace(node, text=text, written=node.shown)


def _repository(text: str) -> str:
    """The image's name without tag and digest."""
    name = text.partition("@")[0]
    before, colon, tag = name.rpartition(":")
    return before if colon and "/" not in tag and re.fullmatch(IMAGE, before) else name


def _variable(name: str) -> str:
    made = re.sub(r"[^A-Za-z0-9_]", "_", name).upper()
    return made if re.fullmatch(VARIABLE, made) else f"SECRET_{made}"


def _written(service: Node) -> dict[str, str]:
    """What the service's `environment` says, before variables are filled in."""
    node = (
        service.value("environment") if isinstance(service, MappingNode) and "environment" in service.entries else None
    )
    if isinstance(node, MappingNode):
        return {name: one.value.text for name, one in node.entries.items() if isinstance(one.value, ScalarNode)}
    items = node.items if isinstance(node, SequenceNode) else ()
    pairs = (item.text.partition("=") for item in items if isinstance(item, ScalarNode))
    return {name: value if sign else f"${name}" for name, sign, value in pairs}


def _relative_mounts(volumes: Node) -> list[str]:
    found = []
    for item in volumes.items if isinstance(volumes, SequenceNode) else ():
        if isinstance(item, ScalarNode):
            source = item.text.partition(":")[0]
            if source.startswith(".") or ("/" in source and not source.startswith(("/", "~"))):
                found.append(source)
        elif isinstance(item, MappingNode):
            kind, at = item.value("type"), item.value("source")
            bind = isinstance(kind, ScalarNode) and kind.text == "bind" and isinstance(at, ScalarNode)
            if bind and isinstance(at, ScalarNode) and not at.text.startswith(("/", "~")):
                found.append(at.text)
    return found
