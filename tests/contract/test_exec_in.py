"""A command of an operator's in what runs of a target: the same on every kind of host."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import Connection, Exited, Printed, Size, Terminal, Typed
from tests.boxes import Box
from tests.contract.place import Place
from tests.contract.places import NO_SECRETS, AnyHost
from tests.sshd import SshdFleet

ODD = [
    "",
    " ",
    "a b",
    "$HOME",
    "`id`",
    "it's",
    'a "quoted" one',
    "two\nlines",
    "*",
    "\\",
    "-n",
    "ü€\U0001f680",
    "tab\there",
]
OURS = str(70_000_000 + os.getpid())  # seconds that nobody else here sleeps for
SHOW = 'for one in "$@"; do printf "<%s>" "$one"; done'


async def runs(any_host: AnyHost) -> None:
    await any_host.moved_to(await any_host.staged("v1"), "1.1")


async def run(any_host: AnyHost, *command: str, input: Typed | None = None) -> tuple[int, bytes, bytes]:
    """Status, and what it printed on each of its outputs."""
    return await run_on(any_host.connection, any_host, command, input=input)


async def run_on(
    connection: Connection, any_host: AnyHost, command: Sequence[str], **more: Any
) -> tuple[int, bytes, bytes]:
    more.setdefault("deadline", 30.0)
    printed, errors, status = bytearray(), bytearray(), None
    async with aclosing(connection.exec_in(any_host.target, any_host.path, command, **more)) as pieces:
        async for piece in pieces:
            assert status is None, "something came behind the exit status"
            if isinstance(piece, Exited):
                status = piece.status
            elif piece.error:
                errors += piece.data
            else:
                printed += piece.data
    assert status is not None
    return status, bytes(printed), bytes(errors)


async def typed(*pieces: bytes | Size) -> AsyncIterator[bytes | Size]:
    for piece in pieces:
        yield piece


async def test_the_status_and_both_outputs_are_the_commands_own(any_host: AnyHost) -> None:
    await runs(any_host)
    assert await run(any_host, "sh", "-c", "echo out; echo err >&2; exit 5") == (5, b"out\n", b"err\n")
    assert await run(any_host, "true") == (0, b"", b"")
    status, *said = await run(any_host, "there-is-no-such-program")
    assert status in (126, 127)  # engines differ
    assert b"not found" in b"".join(said)


async def test_every_argument_arrives_as_it_is(any_host: AnyHost) -> None:
    await runs(any_host)
    status, printed, errors = await run(any_host, "sh", "-c", SHOW, "sh", *ODD)
    assert (status, errors) == (0, b"")
    assert printed.decode() == "".join(f"<{one}>" for one in ODD)


async def test_bytes_come_unchanged_and_all_of_them(any_host: AnyHost) -> None:
    await runs(any_host)
    assert (await run(any_host, "printf", r"\000\033[31m\377\r\n\200"))[1] == b"\0\x1b[31m\xff\r\n\x80"
    status, printed, _ = await run(any_host, "sh", "-c", "yes 0123456789abcde | head -n 200000")
    assert (status, len(printed)) == (0, 16 * 200_000)


async def test_input_goes_in_and_its_end_is_told(any_host: AnyHost) -> None:
    await runs(any_host)
    assert await run(any_host, "cat", input=typed(b"one\n", b"\0\xfftwo")) == (0, b"one\n\0\xfftwo", b"")
    big = b"0123456789abcdef" * 65536
    status, printed, _ = await run(any_host, "cat", input=typed(big, big))
    assert (status, printed == big + big) == (0, True)
    # Without input there is nothing to read, and nothing waits for it.
    assert await run(any_host, "cat") == (0, b"", b"")
    # A command that reads none of it ends by itself.
    assert (await run(any_host, "true", input=typed(big)))[0] == 0


async def test_a_command_is_ended_when_its_time_is_over(any_host: AnyHost) -> None:
    await runs(any_host)
    with pytest.raises(CommandTimedOut, match="ended after 1 s"):
        await run_on(any_host.connection, any_host, ["sh", "-c", f"echo begun; sleep {OURS}"], deadline=1.0)
    await nothing_is_left(any_host, OURS)


async def test_a_command_ends_with_its_reader(any_host: AnyHost) -> None:
    await runs(any_host)
    pieces = any_host.connection.exec_in(
        any_host.target, any_host.path, ["sh", "-c", f"echo begun; sleep {OURS}"], deadline=60.0
    )
    async with asyncio.timeout(60):
        assert await anext(pieces) == Printed(b"begun\n")
    await pieces.aclose()
    await nothing_is_left(any_host, OURS)


async def nothing_is_left(any_host: AnyHost, seconds: str) -> None:
    """No ``sleep`` of so many seconds runs where the command ran. The pattern does not match itself."""
    looking = f"grep -qsz '^{seconds[0]}[{seconds[1]}]{seconds[2:]}$' /proc/[0-9]*/cmdline"
    waiting = f"n=0; while {looking} && test $n -lt 300; do n=$((n + 1)); sleep 0.1; done; ! {looking}"
    assert await run(any_host, "sh", "-c", waiting) == (0, b"", b"")


async def test_where_nothing_was_deployed_it_says_so(any_host: AnyHost) -> None:
    with pytest.raises(CommandFailed, match=r"no release is current|no container of it runs"):
        await run(any_host, "true")


async def test_on_a_terminal_it_is_one_with_its_size(any_host: AnyHost) -> None:
    await runs(any_host)
    terminal = Terminal("xterm-256color", Size(93, 31))
    # An older engine tells the size a moment after it has begun the command.
    sized = 'while test "$(stty size 2>/dev/null)" != "31 93"; do sleep 0.05; done'
    script = f'test -t 1 && {sized}; echo $TERM; read -r line; stty size; echo "got $line"; exit 3'

    shown, printed = asyncio.Event(), bytearray()

    async def typing() -> AsyncIterator[bytes | Size]:
        await shown.wait()
        yield Size(71, 22)
        yield b"hello\r"
        await asyncio.Event().wait()  # whoever sits there does not close it

    pieces = any_host.connection.exec_in(
        any_host.target, any_host.path, ["sh", "-c", script], deadline=None, input=typing(), terminal=terminal
    )
    async with asyncio.timeout(60), aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Exited):
                assert piece.status == 3
                break
            assert not piece.error
            printed += piece.data
            if b"xterm-256color" in printed:
                shown.set()
    lines = printed.decode().replace("\r\n", "\n").splitlines()
    assert lines == ["xterm-256color", "hello", "22 71", "got hello"]


async def test_on_an_ssh_host_it_has_the_releases_directory_and_environment(place: Place) -> None:
    release, archive = place.release("v1", env={"GREETING": "it's $fine"})
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    show = 'pwd; printf "%s\\n" "$GREETING" "$QD_RELEASE" "$QD_TARGET"'
    printed = bytearray()
    async for piece in place.connection.exec_in("test/web", str(place.path), ["sh", "-c", show], deadline=20.0):
        if isinstance(piece, Printed):
            printed += piece.data
    here = str(place.path / "releases" / release.id)
    assert printed.decode().splitlines() == [here, "it's $fine", release.id, "test/web"]


async def test_a_host_that_is_lost_in_between_is_unreachable(place: Place, sshd_fleet: SshdFleet) -> None:
    release = await place.staged("v1")
    await place.connection.switch(release, NO_SECRETS, place.fence(), "1.1")
    connection = await place.backend.connect(sshd_fleet[4].as_host())
    pieces = connection.exec_in("test/web", str(place.path), ["sh", "-c", "echo begun; sleep 60"], deadline=60.0)
    assert await anext(pieces) == Printed(b"begun\n")
    sshd_fleet[4].drop_connections()
    with pytest.raises(Unreachable, match="host-5"):
        await anext(pieces)
    await connection.close()


@pytest.mark.docker
@pytest.mark.root
@pytest.mark.timeout(240)
async def test_a_container_that_is_taken_away_in_between_ends_it(box: Box) -> None:
    release = await box.staged("v1")
    await box.connection.switch(release, NO_SECRETS, box.fence(), "1.1")
    pieces = box.connection.exec_in(box.target, "", ["sh", "-c", "echo begun; sleep 60"], deadline=60.0)
    assert await anext(pieces) == Printed(b"begun\n")
    await asyncio.to_thread(box.engine.client.kill, box.name)
    with contextlib.suppress(CommandFailed):
        ended = await anext(pieces)
        assert isinstance(ended, Exited)
        assert ended.status != 0
    await pieces.aclose()
