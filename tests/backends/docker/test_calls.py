"""A call ends at its deadline, when it is cancelled, and when the engine goes away; nothing of it stays."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial

import docker
import docker.errors
import pytest
import requests

from quarterdeck.backends.errors import BackendError, CommandTimedOut, EngineRefused, Unreachable
from quarterdeck.backends.hosts.docker.client import CALLS_AT_ONCE
from quarterdeck.backends.hosts.docker.engine import Engine
from quarterdeck.backends.hosts.docker.place import UnixPlace
from quarterdeck.backends.hosts.docker.refusals import explain
from tests.backends.docker.conftest import Open, open_sockets, over_ssh, threads, until
from tests.conftest import StartDockerEngine, StartFleet
from tests.engine import DockerEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


@pytest.fixture
def runs(docker_engine: DockerEngine) -> str:
    """A container that runs until it is removed."""
    docker_engine.image("app:1")
    return docker_engine.run("app:1")


def ping(client: docker.APIClient) -> bool:
    answered: bool = client.ping()
    return answered


async def test_a_cancelled_call_frees_its_thread(docker_engine: DockerEngine, opened: Open, runs: str) -> None:
    engine = await opened(docker_engine.as_host())
    begun = engine.calls
    waiting = [
        asyncio.create_task(engine.call("wait", lambda client: client.wait(runs), deadline=600))
        for _ in range(CALLS_AT_ONCE)
    ]
    await until(lambda: engine.calls == begun + CALLS_AT_ONCE, "all threads wait for the engine")
    with pytest.raises(CommandTimedOut) as full:
        await engine.call("ping", ping, deadline=0.2)
    assert "not begun within 0.2 s" in str(full.value)
    with pytest.raises(CommandTimedOut, match=r"within 0\.1 s"):
        await engine.call("ping", ping, deadline=0.12345)
    assert "Nothing was asked of the engine" in str(full.value)
    for task in waiting:
        task.cancel()
    for ended in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(ended, asyncio.CancelledError)
    assert await engine.call("ping", ping, deadline=60)


async def test_a_call_that_is_ended_does_not_disturb_one_that_got_its_connection(
    docker_engine: DockerEngine, opened: Open, runs: str
) -> None:
    engine = await opened(docker_engine.as_host())
    asked, taken_over = threading.Event(), threading.Event()

    def asks_twice(client: docker.APIClient) -> None:
        client.ping()
        asked.set()
        assert taken_over.wait(60)
        client.wait(runs)

    ended = asyncio.create_task(engine.call("ask twice", asks_twice, deadline=600))
    await until(asked.is_set, "it has given its first connection back")
    calls = engine.calls
    other = asyncio.create_task(engine.call("wait", lambda client: client.wait(runs), deadline=600))
    await until(lambda: engine.calls == calls + 1, "another call has that connection")
    taken_over.set()
    await until(lambda: engine.calls == calls + 2, "the first one asks again")
    ended.cancel()
    await asyncio.wait({ended})
    docker_engine.client.kill(runs)
    assert (await asyncio.wait_for(other, 60))["StatusCode"] == 137


async def test_calls_that_are_given_up_do_not_disturb_the_others(
    docker_engine: DockerEngine, opened: Open, runs: str
) -> None:
    engine = await opened(docker_engine.as_host())

    async def given_up() -> None:
        for _ in range(30):
            with pytest.raises(CommandTimedOut):
                await engine.call("wait", lambda client: (client.ping(), client.wait(runs)), deadline=0.02)

    async def asked() -> None:
        for _ in range(100):
            assert await engine.call("ping", ping, deadline=60)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(given_up())
            group.create_task(asked())


async def test_an_engine_that_stands_still_is_given_up_at_the_deadline(
    start_docker_engine: StartDockerEngine, start_sshd_fleet: StartFleet, opened: Open
) -> None:
    there, fleet = start_docker_engine(), start_sshd_fleet(1)
    for host in (there.as_host(), over_ssh(fleet, there)):
        engine = await opened(host, fleet)
        there.freeze()
        with pytest.raises(CommandTimedOut) as late:
            await engine.call("list its containers", lambda client: client.containers(), deadline=0.3)
        # Not begun, where the machine is so busy that the call's thread has not got its turn.
        said = r"box-1: list its containers: (no answer within 0\.3 s\. What the engine did|not begun within 0\.3 s)"
        assert re.match(said, str(late.value)), late.value
        with pytest.raises(Unreachable) as silent:
            await opened(host, fleet, deadline=6)
        assert "its Docker engine" in str(silent.value)
        there.thaw()
        assert await engine.call("ping", ping, deadline=60)
        await engine.close()
    assert not threads()


async def test_an_engine_that_is_gone_is_unreachable_and_comes_back(
    start_docker_engine: StartDockerEngine, start_sshd_fleet: StartFleet, opened: Open
) -> None:
    there, fleet = start_docker_engine(), start_sshd_fleet(1)
    there.image("app:1")
    container = there.run("app:1")
    for host in (there.as_host(), over_ssh(fleet, there)):
        engine = await opened(host, fleet)

        async def kill(asked: Engine, calls: int) -> None:
            await until(lambda: asked.calls > calls, "the engine was asked")
            await asyncio.sleep(0.5)
            there.kill()

        for _ in range(3):  # it is counted before it is sent: an engine that is killed in between is not reached at all
            async with asyncio.TaskGroup() as group:
                group.create_task(kill(engine, engine.calls))
                with pytest.raises(Unreachable) as lost:
                    await engine.call("wait", lambda client: client.wait(container), deadline=60)
            if "the connection to the engine was lost" in str(lost.value):
                break
            there.start()
        assert "the connection to the engine was lost" in str(lost.value)
        with pytest.raises(Unreachable):
            await engine.call("ping", ping, deadline=60)
        there.start()
        assert await engine.call("ping", ping, deadline=60)


async def test_what_an_engine_refuses_keeps_its_status_and_words(
    docker_engine: DockerEngine, opened: Open, runs: str
) -> None:
    engine = await opened(docker_engine.as_host())
    with pytest.raises(EngineRefused) as conflict:
        await engine.call("remove it", lambda client: client.remove_container(runs), deadline=60)
    assert conflict.value.status == 409
    assert "You cannot remove a running container" in conflict.value.explanation
    with pytest.raises(ZeroDivisionError):  # a fault of this program is not one of the engine
        await engine.call("divide", lambda client: 1 // 0, deadline=60)


async def test_a_closed_engine_leaves_nothing_behind(docker_engine: DockerEngine, opened: Open, runs: str) -> None:
    before = open_sockets()
    engine = await opened(docker_engine.as_host())
    begun = engine.calls
    waiting = asyncio.create_task(engine.call("wait", lambda client: client.wait(runs), deadline=600))
    events = engine.events()
    logs = engine.container_logs(runs, follow=True)
    await anext(events)
    log = asyncio.create_task(anext(logs))
    await until(lambda: engine.calls >= begun + 4, "the engine was asked")
    await engine.close()
    with pytest.raises(Unreachable) as closed:
        await waiting
    assert "closed here" in str(closed.value)
    with pytest.raises(BackendError):
        await log
    with pytest.raises(BackendError):
        async for _ in events:
            pass
    assert not threads()
    await until(lambda: open_sockets() <= before, "all sockets are closed")
    await engine.close()


async def test_a_closed_stream_ends_its_thread_and_its_response(
    docker_engine: DockerEngine, opened: Open, runs: str
) -> None:
    engine = await opened(docker_engine.as_host())
    before = open_sockets()
    stream = engine.stream("watch", lambda client: client.stats(runs, decode=True, stream=True))
    async with aclosing(stream):
        assert (await anext(stream))["id"] == runs
        assert any("watch" in name for name in threads())
    assert not any("watch" in name for name in threads())
    assert open_sockets() <= before
    task = asyncio.create_task(anext(engine.stream("watch", lambda client: client.events(decode=True))))
    await until(lambda: any("watch" in name for name in threads()), "the stream is open")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not any("watch" in name for name in threads()), "its thread has ended")


async def test_a_stream_reads_ahead_only_a_little(docker_engine: DockerEngine, opened: Open) -> None:
    engine = await opened(docker_engine.as_host())
    made = 0

    def many(client: docker.APIClient) -> Iterator[int]:
        nonlocal made
        while True:
            yield made
            made += 1

    stream = engine.stream("count", many)
    async with aclosing(stream):
        assert await anext(stream) == 0
        await until(lambda: made >= 256, "it has read ahead")
        seen = [await anext(stream) for _ in range(1000)]
        assert seen == list(range(1, 1001))
        assert made < 1001 + 2 * 256 + 2


async def test_a_stream_tells_what_came_before_it_failed(docker_engine: DockerEngine, opened: Open) -> None:
    engine = await opened(docker_engine.as_host())

    def fails(client: docker.APIClient) -> Iterator[int]:
        yield 1
        raise ConnectionResetError(104, "Connection reset by peer")

    stream = engine.stream("count", fails)
    async with aclosing(stream):
        assert await anext(stream) == 1
        with pytest.raises(Unreachable) as lost:
            await anext(stream)
    assert "Connection reset by peer" in str(lost.value)
    with pytest.raises(EngineRefused):
        await anext(engine.stream("watch", lambda client: client.stats("nothing", stream=True)))


async def test_figures_of_containers_are_read_side_by_side(
    docker_engine: DockerEngine, opened: Open, runs: str
) -> None:
    docker_engine.image("busy:1", command=("sh", "-c", "trap 'exit 0' TERM; while :; do :; done"))
    busy = docker_engine.run("busy:1")
    docker_engine.image("exits:1", exits=True)
    ended = docker_engine.run("exits:1")
    docker_engine.client.wait(ended)
    engine = await opened(docker_engine.as_host())
    names = [runs, busy, ended, "nothing"]
    first = await engine.one_shot_stats(names)
    assert set(first) == {runs, busy}
    assert first[busy].cpu is None
    end = time.monotonic() + 20
    while True:
        cpu = (await engine.one_shot_stats(names))[busy].cpu
        if cpu is not None and cpu > 20:
            break
        assert time.monotonic() < end, cpu
    assert 0 < first[runs].memory < first[runs].memory_limit
    assert first[runs].processes >= 1
    assert first[runs].received is None, "a rate needs two looks"
    assert (await engine.one_shot_stats(names))[runs].received is not None


def made(name: str, client: docker.APIClient) -> None:
    client.create_volume(name)


async def test_an_engine_that_is_being_stopped_is_lost_and_has_refused_nothing(
    start_docker_engine: StartDockerEngine, opened: Open
) -> None:
    """Its parts end before its API does: for a moment it answers «database not open». Whoever is told that waits for it to come back."""
    docker_engine = start_docker_engine()  # nothing runs on it: what it would leave running, it leaves at once
    engine = await opened(docker_engine.as_host())
    stopping = asyncio.create_task(asyncio.to_thread(docker_engine.stop))
    errors: list[BackendError] = []
    for number in range(100_000):
        try:
            await engine.call("write", partial(made, f"v{number}"), deadline=60)
        except BackendError as error:
            errors.append(error)
            if "there is no socket" in str(error) or "no engine listens" in str(error):
                break
    await stopping
    assert errors
    assert [error for error in errors if not isinstance(error, Unreachable)] == []


@pytest.mark.parametrize("said", ["create v1: database not open", "transport is closing: unavailable"])
def test_what_an_engine_says_while_it_is_being_stopped_is_told_as_that(said: str) -> None:
    response = requests.Response()
    response.status_code = 500
    error = explain(
        "box-1", UnixPlace("/run/docker.sock"), "write", docker.errors.APIError("", response, explanation=said)
    )
    assert isinstance(error, Unreachable)
    assert str(error) == (
        f"box-1: write: its Docker engine is being stopped, or lacks containerd ({said}). "
        "What the engine did with the request is not known. Is Docker running? See: systemctl status docker"
    )
