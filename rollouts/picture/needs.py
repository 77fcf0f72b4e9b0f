"""What a picture needs of a fleet: the fleet file's own (config.model.Fleet) has it, and so has the short description from which the
first paint is made. Shapes only, for the type checker."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class PicturedHost(Protocol):
    @property
    def name(self) -> str: ...


class PicturedEnvironment(Protocol):
    @property
    def after(self) -> str | None: ...
    @property
    def until(self) -> str | None:
        """When a preview's lifetime is over (ISO 8601 UTC); None: it is none."""
        ...


class PicturedTarget(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def environment(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def hosts(self) -> Sequence[PicturedHost]: ...

    @property
    def routed(self) -> object:
        """Something that is true where a router is in front of it."""
        ...


class PicturedFleet(Protocol):
    """By the names that they have in the fleet file."""

    @property
    def name(self) -> str: ...

    @property
    def state(self) -> Path: ...

    @property
    def environments(self) -> Mapping[str, PicturedEnvironment]: ...

    @property
    def services(self) -> tuple[str, ...]: ...

    @property
    def targets(self) -> Mapping[str, PicturedTarget]: ...
