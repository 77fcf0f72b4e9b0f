"""Follows logs of a service on a host: bounded memory, lost lines counted, nothing left running there afterwards."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import asyncssh

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import LogLine
from quarterdeck.backends.hosts.ssh.channel import lost, open_channel
from quarterdeck.backends.hosts.ssh.quoting import quote
from quarterdeck.backends.hosts.ssh.script import build
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.model import Logs
from quarterdeck.config.release import Release

_LINES_WAITING: Final = 20_000
_LONGEST_LINE: Final = 64 * 1024
_OPENING: Final = 20.0
_JOURNAL_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([+-]00:?00)? ")
_FILE_HEAD: Final = re.compile(r"==> (.*) <==\Z")


class _Session(asyncssh.SSHClientSession[bytes]):
    """Splits what arrives into lines and keeps the newest; a reader that is too slow loses the oldest, counted."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.dropped = 0
        self.some = asyncio.Event()
        self.errors = bytearray()
        self.exit_status: int | None = None
        self.failure: Exception | None = None
        self.closed = False
        self._rest = b""

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.errors += data
            del self.errors[:-4096]
            return
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        self._add(lines)

    def _add(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self.waiting.extend(line[:_LONGEST_LINE].decode("utf-8", "replace") for line in lines[-_LINES_WAITING:])
        self.dropped += max(0, len(lines) - _LINES_WAITING)
        while len(self.waiting) > _LINES_WAITING:
            self.waiting.popleft()
            self.dropped += 1
        self.some.set()

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._add([self._rest])
        self.failure = exc
        self.closed = True
        self.some.set()


async def follow_logs(
    connection: asyncssh.SSHClientConnection, host: str, logs: Logs, release: Release, *, lines: int, follow: bool
) -> AsyncIterator[LogLine]:
    """Lines as they come. Raises ``Unreachable`` when the connection is lost, ``CommandFailed`` when the host has no such log."""
    words = logs.journal or " ".join(logs.files)
    action = f"read the logs {words}"
    script = build(
        "logs",
        {
            "journal": logs.journal or "",
            "scope": "user" if release.runner.user_unit else "system",
            "files": " ".join(quote(pattern) for pattern in logs.files),
            "lines": str(max(0, lines)),
            "follow": "yes" if follow else "",
            "words": words,
        },
    )
    channel: asyncssh.SSHClientChannel[bytes] | None = None
    try:
        try:
            async with asyncio.timeout(_OPENING):
                channel, session = await open_channel(connection, _Session, script.command)
            channel.write(script.text)
            if not follow:
                channel.write_eof()
        except (OSError, TimeoutError, asyncssh.Error) as error:
            raise lost(host, action, error, started=False) from None
        source = ""
        while True:
            while session.waiting:
                text = session.waiting.popleft()
                dropped, session.dropped = session.dropped, 0
                head = _FILE_HEAD.match(text) if len(logs.files) > 0 else None
                if head:
                    source = f"{head.group(1).rpartition('/')[2]}: "
                    continue
                yield _line(host, source, text, dropped, journal=logs.journal is not None)
            if session.closed:
                break
            session.some.clear()
            await session.some.wait()  # a log may be silent for as long as it likes: keepalive tells a lost host
        channel = None
        if session.failure is not None:
            raise lost(host, action, session.failure, started=False)
        if session.exit_status != 0:
            said = clean(session.errors.decode("utf-8", "replace")).strip().splitlines()
            raise CommandFailed(
                host, action, said[-1] if said else "it ended by itself", exit_status=session.exit_status
            )
    finally:
        if channel is not None:
            channel.abort()


def _line(host: str, source: str, text: str, dropped: int, *, journal: bool) -> LogLine:
    time = None
    if journal:
        found = _JOURNAL_TIME.match(text)
        if found:
            time = f"{found.group(1)}Z"
            text = text[found.end() :]
    return LogLine(host, clean(source + text), time, dropped)
