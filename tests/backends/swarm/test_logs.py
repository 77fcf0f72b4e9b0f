"""What the tasks of a target print, wherever they run: over updates, lost managers and lost nodes."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import pytest

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import LogLine, NewLines
from quarterdeck.config.model import Hook, Logs
from quarterdeck.config.release import Release
from tests.backends.swarm.talking import COUNTS, NO_SECRETS, WAITS, Talking, talking
from tests.swarm import Swarm
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]
SAYS = "echo begin {v}; trap 'echo end {v}; exit 0' TERM; while :; do sleep 0.1; done"


async def all_lines(field: Talking, release: Release, lines: int = 100) -> list[str]:
    async with asyncio.timeout(60):
        return [line.text async for line in field.connection.logs(Logs(), release, lines=lines)]


class Reader:
    """Follows a target's log, and keeps what came."""

    def __init__(self, lines: AsyncGenerator[LogLine, None]) -> None:
        self._lines = lines
        self.seen: list[str] = []
        self.numbers: dict[str, list[int]] = defaultdict(list)  # of counted lines, by their source

    async def until(self, end: str, count: int = 1) -> None:
        async with asyncio.timeout(90):
            while sum(text.endswith(end) for text in self.seen) < count:
                await self.next()

    async def counted(self, sources: int, more: int) -> None:
        """So many sources have said ``more`` from now on, at least."""
        before = {source: len(seen) for source, seen in self.numbers.items()}
        async with asyncio.timeout(90):
            while sum(len(seen) >= before.get(source, 0) + more for source, seen in self.numbers.items()) < sources:
                await self.next()

    async def next(self) -> None:
        line = await anext(self._lines)
        assert line.dropped == 0
        self.seen.append(line.text)
        if " line " in line.text:
            self.numbers[line.source].append(int(line.text.rpartition(" ")[2]))


def in_order(numbers: list[int]) -> bool:
    """Each once, none is missing."""
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def begun_anew(numbers: list[int]) -> int:
    """How often lines came again that had come before."""
    return sum(later <= earlier for earlier, later in pairwise(numbers))


async def test_the_last_lines_of_each_task_with_its_slot_and_node(swarm: Swarm) -> None:
    async with talking(swarm) as field:
        release = field.release("1", "seq 1 50; printf 'red\\033[31m\\n'; " + WAITS, replicas=3)
        with pytest.raises(CommandFailed, match="no task of it"):
            await all_lines(field, release)
        await field.live(release, "1.1")
        names = [f"{one['Slot']}@{swarm.nodes[field.swarm.node_of(one)].hostname}: " for one in field.running()]
        read: list[str] = []
        async with asyncio.timeout(60):
            while sum("red" in text for text in read) < 3:
                read = await all_lines(field, release, 3)
        assert sorted(read) == sorted(f"{name}{text}" for name in names for text in ("49", "50", "red"))
        assert await all_lines(field, release, 0) == []


async def test_a_global_service_is_told_apart_by_nodes_alone(swarm: Swarm) -> None:
    async with talking(swarm) as field:
        release = field.release("1", f"echo here; {WAITS}", mode="global")
        await field.live(release, "1.1")
        async with asyncio.timeout(60):
            read: list[str] = []
            while len(read) < 3:
                read = await all_lines(field, release)
        assert sorted(read) == ["node-1: here", "node-2: here", "node-3: here"]


async def test_what_a_failed_release_said_is_read_beside_what_runs(swarm: Swarm) -> None:
    """Why it failed is in its lines. One that was good says nothing of that kind. Seen to fail where they are left out."""
    async with talking(swarm) as field:
        good = field.release("1", SAYS.format(v=1))
        await field.live(good, "1.1")
        await field.connection.finish(good, [], field.fence, "1.1f")
        bad = field.release("2", "echo no such table; exit 3")
        with pytest.raises(CommandFailed):
            await field.live(bad, "1.2")
        await field.connection.switch(good, NO_SECRETS, field.fence, "1.3")
        read = await all_lines(field, good)
        assert f"{bad.id}: 1@" in read[0]
        assert read[0].endswith(": no such table")
        assert read[-1].endswith("begin 1")
        assert bad.id not in read[-1]
        assert all(text.endswith(("begin 1", "no such table")) for text in read), "the good one's end is history"


