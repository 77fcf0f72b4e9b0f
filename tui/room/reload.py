"""Follows the fleet file while the room is open: a changed one is loaded beside the screen, one with faults changes nothing."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from quarterdeck.config.load import FleetFileErrors, load_with_files
from quarterdeck.config.model import Fleet

LOOK_EVERY = 1.0  # seconds

Signature = tuple[tuple[str, int, int, int], ...]


class FleetFile(msgspec.Struct, frozen=True):
    """What the file says now: a fleet, or why there is none (the old one stays)."""

    fleet: Fleet | None
    fault: str = ""


class FleetWatch:
    """``tell`` is called from its thread and must only hand over. ``files``: what the fleet was read from; not said: it is read
    once more. ``close()`` ends it at once."""

    def __init__(self, path: Path, tell: Callable[[FleetFile], None], files: tuple[Path, ...] = ()) -> None:
        self.path = path
        self._tell = tell
        self._stop = threading.Event()
        self.ready = threading.Event()  # from now on a change is seen
        self._files = files
        self._thread = threading.Thread(target=self._watch, name="follow the fleet file", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def _watch(self) -> None:
        if not self._files:
            self._files = (self.path,)
            with contextlib.suppress(FleetFileErrors, OSError):
                self._files = load_with_files(self.path)[1]
        known = signature(self._files)
        self.ready.set()
        while not self._stop.wait(LOOK_EVERY):
            now = signature(self._files)
            if now == known:
                continue
            if self._stop.wait(LOOK_EVERY / 4) or signature(self._files) != now:
                continue  # it is being written
            file, known = self._read(now)
            self._tell(file)

    def _read(self, seen: Signature) -> tuple[FleetFile, Signature]:
        """What the files say, and how each of them looked before it was read: what is saved meanwhile is another change. ``seen``: how
        those looked that are known; one that is included anew is looked at, and all are read once more."""
        looks = {one[0]: one for one in seen}
        while True:
            file = self._load()
            new = tuple(path for path in self._files if str(path) not in looks)
            if not new or self._stop.is_set():
                return file, tuple(looks[str(path)] for path in self._files if str(path) in looks)
            looks |= {one[0]: one for one in signature(new)}

    def _load(self) -> FleetFile:
        try:
            fleet, self._files = load_with_files(self.path)
        except FleetFileErrors as errors:
            first = errors.problems[0]
            more = f" (and {len(errors.problems) - 1} more; qd check)" if len(errors.problems) > 1 else ""
            place = f"{first.file.name}:{first.line}:{first.column}"
            return FleetFile(None, f"fleet file: {place}: {first.message}{more}; the fleet is the one before")
        return FleetFile(fleet)


def signature(files: tuple[Path, ...]) -> Signature:
    """What tells a changed file: time, size and identity of each; one that is gone has none."""
    found = []
    for path in files:
        try:
            stat = path.stat()
            found.append((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append((str(path), 0, 0, 0))
    return tuple(found)
