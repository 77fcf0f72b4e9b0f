"""Makes this machine's Docker engine a host of the playground, where there is one that can run its container; beside everything else,
within a deadline. Whatever is in the way is told in words: a playground never fails for want of an engine.
"""

import contextlib
import hashlib
import socket
import time
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.playground.engine_place import NoEngine, engine_socket, patience
from quarterdeck.backends.playground.engine_traces import Trace
from quarterdeck.backends.playground.layout import EngineHost

if TYPE_CHECKING:
    from quarterdeck.backends.playground.engine_errand import Errand

WAITING: Final = 15.0  # seconds from the start of the playground, times ``patience``
_LEAVING: Final = 8.0
_WORD: Final = 6  # hexadecimal digits
_PORTS: Final = range(17000, 32000)  # below those that the kernel gives to clients


class Preparing:
    """Begins with the ``with`` statement, whose end leaves nothing under way but tidying up. ``mark``: the secret word of the playground's
    marker."""

    def __init__(self, directory: Path, mark: str) -> None:
        self._directory = directory
        self._word = hashlib.sha256(mark.encode()).hexdigest()[:_WORD]
        self._waiting = WAITING * patience()
        self._end = time.monotonic() + self._waiting
        self._errand: Errand[None] | None = None
        self._ready: Future[None] = Future()
        self._socket = ""

    def __enter__(self) -> Self:
        try:
            self._socket = engine_socket()
        except NoEngine as reason:
            self._ready.set_exception(reason)
            return self
        from quarterdeck.backends.playground.engine_errand import Errand  # slow to import, and seldom needed

        self._errand = Errand(self._prepare)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._errand is not None and not self._ready.done():
            self._errand.give_up(_LEAVING)

    async def _prepare(self) -> None:
        try:
            from quarterdeck.backends.playground.engine_images import make_ready

            await make_ready(self._directory, Trace(self._socket, self._word), self._ready)
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def outcome(self) -> tuple[EngineHost | None, str]:
        """The engine as a host, or why there is none. Waits for it, no longer than ``WAITING`` allows."""
        try:
            self._ready.result(max(0.1, self._end - time.monotonic()))
            return EngineHost(self._socket, self._word, _free_port(self._word)), ""
        except NoEngine as reason:
            return None, str(reason)
        except TimeoutError:
            return None, f"the Docker engine at {self._socket} was not ready within {self._waiting:g} s"
        except Exception as error:  # whatever an engine of another make may answer: the SSH hosts come up
            problem = error.problem if isinstance(error, BackendError) else repr(error)
            return None, f"the Docker engine at {self._socket}: {problem}"


def _free_port(word: str) -> int:
    """A port of 127.0.0.1 that is free now; the engine takes it when the first release starts."""
    first = int(word, 16)  # playgrounds that start at the same moment look at different ones
    for number in range(len(_PORTS)):
        port = _PORTS[(first + number) % len(_PORTS)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port of 127.0.0.1 is free")
