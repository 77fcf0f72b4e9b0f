"""Rows as bytes for a terminal, without a screen library: what the first paint is written with. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from quarterdeck.tui.room.rows import Role, Row

ALTERNATE_SCREEN: Final = "\x1b[?1049h"
BACK_FROM_IT: Final = "\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"

_COLOURS: Final = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_ATTRIBUTES: Final = {"bold": "1", "dim": "2", "italic": "3", "underline": "4", "reverse": "7"}


def sgr(style: str) -> str:
    """The parameters of SGR for a style in Rich's words: ``bold #ffffff on #8e1519`` is ``1;38;2;255;255;255;48;2;142;21;25``."""
    codes, ground = [], 38
    for word in style.split():
        if word == "on":
            ground = 48
        elif word in _ATTRIBUTES:
            codes.append(_ATTRIBUTES[word])
        elif word in _COLOURS:
            codes.append(str(ground - 8 + _COLOURS.index(word)))
        elif len(word) == 7 and word.startswith("#"):
            codes.append(f"{ground};2;{int(word[1:3], 16)};{int(word[3:5], 16)};{int(word[5:7], 16)}")
        elif word != "none":
            raise ValueError(f"no style: {word}")
    return ";".join(codes)


def painted(rows: Sequence[Row], styles: Mapping[Role, str], x: int, y: int) -> str:
    """``rows`` below each other from column ``x`` and line ``y`` (both from 0) on. Every other cell stays as it is."""
    codes: dict[Role, str] = {}
    parts: list[str] = []
    for at, row in enumerate(rows):
        parts.append(f"\x1b[{y + at + 1};{x + 1}H")
        for text, role in row:
            code = codes.get(role)
            if code is None:
                code = codes[role] = sgr(styles[role])
            parts.append(f"\x1b[{code}m{text}\x1b[0m" if code else text)
    return "".join(parts)
