"""Opens a service on its router, whatever kind that is. What a kind needs is loaded when there is one."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from quarterdeck.backends.errors import BackendError
from quarterdeck.backends.routers.contract import RouterConnection
from quarterdeck.backends.routers.reach import NOTHING_ASKED, LocalReach, Reach
from quarterdeck.config.model import Host
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Routed, Router

if TYPE_CHECKING:
    from quarterdeck.backends.hosts.opening import Hosts
    from quarterdeck.backends.hosts.ssh.connection import SshConnection


def open_router(router: Router, routed: Routed, backend: "Hosts", hosts: Mapping[str, Host]) -> RouterConnection:
    """A service on its router; nothing is connected before the first call. ``hosts``: those of the fleet.

    Raises ``BackendError`` where the router's host is none that SSH reaches.
    """
    return open_over(router, routed, reach_of(router, backend, hosts))


def open_over(router: Router, routed: Routed, reach: Reach) -> RouterConnection:
    """The same over a way that services of the router share. Closing one of them closes it for all; it is opened again when needed."""
    match router:
        case HaproxyRouter():
            from quarterdeck.backends.routers.haproxy.connection import HaproxyConnection

            return HaproxyConnection(router, routed, reach)
        case NginxRouter():
            from quarterdeck.backends.routers.nginx.connection import NginxConnection

            return NginxConnection(router, routed, reach)
        case CaddyRouter():
            from quarterdeck.backends.routers.caddy.connection import CaddyConnection

            return CaddyConnection(router, routed, reach)


def reach_of(router: Router, backend: "Hosts", hosts: Mapping[str, Host]) -> Reach:
    """The way to the router's machine; nothing is connected before it is first used. Raises ``BackendError`` like ``open_router``."""
    if not router.host:
        return LocalReach(router.name)
    host = hosts.get(router.host)
    if host is None or not host.ssh:
        raise BackendError(
            f"{router.name} on {router.host}",
            "open the router",
            "there is no such host" if host is None else "that host is an engine, not one that SSH reaches",
            left=NOTHING_ASKED,
            advice="name a host with an ssh entry in the router's `host`",
        )
    from quarterdeck.backends.hosts.ssh.loading import load_asyncssh

    load_asyncssh()
    from quarterdeck.backends.routers.over_ssh import SshReach

    async def connect(deadline: float) -> "SshConnection":
        return await backend.ssh().connect(host, deadline=deadline)

    return SshReach(router.name, host.name, connect)
