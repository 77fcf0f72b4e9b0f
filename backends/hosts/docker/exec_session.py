"""A command of an operator's in the live container: its output as it comes, its input as it is typed.

An engine can't end such a command. It is therefore known by a mark in its environment, and ended by that from within the container.
"""

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import docker
import docker.errors
import requests

from quarterdeck.backends.errors import BackendError, CommandFailed, CommandTimedOut
from quarterdeck.backends.hosts.contract import Exited, Printed, Size, Terminal, Typed
from quarterdeck.backends.hosts.docker.looking import Container, look
from quarterdeck.backends.hosts.ending import MARK, ending, stop_typing

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_ASKING: Final = 20.0  # seconds for each question that is asked beside it
_ENDING: Final = 8.0
_PIECE: Final = 64 * 1024
_HEAD: Final = 8  # bytes before each piece: which of the two outputs, three zeros, the piece's length
NOTHING_BEGUN: Final = "Nothing was begun"


class _Attached:
    """The command's two ends: read in a thread of the engine's, written from the loop."""

    def __init__(self, container: str, command: Sequence[str], terminal: Terminal | None, *, typed: bool) -> None:
        self.mark = secrets.token_hex(8)
        self.id = ""
        self.begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._tty = terminal is not None
        environment = [f"{MARK}={self.mark}"]
        if terminal is not None:
            environment.append(f"TERM={terminal.kind}")
        self._container = container
        self._order = {
            "Cmd": list(command),
            "AttachStdin": typed,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": self._tty,
            "Env": environment,
        }
        self._size = terminal.size if terminal is not None else None

    def begin(self, client: docker.APIClient) -> Iterator[Printed]:
        base = f"{client.base_url}/v{client.api_version}"
        made = client.post(f"{base}/containers/{self._container}/exec", json=self._order)
        _judge(made)
        self.id = str(made.json()["Id"])
        # Taken over as a stream of its own, in both directions.
        response = client.post(
            f"{base}/exec/{self.id}/start",
            json={"Detach": False, "Tty": self._tty},
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
            stream=True,
        )
        _judge(response)
        raw: Any = response.raw
        reader = raw._fp.fp  # what is buffered behind the answer's head is output, too
        self._socket = reader.raw._sock
        if self._size is not None:
            self.resize(self._size, client)
        self._loop.call_soon_threadsafe(self.begun.set)
        return self._pieces(response, reader)

    def _pieces(self, response: requests.Response, reader: Any) -> Iterator[Printed]:
        rest = bytearray()
        with contextlib.closing(response), self._shut():
            while chunk := reader.read1(_PIECE):
                if self._tty:
                    yield Printed(chunk)
                    continue
                rest += chunk
                at = 0
                while len(rest) - at >= _HEAD:
                    end = at + _HEAD + int.from_bytes(rest[at + 4 : at + _HEAD])
                    if len(rest) < end:
                        break
                    yield Printed(bytes(rest[at + _HEAD : end]), rest[at] == 2)
                    at = end
                del rest[:at]

    @contextlib.contextmanager
    def _shut(self) -> Iterator[None]:
        """Whoever still writes stops waiting: a socket that is only closed keeps a writer for ever."""
        try:
            yield
        finally:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def resize(self, size: Size, client: docker.APIClient) -> None:
        with contextlib.suppress(docker.errors.APIError):  # it has ended meanwhile
            client.exec_resize(self.id, size.lines, size.columns)

    async def write(self, data: bytes) -> None:
        assert self._socket is not None
        await asyncio.to_thread(self._socket.sendall, data)

    def close_input(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)


def _judge(response: requests.Response) -> None:
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)


