"""``python -m benchmarks.run``: deploys and rollbacks on 5, 20 and 50 sshd hosts, every way measured in turn in one run.

Uses loopback only; ends every process and removes every file that it made, also when it is interrupted.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import service
from benchmarks.fleet import Hosts, floor_spec, start_hosts, write_fleet_file
from benchmarks.journal_share import journal_share
from benchmarks.others import OtherRows, Tool, available
from benchmarks.processes import ROOT, Cost, MeasuredFailed, Server, cost_of, end_marked, prepare_environment
from benchmarks.report import ARMED, COLD, CONNECTING, FLOOR, Results, Sample
from tests.sshd import free_port

BASE = "v000"  # what every rollback goes back to
TARGET = "bench/app"


class Bench:
    """The measurements on one number of hosts."""

    def __init__(
        self, directory: Path, hosts: Hosts, count: int, results: Results, program: str, others: Sequence[Tool] = ()
    ) -> None:
        self.directory = directory / str(count)
        self.program = program
        self.artifacts = directory / "artifacts"
        self.hosts = hosts
        self.count = count
        self.results = results
        self.output = self.directory / "output"
        self.fleet_file = self.directory / "qd" / "fleet.yml"
        self._specs: dict[str, Path] = {}
        self._counts = True  # False: what is done is not kept as a result
        self.directory.mkdir()
        self._others = OtherRows(others, self.directory, lambda base: self._spec(f"{base}-{count}"))

    def _spec(self, base: str) -> dict[str, object]:
        return floor_spec(self.hosts, self.count, self.artifacts, base, port=free_port())

    def measure(self, rounds: int, *, only_floor: bool, warm_up: bool) -> None:
        for base in ("open", "cold"):
            spec = self.directory / f"{base}.json"
            spec.write_text(json.dumps(self._spec(f"floor-{base}-{self.count}")))
            self._specs[base] = spec
        floor = Server(
            [sys.executable, "-m", "benchmarks.floor", str(self._specs["open"])], self.directory / "floor.log"
        )
        try:
            floor.ask(f"deploy {BASE}")
            self._connecting("deploy", BASE)
            if not only_floor:
                write_fleet_file(self.fleet_file, self.hosts, self.count, self.artifacts, port=free_port())
                self._qd("deploy", TARGET, BASE, "--wait")
            for name, error in self._others.prepare(BASE).items():
                self._leave_out(name, error)
            for number in range(0 if warm_up else 1, rounds + 1):
                say(f"{self.count} hosts, " + (f"round {number} of {rounds}" if number else "warming up"))
                self._counts = number > 0
                self._round(floor, f"v{2 * number + 1:03d}", f"v{2 * number + 2:03d}", only_floor)
        finally:
            floor.close()
        if not only_floor and self.count == 20:
            seconds = self.results.median(self.count, "deploy", COLD)
            assert seconds is not None
            self.results.journal = journal_share(self.fleet_file, self.directory / "replay", seconds) | {
                "hosts": self.count
            }

    def _round(self, floor: Server, version: str, next_version: str, only_floor: bool) -> None:
        for action, to in (("deploy", version), ("rollback", BASE)):
            self._keep(action, FLOOR, self._connected, floor, action, to)
            self._keep(action, CONNECTING, self._connecting, action, to)
        # What the floor has unpacked stays until the end: ext4 does not give the inodes of files that were removed within the last
        # minute to new files, and looks at each of them in turn, which made whoever unpacked next pay several times over.
        for name in self._others.names():
            try:
                for action, to in (("deploy", version), ("rollback", BASE)):
                    self._keep(action, name, self._others.act, name, action, to)
            except MeasuredFailed as error:
                self._others.leave_out(name)
                self._leave_out(name, error)
        if only_floor:
            return
        self._keep("deploy", COLD, self._qd, "deploy", TARGET, version, "--wait")
        self._keep("rollback", COLD, self._qd, "rollback", TARGET, "--yes", "--wait")
        self._keep("deploy", COLD, self._qd, "deploy", TARGET, next_version, "--wait")
        self._keep("rollback", ARMED, self._armed)

    def _keep(self, action: str, method: str, act: Callable[..., Cost], *words: object) -> None:
        os.sync()  # what the one before wrote is not paid by this one
        before = self.hosts.used(self.count)
        cost = act(*words)
        after = self.hosts.used(self.count)
        if not self._counts:
            return
        self.results.add(
            self.count,
            action,
            method,
            Sample(
                seconds=cost.seconds,
                tool_cpu=cost.cpu,
                hosts_cpu=after.cpu - before.cpu,
                peak_command=cost.peaks[0],
                peak_worker=cost.peaks[1],
                executions=max(b - a for a, b in zip(before.executions, after.executions, strict=True)),
            ),
        )

    def _leave_out(self, name: str, error: MeasuredFailed) -> None:
        """What is not ours may fail without taking the other rows with it."""
        say(f"{name} is left out: {error}")
        self.results.leave_out(self.count, name, str(error).strip().splitlines()[-1][:200])

    def _connected(self, floor: Server, action: str, version: str) -> Cost:
        told = floor.ask(f"{action} {version}")
        return Cost(told["seconds"], told["cpu"], (int(told["peak"]), 0), "")

    def _connecting(self, action: str, version: str) -> Cost:
        command = [sys.executable, "-m", "benchmarks.floor", str(self._specs["cold"]), action, version]
        return cost_of(command, self.output)

    def _qd(self, *words: str) -> Cost:
        return cost_of([self.program, *words], self.output, {"QD_FLEET": str(self.fleet_file)})

    def _armed(self) -> Cost:
        """Seconds and CPU from ``go`` to the end only; memory and executions of everything."""
        cost = cost_of([sys.executable, "-m", "benchmarks.armed", str(self.fleet_file), TARGET], self.output)
        told = json.loads(cost.output.splitlines()[-1])
        if self._counts:
            self.results.arming.setdefault(self.count, []).append(told["arming"])
        cpu = told["own_cpu"] + (told["worker_cpu"] or 0.0)
        return Cost(told["seconds"], cpu, cost.peaks, cost.output)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cores} cores shared by hosts and tool, {memory:.0f} GiB, {system}"


def _numbers(text: str) -> list[int]:
    numbers = [int(word) for word in text.split(",")]
    if not all(1 <= number <= 200 for number in numbers):
        raise argparse.ArgumentTypeError("between 1 and 200 hosts")
    return numbers


def _leave(*_: object) -> None:
    raise KeyboardInterrupt


def _screen(file: Path, *, quick: bool, write_docs: bool) -> int:
    from benchmarks.screen_all import measure

    try:
        results = measure(machine(), say, quick=quick)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    file = file.with_name("bench-screen.json") if file.name == "bench.json" else file
    results.write(file)
    if write_docs:
        results.write_into(ROOT / "docs" / "performance.md")
    print(results.text())
    say(f"written: {file}")
    return 0


def _scale(chosen: argparse.Namespace) -> int:
    from benchmarks.scale import measure

    try:
        results = measure(machine(), say, quick=chosen.quick, program=chosen.qd)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    file = chosen.json.with_name("bench-scale.json") if chosen.json.name == "bench.json" else chosen.json
    results.write(file)
    if chosen.write_docs:
        results.write_into(ROOT / "docs" / "performance.md")
    print(results.text())
    say(f"written: {file}")
    return 0


def _docker(chosen: argparse.Namespace) -> int:
    from benchmarks.docker_all import measure

    try:
        results = measure(machine(), say, rounds=chosen.rounds, quick=chosen.quick, program=chosen.qd)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    file = chosen.json.with_name("bench-docker.json") if chosen.json.name == "bench.json" else chosen.json
    results.write(file)
    if chosen.write_docs:
        results.write_into(ROOT / "docs" / "performance.md")
    print(results.text())
    say(f"written: {file}")
    return 0


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """``--quick`` decides about ``hosts`` and ``rounds``; ends the process where the words make no sense."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--hosts", type=_numbers, default=[5, 20, 50], help="numbers of hosts (5,20,50), 200 at most")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (3)")
    parser.add_argument(
        "--quick", action="store_true", help="5 and 20 hosts, one round: shows that it runs, measures little"
    )
    parser.add_argument(
        "--others",
        action="store_true",
        help="also ssh + xargs, fabric and pyinfra; those of PyPI are installed under build/ first",
    )
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/performance.md")
    parser.add_argument("--screen", action="store_true", help="the control room in place of deploys and rollbacks")
    parser.add_argument("--docker", action="store_true", help="Docker engines in place of SSH hosts (as root)")
    parser.add_argument("--routers", action="store_true", help="what clients notice behind routers (as root)")
    parser.add_argument("--swarm", action="store_true", help="a Docker Swarm beside its own way back (as root)")
    parser.add_argument("--journal", action="store_true", help="what reads a journal of a million events")
    parser.add_argument("--scale", action="store_true", help="fleets of 500 and 5,000 hosts, most of them in memory")
    parser.add_argument("--only-floor", action="store_true", help="without qd")
    parser.add_argument(
        "--json", type=Path, default=ROOT / "build" / "bench.json", help="where the figures go (build/bench.json)"
    )
    parser.add_argument(
        "--qd", default=str(Path(sys.executable).with_name("qd")), help="the qd that is measured (of this environment)"
    )
    chosen = parser.parse_args(words)
    if chosen.others and (chosen.screen or chosen.docker):
        parser.error(
            "--others is about deploys and rollbacks over SSH, --screen about the control room, --docker about engines"
        )
    if chosen.screen + chosen.docker + chosen.scale > 1:
        parser.error("--screen, --docker and --scale: one after the other")
    if chosen.others and chosen.scale:
        parser.error("--others is about deploys and rollbacks over SSH, --scale about fleets")
    chosen.rounds = max(1, chosen.rounds)
    if chosen.quick:
        chosen.hosts, chosen.rounds = [5, 20], 1
    return chosen


