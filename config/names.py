"""Finds what the user named in a fleet that was loaded, and says what is near when there is no such thing."""

from collections.abc import Iterable
from difflib import get_close_matches

from quarterdeck.config.model import Fleet, Target


class UnknownName(Exception):
    """There is no such thing. ``kind`` says of what, ``nearest`` are known names that are like it, the best first."""

    def __init__(self, kind: str, name: str, nearest: Iterable[str], why: str = "") -> None:
        self.kind, self.name, self.nearest, self.why = kind, name, tuple(nearest), why
        message = f"there is no {kind} {name!r}" + (f": {why}" if why else "")
        super().__init__(f"{message}; did you mean {' or '.join(self.nearest)}?" if self.nearest else message)


def find_target(fleet: Fleet, name: str) -> Target:
    """The target ``environment/service``. Raises ``UnknownName`` with the targets that are nearest."""
    found = fleet.targets.get(name)
    if found is not None:
        return found
    environment, slash, service = name.partition("/")
    known = list(fleet.targets)
    if not slash:
        # A bare service or environment: every target with that name, then whatever is like it.
        whole = [target for target in known if name in target.split("/")]
        like = [*_like(name, fleet.services), *_like(name, fleet.environments)]
        near = whole or [target for part in like for target in known if part in target.split("/")]
        raise UnknownName("target", name, near[:3] or known[:3], "a target is written environment/service")
    why = ""
    if environment in fleet.environments and service in fleet.services:
        why = f"the fleet file says that {service} is not in {environment}"
    elif environment not in fleet.environments:
        why = f"there is no environment {environment!r}"
    elif service not in fleet.services:
        why = f"there is no service {service!r}"
    raise UnknownName("target", name, _like(name, known), why)


def find_environment(fleet: Fleet, name: str) -> list[Target]:
    """The targets of an environment, in the order of the file. Raises ``UnknownName`` with the nearest environments."""
    if name not in fleet.environments:
        raise UnknownName("environment", name, _like(name, fleet.environments))
    return [target for target in fleet.targets.values() if target.environment == name]


def _like(name: str, known: Iterable[str]) -> list[str]:
    return get_close_matches(name.casefold()[:80], list(known), n=3, cutoff=0.5)