async def exec_in_container(
    engine: "Engine",
    target: str,
    command: Sequence[str],
    *,
    deadline: float | None,
    input: Typed | None,
    terminal: Terminal | None,
) -> AsyncGenerator[Printed | Exited, None]:
    """Raises as ``Connection.exec_in`` does."""
    action = f"run a command in {target}"
    begun = time.monotonic()
    judge_input(engine, action, input)
    container = await _live(engine, target, action)
    going = session_in(
        engine, container.id, action, command, begun=begun, deadline=deadline, input=input, terminal=terminal
    )
    async with aclosing(going) as pieces:
        async for piece in pieces:
            yield piece


async def session_in(
    engine: "Engine",
    container: str,
    action: str,
    command: Sequence[str],
    *,
    begun: float,
    deadline: float | None,
    input: Typed | None,
    terminal: Terminal | None,
) -> AsyncGenerator[Printed | Exited, None]:
    """``command`` in the container with that id. ``begun``: the monotonic time from which ``deadline`` counts. ``judge_input`` comes
    first. Raises as ``Connection.exec_in`` does."""
    end = None if deadline is None else begun + deadline
    attached = _Attached(container, command, terminal, typed=input is not None)
    typing = asyncio.create_task(_type(engine, attached, input), name=f"input of a command on {engine.host}")
    ended = False
    try:
        async with aclosing(engine.stream(action, attached.begin)) as pieces:
            try:
                while True:
                    try:
                        async with asyncio.timeout(None if end is None else max(0.0, end - time.monotonic())):
                            piece = await anext(pieces)
                    except StopAsyncIteration:
                        break
                    yield piece
            except TimeoutError:
                raise CommandTimedOut(
                    engine.host, action, f"it was ended after {deadline:g} s", exit_status=124
                ) from None
            finally:
                typing.cancel()
        status = await _status(engine, attached, action)
        ended = True
        yield Exited(status)
    finally:
        if attached.id and not ended:
            await _end(engine, container, attached.mark)
        await stop_typing(typing)


def judge_input(engine: "Engine", action: str, input: Typed | None) -> None:
    """Raises ``BackendError`` where a command there can't be given any."""
    if input is not None and engine.encrypted:
        raise BackendError(
            engine.host,
            action,
            "an engine that is reached over TLS can't be told where the input ends",
            left=NOTHING_BEGUN,
            advice="give it no standard input (</dev/null), or reach the engine as ssh://…",
        )


async def _live(engine: "Engine", target: str, action: str) -> Container:
    seen = await look(engine, target, action, deadline=_ASKING)
    container = seen.live if seen.live is not None and seen.live.runs else next(iter(seen.running), None)
    if container is None:
        raise CommandFailed(
            engine.host,
            action,
            "no container of it runs there",
            exit_status=None,
            left=NOTHING_BEGUN,
            advice=f"deploy a release, or see why it stopped: qd logs {target}",
        )
    return container


async def _type(engine: "Engine", attached: _Attached, input: Typed | None) -> None:
    """Ends with the command; one that reads no input is no fault."""
    await attached.begun.wait()
    if input is None:
        return
    with contextlib.suppress(OSError, BackendError):
        async for piece in input:
            if isinstance(piece, Size):
                resize = partial(attached.resize, piece)
                await engine.call("say the terminal's size", resize, deadline=_ASKING)
            else:
                await attached.write(piece)
        attached.close_input()


async def _status(engine: "Engine", attached: _Attached, action: str) -> int:
    body = await engine.call(action, lambda client: client.exec_inspect(attached.id), deadline=_ASKING)
    status = body.get("ExitCode")
    if body.get("Running") or status is None:
        raise CommandFailed(
            engine.host,
            action,
            "the engine let go of it before it ended",
            exit_status=None,
            left="What the command did until then is not known",
        )
    return int(status)


async def _end(engine: "Engine", container: str, mark: str) -> None:
    """As far as the container has a shell to do it with, and is there at all."""

    def end(client: docker.APIClient) -> None:
        made = client.exec_create(container, ["/bin/sh", "-c", ending(mark)])
        client.exec_start(made["Id"])

    with contextlib.suppress(BackendError):
        await engine.call("end the command", end, deadline=_ENDING)
