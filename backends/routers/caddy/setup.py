"""The configuration that a service needs of Caddy, as text to be read and put in place by a person. Writes nothing."""

import json
import shlex
from collections.abc import Sequence
from typing import Any, Final

from quarterdeck.backends.routers.caddy.rendering import render
from quarterdeck.backends.routers.contract import Fronted, Setup, SetupFile
from quarterdeck.backends.routers.whole import Plan
from quarterdeck.config.routers import CaddyRouter

FILE: Final = "/etc/caddy/quarterdeck.json"


def setup(router: CaddyRouter, services: Sequence[Fronted]) -> Setup:
    servers: dict[str, Any] = {
        one.routed.service: {"listen": [f":{one.port}"], "routes": [{"handle": [render(one.routed, Plan())]}]}
        for one in services
    }
    admin = router.admin
    whole = {
        "admin": {"listen": f"unix/{admin}" if admin.startswith("/") else admin},
        "apps": {"http": {"servers": servers}},
    }
    url = (
        f"--unix-socket {shlex.quote(admin)} http://localhost/load" if admin.startswith("/") else f"http://{admin}/load"
    )
    commands = (
        "sudo systemctl disable --now caddy",
        "sudo systemctl enable --now caddy-api",
        f"curl --fail -H 'Content-Type: application/json' --data-binary @{FILE} {url}",
    )
    why = (
        "One object with an id for each service, anywhere among the routes; Quarterdeck replaces that object and nothing else. "
        "caddy-api starts with what was set last (--resume)."
    )
    return Setup(commands, (SetupFile(FILE, json.dumps(whole, indent=2) + "\n", why),))
