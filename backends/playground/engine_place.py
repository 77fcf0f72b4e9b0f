"""Which Docker engine of this machine a playground may use, if any: the one that `docker` itself would, where it listens on a socket here.

Looks for the socket, and asks the engine nothing. That there is none is no fault: it is told in words.
"""

import json
import os
import socket
from pathlib import Path
from typing import Final

from quarterdeck.backends.hosts.docker.place import PlaceError, UnixPlace, find_place

SWITCH: Final = "QD_PLAYGROUND_ENGINE"
_OFF: Final = ("no", "off", "false", "0")
_ON: Final = ("yes", "on", "true", "1")
_WHERE_WANTED: Final = 6.0
_CONNECTING: Final = 2.0  # seconds
_LONGEST_CONFIG: Final = 1024 * 1024  # bytes


class NoEngine(Exception):
    """Why the playground does without one: half a sentence, to be read after a colon."""


def patience() -> float:
    """By what the time is multiplied that an engine has for its answers: where somebody says that one is wanted, a slow machine is no
    reason to do without it."""
    return _WHERE_WANTED if _switch() in _ON else 1.0


def _switch() -> str:
    return os.environ.get(SWITCH, "").strip().lower()


def engine_socket() -> str:
    """The path of a socket on which something listens. Raises ``NoEngine``."""
    if _switch() in _OFF:
        raise NoEngine(f"{SWITCH} says so")
    try:
        place = find_place(f"context://{_context()}")
    except PlaceError as error:
        raise NoEngine(str(error)) from None
    if not isinstance(place, UnixPlace):
        raise NoEngine("Docker's own settings lead to an engine elsewhere")
    _try(place.path)
    return place.path


def _context() -> str:
    """The name of the context that `docker` would use; DOCKER_HOST comes before all of them, and is part of ``default``."""
    host = os.environ.get("DOCKER_HOST", "")
    if host:
        if not host.startswith("unix://"):
            raise NoEngine("DOCKER_HOST leads to an engine elsewhere")
        return "default"
    named = os.environ.get("DOCKER_CONTEXT")
    if named:
        return named
    config = Path(os.environ.get("DOCKER_CONFIG") or "~/.docker").expanduser() / "config.json"
    try:
        with config.open("rb") as file:
            current = json.loads(file.read(_LONGEST_CONFIG)).get("currentContext")
    except (OSError, ValueError, AttributeError, RuntimeError):
        return "default"  # as Docker does where there is no such file
    return current if isinstance(current, str) and current else "default"


def _try(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.settimeout(_CONNECTING)
        try:
            opened.connect(path)
        except FileNotFoundError:
            raise NoEngine(f"there is no Docker engine here ({path})") from None
        except PermissionError:
            raise NoEngine(f"this user may not use {path}") from None
        except ConnectionRefusedError:
            raise NoEngine(f"nothing listens at {path}") from None
        except (BlockingIOError, TimeoutError):
            raise NoEngine(f"nothing answers at {path}") from None
        except OSError as error:
            raise NoEngine(f"{path}: {error.strerror or error}") from None
