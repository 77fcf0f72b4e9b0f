"""A journal of a million events, written by the program's own writers, and how long what reads it takes: ``make bench ARGS=--journal``.

Some weeks of rollouts are played through the Journal's own methods, whole and in order: requested, armed, begun, steps, measured, ended,
rolled back, with notes between; many in a transaction, and none waits for the disk. The years after them are those weeks again, row by row,
with later times and further numbers, and every event is linked to the one before it as the Journal links it: the chain is valid, which the
audit's own row shows.
"""

import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from quarterdeck.backends.metrics.contract import Measurement
from quarterdeck.config.analyses import Analysis, CommandMetric, Metric
from quarterdeck.config.load import load_fleet
from quarterdeck.history.audit import verify
from quarterdeck.history.chain import link
from quarterdeck.history.feed import COLUMNS
from quarterdeck.history.journal import Journal
from quarterdeck.history.records import NewStep, Operator, RolloutKind, RolloutState, Step, StepState
from quarterdeck.rollouts.analysis.samples import Sample, to_stored
from quarterdeck.rollouts.measured import BEGUN, MEASURED
from quarterdeck.rollouts.picture.fleet import take_picture
from tests.cli.qd_command import release
from tests.room.acme import FrozenClock, frozen_clock

EVENTS: Final = 1_000_000
SERVICES: Final = 20
ENVIRONMENTS: Final = {"staging": ("st-1", "st-2"), "production": ("web-1", "web-2", "web-3", "web-4")}
MEASURED_OF_A_ROLLOUT: Final = 60
AT_ONCE: Final = 20  # rollouts in a transaction
DAYS: Final = 3 * 365
TIMES: Final = 20  # as often as what was played is there in all
ROUNDS: Final = 9
BUSY: Final = "by the processor alone"
BEGIN, END = "<!-- journal: begin -->", "<!-- journal: end -->"
WHO: Final = Operator("lena", 1000, None, "bastion-2")

_ROLLOUT: Final = (
    "id, target, kind, from_release, to_release, state, resumed_state, epoch, plan, plan_hash, options, requested_by, uid, reason,"
    " created, started, ended, ended_seq, outcome, nonce, boot_id, created_boottime"
)
_STEP: Final = "rollout, seq, host, action, batch, body, state, attempt, epoch, outcome, op_id, started, ended"
_OP_ID: Final = re.compile(r'("op_id":"[^"]*)"')

BUDGETS: Final = {
    "overview": 50.0,
    "history page, newest": 20.0,
    "history page, in the middle": 20.0,
    "history page of one target": 20.0,
    "audit verify": 10_000.0,
    "qd report": 1000.0,
    "qd report --json": 1000.0,
    "qd stats": 1000.0,
    "qd stats --by service": 1000.0,
}
"""Milliseconds. The commands are whole processes, from their start to their end."""


