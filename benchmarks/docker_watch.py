"""A hundred containers on one engine, watched by an observer: what that costs it and the engine, and how soon a change is in the journal.

``python -m benchmarks.docker_watch`` prints JSON.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.docker_fleet import Engines, memory, processes_of, processor_seconds
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import Metric, Observation, Operator
from tests.engine import DockerEngine
from tests.engine_field import ANSWERS, CHECKED, put_everything, write_fleet
from tests.observers import ObservedRoom
from tests.sshd import wait_for

OPERATOR = Operator("benchmark", 1000, None, "bastion-1")
NEVER: Any = {"Name": "no", "MaximumRetryCount": 0}
VERSION = "v000"
SEEN = 40.0  # seconds that a change may take to be seen


def watched(engines: Engines, place: Path, count: int, seconds: float, changes: int) -> dict[str, Any]:
    """The figures; ``changes``: how often each kind of change is made. The engine has nothing else to do."""
    services = [f"s{number:03d}" for number in range(count)]
    checked = services[-1:]  # it has the engine's own check, so that its end is an event
    engine = engines.hosts["box-1"]
    keys: dict[str, dict[str, Any]] = {name: {"health": ANSWERS} for name in services}
    keys |= {name: {"artifact": {"image": f"{engines.registry.name}/{CHECKED}"}} for name in checked}
    fleet = write_fleet(place / "fleet.json", engines.registry, {"box-1": engine}, keys)
    asyncio.run(put_everything(fleet, engines.registry, engine, VERSION))
    with Journal.open(fleet.state, operator=OPERATOR) as journal:
        room = ObservedRoom(fleet.file, "benchmark", None, "overview", {})
        try:
            wait_for(lambda: len(_healthy(journal)) == count, "every target to be seen", 90)
            time.sleep(12)  # a round of looks that nothing was loaded for
            told = _idle(engine, room.observer, seconds)
            told["calls a second"] = _calls(engine, seconds)
            told["one open"] = _open(engine, journal, room, f"bench/{services[0]}", seconds)
            told["seen after, s"] = {
                kind: _summary([change(engine, journal, number) for number in range(times)])
                for kind, change, times in (
                    ("died", _died, changes),
                    ("restarted", _restarted, changes),
                    ("replaced", _replaced, changes),
                    ("unhealthy, by the engine's check", _unhealthy(checked[0]), 1),
                )
            }
            told["memory at most, MB"] = memory(room.observer)[1]
        finally:
            room.close()
    return told


def _healthy(journal: Journal) -> Mapping[str, Observation]:
    return {one.target: one for one in journal.observations() if one.health == "healthy" and one.error is None}


def _idle(engine: DockerEngine, observer: int, seconds: float) -> dict[str, Any]:
    pids = processes_of(engine)
    before, engine_before, began = processor_seconds([observer]), processor_seconds(pids), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    return {
        "observer, % of a core": round(100 * (processor_seconds([observer]) - before) / passed, 2),
        "engine, % of a core": round(100 * (processor_seconds(pids) - engine_before) / passed, 2),
        "memory, MB": round(memory(observer)[0], 1),
    }


def _open(
    engine: DockerEngine, journal: Journal, room: ObservedRoom, target: str, seconds: float
) -> dict[str, dict[str, Any]]:
    """One target is open, in a view that shows all others too: in one that shows no figures, and then in one that does."""
    found = {}
    for view, words in (("drift", "no figures"), ("overview", "its figures")):
        room.say(view=view, target=target)
        wait_for(partial(_shows, journal, view), "the view to be open", 20)
        if view == "overview":
            wait_for(lambda: _figures(journal, target), "its figures", 30)
        time.sleep(5)  # what comes with the change of the view
        found[words] = _idle(engine, room.observer, seconds) | {"calls a second": _calls(engine, seconds)}
    room.say(view="overview", target=None)
    wait_for(lambda: all(one.target is None for one in journal.presences()), "nothing to be open", 20)
    return found


def _shows(journal: Journal, view: str) -> bool:
    return {one.view for one in journal.presences()} == {view}


def _figures(journal: Journal, target: str) -> bool:
    return any(one.metric == Metric.CONTAINER_CPU for one in journal.samples(target, ["box-1"], 60.0))


def _calls(engine: DockerEngine, seconds: float) -> float:
    """Of the API, as the engine's own log has them: asked for only now, as writing it costs the engine something."""
    configuration = engine.directory.with_suffix(".json")
    assert engine.process is not None

    def debug(on: bool) -> None:
        configuration.write_text(json.dumps({"debug": on}))
        assert engine.process is not None
        engine.process.send_signal(signal.SIGHUP)

    debug(True)
    time.sleep(1.0)
    before, began = len(_asked(engine)), time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - began
    asked = _asked(engine)[before:]
    debug(False)
    return round(len(asked) / passed, 2)


def _asked(engine: DockerEngine) -> list[str]:
    return [line for line in engine.log.splitlines() if "Calling " in line]


def _container(engine: DockerEngine, number: int) -> tuple[str, str]:
    """The target that is changed, and its container's id."""
    target = f"bench/s{number:03d}"
    filters = {"label": [f"dev.quarterdeck.target={target}"], "status": ["running"]}
    return target, engine.client.containers(filters=filters)[0]["Id"]


def _until(journal: Journal, target: str, holds: Callable[[Observation], bool]) -> float:
    began = time.monotonic()
    while not any(holds(one) for one in journal.observations(target)):
        if time.monotonic() - began > SEEN:
            raise TimeoutError(f"the change of {target} was not seen within {SEEN:g} s")
        time.sleep(0.005)
    return time.monotonic() - began


def _died(engine: DockerEngine, journal: Journal, number: int) -> float:
    target, container = _container(engine, number)
    engine.client.update_container(container, restart_policy=NEVER)
    time.sleep(0.5)
    engine.client.kill(container)
    took = _until(journal, target, lambda seen: seen.body.get("running") is False)
    engine.client.start(container)
    return took


def _restarted(engine: DockerEngine, journal: Journal, number: int) -> float:
    target, container = _container(engine, 6 + number)
    engine.client.restart(container, timeout=1)
    return _until(journal, target, lambda seen: any("started again" in one for one in seen.body.get("drift", ())))


def _replaced(engine: DockerEngine, journal: Journal, number: int) -> float:
    target, container = _container(engine, 12 + number)
    body = engine.client.inspect_container(container)
    engine.client.remove_container(container, force=True)
    engine.run(body["Image"], body["Name"].lstrip("/"), labels=body["Config"]["Labels"])
    return _until(journal, target, lambda seen: any("made it anew" in one for one in seen.body.get("drift", ())))


def _unhealthy(service: str) -> Callable[[DockerEngine, Journal, int], float]:
    def change(engine: DockerEngine, journal: Journal, _: int) -> float:
        target, container = _container(engine, int(service[1:]))
        made = engine.client.exec_create(container, ["rm", "/www/health"])
        engine.client.exec_start(made["Id"])

        def told() -> bool:
            return bool(engine.client.inspect_container(container)["State"]["Health"]["Status"] == "unhealthy")

        wait_for(told, "the engine's own check to fail", 30)
        return _until(journal, target, lambda seen: seen.health == "unhealthy")

    return change


def _summary(seconds: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(seconds), 3), "most": round(max(seconds), 3)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.docker_watch", description=__doc__)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--changes", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as place, contextlib.ExitStack() as stack:
        engines = Engines(Path(place))
        stack.callback(engines.close)
        engines.start(1, [VERSION])
        print(json.dumps(watched(engines, Path(place), chosen.containers, chosen.seconds, chosen.changes), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
