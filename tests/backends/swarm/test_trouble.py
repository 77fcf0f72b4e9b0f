"""What becomes of an update when machines are lost in its middle, when somebody else changes the service, when a worker is late: success
is never told while a task is of another release."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import docker.errors
import pytest

from quarterdeck.backends.errors import CommandFailed, EngineRefused, Fenced, Unreachable
from quarterdeck.backends.hosts.contract import SwitchOutcome, TargetFacts
from quarterdeck.backends.hosts.docker.names import RELEASE
from quarterdeck.backends.hosts.swarm import calls, looking, rolling
from quarterdeck.backends.hosts.swarm.gate import SwarmGate
from quarterdeck.backends.hosts.swarm.looking import Task, look
from quarterdeck.backends.hosts.swarm.managers import Managers
from quarterdeck.config.container import ContainerSpec, Pace
from quarterdeck.config.model import CommandCheck, Health, Host
from quarterdeck.config.release import Release
from tests.contract.places import NO_SECRETS
from tests.swarm_field import Field, backend, connect
from tests.swarm_in_motion import until
from tests.trust.recording import Promises

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


@pytest.fixture
async def three(swarm_field: Field) -> Field:
    """Three tasks of v1 run."""
    swarm_field.replicas = 3
    await put(swarm_field, "v1", 1)
    return swarm_field


async def put(field: Field, version: str, epoch: int) -> Release:
    release = field.release(version)
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    await field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
    await field.connection.finish(release, [], field.fence(epoch), f"{epoch}.2")
    return release


async def under_way(
    field: Field, version: str, epoch: int, spec: ContainerSpec | None = None
) -> "tuple[Release, asyncio.Task[SwitchOutcome]]":
    """A switch of which one task has been replaced, and that pauses before the next one."""
    pausing = spec or field.spec(deploy={"update": Pace(parallelism=1, delay=2.0)})
    release = field.release(version, spec=pausing)
    await field.connection.stage(release, None, NO_SECRETS, field.fence(epoch))
    switching = field.connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1", deadline=240.0)
    going = asyncio.create_task(switching)
    await until(lambda: version in field.versions, f"a task of {version} runs", unless=going)
    return release, going


async def all_of(field: Field, version: str) -> None:
    await until(lambda: field.versions == [version] * field.replicas, f"every task is of {version}")


async def facts_once(field: Field, lost: str, release: Release) -> TargetFacts:
    """That the node is down is found out some time after it was lost, and then its tasks begin elsewhere."""

    def runs_elsewhere(facts: TargetFacts) -> bool:
        nodes = [one.node for one in facts.tasks if one.wanted and one.state == "running" and one.release == release.id]
        return len(nodes) == field.replicas and lost not in nodes

    end = asyncio.get_running_loop().time() + 60
    while True:
        facts = await field.facts()
        if runs_elsewhere(facts) and f"the node {lost} is down" in facts.drift:
            return facts
        assert asyncio.get_running_loop().time() < end, facts
        await asyncio.sleep(0.2)


@pytest.mark.trust(26)
async def test_a_node_is_lost_in_the_middle(three: Field, promise: Promises) -> None:
    """Promise 26. The others take over what it ran, and the facts tell of it."""
    three.swarm.notice_soon()
    second, going = await under_way(three, "v2", 2)
    asked = three.connection._managers.address
    lost = next(node.index for node in three.swarm.nodes if node.docker != asked and node.index != three.swarm.leader)
    await asyncio.to_thread(three.swarm.stop_node, lost)
    assert (await going).current == second.id
    facts = await facts_once(three, three.swarm.nodes[lost].hostname, second)
    assert facts.current == second.id
    assert [one.release for one in facts.tasks if one.wanted and one.state == "running"] == [second.id] * 3
    states = {one.hostname: one.state for one in facts.nodes}
    assert states[three.swarm.nodes[lost].hostname] == "down"
    await asyncio.to_thread(three.swarm.start_node, lost)
    await all_of(three, "v2")
    promise(26).count("managers lost")


async def drained(field: Field, release: Release) -> int:
    """The index of a node that ran a task of it."""
    tasks = await asyncio.to_thread(field.tasks)
    node = field.swarm.node_of(
        next(one for one in tasks if one["Spec"]["ContainerSpec"]["Labels"][RELEASE] == release.id)
    )
    await asyncio.to_thread(partial(field.swarm.set_node, node, availability="drain"))
    return node


@pytest.mark.parametrize("parallelism", [1, 0], ids=["in parts", "all at once"])
async def test_a_node_is_drained_in_the_middle(three: Field, parallelism: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Swarm ends the task and pauses the update for it, as for one that failed. Seen to fail where every pause is the end."""
    patient = Health(command=CommandCheck("test -e /tmp/well"), interval=0.2, timeout=10.0, healthy_deadline=60.0)
    pace = Pace(parallelism=parallelism, delay=0.0)
    passed, real = list[bool](), rolling.Roll._was_moved

    async def was_moved(*given: Any) -> bool:
        passed.append(await real(*given))
        return passed[-1]

    monkeypatch.setattr(rolling.Roll, "_was_moved", was_moved)
    second = three.release("v2", spec=three.spec(deploy={"update": pace}), health=patient)
    await three.connection.stage(second, None, NO_SECRETS, three.fence(2))
    going = asyncio.create_task(three.connection.switch(second, NO_SECRETS, three.fence(2), "2.1", deadline=240.0))
    await until(lambda: three.versions.count("v2") == (parallelism or 3), "tasks of v2 run", unless=going)
    node = await drained(three, second)
    try:
        await until(lambda: any(passed), "Swarm has paused the update", unless=going)
        while not going.done():
            for task in await asyncio.to_thread(three.tasks):
                with contextlib.suppress(docker.errors.DockerException):
                    await asyncio.to_thread(three.swarm.inside, task, "touch", "/tmp/well")
            await asyncio.sleep(0.2)
        assert (await going).current == second.id
    finally:
        await asyncio.to_thread(partial(three.swarm.set_node, node, availability="active"))
    await all_of(three, "v2")


