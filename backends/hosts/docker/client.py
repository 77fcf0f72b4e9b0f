"""The SDK's client on connections that can be ended from outside: what a thread waits for ends when nobody wants it any more.

A thread can't be interrupted, but its socket can be shut down, and then the thread goes on at once. Every request is therefore made
for a ``Work``, which knows the connections that are in use for it, and no others.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import docker
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPConnection

CALLS_AT_ONCE: Final = 8
STREAMS_AT_ONCE: Final = 64
_CONNECTING: Final = 10.0  # seconds for one connection to be made; the deadline of the call may be shorter
_FULL: Final = 0.02  # seconds before a socket whose queue is full is asked again

_OLDEST_UNTIL_KNOWN: Final = "1.41"
_TCP_KEEPALIVE: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPIDLE", 4), 3),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPINTVL", 5), 3),
    (socket.IPPROTO_TCP, getattr(socket, "TCP_KEEPCNT", 6), 3),
]

_owning: Final = threading.Lock()
"""Held while a connection changes its owner, and while the connections of one are shut down."""

_thread = threading.local()


class Ended(ConnectionError):
    """Nobody wants this work any more."""


class Work:
    """One call, or one stream. ``until``: a monotonic time, None for a stream, which may be silent for as long as it likes."""

    def __init__(self, count: Callable[[], None], until: float | None = None) -> None:
        self.until = until
        self.begun = False
        self.ended = False
        self.count = count
        self._connections: set[_OwnedConnection] = set()

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """What this thread asks within is asked for this work."""
        self.begun = True
        _thread.work = self
        try:
            yield
        finally:
            del _thread.work
            with _owning:
                unread = [connection for connection in self._connections if connection.owner is self]
                for connection in unread:
                    connection.owner = None
                self._connections.clear()
            for connection in unread:  # its answer was not read to the end: it is of no use to others
                connection.close()

    def end(self) -> None:
        """From any thread: whatever waits for an answer stops waiting. Does nothing to connections that others use by now."""
        with _owning:
            self.ended = True
            for connection in self._connections:
                if connection.owner is self:
                    connection.shut_down()

    def took(self, connection: "_OwnedConnection") -> None:
        with _owning:
            if self.ended:
                raise Ended("nobody waits for it any more")
            connection.owner = self
            self._connections.add(connection)

    def timeouts(self) -> tuple[float, float] | tuple[float, None]:
        """Seconds for connecting and for each read."""
        if self.until is None:
            return _CONNECTING, None
        left = max(0.05, self.until - time.monotonic())
        # A little longer than the one who waits: it is that one who says what the matter is.
        return min(_CONNECTING, left), left + 0.5


class _OwnedConnection(HTTPConnection):
    """``owner`` is the work that it is used for now."""

    owner: Work | None = None
    last_socket: socket.socket | None = None

    def putrequest(self, method: str, url: str, skip_host: bool = False, skip_accept_encoding: bool = False) -> None:
        work: Work = _thread.work
        work.took(self)
        super().putrequest(method, url, skip_host, skip_accept_encoding)

    def connect(self) -> None:
        super().connect()
        # Kept by itself: a connection forgets its socket while the response still reads from it.
        self.last_socket = self.sock
        if self.owner is not None and self.owner.ended:
            raise Ended("nobody waits for it any more")

    def shut_down(self) -> None:
        if self.last_socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which takes the TLS layer away from the thread that is reading.
                socket.socket.shutdown(self.last_socket, socket.SHUT_RDWR)


class _UnixConnection(_OwnedConnection):
    def __init__(self, *arguments: Any, path: str, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._path = path

    def _new_conn(self) -> socket.socket:
        timeout = self.timeout if isinstance(self.timeout, (int, float)) else _CONNECTING
        end = time.monotonic() + timeout
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(timeout)
        while True:
            try:
                made.connect(self._path)
            except BlockingIOError:  # its queue is full: the kernel does not let one wait for that
                if time.monotonic() > end or (self.owner is not None and self.owner.ended):
                    made.close()
                    raise TimeoutError("the engine takes no further connection") from None
                time.sleep(_FULL)
            except OSError:
                made.close()
                raise
            else:
                return made


class _TlsConnection(_OwnedConnection, HTTPSConnection):
    """TLS below, the owner above."""


class _Pool(urllib3.HTTPConnectionPool):
    """A connection that lies in the pool belongs to nobody: it is not shut down with the work that used it last."""

    def _put_conn(self, conn: "BaseHTTPConnection | None") -> None:
        if isinstance(conn, _OwnedConnection):
            with _owning:
                conn.owner = None
        super()._put_conn(conn)


class _UnixPool(_Pool):
    ConnectionCls = _UnixConnection


class _TcpPool(_Pool):
    ConnectionCls = _OwnedConnection


class _TlsPool(_Pool, urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    """Counts what is asked, and gives each request the time that is left for its work, whatever the SDK would give it."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,  # noqa: ARG002 # the work's own holds
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 # none on the way to an engine
    ) -> requests.Response:
        work: Work = _thread.work
        work.count()
        return super().send(request, stream, work.timeouts(), verify, cert, None)


class _UnixAdapter(_Adapter):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _UnixPool("localhost", maxsize=CALLS_AT_ONCE + STREAMS_AT_ONCE, path=path)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> urllib3.HTTPConnectionPool:
        return self._pool

    def request_url(
        self,
        request: requests.PreparedRequest,
        proxies: Mapping[str, str] | None,  # noqa: ARG002 # none to a socket
    ) -> str:
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


class _TcpAdapter(_Adapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **keywords: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, socket_options=_TCP_KEEPALIVE, **keywords)
        self.poolmanager.pool_classes_by_scheme = {"http": _TcpPool, "https": _TlsPool}


def unix_client(path: str) -> docker.APIClient:
    """For an engine that listens at ``path`` on this machine, or is forwarded to there. Reads Docker's own config.json."""
    client = docker.APIClient(base_url=f"unix://{path}", version=_OLDEST_UNTIL_KNOWN)
    client.mount("http+docker://", _UnixAdapter(path))
    client.trust_env = False
    return client


def tcp_client(address: str, port: int, tls: tuple[str, str, str] | None) -> docker.APIClient:
    """``tls``: the files of the authority, the certificate and its key; the engine's own certificate is always verified.

    Proxies and certificate bundles of the environment are not for engines.
    """
    name = f"[{address}]" if ":" in address else address
    scheme = "https" if tls else "http"
    client = docker.APIClient(base_url=f"{scheme}://{name}:{port}", version=_OLDEST_UNTIL_KNOWN)
    client.mount(f"{scheme}://", _TcpAdapter(pool_maxsize=CALLS_AT_ONCE + STREAMS_AT_ONCE))
    client.trust_env = False
    if tls:
        authority, certificate, key = tls
        client.verify = authority
        client.cert = (certificate, key)
    return client


def speak(client: docker.APIClient, version: str) -> None:
    """From now on ``client`` speaks this version of the API. The SDK itself only knows to take the engine's newest."""
    setattr(client, "_version", version)  # noqa: B010 # the attribute is the SDK's own, its type does not show it
