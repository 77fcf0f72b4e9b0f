"""What there is of an image: the digest behind a tag, its size, its tags, and whether a digest still answers.

A tag moves and a digest does not: what is told here is always the digest, and where bytes are read they must have it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from quarterdeck.backends.artifacts.http_tries import Retries
from quarterdeck.backends.artifacts.location import shown_name
from quarterdeck.backends.artifacts.places import within
from quarterdeck.backends.artifacts.registry.client import Answer, Registry
from quarterdeck.backends.artifacts.registry.logins import NO_LOGINS
from quarterdeck.backends.artifacts.registry.manifests import (
    ACCEPT,
    MAX_MANIFEST_BYTES,
    Descriptor,
    ImageDetails,
    Index,
    Manifest,
    NotAnImage,
    digest_of,
    read_configuration,
    read_manifest,
)
from quarterdeck.backends.artifacts.registry.reference import (
    DIGEST,
    Repository,
    check_reference,
    parse_location,
    parse_repository,
)
from quarterdeck.backends.artifacts.registry.tags import all_tags
from quarterdeck.backends.artifacts.versions import nearest
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, Unreachable
from quarterdeck.config.model import Artifact
from quarterdeck.config.registries import RegistryLogins
from quarterdeck.config.release import ResolvedArtifact

_LEFT = "Nothing was changed"
_MAX_CONFIGURATION_BYTES = 8 * 1024 * 1024
_NO_HEAD = (405, 501)


async def resolve_image(
    artifact: Artifact,
    version: str,
    *,
    deadline: float = 60.0,
    retries: Retries | None = None,
    logins: RegistryLogins = NO_LOGINS,
) -> ResolvedArtifact:
    """What the tag ``version`` stands for now; a version that is a digest (sha256:…) stands for itself, if it is there.

    ``size`` is bytes of configuration and layers, of an index those for this machine's platform; None: not known.
    ``deadline`` is seconds for all of it. Raises ``ArtifactMissing`` (the advice names tags that exist), ``ArtifactRefused`` (no
    image, not a tag, bytes that have another digest), ``NotPermitted``, ``Unreachable``.
    """
    check_reference(version)
    repository = parse_repository(artifact.image)
    async with _asking(repository, f"find version {version}", deadline, retries, logins) as registry:
        digest, content = await _find(registry, version)
        size = await _size(registry, digest, content)
    return ResolvedArtifact(f"{repository}@{digest}", digest.removeprefix("sha256:"), size)


async def image_tags(
    repository: str,
    *,
    limit: int = 20,
    deadline: float = 20.0,
    retries: Retries | None = None,
    logins: RegistryLogins = NO_LOGINS,
) -> list[str]:
    """At most ``limit`` tags, in natural order with the highest first (a registry knows no times).

    Raises ``ArtifactMissing`` (no such repository), ``NotPermitted``, ``Unreachable``.
    """
    async with _asking(parse_repository(repository), "list the versions", deadline, retries, logins) as registry:
        return (await all_tags(registry))[:limit]


async def image_details(
    repository: str,
    reference: str,
    *,
    deadline: float = 20.0,
    retries: Retries | None = None,
    logins: RegistryLogins = NO_LOGINS,
) -> ImageDetails:
    """Of a tag or a digest. Raises as ``resolve_image`` does."""
    check_reference(reference)
    async with _asking(
        parse_repository(repository), f"look at version {reference}", deadline, retries, logins
    ) as registry:
        answer = await registry.ask(
            "GET", f"manifests/{reference}", limit=MAX_MANIFEST_BYTES, accept=ACCEPT, also=(404,)
        )
        if answer.status == 404:
            raise await _missing(registry, reference)
        digest = _checked(registry, answer, reference)
        manifest = _read(registry, answer)
        if isinstance(manifest, Manifest):
            created, platforms = await _configuration(registry, manifest)
            return ImageDetails(digest, manifest.size, created, platforms)
        images = manifest.images()
        platforms = tuple(str(one.platform) for one in images if one.platform and str(one.platform))
        shown = manifest.here() or next(iter(images), None)
        of_one = await _manifest(registry, shown) if shown else None
        created = (await _configuration(registry, of_one))[0] if of_one else None
        return ImageDetails(digest, of_one.size if of_one else None, created, platforms)


async def image_exists(
    location: str, *, deadline: float = 20.0, retries: Retries | None = None, logins: RegistryLogins = NO_LOGINS
) -> bool:
    """Whether a resolved image (``ResolvedArtifact.location``) can still be had by its digest. One question, nothing is transferred.

    Raises ``ArtifactRefused`` (other bytes), ``NotPermitted``, ``Unreachable``: then it is not known.
    """
    repository, digest = parse_location(location)
    async with _asking(repository, "look whether the image is still there", deadline, retries, logins) as registry:
        answer = await _head(registry, digest)
        if answer.status in _NO_HEAD:
            answer = await registry.ask(
                "GET", f"manifests/{digest}", limit=MAX_MANIFEST_BYTES, accept=ACCEPT, also=(404,)
            )
            if answer.status == 200:
                _checked(registry, answer, digest)
        return answer.status == 200


@asynccontextmanager
async def _asking(
    repository: Repository, action: str, deadline: float, retries: Retries | None, logins: RegistryLogins
) -> AsyncIterator[Registry]:
    until = asyncio.get_running_loop().time() + deadline
    async with (
        within(deadline, str(repository), action),
        Registry(repository, action, until=until, retries=retries, logins=logins) as registry,
    ):
        yield registry


async def _head(registry: Registry, reference: str) -> Answer:
    return await registry.ask(
        "HEAD", f"manifests/{reference}", limit=MAX_MANIFEST_BYTES, accept=ACCEPT, also=(404, *_NO_HEAD)
    )


async def _find(registry: Registry, reference: str) -> tuple[str, Answer | None]:
    """The digest, and the manifest where it had to be read for that: HEAD is enough mostly, and Docker Hub counts no HEAD as a pull."""
    answer = await _head(registry, reference)
    if answer.status == 200:
        told = answer.headers.get("Docker-Content-Digest", "")
        if DIGEST.fullmatch(told):
            if DIGEST.fullmatch(reference) and told != reference:
                raise _lies(registry, f"asked for {reference}, it answered with {told}")
            return told, None
    if answer.status != 404:
        answer = await registry.ask(
            "GET", f"manifests/{reference}", limit=MAX_MANIFEST_BYTES, accept=ACCEPT, also=(404,)
        )
    if answer.status == 404:
        raise await _missing(registry, reference)
    return _checked(registry, answer, reference), answer


def _checked(registry: Registry, answer: Answer, reference: str) -> str:
    """The digest of the bytes, which is the one that was asked for and the one that the registry names. Raises ``ArtifactRefused``."""
    digest = digest_of(answer.content)
    named = [answer.headers.get("Docker-Content-Digest", ""), reference]
    for other in named:
        if DIGEST.fullmatch(other) and other != digest:
            raise _lies(registry, f"the bytes have the digest {digest}, and not {other}")
    return digest


async def _size(registry: Registry, digest: str, answer: Answer | None) -> int | None:
    """Also proves that the digest is that of an image. A registry that does not answer by now is no reason to refuse the tag."""
    try:
        if answer is None:
            # Not tried again: the digest is known, and whoever pulls will wait for the registry anyhow.
            answer = await registry.ask("GET", f"manifests/{digest}", limit=MAX_MANIFEST_BYTES, accept=ACCEPT, tries=1)
            _checked(registry, answer, digest)
        manifest = _read(registry, answer)
        if isinstance(manifest, Manifest):
            return manifest.size
        here = manifest.here()
        of_one = await _manifest(registry, here, tries=1) if here else None
    except Unreachable:
        return None
    return of_one.size if of_one else None


async def _manifest(registry: Registry, descriptor: Descriptor, tries: int | None = None) -> Manifest | None:
    """Of one platform; None: an index within an index, or a digest of another kind, which is left alone."""
    if not DIGEST.fullmatch(descriptor.digest):
        return None
    answer = await registry.ask(
        "GET", f"manifests/{descriptor.digest}", limit=MAX_MANIFEST_BYTES, accept=ACCEPT, also=(404,), tries=tries
    )
    if answer.status == 404:
        return None  # registries may keep an index whose other platforms were never pushed
    _checked(registry, answer, descriptor.digest)
    manifest = _read(registry, answer)
    return manifest if isinstance(manifest, Manifest) else None


async def _configuration(registry: Registry, manifest: Manifest) -> tuple[datetime | None, tuple[str, ...]]:
    digest = manifest.config.digest
    answer = await registry.ask("GET", f"blobs/{digest}", limit=_MAX_CONFIGURATION_BYTES)
    if DIGEST.fullmatch(digest) and (found := digest_of(answer.content)) != digest:
        raise _lies(registry, f"the configuration has the digest {found}, and not {digest}")
    try:
        configuration = read_configuration(answer.content)
    except NotAnImage as problem:
        raise _refused(registry, str(problem)) from None
    platform = str(configuration)
    return configuration.when(), (platform,) if platform else ()


def _read(registry: Registry, answer: Answer) -> Manifest | Index:
    try:
        return read_manifest(answer.content, answer.headers.get("Content-Type", ""))
    except NotAnImage as problem:
        raise _refused(registry, str(problem)) from None


async def _missing(registry: Registry, reference: str) -> ArtifactMissing:
    repository = registry.repository
    what = "no image with this digest" if DIGEST.fullmatch(reference) else f"no tag {shown_name(reference)}"
    advice = "Look whether the version is spelled right and its build has ended"
    try:
        tags = await all_tags(registry, tries=1)
    except ArtifactMissing as missing:
        what, advice, tags = "no such repository", missing.advice, []
    except BackendError:
        tags = []
    if near := nearest(reference, tags):
        advice = f"Nearest: {', '.join(near)} ({len(tags)} versions are there)"
    return ArtifactMissing(str(repository), registry.action, f"the registry has {what}", left=_LEFT, advice=advice)


def _lies(registry: Registry, problem: str) -> ArtifactRefused:
    return _refused(
        registry,
        problem,
        "Something between here and the registry changes what it answers: find out what, before anything is pulled",
    )


def _refused(registry: Registry, problem: str, advice: str = "") -> ArtifactRefused:
    return ArtifactRefused(str(registry.repository), registry.action, problem, left=_LEFT, advice=advice)
