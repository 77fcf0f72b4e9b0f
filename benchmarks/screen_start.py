"""How long from the start of ``qd`` to the first useful paint, and to a live room that takes keys; a minimal Textual application
beside it, and Python alone. ``python -m benchmarks.screen_start [--rounds N] [--services N] [--events N]``.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.big_fleet import Size, make_big_fleet
from benchmarks.screen import Watched

MINIMAL = """
from textual.app import App
from textual.widgets import Static

class Minimal(App):
    BINDINGS = [("x", "show", "show")]
    def compose(self):
        yield Static("ready", id="it")
    def action_show(self):
        self.query_one("#it").update("taken")

Minimal().run()
"""
PYTHON = "import os; os.write(2, b'ready')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--size", default="80x24")
    chosen = parser.parse_args()
    columns, lines = (int(word) for word in chosen.size.split("x"))
    with tempfile.TemporaryDirectory() as directory:
        fleet = make_big_fleet(Path(directory), Size(services=chosen.services, events=chosen.events))
        environment = environment_in(Path(directory))
        found = start_times(fleet, environment, (columns, lines), chosen.rounds)
    print(json.dumps(found, indent=1))


def environment_in(directory: Path) -> dict[str, str]:
    """One in which qd finds and writes nothing outside of ``directory``."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "PYTHONPATH")}
    return kept | {
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory / "xdg-state"),
        "XDG_CACHE_HOME": str(directory / "xdg-cache"),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }


def start_times(fleet: Path, environment: dict[str, str], size: tuple[int, int], rounds: int) -> dict[str, object]:
    """Medians in milliseconds."""
    qd = [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(fleet)]
    _room(qd, environment, size)  # the first start writes the description of the fleet, and fills the file cache
    times: dict[str, list[float]] = {
        name: [] for name in ("python", "first paint", "keys", "live", "minimal shown", "minimal live")
    }
    for _ in range(rounds):
        times["python"].append(_shown([sys.executable, "-c", PYTHON], environment, size))
        painted, keys, live = _room(qd, environment, size)
        times["first paint"].append(painted)
        times["keys"].append(keys)
        times["live"].append(live)
        shown, taken = _minimal(environment, size)
        times["minimal shown"].append(shown)
        times["minimal live"].append(taken)
    medians = {name: round(statistics.median(every) * 1000, 1) for name, every in times.items()}
    return {
        "milliseconds": medians,
        "best": {name: round(min(every) * 1000, 1) for name, every in times.items()},
        "keys / minimal": round(medians["keys"] / medians["minimal live"], 2),
    }


def _shown(command: list[str], environment: dict[str, str], size: tuple[int, int]) -> float:
    with Watched(command, environment=environment, size=size) as watched:
        return watched.until(lambda drawn: b"ready" in drawn) - watched.began


def _minimal(environment: dict[str, str], size: tuple[int, int]) -> tuple[float, float]:
    with Watched([sys.executable, "-c", MINIMAL], environment=environment, size=size) as watched:
        shown = watched.until(lambda drawn: b"ready" in drawn) - watched.began
        watched.send("x")
        return shown, watched.until(lambda drawn: b"taken" in drawn) - watched.began


def _room(command: list[str], environment: dict[str, str], size: tuple[int, int]) -> tuple[float, float, float]:
    """To the first paint (of the room itself when nothing was known), until a key typed ahead has moved the cursor, and until the
    room's observer, a process of its own, has asked hosts for the first time."""
    with Watched(command, environment=environment, size=size) as watched:
        painted = watched.until(lambda drawn: b"service-001" in drawn) - watched.began
        watched.send("h")  # to another view, as soon as keys are taken
        keys = watched.until(lambda drawn: b"4 Health]" in drawn) - watched.began
        return painted, keys, watched.until(lambda drawn: b"LIVE" in drawn) - watched.began


if __name__ == "__main__":
    main()
