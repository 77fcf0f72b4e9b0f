"""Starts, finds and removes a playground. Never touches a directory without its marker, nor somebody else's process."""

import contextlib
import fcntl
import os
import secrets
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.playground import artifacts, engine_traces, fleetfile, layout, processes
from quarterdeck.backends.playground.engine import Preparing
from quarterdeck.backends.playground.layout import MARK_VARIABLE, MARKER, Playground, PlaygroundError

START_DEADLINE = 30.0  # seconds
STOP_DEADLINE = 10.0
LOCK_DEADLINE = 60.0


def default_directory() -> Path:
    """``$XDG_STATE_HOME/quarterdeck/playground``; without the variable below ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME", "")
    state = Path(base) if base.startswith("/") else Path.home() / ".local" / "state"
    return state / "quarterdeck" / "playground"


def start(directory: Path | None = None) -> Playground:
    """Starts a playground and returns when every host takes connections; nothing is deployed on it yet.

    One that runs is given back as it is, dead hosts of it are brought back. What is left of one that was not taken down
    (a reboot, a kill) is removed first, its journal too. Where this machine's Docker engine is not used, it says why
    (``without_engine``). Raises ``PlaygroundError``.
    """
    directory = _resolved(directory)
    with _locked(directory, create=True):
        running = _running(directory)
        if running is not None:
            _bring_back(running)
            return running
        if layout.read_mark(directory) is not None:
            _clear(directory)
        elif any(directory.iterdir()):
            raise PlaygroundError(
                "start the playground",
                f"{directory} is not empty and no playground",
                left="Nothing was changed",
                advice="Name an empty directory, or one that does not exist",
            )
        try:
            return _start(directory)
        except BaseException:
            _clear(directory)
            with contextlib.suppress(OSError):
                directory.rmdir()
            raise


def stop(directory: Path | None = None) -> bool:
    """Ends every process of the playground, removes what it has on a Docker engine, and its directory; False when there was none.

    Raises ``PlaygroundError`` when the directory is something else, or something can't be removed: for an engine that does
    not answer, the directory remembers what is left there.
    """
    directory = _resolved(directory)
    if not directory.exists():
        return False
    with _locked(directory, create=False):
        if layout.read_mark(directory) is None:
            if directory.exists() and any(directory.iterdir()):
                raise PlaygroundError(
                    "remove the playground",
                    f"{directory} is no playground: it has no {MARKER}",
                    left="Nothing was changed",
                )
            return False
        left = _clear(directory)
        if left:
            raise PlaygroundError(
                "remove the playground's container",
                "; ".join(str(error) for error in left),
                left="All else of it is gone",
                advice=f"`qd demo down` tries again when the engine answers; where it never will, forget it: rm -r {directory}",
            )
        directory.rmdir()
        if directory == _resolved(None):
            with contextlib.suppress(OSError):
                directory.parent.rmdir()  # made by a start, and empty unless something else is kept there
    return True


def is_running(directory: Path | None = None) -> bool:
    return _running(_resolved(directory)) is not None


def describe(directory: Path | None = None) -> Playground:
    """The running playground. Raises ``PlaygroundError`` when there is none."""
    directory = _resolved(directory)
    running = _running(directory)
    if running is None:
        raise PlaygroundError("find the playground", f"none runs in {directory}", advice="`qd demo up` starts it")
    return running


def _resolved(directory: Path | None) -> Path:
    return (default_directory() if directory is None else directory).expanduser().resolve()


@contextlib.contextmanager
def _locked(directory: Path, *, create: bool) -> Iterator[None]:
    """One start or stop at a time. The lock is on the directory itself, so nothing is left beside it."""
    lock = _take_lock(directory, create=create)
    try:
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _take_lock(directory: Path, *, create: bool) -> int | None:
    """The descriptor that holds the lock, None when the directory does not exist and is not to be made."""
    before = time.monotonic() + LOCK_DEADLINE
    while True:
        try:
            if create:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            if create:
                continue  # removed between the two lines
            return None
        except OSError as error:
            raise PlaygroundError("open the playground's directory", f"{directory}: {error.strerror}") from error
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(opened), directory.stat()):
                return opened
        except FileNotFoundError:
            pass  # removed by whoever had the lock
        except BlockingIOError:
            if time.monotonic() > before:
                os.close(opened)
                raise PlaygroundError(
                    "use the playground", f"another process has been starting or removing {directory} for a minute"
                ) from None
            time.sleep(0.02)
        os.close(opened)


def _running(directory: Path) -> Playground | None:
    """None as well for one that is still starting."""
    if layout.read_mark(directory) is None or not processes.read_pid_file(layout.supervisor_pid_file(directory)):
        return None
    return layout.read_description(directory)


def _start(directory: Path) -> Playground:
    if not sys.platform.startswith("linux"):
        raise PlaygroundError("start the playground", "it needs Linux", advice="Use a fleet file with your own hosts")
    directory.chmod(0o700)
    # The marker is the first file: from here on a stop finds and removes whatever there is.
    (directory / MARKER).write_text(secrets.token_hex(16) + "\n", encoding="ascii")
    mark = layout.read_mark(directory) or ""
    for name in ("run", "ssh", "artifacts", "hosts", "state"):
        (directory / name).mkdir(mode=0o700)
    with Preparing(directory, mark) as preparing:
        playground = _start_hosts(directory, mark)
        engine, without = preparing.outcome()
    playground = msgspec.structs.replace(playground, engine=engine, without_engine=without)
    if engine is not None:
        fleetfile.write_fleet_file(playground)
    layout.write_description(playground)
    return playground


def _start_hosts(directory: Path, mark: str) -> Playground:
    """Those of SSH. Returns when all of them take connections."""
    ready, announce = os.pipe()
    try:
        with open(layout.log_file(directory), "ab") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "quarterdeck.backends.playground.supervisor", str(directory), str(announce)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**_environment(), MARK_VARIABLE: mark},
                pass_fds=[announce],
                start_new_session=True,
            )
        os.close(announce)
        announce = -1
        processes.write_pid_file(layout.supervisor_pid_file(directory), supervisor.pid)
        artifacts.build(directory / "artifacts")  # while the other process imports what it needs
        answer = _read_line(ready, START_DEADLINE)
    finally:
        os.close(ready)
        if announce >= 0:
            os.close(announce)
    playground = layout.read_description(directory)
    if answer != "ready" or playground is None:
        lines = layout.log_file(directory).read_text(encoding="utf-8", errors="replace").splitlines()
        reason = answer or (lines[-1] if lines else "its process ended without a word")
        raise PlaygroundError("start the playground", reason, left="Nothing was left running")
    _forget(supervisor)
    return playground


def _environment() -> dict[str, str]:
    """Nothing of the operator's own environment gets into the playground but what Python needs to find our packages."""
    kept = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LANG", "LC_ALL", "HOME", "TMPDIR")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    own = str(Path(sys.modules["quarterdeck"].__file__ or "").resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join([own, *filter(None, [environment.get("PYTHONPATH")])])
    return environment


