"""Other full-screen programs, for their start and what they send while nothing is done. Those of PyPI are put into an environment of
their own under build/, for this bench alone; what can't be had or opened is left out, with the reason."""

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT
from benchmarks.screen import Watched

PLACE = ROOT / "build" / "bench-programs"
INSTALL = 300.0  # seconds for one of them
QUIET = 0.7  # seconds without a byte after which a program is taken to have drawn its first screen
OPENED = 20.0  # seconds
DRAWN = 400  # bytes that a screen has at least: less is what a program says before it, or in place of it


@dataclass(frozen=True, slots=True)
class Program:
    """``package``: on PyPI, empty for one of the system. ``words``: behind the name; ``{file}`` is a log file."""

    name: str
    command: str
    words: tuple[str, ...] = ()
    package: str = ""


PROGRAMS = (
    Program("htop", "htop"),
    Program("lnav", "lnav", ("-q", "{file}")),
    Program("posting", "posting", package="posting"),
    Program("harlequin", "harlequin", package="harlequin"),
    Program("dolphie", "dolphie", package="dolphie"),
    Program("toolong", "tl", ("{file}",), package="toolong"),
)


def found(program: Program) -> Path:
    """Where it is; installed first if it can be. Raises OSError with the reason."""
    if not program.package:
        where = shutil.which(program.command)
        if where is None:
            raise OSError("not installed on this machine")
        return Path(where)
    # Each in an environment of its own: they want different releases of the same libraries.
    place = PLACE / program.name
    where_in = place / "bin" / program.command
    if not where_in.exists():
        try:
            subprocess.run(
                [sys.executable, "-m", "venv", "--clear", place], check=True, capture_output=True, timeout=60
            )
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
            subprocess.run([*pip, program.package], check=True, capture_output=True, text=True, timeout=INSTALL)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"not installed within {INSTALL:g} s") from error
        except subprocess.CalledProcessError as error:
            said = str(error.stderr or "").strip().splitlines()
            raise OSError(f"not installable: {said[-1][:120] if said else error}") from error
        if not where_in.exists():
            raise OSError(f"the package has no {program.command}")
    return where_in


def measured(program: Program, file: Path, environment: Mapping[str, str], seconds: float) -> dict[str, float]:
    """Milliseconds to the first bytes and to a screen that stands still, bytes a second afterwards. Raises OSError."""
    command = [str(found(program)), *(word.format(file=file) for word in program.words)]
    with Watched(command, environment=environment, size=(120, 40)) as watched:
        end = time.perf_counter() + OPENED
        drawn: list[tuple[float, int]] = []
        while time.perf_counter() < end and not (
            len(watched.drawn) > DRAWN and time.perf_counter() - watched.last > QUIET
        ):
            if watched.read(0.05):
                drawn.append((watched.last - watched.began, len(watched.drawn)))
        full = [moment for moment, size in drawn if size > DRAWN]
        if not full:
            raise OSError(f"drew no screen within {OPENED:g} s")
        watched.drain(2.0)
        used, sent = watched.processor_seconds(), watched.drain(seconds)
        return {
            "screen ms": round(full[0] * 1000, 1),
            "bytes a second": round(sent / seconds, 1),
            "percent of a core": round((watched.processor_seconds() - used) / seconds * 100, 2),
        }


def all_measured(file: Path, environment: Mapping[str, str], seconds: float) -> dict[str, dict[str, float] | str]:
    """By name; a sentence where it could not be measured."""
    told: dict[str, dict[str, float] | str] = {}
    for program in PROGRAMS:
        try:
            told[program.name] = measured(program, file, environment, seconds)
        except (OSError, ValueError) as error:
            told[program.name] = str(error) or type(error).__name__
    return told
