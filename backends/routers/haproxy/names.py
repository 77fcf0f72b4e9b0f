"""What a service's things are called in HAProxy: backends, maps, keys. The setup text and the connection both take them from here."""

from typing import Final

from quarterdeck.backends.routers.contract import Slot
from quarterdeck.config.routers import HAPROXY_FILES, HaproxyRouter, Routed

OLDEST: Final = (2, 6)
SERVERS: Final = 6
"""Places for servers in each slot that the setup text makes."""


def backend_name(routed: Routed, slot: Slot) -> str:
    return f"{routed.service}_{slot}"


def share_map(router: HaproxyRouter, routed: Routed) -> str:
    return f"{files_of(router)}/{routed.service}_share.map"


def rules_map(router: HaproxyRouter, routed: Routed) -> str:
    return f"{files_of(router)}/{routed.service}_rules.map"


def files_of(router: HaproxyRouter) -> str:
    """The maps have this path in HAProxy's configuration even where nothing is written to it."""
    return (router.files or HAPROXY_FILES).rstrip("/")
