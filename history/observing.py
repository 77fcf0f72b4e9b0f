"""Whose observer leads: a kernel lock beside the workers' locks, so that a dead leader is followed at once. No SQLite here."""

import fcntl
import os
from pathlib import Path
from typing import Self

from quarterdeck.history.place import Place


class ObserverLock:
    """The right to look at the hosts of a state directory, held until release() or the end of the process.

    Not inherited by programs that the process runs. The file stays: only the lock counts.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, state: Path) -> Self | None:
        """None when another process has it. Raises ``OSError`` where this user may not write there."""
        place = Place(state)
        place.make_directory(place.locks)
        path = place.locks / "observer.lock"
        place.make_file(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Lets go. Once is enough, twice does no harm."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
