"""The log of a target goes on over a switch, and back."""

import asyncio
from contextlib import aclosing

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import Exited, NewLines
from quarterdeck.config.container import ContainerSpec
from quarterdeck.config.model import Logs
from quarterdeck.config.release import Release
from tests.boxes import HEALTH, NO_SECRETS, Box

pytestmark = [pytest.mark.docker, pytest.mark.root]


def says(box: Box, version: str) -> ContainerSpec:
    command = f"echo begin {version}; trap 'echo end {version}; exit 0' TERM; while :; do sleep 0.1; done"
    return box.spec(command=("sh", "-c", command))


async def test_the_last_lines_of_what_runs(box: Box) -> None:
    release = box.release("1", spec=box.spec(command=("sh", "-c", "seq 1 50; printf 'red\\033[31m\\n'; sleep 600")))
    with pytest.raises(CommandFailed, match="no container"):
        [line async for line in box.connection.logs(Logs(), release)]
    await box.live(release, "1.1")
    async with asyncio.timeout(60):
        lines: list[str] = []
        while lines[-1:] != ["red"]:
            lines = [line.text async for line in box.connection.logs(Logs(), release, lines=3)]
    assert lines == ["49", "50", "red"]


async def test_what_a_failed_release_said_is_read_beside_what_runs(box: Box) -> None:
    """Why it failed is in its lines, and it does not run any more. One that was good says nothing of that kind."""
    old, good = (box.release(one, spec=says(box, one)) for one in ("0", "1"))
    await box.live(old, "1.1")
    await box.connection.finish(old, [], box.fence(), "1.1f")
    await box.live(good, "1.2")
    await box.connection.finish(good, [old.id], box.fence(), "1.2f")
    fails = "echo no such table; until [ -e /tmp/fail ]; do sleep 0.05; done; exit 3"
    bad = box.release("2", spec=box.spec(command=("sh", "-c", fails)))
    await box.connection.stage(bad, None, NO_SECRETS, box.fence())
    assert (await box.connection.switch(bad, NO_SECRETS, box.fence(), "1.3")).beside
    container = f"{box.name}.{bad.id}"
    box.engine.client.exec_start(box.engine.client.exec_create(container, ["touch", "/tmp/fail"])["Id"])
    async with asyncio.timeout(60):  # as a rollout sees it: the switch itself need not
        while "ended with status 3" not in (await box.connection.check_health(HEALTH, bad)).detail:
            pass
    read = [line.text async for line in box.connection.logs(Logs(), good, lines=10)]
    assert read == [f"{bad.id}: no such table", "begin 1"]
    async with aclosing(box.connection.logs(Logs(), good, lines=10, follow=True)) as lines, asyncio.timeout(60):
        assert {(await anext(lines)).text, (await anext(lines)).text} == set(read)


async def test_a_reader_sees_the_old_one_end_and_the_new_one_begin_and_the_way_back(box: Box) -> None:
    first, second = (box.release(one, spec=says(box, one)) for one in ("1", "2"))
    await box.live(first, "1.1")
    await box.connection.stage(second, None, NO_SECRETS, box.fence())
    seen: list[str] = []

    async def until(words: str) -> None:
        async with asyncio.timeout(60):
            while words not in seen:
                seen.append((await anext(lines)).text)

    async with aclosing(box.connection.logs(Logs(), first, lines=10, follow=True)) as lines:
        await until("begin 1")
        await box.live(second, "1.2")
        await until("begin 2")
        await until("end 1")
        await box.live(first, "2.1", epoch=2)
        seen.clear()
        await until("begin 1")
        await until("end 2")
    assert box.running == [first.id]


async def test_each_line_of_a_releases_own_container_comes_once(box: Box) -> None:
    """Also while another release runs beside it, and when the container was made anew."""
    waits = "while ! [ -e /tmp/$n ]; do sleep 0.05; done"
    command = (
        f"trap 'exit 0' TERM; n=1; echo before; while :; do {waits}; echo $n out; echo $n err >&2; n=$((n+1)); done"
    )
    old, new = (box.release(one, spec=box.spec(command=("sh", "-c", command))) for one in ("1", "2"))
    await box.live(old, "1.1")

    async def until(release: Release, mark: str, count: int) -> NewLines:
        async with asyncio.timeout(60):
            found = NewLines(mark)
            while len(found.texts) < count:
                found = await box.connection.new_lines(Logs(), release, mark)
        return found

    async def said(name: str) -> None:
        touch = box.connection.exec_in(old.target, "", ["touch", f"/tmp/{name}"], deadline=60)
        assert [one async for one in touch] == [Exited(0)]

    begun = await box.connection.new_lines(Logs(), old)
    assert (begun.texts, begun.mark != "") == ((), True)
    await said("1")
    first = await until(old, begun.mark, 2)
    assert sorted(first.texts) == ["1 err", "1 out"]
    assert not (await box.connection.new_lines(Logs(), old, first.mark)).texts
    await said("2")
    assert sorted((await until(old, first.mark, 2)).texts) == ["2 err", "2 out"]
    few = await box.connection.new_lines(Logs(), old, begun.mark, lines=1)
    assert (len(few.texts), few.dropped) == (1, 3)
    with pytest.raises(CommandFailed, match="no container"):
        await box.connection.new_lines(Logs(), new)
    await box.live(new, "1.2")
    other = (await box.connection.new_lines(Logs(), new)).mark
    assert other.split()[0] != first.mark.split()[0]
    assert list((await until(new, first.mark, 1)).texts) == ["before"], "of another container all is new"
