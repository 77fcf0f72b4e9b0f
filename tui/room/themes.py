"""The room's looks for Textual's own widgets. No pane asks for them."""

from dataclasses import replace

from textual.theme import BUILTIN_THEMES, Theme

from quarterdeck.tui.room.looks import Look
from quarterdeck.tui.room.rows import Role


def textual_theme(look: Look) -> Theme:
    """The same look for Textual's own widgets (the lines that one types into)."""
    if look.ansi:
        return replace(BUILTIN_THEMES["ansi-dark" if look.dark else "ansi-light"], name=f"qd-{look.name}")
    blue = look.styles[Role.KEY].split()[-1]
    return Theme(
        name=f"qd-{look.name}",
        primary=blue,
        secondary=look.styles[Role.NEW].split()[-1],
        warning=look.styles[Role.WARN].split()[-1],
        error=look.styles[Role.BAD].split()[-1],
        success=look.styles[Role.OK].split()[-1],
        accent=blue,
        foreground=look.foreground,
        background=look.background,
        surface=look.background,
        panel=look.background,
        dark=look.dark,
    )
