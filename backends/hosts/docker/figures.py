"""Figures of containers and of an engine's machine. What nobody tells is absent, never guessed."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import CommandFailed, EngineRefused
from quarterdeck.backends.hosts.contract import Vitals
from quarterdeck.backends.hosts.docker.place import UnixPlace

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_GONE: Final = (404, 409)
_LONGEST_APART: Final = 60.0  # seconds between two looks: the mean over longer is no figure of now


@dataclass(frozen=True, slots=True)
class ContainerStats:
    """``cpu``: percent of one core since the last look (200: two cores busy); None at the first. Bytes otherwise."""

    cpu: float | None
    memory: int  # without what the kernel only caches
    memory_limit: int  # of the machine, where the container has none
    processes: int
    received: float | None = None  # bytes a second since the last look; None without a network of its own, too
    sent: float | None = None


class LastLooks:
    """Remembers the last look at each container, from which the processor's share and the network's rates are worked out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._before: dict[str, tuple[int, int]] = {}
        self._networks: dict[str, tuple[float, int, int]] = {}

    def share(self, container: str, stats: Mapping[str, Any]) -> float | None:
        told = stats.get("cpu_stats") or {}
        used, all_cores = int((told.get("cpu_usage") or {}).get("total_usage", 0)), int(told.get("system_cpu_usage", 0))
        before = self._before.get(container)
        self._before[container] = used, all_cores
        if before is None or all_cores <= before[1] or used < before[0]:  # the first look, or it was started anew
            return None
        cores = int(told.get("online_cpus", 0)) or len((told.get("cpu_usage") or {}).get("percpu_usage") or ()) or 1
        return 100.0 * cores * (used - before[0]) / (all_cores - before[1])

    def rates(self, container: str, stats: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """Bytes a second that came and that went."""
        networks = stats.get("networks")
        if not networks:  # it shares the machine's, or has none
            self._networks.pop(container, None)
            return None, None
        came = sum(int(one.get("rx_bytes", 0)) for one in networks.values())
        went = sum(int(one.get("tx_bytes", 0)) for one in networks.values())
        at, before = self._clock(), self._networks.get(container)
        self._networks[container] = at, came, went
        if before is None or at <= before[0] or came < before[1] or went < before[2]:
            return None, None
        return (came - before[1]) / (at - before[0]), (went - before[2]) / (at - before[0])

    def begin(self, containers: Iterable[str]) -> None:
        """A look at these: forgets all others, and all if the last one was long ago."""
        before, self._at = self._at, self._clock()
        wanted = set(containers) if self._at - before <= _LONGEST_APART else set[str]()
        self._networks = {name: look for name, look in self._networks.items() if name in wanted}
        self._before = {name: look for name, look in self._before.items() if name in wanted}


async def read_stats(
    engine: "Engine", looks: LastLooks, containers: Iterable[str], deadline: float
) -> dict[str, ContainerStats]:
    """Those that run, side by side."""
    wanted = list(dict.fromkeys(containers))
    looks.begin(wanted)

    async def one(container: str) -> dict[str, Any] | None:
        try:
            answer: dict[str, Any] = await engine.call(
                f"read the figures of {container}",
                lambda client: client.stats(container, stream=False, one_shot=True),
                deadline=deadline,
            )
        except EngineRefused as error:
            if error.status in _GONE:
                return None
            raise
        return answer

    found: dict[str, ContainerStats] = {}
    tasks = [asyncio.create_task(one(container)) for container in wanted]
    try:
        answers = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    for container, answer in zip(wanted, answers, strict=True):
        memory = (answer or {}).get("memory_stats") or {}
        if answer is None or "usage" not in memory:
            continue
        details = memory.get("stats") or {}
        cached = int(details.get("total_inactive_file", details.get("inactive_file", 0)))  # control groups 1, and 2
        found[container] = ContainerStats(
            looks.share(container, answer),
            max(0, int(memory["usage"]) - cached),
            int(memory.get("limit", 0)),
            int((answer.get("pids_stats") or {}).get("current", 0)),
            *looks.rates(container, answer),
        )
    return found


async def read_vitals_of(engine: "Engine", deadline: float) -> Vitals:
    """Of the machine that the engine runs on; the disk is the one that it keeps its data on."""
    told: dict[str, Any] = await engine.call("read vitals", lambda client: client.info(), deadline=deadline)
    root = str(told.get("DockerRootDir") or "/")
    if engine.ssh is not None:
        return await engine.ssh.vitals(root, deadline=deadline)
    if isinstance(engine.place, UnixPlace):
        try:
            return await asyncio.to_thread(_of_this_machine, root)
        except (OSError, ValueError, IndexError, KeyError):
            raise CommandFailed(
                engine.host, "read vitals", "this machine does not tell its load, memory and disk", exit_status=None
            ) from None
    return Vitals(
        load_1m=-1.0,
        cores=int(told.get("NCPU") or 0),
        memory_total=int(told.get("MemTotal") or 0),
        memory_available=-1,
        disk_total=0,
        disk_free=0,
        uptime=-1.0,
    )


def _of_this_machine(root: str) -> Vitals:
    memory = {
        name: int(rest.split()[0]) * 1024
        for name, _, rest in (line.partition(":") for line in Path("/proc/meminfo").read_text().splitlines())
        if rest.split()
    }
    # user nice system idle iowait irq softirq steal; what guests take is in user already
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    while root not in ("", "/") and not os.path.isdir(root):
        root = os.path.dirname(root)
    disk = os.statvfs(root or "/")
    return Vitals(
        load_1m=os.getloadavg()[0],
        cores=os.cpu_count() or 1,
        memory_total=memory["MemTotal"],
        memory_available=memory.get("MemAvailable", memory.get("MemFree", 0)),
        disk_total=disk.f_blocks * disk.f_frsize,
        disk_free=disk.f_bavail * disk.f_frsize,
        uptime=time.clock_gettime(time.CLOCK_BOOTTIME),
        cpu_busy=sum(ticks) - sum(ticks[3:5]),
        cpu_total=sum(ticks),
    )
