"""A switch puts one release in the place of another, and says what is there afterwards."""

from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.errors import (
    CommandFailed,
    CommandTimedOut,
)
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.model import CommandCheck, Commands, Health
from tests.backends.ssh.releases import QUICK, http_release
from tests.contract.place import NO_SECRETS, Place, become_healthy
from tests.sshd import free_port


async def test_a_switch_starts_the_release_and_reads_it_back(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    outcome = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    assert (outcome.current, outcome.previous, outcome.replayed) == (first.id, None, False)
    outcome = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert (outcome.current, outcome.previous) == (second.id, first.id)
    assert (place.path / "current").readlink() == Path(f"releases/{second.id}")
    assert (place.path / "shared" / "running").read_text().strip() == second.id
    assert place.calls == ["start", f"stop {first.id}", "start"]
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.current, facts.running) == (second.id, True)


async def test_the_same_operation_again_does_nothing_and_answers_the_same(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    done = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    again = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    assert again.replayed
    assert (again.current, again.previous) == (done.current, done.previous)
    assert (place.path / "current").readlink() == Path(f"releases/{second.id}")
    assert len([call for call in place.calls if call == "start"]) == 2


async def test_stop_and_start_leave_and_move_the_link(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    stopped = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2", action="stop")
    assert stopped.current == first.id
    assert place.calls[-1] == f"stop {first.id}"
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.current, facts.running) == (first.id, False)
    linked = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.3", action="none")
    assert linked.current == second.id
    assert place.calls[-1] == f"stop {first.id}"
    started = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.4", action="start")
    assert started.current == second.id
    assert place.calls[-1] == "start"


async def test_restart_is_used_where_it_is_given(place: Place) -> None:
    commands = msgspec.structs.replace(QUICK, restart='echo restart >>"$QD_SHARED/calls"')
    first, second = await place.staged("v1", commands=commands), await place.staged("v2", commands=commands)
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert place.calls == ["start", "restart"]


async def test_a_release_is_stopped_the_way_it_was_started(place: Place) -> None:
    other = msgspec.structs.replace(QUICK, stop='echo "the other stop" >>"$QD_SHARED/calls"', restart="exit 1")
    first, second = await place.staged("v1", commands=other), await place.staged("v2")
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert place.calls == ["start", "the other stop", "start"]


async def test_a_broken_release_does_not_stand_in_the_way_of_the_one_before(place: Place) -> None:
    first = await place.staged("v1")
    broken = await place.staged("v2", commands=Commands(start="echo oops; exit 7", stop="exit 9"))
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    with pytest.raises(CommandFailed) as caught:
        await place.connection.switch(broken, NO_SECRETS, place.fence(), "1.2")
    assert (caught.value.exit_status, caught.value.output.strip()) == (7, "oops")
    assert "start ended with status 7: oops" in str(caught.value)
    facts = await place.connection.facts("test/web", str(place.path))
    assert facts.current == broken.id  # the truth: the link was moved before the start failed
    back = await place.connection.switch(first, NO_SECRETS, place.fence(2), "2.1")
    assert back.current == first.id
    assert (place.path / "shared" / "running").read_text().strip() == first.id
    with pytest.raises(CommandFailed, match="recorded"):  # the outcome of a failure is recorded as well
        await place.connection.switch(broken, NO_SECRETS, place.fence(2), "1.2")


async def test_a_service_that_does_not_stay_up_is_no_success(place: Place) -> None:
    release = await place.staged("v1", commands=Commands(start="true", stop="true", status="false"))
    with pytest.raises(CommandFailed, match="does not run after it was started"):
        await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")


async def test_a_start_that_hangs_is_ended(place: Place) -> None:
    release = await place.staged("v1", commands=Commands(start="sleep 600", stop="true"))
    with pytest.raises(CommandTimedOut) as caught:
        await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1", deadline=8)
    assert caught.value.exit_status == 124


async def test_secrets_are_renewed_where_they_differ_and_kept_otherwise(place: Place) -> None:
    release, archive = place.release(
        "v1", commands=msgspec.structs.replace(QUICK, start='printf %s "$KEY" >"$QD_SHARED/running"')
    )
    tricky = "a'b\"c\\d$e`f\n#g ü"
    await place.connection.stage(release, archive, SecretValues({"KEY": "old"}), place.fence())
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    assert (place.path / "shared" / "running").read_text() == "old"
    await place.connection.switch(release, SecretValues({"KEY": tricky}), place.fence(), "1.2")
    assert (place.path / "shared" / "running").read_text() == tricky
    assert (place.path / "releases" / release.id / "qd.secrets.env").stat().st_mode & 0o777 == 0o600


async def test_a_release_that_is_not_there_or_damaged_is_not_started(place: Place) -> None:
    first = await place.staged("v1")
    missing, _ = place.release("v2")
    with pytest.raises(CommandFailed, match="is not on the host"):
        await place.connection.switch(missing, NO_SECRETS, place.fence(), "1.1")
    damaged = place.path / "releases" / first.id / "qd.env"
    damaged.write_text("PATH=/nowhere\n")
    facts = await place.connection.facts("test/web", str(place.path))
    assert [kept.intact for kept in facts.kept] == [False]
    with pytest.raises(CommandFailed, match="not as it was staged"):
        await place.connection.switch(first, NO_SECRETS, place.fence(), "1.2")
    assert not (place.path / "current").exists()
    healed = await place.connection.stage(first, place.files / "v1.tar.gz", NO_SECRETS, place.fence())
    assert not healed.already
    # What was refused before it touched anything may be tried again under the same name.
    outcome = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.2")
    assert (outcome.current, outcome.replayed) == (first.id, False)


async def test_a_directory_in_the_place_of_the_link_is_left_alone(place: Place) -> None:
    release = await place.staged("v1")
    (place.path / "current").mkdir()
    with pytest.raises(CommandFailed, match="is not a link"):
        await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    assert (place.path / "current").is_dir()


async def test_withdraw_stops_and_removes_the_link(place: Place) -> None:
    release = await place.staged("v1")
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    outcome = await place.connection.withdraw(release, place.fence(), "1.2")
    assert (outcome.current, outcome.previous) == (None, release.id)
    assert not (place.path / "current").is_symlink()
    assert place.calls[-1] == f"stop {release.id}"
    assert (await place.connection.withdraw(release, place.fence(), "1.2")).replayed


@pytest.mark.parametrize("status", ["", "sleep 60", "test -s ../../shared/running"])
async def test_a_stop_that_fails_where_nobody_can_tell_keeps_the_link_when_it_is_to_go_for_good(
    place: Place, status: str
) -> None:
    """With a status that says that it does not run, its stop may say what it likes."""
    commands = Commands(start="true", stop="exit 3", status=status or None)
    release = await place.staged("v1", commands=commands)
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1", action="none")
    if status.startswith("test"):
        await place.connection.withdraw(release, place.fence(), "1.2", surely=True)
        assert not (place.path / "current").is_symlink()
        return
    with pytest.raises(CommandFailed, match="stop ended with status 3"):
        await place.connection.withdraw(release, place.fence(), "1.2", surely=True)
    assert (place.path / "current").is_symlink()
    # A first deploy that failed is taken back all the same.
    await place.connection.withdraw(release, place.fence(), "1.3")
    assert not (place.path / "current").is_symlink()


@pytest.mark.parametrize(
    ("start", "status", "told", "fault"),
    [
        ("echo one >../../shared/running; exit 0", "test -s ../../shared/running # a remark", "0", ""),
        ("(sleep 0.5; echo one >../../shared/running) &", "test -s ../../shared/running", "1", ""),  # not at once
        ("echo gone; exit 3", "true", "", "exit status 3"),
        ("echo up >../../shared/running", "false", "1", "does not run"),
        ("echo up >../../shared/running", "sleep 60", "started", ""),  # tells nothing: the health checks will have to
    ],
)
async def test_starting_and_asking_for_the_status_in_one_go(
    place: Place, start: str, status: str, told: str, fault: str
) -> None:
    """``told``: what the one go has left behind of the status. Without health checks there is none: see below."""
    first = await place.staged("v1")
    commands = Commands(start=start, stop="rm -f ../../shared/running", status=status)
    second = await place.staged("v2", commands=commands, health=Health(command=CommandCheck("true")))
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    facts = await place.connection.facts("test/web", str(place.path), first)
    assert facts.running is True
    switch = place.connection.switch(second, NO_SECRETS, place.fence(), "1.2", deadline=8.0)
    left = place.path / ".quarterdeck" / ".state"
    if not fault:
        assert (await switch).current == second.id
        assert left.read_text().strip() == told
        return
    with pytest.raises(CommandFailed) as caught:
        await switch
    assert left.read_text().strip() == told
    assert fault in f"{caught.value} exit status {caught.value.exit_status}"


async def test_without_health_checks_the_status_is_asked_for_by_itself(place: Place) -> None:
    """In the moment of the start a service that dies at once still runs: here nobody would look again."""
    first, second = await place.staged("v1"), await place.staged("v2")
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    await place.connection.facts("test/web", str(place.path), first)
    await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert not (place.path / ".quarterdeck" / ".state").exists()


async def test_a_rollback_takes_at_most_three_executions(place: Place) -> None:
    port = free_port(place.host.address)
    first, archive = http_release(place.files, "v1", place.path, place.host.address, port)
    second, other = http_release(place.files, "v2", place.path, place.host.address, port)
    for release, file, op in ((first, archive, "1.1"), (second, other, "1.2")):
        await place.connection.stage(release, file, NO_SECRETS, place.fence())
        await place.connection.switch(release, NO_SECRETS, place.fence(), op)
    rollback = await place.backend.connect(place.host.as_host())
    await rollback.facts("test/http", str(place.path), first)
    await rollback.switch(first, NO_SECRETS, place.fence(2), "2.1")
    await become_healthy(rollback, first)
    await rollback.finish(first, [second.id], place.fence(2), "2.2")
    assert rollback.executions == 3
    await rollback.close()
    await place.connection.withdraw(first, place.fence(2), "2.3")
