"""Artifacts behind sftp://. Connects as it is told to, with the host-key rules of whoever connects; only reads."""

import stat
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self, cast

import asyncssh

from quarterdeck.backends.artifacts.location import Location
from quarterdeck.backends.artifacts.over_ssh import over_ssh
from quarterdeck.backends.artifacts.places import MEBIBYTE, Entry, SftpConnect, Sink
from quarterdeck.backends.errors import (
    ArtifactMissing,
    ArtifactRefused,
    BackendError,
    HostKeyRejected,
    LoginRefused,
    NotPermitted,
    Unreachable,
)

WINDOW = 4 * MEBIBYTE  # asked for at once, in parallel requests: one round trip for each window, not for each block
_ABSENT = (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNotADirectory)


class SftpPlace:
    """``connect`` gives a connection to a host; it is kept for the next question and closed at the end."""

    def __init__(self, action: str, connect: SftpConnect | None) -> None:
        self._action = action
        self._connect = connect or over_ssh()
        self._clients: dict[str, asyncssh.SFTPClient] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def size(self, location: Location) -> int | None:
        async with self._asked(location) as client:
            found = await client.stat(location.path)
            self._must_be_a_file(location, found)
            return found.size

    async def read(self, location: Location, sink: Sink, *, limit: int) -> None:
        async with self._asked(location) as client, client.open(location.path, "rb") as file:
            found = await file.stat()
            self._must_be_a_file(location, found)
            if (found.size or 0) > limit:
                raise self._too_large(location, limit)
            await sink.begin()
            total = 0
            while data := cast(bytes, await file.read(WINDOW, total)):
                total += len(data)
                if total > limit:
                    raise self._too_large(location, limit)
                await sink.write(data)

    async def entries(self, location: Location, folder: str, /) -> list[Entry] | None:
        found = []
        async with self._asked(location) as client:
            try:
                async for entry in client.scandir(folder or "."):
                    name = entry.filename
                    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else name
                    found.append(Entry(text, float(entry.attrs.mtime or 0)))
            except _ABSENT:
                return []
        return found

    async def holds(self, location: Location, path: str, /) -> bool:
        async with self._asked(location) as client:
            return await client.isfile(path)

    @asynccontextmanager
    async def _asked(self, location: Location) -> AsyncIterator[asyncssh.SFTPClient]:
        try:
            yield await self._client(location)
        except _ABSENT:
            raise ArtifactMissing(
                location.shown, self._action, "the server has no such file", left="Nothing was changed"
            ) from None
        except asyncssh.SFTPPermissionDenied:
            raise NotPermitted(
                location.shown, self._action, "the file may not be read by this login", left="Nothing was changed"
            ) from None
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection):
            raise self._unreachable(location, "the connection was lost") from None
        except asyncssh.SFTPError as error:
            raise BackendError(
                location.shown,
                self._action,
                f"the server refused (SFTP status {error.code})",
                left="Nothing was changed",
            ) from None
        except asyncssh.HostKeyNotVerifiable:
            raise HostKeyRejected(
                location.shown, self._action, "the host's key is not the known one", left="Nothing was changed"
            ) from None
        except asyncssh.PermissionDenied:
            raise LoginRefused(
                location.shown, self._action, "the host refused every key", left="Nothing was changed"
            ) from None
        except (asyncssh.Error, OSError):
            raise self._unreachable(location, "no connection, or it was lost") from None

    async def _client(self, location: Location) -> asyncssh.SFTPClient:
        if (client := self._clients.get(location.host)) is None:
            connection = await self._stack.enter_async_context(await self._connect(location.host))
            try:
                client = await connection.start_sftp_client()
            except (asyncssh.ChannelOpenError, asyncssh.SFTPError):
                raise BackendError(
                    location.shown,
                    self._action,
                    "the server does not answer to SFTP",
                    left="Nothing was changed",
                    advice=f"check with: sftp {location.host}",
                ) from None
            await self._stack.enter_async_context(client)
            self._clients[location.host] = client
        return client

    def _must_be_a_file(self, location: Location, found: asyncssh.SFTPAttrs) -> None:
        if found.permissions is not None and not stat.S_ISREG(found.permissions):
            kind = "a directory" if stat.S_ISDIR(found.permissions) else "no regular file"
            raise ArtifactRefused(location.shown, self._action, f"it is {kind}", left="Nothing was changed")

    def _too_large(self, location: Location, limit: int) -> ArtifactRefused:
        return ArtifactRefused(
            location.shown, self._action, f"the file has more than {limit} bytes", left="Nothing was changed"
        )

    def _unreachable(self, location: Location, problem: str) -> Unreachable:
        return Unreachable(location.shown, self._action, problem, left="Nothing was changed")
