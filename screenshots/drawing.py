"""Draws what is on a terminal as SVG, cell by cell, and that as PNG. It invents nothing: what is not on the screen is not drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

CELL = (12, 24)  # pixels
FONT_SIZE = 20
FAMILY = "IBM Plex Mono"  # 0.6 em wide: 12 pixels
FOREGROUND, BACKGROUND = "e6edf3", "0d1117"
NAMED = {
    "black": "0d1117", "red": "ff7b72", "green": "56d364", "brown": "e3b341", "blue": "58a6ff", "magenta": "d2a8ff",
    "cyan": "79c0ff", "white": "e6edf3",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring cells of one style. ``x``, ``y``: in cells."""

    x: int
    y: int
    text: str
    ink: str
    paper: str
    bold: bool
    underline: bool


def runs(screen: pyte.Screen) -> Iterator[Run]:
    for y in range(screen.lines):
        line = screen.buffer[y]
        start = 0
        for x in range(1, screen.columns + 1):
            if x == screen.columns or _style(line[x]) != _style(line[start]):
                ink, paper, bold, underline = _style(line[start])
                text = "".join(line[column].data for column in range(start, x))
                yield Run(start, y, text, ink, paper, bold, underline)
                start = x


def _style(cell: pyte.screens.Char) -> tuple[str, str, bool, bool]:
    ink, paper = _colour(cell.fg, FOREGROUND), _colour(cell.bg, BACKGROUND)
    return (paper, ink, cell.bold, cell.underscore) if cell.reverse else (ink, paper, cell.bold, cell.underscore)


def _colour(name: str, default: str) -> str:
    return default if name == "default" else NAMED.get(name, name if len(name) == 6 else default)


def svg(screen: pyte.Screen) -> str:
    """The screen as one SVG document."""
    wide, tall = CELL
    width, height = screen.columns * wide, screen.lines * tall
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f"<style>text{{font-family:'{FAMILY}','DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:{FONT_SIZE}px;"
        "white-space:pre;font-variant-ligatures:none}</style>",
        f'<rect width="{width}" height="{height}" fill="#{BACKGROUND}"/>',
    ]
    for run in runs(screen):
        x, y = run.x * wide, run.y * tall
        if run.paper != BACKGROUND:
            parts.append(f'<rect x="{x}" y="{y}" width="{len(run.text) * wide}" height="{tall}" fill="#{run.paper}"/>')
        lead = len(run.text) - len(run.text.lstrip(" "))
        text = run.text.strip(" ")
        if not text:
            continue
        more = (' font-weight="bold"' if run.bold else "") + (' text-decoration="underline"' if run.underline else "")
        parts.append(
            f'<text x="{x + lead * wide}" y="{y + 18}" fill="#{run.ink}"{more} xml:space="preserve">{escape(text)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def png(document: str) -> bytes:
    """The same as PNG, with a font that comes as a package: the same picture on every machine."""
    import resvg_py

    fonts = [str(path) for path in Path(str(files("fontpkg_ibm_plex_mono"))).rglob("*.ttf")]
    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=document, skip_system_fonts=True, font_files=fonts, font_family=FAMILY, monospace_family=FAMILY
        )
    )
