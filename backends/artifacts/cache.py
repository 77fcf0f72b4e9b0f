"""Archives that were fetched, named by their SHA-256. A file is whole or absent, and stays while a worker uses it.

Kernel locks say who uses what: they end with the process, whatever the clock says.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from quarterdeck.backends.artifacts.places import MEBIBYTE

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTIAL = ".partial-"
_HELD_AT_MOST = 16  # files that one process keeps in use; an operator's long-lived process must not pin them all


class CacheBounds(msgspec.Struct, frozen=True):
    """What may stay in the cache: a number of files, and their bytes together."""

    files: int = 40
    bytes: int = 20 * 1024 * MEBIBYTE


_held: OrderedDict[str, int] = OrderedDict()
_held_guard = threading.Lock()


def _hold(path: Path, descriptor: int) -> None:
    """Keeps ``descriptor``'s shared lock until this process ends, or has used many other files since."""
    with _held_guard:
        if (old := _held.pop(str(path), None)) is not None:
            os.close(old)
        _held[str(path)] = descriptor
        while len(_held) > _HELD_AT_MOST:
            os.close(_held.popitem(last=False)[1])


def _lock(descriptor: int, kind: int) -> bool:
    """False: somebody else's lock is in the way. Where the disk knows no locks all is in use, so nothing is removed."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return kind == fcntl.LOCK_SH
    return True


def digest_of(path: Path) -> str:
    """SHA-256 (hex) of a file, read from it."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class WrongDigest(Exception):
    """``found`` is the SHA-256 of what was written."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


class Partial:
    """A file on its way into the cache (a sink). Either ``Cache.take`` makes it whole, or ``discard`` removes it."""

    def __init__(self, folder: Path) -> None:
        self._guard = threading.Lock()
        self._writing = False
        self._closed = False
        self._buffer = bytearray()
        while True:
            descriptor, name = tempfile.mkstemp(prefix=_PARTIAL, dir=folder)
            # A worker that clears away what dead ones left may have taken it for one of those before it was locked.
            if _lock(descriptor, fcntl.LOCK_SH) and os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)
        self.path = Path(name)
        self._file = os.fdopen(descriptor, "r+b")

    async def begin(self) -> None:
        self._buffer.clear()
        await asyncio.to_thread(self._run, self._truncate)

    async def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= MEBIBYTE:
            await self.flush()

    async def flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        await asyncio.to_thread(self._run, lambda: self._file.write(data))

    def sync(self) -> None:
        self._run(self._sync)

    def descriptor(self) -> int:
        """The open file with its lock, for one who closes it."""
        return os.dup(self._file.fileno())

    def discard(self) -> None:
        """Harmless once the file is taken: its name is gone then."""
        with self._guard:
            self._closed = True
            if not self._writing:
                self._close()
        self.path.unlink(missing_ok=True)

    def _run(self, work: Callable[[], object]) -> None:
        # A thread can't be cancelled: whoever comes last, the thread or discard, closes the file.
        with self._guard:
            if self._closed:
                return
            self._writing = True
        try:
            work()
        finally:
            self._done()

    def _done(self) -> None:
        with self._guard:
            self._writing = False
            if self._closed:
                self._close()

    def _close(self) -> None:
        try:
            self._file.close()
        except OSError:
            return  # a full disk: what could not be written is thrown away anyway

    def _truncate(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


class Cache:
    """All methods but those of ``Partial`` block: they are called in a thread. Raise ``OSError`` as the disk does."""

    def __init__(self, folder: Path, bounds: CacheBounds | None = None) -> None:
        self._folder = folder
        self._bounds = bounds or CacheBounds()

    def find(self, sha256: str) -> Path | None:
        """The file, when it is here and its bytes hold; a damaged one is removed. It stays while this process lives."""
        path = self._folder / sha256
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None  # absent, or not ours to read: it is fetched again and replaced
        try:
            if not _lock(descriptor, fcntl.LOCK_SH) or not os.fstat(descriptor).st_nlink:
                os.close(descriptor)
                return None  # it is being removed at this moment
            if digest_of(path) != sha256:
                path.unlink(missing_ok=True)
                os.close(descriptor)
                return None
        except FileNotFoundError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        _hold(path, descriptor)
        self._touch(path)
        return path

    def begin(self) -> Partial:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Partial(self._folder)

    def take(self, partial: Partial, sha256: str) -> Path:
        """Syncs ``partial``, reads it back and renames it. Raises ``WrongDigest``; the cache is as it was then."""
        partial.sync()
        found = digest_of(partial.path)
        if found != sha256:
            raise WrongDigest(found)
        if self._folder.stat().st_mode & 0o020:
            partial.path.chmod(0o640)  # a directory that operators share: the others in the group may read it
        path = self._folder / sha256
        descriptor = partial.descriptor()
        try:
            partial.path.replace(path)
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except BaseException:
            os.close(descriptor)
            raise
        _hold(path, descriptor)
        return path

    def prune(self, keep: Collection[str]) -> list[str]:
        """Removes the oldest files until the bounds hold, and what dead workers left. Gives the removed digests.

        Never removes what ``keep`` names or a living worker uses, even when the bounds are passed for it.
        """
        files = []
        for entry in os.scandir(self._folder):
            if entry.name.startswith(_PARTIAL):
                self._remove_unused(Path(entry.path))
            elif _DIGEST.fullmatch(entry.name):
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                files.append((found.st_mtime_ns, entry.name, found.st_size))
        count, total = len(files), sum(size for _, _, size in files)
        removed = []
        for _, name, size in sorted(files):
            if count <= self._bounds.files and total <= self._bounds.bytes:
                break
            if name not in keep and self._remove_unused(self._folder / name):
                count, total = count - 1, total - size
                removed.append(name)
        return removed

    def _remove_unused(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            if not _lock(descriptor, fcntl.LOCK_EX):
                return False
            path.unlink()
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _touch(self, path: Path) -> None:
        try:
            os.utime(path)
        except OSError:
            return  # another operator's file: its age is that of its fetching
