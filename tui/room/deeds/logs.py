"""What can be done with the lines of the logs pane."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Final

from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.deeds.copying import copy_text
from quarterdeck.tui.room.logs.folding import Fold
from quarterdeck.tui.room.logs.saving import NotSaved, create, default_name, save
from quarterdeck.tui.room.panes.logs import Logs, duration

SINCE: Final = (None, 60_000, 300_000, 900_000, 3_600_000)  # milliseconds: what `s` goes through
LEVELS: Final = ("all", "info", "warn", "error")
_UNITS: Final = {"": 60_000, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
SAVING: Final = 120.0  # seconds


def _pane(room: Room) -> Logs:
    pane = room.pane("logs")
    assert isinstance(pane, Logs)
    return pane


async def _follow(room: Room, _words: Words) -> None:
    _pane(room).toggle_follow()


async def _wrap(room: Room, _words: Words) -> None:
    pane = _pane(room)
    pane.wrap, pane.shift = not pane.wrap, 0
    pane.renew()


async def _timestamps(room: Room, _words: Words) -> None:
    pane = _pane(room)
    pane.timestamps = not pane.timestamps
    pane.renew()


async def _since(room: Room, words: Words) -> None:
    pane = _pane(room)
    if words:
        pane.set_since(since_from(words[0]))
    else:
        here = SINCE.index(pane.since) if pane.since in SINCE else 0
        pane.set_since(SINCE[(here + 1) % len(SINCE)])
    room.say(f"lines of the last {duration(pane.since)}" if pane.since is not None else "lines of any age")


def since_from(word: str) -> int | None:
    """Milliseconds of ``90s``, ``5m``, ``2h``, ``1d`` or ``5`` (minutes); None for ``all``. Raises Refused."""
    if word in ("all", "-"):
        return None
    found = re.fullmatch(r"(\d{1,6})([smhd]?)", word, re.ASCII)
    if found is None or int(found[1]) == 0:
        raise Refused(f"{word} is no length of time", "write 90s, 5m, 2h, 1d or all")
    return int(found[1]) * _UNITS[found[2]]


async def _level(room: Room, words: Words) -> None:
    pane = _pane(room)
    wanted = words[0].lower() if words else LEVELS[(LEVELS.index(pane.level) + 1) % len(LEVELS)]
    if wanted not in LEVELS:
        raise Refused(f"{wanted} is no level", f"there is {', '.join(LEVELS)}")
    pane.set_level(wanted)


async def _fold(room: Room, _words: Words) -> None:
    pane = _pane(room)
    folds = list(Fold)
    pane.set_fold(folds[(folds.index(pane.fold) + 1) % len(folds)])
    room.say(f"repeats are folded {pane.fold}" if pane.fold is not Fold.OFF else "repeats are not folded")


async def _mark(room: Room, words: Words) -> None:
    _pane(room).set_mark(" ".join(words) or f"set by {room.standing.operator.name}")


async def _hosts(room: Room, words: Words) -> None:
    pane = _pane(room)
    unknown = [word for word in words if word not in pane.hosts and word != "all"]
    if unknown:
        raise Refused(f"the target has no host {unknown[0]}", f"its hosts: {', '.join(pane.hosts)}, or all")
    pane.set_hosts(() if "all" in words else tuple(words))


async def _copy(room: Room, _words: Words) -> None:
    copy_text(room, _pane(room).copy_text(), nothing="there is no line to copy")


async def _save(room: Room, words: Words) -> None:
    pane = _pane(room)
    window, target = pane.window, room.place.target
    if window is None or target is None:
        room.say("there is no line to save")
        return
    spool = window.spool.again()
    sieve, hosts, least, marks = pane.sieve, pane.hosts, window.least, list(pane.marks)

    def write() -> str:
        try:
            descriptor, path = create(" ".join(words), default_name(target, datetime.now(UTC)))
            try:
                count = save(descriptor, spool, sieve, hosts, least, marks)
            except OSError as error:
                return f"not all was saved: {path}: {error.strerror or error}; it ends where space ran out"
            return f"saved {count:,} lines to {path}"
        except NotSaved as error:
            return str(error)
        finally:
            spool.close()

    async def saving() -> None:
        try:
            async with asyncio.timeout(SAVING):
                room.say(await asyncio.to_thread(write))
        except TimeoutError:
            room.say(f"saving takes longer than {SAVING:g} s; it goes on")

    room.carry_out("save", saving())


HANDLERS: dict[str, Handler] = {
    "follow": _follow,
    "wrap": _wrap,
    "timestamps": _timestamps,
    "since": _since,
    "mark": _mark,
    "level": _level,
    "fold": _fold,
    "log-hosts": _hosts,
    "copy-logs": _copy,
    "save-logs": _save,
}
