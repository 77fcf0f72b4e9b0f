"""Images in a real registry: tags resolved to digests, listed, looked at, and found again by their digest."""

import platform
from datetime import UTC, datetime

import pytest

from quarterdeck.backends.artifacts import available, resolve
from quarterdeck.backends.artifacts.registry import image_details, image_exists, resolve_image
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused
from quarterdeck.config.model import Artifact
from quarterdeck.config.release import ResolvedArtifact
from tests.backends.registry.real_registry import RealRegistry
from tests.sshd import wait_for

pytestmark = pytest.mark.registry

HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "riscv64")
ELSEWHERE = "s390x"


def image(registry: RealRegistry, repository: str) -> Artifact:
    return Artifact(image=f"{registry.name}/{repository}")


@pytest.mark.parametrize("docker", [False, True])
async def test_a_tag_is_resolved_to_its_digest_and_size(registry: RealRegistry, docker: bool) -> None:
    repository = f"team/single-{docker}".lower()
    pushed = registry.push(repository, "1.0", docker=docker)
    resolved = await resolve(image(registry, repository), "1.0")
    assert resolved == ResolvedArtifact(
        f"{registry.name}/{repository}@{pushed.digest}", pushed.digest.removeprefix("sha256:"), pushed.size
    )


@pytest.mark.parametrize("docker", [False, True])
async def test_of_an_index_the_digest_is_its_own_and_the_size_that_of_this_platform(
    registry: RealRegistry, docker: bool
) -> None:
    repository = f"index-{docker}".lower()
    images = {
        f"linux/{ELSEWHERE}": registry.push(repository, "", content=b"e" * 5000, docker=docker),
        f"linux/{HERE}": registry.push(repository, "", content=b"h" * 3000, docker=docker),
    }
    digest = registry.push_index(repository, "2.0", images, docker=docker)
    resolved = await resolve(image(registry, repository), "2.0")
    assert (f"sha256:{resolved.sha256}", resolved.size) == (digest, images[f"linux/{HERE}"].size)


async def test_an_index_without_this_platform_has_no_size(registry: RealRegistry) -> None:
    digest = registry.push_index("foreign", "1", {f"linux/{ELSEWHERE}": registry.push("foreign", "")})
    resolved = await resolve(image(registry, "foreign"), "1")
    assert (f"sha256:{resolved.sha256}", resolved.size) == (digest, None)


async def test_a_tag_that_moves_does_not_move_what_was_resolved(registry: RealRegistry) -> None:
    first = registry.push("moving", "latest")
    resolved = await resolve(image(registry, "moving"), "latest")
    second = registry.push("moving", "latest")
    assert first.digest != second.digest
    again = await resolve(image(registry, "moving"), first.digest)
    assert again == resolved
    assert await image_exists(resolved.location)
    assert (await resolve(image(registry, "moving"), "latest")).sha256 == second.digest.removeprefix("sha256:")


async def test_a_digest_that_was_deleted_no_longer_answers(registry: RealRegistry) -> None:
    pushed = registry.push("deleted", "1")
    resolved = await resolve(image(registry, "deleted"), "1")
    registry.delete("deleted", pushed.digest)
    assert not await image_exists(resolved.location)
    with pytest.raises(ArtifactMissing, match="no image with this digest"):
        await resolve(image(registry, "deleted"), pushed.digest)


async def test_whether_a_digest_answers_is_one_question_without_a_body(registry: RealRegistry) -> None:
    pushed = registry.push("cheap", "1")
    wait_for(lambda: registry.asked('"PUT /v2/cheap/manifests/1 ') == 1, "the registry has written down the push")
    before = registry.asked("/v2/cheap/")
    assert await image_exists(f"{registry.name}/cheap@{pushed.digest}")
    wait_for(lambda: registry.asked("/v2/cheap/") > before, "the registry has written down what it was asked")
    assert registry.asked(f'"HEAD /v2/cheap/manifests/{pushed.digest} ') == 1
    assert registry.asked("/v2/cheap/") == before + 1


async def test_an_unknown_tag_names_the_nearest_ones(registry: RealRegistry) -> None:
    pushed = registry.push("nearest", "1.2.3")
    for tag in ("1.2.4", "main", f"sha256-{pushed.digest[7:]}.sig"):
        registry.push("nearest", tag)
    with pytest.raises(ArtifactMissing) as failed:
        await resolve(image(registry, "nearest"), "1.2.5")
    told = str(failed.value)
    assert "no tag '1.2.5'" in told
    assert "Nearest: 1.2.4, 1.2.3 (3 versions are there)" in told
    assert "Nothing was changed" in told
    assert told.startswith(f"{registry.name}/nearest: find version 1.2.5")


async def test_an_unknown_repository_is_told_as_one(registry: RealRegistry) -> None:
    with pytest.raises(ArtifactMissing, match="no such repository"):
        await resolve(image(registry, "nowhere/at/all"), "1.0")
    with pytest.raises(ArtifactMissing, match="NAME_UNKNOWN"):
        await available(image(registry, "nowhere/at/all"))
    assert not await image_exists(f"{registry.name}/nowhere/at/all@sha256:{'0' * 64}")


async def test_tags_are_listed_in_natural_order_without_signatures(registry: RealRegistry) -> None:
    pushed = registry.push("listed", "1.9")
    for tag in ("1.10", "1.2", "latest", f"sha256-{pushed.digest[7:]}", f"sha256-{pushed.digest[7:]}.att"):
        registry.push("listed", tag)
    assert await available(image(registry, "listed")) == ["1.10", "1.9", "1.2", "latest"]
    assert await available(image(registry, "listed"), limit=2) == ["1.10", "1.9"]


async def test_details_of_an_image(registry: RealRegistry) -> None:
    pushed = registry.push("details", "1.0", created="2026-03-01T10:20:30.123456789Z", architecture="arm64")
    for reference in ("1.0", pushed.digest):
        found = await image_details(f"{registry.name}/details", reference)
        assert (found.digest, found.size, found.platforms) == (pushed.digest, pushed.size, ("linux/arm64",))
        assert found.created is not None
        assert found.created.replace(microsecond=0) == datetime(2026, 3, 1, 10, 20, 30, tzinfo=UTC)


async def test_details_of_an_index_leave_out_what_is_no_image(registry: RealRegistry) -> None:
    images = {
        f"linux/{ELSEWHERE}": registry.push("built", "", created="2020-01-01T00:00:00Z"),
        f"linux/{HERE}": registry.push("built", "", created="2026-05-05T05:05:05Z"),
        "linux/arm/v7": registry.push("built", ""),
    }
    digest = registry.push_index("built", "1", images, attested=True)
    found = await image_details(f"{registry.name}/built", "1")
    assert found.digest == digest
    assert found.platforms == (f"linux/{ELSEWHERE}", f"linux/{HERE}", "linux/arm/v7")
    assert found.size == images[f"linux/{HERE}"].size
    assert found.created == datetime(2026, 5, 5, 5, 5, 5, tzinfo=UTC)


async def test_what_is_no_image_is_refused(registry: RealRegistry) -> None:
    registry.push("chart", "1", config_type="application/vnd.cncf.helm.config.v1+json")
    with pytest.raises(ArtifactRefused, match="something else that is kept in a registry"):
        await resolve(image(registry, "chart"), "1")


async def test_what_can_not_be_a_tag_is_asked_of_nobody(registry: RealRegistry) -> None:
    for version in ("1.0+b1", "../x", "a b", ""):
        with pytest.raises(ArtifactRefused, match="can't be an image's version"):
            await resolve_image(image(registry, "never/asked"), version)
    assert registry.asked("never/asked") == 0
