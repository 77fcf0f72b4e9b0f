"""What is only looked at: vitals, logs, bare commands; and what becomes of a connection."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from quarterdeck.backends.errors import (
    CommandFailed,
    CommandTimedOut,
    Unreachable,
)
from quarterdeck.config.model import (
    Health,
    Logs,
    TcpCheck,
)
from tests.contract.place import Place
from tests.sshd import SshdFleet, wait_for


async def test_vitals_are_plausible(place: Place) -> None:
    vitals = await place.connection.vitals(str(place.path))
    assert vitals.cores > 0
    assert 0 < vitals.memory_available <= vitals.memory_total
    assert 0 < vitals.disk_free <= vitals.disk_total
    assert vitals.uptime > 0
    assert vitals.load_1m >= 0
    assert 0 < vitals.cpu_busy < vitals.cpu_total


async def test_logs_of_files(place: Place) -> None:
    release, _ = place.release("v1")
    logs = Logs(files=(str(place.files / "*.log"),))
    (place.files / "a b.log").write_text("".join(f"line {number}\n" for number in range(50)) + "\x1b[31mred\x1b[0m\n")
    lines = [line.text async for line in place.connection.logs(logs, release, lines=3)]
    assert lines == ["line 48", "line 49", "red"]


async def test_followed_logs_end_with_their_reader(place: Place, sshd_fleet: SshdFleet) -> None:
    release, _ = place.release("v1")
    file = place.files / "service.log"
    file.write_text("first\n")
    lines = place.connection.logs(Logs(files=(str(file),)), release, lines=10, follow=True)
    assert (await anext(lines)).text == "first"
    with file.open("a") as out:
        out.write("second\n")
    async with asyncio.timeout(60):
        assert (await anext(lines)).text == "second"
    assert _followers(sshd_fleet, file)
    assert isinstance(lines, AsyncGenerator)
    await lines.aclose()
    await asyncio.to_thread(wait_for, lambda: not _followers(sshd_fleet, file), "nothing follows the file any more")


def _followers(fleet: SshdFleet, file: Path) -> list[int]:
    found = []
    for pid in fleet.tagged_processes():
        with contextlib.suppress(OSError):
            if str(file).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


async def test_a_log_that_is_not_there_is_said_so(place: Place) -> None:
    release, _ = place.release("v1")
    with pytest.raises(CommandFailed, match="no such file"):
        [line async for line in place.connection.logs(Logs(files=("/nowhere/*.log",)), release)]


async def test_a_bare_command(place: Place) -> None:
    outcome = await place.connection.execute("cat; echo err >&2; exit 5", deadline=10, input=b"in\n")
    assert (outcome.exit_status, outcome.output) == (5, "in\nerr\n")
    with pytest.raises(CommandFailed) as caught:
        await place.connection.execute("kill -9 $$", deadline=60)
    assert caught.value.exit_status is None
    with pytest.raises(CommandTimedOut):
        await place.connection.execute("sleep 60", deadline=0.3)


async def test_cancelled_tasks_leave_no_channel_behind(place: Place) -> None:
    """sshd allows 10 sessions on a connection, and following a log would hold one for ever."""
    release, _ = place.release("v1")
    log = place.files / "service.log"
    log.touch()

    async def follow() -> None:
        async for _ in place.connection.logs(Logs(files=(str(log),)), release, follow=True):
            pass

    for delay in [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.1] * 8:
        task = asyncio.create_task(follow())
        await asyncio.sleep(delay)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, CommandFailed):
            await task
    output = ""
    async with asyncio.timeout(60):  # the host needs a moment to end what was started there
        while not output:
            with contextlib.suppress(CommandFailed):
                output = (await place.connection.execute("echo still here", deadline=60)).output
    assert output == "still here\n"


async def test_a_lost_host_is_unreachable(place: Place, sshd_fleet: SshdFleet) -> None:
    connection = await place.backend.connect(sshd_fleet[4].as_host())
    waiting = asyncio.create_task(connection.execute("sleep 60", deadline=60))
    probe = await connection.execute("true", deadline=60)
    assert probe.exit_status == 0
    sshd_fleet[4].drop_connections()
    with pytest.raises(Unreachable, match="host-5"):
        await waiting
    with pytest.raises(Unreachable):
        await connection.facts("test/web", str(place.path))
    with pytest.raises(Unreachable):
        await connection.check_health(Health(tcp=TcpCheck(1)), place.release("v1")[0])
    await connection.close()
