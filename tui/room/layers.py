"""Screens that lie on one another and are all alive: what changes in a lower one is seen through everything above it.

Textual has the topmost screen paint anew what changed below it, but what it paints there is the picture that the screen in
between keeps of those below. Relies on the inside of the one Textual that is pinned; a test looks through two cards.
"""

from typing import Any

from textual.screen import Screen


class Layer(Screen[Any]):
    """A screen that may lie below others."""

    def _compositor_refresh(self) -> None:
        changed = tuple(self._compositor._dirty_regions)
        stack = self.app.screen_stack
        if changed and self in stack:
            for between in stack[stack.index(self) + 1 : -1]:
                between._set_dirty(*changed)
        super()._compositor_refresh()
