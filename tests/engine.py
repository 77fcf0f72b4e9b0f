"""Real Docker engines, one process each, in a directory and on a bridge of their own. Leaves no process, mount or bridge behind."""

import contextlib
import io
import os
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import docker
import docker.errors

from quarterdeck.config.model import Host
from tests.requirements_here import need
from tests.sshd import wait_for

_SCRIPT: Final = Path(__file__).with_name("dockerd.sh")
_NETS: Final = range(180, 244)  # engines of all runs on this machine: 10.180.0.0/16 and so on
_APPLETS: Final = (
    "sh httpd wget sleep cat echo true false kill date nc tail seq env test printf dd yes head ls id mkdir rm touch tr"
)
SERVES: Final = (
    "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"  # the first process of a container ignores TERM by default
)
_CAP_NET_ADMIN: Final = 12
_CAP_SYS_ADMIN: Final = 21
_STUBBORN: Final = "trap '' TERM; httpd -p 8080 -h /www; while :; do sleep 1; done"


def program_of(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def need_docker() -> None:
    """Skips, or fails where everything is required, when no engine can be started here."""
    need(os.geteuid() == 0, "root (for a Docker engine)")
    need(_may(_CAP_SYS_ADMIN) and _may(_CAP_NET_ADMIN), "the right to mount and to make bridges (for a Docker engine)")
    for program, package in (("dockerd", "docker.io"), ("iptables", "iptables"), ("ip", "iproute2")):
        need(program_of(program) is not None, f"{program} (package {package})")
    need(_busybox() is not None, "busybox that needs no library (package busybox-static)")


def _may(capability: int) -> bool:
    """Whether this process has it: root of a container often has not."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> capability & 1)


def _busybox() -> Path | None:
    found = program_of("busybox")
    if found is None:
        return None
    # The package busybox is linked against libc, which an image made of nothing else does not have.
    return None if b"/ld-linux" in Path(found).read_bytes() else Path(found)


@dataclass
class DockerEngine:
    """One engine. ``arguments``: further ones of dockerd, which a restart may change."""

    directory: Path
    net: int
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _held: socket.socket | None = field(default=None, repr=False)
    _watchdog: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _client: docker.APIClient | None = field(default=None, repr=False)

    @property
    def socket(self) -> Path:
        return self.directory / "engine.sock"

    @property
    def log(self) -> str:
        return (self.directory / "dockerd.log").read_text(errors="replace")

    @property
    def client(self) -> docker.APIClient:
        """The SDK's own, for what a test prepares and looks at."""
        if self._client is None:
            self._client = docker.APIClient(base_url=f"unix://{self.socket}", version="auto", timeout=60)
        return self._client

    def as_host(self, name: str = "box-1", **labels: str) -> Host:
        """As the fleet file would name it."""
        return Host(name, labels=labels, docker=f"unix://{self.socket}")

    def start(self) -> None:
        """Starts the engine (again) and waits until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "dockerd.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", str(_SCRIPT), "up", str(self.directory), str(self.net), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(self._answers_or_ended, "the Docker engine answers", 60)
        if self.process.poll() is not None:
            raise RuntimeError(f"the Docker engine ended:\n{self.log[-3000:]}")

    def _answers_or_ended(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            return True
        try:
            return self.client.ping() is True
        except (OSError, docker.errors.DockerException):
            return False

    def stop(self) -> None:
        """As ``systemctl stop`` does: containers go on."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; containers go on."""
        self._end(signal.SIGKILL)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=60)
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP: connections are taken and nothing is answered. A thread that runs on another processor may still answer until each
        of them has stopped."""
        assert self.process is not None
        pid = self.process.pid
        self.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: stands_still(pid), "every thread stands still")

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def image(
        self,
        reference: str,
        files: Mapping[str, str] | None = None,
        *,
        exits: bool = False,
        healthy: bool = True,
        ignores_term: bool = False,
        command: Sequence[str] = (),
        changes: Sequence[str] = (),
    ) -> str:
        """Makes ``name:tag``, which serves /www on port 8080 (/version says the tag, /health ok), and gives the image's id.

        ``files``: further ones by their absolute paths. ``exits``: its process ends at once with 1. ``healthy`` False: there is no
        /health. ``ignores_term``: only SIGKILL ends it. ``command`` instead of all that; ``changes`` as in a Dockerfile.
        """
        words = list(command) or ["sh", "-c", "exit 1" if exits else _STUBBORN if ignores_term else SERVES]
        return make_image(self.client, reference, words, files, healthy=healthy, changes=changes)

    def run(self, image: str, name: str | None = None, **arguments: Any) -> str:
        """A started container's id; ``arguments`` as ``APIClient.create_container`` takes them, ``host`` those of its host_config."""
        host = self.client.create_host_config(**arguments.pop("host", {}))
        container: str = self.client.create_container(image, name=name, host_config=host, **arguments)["Id"]
        self.client.start(container)
        return container

    def remove_containers(self) -> None:
        """All of them, running or not, with their volumes."""
        for container in self.client.containers(all=True):
            with contextlib.suppress(docker.errors.APIError):
                self.client.remove_container(container["Id"], force=True, v=True)

    def close(self) -> None:
        """Ends the engine and everything that it started."""
        if self._client is not None:
            self._client.close()
        try:
            subprocess.run(
                ["sh", str(_SCRIPT), "down", str(self.directory), str(self.net)],
                check=True,
                stdin=subprocess.DEVNULL,
                timeout=60,
            )
        finally:
            if self.process is not None:
                self.process.wait(timeout=60)
                self.process = None
            if self._watchdog is not None:
                self._watchdog.kill()
                self._watchdog.communicate(timeout=60)
            if self._held is not None:
                self._held.close()


