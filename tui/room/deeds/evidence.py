"""What is told of the past to somebody who was not there: the post-mortem of a rollout into a file, and the figures of a team."""

import asyncio
import contextlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.rollouts.refusals import Refused
from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.cards.stats import StatsCard
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.deeds.cards import meant

WRITING: Final = 120.0  # seconds; hosts that are asked for log lines have shorter deadlines


async def _report(room: Room, words: Words) -> None:
    """Of the rollout that is meant; the word behind it is the file, else a new one in the operator's directory."""
    id = meant(room, words)
    if id is not None:
        room.carry_out("report", _written(room, id, " ".join(words[1:])))


def _shortened(path: Path) -> str:
    """With ``~`` for the operator's own directory: the end of a path is what is worth its place."""
    with contextlib.suppress(ValueError, RuntimeError):
        return f"~/{path.relative_to(Path.home())}"
    return str(path)


async def _written(room: Room, id: int, wanted: str) -> None:
    """By ``qd report`` itself, as a process of its own: what it takes to ask hosts is never loaded into the screen's."""
    await room.desk.ask(lambda journal: journal.rollout(id))  # one that there is not is refused here
    path = _place(wanted, f"rollout-{id}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.md")
    command = [
        sys.executable,
        "-m",
        "quarterdeck.tui.main",
        "report",
        str(id),
        "--to",
        str(path),
        "--fleet",
        str(room.fleet.file),
    ]
    if not room.opening.observe:
        command.append("--no-logs")
    room.say(
        f"rollout {id}: the report is being written"
        + (", hosts are asked for log lines ..." if room.opening.observe else " ...")
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(WRITING):
            _, said = await process.communicate()
    except TimeoutError:
        room.say(f"no report: it took longer than {WRITING:g} s; try: qd report {id} --no-logs")
        return
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    if process.returncode == 0:
        room.say(f"report of rollout {id} written to {_shortened(path)}")
        return
    lines = clean(said.decode("utf-8", "replace")).strip().splitlines()
    raise Refused("no report", lines[-1].removeprefix("qd: ") if lines else f"see: qd report {id}")


def _place(wanted: str, name: str) -> Path:
    """As typed; a directory, or nothing: ``name`` in it, or here."""
    try:
        path = Path(wanted).expanduser().absolute() if wanted else Path.cwd()
    except RuntimeError:
        raise Refused("no report", f"there is no such home directory: {wanted}") from None
    return path / name if path.is_dir() else path


async def _stats(room: Room, words: Words) -> None:
    """Of the whole fleet, or of the environment, target or service that was typed."""
    fleet = room.fleet
    if not words:
        room.push_screen(StatsCard("the whole fleet", None, room.now()))
        return
    name = words[0]
    targets = [
        target for target, declared in fleet.targets.items() if name in (target, declared.environment, declared.service)
    ]
    if not targets:
        raise Refused(f"there is no environment, target or service {name!r}", "the matrix has them all")
    room.push_screen(StatsCard(name, targets, room.now()))


HANDLERS: dict[str, Handler] = {"report": _report, "stats": _stats}
