"""Opens connections to hosts with the user's own ssh_config. Never forwards an agent, never skips a host key's check."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncssh
import msgspec

from quarterdeck.backends.errors import Unreachable
from quarterdeck.backends.hosts.ssh.algorithms import CIPHERS, KEY_EXCHANGES, MACS, SIGNATURES, prefix_can_be_cut
from quarterdeck.backends.hosts.ssh.host_keys import UnreadableFile
from quarterdeck.backends.hosts.ssh.open_files import OpenFiles
from quarterdeck.backends.hosts.ssh.refusals import KeyWatch, explain
from quarterdeck.backends.hosts.ssh.way import Destination, Way, find_way, parse_destination
from quarterdeck.backends.pacing import CONNECTING_AT_ONCE, SLOW_TO_CONNECT, Pace

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.ssh.connection import SshConnection

HANDSHAKES_AT_ONCE: Final = 10
"""Per server or jump host: OpenSSH's ``MaxStartups`` drops more by default."""

UPLOADS_AT_ONCE: Final = 50
"""Each has pieces of the archive in memory, and its share of the line: of thousands that begin together none would end in time."""

_SLOW_LOGIN: Final = 4.0  # the same of those with one server, which drops logins where too many are not through yet
_SLOW_UPLOAD: Final = 2.0  # seconds without a further piece

_TRIES: Final = 6
_KEEPALIVE_SECONDS: Final = 3
_KEEPALIVE_COUNT: Final = 3
_JUMPS_AT_MOST: Final = 8
_ACTION: Final = "connect"
_LET_READ: Final = "give the user who runs qd the right to read it"

asyncssh.set_log_level("ERROR")  # its INFO records cost time on every channel


Release = Callable[[], Awaitable[None]]
"""Gives back what a connection is reached through, once it is closed."""


class Reachable(Protocol):
    """As much of a host as connecting needs."""

    @property
    def name(self) -> str: ...

    @property
    def ssh(self) -> str: ...


class _Chain(msgspec.Struct):
    """Open connections from jump host to jump host, the last one being the tunnel; ``release``: what the first is reached through."""

    connections: list[asyncssh.SSHClientConnection]
    release: Release

    async def close(self) -> None:
        for connection in reversed(self.connections):
            connection.abort()
        await self.release()


class _Jump(msgspec.Struct):
    """A chain of jump hosts that is shared by all hosts behind it."""

    opening: asyncio.Task[_Chain]
    users: int = 0


