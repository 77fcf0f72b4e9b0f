"""The parent of a playground's hosts, in a session of its own: it outlives the terminal, ``lifecycle.stop`` ends it.

It imports the SSH library once and forks a process per host, so that a test can stop, continue or kill one host alone.
It must never restart a host by itself: SIGUSR1 brings the dead ones back.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.playground import addresses, engine_traces, fleetfile, layout, processes

WATCHED = {signal.SIGCHLD, signal.SIGUSR1, signal.SIGTERM}
DIRECTORY_INTERVAL = 2.0  # seconds between two looks whether it is still there
_BECOME_REAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


class Supervisor:
    """``hosts`` run until they are killed or SIGTERM comes."""

    def __init__(self, directory: Path, mark: str) -> None:
        self._directory = directory
        self._mark = mark
        self._running: dict[str, int] = {}

    def prepare(self) -> None:
        """Claims the addresses, makes keys and files. Raises ``BackendError``, ``OSError``."""
        import asyncssh

        names = [(name, environment) for environment, hosts in layout.ENVIRONMENTS.items() for name in hosts]
        claimed = addresses.claim(self._directory, len(names))
        self._claim = claimed.claim  # open as long as this process lives
        hosts = tuple(
            layout.PlaygroundHost(name, environment, address, claimed.ssh_port, layout.home_of(self._directory, name))
            for (name, environment), address in zip(names, claimed.addresses, strict=True)
        )
        self.playground = layout.Playground(
            self._directory, _user(), hosts, claimed.services, without_engine="its start was cut short"
        )
        self._listeners = dict(zip((host.name for host in hosts), claimed.listeners, strict=True))
        self._host_keys = {host.name: asyncssh.generate_private_key("ssh-ed25519", host.name) for host in hosts}
        client = asyncssh.generate_private_key("ssh-ed25519", "playground")
        self._client_key = client.convert_to_public()
        for name, key in self._host_keys.items():
            layout.home_of(self._directory, name).mkdir(parents=True)
            layout.write_atomically(layout.host_key_file(self._directory, name), key.export_private_key().decode())
        identity = self.playground.identity
        layout.write_atomically(identity, client.export_private_key().decode())
        layout.write_atomically(identity.with_suffix(".pub"), client.export_public_key().decode(), 0o644)
        public = {name: key.export_public_key().decode().strip() for name, key in self._host_keys.items()}
        fleetfile.write_ssh_files(self.playground, public)
        fleetfile.write_runbooks(self.playground)
        fleetfile.write_fleet_file(self.playground)

    def start_missing(self) -> None:
        """Forks a process for every host that has none."""
        for host in self.playground.hosts:
            if host.name not in self._running:
                listener = self._listeners.pop(host.name, None) or addresses.bound(host.address, host.port)
                listener.listen(256)  # from here on clients are not refused
                child = os.fork()
                if child == 0:
                    self._become_host(host, listener)
                listener.close()
                self._running[host.name] = child
                processes.write_pid_file(layout.host_pid_file(self._directory, host.name), child)

    def _become_host(self, host: layout.PlaygroundHost, listener: socket.socket) -> NoReturn:
        status = 1
        try:
            from quarterdeck.backends.playground import sshd

            os.setsid()
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            for other in (*self._listeners.values(), self._claim):
                other.close()
            Path("/proc/self/comm").write_text(f"qd-{host.name}"[:15], encoding="ascii")
            os.chdir(host.home)
            settings = sshd.HostSettings(
                host=host,
                user=self.playground.user,
                client_key=self._client_key,
                host_key=self._host_keys[host.name],
                environment=sshd.environment_of(host, self.playground.user, {layout.MARK_VARIABLE: self._mark}),
            )
            asyncio.run(sshd.serve(settings, listener))
            status = 0
        except BaseException as error:
            print(f"{host.name}: {error!r}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)

    def watch(self) -> None:
        """Reaps what ends until SIGTERM comes, then ends the hosts. Ends everything when its directory was removed."""
        traces: tuple[engine_traces.Trace, ...] = ()
        while True:
            arrived = signal.sigtimedwait(WATCHED, DIRECTORY_INTERVAL)
            self._reap()
            number = None if arrived is None else arrived.si_signo
            if number is None and layout.read_mark(self._directory) != self._mark:
                own = {os.getpid(): processes.start_ticks(os.getpid()) or 0}
                while below := processes.descendants(own):
                    processes.kill(below)
                    processes.await_end(below, 1.0)
                for trace, error in engine_traces.clear_all(traces).items():
                    print(f"{trace.word} is left on an engine: {error}", file=sys.stderr, flush=True)
                return
            traces = engine_traces.read(self._directory) or traces  # the file goes with the directory
            if number == signal.SIGUSR1:
                try:
                    self.start_missing()
                except OSError as error:
                    print(f"a host can't be started again: {error}", file=sys.stderr, flush=True)
            elif number == signal.SIGTERM:
                for child in self._running.values():
                    os.kill(child, signal.SIGKILL)  # not reaped yet, so the id is still its own
                return

    def _reap(self) -> None:
        """Hosts, and daemons that the hosts' commands left behind: nobody else would reap them in a small container."""
        with contextlib.suppress(ChildProcessError):
            while True:
                child, _ = os.waitpid(-1, os.WNOHANG)
                if child == 0:
                    return
                for name in [name for name, pid in self._running.items() if pid == child]:
                    del self._running[name]


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # an arbitrary user id in a container
        return f"uid{os.getuid()}"


def _adopt_orphans() -> None:
    """Makes this process the parent of every daemon of its hosts, so that none of them gets lost."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_BECOME_REAPER, 1, 0, 0, 0)


def main(directory: Path, announce: int) -> int:
    """Writes «ready», or one line with the reason why not, to the descriptor ``announce``. The exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with open(announce, "w", encoding="utf-8") as channel:
        try:
            mark = layout.read_mark(directory)
            if mark is None:
                raise layout.PlaygroundError("start the playground", f"{directory} has no marker file")
            _adopt_orphans()
            supervisor = Supervisor(directory, mark)
            supervisor.prepare()
            from quarterdeck.backends.playground import sshd

            for host in supervisor.playground.hosts:
                sshd.prepare_home(host, Path(sys.executable).resolve())
            gc.freeze()  # the hosts share what is imported here; a collection would copy it
            supervisor.start_missing()
            layout.write_description(supervisor.playground)
        except (BackendError, OSError) as error:
            problem = error.problem if isinstance(error, BackendError) else str(error)
            channel.write(problem.replace("\n", " ") + "\n")
            return 1
        channel.write("ready\n")
    supervisor.watch()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
