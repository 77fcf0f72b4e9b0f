"""Images that travel without a registry: found on one engine, saved from it, loaded into another.

Such an image is known by its id, the digest of its configuration, which saving and loading do not change: what was loaded is read back
and compared. Its release's location is that id alone."""

from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from quarterdeck.backends.artifacts.versions import nearest
from quarterdeck.backends.errors import (
    ArtifactMissing,
    ArtifactRefused,
    BackendError,
    CommandFailed,
    EngineRefused,
    NoSpace,
)
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Body, find_image
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release, ResolvedArtifact

PIECE: Final = 64 * 1024  # bytes
_BEGIN: Final = 60.0  # seconds for an engine to begin to save an image
_UNTOUCHED: Final = "Nothing was changed"


class Sink(Protocol):
    async def write(self, data: bytes) -> None: ...

    async def flush(self) -> None: ...


def travels(release: Release) -> bool:
    """Whether no registry has its image."""
    return release.artifact.location.startswith("sha256:")


async def find(engine: Engine, repository: str, version: str, *, deadline: float = 20.0) -> ResolvedArtifact:
    """What the tag ``version`` stands for on this engine now. Raises ``ArtifactMissing`` (the advice names tags that are there)."""
    action = f"find version {version}"
    reference = f"{repository}:{version}"
    body = await find_image(engine, action, reference, deadline=deadline)
    if body is None:
        near = nearest(version, await tags(engine, repository, deadline=deadline))
        advice = (
            f"Nearest: {', '.join(near)}"
            if near
            else "Look whether the version is spelled right and its build has ended"
        )
        raise ArtifactMissing(engine.host, action, f"there is no image {reference}", left=_UNTOUCHED, advice=advice)
    id = str(body["Id"])
    return ResolvedArtifact(location=id, sha256=id.removeprefix("sha256:"), size=body.get("Size"))


class Tagged(msgspec.Struct, frozen=True):
    """An image under one of its tags. ``id`` with sha256:, ``size`` in bytes as it lies there, ``created`` in seconds since the epoch."""

    tag: str
    id: str
    size: int | None
    created: int | None


async def tagged(engine: Engine, repository: str, *, deadline: float = 20.0) -> list[Tagged]:
    """What there is of ``repository`` on this engine, the newest images first."""
    found: list[Mapping[str, Any]] = await engine.call(
        "list the versions", lambda client: client.images(name=repository), deadline=deadline
    )
    newest = sorted(found, key=lambda image: image.get("Created") or 0, reverse=True)
    return [
        Tagged(name.rpartition(":")[2], str(image["Id"]), image.get("Size"), image.get("Created"))
        for image in newest
        for name in image.get("RepoTags") or ()
        if name.rpartition(":")[0] == repository
    ]


async def tags(engine: Engine, repository: str, *, deadline: float = 20.0) -> list[str]:
    """The tags of ``repository`` on this engine, those of the newest images first."""
    return [one.tag for one in await tagged(engine, repository, deadline=deadline)]


async def save(engine: Engine, release: Release, sink: Sink, *, deadline: float = 600.0) -> None:
    """The image as ``docker save`` gives it. Raises ``ArtifactMissing`` where this engine has it no more."""
    action = f"save the image of {release.id}"
    location = release.artifact.location
    if await find_image(engine, action, location, deadline=deadline) is None:
        raise ArtifactMissing(engine.host, action, f"the image {location} is not there any more", left=_UNTOUCHED)
    pieces = engine.stream(action, lambda client: client.get_image(location, chunk_size=PIECE), opening=_BEGIN)
    async with aclosing(pieces):
        async for piece in pieces:
            await sink.write(piece)
    await sink.flush()


async def load(gate: Gate, release: Release, archive: Path | None) -> Body:
    """Loads ``archive``, and gives it a tag, for an image without one is pruned. Raises ``ArtifactMissing`` without an archive."""
    location = release.artifact.location
    if archive is None:
        raise ArtifactMissing(
            gate.host,
            gate.words,
            f"the image {location} is not on this engine, and no registry has it",
            left=_UNTOUCHED,
        )

    def send(client: Any) -> str:
        said = ""
        with archive.open("rb") as file:
            for line in client.load_image(file):
                said = line.get("error", said)
        return said

    try:
        said = clean(await gate.act(send))
    except EngineRefused as error:
        said = clean(error.explanation)
    if said:
        raise _refused(gate, location, said)
    image = await gate.find_image(location)
    if image is None:
        raise ArtifactRefused(gate.host, gate.words, f"what was loaded is not {location}", left=_UNTOUCHED)
    repository, tag = f"quarterdeck/{names.slug(release.target).lower()}", names.tag(release.id)
    await gate.act(lambda client: client.tag(location, repository, tag=tag))
    return image


def _refused(gate: Gate, location: str, said: str) -> BackendError:
    if "no space left" in said.lower() or "disk quota" in said.lower():
        return NoSpace(gate.host, gate.words, said, left=_UNTOUCHED, advice="make room on the engine's disk")
    return CommandFailed(
        gate.host, gate.words, f"the image {location} can't be loaded: {said}", exit_status=None, left=_UNTOUCHED
    )