async def test_a_reader_sees_the_old_one_end_and_the_new_one_begin(swarm: Swarm) -> None:
    async with talking(swarm) as field:
        first, second = (field.release(one, SAYS.format(v=one), replicas=2) for one in ("1", "2"))
        await field.live(first, "1.1")
        await field.connection.stage(second, None, NO_SECRETS, field.fence)
        async with aclosing(field.connection.logs(Logs(), first, lines=10, follow=True)) as lines:
            reader = Reader(lines)
            await reader.until("begin 1", 2)
            await field.live(second, "1.2")
            await reader.until("begin 2", 2)
            await reader.until("end 1", 2)
            assert len(reader.seen) == 6, reader.seen


async def test_each_line_comes_once_and_in_order_while_it_is_followed(swarm: Swarm) -> None:
    """From the first reading, which is task by task, to the service's stream, and over a stream that breaks. Seen to fail
    with lines that are not left out when they come again."""
    async with talking(swarm) as field:
        release = field.release("1", COUNTS, replicas=3)
        await field.live(release, "1.1")
        async with aclosing(field.connection.logs(Logs(), release, lines=5, follow=True)) as lines:
            reader = Reader(lines)
            await reader.counted(3, 30)
            await (
                field.connection._managers.engine.close()
            )  # as where a connection is cut: it is let go of, and another one is asked
            await reader.counted(3, 30)
        assert len(reader.numbers) == 3
        assert all(in_order(numbers) for numbers in reader.numbers.values()), reader.numbers


async def test_following_goes_on_when_the_manager_that_is_asked_is_lost(swarm: Swarm) -> None:
    """With its node, which had a task too: that one is replaced. The others' lines come again at most as often as managers change."""
    swarm.notice_soon()
    async with talking(swarm) as elsewhere:
        release = elsewhere.release("1", COUNTS, replicas=3)
        await elsewhere.live(release, "1.1")
        leader = swarm.leader
        lost = next(one for one in elsewhere.running() if elsewhere.swarm.node_of(one) != leader)
        asked = elsewhere.swarm.node_of(lost)
    others = [node.index for node in swarm.nodes if node.index != asked]
    async with talking(swarm, managers=(asked, *others)) as field:
        field.name = elsewhere.name
        async with aclosing(field.connection.logs(Logs(), release, lines=5, follow=True)) as lines:
            reader = Reader(lines)
            await reader.counted(3, 10)
            stopping = asyncio.create_task(asyncio.to_thread(swarm.stop_node, asked))
            await reader.counted(2, 100)
            await stopping
            await until(
                lambda: len(field.running()) == 3 and lost["ID"] not in {o["ID"] for o in field.running()}, "new"
            )
            async with asyncio.timeout(90):
                while len(reader.numbers) < 4:
                    await reader.next()
        for source, numbers in reader.numbers.items():
            assert set(numbers) == set(range(min(numbers), max(numbers) + 1)), f"a line of {source} is missing"
            assert begun_anew(numbers) <= 3


async def test_following_goes_on_when_the_manager_that_is_asked_hangs(swarm: Swarm) -> None:
    """Its connections are taken, and nothing is answered: another manager is asked, which tells what the one has not."""
    asked = next(node.index for node in swarm.nodes if node.index != swarm.leader)
    others = [node.index for node in swarm.nodes if node.index != asked]
    async with talking(swarm, managers=(asked, *others)) as field:
        release = field.release("1", COUNTS, replicas=3, max_replicas_per_node=1)
        await field.live(release, "1.1")
        async with aclosing(field.connection.logs(Logs(), release, lines=5, follow=True)) as lines:
            reader = Reader(lines)
            await reader.counted(3, 10)
            swarm.freeze(asked)
            await reader.counted(2, 150)
        there = [
            numbers for source, numbers in reader.numbers.items() if f"@{swarm.nodes[asked].hostname}" not in source
        ]
        assert len(there) >= 2
        for numbers in there:
            assert set(numbers) == set(range(min(numbers), max(numbers) + 1)), "a line is missing"
            assert begun_anew(numbers) <= 3


