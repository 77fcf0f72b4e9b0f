"""Real HTTP servers that stand behind a router, and clients before it that never pause, all on the test's own loop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from quarterdeck.backends.routers.contract import Server


class Instance:
    """Answers each request with its name. ``/health`` with 200, or 503 while it is ill; ``/slow`` once it is told to."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.ill = False
        self.failing = False  # every answer but that to /health is a 500
        self.failing_one_in = 0  # likewise, of so many; 0: none
        self.takes = 0.0  # seconds, until such an answer
        self.answered = 0
        self.slow_ones = 0  # asked for, and not answered yet
        self.finish_slow_ones = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> "Instance":
        """Listens (again), on the port that it had."""
        self._server = await asyncio.start_server(self._serve, self.address, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def server(self) -> Server:
        return Server(self.address, self.port)

    @property
    def serving(self) -> bool:
        return bool(self._open)

    def kill(self) -> None:
        """As SIGKILL does it: nobody listens, and every connection is reset."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                if path == "/slow":
                    self.slow_ones += 1
                    await self.finish_slow_ones.wait()
                    self.slow_ones -= 1
                bad = self.ill
                if path != "/health":
                    self.answered += 1
                    bad = self.failing or (self.failing_one_in > 0 and self.answered % self.failing_one_in == 0)
                    if self.takes:
                        await asyncio.sleep(self.takes)
                status = b"503 Ill" if bad and path == "/health" else b"500 Broken" if bad else b"200 OK"
                body = self.name.encode()
                writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@asynccontextmanager
async def instances(*names: str) -> AsyncIterator[list[Instance]]:
    """Each with an address of its own, as the hosts of a service have."""
    started = [await Instance(name, f"127.0.0.{at}").start() for at, name in enumerate(names, 2)]
    try:
        yield started
    finally:
        for one in started:
            one.finish_slow_ones.set()
            one.kill()
        await until(lambda: not any(one.serving for one in started), "nobody is served any more")


class Client:
    """One that keeps its connection, as browsers and proxies do, and opens another where it was told that this one ends.

    ``again``: where a connection that it had used before ends without a byte of an answer, it asks once more over a new one, as RFC 9112
    (9.3.1) lets it and HTTP libraries do.
    """

    def __init__(self, port: int, *, again: bool = False) -> None:
        self._port = port
        self._again = again
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str = "/", **headers: str) -> str:
        """Who answered; ``502``, ``ConnectionResetError``, … where it was not as it should be."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        request = f"GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n".encode()
        used = self._streams is not None
        try:
            async with asyncio.timeout(60):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._streams
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0] or 0)
                body = (await reader.readexactly(length)).decode()
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            untouched = isinstance(error, ConnectionError) or not getattr(error, "partial", b"")
            return await self.get(path, **headers) if self._again and used and untouched else type(error).__name__
        if "connection: close" in head:
            self.close()
        status = head.split()[1]
        return body if status == "200" else status

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def answers(port: int, count: int, path: str = "/", **headers: str) -> Counter[str]:
    """Who answered ``count`` requests, one after the other."""
    client = Client(port)
    found = Counter([await client.get(path, **headers) for _ in range(count)])
    client.close()
    return found


CLIENTS: Final = 4


@asynccontextmanager
async def load(
    port: int, *, again: bool = False, clients: int = CLIENTS, path: str = "/", pause: float = 0.002
) -> AsyncIterator[Counter[str]]:
    """Requests while the block runs; the counter grows meanwhile. ``again``: see ``Client``; ``pause``: seconds between an answer and the
    client's next request."""
    counted: Counter[str] = Counter()
    over = asyncio.Event()

    async def ask() -> None:
        client = Client(port, again=again)
        while not over.is_set():
            counted[(await client.get(path)).strip()] += 1
            await asyncio.sleep(pause)
        client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(ask())
        try:
            yield counted
        finally:
            over.set()


async def until(condition: Callable[[], object], what: str, deadline: float = 60.0) -> None:
    """Waits for it. Raises ``TimeoutError``."""

    async def holds() -> object:
        return condition()

    await eventually(holds, what, deadline)


async def eventually(asking: Callable[[], Awaitable[object]], what: str, deadline: float = 60.0) -> None:
    """Asks until the answer is yes. Raises ``TimeoutError``."""
    end = asyncio.get_running_loop().time() + deadline
    while not await asking():
        if asyncio.get_running_loop().time() > end:
            raise TimeoutError(f"after {deadline} s still not so: {what}")
        await asyncio.sleep(0.01)


async def more(counted: Counter[str], count: int, name: str = "") -> None:
    """Waits until ``count`` more requests were answered, by ``name`` where one is given."""

    def now() -> int:
        return counted[name] if name else sum(counted.values())

    wanted = now() + count
    await until(lambda: now() >= wanted, f"{count} more answers of {name or 'anybody'}")
