"""What a host remembers without an agent: racing writers, frozen ones, and somebody who prunes volumes."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from quarterdeck.backends.errors import Fenced
from quarterdeck.backends.hosts.contract import Fence
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.backends.hosts.docker.names import NONCE
from quarterdeck.backends.hosts.docker.register import OPERATIONS_KEPT, Register, State, from_label, to_label
from tests.backends.docker.conftest import until
from tests.boxes import NO_SECRETS, Box

pytestmark = [pytest.mark.docker, pytest.mark.root]


def test_a_state_survives_its_label() -> None:
    state = State(
        7, "rollout 7, bob", "7:ab", "v1-x", ("a", "b"), ("c",), {"a": {"release": {"ü": 'x"'}}}, {}, {"id": "1"}
    )
    assert from_label(to_label(state)) == state
    assert from_label("{") is None
    assert from_label('{"epoch": "x"}') is None


def test_only_the_newest_outcomes_are_kept() -> None:
    state = State()
    for number in range(OPERATIONS_KEPT + 10):
        state = state.with_operation(str(number), {"outcome": number})
    assert next(iter(state.operations)) == "10"
    assert len(state.operations) == OPERATIONS_KEPT


async def test_of_two_volumes_of_one_name_the_engine_keeps_the_first(box: Box) -> None:
    """What the register is built on."""
    client = box.engine.client
    name = f"quarterdeck.{box.name}.1"
    try:
        first = client.create_volume(name, labels={NONCE: "first"})
        second = client.create_volume(name, labels={NONCE: "second"})
        assert (first["Labels"][NONCE], second["Labels"][NONCE]) == ("first", "first")
    finally:
        client.remove_volume(name)


async def test_racing_writers_lose_nothing_of_each_other(box: Box) -> None:
    """Eight workers of one epoch, each on a connection of its own: every change is in the end."""
    connections = [await box.another() for _ in range(8)]
    fence = box.fence(3)

    async def write(number: int) -> None:
        register = Register(connections[number].engine, box.target)
        for turn in range(5):
            name = f"{number}.{turn}"

            def add(now: State, name: str = name) -> State:
                return replace(now, bad=(*now.bad, *(() if name in now.bad else (name,))))

            await register.write(fence, "write", add, deadline=60)

    await asyncio.gather(*(write(number) for number in range(8)))
    state = await Register(connections[0].engine, box.target).read("read", deadline=60)
    assert sorted(state.bad) == sorted(f"{number}.{turn}" for number in range(8) for turn in range(5))
    # Older generations are removed, but for those of writers that lost.
    await until(lambda: len(box.registers()) <= 4, "older generations are removed")
    for connection in connections:
        await connection.close()


async def test_a_newer_epoch_is_never_overwritten_by_racing_older_ones(box: Box) -> None:
    """Promise 3: of eight writers of eight epochs the highest one's word stands, and every loser is told."""
    connections = [await box.another() for _ in range(8)]
    for turn in range(10):
        low = 1 + turn * 8

        async def write(number: int, low: int = low) -> int:
            """The epoch that refused it; 0: none did."""
            epoch = low + number
            register = Register(connections[number].engine, box.target)
            fence = Fence(box.target, epoch, f"writer {epoch}")
            try:
                await register.write(fence, "write", lambda now: replace(now, current=f"of {epoch}"), deadline=60)
            except Fenced as error:
                return error.seen - epoch
            return 0

        refused = await asyncio.gather(*(write(number) for number in range(8)))
        state = await Register(connections[0].engine, box.target).read("read", deadline=60)
        assert (state.epoch, state.holder, state.current) == (low + 7, f"writer {low + 7}", f"of {low + 7}")
        assert refused[7] == 0
        assert all(by >= 0 for by in refused)
    for connection in connections:
        await connection.close()


async def test_a_name_that_an_engine_kept_without_its_labels_is_passed_by_and_removed(box: Box) -> None:
    """It ended while it made the volume. Nobody could write to the register any more, and no rollback got there."""
    register = Register(box.connection.engine, box.target)
    await register.write(box.fence(1), "write", partial(_current, "before"), deadline=60)
    (name,) = box.registers()
    stem, _, generation = name.rpartition(".")
    lost = [f"{stem}.{int(generation) + more}" for more in (1, 2)]
    for one in lost:
        box.engine.client.create_volume(one)
    connections = [await box.another() for _ in range(4)]

    async def write(number: int) -> None:
        def add(now: State) -> State:
            return replace(now, good=(*now.good, *(() if f"{number}" in now.good else (f"{number}",))))

        await Register(connections[number].engine, box.target).write(box.fence(2), "write", add, deadline=60)

    await asyncio.gather(*(write(number) for number in range(4)))
    state = await register.read("read", deadline=60)
    assert (state.epoch, state.current, sorted(state.good)) == (2, "before", ["0", "1", "2", "3"])
    left = {one["Name"] for one in box.engine.client.volumes()["Volumes"]}
    assert not left & set(lost), "gone before anybody was told that it is written"
    for connection in connections:
        await connection.close()


