"""Reading what sha256sum writes. Knows the text only, not where it comes from."""

import posixpath
import re

_HEX = re.compile(r"[0-9A-Fa-f]{64}")
_GNU = re.compile(r"(?P<escaped>\\?)(?P<sum>[0-9A-Fa-f]{64})(?:[ \t]+\*?(?P<name>\S.*))?")
_BSD = re.compile(r"SHA256 ?\((?P<name>.+)\) ?= ?(?P<sum>[0-9A-Fa-f]{64})")


class NoChecksum(ValueError):
    """The text holds no checksum for the file, or two different ones. The message says which."""


def is_literal(text: str) -> bool:
    return _HEX.fullmatch(text) is not None


def find(text: str, name: str) -> str:
    """The SHA-256 (lower-case hex) of the file ``name``: from the line that names it, or the only one that there is.

    Takes sha256sum's format with and without names, and BSD's ``SHA256 (name) = …``; other lines are passed over.
    Raises ``NoChecksum``.
    """
    every: list[tuple[str | None, str]] = []
    for line in text.lstrip("\ufeff").splitlines():
        if match := _BSD.fullmatch(line.strip()):
            every.append((match["name"], match["sum"].lower()))
        elif match := _GNU.fullmatch(line.strip()):
            named = match["name"]
            if named is not None and match["escaped"]:
                named = re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], named)
            every.append((named, match["sum"].lower()))
    sums = {digest for named, digest in every if named is not None and posixpath.basename(named) == name}
    if not sums and len(every) == 1:
        # A file with one line is about one file, whatever it was called where the line was written.
        sums = {every[0][1]}
    if len(sums) > 1:
        raise NoChecksum(f"two different checksums for {name}")
    if not sums:
        raise NoChecksum(f"no SHA-256 for {name} among {len(every)} checksums" if every else "no SHA-256 in it")
    return sums.pop()
