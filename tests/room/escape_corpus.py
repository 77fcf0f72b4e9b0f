"""What a host may write to take over a terminal: every family of escape sequences and of characters that lie about themselves.

Each entry is bytes as they stand in a log file, between two words that must stay readable: ``corpus_lines()`` gives whole
lines ``corpus-<number> <name> BEGIN…END``. Other panes use ``CORPUS`` for versions, reasons, notes and errors.
"""

from collections.abc import Mapping
from typing import Final

CLIPBOARD: Final = "cHduZWQ="  # "pwned", base64: must never be sent to the terminal
TITLE: Final = "PWNED-TITLE"

CORPUS: Final[Mapping[str, bytes]] = {
    "clear screen": b"\x1b[2J\x1b[H",
    "cursor up": b"\x1b[99A\x1b[99D",
    "cursor to the header": b"\x1b[1;1HOWNED",
    "scroll region": b"\x1b[5;6r",
    "colour that stays": b"\x1b[41;97;7m",
    "colour with colons": b"\x1b[38:2::255:0:0m",
    "alternate screen": b"\x1b[?1049l\x1b[?47l",
    "hide cursor": b"\x1b[?25l",
    "mouse on": b"\x1b[?1003h\x1b[?1006h",
    "bracketed paste": b"\x1b[?2004h",
    "answers on the keyboard": b"\x1b[c\x1b[6n\x1b[>q\x1b[21t\x05",
    "window moved": b"\x1b[3;0;0t\x1b[8;5;20t",
    "insert mode": b"\x1b[4h",
    "title by OSC 0": b"\x1b]0;" + TITLE.encode() + b"\x07",
    "title by OSC 2, ST": b"\x1b]2;" + TITLE.encode() + b"\x1b\\",
    "link by OSC 8": b"\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "clipboard by OSC 52": b"\x1b]52;c;" + CLIPBOARD.encode() + b"\x07",
    "clipboard, C1": b"\xc2\x9d52;c;" + CLIPBOARD.encode() + b"\xc2\x9c",
    "palette": b"\x1b]4;1;rgb:ff/00/00\x07\x1b]10;#ff0000\x07",
    "notification": b"\x1b]9;hello\x07\x1b]777;notify;a;b\x07",
    "DCS": b'\x1bP$q"p\x1b\\\x1bP+q544e\x1b\\',
    "sixel": b"\x1bPq#0;2;0;0;0#0~~@@vv\x1b\\",
    "APC and PM": b"\x1b_Gi=1;AAAA\x1b\\\x1b^private\x1b\\",
    "tmux passthrough": b"\x1bPtmux;\x1b\x1b]52;c;" + CLIPBOARD.encode() + b"\x07\x1b\\",
    "unfinished CSI": b"\x1b[",
    "unfinished OSC": b"\x1b]52;c;",
    "lone escape": b"\x1b",
    "full reset": b"\x1bc",
    "charset": b"\x1b(0lqqk\x0e",
    "save and restore": b"\x1b7\x1b8\x1b[s\x1b[u",
    "C1 in 8 bits": b"\x9b2J\x9d0;" + TITLE.encode() + b"\x9c\x90q\x9c",
    "C1 as UTF-8": b"\xc2\x9b2J\xc2\x90q\xc2\x9c\xc2\x85\xc2\x84",
    "carriage return": b"overwrite me\rOVERWRITTEN",
    "backspace": b"secret\x08\x08\x08\x08\x08\x08public",
    "bells": b"\x07\x07\x07",
    "vertical tab, form feed": b"\x0b\x0c",
    "tabs": b"\t\t\t",
    "NUL and DEL": b"\x00\x00\x7f\x7f",
    "other C0": b"\x01\x02\x03\x04\x06\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x1f",
    "right to left": "\u202egnihtemos\u202c \u2066isolated\u2069 \u200f\u061c".encode(),
    "Hebrew and Arabic": "שלום עולם مرحبا".encode(),
    "wide": "日本語のログ 한국어 \uff46\uff55\uff4c\uff4c".encode(),
    "emoji": "👩‍👩‍👧‍👦 🇩🇪 ❤️ 🏳️‍🌈 👍🏽".encode(),
    "combining": ("e" + "\u0301" * 40 + "Z" + "\u0336\u0489" * 20).encode(),
    "zero width": "a\u200bb\u200cc\u200dd\ufeffe\u2060f\u00adg".encode(),
    "line separators": "one\u2028two\u2029three".encode(),
    "tags": "".join(chr(0xE0000 + ord(c)) for c in "hidden").encode(),
    "private and unassigned": "\ue000\uf8ff\U0010ffff\ufdd0\U000e0100".encode(),
    "overlong": b"\xc0\x9b\xe0\x80\x9b\xc1\x9b[2J",
    "surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "invalid": b"\xff\xfe\xf8\x88\x80\x80\x80\x80\xc3(\xa0\xa1\xe2\x28\xa1",
    "cut off": b"\xe2\x82",
    "markup": b"[bold red]markup[/] [@click=app.quit]click[/] [link=http://evil]x[/link]",
    "escaped escapes": rb"\x1b[2J \033[2J \u001b[2J",
    "a long line": b"x" * 5000 + b"\x1b[2J",
}


def corpus_lines() -> list[bytes]:
    """One line for each entry, with a level, as a service would write it."""
    return [
        b"2026-11-24T14:32:%02d.000Z ERROR corpus-%02d %s BEGIN%sEND" % (number % 60, number, name.encode(), attack)
        for number, (name, attack) in enumerate(CORPUS.items())
    ]
