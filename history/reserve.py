"""Room put aside on the journal's disk, given free bit by bit when the disk is full, so that a rollback can be recorded."""

import os
from pathlib import Path

from quarterdeck.history.place import Place

PIECES = 8
PIECE_BYTES = 256 * 1024
SPARE_BYTES = 4 * 1024 * 1024  # the reserve is made anew only when so much stays free beside it


class Reserve:
    """Files in ``<state>/reserve`` whose blocks are really allocated. Small pieces, so that each one freed is used at once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._directory = place.state / "reserve"

    def whole(self) -> bool:
        """Whether every piece is there."""
        return all(self._is_there(path) for path in self._paths())

    def left(self) -> bool:
        """Whether there is a piece to give free."""
        return any(self._is_there(path) for path in self._paths())

    def release(self) -> bool:
        """Gives one piece free; False when none was left."""
        for path in self._paths():
            try:
                os.unlink(path)
            except OSError:
                continue
            self._settle()
            return True
        return False

    def restore(self) -> bool:
        """Allocates the missing pieces if there is room for them all; False when there is not."""
        missing = [path for path in self._paths() if not self._is_there(path)]
        if not missing:
            return True
        if free_bytes(self._place.state) < len(missing) * PIECE_BYTES + SPARE_BYTES:
            return False
        try:
            self._place.make_directory(self._directory)
            for path in missing:
                self._allocate(path)
        except OSError:
            return False
        return True

    def _allocate(self, path: Path) -> None:
        self._place.make_file(path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.posix_fallocate(descriptor, 0, PIECE_BYTES)
        finally:
            os.close(descriptor)

    def _settle(self) -> None:
        """Some file systems hand freed blocks out only after their own journal was written: have it written."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _paths(self) -> list[Path]:
        return [self._directory / str(number) for number in range(PIECES)]

    @staticmethod
    def _is_there(path: Path) -> bool:
        try:
            return os.stat(path).st_blocks * 512 >= PIECE_BYTES
        except OSError:
            return False


def free_bytes(path: Path) -> int:
    """Room for this user on the file system of ``path``."""
    room = os.statvfs(path)
    return room.f_bavail * room.f_frsize
