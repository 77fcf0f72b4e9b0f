"""How roles are shown: one mapping for each look. A look repeats in colour what marks and words say already, never more.

Imports no screen library: styles are Rich's words, and are turned into what is needed by who shows them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from quarterdeck.tui.room.rows import Role


class Look(msgspec.Struct, frozen=True):
    """``styles``: Rich style definitions. ``ansi``: only the terminal's own colours are used (half the bytes)."""

    name: str
    dark: bool
    ansi: bool
    foreground: str  # "" leaves the terminal's own
    background: str
    styles: Mapping[Role, str]
    summary: str


def _look(
    name: str,
    summary: str,
    styles: dict[Role, str],
    *,
    dark: bool = True,
    ansi: bool = False,
    fg: str = "",
    bg: str = "",
) -> Look:
    full = {role: styles.get(role, "") for role in Role}
    return Look(name, dark, ansi, fg, bg, MappingProxyType(full), summary)


_PLAIN_WORDS: Final = {
    Role.STRONG: "bold",
    Role.TITLE: "",
    Role.FOCUS: "bold",
    Role.BAD: "bold",
    Role.ALERT: "bold reverse",
    Role.KEY: "bold",
    Role.CURSOR: "reverse",
    Role.PRODUCTION: "bold underline",
    Role.MATCH: "reverse",
    Role.DIM: "dim",
}

DARK: Final = _look(
    "dark",
    "24-bit colours on a dark background",
    _PLAIN_WORDS
    | {
        Role.DIM: "#8b949e",
        Role.TITLE: "#7d8590",
        Role.FOCUS: "bold #58a6ff",
        Role.OK: "#56d364",
        Role.MOVING: "#58a6ff",
        Role.BAD: "bold #ff7b72",
        Role.WARN: "#e3b341",
        Role.DRIFT: "#e3b341",
        Role.STALE: "#a5a5ff",
        Role.FROZEN: "#79c0ff",
        Role.KEY: "bold #79c0ff",
        Role.PRODUCTION: "bold #ffa198",
        Role.ALERT: "bold #ffffff on #8e1519",
        Role.CURSOR: "bold #ffffff on #1f4b7d",
        Role.MATCH: "#000000 on #e3b341",
        Role.NEW: "#d2a8ff",
        Role.OLD: "#a5d6ff",
    },
    fg="#e6edf3",
    bg="#0d1117",
)
LIGHT: Final = _look(
    "light",
    "24-bit colours on a light background",
    _PLAIN_WORDS
    | {
        Role.DIM: "#57606a",
        Role.TITLE: "#6e7781",
        Role.FOCUS: "bold #0550ae",
        Role.OK: "#116329",
        Role.MOVING: "#0550ae",
        Role.BAD: "bold #a40e26",
        Role.WARN: "#7d4e00",
        Role.DRIFT: "#7d4e00",
        Role.STALE: "#5e3cb8",
        Role.FROZEN: "#0a5d8a",
        Role.KEY: "bold #0550ae",
        Role.PRODUCTION: "bold #a40e26",
        Role.ALERT: "bold #ffffff on #a40e26",
        Role.CURSOR: "bold #ffffff on #0969da",
        Role.MATCH: "#000000 on #f2cc60",
        Role.NEW: "#6639ba",
        Role.OLD: "#0a5d8a",
    },
    dark=False,
    fg="#1f2328",
    bg="#ffffff",
)
_ANSI: Final = _PLAIN_WORDS | {
    Role.FOCUS: "bold",
    Role.OK: "green",
    Role.MOVING: "cyan",
    Role.BAD: "bold red",
    Role.WARN: "yellow",
    Role.DRIFT: "yellow",
    Role.STALE: "magenta",
    Role.FROZEN: "cyan",
    Role.KEY: "bold cyan",
    Role.PRODUCTION: "bold red",
    Role.ALERT: "bold white on red",
    Role.NEW: "magenta",
    Role.OLD: "cyan",
}
ANSI_DARK: Final = _look("ansi-dark", "the terminal's own 16 colours, dark background", _ANSI, ansi=True)
ANSI_LIGHT: Final = _look(
    "ansi-light",
    "the terminal's own 16 colours, light background",
    _ANSI
    | {
        Role.MOVING: "blue",
        Role.WARN: "magenta",
        Role.DRIFT: "magenta",
        Role.FROZEN: "blue",
        Role.KEY: "bold blue",
        Role.OLD: "blue",
    },
    dark=False,
    ansi=True,
)
# Blue and orange, after Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour blindness.
COLOUR_BLIND: Final = _look(
    "colour-blind",
    "blue and orange instead of green and red, dark background",
    dict(DARK.styles)
    | {
        Role.OK: "#56b4e9",
        Role.MOVING: "#f0e442",
        Role.BAD: "bold #e69f00",
        Role.WARN: "#cc79a7",
        Role.DRIFT: "#cc79a7",
        Role.STALE: "#bbbbbb",
        Role.PRODUCTION: "bold #e69f00",
        Role.ALERT: "bold #000000 on #e69f00",
        Role.NEW: "#f0e442",
        Role.OLD: "#56b4e9",
    },
    fg="#e6edf3",
    bg="#0d1117",
)
NO_COLOUR: Final = _look("no-colour", "bold, underline and reverse only, as NO_COLOR asks", _PLAIN_WORDS, ansi=True)

LOOKS: Final[Mapping[str, Look]] = MappingProxyType(
    {look.name: look for look in (DARK, LIGHT, ANSI_DARK, ANSI_LIGHT, COLOUR_BLIND, NO_COLOUR)}
)


def look_for(environment: Mapping[str, str], wanted: str | None, *, slow: bool, usual: str | None = None) -> str:
    """The look's name: as wished, but NO_COLOR wins, and a slow line gets the short codes. ``usual``: of the settings."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return NO_COLOUR.name
    if wanted is not None:
        return wanted
    if slow:
        return usual if usual is not None and LOOKS[usual].ansi else "ansi-dark"
    return usual if usual is not None else DARK.name
