"""How many connections this process may have open. Each is an open file, and the kernel allows so many: what else the process needs (the
journal, archives, its log) must not be what finds that out."""

import os
import resource
from typing import Final

from quarterdeck.backends.errors import Unreachable

_SPARE: Final = 40  # files that are opened beside connections: archives, forwarded sockets, names that are looked up


class OpenFiles:
    """Counts connections. Raises the process's own limit as far as it may, in steps, before it refuses one."""

    def __init__(self) -> None:
        self._connections = 0
        self._others: int | None = None  # what was open before the first one

    def take(self, host: str, action: str) -> None:
        """Before a connection is opened. Raises ``Unreachable`` where no more can be."""
        if self._others is None:
            self._others = _open_now()
        needed = self._others + self._connections + 1 + _SPARE
        allowed = _allow(needed)
        if needed > allowed:
            wanted = 1 << (needed + needed // 2).bit_length()
            raise Unreachable(
                host,
                action,
                f"this machine lets qd have no more than {allowed} files open at once, and {self._connections} hosts are connected",
                left="Nothing was changed there",
                advice=f"allow more where qd is started (ulimit -n {wanted}; of a unit: LimitNOFILE={wanted}) and try again",
            )
        self._connections += 1

    def give_back(self) -> None:
        self._connections -= 1


def _allow(needed: int) -> int:
    """The limit, raised where that is needed and may be. What this process starts has it too, so it is not raised for nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max(needed, 1 << 20)
    if needed <= soft:
        return soft
    most = needed * 2 if hard == resource.RLIM_INFINITY else min(needed * 2, hard)
    if most <= soft:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        return soft
    return most


def _open_now() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 32
