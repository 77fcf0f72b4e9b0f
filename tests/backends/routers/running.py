"""Real routers, started with exactly the text of docs/routers.md: only its paths and ports are exchanged for those of a test."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

import quarterdeck
from quarterdeck.backends.hosts.opening import Hosts
from quarterdeck.backends.routers.contract import RouterConnection
from quarterdeck.backends.routers.opening import open_router
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Routed, Router
from tests.backends.routers.service import eventually
from tests.requirements_here import need
from tests.sshd import free_port, processes_and_parents, wait_for

DOCUMENT = Path(quarterdeck.__file__).resolve().parent.parent / "docs" / "routers.md"
ROUTED = Routed("edge", "api", affinity="uid", check="/health")
"""The service of the document's examples."""


def documented(section: str, language: str) -> str:
    """The one block of that language in the section."""
    body = re.split(rf"^## {section}$", DOCUMENT.read_text(), flags=re.MULTILINE)[1].split("\n## ")[0]
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL)
    assert isinstance(text, str)
    return text


def exchanged(text: str, places: dict[str, str]) -> str:
    """Each must be there, or it is not the document's text that runs."""
    for place, ours in places.items():
        assert place in text, f"{place} is not in the documented configuration"
        text = text.replace(place, ours)
    return text


def program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    need(found is not None, f"{name} (Debian's package {package})")
    need(os.geteuid() == 0, "root, as routers are started")
    assert found is not None
    return found


def alive_in(group: int) -> list[str]:
    """Processes of a group, but for those that are dead and only waited for."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                state, _, its = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[:3]
                if int(its) == group and state not in "ZX":
                    found.append(entry)
    return found


class Running(ABC):
    """A router of a test's own, and the service ``api`` on it. Ended with ``close``."""

    kind: str
    closes_idle = True  # connections of clients, at a reload, without telling them so with an answer
    routed = ROUTED

    def lost(self, _requests: int) -> int:
        """How many requests may fail while it is changed."""
        return 0

    def reset(self, _changes: int, _clients: int) -> int:
        """How many connections it may reset with so many changes, however few requests there are."""
        return 0

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="qd-router-"))
        self.directory.chmod(0o755)
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._connections: list[RouterConnection] = []

    @property
    @abstractmethod
    def router(self) -> Router: ...

    @property
    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    async def answering(self) -> bool: ...

    @abstractmethod
    async def reload(self) -> None:
        """As an operator would, after another service's part of the configuration was changed. Returns once the new one runs."""

    def connect(self, router: Router | None = None) -> RouterConnection:
        made = open_router(router or self.router, self.routed, Hosts(), {})
        self._connections.append(made)
        return made

    async def start(self) -> None:
        self._begin()
        async with asyncio.timeout(60):
            while not await self.answering():
                assert self.process is not None
                assert self.process.poll() is None, (self.directory / "log").read_text()
                await asyncio.sleep(0.02)

    def _begin(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )

    def kill(self) -> None:
        """With all its processes, as a crash of the machine does."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=60)
            group = self.process.pid
            # A worker that is not gone yet still takes connections.
            wait_for(lambda: not alive_in(group), f"every process of {self.kind} is gone")
            self.process = None

    async def restart(self) -> None:
        self.kill()
        await self.start()

    async def listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class RunningHaproxy(Running):
    kind = "haproxy"
    closes_idle = False

    def __init__(self) -> None:
        super().__init__()
        self._program = program("haproxy", "haproxy")
        files = self.directory / "qd"
        files.mkdir()
        for name in ("api_share.map", "api_rules.map"):
            (files / name).touch()
        self.configuration = self.directory / "haproxy.cfg"
        self.configuration.write_text(
            exchanged(
                documented("HAProxy", "haproxy"),
                {
                    "/run/haproxy/admin.sock": str(self.socket),
                    "/var/lib/haproxy/qd": str(files),
                    "bind :80": f"bind 127.0.0.1:{self.port}",
                },
            )
        )

    @property
    def socket(self) -> Path:
        return self.directory / "admin.sock"

    @property
    def router(self) -> HaproxyRouter:
        return HaproxyRouter("edge", socket=str(self.socket), files=str(self.directory / "qd"))

    @property
    def command(self) -> list[str]:
        return [self._program, "-W", "-f", str(self.configuration)]

    async def ask(self, command: str) -> str:
        """A person at the runtime socket."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(command.encode() + b"\n")
        answer = (await reader.read()).decode()
        writer.close()
        return answer

    async def _pid(self) -> str:
        try:
            found = re.search(r"^Pid: (\d+)", await self.ask("show info"), flags=re.MULTILINE)
        except OSError:
            return ""
        return found[1] if found else ""

    async def answering(self) -> bool:
        return await self._pid() != "" and await self.listens()

    async def reload(self) -> None:
        before = await self._pid()
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2)

        async def changed() -> bool:
            return await self._pid() not in ("", before)

        await eventually(changed, "another process answers")


