"""Makes the playground's images on an engine and has one of them run: only where that works is the engine of use."""

import asyncio
import contextlib
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from quarterdeck.backends.errors import BackendError, EngineRefused
from quarterdeck.backends.playground import container_image, engine_traces
from quarterdeck.backends.playground.engine_clearing import clear_engine, open_engine
from quarterdeck.backends.playground.engine_place import NoEngine, patience
from quarterdeck.backends.playground.engine_traces import Trace
from quarterdeck.backends.playground.layout import EngineHost
from quarterdeck.backends.playground.versions import FAULTS
from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

# Seconds, times ``patience``:
_ASKING: Final = 2.0  # for the engine to answer at all
_MAKING: Final = 10.0  # for a call
_ANSWERING: Final = 6.0  # for the first container to answer, once it runs
_AGAIN: Final = 0.03  # seconds
_TRYING: Final = "try the playground's container"
_SERVICE: Final = "shop"
_FIRST: Final = next(iter(FAULTS))


async def make_ready(directory: Path, trace: Trace, ready: "Future[None]") -> None:
    """Sets ``ready`` as soon as it is so, and tidies up. Raises ``NoEngine``, ``BackendError``, ``OSError``."""
    engine = await open_engine(trace.socket, _ASKING * patience())
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
                await clear_engine(engine, trace.word)
                engine_traces.write(directory, [one for one in engine_traces.read(directory) if one != trace])
            raise
        ready.set_result(None)
        await engine.call(
            _TRYING, lambda client: client.remove_container(container, force=True), deadline=_MAKING * patience()
        )
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

    await engine.call("make the playground's images", send, deadline=_MAKING * patience())


async def _try(engine: "Engine", host: EngineHost) -> tuple[str, str]:
    """A container, and what is in its way: nothing where it answers at a published port, as a release's own will have to."""
    container = ""
    try:
        container = await engine.call(_TRYING, partial(_make_container, host=host), deadline=_MAKING * patience())
        await engine.call(_TRYING, lambda client: client.start(container), deadline=_MAKING * patience())
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
            "CapDrop": list(container_image.CAP_DROP),
            "CapAdd": list(container_image.CAP_ADD),
            "NetworkMode": "bridge",
            "PortBindings": {port: [{"HostIp": host.address, "HostPort": ""}]},
        },
    }
    return str(client.create_container_from_config(body, f"{host.container}-trial")["Id"])


async def _answer_of(engine: "Engine", container: str) -> str:
    end = time.monotonic() + _ANSWERING * patience()
    while time.monotonic() < end:
        body = await engine.call(
            _TRYING, lambda client: client.inspect_container(container), deadline=_MAKING * patience()
        )
        if not body["State"]["Running"]:
            said = await engine.call(
                _TRYING, lambda client: client.logs(container, tail=1), deadline=_MAKING * patience()
            )
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
