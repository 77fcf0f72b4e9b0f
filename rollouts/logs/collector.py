"""The log collector: a process of its own that follows the logs of one target over SSH and writes them into a spool.

``python -m quarterdeck.rollouts.logs.collector DESCRIPTOR``: the first line of its standard input is the order, later lines
say which release each host runs by now. It ends when its input does, however the screen ended. It never changes a host,
never waits for its reader, and never keeps a line: what comes too fast is dropped and counted.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import Connection, HostBackend, LogBatch
from quarterdeck.backends.text_cleaning import clean
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Fleet, Host, Target
from quarterdeck.config.problems import FleetFileErrors
from quarterdeck.config.release import Release
from quarterdeck.history.errors import JournalError, JournalMissing
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.leaving import leave
from quarterdeck.rollouts.logs.lines import Clock, belongs_to_the_line_before, level_of
from quarterdeck.rollouts.logs.merged import (
    AGAIN,
    CONNECT,
    chosen_hosts,
    logs_of,
    open_backend,
    release_meant,
    release_on,
    require_logs,
)
from quarterdeck.rollouts.logs.spool import BATCH, Level, Side, SpoolWriter, pack
from quarterdeck.rollouts.refusals import Refused

FLUSH_EVERY: Final = 0.05  # seconds
GATHER: Final = 0.7  # seconds in which the hosts' last lines are waited for, to put them in one order
SETTLED: Final = 0.1  # seconds without a line after which all of them have come
GATHERED: Final = 8 * BATCH  # lines that are waited with at most, at the beginning
RECENT: Final = 64  # lines of a host that are known by their text, should they come once more
LIVE: Final = 10_000  # milliseconds: a line that is not older is written now, whatever the host's clock says
REFUSED: Final = 3
"""Exit status when there is nothing to follow: trying again at once would not help."""


class Order(msgspec.Struct, frozen=True):
    """``only``: these hosts, empty for all. ``lines``: of each host that are there already. ``sides``: see ``Sides``."""

    fleet: Path
    target: str
    only: tuple[str, ...] = ()
    lines: int = 1000
    sides: Mapping[str, int | None] = msgspec.field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(
            {
                "fleet": str(self.fleet),
                "target": self.target,
                "only": list(self.only),
                "lines": self.lines,
                "sides": dict(self.sides),
            }
        )


def order_from(text: str) -> Order:
    body: dict[str, Any] = json.loads(text)
    return Order(Path(body["fleet"]), body["target"], tuple(body["only"]), body["lines"], body["sides"])


class Sides:
    """Which release a host runs while a rollout is under way: by host, since when (milliseconds) it runs the new one; None: it
    runs the old one. Empty: nothing is under way."""

    def __init__(self, sides: Mapping[str, int | None]) -> None:
        self.sides = dict(sides)

    def of(self, host: str, written: int, now: int) -> Side:
        if host not in self.sides:
            return Side.NONE
        since = self.sides[host]
        when = now if now - written < LIVE else written
        return Side.NEW if since is not None and when >= since else Side.OLD


class _File(msgspec.Struct):
    """What is known of one file of a host. ``time``: of its last line, 0: it has said none yet, nor has a line come since it is looked
    at. ``told``: it has said one; then a line that does not begin with its time belongs to the one before it."""

    clock: Clock = msgspec.field(default_factory=Clock)
    time: int = 0
    told: bool = False
    level: Level = Level.UNKNOWN
    recent: deque[str] = msgspec.field(default_factory=lambda: deque(maxlen=RECENT))
    seen_until: int = 0
    again: bool = False  # the connection was lost since: what is there already may be known

    def seen(self, when: int, text: str) -> bool:
        return when < self.seen_until or (when == self.seen_until and text in self.recent)

    def first_time(self, texts: Sequence[str]) -> int:
        """The first one that a line of ``texts`` says; 0: none does."""
        return next((when for text in texts if (when := self.clock.read(text)[0])), 0)


class Stamp:
    """What is known of each line of one host: its time, how bad it is, which line it belongs to.

    A line that says no time has that of its coming when it has just come. One that was there already has the time of the line
    before it in its file, and where none before it says one it is ``undated``: it stands where its file has it, and no time is made up.
    """

    def __init__(self, number: int, name: str, sides: Sides) -> None:
        self.number = number
        self.name = name
        self.sides = sides
        self._files: dict[str, _File] = {}

    def resume(self) -> bool:
        """The connection was lost: what the host wrote meanwhile is told by its times from what is known. False: it can't be."""
        for file in self._files.values():
            file.seen_until, file.again = file.time, True
        return any(file.told for file in self._files.values())

    def lines(self, batch: LogBatch, now: int, *, old: bool = False) -> "Lines":
        """``now``: milliseconds, for lines that don't say their time. ``old``: they were there before it was looked."""
        found = Lines()
        file = self._files.get(batch.source)
        if file is None:
            file = self._files[batch.source] = _File()
        read, number = file.clock.read, self.number
        sides = self.sides
        source = batch.source if len(self._files) > 1 else ""  # where all is of one file, its name says nothing
        again = old and file.again
        seen = again
        before_all = file.first_time(batch.texts) if old and not file.time and not batch.times else 0
        for at, text in enumerate(batch.texts):
            stated = batch.times[at] if batch.times else None
            for part in text.split("\n") if "\n" in text else (text,):
                when, skip = read(part)
                if stated is not None:
                    when = read(stated)[0]
                undated = False
                if again:
                    seen = file.seen(when, part) if when else seen  # one without a time goes with the one before it
                    if seen:
                        continue
                continued = not when and file.told and belongs_to_the_line_before(part)
                if when:
                    file.told = True
                elif continued or (old and file.told) or (file.time and now - file.time < LIVE):
                    when = file.time
                elif old:
                    when, undated = before_all, True
                else:
                    when = now
                if not continued:
                    file.level = level_of(part, skip)
                if not undated:
                    file.time = when
                side = sides.of(self.name, when, now) if sides.sides else 0
                file.recent.append(part)
                if source:
                    part = part[:skip] + source + part[skip:]
                found.texts.append(part)
                found.infos.append(pack(when, number, file.level, side, continued=continued, undated=undated))
                found.skips.append(skip)
        return found


