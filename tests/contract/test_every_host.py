"""What holds on every kind of host. What a host is asked and what it answers is all that is looked at; files and containers are not."""

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut, Fenced
from quarterdeck.config.model import Hook
from quarterdeck.config.release import release_from_json
from tests.contract.places import NO_SECRETS, AnyHost
from tests.trust.recording import Promises


async def test_an_empty_host_has_no_facts(any_host: AnyHost) -> None:
    facts = await any_host.facts()
    assert (facts.current, facts.kept, facts.epoch, facts.good, facts.bad) == (None, (), 0, (), ())
    assert (facts.problems, facts.drift) == ((), ())
    assert facts.free_bytes is not None
    assert facts.free_bytes > 0


async def test_what_was_staged_is_kept_whole_and_not_started(any_host: AnyHost) -> None:
    release = await any_host.staged("v1")
    facts = await any_host.facts()
    (kept,) = facts.kept
    assert (kept.release, kept.intact) == (release.id, True)
    assert kept.manifest is not None
    assert release_from_json(kept.manifest["release"]) == release
    assert (facts.current, any_host.running) == (None, [])
    _, archive = any_host.release("v1")
    assert (await any_host.connection.stage(release, archive, NO_SECRETS, any_host.fence())).already


async def test_one_release_takes_the_place_of_another_and_is_read_back(any_host: AnyHost) -> None:
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    outcome = await any_host.moved_to(first, "1.1")
    assert (outcome.current, outcome.previous, outcome.replayed) == (first.id, None, False)
    outcome = await any_host.moved_to(second, "1.2")
    assert (outcome.current, outcome.previous) == (second.id, first.id)
    assert any_host.running == [second.id]
    facts = await any_host.facts()
    assert (facts.current, facts.running, facts.epoch, facts.anchor) == (second.id, True, 1, "1:abcdef")


@pytest.mark.trust(2)
async def test_the_same_operation_again_does_nothing_and_answers_the_same(any_host: AnyHost, promise: Promises) -> None:
    """Promise 2."""
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    done = await any_host.moved_to(first, "1.1")
    await any_host.moved_to(second, "1.2")
    again = await any_host.connection.switch(first, NO_SECRETS, any_host.fence(), "1.1")
    assert (again.current, again.previous, again.replayed) == (done.current, done.previous, True)
    assert any_host.running == [second.id]
    if any_host.is_real:
        promise(2).count("operations asked for again of a kind of host")


async def test_stop_and_start_leave_and_move_what_is_current(any_host: AnyHost) -> None:
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    await any_host.moved_to(first, "1.1")
    stopped = await any_host.connection.switch(second, NO_SECRETS, any_host.fence(), "1.2", action="stop")
    assert (stopped.current, any_host.running) == (first.id, [])
    facts = await any_host.facts()
    assert (facts.current, facts.running) == (first.id, False)
    moved = await any_host.connection.switch(second, NO_SECRETS, any_host.fence(), "1.3", action="none")
    assert (moved.current, any_host.running) == (second.id, [])
    started = await any_host.connection.switch(second, NO_SECRETS, any_host.fence(), "1.4", action="start")
    assert (started.current, any_host.running) == (second.id, [second.id])


@pytest.mark.trust(3)
async def test_an_older_epoch_is_refused_everywhere_and_changes_nothing(any_host: AnyHost, promise: Promises) -> None:
    """Promise 3, of each kind of change on each kind of host."""
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    connection, old = any_host.connection, any_host.fence(6)
    new = any_host.fence(7, "rollout 7, bob@bastion")
    await connection.switch(second, NO_SECRETS, new, "7.1")
    third, archive = any_host.release("v3")
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: connection.stage(third, archive, NO_SECRETS, old),
        lambda: connection.switch(first, NO_SECRETS, old, "6.1"),
        lambda: connection.withdraw(second, old, "6.2"),
        lambda: connection.hook(Hook("true"), "true", second, old, "6.3"),
        lambda: connection.finish(first, [], old, "6.4", prune_to=0),
        lambda: connection.clear(any_host.path, old, "6.5"),
    ]
    for attempt in attempts:
        with pytest.raises(Fenced, match="bob@bastion") as caught:
            await attempt()
        assert (caught.value.epoch, caught.value.seen) == (6, 7)
    facts = await any_host.facts()
    assert (facts.current, facts.epoch, facts.holder, facts.good) == (second.id, 7, "rollout 7, bob@bastion", ())
    assert {kept.release for kept in facts.kept} == {first.id, second.id}
    assert any_host.running == [second.id]
    if any_host.is_real:
        promise(3).count("actions of older epochs", len(attempts))


