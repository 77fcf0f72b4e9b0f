"""A range of published ports: one of them is chosen when the container is made and stays its own; one that somebody else has gives way."""

import socket
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.backends.hosts.docker import ports
from quarterdeck.config.container import ContainerSpec, PublishedPort
from quarterdeck.config.release import Release
from tests.boxes import NO_SECRETS, Box
from tests.contract.place import become_healthy
from tests.sshd import free_range

engine = [pytest.mark.docker, pytest.mark.root, pytest.mark.usefixtures("at_once")]


def marked(*given: PublishedPort) -> ContainerSpec:
    return ContainerSpec(project="p", service="web", ports=given)


def test_one_port_of_each_range_and_no_port_twice() -> None:
    spec = marked(PublishedPort(80, "8081-8083"), PublishedPort(81, "8081-8083"), PublishedPort(82, "8082"))
    made, chosen = ports.choose(spec, ())
    assert [port.published for port in made.ports] == ["8081", "8083", "8082"]
    assert chosen == {"8081/tcp", "8083/tcp"}
    assert ports.as_made(marked(PublishedPort(80, "1-9")), {"dev.quarterdeck.ports": "7/tcp"}).ports[0].published == "7"


def test_what_matters_most_is_left_alone() -> None:
    spec = marked(PublishedPort(80, "1-4"))
    running, engine_has, kept = {"1/tcp"}, {"1/tcp", "2/tcp", "3/udp"}, {"3/tcp"}
    assert ports.choose(spec, (), running, engine_has, kept)[1] == {"4/tcp"}
    assert ports.choose(spec, {"4/tcp"}, running, engine_has, kept)[1] == {"3/tcp"}
    assert ports.choose(spec, {"4/tcp", "3/tcp"}, running, engine_has, kept)[1] == {"2/tcp"}
    assert ports.is_left(spec, {"1/tcp", "2/tcp", "3/tcp"})
    assert not ports.is_left(spec, {"1/tcp", "2/tcp", "3/tcp", "4/tcp"})


def test_what_no_range_publishes_is_as_it_was() -> None:
    spec = marked(PublishedPort(80, "8081"), PublishedPort(81))
    assert ports.choose(spec, {"8081/tcp"}) == (spec, frozenset())
    assert ports.as_made(spec, {}) == spec


def test_the_engines_words_name_a_port() -> None:
    said = "driver failed programming external connectivity: Bind for 127.0.0.1:8081 failed: port is already allocated"
    assert ports.named_in(said, {"8081/tcp", "808/tcp", "81/tcp"}) == {"8081/tcp"}


def bound(box: Box, name: str) -> str:
    """The port of the host that the container is made with."""
    (bindings,) = box.inspect(name)["HostConfig"]["PortBindings"].values()
    return str(bindings[0]["HostPort"])


def ranged(box: Box, published: range, **more: Any) -> ContainerSpec:
    return box.spec(ports=(PublishedPort(8080, f"{published[0]}-{published[-1]}", "127.0.0.1"),), **more)


def listening(port: int) -> socket.socket:
    """Somebody else has it."""
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have just ended are in nobody's way
    other.bind(("127.0.0.1", port))
    other.listen()
    return other


async def switched(box: Box, release: Release, op_id: str) -> Mapping[str, Any]:
    outcome = await box.connection.switch(release, NO_SECRETS, box.fence(), op_id)
    return {"beside": outcome.beside, "current": outcome.current}


