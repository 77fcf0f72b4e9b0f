"""Secrets of a container: variables, or files in the host's memory that only root can reach; renewed where they differ."""

import contextlib
import json
from pathlib import Path

import pytest

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.container import PublishedPort, SecretFile
from tests.backends.docker.dying import Death
from tests.boxes import NO_SECRETS, Box
from tests.sshd import free_port

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.usefixtures("at_once")]
CANARY = "hunter2-canary"


def read(box: Box, path: str) -> str:
    body = box.engine.client.exec_create(box.name, ["cat", path])
    return str(box.engine.client.exec_start(body["Id"]).decode())


def in_memory(box: Box) -> list[Path]:
    return [path for path in Path("/dev/shm").glob("quarterdeck-*") if box.name in path.name]


@pytest.mark.parametrize("beside", [True, False])
async def test_a_variable_is_renewed_where_it_differs_and_kept_otherwise(box: Box, beside: bool) -> None:
    port = PublishedPort(8080, str(free_port("127.0.0.1")), "127.0.0.1")
    release = box.release("1", secrets=["KEY"], spec=box.spec(ports=() if beside else (port,)))
    await box.connection.stage(release, None, SecretValues({"KEY": CANARY}), box.fence())
    await box.connection.switch(release, NO_SECRETS, box.fence(), "1.1")
    first = box.inspect(box.name)
    assert f"KEY={CANARY}" in first["Config"]["Env"]
    assert CANARY not in json.dumps(first["Config"]["Labels"])
    same = await box.connection.switch(release, SecretValues({"KEY": CANARY}), box.fence(), "1.2")
    assert same.current == release.id
    assert box.inspect(box.name)["Id"] == first["Id"]
    outcome = await box.connection.switch(release, SecretValues({"KEY": "new'\n"}), box.fence(), "1.3")
    assert outcome.beside is beside
    if beside:
        outcome = await box.connection.retire(release, box.fence(), "1.4")
    assert outcome.current == release.id
    second = box.inspect(box.name)
    assert "KEY=new'\n" in second["Config"]["Env"]
    assert second["Id"] != first["Id"]
    assert box.running == [release.id]
    await box.connection.finish(release, [], box.fence(), "1.5")
    assert len(box.containers()) == 1  # the one with the old secret is gone


async def test_a_file_lies_in_memory_as_it_was_asked_for_and_goes_with_its_container(box: Box) -> None:
    files = (SecretFile("KEY", "/run/secrets/KEY"), SecretFile("CERT", "/etc/app/cert.pem", 1000, 1001, 0o440))
    spec = box.spec(secrets=files, read_only=True)
    release = box.release("1", secrets=["KEY", "CERT", "PLAIN"], spec=spec)
    values = SecretValues({"KEY": CANARY, "CERT": "cert\nü", "PLAIN": "p"})
    await box.connection.stage(release, None, values, box.fence())
    await box.connection.switch(release, NO_SECRETS, box.fence(), "1.1")
    assert (read(box, "/run/secrets/KEY"), read(box, "/etc/app/cert.pem")) == (CANARY, "cert\nü")
    variables = box.inspect(box.name)["Config"]["Env"]
    assert "PLAIN=p" in variables
    assert not [one for one in variables if one.startswith(("KEY=", "CERT="))]
    (directory,) = in_memory(box)
    assert directory.stat().st_mode & 0o777 == 0o700
    found = [
        (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) for path in sorted(directory.iterdir())
    ]
    assert found == [(0, 0, 0o444), (1000, 1001, 0o440)]
    assert CANARY not in json.dumps([box.inspect(box.name), box.engine.client.volumes()])
    await box.connection.withdraw(release, box.fence(), "1.2")
    await box.connection.finish(release, [], box.fence(), "1.3", good=False)
    assert in_memory(box) == [directory]  # it may be gone back to
    other = box.release("2", spec=spec, secrets=["KEY", "CERT", "PLAIN"])
    await box.connection.stage(other, None, values, box.fence())
    await box.connection.switch(other, NO_SECRETS, box.fence(), "1.4")
    await box.connection.finish(other, [], box.fence(), "1.5", warm=0, good=False)
    assert directory not in in_memory(box)
    assert len(in_memory(box)) == 1
    await box.connection.withdraw(other, box.fence(), "1.6")
    third = await box.staged("3")
    await box.live(third, "1.7")
    await box.connection.finish(third, [], box.fence(), "1.8", warm=0, prune_to=0)
    assert in_memory(box) == []


