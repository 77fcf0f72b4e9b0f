"""Starts what is measured and sees to it that nothing of it outlives the benchmark."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 300.0  # seconds, of one measured command with everything that it leaves behind
_MARK = "QD_BENCHMARK"
_TOKEN = secrets.token_hex(8)


class MeasuredFailed(Exception):
    """A measured command did not do its work; the message has the end of its output."""


@dataclass(frozen=True, slots=True)
class Cost:
    """``seconds`` from the start of the process to its end; ``cpu`` with every process it started; ``peaks`` of resident memory in bytes:
    the command's own, then the worker's (0: there was none)."""

    seconds: float
    cpu: float
    peaks: tuple[int, int]
    output: str


def prepare_environment(directory: Path) -> None:
    """Everything that is started from here on carries this run's mark, and finds compiled modules as an installed program does."""
    os.environ[_MARK] = _TOKEN
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "compiled")


def end_marked() -> None:
    """Ends every process that carries the mark, but for this one."""
    wanted = f"{_MARK}={_TOKEN}".encode()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                with contextlib.suppress(OSError):
                    if wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                        left.append(int(entry))
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def cost_of(command: Sequence[str], output: Path, environment: dict[str, str] | None = None) -> Cost:
    """Runs ``command`` to its end and until the processes that it left behind have ended. Raises ``MeasuredFailed``."""
    program = [sys.executable, "-I", "-S", str(ROOT / "benchmarks" / "measured.py"), str(output), *command]
    ran = subprocess.run(
        program,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONGEST,
        check=False,
    )
    text = output.read_text(errors="replace") if output.exists() else ""
    if ran.returncode != 0:
        raise MeasuredFailed(f"{' '.join(command)}: {ran.stderr.decode(errors='replace')[-2000:]}")
    told: dict[str, Any] = json.loads(ran.stdout)
    if told["status"] != 0:
        raise MeasuredFailed(f"{' '.join(command)} ended with {told['status']}:\n{text[-2000:]}")
    first = max((one["peak"] for one in told["processes"] if one["first"]), default=0)
    other = max((one["peak"] for one in told["processes"] if not one["first"]), default=0)
    return Cost(told["seconds"], sum(one["cpu"] for one in told["processes"]), (first, other), text)


class Server:
    """A process that answers each line with a line of JSON, within a deadline."""

    def __init__(self, command: Sequence[str], errors: Path) -> None:
        self._errors = errors
        with errors.open("wb") as file:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, start_new_session=True
            )
        self._answer()

    def ask(self, line: str) -> dict[str, Any]:
        """Raises ``MeasuredFailed`` when the process ended instead of answering."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        # The process itself ends at its own deadline, and the line is then empty.
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise MeasuredFailed(f"the floor ended early:\n{self._errors.read_text(errors='replace')[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=5)
