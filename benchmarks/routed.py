"""What clients notice while releases change behind real routers, and how long the way back of blue/green takes beside one bare write.

Loopback only. Rollouts by the real ``qd``; clients that never pause, from this process.
"""

import asyncio
import contextlib
import json
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from quarterdeck.backends.routers.contract import FULL, Slot
from quarterdeck.history.identity import current_operator
from quarterdeck.history.records import RolloutKind, RolloutState
from quarterdeck.rollouts.control import Control
from tests.backends.routers.running import KINDS, RunningHaproxy
from tests.backends.routers.service import load, more, until
from tests.docker_fleet import docker_field_in, stocked_registry
from tests.driver import TARGET
from tests.engine import start_engine
from tests.rollouts.routed_docks import Edge, haproxy_for_versions
from tests.rollouts.routed_field import RoutedField, behind
from tests.sshd import start_fleet

BEGIN, END = "<!-- routed: begin -->", "<!-- routed: end -->"
HOSTS = 3
WRITES = 50  # of which the median is taken
PAUSE = 0.002  # seconds between an answer and a client's next request
VERSIONS = frozenset({"v1", "v2", "v3"})


class Noticed:
    """By router and phase: requests, and those that failed. ``back``: seconds from the word until what it names."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.load = os.getloadavg()[0]
        self.counts: dict[tuple[str, str], tuple[int, Counter[str]]] = {}
        self.back: dict[str, list[float]] = {}

    def text(self) -> str:
        phases = list(dict.fromkeys(phase for _, phase in self.counts))
        routers = list(dict.fromkeys(router for router, _ in self.counts))
        lines = [
            f"{self.machine}, load {self.load:.1f} before. Failed of all requests, {HOSTS} hosts over SSH, four clients that never pause:",
            "",
            f"| while | {' | '.join(routers)} |",
            f"|---|{'---|' * len(routers)}",
        ]
        for phase in phases:
            cells = []
            for router in routers:
                total, failed = self.counts.get((router, phase), (0, Counter()))
                cells.append(f"{sum(failed.values())} of {total}" if total else "")
            lines.append(f"| {phase} | {' | '.join(cells)} |")
        lines += [
            "",
            "The way back of blue/green while the old instances still run, seconds, medians (least to most):",
            "",
        ]
        lines += ["| | |", "|---|---|"]
        lines += [
            f"| {what} | {statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f}) |"
            for what, found in self.back.items()
        ]
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {
            "machine": self.machine,
            "load": self.load,
            "requests": [
                {"router": router, "while": phase, "requests": total, "failed": dict(failed)}
                for (router, phase), (total, failed) in self.counts.items()
            ],
            "back": self.back,
        }
        path.write_text(json.dumps(body, indent=1) + "\n")

    def write_into(self, page: Path) -> None:
        """Between the page's two marks. Raises ValueError where they are missing."""
        text = page.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:begin]}\n{self.text()}\n{text[end:]}")


async def measure(machine: str, say: Callable[[str], None], rounds: int) -> Noticed:
    """Needs root, the three routers, sshd, a Docker engine and a registry. Raises what starting them raises."""
    noticed = Noticed(machine)
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as directory:
        fleet = start_fleet(Path(directory) / "hosts", HOSTS)
        try:
            for kind in KINDS.values():
                say(f"routers: {kind.kind}")
                async with behind(kind(), Path(directory) / kind.kind, fleet, HOSTS) as field:
                    await phases(field, noticed, kind.kind)
        finally:
            fleet.close()
        say("routers: blue/green")
        await _blue_green(Path(directory), noticed, rounds)
    return noticed


