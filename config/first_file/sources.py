"""Where a first fleet file can come from: what lies in a directory, what the operator's home has, what is named."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from quarterdeck.config.first_file.draft import CannotBegin, Draft
from quarterdeck.config.first_file.from_compose import NAMES as COMPOSE
from quarterdeck.config.first_file.from_compose import read_compose
from quarterdeck.config.first_file.from_docker import read_contexts
from quarterdeck.config.first_file.from_kamal import NAMES as KAMAL
from quarterdeck.config.first_file.from_kamal import read_kamal_project
from quarterdeck.config.first_file.from_ssh import read_ssh_config
from quarterdeck.config.source import read_bytes

KINDS = ("compose", "kamal", "docker", "ssh")
_LARGEST = 1_000_000  # bytes looked at to tell what a file is


class Origin(msgspec.Struct, frozen=True):
    """``kind`` is one of ``KINDS``; ``path`` its file, of Docker's contexts their directory."""

    kind: str
    path: Path


class Surroundings(msgspec.Struct, frozen=True):
    """``home`` is None where there is none."""

    directory: Path
    home: Path | None
    variables: Mapping[str, str]

    @property
    def ssh_config(self) -> Path | None:
        return None if self.home is None else self.home / ".ssh" / "config"

    @property
    def docker(self) -> Path | None:
        given = self.variables.get("DOCKER_CONFIG")
        return Path(given) if given else None if self.home is None else self.home / ".docker"

    def here(self) -> list[Origin]:
        """What the directory itself has, at most one of a kind."""
        found = [
            _first(kind, [self.directory / name for name in names])
            for kind, names in (("compose", COMPOSE), ("kamal", KAMAL))
        ]
        return [origin for origin in found if origin is not None]

    def at_home(self) -> list[Origin]:
        """Hosts that the operator reaches already."""
        found: list[Origin] = []
        if self.ssh_config is not None and self.ssh_config.is_file():
            found.append(Origin("ssh", self.ssh_config))
        if self.docker is not None and any((self.docker / "contexts" / "meta").glob("*/meta.json")):
            found.append(Origin("docker", self.docker))
        return found

    def named(self, word: str) -> Origin:
        """A kind, or the path of a file. Raises ``CannotBegin``."""
        if word in KINDS:
            return self._of_kind(word)
        try:
            path = self.directory / Path(word).expanduser()
        except RuntimeError:
            raise CannotBegin(f"{word}: there is no such home directory") from None
        data = read_bytes(path, _LARGEST)
        if isinstance(data, str):
            hint = "" if "/" in word or "." in word else f"; --from takes {', '.join(KINDS)} or a file"
            raise CannotBegin(f"{data}{hint}")
        return Origin(kind_of(data.decode("utf-8", "replace"), word), path)

    def _of_kind(self, kind: str) -> Origin:
        for origin in (*self.here(), *self.at_home()):
            if origin.kind == kind:
                return origin
        looked = {
            "compose": f"there is none of {', '.join(COMPOSE)} in {self.directory}; name yours: --from FILE",
            "kamal": f"there is no {KAMAL[0]} in {self.directory}; name yours: --from FILE",
            "ssh": "there is no ~/.ssh/config; name yours: --from FILE",
            "docker": "there is no Docker context; docker context create makes one",
        }
        raise CannotBegin(looked[kind])


def _first(kind: str, places: list[Path]) -> Origin | None:
    return next((Origin(kind, place) for place in places if place.is_file()), None)


def kind_of(text: str, word: str) -> str:
    """What a file is, by what stands at the beginning of its lines. Raises ``CannotBegin``."""
    if re.search(r"(?m)^services\s*:", text):
        return "compose"
    if re.search(r"(?m)^service\s*:", text) and re.search(r"(?m)^(image|servers)\s*:", text):
        return "kamal"
    if re.search(r"(?im)^\s*host[\s=]+\S", text) and not re.search(r"(?m)^[a-z_]+:( |$)", text):
        return "ssh"
    raise CannotBegin(
        f"{word} is no compose file, no Kamal file and no SSH configuration, so far as can be told: a fleet file is made from these"
    )


def read(origin: Origin, beside: Path) -> Draft:
    """What is there, for a fleet file in ``beside``. Raises ``CannotBegin``."""
    match origin.kind:
        case "compose":
            return read_compose(origin.path, beside)
        case "kamal":
            return read_kamal_project(origin.path)
        case "ssh":
            return read_ssh_config(origin.path)
        case _:
            return read_contexts(origin.path)