class RunningNginx(Running):
    kind = "nginx"

    def __init__(self) -> None:
        super().__init__()
        self._program = program("nginx", "nginx-light")
        self.files = self.directory / "qd"
        self.files.mkdir()
        self.status = f"127.0.0.1:{free_port()}"
        self.configuration = self.directory / "nginx.conf"
        self.configuration.write_text(
            exchanged(
                documented("nginx", "nginx"),
                {
                    "pid /run/nginx.pid": f"pid {self.directory}/nginx.pid",
                    "/var/log/nginx/": f"{self.directory}/",
                    "/etc/nginx/qd/": f"{self.files}/",
                    "listen 80;": f"listen 127.0.0.1:{self.port};",
                    "listen 127.0.0.1:8491;": f"listen {self.status};",
                },
            )
        )
        (self.files / "api.conf").write_text(documented("nginx", "conf"))

    @property
    def router(self) -> NginxRouter:
        return NginxRouter(
            "edge",
            upstreams=str(self.files),
            test=f"{self._program} -t -q -c {self.configuration}",
            reload=f"{self._program} -s reload -c {self.configuration}",
            status=self.status,
            pid=f"{self.directory}/nginx.pid",
        )

    @property
    def command(self) -> list[str]:
        return [self._program, "-c", str(self.configuration), "-g", "daemon off;"]

    async def answering(self) -> bool:
        return (self.directory / "nginx.pid").exists() and await self.listens()

    def workers(self) -> set[int]:
        """Those that take requests."""
        assert self.process is not None
        found = set()
        for pid, parent in processes_and_parents():
            if parent == self.process.pid:
                with contextlib.suppress(OSError):
                    if b"shutting down" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.add(pid)
        return found

    async def reload(self) -> None:
        before = self.workers()
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

        async def changed() -> bool:
            now = self.workers()
            return bool(now) and not now & before

        await eventually(changed, "other workers answer")

    async def restart(self) -> None:
        self.kill()
        (self.directory / "nginx.pid").unlink()
        await self.start()


class RunningCaddy(Running):
    kind = "caddy"

    def lost(self, requests: int) -> int:
        """Each change makes it listen anew, and the kernel resets the connections that nobody had taken yet, unless it is told to hand
        them on."""
        return 0 if self._handed_on else requests // 1000

    def reset(self, changes: int, clients: int) -> int:
        """Each client may be in the middle of connecting, at each of them."""
        return 0 if self._handed_on else changes * clients

    @property
    def _handed_on(self) -> bool:
        return Path("/proc/sys/net/ipv4/tcp_migrate_req").read_text().strip() == "1"

    def __init__(self) -> None:
        super().__init__()
        self._program = program("caddy", "caddy")
        self.admin = f"localhost:{free_port()}"
        self.configuration = self.directory / "quarterdeck.json"
        self.configuration.write_text(
            exchanged(
                documented("Caddy", "json"),
                {'":80"': f'"127.0.0.1:{self.port}"', "localhost:2019": self.admin},
            )
        )

    @property
    def router(self) -> CaddyRouter:
        return CaddyRouter("edge", admin=self.admin)

    @property
    def command(self) -> list[str]:
        """As Debian's caddy-api.service has it; the first start finds nothing to resume."""
        places = [f"{name}={self.directory}" for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")]
        return ["env", *places, self._program, "run", "--resume", "--config", str(self.configuration)]

    async def answering(self) -> bool:
        return await self.listens()

    async def reload(self) -> None:
        """The same configuration once more, as it is loaded after another part of it was changed."""
        host, _, port = self.admin.rpartition(":")

        async def ask(request: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"Host: {self.admin}\r\nConnection: close\r\n".encode()
            writer.write(request.replace(b"\r\n", b"\r\n" + head, 1))
            answer = await reader.read()
            writer.close()
            assert b" 200 " in answer.split(b"\r\n")[0], answer
            return answer.partition(b"\r\n\r\n")[2]

        body = await ask(b"GET /config/ HTTP/1.0\r\n\r\n")
        head = b"Content-Type: application/json\r\nCache-Control: must-revalidate\r\nContent-Length: %d" % len(body)
        await ask(b"POST /load HTTP/1.0\r\n%s\r\n\r\n%s" % (head, body))


KINDS: dict[str, type[Running]] = {"haproxy": RunningHaproxy, "nginx": RunningNginx, "caddy": RunningCaddy}
