"""One execution on an open connection: sends a script or input and gathers what comes back.

Always with a deadline, and never leaves a channel behind.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

import asyncssh
import msgspec

from quarterdeck.backends.errors import CommandFailed, CommandTimedOut, Unreachable
from quarterdeck.backends.hosts.contract import Terminal

_KEPT: Final = (
    64 * 1024 * 1024
)  # bytes of standard output at most: manifests of many releases fit, a runaway command does not
_KEPT_ERRORS: Final = 64 * 1024
_ASKED_AGAIN: Final = (0.02, 0.1)  # seconds before a session that was refused is asked for again


AnySession = TypeVar("AnySession", bound="asyncssh.SSHClientSession[bytes]")


class Ended(msgspec.Struct, frozen=True):
    """``exit_status`` None: none came back (the command was killed by a signal, or goes on). ``goes_on``: it waits for more."""

    exit_status: int | None
    stdout: bytes
    stderr: bytes
    goes_on: "Waiting | None" = None


class _Session(asyncssh.SSHClientSession[bytes]):
    """Gathers output; ``ended`` is done when the channel is closed, ``asked`` when the host wants the payload."""

    def __init__(self, loop: asyncio.AbstractEventLoop, asks: bytes) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.exit_status: int | None = None
        self.ended: asyncio.Future[None] = loop.create_future()
        self.asked: asyncio.Future[None] = loop.create_future()
        self.room = asyncio.Event()
        self.room.set()
        self._asks = asks
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.too_much = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.stderr += data
            if len(self.stderr) > _KEPT_ERRORS:
                del self.stderr[:-_KEPT_ERRORS]
            return
        self.stdout += data
        if len(self.stdout) > _KEPT and self._channel is not None:
            self.too_much = True
            self._channel.abort()
        if self._asks and not self.asked.done() and self._asks in self.stdout:
            self.asked.set_result(None)

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.room.set()
        if not self.ended.done():
            if exc is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(exc)
                self.ended.exception()  # looked at: nobody may be waiting any more


async def open_channel(
    connection: asyncssh.SSHClientConnection,
    factory: Callable[[], AnySession],
    command: str,
    *,
    kill: bool = False,
    terminal: Terminal | None = None,
) -> tuple[asyncssh.SSHClientChannel[bytes], AnySession]:
    """A channel on which ``command`` was started. When the caller is cancelled meanwhile, the channel is closed as soon as it is open.

    A server that allows few sessions may refuse one just after another has ended, as it clears that away with its next turn: it is asked
    again.
    """
    for pause in _ASKED_AGAIN:
        try:
            return await _open(connection, factory, command, kill=kill, terminal=terminal)
        except asyncssh.ChannelOpenError:
            if connection.is_closed():
                raise
            await asyncio.sleep(pause)
    return await _open(connection, factory, command, kill=kill, terminal=terminal)


async def _open(
    connection: asyncssh.SSHClientConnection,
    factory: Callable[[], AnySession],
    command: str,
    *,
    kill: bool,
    terminal: Terminal | None,
) -> tuple[asyncssh.SSHClientChannel[bytes], AnySession]:
    opening = asyncio.ensure_future(
        connection.create_session(
            factory,
            command,
            encoding=None,
            request_pty="force" if terminal is not None else False,
            term_type=terminal.kind if terminal is not None else None,
            term_size=(terminal.size.columns, terminal.size.lines) if terminal is not None else None,
            x11_forwarding=False,
        )
    )
    try:
        channel, session = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(partial(_close_late, kill))
        raise
    return channel, cast(AnySession, session)


def _close_late(
    kill: bool, opening: "asyncio.Task[tuple[asyncssh.SSHClientChannel[Any], asyncssh.SSHClientSession[Any]]]"
) -> None:
    if not opening.cancelled() and opening.exception() is None:
        give_up(opening.result()[0], kill)


class Waiting:
    """A command that has answered and waits for more on its standard input. When that never comes, it ends with its input."""

    def __init__(self, channel: asyncssh.SSHClientChannel[bytes], session: _Session) -> None:
        self._channel = channel
        self._session = session

    @property
    def there(self) -> bool:
        """Whether it is still there, as far as the host has said."""
        return not (self._session.ended.done() or self._channel.is_closing())

    def taken(self) -> tuple[asyncssh.SSHClientChannel[bytes], _Session]:
        """For the one who sends the rest."""
        return self._channel, self._session

    async def leave(self, deadline: float) -> None:
        """Ends it; waits for that, at most ``deadline`` seconds, as servers count sessions that have not ended."""
        with contextlib.suppress(OSError, asyncssh.Error, TimeoutError):
            async with asyncio.timeout(deadline):
                self._channel.write_eof()
                await self._session.ended
        self._channel.abort()


async def execute(
    connection: asyncssh.SSHClientConnection,
    host: str,
    action: str,
    command: str,
    text: bytes,
    *,
    deadline: float,
    payload: AsyncIterator[bytes] | None = None,
    asks: bytes = b"",
    kill: bool = False,
    begun: Waiting | None = None,
    goes_on_at: bytes = b"",
) -> Ended:
    """Runs ``command`` with ``text`` on its standard input; ``payload`` follows once the host has answered ``asks``.

    ``begun``: the command runs there already, and ``text`` is the rest of its input. ``goes_on_at``: the end of what is waited for;
    the command is not told that this was all, and may be given more.

    ``kill``: when nobody waits for it any more, the command is ended on the host as well. Never so for what goes through
    the gate, which must run to its end.

    Raises ``CommandTimedOut`` after ``deadline`` seconds and ``Unreachable`` when the connection is lost.
    """
    loop = asyncio.get_running_loop()
    channel: asyncssh.SSHClientChannel[bytes] | None = None
    sent_all = False
    try:
        async with asyncio.timeout(deadline):
            if begun is not None:
                channel, session = begun.taken()
            else:
                channel, session = await open_channel(
                    connection, lambda: _Session(loop, asks or goes_on_at), command, kill=kill
                )
            try:
                channel.write(text)
                if goes_on_at:
                    await asyncio.wait((session.asked, session.ended), return_when=asyncio.FIRST_COMPLETED)
                elif payload is None:
                    channel.write_eof()
                else:
                    await _send_payload(channel, session, payload)
            except (BrokenPipeError, OSError):
                pass  # the command ended without reading to the end; what it answered tells why
            sent_all = True
            if goes_on_at and not session.ended.done():
                answer = bytes(session.stdout), bytes(session.stderr)
                session.stdout.clear()
                session.stderr.clear()
                waiting, channel = Waiting(channel, session), None
                return Ended(None, *answer, goes_on=waiting)
            await session.ended
            channel = None
            if session.too_much:
                raise CommandFailed(host, action, "the command printed more than 64 MiB", exit_status=None)
            return Ended(session.exit_status, bytes(session.stdout), bytes(session.stderr))
    except TimeoutError:
        raise CommandTimedOut(
            host,
            action,
            f"no answer within {deadline:g} s" if sent_all else f"the host took no command within {deadline:g} s",
            exit_status=None,
            left="What the host did with the command is not known",
        ) from None
    except (OSError, asyncssh.Error) as error:
        if isinstance(error, asyncssh.ChannelOpenError) and connection.is_closed():
            # asked for while the connection was dying: the host said nothing about sessions
            error = ConnectionResetError(f"while a command was begun: {error.reason}")
        raise lost(host, action, error, started=channel is not None) from None
    finally:
        if channel is not None:
            give_up(channel, kill)


def give_up(channel: asyncssh.SSHClientChannel[Any], kill: bool) -> None:
    """Nobody waits for it any more."""
    if kill:
        # sshd counts a session for as long as its command lives, whether its channel is closed or not.
        with contextlib.suppress(OSError, asyncssh.Error):
            channel.kill()
    channel.abort()


async def _send_payload(
    channel: asyncssh.SSHClientChannel[bytes], session: _Session, payload: AsyncIterator[bytes]
) -> None:
    await asyncio.wait((session.asked, session.ended), return_when=asyncio.FIRST_COMPLETED)
    if session.ended.done():
        return
    async for chunk in payload:
        if session.ended.done():
            return
        channel.write(chunk)
        await session.room.wait()
    if not session.ended.done():
        channel.write_eof()


def lost(host: str, action: str, error: Exception, *, started: bool) -> Unreachable | CommandFailed:
    """What a broken connection, or a channel that the server refuses, is called here."""
    if isinstance(error, asyncssh.ChannelOpenError):
        return CommandFailed(
            host,
            action,
            f"the SSH server opens no further session: {error.reason}",
            exit_status=None,
            left="Nothing was changed there",
            advice="raise MaxSessions in the host's sshd_config, or allow the login user to run commands",
        )
    reason = str(error) or type(error).__name__
    return Unreachable(
        host,
        action,
        f"the connection was lost ({reason})",
        left="What the host did with the last command is not known" if started else "",
        advice="the outcome is read from the host as soon as it can be reached again" if started else "",
    )
