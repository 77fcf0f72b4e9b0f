"""Requests without a pause while something is done to a service, counted by what became of them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NOBODY_LISTENS: Final = ("refused:", "reset", "broken: timed out", "answered: b''")
"""Through a published port, while its proxy goes or comes: nobody listens, or the connection is cut, or left lying."""
_PROGRAM: Final = Path(__file__).parent / "backends/docker/load.py"


class Answers(dict[str, int]):
    """How many there were of each. ``order``: as they came, one of many in a row."""

    order: list[str]


@contextmanager
def load(where: Sequence[str], name: str, port: int) -> Iterator[Answers]:
    """The answers, once it has ended."""
    command = [*where, sys.executable, str(_PROGRAM), name, str(port)]
    counted = Answers()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield counted
    finally:
        output, _ = process.communicate("", timeout=20)
        found, counted.order = json.loads(output)
        counted.update(found)
