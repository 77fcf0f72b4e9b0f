"""What an observer sees of many targets of a Swarm: the same as a worker, for fewer questions, and soon after it has happened."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from quarterdeck.backends.hosts.contract import Watchable
from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.backends.hosts.swarm import calls, noticing
from quarterdeck.backends.hosts.swarm.watching import WatchedSwarm
from quarterdeck.config.model import CommandCheck, Health
from tests.backends.swarm.talking import WAITS, Talking, talking
from tests.swarm import Swarm
from tests.swarm_in_motion import change_service, until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
FAILS = "trap 'exit 0' TERM; until [ -e /tmp/fail ]; do sleep 0.05; done; exit 3"


@asynccontextmanager
async def several(swarm: Swarm, count: int) -> AsyncIterator[list[Talking]]:
    """Targets of one connection, each with a release that is live."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(talking(swarm))
        fields = [first, *(Talking(swarm, first.connection) for _ in range(count - 1))]
        for field in fields:
            await field.live(field.release("1", FAILS), "1.1")
        yield fields


class Changes:
    """What is told, kept until it is looked for."""

    def __init__(self, field: Talking) -> None:
        self.told: list[frozenset[str] | None] = []
        self._hearing = asyncio.create_task(self._hear(field))

    async def _hear(self, field: Talking) -> None:
        async for one in field.connection.watched().changes():
            self.told.append(one)

    async def __aenter__(self) -> "Changes":
        await until(lambda: self.told or self._hearing.done(), "it has begun")
        if self._hearing.done():
            self._hearing.result()
        assert self.told[0] is None
        self.told.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hearing.cancel()
        await asyncio.gather(self._hearing, return_exceptions=True)


async def test_an_observer_sees_what_a_worker_sees_for_fewer_questions(swarm: Swarm) -> None:
    async with several(swarm, 3) as fields:
        connection = fields[0].connection
        assert isinstance(connection, Watchable)
        watched = connection.watched()
        releases = [field.release("1", FAILS) for field in fields]
        theirs = [
            msgspec.structs.replace(await connection.facts(field.target, "", release), free_bytes=None)
            for field, release in zip(fields, releases, strict=True)
        ]
        await watched.facts(fields[0].target, "", releases[0])
        before = connection.executions
        asked = [watched.facts(field.target, "", release) for field, release in zip(fields, releases, strict=True)]
        ours = await asyncio.gather(*asked)
        assert ours == theirs
        assert all(one.running and one.tasks and len(one.nodes) == 3 for one in ours)
        assert connection.executions - before <= 5, "services, registers, names, tasks and nodes, of all of them"
        health = Health(command=CommandCheck("true"), timeout=10.0)
        assert await asyncio.gather(*(watched.check_health(health, release) for release in releases))


async def test_changes_name_their_target_and_looking_is_none(swarm: Swarm) -> None:
    """Seen to fail where tasks are not compared: their ends are no events."""
    async with several(swarm, 2) as (one, two), Changes(one) as changes:
        await one.connection.watched().facts(one.target, "")
        field = two
        (task,) = field.running()
        field.swarm.inside(task, "touch", "/tmp/fail")
        await until(lambda: frozenset({two.target}) in changes.told, "the end of a task is told")
        await until(lambda: {o["ID"] for o in two.running()} - {task["ID"]}, "it is replaced")
        assert not any(told is None or one.target in told for told in changes.told)
        changes.told.clear()
        await one.live(one.release("2", WAITS), "1.2")
        await until(lambda: frozenset({one.target}) in changes.told, "an update is told")
        facts = await one.connection.watched().facts(one.target, "")
        assert facts.current == one.release("2", WAITS).id


def by_hand(swarm: Swarm, field: Talking, replicas: int | None = None) -> None:
    """Somebody gives the service another label, and scales it."""

    def change(spec: dict[str, Any]) -> None:
        spec["Labels"]["by"] = "hand"
        if replicas is not None:
            spec["Mode"]["Replicated"]["Replicas"] = replicas

    change_service(swarm, field.name, change)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all that is asked of managers about the Swarm."""
    paths: list[str] = []
    get, get_bytes = calls.get, calls.get_bytes

    def counted(client: Any, path: str, *rest: Any, **filters: Any) -> Any:
        paths.append(path)
        return get(client, path, *rest, **filters)

    def counted_bytes(client: Any, path: str, **words: str) -> bytes:
        paths.append(path)
        return get_bytes(client, path, **words)

    monkeypatch.setattr(calls, "get", counted)
    monkeypatch.setattr(calls, "get_bytes", counted_bytes)
    return paths


async def test_where_nothing_happens_only_tasks_are_listed(
    swarm: Swarm, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what one event was about is asked for alone."""
    monkeypatch.setattr(noticing, "OFTEN", 0.1)
    monkeypatch.setattr(noticing, "_SHARE", 0.0)
    monkeypatch.setattr(noticing, "WHOLE", 1000.0)
    async with several(swarm, 2) as (one, two), Changes(one) as changes:
        await until(lambda: asked[-20:] == ["/tasks"] * 20, "nothing but tasks")
        asked.clear()
        await asyncio.to_thread(by_hand, swarm, two)
        await until(lambda: frozenset({two.target}) in changes.told, "a label that somebody has set")
        await until(lambda: asked[-20:] == ["/tasks"] * 20, "quiet again")
        assert set(asked) == {"/tasks", "/services"}
        assert {*changes.told} == {frozenset({two.target})}


