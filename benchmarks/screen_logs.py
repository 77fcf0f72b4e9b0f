"""``python -m benchmarks.screen_logs``: what the logs of the control room cost, from a file on a real SSH host to the screen of a
real terminal: lines a second, keys under a flood, memory at a million lines, the first match beside lnav and toolong.

Uses loopback only; ends every process and removes every file that it made.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.processes import end_marked, prepare_environment
from benchmarks.programs import PROGRAMS
from benchmarks.programs import found as programs_found
from quarterdeck.rollouts.logs.spool import Level
from quarterdeck.tui.room.logs.collecting import Collecting, Wanted
from tests.field import TARGET, Field
from tests.sshd import start_fleet

SIZE: Final = (120, 40)
TICK: Final = os.sysconf("SC_CLK_TCK")
MILLION: Final = 1_000_000
ONLY: Final = "the-only-one-of-them"  # what one line of the million has
# Characters that stand in no log line: each is typed once, and seen on the screen once.
TYPED: Final = "абвгдежзийклмнопрстуфхцчшщъыьэюя"

FLOOD = """
import sys, time
path, rate, seconds, only = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
with open(path, "ab", buffering=0) as file:
    begin, done, total = time.monotonic(), 0, int(rate * seconds)
    while done < total:
        due = min(int((time.monotonic() - begin) * rate), total)
        if due > done:
            now = time.time()
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
            file.write("".join(
                f"{stamp} {'ERROR' if n % 50 == 0 else 'INFO'} 'GET /api/orders/{n} HTTP/1.1' 200 {n % 97}.3ms"
                f"{' ONLY' if n == only else ''}\\n" for n in range(done, due)
            ).encode())
            done = due
        time.sleep(0.005)
