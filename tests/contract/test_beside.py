"""Two releases beside each other on one host, on every kind of host that can: each is reached and checked by itself, the old one stays
current until it is retired, and going back ends the new one and nothing else."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from quarterdeck.backends.errors import CommandFailed, Fenced
from quarterdeck.config.release import Release
from tests.contract.place import become_healthy
from tests.contract.places import NO_SECRETS, AnyHost


async def asked(host: AnyHost, release: Release) -> tuple[str, str]:
    """Where the release is reached, and what is answered there."""
    address = await host.connection.address_of(release, host.port)
    async with httpx.AsyncClient(trust_env=False) as client:
        return address, (await client.get(f"http://{address}/version", timeout=60)).text.split()[0]


async def two(beside: AnyHost) -> tuple[Release, Release]:
    """Both well, the second one beside the first."""
    first, second = await beside.staged("v1", serving=True), await beside.staged("v2", serving=True)
    await beside.moved_to(first, "1.1")
    await become_healthy(beside.connection, first)
    await beside.connection.address_of(second, beside.port)  # before it runs, nobody minds that it is asked for
    outcome = await beside.connection.switch(second, NO_SECRETS, beside.fence(), "1.2")
    assert (outcome.current, outcome.previous, outcome.beside) == (first.id, first.id, True)
    await become_healthy(beside.connection, second)
    return first, second


async def is_alone(beside: AnyHost, release: Release) -> None:
    assert beside.running == [release.id]
    facts = await beside.facts()
    assert (facts.current, facts.running, facts.drift, facts.as_started) == (release.id, True, (), True)
    await become_healthy(beside.connection, release)


async def test_both_run_and_each_is_reached_by_itself(beside: AnyHost) -> None:
    first, second = await two(beside)
    assert beside.running == [first.id, second.id]
    (old, old_says), (new, new_says) = await asked(beside, first), await asked(beside, second)
    assert (old_says, new_says) == ("v1", "v2")
    assert old != new
    facts = await beside.facts()
    assert (facts.current, facts.running, facts.as_started) == (first.id, True, False)
    assert len(facts.drift) == 1
    assert second.id in facts.drift[0]
    assert "runs as well" in facts.drift[0]
    another = await beside.another()  # which has switched to neither of them
    try:
        assert await another.address_of(first, beside.port) == old
        assert await another.address_of(second, beside.port) == new
        for release in (first, second):
            await become_healthy(another, release)
    finally:
        await another.close()
    outcome = await beside.connection.retire(second, beside.fence(), "1.3")
    assert (outcome.current, outcome.previous, outcome.beside) == (second.id, first.id, False)
    assert await asked(beside, second) == (new, "v2")
    await is_alone(beside, second)
    assert first.health is not None
    assert not (await beside.connection.check_health(first.health, first)).healthy


async def test_going_back_ends_the_new_one_and_leaves_the_old_one_alone(beside: AnyHost) -> None:
    first, second = await two(beside)
    life = beside.life(first)
    outcome = await beside.connection.switch(first, NO_SECRETS, beside.fence(2), "2.1")
    assert (outcome.current, outcome.previous, outcome.beside) == (first.id, first.id, False)
    await is_alone(beside, first)
    assert beside.life(first) == life
    outcome = await beside.connection.switch(second, NO_SECRETS, beside.fence(3), "3.1")  # and forward again
    assert outcome.beside
    await become_healthy(beside.connection, second)
    await beside.connection.retire(second, beside.fence(3), "3.2")
    await is_alone(beside, second)


async def test_to_and_fro_each_time_beside(beside: AnyHost) -> None:
    """As many releases as one likes: the place of the one that was retired is free."""
    releases = [await beside.staged(f"v{number}", serving=True) for number in range(4)]
    await beside.moved_to(releases[0], "1.0")
    order = [releases[one] for one in (1, 2, 1, 3, 2)]
    for epoch, release in enumerate(order, 2):
        await become_healthy(beside.connection, (await current(beside, releases)))
        outcome = await beside.connection.switch(release, NO_SECRETS, beside.fence(epoch), f"{epoch}.1")
        assert outcome.beside, release.version
        await become_healthy(beside.connection, release)
        await beside.connection.retire(release, beside.fence(epoch), f"{epoch}.2")
        await is_alone(beside, release)
        assert (await asked(beside, release))[1] == release.version


async def current(beside: AnyHost, releases: list[Release]) -> Release:
    facts = await beside.facts()
    return next(one for one in releases if one.id == facts.current)


async def test_the_same_operations_again_do_nothing_and_answer_the_same(beside: AnyHost) -> None:
    first, second = await two(beside)
    life = beside.life(second)
    again = await beside.connection.switch(second, NO_SECRETS, beside.fence(), "1.2")
    assert (again.current, again.beside, again.replayed) == (first.id, True, True)
    once_more = await beside.connection.switch(
        second, NO_SECRETS, beside.fence(2), "2.2"
    )  # by a worker that takes over
    assert (once_more.current, once_more.beside, once_more.replayed) == (first.id, True, False)
    assert beside.life(second) == life
    done = await beside.connection.retire(second, beside.fence(2), "2.3")
    again = await beside.connection.retire(second, beside.fence(2), "2.3")
    assert (again.current, again.previous, again.replayed) == (done.current, done.previous, True)
    outcome = await beside.connection.retire(second, beside.fence(3), "3.1")
    assert (outcome.current, outcome.beside, beside.life(second)) == (second.id, False, life)
    await is_alone(beside, second)


async def test_what_does_not_run_beside_is_not_given_the_traffic(beside: AnyHost) -> None:
    first, second = await beside.staged("v1", serving=True), await beside.staged("v2", serving=True)
    await beside.moved_to(first, "1.1")
    with pytest.raises(CommandFailed, match="does not run beside"):
        await beside.connection.retire(second, beside.fence(), "1.2")
    await is_alone(beside, first)


async def test_one_that_does_not_start_leaves_the_old_one_running(beside: AnyHost) -> None:
    first, broken = await beside.staged("v1", serving=True), await beside.staged("v2", serving=True, broken=True)
    await beside.moved_to(first, "1.1")
    with pytest.raises(CommandFailed, match="with status 7: oops"):
        await beside.connection.switch(broken, NO_SECRETS, beside.fence(), "1.2")
    assert beside.running == [first.id]
    outcome = await beside.connection.switch(first, NO_SECRETS, beside.fence(2), "2.1")
    assert (outcome.current, outcome.beside) == (first.id, False)
    await is_alone(beside, first)


async def test_a_stale_worker_changes_nothing(beside: AnyHost) -> None:
    first, second = await two(beside)
    third = await beside.staged("v3", serving=True)
    await beside.connection.switch(first, NO_SECRETS, beside.fence(5, "rollout 5, bob@bastion"), "5.1")
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: beside.connection.retire(second, beside.fence(4), "4.1"),
        lambda: beside.connection.switch(second, NO_SECRETS, beside.fence(4), "4.2"),
        lambda: beside.connection.switch(third, NO_SECRETS, beside.fence(4), "4.3"),
        lambda: beside.connection.switch(first, NO_SECRETS, beside.fence(4), "4.4", action="stop"),
    ]
    for attempt in attempts:
        with pytest.raises(Fenced, match="bob@bastion"):
            await attempt()
        await is_alone(beside, first)


async def test_another_release_takes_the_place_of_the_one_that_was_beside(beside: AnyHost) -> None:
    _, second = await two(beside)
    third = await beside.staged("v3", serving=True)
    outcome = await beside.connection.switch(third, NO_SECRETS, beside.fence(2), "2.1")
    assert second.id not in beside.running
    await become_healthy(beside.connection, third)
    if outcome.beside:
        await beside.connection.retire(third, beside.fence(2), "2.2")
    await is_alone(beside, third)


async def test_stop_ends_both_and_withdrawing_ends_its_own(beside: AnyHost) -> None:
    first, second = await two(beside)
    outcome = await beside.connection.withdraw(second, beside.fence(), "1.3")
    assert outcome.current == first.id
    await is_alone(beside, first)
    assert (await beside.connection.switch(second, NO_SECRETS, beside.fence(2), "2.1")).beside
    outcome = await beside.connection.switch(second, NO_SECRETS, beside.fence(2), "2.2", action="stop")
    assert (outcome.current, beside.running) == (first.id, [])
    facts = await beside.facts()
    assert (facts.current, facts.running) == (first.id, False)
    outcome = await beside.connection.switch(second, NO_SECRETS, beside.fence(2), "2.3", action="start")
    assert (outcome.current, outcome.beside) == (second.id, False)
    await is_alone(beside, second)


async def test_withdrawing_for_good_ends_both(beside: AnyHost) -> None:
    first, _second = await two(beside)
    with pytest.raises(CommandFailed):
        await beside.connection.clear(beside.path, beside.fence(2), "2.1")
    outcome = await beside.connection.withdraw(first, beside.fence(2), "2.2", surely=True)
    assert (outcome.current, beside.running) == (None, [])
    await beside.connection.clear(beside.path, beside.fence(2), "2.3")
    facts = await beside.facts()
    assert (facts.current, facts.kept, facts.drift) == (None, (), ())


async def test_what_runs_beside_nothing_is_not_cleared(beside: AnyHost) -> None:
    first, second = await two(beside)
    await beside.connection.withdraw(first, beside.fence(2), "2.1")
    assert beside.running == [second.id]
    with pytest.raises(CommandFailed):
        await beside.connection.clear(beside.path, beside.fence(2), "2.2")
    assert beside.running == [second.id]


async def test_finish_keeps_what_is_beside(beside: AnyHost) -> None:
    first, second = await two(beside)
    third = await beside.staged("v3", serving=True)
    await beside.connection.finish(first, [], beside.fence(), "1.4", prune_to=0, warm=0)
    kept = {one.release for one in (await beside.facts()).kept}
    assert {first.id, second.id} <= kept
    assert third.id not in kept or beside.path == ""  # of containers images are counted, not releases
    await beside.connection.retire(second, beside.fence(), "1.5")
    await is_alone(beside, second)
