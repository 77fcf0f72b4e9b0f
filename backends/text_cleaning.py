"""Makes text from outside (logs, output of commands) safe to show: no escape sequence or control character survives."""

import re
from functools import cache

# CSI and the strings (OSC, DCS, SOS, PM, APC) with their ends, in their 7-bit and 8-bit forms, then two-character escapes.
_SEQUENCES = (
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
)
# Other C0 and C1 controls, DEL, and what reorders or hides text: bidirectional marks, zero-width characters, separators, tags.
_CONTROLS = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
# Marks that are set over and under one character: a few are a language, a hundred paint over the lines above and below.
_STACKED = (
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_UNCLEAN = re.compile(r"[^\x20-\x7e\n]")


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Compiled when the first odd text comes: most starts of ``qd`` see none."""
    return re.compile(_SEQUENCES), re.compile(_CONTROLS), re.compile(_STACKED)


def clean_lines(texts: list[str]) -> list[str]:
    """Each one cleaned; all at once where nothing in them needs it."""
    if _UNCLEAN.search("\n".join(texts)) is None:
        return texts
    return [clean(text) for text in texts]


def clean(text: str) -> str:
    """``text`` without escape sequences, control characters (a tab becomes spaces, line breaks stay), reordering marks
    and towers of combining ones.

    A carriage return ends a line as a line break does; what it would have overwritten stays visible.
    """
    if text.isprintable():
        return text if text.isascii() else _patterns()[2].sub(r"\1", text)
    sequences, controls, stacked = _patterns()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\t" in text:
        text = text.expandtabs(8)
    if "\x1b" in text or not text.isascii():
        text = sequences.sub("", text)
    return stacked.sub(r"\1", controls.sub("", text))
