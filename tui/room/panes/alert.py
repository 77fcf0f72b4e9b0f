"""The alert band: the worst thing there is, its cause and the key for it, or what waits for approvals, has no way
back or is frozen; or what the last action came to."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.tui.room.freezing import banner_row, frozen_environments
from quarterdeck.tui.room.overview.worst import alert_row, hints, unready_row, waiting_row, worst
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis


class AlertBand(Pane, can_focus=False):
    name_of: ClassVar[str] = "alert"
    titled: ClassVar[bool] = False

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        seen, more = worst(room.picture)
        said = room.word(quiet=seen is None)
        if said:
            return [(Span(ellipsis(f" {said}", size.width), Role.WARN),)]
        if seen is None and (waiting := waiting_row(room.picture, size.width)):
            return [waiting]
        if seen is None and (shut := unready_row(room.picture, room.place.target, size.width, room.keymap.key_of)):
            return [shut]
        if seen is None:
            frozen = frozen_environments(room.fleet.environments, room.picture, room.now())
            return [banner_row(frozen, room.picture.production, size.width)]
        keys = hints(seen, room.place.target, room.keymap.key_of)
        return [alert_row(seen, more, room.picture.production, size.width, keys)]
