"""What is HAProxy's own: its checks, its counts, its files, what is changed by hand, and what the doctor says of all that."""

import asyncio
import contextlib
import getpass
import socket
import tempfile

import pytest

from quarterdeck.backends.errors import NotPermitted, RouterRefused, Unreachable
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
from quarterdeck.backends.routers.drift import drift, wanted_of
from quarterdeck.backends.routers.opening import open_router, reach_of
from quarterdeck.backends.routers.setup import setup_of
from quarterdeck.config.routers import HaproxyRouter
from tests.backends.routers.running import ROUTED, RunningHaproxy, documented
from tests.backends.routers.service import Client, answers, eventually, instances, until
from tests.conftest import StartFleet
from tests.sshd import free_port

pytestmark = pytest.mark.root


def test_the_document_shows_what_the_setup_writes() -> None:
    made = setup_of(HaproxyRouter("edge", "lb-1"), [Fronted(ROUTED)])
    assert documented("HAProxy", "haproxy") == made.files[0].text
    assert all(command in documented("HAProxy", "sh") for command in made.commands)


async def test_the_last_check_of_an_earlier_server_counts_for_nothing(haproxy: RunningHaproxy) -> None:
    """A place in HAProxy keeps the outcome of its last check when it is given another address."""
    edge = haproxy.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        await edge.set_share(FULL)
        await edge.leave(Slot.BLUE)
        two.ill = True
        dead = Server("127.0.0.1", free_port())
        with pytest.raises(RouterRefused, match="not healthy in HAProxy's eyes"):
            await edge.enter(Slot.BLUE, "r3", [dead], deadline=4)
        assert (await edge.read()).slots[Slot.BLUE].servers == ()


async def test_entering_goes_on_where_it_was_cut_short(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    async with instances("one") as (one,):
        one.ill = True
        entering = asyncio.create_task(edge.enter(Slot.BLUE, "r1", [one.server]))

        async def half_way() -> bool:
            found = (await edge.read()).slots[Slot.BLUE].servers
            return [(server.mode, server.healthy) for server in found] == [(Mode.ENTERING, False)]

        await eventually(half_way, "it is on its way")
        entering.cancel()
        one.ill = False
        changed = await edge.enter(Slot.BLUE, "r1", [one.server])
        assert [found.server for found in changed.state.slots[Slot.BLUE].servers] == [one.server]
        assert changed.state.slots[Slot.BLUE].live == (one.server,)


async def test_who_is_not_done_when_patience_is_over_is_cut(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server, two.server])
        slow = [asyncio.create_task(Client(haproxy.port).get("/slow")) for _ in range(4)]
        await until(lambda: one.slow_ones and two.slow_ones and one.slow_ones + two.slow_ones == 4, "all are served")
        leaving = one.slow_ones
        left = await edge.leave(Slot.BLUE, [one.server], patience=0.2)
        assert (left.cut, left.waiting) == (leaving, 0)
        assert left.state.slots[Slot.BLUE].live == (two.server,)
        two.finish_slow_ones.set()
        assert sorted([await request for request in slow])[-1] == "two"


