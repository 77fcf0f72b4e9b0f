"""Saves the lines that pass a filter to a file: for this user only, and never over another file."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from quarterdeck.rollouts.logs.spool import Level, Line, Spool
from quarterdeck.tui.room.logs.marks import Mark, clock
from quarterdeck.tui.room.logs.sieve import Sieve

PIECE: Final = 4096  # lines
TRIES: Final = 100


class NotSaved(Exception):
    """One sentence: why, and what to do."""


def default_name(target: str, now: datetime) -> str:
    return f"{target.replace('/', '-')}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.log"


def create(wanted: str, default: str) -> tuple[int, Path]:
    """A new file, opened for writing (0600). ``wanted``: as typed; empty or a directory: a new name in it is found."""
    try:
        path = Path(wanted).expanduser().absolute() if wanted else Path.cwd()
    except RuntimeError:
        raise NotSaved(f"nothing was saved: {wanted}: there is no such home directory; name another file") from None
    inside = not wanted or path.is_dir()
    base = path / default if inside else path
    for number in range(1, TRIES if inside else 2):
        place = base if number == 1 else base.with_name(f"{base.stem}-{number}{base.suffix}")
        try:
            return os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), place
        except FileExistsError:
            continue
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "no file can have that name"
            raise NotSaved(f"nothing was saved: {place}: {why}; name another file with :save-logs PATH") from error
    raise NotSaved(f"nothing was saved: {base} exists already and is left as it is; name another file")


def save(descriptor: int, spool: Spool, sieve: Sieve, hosts: tuple[str, ...], least: int, marks: list[Mark]) -> int:
    """Writes the lines from ``least`` on that pass, and closes the file; how many there were. Raises OSError."""
    count = 0
    left = sorted(marks, key=lambda mark: (mark.at or 0, mark.time), reverse=True)
    with open(descriptor, "w", encoding="utf-8", errors="replace") as file:
        for line in _lines(spool, sieve, least):
            while left and (left[-1].at or 0) <= line.number:
                mark = left.pop()
                file.write(f"==== mark {clock(mark.time)} {mark.text} ====\n")
            file.write(saved_line(line, hosts))
            count += 1
        for mark in reversed(left):
            file.write(f"==== mark {clock(mark.time)} {mark.text} ====\n")
    return count


def _lines(spool: Spool, sieve: Sieve, least: int) -> Iterator[Line]:
    at = max(least, spool.floor)
    while at < spool.head:
        block = spool.block(at, at + PIECE)
        for index in sieve.kept(block):
            yield block.line(index)
        at = max(at, spool.floor) + PIECE


def saved_line(line: Line, hosts: tuple[str, ...]) -> str:
    when = datetime.fromtimestamp(line.time // 1000, UTC)
    host = hosts[line.host] if line.host < len(hosts) else "?"
    body = f"-- {line.body} --" if line.level is Level.NOTICE else line.body
    return f"{when:%Y-%m-%dT%H:%M:%S}.{line.time % 1000:03}Z {host} {body}\n"
