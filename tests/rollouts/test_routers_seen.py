"""Routers are looked at like hosts: what somebody changes there by hand is drift within one look, what a rollout changes never is."""

import json
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import pytest

from quarterdeck.backends.routers.contract import FULL
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet
from quarterdeck.config.routers import HaproxyRouter
from quarterdeck.history.records import ROUTER, Observation, RolloutState
from quarterdeck.rollouts.picture.fleet import renew, take_picture
from quarterdeck.rollouts.picture.router import RouterSeen
from quarterdeck.rollouts.picture.target import Mark, TargetSeen
from tests.backends.routers.running import RunningHaproxy
from tests.backends.routers.service import eventually
from tests.field import TARGET
from tests.observers import ObservedRooms, observed_rooms
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import SshdFleet

pytestmark = [pytest.mark.sshd, pytest.mark.root, pytest.mark.timeout(300)]
rooms = pytest.fixture(observed_rooms)


@pytest.fixture
async def field(tmp_path: Path, sshd_fleet: SshdFleet) -> AsyncIterator[RoutedField]:
    async with behind(RunningHaproxy(), tmp_path, sshd_fleet, count=2) as made:
        yield made


def haproxy(field: RoutedField) -> RunningHaproxy:
    assert isinstance(field.router, RunningHaproxy)
    return field.router


async def by_hand(field: RoutedField, share: int) -> None:
    """At the runtime socket, as an operator would; a share that was never set has no entry yet."""
    path = f"{haproxy(field).directory}/qd/api_share.map"
    await haproxy(field).ask(f"del map {path} api")
    await haproxy(field).ask(f"add map {path} api {share}")


def target(field: RoutedField) -> TargetSeen:
    with field.journal(read_only=True) as journal:
        return take_picture(fleet_of(field.file.read_text(), field.file), journal).targets[TARGET]


@cache
def fleet_of(_text: str, file: Path) -> Fleet:
    """Read once for each text of it: it is asked for a hundred times a second."""
    return load_fleet(file)


def router(field: RoutedField) -> RouterSeen | None:
    return target(field).router


def row(field: RoutedField) -> Observation | None:
    with field.journal(read_only=True) as journal:
        return journal.router_observation(TARGET)


async def until(field: RoutedField, holds: Callable[[RouterSeen], object], what: str) -> RouterSeen:
    with field.journal(read_only=True) as journal:
        looked_at = 0

        async def held() -> bool:
            """Looks only where something was written since: to make a picture is dear."""
            nonlocal looked_at
            before, looked_at = looked_at, journal.data_version()
            if looked_at == before:
                return False
            found = router(field)
            return found is not None and bool(holds(found))

        try:
            await eventually(held, what, 90)
        except TimeoutError:
            raise AssertionError(f"{what}: {row(field)}") from None
    found = router(field)
    assert found is not None
    return found


def shares(seen: RouterSeen) -> dict[str, float]:
    return {side.version: side.percent for side in seen.sides}


async def test_what_is_changed_by_hand_is_told_everywhere_within_one_look(
    field: RoutedField, rooms: ObservedRooms
) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    rooms(field.file, target=TARGET)
    seen = await until(field, lambda found: row(field) is not None and found.seen, "a look at the router")
    assert (seen.name, shares(seen), seen.changed, seen.error) == ("edge/api", {"v1": 100.0}, (), None)
    assert [(side.servers, side.live) for side in seen.sides] == [(2, 2)]
    assert target(field).mark is Mark.OK

    await by_hand(field, 3000)
    await until(field, lambda found: found.changed, "the change to be seen")
    seen = await until(field, lambda found: found.sides, "it")
    assert seen.changed == ("green gets 30 %, not 0 %",)
    assert target(field).mark is Mark.DRIFT
    status = json.loads(await field.do("status", TARGET, "--cached", "--json"))["targets"][0]["router"]
    assert (status["router"], status["drift"], status["changed"]) == ("edge/api", True, ["green gets 30 %, not 0 %"])
    assert status["releases"][0]["percent"] == 70.0
    said = await field.do("status", TARGET, "--cached")
    assert f"~ {TARGET} behind edge/api: green gets 30 %, not 0 %; requests v1 (blue) 70 %" in said

    await by_hand(field, 0)
    await until(field, lambda found: not found.changed, "it to be as it was left")
    assert target(field).mark is Mark.OK
    with field.journal(read_only=True) as journal:
        assert ROUTER not in {one.host for one in journal.observations()}, "nobody takes it for a host"


async def test_what_a_rollout_changes_is_no_drift_and_what_is_changed_while_it_waits_is(
    field: RoutedField, rooms: ObservedRooms
) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    rooms(field.file, target=TARGET, chosen=0.2)
    await until(field, lambda found: row(field) is not None, "a look at the router")
    steps = [
        {"set_weight": 20},
        {"pause": "1s"},
        {"set_weight": 40},
        {"pause": {}},
        {"set_weight": 60},
        {"pause": "1s"},
    ]
    field.write(strategy={"canary": {"steps": steps}})
    told: set[tuple[str, ...]] = set()

    def looked(found: RouterSeen) -> RouterSeen:
        told.add(found.changed)
        return found

    def stands(found: RouterSeen) -> bool:
        """Only then has the worker journalled what it left behind: what is changed before that, it takes for its own."""
        moving = target(field).moving
        paused = moving is not None and moving.rollout.state is RolloutState.PAUSED
        return shares(looked(found)).get("v2") == 40.0 and paused

    await field.do("deploy", TARGET, "v2", "--detach")
    seen = await until(field, stands, "it to stand at the second share")
    assert told == {()}
    assert sorted(shares(seen)) == ["v1", "v2"]
    await by_hand(field, 500)
    hand = "green gets 5 %, not 40 %"
    await until(field, lambda found: hand in found.changed, "what is changed while it waits to be seen")
    told.clear()
    await field.do("promote", TARGET)
    await until(field, lambda found: not found.changed, "the next change to write over it")
    await until(field, lambda found: shares(looked(found)).get("v2") == 100.0, "its end to be seen")
    assert told == {()}


