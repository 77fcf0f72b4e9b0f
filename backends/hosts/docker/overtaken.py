"""What a worker takes back of its last call, where a newer one has come between the look before that call and the call: no engine can
compare and act in one. Each is given what is there now, and leaves alone what the newer worker has made its own. They go past the gate,
which does not let the older one through any more."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from quarterdeck.backends.errors import EngineRefused
from quarterdeck.backends.hosts.docker import names
from quarterdeck.backends.hosts.docker.ending import though_it_ends
from quarterdeck.backends.hosts.docker.looking import Container, Seen
from quarterdeck.backends.hosts.docker.spec import endpoint, restart_policy
from quarterdeck.config.container import Network

if TYPE_CHECKING:
    import docker

    from quarterdeck.backends.hosts.docker.gate import Gate

Undo = Callable[[Seen], Awaitable[None]]
_DEADLINE: Final = 30.0  # seconds: the engine's own grace period and some more


def of_start(gate: "Gate", container: Container) -> Undo:
    """Stops it, unless its release is the one that the newer worker wants there, or has put there. The live name alone says nothing: the
    overtaken one may have taken it for its own container a call before."""

    async def undo(seen: Seen) -> None:
        if container.release not in (seen.state.wanted, seen.state.current):
            await _change(gate, lambda client: client.stop(container.id))

    return undo


def of_stop(gate: "Gate", container: Container) -> Undo:
    """Starts it again, where it is what the newer worker wants there."""

    async def undo(seen: Seen) -> None:
        made_anew = any(one.runs and one.release == container.release for one in seen.containers)
        if _wanted(seen) == container.release and not made_anew:
            await _change(gate, lambda client: client.start(container.id))

    return undo


def of_restart_policy(gate: "Gate", id: str) -> Undo:
    """Gives it the policy that it has to have by now: its own while it runs under the live name, else none, or the engine would start
    it with its next boot."""

    async def undo(seen: Seen) -> None:
        one = _find(seen, id)
        if one is None:
            return
        spec = one.spec if one.is_live and one.runs else None
        policy: Any = restart_policy(spec) if spec is not None else {"Name": "no", "MaximumRetryCount": 0}

        def given(client: "docker.APIClient") -> None:
            client.update_container(id, restart_policy=policy)

        with contextlib.suppress(EngineRefused):
            await though_it_ends(lambda: gate.engine.change(gate.words, given, deadline=_DEADLINE))

    return undo


def of_rename(gate: "Gate", container: Container) -> Undo:
    """The live name goes back to the container of the release that the newer worker wants there, and is taken from any other."""

    async def undo(seen: Seen) -> None:
        now = _find(seen, container.id)
        if now is None:
            return
        live = container.labels[names.NAME]
        if now.is_live and _wanted(seen) != now.release:
            await _change(gate, lambda client: client.rename(now.id, names.kept_name(live, now.release)))
        elif not now.is_live and _wanted(seen) == now.release and seen.live is None:
            await _change(gate, lambda client: client.rename(now.id, live))

    return undo


def of_leaving(gate: "Gate", id: str, network: Network) -> Undo:
    """Has it in the network again, where the newer worker may want it; without the service's names while that one only checks it there."""

    async def undo(seen: Seen) -> None:
        one = _find(seen, id)
        if one is None:
            return
        body = endpoint(network, with_aliases=one.is_live or not one.runs)
        addresses = body.get("IPAMConfig", {})
        await _change(
            gate,
            lambda client: client.connect_container_to_network(
                id,
                network.name,
                ipv4_address=addresses.get("IPv4Address"),
                ipv6_address=addresses.get("IPv6Address"),
                aliases=list(body["Aliases"]),
            ),
        )

    return undo


def _wanted(seen: Seen) -> str:
    return seen.state.wanted or seen.state.current


def _find(seen: Seen, id: str) -> Container | None:
    return next((one for one in seen.containers if one.id == id), None)


async def _change(gate: "Gate", function: "Callable[[docker.APIClient], object]") -> None:
    with contextlib.suppress(EngineRefused):  # gone, so already, or the newer worker was quicker
        await gate.engine.change(gate.words, function, deadline=_DEADLINE)
