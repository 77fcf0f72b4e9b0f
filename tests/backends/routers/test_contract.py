"""What every router does, on real ones with real traffic: shares, rules, servers in and out, over reloads and restarts."""

import asyncio
from collections import Counter

import pytest

from quarterdeck.backends.errors import RouterRefused
from quarterdeck.backends.routers.contract import FULL, Ability, MatchOn, MatchRule, Mode, RouterVerdict, Server, Slot
from quarterdeck.backends.routers.drift import drift, wanted_of
from tests.backends.routers.running import Running
from tests.backends.routers.service import CLIENTS, Client, answers, eventually, instances, load, more, until
from tests.sshd import free_port

pytestmark = pytest.mark.root


def assert_answered_by(running: Running, counted: Counter[str], names: set[str], *, changes: int) -> None:
    """By each of them and by nobody else; but for the connections that a router resets when it listens anew, which are counted."""
    reset = counted["ConnectionResetError"]
    assert {name for name, count in counted.items() if count} - {"ConnectionResetError"} == names, counted
    assert reset <= running.reset(changes, CLIENTS), counted


async def test_a_service_goes_from_slot_to_slot_and_nothing_is_noticed(running: Running) -> None:
    """In, a little, half, all; the old one out; all back: under load, each step read back, and none is done twice."""
    edge = running.connect()
    async with instances("one", "two") as (one, two):
        first = await edge.enter(Slot.BLUE, "r1", [one.server])
        assert not first.already
        assert first.state.slots[Slot.BLUE].live == (one.server,)
        assert first.state.share == 0
        async with load(running.port, again=running.closes_idle) as counted:
            await edge.enter(Slot.GREEN, "r2", [two.server])
            for share in (1000, 5000, FULL):
                changed = await edge.set_share(share)
                assert (changed.already, changed.state.share, changed.unsaved) == (False, share, "")
                assert (await edge.set_share(share)).already
                await more(counted, 1, "two")
            left = await edge.leave(Slot.BLUE)
            assert (left.already, left.cut) == (False, 0)
            assert left.state.slots[Slot.BLUE].servers == ()
            assert (await edge.leave(Slot.BLUE)).already
            asked = one.answered
            await edge.enter(Slot.BLUE, "r1", [one.server])
            await edge.set_share(0)
            await until(lambda: one.answered > asked, "one is asked again")
        assert_answered_by(running, counted, {"one", "two"}, changes=8)
        state = await edge.read()
    assert {slot: state.slots[slot].release for slot in Slot} == {Slot.BLUE: "r1", Slot.GREEN: "r2"}


async def test_a_share_is_what_the_router_promises(running: Running) -> None:
    """Round robin exactly; by chance (HAProxy, nginx) within five standard deviations of it."""
    edge = running.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        for share, count in ((500, 400), (3000, 400)):
            await edge.set_share(share)
            got = (await answers(running.port, count))["two"]
            expected = count * share / FULL
            spread = 0 if running.kind == "caddy" else 5 * (expected * (1 - share / FULL)) ** 0.5
            assert abs(got - expected) <= spread, f"{got} of {count} at {share / 100} %"
        for share, who in ((0, "one"), (FULL, "two")):
            await edge.set_share(share)
            assert set(await answers(running.port, 100)) == {who}


async def test_rules_lead_whom_they_name(running: Running) -> None:
    edge = running.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        rules = [
            MatchRule(MatchOn.HEADER, "beta", Slot.GREEN),
            MatchRule(MatchOn.COOKIE, "beta-1.2_x~", Slot.GREEN),
            MatchRule(MatchOn.COOKIE, "stay", Slot.BLUE),
        ]
        changed = await edge.set_rules(rules)
        assert changed.state.rules == tuple(sorted(rules))
        assert (await edge.set_rules(rules[::-1])).already

        async def who(**headers: str) -> set[str]:
            return set(await answers(running.port, 20, **headers))

        assert await who() == {"one"}
        assert await who(X_Qd_Variant="beta") == {"two"}
        assert await who(X_Qd_Variant="betas") == {"one"}
        assert await who(Cookie="a=b; qd_variant=beta-1.2_x~; c=d") == {"two"}
        await edge.set_share(FULL)
        assert await who(Cookie="qd_variant=stay") == {"one"}
        assert await who(X_Qd_Variant="beta", Cookie="qd_variant=stay") == {"two"}
        assert (await edge.set_rules([])).state.rules == ()
        assert await who(Cookie="qd_variant=stay") == {"two"}
        state = await edge.read()
        assert state.slots[Slot.GREEN].release == "r2"


async def test_a_client_keeps_to_its_slot_while_the_share_stands(running: Running) -> None:
    edge = running.connect()
    if Ability.AFFINITY not in edge.abilities:
        assert running.kind == "caddy"
        return
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        await edge.set_share(5000)
        seen = [await answers(running.port, 5, Cookie=f"uid=u{number}") for number in range(60)]
        assert all(len(found) == 1 for found in seen)
        assert {name for found in seen for name in found} == {"one", "two"}
        before = {number for number, found in enumerate(seen) if "two" in found}
        await edge.set_share(6000)
        after = {number for number in range(60) if "two" in await answers(running.port, 1, Cookie=f"uid=u{number}")}
        assert before <= after  # whoever was led to green stays there when it grows


