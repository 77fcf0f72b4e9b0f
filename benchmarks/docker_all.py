"""What Docker costs, in one run: deploy and rollback beside the engine's own time, and a hundred containers watched: ``make bench
ARGS=--docker``."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.docker_fleet import Engines
from benchmarks.docker_rollouts import ALONE, ARMED, COLD, GAP, RolloutFigures, measure_rollouts, versions
from benchmarks.docker_watch import watched
from benchmarks.processes import MeasuredFailed, end_marked, prepare_environment
from benchmarks.screen_all import Budget

BEGIN, END = "<!-- docker: begin -->", "<!-- docker: end -->"
SIZES: Final = [1, 3]  # engines
OVERHEAD = 1.10  # of a deploy, over the engine's own time
LATER = 0.3  # seconds that a rollback may take longer than the start of the kept containers
WATCHING, WATCHING_MEMORY, SEEN = 15.0, 150.0, 1.0  # % of a core, MB, seconds from a change to the journal


@dataclass(slots=True)
class DockerResults:
    machine: str
    load: float
    rounds: int
    figures: RolloutFigures = field(default_factory=RolloutFigures)
    watched: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def budgets(self) -> list[Budget]:
        found = []
        for size in sorted({key[0] for key in self.figures.seconds if key[1] == "rollback"}):
            where = f"{size} engine" + ("s" if size > 1 else "")
            ratio = self._armed(size, "deploy") / self.figures.median(size, "deploy", ALONE)
            found.append(Budget(f"deploy on {where}: until healthy / the engine alone", round(ratio, 3), OVERHEAD, "x"))
            later = self._armed(size, "rollback") - self.figures.median(size, "rollback", ALONE)
            found.append(Budget(f"rollback on {where}: later than `docker start`", round(later, 3), LATER, "s"))
        if (1, GAP, ARMED) in self.figures.seconds:
            longer = self.figures.median(1, GAP, ARMED) - self.figures.median(1, GAP, ALONE)
            words = "rollback with a published port: nobody answers, longer than with `docker stop` and `docker start`"
            found.append(Budget(words, round(longer, 3), LATER, "s"))
        if self.watched:
            count = self.watched["containers"]
            words = f"{count} containers watched: "
            found += [
                Budget(
                    f"{words}the observer's processor", self.watched["observer, % of a core"], WATCHING, "% of a core"
                ),
                Budget(
                    f"{words}the observer's memory, at most", self.watched["memory at most, MB"], WATCHING_MEMORY, "MB"
                ),
            ]
            found += [
                Budget(f"{words}one {kind}: in the journal after, at most", told["most"], SEEN, "s")
                for kind, told in self.watched["seen after, s"].items()
            ]
        return found

    def _armed(self, size: int, action: str) -> float:
        return self.figures.median(size, action, ARMED, drained=False)

    def text(self) -> str:
        """Markdown."""
        lines = [
            f"Machine class: {self.machine}; load before the first measurement: {self.load:.1f}; medians of {self.rounds} rounds (least to "
            "most).",
            "",
        ]
        lines += ["| action | engines | what | seconds | until healthy |", "| --- | --- | --- | --- | --- |"]
        for (size, action, what), seconds in sorted(self.figures.seconds.items(), key=_in_order):
            middle = self.figures.median(size, action, what)
            healthy = f"{self._armed(size, action):.3f}" if what == ARMED and action != GAP else ""
            spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
            lines.append(f"| {action} | {size} | {what} | **{middle:.3f}** {spread} | {healthy} |")
        if self.watched:
            lines += ["", *(f"- {note}" for note in self._watching())]
        lines += [f"- {note}" for note in self.notes]
        lines += [f"- not measured: {one}" for one in self.skipped]
        lines += ["", "| goal | found | limit | met |", "| --- | --- | --- | --- |"]
        for one in self.budgets():
            met = "yes" if one.met else "NO"
            lines.append(f"| {one.words} | {one.found:,.6g} {one.unit} | at most {one.limit:,g} {one.unit} | {met} |")
        return "\n".join(lines)

    def _watching(self) -> list[str]:
        told = self.watched
        seen = "; ".join(
            f"{kind} after {one['median']:g} s (at most {one['most']:g})" for kind, one in told["seen after, s"].items()
        )
        observer = f"{told['observer, % of a core']:g} % of a core and {told['memory, MB']:g} MB"
        engine = (
            f"{told['engine, % of a core']:g} % of a core, for {told['calls a second']:g} calls of its API a second"
        )
        return [
            f"{told['containers']} containers of as many targets on one engine, each looked at every 10 s with its health check: "
            f"the observer takes {observer}, the engine {engine}",
            "one of them open, looked at every 2 s: "
            + "; ".join(
                f"with {words} on the screen the observer takes {one['observer, % of a core']:g} %, the engine "
                f"{one['engine, % of a core']:g} % of a core, for {one['calls a second']:g} calls a second"
                for words, one in told["one open"].items()
            ),
            f"from a change on the engine until it is in the journal: {seen}",
        ]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {
                "engines": size,
                "action": action,
                "what": what,
                "seconds": seconds,
                "drains": self.figures.drains[size, action, what],
            }
            for (size, action, what), seconds in sorted(self.figures.seconds.items(), key=_in_order)
        ]
        body = {
            "machine": self.machine,
            "load": self.load,
            "rounds": self.rounds,
            "rollouts": rows,
            "watched": self.watched,
            "notes": self.notes,
            "not measured": self.skipped,
            "goals": [asdict(one) | {"met": one.met} for one in self.budgets()],
        }
        path.write_text(json.dumps(body, indent=1) + "\n")

    def write_into(self, page: Path) -> None:
        """Between the page's two marks. Raises ValueError where they are missing."""
        text = page.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:begin]}\n{self.text()}\n{text[end:]}")


def _in_order(item: tuple[tuple[int, str, str], object]) -> tuple[str, int, int]:
    (size, action, what), _ = item
    return action, size, (ALONE, ARMED, COLD).index(what)


def measure(machine: str, say: Callable[[str], None], *, rounds: int, quick: bool, program: str) -> DockerResults:
    """A part that fails is said, and leaves the other one. Raises what starting an engine raises."""
    rounds = 1 if quick else rounds
    results = DockerResults(machine, os.getloadavg()[0], rounds)
    directory = Path(tempfile.mkdtemp(prefix="qd-bench-"))
    prepare_environment(directory)
    engines: Engines | None = None
    try:
        say("starting a registry and engines")
        engines = Engines(directory)
        engines.start(max(SIZES), versions(rounds, len(SIZES)))
        results.notes.append(
            f"engine {engines.hosts['box-1'].client.version()['Version']}, {max(SIZES)} of them on the same machine as qd"
        )
        with _part(results, "deploy and rollback", say):
            measure_rollouts(results.figures, engines, directory, SIZES, rounds, program, say)
        with _part(results, "watching", say):
            count = 20 if quick else 100
            told = watched(engines, directory / "watched", count, 10.0 if quick else 30.0, 1 if quick else 5)
            results.watched = {"containers": count, **told}
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted
        if engines is not None:
            engines.close()  # before what carries the run's mark is ended: engines are ended with their mounts
        end_marked()
        shutil.rmtree(directory, ignore_errors=True)
    return results


@contextmanager
def _part(results: DockerResults, name: str, say: Callable[[str], None]) -> Iterator[None]:
    say(f"Docker: {name}")
    try:
        yield
    except (OSError, TimeoutError, ValueError, LookupError, MeasuredFailed) as error:
        results.skipped.append(f"{name}: {str(error)[-300:]}")
