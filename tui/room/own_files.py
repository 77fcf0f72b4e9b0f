"""The control room's own files of one operator: its log, the commands that were typed, what could be copied nowhere else.
Only this user may read them, and no secret is ever written into them."""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

MOST_COMMANDS = 500


def own_directory(environment: Mapping[str, str] | None = None) -> Path:
    """``_room`` beside the fleets' directories of the state home: no fleet can have that name."""
    variables = os.environ if environment is None else environment
    given = variables.get("XDG_STATE_HOME", "")
    home = variables.get("HOME") or os.path.expanduser("~")
    base = Path(given) if given.startswith("/") else Path(home) / ".local" / "state"
    return base / "quarterdeck" / "_room"


def write_own(path: Path, text: str | bytes) -> None:
    """Replaces the file in one step, for this user only (0600, in a directory of 0700). Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def read_commands(path: Path) -> list[str]:
    """Commands typed before, the oldest first; none where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-MOST_COMMANDS:]
    except OSError:
        return []
