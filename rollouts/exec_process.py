"""Runs one command of an operator's for the control room: ``python -m quarterdeck.rollouts.exec_process``, a process of its own.

The first line of its standard input is the order; it ends when its input does, and the command with it. On its standard output is a
JSON object a line: ``{"places": [NAME, …]}`` first, where the order is for every task; ``{"lines": [[place, text, is an error], …],
"dropped": N}`` ten times a second at most; for each place that is done ``{"host": NAME, "status": N}`` or ``{"host": NAME, "error":
TEXT}``; and ``{"refused": TEXT}`` where nothing was begun.
"""

import asyncio
import json
import sys
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.hosts.contract import HostBackend, Printed
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Target
from quarterdeck.config.problems import FleetFileErrors
from quarterdeck.history.errors import JournalError
from quarterdeck.history.identity import current_operator
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.control import Control
from quarterdeck.rollouts.executing import LIMIT, Lines, Place, Words, allowed, run_on, spread, words_of
from quarterdeck.rollouts.logs.merged import open_backend
from quarterdeck.rollouts.refusals import Refused, UnknownTarget

WAITING: Final = 2000  # lines, the newest: nobody reads more of them ten times a second
EVERY: Final = 0.1  # seconds


class Order(msgspec.Struct, frozen=True):
    """``command``: its words. ``hosts``: of the target. ``every``: of a swarm in each of its tasks."""

    fleet: Path
    target: str
    hosts: tuple[str, ...]
    command: tuple[str, ...]
    every: bool = False

    def to_json(self) -> str:
        body = {"fleet": str(self.fleet), "target": self.target, "hosts": self.hosts, "command": self.command}
        return json.dumps(body | {"every": self.every})


def order_from(text: str) -> Order:
    body: dict[str, Any] = json.loads(text)
    return Order(Path(body["fleet"]), body["target"], tuple(body["hosts"]), tuple(body["command"]), body["every"])


class _Told:
    """What is still to be told; a reader that is too slow loses the oldest lines, counted."""

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str, bool]] = deque()
        self._dropped = 0

    def add(self, host: str, lines: list[str], *, error: bool) -> None:
        self._lines.extend((host, line, error) for line in lines)
        while len(self._lines) > WAITING:
            self._lines.popleft()
            self._dropped += 1

    async def flush(self) -> None:
        if self._lines:
            lines, dropped = list(self._lines), self._dropped
            self._lines.clear()
            self._dropped = 0
            await say({"lines": lines, "dropped": dropped})

    async def flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self.flush()


async def say(value: dict[str, Any]) -> None:
    """One line to whoever reads, who may be slow: the loop does not wait with it."""
    await asyncio.to_thread(_write, json.dumps(value) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


async def carry_out(order: Order) -> None:
    """Raises Refused and its kin, JournalError, FleetFileErrors before anything has begun."""
    fleet = load_fleet(order.fleet)
    operator = current_operator()
    with Journal.open(fleet.state, operator=operator) as journal:
        target, places = allowed(Control(fleet, journal, operator), order.target, order.hosts)
        words = await words_of(journal, target, fleet.file.parent, order.command)
        told = _Told()
        flushing = asyncio.create_task(told.flush_for_ever())
        try:
            backend = open_backend(fleet)
            if order.every:
                places = await spread(backend, target, places)
                await say({"places": [place.name for place in places]})
            async with asyncio.TaskGroup() as group:
                for place in places:
                    group.create_task(_on(backend, journal, target, place, order.command, words, told))
        finally:
            flushing.cancel()


async def _on(
    backend: HostBackend,
    journal: Journal,
    target: Target,
    place: Place,
    command: tuple[str, ...],
    words: Words,
    told: _Told,
) -> None:
    lines = {error: Lines(words.masker) for error in (False, True)}
    ended: dict[str, Any] = {}
    try:
        async for piece in run_on(backend, journal, target, place, command, words, deadline=LIMIT):
            if isinstance(piece, Printed):
                told.add(place.name, lines[piece.error].take(piece.data), error=piece.error)
            else:
                ended = {"status": piece.status}
    except (BackendError, JournalError) as error:
        ended = {"error": words.masker.mask(place.named_in(str(error)))}
    for is_error, rest in lines.items():
        told.add(place.name, rest.end(), error=is_error)
    await told.flush()
    await say({"host": place.name, **ended})


async def run() -> None:
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        return
    going = asyncio.create_task(_answered(order_from(line)))
    reader_left = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, reader_left.set)  # nothing more is written there: readable is its end
    leaving = asyncio.create_task(reader_left.wait())
    await asyncio.wait((going, leaving), return_when=asyncio.FIRST_COMPLETED)
    loop.remove_reader(0)
    going.cancel()
    leaving.cancel()
    await asyncio.gather(going, leaving, return_exceptions=True)


async def _answered(order: Order) -> None:
    try:
        await carry_out(order)
    except (Refused, UnknownTarget, JournalError, OSError) as error:
        await say({"refused": str(error)})
    except FleetFileErrors:
        await say({"refused": "the fleet file can't be used; qd check says what is wrong with it"})


if __name__ == "__main__":
    asyncio.run(run())