async def test_a_router_that_does_not_answer_is_said_once_with_its_age_and_recovers(
    field: RoutedField, rooms: ObservedRooms
) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    await field.do("deploy", TARGET, "v2", "--wait")
    rooms(field.file, target=TARGET)
    await until(field, lambda found: row(field) is not None, "a look at the router")

    async def ready() -> bool:
        return target(field).back.state == "ready"

    await eventually(ready, "the way back to be open", 90)
    haproxy(field).kill()
    lost = await until(field, lambda found: found.error, "it to be lost")
    assert shares(lost) == {"v2": 100.0}, "what was last known stays"
    seen = target(field)
    assert seen.back.state == "degraded"
    assert any(reason.startswith("router edge/api: edge on this machine") for reason in seen.back.reasons)
    assert seen.mark is Mark.OK, "hosts are seen: one router is no reason to call everything behind it stale"
    said = await field.do("status", TARGET, "--cached")
    assert f"? {TARGET} behind edge/api: edge on this machine" in said
    assert "last known: requests v2 100 %, seen " in said

    async def tried_again() -> bool:
        with field.journal(read_only=True) as journal:
            return any(one.time > (lost.seen or "") and one.error is None for one in journal.observations(TARGET))

    await eventually(tried_again, "hosts to be looked at meanwhile", 90)
    found = router(field)
    assert found is not None
    assert found.seen == lost.seen, "its age is that of the last answer"
    await haproxy(field).start()
    seen_again = await until(field, lambda found: found.error is None, "it to be seen again")
    assert seen_again.changed == (), await haproxy(field).ask("show servers state")
    assert target(field).back.state == "ready"


async def test_requests_are_counted_for_each_release(field: RoutedField, rooms: ObservedRooms) -> None:
    await field.do("deploy", TARGET, "v1", "--wait")
    rooms(field.file, target=TARGET)
    async with field.clients():
        seen = await until(field, lambda found: any(side.per_second for side in found.sides), "requests to be counted")
    assert [(side.version, side.failing) for side in seen.sides] == [("v1", 0.0)]


async def test_status_asks_the_router_itself_and_a_picture_is_renewed_by_that(field: RoutedField) -> None:
    fleet = load_fleet(field.file)
    await field.do("deploy", TARGET, "v1", "--wait")
    with field.journal(read_only=True) as journal:
        before = take_picture(fleet, journal)
        routed = before.targets[TARGET].router
        assert routed is not None, "what the rollout said of it is known without a look"
        assert shares(routed) == {"v1": 100.0}
        await by_hand(field, FULL // 4)
        now = json.loads(await field.do("status", TARGET, "--json"))["targets"][0]["router"]
        assert now["changed"] == ["green gets 25 %, not 0 %"]
        after = renew(before, fleet, journal, [], looked=True)
        found = after.targets[TARGET].router
        assert found is not None
        assert found.changed == ("green gets 25 %, not 0 %",)
        assert renew(after, fleet, journal, [], looked=True) is after


class OnAHost(RunningHaproxy):
    """Reached over SSH. The host is this machine, so paths are the same."""

    host = ""

    @property
    def router(self) -> HaproxyRouter:
        here = super().router
        return HaproxyRouter("edge", self.host, here.socket, here.files)


async def test_a_router_on_another_machine_that_hangs_holds_nothing_up(
    tmp_path: Path, sshd_fleet: SshdFleet, rooms: ObservedRooms
) -> None:
    router = OnAHost()
    balancer = sshd_fleet[4]
    router.host = balancer.name
    async with behind(router, tmp_path, sshd_fleet, count=2) as field:
        await field.do("deploy", TARGET, "v1", "--wait")
        rooms(field.file, target=TARGET)
        await until(field, lambda found: row(field) is not None and found.seen, "a look over SSH")
        opened = balancer.log.count("Accepted publickey")
        before = row(field)

        def later(found: RouterSeen) -> bool:
            return before is not None and (found.seen or "") > before.time

        await until(field, later, "further looks")
        assert balancer.log.count("Accepted publickey") == opened, "over the connection that is there"
        balancer.freeze()
        try:
            lost = await until(field, lambda found: found.error, "it to be lost")
            assert f"edge on {balancer.name}" in (lost.error or "")
            last = max(host.seen or "" for host in target(field).hosts)

            async def hosts_go_on() -> bool:
                return min(host.seen or "" for host in target(field).hosts) > last

            await eventually(hosts_go_on, "the hosts to be looked at all the same", 90)
        finally:
            balancer.thaw()
        await until(field, lambda found: found.error is None, "it to be seen again")
