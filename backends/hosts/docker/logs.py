"""Follows a container's log over restarts of it and of its engine: each line once, bounded memory, lost lines counted."""

import asyncio
import contextlib
import threading
import urllib.parse
from collections import Counter, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import docker
import docker.errors
import requests

from quarterdeck.backends.errors import BackendError, CommandTimedOut, EngineRefused, Unreachable
from quarterdeck.backends.hosts.contract import LogBatch
from quarterdeck.backends.hosts.docker.events import Cut, EngineEvent, Resync, pause
from quarterdeck.backends.text_cleaning import clean_lines

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_LINES_WAITING: Final = 20_000
_LONGEST_LINE: Final = 64 * 1024
_LONGEST_TIME: Final = 64
_CHUNK: Final = 64 * 1024
_HEAD: Final = 8  # bytes before each piece: which of the two outputs, three zeros, the piece's length
_ERROR: Final = 3
_ANSWER: Final = 20.0


class Lines:
    """Read in a thread, taken on the loop; outlives the streams that it is read from, so that it knows what came already.

    A reader that is too slow loses the oldest lines, counted. ``whose``, of a line: what its source says of it; nothing here.
    """

    def __init__(self, lines: int, since: str) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[bytes, bytes, bytes]] = deque()  # whose, time, text
        self._dropped: Counter[bytes] = Counter()
        self._told = False
        self._tail = str(max(0, lines))
        self._since = _seconds(since) if since else ""
        self._last = b""  # the time of the last line
        self._of_last = 0  # how many lines had that time: lines are asked for again from there on
        self._skip = 0
        self._cut = False  # as in ``ssh.logs``, of a container with a terminal
        self._begun: dict[int | tuple[int, bytes], tuple[bytes, bytes, bytearray]] = {}  # lines without an end as yet
        self.came = False  # a line has come by the stream of now

    def read(self, client: docker.APIClient, path: str, tty: bool, follow: bool) -> Iterator[None]:
        """Asks at once, at ``path`` of the engine's API. Yields each time that lines wait and nobody was told."""
        asked = self._asked() | {"stdout": 1, "stderr": 1, "timestamps": 1, "follow": int(follow)}
        self._begin()
        self.came, self._cut = False, False
        self._begun.clear()
        response = client.get(f"{client.base_url}/v{client.api_version}{path}", params=asked, stream=True)
        try:
            response.raise_for_status()
        except requests.exceptions.HTTPError as error:
            docker.errors.create_api_error_from_http_exception(error)
        return self._pieces(response, tty)

    def _asked(self) -> dict[str, Any]:
        if self._last:
            return {"since": _seconds(self._last.decode()), "tail": "all"}
        return {"tail": self._tail} | ({"since": self._since} if self._since else {})

    def _begin(self) -> None:
        """A stream begins, with what has come already of the last moment."""
        self._skip = self._of_last

    def _pieces(self, response: requests.Response, tty: bool) -> Iterator[None]:
        rest = bytearray()
        with contextlib.closing(response):
            for chunk in response.raw.stream(_CHUNK, decode_content=False):
                rest += chunk
                (self._plain if tty else self._framed)(rest)
                if self._to_be_told():
                    yield None
            if tty and rest:
                self._line(bytes(rest))
            for whose, time, text in self._begun.values():
                self._add(whose, time, bytes(text))
            self._begun.clear()
            if self._to_be_told():
                yield None

    def _to_be_told(self) -> bool:
        with self._lock:
            if self._told or not (self._waiting or self._dropped):
                return False
            self._told = True
            return True

    def _plain(self, rest: bytearray) -> None:
        """Of a container with a terminal: both outputs are one, and lines are all that there is."""
        whole, broken, left = bytes(rest).rpartition(b"\n")
        if broken and self._cut:
            _, broken, whole = whole.partition(b"\n")
            self._cut = False
        if broken:
            for line in whole.split(b"\n"):
                self._line(line)
        rest[:] = b"" if self._cut else left
        if len(rest) > _LONGEST_LINE + _LONGEST_TIME:
            self._line(bytes(rest))
            rest.clear()
            self._cut = True

    def _line(self, line: bytes) -> None:
        time, _, text = line.partition(b" ")
        self._add(b"", time, text.removesuffix(b"\r"))

    def _framed(self, rest: bytearray) -> None:
        at = 0
        while len(rest) - at >= _HEAD:
            end = at + _HEAD + int.from_bytes(rest[at + 4 : at + _HEAD])
            if len(rest) < end:
                break
            if rest[at] == _ERROR:
                raise OSError(bytes(rest[at + _HEAD : end]).decode("utf-8", "replace"))
            self._piece(rest[at], bytes(rest[at + _HEAD : end]))
            at = end
        del rest[:at]

    def _piece(self, output: int, piece: bytes) -> None:
        time, _, text = piece.partition(b" ")
        self._part(output, b"", time, text)

    def _part(self, output: int | tuple[int, bytes], whose: bytes, time: bytes, text: bytes) -> None:
        """A line, or a part of a long one: engines cut them after 16 KiB, and put a time before each part."""
        begun = self._begun.get(output)
        if begun is None:
            if text.endswith(b"\n"):
                self._add(whose, time, text[:-1])
            else:
                self._begun[output] = whose, time, bytearray(text)
            return
        if len(begun[2]) < _LONGEST_LINE:
            begun[2].extend(text)
        if text.endswith(b"\n"):
            del self._begun[output]
            self._add(whose, begun[1], bytes(begun[2]).removesuffix(b"\n"))

    def _add(self, whose: bytes, time: bytes, text: bytes) -> None:
        if self._skip and time <= self._last:
            self._skip -= time == self._last
            return
        self._skip = 0
        self.came = True
        self._of_last = self._of_last + 1 if time == self._last else 1
        self._last = time
        self._keep(whose, time, text)

    def _keep(self, whose: bytes, time: bytes, text: bytes) -> None:
        with self._lock:
            self._waiting.append((whose, time, text[:_LONGEST_LINE]))
            while len(self._waiting) > _LINES_WAITING:
                self._dropped[self._waiting.popleft()[0]] += 1

    @property
    def mark(self) -> str:
        """Where it was read to: the time of the last line, "-" without one, and how many lines have that time."""
        return f"{self._last.decode('ascii', 'replace') or '-'} {self._of_last}"

    def go_on(self, mark: str) -> None:
        """From ``mark`` on: all that came since."""
        last, _, of_last = mark.partition(" ")
        self._tail = "all"
        if last != "-":
            self._last, self._of_last = last.encode(), int(of_last)

    def taken(self, host: str) -> LogBatch | None:
        """What waits; None: nothing does."""
        return next(iter(self.taken_of_each(host).values()), None)

    def taken_of_each(self, host: str) -> dict[bytes, LogBatch]:
        """The same by whose it is."""
        with self._lock:
            lines, dropped = list(self._waiting), self._dropped
            self._waiting.clear()
            self._dropped, self._told = Counter(), False
        found: dict[bytes, list[tuple[bytes, bytes]]] = {}
        for whose, time, text in lines:
            found.setdefault(whose, []).append((time, text))
        for whose in dropped:
            found.setdefault(whose, [])
        return {whose: _batch(host, own, dropped[whose]) for whose, own in found.items()}