def start_engine(directory: Path, arguments: Sequence[str] = ()) -> DockerEngine:
    """An engine that answers, in ``directory``, which is made, and removed by ``close``."""
    held, net = own_net()
    engine = DockerEngine(directory, net, tuple(arguments), _held=held)
    # Ends what was left, should this process be killed: its end closes the pipe. The network is the watchdog's too, for so long.
    engine._watchdog = subprocess.Popen(
        ["sh", "-c", 'cat >/dev/null; exec sh "$@"', "watchdog", str(_SCRIPT), "down", str(directory), str(net)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(held.fileno(),),
    )
    try:
        engine.start()
    except BaseException:
        engine.close()
        raise
    return engine


def short_directory() -> Path:
    """For an engine: its sockets' paths must be short, pytest's own directories are not."""
    return Path(tempfile.mkdtemp(prefix="qdt-"))


def own_net() -> tuple[socket.socket, int]:
    """The number of a network that nothing else here uses, and what holds it: a name that the kernel forgets with its last holder."""
    words = ["ip", "-o", "-4", "route", "show", "table", "all"]
    routes = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout
    for net in random.SystemRandom().sample(_NETS, len(_NETS)):
        if f" 10.{net}." in f" {routes}".replace("\n", " "):
            continue
        if held := hold_net(net):
            return held, net
    raise RuntimeError("no network is free for a Docker engine")


def hold_net(net: int) -> socket.socket | None:
    """Holds that number for as long as what it gives is open; None when somebody else does."""
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0quarterdeck-test-net-{net}")
    except OSError:
        held.close()
        return None
    return held


def make_image(
    client: docker.APIClient,
    reference: str,
    command: Sequence[str],
    files: Mapping[str, str] | None = None,
    *,
    healthy: bool = True,
    changes: Sequence[str] = (),
) -> str:
    """Makes ``name:tag`` on an engine, of busybox, with /www/version (the tag) and /www/health (ok, with ``healthy``); its id."""
    repository, _, tag = reference.rpartition(":")
    content = {
        "/etc/passwd": "root:x:0:0:root:/:/bin/sh\n",
        "/www/version": f"{tag}\n",
        "/www/index.html": "hello\n",
    }
    if healthy:
        content["/www/health"] = "ok\n"
    content.update(files or {})
    said = ", ".join('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in command)
    client.import_image_from_data(
        tree(content),
        repository=repository,
        tag=tag,
        changes=["ENV PATH=/bin", "EXPOSE 8080", f"LABEL app.version={tag}", f"CMD [{said}]", *changes],
    )
    made: str = client.inspect_image(reference)["Id"]
    return made


def tree(files: Mapping[str, str]) -> bytes:
    """A tar of busybox and ``files``."""
    busybox = _busybox()
    assert busybox is not None, "need_docker() comes first"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for directory in ("bin", "etc", "tmp", "www", "proc", "sys", "dev", "run", "var"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox")
        for applet in _APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o755 if text.startswith("#!") else 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()


def stands_still(pid: int) -> bool:
    """Whether a SIGSTOP has reached each of its threads."""
    try:
        threads = [(thread / "stat").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:  # a thread has ended meanwhile
        return False
    return all(told.rpartition(")")[2].split()[0] in "TtZX" for told in threads)