class Freezing:
    """Stops a worker before its so-manieth call of the engine, as SIGSTOP would."""

    def __init__(self, connection: DockerConnection, before: int) -> None:
        self.frozen, self.go_on = asyncio.Event(), asyncio.Event()
        self._asked: Any = connection.engine.call
        self._left = before
        setattr(connection.engine, "call", self._call)  # noqa: B010 # a method in the place of another, for this test

    async def _call(self, *arguments: Any, **more: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            self.frozen.set()
            await self.go_on.wait()
        return await self._asked(*arguments, **more)


async def test_a_writer_that_was_frozen_before_any_of_its_calls_overwrites_nothing(box: Box) -> None:
    """A newer worker takes over meanwhile. What the older one had written before is its own affair; afterwards it writes nothing."""
    fresh = Register(box.connection.engine, box.target)
    refused = []
    for calls in range(1, 5):
        epoch = calls * 10
        stale = await box.another()
        freezing = Freezing(stale, calls)
        register = Register(stale.engine, box.target)
        old, new = Fence(box.target, epoch, "stale"), Fence(box.target, epoch + 1, "new")
        writing = asyncio.create_task(
            register.write(old, "write", lambda now: replace(now, current="stale"), deadline=60)
        )
        async with asyncio.timeout(60):
            await freezing.frozen.wait()
        for turn in range(4):  # more than one generation: the name that the stale one is to write is free again
            words = f"new {turn}"
            await fresh.write(new, "write", partial(_current, words), deadline=60)
        freezing.go_on.set()
        try:
            await writing
        except Fenced:
            refused.append(calls)
        state = await fresh.read("read", deadline=60)
        assert (state.epoch, state.holder, state.current) == (epoch + 1, "new", "new 3")
        with pytest.raises(Fenced):
            await register.check(old, "act", deadline=60)
        await stale.close()
    assert refused[:3] == [1, 2, 3]  # before it reads, before it writes, before it reads back


async def test_a_frozen_writer_of_a_high_generation_is_not_believed_after_the_volumes_were_pruned(box: Box) -> None:
    """Generations begin anew then; epochs do not."""
    fresh = Register(box.connection.engine, box.target)
    for turn in range(5):
        await fresh.write(box.fence(1), "write", partial(_current, f"old {turn}"), deadline=60)
    stale = await box.another()
    freezing = Freezing(stale, 2)  # it has read, and is to write
    register = Register(stale.engine, box.target)
    writing = asyncio.create_task(register.write(box.fence(1), "write", partial(_current, "stale"), deadline=60))
    async with asyncio.timeout(60):
        await freezing.frozen.wait()
    for name in box.registers():
        box.engine.client.remove_volume(name)
    await fresh.write(box.fence(2), "write", partial(_current, "new"), deadline=60)
    freezing.go_on.set()
    with pytest.raises(Fenced):
        await writing
    state = await fresh.read("read", deadline=60)
    assert (state.epoch, state.current) == (2, "new")
    await stale.close()


def _current(words: str, now: State) -> State:
    return replace(now, current=words)


async def test_the_epoch_of_containers_fences_where_the_volumes_were_pruned(box: Box) -> None:
    first = await box.staged("1", epoch=9)
    await box.live(first, "9.1", epoch=9)
    box.engine.client.prune_volumes()
    for name in box.registers():
        box.engine.client.remove_volume(name)
    register = Register(box.connection.engine, box.target)
    with pytest.raises(Fenced):
        await register.check(box.fence(8), "act", deadline=60)
    with pytest.raises(Fenced):
        await register.write(box.fence(8), "write", partial(_current, "stale"), deadline=60)
    with pytest.raises(Fenced):
        await box.connection.switch(first, NO_SECRETS, box.fence(8), "8.1", action="stop")
    assert box.running == [first.id]
    facts = await box.connection.facts(box.target, "", first)
    assert (facts.current, facts.epoch, [one.release for one in facts.kept]) == (first.id, 9, [first.id])
    assert (await box.connection.switch(first, NO_SECRETS, box.fence(9), "9.2")).current == first.id
