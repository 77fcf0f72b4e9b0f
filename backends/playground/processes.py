"""Processes by id *and* start time, so that a recycled id is never taken for the one that was meant."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

Processes = dict[int, int]  # id → start time in clock ticks since boot: together they name one process for ever


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none, or only its exit status is left."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in ("Z", "X") else int(fields[19])


def _stat(pid: int) -> list[str] | None:
    """The fields from the state on: the name before it may hold spaces and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def write_pid_file(path: Path, pid: int) -> None:
    ticks = start_ticks(pid)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(f"{pid} {0 if ticks is None else ticks}\n", encoding="ascii")
    temporary.rename(path)


def read_pid_file(path: Path) -> Processes:
    """The one process that the file names; empty when that very process is gone."""
    try:
        words = path.read_text(encoding="ascii").split()
        pid, ticks = int(words[0]), int(words[1])
    except (OSError, ValueError, IndexError):
        return {}
    return {pid: ticks} if pid > 1 and start_ticks(pid) == ticks else {}


def _all() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def carrying(variable: str, value: str) -> Processes:
    """Live processes of ours that were started with ``variable=value`` in their environment."""
    wanted = f"{variable}={value}".encode()
    found: Processes = {}
    for pid in _all():
        ticks = start_ticks(pid)
        try:
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue  # somebody else's, or gone
        if ticks is not None and wanted in entries:
            found[pid] = ticks
    return found


def descendants(ancestors: Mapping[int, int]) -> Processes:
    """Live processes below those given, themselves left out."""
    children: dict[int, list[int]] = {}
    for pid in _all():
        fields = _stat(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(pid)
    found: Processes = {}
    waiting = [pid for pid, ticks in ancestors.items() if start_ticks(pid) == ticks]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            ticks = start_ticks(child)
            if ticks is not None and child not in found and child not in ancestors:
                found[child] = ticks
                waiting.append(child)
    return found


def own_line() -> set[int]:
    """This process and all above it: what must survive a clean-up that was started from inside the playground."""
    found: set[int] = set()
    current = os.getpid()
    while current > 0 and current not in found:
        found.add(current)
        fields = _stat(current)
        current = 0 if fields is None else int(fields[1])
    return found


def kill(processes: Mapping[int, int]) -> None:
    for pid, ticks in processes.items():
        with contextlib.suppress(OSError):
            process = os.pidfd_open(pid)  # from here on the id can't come to mean another process
            try:
                if start_ticks(pid) == ticks:
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def await_end(processes: Mapping[int, int], deadline: float) -> Processes:
    """Those that are still alive after ``deadline`` seconds; empty as soon as all are gone."""
    before = time.monotonic() + deadline
    while True:
        alive = {pid: ticks for pid, ticks in processes.items() if start_ticks(pid) == ticks}
        if not alive or time.monotonic() >= before:
            return alive
        time.sleep(0.005)
