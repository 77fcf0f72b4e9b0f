"""What is Caddy's own: turns in place of weights, its object, and its admin API at the other end of a key that opens nothing else."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from quarterdeck.backends.errors import NotPermitted, RouterRefused
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.backends.routers.caddy.rendering import upstreams
from quarterdeck.backends.routers.contract import FULL, Ability, Fronted, RouterVerdict, Server, Slot
from quarterdeck.backends.routers.opening import open_router
from quarterdeck.backends.routers.setup import setup_of
from quarterdeck.backends.routers.whole import Plan, PlannedSlot
from quarterdeck.config.routers import CaddyRouter
from tests.backends.routers.running import ROUTED, RunningCaddy, documented
from tests.backends.routers.service import answers, instances
from tests.conftest import StartFleet

pytestmark = pytest.mark.root


@pytest.fixture
async def caddy() -> AsyncIterator[RunningCaddy]:
    router = RunningCaddy()
    try:
        await router.start()
        yield router
    finally:
        await router.close()


def test_the_document_shows_what_the_setup_writes() -> None:
    made = setup_of(CaddyRouter("edge", "lb-1"), [Fronted(ROUTED)])
    assert documented("Caddy", "json") == made.files[0].text
    assert all(command in documented("Caddy", "sh") for command in made.commands)


@pytest.mark.parametrize(("blues", "greens"), [(1, 1), (3, 2), (4, 7)])
def test_turns_are_exactly_the_share(blues: int, greens: int) -> None:
    """Of slots and, as far as the list does not get too long, of the servers of each slot; and nobody has his turns all at once."""
    blue = tuple(Server("10.0.0.1", 1 + port) for port in range(blues))
    green = tuple(Server("10.0.0.2", 1 + port) for port in range(greens))
    for percent in (1, 5, 33, 50, 99):
        slots = {Slot.BLUE: PlannedSlot("r1", blue), Slot.GREEN: PlannedSlot("r2", green)}
        turns = upstreams(Plan(percent * 100, (), slots))
        counts = Counter(turns)
        assert sum(counts[server] for server in green) * 100 == percent * len(turns)
        if len(turns) > 100:
            assert len({counts[server] for server in green}) == len({counts[server] for server in blue}) == 1
        if percent == 50:
            assert all((one in green) != (other in green) for one, other in pairwise(turns))
    assert upstreams(Plan(FULL, (), {Slot.BLUE: PlannedSlot("r1", blue), Slot.GREEN: PlannedSlot()})) == list(blue)


async def test_what_was_changed_by_hand_is_told_and_put_right(caddy: RunningCaddy) -> None:
    edge = caddy.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        with pytest.raises(RouterRefused, match=r"multiples of 1 % here, not 5\.5 %"):
            await edge.set_share(550)
        with pytest.raises(RouterRefused, match="does not count"):
            await edge.statistics()
        assert Ability.STATISTICS not in edge.abilities

        async def by_hand(method: str, path: str, what: object) -> None:
            reader, writer = await asyncio.open_connection("localhost", int(caddy.admin.rpartition(":")[2]))
            body = json.dumps(what).encode()
            head = f"{method} {path} HTTP/1.0\r\nHost: {caddy.admin}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            assert b" 200 " in (await reader.read()).split(b"\r\n")[0]
            writer.close()

        await by_hand("POST", "/id/qd_api/routes/2/handle/0/upstreams", {"dial": str(two.server)})
        assert set(await answers(caddy.port, 20)) == {"one", "two"}
        assert (await edge.read()).problems == ("the object qd_api was changed by hand",)
        assert [finding.verdict for finding in await edge.examine()] == [RouterVerdict.WARN]
        assert (await edge.set_share(0)).state.problems == ()
        assert set(await answers(caddy.port, 20)) == {"one"}
        await by_hand("PATCH", "/id/qd_api", {"@id": "qd_api", "handler": "static_response"})
        with pytest.raises(RouterRefused, match="is not Quarterdeck's"):
            await edge.set_share(0)
        await by_hand("PATCH", "/id/qd_api", {"handler": "static_response"})
        with pytest.raises(RouterRefused, match=r"unknown object ID 'qd_api'.*Put the object"):
            await edge.set_share(0)


async def test_the_admin_api_on_a_socket(caddy: RunningCaddy) -> None:
    socket = caddy.directory / "admin.sock"
    caddy.configuration.write_text(caddy.configuration.read_text().replace(caddy.admin, f"unix/{socket}"))
    caddy.kill()
    (caddy.directory / "caddy" / "autosave.json").unlink()
    await caddy.start()
    edge = caddy.connect(CaddyRouter("edge", admin=str(socket)))
    async with instances("one") as (one,):
        assert (await edge.enter(Slot.BLUE, "r1", [one.server])).state.slots[Slot.BLUE].ready == (one.server,)


async def test_a_key_that_opens_the_admin_api_and_nothing_else_is_enough(
    caddy: RunningCaddy, start_sshd_fleet: StartFleet
) -> None:
    """For shares, rules and leaving; whether a server is well can't be asked through it, so none enters."""
    fleet = start_sshd_fleet(1)
    hosts = {"host-1": fleet[0].as_host()}
    router = CaddyRouter("edge", "host-1", caddy.admin)
    backend = Hosts([fleet.ssh_config], [fleet.known_hosts])
    async with instances("one", "two") as (one, two):
        local = caddy.connect()
        await local.enter(Slot.BLUE, "r1", [one.server])
        await local.enter(Slot.GREEN, "r2", [two.server])
        key = fleet[0].authorized_keys.read_text()
        held = f'restrict,port-forwarding,permitopen="{caddy.admin}",command="/bin/false" {key}'
        fleet[0].authorized_keys.write_text(held)
        edge = open_router(router, ROUTED, backend, hosts)
        assert (await edge.set_share(FULL)).state.share == FULL
        assert set(await answers(caddy.port, 10)) == {"two"}
        assert (await edge.leave(Slot.BLUE)).waiting == 0
        said = re.compile(r"edge on host-1: .*opens no connection to 127\.0\.0\.2:\d+ for us")
        for deadline in (0.5, 10.0):  # the second one on a machine that is too busy to ask within the first
            with pytest.raises(RouterRefused) as refused:
                await edge.enter(Slot.BLUE, "r1", [one.server], deadline=deadline)
            if said.match(str(refused.value)):
                break
        assert said.match(str(refused.value)), refused.value
        await edge.close()
        fleet[0].authorized_keys.write_text(f"restrict {key}")
        edge = open_router(router, ROUTED, backend, hosts)
        with pytest.raises(
            NotPermitted, match=r"edge on host-1: .*opens no connection to localhost:\d+ for us.*AllowTcpForwarding"
        ):
            await edge.read()
        await edge.close()
