"""Hosts behind a real router: an HTTP service on each, clients before it that never pause, and the real `qd` between them."""

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.backends.routers.contract import RouterState
from quarterdeck.config.routers import Router
from tests.backends.routers.running import Running
from tests.backends.routers.service import Client, load
from tests.counts import counts_are_full
from tests.field import Field
from tests.sshd import SshdFleet, SshHost, free_range

# Answers with the version; of each hundred requests the first ``fail`` are answered with 500, each after ``slow`` seconds.
SERVE = """
import asyncio, os, signal, sys
address, port, name = sys.argv[1], int(os.environ.get("QD_PORT") or sys.argv[2]), sys.argv[3]
fail, slow = int(sys.argv[4]), float(sys.argv[5])
asked = 0
async def serve(reader, writer):
    global asked
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            path = head.split(b" ", 2)[1]
            status = b"200 OK"
            if path != b"/health":
                asked += 1
                if asked % 100 < fail: status = b"500 Broken"
                if slow: await asyncio.sleep(slow)
            body = name.encode()
            writer.write(b"HTTP/1.1 %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (status, len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, address, port)
    open("../../pid" + os.environ.get("QD_SLOT", ""), "w").write(str(os.getpid()))
    await server.serve_forever()
asyncio.run(main())
"""
BREATH = 0.002 if counts_are_full() else 0.01
"""Seconds between an answer and a client's next request: asking takes more of a processor than the rollout does."""
STOP = (
    'if [ -s ../../pid$QD_SLOT ]; then kill -9 "$(cat ../../pid$QD_SLOT)" 2>/dev/null; '
    'while kill -0 "$(cat ../../pid$QD_SLOT)" 2>/dev/null; do sleep 0.05; done; fi; rm -f ../../running ../../pid$QD_SLOT'
)


class RoutedField(Field):
    """``router`` runs. ``count`` of the hosts are used."""

    def begin_with(self, router: Running, count: int = 3, *, slots: bool = False) -> None:
        """``slots``: two instances of the service can run on a host at the same time."""
        self.slots = slots
        self.router = router
        self.port = free_range(2, *(host.address for host in self.hosts.hosts)).start
        self.used = self.hosts.hosts[:count]
        for version, fail, slow in (("v1", 0, 0.0), ("v2", 0, 0.0), ("v3", 0, 0.0), ("broken", 30, 0.0)):
            self.make_serving(version, fail=fail, slow=slow)
        for host in self.hosts.hosts:
            self.home(host).mkdir(parents=True, exist_ok=True)
            (self.home(host) / "address").write_text(host.address)
        self.write(
            commands={"start": "sh ./start", "stop": STOP, "status": "test -s ../../pid$QD_SLOT"},
            **({"slots": {"blue": self.port, "green": self.port + 1}} if slots else {}),
            health={
                "http": {"port": self.port, "path": "/health", "host": "127.0.0.1"},
                "from": "bastion",
                "interval": "1s",
                "healthy_deadline": "30s",
            },
            router={"use": "edge/api", "affinity": "uid", "drain": "3s"},
        )

    def make_serving(self, version: str, *, fail: int = 0, slow: float = 0.0) -> None:
        start = (
            f"cat > serve.py <<'END'\n{SERVE}\nEND\n"
            f'setsid {sys.executable} serve.py "$(cat ../../address)" {self.port} {version} {fail} {slow} '
            "</dev/null >serve.log 2>&1 &\n"
            'echo "$QD_RELEASE" > ../../running\n'
        )
        self.make_version(version, start=start)

    def write(self, **service: Any) -> None:
        if hasattr(self, "router"):
            self.extra |= {
                "routers": {"edge": written(self.router.router)},
                "environments": {"staging": {"hosts": [host.name for host in self.used]}},
            }
        super().write(**service)

    def running(self) -> list[str | None]:
        if not self.slots:
            return super().running()[: len(self.used)]
        found: list[str | None] = []
        for host in self.used:  # two of them may run; what is current is one's
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(self.home(host) / "current").rpartition("/")[2].rpartition("-")[0])
        return found

    def instances(self) -> int:
        """How many run, on all hosts."""
        found = [path for host in self.used for path in self.home(host).glob("pid*")]
        return sum(Path(f"/proc/{path.read_text()}").exists() for path in found)

    def stop_all(self) -> None:
        for path in [path for host in self.hosts.hosts for path in self.home(host).glob("pid*")]:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)

    def kill(self, host: SshHost) -> None:
        """Its instance, as SIGKILL does it."""
        os.kill(int((self.home(host) / "pid").read_text()), signal.SIGKILL)

    def freeze(self, version: str) -> None:
        """Whoever serves this version answers nobody any more, also one that runs beside the current one."""
        for host, runs in zip(self.used, self.running(), strict=True):
            if self.slots:
                links = (self.home(host) / "slots").glob("*")
                names = [link.name for link in links if os.readlink(link).rpartition("/")[2].startswith(f"{version}-")]
            else:
                names = [""] if runs == version else []
            for name in names:
                os.kill(int((self.home(host) / f"pid{name}").read_text()), signal.SIGSTOP)

    async def routed(self) -> RouterState:
        return await self.router.connect().read()

    async def do(self, *arguments: str, status: int | None = 0) -> str:
        """`qd`, while the test's own loop goes on."""
        done = await asyncio.to_thread(self.qd, *arguments, status=status)
        return done.stdout

    @asynccontextmanager
    async def clients(self, pause: float = BREATH) -> AsyncIterator[Counter[str]]:
        """Four who ask without end; the counter says who answered. ``pause``: seconds between an answer and the next request."""
        async with load(self.router.port, again=self.router.closes_idle, pause=pause) as counted:
            yield counted

    async def asks(self, count: int, **headers: str) -> Counter[str]:
        client = Client(self.router.port)
        found = Counter([await client.get("/", **headers) for _ in range(count)])
        client.close()
        return found


@asynccontextmanager
async def behind(
    router: Running, directory: Path, hosts: SshdFleet, count: int = 3, *, slots: bool = False
) -> AsyncIterator[RoutedField]:
    """The first ``count`` of the hosts, on which nothing runs yet, behind a router that is started here and ended afterwards.

    ``directory``: of the fleet file, the journal and the artifacts. ``slots``: see ``RoutedField.begin_with``.
    """
    made = RoutedField(directory, hosts)
    made.clear_hosts()
    try:
        await router.start()
        made.begin_with(router, count, slots=slots)
        yield made
    finally:
        made.stop_all()
        await router.close()


def written(router: Router) -> dict[str, Any]:
    """As the fleet file has it."""
    body = dict(msgspec.to_builtins(router))
    kind = body.pop("kind")
    body.pop("name")
    return {kind: {key: value for key, value in body.items() if value != ""}}
