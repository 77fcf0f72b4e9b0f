"""The observer's process: tells the journal that its room is here and what it has open, and leads as soon as nobody else does.
It ends when its room does; whatever fails meanwhile is tried again."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import Any

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.errors import JournalError
from quarterdeck.history.observing import ObserverLock
from quarterdeck.history.records import Operator, Presence
from quarterdeck.rollouts.observer.clerk import Clerk
from quarterdeck.rollouts.observer.pace import Pace

AGAIN = 0.5  # seconds between two tries to lead: so long nobody looks at the hosts after a leader died
HEARTBEAT = 10.0  # seconds
SETTLED = 0.3  # seconds: a cursor that runs down a list is not written down row by row
GOODBYE = 1.0  # seconds for taking one's name off the journal

_log = logging.getLogger("quarterdeck.observer")


class Room(msgspec.Struct):
    """What the room has said so far: which it is, and what it shows."""

    pid: int
    state: Path
    fleet_file: Path
    operator: Operator
    pace: Pace = msgspec.field(default_factory=Pace)
    view: str = "overview"
    target: str | None = None

    def hear(self, said: dict[str, Any]) -> None:
        self.view = str(said.get("view", self.view))
        self.target = said.get("target", self.target)
        self.fleet_file = Path(said.get("fleet", self.fleet_file))


def room_of(said: dict[str, Any]) -> Room:
    """The first line that a room says. Raises KeyError, TypeError."""
    room = Room(
        int(said["room"]),
        Path(said["state"]),
        Path(said["fleet"]),
        Operator(**said["operator"]),
        Pace(**said.get("pace", {})),
    )
    room.hear(said)
    return room


class Observer:
    """``hear`` is called with what the room says, in the loop; ``run`` ends when it is cancelled."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._clerk = Clerk(room.state, room.operator)
        self._mine: Presence | None = None
        self._moved = asyncio.Event()
        self._fleet_changed = asyncio.Event()

    def hear(self, said: dict[str, Any]) -> None:
        before = self._room.fleet_file
        self._room.hear(said)
        if said.get("refresh"):
            task = asyncio.create_task(self._ask())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._room.fleet_file != before or said.get("reload"):
            self._fleet_changed.set()
        self._moved.set()

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._be_here())
                group.create_task(self._lead())
        finally:
            with contextlib.suppress(JournalError, TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await asyncio.shield(asyncio.ensure_future(self._leave()))

    # who is here

    async def _be_here(self) -> None:
        while True:
            self._moved.clear()
            try:
                if not await self._clerk.still_the_same():
                    self._mine = None
                self._mine = await self._announce(self._room.pid, self._room.view, self._room.target)
                wait = HEARTBEAT
            except (JournalError, OSError) as error:  # OSError: the room is gone, which its pipe tells as well
                _log.info("not announced: %s", error)
                wait = 1.0
            await asyncio.sleep(SETTLED)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._moved.wait()

    async def _announce(self, pid: int, view: str, target: str | None) -> Presence:
        return await self._clerk.do(lambda journal: journal.announce(pid, view, target))

    async def _ask(self) -> None:
        mine = self._mine
        if mine is not None:
            with contextlib.suppress(JournalError):
                await self._clerk.do(lambda journal: journal.ask_to_look(mine))

    async def _leave(self) -> None:
        mine = self._mine
        if mine is not None:
            await self._clerk.do(lambda journal: journal.leave(mine))

    # leading

    async def _lead(self) -> None:
        """Tries to become the leader, and is it until the fleet file or the journal is another one."""
        while True:
            lock: ObserverLock | None = None
            try:
                if self._clerk.file is not None:
                    lock = ObserverLock.take(self._room.state)
                if lock is not None:
                    await self._lead_now()
            except (JournalError, OSError) as error:
                _log.warning("can't lead: %s", error)
            except Exception:
                _log.exception("leading failed; it is begun anew")
                await asyncio.sleep(2.0)
            finally:
                if lock is not None:
                    lock.release()
            await asyncio.sleep(AGAIN)

    async def _lead_now(self) -> None:
        from quarterdeck.rollouts.observer.leader import Leader  # only who leads needs it, and the SSH library

        self._fleet_changed.clear()
        fleet = await asyncio.to_thread(_read_fleet, self._room.fleet_file)
        if fleet is None:
            await asyncio.sleep(2.0)  # the room says what is wrong with the file
            return
        leader = Leader(fleet, self._clerk, lambda: self._mine, self._room.pace)
        leading = asyncio.create_task(leader.run(), name="lead")
        changed = asyncio.create_task(self._fleet_changed.wait())
        opened = self._clerk.file
        try:
            while not leading.done() and not changed.done() and self._clerk.file == opened:
                await asyncio.wait((leading, changed), timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (leading, changed):
                task.cancel()
            await asyncio.wait((leading, changed))
        if not leading.cancelled() and (error := leading.exception()) is not None:
            raise error


def _read_fleet(path: Path) -> Fleet | None:
    from quarterdeck.config.load import FleetFileErrors, load_fleet

    started = time.monotonic()
    try:
        return load_fleet(path)
    except (FleetFileErrors, OSError) as error:
        _log.warning("fleet=%s can't be read: %s", path, error)
        return None
    finally:
        _log.debug("fleet=%s read in %.3f s", path, time.monotonic() - started)
