"""What a line of a log says about itself: its time, how bad it is, whether it belongs to the line before. Pure.

Recognised: ``2026-11-23T14:32:07.123Z ERROR …`` and its like, key=value (``level=warn``), JSON (``"level":"error"``, also
pino's numbers), glog's ``E1123 …``, a level in brackets or before a colon. What says nothing is unknown, never guessed from
its words further on in the line.
"""

import re
from datetime import datetime
from typing import Final

from quarterdeck.rollouts.logs.spool import Level

_WORDS: Final = {
    "trace": Level.DEBUG,
    "debug": Level.DEBUG,
    "dbg": Level.DEBUG,
    "verbose": Level.DEBUG,
    "info": Level.INFO,
    "inf": Level.INFO,
    "information": Level.INFO,
    "notice": Level.INFO,
    "warn": Level.WARN,
    "wrn": Level.WARN,
    "warning": Level.WARN,
    "error": Level.ERROR,
    "err": Level.ERROR,
    "eror": Level.ERROR,
    "severe": Level.ERROR,
    "crit": Level.ERROR,
    "critical": Level.ERROR,
    "fatal": Level.ERROR,
    "panic": Level.ERROR,
    "alert": Level.ERROR,
    "emerg": Level.ERROR,
}
_NUMBERS: Final = {
    "1": Level.DEBUG,
    "2": Level.DEBUG,
    "3": Level.INFO,
    "4": Level.WARN,
    "5": Level.ERROR,
    "6": Level.ERROR,
}
_UPPER: Final = {word.upper(): level for word, level in _WORDS.items()}
_KEYS: Final = ("evel", "lvl", "everity")
_KEYED: Final = re.compile(
    r"""\b(?:log\.?)?(?:[Ll]evel|lvl|[Ss]everity)["']?\s*[=:]\s*["']?(?:([A-Za-z]+)|([1-6])0\b)"""
)
_GLOG: Final = re.compile(r"([DIWEF])\d{4}\Z")
_GLOG_LEVELS: Final = {"D": Level.DEBUG, "I": Level.INFO, "W": Level.WARN, "E": Level.ERROR, "F": Level.ERROR}
_LOOKED_AT: Final = 200  # characters behind the time
_WORDS_LOOKED_AT: Final = 6
_TIME: Final = re.compile(
    r"\[?(?P<day>\d{4}-\d\d-\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,9}))?"
    r"\s?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?\]?[ \t]*"
)
_MOST_SKIPPED: Final = 255


def level_of(text: str, skip: int = 0) -> Level:
    """How bad the line behind its time says that it is."""
    end = text.find(" ", skip, skip + 12)
    level = _UPPER.get(text[skip:end]) if end > 0 else None
    if level is not None:
        return level
    head = text[skip : skip + _LOOKED_AT]
    if any(key in head for key in _KEYS):
        found = _KEYED.search(head)
        if found is not None:
            word, number = found.groups()
            return _NUMBERS[number] if number else _WORDS.get(word.lower(), Level.UNKNOWN)
    for word in head[:100].split(None, _WORDS_LOOKED_AT)[:_WORDS_LOOKED_AT]:
        bare = word.strip("[]<>()|:,")
        level = _UPPER.get(bare)
        if level is None and (word[0] in "[<" or word[-1] == ":"):
            level = _WORDS.get(bare.lower())
        if level is not None:
            return level
    glog = _GLOG.match(text[skip : skip + 5])
    return _GLOG_LEVELS[glog[1]] if glog else Level.UNKNOWN


def belongs_to_the_line_before(text: str) -> bool:
    """A line of a stack trace and its like. Only for a line without a time."""
    return text[:1] in (" ", "\t", "") or text.startswith(("Traceback (", "Caused by:", "... "))


class Clock:
    """Reads the times that lines begin with. One for each source: neighbours have the same second."""

    def __init__(self) -> None:
        self._second = ""
        self._milliseconds = 0
        self._tail = ""

    def read(self, text: str) -> tuple[int, int]:
        """Milliseconds since 1970 and how many characters only say the time; (0, 0) where there is none."""
        # The quick way: the same second and the same form as the line before, as in nearly every line of a flood.
        if text[:19] == self._second and text[19:20] == "." and text[23:25] == self._tail:
            part = text[20:23]
            if part.isdecimal() and part.isascii():
                return self._milliseconds + int(part), 25
        found = _TIME.match(text)
        if found is None or found.end() > _MOST_SKIPPED:
            return 0, 0
        milliseconds = _since_1970(found["day"], found["clock"], found["zone"] or "Z")
        if milliseconds <= 0:
            return 0, 0
        part = (found["part"] or "").ljust(3, "0")[:3]
        if found["zone"] == "Z" and found.end() == 25 and text[19] == "." and text[23:25] == "Z ":
            self._second, self._milliseconds, self._tail = text[:19], milliseconds, "Z "
        return milliseconds + int(part), found.end()


def _since_1970(day: str, clock: str, zone: str) -> int:
    offset = "+00:00" if zone in ("Z", "UTC") else f"{zone[:3]}:{zone[-2:]}"
    try:
        return int(datetime.fromisoformat(f"{day}T{clock}{offset}").timestamp()) * 1000
    except (ValueError, OverflowError):
        return 0
