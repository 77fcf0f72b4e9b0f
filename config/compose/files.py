"""The files that a container gets: configs, which are part of its release, and secrets, of which only the place is known."""

from collections.abc import Mapping
from typing import Any

import msgspec

from quarterdeck.config.compose.mounts import external_name
from quarterdeck.config.compose.project import Surroundings
from quarterdeck.config.compose.shapes import Placed
from quarterdeck.config.container import ContainerFile, SecretFile
from quarterdeck.config.locations import read_text
from quarterdeck.config.model import SecretReference
from quarterdeck.config.nodes import Node, said, without_values
from quarterdeck.config.problems import Problems
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Fields


class Files(msgspec.Struct):
    """``references`` are the secrets that the compose file itself says where to find; ``needed`` those that it does not."""

    around: Surroundings
    problems: Problems
    files: list[ContainerFile] = msgspec.field(default_factory=list)
    secrets: list[SecretFile] = msgspec.field(default_factory=list)
    references: dict[str, SecretReference] = msgspec.field(default_factory=dict)
    needed: dict[str, Node] = msgspec.field(default_factory=dict)

    def read(self, service: Fields, taken: dict[str, Node]) -> None:
        """Reads `configs` and `secrets`. ``taken``: what is mounted in the container already, by its path."""
        for placed in service.values.get("configs", ()):
            source, options = _source(placed)
            content = self._content(source, placed) if source is not None else None
            if source is None or content is None:
                continue
            target = _absolute(options.get("target", source), "/")
            self._take(target, placed, taken)
            self.files.append(ContainerFile(target, content, **_owner(options)))
        for placed in service.values.get("secrets", ()):
            name, options = _source(placed)
            if name is None:
                continue
            target = _absolute(options.get("target", name), "/run/secrets/")
            self._take(target, placed, taken)
            self.secrets.append(SecretFile(self._secret(name, placed.node), target, **_owner(options)))

    def _take(self, target: str, placed: Placed, taken: dict[str, Node]) -> None:
        if target in taken:
            self.problems.add(placed.node, f"something else is mounted at {target} already")
        if ".." in target.split("/") or "\0" in target:
            self.problems.add(placed.node, f"{target!r} is no path of a file in the container")
        taken.setdefault(target, placed.node)

    def _content(self, source: str, placed: Placed) -> str | None:
        known = self.around.known("configs")
        if known is None:
            described = placed.value if isinstance(placed.value, Fields) else None
            if described is None or described.has("file") == described.has("content"):
                self.problems.add(
                    placed.node,
                    f"`{source}` needs either `file` or `content`: {{source: {source}, target: …, file: …}}",
                )
                return None
        else:
            described = self.around.declared("configs", source)
            if source not in known:
                near = self.problems.nearest(source, known)
                self.problems.add(
                    placed.node,
                    f"there is no config `{said(placed.node, source)}` among the file's `configs`",
                    nearest=near,
                )
        return self._text(described) if described is not None else None

    def _text(self, described: Fields) -> str | None:
        values = described.values
        if "content" in values:
            return str(values["content"])
        if "environment" in values and self.around.environment is not None:
            text = self.around.environment.lookup(values["environment"])
            if text is None:
                at = described.node.value("environment")
                self.problems.add(at, f"`{said(at, values['environment'])}` is not set")
            return text
        if "file" not in values:
            return None  # reported
        self.problems.reading(values["file"])
        found = read_text(values["file"])
        if isinstance(found, Unfit):
            at = described.node.value("file")
            self.problems.add(at, without_values(at, str(found), values["file"]))
            return None
        return found

    def _secret(self, name: str, at: Node) -> str:
        """The name that the secret has among the target's."""
        described = self.around.declared("secrets", name)
        if described is None:
            self.needed.setdefault(name, at)
            return name
        values = described.values
        if "file" in values:
            self.references[name] = SecretReference("file", values["file"])
        elif "environment" in values:
            self.references[name] = SecretReference("env", values["environment"])
        else:
            name = external_name(values, name) or name
            self.needed.setdefault(name, at)
        return name


def _source(placed: Placed) -> tuple[str | None, Mapping[str, Any]]:
    if isinstance(placed.value, Fields):
        return placed.value.values.get("source"), placed.value.values
    return placed.value, {}


def _absolute(path: str, directory: str) -> str:
    return path if path.startswith("/") else directory + path


def _owner(options: Mapping[str, Any]) -> dict[str, int]:
    return {name: options[name] for name in ("uid", "gid", "mode") if name in options}
