"""Takes every colour out of what is sent, the codes for the terminal's own colours too: NO_COLOR means not one."""

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter


class Colourless(LineFilter):
    """Bold, underline, reverse and dim stay; they carry what a look without colours says."""

    def __init__(self) -> None:
        super().__init__()
        self._plain: dict[Style, Style] = {}

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002  # the library's interface
        return [
            Segment(text, None if style is None else self._without(style), control) for text, style, control in segments
        ]

    def _without(self, style: Style) -> Style:
        found = self._plain.get(style)
        if found is None:
            found = self._plain[style] = Style(
                bold=style.bold, dim=style.dim, underline=style.underline, reverse=style.reverse
            )
        return found