async def test_what_is_not_well_is_not_let_in(running: Running) -> None:
    edge = running.connect()
    async with instances("one", "ill") as (one, ill):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        ill.ill = True
        dead = Server("127.0.0.1", free_port())
        for deadline in (4, 30):  # the second one on a machine that is too busy to have looked within the first
            with pytest.raises(RouterRefused, match=r"edge on this machine: take .* not healthy") as refused:
                await edge.enter(Slot.GREEN, "r2", [ill.server, dead], deadline=deadline)
            if "503" in refused.value.problem and str(dead) in refused.value.problem:
                break
        assert "503" in refused.value.problem
        assert str(dead) in refused.value.problem
        state = await edge.read()
        assert state.slots[Slot.GREEN].servers == ()
        with pytest.raises(
            RouterRefused, match=r"green has no server in service\. Nothing was changed there\. Let its"
        ):
            await edge.set_share(500)
        with pytest.raises(RouterRefused, match="no live server would be left"):
            await edge.leave(Slot.BLUE)
        with pytest.raises(RouterRefused, match="between 0 and 10000"):
            await edge.set_share(10001)
        with pytest.raises(RouterRefused, match="not made of letters"):
            await edge.set_rules([MatchRule(MatchOn.HEADER, "a b; shutdown", Slot.GREEN)])
        assert set(await answers(running.port, 50)) == {"one"}
        ill.ill = False
        assert (await edge.enter(Slot.GREEN, "r2", [ill.server])).state.slots[Slot.GREEN].live == (ill.server,)


async def test_whoever_is_being_served_is_waited_for(running: Running) -> None:
    edge = running.connect()
    async with instances("one", "two") as (one, two):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server])
        slow = asyncio.create_task(Client(running.port).get("/slow"))
        await until(lambda: one.slow_ones == 1, "the slow one is being served")
        await edge.set_share(FULL)
        leaving = asyncio.create_task(edge.leave(Slot.BLUE, patience=20))

        async def gone() -> bool:
            assert not leaving.done() or leaving.result()  # raises what it raised
            return not (await edge.read()).slots[Slot.BLUE].ready

        await eventually(gone, "one gets no more requests")
        for _ in range(40):
            (state,) = (await edge.read()).slots[Slot.BLUE].servers
            assert state.mode is Mode.LEAVING
            assert state.in_flight == (1 if Ability.IN_FLIGHT in edge.abilities else None)
        client = Client(running.port, again=running.closes_idle)
        assert {await client.get() for _ in range(20)} == {"two"}
        client.close()
        assert not leaving.done()
        one.finish_slow_ones.set()
        left = await leaving
        assert await slow == "one"
        assert (left.cut, left.waiting) == (0, 0)


async def test_a_server_that_dies_is_not_noticed(running: Running) -> None:
    """One of two of a slot, under load; then the whole slot, whose requests of that moment HAProxy can't take to the other one."""
    edge = running.connect()
    async with instances("one", "two", "three") as (one, two, three):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server, three.server])
        await edge.set_share(5000)
        async with load(running.port, again=running.closes_idle) as counted:
            await until(lambda: counted["two"] > 20 and counted["three"] > 20, "both are asked")
            three.kill()
            await more(counted, 50, "two")
        assert set(counted) == {"one", "two", "three"}, counted
        async with load(running.port, again=running.closes_idle) as counted:
            await more(counted, 20, "two")
            two.kill()
            await more(counted, 200, "one")
        failed = sum(count for name, count in counted.items() if name not in ("one", "two"))
        assert failed <= (8 if running.kind == "haproxy" else 0), counted


async def test_a_reload_is_not_noticed_and_keeps_everything(running: Running) -> None:
    edge = running.connect()
    async with instances("one", "two", "three") as (one, two, three):
        await edge.enter(Slot.BLUE, "r1", [one.server])
        await edge.enter(Slot.GREEN, "r2", [two.server, three.server])
        await edge.set_share(2500)
        await edge.set_rules([MatchRule(MatchOn.HEADER, "beta", Slot.GREEN)])
        wanted = wanted_of(await edge.read())
        async with load(running.port, again=running.closes_idle) as counted:
            for _ in range(2):
                await running.reload()
                await more(counted, 100)
            assert drift(wanted, await edge.read()) == ()
        assert_answered_by(running, counted, {"one", "two", "three"}, changes=2)
        await running.restart()
        assert drift(wanted, await edge.read()) == ()
        assert set(await answers(running.port, 50, X_Qd_Variant="beta")) == {"two", "three"}
        assert set(await answers(running.port, 100)) == {"one", "two", "three"}


async def test_the_doctor_finds_nothing_wrong_with_the_documented_configuration(running: Running) -> None:
    findings = await running.connect().examine()
    assert [finding.verdict for finding in findings] == [RouterVerdict.OK], findings


async def test_the_doctor_says_that_nobody_answers(running: Running) -> None:
    running.kill()
    findings = await running.connect().examine()
    assert (RouterVerdict.FAIL, True) in [(finding.verdict, finding.unreachable) for finding in findings]
    assert all(finding.fix for finding in findings)
