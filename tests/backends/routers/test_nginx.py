"""What is nginx's own: its file, what becomes of it when nginx does not take it, and what somebody else writes there."""

import asyncio
import subprocess
from collections.abc import AsyncIterator

import msgspec
import pytest

from quarterdeck.backends.errors import RouterRefused, Unreachable
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.backends.routers.contract import (
    FULL,
    Ability,
    Fronted,
    MatchOn,
    MatchRule,
    Mode,
    RouterVerdict,
    Server,
    Slot,
)
from quarterdeck.backends.routers.nginx.rendering import render
from quarterdeck.backends.routers.opening import open_router
from quarterdeck.backends.routers.setup import setup_of
from quarterdeck.backends.routers.whole import Plan, PlannedSlot
from quarterdeck.config.routers import NginxRouter, Routed
from tests.backends.routers.running import ROUTED, RunningNginx, documented, program
from tests.backends.routers.service import Client, answers, instances, until
from tests.conftest import StartFleet

pytestmark = pytest.mark.root


@pytest.fixture
async def nginx() -> AsyncIterator[RunningNginx]:
    router = RunningNginx()
    try:
        await router.start()
        yield router
    finally:
        await router.close()


def test_the_document_shows_what_the_setup_writes() -> None:
    made = setup_of(NginxRouter("edge", "lb-1", status="127.0.0.1:8491"), [Fronted(ROUTED)])
    assert [documented("nginx", "nginx"), documented("nginx", "conf")] == [file.text for file in made.files]
    assert all(command in documented("nginx", "sh") for command in made.commands)


async def test_what_nginx_does_not_take_is_taken_back(nginx: RunningNginx) -> None:
    """Somebody's broken file beside ours; a reload that is not permitted: the file is as it was, and the next try goes through."""
    edge = nginx.connect()
    file = nginx.files / "api.conf"
    async with instances("one") as (one,):
        before = file.read_text()
        broken = nginx.files / "broken.conf"
        broken.write_text("nonsense;")
        with pytest.raises(
            RouterRefused, match=r"nginx's test fails: .*nonsense.*is as it was, and nginx runs what it ran"
        ):
            await edge.enter(Slot.BLUE, "r1", [one.server])
        assert file.read_text() == before
        (finding,) = await edge.examine()
        assert (finding.verdict, "nonsense" in finding.sentence) == (RouterVerdict.FAIL, True)
        broken.unlink()

        forbidden = msgspec.structs.replace(nginx.router, reload="echo 'a password is required' >&2; false")
        with pytest.raises(RouterRefused, match=r"failed: a password is required\. .* is as it was"):
            await nginx.connect(forbidden).enter(Slot.BLUE, "r1", [one.server])
        assert file.read_text() == before
        assert sorted(path.name for path in nginx.files.iterdir()) == ["api.conf"]

        assert (await edge.enter(Slot.BLUE, "r1", [one.server])).state.problems == ()
        assert set(await answers(nginx.port, 20)) == {"one"}


async def test_what_was_changed_by_hand_is_told_and_put_right(nginx: RunningNginx) -> None:
    edge = nginx.connect()
    file = nginx.files / "api.conf"
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        file.write_text(file.read_text().replace(str(one.server), str(two.server), 2).replace("least_conn", "ip_hash"))
        assert (await edge.read()).problems == (f"{file} was changed by hand",)
        (first,) = await edge.examine()
        assert first.verdict is RouterVerdict.WARN
        changed = await edge.set_share(0)
        assert (changed.already, changed.state.problems) == (False, ())
        assert set(await answers(nginx.port, 20)) == {"one"}

        earlier = file.read_text()
        await edge.set_rules([MatchRule(MatchOn.HEADER, "beta", Slot.BLUE)])
        file.write_text(earlier)
        assert (await edge.read()).problems == (f"nginx runs something else than {file} says",)
        assert (await edge.set_share(0)).state.problems == ()

        file.write_text("upstream api_blue { server 127.0.0.1:1; }\n")
        with pytest.raises(RouterRefused, match="is not a file of Quarterdeck's"):
            await edge.read()
        file.unlink()
        with pytest.raises(RouterRefused, match=r"there is no .*api\.conf"):
            await edge.set_share(0)


async def test_patience_ends_and_the_next_call_waits_on(nginx: RunningNginx) -> None:
    edge = nginx.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        slow = asyncio.create_task(Client(nginx.port).get("/slow"))
        await until(lambda: one.slow_ones == 1, "the slow one is being served")
        left = await edge.leave(Slot.BLUE, patience=0.2)
        assert (left.waiting, left.cut) == (None, 0)
        assert [server.mode for server in left.state.slots[Slot.BLUE].servers] == [Mode.LEAVING]
        one.finish_slow_ones.set()
        left = await edge.leave(Slot.BLUE)
        assert (left.waiting, left.state.slots[Slot.BLUE].servers, await slow) == (0, (), "one")
        assert set(await answers(nginx.port, 20)) == {"two"}  # which stands in for a slot without servers


async def test_without_a_status_only_the_file_is_read_back(nginx: RunningNginx) -> None:
    edge = nginx.connect(msgspec.structs.replace(nginx.router, status=""))
    assert Ability.RUNNING_READ_BACK not in edge.abilities
    with pytest.raises(RouterRefused, match="does not count what each slot answers"):
        await edge.statistics()
    async with instances("one") as (one,):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        assert set(await answers(nginx.port, 20)) == {"one"}


async def test_the_same_over_ssh(nginx: RunningNginx, start_sshd_fleet: StartFleet) -> None:
    fleet = start_sshd_fleet(1)
    router = msgspec.structs.replace(nginx.router, host="host-1")
    backend = Hosts([fleet.ssh_config], [fleet.known_hosts])
    edge = open_router(router, ROUTED, backend, {"host-1": fleet[0].as_host()})
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        assert (await edge.set_share(FULL)).state.problems == ()
        assert set(await answers(nginx.port, 20)) == {"two"}
        assert (await edge.leave(Slot.BLUE)).waiting == 0
        assert [finding.verdict for finding in await edge.examine()] == [RouterVerdict.OK]
        fleet[0].stop()
        with pytest.raises(Unreachable, match="edge on host-1: "):
            await edge.read()
        await edge.close()


def test_any_service_gets_a_file_that_nginx_takes(nginx_program: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("nginx")
    servers = (Server("::1", 8080), Server("10.0.0.1", 80))
    plan = Plan(
        share=1,
        rules=(MatchRule(MatchOn.HEADER, "v1.2~x", Slot.GREEN), MatchRule(MatchOn.COOKIE, "a-b", Slot.BLUE)),
        slots={Slot.BLUE: PlannedSlot("r1", servers), Slot.GREEN: PlannedSlot("r2", servers[:1])},
    )
    names = ("api", "a.b", "a-b", "a_b")
    text = "".join(render(Routed("edge", name, header="X-Some.Header", affinity="uid"), plan) for name in names)
    (place / "nginx.conf").write_text(
        f"pid {place}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{text}}}\n"
    )
    tested = subprocess.run(
        [nginx_program, "-t", "-c", str(place / "nginx.conf")], capture_output=True, text=True, check=False, timeout=20
    )
    assert tested.returncode == 0, tested.stderr


@pytest.fixture
def nginx_program() -> str:
    return program("nginx", "nginx-light")
