"""Containers that will not stop, not start, not get well; an engine that restarts; and hands that are not ours."""

import asyncio
import contextlib
from typing import Any

import msgspec
import pytest

from quarterdeck.backends.errors import BackendError, CommandFailed
from quarterdeck.backends.hosts.docker import making
from quarterdeck.backends.hosts.docker.gate import Gate
from quarterdeck.config.container import Mount, PublishedPort, Volume
from quarterdeck.config.model import Health, TcpCheck
from tests.backends.docker.dying import Death
from tests.boxes import HEALTH, NO_SECRETS, Box, Registry, connect
from tests.conftest import StartDockerEngine
from tests.contract.place import become_healthy
from tests.sshd import free_port, wait_for

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_one_that_ignores_sigterm_is_killed_after_its_grace_period(box: Box) -> None:
    spec = box.spec(stop_grace_period=1.0)
    first = await box.staged("1", image={"name": "stubborn", "ignores_term": True}, spec=spec)
    second = await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    assert box.running == [second.id]
    assert box.inspect(f"{box.name}.{first.id}")["State"]["ExitCode"] == 137


async def test_one_that_never_gets_well_is_taken_back_and_the_old_one_never_stopped(box: Box) -> None:
    first = await box.staged("1")
    await box.live(first, "1.1")
    started = box.inspect(box.name)["State"]["StartedAt"]
    sick = await box.staged("2", image={"name": "sick", "healthy": False})
    outcome = await box.connection.switch(sick, NO_SECRETS, box.fence(), "1.2")
    assert outcome.beside
    assert not (await box.connection.check_health(HEALTH, sick)).healthy
    back = await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")
    assert (back.current, back.beside) == (first.id, False)
    assert box.running == [first.id]
    assert box.inspect(box.name)["State"]["StartedAt"] == started
    await box.connection.finish(first, [], box.fence(2), "2.2", bad=[sick.id])
    facts = await box.connection.facts(box.target, "", first)
    assert (facts.current, facts.bad, facts.drift) == (first.id, (sick.id,), ())


