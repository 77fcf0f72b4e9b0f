"""Runs one command and tells what it cost, with every process that it leaves behind. Imports little: its own memory must not be taken for
the command's.

``python -m benchmarks.measured OUTPUT COMMAND…``: output of the command goes to the file OUTPUT; one line of JSON is printed.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
LONGEST = 240.0  # seconds: what takes longer is ended, with everything that it started


def main() -> int:
    # A detached worker becomes a child of this process when its command ends, so that the kernel's own account of it can be read.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    output = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    command = sys.argv[2:]
    files = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
    ]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    begin = time.monotonic()
    first = os.posix_spawn(command[0], command, os.environ, file_actions=files, setsigmask=[])
    seconds, status = 0.0, None
    processes: list[dict[str, object]] = []
    while True:
        try:
            pid, wait_status, used = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            if time.monotonic() - begin > LONGEST:
                for child in [first, *_children()]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
            # The end of a process is told by SIGCHLD; the time-out is there for the command's own deadline.
            signal.sigtimedwait([signal.SIGCHLD], 0.5)
            continue
        if pid == first:
            seconds = time.monotonic() - begin
            status = os.waitstatus_to_exitcode(wait_status)
        processes.append({"first": pid == first, "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss * 1024})
    everything = time.monotonic() - begin
    print(json.dumps({"seconds": seconds, "status": status, "everything": everything, "processes": processes}))
    return 0


def _children() -> list[int]:
    """Processes whose parent is this one."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError), open(f"/proc/{entry}/stat") as file:
                if file.read().rpartition(")")[2].split()[1] == str(os.getpid()):
                    found.append(int(entry))
    return found


if __name__ == "__main__":
    sys.exit(main())