async def test_a_lost_node_holds_up_nobody_and_is_read_again_when_it_is_back(swarm: Swarm) -> None:
    """A leader may not find a node that was away: then the node itself is asked. Seen to fail without that."""
    swarm.notice_soon()
    lost = next(node.index for node in swarm.nodes if node.index != swarm.leader)
    others = [node.index for node in swarm.nodes if node.index != lost]
    async with talking(swarm, managers=others) as field:
        release = field.release("1", COUNTS, replicas=3, max_replicas_per_node=1)
        await field.live(release, "1.1")
        mark = (await field.connection.new_lines(Logs(), release)).mark
        await asyncio.to_thread(swarm.stop_node, lost)
        read = await all_lines(field, release, 1)  # also while the managers have not noticed
        assert len([text for text in read if f"@{swarm.nodes[lost].hostname}: " not in text]) >= 2
        await until(lambda: any(one["Status"]["State"] == "down" for one in swarm.members().values()), "noticed")
        found = await field.connection.new_lines(Logs(), release, mark, deadline=20)
        assert found.texts
        async with aclosing(field.connection.logs(Logs(), release, lines=1, follow=True)) as lines:
            reader = Reader(lines)
            await reader.counted(2, 10)
            await asyncio.to_thread(swarm.start_node, lost)
            again = field.release("2", COUNTS, mode="global")
            await field.live(again, "1.2")
            async with asyncio.timeout(90):
                while swarm.nodes[lost].hostname + ": " not in reader.numbers:
                    await reader.next()
        async with asyncio.timeout(60):
            while len({text.partition(":")[0] for text in await all_lines(field, again, 1)}) < 3:
                pass
            while len((await field.connection.new_lines(Logs(), again)).mark.split()) < 3:
                pass


async def test_what_a_command_said_on_a_node_that_is_just_back(swarm: Swarm) -> None:
    """Seen to fail where only a manager is asked for it: a leader does not find such a node's logs for some seconds."""
    lost = next(node.index for node in swarm.nodes if node.index != swarm.leader)
    async with talking(swarm, managers=[node.index for node in swarm.nodes if node.index != lost]) as field:
        release = field.release("1", WAITS, constraints=(f"node.hostname=={swarm.nodes[lost].hostname}",))
        await field.live(release, "1.1")
        await asyncio.to_thread(swarm.stop_node, lost)
        await until(lambda: any(one["Status"]["State"] == "down" for one in swarm.members().values()), "noticed")
        await asyncio.to_thread(swarm.start_node, lost)
        for number in range(3):
            command = f"echo out {number}; echo err {number} >&2; exit 3"
            found = await field.connection.hook(Hook(command), command, release, field.fence, f"1.{number + 2}")
            assert (found.exit_status, sorted(found.output.split("\n"))) == (3, [f"err {number}", f"out {number}"])


async def test_each_new_line_of_a_release_comes_once(swarm: Swarm) -> None:
    """Of all of its tasks, and of one that has replaced another all that it says."""
    script = "trap 'exit 0' TERM; n=1; echo before; while :; do while ! [ -e /tmp/$n ]; do sleep 0.05; done; "
    script += "[ $n = 3 ] && exit 9; echo $n $(hostname); n=$((n+1)); done"
    async with talking(swarm) as field:
        release = field.release("1", script, replicas=2)
        with pytest.raises(CommandFailed, match="no task"):
            await field.connection.new_lines(Logs(), release)
        await field.live(release, "1.1")
        first, second = field.running()

        async def heard(mark: str, count: int) -> NewLines:
            async with asyncio.timeout(60):
                found = NewLines(mark)
                while len(found.texts) < count:
                    found = await field.connection.new_lines(Logs(), release, mark)
            return found

        async with asyncio.timeout(60):
            while len(await all_lines(field, release)) < 2:
                pass
        begun = await field.connection.new_lines(Logs(), release)
        assert not begun.texts
        assert "\n" not in begun.mark
        field.swarm.inside(first, "touch", "/tmp/1")
        field.swarm.inside(second, "touch", "/tmp/1")
        told = await heard(begun.mark, 2)
        assert len({text.split()[1] for text in told.texts}) == 2
        assert not (await field.connection.new_lines(Logs(), release, told.mark)).texts
        few = await field.connection.new_lines(Logs(), release, begun.mark, lines=1)
        assert (len(few.texts), few.dropped) == (1, 1)
        field.swarm.inside(first, "touch", "/tmp/2")
        field.swarm.inside(first, "touch", "/tmp/3")
        later = await heard(told.mark, 2)
        assert sorted(text.split()[0] for text in later.texts) == ["2", "before"]
        assert not (await field.connection.new_lines(Logs(), release, later.mark)).texts
