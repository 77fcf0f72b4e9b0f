"""What concerns the room itself: help, filter, command line, looks, zoom, copying, leaving."""

import os

from quarterdeck.tui.room.app import Room
from quarterdeck.tui.room.command_line import Mistyped, completions, hint, names_of, parse
from quarterdeck.tui.room.deeds import Handler, Words
from quarterdeck.tui.room.deeds.copying import copy_text
from quarterdeck.tui.room.looks import LOOKS
from quarterdeck.tui.room.manual import help_rows
from quarterdeck.tui.room.palette import Palette, entries
from quarterdeck.tui.room.permission import refusal
from quarterdeck.tui.room.reader import Reader
from quarterdeck.tui.room.rows import Row


async def _zoom(room: Room, _words: Words) -> None:
    room.toggle_zoom()


async def _filter(room: Room, words: Words) -> None:
    pane = room.focused_pane
    if pane is None or not pane.filterable:
        room.say(f"{pane.name_of if pane is not None else 'this'} can't be filtered; Tab goes to another pane")
        return
    if words:
        pane.set_filter(" ".join(words))
        room.renew()
        return

    def change(text: str) -> None:
        pane.set_filter(text)
        room.say(pane.matcher.fault)
        room.renew()

    def clear() -> None:
        change("")

    room.prompt("/", pane.matcher.words, on_change=change, on_done=change, on_cancel=clear)


async def _command(room: Room, _words: Words) -> None:
    names = names_of(room.picture, [pane.name_of for pane in room.visible_panes()])

    async def done(line: str) -> None:
        try:
            command = parse(line, names)
        except Mistyped as error:
            room.say(str(error))
            room.commands.add(line, kept=False)  # up brings it back, to be put right
            return
        if command is not None:
            room.commands.add(line, kept=command.kept)
            await room.action_act(command.action.id, command.words)

    room.prompt(
        ":", on_done=done, complete=lambda text: completions(text, names), history=room.commands.lines, hint=hint
    )


async def _look(room: Room, words: Words) -> None:
    if words:
        room.wear(words[0])
    room.say(f"look {room.look.name}: {room.look.summary}" + ("" if words else f"; there is {', '.join(LOOKS)}"))


async def _copy(room: Room, _words: Words) -> None:
    pane = room.focused_pane
    text = pane.copy_text() if pane is not None else ""
    copy_text(room, text, nothing="there is nothing to copy here")


async def _help(room: Room, _words: Words) -> None:
    name = room.focused_pane.name_of if room.focused_pane is not None else ""
    size = (room.size.width, room.size.height)

    def rows(width: int) -> list[Row]:
        return help_rows(name, room.keymap, room.standing, size, width)

    room.push_screen(Reader(f"help, keys of the pane {name}" if name else "help", rows))


async def _palette(room: Room, _words: Words) -> None:
    name = room.focused_pane.name_of if room.focused_pane is not None else ""
    size = (room.size.width, room.size.height)

    def chosen(id: str | None) -> None:
        if id is not None:
            room.carry_out(id, room.action_act(id))

    room.push_screen(Palette(entries(name, room.keymap, lambda action: refusal(action, room.standing, size))), chosen)


async def _interrupt(room: Room, _words: Words) -> None:
    room.say(f"{room.keymap.key_of('quit') or 'ctrl-q'} leaves the control room; rollouts go on")


async def _suspend(room: Room, _words: Words) -> None:
    if os.getsid(0) == os.getpgrp():  # the terminal's first program: nobody is there to let it go on
        room.say("there is no shell to go back to; Q leaves")
        return
    room.action_suspend_process()


async def _redraw(room: Room, _words: Words) -> None:
    room.repaint()


async def _quit(room: Room, _words: Words) -> None:
    room.exit(0)


HANDLERS: dict[str, Handler] = {
    "zoom": _zoom,
    "filter": _filter,
    "command": _command,
    "look": _look,
    "copy": _copy,
    "help": _help,
    "palette": _palette,
    "interrupt": _interrupt,
    "redraw": _redraw,
    "suspend": _suspend,
    "quit": _quit,
}
