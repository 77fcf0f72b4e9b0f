"""Releases as containers on a real engine: one takes the place of another, beside it or after it."""

from typing import Any

import docker.errors
import msgspec
import pytest
import requests

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.docker import switching
from quarterdeck.config.container import Network, PublishedPort
from tests.boxes import NO_SECRETS, Box
from tests.contract.place import become_healthy
from tests.sshd import free_port

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.usefixtures("at_once")]


async def test_a_release_is_started_and_read_back(box: Box) -> None:
    first = await box.staged("1")
    assert box.containers(running=True) == {}
    facts = await box.connection.facts(box.target, "", first)
    assert (facts.current, facts.running) == (None, False)
    assert [(one.release, one.intact, one.warm) for one in facts.kept] == [(first.id, True, True)]
    outcome = await box.connection.switch(first, NO_SECRETS, box.fence(), "1.1")
    assert (outcome.current, outcome.previous, outcome.beside, outcome.replayed) == (first.id, None, False, False)
    assert [*box.containers(running=True)] == [box.name]
    await become_healthy(box.connection, first)
    facts = await box.connection.facts(box.target, "", first)
    assert (facts.current, facts.running, facts.drift, facts.drift) == (first.id, True, (), ())


async def test_the_new_one_starts_beside_the_old_one_and_gets_the_traffic_when_that_is_retired(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    outcome = await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
    assert (outcome.current, outcome.beside) == (first.id, True)
    assert box.running == [first.id, second.id]
    assert "web" not in aliases(box, f"{box.name}.{second.id}")
    await become_healthy(box.connection, second)
    outcome = await box.connection.retire(second, box.fence(), "1.3")
    assert (outcome.current, outcome.previous, outcome.beside) == (second.id, first.id, False)
    assert box.running == [second.id]
    assert "web" in aliases(box, box.name)
    facts = await box.connection.facts(box.target, "", second)
    assert (facts.current, facts.running, facts.drift) == (second.id, True, ())


def aliases(box: Box, name: str) -> list[str]:
    return list(box.inspect(name)["NetworkSettings"]["Networks"][box.network]["Aliases"] or ())


async def test_what_publishes_the_same_port_is_stopped_first(box: Box) -> None:
    port = free_port("127.0.0.1")
    spec = box.spec(ports=(PublishedPort(8080, str(port), "127.0.0.1"),))
    first, second = await box.staged("1", spec=spec), await box.staged("2", spec=spec)
    await box.live(first, "1.1")
    outcome = await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
    assert (outcome.current, outcome.previous, outcome.beside) == (second.id, first.id, False)
    assert box.running == [second.id]
    await become_healthy(box.connection, second)


async def test_a_rollback_starts_the_kept_container_as_it_was(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    kept = box.inspect(box.name)["Id"]
    await box.live(second, "1.2")
    await box.live(first, "2.1", epoch=2)
    assert box.inspect(box.name)["Id"] == kept


async def test_the_same_operation_again_does_nothing_and_answers_the_same(box: Box) -> None:
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    again = await box.connection.switch(first, NO_SECRETS, box.fence(), "1.1")
    assert (again.current, again.previous, again.replayed) == (first.id, None, True)
    assert box.running == [second.id]


async def test_one_that_exits_at_once_is_told_with_its_status_and_its_last_words(box: Box) -> None:
    first = await box.staged("1")
    broken = await box.staged("2", image={"name": "broken", "command": ["sh", "-c", "echo oops; exit 7"]}, health=None)
    await box.live(first, "1.1")
    with pytest.raises(CommandFailed, match="ended with status 7: oops") as caught:
        await box.connection.switch(broken, NO_SECRETS, box.fence(), "1.2")
    assert caught.value.exit_status == 7
    assert first.id in caught.value.left
    assert box.running == [first.id]


async def test_a_service_may_get_another_name(box: Box) -> None:
    first = await box.staged("1")
    second = await box.staged("2", spec=msgspec.structs.replace(box.spec(), container_name=f"{box.name}-renamed"))
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    assert [*box.containers(running=True)] == [f"{box.name}-renamed"]
    assert set(box.containers(running=False)) == {f"{box.name}.{first.id}"}
    await box.live(first, "2.1", epoch=2)
    assert [*box.containers(running=True)] == [box.name]
    facts = await box.connection.facts(box.target, "", first)
    assert (facts.current, facts.running, facts.drift) == (first.id, True, ())


async def test_a_restart_of_what_is_live_starts_the_same_container_again(box: Box) -> None:
    release = await box.staged("1", spec=box.spec(restart="always"))
    await box.live(release, "1.1")
    before = box.inspect(box.name)
    outcome = await box.connection.switch(release, NO_SECRETS, box.fence(2), "2.1")
    assert (outcome.current, outcome.previous, outcome.beside) == (release.id, release.id, False)
    after = box.inspect(box.name)
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]
    assert after["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert (await box.connection.facts(box.target, "", release)).drift == ()


async def test_one_that_a_dead_worker_left_out_of_its_network_joins_it_again(box: Box) -> None:
    """It died between leaving the network and joining it with the service's name."""
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")).beside
    (begun,) = [name for name in box.containers(running=True) if name != box.name]
    (network,) = box.inspect(begun)["NetworkSettings"]["Networks"]
    box.engine.client.disconnect_container_from_network(begun, network)
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(2), "2.1")).beside
    assert [*box.inspect(begun)["NetworkSettings"]["Networks"]] == [network]
    await become_healthy(box.connection, second)  # which it has to be before the old one goes
    await box.connection.retire(second, box.fence(2), "2.2")
    assert box.running == [second.id]