async def test_one_that_dies_before_the_old_one_is_retired_does_not_take_its_place_alone(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    outcome = await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
    assert outcome.beside
    set_restart_policy = making.set_restart_policy

    async def dies_then(gate: Gate, container: str, policy: Any) -> None:
        """It has the name by now, and the old one runs."""
        await set_restart_policy(gate, container, policy)
        assert box.name in _names_of(box, second.id)
        box.engine.client.kill(box.name)
        box.engine.client.wait(box.name)

    monkeypatch.setattr(making, "set_restart_policy", dies_then)
    with pytest.raises(CommandFailed, match="ended with status 137") as caught:
        await box.connection.retire(second, box.fence(), "1.3")
    monkeypatch.undo()
    assert first.id in caught.value.left
    assert box.running == [first.id]  # it still has the service's name in the network
    await box.live(first, "2.1", epoch=2)
    assert box.running == [first.id]


async def test_what_a_cut_short_switch_has_started_is_told_of_as_that_and_not_as_somebody_elses(box: Box) -> None:
    volume = box.spec(mounts=(Mount("volume", "/var/data", f"{box.name}-data"),), volumes=(Volume(f"{box.name}-data"),))
    first, second = await box.staged("1", spec=volume), await box.staged("2", spec=volume)
    told = set()
    for epoch in range(2, 60, 2):
        await box.live(first, f"{epoch}.1", epoch=epoch)
        worker = await box.another()
        death = Death(worker, epoch // 2)
        with contextlib.suppress(BackendError):
            await worker.switch(second, NO_SECRETS, box.fence(epoch + 1), f"{epoch}.2")
        await worker.close()
        told |= set((await box.connection.facts(box.target, "", second)).drift)
        if not death.happened:
            break
    words = " ".join(told)
    assert "somebody" not in words
    assert f"a switch to {second.id} was begun here and is not ended" in words


def _names_of(box: Box, release: str) -> list[str]:
    return [name for name, one in box.containers().items() if one["Labels"]["dev.quarterdeck.release"] == release]


async def test_a_port_that_another_has_is_told_and_what_ran_comes_back(box: Box) -> None:
    port, taken = free_port("127.0.0.1"), free_port("127.0.0.1")
    first = await box.staged("1", spec=box.spec(ports=(PublishedPort(8080, str(port), "127.0.0.1"),)))
    await box.live(first, "1.1")
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", taken)
    both = (PublishedPort(8080, str(port), "127.0.0.1"), PublishedPort(8080, str(taken), "127.0.0.1"))
    second = await box.staged("2", spec=box.spec(ports=both))
    with pytest.raises(CommandFailed, match="was not started") as caught:
        await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
    assert caught.value.exit_status is None  # not the release's fault
    assert "Nothing of it runs there now" in str(caught.value)
    assert "ss -ltnp" in str(caught.value)
    facts = await box.connection.facts(box.target, "", second)
    assert (facts.current, facts.running) == (second.id, False)  # the truth
    with pytest.raises(CommandFailed, match="recorded"):
        await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
    await box.live(first, "2.1", epoch=2)
    await become_healthy(box.connection, first)
    server.close()


async def test_a_program_that_is_not_in_the_image_is_the_releases_own_fault(box: Box) -> None:
    first = await box.staged("1")
    await box.live(first, "1.1")
    broken = await box.staged("2", spec=box.spec(command=("/no/such/program",)))
    with pytest.raises(CommandFailed, match="no such") as caught:
        await box.connection.switch(broken, NO_SECRETS, box.fence(), "1.2")
    assert caught.value.exit_status == 127
    assert box.running == [first.id]


async def test_an_image_that_was_pruned_is_told_and_fetched_again(box: Box) -> None:
    first, second = await box.staged("1", image={"name": "pruned"}), await box.staged("2")
    await box.live(first, "1.1")
    await box.connection.finish(first, [], box.fence(), "1.1f")
    await box.live(second, "1.2")
    box.engine.client.remove_container(f"{box.name}.{first.id}", force=True)
    box.engine.client.remove_image(first.artifact.location, force=True)
    facts = await box.connection.facts(box.target, "", second)
    assert {one.release: (one.intact, one.warm) for one in facts.kept} == {
        first.id: (False, False),
        second.id: (True, True),
    }
    assert f"the image of {first.id}, which is good, is not on the engine" in facts.drift
    with pytest.raises(CommandFailed, match="is not on the host") as caught:
        await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")
    assert caught.value.untouched
    await box.live(first, "2.1", epoch=2)  # staged first, and nothing was recorded of what was refused


async def test_what_others_did_is_told(box: Box) -> None:
    first = await box.staged("1")
    await box.live(first, "1.1")
    client = box.engine.client

    async def drift() -> str:
        return "; ".join((await box.connection.facts(box.target, "", first)).drift)

    assert await drift() == ""
    client.update_container(box.name, restart_policy={"Name": "always"})
    assert await drift() == f"{box.name} has the restart policy always, and its release says no"
    client.restart(box.name, timeout=1)
    assert "was started again" in await drift()
    client.pause(box.name)
    assert "is paused" in await drift()
    client.unpause(box.name)
    labels = box.inspect(box.name)["Config"]["Labels"]
    box.engine.run("client:1" if _has(box, "client:1") else box.engine.image("client:1"), labels=labels)
    assert "runs as well" in await drift()
    client.stop(box.name, timeout=1)
    client.rename(box.name, f"{box.name}-aside")
    image = box.inspect(f"{box.name}-aside")["Image"]
    made = client.create_container(image, ["sleep", "600"], name=box.name, labels=labels)
    client.start(made["Id"])
    assert "is not the one that was started" in await drift()


async def test_another_image_under_a_releases_name_and_labels_is_told(box: Box) -> None:
    """No rollout ends well with it. Seen to fail where labels alone are believed. An image whose name in the registry was removed is no
    other one."""
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    await box.live(second, "2.1")
    facts = await box.connection.facts(box.target, "", second)
    assert (facts.mismatch, facts.drift) == ("", ())
    client = box.engine.client
    body = box.inspect(box.name)
    labels = body["Config"]["Labels"]
    client.remove_container(box.name, force=True)
    made = client.create_container(first.artifact.location, ["sleep", "600"], name=box.name, labels=labels)
    client.start(made["Id"])
    facts = await box.connection.facts(box.target, "", second)
    assert facts.current == second.id
    assert facts.mismatch == f"a container in the name of {second.id} is of {first.artifact.location}"
    assert facts.mismatch in facts.drift
    client.remove_container(box.name, force=True)
    await box.live(second, "3.1")
    assert not (await box.connection.facts(box.target, "", second)).mismatch
    client.remove_image(second.artifact.location, force=True)
    assert not (await box.connection.facts(box.target, "", second)).mismatch


def _has(box: Box, name: str) -> bool:
    return bool(box.engine.client.images(name))


async def test_the_engines_restarts_of_a_container_are_told(box: Box) -> None:
    spec = box.spec(restart="always")
    release = await box.staged("1", spec=spec)
    await box.live(release, "1.1")
    client = box.engine.client
    client.exec_start(client.exec_create(box.name, ["kill", "-9", "1"])["Id"])
    client.exec_start(client.exec_create(box.name, ["sh", "-c", "kill -TERM 1"])["Id"])

    def restarted() -> bool:
        return bool(box.inspect(box.name)["RestartCount"])

    await asyncio.to_thread(wait_for, restarted, "the engine has restarted it")
    facts = await box.connection.facts(box.target, "", release)
    assert "the engine has restarted" in "; ".join(facts.drift)


async def test_an_engine_that_restarts_starts_what_is_live_and_nothing_else(
    start_docker_engine: StartDockerEngine, docker_images: Registry
) -> None:
    engine = start_docker_engine(["--live-restore=false"])
    connection = await connect(engine)
    box = Box(engine, docker_images, connection)
    try:
        spec = box.spec(restart="always")
        first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
        third = await box.staged("3", spec=spec)
        await box.live(first, "1.1")
        await box.live(second, "1.2")
        await box.connection.switch(third, NO_SECRETS, box.fence(), "1.3")
        assert box.running == [second.id, third.id]
        await connection.close()
        engine.stop()
        engine.start()
        box.connection = connection = await connect(engine)
        await asyncio.to_thread(wait_for, lambda: second.id in box.running, "the live one runs again")
        assert box.running == [second.id]
        facts = await box.connection.facts(box.target, "", second)
        assert (facts.current, facts.running) == (second.id, True)
        await box.live(first, "2.1", epoch=2)
        assert (await box.connection.check_health(Health(tcp=TcpCheck(8080), timeout=3.0), first)).checks == 1
    finally:
        await connection.close()


async def test_a_switch_that_an_engines_restart_has_undone_is_made_again_where_it_is_asked_for_once_more(
    start_docker_engine: StartDockerEngine, docker_images: Registry
) -> None:
    """By the worker that has lost its connection: what began beside the live one does not come up by itself, nor does a live one without a
    restart policy. Neither has ended by its own fault."""
    engine = start_docker_engine(["--live-restore=false"])
    connection = await connect(engine)
    box, other = Box(engine, docker_images, connection), Box(engine, docker_images, connection)
    try:
        spec = box.spec(restart="always")
        first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
        await box.live(first, "1.1")
        assert (await connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
        ends = await other.staged("1")
        await other.live(ends, "1.1")
        await connection.close()
        engine.stop()
        engine.start()
        box.connection = other.connection = connection = await connect(engine)
        await asyncio.to_thread(wait_for, lambda: first.id in box.running, "the live one runs again", 60)
        assert (box.running, other.running) == ([first.id], [])
        again = await connection.switch(second, NO_SECRETS, box.fence(), "1.2")
        assert (again.current, again.beside) == (first.id, True)
        await become_healthy(connection, second)
        await connection.retire(second, box.fence(), "1.3")
        assert box.running == [second.id]
        started = box.inspect(box.name)["State"]["StartedAt"]
        again = await connection.switch(second, NO_SECRETS, box.fence(), "1.2")
        assert again.replayed
        assert box.inspect(box.name)["State"]["StartedAt"] == started
        again = await connection.switch(ends, NO_SECRETS, other.fence(), "1.1")
        assert (again.current, again.beside) == (ends.id, False)
        await become_healthy(connection, ends)
        assert (await connection.facts(other.target, "", ends)).drift == ()
    finally:
        await connection.close()


async def test_one_that_has_ended_by_itself_is_blamed_where_its_switch_is_asked_for_once_more(box: Box) -> None:
    first = await box.staged("1")
    await box.live(first, "1.1")
    words = ["sh", "-c", "test -e /once && { echo no more; exit 7; }; touch /once; sleep 600"]
    second = await box.staged("2", image={"name": "once", "command": words}, health=None)
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    box.engine.client.kill(f"{box.name}.{second.id}")
    with pytest.raises(CommandFailed, match="ended with status 7: no more") as caught:
        await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
    assert caught.value.exit_status == 7
    assert box.running == [first.id]


async def test_what_was_withdrawn_does_not_come_up_where_its_switch_is_asked_for_once_more(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    await box.connection.withdraw(second, box.fence(), "1.3")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).replayed
    assert box.running == [first.id]


async def test_the_old_one_has_its_own_time_to_end_what_it_has(box: Box) -> None:
    """It may take longer than the new one would be given, and than the action's own deadline."""
    slow = box.spec(command=("sh", "-c", "trap 'sleep 12; exit 0' TERM; httpd -f -p 8080 -h /www & wait; wait"))
    first = await box.staged("1", spec=msgspec.structs.replace(slow, stop_grace_period=30.0))
    second = await box.staged("2", spec=box.spec(stop_grace_period=1.0))
    await box.live(first, "1.1")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    outcome = await box.connection.retire(second, box.fence(), "1.3", deadline=8.0)
    assert outcome.current == second.id
    assert box.running == [second.id]
