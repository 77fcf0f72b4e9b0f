"""From a version's name to the digest of its bytes, which is what a release remembers. Reads, and keeps nothing."""

import asyncio
import hashlib

from quarterdeck.backends.artifacts import checksums
from quarterdeck.backends.artifacts.location import PLACEHOLDER, Kind, Location, check_version, fill, parse, refused
from quarterdeck.backends.artifacts.places import (
    MAX_ARCHIVE_BYTES,
    MAX_CHECKSUM_FILE_BYTES,
    Memory,
    Place,
    Places,
    SftpConnect,
    within,
)
from quarterdeck.backends.artifacts.versions import listed, nearest
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError
from quarterdeck.config.model import Artifact
from quarterdeck.config.registries import RegistryLogins
from quarterdeck.config.release import ResolvedArtifact

_SAMPLE = "0"  # stands for a version where only the shape of a location matters


async def resolve(
    artifact: Artifact,
    version: str,
    *,
    deadline: float = 60.0,
    connect: SftpConnect | None = None,
    limit: int = MAX_ARCHIVE_BYTES,
    logins: RegistryLogins | None = None,
) -> ResolvedArtifact:
    """What ``version`` stands for now: its place, SHA-256 and size (bytes, None: the server does not say).

    ``deadline`` is seconds for all of it; ``connect`` opens SSH connections (sftp:// only; None: as ssh does);
    ``logins`` are those of the fleet file (images only).
    Raises ``ArtifactMissing`` (the advice names versions that exist), ``ArtifactRefused`` (no safe version, no usable
    checksum, not a file), ``Unreachable``, ``NotPermitted``. An image's version is a tag or a digest; see ``registry``.
    """
    if artifact.image:
        from quarterdeck.backends.artifacts.registry import resolve_image

        return await resolve_image(artifact, version, deadline=deadline, logins=logins or RegistryLogins())
    check_version(version)
    location = parse(fill(artifact.tarball, version), version)
    action = f"find version {version}"
    async with within(deadline, location.shown, action), Places(action, connect=connect) as places:
        place = await places.of(location)
        try:
            size = await place.size(location)
        except ArtifactMissing as missing:
            raise await _with_versions(missing, artifact, version, place) from None
        if size is not None and size > limit:
            raise refused(version, f"the file has {size} bytes, more than {limit}", host=location.shown)
        digest = await _digest(artifact, version, location, place, places, limit)
    return ResolvedArtifact(location=location.text, sha256=digest, size=size)


async def available(
    artifact: Artifact,
    *,
    limit: int = 20,
    deadline: float = 20.0,
    connect: SftpConnect | None = None,
    logins: RegistryLogins | None = None,
) -> list[str]:
    """At most ``limit`` versions that exist, newest first; empty where they can't be listed, or ``{version}`` lacks.

    Of images: tags in natural order, since a registry tells no times. Raises ``Unreachable``, ``NotPermitted``; of images
    also ``ArtifactMissing``, where there is no such repository.
    """
    if artifact.image:
        from quarterdeck.backends.artifacts.registry import image_tags

        return await image_tags(artifact.image, limit=limit, deadline=deadline, logins=logins or RegistryLogins())
    template = _template(artifact)
    if PLACEHOLDER not in artifact.tarball or template.kind is Kind.HTTP:
        return []
    action = "list the versions"
    found: list[str] = []
    async with within(deadline, template.shown, action), Places(action, connect=connect) as places:
        async for version in listed(await places.of(template), template):
            found.append(version)
            if len(found) >= limit:
                break
    return found


def _template(artifact: Artifact) -> Location:
    """The tarball's place with ``{version}`` still in its path."""
    if artifact.tarball.lower().startswith(("http://", "https://")):
        return parse(fill(artifact.tarball, _SAMPLE), _SAMPLE)
    return parse(artifact.tarball, PLACEHOLDER)


async def _with_versions(missing: ArtifactMissing, artifact: Artifact, version: str, place: Place) -> ArtifactMissing:
    try:
        versions = [found async for found in listed(place, _template(artifact))]
    except BackendError:
        versions = []
    near = nearest(version, versions)
    if near:
        advice = f"Nearest: {', '.join(near)} ({len(versions)} versions are there)"
    else:
        advice = missing.advice or "Look whether the version is spelled right and its build has ended"
    return ArtifactMissing(missing.host, missing.action, missing.problem, left=missing.left, advice=advice)


async def _digest(
    artifact: Artifact, version: str, location: Location, place: Place, places: Places, limit: int
) -> str:
    if artifact.sha256 is None:
        if location.kind is not Kind.PATH:
            raise refused(
                version,
                "there is no checksum to tell its bytes by",
                host=location.shown,
                advice="Give sha256: 64 hex digits, or the URL of a file that sha256sum wrote",
            )
        computed = _Digest()
        await place.read(location, computed, limit=limit)
        return computed.sha256.hexdigest()
    if checksums.is_literal(artifact.sha256):
        return artifact.sha256.lower()
    source = parse(fill(artifact.sha256, version), version)
    written = Memory()
    try:
        await (await places.of(source)).read(source, written, limit=MAX_CHECKSUM_FILE_BYTES)
    except ArtifactMissing as missing:
        raise ArtifactMissing(
            missing.host,
            missing.action,
            f"the checksum: {missing.problem}",
            left=missing.left,
            advice="Publish it beside the tarball, or correct sha256: in the fleet file",
        ) from None
    try:
        return checksums.find(written.data.decode("utf-8", "replace"), location.name)
    except checksums.NoChecksum as problem:
        raise ArtifactRefused(
            source.shown, f"find version {version}", f"the checksum file: {problem}", left="Nothing was changed"
        ) from None


class _Digest:
    """A sink that only computes."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    async def begin(self) -> None:
        self.sha256 = hashlib.sha256()

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self.sha256.update, data)
