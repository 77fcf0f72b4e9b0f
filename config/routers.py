"""Routers and services behind them as the fleet file declares them: frozen values, no more. How a router is talked to is a backend's."""

import msgspec

HAPROXY_SOCKET = "/run/haproxy/admin.sock"
HAPROXY_FILES = "/var/lib/haproxy/qd"
NGINX_UPSTREAMS = "/etc/nginx/qd"
NGINX_PID = "/run/nginx.pid"
NGINX_TEST = "sudo -n nginx -t"
NGINX_RELOAD = "sudo -n nginx -s reload"
CADDY_ADMIN = "localhost:2019"


class HaproxyRouter(msgspec.Struct, frozen=True, tag_field="kind", tag="haproxy"):
    """``host`` names an SSH host of the fleet (all paths are its own); empty: the machine that qd runs on.

    ``socket`` is the path of the runtime socket, or ``address:port`` as the host sees it. ``files`` is the directory of the maps and of the
    servers' state, written after every change; empty: nothing is written there, and a restart forgets what was set.
    """

    name: str
    host: str = ""
    socket: str = HAPROXY_SOCKET
    files: str = HAPROXY_FILES


class NginxRouter(msgspec.Struct, frozen=True, tag_field="kind", tag="nginx"):
    """``upstreams`` is the directory whose files nginx includes. ``test`` and ``reload`` are shell commands on the host.

    ``status`` is the ``address:port`` where nginx tells which state it runs; empty: it is not asked, only the file is read back.
    """

    name: str
    host: str = ""
    upstreams: str = NGINX_UPSTREAMS
    test: str = NGINX_TEST
    reload: str = NGINX_RELOAD
    status: str = ""
    pid: str = NGINX_PID


class CaddyRouter(msgspec.Struct, frozen=True, tag_field="kind", tag="caddy"):
    """``admin`` is where the admin API listens as the host sees it: the path of a socket, or ``address:port``."""

    name: str
    host: str = ""
    admin: str = CADDY_ADMIN


Router = HaproxyRouter | NginxRouter | CaddyRouter


class Routed(msgspec.Struct, frozen=True):
    """A service behind a router: ``router: edge/api``. ``service`` is what the router calls it.

    ``header`` and ``cookie`` are those that match rules look at. ``affinity`` is the cookie by whose value a client keeps to its slot while
    the share stands still; empty: each request is decided anew. ``check`` is the path of the router's own health check; empty: that of the
    service's health gate. ``port`` is where instances listen; 0: the port of the health gate. ``drain``: seconds that requests which are
    under way get before a server that leaves is stopped.
    """

    router: str
    service: str
    header: str = "X-Qd-Variant"
    cookie: str = "qd_variant"
    affinity: str = ""
    check: str = ""
    port: int = 0
    drain: float = 10.0

    @property
    def name(self) -> str:
        """As the fleet file writes it."""
        return f"{self.router}/{self.service}"
