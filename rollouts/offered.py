"""Versions that lie where a target's artifacts come from, whether anybody has released them or not. Reads names, then only as much of
each one as is asked for; downloads nothing."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.config.model import Artifact, Fleet
from quarterdeck.config.registries import RegistryLogins

MOST: Final = 50  # versions
LISTING: Final = 15.0  # seconds
DETAILS: Final = 10.0  # seconds for those that are asked for together
_AT_ONCE: Final = 4


class Offered(msgspec.Struct, frozen=True):
    """``digest``, ``size`` (bytes) and ``created`` (ISO 8601 UTC, as the builder wrote it) where they are known: of images."""

    version: str
    digest: str = ""
    size: int | None = None
    created: str | None = None


async def offered_versions(
    fleet: Fleet, artifact: Artifact, *, limit: int = MOST, deadline: float = LISTING
) -> tuple[str, ...]:
    """Their names, newest first; none where a place can't be listed. Raises BackendError."""
    if artifact.image_on:
        from quarterdeck.backends.hosts.opening import Hosts

        hosts = Hosts.of(fleet)
        return tuple((await hosts.image_tags(fleet.hosts[artifact.image_on], artifact.image))[:limit])
    from quarterdeck.backends.artifacts import available, over_ssh

    connect = over_ssh(fleet.ssh_config, fleet.known_hosts)
    logins = RegistryLogins.of(fleet)
    return tuple(await available(artifact, limit=limit, deadline=deadline, connect=connect, logins=logins))


async def offered_details(
    fleet: Fleet, artifact: Artifact, versions: Iterable[str], *, deadline: float = DETAILS
) -> dict[str, Offered]:
    """Of images; what can't be had in time, or at all, is left without them. Raises nothing."""
    asked = list(versions)
    if artifact.image_on:
        there = await _on_the_engine(fleet, artifact, deadline)
        return {version: there.get(version, Offered(version)) for version in asked}
    if not artifact.image:
        return {version: Offered(version) for version in asked}
    from quarterdeck.backends.artifacts.registry import image_details

    limit, logins = asyncio.Semaphore(_AT_ONCE), RegistryLogins.of(fleet)
    end = asyncio.get_running_loop().time() + deadline

    async def one(version: str) -> Offered:
        try:
            async with asyncio.timeout_at(end), limit:
                found = await image_details(artifact.image, version, deadline=deadline, logins=logins)
        except (BackendError, TimeoutError):
            return Offered(version)
        created = _as_text(found.created) if found.created is not None else None
        return Offered(version, found.digest.removeprefix("sha256:"), found.size, created)

    found = await asyncio.gather(*(one(version) for version in asked))
    return {each.version: each for each in found}


async def _on_the_engine(fleet: Fleet, artifact: Artifact, deadline: float) -> dict[str, Offered]:
    """Of images that no registry has the digest is their id."""
    from quarterdeck.backends.hosts.opening import Hosts

    try:
        async with asyncio.timeout(deadline):
            found = await Hosts.of(fleet).tagged_images(fleet.hosts[artifact.image_on], artifact.image)
    except (BackendError, TimeoutError):
        return {}
    return {
        one.tag: Offered(
            one.tag,
            one.id.removeprefix("sha256:"),
            one.size,
            _as_text(datetime.fromtimestamp(one.created, UTC)) if one.created else None,
        )
        for one in found
    }


def _as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unreleased(offered: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """Those that nobody has released yet, in their order."""
    have = set(known)
    return tuple(version for version in offered if version not in have)
