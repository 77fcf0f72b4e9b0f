"""Configs and secrets of a Swarm never change: each release has its own, for as long as it may be gone back to, and no value is told."""

import asyncio
import json
from typing import Any

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.container import ContainerFile, SecretFile
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


def with_files(field: Field, version: str, content: str, *, variable: bool = False) -> Release:
    spec = field.spec(
        files=(ContainerFile("/etc/app.ini", content, mode=0o440),),
        secrets=(SecretFile("KEY", "/run/secrets/key"),),
    )
    return field.release(version, spec=spec, secrets=["KEY", "TOKEN"] if variable else ["KEY"])


def inside(field: Field, command: str) -> str:
    """What it prints in the task that runs."""
    (task,) = [one for one in field.tasks() if one["DesiredState"] == "running"]
    return field.swarm.inside(task, "sh", "-c", command).strip()


async def put(field: Field, release: Release, values: dict[str, str], epoch: int) -> None:
    secrets = SecretValues(values)
    await field.connection.stage(release, None, secrets, field.fence(epoch))
    await field.connection.switch(release, secrets, field.fence(epoch), f"{epoch}.1")
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


def all_told(field: Field) -> str:
    """Everything that the Swarm tells of services, configs and secrets."""
    client = field.swarm.any_api
    told: list[Any] = [client.services(), client.configs(), client.secrets(), client.tasks()]
    return json.dumps(told)


async def test_each_release_has_its_own_and_the_way_back_needs_no_values(swarm_field: Field) -> None:
    field = swarm_field
    first, second = with_files(field, "v1", "a = 1\n"), with_files(field, "v2", "a = 2\n")
    await put(field, first, {"KEY": "hunter2-old"}, 1)
    assert await asyncio.to_thread(inside, field, "cat /etc/app.ini /run/secrets/key") == "a = 1\nhunter2-old"
    await put(field, second, {"KEY": "hunter2-new"}, 2)
    assert await asyncio.to_thread(inside, field, "cat /etc/app.ini /run/secrets/key") == "a = 2\nhunter2-new"
    await field.connection.switch(first, NO_SECRETS, field.fence(3), "3.1")
    assert await asyncio.to_thread(inside, field, "cat /etc/app.ini /run/secrets/key") == "a = 1\nhunter2-old"
    assert "hunter2" not in await asyncio.to_thread(all_told, field)


async def test_what_is_the_same_is_made_once_and_what_nobody_needs_goes(swarm_field: Field) -> None:
    field = swarm_field
    releases = [with_files(field, f"v{number}", "same\n") for number in range(3)]
    for epoch, release in enumerate(releases, 1):
        await put(field, release, {"KEY": "one"}, epoch)
    client = field.swarm.any_api
    configs = [one for one in client.configs() if "dev.quarterdeck.register" not in one["Spec"]["Labels"]]
    assert (len(configs), len(list(client.secrets()))) == (1, 1)
    last = with_files(field, "v9", "other\n")
    await put(field, last, {"KEY": "two"}, 9)
    assert len(list(client.secrets())) == 2
    await field.connection.finish(last, [], field.fence(9), "9.3", prune_to=0, warm=0, bad=[one.id for one in releases])
    assert len(list(client.secrets())) == 1
    assert len([one for one in client.configs() if "dev.quarterdeck.register" not in one["Spec"]["Labels"]]) == 1


async def test_a_secret_that_was_rotated_is_another_one(swarm_field: Field) -> None:
    """The same release with another value: its task is replaced."""
    field = swarm_field
    release = with_files(field, "v1", "x\n", variable=True)
    await put(field, release, {"KEY": "old", "TOKEN": "t1"}, 1)
    outcome = await field.connection.switch(
        release, SecretValues({"KEY": "new", "TOKEN": "t2"}), field.fence(2), "2.1", action="start"
    )
    assert outcome.current == release.id
    assert await asyncio.to_thread(inside, field, 'cat /run/secrets/key; echo " $TOKEN"') == "new t2"


async def test_a_rotated_secret_reaches_every_task_one_after_the_other(swarm_field: Field) -> None:
    """Of the same release, so that only its tasks' own description tells old ones from new ones. Seen to fail where tasks are told apart by
    their release alone."""
    field = swarm_field
    field.replicas = 3
    release = with_files(field, "v1", "x\n", variable=True)
    await put(field, release, {"KEY": "old", "TOKEN": "t1"}, 1)
    before = {one["ID"] for one in field.tasks()}
    secrets = SecretValues({"KEY": "new", "TOKEN": "t2"})
    outcome = await field.connection.switch(release, secrets, field.fence(2), "2.1", action="start")
    assert outcome.current == release.id
    now = field.tasks()
    assert len(now) == 3
    assert not before & {one["ID"] for one in now}
    assert {"TOKEN=t2"} == {
        env for one in now for env in one["Spec"]["ContainerSpec"]["Env"] if env.startswith("TOKEN")
    }


async def test_a_release_whose_secrets_nobody_knows_is_refused(swarm_field: Field) -> None:
    field = swarm_field
    release = with_files(field, "v1", "x\n")
    with pytest.raises(CommandFailed, match="the secret KEY is not known here"):
        await field.connection.stage(release, None, NO_SECRETS, field.fence())
    assert field.tasks() == []
