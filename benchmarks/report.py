"""What was measured, as JSON and as a table with ratios to the floor of the same run; says whether the goals are met."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

FLOOR = "floor: connected, one command"
CONNECTING = "asyncssh, connecting first"
ARMED = "qd, armed"
COLD = "qd, cold"
XARGS = "ssh + xargs"
FABRIC = "fabric"
PYINFRA = "pyinfra"
OURS = (ARMED, COLD)
OTHERS = (XARGS, FABRIC, PYINFRA)
METHODS = (FLOOR, CONNECTING, ARMED, COLD, *OTHERS)
MANY = 200  # hosts, where the worker's memory has a limit
MEMORY = 150.0  # MB, of the worker's process
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, slots=True)
class Sample:
    """One action on all hosts. Seconds; bytes; ``executions``: of the host with most of them; ``hosts_cpu``: of sshd and what it ran."""

    seconds: float
    tool_cpu: float
    hosts_cpu: float
    peak_command: int
    peak_worker: int
    executions: int


@dataclass(frozen=True, slots=True)
class Goal:
    """``found`` must not exceed ``limit``; both are ratios where they have no ``unit``."""

    words: str
    hosts: int
    found: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.found <= self.limit

    def row(self) -> str:
        """Of the table, without rounding a goal that is missed into one that is met."""
        unit = f" {self.unit}" if self.unit else ""
        found = f"{self.found:.0f}" if self.unit else f"{self.found:.2f}"
        if float(found) <= self.limit < self.found:
            found = f"{self.found:.4g}"
        return f"| {self.words} | {self.hosts} | {found}{unit} | {self.limit:g}{unit} | {'yes' if self.met else 'NO'} |"


@dataclass(slots=True)
class Results:
    machine: str
    rounds: int
    notes: list[str] = field(default_factory=list)
    samples: dict[tuple[int, str, str], list[Sample]] = field(default_factory=dict)  # by hosts, action, method
    arming: dict[int, list[float]] = field(default_factory=dict)  # seconds from arming to the plan, by hosts
    journal: dict[str, float] = field(default_factory=dict)

    def add(self, hosts: int, action: str, method: str, sample: Sample) -> None:
        self.samples.setdefault((hosts, action, method), []).append(sample)

    def median(self, hosts: int, action: str, method: str) -> float | None:
        found = self.samples.get((hosts, action, method))
        return statistics.median(sample.seconds for sample in found) if found else None

    def leave_out(self, hosts: int, method: str, reason: str) -> None:
        """Without its row on that number of hosts: figures of fewer rounds than the others' would be compared with theirs."""
        for action in ("deploy", "rollback"):
            self.samples.pop((hosts, action, method), None)
        self.notes.append(f"not measured on {hosts} hosts: {method}: {reason}")

    def quickest_other(self, hosts: int, action: str) -> tuple[str, float] | None:
        """The row and its median in seconds, of the tools that are not ours; None where none was measured."""
        found = [(median, name) for name in OTHERS if (median := self.median(hosts, action, name)) is not None]
        return (min(found)[1], min(found)[0]) if found else None

    def sizes(self) -> list[int]:
        return sorted({hosts for hosts, _, _ in self.samples})

    def goals(self) -> list[Goal]:
        goals = []
        for hosts in self.sizes():
            for action, method, against, limit in (
                ("rollback", ARMED, FLOOR, 1.5),
                ("rollback", COLD, CONNECTING, 1.25),
                ("deploy", COLD, CONNECTING, 1.25),
            ):
                ours, theirs = self.median(hosts, action, method), self.median(hosts, action, against)
                if ours is not None and theirs:
                    goals.append(Goal(f"{action}, {method} / {against}", hosts, ours / theirs, limit))
            for action, words in (("rollback", "cold rollback"), ("deploy", "deploy")):
                ours, other = self.median(hosts, action, COLD), self.quickest_other(hosts, action)
                if ours is not None and other is not None:
                    name, theirs = other
                    goals.append(Goal(f"{words} / quickest other tool ({name})", hosts, ours / theirs, 1.0))
        peak = self.peak_of_worker(MANY)
        if peak:
            goals.append(Goal("peak memory of the worker", MANY, peak / 1e6, MEMORY, "MB"))
        share = self.journal.get("share")
        if share is not None:
            goals.append(Goal("journal's share of a deploy", int(self.journal["hosts"]), share, 0.05))
        return goals

    def peak_of_worker(self, hosts: int) -> int:
        """Bytes, the most of every rollout on that number of hosts; 0 where none was measured."""
        ours = [samples for (count, _, method), samples in self.samples.items() if count == hosts and method in OURS]
        return max((sample.peak_worker for samples in ours for sample in samples), default=0)

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {
            "machine": self.machine,
            "rounds": self.rounds,
            "notes": self.notes,
            "samples": [
                {"hosts": hosts, "action": action, "method": method, "samples": [asdict(sample) for sample in samples]}
                for (hosts, action, method), samples in sorted(self.samples.items())
            ],
            "arming": {str(hosts): seconds for hosts, seconds in sorted(self.arming.items())},
            "journal": self.journal,
            "goals": [asdict(goal) | {"met": goal.met} for goal in self.goals()],
        }
        path.write_text(json.dumps(body, indent=1) + "\n")

    def write_into(self, page: Path) -> None:
        """Puts the text between the page's two marks. Raises ``ValueError`` where they are missing."""
        text = page.read_text()
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        page.write_text(f"{text[:begin]}\n{self.text()}\n{text[end:]}")

    def text(self) -> str:
        """A Markdown table and sentences, as docs/performance.md shows them."""
        lines = [f"Machine class: {self.machine}; medians of {self.rounds} rounds (least to most).", ""]
        header = ("action", "hosts", "what", "seconds", "/ floor", "CPU tool", "CPU hosts", "peak MB", "executions")
        rows = [list(header), ["---"] * len(header)]
        for action in ("rollback", "deploy"):
            for hosts in self.sizes():
                rows += self._rows(action, hosts)
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines += [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        ]
        lines.append("")
        for hosts, seconds in sorted(self.arming.items()):
            lines.append(
                f"- arming a rollback on {hosts} hosts (before `go`, while the dialog is read): {statistics.median(seconds):.2f} s"
            )
        if "share" in self.journal:
            lines.append(
                f"- journal, deploy on {self.journal['hosts']:.0f} hosts: {self.journal['writes']:.0f} transactions, "
                f"{self.journal['seconds'] * 1000:.0f} ms in all, {self.journal['share']:.1%} of its time"
            )
        lines += [f"- {note}" for note in self.notes]
        lines += ["", "| goal | hosts | found | limit | met |", "| --- | --- | --- | --- | --- |"]
        lines += [goal.row() for goal in self.goals()]
        return "\n".join(lines)

    def _rows(self, action: str, hosts: int) -> list[list[str]]:
        rows = []
        floor = self.median(hosts, action, FLOOR)
        for method in METHODS:
            samples = self.samples.get((hosts, action, method))
            if not samples:
                continue
            seconds = sorted(sample.seconds for sample in samples)
            middle = statistics.median(seconds)
            rows.append(
                [
                    action,
                    str(hosts),
                    method,
                    f"**{middle:.3f}** ({seconds[0]:.3f} to {seconds[-1]:.3f})",
                    f"{middle / floor:.2f}" if floor else "",
                    f"{_median([sample.tool_cpu for sample in samples]):.2f}",
                    f"{_median([sample.hosts_cpu for sample in samples]):.2f}",
                    " + ".join(
                        f"{peak / 1e6:.0f}"
                        for peak in (max(s.peak_command for s in samples), max(s.peak_worker for s in samples))
                        if peak
                    ),
                    str(max(sample.executions for sample in samples)),
                ]
            )
        return rows


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)
