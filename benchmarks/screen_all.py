"""Every budget of the screen in one run, with the goal that it has and whether it is met: ``make bench ARGS=--screen``."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.big_fleet import Size, make_big_fleet
from benchmarks.processes import ROOT
from benchmarks.programs import all_measured
from benchmarks.screen_commit import latencies
from benchmarks.screen_idle import idle
from benchmarks.screen_start import environment_in, start_times
from tests.room.acme import fill_acme, fleet_text

BEGIN, END = "<!-- screen: begin -->", "<!-- screen: end -->"
LOGS = 900.0  # seconds that the bench of the logs may take


@dataclass(frozen=True, slots=True)
class Budget:
    """``found`` must not exceed ``limit``; with ``least``, not be below it."""

    words: str
    found: float
    limit: float
    unit: str
    least: bool = False

    @property
    def met(self) -> bool:
        return self.found >= self.limit if self.least else self.found <= self.limit


@dataclass(slots=True)
class ScreenResults:
    machine: str
    load: float
    budgets: list[Budget] = field(default_factory=list)
    programs: dict[str, dict[str, float] | str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Markdown."""
        lines = [f"Machine class: {self.machine}; load before the first measurement: {self.load:.1f}.", ""]
        lines += ["| what | found | goal | met |", "| --- | --- | --- | --- |"]
        for one in self.budgets:
            sign = "at least" if one.least else "at most"
            met = "yes" if one.met else "NO"
            lines.append(f"| {one.words} | {one.found:,.6g} {one.unit} | {sign} {one.limit:,g} {one.unit} | {met} |")
        lines += ["", "| program, 120x40 | screen drawn, ms | idle, bytes a second | idle, % of a core |"]
        lines.append("| --- | --- | --- | --- |")
        for name, told in self.programs.items():
            if isinstance(told, str):
                lines.append(f"| {name} | not measured: {told} | | |")
            else:
                lines.append(f"| {name} | " + " | ".join(f"{figure:,g}" for figure in told.values()) + " |")
        lines += ["", *(f"- {note}" for note in self.notes)]
        lines += ["", *(f"- not measured: {one}" for one in self.skipped)] if self.skipped else []
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        body = asdict(self) | {"budgets": [asdict(one) | {"met": one.met} for one in self.budgets]}
        path.write_text(json.dumps(body, indent=1) + "\n")

    def write_into(self, page: Path) -> None:
        """Between the page's two marks. Raises ValueError where they are missing."""
        text = page.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:begin]}\n{self.text()}\n{text[end:]}")


