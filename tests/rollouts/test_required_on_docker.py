"""A way back that is required of containers: the image or a container of it on the engine, or else its digest in the registry."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.docker_fleet import REPOSITORY, DockerField, stocked_registry
from tests.driver import TARGET

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


def back(docks: DockerField) -> dict[str, Any]:
    plan = json.loads(docks.qd("deploy", TARGET, "3", "--plan", "--json", status=0).stdout)
    found: dict[str, Any] = plan["require"]["rollback_ready"]
    return found


def test_an_image_that_is_neither_on_the_engine_nor_in_the_registry_closes_the_way(
    tmp_path: Path, docks: DockerField
) -> None:
    own = stocked_registry(tmp_path / "own", docks.engines[0], ("1", "2", "3"))
    try:
        docks.registry = own
        docks.environment = {"require": {"rollback_ready": True}}
        docks.write()
        docks.deploy("1")
        docks.quiet(docks.deploy("2")["rollout"])
        with docks.journal() as journal:
            first, second = (
                next(row for row in journal.releases(TARGET) if row.release.version == version)
                for version in ("1", "2")
            )
            journal.judge(second.id, "bad", "wrong prices")
        warm = back(docks)
        assert (warm["state"], warm["words"]) == ("open", "open: 1 lies on 2 hosts")
        docks.forget_image(docks.engines[1], "1")
        pruned = back(docks)
        assert (pruned["state"], pruned["words"]) == ("open", "open: 1 lies on 1 host; box-2 can fetch it")
        own.delete(REPOSITORY, first.release.artifact.location.rpartition("@")[2])
        refused = " ".join(docks.qd("deploy", TARGET, "3", "--wait", status=5).stderr.split())
        assert "the way back is closed: box-2: no copy of 1, and it can't be fetched: the registry has no" in refused
        assert docks.running() == docks.everywhere("2")
    finally:
        own.close()