async def test_files_that_are_gone_with_the_hosts_memory_are_told_of_and_made_anew(box: Box) -> None:
    spec = box.spec(secrets=(SecretFile("KEY", "/run/secrets/KEY"),))
    release = box.release("1", secrets=["KEY"], spec=spec)
    await box.connection.stage(release, None, SecretValues({"KEY": CANARY}), box.fence())
    assert (await box.connection.facts(box.target, "", release)).problems == ()
    (directory,) = in_memory(box)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    facts = await box.connection.facts(box.target, "", release)
    assert "gone with the host's memory" in " ".join(facts.drift)
    with pytest.raises(CommandFailed, match=r"secrets are not known here: KEY") as caught:
        await box.connection.switch(release, NO_SECRETS, box.fence(), "1.1")
    assert caught.value.untouched
    await box.connection.switch(release, SecretValues({"KEY": "again"}), box.fence(), "1.2")
    assert read(box, "/run/secrets/KEY") == "again"
    await box.connection.withdraw(release, box.fence(), "1.3")
    third = await box.staged("3")
    await box.live(third, "1.4")
    await box.connection.finish(third, [], box.fence(), "1.5", warm=0, prune_to=0)
    assert in_memory(box) == []


async def test_files_that_are_being_removed_with_their_container_are_not_told_of_as_lost(box: Box) -> None:
    """Whoever looks meanwhile: the worker stands still before each of its calls."""
    live = await box.staged("0")
    await box.live(live, "1.0")
    spec = box.spec(secrets=(SecretFile("KEY", "/run/secrets/KEY"),))
    release = box.release("1", secrets=["KEY"], spec=spec)
    for epoch in range(2, 60):
        await box.connection.stage(release, None, SecretValues({"KEY": CANARY}), box.fence(epoch))
        worker = await box.another()
        death = Death(worker, epoch - 1)
        with contextlib.suppress(BackendError):
            await worker.finish(live, [], box.fence(epoch), f"{epoch}.1", warm=0, prune_to=0)
        assert "gone" not in " ".join((await box.connection.facts(box.target, "", live)).drift), death.made
        await worker.close()
        if not death.happened:
            break
        await box.connection.finish(live, [], box.fence(epoch), f"{epoch}.2", warm=0, prune_to=0)
        assert in_memory(box) == [], death.made
        assert [*box.containers()] == [box.name], death.made
    assert epoch >= 6


async def test_a_worker_that_dies_while_it_makes_a_container_leaves_no_secret_that_nobody_finds(box: Box) -> None:
    live = await box.staged("0")
    await box.live(live, "1.0")
    spec = box.spec(secrets=(SecretFile("KEY", "/run/secrets/KEY"),))
    release = box.release("1", secrets=["KEY"], spec=spec)
    for epoch in range(2, 40):
        worker = await box.another()
        death = Death(worker, epoch - 1)
        with contextlib.suppress(BackendError):
            await worker.stage(release, None, SecretValues({"KEY": CANARY}), box.fence(epoch))
        await worker.close()
        if not death.happened:
            break
        await box.connection.finish(live, [], box.fence(epoch), f"{epoch}.f", warm=0)
        assert in_memory(box) == [], death.made
        assert [*box.containers()] == [box.name], death.made
    assert epoch >= 6
    assert len(in_memory(box)) == 1
    await box.connection.switch(release, NO_SECRETS, box.fence(epoch), f"{epoch}.1")


async def test_what_a_dead_worker_left_is_listed_once_it_is_nobodys_work_any_more(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await box.staged("0")
    await box.live(live, "1.0")
    spec = box.spec(secrets=(SecretFile("KEY", "/run/secrets/KEY"),))
    release = box.release("1", secrets=["KEY"], spec=spec)
    worker = await box.another()
    death = Death(worker, 3)
    with contextlib.suppress(BackendError):
        await worker.stage(release, None, SecretValues({"KEY": CANARY}), box.fence(2))
    await worker.close()
    assert death.happened
    left = [name for name in box.containers() if name != box.name]
    assert len(left) == 1, "the way into the host's memory"
    assert (await box.connection.facts(box.target, "", live)).left == (), "somebody may be at work with it"
    monkeypatch.setattr("quarterdeck.backends.hosts.docker.facts._AT_WORK", -1.0)
    facts = await box.connection.facts(box.target, "", live)
    assert list(facts.left) == left
    assert facts.drift == ()
    await box.connection.finish(live, [], box.fence(2), "2.f", warm=0)
    assert (await box.connection.facts(box.target, "", live)).left == ()
