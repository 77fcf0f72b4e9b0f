"""Brings a release to an engine: its image by digest, then its container, which is not started. Until it is switched to, its container
alone tells that it is there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quarterdeck.backends.errors import (
    ArtifactMissing,
    ArtifactRefused,
    BackendError,
    CommandFailed,
    EngineRefused,
    NoSpace,
    NotPermitted,
)
from quarterdeck.backends.hosts.docker import images
from quarterdeck.backends.hosts.docker.auth import Auth
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.backends.hosts.docker.looking import Body, together
from quarterdeck.backends.hosts.docker.making import Around, make, refuse_a_foreign_holder, spec_of
from quarterdeck.backends.hosts.docker.operation import Operation
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.release import Release

_LEFT = "What runs there runs on"


async def stage(
    gate: Gate, release: Release, values: Mapping[str, str], auth: Auth, archive: Path | None = None
) -> bool:
    """Whether it was there already. Raises ``ArtifactMissing``, ``ArtifactRefused``, ``NotPermitted``, ``NoSpace``, ``Fenced``, …"""
    spec = spec_of(gate.host, gate.words, release)
    around = Around(gate, release)
    seen, _ = await together(gate.look(), around.ask())
    refuse_a_foreign_holder(gate, release, around.holder)
    image = around.image
    there = seen.of(release)
    if image is not None and there is not None and there.image == image["Id"]:
        return True
    if image is None:
        if images.travels(release):
            image = await images.load(gate, release, archive)
        else:
            image = await _pull(gate, release, spec.platform, auth)
    await make(gate, seen, release, values, image, "stage", beside=gate.claim(seen))
    return False


async def _pull(gate: Gate, release: Release, platform: str, auth: Auth) -> Body:
    repository, _, digest = release.artifact.location.partition("@")
    if digest != f"sha256:{release.artifact.sha256}":
        raise ArtifactRefused(
            gate.host, gate.words, f"{release.artifact.location} is not named by its digest", left=_LEFT
        )
    credentials = await auth(repository) or {}

    def pull(client: Any) -> str:
        said = ""
        lines = client.pull(
            repository, tag=digest, stream=True, decode=True, auth_config=credentials, platform=platform or None
        )
        for line in lines:
            said = line.get("error", said)
        return said

    try:
        said = await gate.act(pull, ends_with_us=True)
    except EngineRefused as error:
        said = error.explanation
    if said:
        raise pull_error(gate, release, clean(said))
    image = await gate.find_image(release.artifact.location)
    if image is None or not any(one.endswith(f"@{digest}") for one in image.get("RepoDigests") or []):
        raise ArtifactRefused(gate.host, gate.words, f"what was pulled is not {release.artifact.location}", left=_LEFT)
    return image


def registry_of(location: str) -> str:
    """Of an image's location, as Docker understands it."""
    first, slash, _ = location.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def pull_error(gate: Operation[Any], release: Release, said: str) -> BackendError:
    location = release.artifact.location
    registry = registry_of(location)
    text = said.lower()
    if "no space left" in text or "disk quota" in text:
        return NoSpace(gate.host, gate.words, said, left=_LEFT, advice="make room on the engine's disk")
    if "manifest unknown" in text or "manifest for" in text or "not found: manifest" in text:
        return ArtifactMissing(
            gate.host,
            gate.words,
            f"the registry has no {location}: {said}",
            left=_LEFT,
            advice="push it again, or deploy a version that is there",
        )
    if "denied" in text or "unauthorized" in text or "no basic auth" in text or "authentication required" in text:
        return NotPermitted(
            gate.host,
            gate.words,
            f"the registry lets nobody have {location}: {said}",
            left=_LEFT,
            advice=f"log in on this machine, for qd sends what is known here: docker login {registry}",
        )
    if "invalid tar header" in text:
        return ArtifactRefused(
            gate.host,
            gate.words,
            f"the engine can't unpack the layers of {location}: {said}",
            left=_LEFT,
            advice="an engine before version 23 knows no zstd: compress them with gzip, or update the engine",
        )
    return CommandFailed(
        gate.host,
        gate.words,
        f"the image {location} can't be pulled: {said}",
        exit_status=None,
        left=_LEFT,
        advice="the engine itself fetches it: can its host reach the registry?",
    )