async def test_a_broken_release_does_not_stand_in_the_way_of_the_one_before(any_host: AnyHost) -> None:
    first, broken = await any_host.staged("v1"), await any_host.staged("v2", broken=True)
    await any_host.moved_to(first, "1.1")
    with pytest.raises(CommandFailed, match="with status 7: oops") as caught:
        await any_host.moved_to(broken, "1.2")
    assert (caught.value.exit_status, caught.value.output.strip()) == (7, "oops")
    back = await any_host.moved_to(first, "2.1", epoch=2)
    assert (back.current, any_host.running) == (first.id, [first.id])
    with pytest.raises(CommandFailed, match="recorded"):  # the outcome of a failure is recorded as well
        await any_host.connection.switch(broken, NO_SECRETS, any_host.fence(2), "1.2")


async def test_what_is_not_there_is_not_switched_to_and_may_be_tried_again(any_host: AnyHost) -> None:
    missing, archive = any_host.release("v1")
    if archive is None:  # of an image that this host has never had
        missing = msgspec.structs.replace(
            missing, artifact=msgspec.structs.replace(missing.artifact, location="nowhere.example/x@sha256:" + "0" * 64)
        )
    with pytest.raises(CommandFailed, match="is not on the host") as caught:
        await any_host.connection.switch(missing, NO_SECRETS, any_host.fence(), "1.1")
    assert caught.value.untouched
    release = await any_host.staged("v1")
    outcome = await any_host.connection.switch(release, NO_SECRETS, any_host.fence(), "1.1")
    assert (outcome.current, outcome.replayed) == (release.id, False)


async def test_withdrawing_leaves_nothing_current(any_host: AnyHost) -> None:
    release = await any_host.staged("v1")
    await any_host.moved_to(release, "1.1")
    outcome = await any_host.connection.withdraw(release, any_host.fence(), "1.2")
    assert (outcome.current, outcome.previous) == (None, release.id)
    assert any_host.running == []
    assert (await any_host.facts()).current is None
    assert (await any_host.connection.withdraw(release, any_host.fence(), "1.2")).replayed


async def test_clearing_removes_what_is_not_current_and_keeps_the_fence(any_host: AnyHost) -> None:
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    await any_host.moved_to(first, "1.1")
    await any_host.moved_to(second, "1.2")
    await any_host.connection.finish(second, [], any_host.fence(), "1.3")
    with pytest.raises(CommandFailed):
        await any_host.connection.clear(any_host.path, any_host.fence(2), "2.1")
    assert any_host.running == [second.id], "what runs is never removed"
    await any_host.connection.withdraw(second, any_host.fence(2), "2.2")
    await any_host.connection.clear(any_host.path, any_host.fence(2), "2.3")
    facts = await any_host.facts()
    assert (facts.current, facts.kept, facts.good, facts.epoch) == (None, (), (), 2)
    await any_host.connection.clear(any_host.path, any_host.fence(2), "2.4")  # there is nothing, and that is well
    with pytest.raises(Fenced):
        await any_host.connection.withdraw(second, any_host.fence(1), "1.4")
    release, archive = any_host.release("v1", broken=False)
    await any_host.connection.stage(release, archive, NO_SECRETS, any_host.fence(3))
    await any_host.moved_to(release, "3.1", epoch=3)
    assert any_host.running == [first.id]