print(time.monotonic() - begin)
""".replace("ONLY", ONLY)


class Screen:
    """A program on a pseudo-terminal whose bytes are kept with the time at which they came, and not interpreted."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.received = bytearray()
        self.count = 0
        self._change = threading.Condition()
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(command[0], list(command), {**environment, "TERM": "xterm-256color"})
            finally:
                os._exit(127)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._master], [], [], 1.0)
            if not ready:
                continue
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:
                return
            if not data:
                return
            with self._change:
                self.received += data
                self.count += len(data)
                self._change.notify_all()

    def send(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def clear(self) -> None:
        with self._change:
            self.received.clear()

    def wait(self, text: str, deadline: float = 30.0) -> float:
        """Until ``text`` is among the bytes since the last ``clear``; gives the time. TimeoutError."""
        wanted = text.encode()
        with self._change:
            if not self._change.wait_for(lambda: wanted in self.received, deadline):
                raise TimeoutError(f"{text!r} did not come within {deadline:g} s: {bytes(self.received[-2000:])!r}")
        return time.monotonic()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self._master)


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid: int) -> float:
    """MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


@contextlib.contextmanager
def flood(file: Path, rate: int, seconds: float, only: int = -1) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-c", FLOOD, str(file), str(rate), str(seconds), str(only)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            yield writer
        finally:
            writer.kill()


def taken_in(field: Field, file: Path, rate: int, seconds: float) -> dict[str, float]:
    """How much of a flood comes through the collector, how late, and what it costs. No screen."""
    collecting = Collecting(field.file)
    try:
        wanted = Wanted(TARGET)
        end = time.monotonic() + 30
        while collecting.spool is None or not collecting.spool.look():
            collecting.look_after(wanted, {})
            if time.monotonic() > end:
                raise TimeoutError("the collector gave no line")
            time.sleep(0.05)
        time.sleep(1.5)
        spool, pid = collecting.spool, collecting.pid
        assert pid is not None
        spool.look()
        begin, before = spool.head, cpu(pid)
        lags = []
        began = time.monotonic()
        with flood(file, rate, seconds) as writer:
            while writer.poll() is None:
                spool.look()
                if spool.head > begin:
                    lags.append(time.time() - spool.time_of(spool.head - 1) / 1000)
                time.sleep(0.1)
        wrote = time.monotonic() - began
        while spool.look():
            time.sleep(0.3)
        notices = [
            line.text
            for first in range(max(begin, spool.floor), spool.head, 50_000)
            for line in spool.block(first, first + 50_000).lines()
            if line.level is Level.NOTICE
        ]
        lost = sum(int(text.split()[0]) for text in notices if "were lost" in text)
        half = len(lags) // 2
        return {
            "offered": rate,
            "written a second": rate * seconds / wrote,
            "taken in a second": (spool.head - begin - len(notices)) / wrote,
            "lost and said": lost,
            "unaccounted": rate * seconds - lost - (spool.head - begin - len(notices)),
            "lag p50 s, first half": statistics.median(lags[:half] or [0.0]),
            "lag p50 s, second half": statistics.median(lags[half:] or [0.0]),
            "collector's share of a core": (cpu(pid) - before) / wrote,
        }
    finally:
        collecting.close()


def on_the_screen(field: Field, file: Path, rates: Sequence[int], seconds: float) -> dict[str, Any]:
    """Keys under a flood, then a million lines: memory, and the first match of a filter."""
    environment = {**os.environ, "XDG_STATE_HOME": str(field.directory / "xdg")}
    environment.pop("TMUX", None)
    screen = Screen([*field.command(), TARGET], environment)
    results: dict[str, Any] = {}
    try:
        screen.wait("LIVE")
        screen.send("3")
        screen.wait("begins")
        time.sleep(2.0)
        results["keys"] = {"idle": keys(screen)}
        for rate in rates:
            with flood(file, rate, seconds + 3):
                time.sleep(1.5)
                used, sent, began = cpu(screen.pid), screen.count, time.monotonic()
                measured = keys(screen)
                spent = time.monotonic() - began
                measured["share of a core"] = (cpu(screen.pid) - used) / spent
                measured["kB/s to the terminal"] = (screen.count - sent) / spent / 1000
            results["keys"][f"{rate} lines/s"] = measured
            time.sleep(2.0)
        with flood(file, 40_000, MILLION / 40_000, only=1000) as writer:
            writer.wait()
        time.sleep(5.0)
        results["resident MB at a million lines"] = resident(screen.pid)
        screen.clear()
        screen.send("/")
        time.sleep(0.5)
        screen.clear()
        began = time.monotonic()
        screen.send("orders")  # what many lines have
        results["filter that many lines pass, ms"] = (screen.wait("/orders/") - began) * 1000
        screen.send("\x15")  # the line is empty again
        time.sleep(3.0)
        screen.clear()
        began = time.monotonic()
        screen.send(ONLY[:12])  # what one line has, a million lines ago
        results["filter that one of a million passes, ms"] = (screen.wait("GET /api/orders/1000 ", 60) - began) * 1000
        return results
    finally:
        screen.close()


def keys(screen: Screen) -> dict[str, float]:
    """From a key to its character on the screen, on the command line."""
    screen.send(":")
    time.sleep(0.3)
    took = []
    for _ in range(2):
        for typed in TYPED:
            screen.clear()
            began = time.monotonic()
            screen.send(typed)
            took.append((screen.wait(typed) - began) * 1000)
            time.sleep(0.07)
        screen.send("\x15")
        time.sleep(0.3)
    screen.send("\x1b")
    time.sleep(0.3)
    took.sort()
    return {"p50 ms": statistics.median(took), "p99 ms": took[int(len(took) * 0.99)]}


def others(directory: Path) -> dict[str, Any]:
    """The first match of one line in a million, in other programs, on a file of the same lines. Not toolong: what its find line shows
    can't be told from a match in the bytes that it draws."""
    file = directory / "million.log"
    with file.open("w") as out:
        for number in range(MILLION):
            said = f" {ONLY}" if number == 1000 else ""
            out.write(f"2026-11-24T14:32:07.{number % 1000:03}Z INFO 'GET /api/orders/{number} HTTP/1.1' 200{said}\n")
    found: dict[str, Any] = {}
    for name, command, opened, search in (("lnav", ["-q", str(file)], "999999", f"/{ONLY}\r"),):
        program = next(each for each in PROGRAMS if each.name == name)
        try:
            screen = Screen([str(programs_found(program)), *command], {**os.environ, "HOME": str(directory)})
        except OSError as error:
            found[name] = {"not measured": str(error)[:200]}
            continue
        try:
            began = time.monotonic()
            found[name] = {"opened ms": (screen.wait(opened, 20) - began) * 1000}
            time.sleep(3.0)
            found[name]["resident MB"] = resident(screen.pid)
            screen.clear()
            began = time.monotonic()
            screen.send(search)
            found[name]["first match ms"] = (screen.wait("orders/1000", 20) - began) * 1000
        except (TimeoutError, OSError, IndexError) as error:
            found.setdefault(name, {})["not measured"] = str(error)[:200]
        finally:
            screen.close()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.screen_logs", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter floods")
    parser.add_argument("--only", choices=("collector", "screen", "others"), help="one part of it")
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(arguments)
    seconds = 6.0 if chosen.quick else 20.0
    directory = Path(tempfile.mkdtemp(prefix="qd-bench-"))
    prepare_environment(directory)
    fleet = start_fleet(directory / "hosts", 1)
    results: dict[str, Any] = {"load of the machine before": os.getloadavg()[0], "cores": len(os.sched_getaffinity(0))}
    try:
        place = directory / "field"
        place.mkdir()
        field = Field(place, fleet, service={"logs": {"files": ["~/bench/*.log"]}})
        file = fleet.hosts[0].directory / "home" / "bench" / "service.log"
        file.parent.mkdir()
        file.write_text("2026-11-24T14:31:59.000Z INFO begins\n")
        field.deploy("v1")
        if chosen.only in (None, "collector"):
            results["taken in"] = [taken_in(field, file, rate, seconds) for rate in (10_000, 50_000, 100_000, 150_000)]
        file.write_text("2026-11-24T14:31:59.000Z INFO begins\n")
        if chosen.only in (None, "screen"):
            results["screen"] = on_the_screen(field, file, (10_000, 100_000), 12.0)
        if chosen.only in (None, "others"):
            results["other programs"] = others(directory)
    finally:
        end_marked()
        fleet.close()
        subprocess.run(["rm", "-rf", str(directory)], check=False)
    print(json.dumps(results, indent=1))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
