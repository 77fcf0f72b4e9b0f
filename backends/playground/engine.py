"""Makes this machine's Docker engine a host of the playground, where there is one that can run its container; beside everything else,
within a deadline. Whatever is in the way is told in words: a playground never fails for want of an engine.
"""

import asyncio
import contextlib
import hashlib
import socket
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from quarterdeck.backends.errors import BackendError, EngineRefused
from quarterdeck.backends.playground import container_image, engine_traces
from quarterdeck.backends.playground.engine_place import NoEngine, engine_socket
from quarterdeck.backends.playground.layout import EngineHost
from quarterdeck.backends.playground.versions import FAULTS
from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.playground.engine_errand import Errand

WAITING: Final = 10.0  # seconds from the start of the playground
_LEAVING: Final = 8.0
_MAKING: Final = 8.0  # for a call
_ANSWERING: Final = 4.0  # for the first container to answer, once it runs
_AGAIN: Final = 0.03
_TRYING: Final = "try the playground's container"
_WORD: Final = 6  # hexadecimal digits
_PORTS: Final = range(17000, 32000)  # below those that the kernel gives to clients
_SERVICE: Final = "shop"
_FIRST: Final = next(iter(FAULTS))


class Preparing:
    """Begins with the ``with`` statement, whose end leaves nothing under way but tidying up. ``mark``: the secret word of the playground's
    marker."""

    def __init__(self, directory: Path, mark: str) -> None:
        self._directory = directory
        self._word = hashlib.sha256(mark.encode()).hexdigest()[:_WORD]
        self._end = time.monotonic() + WAITING
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
            await _prepare(self._directory, engine_traces.Trace(self._socket, self._word), self._ready)
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def outcome(self) -> tuple[EngineHost | None, str]:
        """The engine as a host, or why there is none. Waits for it, no longer than ``WAITING`` seconds after the beginning."""
        try:
            self._ready.result(max(0.1, self._end - time.monotonic()))
            return EngineHost(self._socket, self._word, _free_port(self._word)), ""
        except NoEngine as reason:
            return None, str(reason)
        except TimeoutError:
            return None, f"the Docker engine at {self._socket} was not ready within {WAITING:g} s"
        except Exception as error:  # whatever an engine of another make may answer: the SSH hosts come up
            problem = error.problem if isinstance(error, BackendError) else repr(error)
            return None, f"the Docker engine at {self._socket}: {problem}"


async def _prepare(directory: Path, trace: engine_traces.Trace, ready: "Future[None]") -> None:
    """Makes the images and has one of them run. Raises ``NoEngine``, ``BackendError``, ``OSError``."""
    engine = await engine_traces.open_engine(trace.socket)
    try:
        # Written down before anything is made.
        engine_traces.write(directory, [*engine_traces.read(directory), trace])
        host = EngineHost(trace.socket, trace.word, 0)
        try:
            await _make_image(engine, host, _FIRST)
            others = asyncio.gather(*(_make_image(engine, host, version) for version in FAULTS if version != _FIRST))
            (container, problem), _ = await asyncio.gather(_try(engine, host), others)
            if problem:
                raise NoEngine(f"a container on {trace.socket} can't run this machine's Python ({problem})")
        except (BackendError, NoEngine):
            with contextlib.suppress(BackendError):
                await engine_traces.clear_engine(engine, trace.word)
                engine_traces.write(directory, [one for one in engine_traces.read(directory) if one != trace])
            raise
        ready.set_result(None)
        await engine.call(_TRYING, lambda client: client.remove_container(container, force=True), deadline=_MAKING)
    finally:
        await engine.close()


async def _make_image(engine: "Engine", host: EngineHost, version: str) -> None:
    def send(client: "docker.APIClient") -> object:
        return client.import_image_from_data(
            container_image.tree(_SERVICE, version),
            repository=host.repository,
            tag=version,
            changes=container_image.changes(host.word),
        )

    await engine.call("make the playground's images", send, deadline=_MAKING)


async def _try(engine: "Engine", host: EngineHost) -> tuple[str, str]:
    """A container, and what is in its way: nothing where it answers at a published port, as a release's own will have to."""
    container = await engine.call(_TRYING, partial(_make_container, host=host), deadline=_MAKING)
    try:
        await engine.call(_TRYING, lambda client: client.start(container), deadline=_MAKING)
    except EngineRefused as error:
        return container, error.explanation
    return container, await _answer_of(engine, container)


def _make_container(client: "docker.APIClient", host: EngineHost) -> str:
    port = f"{container_image.PORT}/tcp"
    mounts = [
        {"Type": "bind", "Source": path, "Target": path, "ReadOnly": True} for path in container_image.mounted_paths()
    ]
    body = {
        "Image": f"{host.repository}:{_FIRST}",
        "Env": [f"PORT={container_image.PORT}"],
        "Labels": {container_image.LABEL: host.word},
        "ExposedPorts": {port: {}},
        "HostConfig": {
            "Mounts": mounts,
            "ReadonlyRootfs": True,
            "NetworkMode": "bridge",
            "PortBindings": {port: [{"HostIp": host.address, "HostPort": ""}]},
        },
    }
    return str(client.create_container_from_config(body, f"{host.container}-trial")["Id"])


async def _answer_of(engine: "Engine", container: str) -> str:
    end = time.monotonic() + _ANSWERING
    while time.monotonic() < end:
        body = await engine.call(_TRYING, lambda client: client.inspect_container(container), deadline=_MAKING)
        if not body["State"]["Running"]:
            said = await engine.call(_TRYING, lambda client: client.logs(container, tail=1), deadline=_MAKING)
            words = clean(said.decode("utf-8", "replace")).strip()
            return words or f"it ended with status {body['State']['ExitCode']}"
        for published in (body["NetworkSettings"]["Ports"] or {}).get(f"{container_image.PORT}/tcp") or ():
            if await _answers(published["HostIp"], int(published["HostPort"])):
                return ""
        await asyncio.sleep(_AGAIN)
    return "it runs, and its published port gave no answer here"


async def _answers(address: str, port: int) -> bool:
    writer = None
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET /version HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
            return (await reader.read()).endswith(f"\r\n\r\n{_FIRST}\n".encode())
    except OSError:  # TimeoutError too
        return False
    finally:
        if writer is not None:
            writer.close()


def _free_port(word: str) -> int:
    """A port of 127.0.0.1 that is free now; the engine takes it when the first release starts."""
    first = int(word, 16)  # playgrounds that start at the same moment look at different ones
    for number in range(len(_PORTS)):
        port = _PORTS[(first + number) % len(_PORTS)]
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port of 127.0.0.1 is free")
