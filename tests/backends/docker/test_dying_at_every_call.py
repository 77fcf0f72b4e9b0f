"""A worker may die at any call: the next one finishes what it began, or takes it back, whatever it finds.

Seen to fail without the networks being joined again before a health check (who died between two networks), and with
the old one stopped before the new one is started (finished, beside). That none of them is left running was not: whatever was taken out, the
next switch ended it.
"""

import contextlib

import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.config.container import ContainerSpec, PublishedPort
from quarterdeck.config.release import Release
from tests.backends.docker.dying import Death
from tests.boxes import NO_SECRETS, Box
from tests.counts import counts_are_full
from tests.sshd import free_port, free_range
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(1), pytest.mark.docker, pytest.mark.root, pytest.mark.timeout(300)]


async def move(connection: DockerConnection, box: Box, release: Release, epoch: int) -> None:
    await connection.stage(release, None, NO_SECRETS, box.fence(epoch))
    outcome = await connection.switch(release, NO_SECRETS, box.fence(epoch), f"{epoch}.{release.version}")
    if outcome.beside:
        assert not outside(box, release)
        await connection.retire(release, box.fence(epoch), f"{epoch}.{release.version}r")


def outside(box: Box, release: Release) -> set[str]:
    """The networks of the release that its container is not in: nothing that checks it there can reach it."""
    assert release.container is not None
    (new,) = [one for one in box.containers(running=True).values() if one["Labels"][names.RELEASE] == release.id]
    joined = set(new["NetworkSettings"]["Networks"])
    return {network.name for network in release.container.networks} - joined


async def is_alone_and_whole(box: Box, release: Release) -> None:
    spec = release.container
    assert spec is not None
    assert box.running == [release.id]
    live = box.inspect(box.name)
    assert live["Config"]["Labels"]["dev.quarterdeck.release"] == release.id
    assert live["HostConfig"]["RestartPolicy"]["Name"] == spec.restart
    for network in spec.networks:
        assert set(network.aliases) <= set(live["NetworkSettings"]["Networks"][network.name]["Aliases"])
    for name, other in box.containers(running=False).items():
        assert box.inspect(name)["HostConfig"]["RestartPolicy"]["Name"] == "no", name
        assert other["State"] != "dead"
    facts = await box.connection.facts(box.target, "", release)
    assert (facts.current, facts.running, facts.drift) == (release.id, True, ())


def beside(box: Box) -> ContainerSpec:
    return box.spec(restart="always")


def after(box: Box) -> ContainerSpec:
    return box.spec(restart="unless-stopped", ports=(PublishedPort(8080, str(free_port("127.0.0.1")), "127.0.0.1"),))


def in_a_range(box: Box) -> ContainerSpec:
    published = free_range()
    return box.spec(restart="always", ports=(PublishedPort(8080, f"{published[0]}-{published[-1]}", "127.0.0.1"),))


@pytest.mark.parametrize("way", [beside, after, in_a_range])
@pytest.mark.parametrize("then", ["finished", "taken back"])
async def test_it_is_finished_or_taken_back_from_everywhere(
    box: Box, at_once: None, way: object, then: str, promise: Promises
) -> None:
    """At every third place, those of the four cases being others; at every one with QD_TRUST=full. One last time it lives."""
    assert callable(way)
    spec = way(box)
    first, second = box.release("1", spec=spec), box.release("2", spec=spec)
    epoch, places = 1, []
    await move(box.connection, box, first, epoch)
    every = 1 if counts_are_full() else 3
    for changes in range(1 + (2 * (then == "finished") + (way is after)) % every, 80, every):
        epoch += 1
        doomed = await box.another()
        death = Death(doomed, changes)
        with contextlib.suppress(BackendError):
            await move(doomed, box, second, epoch)
        await doomed.close()
        assert box.running or way is after, f"nothing runs after {death.made}"
        if then == "finished":
            await move(box.connection, box, second, epoch)  # the same operations again, by one that takes over
            await is_alone_and_whole(box, second)
            epoch += 1
        else:
            epoch += 1
        await move(box.connection, box, first, epoch)
        await is_alone_and_whole(box, first)
        if not death.happened:
            break
        places.append(death.made[-1])
        if then == "finished":  # staged anew each time, so that dying while it is made counts too
            removed = await box.connection.finish(first, [], box.fence(epoch), f"{epoch}.f", warm=0, prune_to=9)
            assert removed == ()
            assert [*box.containers()] == [box.name]
    else:
        pytest.fail("it never came to its end")
    assert len(places) >= (8 if counts_are_full() else 3), places
    promise(1).count("deaths at a call to an engine", len(places))


async def test_who_died_between_two_networks_leaves_a_container_that_can_be_checked(box: Box) -> None:
    """Its step is done again from its switch, which has an outcome by then; the health check comes next, and wants a way there."""
    first, second = await box.staged("1"), await box.staged("2")
    await move(box.connection, box, first, 1)
    assert (await box.connection.switch(second, NO_SECRETS, box.fence(2), "2.1")).beside
    for changes in range(1, 20):
        doomed = await box.another()
        death = Death(doomed, changes)
        with contextlib.suppress(BackendError):
            await doomed.retire(second, box.fence(2), "2.1r")
        await doomed.close()
        if outside(box, second):
            break
        assert death.happened, "it never dies there"
    next_one = await box.another()
    outcome = await next_one.switch(second, NO_SECRETS, box.fence(3), "2.1")
    assert (outcome.replayed, outcome.beside) == (True, True)
    assert not outside(box, second)
    await next_one.retire(second, box.fence(3), "2.1r")
    await next_one.close()
    await is_alone_and_whole(box, second)
