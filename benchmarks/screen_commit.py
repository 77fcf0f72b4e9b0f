"""How long from a commit in another process until it is on the screen of a control room, with several rooms open on the journal.
``python -m benchmarks.screen_commit [--rooms N] [--commits N]``.
"""

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.screen import Watched
from benchmarks.screen_start import environment_in
from quarterdeck.history.journal import Journal
from tests.room.acme import fill_acme, fleet_text

APART = 0.31  # seconds between two commits: not in step with anything that is done every so often
SIZE = (120, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--commits", type=int, default=100)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory) / "state"
        fill_acme(state)
        fleet = Path(directory) / "fleet.yml"
        fleet.write_text(fleet_text(state))
        print(
            json.dumps(latencies(fleet, state, environment_in(Path(directory)), chosen.rooms, chosen.commits), indent=1)
        )


def latencies(fleet: Path, state: Path, environment: dict[str, str], rooms: int, commits: int) -> dict[str, float]:
    """Of the first room, in milliseconds; the others are read as well, so that none of them stands still."""
    command = [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(fleet), "production/api"]
    found = []
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Watched(command, environment=environment, size=SIZE)) for _ in range(rooms)]
        for room in opened:
            room.until(lambda drawn: b"LIVE" in drawn, deadline=120.0)
            room.drain(1.0)
        journal = stack.enter_context(Journal.open(state))
        for number in range(commits):
            _settle(opened)
            del opened[0].drawn[:]
            # Every note differs from the one before in all its letters: what is repainted holds the whole of it.
            text = f"{chr(ord('a') + number % 26) * 8}{number:04d}"
            journal.note(text, target="production/api")
            began = time.perf_counter()
            found.append(opened[0].until(partial(_holds, text.encode())) - began)
    found.sort()
    return {
        "rooms": rooms,
        "p50": round(statistics.median(found) * 1000, 1),
        "p99": round(found[min(len(found) - 1, int(len(found) * 0.99))] * 1000, 1),
        "longest": round(found[-1] * 1000, 1),
    }


def _holds(wanted: bytes, drawn: bytes) -> bool:
    return wanted in drawn


def _settle(rooms: list[Watched]) -> None:
    end = time.perf_counter() + APART
    while time.perf_counter() < end:
        for room in rooms:
            room.read(0.0)
        time.sleep(0.002)


if __name__ == "__main__":
    main()
