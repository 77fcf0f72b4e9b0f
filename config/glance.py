"""A first glance at the fleet file's text, before anything that can read it is loaded: a guess, which may be wrong and then costs time.

Must never be what anything is decided by."""

import re
from typing import Final

from quarterdeck.config.locate import NoFleetFile, locate_fleet

_ENOUGH: Final = 1024 * 1024  # bytes
_COMMENT: Final = re.compile(rb"(?m)(?:^|(?<=\s))#.*$")
_ENGINE: Final = re.compile(rb"\bdocker\W{1,4}(?:unix|tcp|context)://")


def seems_of_engines(words: list[str]) -> bool:
    """Whether the fleet file that a command line of ``words`` means seems to have Docker engines that are reached without SSH, and no host
    that is. Raises nothing: where there is none to be seen, no."""
    given = None
    for index, word in enumerate(words):
        if word.startswith("--fleet="):
            given = word.partition("=")[2]
        elif word == "--fleet":
            given = "".join(words[index + 1 : index + 2])
    try:
        with locate_fleet(given).open("rb") as file:
            text = _COMMENT.sub(b"", file.read(_ENOUGH))
    except (OSError, NoFleetFile, ValueError, RuntimeError):
        return False
    return _ENGINE.search(text) is not None and b"ssh" not in text.lower()
