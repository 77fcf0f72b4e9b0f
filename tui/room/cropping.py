"""Sends only the columns that changed. Textual's own partial update cuts a line off behind the change but sends it from the
beginning of the widget on: a clock at the right edge would cost the whole line, every second.

Relies on the inside of the one Textual that is pinned; a test counts the bytes.
"""

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate, Compositor


class CroppedUpdate(ChopsUpdate):
    """The same cells, cut on both sides."""

    def render_segments(self, console: Console) -> str:
        parts: list[str] = []
        for y, x1, x2 in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= x2 or end <= x1:
                    continue
                start = max(x, x1)
                cut = strip if start == x and end <= x2 else strip.crop(start - x, min(end, x2) - x)
                parts.append(Control.move_to(start, y).segment.text)
                parts.append(cut.render(console))
        return "".join(parts)


class Cropping(Compositor):
    """For screens whose widgets say exactly which cells are new."""

    def render_partial_update(self) -> ChopsUpdate | None:
        found = super().render_partial_update()
        return None if found is None else CroppedUpdate(found.chops, found.spans, found.chop_ends)
