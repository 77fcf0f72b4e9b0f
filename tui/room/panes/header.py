"""The first line: fleet, how live it is, who one is and may do what, freezes, where this runs, the clock in UTC."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.permission import Standing
from quarterdeck.tui.room.rows import Role, Row, Span, row, spread


def header_row(fleet: str, live: str, fault: str, standing: Standing, bastion: str, now: datetime, width: int) -> Row:
    """``live``: how old the picture is, in words. A journal that can't be read is said in its place."""
    age = Span(f"JOURNAL: {fault}", Role.BAD) if fault else Span(f"LIVE {live}" if live else "LIVE", Role.OK)
    left = row(
        Span(" qd ", Role.STRONG),
        Span(fleet, Role.STRONG),
        " | ",
        age,
        " | ",
        Span("RO" if standing.role != "operator" else "RW", Role.WARN if standing.role != "operator" else Role.PLAIN),
        f" {standing.operator.label.split('@')[0]}:{standing.role} | freeze: none",
    )
    return spread(left, row(f"{bastion} | ", Span(now.strftime("%H:%M:%SZ "), Role.STRONG)), width)


class Header(Pane, can_focus=False):
    name_of: ClassVar[str] = "header"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        where = room.standing.operator.where.split(" ")[0].split(".")[0]
        return [header_row(room.fleet.name, "", room.fault, room.standing, where, room.now(), size.width)]