@pytest.mark.parametrize("hears", [True, False], ids=["events", "no events"])
async def test_what_happens_is_told_whether_events_come_or_not(
    swarm: Swarm, hears: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that was changed behind our back, a task that died, a node that takes no more tasks. Where managers tell nothing, all of
    it is listed as often as tasks are."""
    if not hears:

        async def silent(*_: object, **__: object) -> AsyncIterator[object]:
            await asyncio.Event().wait()
            yield object()

        monkeypatch.setattr(Engine, "events", silent)
    async with several(swarm, 2) as (one, two), Changes(one) as changes:
        await asyncio.to_thread(by_hand, swarm, one)
        await until(lambda: frozenset({one.target}) in changes.told, "an update by hand")
        (task,) = two.running()
        two.swarm.inside(task, "touch", "/tmp/fail")
        await until(lambda: frozenset({two.target}) in changes.told, "the end of a task")
        await asyncio.to_thread(swarm.set_node, 1, availability="pause")
        await until(lambda: None in changes.told, "the node")


async def test_a_task_on_its_way_out_is_followed_to_its_end(swarm: Swarm) -> None:
    """It is to run no more, and runs: what is listed again and again are tasks that are to run. Seen to fail where
    those that no more are to are forgotten."""
    async with talking(swarm) as field:
        release = field.release("1", "trap '' TERM; while :; do sleep 0.1; done")
        assert release.container is not None
        patient = msgspec.structs.replace(release.container, stop_grace_period=300.0)
        await field.live(msgspec.structs.replace(release, container=patient), "1.1")
        async with Changes(field) as changes:
            (task,) = field.running()

            def leaves() -> bool:
                found = swarm.any_api.tasks(filters={"id": task["ID"]})
                return any(one["Status"]["State"] == "running" and one["DesiredState"] != "running" for one in found)

            await asyncio.to_thread(by_hand, swarm, field, 0)
            await until(leaves, "it is to end")
            await until(lambda: frozenset({field.target}) in changes.told, "that is told")
            facts = await field.connection.watched().facts(field.target, "")
            assert [(one.id, one.wanted) for one in facts.tasks] == [(task["ID"], False)]
            told = 0
            while told < len(changes.told):  # all that was told of its beginning to end
                told = len(changes.told)
                await asyncio.sleep(3.0)
            assert await asyncio.to_thread(leaves), "it has minutes to end"
            engine, container = swarm.api(swarm.node_of(task)), task["Status"]["ContainerStatus"]["ContainerID"]
            await asyncio.to_thread(engine.kill, container)
            await until(lambda: len(changes.told) > told, "its end is told")


async def test_one_target_is_read_by_itself(swarm: Swarm) -> None:
    """What somebody has open is looked at every two seconds: the others of the Swarm are not listed for it. Seen
    to fail where all are listed for each."""
    async with several(swarm, 4) as fields:
        releases = [field.release("1", FAILS) for field in fields]
        bodies: list[int] = []
        seen = WatchedSwarm._list

        async def counted(self: WatchedSwarm, wanted: Mapping[str, str], deadline: float) -> Any:
            found = await seen(self, wanted, deadline)
            bodies.append(len(found.services))
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WatchedSwarm, "_list", counted)
            watched = fields[0].connection.watched()
            one = await watched.facts(fields[0].target, "", releases[0])
            every = await asyncio.gather(
                *(watched.facts(field.target, "", release) for field, release in zip(fields, releases, strict=True))
            )
        assert bodies[0] == 1
        assert max(bodies) == 4
        assert one == every[0]
        assert all(facts.running for facts in every)


async def test_a_node_that_is_lost_concerns_all_and_changes_go_on_at_another_manager(swarm: Swarm) -> None:
    swarm.notice_soon()
    asked = next(node.index for node in swarm.nodes if node.index != swarm.leader)
    others = [node.index for node in swarm.nodes if node.index != asked]
    async with talking(swarm, managers=(asked, *others)) as field:
        await field.live(
            field.release("1", FAILS, constraints=(f"node.hostname=={swarm.nodes[others[0]].hostname}",)), "1.1"
        )
        async with Changes(field) as changes:
            await asyncio.to_thread(swarm.stop_node, asked)
            await until(lambda: None in changes.told, "a lost node is told")
            await until(lambda: any(one["Status"]["State"] == "down" for one in swarm.members().values()), "noticed")
            (task,) = field.running()
            changes.told.clear()
            field.swarm.inside(task, "touch", "/tmp/fail")
            await until(lambda: frozenset({field.target}) in changes.told, "what happens from then on is told")
