"""A command of an operator's on an SSH host: its output as it comes, its input as it is typed. Ended there when nobody reads any more."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import asyncssh

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut
from quarterdeck.backends.hosts.contract import Exited, Printed, Size, Terminal, Typed
from quarterdeck.backends.hosts.ending import stop_typing
from quarterdeck.backends.hosts.ssh.answer import Answer
from quarterdeck.backends.hosts.ssh.channel import give_up, lost, open_channel
from quarterdeck.backends.hosts.ssh.script import TERMINAL_READY, Script

_OPENING: Final = 20.0  # seconds for the host to begin
_AHEAD: Final = 1024 * 1024  # bytes that wait for their reader; then the host is told to wait
_HEAD: Final = 64 * 1024  # bytes before the command begins: what shells say by themselves
_ROOM: Final = 7.0  # seconds beside the command's own: it is killed 5 s after it was told to end
_BY_LIMIT: Final = (124, 137, 143)


class _Session(asyncssh.SSHClientSession[bytes]):
    """``begun``: the command's own output comes from here on; until then ``head`` and ``errors`` gather what a shell says."""

    def __init__(self, begins: bytes, *, terminal: bool) -> None:
        self.waiting: deque[Printed] = deque()
        self.some = asyncio.Event()
        self.room = asyncio.Event()  # for what is typed
        self.room.set()
        self.ready = asyncio.Event()  # the script can be sent
        if not terminal:
            self.ready.set()
        self.begun = False
        self.closed = False
        self.head = bytearray()
        self.errors = bytearray()
        self.exit_status: int | None = None
        self.failure: Exception | None = None
        self._begins = begins
        self._bytes = 0
        self._paused = False
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        error = datatype == asyncssh.EXTENDED_DATA_STDERR
        if self.begun:
            self._add(Printed(data, error))
            return
        gathered = self.errors if error else self.head
        gathered += data
        del gathered[:-_HEAD]
        if TERMINAL_READY in self.head:
            self.ready.set()
        before, found, after = bytes(self.head).partition(self._begins)
        if found:
            self.begun = True
            self.head[:] = before
            if after:
                self._add(Printed(after))
        self.some.set()

    def _add(self, piece: Printed) -> None:
        self.waiting.append(piece)
        self._bytes += len(piece.data)
        self.some.set()
        if self._bytes > _AHEAD and self._channel is not None and not self._paused:
            self._paused = True
            self._channel.pause_reading()

    def taken(self) -> list[Printed]:
        pieces = list(self.waiting)
        self.waiting.clear()
        self._bytes = 0
        if self._paused and self._channel is not None:
            self._paused = False
            self._channel.resume_reading()
        return pieces

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.failure, self.closed = exc, True
        for event in (self.room, self.ready, self.some):
            event.set()


async def exec_over_ssh(
    connection: asyncssh.SSHClientConnection,
    host: str,
    action: str,
    script: Script,
    judge: Callable[[bytes, bytes, int | None], Answer],
    *,
    deadline: float | None,
    input: Typed | None,
    terminal: Terminal | None,
    end_it: Callable[[], Awaitable[None]],
) -> AsyncGenerator[Printed | Exited, None]:
    """``judge`` reads what came where the command never began, and raises for it. ``end_it``: ends the command from beside it, as not
    every server passes a signal on. Raises as ``Connection.exec_in`` does."""
    session: _Session | None = None
    channel: asyncssh.SSHClientChannel[bytes] | None = None
    typing: asyncio.Task[None] | None = None
    started = time.monotonic()
    end = None if deadline is None else started + deadline + _ROOM
    begins = f"{script.mark} begun\n".encode()
    try:
        try:
            async with asyncio.timeout(_OPENING):
                channel, session = await open_channel(
                    connection,
                    lambda: _Session(begins, terminal=terminal is not None),
                    script.command,
                    kill=True,
                    terminal=terminal,
                )
                await session.ready.wait()
                with contextlib.suppress(OSError):  # it ended without reading: what it said tells why
                    channel.write(script.text)
                while not (session.begun or session.closed):
                    session.some.clear()
                    await session.some.wait()
        except TimeoutError:
            raise CommandTimedOut(
                host, action, f"the host began no command within {_OPENING:g} s", exit_status=None
            ) from None
        if session.begun:
            typing = asyncio.create_task(_type(channel, session, input), name=f"input of a command on {host}")
        while True:
            while session.waiting:
                for piece in session.taken():
                    yield piece
            if session.closed:
                break
            session.some.clear()
            try:
                async with asyncio.timeout(None if end is None else max(0.0, end - time.monotonic())):
                    await session.some.wait()
            except TimeoutError:
                raise _timed_out(host, action, deadline) from None
        channel = None
        if session.failure is not None:
            raise lost(host, action, session.failure, started=session.begun)
        if not session.begun:
            judge(bytes(session.head), bytes(session.errors), session.exit_status)
            raise CommandFailed(host, action, "the host did not begin it", exit_status=session.exit_status)
        if session.exit_status is None:
            raise CommandFailed(host, action, "it was ended by a signal, or its exit status got lost", exit_status=None)
        if deadline is not None and session.exit_status in _BY_LIMIT and time.monotonic() - started >= deadline:
            raise _timed_out(host, action, deadline)
        yield Exited(session.exit_status)
    except (OSError, asyncssh.Error) as error:
        raise lost(host, action, error, started=session is not None and session.begun) from None
    finally:
        if channel is not None:
            give_up(channel, kill=True)
            if session is not None and session.begun and not connection.is_closed():
                await end_it()
        if typing is not None:
            await stop_typing(typing)


async def _type(channel: asyncssh.SSHClientChannel[bytes], session: _Session, input: Typed | None) -> None:
    """Ends with the command; one that reads no input is no fault."""
    with contextlib.suppress(OSError, asyncssh.Error, BackendError):
        if input is not None:
            async for piece in input:
                if session.closed:
                    return
                if isinstance(piece, Size):
                    channel.change_terminal_size(piece.columns, piece.lines)
                    continue
                channel.write(piece)
                await session.room.wait()
        if not session.closed:
            channel.write_eof()


def _timed_out(host: str, action: str, deadline: float | None) -> CommandTimedOut:
    return CommandTimedOut(host, action, f"it was ended after {deadline:g} s", exit_status=124)
