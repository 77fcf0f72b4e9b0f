"""Promise 3 on an engine: a worker that was stopped anywhere in its switch, and goes on after a newer one has put another release there,
changes nothing of it.

Seen to fail without the look before a call telling that a newer one has come (a newer release stays), and in the window between both
without what takes the call back, or only that of a start.
"""

import asyncio
import random
import threading
from typing import Any, Final

import pytest

from quarterdeck.backends.errors import BackendError, Fenced
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.config.container import PublishedPort
from quarterdeck.config.release import Release
from tests.boxes import NO_SECRETS, Box
from tests.counts import counts_are_full
from tests.sshd import free_port
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(3), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


class Stopped:
    """SIGSTOP for one worker, before its so-manieth look at the register."""

    def __init__(self, connection: DockerConnection, before: int) -> None:
        self.there, self.go_on = threading.Event(), threading.Event()
        client: Any = connection.engine._open_client()
        asked = client.request
        left = before

        def request(method: str, url: str, **more: Any) -> Any:
            nonlocal left
            if method.upper() == "GET" and url.endswith("/volumes"):
                left -= 1
                if left == 0:
                    self.there.set()
                    self.go_on.wait(60)
            return asked(method, url, **more)

        client.request = request


async def moved(connection: DockerConnection, box: Box, release: Release, epoch: int) -> None:
    outcome = await connection.switch(release, NO_SECRETS, box.fence(epoch), f"{epoch}.1")
    if outcome.beside:
        await connection.retire(release, box.fence(epoch), f"{epoch}.2")


def asked_of(connection: DockerConnection) -> list[tuple[list[str], bool]]:
    """What is asked of the engine from now on, in the order of our asking: begun (True), and ended."""
    engine: Any = connection.engine
    client, call = engine._open_client(), engine.call
    request, here = client.request, threading.local()
    made: list[tuple[list[str], bool]] = []

    def named(method: str, url: str, **more: Any) -> Any:
        here.asked.append(f"{method.upper()} {url.partition('/v1.41')[2]}")
        return request(method, url, **more)

    async def recorded(action: str, function: Any, **more: Any) -> Any:
        asked: list[str] = []

        def run(client: Any) -> Any:
            here.asked = asked
            return function(client)

        made.append((asked, True))
        try:
            return await call(action, run, **more)
        finally:
            made.append((asked, False))

    client.request, engine.call = named, recorded
    return made


@pytest.mark.parametrize("beside", [True, False])
async def test_a_newer_release_stays_as_it_was(box: Box, beside: bool, at_once: None, promise: Promises) -> None:
    """At every third of its looks, those of the two ways being others; at every one with QD_TRUST=full."""
    port = str(free_port("127.0.0.1"))
    spec = box.spec(ports=() if beside else (PublishedPort(8080, port, "127.0.0.1"),))
    first, second, third = [await box.staged(str(number), spec=spec) for number in (1, 2, 3)]
    epoch, stopped_at = 1, 0
    await moved(box.connection, box, first, epoch)
    every = 1 if counts_are_full() else 3
    for looks in range(1 + (not beside) % every, 80, every):
        epoch += 2
        stale = await box.another()
        stopped = Stopped(stale, looks)
        going = asyncio.create_task(moved(stale, box, second, epoch - 1))
        there = asyncio.create_task(asyncio.to_thread(stopped.there.wait, 60))
        await asyncio.wait({going, there}, return_when=asyncio.FIRST_COMPLETED)
        if going.done():
            stopped.there.set()
            await going
            await there
            await stale.close()
            break
        stopped_at += 1
        await moved(box.connection, box, third, epoch)
        id = box.inspect(box.name)["Id"]
        started = box.inspect(box.name)["State"]["StartedAt"]
        stopped.go_on.set()
        with pytest.raises(Fenced):
            await going
        await stale.close()
        assert box.running == [third.id], looks
        live = box.inspect(box.name)
        assert (live["Id"], live["State"]["StartedAt"]) == (id, started), looks
        facts = await box.connection.facts(box.target, "", third)
        assert (facts.current, facts.epoch, facts.drift) == (third.id, epoch, ()), looks
        promise(3).count("looks of a worker stopped on an engine")
        epoch += 1
        await moved(box.connection, box, first, epoch)
    assert stopped_at >= (8 if counts_are_full() else 3)