def measure(machine: str, say: Callable[[str], None], *, quick: bool) -> ScreenResults:
    """One part after the other; a part that fails is said and leaves the others."""
    results = ScreenResults(machine, os.getloadavg()[0])
    directory = Path(tempfile.mkdtemp(prefix="qd-bench-"))
    try:
        for name, part in (
            ("start", _start),
            ("idle", _idle),
            ("commit", _commit),
            ("picture", _picture),
            ("logs", _logs),
        ):
            say(f"the screen: {name}")
            try:
                place = directory / name
                place.mkdir()
                part(results, place, quick)
            except (OSError, TimeoutError, ValueError, KeyError, subprocess.SubprocessError) as error:
                results.skipped.append(f"{name}: {str(error)[:300]}")
        say("the screen: other programs")
        results.programs |= all_measured(_a_log(directory), environment_in(directory), 3.0 if quick else 10.0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return results


def _start(results: ScreenResults, place: Path, quick: bool) -> None:
    for services, events in ((10, 20_000), (100, 50_000 if quick else 1_000_000)):
        fleet = make_big_fleet(place / str(services), Size(services=services, events=events))
        told = start_times(fleet, environment_in(place), (80, 24), 3 if quick else 10)
        results.raw[f"start, {services} services"] = told
        medians = told["milliseconds"]
        assert isinstance(medians, dict)
        ratio = medians["keys"] / medians["minimal live"]
        results.budgets.append(
            Budget(f"first paint, {services} services in 5 environments", medians["first paint"], 80, "ms")
        )
        results.budgets.append(
            Budget(f"takes keys / a minimal Textual application, {services} services", round(ratio, 2), 1.3, "x")
        )
        if services == 10:
            results.notes += [
                f"Python alone: its first byte after {medians['python']:g} ms",
                f"a minimal Textual application takes a key after {medians['minimal live']:g} ms",
                f"qd, 10 services: paints after {medians['first paint']:g} ms, takes a key after {medians['keys']:g} ms, "
                f"says LIVE (its observer has asked hosts) after {medians['live']:g} ms",
            ]


def _acme(place: Path) -> tuple[Path, dict[str, str]]:
    fill_acme(place / "state")
    fleet = place / "fleet.yml"
    fleet.write_text(fleet_text(place / "state"))
    return fleet, environment_in(place)


def _idle(results: ScreenResults, place: Path, quick: bool) -> None:
    fleet, environment = _acme(place)
    command = [sys.executable, "-m", "quarterdeck.tui.main", "--fleet", str(fleet), "production/api"]
    for words, size, slow, limit in (
        ("80x24", (80, 24), False, 800.0),
        ("120x40", (120, 40), False, 1500.0),
        ("120x40 --slow", (120, 40), True, 150.0),
    ):
        told = idle([*command, *(["--slow"] if slow else [])], environment, size, 8.0 if quick else 30.0)
        results.raw[f"idle, {words}"] = told
        results.budgets.append(Budget(f"idle, {words}: to the terminal", told["bytes a second"], limit, "bytes/s"))
        results.budgets.append(Budget(f"idle, {words}: processor", told["percent of a core"], 1.5, "% of a core"))


def _commit(results: ScreenResults, place: Path, quick: bool) -> None:
    for rooms in (1, 20):
        fresh = place / str(rooms)
        fresh.mkdir()
        fleet, environment = _acme(fresh)
        told = latencies(fleet, fresh / "state", environment, rooms, 20 if quick else 100)
        results.raw[f"commit, {rooms} rooms"] = told
        results.budgets.append(Budget(f"commit to screen, {rooms} open: p99", told["p99"], 80, "ms"))


def _picture(results: ScreenResults, place: Path, quick: bool) -> None:  # noqa: ARG001 - a part
    command = [
        sys.executable,
        "-m",
        "benchmarks.picture",
        "--hosts",
        "100",
        "--events",
        "50000" if quick else "1000000",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, cwd=ROOT)
    told = results.raw["picture, 500 hosts"] = json.loads(done.stdout)
    words = "100 services, 5 environments, 500 hosts: the whole picture"
    results.budgets.append(Budget(words, told["picture"]["median"], 50, "ms"))


def _logs(results: ScreenResults, place: Path, quick: bool) -> None:
    file = place / "logs.json"
    command = [sys.executable, "-m", "benchmarks.screen_logs", "--json", str(file), *(["--quick"] if quick else [])]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=LOGS, cwd=ROOT)
    told: Mapping[str, Any] = json.loads(file.read_text())
    results.raw["logs"] = told
    flood, screen = told["taken in"][3], told["screen"]
    idle_keys, flooded = screen["keys"]["idle"], screen["keys"]["100000 lines/s"]
    results.budgets += [
        Budget("key to paint, idle: p50", round(idle_keys["p50 ms"], 1), 8, "ms"),
        Budget("key to paint, idle: p99", round(idle_keys["p99 ms"], 1), 30, "ms"),
        Budget("key to paint under 100k lines/s: p50", round(flooded["p50 ms"], 1), 10, "ms"),
        Budget("key to paint under 100k lines/s: p99", round(flooded["p99 ms"], 1), 50, "ms"),
        Budget("processor under 100k lines/s", round(flooded["share of a core"] * 100, 1), 20, "% of a core"),
        Budget(
            "log lines taken in, of 150k/s offered", round(flood["taken in a second"]), 100_000, "lines/s", least=True
        ),
        Budget("memory with a million lines", round(screen["resident MB at a million lines"]), 100, "MB"),
        Budget("filter, many lines pass: seen", round(screen["filter that many lines pass, ms"]), 100, "ms"),
    ]
    rare = screen["filter that one of a million passes, ms"]
    for name, figures in told["other programs"].items():
        if isinstance(figures, dict) and "first match ms" in figures:
            results.budgets.append(
                Budget(
                    f"first match, one line of a million: qd / {name}",
                    round(rare / figures["first match ms"], 2),
                    1,
                    "x",
                )
            )
        else:
            results.skipped.append(f"{name}, first match: {figures['not measured']}")


def _a_log(directory: Path) -> Path:
    file = directory / "some.log"
    file.write_text("".join(f"2026-11-24T14:32:07Z INFO GET /api/orders/{n} 200\n" for n in range(10_000)))
    return file
