"""What an observer sees of many targets of a Swarm: the same as a worker, for fewer questions, and soon after it has happened."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from quarterdeck.backends.hosts.contract import Watchable
from quarterdeck.config.model import CommandCheck, Health
from tests.backends.swarm.talking import WAITS, Talking, talking
from tests.swarm import Swarm
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(300)]
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
        field.inside(task, "touch", "/tmp/fail")
        await until(lambda: frozenset({two.target}) in changes.told, "the end of a task is told")
        await until(lambda: {o["ID"] for o in two.running()} - {task["ID"]}, "it is replaced")
        assert not any(told is None or one.target in told for told in changes.told)
        changes.told.clear()
        await one.live(one.release("2", WAITS), "1.2")
        await until(lambda: frozenset({one.target}) in changes.told, "an update is told")
        facts = await one.connection.watched().facts(one.target, "")
        assert facts.current == one.release("2", WAITS).id


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
            field.inside(task, "touch", "/tmp/fail")
            await until(lambda: frozenset({field.target}) in changes.told, "what happens from then on is told")
