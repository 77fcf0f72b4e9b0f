"""The first paint: what is last known, on the screen before the screen library is loaded. It reads the journal and a cached
description of the fleet, waits for nothing, and whatever goes wrong leaves an empty screen for the room, never an error.

The room takes over the same screen: see ``open.py``, and ``give_back`` for when there will be no room after all.
"""

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from quarterdeck.rollouts.picture.fleet import Picture
    from quarterdeck.tui.room.boxes import Box
    from quarterdeck.tui.room.fleet_cache import KnownFleet
    from quarterdeck.tui.room.rows import Row

SCREEN: Final = 2  # standard error: the screen library draws there as well
_FLAGS: Final = {"--read-only", "--slow", "--mouse", "--debug", "--cached"}
_SHELL: "list[Any] | None" = None  # the terminal's settings as the shell had them, while they are changed
_PAINTED: "Picture | None" = None


class Wishes(NamedTuple):
    """What the command line says about the picture."""

    fleet: str | None = None
    look: str | None = None
    slow: bool = False
    target: str | None = None


def paint(words: Sequence[str], environment: Mapping[str, str] | None = None) -> bool:
    """Paints if these words open the room on a terminal, and something is known; whether it did."""
    variables = os.environ if environment is None else environment
    wishes = wishes_in(words)
    if wishes is None or variables.get("TERM", "dumb") == "dumb" or not (os.isatty(0) and os.isatty(SCREEN)):
        return False
    gc.disable()  # until the room is ready: nothing that is made on the way is ever garbage
    try:
        width, height = os.get_terminal_size(SCREEN)
        text = screen_text(wishes, variables, width, height, datetime.now(UTC))
    except Exception:
        return False  # the room comes in a moment, and says what is wrong
    if text:
        _write(text)
    return bool(text)


def wishes_in(words: Sequence[str]) -> Wishes | None:
    """None for a command line that is not, or not surely, one that opens the room."""
    fleet = look = target = None
    slow = False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name in ("--fleet", "--look"):
            if not equals:
                if not rest:
                    return None
                value = rest.pop(0)
            fleet, look = (value, look) if name == "--fleet" else (fleet, value)
        elif word in _FLAGS:
            slow = slow or word == "--slow"
        elif not word.startswith("-") and "/" in word and target is None:
            target = word
        else:
            return None
    return Wishes(fleet, look, slow, target)


def screen_text(wishes: Wishes, variables: Mapping[str, str], width: int, height: int, now: datetime) -> str:
    """The whole screen as bytes to be; empty where nothing is known. Raises whatever reading can raise."""
    from quarterdeck.config.locate import locate_fleet
    from quarterdeck.tui.room.fleet_cache import recall

    file = locate_fleet(wishes.fleet, environment=variables)
    fleet = recall(file, variables)
    if fleet is None or width < 40 or height < 10:
        return ""
    picture, seen = last_known(fleet, file, variables)
    global _PAINTED
    _PAINTED = picture
    from quarterdeck.tui.room.ansi import ALTERNATE_SCREEN, HIDE_CURSOR, painted
    from quarterdeck.tui.room.looks import LOOKS, look_for
    from quarterdeck.tui.room.rows import fit

    styles = LOOKS[look_for(variables, wishes.look, slow=wishes.slow, usual=fleet.look)].styles
    chosen = wishes.target if wishes.target in picture.targets else next(iter(picture.targets), None)
    parts = [ALTERNATE_SCREEN, HIDE_CURSOR]
    for box, rows in panes(picture, chosen, width, height, now, seen):
        parts.append(painted([fit(row, box.width) for row in rows[: box.height]], styles, box.x, box.y))
    return "".join(parts)


def last_known(fleet: "KnownFleet", file: "Path", variables: Mapping[str, str]) -> "tuple[Picture, str]":
    """From the journal, read only and without a look at any host; of a fleet that is not small with what was kept of the last room's
    picture. With it when a host was last seen, as far as that is in it (ISO 8601 UTC; empty: never). Raises JournalError."""
    from quarterdeck.history.journal import Journal
    from quarterdeck.history.records import Operator
    from quarterdeck.rollouts.picture.fleet import take_picture
    from quarterdeck.tui.room.fleet_cache import is_kept

    nobody = Operator("", os.getuid())  # nothing is written
    with Journal.open(fleet.state, operator=nobody, create=False, read_only=True) as journal:
        if is_kept(fleet):
            from quarterdeck.tui.room.known_picture import recall

            if (found := recall(fleet, file, journal, variables)) is not None:
                return found.picture, found.newest
        picture = take_picture(fleet, journal)
    return picture, max((seen.newest for seen in picture.targets.values()), default="")


