"""The logins that a fleet file gives for registries: which of them a repository gets. Reads no value of a secret."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from quarterdeck.config.model import Fleet, RegistryLogin


class RegistryLogins(msgspec.Struct, frozen=True):
    """``logins`` by a registry (``registry.acme.io:5000``), or by a part of its repositories (``gitlab.acme.io:5050/shop``).
    ``base``: where relative paths of secrets start from, and commands."""

    logins: Mapping[str, RegistryLogin] = msgspec.field(default_factory=dict)
    base: Path = Path()

    @classmethod
    def of(cls, fleet: Fleet) -> Self:
        return cls(fleet.registries, fleet.file.parent)

    def find(self, repository: str) -> tuple[str, RegistryLogin] | None:
        """The name and the login of the longest name that ``repository`` (with its registry in front) lies below; None: none."""
        parts = repository.split("/")
        for length in range(len(parts), 0, -1):
            name = "/".join(parts[:length])
            if name in self.logins:
                return name, self.logins[name]
        return None
