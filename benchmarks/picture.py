"""How long the picture of the largest promised fleet takes, from a journal of a million events, and bringing it up to date.
``python -m benchmarks.picture [--events N] [--hosts N]`` (hosts: in each environment, under every service).
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.big_fleet import Size, make_big_fleet
from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.picture.fleet import renew, take_picture

ROUNDS = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--hosts", type=int, default=4)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        fleet = load_fleet(make_big_fleet(Path(directory), Size(events=chosen.events, hosts=chosen.hosts)))
        with Journal.open(fleet.state, read_only=True) as journal:
            picture = take_picture(fleet, journal)
            news = journal.events(picture.head - 3)
            found = {
                "targets": len(picture.targets),
                "picture": milliseconds(lambda: take_picture(fleet, journal)),
                "renewed by three events": milliseconds(lambda: renew(picture, fleet, journal, news, looked=False)),
                "hosts looked at, nothing new": milliseconds(lambda: renew(picture, fleet, journal, [], looked=True)),
            }
    print(json.dumps(found, indent=1))


def milliseconds(work: Callable[[], object]) -> dict[str, float]:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1000)
    return {"median": round(statistics.median(times), 2), "best": round(min(times), 2)}


if __name__ == "__main__":
    main()
