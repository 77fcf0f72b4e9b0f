"""Writes the pictures of the main scenes, at two sizes, from a real playground: ``make screenshots``.

The control room runs on a pseudo-terminal as a person would have it; a scene is keys, and what must be on the screen then.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from screenshots import incident
from screenshots.drawing import png, svg
from tests.room.terminal import Terminal

HERE = Path(__file__).resolve().parent
SIZES = ((80, 24), (120, 40))
QD = [sys.executable, "-m", "quarterdeck.tui.main"]
TARGET = "production/web"


@dataclass(frozen=True, slots=True)
class Scene:
    """``keys`` one group after the other; ``shows``: what must be there before the picture is taken."""

    name: str
    keys: tuple[str, ...]
    shows: str
    settle: float = 1.0  # seconds for live figures to come in


SCENES = (
    Scene("overview", ("1",), "SERVICE", settle=6.0),
    Scene("rollback-card", ("R",), "ROLL BACK  ", settle=3.0),
    Scene("rollout-live", ("y",), "rollback", settle=0.2),
    Scene("logs", ("\x1b", "l"), "FOLLOW", settle=4.0),
    Scene("health", ("1", "h"), "health", settle=6.0),
    Scene("history", ("5",), "history"),
    Scene("help", ("?",), "help, keys"),
)
"""In the order of an incident: each goes on where the one before left the room."""


def main(wanted: list[str]) -> int:
    """``wanted``: names of scenes, or ``incident``; none for all. Gives 1 when one of them did not come."""
    missed: list[str] = []
    if not wanted or "incident" in wanted:
        missed += incident.film()
    scenes = [scene for scene in SCENES if not wanted or scene.name in wanted]
    if scenes:
        missed += _scenes(scenes)
    for name in missed:
        print(f"not taken: {name}", file=sys.stderr)
    return 1 if missed else 0


def _scenes(scenes: list[Scene]) -> list[str]:
    """Takes them at every size; gives the names of those that did not come."""
    with tempfile.TemporaryDirectory(prefix="qd-pictures-") as directory:
        home = Path(directory)
        environment = {
            "PATH": os.environ["PATH"], "HOME": directory, "XDG_STATE_HOME": f"{directory}/state", "USER": "maya",
            "LANG": "C.UTF-8", "QD_PLAYGROUND_ENGINE": "no",
        }  # fmt: skip
        try:
            _run(environment, home, "demo", "up")
            for target in ("staging/web", TARGET):
                _run(environment, home, "deploy", target, "v2", "--wait", "--reason", "CHG-812")
            return [scene for size in SIZES for scene in _pictures(environment, home, size, scenes)]
        finally:
            _run(environment, home, "demo", "down")


def _run(environment: dict[str, str], home: Path, *words: str) -> None:
    subprocess.run([*QD, *words], cwd=home, env=environment, check=True, timeout=180, stdout=subprocess.DEVNULL)


def _pictures(environment: dict[str, str], home: Path, size: tuple[int, int], scenes: Sequence[Scene]) -> list[str]:
    """Takes those of one size; gives the names of scenes that did not come."""
    # Straight into production, as in the guide: the rule of environments is not what is pictured.
    bad = [*QD, "deploy", TARGET, "v4", "--wait", "--force", "--override", "after", "--reason", "CHG-813"]
    subprocess.run(bad, cwd=home, env=environment, check=True, timeout=180, stdout=subprocess.DEVNULL)
    load = subprocess.Popen(
        [*QD, "demo", "load", TARGET, "--seconds", "120"], cwd=home, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    missed = []
    try:
        with Terminal(["env", "-C", str(home), *QD, TARGET], size=size, environment=environment) as terminal:
            terminal.wait_for("LIVE")
            for scene in scenes:
                name = f"{scene.name}.{size[0]}x{size[1]}"
                for keys in scene.keys:
                    terminal.send(keys)
                    time.sleep(0.6)  # a card takes no confirmation in its first moment
                try:
                    terminal.wait_for(scene.shows, deadline=10.0)
                except AssertionError:
                    missed.append(name)
                    continue
                time.sleep(scene.settle)
                document = svg(terminal.screen)
                (HERE / f"{name}.svg").write_text(document, encoding="utf-8")
                (HERE / f"{name}.png").write_bytes(png(document))
                print(f"screenshots/{name}.png")
    finally:
        load.terminate()
        load.wait(timeout=10)
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
