"""Images that no registry has: they are saved from one engine and loaded into another."""

from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.artifacts.cache import Partial
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, CommandFailed
from quarterdeck.backends.hosts.docker.images import find, save, tags
from quarterdeck.config.release import Release
from tests.boxes import NO_SECRETS, Box, connect
from tests.conftest import StartDockerEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def release_of(box: Box, version: str) -> Release:
    """A release of an image that only ``box``'s engine has."""
    box.engine.image(f"built/{box.name}:{version}", files={"/www/version": f"{version}\n"})
    artifact = await find(box.connection.engine, f"built/{box.name}", version)
    return msgspec.structs.replace(box.release("1"), version=version, artifact=artifact)


async def saved(box: Box, release: Release, folder: Path) -> Partial:
    partial = Partial(folder)
    await save(box.connection.engine, release, partial)
    return partial


async def test_an_image_goes_from_one_engine_to_another_and_runs_there(
    box: Box, start_docker_engine: StartDockerEngine, tmp_path: Path
) -> None:
    release = await release_of(box, "7")
    other_engine = start_docker_engine()
    other = Box(other_engine, box.registry, await connect(other_engine))
    release = msgspec.structs.replace(release, target=other.target)
    with pytest.raises(ArtifactMissing, match="no registry has it"):
        await other.connection.stage(release, None, NO_SECRETS, other.fence())
    assert other.containers() == {}
    partial = await saved(box, release, tmp_path)
    staged = await other.connection.stage(release, partial.path, NO_SECRETS, other.fence())
    assert not staged.already
    await other.connection.switch(release, NO_SECRETS, other.fence(), "1.1")
    (live,) = other.containers(running=True)
    assert other.inspect(live)["Image"] == release.artifact.location
    other_engine.client.prune_images()  # what has no tag goes, also by `docker image prune`
    facts = await other.connection.facts(other.target, "", release)
    assert [(one.release, one.intact) for one in facts.kept] == [(release.id, True)]
    assert (
        await other.connection.stage(release, None, NO_SECRETS, other.fence())
    ).already  # no file is needed any more
    partial.discard()
    await other.connection.close()


async def test_an_archive_of_another_image_is_refused(
    box: Box, start_docker_engine: StartDockerEngine, tmp_path: Path
) -> None:
    wanted, another = await release_of(box, "7"), await release_of(box, "8")
    engine = start_docker_engine()
    connection = await connect(engine)
    partial = await saved(box, another, tmp_path)
    with pytest.raises(ArtifactRefused, match="what was loaded is not"):
        await connection.stage(wanted, partial.path, NO_SECRETS, box.fence())
    partial.path.write_bytes(b"no archive")
    with pytest.raises(CommandFailed, match="can't be loaded"):
        await connection.stage(wanted, partial.path, NO_SECRETS, box.fence())
    assert engine.client.containers(all=True) == []
    partial.discard()
    await connection.close()


async def test_a_tag_that_is_not_there_names_those_that_are(box: Box) -> None:
    await release_of(box, "7.1")
    await release_of(box, "7.2")
    repository = f"built/{box.name}"
    assert sorted(await tags(box.connection.engine, repository)) == ["7.1", "7.2"]
    with pytest.raises(ArtifactMissing) as caught:
        await find(box.connection.engine, repository, "7.3")
    assert "7.2" in caught.value.advice


async def test_an_image_that_is_gone_can_t_be_saved(box: Box, tmp_path: Path) -> None:
    release = await release_of(box, "7")
    box.engine.client.remove_image(f"built/{box.name}:7", force=True)
    with pytest.raises(ArtifactMissing, match="not there any more"):
        await saved(box, release, tmp_path)
