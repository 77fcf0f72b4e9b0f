"""Starts the observer: one line of JSON on standard input says for which room, further ones what it shows; its end ends the process."""

import asyncio
import contextlib
import json
import logging
import logging.handlers
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

LATEST_END = 1.5  # seconds after the room has gone: then this process ends whatever it does
LOG_BYTES = 256 * 1024


def main() -> int:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)  # the terminal is the room's
    with contextlib.suppress(OSError):
        os.nice(5)  # the screen, and workers above all, come first
    line = sys.stdin.buffer.readline()
    if not line.strip():
        return 0
    from quarterdeck.rollouts.observer.process import Observer, room_of

    room = room_of(json.loads(line))
    _log_to(room.state)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_observe(Observer(room)))
    return 0


async def _observe(observer: Any) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.current_task()
    assert running is not None
    threading.Thread(target=_listen, args=(loop, observer.hear, running.cancel), daemon=True).start()
    await observer.run()


def _listen(loop: asyncio.AbstractEventLoop, hear: Any, end: Any) -> None:
    """In a thread of its own, so that the end is seen however busy the loop is."""
    with contextlib.suppress(OSError, ValueError):
        for line in sys.stdin.buffer:
            loop.call_soon_threadsafe(hear, json.loads(line))
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(end)
    time.sleep(LATEST_END)
    os._exit(0)


def _log_to(state: Path) -> None:
    """Only warnings, and no file as long as there are none."""
    handler = logging.handlers.RotatingFileHandler(
        state / f"observer-{os.getuid()}.log", maxBytes=LOG_BYTES, backupCount=1, delay=True
    )
    handler.setFormatter(
        logging.Formatter("time=%(asctime)s level=%(levelname)s logger=%(name)s pid=%(process)d %(message)s")
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.raiseExceptions = False  # a full disk must not end the observer either
    logging.getLogger("asyncssh").setLevel(logging.ERROR)


if __name__ == "__main__":
    sys.exit(main())
