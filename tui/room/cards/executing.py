"""What a command prints where the target's release runs. The command is run by a process of its own, and ends with the card."""

import asyncio
import contextlib
import json
import sys
from typing import Any, Final

from quarterdeck.backends.text_cleaning import clean
from quarterdeck.rollouts.exec_process import Order
from quarterdeck.tui.room.card import Card, Sheet, keys_rows
from quarterdeck.tui.room.cards.output import Output
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, cells, ellipsis, pad, pieces, row

KEPT: Final = 5000  # lines
LONGEST_ANSWER: Final = 64 << 20  # bytes: some thousand lines of 64 KiB at worst
LEAVING: Final = 30.0  # seconds for the process to end the command, and to write that down
PAGES: Final = 8
SHIFT: Final = 20  # columns
WIDEST: Final = 32  # columns for a place's name before its lines


class ExecCard(Card):
    """Follows the end of the output until one scrolls up. Escape ends what still runs."""

    def __init__(self, order: Order, shown: str) -> None:
        super().__init__()
        self.order = order
        self.shown = shown
        self.output = Output(KEPT)
        self.dropped = 0
        self.places = order.hosts  # where it runs, by name; of an order for every task of a swarm known a moment later
        self._asks = order.every  # which tasks those are
        self.ended: dict[str, str] = {}  # by place, in words
        self.refused = ""
        self.follow = True
        self.wrap = True  # long lines are broken, not cut
        self.shift = 0  # columns that cut lines are moved to the left by
        self.command = False  # the command is shown whole, in the place of what it prints
        self._left_at = 0  # the row of the output that was on top before that
        self._well: dict[str, bool] = {}
        self._process: asyncio.subprocess.Process | None = None

    def on_mount(self) -> None:
        super().on_mount()
        self.begin(self._run, "command")

    async def _run(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "quarterdeck.rollouts.exec_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # no signal of the terminal reaches it
            limit=LONGEST_ANSWER,
        )
        self._process = process
        if self.gone:
            await self._end(process)
            return
        assert process.stdin is not None
        assert process.stdout is not None
        # Not in its arguments: others on this machine would see them.
        process.stdin.write(self.order.to_json().encode() + b"\n")
        with contextlib.suppress(OSError):
            await process.stdin.drain()
        while line := await process.stdout.readline():
            self._take(json.loads(line))
            self.renew()
        if not self.gone and not self.refused and len(self.ended) < len(self.places):
            self.refused = "the process that ran it ended before it told how the command did"
            self.renew()
        await process.wait()

    def _take(self, said: dict[str, Any]) -> None:
        if "refused" in said:
            self.refused = clean(str(said["refused"])).replace("\n", " ")
        elif "places" in said:
            self.places, self._asks = tuple(str(name) for name in said["places"]), False
        elif "lines" in said:
            self.dropped += int(said["dropped"])
            for place, text, error in said["lines"]:
                self.output.add(self._head(place), text, Role.WARN if error else Role.PLAIN)
        else:
            place = str(said["host"])
            status = said.get("status")
            self._well[place] = status == 0
            self.ended[place] = f"ended with {status}" if status is not None else clean(str(said.get("error", "")))
            if status is None and len(self.places) > 1:  # whole: below is not room for many of them
                for line in self.ended[place].removeprefix(f"{place}: ").splitlines():
                    self.output.add(self._head(place), line, Role.BAD)

    def _head(self, place: str) -> str:
        """What stands before its lines."""
        if len(self.places) == 1:
            return ""
        return f"{pad(place, min(max(10, *map(cells, self.places)), WIDEST))} "

    @property
    def runs(self) -> bool:
        return not self.refused and len(self.ended) < len(self.places)

    def _state(self) -> tuple[str, Role]:
        if self.refused:
            return self.refused, Role.BAD
        if self._asks:
            return "asks where it runs", Role.MOVING
        if self.runs:
            return f"runs ({len(self.ended)} of {self._counted()} done)", Role.MOVING
        order = sorted(self.ended, key=lambda place: self._well[place])  # what went wrong first
        words = "; ".join(
            said if len(order) == 1 or said.startswith(f"{place}:") else f"{place} {said}"
            for place, said in ((place, self.ended[place]) for place in order)
        )
        return words, Role.OK if all(self._well.values()) else Role.BAD

    def _counted(self) -> str:
        tasks = sum(place not in self.order.hosts for place in self.places)
        return f"{len(self.places)} {'hosts' if not tasks else 'tasks' if tasks == len(self.places) else 'places'}"

    def sheet(self, width: int) -> Sheet:
        state, role = self._state()
        lost = f"  {self.dropped:,} lines dropped: they came too fast" if self.dropped else ""
        top, cut = self._command_rows(width)
        if self.command:
            top, body = [row(Span("the command:", Role.DIM))], [row(piece) for piece in pieces(self.shown, width)]
        else:
            body = self.output.rows(width, None if self.wrap else self.shift)
            body = body or [row(Span("no output yet" if self.runs else "no output", Role.DIM))]
        foot = [EMPTY, row(Span(state, role), Span(lost, Role.WARN))]
        keys = [("j k", "scroll")]
        if not self.command:
            keys += [("w", "cut long lines")] if self.wrap else [("w", "whole lines"), ("left right", "sideways")]
        if cut or self.command:
            keys += [("c", "output" if self.command else "whole command")]
        foot += keys_rows(width, *keys, ("esc", "end it and go back" if self.runs else "back"))
        where = self.places[0] if len(self.places) == 1 else self._counted()
        if self.follow and not self.command:
            self.top = len(body)  # the box brings it back to the last page
        return Sheet(f"exec  {self.order.target} on {where}", body, foot, top=top, width=max(width, 78))

    def _command_rows(self, width: int) -> tuple[list[Row], bool]:
        """The command in the first rows, and whether some of it is left out: then its end is ``..``."""
        broken = list(pieces(self.shown, max(width - 2, 1)))
        most = max(self.app.size.height // 6, 1)
        shown = broken[:most]
        if len(broken) > most:
            shown[-1] = ellipsis(shown[-1] + "..", max(width - 2, 1))
        return [row(Span("  " if at else "$ ", Role.KEY), piece) for at, piece in enumerate(shown)], len(broken) > most

    def move(self, by: int) -> None:
        self.follow = self.follow and self.command
        super().move(by)

    def pressed(self, key: str) -> None:
        page = max(self.app.size.height - PAGES, 1)
        match key:
            case "escape" | "q":
                self.leave()
            case "ctrl+d" | "pagedown" | "space":
                self.move(page)
            case "ctrl+u" | "pageup":
                self.move(-page)
            case "g" | "home":
                self.follow, self.top = self.follow and self.command, 0
            case "G" | "end":
                self.follow, self.top = (
                    self.follow or not self.command,
                    len(self.shown),
                )  # brought back to the last page
            case "w" if not self.command:
                self.wrap, self.shift, self.follow = not self.wrap, 0, True
            case "right" | "l" if not self.wrap and not self.command:
                self.shift = min(self.shift + SHIFT, max(self.output.longest - SHIFT, 0))
            case "left" | "h" if not self.wrap and not self.command:
                self.shift = max(self.shift - SHIFT, 0)
            case "c" if self.command or self._command_rows(self._face.size.width - 4)[1]:
                self._left_at, self.top = self.top, self._left_at if self.command else 0
                self.command = not self.command

    def left(self) -> None:
        if self._process is not None:
            self.room.run_worker(self._end(self._process), group=f"end {id(self)}")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Its input is closed: it ends the command where that runs, and itself."""
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(LEAVING):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
