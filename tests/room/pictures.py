"""Pictures of the screen that a test compares with the kept ones below ``snapshots/``: the text once for each size, and for each
look which cells are shown in which style. ``QD_SNAPSHOTS=update`` writes them anew; look at the difference before it is committed.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.pilot import Pilot
from textual.strip import Strip

from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.health import LATELY
from quarterdeck.tui.room.app import Room
from tests.room.seen import until

SNAPSHOTS: Final = Path(__file__).parent / "snapshots"
SIZES: Final = ((80, 24), (120, 35), (200, 60))
PICTURED_LOOKS: Final = ("dark", "ansi-dark", "no-colour")
HASH: Final = re.compile(r"(hash +)([0-9a-f]{16,})")  # of an event: of its moment too, which no clock of ours gives
UPDATE: Final = os.environ.get("QD_SNAPSHOTS") == "update"


def _always(_room: Room) -> bool:
    return True


def _nothing(_of: object) -> None:
    """Is done before it is pictured."""


@dataclass(frozen=True)
class Screen:
    """One to be pictured: opened on ``target``, ``keys`` pressed one after the other, then waited for until ``ready``.

    ``journal`` is given the state directory before the room is opened, ``begin`` the room before the keys.
    """

    name: str
    keys: tuple[str, ...] = ()
    target: str | None = "production/api"
    ready: Callable[[Room], bool] = _always
    journal: Callable[[Path], None] = _nothing
    begin: Callable[[Room], None] = _nothing

    def __str__(self) -> str:
        return self.name


async def compare(room: Room, screen: Screen, size: tuple[int, int]) -> None:
    """Opens ``room`` at ``size`` and compares what it shows with what is kept, in one look after the other."""
    measured = _is_measured(room)

    def answered() -> bool:
        return _answered(room, measured)

    async with room.run_test(size=size) as pilot:
        await until(pilot, lambda: room.picture.head > 0, "the journal to be read")
        await until(pilot, answered, "what is asked at the beginning")
        screen.begin(room)
        for key in screen.keys:
            await pilot.press(key)
            await until(pilot, answered, f"what is asked after {key}")  # else the next key may find nothing to move to
        await until(pilot, lambda: screen.ready(room), f"{screen.name} to be ready")
        await until(pilot, answered, "what the journal was asked")
        stem = f"{screen.name}.{size[0]}x{size[1]}"
        told = []
        for look in PICTURED_LOOKS:
            if room.look.name != look:
                room.wear(look)
                room.repaint()
            text, styles = await _settled(pilot, room)
            told += [_compared(f"{stem}.txt", text), _compared(f"{stem}.{look}.styles", styles)]
    if wrong := [line for line in dict.fromkeys(told) if line]:
        raise AssertionError("\n\n".join(wrong))


def _is_measured(room: Room) -> bool:
    """Whether its journal holds outcomes of health checks, for the list of all targets."""
    with Journal.open(room.fleet.state, create=False, read_only=True) as journal:
        return bool(journal.probes(LATELY))


def _answered(room: Room, measured: bool) -> bool:
    """Whether the journal has answered all that it was asked, and has given the figures of what is on the screen. Those come from the
    desk's own thread, with news of their own. ``measured``: whether there are any of all targets."""
    target, everything = room.desk._watched
    chosen = room.measures.chosen
    return (
        all(asked.is_finished for asked in room.workers)
        and (target is None or (chosen is not None and chosen.target == target))
        and (not everything or not measured or bool(room.measures.all))
    )


async def _settled(pilot: Pilot[Any], room: Room) -> tuple[str, str]:
    """What the screen shows once it shows the same twice."""
    last: tuple[str, str] | None = None

    def same() -> bool:
        nonlocal last
        before, last = last, picture_of(room)
        return before == last

    await until(pilot, same, "the screen to stand still")
    assert last is not None
    return last


def picture_of(room: Room) -> tuple[str, str]:
    """The text of the screen, and its styles: ``3: 0-4 a`` says that columns 0 to 3 of row 3 are in the style a."""
    update = room.screen._compositor.render_update(full=True, screen_stack=room._background_screens)
    assert isinstance(update, LayoutUpdate)
    text, styles, names = [], [], dict[str, str]()
    for y, parts in enumerate(update.strips):
        strip = Strip.join(parts)
        text.append(strip.text.rstrip())
        runs: list[tuple[int, int, str]] = []
        at = 0
        for segment in strip:
            style = str(_bare(segment.style))
            end = at + segment.cell_length
            if runs and runs[-1][2] == style:
                runs[-1] = (runs[-1][0], end, style)
            else:
                runs.append((at, end, style))
            at = end
        shown = [f"{start}-{end} {names.setdefault(style, _letter(len(names)))}" for start, end, style in runs]
        styles.append(f"{y}: {' '.join(shown)}")
    legend = [f"{letter} = {style}" for style, letter in names.items()]
    return HASH.sub(lambda found: found[1] + "0" * len(found[2]), "\n".join(text)) + "\n", "\n".join(
        [*legend, "", *styles]
    ) + "\n"


def _bare(style: Style | None) -> Style:
    """Without what Textual keeps in it for the mouse."""
    return Style() if style is None else style.clear_meta_and_links()


def _letter(number: int) -> str:
    return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[number]


def _compared(name: str, now: str) -> str:
    """What differs from the kept picture, empty when nothing does."""
    import difflib

    path = SNAPSHOTS / name
    if UPDATE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
        return ""
    if not path.exists():
        return f"{name} is not kept yet: QD_SNAPSHOTS=update writes it"
    kept = path.read_text(encoding="utf-8")
    if kept == now:
        return ""
    lines = difflib.unified_diff(kept.splitlines(), now.splitlines(), f"kept {name}", "shown", lineterm="", n=0)
    return "\n".join(lines)
