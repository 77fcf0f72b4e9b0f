"""What is fuzzed: a function from any bytes to nothing, which raises ``AssertionError`` where what it promises does not hold, and lets
through whatever the product raises though it should not. The same targets run under hypothesis and under atheris."""

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import msgspec


class Target(msgspec.Struct, frozen=True):
    """``seeds``: inputs of the right form, which are damaged. ``longest``: bytes of an input. ``examples``: so many inputs in every run of
    the tests, and ten times as many with ``QD_TRUST=full``."""

    name: str
    promise: str
    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]] = tuple
    longest: int = 4096
    examples: int = 100


class Choices:
    """An input read as a row of decisions; when it is used up, each further one is the first of its possibilities."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        """A number from 0, smaller than ``count`` (at most 65536)."""
        width = 1 if count <= 256 else 2
        taken = self._data[self._at : self._at + width]
        self._at += width
        return int.from_bytes(taken) % count if count > 0 else 0

    def one(self, possible: Sequence[object]) -> object:
        return possible[self.below(len(possible))]

    def word(self, most: int = 40) -> str:
        """Text of any characters, also of such as no UTF-8 has."""
        taken = self._data[self._at :][: self.below(most + 1)]
        self._at += len(taken)
        return taken.decode("utf-8", "surrogateescape")

    def rest(self) -> bytes:
        taken, self._at = self._data[self._at :], len(self._data)
        return taken


@cache
def scratch() -> Path:
    """A directory for files of inputs, removed when the process ends."""
    directory = Path(tempfile.mkdtemp(prefix="qd-fuzz-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails where what is inside takes longer of a processor: that of other programs does not count."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < seconds, f"it took {took:.1f} s of a processor, and {seconds:g} s are allowed"


def text_of(data: bytes) -> str:
    return data.decode("utf-8", "replace")
