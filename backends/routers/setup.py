"""The configuration that a service needs of its router, whatever kind that is: what docs/routers.md shows, for names of one's own."""

from quarterdeck.backends.routers.contract import Setup
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Routed, Router


def setup_of(router: Router, routed: Routed, *, port: int = 80, login: str = "deploy") -> Setup:
    """``port``: where the service's clients come in; ``login``: the user whom Quarterdeck logs in as on the router's host."""
    match router:
        case HaproxyRouter():
            from quarterdeck.backends.routers.haproxy import setup as haproxy

            return haproxy.setup(router, routed, listen=f":{port}", login=login)
        case NginxRouter():
            from quarterdeck.backends.routers.nginx import setup as nginx

            return nginx.setup(router, routed, listen=str(port), login=login)
        case CaddyRouter():
            from quarterdeck.backends.routers.caddy import setup as caddy

            return caddy.setup(router, routed, listen=f":{port}")
