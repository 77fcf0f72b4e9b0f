"""A pane: rows painted by line, changed cells only. The content is a pure function; nothing here reads a journal or a host."""

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget
from textual.worker import Worker

from quarterdeck.tui.room.matching import EVERYTHING, matcher
from quarterdeck.tui.room.rows import EMPTY, Role, Row, Span, fit, plain, title

if TYPE_CHECKING:
    from quarterdeck.tui.room.app import Room

__all__ = ["Pane", "Size", "changed_columns", "unread_rows"]


class Pane(Widget, can_focus=True):
    """A titled list of rows. A subclass gives ``heading`` and ``build``; ``renew()`` shows what changed, cell by cell.

    The row that keys act on is known by what it is (``chosen``), never by its number: rows may come, go and be sorted.
    """

    DEFAULT_CSS = "Pane { position: absolute; width: 1; height: 1; }"
    name_of: ClassVar[str] = ""  # the pane's name in layouts, settings and help
    titled: ClassVar[bool] = True
    filterable: ClassVar[bool] = (
        False  # whether ``build`` asks ``matcher`` (or the pane has a ``set_filter`` of its own)
    )

    def __init__(self, number: int = 0) -> None:
        """``number``: of those that there can be two of, for a moment."""
        super().__init__(id=f"pane-{self.name_of}" + (f"-{number}" if number else ""))
        self.top = 0  # the first row that is shown
        self.matcher = EVERYTHING
        self._rows: list[Row] = []

    @property
    def room(self) -> "Room":
        return cast("Room", self.app)

    # what a subclass says

    def heading(self) -> str:
        return self.name_of

    def heading_right(self) -> str:
        return ""

    def build(self, size: Size) -> Sequence[Row]:
        """All rows of the content, as wide as ``size``, which also says how many lines are there. Called often: no waiting here."""
        raise NotImplementedError

    def has_title(self, _height: int) -> bool:
        """Whether the first of so many lines is the title's."""
        return self.titled

    def chosen_row(self) -> int | None:
        """Which of the rows that ``build`` gave last is the chosen one: it is kept on the screen."""
        return None

    def set_filter(self, words: str) -> None:
        """Shows only what matches; empty: everything. Never changes what is chosen."""
        self.matcher = matcher(words)
        self.renew()

    def copy_text(self) -> str:
        """What `y` copies: of most panes the chosen row, else everything that is shown."""
        chosen = self.chosen_row()
        shown = self._rows[1:] if self.has_title(len(self._rows)) else self._rows
        if chosen is not None and 0 <= chosen - self.top < len(shown):
            shown = [shown[chosen - self.top]]
        return "\n".join(plain(line).rstrip() for line in shown).strip("\n")

    # painting

    def renew(self) -> None:
        """Builds the rows anew and repaints the cells that differ. Cheap when nothing changed."""
        width, height = self.size
        if not self.is_mounted or width <= 0 or height <= 0:
            return
        rows = self._all_rows(width, height)
        if len(self._rows) != height:
            self._rows = rows
            self.refresh()
            return
        regions = []
        for y, (old, new) in enumerate(zip(self._rows, rows, strict=True)):
            if old != new:
                start, end = changed_columns(old, new, width)
                if end > start:
                    regions.append(Region(start, y, end - start, 1))
        self._rows = rows
        if regions:
            self.refresh(*regions)

    def _all_rows(self, width: int, height: int) -> list[Row]:
        titled = self.has_title(height)
        head = [title(self.heading(), width, focused=self.has_focus, right=self.heading_right())] if titled else []
        room = max(height - len(head), 0)
        content = self.build(Size(width, room))
        self._keep_in_sight(len(content), room)
        shown = [fit(line, width) for line in content[self.top : self.top + room]]
        shown += [fit(EMPTY, width)] * (room - len(shown))
        return [*head, *shown]

    def _keep_in_sight(self, total: int, room: int) -> None:
        chosen = self.chosen_row()
        if chosen is not None and room > 0:
            if chosen < self.top:
                self.top = chosen
            elif chosen >= self.top + room:
                self.top = chosen - room + 1
        self.top = max(0, min(self.top, max(total - room, 0)))

    def render_line(self, y: int) -> Strip:
        if not 0 <= y < len(self._rows):
            return Strip.blank(self.size.width, self.room.style_of(Role.PLAIN))
        style = self.room.style_of
        line = self._rows[y]
        return Strip([Segment(span.text, style(span.role)) for span in line], self.size.width)

    # what the terminal says

    def on_resize(self, _event: events.Resize) -> None:
        self._rows = []
        self.renew()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Shows at once where the keys go. Not in ``on_focus`` and ``on_blur``: they come before Textual changes ``has_focus``."""
        super().watch_has_focus(has_focus)
        self.renew()
        if has_focus:
            self.room.pane_focused(self)

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        self.move(-3)

    def fetch(self, work: Callable[[], Coroutine[None, None, None]], group: str) -> Worker[None]:
        """Starts ``work``, which asks the desk for something and then calls ``renew``. A newer one of the group replaces it."""
        return self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    # moving (the keys come from the registry of actions)

    def move(self, by: int) -> None:
        """Down by so many rows, up when negative. A pane with a chosen row moves that; others scroll."""
        self.top = max(0, self.top + by)
        self.renew()

    def to_top(self) -> None:
        """Forgets how far it was scrolled; shown with the next ``renew``."""
        self.top = 0

    def move_sideways(self, by: int) -> None:
        """Right or left. Nothing in most panes."""

    def open_chosen(self) -> None:
        """What `enter` does. Nothing in most panes."""

    def move_to_end(self, last: bool) -> None:
        self.move(1_000_000 if last else -1_000_000)

    @property
    def page(self) -> int:
        return max(self.size.height - (1 if self.has_title(self.size.height) else 0), 2)


def unread_rows() -> list[Row]:
    """Of a pane whose content is the journal's, while that can't be read: the alert band says why."""
    return [(Span(" not known: the journal can't be read; what runs is not touched by that", Role.STALE),)]


def changed_columns(old: Row, new: Row, width: int) -> tuple[int, int]:
    """The columns from the first to behind the last that differ; rows with wide characters are repainted whole."""
    before, after = _cells(old), _cells(new)
    if before is None or after is None or len(before) != width or len(after) != width:
        return 0, width
    start = 0
    while start < width and before[start] == after[start]:
        start += 1
    if start == width:
        return 0, 0
    end = width
    while before[end - 1] == after[end - 1]:
        end -= 1
    return start, end


def _cells(line: Row) -> list[tuple[str, Role]] | None:
    cells: list[tuple[str, Role]] = []
    for text, role in line:
        if not text.isascii():
            return None
        cells += [(character, role) for character in text]
    return cells