async def test_a_container_that_ends_while_its_restart_policy_is_set_is_no_dead_end(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own words, once: in that very moment it knows neither that it runs nor that it has ended."""
    first, second = await box.staged("1"), await box.staged("2")
    await box.live(first, "1.1")
    client = box.connection.engine._open_client()
    real = client.update_container
    refused: list[str] = []

    def update(container: str, **more: Any) -> Any:
        if not refused:
            refused.append(container)
            answer = requests.Response()
            answer.status_code = 500
            raise docker.errors.APIError(
                "x", answer, f"Cannot update container {container}: cannot update a stopped container"
            )
        return real(container, **more)

    monkeypatch.setattr(client, "update_container", update)
    await box.live(second, "1.2")
    assert refused
    assert box.running == [second.id]


@pytest.mark.parametrize("made_anew", [False, True], ids=["removed", "made anew"])
@pytest.mark.parametrize("beside", [False, True], ids=["in its place", "beside"])
async def test_a_kept_one_whose_network_was_removed_runs_again(box: Box, beside: bool, made_anew: bool) -> None:
    """The engine does not start it whatever is done to it: it is made anew, with its network. It is nobody's fault but theirs who removed
    the network."""
    ports = () if beside else (PublishedPort(8080, str(free_port("127.0.0.1")), "127.0.0.1"),)
    first = await box.staged("1", spec=box.spec(ports=ports))
    second = await box.staged("2", spec=box.spec(ports=ports, networks=()))
    await box.live(first, "1.1")
    kept = box.inspect(box.name)["Id"]
    await box.live(second, "1.2")
    box.engine.client.remove_network(box.network)
    if made_anew:
        box.engine.client.create_network(box.network, "bridge")
    outcome = await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")
    assert outcome.beside is beside
    await become_healthy(box.connection, first)
    if beside:
        await box.connection.retire(first, box.fence(2), "2.2")
    assert box.running == [first.id]
    assert "web" in aliases(box, box.name)
    facts = await box.connection.facts(box.target, "", first)
    assert (facts.current, facts.running, facts.drift) == (first.id, True, ())
    if not beside:
        assert box.inspect(box.name)["Id"] != kept
    await box.connection.finish(first, [second.id], box.fence(2), "2.3")
    assert set(box.containers()) == {box.name, f"{box.name}.{second.id}"}


async def test_an_external_network_that_was_removed_is_told_and_what_runs_then_is_told_as_it_is(box: Box) -> None:
    """Nobody makes an external one: the release is not blamed, and its way back opens with the network."""
    client = box.engine.client
    client.create_network(box.network, "bridge")
    port = (PublishedPort(8080, str(free_port("127.0.0.1")), "127.0.0.1"),)
    network = Network(box.network, aliases=("web",), external=True)
    first = await box.staged("1", spec=box.spec(ports=port, networks=(network,)))
    second = await box.staged("2", spec=box.spec(ports=port, networks=()))
    await box.live(first, "1.1")
    await box.live(second, "1.2")
    client.remove_network(box.network)
    with pytest.raises(CommandFailed, match="is external") as caught:
        await box.connection.switch(first, NO_SECRETS, box.fence(2), "2.1")
    assert caught.value.exit_status is None
    assert "Nothing of it runs there now" in caught.value.left
    assert box.running == []
    client.create_network(box.network, "bridge")
    await box.live(first, "3.1", epoch=3)
    await become_healthy(box.connection, first)


async def test_one_that_its_engine_could_not_start_is_not_told_as_one_that_has_ended(box: Box) -> None:
    """As where the engine's own restart of it fails: the status that is there is no word of the release's."""
    release = await box.staged("1")
    client = box.engine.client
    client.remove_network(box.network)
    with pytest.raises(docker.errors.NotFound):
        client.start(f"{box.name}.{release.id}")
    gate = box.connection._gate(release, box.fence(), "switch", 30.0)
    new = (await gate.look()).of(release)
    assert new is not None
    with pytest.raises(CommandFailed, match=r"was not started: .*network") as caught:
        await switching._read_back(gate, new, release, watched=0.0)
    assert caught.value.exit_status is None
