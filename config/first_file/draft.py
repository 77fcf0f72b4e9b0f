"""What the readers find: hosts, services, logins, and all that is to be said about them. No reader knows another."""

from collections.abc import Mapping
from typing import Any

import msgspec


class CannotBegin(Exception):
    """There is nothing that a fleet file could be made of. The sentence says what was looked at and what to do next."""


class Told(msgspec.Struct, frozen=True):
    """A value with a comment behind it."""

    value: Any
    comment: str


class Said(msgspec.Struct, frozen=True):
    """``what`` of ``source`` (as a person would point at it) was not taken over, and why."""

    source: str
    what: str
    why: str


class FoundHost(msgspec.Struct, frozen=True):
    """``ssh``, ``docker`` or ``swarm`` as the fleet file has them, the other ones empty. ``says_swarm``: whoever made it meant a Swarm's
    manager."""

    name: str
    ssh: str = ""
    docker: str = ""
    swarm: tuple[str, ...] = ()
    comment: str = ""
    says_swarm: bool = False


class FoundService(msgspec.Struct, frozen=True):
    """``keys`` are those of the fleet file, as text, lists and mappings, ``Told`` where a comment belongs behind one. ``to_do``
    is what a person must fill in. ``environments`` are the only ones where it runs; None: everywhere. ``says_swarm``: by which key it is
    described for a Swarm; empty: by none."""

    name: str
    source: str
    keys: Mapping[str, Any]
    comment: str = ""
    to_do: tuple[str, ...] = ()
    environments: tuple[str, ...] | None = None
    says_swarm: str = ""

    @property
    def is_container(self) -> bool:
        return "container" in self.keys


class FoundSecret(msgspec.Struct, frozen=True):
    """``variable`` is read from the environment of whoever runs qd, where ``source`` had its value or its name."""

    variable: str
    source: str
    service: str


class Waiting(msgspec.Struct, frozen=True):
    """A service that the file could not be read with: it stands there as a comment, with the reasons."""

    service: FoundService
    why: tuple[str, ...]


class Draft(msgspec.Struct, frozen=True):
    """``environments`` → their hosts; empty where the source knows none. ``origins`` are the sources, for the first comment."""

    origins: tuple[str, ...] = ()
    fleet: str = ""
    hosts: tuple[FoundHost, ...] = ()
    environments: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    services: tuple[FoundService, ...] = ()
    registries: Mapping[str, Any] = msgspec.field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    left: tuple[Said, ...] = ()
    secrets: tuple[FoundSecret, ...] = ()
    to_do: tuple[str, ...] = ()
    waiting: tuple[Waiting, ...] = ()
