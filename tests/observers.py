"""A control room's process with its observer, without the screen: several of them on one journal, to be killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.sshd import wait_for

ROOM = """
import json, sys
from pathlib import Path
from quarterdeck.config.load import load_fleet
from quarterdeck.history.records import Operator
from quarterdeck.rollouts.observer.pace import Pace
from quarterdeck.rollouts.observer.spawn import ObserverProcess
fleet, who, target, view, pace = json.loads(sys.argv[1])
observer = ObserverProcess(load_fleet(Path(fleet)), Operator(who, 1000, None, "bastion-2"), view=view, target=target, pace=Pace(**pace))
print(observer.pid, flush=True)
for line in sys.stdin:
    observer.say(**json.loads(line))
"""


class ObservedRoom:
    """``pid`` is the room's, ``observer`` its observer's."""

    def __init__(self, fleet: Path, who: str, target: str | None, view: str, pace: dict[str, float]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ROOM, json.dumps([str(fleet), who, target, view, pace])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.observer = int(self._process.stdout.readline())

    def say(self, **words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """kill -9 of the room; its observer is not touched."""
        self._process.kill()
        self._process.wait(10)

    def kill_observer(self) -> None:
        os.kill(self.observer, signal.SIGKILL)

    def observer_lives(self) -> bool:
        """Until its last thread has let go of its files."""
        proc = Path(f"/proc/{self.observer}")
        try:
            return ") Z " not in (proc / "stat").read_text() or len(list((proc / "task").iterdir())) > 1
        except OSError:
            return False

    def close(self) -> None:
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        wait_for(lambda: not self.observer_lives(), "the observer to end with its room")


class ObservedRooms:
    """Opens rooms, and closes them all at the end."""

    def __init__(self) -> None:
        self._open: list[ObservedRoom] = []

    def __call__(
        self, fleet: Path, *, who: str = "alice", target: str | None = None, view: str = "overview", **pace: float
    ) -> ObservedRoom:
        room = ObservedRoom(fleet, who, target, view, pace)
        self._open.append(room)
        return room

    def close(self) -> None:
        for room in self._open:
            room.close()


def observed_rooms() -> Iterator[ObservedRooms]:
    """For a fixture: ``rooms = pytest.fixture(observed_rooms)``."""
    rooms = ObservedRooms()
    try:
        yield rooms
    finally:
        rooms.close()
