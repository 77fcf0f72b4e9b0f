"""How long a release of six tasks takes to go back in a real Swarm: by qd, and by Swarm's own ``docker service rollback``, in turns.

Both are done when every task that runs is of the old release, by the Swarm's own word, and none of the new one is left. Each goes back with
all tasks at once and starts the new ones first; Swarm's way with its defaults (one after the other) stands beside."""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import Goal
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.container import Network
from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutState
from quarterdeck.rollouts.control import Control
from tests.driver import TARGET
from tests.sshd import wait_for
from tests.swarm import Swarm, start_swarm
from tests.swarm_field import Field, connect
from tests.swarm_fleet import SwarmFleet, swarm_fleet_in

BEGIN, END = "<!-- swarm: begin -->", "<!-- swarm: end -->"
REPLICAS = 6
BARE = "bare"  # the service that Swarm takes back by itself
PAUSE = 0.03  # seconds between two looks
GOAL = 1.2  # times what Swarm itself takes
NO_SECRETS = SecretValues()
OWN = "docker service rollback, all at once"
SERIAL = "docker service rollback, its defaults"
SWITCH = "qd: the switch alone, on an open connection, read back"
ARMED = "qd: from the word go, armed before, until every task is of the old release, read back and healthy"


class Swarmed:
    """``back``: seconds by what was measured."""

    def __init__(self, machine: str, rounds: int) -> None:
        self.machine = machine
        self.rounds = rounds
        self.load = os.getloadavg()[0]
        self.back: dict[str, list[float]] = {}

    def text(self) -> str:
        own = statistics.median(self.back[OWN])
        lines = [
            f"{self.machine}, load {self.load:.1f} before, {self.rounds} rounds in turns. {REPLICAS} tasks of a Swarm of three nodes "
            "go back, seconds, medians (least to most):",
            "",
            "| | | times Swarm itself |",
            "|---|---|---|",
        ]
        for what, found in self.back.items():
            median = statistics.median(found)
            lines.append(f"| {what} | {median:.2f} ({min(found):.2f} to {max(found):.2f}) | {median / own:.2f} |")
        lines += ["", "| goal | hosts | found | at most | met |", "|---|---|---|---|---|"]
        lines += [goal.row() for goal in self.goals()]
        return "\n".join(lines)

    def goals(self) -> list[Goal]:
        """A Swarm is one host, however many tasks go back."""
        own = statistics.median(self.back[OWN])
        return [
            Goal(f"{words} / {OWN}", 1, statistics.median(self.back[what]) / own, GOAL)
            for words, what in (("the switch alone, read back", SWITCH), ("from the word go, read back", ARMED))
        ]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        goals = [asdict(goal) | {"met": goal.met} for goal in self.goals()]
        body = {"machine": self.machine, "load": self.load, "rounds": self.rounds, "back": self.back, "goals": goals}
        path.write_text(json.dumps(body, indent=1) + "\n")

    def write_into(self, page: Path) -> None:
        """Between the page's two marks. Raises ValueError where they are missing."""
        text = page.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:begin]}\n{self.text()}\n{text[end:]}")


class Bare:
    """A plain service of the same two images, changed by Docker's own client."""

    def __init__(self, swarm: Swarm, images: Mapping[str, str]) -> None:
        self.swarm = swarm
        self.images = images

    def docker(self, *words: str) -> None:
        environment = {**os.environ, "DOCKER_HOST": self.swarm.nodes[0].docker}
        subprocess.run(["docker", "service", *words], check=True, capture_output=True, timeout=120, env=environment)

    def create(self, network: str) -> None:
        self.docker(
            *("create", "--detach", "--name", BARE, "--replicas", str(REPLICAS), "--endpoint-mode", "dnsrr"),
            *("--network", network),
            *("--update-order", "start-first", "--update-parallelism", "0", "--stop-grace-period", "2s"),
            *("--rollback-order", "start-first", "--rollback-parallelism", "0"),
            self.images["1"],
        )
        self.wait("1")

    def wait(self, version: str) -> None:
        """Every task that runs is of it, and as many as there should be."""
        client = self.swarm.api(0)

        def so() -> bool:
            tasks: list[dict[str, Any]] = client.tasks(filters={"service": BARE})
            images = [one["Spec"]["ContainerSpec"]["Image"] for one in tasks if one["Status"]["State"] == "running"]
            return images == [self.images[version]] * REPLICAS

        until = time.monotonic() + 120
        while not so():
            if time.monotonic() > until:
                raise TimeoutError(f"the service {BARE} is not at {version}")
            time.sleep(PAUSE)

    def forward(self) -> None:
        self.docker("update", "--detach", "--no-resolve-image", "--image", self.images["2"], BARE)
        self.wait("2")

    def go_by_defaults(self) -> None:
        """A way back is gone as the release that it leads to says."""
        self.docker("update", "--detach", "--rollback-parallelism", "1", "--rollback-order", "stop-first", BARE)

    def back(self) -> float:
        begun = time.monotonic()
        self.docker("rollback", "--detach", BARE)
        self.wait("1")
        return time.monotonic() - begun


