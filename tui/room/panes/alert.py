"""The alert band: the worst thing there is, its cause and the key for it, or what waits for approvals, has no way
back or is frozen; or what the last action came to."""

from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.tui.room.freezing import banner_row, frozen_environments
from quarterdeck.tui.room.overview.worst import (
    TO_IT,
    WHY_UNREADY,
    Ways,
    alert_row,
    cause,
    hints,
    least_ready,
    unready_row,
    waiting,
    waiting_row,
    waiting_ways,
    waits_for_words,
    words_wanted,
    worst,
)
from quarterdeck.tui.room.pane import Pane, Size
from quarterdeck.tui.room.panes.once import Once
from quarterdeck.tui.room.rows import Role, Row, Span, ellipsis


class AlertBand(Pane, can_focus=False):
    name_of: ClassVar[str] = "alert"
    titled: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._worst = Once(lambda picture, _: worst(picture))
        self._least_ready = Once(lambda picture, _: least_ready(picture))

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        seen, more = self._worst.of(room.picture)
        said = room.word(quiet=seen is None)
        if said:
            return [(Span(ellipsis(f" {said}", size.width), Role.WARN),)]
        if seen is not None:
            under_way = seen.moving.id if seen.moving is not None else None
            keys = self._keys(cause(seen)[1], room.acts_on(seen.target, under_way))
            return [alert_row(seen, more, room.picture.production, size.width, keys)]
        waits, more = waiting(room.picture)
        if waits is not None:
            # the key for the plan finds one that waits, wherever one is
            chosen = room.place.rollout if room.place.view == "rollouts" else None
            wanted = words_wanted(room.picture, room.place.target, chosen)
            there = wanted is waits or (not waits_for_words(waits) and room.acts_on(waits.rollout.target, waits.id))
            return [
                waiting_row(waits, more, room.picture.production, size.width, self._keys(waiting_ways(waits), there))
            ]
        shut, more = self._least_ready.of(room.picture)
        if shut is not None:
            keys = self._keys(WHY_UNREADY, room.place.target == shut.target)
            return [unready_row(shut, more, room.picture.production, size.width, keys)]
        frozen = frozen_environments(room.fleet.environments, room.picture, room.now())
        there = bool(frozen) and (room.place.target or "").partition("/")[0] == frozen[0][0]
        return [banner_row(frozen, room.picture.production, size.width, self._keys((("freeze", "windows"),), there))]

    def _keys(self, ways: Ways, there: bool) -> str:
        """``there``: keys act on what the band speaks of."""
        return hints(ways if there else TO_IT, self.room.keymap.key_of)
