"""Events and logs go on over restarts of the engine and of the container; nothing is told twice."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

import pytest

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.backends.hosts.docker.events import Cut, EngineEvent, Happening, Resync
from tests.backends.docker.conftest import Open, threads, until
from tests.conftest import StartDockerEngine
from tests.engine import DockerEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]
T = TypeVar("T")
_COUNTS = ("sh", "-c", "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.02; done")


def reading() -> set[str]:
    """The threads that read logs."""
    return {name for name in threads() if "read the log" in name}


async def following(items: AsyncGenerator[T, None], deadline: float = 60.0) -> T:
    async with asyncio.timeout(deadline):
        return await anext(items)


async def happens(items: AsyncGenerator[Happening, None], kind: type[T]) -> T:
    while True:
        item = await following(items)
        if isinstance(item, kind):
            return item


class Numbers:
    """Reads a log of counted lines: each once and in order."""

    def __init__(self, batches: AsyncGenerator[LogBatch, None]) -> None:
        self._batches = batches
        self.seen: list[int] = []

    async def up_to(self, wanted: int) -> None:
        while not self.seen or self.seen[-1] < wanted:
            batch = await following(self._batches)
            assert batch.dropped == 0
            self.seen += [int(text.removeprefix("line ")) for text in batch.texts]
        assert self.seen == list(range(self.seen[0], self.seen[0] + len(self.seen)))


async def test_events_go_on_over_an_engine_that_is_killed(start_docker_engine: StartDockerEngine, opened: Open) -> None:
    there = start_docker_engine()
    there.image("app:1")
    engine = await opened(there.as_host())
    async with aclosing(engine.events({"type": ["container"]})) as events:
        assert await following(events) == Resync(first=True)
        container = there.run("app:1", "one")
        created, started = await following(events), await following(events)
        assert isinstance(created, EngineEvent)
        assert isinstance(started, EngineEvent)
        assert (created.action, started.action, started.id, started.name) == ("create", "start", container, "one")
        assert started.time > created.time > 1e9
        there.kill()
        cut = await happens(events, Cut)
        assert cut.error.host == "box-1"
        there.start()
        assert await happens(events, Resync) == Resync(first=False)
        there.client.kill(container)
        assert (await happens(events, EngineEvent)).action == "kill"


async def test_an_engine_that_stands_still_under_an_event_stream_is_noticed(
    start_docker_engine: StartDockerEngine, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quarterdeck.backends.hosts.docker.events._ANSWER", 0.5)
    there = start_docker_engine()
    engine = await opened(there.as_host())
    async with aclosing(engine.events(silence=0.2)) as events:
        assert await following(events) == Resync(first=True)
        there.freeze()
        assert isinstance(await following(events), Cut)
        there.thaw()
        assert await happens(events, Resync) == Resync(first=False)


async def test_a_log_is_followed_over_an_engine_that_is_killed(
    start_docker_engine: StartDockerEngine, opened: Open
) -> None:
    there = start_docker_engine()
    there.image("app:1", command=_COUNTS)
    there.run("app:1", "one")
    engine = await opened(there.as_host())
    # One line from the end: what came while nobody was there is more, and is read all the same.
    async with aclosing(engine.container_logs("one", lines=1, follow=True)) as batches:
        numbers = Numbers(batches)
        await numbers.up_to(20)
        there.kill()
        there.start()
        await numbers.up_to(numbers.seen[-1] + 50)
    assert not reading()


async def test_a_log_is_followed_over_a_container_that_is_started_anew_until_it_is_removed(
    docker_engine: DockerEngine, opened: Open
) -> None:
    docker_engine.image("words:1", command=("sh", "-c", "trap 'exit 0' TERM; echo begun; sleep 1000 & wait"))
    docker_engine.run("words:1", "one")
    engine = await opened(docker_engine.as_host())
    async with aclosing(engine.container_logs("one", follow=True)) as batches:
        assert (await following(batches)).texts == ["begun"]
        docker_engine.client.restart("one", timeout=5)
        assert (await following(batches)).texts == ["begun"]
        docker_engine.client.stop("one", timeout=5)
        docker_engine.client.start("one")
        assert (await following(batches)).texts == ["begun"]
        docker_engine.client.remove_container("one", force=True)
        with pytest.raises(StopAsyncIteration):
            await following(batches)


async def all_of(batches: AsyncGenerator[LogBatch, None]) -> tuple[list[str], list[str | None]]:
    texts: list[str] = []
    times: list[str | None] = []
    async with aclosing(batches):
        async for batch in batches:
            texts += batch.texts
            times += batch.times or []
    return texts, times


@pytest.mark.parametrize("tty", [False, True])
async def test_both_outputs_are_read_with_their_times_and_cleaned(
    docker_engine: DockerEngine, opened: Open, tty: bool
) -> None:
    script = "echo one; echo two >&2; printf '\\033[31mred\\033[0m\\033]0;title\\007\\n'; "
    script += "head -c 40000 /dev/zero | tr '\\0' x; echo; printf end"
    docker_engine.image("words:2", command=("sh", "-c", script))
    docker_engine.run("words:2", "one", tty=tty)
    docker_engine.client.wait("one")
    engine = await opened(docker_engine.as_host())
    texts, times = await all_of(engine.container_logs("one"))
    if not tty:  # the outputs are two pipes: which one is read first is the engine's business
        texts.sort(key=["one", "two", "red", "x" * 40000, "end"].index)
        assert texts == ["one", "two", "red", "x" * 40000, "end"]
    else:
        assert texts[:3] == ["one", "two", "red"]
        assert texts[-1].endswith("end")
    assert all(time is not None and len(time) == 24 and time.endswith("Z") for time in times)


async def test_lines_are_counted_from_the_end_and_from_a_time(docker_engine: DockerEngine, opened: Open) -> None:
    docker_engine.image("words:3", command=("sh", "-c", "seq 1 100; sleep 1; seq 101 105"))
    docker_engine.run("words:3", "one")
    docker_engine.client.wait("one")
    engine = await opened(docker_engine.as_host())
    texts, times = await all_of(engine.container_logs("one", lines=10))
    assert texts == [str(number) for number in range(96, 106)]
    assert times[5] is not None
    assert (await all_of(engine.container_logs("one", lines=1000, since=times[5])))[0] == [
        str(number) for number in range(101, 106)
    ]
    assert await all_of(engine.container_logs("one", lines=0)) == ([], [])


async def test_a_reader_that_is_too_slow_loses_the_oldest_lines_counted(
    docker_engine: DockerEngine, opened: Open
) -> None:
    docker_engine.image("words:4", command=("sh", "-c", "seq 1 50000"))
    docker_engine.run("words:4", "one")
    docker_engine.client.wait("one")
    engine = await opened(docker_engine.as_host())
    batches = engine.container_logs("one", lines=100000)
    async with aclosing(batches):
        first = await following(batches)
        seen, dropped = list(first.texts), first.dropped
        await until(lambda: not reading(), "the whole log was read from the engine, and nobody took it")
        async for batch in batches:
            seen += batch.texts
            dropped += batch.dropped
            assert len(batch.texts) <= 20_000
    assert seen[-1] == "50000"
    assert dropped > 0
    assert len(seen) + dropped == 50000


async def test_a_container_that_is_not_there_has_no_log(docker_engine: DockerEngine, opened: Open) -> None:
    engine = await opened(docker_engine.as_host())
    with pytest.raises(EngineRefused) as refused:
        await all_of(engine.container_logs("nothing", follow=True))
    assert refused.value.status == 404
