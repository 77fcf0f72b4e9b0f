"""The names and labels that Quarterdeck gives to what it makes on an engine. Pure.

Only what carries ``TARGET`` with the target's name is ever stopped, renamed or removed."""

import hashlib
import re
from typing import Final

from quarterdeck.config.release import Release

_PREFIX: Final = "dev.quarterdeck."
TARGET: Final = f"{_PREFIX}target"
FLEET: Final = f"{_PREFIX}fleet"  # whose target it is: two fleets may have one of the same name
RELEASE: Final = f"{_PREFIX}release"
DIGEST: Final = f"{_PREFIX}digest"  # of the release
EPOCH: Final = f"{_PREFIX}epoch"
OPERATION: Final = f"{_PREFIX}op"
MANIFEST: Final = f"{_PREFIX}manifest"  # as an SSH host keeps it: enough for another bastion to adopt it
NAME: Final = f"{_PREFIX}name"  # the name that the container has, or will have, while it is live
SECRETS: Final = f"{_PREFIX}secrets"  # the host's directory in memory that holds a container's secret files
PORTS: Final = f"{_PREFIX}ports"  # of the host, chosen out of ranges when the container was made
MADE: Final = f"{_PREFIX}made"  # on networks and volumes that were missing
ROLE: Final = f"{_PREFIX}role"  # of what is no release's container: see below
STATE: Final = f"{_PREFIX}state"  # of a register's volume: what the target's hosts remember
NONCE: Final = f"{_PREFIX}nonce"
GENERATION: Final = f"{_PREFIX}generation"

HOOK: Final = "hook"  # the container of one hook
CARRIER: Final = "carrier"  # never started: the way into the host's memory

_ODD: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def slug(target: str) -> str:
    """The target as part of a name on the engine, different for different targets: ``production-api-3f2a91c0``."""
    return f"{_ODD.sub('-', target)}-{hashlib.sha256(target.encode()).hexdigest()[:8]}"


def live_name(release: Release) -> str:
    """The name of the container that takes the traffic. The engine gives it to one container only."""
    spec = release.container
    return spec.container_name if spec is not None and spec.container_name else _ODD.sub("-", release.target)


def tag(release_id: str) -> str:
    """The release as an image's tag: at most 128 characters, and none that a tag can't have."""
    return _ODD.sub("-", release_id)[-128:].lstrip(".-")


def kept_name(live: str, release_id: str) -> str:
    """The name of a container that waits: staged, or stopped and kept."""
    return f"{live}.{_ODD.sub('-', release_id)}"
