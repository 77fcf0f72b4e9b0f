"""Runs a command in a container that runs. The engine can't end such a command: the container's own ``timeout`` does, or its shell."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import CommandTimedOut, EngineRefused
from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_KEPT: Final = 64 * 1024  # bytes of output
_PAUSE: Final = 0.5  # seconds
BY_LIMIT: Final = (124, 137, 143)
GRACE: Final = 5  # seconds from SIGTERM to SIGKILL
ENDING: Final = 15.0
"""Seconds beyond its limit by which a command has ended: the engine waits for what it left behind as well."""
_EARLY: Final = 0.5  # seconds by which two clocks may differ

# Without `timeout` the shell looks after the command itself. What the command leaves behind may outlive it then.
_WATCH: Final = """if timeout -k {grace} 1 true 2>/dev/null; then exec timeout -k {grace} {limit} sh -c "$0"; fi
sh -c "$0" & command=$!
(sleep {limit}; kill $command; sleep {grace}; kill -9 $command) >/dev/null 2>&1 & watch=$!
wait $command; status=$?
kill $watch 2>/dev/null
exit $status"""


def limited(command: str, seconds: float) -> list[str]:
    """A shell's command that is ended after ``seconds``: as an argument, so that nothing in it needs quoting."""
    return ["/bin/sh", "-c", _WATCH.format(limit=_limit(seconds), grace=GRACE), command]


def _limit(seconds: float) -> int:
    return max(1, round(seconds))


def was_by_limit(status: int, seconds: float, took: float) -> bool:
    """Whether a command that was ``limited`` to ``seconds`` was ended by that. ``took``: seconds from before it was begun until it had
    ended: one that ends so earlier has done it by itself, or somebody has killed it."""
    return status in BY_LIMIT and took >= _limit(seconds) - _EARLY


async def run_in(
    engine: "Engine",
    action: str,
    container: str,
    command: list[str],
    env: Mapping[str, str],
    *,
    deadline: float,
    note: Callable[[str], Awaitable[object]] | None = None,
) -> tuple[int, str]:
    """Its exit status and its output, of both streams, the last 64 KiB, cleaned. ``note`` is given the engine's id of it before it begins:
    see ``until_ended``. Raises what ``Engine.call`` does."""

    def make(client: Any) -> str:
        return str(client.exec_create(container, command, environment=dict(env))["Id"])

    def run(client: Any, made: str) -> tuple[int, bytes]:
        output = bytearray()
        for piece in client.exec_start(made, stream=True):
            output += piece
            del output[:-_KEPT]
        status = client.exec_inspect(made).get("ExitCode")
        return (-1 if status is None else int(status)), bytes(output)

    if note is None:
        status, output = await engine.call(action, lambda client: run(client, make(client)), deadline=deadline)
    else:
        made = await engine.call(action, make, deadline=deadline)
        await note(made)
        status, output = await engine.call(action, lambda client: run(client, made), deadline=deadline)
    return status, clean(output.decode("utf-8", "replace"))


async def until_ended(engine: "Engine", action: str, made: str, *, deadline: float) -> None:
    """Returns when a command that ``run_in`` began runs no longer: whoever began it has lost its connection, or is dead. The engine ends it
    then, with SIGTERM and ten seconds later with SIGKILL (moby, ``ContainerExecStart``), so its exit status says nothing of what it has
    done: 0 may be its answer to that. Raises ``CommandTimedOut`` where it still runs after ``deadline`` seconds, and what ``Engine.call``
    does."""
    until = asyncio.get_running_loop().time() + deadline
    while True:
        try:
            found = await engine.call(action, lambda client: client.exec_inspect(made), deadline=ENDING)
        except EngineRefused as error:
            if error.status == 404:  # it ended with its container, or long ago
                return
            raise
        if not found.get("Running"):
            return
        if asyncio.get_running_loop().time() > until:
            raise CommandTimedOut(engine.host, action, f"it still runs after {deadline:g} s", exit_status=None)
        await asyncio.sleep(_PAUSE)
