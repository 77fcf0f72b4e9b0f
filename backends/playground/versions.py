"""Which versions of the playground's services there are and what is wrong with two of them."""

from collections.abc import Mapping

import msgspec


class BadVersions(msgspec.Struct, frozen=True):
    """``at_once`` fails its health check; ``under_traffic`` is healthy, and fails every fifth request once used."""

    at_once: str
    under_traffic: str


# What the service's own RELEASE file says of each; the words are those of service.py.
FAULTS: Mapping[str, str] = {"v1": "none", "v2": "none", "v3": "health", "v4": "traffic"}


def bad_versions() -> BadVersions:
    """The same for every service of the playground."""
    return BadVersions(at_once="v3", under_traffic="v4")
