"""Fleets of hundreds and thousands of hosts: ``make bench ARGS=--scale``. What is read of them, the screen on them, rollouts on hosts in
memory (see ``scale_rollouts``), and a rollback on 200 real sshd hosts beside the floor."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.big_fleet import Size, make_big_fleet
from benchmarks.processes import ROOT, cost_of, prepare_environment
from benchmarks.report import ARMED, COLD, CONNECTING, FLOOR
from benchmarks.screen import Watched
from benchmarks.screen_start import environment_in

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
SERVICES: Final = 100
LONGEST: Final = 900.0  # seconds, of one part
KEYS: Final = 200
SSHD: Final = 200


@dataclass(slots=True)
class Scale:
    machine: str
    load: float
    read: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # hosts → command → seconds, MB
    screen: dict[str, dict[str, float]] = field(default_factory=dict)
    rollouts: dict[str, dict[str, Any]] = field(default_factory=dict)
    sshd: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Markdown."""
        lines = [f"{self.machine}; load before the first measurement: {self.load:.1f}.", ""]
        if self.read:
            lines += [f"{SERVICES} services in five environments, each on all hosts of its environment:", ""]
            lines += ["| hosts | services on hosts | command | seconds | peak MB |", "|---|---|---|---|---|"]
            for hosts, commands in self.read.items():
                for command, (seconds, peak) in commands.items():
                    lines.append(f"| {hosts} | {int(hosts) * SERVICES:,} | `{command}` | {seconds:.2f} | {peak:.0f} |")
            lines.append("")
        if self.screen:
            lines += [
                "| hosts | first paint, ms | takes keys, ms | whole picture, ms | key to paint, p50 and p99, ms | peak MB |",
                "|---|---|---|---|---|---|",
            ]
            for hosts, one in self.screen.items():
                keys = f"{one['key p50']:.1f}, {one['key p99']:.1f}"
                start = f"{one['first paint']:.0f} | {one['keys']:.0f} | {one['picture']:.0f}"
                lines.append(f"| {hosts} | {start} | {keys} | {one['MB']:.0f} |")
            lines.append("")
        if self.rollouts:
            lines += [
                "| hosts in memory | plan, ms | deploy, s (processor) | rollback, s (processor) | worker MB | events | journal MB "
                "| observer, % of a core | looks a second |",
                "|---|---|---|---|---|---|---|---|---|",
            ]
            for hosts, rolled in self.rollouts.items():
                ways = " | ".join(
                    f"{rolled[way]['seconds']} ({rolled[way]['processor']})" for way in ("deploy", "rollback")
                )
                journal, observer = rolled["journal"], rolled["observer"]
                lines.append(
                    f"| {hosts} | {rolled['plan ms']} | {ways} | {rolled['worker MB']:.0f} | {journal['events']:,} | {journal['MB']} "
                    f"| {observer['percent of a core']} | {observer['looks a second']} |"
                )
            lines.append("")
        if self.sshd:
            told = self.sshd
            lines += [
                f"{SSHD} real sshd hosts, one round, load {told['load']:.1f} before it:",
                "",
                "| what | seconds | / floor | peak MB of the worker |",
                "|---|---|---|---|",
            ]
            for method in (FLOOR, CONNECTING, ARMED, COLD):
                if f"rollback {method}" in told:
                    took = told[f"rollback {method}"]
                    memory = f"{told[f'peak {method}']:.0f}" if told.get(f"peak {method}") else ""
                    lines.append(
                        f"| rollback: {method} | {took:.2f} | {took / told[f'rollback {FLOOR}']:.2f} | {memory} |"
                    )
            lines.append("")
        lines += [f"- not measured: {one}" for one in self.skipped]
        return "\n".join(lines).rstrip()

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def write_into(self, page: Path) -> None:
        """Between the page's two marks. Raises ValueError where they are missing."""
        text = page.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:begin]}\n{self.text()}\n{text[end:]}")


def measure(machine: str, say: Callable[[str], None], *, quick: bool, program: str) -> Scale:
    """One part after the other; a part that fails is said and leaves the others."""
    found = Scale(machine, os.getloadavg()[0])
    sizes = (500,) if quick else (500, 5000)
    with tempfile.TemporaryDirectory(prefix="qd-scale-") as name:
        place = Path(name)
        prepare_environment(place)
        parts: list[tuple[str, Callable[[], None]]] = []
        for hosts in sizes:
            parts += [
                (f"reading a fleet of {hosts} hosts", partial(_read, found, place, hosts, program)),
                (f"the screen of {hosts} hosts", partial(_screen, found, place, hosts, quick=quick)),
                (f"rollouts on {hosts} hosts in memory", partial(_rollouts, found, hosts, quick=quick)),
            ]
        if not quick:
            parts.append((f"{SSHD} sshd hosts", partial(_sshd, found, place, program)))
        for words, part in parts:
            say(words)
            try:
                part()
            except Exception as error:  # one part must not cost the others
                say(f"{words} is left out: {error}")
                found.skipped.append(f"{words}: {str(error).strip().splitlines()[-1][:200] if str(error) else error!r}")
    return found


