"""What a playground has on engines: which engine, and under which word, is written down before anything is made there, so that whoever
comes after a kill finds it and takes it away."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.playground.layout import write_atomically

FILE: Final = ".engines"
_CLEARING: Final = 80.0  # seconds; what is done in that time has deadlines of its own


class Trace(msgspec.Struct, frozen=True):
    """``socket``: the engine's path; ``word``: as in ``EngineHost``."""

    socket: str
    word: str


def read(directory: Path) -> tuple[Trace, ...]:
    """Those that are not known to be gone; none where nothing was ever made."""
    try:
        return tuple(msgspec.json.decode((directory / FILE).read_bytes(), type=list[Trace]))
    except (OSError, msgspec.MsgspecError):
        return ()


def write(directory: Path, traces: Sequence[Trace]) -> None:
    if traces:
        write_atomically(directory / FILE, json.dumps([msgspec.structs.asdict(trace) for trace in traces]) + "\n")
    else:
        (directory / FILE).unlink(missing_ok=True)


def clear_all(traces: Sequence[Trace]) -> dict[Trace, BackendError]:
    """Takes them away; gives those that may still be there, each with why."""
    if not traces:
        return {}
    from quarterdeck.backends.playground.engine_clearing import clear  # slow to import, and seldom needed
    from quarterdeck.backends.playground.engine_errand import Errand

    errands = {trace: Errand(partial(clear, trace.socket, trace.word)) for trace in traces}
    left: dict[Trace, BackendError] = {}
    for trace, errand in errands.items():
        try:
            errand.result(_CLEARING)
        except BackendError as error:
            left[trace] = error
    return left