async def test_a_hook_gives_its_status_and_output_once(any_host: AnyHost) -> None:
    release = await any_host.staged("v1")
    await any_host.moved_to(release, "1.1")
    command = 'echo "$QD_RELEASE $QD_VERSION $QD_TARGET"; exit 3'
    said = f"{release.id} v1 {any_host.target}"
    assert await any_host.hooked(release, command, "1.2") == (3, said, False)
    assert await any_host.hooked(release, command, "1.2") == (3, said, True)
    with pytest.raises(CommandTimedOut, match="after 1 s"):
        await any_host.connection.hook(Hook("", timeout=1), "sleep 600", release, any_host.fence(), "1.3")


async def test_finish_remembers_and_keeps_what_must_be_kept(any_host: AnyHost) -> None:
    releases = [await any_host.staged(f"v{number}") for number in range(6)]
    good, wanted, current = releases[0], releases[2], releases[1]
    await any_host.moved_to(good, "1.1")
    assert await any_host.connection.finish(good, [], any_host.fence(), "1.2", prune_to=100) == ()
    await any_host.moved_to(current, "1.3")
    removed = await any_host.connection.finish(current, [wanted.id], any_host.fence(), "1.4", prune_to=1)
    assert len(removed) == 2
    assert set(removed) < {one.id for one in releases[3:]}  # which of them is the newest is each host's own test
    facts = await any_host.facts()
    kept = {one.release for one in facts.kept if one.intact}
    assert kept == {one.id for one in releases} - set(removed)
    assert {good.id, wanted.id, current.id} < kept
    assert facts.good == (good.id, current.id)


async def test_what_was_left_because_it_was_bad_is_not_good_any_more(any_host: AnyHost) -> None:
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    for number, release in enumerate((first, second), 1):
        await any_host.moved_to(release, f"1.{number}")
        await any_host.connection.finish(release, [], any_host.fence(), f"1.{number}f")
    await any_host.moved_to(first, "2.1", epoch=2)
    await any_host.connection.finish(first, [], any_host.fence(2), "2.1f", bad=[second.id])
    facts = await any_host.facts()
    assert (facts.good, facts.bad) == ((first.id,), (second.id,))
    await any_host.moved_to(second, "3.1", epoch=3)  # once more, by force, and it is well
    await any_host.connection.finish(second, [], any_host.fence(3), "3.1f")
    facts = await any_host.facts()
    assert (facts.good, facts.bad) == ((first.id, second.id), ())


async def test_retiring_where_nothing_runs_beside_answers_what_is_current(any_host: AnyHost) -> None:
    release = await any_host.staged("v1")
    await any_host.moved_to(release, "1.1")
    outcome = await any_host.connection.retire(release, any_host.fence(), "1.2")
    assert (outcome.current, outcome.beside) == (release.id, False)
    assert any_host.running == [release.id]


async def test_names_that_could_lead_elsewhere_are_refused(any_host: AnyHost) -> None:
    release, archive = any_host.release("v1")
    for bad in ("../evil", "a/b", "/", "a b", "-x", "a\nb", ".hidden"):
        with pytest.raises(BackendError, match="name of a release"):
            await any_host.connection.stage(
                msgspec.structs.replace(release, version=bad), archive, NO_SECRETS, any_host.fence()
            )


async def test_a_worker_that_takes_over_finds_what_the_other_one_left(any_host: AnyHost) -> None:
    first, second = await any_host.staged("v1"), await any_host.staged("v2")
    await any_host.moved_to(first, "1.1")
    other = await any_host.another()
    try:
        outcome = await other.switch(second, NO_SECRETS, any_host.fence(2), "2.1")
        if outcome.beside:
            outcome = await other.retire(second, any_host.fence(2), "2.2")
        assert (outcome.current, outcome.previous) == (second.id, first.id)
    finally:
        await other.close()
    with pytest.raises(Fenced):
        await any_host.moved_to(first, "1.2")
    assert any_host.running == [second.id]


async def test_vitals_are_plausible(any_host: AnyHost) -> None:
    vitals = await any_host.connection.vitals(any_host.path or "/")
    assert vitals.cores > 0
    assert 0 < vitals.memory_available <= vitals.memory_total
    assert 0 < vitals.disk_free <= vitals.disk_total