class Lines(msgspec.Struct):
    texts: list[str] = msgspec.field(default_factory=list)
    infos: list[int] = msgspec.field(default_factory=list)
    skips: list[int] = msgspec.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.texts)


class Basket:
    """Lines of all hosts on their way into the spool, put in the order of their times a moment's worth at a time."""

    def __init__(self, writer: SpoolWriter) -> None:
        self.writer = writer
        self.waiting: dict[tuple[int, str], Lines] = {}  # by host and file
        self.count = 0
        self.lost = 0
        self.most = GATHERED  # lines that may wait
        self.came = 0.0  # monotonic: when the last line did
        self._last: dict[int, str] = {}  # the file of each host that has said something last

    def put(self, host: int, lines: Lines, source: str = "") -> None:
        self._last[host] = source
        kept = self.waiting.get((host, source))
        if kept is None:
            self.waiting[host, source] = lines
        else:
            kept.texts += lines.texts
            kept.infos += lines.infos
            kept.skips += lines.skips
        self.count += len(lines)
        self.came = time.monotonic()
        if self.count >= self.most:
            self.flush()

    def notice(self, host: int, text: str, source: str | None = None) -> None:
        """Our own word about a host, in its place among its lines: behind what came last, or what came last of the file ``source``."""
        source = self._last.get(host, "") if source is None else source
        self.put(host, Lines([clean(text).replace("\n", " ")], [pack(_now(), host, Level.NOTICE)], [0]), source)

    def flush(self) -> None:
        if not self.count:
            return
        lines = in_order(list(self.waiting.values()))
        self.waiting = {}
        self.count = 0
        try:
            if self.lost:
                said = f"{self.lost} lines were lost here: no space for them on this machine"
                self.writer.add([said], [pack(_now(), 0, Level.NOTICE)], [0])
                self.lost = 0
            self.writer.add(lines.texts, lines.infos, lines.skips)
        except OSError:
            self.lost += len(lines)


def in_order(files: list[Lines]) -> Lines:
    """By their times; lines of one file keep their order, whatever its host's clock says."""
    if len(files) == 1:
        return files[0]
    times: list[int] = []
    for lines in files:
        latest = 0
        for info in lines.infos:
            latest = max(latest, info >> 20)
            times.append(latest)
    texts = [text for lines in files for text in lines.texts]
    infos = [info for lines in files for info in lines.infos]
    skips = [skip for lines in files for skip in lines.skips]
    order = sorted(range(len(times)), key=times.__getitem__)
    return Lines([texts[at] for at in order], [infos[at] for at in order], [skips[at] for at in order])