async def phases(field: RoutedField, noticed: Noticed, name: str) -> None:
    @asynccontextmanager
    async def phase(what: str) -> AsyncIterator[Counter[str]]:
        async with field.clients(PAUSE) as counted:
            await more(counted, 50)
            yield counted
            await more(counted, 50)
        failed = Counter({words: number for words, number in counted.items() if words not in VERSIONS})
        noticed.counts[name, what] = sum(counted.values()), failed

    await field.do("deploy", TARGET, "v1", "--wait")
    field.write(strategy={"rolling": {"max_unavailable": 1}})
    async with phase("a rolling deploy"):
        await field.do("deploy", TARGET, "v2", "--wait")
    async with phase("a rollback"):
        await field.do("rollback", TARGET, "--yes", "--wait")
    field.write(strategy={"canary": {"steps": [{"set_weight": 10}, {"pause": {}}, {"set_weight": 50}]}})
    async with phase("a canary at 10 %, aborted"):
        rollout = await asyncio.to_thread(field.begin, "deploy", "v3")
        await asyncio.to_thread(field.in_state, rollout, RolloutState.PAUSED)
        await field.do("abort", str(rollout), "--wait", status=3)
    field.write(strategy={"canary": {"steps": [{"set_weight": 10}, {"pause": "1s"}, {"set_weight": 50}]}})
    async with phase("a canary to its end"):
        await field.do("deploy", TARGET, "v3", "--wait")
    async with phase("one of three instances is killed") as counted:
        os.kill(int((field.home(field.used[0]) / "pid").read_text()), signal.SIGKILL)
        await more(counted, 1000)


async def _blue_green(directory: Path, noticed: Noticed, rounds: int) -> None:
    engine = start_engine(directory / "engine")
    router = haproxy_for_versions()
    registry = None
    try:
        registry = stocked_registry(directory / "registry", engine, ("1", "2"))
        await router.start()
        (directory / "docks").mkdir()
        with docker_field_in(directory / "docks", [engine], registry) as docks:
            edge = Edge(docks, router)
            edge.write(strategy={"blue_green": {"scale_down_delay": "1h"}})
            await edge.do("deploy", TARGET, "1", "--wait")
            for _ in range(rounds):
                await _one_way_back(edge, noticed)
            noticed.back["one bare write of the share, and reading it back"] = await _bare_writes(router)
    finally:
        await router.close()
        if registry is not None:
            registry.close()
        engine.close()


async def _one_way_back(edge: Edge, noticed: Noticed) -> None:
    again = {"force": True, "reason": "measured again"}  # the round before has left it as bad
    rollout = await asyncio.to_thread(edge.docks.begin, "deploy", "2", **again)
    await edge.in_state(rollout, RolloutState.BAKING)
    with edge.docks.journal() as journal:
        control = Control(edge.docks.fleet(), journal, current_operator())
        async with load(edge.router.port, path="/version", pause=PAUSE) as counted:
            await more(counted, 50, "2")
            armed = control.arm_rollback(TARGET)
            assert armed.kind is RolloutKind.ROLLBACK
            await until(lambda: bool(journal.rollout(armed.id).plan), "the rollback is armed")
            said = time.time()
            control.ask(armed.id, "go")
            ended = await asyncio.to_thread(edge.docks.ended, armed.id)
            await more(counted, 50, "1")
        share = next(step for step in journal.steps(armed.id) if step.action == "share")
    assert ended.state is RolloutState.SUCCEEDED, ended.outcome
    failed = Counter({words: number for words, number in counted.items() if words not in ("1", "2")})
    total, before = noticed.counts.get(("haproxy", "blue/green and back"), (0, Counter()))
    noticed.counts["haproxy", "blue/green and back"] = total + sum(counted.values()), before + failed
    found = {
        "from the word to every request on the old release": share.ended,
        "until the new one is stopped, too": ended.ended,
    }
    for what, at in found.items():
        assert at is not None
        noticed.back.setdefault(what, []).append(datetime.fromisoformat(at).timestamp() - said)


async def _bare_writes(router: RunningHaproxy) -> list[float]:
    path = f"{router.router.files}/api_share.map"
    state = await router.connect().read()
    share = state.share_of(Slot.GREEN)
    assert share in (0, FULL)
    found = []
    for _ in range(WRITES):
        begun = time.monotonic()
        await router.ask(f"set map {path} api {share}")
        assert f"api {share}" in await router.ask(f"show map {path}")
        found.append(time.monotonic() - begun)
    return found


def run(machine: str, say: Callable[[str], None], file: Path, page: Path | None, rounds: int) -> int:
    noticed = asyncio.run(measure(machine, say, rounds))
    noticed.write(file)
    if page is not None:
        noticed.write_into(page)
    with contextlib.suppress(BrokenPipeError):
        print(noticed.text())
    say(f"written: {file}")
    return 0
