"""The eight views of the control room: which panes each one has, and where they lie at which size. Pure."""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from quarterdeck.tui.room.boxes import MIDDLE_WIDTH, Box, columns, frame, lines, overview

Layout = Callable[[int, int], dict[str, Box]]
"""From the terminal's columns and lines to the boxes of panes; a pane that is left out is not shown at that size."""


class View(msgspec.Struct, frozen=True):
    """``first``: the pane that has the keys when the view is opened."""

    number: int
    name: str
    title: str
    layout: Layout
    first: str


def _whole(pane: str) -> Layout:
    return lambda width, height: {pane: frame(width, height)["body"]}


def _list_and_detail(listing: str, detail: str, share: int = 40) -> Layout:
    """A list on the left and what is chosen in it on the right; below each other where the terminal is narrow."""

    def layout(width: int, height: int) -> dict[str, Box]:
        body = frame(width, height)["body"]
        if width >= MIDDLE_WIDTH:
            left, right = columns(body, width * share // 100)
            return {listing: left, detail: right}
        upper, lower = lines(body, max(body.height * 2 // 5, 5), 0)
        return {listing: upper, detail: lower}

    return layout


def _health(width: int, height: int) -> dict[str, Box]:
    """The list of targets, the health of the chosen one, and the vitals of its hosts where there is room for them."""
    boxes = _list_and_detail("health-list", "health", 45)(width, height)
    if width >= MIDDLE_WIDTH:
        boxes["health"], boxes["vitals"] = lines(boxes["health"], 0, max(boxes["health"].height * 2 // 5, 6))
    return boxes


VIEWS: Final[Mapping[str, View]] = {
    view.name: view
    for view in (
        View(1, "overview", "Overview", overview, "matrix"),
        View(2, "rollouts", "Rollouts", _list_and_detail("rollout-list", "rollout"), "rollout-list"),
        View(3, "logs", "Logs", _whole("logs"), "logs"),
        View(4, "health", "Health", _health, "health-list"),
        View(5, "history", "History", _list_and_detail("history", "entry", 60), "history"),
        View(6, "drift", "Drift", _whole("drift"), "drift"),
        View(7, "readiness", "Readiness", _whole("readiness"), "readiness"),
        View(8, "builds", "Builds", _whole("builds"), "builds"),
    )
}
