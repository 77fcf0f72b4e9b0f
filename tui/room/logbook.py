"""Where the control room writes what went wrong inside it: a file of the operator's, never the screen."""

import contextlib
import errno
import logging
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from quarterdeck.tui.room.own_files import own_directory

LARGEST = 1_000_000  # bytes: then it is put aside as room.log.1
_log = logging.getLogger("quarterdeck.room")


def open_logbook(directory: Path | None = None) -> Path | None:
    """Sends all logging, warnings and what threads die of into ``room.log``; None where nothing can be written."""
    path = (directory or own_directory()) / "room.log"
    root = logging.getLogger()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LARGEST:
                path.replace(path.with_suffix(".log.1"))
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        handler: logging.Handler = logging.FileHandler(path, encoding="utf-8", errors="replace")
    except OSError:
        root.addHandler(logging.NullHandler())
        return None
    handler.setFormatter(
        logging.Formatter("time=%(asctime)s level=%(levelname)s logger=%(name)s pid=%(process)d %(message)s")
    )
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_died
    sys.unraisablehook = _unraisable
    return path


def _thread_died(what: threading.ExceptHookArgs) -> None:
    error = what.exc_value
    if isinstance(error, OSError) and error.errno in (errno.EIO, errno.EPIPE, errno.EBADF):
        _log.info("the terminal takes no more thread=%s error=%s", what.thread.name if what.thread else "?", error)
        return
    trace: tuple[type[BaseException], BaseException, TracebackType | None] | None = (
        (what.exc_type, error, what.exc_traceback) if error is not None else None
    )
    _log.error("a thread ended on an error thread=%s", what.thread.name if what.thread else "?", exc_info=trace)


def _unraisable(what: Any) -> None:
    _log.error("an error that nobody could be told of in=%r error=%r", what.object, what.exc_value)
