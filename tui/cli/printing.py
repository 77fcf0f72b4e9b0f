"""The one place where text reaches the terminal: cleaned of control characters, coloured or plain, as tables or as JSON.

Nothing foreign (a log line, a host's answer, a reason somebody typed) is ever printed without having passed ``clean``.
"""

import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

# Whole escape sequences first (their letters must go too), then every control character that is left: C0, DEL, C1 and the
# characters that turn the direction of the text around or hide it.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\x9c|$)"  # OSC, DCS, SOS, PM, APC with their text
    r"|\x9b[0-?]*[ -/]*[@-~]"  # the same in one character (C1)
    r"|[\x9d\x90\x98\x9e\x9f].*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]",  # two-character ones
    re.DOTALL,
)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_SURROGATES = re.compile("[\ud800-\udfff]")

COLOURS = {
    "ok": "\x1b[32m",
    "bad": "\x1b[31m",
    "warn": "\x1b[33m",
    "moving": "\x1b[36m",
    "dim": "\x1b[2m",
    "bold": "\x1b[1m",
}
_RESET = "\x1b[0m"


def clean(text: str, *, newlines: bool = False) -> str:
    """``text`` without anything a terminal acts upon. Tabs become a space; so do line ends unless ``newlines``."""
    if text.isprintable():
        return text
    text = _SEQUENCES.sub("", text)
    text = text.replace("\r\n", "\n").replace("\t", " ")
    if not newlines:
        text = text.replace("\n", " ")
    return _SURROGATES.sub("?", _CONTROLS.sub("", text))


def clean_value(value: Any) -> Any:
    """JSON's ``\\u`` escapes keep most of it harmless; C1 and direction characters are not escaped, so strings are cleaned too."""
    if isinstance(value, str):
        return clean(value, newlines=True)
    if isinstance(value, Mapping):
        return {clean(str(key)): clean_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_value(item) for item in value]
    return value


def width(text: str) -> int:
    """How many columns ``text`` takes: wide East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, columns: int) -> str:
    """``text`` in at most ``columns`` columns, with «…» where something was left off."""
    if columns <= 0 or width(text) <= columns:
        return text
    kept = ""
    for character in text:
        if width(kept + character) > columns - 1:
            break
        kept += character
    return kept + "…"


def wants_colour(choice: str, stream: TextIO, environment: Mapping[str, str]) -> bool:
    """``choice`` is auto, always or never; auto means a terminal, without NO_COLOR, that is not TERM=dumb."""
    if choice != "auto":
        return choice == "always"
    if environment.get("NO_COLOR") or environment.get("TERM", "") in {"dumb", ""}:
        return False
    return stream.isatty()


class Printer:
    """Standard output for what was asked for, standard error for progress and errors. ``json``: one document, or one a line."""

    def __init__(
        self, *, json: bool = False, colour: str = "auto", out: TextIO | None = None, error: TextIO | None = None
    ) -> None:
        self.json = json
        self.out = out if out is not None else sys.stdout
        self.error = error if error is not None else sys.stderr
        self._colour_out = wants_colour(colour, self.out, os.environ)
        self._colour_error = wants_colour(colour, self.error, os.environ)
        for stream in (self.out, self.error):
            # A terminal or pipe in a narrow encoding must not turn an ellipsis into a traceback.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    @property
    def columns(self) -> int:
        """Columns of the terminal; 0 when there is none: nothing is shortened for a pipe."""
        if not self.out.isatty():
            return 0
        try:
            return os.get_terminal_size(self.out.fileno()).columns
        except (OSError, ValueError):
            return 80

    def line(self, text: str = "", style: str = "") -> None:
        """One line of what was asked for; nothing with --json, whose document must stand alone."""
        if not self.json:
            self._write(self.out, clean(text), style, self._colour_out)

    def block(self, text: str) -> None:
        """Several lines as they are (a diff, a schema), each cleaned."""
        if not self.json:
            for line in text.splitlines():
                self._write(self.out, clean(line), "", self._colour_out)

    def progress(self, text: str, style: str = "") -> None:
        """A line for the person who waits: standard output, or standard error when that carries JSON."""
        if self.json:
            self._write(self.error, clean(text), style, self._colour_error)
        else:
            self._write(self.out, clean(text), style, self._colour_out)

    def say(self, text: str, style: str = "") -> None:
        """A line beside the result: always standard error."""
        self._write(self.error, clean(text), style, self._colour_error)

    def document(self, value: Any) -> None:
        """One JSON document (only with --json)."""
        if self.json:
            self._put(self.out, json.dumps(clean_value(value), indent=2, ensure_ascii=False) + "\n")

    def record(self, value: Any) -> None:
        """One object of a stream, on a line of its own (only with --json)."""
        if self.json:
            self._put(self.out, json.dumps(clean_value(value), ensure_ascii=False, separators=(", ", ": ")) + "\n")

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
        """A table with two spaces between columns; the last column takes what is left of the terminal."""
        if self.json:
            return
        cells = [[clean(cell) for cell in row] for row in rows]
        widths = [max([width(header), *(width(row[index]) for row in cells)]) for index, header in enumerate(headers)]
        columns = self.columns
        if columns:
            spare = columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
            widths[-1] = min(widths[-1], max(8, spare))
        self._write(self.out, _row(headers, widths), "bold", self._colour_out)
        for number, row in enumerate(cells):
            self._write(self.out, _row(row, widths), styles[number] if styles else "", self._colour_out)

    def _write(self, stream: TextIO, text: str, style: str, colour: bool) -> None:
        if colour and style and text:
            text = f"{COLOURS[style]}{text}{_RESET}"
        self._put(stream, text + "\n")

    def _put(self, stream: TextIO, text: str) -> None:
        """Raises OSError that names the stream: a full disk must not be taken for a host's, or the journal's."""
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            where = "standard output" if stream is self.out else "standard error"
            raise OSError(error.errno, error.strerror, where) from error  # of the same kind, by its number


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    parts = []
    for cell, columns in zip(cells, widths, strict=True):
        cell = shorten(cell, columns)
        parts.append(cell + " " * (columns - width(cell)))
    return "  ".join(parts).rstrip()
