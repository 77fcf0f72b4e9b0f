"""Images that other projects' tools wrote and pushed are resolved, staged and switched to as our own are."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import resolve
from quarterdeck.backends.artifacts.registry import image_details
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused
from quarterdeck.config.model import Artifact, Runner
from quarterdeck.config.release import Release
from tests.backends.docker.layouts import Layout, need_programs
from tests.boxes import HEALTH, NO_SECRETS, Box
from tests.contract.place import become_healthy

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.usefixtures("at_once")]

HERE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "riscv64")
ELSEWHERE = "s390x"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Images 1 and 2, and one for another machine."""
    need_programs()
    made = Layout(tmp_path_factory.mktemp("layouts") / "plain")
    for tag in ("1", "2"):
        made.add(tag)
    made.add("foreign", architecture=ELSEWHERE)
    return made


@pytest.fixture
def repository(box: Box) -> Iterator[str]:
    """One that no other test pushes to; what the engine has of it goes."""
    name = f"{box.registry.name}/others/{box.name}"
    yield name
    box.engine.remove_containers()
    for image in box.engine.client.images():
        if any(one.startswith(f"{name}@") for one in image["RepoDigests"] or ()):
            box.engine.client.remove_image(image["Id"], force=True)


async def release_of(box: Box, repository: str, tag: str) -> Release:
    artifact = await resolve(Artifact(image=repository), tag)
    return Release(box.target, tag, artifact, "", Runner(), env={}, secrets={}, health=HEALTH, container=box.spec())


def serves(box: Box, version: str) -> bool:
    asked = box.engine.client.exec_create(box.name, ["wget", "-qO-", "http://127.0.0.1:8080/version"])
    return bool(box.engine.client.exec_start(asked["Id"]) == f"{version}\n".encode())


async def test_a_deploy_and_a_way_back(box: Box, layout: Layout, repository: str) -> None:
    """umoci's manifests need not say their own media type: the registry's answer does."""
    releases = []
    for tag in ("1", "2"):
        layout.push(tag, repository)
        release = await release_of(box, repository, tag)
        manifest = layout.manifest(tag)
        assert release.artifact.location == f"{repository}@{layout.entry(tag)['digest']}"
        assert release.artifact.size == manifest["config"]["size"] + sum(one["size"] for one in manifest["layers"])
        releases.append(release)
    first, second = releases
    for number, release in enumerate((first, second, first), 1):
        await box.live(release, f"{number}.1", epoch=number)
        await become_healthy(box.connection, release)
        assert serves(box, release.version)
        image = box.engine.client.inspect_image(box.inspect(box.name)["Image"])
        assert image["RepoDigests"] == [release.artifact.location]
        facts = await box.connection.facts(box.target, "", release)
        assert (facts.current, facts.running, facts.drift) == (release.id, True, ())


async def test_an_index_runs_as_what_is_meant_for_the_machine(box: Box, layout: Layout, repository: str) -> None:
    digest = layout.add_index("both", {f"linux/{ELSEWHERE}": "foreign", f"linux/{HERE}": "2"})
    layout.push("both", repository)
    release = await release_of(box, repository, "both")
    assert release.artifact.location == f"{repository}@{digest}"
    details = await image_details(repository, "both")
    assert details.platforms == (f"linux/{ELSEWHERE}", f"linux/{HERE}")
    await box.live(release, "1.1")
    await become_healthy(box.connection, release)
    assert serves(box, "2")


async def test_layers_of_zstd_run_where_the_engine_knows_them_and_are_refused_where_not(
    box: Box, layout: Layout, repository: str, tmp_path: Path
) -> None:
    squeezed = Layout(tmp_path / "zstd")
    layout.copy("1", squeezed)
    squeezed.push("1", repository)
    manifest = squeezed.manifest("1")
    assert [one["mediaType"] for one in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+zstd"]
    release = await release_of(box, repository, "1")
    if int(box.engine.client.version()["Version"].partition(".")[0]) >= 23:
        await box.live(release, "1.1")
        await become_healthy(box.connection, release)
        assert serves(box, "1")
        return
    with pytest.raises(ArtifactRefused, match="before version 23 knows no zstd"):
        await box.connection.stage(release, None, NO_SECRETS, box.fence())
    assert box.containers() == {}


async def test_an_index_with_nothing_for_the_machine_is_refused(box: Box, layout: Layout, repository: str) -> None:
    layout.add_index("elsewhere", {f"linux/{ELSEWHERE}": "foreign"})
    layout.push("elsewhere", repository)
    release = await release_of(box, repository, "elsewhere")
    with pytest.raises(ArtifactMissing, match=f"no matching manifest for linux/{HERE}"):
        await box.connection.stage(release, None, NO_SECRETS, box.fence())
    assert box.containers() == {}
