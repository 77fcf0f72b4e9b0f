"""The matrix: services and environments. The cursor is on a target, wherever that is sorted or filtered to."""

import os
from collections.abc import Sequence
from typing import ClassVar

from quarterdeck.rollouts.picture.fleet import Picture
from quarterdeck.tui.room.matching import Matcher
from quarterdeck.tui.room.overview.matrix import TITLE_FROM, Order, Others, chosen_services, matrix_rows
from quarterdeck.tui.room.pane import Pane, Size, unread_rows
from quarterdeck.tui.room.rows import Row


class Matrix(Pane):
    name_of: ClassVar[str] = "matrix"
    filterable: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.order = Order.RISK
        self.services: list[str] = []
        self.first = 0  # the first service that is shown
        self._made_of: tuple[Picture, Order, Matcher] | None = None
        self._shown = 0

    def has_title(self, height: int) -> bool:
        return height >= TITLE_FROM

    def heading(self) -> str:
        return "matrix" if self.order is Order.RISK else f"matrix, sort: {self.order}"

    def others(self) -> Others:
        """Who else has which target open."""
        own = os.getpid()
        found: dict[str, tuple[str, ...]] = {}
        for one in self.room.picture.around.here:
            if one.pid != own and one.target is not None:
                found[one.target] = (*found.get(one.target, ()), one.who)
        return found

    def build(self, size: Size) -> Sequence[Row]:
        room = self.room
        picture, chosen, now = room.picture, room.place.target, room.now()
        made_of = self._made_of
        if made_of is None or made_of[0] is not picture or made_of[1:] != (self.order, self.matcher):
            self._made_of = (picture, self.order, self.matcher)
            self.services = chosen_services(picture, self.order, self.matcher, now)
        rows, self.first = matrix_rows(
            picture,
            self.services,
            chosen,
            now,
            (size.width, size.height),
            first=self.first,
            order=self.order,
            others=self.others(),
            focused=self.has_focus,
            filtered=self.matcher.active,
            wanted=room.settings.columns,
        )
        return unread_rows() if room.unread else rows

    def copy_text(self) -> str:
        """The target, its version, its release and the digest of its artifact."""
        seen = self.room.target
        if seen is None:
            return ""
        digest = f"sha256:{seen.digest}" if seen.digest else None
        return " ".join(word for word in (seen.target, seen.version, seen.release, digest) if word)

    # moving

    def sort_by(self, order: Order) -> None:
        """The rows move, the cursor's target does not."""
        self.order = order
        self.renew()

    def to_top(self) -> None:
        super().to_top()
        self.first = 0

    def move(self, by: int) -> None:
        """To another service, in the same environment where it is deployed there."""
        environment, _, service = (self.room.place.target or "/").partition("/")
        if not self.services:
            return
        if service in self.services:
            at, step = self.services.index(service) + by, 1 if by >= 0 else -1
        else:
            at, step = 0, 1  # the chosen one is filtered out, or gone: the first that is there
        at = max(0, min(at, len(self.services) - 1))
        for way in (step, -step):
            found = at
            while 0 <= found < len(self.services):
                if f"{environment}/{self.services[found]}" in self.room.picture.targets:
                    self.room.choose(f"{environment}/{self.services[found]}")
                    return
                found += way
        names = [n for n in self.room.picture.environments if f"{n}/{self.services[at]}" in self.room.picture.targets]
        if names:
            self.room.choose(f"{names[-1]}/{self.services[at]}")

    def move_sideways(self, by: int) -> None:
        environment, _, service = (self.room.place.target or "/").partition("/")
        names = [name for name in self.room.picture.environments if f"{name}/{service}" in self.room.picture.targets]
        if environment in names:
            at = max(0, min(names.index(environment) + by, len(names) - 1))
            self.room.choose(f"{names[at]}/{service}")
        elif names:
            self.room.choose(f"{names[0 if by > 0 else -1]}/{service}")

    def open_chosen(self) -> None:
        seen = self.room.target
        if seen is not None and seen.moving is not None:
            self.room.visit("rollouts", rollout=seen.moving.id)
        elif seen is not None:
            self.room.visit("history", target=seen.target)