async def measure(machine: str, say: Callable[[str], None], rounds: int) -> Swarmed:
    """Needs root, a Docker engine, its client and a registry. Raises what starting them raises."""
    found = Swarmed(machine, rounds)
    swarm = start_swarm()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="qd-bench-") as directory,
            swarm_fleet_in(Path(directory), swarm, placed={"replicas": REPLICAS}) as fleet,
        ):
            # A check that costs next to nothing: Swarm asks nobody either.
            fleet.write(health={"command": {"run": "true"}, "interval": "100ms"})
            await _rounds(swarm, fleet, found, say)
    finally:
        swarm.close()
    return found


async def _rounds(swarm: Swarm, fleet: SwarmFleet, found: Swarmed, say: Callable[[str], None]) -> None:
    images = {version: swarm.image("shop/app", version) for version in ("1", "2")}
    bare = Bare(swarm, images)
    connection = await connect(swarm)
    field = Field(swarm, connection, replicas=REPLICAS)
    await asyncio.to_thread(fleet.deploy, "1")
    # All of them in one overlay network: a task takes twice as long to begin there as outside.
    network = next(
        one["Name"] for one in swarm.api(0).networks() if one["Driver"] == "overlay" and one["Name"] != "ingress"
    )
    await asyncio.to_thread(bare.create, network)
    spec = field.spec(stop_grace_period=2.0, networks=(Network(network, aliases=("alone",)),))
    one, two = (field.release(version, image={"name": "shop/app"}, spec=spec) for version in ("1", "2"))
    epoch = 0

    async def put(release: Any) -> float:
        nonlocal epoch
        epoch += 1
        await connection.stage(release, None, NO_SECRETS, field.fence(epoch))
        begun = time.monotonic()
        await connection.switch(release, NO_SECRETS, field.fence(epoch), f"{epoch}.1")
        took = time.monotonic() - begun
        await connection.finish(release, [], field.fence(epoch), f"{epoch}.2")
        return took

    try:
        await put(one)
        for number in range(found.rounds):
            say(f"swarm: round {number + 1} of {found.rounds}")
            await asyncio.to_thread(bare.forward)
            found.back.setdefault(OWN, []).append(await asyncio.to_thread(bare.back))
            await put(two)
            found.back.setdefault(SWITCH, []).append(await put(one))
            found.back.setdefault(ARMED, []).append(await asyncio.to_thread(_armed, fleet))
        await asyncio.to_thread(bare.go_by_defaults)
        await asyncio.to_thread(bare.forward)
        found.back[SERIAL] = [await asyncio.to_thread(bare.back)]
    finally:
        await connection.close()


def _armed(fleet: SwarmFleet) -> float:
    """As in the control room: the rollback is armed while the dialog is read, and begins with the word."""
    forward = fleet.begin("deploy", "2", force=True, reason="measured again")
    assert fleet.ended(forward, 180).state is RolloutState.SUCCEEDED
    fleet.until(forward, fleet.worker_has_left)
    with fleet.journal() as journal:
        control = Control(fleet.fleet(), journal, current_operator())
        armed = control.arm_rollback(TARGET)
        wait_for(lambda: bool(journal.rollout(armed.id).plan), "the rollback is armed", 60)
        said = time.time()
        control.ask(armed.id, "go")
        ended = fleet.ended(armed.id, 180)
        switched = next(step.ended for step in journal.steps(armed.id) if step.action == "switch")
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    assert switched is not None
    fleet.until(armed.id, fleet.worker_has_left)
    return datetime.fromisoformat(switched).timestamp() - said


def run(machine: str, say: Callable[[str], None], file: Path, page: Path | None, rounds: int) -> int:
    found = asyncio.run(measure(machine, say, rounds))
    found.write(file)
    if page is not None:
        found.write_into(page)
    with contextlib.suppress(BrokenPipeError):
        print(found.text())
    say(f"written: {file}")
    return 0
