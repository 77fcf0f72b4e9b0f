"""The one place where text becomes shell syntax. Nothing else in this program may put a value into a command line."""

import re
from collections.abc import Mapping

from quarterdeck.backends.errors import BackendError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def quote(text: str) -> str:
    """``text`` as one word that every POSIX shell reads back unchanged. Raises ``ValueError`` for a NUL, which no argument can hold."""
    if "\0" in text:
        raise ValueError("a NUL character can't be passed to a command")
    return "'" + text.replace("'", "'\\''") + "'"


def assign(name: str, value: str) -> str:
    """A line of shell that sets a variable. Raises ``ValueError`` where ``name`` is no variable's name."""
    if not _NAME.match(name):
        raise ValueError(f"{name!r} is not the name of a variable")
    return f"{name}={quote(value)}\n"


def environment_file(values: Mapping[str, str], host: str, action: str) -> str:
    """``NAME="value"`` lines that a POSIX shell and systemd's EnvironmentFile read alike.

    In both, within double quotes, a backslash keeps its meaning only before ``"``, ``\\``, ``$`` and a backtick.
    Raises ``BackendError`` for a name that is none; the value is never told.
    """
    lines = []
    for name, value in sorted(values.items()):
        if not _NAME.match(name) or "\0" in value:
            raise BackendError(host, action, f"{name!r} can't be put into the environment of a command")
        escaped = re.sub(r'(["\\$`])', r"\\\1", value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)