class Collector:
    def __init__(self, order: Order, writer: SpoolWriter) -> None:
        self.order = order
        self.sides = Sides(order.sides)
        self.basket = Basket(writer)
        self._begun: set[str] = set()

    async def run(self) -> None:
        """Until the process ends. Raises Refused, FleetFileErrors, JournalError."""
        fleet = load_fleet(self.order.fleet)
        target = fleet.targets.get(self.order.target)
        if target is None:
            raise Refused(f"{self.order.target} is not in {self.order.fleet} any more", "choose another target")
        release = _release_of(fleet, target)
        if release is not None or logs_of(target, None) is None:
            require_logs(target, release)
        hosts = chosen_hosts(target, self.order.only)
        numbers = {host.name: number for number, host in enumerate(target.hosts)}
        backend = open_backend(fleet)
        async with asyncio.TaskGroup() as group:
            for host in hosts:
                stamp = Stamp(numbers[host.name], host.name, self.sides)
                group.create_task(self._follow(backend, host, target, release, stamp), name=f"logs {host.name}")
            group.create_task(self._flush_for_ever({host.name for host in hosts}), name="flush")

    async def _flush_for_ever(self, hosts: set[str]) -> None:
        """What is there already goes in the order of its times, whichever host or file was read first; then lines as they come."""
        until = time.monotonic() + GATHER
        while True:
            now = time.monotonic()
            if (
                self.basket.most == BATCH
                or now >= until
                or (self._begun >= hosts and now - self.basket.came >= SETTLED)
            ):
                self.basket.most = BATCH
                self.basket.flush()
            await asyncio.sleep(FLUSH_EVERY)

    async def _follow(
        self, backend: HostBackend, host: Host, target: Target, release: Release | None, stamp: Stamp
    ) -> None:
        silent, lines = False, self.order.lines
        while True:
            try:
                connection = await backend.connect(host, deadline=CONNECT)
                try:
                    if silent:
                        silent = False
                        self.basket.notice(stamp.number, "is back")
                    await self._pass_on(connection, target, release, stamp, lines)
                finally:
                    await leave(connection)
                reason = "the log command ended on the host"
            except (BackendError, TimeoutError) as error:
                reason = str(error).removeprefix(f"{host.name}: ") or f"no answer within {CONNECT:g} s"
            self._begun.add(host.name)
            if not silent:
                self.basket.notice(stamp.number, f"is silent: {reason}")
            silent = True
            lines = self.order.lines if stamp.resume() else 0
            await asyncio.sleep(AGAIN)

    async def _pass_on(
        self, connection: Connection, target: Target, release: Release | None, stamp: Stamp, lines: int
    ) -> None:
        release = release or await release_on(connection, target)
        logs = logs_of(target, release)
        if release is None or logs is None:
            raise BackendError(connection.host, "read the logs", f"nothing of {target.name} runs here")
        async with aclosing(connection.log_batches(logs, release, lines=lines, follow=True)) as batches:
            first: float | None = None
            async for batch in batches:
                first = time.monotonic() if first is None else first
                old = lines > 0 and time.monotonic() - first < GATHER
                if batch.dropped:
                    self.basket.notice(
                        stamp.number,
                        f"{batch.dropped} lines were lost here: they came faster than they were read",
                        batch.source,
                    )
                self.basket.put(stamp.number, stamp.lines(batch, _now(), old=old), batch.source)
                self._begun.add(stamp.name)
                if self.basket.count > BATCH // 2:
                    await asyncio.sleep(0)  # other hosts too


def _release_of(fleet: Fleet, target: Target) -> Release | None:
    """What the journal says is meant; None without a journal: then the hosts are asked."""
    try:
        with Journal.open(fleet.state, operator=current_operator(), create=False, read_only=True) as journal:
            return release_meant(journal, target.name)
    except JournalMissing:
        return None


def _now() -> int:
    return time.time_ns() // 1_000_000


def _listen(sides: Sides) -> None:
    """In a thread, so that the end of the input is heard whatever the loop is waiting for."""
    for line in sys.stdin:
        try:
            sides.sides = json.loads(line)["sides"]
        except (ValueError, KeyError):
            continue
    os._exit(0)  # nothing is to be tidied up: the hosts' commands end with their connections


def main() -> int:
    os.nice(5)  # the screen comes first
    order = sys.stdin.readline()
    if not order:
        return 0
    writer = SpoolWriter(int(sys.argv[1]))
    collector = Collector(order_from(order), writer)
    threading.Thread(target=_listen, args=(collector.sides,), name="listen", daemon=True).start()
    status = REFUSED
    try:
        asyncio.run(collector.run())
    except* (Refused, FleetFileErrors, JournalError) as group:
        said = str(group.exceptions[0])
    except* Exception as group:
        said = f"the log collector failed: {group.exceptions[0]!r}; it starts again by itself"
        status = 1
    collector.basket.notice(0, said)
    collector.basket.flush()
    return status


if __name__ == "__main__":
    sys.exit(main())
