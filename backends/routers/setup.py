"""The configuration that services need of their router, whatever kind that is: what docs/routers.md shows, for names of one's own."""

from collections.abc import Sequence

from quarterdeck.backends.routers.contract import Fronted, Setup
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Router


def setup_of(router: Router, services: Sequence[Fronted], *, login: str = "deploy") -> Setup:
    """Of all services that share the router: most of it is there once. ``login``: the user whom Quarterdeck logs in as on its host."""
    match router:
        case HaproxyRouter():
            from quarterdeck.backends.routers.haproxy import setup as haproxy

            return haproxy.setup(router, services, login=login)
        case NginxRouter():
            from quarterdeck.backends.routers.nginx import setup as nginx

            return nginx.setup(router, services, login=login)
        case CaddyRouter():
            from quarterdeck.backends.routers.caddy import setup as caddy

            return caddy.setup(router, services)
