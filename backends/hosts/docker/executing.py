"""Runs a command in a container that runs. The engine can't end such a command: the container's own ``timeout`` does, or its shell."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.text_cleaning import clean

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.docker.engine import Engine

_KEPT: Final = 64 * 1024  # bytes of output
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
    engine: "Engine", action: str, container: str, command: list[str], env: Mapping[str, str], *, deadline: float
) -> tuple[int, str]:
    """Its exit status and its output, of both streams, the last 64 KiB, cleaned. Raises what ``Engine.call`` does."""

    def run(client: Any) -> tuple[int, bytes]:
        made = client.exec_create(container, command, environment=dict(env))
        output = bytearray()
        for piece in client.exec_start(made["Id"], stream=True):
            output += piece
            del output[:-_KEPT]
        status = client.exec_inspect(made["Id"]).get("ExitCode")
        return (-1 if status is None else int(status)), bytes(output)

    status, output = await engine.call(action, run, deadline=deadline)
    return status, clean(output.decode("utf-8", "replace"))
