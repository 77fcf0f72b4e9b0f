"""``qd demo`` on a terminal: the playground with two good releases and traffic, and the control room on it with the guide."""

import contextlib
import os
import subprocess
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

from quarterdeck.tui.cli import demo
from quarterdeck.tui.cli.exits import Exit

if TYPE_CHECKING:
    from quarterdeck.tui.cli.session import Session

TARGET = "production/web"
RATE = 20  # requests a second
LONGEST = 4 * 3600  # seconds of traffic; nobody leaves a demo open for longer


def can_be_shown(session: "Session") -> bool:
    """Whether there is a terminal that can show the control room, and somebody at it."""
    shown = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() and sys.stdout.isatty()
    return shown and not session.printer.json and os.environ.get("TERM", "") not in ("", "dumb")


def play(session: "Session") -> int:
    """Starts what is missing, opens the control room, and gives its exit status. The playground stays when it is left."""
    from quarterdeck.rollouts.playground import bad_versions
    from quarterdeck.tui.cli.room import open_on
    from quarterdeck.tui.room.guide import Incident

    playground, here = demo.start(session)
    beside = demo.beside(playground)
    try:
        if demo.ship(here, "v1", "qd demo", only_missing=True, beside=beside) or demo.ship(
            here, "v2", "qd demo", only_on="v1", beside=beside
        ):
            if demo.runs(here, TARGET) is None:
                session.printer.say(
                    "qd: not every target could be prepared; qd rollouts shows why, qd demo down begins anew", "bad"
                )
                return Exit.FAULT
            session.printer.say("not every target could be prepared: the control room shows why", "warn")
        with Traffic(TARGET):
            return open_on(here, target=TARGET, incident=Incident(TARGET, bad_versions().under_traffic))
    finally:
        here.close()
        session.printer.say("the playground goes on without the screen; qd demo down ends and removes it", "dim")


class Traffic:
    """Requests to a target from a process of its own, which ends with this one, however that ends."""

    def __init__(self, target: str) -> None:
        load = [sys.executable, "-m", "quarterdeck.tui.main", "demo", "load", target]
        load += ["--seconds", str(LONGEST), "--rate", str(RATE), "--json"]
        # The shell waits for the end of its input, which is the end of this process, and then ends the traffic.
        self._command = ["sh", "-c", '"$@" </dev/null & read -r _; kill $!', "sh", *load]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=3.0)
