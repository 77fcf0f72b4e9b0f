"""Other full-screen programs, for their start and what they send while nothing is done. What can't be had or opened is left out, with
the reason."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import installed
from benchmarks.screen import Watched

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
    return installed(program.name, program.command, program.package)


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
