"""The way to a router's machine over SSH, through the connections that every host is reached by: same keys, same known hosts.

Loaded only where a router is on another machine: asyncssh takes long to import.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import asyncssh

from quarterdeck.backends.errors import BackendError, NotPermitted, Unreachable
from quarterdeck.backends.hosts.contract import CommandOutcome
from quarterdeck.backends.hosts.ssh.channel import lost
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.routers.reach import (
    NOTHING_ASKED,
    Endless,
    Streams,
    Whole,
    endless,
    no_socket,
    nobody_listens,
    not_permitted,
    send_and_read,
    silent,
    split_place,
    until_closed,
)

# HAProxy binds `<path>.<pid>.tmp` and renames it: the kernel goes on calling it that.
_LOOK: Final = """for place in {path}; do
  if [ ! -e "$place" ]; then echo missing
  elif [ ! -w "$place" ]; then echo "forbidden $(id -un)"
  elif [ -r /proc/net/unix ] && ! grep -qF -- " $place" /proc/net/unix; then echo silent
  fi
done"""
_CUT: Final = (
    "SSH connection closed"  # what asyncssh says of channels that were being opened when the connection was lost
)
_LOOKING: Final = 5.0  # seconds for the host to say why a socket was not opened
_BUSY: Final = (
    3  # tries at a socket of which nothing is known to be wrong: sshd does not wait where its backlog is full
)
_AGAIN: Final = 0.2  # seconds between them


class SshReach:
    """``connect`` opens a connection to the router's host. One is opened when it is first needed, and again after it was cut."""

    def __init__(self, router: str, host: str, connect: Callable[[float], Awaitable[SshConnection]]) -> None:
        self.host = f"{router} on {host}"
        self._connect = connect
        self._opening = asyncio.Lock()
        self._connection: SshConnection | None = None

    async def _ready(self, action: str, deadline: float) -> SshConnection:
        async with self._opening:
            if self._connection is not None and not self._connection.ssh.is_closed():
                return self._connection
            if self._connection is not None:
                await self._connection.close()
                self._connection = None
            try:
                self._connection = await self._connect(deadline)
            except BackendError as error:
                raise self._of_this_router(error, action) from None
            return self._connection

    def _of_this_router(self, error: BackendError, action: str) -> BackendError:
        """The same error, told of the router: what was to be done there, and that it was not."""
        error.host, error.problem, error.action = self.host, f"can't {error.action}: {error.problem}", action
        error.left = error.left or NOTHING_ASKED
        return error

    async def exchange(
        self, place: str, request: bytes, action: str, *, deadline: float, whole: Whole = until_closed
    ) -> bytes:
        begun = False
        try:
            async with asyncio.timeout(deadline):
                try:
                    streams = await self._streams(place, action, deadline)
                except asyncssh.Error:
                    # Cut since it was last used, which shows with the first use: nothing was sent yet.
                    streams = await self._streams(place, action, deadline)
                begun = True
                return await send_and_read(streams, request, whole)
        except TimeoutError:
            raise silent(self.host, action, place, deadline) from None
        except Endless:
            raise endless(self.host, action, place) from None
        except (OSError, asyncssh.Error) as error:
            raise lost(self.host, action, error, started=begun) from None

    async def _streams(self, place: str, action: str, deadline: float) -> Streams:
        connection = await self._ready(action, deadline)
        tries = 0
        while True:
            tries += 1
            try:
                return await self._open(connection, place)
            except asyncssh.ChannelOpenError as error:
                if connection.ssh.is_closed() or error.reason == _CUT:
                    await self._forget(connection)
                    raise asyncssh.ConnectionLost(error.reason) from None
                why = await self._explain(connection, place, action, error)
                if why is not None:
                    raise why from None
                if tries == _BUSY:
                    raise self._not_opened(place, action) from None
            except asyncssh.Error:
                await self._forget(connection)
                raise
            await asyncio.sleep(_AGAIN)

    async def _forget(self, connection: SshConnection) -> None:
        """It is lost, which it may not say of itself yet."""
        async with self._opening:
            if self._connection is connection:
                self._connection = None
                await connection.close()

    @staticmethod
    async def _open(connection: SshConnection, place: str) -> Streams:
        to = split_place(place)
        if to is None:
            return await connection.ssh.open_unix_connection(place, encoding=None)
        return await connection.ssh.open_connection(*to, encoding=None)

    async def _explain(
        self, connection: SshConnection, place: str, action: str, error: asyncssh.ChannelOpenError
    ) -> BackendError | None:
        """sshd says the same of a socket that is missing, one that it may not open, one that is busy, and of forwarding that is forbidden:
        the host is asked for the difference, where the key may ask it anything. None: nothing tells against trying once more."""
        forbidden = error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED
        if split_place(place) is not None:
            if forbidden:
                return NotPermitted(
                    self.host,
                    action,
                    f"its SSH server opens no connection to {place} for us",
                    left=NOTHING_ASKED,
                    advice="set AllowTcpForwarding yes in its sshd_config, and let PermitOpen and the key's options allow it",
                )
            return nobody_listens(self.host, action, place, error.reason)
        try:
            looked = await connection.execute(_LOOK.replace("{path}", quote(place)), deadline=_LOOKING)
        except BackendError:
            looked = None
        seen, _, user = (looked.output.strip() if looked is not None else "").partition(" ")
        match seen:
            case "missing":
                return no_socket(self.host, action, place)
            case "forbidden":
                return not_permitted(self.host, action, place, user)
            case "silent":
                return nobody_listens(self.host, action, place, error.reason)
        return None

    def _not_opened(self, place: str, action: str) -> BackendError:
        return NotPermitted(
            self.host,
            action,
            f"its SSH server does not open the socket {place} for us",
            left=NOTHING_ASKED,
            advice="does the router stand still? Its socket takes nobody then: systemctl status haproxy. Else set "
            "AllowStreamLocalForwarding yes in its sshd_config (OpenSSH wants AllowTcpForwarding yes with it), let the key's options in "
            "authorized_keys permit port-forwarding, and the user into the socket's group",
        )

    async def run(self, command: str, action: str, *, deadline: float) -> CommandOutcome:
        try:
            async with asyncio.timeout(deadline):
                connection = await self._ready(action, deadline)
        except TimeoutError:
            raise Unreachable(self.host, action, f"no connection within {deadline:g} s", left=NOTHING_ASKED) from None
        try:
            return await connection.execute(command, deadline=deadline)
        except BackendError as error:
            if isinstance(error, Unreachable):
                await self._forget(connection)
            error.host, error.action = self.host, action
            raise

    async def close(self) -> None:
        async with self._opening:
            connection, self._connection = self._connection, None
            if connection is not None:
                await connection.close()
