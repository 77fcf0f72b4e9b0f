"""A whole rollout from a registry that lets nobody in without a login, which the fleet file gives by reference: the bastion looks with it,
the engines pull with it, and it is written down nowhere."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.registry.real_registry import HASH, PASSWORD, RealRegistry, start_registry
from tests.docker_fleet import REPOSITORY, DockerField
from tests.driver import TARGET

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.registry]


@pytest.fixture
def closed(docks: DockerField, tmp_path: Path) -> Iterator[RealRegistry]:
    """Only ``ci`` with its password may pull or push."""
    registry = start_registry(tmp_path / "closed", users={"ci": HASH})
    engine = docks.engines[0]
    for tag in ("1", "2"):
        name = f"{registry.name}/{REPOSITORY}:{tag}"
        engine.image(name)
        said = engine.client.push(name, auth_config={"username": "ci", "password": PASSWORD})
        assert "errorDetail" not in said, said
        engine.client.remove_image(name, force=True)
    yield registry
    registry.close()


def test_it_is_used_by_the_bastion_and_by_every_engine(
    docks: DockerField, closed: RealRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nobody-logged-in"))
    docks.write(artifact={"image": f"{closed.name}/{REPOSITORY}"})
    refused = docks.qd("deploy", TARGET, "1", "--wait")
    assert refused.returncode == 1, refused
    assert "No login is kept here" in refused.stdout + refused.stderr
    assert docks.running() == docks.everywhere(None)

    token = tmp_path / "registry.token"
    token.write_text(PASSWORD)
    fleet = json.loads(docks.file.read_text())
    fleet["registries"] = {f"{closed.name}/shop": {"username": "ci", "password": {"file": "registry.token"}}}
    docks.file.write_text(json.dumps(fleet))
    for version in ("1", "2"):
        docks.deploy(version)
        assert docks.running() == docks.everywhere(version)
    listed = json.loads(docks.qd("releases", TARGET, "--available", "--json", status=0).stdout)
    assert {one["version"] for one in listed["available"]} == {"1", "2"}
    assert "FAIL" not in docks.qd("doctor", TARGET).stdout

    token.unlink()  # the way back needs neither the registry nor its login
    docks.rollback()
    assert docks.running() == docks.everywhere("1")
    for path in docks.state.rglob("*"):
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
