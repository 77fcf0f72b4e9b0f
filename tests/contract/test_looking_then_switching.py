"""Looking that goes on to be the next switch: one execution for both, and nothing happens until the switch is asked for."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import TargetFacts
from quarterdeck.backends.hosts.ssh.channel import Waiting
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from tests.contract.place import NO_SECRETS, Place
from tests.sshd import wait_for


def waiting_shells(place: Place) -> list[int]:
    """Plain shells that the host's SSH server has started, and that were given nothing yet or are at work."""
    servers = place.host.server_processes()
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in servers and (entry / "cmdline").read_bytes() == b"sh\0":
                found.append(int(entry.name))
    return found


async def until_waiting(place: Place, count: int) -> list[int]:
    async with asyncio.timeout(60):
        while len(found := waiting_shells(place)) != count:  # noqa: ASYNC110 - other processes give no event
            await asyncio.sleep(0.02)
    return found


async def looked(place: Place) -> TargetFacts:
    return await place.connection.facts("test/web", str(place.path), then_switch=True)


async def test_looking_and_switching_are_one_execution(place: Place) -> None:
    first, second = await place.staged("v1"), await place.staged("v2")
    await place.connection.switch(first, NO_SECRETS, place.fence(), "1.1")
    before, calls = place.connection.executions, place.calls
    alone = await place.connection.facts("test/web", str(place.path))
    facts = await looked(place)
    assert msgspec.structs.replace(facts, free_bytes=None) == msgspec.structs.replace(
        alone, free_bytes=None
    )  # others use the disk too
    await until_waiting(place, 1)
    assert (place.calls, (place.path / "current").readlink().name) == (calls, first.id)  # nothing has happened
    outcome = await place.connection.switch(second, NO_SECRETS, place.fence(), "1.2")
    assert (outcome.current, outcome.previous, outcome.replayed) == (second.id, first.id, False)
    assert place.connection.executions == before + 2
    await until_waiting(place, 0)
    again = await place.connection.switch(first, NO_SECRETS, place.fence(), "1.3")  # in a shell of its own
    assert again.current == first.id


async def test_looking_at_what_can_not_be_read_leaves_no_shell(place: Place) -> None:
    place.path.mkdir()
    (place.path / "current").write_text("no link")
    with pytest.raises(BackendError, match="is not a link"):
        await looked(place)
    await place.connection.close()
    await until_waiting(place, 0)


async def test_what_is_asked_for_in_its_place_ends_it(place: Place) -> None:
    release = await place.staged("v1")
    await looked(place)
    await until_waiting(place, 1)
    facts = await place.connection.facts("test/web", str(place.path), release)
    assert facts.current is None
    await until_waiting(place, 0)
    assert (await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")).current == release.id


async def test_a_server_that_allows_one_session_allows_the_next(place: Place) -> None:
    options = place.host.options
    place.host.restart(options=("MaxSessions 1",))
    try:
        connection = await place.backend.connect(place.host.as_host())
        release, archive = place.release("v1")
        await connection.facts("test/web", str(place.path), then_switch=True)
        await until_waiting(place, 1)
        await connection.stage(release, archive, NO_SECRETS, place.fence())
        await connection.facts("test/web", str(place.path), then_switch=True)
        assert (await connection.switch(release, NO_SECRETS, place.fence(), "1.1")).current == release.id
        await connection.close()
    finally:
        place.host.restart(options=options)


@pytest.mark.parametrize("told", [True, False])
async def test_one_that_was_killed_meanwhile_is_not_missed(
    place: Place, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Also where the server has not told of its end when the switch is asked for."""
    release = await place.staged("v1")
    await looked(place)
    assert isinstance(place.connection, SshConnection)
    waiting = place.connection._waiting
    assert waiting is not None
    for process in await until_waiting(place, 1):
        os.kill(process, signal.SIGKILL)
    await until_waiting(place, 0)
    await asyncio.to_thread(wait_for, lambda: not waiting.there, "the server has told")
    if not told:
        monkeypatch.setattr(Waiting, "there", True)
    before = place.connection.executions
    outcome = await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    assert (outcome.current, outcome.replayed, place.calls) == (release.id, False, ["start"])
    assert place.connection.executions == before + 1


async def test_a_connection_that_ends_leaves_no_shell(place: Place) -> None:
    connection = await place.backend.connect(place.host.as_host())
    await connection.facts("test/web", str(place.path), then_switch=True)
    await until_waiting(place, 1)
    await connection.close()
    await until_waiting(place, 0)
    assert not place.path.exists()