def _forget(child: "subprocess.Popen[bytes]") -> None:
    """It lives on without us: without this Python would warn that it still runs."""
    child.returncode = 0


def _read_line(descriptor: int, deadline: float) -> str:
    """What comes until the other end closes, at most one line; empty when nothing came within ``deadline`` seconds."""
    before = time.monotonic() + deadline
    received = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while b"\n" not in received and selector.select(max(0.0, before - time.monotonic())):
            chunk = os.read(descriptor, 4096)
            if not chunk:
                break
            received += chunk
    return received.decode("utf-8", "replace").partition("\n")[0]


def _bring_back(playground: Playground) -> None:
    """Has the supervisor start the hosts that were killed."""

    def dead() -> list[str]:
        return [host.name for host in playground.hosts if playground.host_pid(host.name) is None]

    before = time.monotonic() + STOP_DEADLINE
    while dead():
        # Again and again: one of several threads may be the last to go, and until then the supervisor can't know of its end.
        for pid in processes.read_pid_file(layout.supervisor_pid_file(playground.directory)):
            os.kill(pid, signal.SIGUSR1)
        if time.monotonic() > before:
            raise PlaygroundError(
                "bring the playground's hosts back",
                f"{', '.join(dead())} did not start",
                advice="`qd demo down`, then `qd demo up`",
            )
        time.sleep(0.01)


def _clear(directory: Path) -> list[BackendError]:
    """Ends all processes of the playground, removes what it has on an engine, then all that is in the directory, the marker last.

    Gives the errors of engines that could not be asked: then the marker stays, with what has to be asked of them.
    """
    mark = layout.read_mark(directory)
    if mark is None:
        return []
    spared = processes.own_line()
    supervisor = processes.read_pid_file(layout.supervisor_pid_file(directory))
    before = time.monotonic() + STOP_DEADLINE
    while True:
        # The supervisor is the last to go: as long as it lives, all that its hosts ever started is found below it.
        below = processes.descendants(supervisor) | processes.carrying(MARK_VARIABLE, mark)
        found = {pid: ticks for pid, ticks in below.items() if pid not in spared and pid not in supervisor}
        if not found:
            break
        processes.kill(found)
        left = processes.await_end(found, 1.0)
        if left and time.monotonic() > before:
            raise PlaygroundError("end the playground's processes", f"still running: {', '.join(map(str, left))}")
    processes.kill(supervisor)
    if processes.await_end(supervisor, STOP_DEADLINE):
        raise PlaygroundError("end the playground's processes", f"still running: {', '.join(map(str, supervisor))}")
    for pid in supervisor:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)  # where this process has started it, nobody else reaps it
    owed = engine_traces.clear_all(engine_traces.read(directory))
    engine_traces.write(directory, list(owed))
    _empty(directory, marked=bool(owed))
    return list(owed.values())


def _empty(directory: Path, *, marked: bool) -> None:
    """``marked``: what makes it a playground's directory stays, and what an engine still owes."""
    marker = directory / MARKER
    try:
        for entry in directory.iterdir():
            if entry == marker or (marked and entry.name == engine_traces.FILE):
                continue
            if entry.is_dir() and not entry.is_symlink():
                _remove_tree(entry)
            else:
                entry.unlink()
        if not marked:
            marker.unlink()
    except OSError as error:
        raise PlaygroundError("remove the playground", f"{error.filename}: {error.strerror}") from error


def _remove_tree(top: Path) -> None:
    """Follows no link. What was made unreadable on a host is opened first, since only its owner can be here."""
    try:
        shutil.rmtree(top)
    except PermissionError:
        top.chmod(stat.S_IRWXU)
        for directory, names, _ in os.walk(top):
            for name in names:
                path = Path(directory, name)
                if not path.is_symlink():
                    path.chmod(stat.S_IRWXU)
        shutil.rmtree(top)