def _batch(host: str, lines: list[tuple[bytes, bytes]], dropped: int) -> LogBatch:
    texts = clean_lines([text.decode("utf-8", "replace") for _, text in lines])
    return LogBatch(host, texts, [_short(time.decode("ascii", "replace")) for time, _ in lines], dropped)


def path_of(container: str) -> str:
    """Of its log in the engine's API."""
    return f"/containers/{urllib.parse.quote(container, safe='')}/logs"


async def follow_container(
    engine: "Engine", container: str, *, lines: int, follow: bool, since: str
) -> AsyncGenerator[LogBatch, None]:
    """Ends when all was read, or with ``follow`` when the container was removed. Raises ``EngineRefused`` (404: no such container) and,
    before the first answer, ``Unreachable``; later it is tried again for as long as somebody reads."""
    action = f"read the log of {container}"
    read = Lines(lines, since)
    answered, tries = False, 0
    while True:
        try:
            seen = await _inspect(engine, action, container)
            container = str(seen["Id"])  # from now on this one, not one that is given its name later
            tty = bool(seen["Config"]["Tty"])

            def begin(client: docker.APIClient, container: str = container, tty: bool = tty) -> Iterator[None]:
                return read.read(client, path_of(container), tty, follow)

            async with aclosing(engine.stream(action, begin)) as tokens:
                async for _ in tokens:
                    answered = True
                    batch = read.taken(engine.host)
                    if batch is not None:
                        yield batch
            answered = True
            if not follow or not await _runs_again(engine, container):
                return
        except EngineRefused as error:
            if follow and answered and error.status == 404:
                return
            if not (follow and answered and error.status >= 500):
                raise
        except (Unreachable, CommandTimedOut):
            if not (follow and answered) or engine.closed:
                raise
        # What was read before the stream broke is still told.
        batch = read.taken(engine.host)
        if batch is not None:
            yield batch
        tries = 0 if read.came else tries + 1
        await pause(tries)


async def _inspect(engine: "Engine", action: str, container: str) -> dict[str, Any]:
    seen: dict[str, Any] = await engine.call(
        action, lambda client: client.inspect_container(container), deadline=_ANSWER
    )
    return seen


async def _runs_again(engine: "Engine", container: str) -> bool:
    """Waits until the container runs; False: it was removed."""
    async with aclosing(engine.events({"type": ["container"], "container": [container]})) as happenings:
        async for happening in happenings:
            match happening:
                case Resync():
                    try:
                        seen = await _inspect(engine, "look whether it runs", container)
                    except EngineRefused as error:
                        if error.status == 404:
                            return False
                    except BackendError:
                        continue  # the events are cut then, too, and come again
                    else:
                        if seen["State"]["Running"]:
                            return True
                case EngineEvent(action="start"):
                    return True
                case EngineEvent(action="destroy"):
                    return False
                case EngineEvent() | Cut():
                    await asyncio.sleep(0)
    return False


def _seconds(time: str) -> str:
    """ "2026-11-28T23:30:00.123456789Z" as an engine takes it back: seconds since 1970 and all digits of the part."""
    whole, _, part = time.rstrip("Z").partition(".")
    return f"{int(datetime.fromisoformat(f'{whole}+00:00').timestamp())}.{part or 0:0<9}"


def _short(time: str) -> str:
    """To the millisecond, as other sources have it."""
    return f"{time[:23]}Z" if len(time) > 24 and time.endswith("Z") else time
