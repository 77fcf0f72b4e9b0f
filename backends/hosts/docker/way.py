"""The ways to an engine: a socket here, one that is forwarded over SSH, TCP. Each knows how to be ready again after it was cut."""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import docker

from quarterdeck.backends.errors import BackendError, NotPermitted, Unreachable
from quarterdeck.backends.hosts.docker.client import tcp_client, unix_client
from quarterdeck.backends.hosts.docker.place import Place, SshPlace, TcpPlace, UnixPlace, is_this_machine
from quarterdeck.backends.hosts.docker.refusals import no_socket, nobody_listens, not_permitted

if TYPE_CHECKING:
    import asyncssh

    from quarterdeck.backends.hosts.ssh.connection import SshConnection

_HERE: Final = "127.0.0.1"
_PREFIX: Final = "qd-engine-"
_NAME: Final = "engine.sock"
_LONGEST_PATH: Final = 100  # bytes of a socket's path; the kernel takes 107
_LOOK: Final = """p={path}
[ -e "$p" ] || { [ -h "$p" ] || { echo "missing $(id -un)"; exit 0; }; }
[ -S "$p" ] || { echo "other $(id -un)"; exit 0; }
[ -w "$p" ] || { echo "forbidden $(id -un)"; exit 0; }
r=$(readlink -f "$p" 2>/dev/null || echo "$p")
listens=no
while read -r a b c flags d e f path; do
    case $path in "$p" | "$r" | "/var$r") [ "$flags" = 00010000 ] && listens=yes ;; esac
done </proc/net/unix
echo "$listens $(id -un)"
"""

Connect = Callable[[float], Awaitable["SshConnection"]]
"""Opens the SSH connection (again) within so many seconds."""


class Way(Protocol):
    place: Place
    ssh: "SshConnection | None"
    address: str
    is_there: bool  # ``open_tcp`` connects as the engine's machine does, to its containers' own addresses too

    def client(self) -> docker.APIClient:
        """Made in a thread: it reads files."""
        ...

    async def ready(self, deadline: float, /) -> None:
        """Opens again what was cut. ``Unreachable`` and its kinds."""
        ...

    async def explain(self, error: BackendError, deadline: float, /) -> BackendError:
        """A better word for why the engine could not be reached, where the way knows one."""
        ...

    async def open_tcp(self, address: str, port: int) -> tuple[Any, Any]: ...

    async def close(self) -> None: ...


class DirectWay:
    """A socket of this machine, or TCP."""

    def __init__(self, place: UnixPlace | TcpPlace) -> None:
        self.ssh: SshConnection | None = None
        self.place: Place = place
        self._place = place
        self.address = place.name if isinstance(place, TcpPlace) else _HERE
        self.is_there = not isinstance(place, TcpPlace) or is_this_machine(place.name)

    def client(self) -> docker.APIClient:
        if isinstance(self._place, TcpPlace):
            return tcp_client(self._place.name, self._place.port, self._place.tls)
        return unix_client(self._place.path)

    async def ready(self, _deadline: float) -> None:
        return None

    async def explain(self, error: BackendError, _deadline: float) -> BackendError:
        return error

    async def open_tcp(self, address: str, port: int) -> tuple[Any, Any]:
        return await asyncio.open_connection(self.address if address == _HERE else address, port)

    async def close(self) -> None:
        return None


