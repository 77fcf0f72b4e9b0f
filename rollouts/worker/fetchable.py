"""Whether the image that a rollback would have to fetch can still be had: asked before anybody says go, and only where a host lacks it.

Changes nothing, and never stops a rollback: what the registry says to this machine is a warning, the engines ask it themselves.
"""

from collections.abc import Iterable
from typing import Final

from quarterdeck.backends.errors import BackendError
from quarterdeck.config.registries import RegistryLogins
from quarterdeck.config.release import Release
from quarterdeck.rollouts.plans.plan import HostNow
from quarterdeck.rollouts.way_back.ahead import without_copy

_PATIENCE: Final = 4.0  # seconds that a rollback's card waits for a registry


def has_registry(release: Release) -> bool:
    """Whether a host without a copy fetches it by itself."""
    return release.container is not None and "@sha256:" in release.artifact.location


async def why_not_fetchable(release: Release, hosts: Iterable[HostNow], logins: RegistryLogins) -> str:
    """The reason, in words; empty where no host that answered lacks the image, where the registry has it, and for what is no image
    of a registry."""
    location = release.artifact.location
    if not has_registry(release) or not without_copy(release.id, hosts):
        return ""
    from quarterdeck.backends.artifacts.http_tries import Retries
    from quarterdeck.backends.artifacts.registry import image_exists

    try:
        there = await image_exists(location, deadline=_PATIENCE, retries=Retries(tries=2), logins=logins)
    except BackendError as error:
        return f"{error.host}: {error.problem}"
    return "" if there else f"the registry has no {location} any more"
