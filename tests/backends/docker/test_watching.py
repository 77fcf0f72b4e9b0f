"""An observer's way to an engine: it says what a worker's own look says, costs lists once for many targets, and never tells what is older
than the question."""

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import docker.errors
import msgspec
import pytest

from quarterdeck.backends.hosts.contract import Fence, TargetFacts, Watchable
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.backends.hosts.docker.watching import WatchedEngine
from quarterdeck.config.model import Target
from quarterdeck.config.release import Release
from tests.backends.docker.conftest import until
from tests.boxes import Registry
from tests.contract.place import become_healthy
from tests.engine import DockerEngine
from tests.engine_field import ANSWERS, connect, push, put_everything, release_for, write_fleet

pytestmark = [pytest.mark.docker, pytest.mark.root]
COUNT = 6  # more than what is read one by one


class Several:
    """Targets on one engine, and two ways to it: a worker's, and an observer's."""

    def __init__(
        self, engine: DockerEngine, registry: Registry, targets: list[Target], worker: DockerConnection
    ) -> None:
        self.engine = engine
        self.targets = targets
        self.worker = worker
        self.releases: dict[str, Release] = {
            one.name: release_for(one, "v1", push(registry, engine, "v1")) for one in targets
        }

    def container(self, target: Target) -> str:
        filters = {"label": [f"dev.quarterdeck.target={target.name}"]}
        found: str = self.engine.client.containers(all=True, filters=filters)[0]["Id"]
        return found

    async def facts(self, connection: DockerConnection, targets: list[Target] | None = None) -> list[TargetFacts]:
        """All asked for at the same time; without what no observer is told."""
        wanted = self.targets if targets is None else targets
        found = await asyncio.gather(*(connection.facts(one.name, "", self.releases[one.name]) for one in wanted))
        return [msgspec.structs.replace(one, free_bytes=None) for one in found]


@pytest.fixture
async def several(docker_engine: DockerEngine, docker_images: Registry, tmp_path: Path) -> AsyncIterator[Several]:
    services = {f"s{number}": {"health": ANSWERS} for number in range(COUNT)}
    fleet = write_fleet(tmp_path / "fleet.json", docker_images, {"box-1": docker_engine}, services)
    await put_everything(fleet, docker_images, docker_engine, "v1")
    worker = await connect(docker_engine)
    yield Several(docker_engine, docker_images, list(fleet.targets.values()), worker)
    await worker.close()
    docker_engine.remove_containers()
    for volume in docker_engine.client.volumes(filters={"label": ["dev.quarterdeck.state"]})["Volumes"] or []:
        with contextlib.suppress(docker.errors.NotFound):  # an old one, whose removal was still under way
            docker_engine.client.remove_volume(volume["Name"])


@pytest.fixture
async def observer(several: Several) -> AsyncIterator[WatchedEngine]:
    connection = await connect(several.engine)
    assert isinstance(connection, Watchable)
    watched = connection.watched()
    yield watched
    await watched.close()


@pytest.mark.parametrize("count", [1, COUNT])
async def test_it_says_what_a_workers_own_look_says(several: Several, observer: WatchedEngine, count: int) -> None:
    client, targets = several.engine.client, several.targets[:count]
    for target, change in zip(
        several.targets, ("fine", "killed", "restarted", "gone", "foreign", "paused"), strict=True
    ):
        container = several.container(target)
        match change:
            case "killed":
                client.kill(container)
            case "restarted":
                client.restart(container, timeout=1)
            case "paused":
                client.pause(container)
            case "gone" | "foreign":
                client.remove_container(container, force=True)
        if change == "foreign":
            several.engine.run(
                "app:1" if client.images("app:1") else several.engine.image("app:1"), target.name.replace("/", "-")
            )
    found = await several.facts(observer, targets)
    assert found == await several.facts(several.worker, targets)
    if count == COUNT:
        drifts = [" ".join(one.drift) for one in found]
        words = (
            "",
            "ended with status 137",
            "was started again",
            "is gone",
            "held by a container that is not ours",
            "is paused",
        )
        assert all(word in drift for word, drift in zip(words, drifts, strict=True)), drifts
    for target in targets:
        release = several.releases[target.name]
        assert release.health is not None
        theirs = await several.worker.check_health(release.health, release)
        ours = await observer.check_health(release.health, release)
        assert (ours.healthy, ours.detail) == (theirs.healthy, theirs.detail)


