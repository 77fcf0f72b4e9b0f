"""Follows logs of a service on a host: bounded memory, lost lines counted, nothing left running there afterwards."""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from typing import Final

import asyncssh

from quarterdeck.backends.errors import CommandFailed
from quarterdeck.backends.hosts.contract import LogBatch, LogLine
from quarterdeck.backends.hosts.ssh.channel import lost, open_channel
from quarterdeck.backends.hosts.ssh.script import build
from quarterdeck.backends.hosts.ssh.slots import log_values
from quarterdeck.backends.text_cleaning import clean, clean_lines
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
        self._cut = False  # the line that comes is told already, as far as it may be: what is left of it is nobody's

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.errors += data
            del self.errors[:-4096]
            return
        whole, broken, self._rest = (self._rest + data).rpartition(b"\n")
        if broken and self._cut:
            _, broken, whole = whole.partition(b"\n")
            self._cut = False
        if broken:
            self._add(whole)
        if self._cut:
            self._rest = b""
        elif len(self._rest) > _LONGEST_LINE:
            self._add(self._rest)
            self._rest, self._cut = b"", True

    def _add(self, whole: bytes) -> None:
        """``whole``: lines, without the last line break. Decoded at once: a line break is never part of a character."""
        if len(whole) > _LONGEST_LINE:
            whole = b"\n".join(line[:_LONGEST_LINE] for line in whole.split(b"\n"))
        self.waiting.extend(whole.decode("utf-8", "replace").split("\n"))
        while len(self.waiting) > _LINES_WAITING:
            self.waiting.popleft()
            self.dropped += 1
        self.some.set()

    def taken(self) -> tuple[list[str], int]:
        """All lines that wait, and how many were lost before them."""
        lines, dropped = list(self.waiting), self.dropped
        self.waiting.clear()
        self.dropped = 0
        return lines, dropped

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        if self._rest:
            self._add(self._rest)
        self.failure = exc
        self.closed = True
        self.some.set()


async def follow_logs(
    connection: asyncssh.SSHClientConnection, host: str, logs: Logs, release: Release, *, lines: int, follow: bool
) -> AsyncIterator[LogLine]:
    """``follow_batches``, line by line; a line is known by its file."""
    async with aclosing(follow_batches(connection, host, logs, release, lines=lines, follow=follow)) as batches:
        async for batch in batches:
            dropped = batch.dropped
            for at, text in enumerate(batch.texts):
                time = batch.times[at] if batch.times else None
                yield LogLine(host, batch.source + text, time, dropped, batch.source)
                dropped = 0


async def follow_batches(
    connection: asyncssh.SSHClientConnection, host: str, logs: Logs, release: Release, *, lines: int, follow: bool
) -> AsyncGenerator[LogBatch, None]:
    """Lines as they come. Raises ``Unreachable`` when the connection is lost, ``CommandFailed`` when the host has no such log."""
    words = logs.journal or " ".join(logs.files)
    action = f"read the logs {words}"
    script = build(
        "logs",
        {
            **log_values(logs, release),
            "scope": "user" if release.runner.user_unit else "system",
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
            channel.write(script.ahead + script.text)
            if not follow:
                channel.write_eof()
        except (OSError, TimeoutError, asyncssh.Error) as error:
            raise lost(host, action, error, started=False) from None
        source = ""
        while True:
            while session.waiting:
                texts, dropped = session.taken()
                if logs.journal is not None:
                    yield _from_journal(host, texts, dropped)
                    continue
                for file, part in _by_file(source, texts):
                    source = file
                    if part:
                        yield LogBatch(host, clean_lines(part), None, dropped, file)
                        dropped = 0
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


def _from_journal(host: str, texts: list[str], dropped: int) -> LogBatch:
    times: list[str | None] = []
    for at, text in enumerate(texts):
        found = _JOURNAL_TIME.match(text)
        times.append(f"{found.group(1)}Z" if found else None)
        if found:
            texts[at] = text[found.end() :]
    return LogBatch(host, clean_lines(texts), times, dropped)


def _by_file(source: str, texts: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Lines by the file that they are of: of several files, ``tail`` says from which one the next lines come."""
    begin = 0
    for at, text in enumerate(texts):
        head = _FILE_HEAD.match(text) if text.startswith("==> ") else None
        if head:
            end = at - 1 if at > begin and not texts[at - 1] else at  # tail's own empty line
            yield source, texts[begin:end]
            source, begin = f"{clean(head.group(1).rpartition('/')[2])}: ", at + 1
    yield source, texts[begin:]