async def test_a_task_that_begins_while_nobody_could_look_has_all_the_time_it_needs(
    three: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the place of one that was well, so that no more tasks run than before. Seen to fail where patience goes by their number."""
    real = looking.list_tasks
    before: set[str] = set()
    late = list[str]()

    async def as_a_manager_that_hangs(*given: Any, **more: Any) -> list[Task]:
        """What it told before, and nothing for a while."""
        if len(late) == 1:
            late.append("has hung")
            await asyncio.sleep(4.0)
        tasks = await real(*given, **more)
        begun = {one.id for one in tasks if one.is_wanted} - before
        if before and begun and not late:
            late.append("hangs")
            return [replace(one, state="starting") if one.id in begun else one for one in tasks]
        return tasks

    monkeypatch.setattr(rolling, "list_tasks", as_a_manager_that_hangs)
    second, going = await under_way(three, "v2", 2, three.spec(deploy={"update": Pace(parallelism=1, delay=8.0)}))
    await until(lambda: three.versions.count("v2") == 2, "two tasks of v2 run", unless=going)
    await asyncio.sleep(1.5)  # and are well
    before |= {str(one["ID"]) for one in await asyncio.to_thread(three.tasks)}
    assert not going.done()
    node = await drained(three, second)
    try:
        assert (await going).current == second.id
    finally:
        await asyncio.to_thread(partial(three.swarm.set_node, node, availability="active"))
    assert late == ["hangs", "has hung"]
    await all_of(three, "v2")


@pytest.mark.trust(26)
async def test_the_manager_that_is_asked_is_lost_in_the_middle(three: Field, promise: Promises) -> None:
    """Promise 26. It is the leader, too: the others choose another one, which takes some twenty seconds, and the same action goes on."""
    three.swarm.notice_soon()
    leader = three.swarm.leader
    others = [node.docker for node in three.swarm.nodes if node.index != leader]
    connection = await connect(three.swarm, managers=[three.swarm.nodes[leader].docker, *others])
    old, three.connection = three.connection, connection
    try:
        second, going = await under_way(three, "v2", 2)
        await asyncio.to_thread(three.swarm.stop_node, leader)
        assert (await going).current == second.id
        facts = await facts_once(three, three.swarm.nodes[leader].hostname, second)
        assert (facts.current, facts.epoch) == (second.id, 2)
        assert [one.release for one in facts.tasks if one.wanted and one.state == "running"] == [second.id] * 3
        promise(26).count("managers lost")
    finally:
        three.connection = old
        await connection.close()


@pytest.mark.trust(26)
async def test_a_manager_that_hangs_is_left_for_another_one(three: Field, promise: Promises) -> None:
    """Promise 26. Its connections are taken and nothing is answered. It is no leader here."""
    three.swarm.notice_soon()
    hung = next(node for node in three.swarm.nodes if node.index != three.swarm.leader)
    others = [node.docker for node in three.swarm.nodes if node is not hung]
    connection = await connect(three.swarm, managers=[hung.docker, *others])
    old, three.connection = three.connection, connection
    try:
        second, going = await under_way(three, "v2", 2)
        await asyncio.to_thread(three.swarm.freeze, hung.index)
        assert (await going).current == second.id
        assert connection._managers.address != hung.docker
        promise(26).count("managers that hung")
    finally:
        three.connection = old
        await connection.close()


async def test_a_manager_that_is_lost_before_is_passed_by(three: Field) -> None:
    first = three.swarm.nodes[0]
    if three.swarm.leader == 0:
        first = three.swarm.nodes[1]
    await asyncio.to_thread(three.swarm.stop_node, first.index)
    others = [node.docker for node in three.swarm.nodes if node is not first]
    connection = await connect(three.swarm, managers=[first.docker, *others])
    try:
        assert (await connection.facts(three.target, "")).current is not None
    finally:
        await connection.close()


@pytest.mark.trust(3)
async def test_the_swarm_itself_refuses_a_worker_that_was_overtaken(three: Field, promise: Promises) -> None:
    """Promise 3. The older one has looked, and is late: what it sends begins with a version of the service that is not the newest any more.
    Seen to fail where a newer worker marks nothing."""
    managers = three.connection._managers
    seen = await look(managers, three.target, "look", deadline=30.0)
    fixed = seen.fixed
    assert fixed is not None
    newer = await connect(three.swarm)
    try:  # it puts nothing there, and touches no task
        await newer.finish(three.release("v1"), [], three.fence(7, "rollout 7, bob@bastion"), "7.1")
    finally:
        await newer.close()
    spec = {**fixed.spec, "Mode": {"Replicated": {"Replicas": 1}}}
    with pytest.raises(EngineRefused) as caught:
        await managers.ask(
            "update",
            lambda client: calls.post(client, f"/services/{fixed.id}/update", spec, version=fixed.version),
            deadline=30.0,
        )
    assert calls.has_moved(caught.value)
    assert three.versions == ["v1"] * 3
    promise(3).count("stale workers woken on a Swarm")


@pytest.fixture
def frozen_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], "tuple[asyncio.Event, asyncio.Event]"]:
    """The next call of ``Managers.change`` that is made for an action with these words, by a function of this name, waits: the first event
    tells that it does, the second lets it go on."""

    def hold(words: str, by: str) -> tuple[asyncio.Event, asyncio.Event]:
        held, on = asyncio.Event(), asyncio.Event()
        real = Managers._change

        async def change(self: Managers, action: str, function: Any, *rest: Any) -> Any:
            if action.startswith(words) and by in function.__qualname__ and not held.is_set():
                held.set()
                await on.wait()
            return await real(self, action, function, *rest)

        monkeypatch.setattr(Managers, "_change", change)
        return held, on

    return hold


@pytest.mark.trust(3)
@pytest.mark.parametrize(
    ("what", "by"), [("a first deploy", "create_service"), ("an update", "change_service"), ("an update", "Register")]
)
async def test_a_frozen_worker_wakes_after_it_was_overtaken(
    swarm_field: Field,
    what: str,
    by: str,
    frozen_at: Callable[[str, str], "tuple[asyncio.Event, asyncio.Event]"],
    promise: Promises,
) -> None:
    """Promise 3. It had looked whether it still may, and was about to change something. What it sends is refused, or taken back."""
    if what == "an update":
        await put(swarm_field, "v1", 1)
    second, third = swarm_field.release("v2"), swarm_field.release("v3")
    for release in (second, third):
        await swarm_field.connection.stage(release, None, NO_SECRETS, swarm_field.fence(2))
    held, on = frozen_at(f"switch to {second.id}", by)
    older = asyncio.create_task(swarm_field.connection.switch(second, NO_SECRETS, swarm_field.fence(2), "2.1"))
    await until(held.is_set, "it is about to change something", unless=older)
    newer = await connect(swarm_field.swarm)
    try:
        outcome = await newer.switch(third, NO_SECRETS, swarm_field.fence(3, "rollout 3, bob@bastion"), "3.1")
        on.set()
        with pytest.raises(Fenced, match="bob@bastion"):
            await older
        assert outcome.current == third.id
        await all_of(swarm_field, "v3")
        facts = await newer.facts(swarm_field.target, "")
        assert (facts.current, facts.epoch, facts.drift) == (third.id, 3, ())
        promise(3).count("stale workers woken on a Swarm")
    finally:
        await newer.close()


@pytest.mark.trust(3)
async def test_a_service_that_is_created_too_late_is_taken_back(
    swarm_field: Field, frozen_at: Callable[[str, str], "tuple[asyncio.Event, asyncio.Event]"], promise: Promises
) -> None:
    """Promise 3. The newer worker wants nothing there: a creation begins with no version, so Swarm takes it. Seen to fail without its
    being taken back."""
    second = swarm_field.release("v2")
    await swarm_field.connection.stage(second, None, NO_SECRETS, swarm_field.fence(2))
    held, on = frozen_at(f"switch to {second.id}", "create_service")
    older = asyncio.create_task(swarm_field.connection.switch(second, NO_SECRETS, swarm_field.fence(2), "2.1"))
    await until(held.is_set, "it is about to change something", unless=older)
    newer = await connect(swarm_field.swarm)
    try:
        await newer.withdraw(second, swarm_field.fence(3, "rollout 3, bob@bastion"), "3.1")
        on.set()
        with pytest.raises(Fenced, match="bob@bastion"):
            await older
        services = [one["Spec"]["Name"] for one in swarm_field.swarm.any_api.services()]
        assert swarm_field.name not in services
        await until(lambda: swarm_field.versions == [], "nothing runs")
        promise(3).count("stale workers woken on a Swarm")
    finally:
        await newer.close()


async def put_by_hand(field: Field, image: str) -> None:
    """With ``docker service update``: Swarm sets to it at once, with as many tasks as the update has at a time."""
    service = next(one for one in field.swarm.any_api.services() if one["Spec"]["Name"] == field.name)
    spec = service["Spec"]
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = image
    spec["UpdateConfig"]["Delay"] = 0
    gate = SwarmGate(field.connection._managers, field.fence(2), "by hand", 30.0)
    await gate.ask(
        lambda c: calls.post(c, f"/services/{service['ID']}/update", spec, version=service["Version"]["Index"])
    )


async def in_pauses(field: Field, pause: float) -> "tuple[Release, asyncio.Task[SwitchOutcome]]":
    """``under_way``, with so many seconds between two parts."""
    spec = field.spec(deploy={"replicas": 3, "update": Pace(parallelism=1, delay=pause)})
    return await under_way(field, "v2", 2, spec)


async def refused(field: Field, release: Release, going: "asyncio.Task[SwitchOutcome]") -> None:
    with pytest.raises(CommandFailed, match="somebody else has changed the service"):
        await asyncio.wait_for(going, 60)
    facts = await field.facts()
    assert facts.current != release.id
    assert any("was begun and is not ended" in one for one in facts.drift), facts.drift


async def test_what_somebody_puts_there_does_not_go_along_with_the_next_part(
    three: Field, frozen_at: Callable[[str, str], "tuple[asyncio.Event, asyncio.Event]"]
) -> None:
    """In the moment in which the next part is set going, which is a change of a label of the service as it is by then. Seen to fail
    where the change is made to whatever is there by then."""
    foreign = three.swarm.image("other", "v9")
    second, going = await in_pauses(three, 3.0)
    held, on = frozen_at(f"switch to {second.id}", "change_service")
    await asyncio.wait_for(held.wait(), 60)
    await put_by_hand(three, foreign)
    on.set()
    await refused(three, second, going)


@pytest.mark.trust(23)
async def test_what_somebody_puts_there_between_two_parts_ends_the_update(three: Field, promise: Promises) -> None:
    """Promise 23. Nobody is waited for any more then: it is said soon, and long before the next part would begin. Seen to fail where what
    is there is not compared while an update waits."""
    foreign = three.swarm.image("other", "v9")
    second, going = await in_pauses(three, 90.0)
    await put_by_hand(three, foreign)
    await refused(three, second, going)
    promise(23).count("Swarms changed by hand")


async def test_a_swarm_that_is_none(swarm_field: Field) -> None:
    """Each way that is no manager says so, with what to do."""
    with pytest.raises(Unreachable, match=r"no socket|nobody listens|No such file|is not there"):
        await backend().connect(Host("swarm", swarm=("unix:///nowhere/docker.sock",)))
    index = next(node.index for node in swarm_field.swarm.nodes if node.index != swarm_field.swarm.leader)
    await asyncio.to_thread(lambda: swarm_field.swarm.set_node(index, role="worker"))
    worker = swarm_field.swarm.nodes[index]

    async def refused() -> str:
        try:
            connection = await backend().connect(Host("swarm", swarm=(worker.docker,)))
        except Unreachable as error:
            return str(error)
        await connection.close()
        return ""

    end = asyncio.get_running_loop().time() + 60
    while "not a manager" not in (said := await refused()):
        assert asyncio.get_running_loop().time() < end, said
        await asyncio.sleep(0.5)
    assert "manager in the host's swarm entry: 10." in said


async def test_managers_of_another_swarm_are_not_gone_on_with(three: Field) -> None:
    """Two of them in one entry: what was begun in the one is not ended in the other. Seen to fail where any manager will do."""
    alone = next(node for node in three.swarm.nodes if node.index != three.swarm.leader)
    others = [node.docker for node in three.swarm.nodes if node is not alone]
    connection = await connect(three.swarm, managers=[others[0], alone.docker])
    try:
        engine = three.swarm.api(alone.index)
        await asyncio.to_thread(three.swarm.leave, alone.index)
        await asyncio.to_thread(engine.init_swarm, advertise_addr=alone.address, listen_addr=f"{alone.address}:2377")
        managers = connection._managers
        for _ in range(2):
            managers._let_go(managers.engine)
            facts = await connection.facts(three.target, "")
            assert (facts.current is not None, managers.address) == (True, others[0])
        managers.addresses = (alone.docker,)
        managers._at = alone.docker
        managers._let_go(managers.engine)
        with pytest.raises(Unreachable, match="a manager of another swarm"):
            await connection.facts(three.target, "")
    finally:
        await connection.close()
