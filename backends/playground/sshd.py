"""One embedded SSH host: lets in the playground's key only, forwards to loopback only, else answers as OpenSSH does.

To its clients a playground host is a machine of its own: what they forward to 127.0.0.1 or localhost goes to the host's
own address in 127.0.0.0/8 (as it would in a network namespace), so that six hosts can use the same ports.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import cast

import asyncssh

from quarterdeck.backends.playground.layout import PlaygroundHost
from quarterdeck.backends.playground.session import HostSession, RunningCommands

LOOPBACK = ip_network("127.0.0.0/8")


@dataclass(frozen=True, slots=True)
class HostSettings:
    host: PlaygroundHost
    user: str
    client_key: asyncssh.SSHKey  # public
    host_key: asyncssh.SSHKey = field(repr=False)
    environment: dict[str, str] = field(repr=False)  # of every command


class HostServer(asyncssh.SSHServer):
    """One connection to the host."""

    def __init__(self, settings: HostSettings, commands: RunningCommands) -> None:
        self._settings = settings
        self._commands = commands

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, _username: str) -> bool:
        return True  # whoever it is has to show the key

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        # asyncssh checks afterwards that the client holds the private half.
        return username == self._settings.user and key.public_data == self._settings.client_key.public_data

    def session_requested(self) -> "HostSession":
        environment = dict(self._settings.environment)
        client, own = self._connection.get_extra_info("peername"), self._connection.get_extra_info("sockname")
        environment["SSH_CLIENT"] = f"{client[0]} {client[1]} {own[1]}"
        environment["SSH_CONNECTION"] = f"{client[0]} {client[1]} {own[0]} {own[1]}"
        return HostSession(self._settings.host, environment, self._commands)

    def connection_requested(
        self, dest_host: str, dest_port: int, _orig_host: str, _orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        if dest_host in ("127.0.0.1", "localhost", "::1", self._settings.host.name):
            dest_host = self._settings.host.address
        try:
            permitted = ip_address(dest_host) in LOOPBACK
        except ValueError:
            permitted = False
        if not permitted:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "a playground host forwards to loopback addresses only"
            )
        # A forwarder is used as a session, whatever its base classes say.
        forwarding = self._connection.forward_connection(dest_host, dest_port)
        return cast("Awaitable[asyncssh.SSHTCPSession[bytes]]", forwarding)


async def serve(settings: HostSettings, listener: socket.socket) -> None:
    """Serves until SIGTERM. ``listener`` is bound to the host's address already."""
    commands = RunningCommands()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGCHLD, commands.reap)
    server = await asyncssh.listen(
        sock=listener,
        backlog=256,
        server_factory=lambda: HostServer(settings, commands),
        server_host_keys=[settings.host_key],
        server_version="QuarterdeckPlayground",
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        agent_forwarding=False,
        x11_forwarding=False,
        line_editor=False,
        encoding=None,
        login_timeout=30,
    )
    await ended.wait()
    server.close()


def environment_of(host: PlaygroundHost, user: str, mark: dict[str, str]) -> dict[str, str]:
    """What a login on the host finds: nothing of the environment that the playground was started in."""
    return {
        "HOME": str(host.home),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/sh",
        "PATH": f"{host.home}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "TMPDIR": str(host.home / "tmp"),  # so that what commands leave there goes with the playground
        **mark,
    }


def prepare_home(host: PlaygroundHost, python: Path) -> None:
    """The directories and files of a fresh host; ``python`` is used where the system has no python3 of its own."""
    for name in ("bin", "tmp"):
        (host.home / name).mkdir(parents=True, exist_ok=True)
    (host.home / ".address").write_text(host.address + "\n", encoding="ascii")
    (host.home / ".hostname").write_text(host.name + "\n", encoding="ascii")
    if not any(os.access(f"{directory}/python3", os.X_OK) for directory in ("/usr/local/bin", "/usr/bin", "/bin")):
        (host.home / "bin" / "python3").symlink_to(python)