async def test_every_change_comes_right_after_a_look_at_the_register(box: Box, promise: Promises) -> None:
    """The window in which a worker can be stopped and still make one call is that between two requests: after a look has ended nothing
    begins but the change that it was for, and beside that at most a swap of the register, which is compared anyway."""
    first, second = await box.staged("1"), await box.staged("2")
    await moved(box.connection, box, first, 1)
    worker = await box.another()
    made = asked_of(worker)
    third = box.release("3")
    await worker.stage(third, None, NO_SECRETS, box.fence(2))
    await moved(worker, box, second, 2)
    await moved(worker, box, third, 3)
    await worker.withdraw(third, box.fence(3), "3.3")
    await worker.finish(first, [], box.fence(3), "3.4", prune_to=0, warm=0)
    await worker.close()
    # But for the removal of old generations of the register itself, which comes when it comes.
    calls = [(asked[0], begun) for asked, begun in made if not asked[0].startswith("DELETE /volumes/")]
    changes, swap = 0, "POST /volumes/create"
    for at, (call, begun) in enumerate(calls):
        if not begun or call.startswith("GET "):
            continue
        look = max(before for before in range(at) if calls[before] == ("GET /volumes", False))
        between = [other for other, was_begun in calls[look + 1 : at] if was_begun]
        assert between in ([], [swap]) or (call == swap and len(between) == 1), f"{between} come before {call}"
        assert not any(other.startswith("GET ") for other in between), f"{between} come before {call}"
        changes += 1
    assert changes > 30
    promise(3).count("calls right after a look", changes)


async def test_of_racing_workers_the_newest_one_s_release_is_what_runs(box: Box, at_once: None) -> None:
    """Five at once, over four rounds, ten with QD_TRUST=full. The newest may have to look again where an older one was in its way;
    the older ones never win."""
    releases = [await box.staged(str(number)) for number in range(5)]
    await moved(box.connection, box, releases[0], 1)
    workers = [await box.another() for _ in releases]

    async def race(number: int, epoch: int) -> str:
        try:
            await moved(workers[number], box, releases[number], epoch)
        except Fenced:
            return "fenced"
        except BackendError as error:
            return str(error)
        return "moved"

    for turn in range(10 if counts_are_full() else 4):
        first = 10 + turn * 10
        order = [(number + turn) % 5 for number in range(5)]  # another one is the newest each time
        told = await asyncio.gather(*(race(number, first + place) for place, number in enumerate(order)))
        newest, epoch = order[-1], first + 4
        if told[-1] != "moved":
            assert told[-1] != "fenced", told
            assert await race(newest, epoch + 1) == "moved", told
            epoch += 1
        assert box.running == [releases[newest].id], told
        facts = await box.connection.facts(box.target, "", releases[newest])
        assert (facts.current, facts.epoch, facts.running) == (releases[newest].id, epoch, True), told
    for worker in workers:
        await worker.close()


CHANGES: Final = [
    ("/disconnect", 1),
    ("/connect", 1),
    ("/start", 1),
    ("/disconnect", 2),
    ("/connect", 2),
    ("/rename", 1),
    ("/rename", 2),
    ("/update", 1),
    ("/update", 2),
    ("/stop", 1),
]
"""What a deploy asks of an engine, and the so-manieth such call; which of them it needs depends on what it finds."""
MUST: Final = {("/start", 1), ("/rename", 1), ("/rename", 2), ("/update", 1), ("/stop", 1)}


class StoppedBefore:
    """SIGSTOP for one worker, after its look and before the change that the look was for."""

    def __init__(self, connection: DockerConnection, change: tuple[str, int]) -> None:
        self.there, self.go_on = threading.Event(), threading.Event()
        client: Any = connection.engine._open_client()
        asked = client.request
        call, left = change

        def request(method: str, url: str, **more: Any) -> Any:
            nonlocal left
            if method.upper() == "POST" and url.endswith(call):
                left -= 1
                if left == 0:
                    self.there.set()
                    self.go_on.wait(60)
            return asked(method, url, **more)

        client.request = request