def _fleet(place: Path, hosts: int) -> Path:
    directory = place / str(hosts)
    if not directory.exists():
        return make_big_fleet(directory, Size(services=SERVICES, hosts=hosts // 5, events=50_000))
    return directory / "fleet.yml"


def _read(found: Scale, place: Path, hosts: int, program: str) -> None:
    file = _fleet(place, hosts)
    commands = ("check", "status --cached", "status --cached production/service-001", "rollouts")
    for words in commands:
        costs = [
            cost_of([program, *words.split()], place / "output", environment_in(place) | {"QD_FLEET": str(file)})
            for _ in range(3)
        ]
        seconds = statistics.median(cost.seconds for cost in costs)
        peak = max(cost.peaks[0] for cost in costs) / 1e6
        found.read.setdefault(str(hosts), {})[f"qd {words}"] = [round(seconds, 3), round(peak, 1)]


def _screen(found: Scale, place: Path, hosts: int, *, quick: bool) -> None:
    command = [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(_fleet(place, hosts)), "--cached"]
    starts, keys, peaks, times = [], [], [], []
    for number in range(2 if quick else 6):
        with Watched(command, environment=environment_in(place), size=(120, 40)) as watched:
            painted = watched.until(lambda drawn: b"service-001" in drawn) - watched.began
            watched.send("h")  # to another view, as soon as keys are taken
            taken = watched.until(lambda drawn: b"4 Health]" in drawn) - watched.began
            if number == 0:
                continue  # it writes what the next first paint reads
            starts.append(painted)
            keys.append(taken)
            watched.drain(2.0)
            times += [_key(watched, "down" if one % 20 < 10 else "up") for one in range(KEYS // 5)]
            peaks.append(_peak(watched.pid))
    times.sort()
    found.screen[str(hosts)] = {
        "first paint": round(statistics.median(starts) * 1000, 1),
        "keys": round(statistics.median(keys) * 1000, 1),
        "picture": _picture(place, hosts),
        "key p50": round(statistics.median(times) * 1000, 1),
        "key p99": round(times[min(len(times) - 1, int(len(times) * 0.99))] * 1000, 1),
        "MB": max(peaks),
    }


def _key(watched: Watched, key: str) -> float:
    """Seconds from a key that moves the cursor to the first byte that is drawn for it."""
    watched.drain(0.05)
    before, begun = len(watched.drawn), time.perf_counter()
    watched.send({"down": "\x1b[B", "up": "\x1b[A"}[key])
    while len(watched.drawn) == before:
        if time.perf_counter() - begun > 10.0:
            raise TimeoutError("a key that moves the cursor drew nothing within 10 s")
        watched.read(0.05)
    return watched.last - begun


def _peak(pid: int) -> float:
    """MB of resident memory, at most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


PICTURE: Final = """
import sys, time
from pathlib import Path
from quarterdeck.config.load import load_fleet
from quarterdeck.history.journal import Journal
from quarterdeck.rollouts.picture.fleet import take_picture
fleet, times = load_fleet(Path(sys.argv[1])), []
with Journal.open(fleet.state, read_only=True) as journal:
    for _ in range(5):
        begun = time.perf_counter()
        take_picture(fleet, journal)
        times.append(time.perf_counter() - begun)
print(sorted(times)[2] * 1000)
"""


def _picture(place: Path, hosts: int) -> float:
    """Milliseconds for the picture that a room is drawn from, made once when it opens."""
    command = [sys.executable, "-c", PICTURE, str(_fleet(place, hosts))]
    return round(float(_output(command)), 1)


def _rollouts(found: Scale, hosts: int, *, quick: bool) -> None:
    command = [sys.executable, "-m", "benchmarks.scale_rollouts", str(hosts), *(["--quick"] if quick else [])]
    found.rollouts[str(hosts)] = json.loads(_output(command))


def _sshd(found: Scale, place: Path, program: str) -> None:
    file, load = place / "sshd.json", os.getloadavg()[0]
    command = [sys.executable, "-m", "benchmarks.run", "--hosts", str(SSHD), "--rounds", "1", "--json", str(file)]
    _output([*command, "--qd", program])
    told: dict[str, float] = {"load": load}
    for row in json.loads(file.read_text())["samples"]:
        if row["action"] == "rollback":
            told[f"rollback {row['method']}"] = statistics.median(one["seconds"] for one in row["samples"])
            told[f"peak {row['method']}"] = max(one["peak_worker"] for one in row["samples"]) / 1e6
    found.sshd = told


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:] or f"{command[:4]} ended with {done.returncode}")
    return done.stdout
