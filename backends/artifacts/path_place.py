"""Artifacts that lie on this machine. Reads in a thread: a slow disk must not hold up what else the worker does."""

import asyncio
import os
import stat
from typing import BinaryIO

from quarterdeck.backends.artifacts.location import Location
from quarterdeck.backends.artifacts.places import MEBIBYTE, Entry, Sink
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, NotPermitted


class PathPlace:
    def __init__(self, action: str) -> None:
        self._action = action

    async def size(self, location: Location) -> int | None:
        try:
            found = await asyncio.to_thread(os.stat, location.path)
        except OSError as error:
            raise self._sorry(location, error) from error
        self._must_be_a_file(location, found.st_mode)
        return found.st_size

    async def read(self, location: Location, sink: Sink, *, limit: int) -> None:
        try:
            file = await asyncio.to_thread(self._open, location, limit)
            with file:
                await sink.begin()
                total = 0
                while data := await asyncio.to_thread(file.read, MEBIBYTE):
                    total += len(data)
                    if total > limit:
                        raise self._too_large(location, limit)
                    await sink.write(data)
        except OSError as error:
            raise self._sorry(location, error) from error

    def _open(self, location: Location, limit: int) -> BinaryIO:
        # Not blocking: a named pipe without a writer would never come back.
        descriptor = os.open(location.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            self._must_be_a_file(location, found.st_mode)
            if found.st_size > limit:
                raise self._too_large(location, limit)
            return os.fdopen(descriptor, "rb", buffering=0)
        except BaseException:
            os.close(descriptor)
            raise

    async def entries(self, location: Location, folder: str, /) -> list[Entry] | None:
        def look() -> list[Entry]:
            found = []
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        found.append(Entry(entry.name, entry.stat().st_mtime))
                    except OSError:  # removed meanwhile, or a link to nowhere
                        continue
            return found

        try:
            return await asyncio.to_thread(look)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._sorry(location, error, folder) from error

    async def holds(self, _location: Location, path: str, /) -> bool:
        return await asyncio.to_thread(os.path.isfile, path)

    def _must_be_a_file(self, location: Location, mode: int) -> None:
        if not stat.S_ISREG(mode):
            kind = "a directory" if stat.S_ISDIR(mode) else "no regular file"
            raise ArtifactRefused(
                location.place, self._action, f"{location.shown} is {kind}", left="Nothing was changed"
            )

    def _too_large(self, location: Location, limit: int) -> ArtifactRefused:
        return ArtifactRefused(
            location.place, self._action, f"{location.shown} has more than {limit} bytes", left="Nothing was changed"
        )

    def _sorry(self, location: Location, error: OSError, path: str | None = None) -> BackendError:
        shown = path or location.shown
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return ArtifactMissing(
                location.place, self._action, f"there is no {shown} on this machine", left="Nothing was changed"
            )
        if isinstance(error, PermissionError):
            return NotPermitted(
                location.place,
                self._action,
                f"no permission to read {shown} on this machine",
                left="Nothing was changed",
                advice="Give the user who runs qd the right to read it and to enter the directories above it",
            )
        reason = error.strerror or "input/output error"
        return BackendError(location.place, self._action, f"{shown}: {reason}", left="Nothing was changed")