def as_it_is(box: Box) -> list[dict[str, Any]]:
    """All containers of the target: what a worker could change of them."""
    found = box.engine.client.containers(all=True, filters={"label": [f"{names.TARGET}={box.target}"]})
    bodies = [box.engine.client.inspect_container(one["Id"]) for one in found]
    return [
        {
            "name": body["Name"],
            "runs": body["State"]["Running"],
            "restart": body["HostConfig"]["RestartPolicy"]["Name"],
            "networks": {  # what does not run joins them before it is started
                name: sorted({*(one["Aliases"] or ())} - {body["Id"][:12]})
                for name, one in body["NetworkSettings"]["Networks"].items()
                if body["State"]["Running"]
            },
        }
        for body in sorted(bodies, key=lambda body: str(body["Id"]))
    ]


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("to", ["the first", "the same", "another", "none yet"])
async def test_what_is_called_in_the_window_is_taken_back(
    box: Box, beside: bool, to: str, at_once: None, promise: Promises
) -> None:
    """The newer worker puts a release there while the stale one is about to change something; that it changes when it wakes, and what
    the newer one has put there is as it was afterwards. Before every change of the stale one's deploy, one after the other; where it is
    not a rollback that comes in between, before every fourth one without QD_TRUST=full."""
    port = str(free_port("127.0.0.1"))
    spec = box.spec(restart="always", ports=() if beside else (PublishedPort(8080, port, "127.0.0.1"),))
    first, second, third = [await box.staged(str(number), spec=spec) for number in (1, 2, 3)]
    epoch = 1
    await moved(box.connection, box, first, epoch)
    met = set()
    for change in CHANGES[:: -1 if counts_are_full() or to == "the first" else -4]:
        stale = await box.another()
        stopped = StoppedBefore(stale, change)
        going = asyncio.create_task(moved(stale, box, second, epoch + 1))
        await _until(stopped, going)
        if going.done():
            await going
            await stale.close()
            epoch += 3
            await moved(box.connection, box, first, epoch)
            continue
        met.add(change)
        newest = {"the same": second, "another": third}.get(to, first)
        if to == "none yet":  # it has only put the image and a container there, its switch comes later, or never
            await box.connection.stage(
                box.release("3", spec=spec, env={"N": str(epoch)}), None, NO_SECRETS, box.fence(epoch + 2)
            )
        else:
            await moved(box.connection, box, newest, epoch + 2)
        before = as_it_is(box)
        stopped.go_on.set()
        with pytest.raises(Fenced):
            await going
        await stale.close()
        if to == "none yet":  # what the stale one had half done stays, but whoever served serves, and nobody else runs
            ran, runs = ({one["name"] for one in seen if one["runs"]} for seen in (before, as_it_is(box)))
            live = f"/{box.name}"
            assert runs <= (ran or {live}), (
                change
            )  # nobody served: then what was to be put there may, until the newer one comes to it
            assert live in runs or live not in ran, change
            epoch += 3
            await moved(box.connection, box, first, epoch)
            continue
        assert as_it_is(box) == before, change
        assert box.running == [newest.id], change
        facts = await box.connection.facts(box.target, "", newest)
        assert facts.current == newest.id, change
        if to == "the first" and change[0] == "/stop":
            assert "was started again" in "".join(facts.drift)  # it was, and whoever used it should know
        else:
            assert facts.drift == (), change
        epoch += 3
        await moved(box.connection, box, first, epoch)
    assert to != "the first" or met >= MUST
    promise(3).count("calls in the window taken back", len(met))


async def test_a_newer_worker_gets_its_release_there_though_the_stale_one_wakes_in_its_middle(
    box: Box, at_once: None, promise: Promises
) -> None:
    """Both are stopped before one of their changes, the stale one goes on first. At twelve random pairs, 100 with QD_TRUST=full."""
    first, second, third = [await box.staged(str(number), spec=box.spec(restart="always")) for number in (1, 2, 3)]
    await moved(box.connection, box, first, 1)
    places = random.Random(5)
    met = 0
    for turn in range(100 if counts_are_full() else 12):
        epoch = 2 + 3 * turn
        stale, newer = await box.another(), await box.another()
        at = places.choice(CHANGES), places.choice(CHANGES)
        newest = places.choice([first, second, third])
        one, other = StoppedBefore(stale, at[0]), StoppedBefore(newer, at[1])
        old = asyncio.create_task(moved(stale, box, second, epoch))
        await _until(one, old)
        new = asyncio.create_task(moved(newer, box, newest, epoch + 1))
        await _until(other, new)
        met += not old.done() and not new.done()
        where = f"turn {turn}: {at[0]} while {newest.version} is put there, before {at[1]}"
        one.go_on.set()
        (told,) = await asyncio.gather(old, return_exceptions=True)
        assert told is None or isinstance(told, Fenced), where
        other.go_on.set()
        (told,) = await asyncio.gather(new, return_exceptions=True)
        assert told is None, f"{where}: {told}"
        assert box.running == [newest.id], where
        facts = await box.connection.facts(box.target, "", newest)
        assert (facts.current, facts.running) == (newest.id, True), where
        live = next(body for body in as_it_is(box) if body["runs"])
        assert (live["name"], live["restart"], live["networks"]) == (
            f"/{box.name}",
            "always",
            {box.network: ["web"]},
        ), where
        await stale.close()
        await newer.close()
        await moved(box.connection, box, first, epoch + 2)
    assert met > 3
    promise(3).count("stale workers woken in the middle of a newer one", met)


async def _until(stopped: StoppedBefore, going: asyncio.Task[None]) -> None:
    """It is stopped there, or has come to its end without that."""
    there = asyncio.create_task(asyncio.to_thread(stopped.there.wait, 60))
    await asyncio.wait({going, there}, return_when=asyncio.FIRST_COMPLETED)
    stopped.there.set()
    await there