async def test_the_last_one_leaves_when_it_is_meant(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    async with instances("one") as (one,):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        left = await edge.leave(Slot.BLUE, even_the_last=True)
        assert left.state.slots[Slot.BLUE] == type(left.state.slots[Slot.BLUE])()
        assert set(await answers(haproxy.port, 5)) == {"503"}


async def test_more_servers_than_places_are_refused_untouched(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    with pytest.raises(
        RouterRefused, match=r"all 6 places .* are taken\. Nothing was changed there\. Raise the number"
    ):
        await edge.enter(Slot.BLUE, "r1", [Server("127.0.0.1", port) for port in range(9001, 9008)])
    assert (await edge.read()).slots[Slot.BLUE].servers == ()


async def test_counts_tell_the_slots_apart(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        await edge.set_share(5000)
        two.failing = True
        seen = await answers(haproxy.port, 100)
        found = await edge.statistics()
        blue, green = found.slots[Slot.BLUE], found.slots[Slot.GREEN]
        assert (blue.requests, blue.answers_2xx, blue.answers_5xx) == (seen["one"], seen["one"], 0)
        assert (green.requests, green.answers_2xx, green.answers_5xx) == (seen["500"], 0, seen["500"])
        assert (await edge.statistics()).since == found.since
        await haproxy.reload()
        again = await edge.statistics()
        assert again.since != found.since
        assert again.slots[Slot.GREEN].requests == 0


async def test_what_was_changed_by_hand_is_drift(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        await edge.set_share(500)
        await edge.set_rules([MatchRule(MatchOn.HEADER, "beta", Slot.GREEN)])
        wanted = wanted_of(await edge.read())
        files = haproxy.directory / "qd"
        await haproxy.ask(f"set map {files}/api_share.map api 7000")
        await haproxy.ask(f"del map {files}/api_rules.map header:beta")
        await haproxy.ask(f"add map {files}/api_rules.map cookie:old blue")
        await haproxy.ask("set server api_blue/s1 state maint")
        await haproxy.ask(
            f"set server api_blue/s2 addr {two.address} port {two.port};set server api_blue/s2 state ready"
        )
        assert drift(wanted, await edge.read()) == (
            "green gets 70 %, not 5 %",
            "the rule header beta → green is missing",
            "the rule cookie old → blue was added",
            f"{one.server} is not in service in blue",
            f"{two.server} was put in service in blue",
        )
        await haproxy.ask(f"set map {files}/api_share.map api 20000")
        await haproxy.ask(f"add map {files}/api_rules.map cookie:older purple")
        await haproxy.ask(f"add map {files}/api_rules.map nonsense blue")
        assert list((await edge.read()).problems) == [
            "the share is '20000', which is no number from 0 to 10000",
            "the rule 'cookie:older' → 'purple' is none of Quarterdeck's",
            "the rule 'nonsense' → 'blue' is none of Quarterdeck's",
        ]
        await edge.set_share(500)
        changed = await edge.set_rules([MatchRule(MatchOn.HEADER, "beta", Slot.GREEN)])
        assert (changed.state.problems, changed.state.share) == ((), 500)


async def test_what_can_not_be_written_down_is_told_and_not_undone(haproxy: RunningHaproxy) -> None:
    edge = haproxy.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        files = haproxy.directory / "qd"
        files.rename(haproxy.directory / "away")
        changed = await edge.set_share(500)
        assert changed.state.share == 500
        assert f"{files} can't be written" in changed.unsaved
        (haproxy.directory / "away").rename(files)
        again = await edge.set_share(500)
        assert (again.already, again.unsaved) == (True, "")
        assert "api 500" in (files / "api_share.map").read_text()
        without = haproxy.connect(HaproxyRouter("edge", socket=str(haproxy.socket), files=""))
        assert Ability.PERSISTENT not in without.abilities


async def test_sockets_that_do_not_answer(haproxy: RunningHaproxy) -> None:
    """One that is silent costs the deadline and no more; one that is not there, or is nobody's, is told apart from it."""
    silent = haproxy.directory / "silent.sock"

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(say_nothing, silent):
        edge = haproxy.connect(HaproxyRouter("edge", socket=str(silent)))
        with pytest.raises(
            Unreachable, match=r"edge on this machine: .*no answer from .* within 0.2 s\. What the router did"
        ):
            await edge.read(deadline=0.2)
    with pytest.raises(Unreachable, match="there is no socket"):
        await haproxy.connect(HaproxyRouter("edge", socket="/nowhere/admin.sock")).set_share(0)
    haproxy.kill()
    with pytest.raises(Unreachable, match="does not answer: Connection refused"):
        await haproxy.connect().set_share(0)


async def findings(haproxy: RunningHaproxy, router: HaproxyRouter | None = None) -> list[tuple[str, str, str]]:
    found = await haproxy.connect(router).examine()
    return [(one.verdict.value, one.sentence, one.fix) for one in found]


def edited(haproxy: RunningHaproxy, old: str, new: str) -> None:
    text = haproxy.configuration.read_text()
    assert old in text
    haproxy.configuration.write_text(text.replace(old, new))


async def test_the_doctor_names_what_is_missing(haproxy: RunningHaproxy) -> None:
    files = haproxy.directory / "qd"
    edited(haproxy, "level admin", "level operator")
    edited(haproxy, f"{files}/api_share.map", f"{files}/other.map")
    edited(haproxy, "api_green", "other_green")
    edited(haproxy, "load-server-state-from-file local", "load-server-state-from-file none")
    (files / "other.map").touch()
    await haproxy.restart()
    found = await findings(haproxy)
    assert [verdict for verdict, _, _ in found] == [RouterVerdict.FAIL] * 4
    assert all(fix for _, _, fix in found)
    sentences = " ".join(sentence for _, sentence, _ in found)
    for words in (
        "has level operator",
        f"has no map {files}/api_share.map",
        "no backend api_green",
        "does not load its servers' state",
    ):
        assert words in sentences
    with pytest.raises(RouterRefused, match=r"Unknown map identifier|No such proxy"):  # asked side by side
        await haproxy.connect().read()


async def test_the_doctor_on_unchecked_servers_and_a_missing_directory(haproxy: RunningHaproxy) -> None:
    edited(haproxy, "localhost:9 check disabled", "localhost:9 disabled")
    await haproxy.restart()
    assert [sentence for _, sentence, _ in await findings(haproxy)] == [
        "HAProxy does not check the servers of api_blue",
        "HAProxy does not check the servers of api_green",
    ]
    async with instances("one") as (one,):
        with pytest.raises(RouterRefused, match="does not check api_blue/s1"):
            await haproxy.connect().enter(Slot.BLUE, "r1", [one.server])
        assert (await haproxy.connect().read()).slots[Slot.BLUE].servers == ()
    files = haproxy.directory / "qd"
    files.rename(haproxy.directory / "away")
    told = await findings(haproxy)
    assert f"can't write {files}, so a reload of HAProxy forgets" in told[-1][1]
    assert f"install -d -o {getpass.getuser()} -g haproxy {files}" in told[-1][2]


async def test_the_same_over_ssh(haproxy: RunningHaproxy, start_sshd_fleet: StartFleet) -> None:
    """Over our own connections, with a key that opens sockets and runs no command too: then only the files are not written."""
    fleet = start_sshd_fleet(1)
    hosts = {"host-1": fleet[0].as_host()}
    router = HaproxyRouter("edge", "host-1", str(haproxy.socket), str(haproxy.directory / "qd"))

    async with instances("one", "two") as (one, two):
        backend = Hosts([fleet.ssh_config], [fleet.known_hosts])
        edge = open_router(router, ROUTED, backend, hosts)
        assert (await edge.enter(Slot.BLUE, "r1", [one.server])).unsaved == ""
        assert (await edge.enter(Slot.GREEN, "r2", [two.server])).unsaved == ""
        assert (await edge.set_share(2500)).unsaved == ""
        assert [one.verdict for one in await edge.examine()] == [RouterVerdict.OK]
        fleet[0].drop_connections()
        assert (await edge.read()).share == 2500
        await edge.close()

        key = fleet[0].authorized_keys.read_text()
        fleet[0].authorized_keys.write_text(f'restrict,port-forwarding,command="/bin/false" {key}')
        edge = open_router(router, ROUTED, backend, hosts)
        changed = await edge.set_share(0)
        assert changed.state.share == 0
        assert "can't be written" in changed.unsaved
        (finding,) = await edge.examine()
        assert finding.verdict is RouterVerdict.WARN
        assert "no command can be run there" in finding.sentence
        await edge.close()

        fleet[0].authorized_keys.write_text(f"restrict {key}")
        edge = open_router(router, ROUTED, backend, hosts)
        with pytest.raises(
            NotPermitted, match=r"edge on host-1: .* does not open the socket .*stand still.*AllowStreamLocalForwarding"
        ):
            await edge.read()
        await edge.close()

        fleet[0].authorized_keys.write_text(key)
        edge = open_router(HaproxyRouter("edge", "host-1", "/nowhere.sock"), ROUTED, backend, hosts)
        with pytest.raises(Unreachable, match=r"edge on host-1: .*there is no socket /nowhere\.sock"):
            await edge.read()
        await edge.close()

        fleet[0].stop()
        edge = open_router(router, ROUTED, backend, hosts)
        with pytest.raises(Unreachable, match=r"edge on host-1: read how api is routed: .*refused"):
            await edge.read()
        await edge.close()


async def test_a_socket_whose_queue_is_full_is_tried_again(start_sshd_fleet: StartFleet) -> None:
    """sshd does not wait there, and says what it says of a socket that may not be opened."""
    fleet = start_sshd_fleet(1)
    backend = Hosts([fleet.ssh_config], [fleet.known_hosts])
    with tempfile.TemporaryDirectory(prefix="qd-busy-") as directory, contextlib.ExitStack() as opened:
        path = f"{directory}/admin.sock"
        server = opened.enter_context(socket.socket(socket.AF_UNIX))
        server.bind(path)
        server.listen(0)
        while True:  # until nobody else is let wait
            waiting = opened.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(path)
            except BlockingIOError:
                break
        reach = reach_of(HaproxyRouter("edge", "host-1", path), backend, {"host-1": fleet[0].as_host()})
        asking = asyncio.create_task(reach.exchange(path, b"show info\n", "ask", deadline=20))

        async def refused() -> bool:
            assert not asking.done() or asking.result()
            return "Resource temporarily unavailable" in fleet[0].log

        await eventually(refused, "sshd to be refused")

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"answered")
            writer.close()

        serving = await asyncio.start_unix_server(answer, sock=server)
        assert await asking == b"answered"
        serving.close()
        await reach.close()