def main() -> int:
    chosen = arguments()
    sizes, rounds = chosen.hosts, chosen.rounds
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    if chosen.screen:
        return _screen(chosen.json, quick=chosen.quick, write_docs=chosen.write_docs)
    if chosen.docker:
        return _docker(chosen)
    if chosen.scale:
        return _scale(chosen)
    if chosen.routers:
        from benchmarks import routed

        page = ROOT / "docs" / "performance.md" if chosen.write_docs else None
        return routed.run(machine(), say, chosen.json, page, chosen.rounds)
    if chosen.swarm:
        from benchmarks import swarm

        page = ROOT / "docs" / "performance.md" if chosen.write_docs else None
        return swarm.run(machine(), say, chosen.json, page, chosen.rounds)
    if chosen.journal:
        from benchmarks import long_journal

        page = ROOT / "docs" / "performance.md" if chosen.write_docs else None
        return long_journal.run(
            machine(), say, chosen.json, page, events=100_000 if chosen.quick else long_journal.EVENTS
        )
    tools = service.tools()
    results = Results(machine(), rounds)
    directory = Path(tempfile.mkdtemp(prefix="qd-bench-"))
    prepare_environment(directory)
    hosts: Hosts | None = None
    status = 0
    try:
        others = available(results.notes) if chosen.others else []
        say("making tarballs and hosts")
        service.write_artifacts(
            directory / "artifacts", [BASE, *(f"v{number:03d}" for number in range(1, 2 * rounds + 3))]
        )
        hosts = start_hosts(directory, max(sizes))
        seen_from = "on the host" if hosts.own_names else "from here (root is needed to ask on each host)"
        results.notes.append(f"the service is {tools.words}; qd asks for health {seen_from}, the floor on the host")
        # Other work on the machine shows here, and in the distance from the least to the most of a row.
        results.notes.append(f"load of the machine before the first measurement: {os.getloadavg()[0]:.1f}")
        for count in sizes:
            Bench(directory, hosts, count, results, chosen.qd, others).measure(
                rounds, only_floor=chosen.only_floor, warm_up=count == sizes[0]
            )
    except KeyboardInterrupt:
        say("interrupted: cleaning up")
        status = 130
    except MeasuredFailed as error:
        say(f"the benchmark failed: {error}")
        status = 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # cleaning up is not interrupted
        end_marked()
        if hosts is not None:
            hosts.close()
        shutil.rmtree(directory, ignore_errors=True)
    if status == 0:
        results.write(chosen.json)
        if chosen.write_docs:
            results.write_into(ROOT / "docs" / "performance.md")
        print(results.text())
        say(f"written: {chosen.json}")
    return status


if __name__ == "__main__":
    sys.exit(main())