async def test_many_who_ask_together_cost_one_list_of_each_kind(several: Several, observer: WatchedEngine) -> None:
    async def cost(connection: DockerConnection) -> int:
        before = connection.executions
        found = await several.facts(connection)
        assert all(one.running for one in found)
        return connection.executions - before

    assert await cost(observer) == 3 + COUNT  # containers, registers and images; then each container as it is now
    assert await cost(observer) == 3 + COUNT, "nothing was kept from the look before"
    assert await cost(several.worker) >= 5 * COUNT, "what a worker goes by is read for it alone"


async def test_a_health_check_asks_the_engine_only_where_the_look_before_has_not(
    several: Several, observer: WatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.backends.hosts.docker.watching._FRESH", 60.0)
    release = several.releases[several.targets[0].name]
    assert release.health is not None
    await become_healthy(several.worker, release)
    await several.facts(observer, several.targets[:1])
    before = observer.executions
    assert (await observer.check_health(release.health, release)).healthy
    assert observer.executions == before
    assert (await observer.check_health(release.health, release)).healthy
    assert observer.executions > before, "what a look has seen serves one check"


class Held:
    """The first answer of that kind is held back, as on a slow network, until ``let_go``."""

    def __init__(self, connection: DockerConnection, kind: str) -> None:
        self.answered, self.let_go = threading.Event(), threading.Event()
        client: Any = connection.engine._open_client()
        asked = client.request

        def request(method: str, url: str, **more: Any) -> Any:
            answer = asked(method, url, **more)
            if url.endswith(kind) and not self.answered.is_set():
                answer.content  # noqa: B018 # read: it is as old as this
                self.answered.set()
                assert self.let_go.wait(30)
            return answer

        client.request = request


async def test_who_asks_while_a_look_is_under_way_gets_a_newer_one(several: Several, observer: WatchedEngine) -> None:
    held = Held(observer, "/volumes")
    earlier = asyncio.create_task(several.facts(observer))
    await until(held.answered.is_set, "the list has been made")
    target = several.targets[0]
    release = several.releases[target.name]
    await several.worker.finish(release, [], Fence(target.name, 1, "rollout 1, alice@bastion-2"), "finish")
    later = asyncio.create_task(several.facts(observer, [target]))
    await asyncio.sleep(0)  # it has asked
    held.let_go.set()
    [found] = await later
    assert found.good == (release.id,)
    [before, *_] = await earlier
    assert before.good == (), "the one that was under way is as old as its question"


async def test_a_list_that_lags_behind_a_death_is_not_believed(several: Several, observer: WatchedEngine) -> None:
    """The engine tells of a death before it writes it down for its lists: who looks at once would see it run."""
    held = Held(observer, "/containers/json")
    asked = asyncio.create_task(several.facts(observer))
    await until(held.answered.is_set, "the list has been made")
    container = several.container(several.targets[0])
    several.engine.client.kill(container)
    several.engine.client.wait(container)
    held.let_go.set()
    found = await asked
    assert [one.running for one in found] == [False, *[True] * (COUNT - 1)]
    assert found[0].drift == (f"{several.targets[0].name.replace('/', '-')} does not run: it ended with status 137",)


async def test_a_look_that_fails_is_told_to_all_who_wait_for_it(several: Several, observer: WatchedEngine) -> None:
    several.engine.freeze()
    try:
        asked = [observer.facts(one.name, "", None, deadline=0.5) for one in several.targets]
        found = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        several.engine.thaw()
    # Not begun, where the machine is so busy that the call's thread has not got its turn.
    assert all(re.match(r"box-1: .*(no answer|not begun) within 0\.5 s", str(one)) for one in found), found
    assert all(one.running for one in await several.facts(observer)), "and the next one is made"


async def test_changes_name_their_target_and_looking_is_none(several: Several, observer: WatchedEngine) -> None:
    heard: list[frozenset[str] | None] = []

    async def hear() -> None:
        async with aclosing(observer.changes()) as changes:
            async for one in changes:
                heard.append(one)

    hearing = asyncio.create_task(hear())
    await until(lambda: heard == [None], "the engine to begin telling")
    for target in several.targets:
        release = several.releases[target.name]
        assert release.health is not None
        await observer.facts(target.name, "", release)
        await observer.check_health(release.health, release)
    several.engine.run("app:1" if several.engine.client.images("app:1") else several.engine.image("app:1"), "not-ours")
    several.engine.client.kill(several.container(several.targets[2]))
    await until(lambda: len(heard) > 1, "the death to be told")
    assert set(heard[1:]) == {frozenset({several.targets[2].name})}
    hearing.cancel()
    await asyncio.wait({hearing})