def panes(
    picture: "Picture", chosen: str | None, width: int, height: int, now: datetime, seen: str
) -> "list[tuple[Box, list[Row]]]":
    """What is on the overview, each pane where the room will have it. ``seen``: when a host of the fleet was last seen."""
    from quarterdeck.tui.cli.times import age
    from quarterdeck.tui.room.boxes import frame, overview
    from quarterdeck.tui.room.overview.card import card_rows, title_of
    from quarterdeck.tui.room.overview.matrix import TITLE_FROM, chosen_services, matrix_rows
    from quarterdeck.tui.room.overview.rollouts import rollout_lines
    from quarterdeck.tui.room.overview.tabs import counts, tabs_row
    from quarterdeck.tui.room.overview.worst import alert_row, worst
    from quarterdeck.tui.room.rows import Role, Span, row, spread, title

    boxes = frame(width, height) | overview(width, height)
    old = f"LAST KNOWN {age(seen, now) if seen else 'never'}"
    left = row(Span(" qd ", Role.STRONG), Span(picture.fleet, Role.STRONG), " | ", Span(old, Role.STALE))
    bad, more = worst(picture)
    found: list[tuple[Box, list[Row]]] = [
        (boxes["header"], [spread(left, row(Span(now.strftime("%H:%M:%SZ "), Role.STRONG)), width)]),
        (boxes["tabs"], [tabs_row("overview", counts(picture), width)]),
        (boxes["alert"], [alert_row(bad, more, picture.production, width)]),
        (boxes["footer"], [(Span(" what was last known; the room opens ..", Role.DIM),)]),
    ]
    for name, box in boxes.items():
        if name in ("header", "tabs", "alert", "footer", "body"):
            continue
        heading = title_of(picture.targets.get(chosen or ""), chosen) if name == "card" else name
        titled = name != "matrix" or box.height >= TITLE_FROM
        rows: list[Row] = [title(heading, box.width, focused=name == "matrix")] if titled else []
        room = max(box.height - len(rows), 0)
        if name == "matrix":
            services = chosen_services(picture, now=now)
            rows += matrix_rows(picture, services, chosen, now, (box.width, room), focused=True)[0]
        elif name == "card":
            rows += card_rows(picture.targets.get(chosen or ""), picture, box.width, now)
        elif name == "rollouts":
            rows += [line.row for line in rollout_lines(picture, box.width, room, now)]
        found.append((box, rows))
    return found


def painted_already() -> bool:
    """Whether the screen that the room opens on is there, with something on it."""
    return _SHELL is not None


def painted() -> "Picture | None":
    """What was read for the first paint: the room begins with it, so that nobody sees less for a moment than before."""
    return _PAINTED


def ready() -> None:
    """The room takes keys: what was made so far stays for good, and is not looked through again. For ``open_room``, which has
    switched the collector off."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def give_back() -> None:
    """The terminal as the shell had it. Nothing happens when nothing was painted; harmless after the room, which gives it back
    itself."""
    global _SHELL
    if _SHELL is None:
        return
    import termios

    from quarterdeck.tui.room.ansi import BACK_FROM_IT, SHOW_CURSOR

    settings, _SHELL = _SHELL, None
    _put(BACK_FROM_IT + SHOW_CURSOR)
    try:
        termios.tcsetattr(SCREEN, termios.TCSANOW, settings)
    except termios.error:
        return  # the terminal is gone


def taken_over() -> None:
    """The room has the screen now, and leaves it by itself; only the terminal's settings are still ours to give back."""
    global _SHELL
    if _SHELL is None:
        return
    import termios

    settings, _SHELL = _SHELL, None
    try:
        termios.tcsetattr(SCREEN, termios.TCSANOW, settings)
    except termios.error:
        return


def _write(text: str) -> None:
    """Keys that are typed from now on are for the room: they are not shown, and wait for it."""
    global _SHELL
    import termios

    settings = termios.tcgetattr(SCREEN)
    _SHELL = termios.tcgetattr(SCREEN)
    settings[0] &= ~termios.ICRNL  # Enter is to be Enter for the room, not a line feed
    settings[3] &= ~(termios.ECHO | termios.ICANON)
    # Ctrl-Z as well: the shell must not get the terminal as it is now, and the room knows how to give it back.
    settings[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(SCREEN, termios.TCSANOW, settings)
    _put(text)


def _put(text: str) -> None:
    data = text.encode("utf-8", "replace")
    sys.stderr.flush()
    while data:
        data = data[os.write(SCREEN, data) :]
