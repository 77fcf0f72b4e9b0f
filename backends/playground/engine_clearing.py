"""Takes away what a playground has on an engine.

Must never touch what does not carry the playground's word: as a label, or in the name of the target that only this playground has.
"""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import CommandTimedOut, EngineRefused
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.place import UnixPlace
from quarterdeck.backends.playground.container_image import IMAGE_LABEL, LABEL
from quarterdeck.backends.playground.layout import EngineHost

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from quarterdeck.backends.hosts.docker.engine import Engine

_CONNECTING: Final = 10.0  # seconds for an engine that has something of ours to answer
_CLEARING: Final = 40.0  # for all of it to be gone
_CALL: Final = 20.0
_AGAIN: Final = 0.1
_ACTION: Final = "remove the playground's container"
_GOES_BY_ITSELF: Final = (404, 409)  # it is gone, or is being removed, or still used by what goes first


async def open_engine(socket: str, deadline: float) -> "Engine":
    """Raises ``Unreachable``, ``NotPermitted``: it did not answer."""
    await asyncio.to_thread(_load)  # not within the time that the engine has for its answer
    from quarterdeck.backends.hosts.docker.engine import Engine
    from quarterdeck.backends.hosts.docker.way import DirectWay

    engine = Engine("the Docker engine", DirectWay(UnixPlace(socket)))
    try:
        await engine.open(deadline)
    except BaseException:
        await engine.close()
        raise
    return engine


def _load() -> None:
    import quarterdeck.backends.hosts.docker.engine  # noqa: F401 # in a thread: it takes a fifth of a second


async def clear(socket: str, word: str) -> None:
    """Raises ``BackendError``: something may still be there."""
    engine = await open_engine(socket, _CONNECTING)
    try:
        await clear_engine(engine, word)
    finally:
        await engine.close()


async def clear_engine(engine: "Engine", word: str) -> None:
    """Looks again until nothing is left: a worker that was killed may have asked for something in its last moment.

    An image that a container of somebody else was made of stays, as an engine itself would have it.
    """
    end = time.monotonic() + _CLEARING
    while await _clear_once(engine, word):
        if time.monotonic() > end:
            raise CommandTimedOut(engine.host, _ACTION, f"still there after {_CLEARING:g} s", exit_status=None)
        await asyncio.sleep(_AGAIN)


async def _clear_once(engine: "Engine", word: str) -> int:
    """How many things were found, all of which were asked to be removed."""
    target = EngineHost("", word, 0).target
    found = 0
    # Hooks' containers and what qd remembers of the target have the target's label, and not ours.
    for label in (f"{LABEL}={word}", f"{names.TARGET}={target}"):
        name, _, value = label.partition("=")
        filters = {"label": [label]}
        listed = await engine.call(_ACTION, partial(_list, filters=filters), deadline=_CALL)
        for remove, things in listed.items():
            for identity, labels in things:
                if labels.get(name) == value:
                    found += 1
                    await _remove(engine, partial(_REMOVERS[remove], identity=identity))
    return found + await _clear_images(engine, word)


def _list(client: "docker.APIClient", filters: dict[str, Any]) -> "dict[str, list[tuple[str, Mapping[str, str]]]]":
    """Containers first: the others can't go before them."""
    containers = client.containers(all=True, filters=filters)
    volumes = client.volumes(filters=filters)["Volumes"] or []
    networks = client.networks(filters=filters)
    return {
        "container": [(one["Id"], one["Labels"] or {}) for one in containers],
        "volume": [(one["Name"], one["Labels"] or {}) for one in volumes],
        "network": [(one["Id"], one["Labels"] or {}) for one in networks],
    }


_REMOVERS: "Mapping[str, Callable[..., object]]" = {
    "container": lambda client, identity: client.remove_container(identity, force=True, v=True),
    "volume": lambda client, identity: client.remove_volume(identity),
    "network": lambda client, identity: client.remove_network(identity),
    "image": lambda client, identity: client.remove_image(identity, force=True),
}


async def _clear_images(engine: "Engine", word: str) -> int:
    def ours(client: "docker.APIClient") -> list[str]:
        images = client.images(filters={"label": [f"{IMAGE_LABEL}={word}"]})
        used = {one["ImageID"] for one in client.containers(all=True)} if images else set()
        return [one["Id"] for one in images if (one["Labels"] or {}).get(IMAGE_LABEL) == word and one["Id"] not in used]

    found = await engine.call(_ACTION, ours, deadline=_CALL)
    for image in found:
        await _remove(engine, partial(_REMOVERS["image"], identity=image))
    return len(found)


async def _remove(engine: "Engine", function: "Callable[[docker.APIClient], object]") -> None:
    try:
        await engine.call(_ACTION, function, deadline=_CALL)
    except EngineRefused as error:
        if error.status not in _GOES_BY_ITSELF:
            raise
