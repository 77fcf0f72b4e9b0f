"""What an idle control room costs: bytes a second on the line, share of a core. ``python -m benchmarks.screen_idle [--seconds N]``."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.screen import Watched
from benchmarks.screen_start import environment_in
from tests.room.acme import fill_acme, fleet_text

SETTLING = 5.0  # seconds after the start that are not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--slow", action="store_true", help="with --slow")
    chosen = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        fill_acme(Path(directory) / "state")
        fleet = Path(directory) / "fleet.yml"
        fleet.write_text(fleet_text(Path(directory) / "state"))
        command = [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(fleet), "production/api"]
        for size in ((80, 24), (120, 40), (200, 60)):
            found[f"{size[0]}x{size[1]}"] = idle(
                [*command, *(["--slow"] if chosen.slow else [])], environment_in(Path(directory)), size, chosen.seconds
            )
    print(json.dumps(found, indent=1))


def idle(command: list[str], environment: dict[str, str], size: tuple[int, int], seconds: float) -> dict[str, float]:
    with Watched(command, environment=environment, size=size) as watched:
        watched.until(lambda drawn: b"LIVE" in drawn)
        watched.drain(SETTLING)
        used, began = watched.processor_seconds(), time.perf_counter()
        drawn = watched.drain(seconds)
        took = time.perf_counter() - began
        return {
            "bytes a second": round(drawn / took, 1),
            "percent of a core": round((watched.processor_seconds() - used) / took * 100, 2),
        }


if __name__ == "__main__":
    main()