class TestOnAnEngine:
    pytestmark = engine

    async def test_it_is_where_it_was_after_every_restart(self, box: Box) -> None:
        published = free_range(3)
        first = await box.staged("1", spec=ranged(box, published, restart="always"))
        await box.live(first, "1.1")
        address = await box.connection.address_of(first, 8080)
        assert address == f"127.0.0.1:{bound(box, box.name)}"
        for _ in range(3):
            box.engine.client.restart(box.name, timeout=1)
            await become_healthy(box.connection, first)
            assert await box.connection.address_of(first, 8080) == address

    async def test_a_port_that_somebody_has_taken_gives_way(self, box: Box) -> None:
        published = free_range(3)
        first, second = [await box.staged(version, spec=ranged(box, published)) for version in ("1", "2")]
        await box.live(first, "1.1")
        wanted = int(bound(box, f"{box.name}.{second.id}"))
        with listening(wanted):
            assert (await switched(box, second, "1.2"))["beside"]
            await become_healthy(box.connection, second)
            await box.connection.retire(second, box.fence(), "1.3")
        assert int(bound(box, box.name)) in set(published) - {wanted}
        assert box.running == [second.id]
        facts = await box.connection.facts(box.target, "", second)
        assert (facts.current, facts.running, facts.drift) == (second.id, True, ())

    async def test_also_where_nothing_runs_beside(self, box: Box) -> None:
        published = free_range(2)
        first = await box.staged("1", spec=ranged(box, published))
        wanted = int(bound(box, f"{box.name}.{first.id}"))
        with listening(wanted):
            assert await switched(box, first, "1.1") == {"beside": False, "current": first.id}
        assert bound(box, box.name) != str(wanted)
        assert box.running == [first.id]

    async def test_what_a_router_leads_to_is_not_started_anew_and_all_else_is(self, box: Box) -> None:
        first = await box.staged("1", spec=ranged(box, free_range(2)))
        await box.live(first, "1.1")
        began = box.inspect(box.name)["State"]["StartedAt"]
        served = await box.connection.switch(first, NO_SECRETS, box.fence(), "1.2", served=True)
        assert (served.current, box.inspect(box.name)["State"]["StartedAt"]) == (first.id, began)
        assert await switched(box, first, "1.3") == {"beside": False, "current": first.id}
        assert box.inspect(box.name)["State"]["StartedAt"] != began, "it publishes a range, and no router is before it"
        assert box.running == [first.id]

    async def test_where_all_are_taken_it_is_told_and_the_old_one_runs(self, box: Box) -> None:
        published = free_range(2)
        first, second = [await box.staged(version, spec=ranged(box, published)) for version in ("1", "2")]
        await box.live(first, "1.1")
        with (
            listening(int(bound(box, f"{box.name}.{second.id}"))),
            pytest.raises(CommandFailed, match=r"was not started: .*(already allocated|in use)") as caught,
        ):
            await box.connection.switch(second, NO_SECRETS, box.fence(), "1.2")
        assert "ss -ltnp" in caught.value.advice
        assert box.running == [first.id]
        await box.live(second, "2.1", epoch=2)  # and it is free again

    async def test_what_another_target_publishes_is_not_chosen(self, box: Box) -> None:
        published = free_range(2)
        image = box.registry.push(box.engine, "app:1")[0]
        box.engine.client.pull(image)
        binding = {"port_bindings": {8080: ("127.0.0.1", published[0])}}
        box.engine.run(image, f"{box.name}-other", ports=[8080], host=binding)
        first = await box.staged("1", spec=ranged(box, published))
        assert bound(box, f"{box.name}.{first.id}") == str(published[1])

    async def test_from_a_fixed_port_to_a_range_that_has_it(self, box: Box) -> None:
        published = free_range(2)
        fixed = box.spec(ports=(PublishedPort(8080, str(published[0]), "127.0.0.1"),))
        first = await box.staged("1", spec=fixed)
        await box.live(first, "1.1")
        second = await box.staged("2", spec=ranged(box, published))
        assert (await switched(box, second, "1.2"))["beside"]
        assert box.running == [first.id, second.id]
        await box.connection.retire(second, box.fence(), "1.3")
        assert bound(box, box.name) == str(published[1])

    async def test_a_kept_one_whose_port_is_in_use_is_made_anew_with_another(self, box: Box) -> None:
        published = free_range(2)
        releases = [await box.staged(version, spec=ranged(box, published)) for version in ("1", "2", "3")]
        for number, release in enumerate(releases, 1):
            await box.live(release, f"{number}.1", epoch=number)
        assert bound(box, f"{box.name}.{releases[0].id}") == bound(box, box.name)
        outcome = await box.connection.switch(releases[0], NO_SECRETS, box.fence(4), "4.1")
        assert outcome.beside
        await become_healthy(box.connection, releases[0])
        await box.connection.retire(releases[0], box.fence(4), "4.2")
        assert box.running == [releases[0].id]
        kept = msgspec.structs.replace(releases[0], created="")
        assert await box.connection.address_of(kept, 8080) == f"127.0.0.1:{bound(box, box.name)}"

    async def test_the_same_release_with_another_secret_runs_beside_itself(self, box: Box) -> None:
        published = free_range(2)
        release = box.release("1", spec=ranged(box, published), secrets=["KEY"])
        old, new = SecretValues({"KEY": "old"}), SecretValues({"KEY": "new"})
        await box.connection.stage(release, None, old, box.fence())
        await box.connection.switch(release, old, box.fence(), "1.1")
        was = bound(box, box.name)
        assert (await box.connection.switch(release, new, box.fence(), "1.2")).beside
        await become_healthy(box.connection, release)
        await box.connection.retire(release, box.fence(), "1.3")
        assert {was, bound(box, box.name)} == {str(port) for port in published}