class SshBackend:
    """The hosts contract over SSH.

    ``ssh_config`` empty: ``~/.ssh/config``. ``known_hosts`` empty: what the configuration names, else the usual files.
    """

    def __init__(self, ssh_config: Sequence[Path] = (), known_hosts: Sequence[Path] = ()) -> None:
        self._config = [path.expanduser() for path in ssh_config]
        self._known_hosts = tuple(known_hosts)
        self._connecting = Pace(CONNECTING_AT_ONCE, SLOW_TO_CONNECT)
        self._uploads = Pace(UPLOADS_AT_ONCE, _SLOW_UPLOAD)
        self._open_files = OpenFiles()
        self._handshakes: dict[object, Pace] = {}
        self._jumps: dict[object, _Jump] = {}

    async def connect(self, host: Reachable, *, deadline: float = 20.0) -> "SshConnection":
        """An open connection, logged in. ``deadline``: seconds, without those that are waited for others to have connected. Raises
        ``Unreachable``, ``HostKeyRejected``, ``LoginRefused``."""
        async with self._connecting.place():
            self._open_files.take(host.name, _ACTION)
            try:
                way, connection, release = await self._connected(host, deadline)
            except BaseException:
                self._open_files.give_back()
                raise
        # Not needed for the handshakes, which take longer.
        from quarterdeck.backends.hosts.ssh.connection import SshConnection

        is_open = True

        async def closed() -> None:
            nonlocal is_open
            if is_open:
                is_open = False
                self._open_files.give_back()
            await release()

        return SshConnection(host.name, connection, way, closed, self._uploads)

    async def _connected(self, host: Reachable, deadline: float) -> tuple[Way, asyncssh.SSHClientConnection, Release]:
        way: Way | None = None
        try:
            async with asyncio.timeout(deadline) as clock:
                way = await self._way(host.name, parse_destination(host.ssh))
                return way, *(await self._open(host.name, way, (), clock))
        except TimeoutError:
            raise Unreachable(
                host.name,
                _ACTION,
                f"no answer within {deadline:g} s",
                advice=f"check with: {way.by_hand}"
                if way is not None
                else "~/.ssh/config runs a program that does not end",
            ) from None
        except ValueError as error:
            unreadable = isinstance(error, UnreadableFile)
            advice = _LET_READ if unreadable else "correct the host's ssh entry or ~/.ssh/config"
            raise Unreachable(host.name, _ACTION, str(error), advice=advice) from None

    async def _way(self, host: str, destination: Destination) -> Way:
        try:
            # In a thread: `Match exec` runs programs.
            return await asyncio.to_thread(find_way, destination, self._config, self._known_hosts)
        except OSError as error:
            raise Unreachable(
                host,
                _ACTION,
                f"the SSH configuration can't be read: {error.filename}: {error.strerror}",
                advice=_LET_READ,
            ) from None

    async def _open(
        self, host: str, way: Way, through: tuple[Destination, ...], clock: asyncio.Timeout | None
    ) -> tuple[asyncssh.SSHClientConnection, Release]:
        """The connection, and what gives its jump hosts back. ``clock``: the deadline, which stands still while others have their turn."""
        if len(through) > _JUMPS_AT_MOST or set(way.jumps) & set(through):
            raise Unreachable(
                host,
                _ACTION,
                "its jump hosts lead to one another in a circle",
                advice="correct ProxyJump in ~/.ssh/config",
            )
        if not way.jumps:
            limit = self._limit((way.address, way.port) if not way.proxy_command else "proxy commands")
            return await self._handshake(host, way, (), limit, clock), _nothing
        key = way.jumps
        jump = self._jumps.get(key)
        if jump is None or _unusable(jump.opening):
            jump = _Jump(asyncio.create_task(self._open_jumps(host, way.jumps, through)))
            self._jumps[key] = jump
        shared = jump
        shared.users += 1

        async def give_back() -> None:
            shared.users -= 1
            if shared.users == 0:
                if self._jumps.get(key) is shared:
                    del self._jumps[key]
                await _close(shared.opening)

        try:
            chain = await asyncio.shield(shared.opening)
            return await self._handshake(host, way, chain.connections[-1], self._limit(key), clock), give_back
        except BaseException:
            await give_back()
            raise

    async def _open_jumps(self, host: str, jumps: tuple[Destination, ...], through: tuple[Destination, ...]) -> _Chain:
        """Connects from jump host to jump host; each one's key is checked as the last one's is."""
        chain = _Chain([], _nothing)
        try:
            for destination in jumps:
                way = await self._way(host, destination)
                name = f"{host} (through {destination.name})"
                if not chain.connections:
                    # Only the first may have a jump host of its own: the others are reached through the one before.
                    connection, chain.release = await self._open(name, way, (*through, destination), None)
                else:
                    connection = await self._handshake(
                        name, way, chain.connections[-1], self._limit((way.address, way.port)), None
                    )
                chain.connections.append(connection)
        except BaseException:
            await chain.close()
            raise
        return chain

    def _limit(self, key: object) -> Pace:
        return self._handshakes.setdefault(key, Pace(HANDSHAKES_AT_ONCE, _SLOW_LOGIN))

    async def _handshake(
        self, host: str, way: Way, tunnel: object, limit: Pace, clock: asyncio.Timeout | None
    ) -> asyncssh.SSHClientConnection:
        """Connects and logs in. A handshake that the server drops (too many at once) is tried again after a random wait."""
        for attempt in range(_TRIES):
            watch = KeyWatch()
            try:
                async with _in_line(limit, clock):
                    connection = await asyncssh.connect(
                        way.destination.name,
                        way.destination.port or (),
                        tunnel=tunnel,
                        config=self._config or (),
                        **self._settings(way, watch),
                    )
            except (asyncssh.ConnectionLost, ConnectionResetError, BrokenPipeError) as error:
                if attempt == _TRIES - 1 or watch.only_weak_host_keys():
                    raise await explain(host, way, error, watch) from None
            except asyncssh.DisconnectError as error:
                raise await explain(host, way, error, watch) from None
            except (OSError, asyncssh.Error, asyncssh.KeyImportError) as error:
                raise await explain(host, way, error, watch) from None
            else:
                cipher = prefix_can_be_cut(connection)
                if cipher is not None:
                    connection.abort()
                    raise Unreachable(
                        host,
                        _ACTION,
                        f"its SSH server knows no strict key exchange (CVE-2023-48795) and offers nothing better than {cipher}",
                        advice="update the SSH server, or allow aes256-gcm@openssh.com in its Ciphers",
                    )
                return connection
            await asyncio.sleep(random.uniform(0.05, 0.2) * 2**attempt)  # noqa: S311 # spreads retries, hides nothing
        raise AssertionError("unreachable")

    def _settings(self, way: Way, watch: KeyWatch) -> dict[str, Any]:
        """What is asked of asyncssh, whatever the configuration says."""
        return {
            "username": way.user,
            "known_hosts": way.trusted,
            "server_host_key_algs": way.trusted.algorithms(way.key_name, way.port),
            "client_factory": lambda: watch,
            "kex_algs": KEY_EXCHANGES,
            "encryption_algs": CIPHERS,
            "mac_algs": MACS,
            "signature_algs": SIGNATURES,
            "compression_algs": ["none"],
            "x509_trusted_certs": None,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "gss_kex": False,
            "gss_delegate_creds": False,
            "password_auth": False,
            "kbdint_auth": False,
            "request_pty": False,
            "command": None,
            "send_env": [],
            "env": {},
            "keepalive_interval": _KEEPALIVE_SECONDS,
            "keepalive_count_max": _KEEPALIVE_COUNT,
            "connect_timeout": None,  # the caller's deadline holds for everything
            "login_timeout": 60,
        }


@asynccontextmanager
async def _in_line(limit: Pace, clock: asyncio.Timeout | None) -> AsyncIterator[None]:
    """A place, with the time that was left before it was waited for."""
    until = clock.when() if clock is not None else None
    if clock is None or until is None:
        async with limit.place():
            yield
        return
    loop = asyncio.get_running_loop()
    left = until - loop.time()
    clock.reschedule(None)
    async with limit.place():
        clock.reschedule(loop.time() + left)
        yield


async def _nothing() -> None:
    return None


def _unusable(opening: asyncio.Task[_Chain]) -> bool:
    if not opening.done():
        return False
    if opening.cancelled() or opening.exception() is not None:
        return True
    return any(connection.is_closed() for connection in opening.result().connections)


async def _close(opening: asyncio.Task[_Chain]) -> None:
    """Closes the chain. One that is still being opened closes what it has by itself: it is not waited for, it may wait for us."""
    if not opening.done():
        opening.cancel()
    elif not opening.cancelled() and opening.exception() is None:
        await opening.result().close()
