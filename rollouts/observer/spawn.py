"""Starting the observer of a control room, and telling it what the room shows. It ends with the room, however that ends: the only
writing end of its standard input is here."""

import contextlib
import json
import os
import subprocess
import sys
from typing import Any

import msgspec

from quarterdeck.config.model import Fleet
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.observer.pace import Pace


class ObserverProcess:
    """Starts it at once. Raises ``OSError`` when no process can be made. Nothing here waits for it."""

    def __init__(
        self, fleet: Fleet, operator: Operator, *, view: str, target: str | None, pace: Pace | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "quarterdeck.rollouts.observer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # no signal of the terminal reaches it
            close_fds=True,
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self.say(
            room=os.getpid(),
            state=str(fleet.state),
            fleet=str(fleet.file),
            operator=msgspec.structs.asdict(operator),
            pace=msgspec.structs.asdict(pace or Pace()),
            view=view,
            target=target,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def say(self, **words: Any) -> None:
        """``view`` and ``target``: what the room shows now; ``fleet``: another fleet file; ``refresh``: look at the hosts now.

        One that does not listen any more is not waited for.
        """
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            # A line is shorter than what a pipe takes whole (PIPE_BUF): never half of one is written.
            with contextlib.suppress(OSError):
                os.write(pipe.fileno(), json.dumps(words).encode() + b"\n")

    def close(self) -> None:
        """Lets it end; it does so within two seconds by itself."""
        pipe = self._process.stdin
        if pipe is not None and not pipe.closed:
            pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.05)
        if self._process.returncode is None:
            self._process.returncode = 0  # nobody waits for it any more: Popen must not complain