def make_long_journal(directory: Path, events: int = EVENTS, say: Callable[[str], None] = lambda _: None) -> Path:
    """Writes fleet file and journal into ``directory``; gives the fleet file."""
    directory.mkdir(parents=True, exist_ok=True)
    hosts = [host for every in ENVIRONMENTS.values() for host in every]
    services = [f"service-{number:02d}" for number in range(1, SERVICES + 1)]
    lines = ["fleet: long", f"state: {directory / 'state'}", "hosts:"]
    lines += [f'  {host}: {{ssh: "deploy@127.0.0.1:{number}"}}' for number, host in enumerate(hosts, 1)]
    lines += ["environments:"]
    lines += [f"  {name}: {{hosts: [{', '.join(hosts)}]}}" for name, hosts in ENVIRONMENTS.items()]
    lines += ["services:"]
    for service in services:
        lines += [f'  {service}:\n    artifact: {{tarball: "/artifacts/{service}-{{version}}.tar.gz"}}']
        lines += [f"    path: /srv/{service}\n    commands: {{start: bin/start, stop: bin/stop}}"]
    file = directory / "fleet.yml"
    file.write_text("\n".join(lines) + "\n")
    with frozen_clock() as wall, Journal.open(directory / "state", operator=WHO) as journal:
        journal._connection.execute("PRAGMA synchronous=OFF")
        played = max(events // TIMES, 1)
        play = _Play(journal, wall, services, played, timedelta(days=DAYS) / TIMES)
        while play.seq < played:
            journal.together(play.some)
            say(f"{play.seq:,} events played")
        again = _Again(journal, timedelta(days=DAYS) / TIMES)
        while journal.head()[0] < events:
            journal.together(again.once)
            say(f"{journal.head()[0]:,} of {events:,} events")
        journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


class _Again:
    """All that was played, once more, later. Releases stay: the same ones go out again."""

    def __init__(self, journal: Journal, apart: timedelta) -> None:
        self.journal = journal
        self._apart = apart
        self._round = 0
        self._last = {
            table: int(journal._rows(f"SELECT max({column}) FROM {table}")[0][0])
            for table, column in (("event", "seq"), ("rollout", "id"))
        }

    def once(self) -> None:
        self._round += 1
        events, rollouts = (self._last[table] * self._round for table in ("event", "rollout"))
        later, suffix = self._apart * self._round, f".{self._round}"
        write = self.journal._connection.executemany
        write(
            f"INSERT INTO rollout ({_ROLLOUT}) VALUES ({', '.join('?' * _ROLLOUT.count(',') + '?')})",
            [
                (
                    id + rollouts,
                    *same,
                    *(_moved(time, later) for time in times),
                    seq + events,
                    outcome,
                    nonce + suffix,
                    *rest,
                )
                for id, *same, created, started, ended, seq, outcome, nonce, boot, at in self.journal._rows(
                    f"SELECT {_ROLLOUT} FROM rollout WHERE id <= ? ORDER BY id",
                    (self._last["rollout"],),
                )
                for times, rest in [((created, started, ended), (boot, at))]
            ],
        )
        write(
            f"INSERT INTO step ({_STEP}) VALUES ({', '.join('?' * _STEP.count(',') + '?')})",
            [
                (rollout + rollouts, *same, op_id + suffix, _moved(started, later), _moved(ended, later))
                for rollout, *same, op_id, started, ended in self.journal._rows(
                    f"SELECT {_STEP} FROM step WHERE rollout <= ? ORDER BY rollout, seq",
                    (self._last["rollout"],),
                )
            ],
        )
        write(
            f"INSERT INTO event ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            self._events(events, rollouts, later, suffix),
        )

    def _events(self, events: int, rollouts: int, later: timedelta, suffix: str) -> list[tuple[Any, ...]]:
        _, previous = self.journal.head()
        found = []
        rows = self.journal._rows(
            f"SELECT {COLUMNS} FROM event WHERE seq <= ? ORDER BY seq",
            (self._last["event"],),
        )
        for seq, time_, uid, who, kind, target, rollout, host, body, _ in rows:
            number = rollout + rollouts if rollout is not None else None
            time_ = _moved(time_, later)
            body = _OP_ID.sub(rf'\1{suffix}"', body)
            previous = link(previous, seq + events, time_, uid, who, kind, target, number, host, body)
            found.append((seq + events, time_, uid, who, kind, target, number, host, body, previous))
        return found


def _moved(time_: str | None, later: timedelta) -> Any:
    if time_ is None:
        return None
    return (datetime.fromisoformat(time_) + later).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Play:
    """One rollout after the other: to staging, then to production; some of them go wrong. ``seq``: the last event."""

    def __init__(self, journal: Journal, wall: FrozenClock, services: list[str], events: int, lasts: timedelta) -> None:
        self.journal = journal
        self.wall = wall
        self.services = services
        self.seq = 0
        self._random = random.Random(1)
        self._number = 0
        self._current: dict[str, str] = {}
        metric = Metric("errors", CommandMetric("bin/errors"), 10.0, count=MEASURED_OF_A_ROLLOUT)
        self._options = {"analyses": msgspec.to_builtins({"golden": Analysis("golden", (metric,))})}
        begins = datetime.now(UTC) - timedelta(days=DAYS)
        self._begins, self._of, self._lasts = begins, events, lasts

    def some(self) -> None:
        for _ in range(AT_ONCE):
            self._next()
        self.seq = self.journal.head()[0]

    def _next(self) -> None:
        self._number += 1
        version = f"v{self._number}"
        service = self.services[self._number % len(self.services)]
        for environment in ENVIRONMENTS:
            # Evenly over the years: an event's number says when it was.
            self.wall.moment = self._begins + self._lasts * min(self.journal.head()[0] / self._of, 1.0)
            fate = self._random.random()
            self._deploy(f"{environment}/{service}", version, went_wrong=fate < 0.05)
            if 0.05 <= fate < 0.1:
                self._roll_back(f"{environment}/{service}")
        if self._number % 3 == 0:
            self.journal.note(f"looked at {service}: nothing unusual", target=f"production/{service}")

    def _deploy(self, target: str, version: str, *, went_wrong: bool) -> None:
        journal, before = self.journal, self._current.get(target)
        made = journal.put_release(release(version, target=target))
        self._carry_out(target, RolloutKind.DEPLOY, before, made, went_wrong=went_wrong)
        if not went_wrong:
            self._current[target] = made

    def _roll_back(self, target: str) -> None:
        row = self.journal.last_good(target, other_than=self._current[target])
        if row is not None:
            self.wall.moment += timedelta(minutes=7)
            self._carry_out(target, RolloutKind.ROLLBACK, self._current[target], row.id, went_wrong=False)
            self._current[target] = row.id

    def _carry_out(self, target: str, kind: RolloutKind, before: str | None, to: str, *, went_wrong: bool) -> None:
        journal, hosts = self.journal, ENVIRONMENTS[target.partition("/")[0]]
        measures = kind is RolloutKind.DEPLOY and target.startswith("production/")
        reason, options = f"CHG-{self._number}", self._options if measures else {}
        armed = journal.arm(target, kind, from_release=before, to_release=to, reason=reason, options=options)
        plan: dict[str, Any] = {
            "summary": f"{len(hosts)} of {len(hosts)} hosts change",
            "warnings": [],
            "hosts": [{"host": host, "current": before, "error": None} for host in hosts],
        }
        journal.set_plan(armed.id, plan, "0" * 64, to_release=to, from_release=before)
        epoch = journal.begin(armed.id, preempt="nothing")
        every: list[tuple[str, str, dict[str, Any]]] = [
            (host, action, {"release": to}) for action in ("stage", "switch", "verify") for host in hosts
        ]
        if measures:
            body: dict[str, Any] = {"analyses": ["golden"], "release": to}
            every.insert(-len(hosts), ("(here)", "analysis", body))
        waves = {"stage": 1, "switch": 2, "analysis": 3, "verify": 4}
        steps = [NewStep(n, host, action, waves[action], body) for n, (host, action, body) in enumerate(every, 1)]
        journal.add_steps(armed.id, epoch, steps)
        for wave in sorted({step.batch for step in steps}):
            mine = [step for step in steps if step.batch == wave]
            [*_, last] = begun = journal.start_steps(armed.id, epoch, [step.seq for step in mine])
            if mine[0].action == "analysis":
                self._measure(target, armed.id, begun[0])
            self.wall.moment += timedelta(seconds=2)
            good: dict[str, Any] = {"health": "http 200", "seconds": 1.8}
            outcomes = [(step.seq, StepState.DONE, good) for step in mine]
            if went_wrong and wave == 4:
                outcomes[-1] = (last.seq, StepState.FAILED, {"error": "http 500"})
            journal.end_steps(armed.id, epoch, outcomes)
        end = RolloutState.ROLLED_BACK if went_wrong else RolloutState.SUCCEEDED
        journal.set_state(armed.id, epoch, end, outcome="a host answered http 500" if went_wrong else "")

    def _measure(self, target: str, rollout: int, step: Step) -> None:
        """As a canary does, beside the release before."""
        known = {"seq": step.seq, "op_id": step.op_id}
        self.journal.record(BEGUN, target=target, rollout=rollout, body={**known, "at": 100.0, "boot": "boot"})
        for number in range(MEASURED_OF_A_ROLLOUT):
            self.wall.moment += timedelta(seconds=10)
            canary, baseline = Measurement(value=self._random.random()), Measurement(value=self._random.random())
            sample = to_stored(Sample("errors", 100.0 + number * 10, canary, baseline))
            self.journal.record(MEASURED, target=target, rollout=rollout, body={**known, "samples": [sample]})


def figures(file: Path, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Milliseconds by name: the median, the least and the most of ``rounds`` (of the audit one), and of the processor the median."""
    fleet = load_fleet(file)
    found = {}
    with Journal.open(fleet.state, read_only=True) as journal:
        head = journal.head()[0]
        last = journal.rollouts(limit=1)[0]
        found["overview"] = _timed(lambda: take_picture(fleet, journal), rounds)
        pages = {
            "history page, newest": lambda: journal.events(limit=400, newest_first=True),
            "history page, in the middle": lambda: journal.events(limit=400, newest_first=True, before=head // 2),
            "history page of one target": lambda: journal.events(
                limit=400, newest_first=True, before=head // 2, target=last.target
            ),
        }
        for name, page in pages.items():
            found[name] = _timed(page, rounds)
        found["audit verify"] = _timed(lambda: _valid(journal), 1)
    for words in (("report", str(last.id), "--no-logs"), ("report", str(last.id), "--no-logs", "--json")):
        name = " ".join(["qd report", *words[3:]])
        found[name] = _timed(partial(_qd, file, *words), rounds)
    for more in ((), ("--by", "service")):
        found[" ".join(["qd stats", *more])] = _timed(partial(_qd, file, "stats", *more), rounds)
    return {name: found[name] for name in BUDGETS}


def _valid(journal: Journal) -> None:
    report = verify(journal)
    if not report.ok:
        raise AssertionError(report.faults[0])


def _qd(file: Path, *words: str) -> None:
    command = [sys.executable, "-m", "quarterdeck.tui.main", *words, "--fleet", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"NO_COLOR": "1"}, timeout=120)


def _timed(work: Callable[[], object], rounds: int) -> dict[str, float]:
    times, used = [], []
    for _ in range(rounds):
        before, begin = _processor(), time.perf_counter()
        work()
        times.append((time.perf_counter() - begin) * 1000)
        used.append((_processor() - before) * 1000)
    found = {"median": statistics.median(times), "least": min(times), "most": max(times)}
    return {name: round(value, 1) for name, value in (found | {"processor": statistics.median(used)}).items()}


def _processor() -> float:
    """Seconds that this process and the children that have ended used."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def table(found: dict[str, dict[str, float]], events: int, machine: str) -> str:
    load = f"load of the machine {os.getloadavg()[0]:.1f}"
    lines = [f"Machine class: {machine}, {load}; {events:,} events, milliseconds.", ""]
    lines += [
        "| what | median | least | most | processor | at most | met |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, times in found.items():
        met = "yes" if times["median"] <= BUDGETS[name] else BUSY if times["processor"] <= BUDGETS[name] else "NO"
        figures = " | ".join(f"{times[key]:g}" for key in ("median", "least", "most", "processor"))
        lines.append(f"| {name} | {figures} | {BUDGETS[name]:g} | {met} |")
    return "\n".join(lines)


def run(machine: str, say: Callable[[str], None], file: Path, page: Path | None, *, events: int = EVENTS) -> int:
    """Makes the journal, measures, prints, and writes the figures to ``file`` and into the page."""
    with tempfile.TemporaryDirectory(prefix="qd-bench-") as directory:
        begin = time.perf_counter()
        fleet_file = make_long_journal(Path(directory), events, say)
        say(f"written in {time.perf_counter() - begin:.0f} s; measuring")
        found = figures(fleet_file)
    text = table(found, events, machine)
    file = file.with_name("bench-journal.json") if file.name == "bench.json" else file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"machine": machine, "events": events, "figures": found, "budgets": BUDGETS}, indent=1))
    if page is not None:
        before = page.read_text()
        begins, ends = before.index(BEGIN) + len(BEGIN), before.index(END)
        page.write_text(f"{before[:begins]}\n{text}\n{before[ends:]}")
    print(text)
    say(f"written: {file}")
    return 0
