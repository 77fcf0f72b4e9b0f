"""Logs of a target, from all its hosts, merged. Read only; a host that can't be reached is named once and the rest
goes on."""

import asyncio
import heapq
import re
from collections.abc import AsyncGenerator, Collection, Iterator
from typing import TYPE_CHECKING

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Connection, HostBackend, LogLine
from quarterdeck.config.model import Fleet, Host, Logs, Target
from quarterdeck.config.release import Release
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.manifest import release_in
from quarterdeck.rollouts.refusals import Refused, UnknownPart

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts

CONNECT = 10.0  # seconds
READ = 30.0  # seconds for the lines that are there already
AGAIN = 3.0  # seconds before a host that was lost is tried again
WAITING_LINES = 2000  # in memory; a slow reader slows the hosts' commands down, nothing grows


class Silent(msgspec.Struct, frozen=True):
    """A host that gives no lines (any more), and why. Said once, until it is back."""

    host: str
    reason: str


class Back(msgspec.Struct, frozen=True):
    """A silent host that gives lines again."""

    host: str


Entry = LogLine | Silent | Back


def open_backend(fleet: Fleet) -> "Hosts":
    """The way to the fleet's hosts."""
    from quarterdeck.backends.hosts.opening import Hosts

    return Hosts.of(fleet)


async def read_logs(
    backend: HostBackend,
    journal: Journal,
    target: Target,
    *,
    lines: int = 100,
    follow: bool = False,
    only: Collection[str] = (),
) -> AsyncGenerator[Entry, None]:
    """The last ``lines`` of every host, in the order of their times; with ``follow`` what comes, as it comes, without
    an end.

    Raises Refused when the target declares no logs, or ``only`` names a host that it does not have.
    """
    hosts = chosen_hosts(target, only)
    release = release_meant(journal, target.name)
    require_logs(target, release)
    queue: asyncio.Queue[Entry | None] = asyncio.Queue(WAITING_LINES)
    readers = [
        asyncio.create_task(
            _Reader(backend, host, target, release, queue).run(lines, follow=follow), name=f"logs {host.name}"
        )
        for host in hosts
    ]
    try:
        if follow:
            while True:
                entry = (
                    await queue.get()
                )  # no deadline: a quiet service is no fault, and the readers say when a host is lost
                if entry is not None:
                    yield entry
        for entry in merge(await _gather(queue, len(readers))):
            yield entry
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _gather(queue: "asyncio.Queue[Entry | None]", readers: int) -> list[Entry]:
    entries: list[Entry] = []
    while readers:
        entry = await queue.get()  # every reader has deadlines of its own and ends with None
        if entry is None:
            readers -= 1
        else:
            entries.append(entry)
    return entries


def logs_of(target: Target, release: Release | None) -> Logs | None:
    """Where the logs are: as the fleet file says now, else as the release says; a container's are the engine's."""
    if target.logs is not None or release is None:
        return target.logs or (Logs() if target.container is not None else None)
    return release.logs or (Logs() if release.container is not None else None)


def require_logs(target: Target, release: Release | None) -> None:
    """Raises Refused where neither the fleet file nor the release says where the logs are."""
    if logs_of(target, release) is None:
        raise Refused(
            f"{target.name} declares no logs",
            "add to the service in the fleet file: logs: {files: [PATH]}, or {journal: UNIT}",
        )


def chosen_hosts(target: Target, only: Collection[str]) -> list[Host]:
    """The target's hosts that ``only`` names, or all. Raises UnknownPart for another name."""
    names = [host.name for host in target.hosts]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise UnknownPart(f"{target.name} has no host {unknown[0]}", f"its hosts: {', '.join(names)}")
    return [host for host in target.hosts if not only or host.name in only]


def merge(entries: list[Entry]) -> Iterator[Entry]:
    """Silent hosts first, then all lines by their times. Lines of one file keep their order; one without a time stays with the
    line before it there, and what is before the first time goes with that."""
    by_file: dict[tuple[str, str], list[tuple[str, int, LogLine]]] = {}
    for number, entry in enumerate(entries):
        if isinstance(entry, LogLine):
            rows = by_file.setdefault((entry.host, entry.source), [])
            last = rows[-1][0] if rows else ""
            time = time_of(entry) or last
            if time and rows and not last:
                rows[:] = [(time, at, line) for _, at, line in rows]
            rows.append((max(time, last), number, entry))
        else:
            yield entry
    for _, _, line in heapq.merge(*by_file.values(), key=lambda row: (row[0], row[1])):
        yield line


# At the beginning of a line, behind the name of its file and perhaps a bracket: 2026-11-23T14:32:07.123Z, or with a space.
_TIME = re.compile(r"(?:[^\s:]+: )?\[?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?")


def time_of(line: LogLine) -> str | None:
    """What the source says, or the time that the line itself begins with; as text that sorts. None: it says none."""
    if line.time is not None:
        return line.time
    found = _TIME.match(line.text)
    return f"{found[1]}T{found[2]}.{(found[3] or '').ljust(6, '0')}Z" if found else None


class _Reader:
    def __init__(
        self,
        backend: HostBackend,
        host: Host,
        target: Target,
        release: Release | None,
        queue: "asyncio.Queue[Entry | None]",
    ) -> None:
        self.backend = backend
        self.host = host
        self.target = target
        self.release = release
        self.queue = queue

    async def run(self, lines: int, *, follow: bool) -> None:
        try:
            await self._read(lines, follow=follow)
        except Exception as error:  # a fault of ours must not look like a host that has nothing to say
            await self.queue.put(Silent(self.host.name, f"{self.host.name}: {type(error).__name__}: {error}"))
        if not follow:
            # Waits for room: whoever gathers reads on until this has come from every reader.
            await self.queue.put(None)

    async def _read(self, lines: int, *, follow: bool) -> None:
        silent = False
        while True:
            try:
                connection = await self.backend.connect(self.host, deadline=CONNECT)
                try:
                    if silent:
                        silent = False
                        await self.queue.put(Back(self.host.name))
                    await self._pass_on(connection, lines, follow=follow)
                finally:
                    await leave(connection)
                if not follow:
                    return
                reason = "the log command ended on the host"
            except (BackendError, TimeoutError) as error:
                reason = str(error) or f"no answer within {READ:g} s"
            if not silent:
                await self.queue.put(Silent(self.host.name, reason))
            if not follow:
                return
            silent, lines = True, 0
            await asyncio.sleep(AGAIN)

    async def _pass_on(self, connection: Connection, lines: int, *, follow: bool) -> None:
        release = self.release or await release_on(connection, self.target)
        logs = logs_of(self.target, release)
        if release is None or logs is None:
            raise BackendError(self.host.name, "read the logs", f"nothing of {self.target.name} runs here")
        async with asyncio.timeout(None if follow else READ):
            stream = connection.logs(logs, release, lines=lines, follow=follow)
            async for line in stream:
                await self.queue.put(line)


async def release_on(connection: Connection, target: Target) -> Release | None:
    """Without a journal the host itself says what runs on it."""
    facts = await connection.facts(target.name, target.path, None)
    for kept in facts.kept:
        if kept.release == facts.current and kept.manifest is not None:
            try:
                return release_in(kept.manifest)
            except ValueError:
                return None
    return None


def release_meant(journal: Journal, target: str) -> Release | None:
    """The release whose logs are meant: what is on its way, else what runs, else the newest that is known."""
    active = journal.active(target)
    wanted = (active.to_release if active else None) or journal.current_release(target)
    row = journal.release(wanted) if wanted else next(iter(journal.releases(target, limit=1)), None)
    return row.release if row else None
