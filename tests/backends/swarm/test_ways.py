"""A Swarm over SSH, and over TCP with TLS: managers and nodes, a manager that is lost, and a way that leads elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.contract import Exited, Printed
from quarterdeck.backends.hosts.swarm.connection import SwarmConnection
from quarterdeck.config.model import CommandCheck, Health, Host, Logs
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.engine_certificates import Authority
from tests.sshd import SshdFleet
from tests.swarm import Swarm
from tests.swarm_field import Field, backend, over_ssh
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.sshd, pytest.mark.timeout(600)]
WELL = Health(command=CommandCheck('grep -qx "$QD_VERSION" /www/version'), interval=0.1, healthy_deadline=60.0)
SAYS = ["sh", "-c", "trap 'exit 0' TERM; echo here; while :; do sleep 0.1; done"]


@asynccontextmanager
async def reached(swarm: Swarm, host: Host, ways: SshdFleet | None = None, replicas: int = 1) -> AsyncIterator[Field]:
    connection = await backend(ways).connect(host)
    try:
        yield Field(swarm, connection, replicas)
    finally:
        await connection.close()


async def put(field: Field, release: Release, epoch: int) -> None:
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    outcome = await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
    assert outcome.current == release.id
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")


async def printed_by(connection: SwarmConnection, target: str, *command: str) -> tuple[int, str]:
    status, printed = -1, b""
    async for piece in connection.exec_in(target, "", command, deadline=60.0):
        match piece:
            case Exited(status=status):
                pass
            case Printed(data=data):
                printed += data
    return status, printed.decode()


async def test_over_ssh_a_release_goes_out_is_looked_into_and_goes_back_while_a_manager_is_lost(
    swarm: Swarm, swarm_ways: SshdFleet
) -> None:
    """The task runs on a node that is not the manager which is asked."""
    async with reached(swarm, over_ssh(swarm), swarm_ways) as field:
        asked = next(node for node in swarm.nodes if node.over_ssh == field.connection._managers.address)
        far = next(node for node in swarm.nodes if node is not asked)
        spec = field.spec(deploy={"constraints": (f"node.hostname == {far.hostname}",)})
        first, second = (
            field.release(version, image={"name": "says", "command": SAYS}, spec=spec, health=WELL)
            for version in ("v1", "v2")
        )
        await put(field, first, 1)
        facts = await field.facts()
        assert (facts.current, facts.drift, facts.running) == (first.id, (), True)
        assert [(one.node, one.state) for one in facts.tasks] == [(far.hostname, "running")]
        assert (await field.connection.check_health(WELL, first)).healthy
        assert await printed_by(field.connection, field.target, "cat", "/www/version") == (0, "v1\n")
        lines = [one.text async for one in field.connection.logs(Logs(), first, lines=5)]
        assert lines == [f"1@{far.hostname}: here"]
        said = await field.connection.execute("echo from the manager; exit 3", deadline=60.0)
        assert (said.exit_status, said.output) == (3, "from the manager\n")
        # In the middle of the update: the manager's machine is not reached any more.
        await field.connection.stage(second, None, NO_SECRETS, field.fence(2))
        switching = field.connection.switch(second, NO_SECRETS, field.fence(2), "2.1", deadline=120.0)
        going = asyncio.create_task(switching)
        await until(lambda: "v2" in field.versions, "a task of v2 runs", unless=going)
        await asyncio.to_thread(swarm_ways[asked.index].stop)
        assert (await going).current == second.id
        assert field.versions == ["v2"]
        assert field.connection._managers.address != asked.over_ssh
        back = await field.connection.switch(first, NO_SECRETS, field.fence(3), "3.1")
        assert (back.current, field.versions) == (first.id, ["v1"])
        assert await printed_by(field.connection, field.target, "cat", "/www/version") == (0, "v1\n")


async def test_nodes_that_lead_to_another_nodes_engine_are_told_of(swarm: Swarm, swarm_ways: SshdFleet) -> None:
    """One path for all of them, which is the first node's. Seen to say «No such container» without the look whose engine that is."""
    host = Host("swarm", swarm=(swarm.nodes[0].over_ssh,), nodes=f"ssh://{{hostname}}{swarm.nodes[0].socket}")
    async with reached(swarm, host, swarm_ways) as field:
        spec = field.spec(deploy={"constraints": ("node.hostname == node-2",)})
        await put(field, field.release("v1", spec=spec), 1)
        with pytest.raises(Unreachable, match="is the engine of node-1, not of its node node-2") as refused:
            await printed_by(field.connection, field.target, "true")
        assert "nodes" in refused.value.advice


async def test_over_tls_the_nodes_are_found_without_a_word(
    swarm: Swarm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host = Host("swarm", swarm=tuple(node.over_tls for node in swarm.nodes), tls=str(swarm.certificates))
    async with reached(swarm, host) as field:
        far = next(node for node in swarm.nodes if node.over_tls != field.connection._managers.address)
        spec = field.spec(deploy={"constraints": (f"node.hostname == {far.hostname}",)})
        first = field.release("v1", spec=spec, health=WELL)
        await put(field, first, 1)
        facts = await field.facts()
        assert (facts.current, facts.drift, field.versions) == (first.id, (), ["v1"])
        assert await printed_by(field.connection, field.target, "cat", "/www/version") == (0, "v1\n")
    stranger = Authority(tmp_path_factory.mktemp("other")).directory("stranger")
    with pytest.raises(Unreachable, match="can't be trusted"):
        await backend().connect(Host("swarm", swarm=(swarm.nodes[0].over_tls,), tls=str(stranger)))