class SshWay:
    """The engine's socket, forwarded over an SSH connection of our own stack to a socket that only this user can open."""

    is_there = True

    def __init__(self, host: str, place: SshPlace, connect: Connect) -> None:
        self._host = host
        self.place: Place = place
        self._place = place
        self._connect = connect
        self._opening = asyncio.Lock()
        self._listener: asyncssh.SSHListener | None = None
        self._directory: Path | None = None
        self._closed = False
        self.ssh: SshConnection | None = None
        self.address = ""

    @property
    def _socket(self) -> str:
        assert self._directory is not None, "ready() comes first"
        return str(self._directory / _NAME)

    def client(self) -> docker.APIClient:
        return unix_client(self._socket)

    async def ready(self, deadline: float) -> None:
        if self.ssh is not None and not self.ssh.ssh.is_closed():
            return
        async with self._opening:
            if self._closed:
                raise Unreachable(self._host, "connect", "the connection to the engine was closed here")
            if self.ssh is not None and not self.ssh.ssh.is_closed():
                return
            await self._let_go()
            connection = await self._connect(deadline)
            try:
                if self._directory is None:
                    self._directory = private_directory()
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._socket)
                self._listener = await connection.ssh.forward_local_path(self._socket, self._place.path)
                os.chmod(self._socket, 0o600)
            except OSError as error:
                await connection.close()
                raise BackendError(
                    self._host,
                    "connect",
                    f"no socket can be made in {self._directory or tempfile.gettempdir()} on this machine: {error.strerror or error}",
                    left="Nothing was asked of the engine",
                    advice="set TMPDIR to a directory with room, and with a short name",
                ) from None
            except BaseException:
                await connection.close()
                raise
            self.ssh = connection
            self.address = connection.address

    async def explain(self, error: BackendError, deadline: float) -> BackendError:
        """sshd says the same of a socket that is missing, one that it may not open, and of forwarding that is forbidden: the host is
        asked for the difference."""
        connection = self.ssh
        if connection is None or connection.ssh.is_closed() or not isinstance(error, Unreachable):
            return error
        action = error.action
        if not await self._is_refused(connection, deadline):
            return error  # it can be opened: the engine itself is what does not answer
        from quarterdeck.backends.hosts.ssh.quoting import quote

        try:
            looked = await connection.execute(_LOOK.replace("{path}", quote(self._place.path)), deadline=deadline)
        except BackendError:
            looked = None
        seen, _, user = (looked.output.strip() if looked is not None and looked.exit_status == 0 else "").partition(" ")
        match seen:
            case "missing":
                return no_socket(self._host, self._place, action)
            case "other":
                return Unreachable(
                    self._host,
                    action,
                    f"{self._place.path} there is no socket",
                    advice="name the engine's in the host's docker entry",
                )
            case "forbidden":
                return not_permitted(self._host, self._place, action, user)
            case "no":
                return nobody_listens(self._host, self._place, action)
            case "yes" if not await self._is_refused(connection, deadline):
                return error  # the engine has come back meanwhile
            case "yes":
                return NotPermitted(
                    self._host,
                    action,
                    f"its SSH server does not forward the socket {self._place.path}, which is there and open to {user}",
                    left="Nothing was asked of the engine",
                    advice="set AllowStreamLocalForwarding yes in its sshd_config (OpenSSH wants AllowTcpForwarding yes with it), and "
                    "let the key's options in authorized_keys permit port-forwarding",
                )
        return Unreachable(
            self._host,
            action,
            f"its SSH server does not open the socket {self._place.path}",
            left="Nothing was asked of the engine",
            advice="it is missing there, its user may not open it (group docker), or AllowStreamLocalForwarding forbids it",
        )

    async def _is_refused(self, connection: "SshConnection", deadline: float) -> bool:
        """Whether sshd says that it does not open the engine's socket."""
        import asyncssh

        try:
            async with asyncio.timeout(deadline):
                _, writer = await connection.ssh.open_unix_connection(self._place.path, encoding=None)
        except asyncssh.ChannelOpenError:
            return True
        except (OSError, TimeoutError, asyncssh.Error):
            return False
        writer.close()
        return False

    async def open_tcp(self, address: str, port: int) -> tuple[Any, Any]:
        import asyncssh

        from quarterdeck.backends.hosts.ssh.channel import lost

        assert self.ssh is not None, "ready() comes first"
        action = f"connect to {address}:{port}"
        try:
            return await self.ssh.ssh.open_connection(address, port, encoding=None)
        except asyncssh.ChannelOpenError as error:
            if self.ssh.ssh.is_closed():
                raise lost(self._host, action, asyncssh.ConnectionLost(error.reason), started=False) from None
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                self.ssh.forwarding = False
                raise NotPermitted(
                    self._host,
                    action,
                    "its SSH server opens no connections for us",
                    advice="set AllowTcpForwarding yes in its sshd_config, and let PermitOpen there allow it",
                ) from None
            raise ConnectionRefusedError(error.reason) from None
        except asyncssh.Error as error:
            raise lost(self._host, action, error, started=False) from None

    async def close(self) -> None:
        self._closed = True
        async with self._opening:
            await self._let_go()
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
                self._directory = None

    async def _let_go(self) -> None:
        listener, self._listener = self._listener, None
        connection, self.ssh = self.ssh, None
        if listener is not None:
            listener.close()
        if connection is not None:
            await connection.close()


def private_directory() -> Path:
    """A new directory that only this user can enter, with a name short enough for a socket in it. Raises ``OSError``."""
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108 # mkdtemp makes a private one in it
        if parent and len(os.fsencode(parent)) < _LONGEST_PATH - 40 and os.access(parent, os.W_OK | os.X_OK):
            _clear_away(Path(parent))
            return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    raise OSError("no directory for temporary files can be written")


def _clear_away(parent: Path) -> None:
    """What a process of this user left that was killed: sockets at which nobody listens any more."""
    for directory in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if directory.lstat().st_uid != os.geteuid():
                continue
            with socket.socket(socket.AF_UNIX) as asked:
                asked.setblocking(False)
                try:
                    asked.connect(str(directory / _NAME))
                except ConnectionRefusedError:
                    shutil.rmtree(directory, ignore_errors=True)
