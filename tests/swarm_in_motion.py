"""A real Swarm moves while tests ask it: its managers choose a leader, a service goes between two questions, somebody changes what is about
to be changed. That is what most tests are not about: it is asked, or told, again.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import docker.errors

from quarterdeck.backends.hosts.swarm import calls
from tests.sshd import wait_for

if TYPE_CHECKING:
    from tests.swarm import Swarm

T = TypeVar("T")
NOT_YET: Final = (OSError, docker.errors.DockerException, LookupError, StopIteration)
"""What a look raises while there is no leader, or while what is looked for is not listed; requests' own errors are OSErrors."""
_PASSING: Final = (
    "update out of sequence",
    "does not have a leader",
    "code = Unavailable",
    "raft: ",
    "not a swarm manager",
)
_LONG: Final = 60.0  # s; an election takes up to 20 of them on a machine with nothing else to do
_AS_LONG_AS_IT_TAKES: Final = 120.0  # s; a task of a new image runs, on a machine with other things to do


def wait(condition: Callable[[], object], what: str, deadline: float = _AS_LONG_AS_IT_TAKES) -> None:
    """As ``wait_for``; a look that fails is one that does not hold yet. Raises ``TimeoutError``, with how the last look failed."""
    failed = ""

    def holds() -> bool:
        nonlocal failed
        try:
            found = bool(condition())
        except NOT_YET as error:
            failed = f"; the last look: {type(error).__name__}: {error}"
            return False
        failed = ""
        return found

    try:
        wait_for(holds, what, deadline)
    except TimeoutError as error:
        raise TimeoutError(f"{error}{failed}") from None


async def until(
    condition: Callable[[], object],
    what: str,
    deadline: float = _AS_LONG_AS_IT_TAKES,
    *,
    unless: "asyncio.Task[Any] | None" = None,
) -> None:
    """``wait``, beside what the loop does. Where ``unless`` fails before it holds, this is raised."""
    left = threading.Event()
    waiting = asyncio.create_task(asyncio.to_thread(wait, lambda: left.is_set() or condition(), what, deadline))
    try:
        if unless is not None:
            await asyncio.wait({waiting, unless}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and unless.exception() is not None:
                unless.result()
        await waiting
    finally:
        left.set()  # a thread is not cancelled
        await asyncio.gather(waiting, return_exceptions=True)


def again(change: Callable[[], T]) -> T:
    """``change`` reads what there is and changes that: once more where it has moved in between, or there is no leader."""
    end = time.monotonic() + _LONG
    while True:
        try:
            return change()
        except (docker.errors.APIError, LookupError) as error:
            if not (isinstance(error, LookupError) or _is_passing(error)) or time.monotonic() > end:
                raise
        time.sleep(0.1)


def _is_passing(error: Exception) -> bool:
    return any(one in str(error) for one in _PASSING)


def tasks_of(swarm: "Swarm", target: str, *, without: str = "", **filters: str) -> list[dict[str, Any]]:
    """All tasks of a target's services as the Swarm tells them, whichever of those is removed meanwhile. ``without``: a label of services
    that are left out; ``filters``: of tasks, as the API names them, with ``_`` for ``-``."""
    end = time.monotonic() + _LONG
    while True:
        client = swarm.any_api
        try:
            services = [
                one["ID"]
                for one in client.services(filters={"label": f"dev.quarterdeck.target={target}"})
                if without not in one["Spec"]["Labels"]
            ]
            if not services:
                return []
            wanted = {"service": services, **{name.replace("_", "-"): value for name, value in filters.items()}}
            found: list[dict[str, Any]] = client.tasks(filters=wanted)
            return found
        except docker.errors.APIError as error:
            # One of them is gone since, or nobody leads.
            if not (isinstance(error, docker.errors.NotFound) or _is_passing(error)) or time.monotonic() > end:
                raise
        time.sleep(0.1)


def change_service(swarm: "Swarm", name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """As ``docker service update`` does it, by hand: ``change`` is made to the spec of the service as it is by then."""

    def read_and_change() -> None:
        client = swarm.any_api
        service = next((one for one in client.services() if one["Spec"]["Name"] == name), None)
        assert service is not None, f"there is no service {name}"
        change(service["Spec"])
        path = f"/services/{service['ID']}/update"
        calls.post(client, path, service["Spec"], version=service["Version"]["Index"])

    again(read_and_change)


def set_heartbeat(swarm: "Swarm", seconds: float) -> None:
    """Of every node, from its next one on. A node that has missed three of them is down."""

    def read_and_change() -> None:
        client = swarm.any_api
        found = client.inspect_swarm()
        spec = found["Spec"]
        spec["Dispatcher"]["HeartbeatPeriod"] = int(seconds * 1e9)
        client.update_swarm(found["Version"]["Index"], swarm_spec=spec)

    again(read_and_change)
