"""The configuration that a service needs of nginx, as text to be read and put in place by a person. Writes nothing."""

import shlex
from collections.abc import Sequence
from typing import Final

from quarterdeck.backends.routers.contract import Fronted, Setup, SetupFile
from quarterdeck.backends.routers.nginx.rendering import render, variable
from quarterdeck.backends.routers.whole import Plan
from quarterdeck.config.routers import NginxRouter

_MAIN: Final = """\
user www-data;
worker_processes auto;
pid {pid};
error_log /var/log/nginx/error.log;
# Workers of before a reload keep what they still serve for so long.
worker_shutdown_timeout 1h;
events {{ worker_connections 4096; }}
http {{
  access_log /var/log/nginx/access.log;
  # Written by Quarterdeck, a file for each service.
  include {upstreams}/*.conf;
{services}\
{status}\
}}
"""
_SERVICE: Final = """\
  server {{
    listen {listen};
    location / {{
      proxy_pass http://{service}_${slot};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Connection "";
      proxy_connect_timeout 2s;
      # What was sent already is asked again for GET, HEAD, OPTIONS, PUT and DELETE only.
      proxy_next_upstream error timeout;
    }}
  }}
"""
_STATUS: Final = """\
  # Tells Quarterdeck which of its states runs.
  server {{
    listen {status};
    access_log off;
{locations}\
  }}
"""
_LOCATION: Final = "    location = /qd/{service} {{ return 200 ${state}; }}\n"
FILE: Final = "/etc/nginx/nginx.conf"


def setup(router: NginxRouter, services: Sequence[Fronted], *, login: str = "deploy") -> Setup:
    """``login``: the user whom Quarterdeck logs in as on the router's host."""
    upstreams = router.upstreams.rstrip("/")
    servers = [
        _SERVICE.format(listen=one.port, service=one.routed.service, slot=variable(one.routed, "slot"))
        for one in services
    ]
    locations = [_LOCATION.format(service=one.routed.service, state=variable(one.routed, "state")) for one in services]
    status = _STATUS.format(status=router.status, locations="".join(locations)) if router.status else ""
    main = _MAIN.format(pid=router.pid, upstreams=upstreams, services="".join(servers), status=status)
    commands = (
        f"sudo install -d -o {login} {shlex.quote(upstreams)}",
        f"echo '{login} ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -s reload' | sudo tee /etc/sudoers.d/quarterdeck-nginx",
    )
    own = [
        SetupFile(
            f"{upstreams}/{one.routed.service}.conf",
            render(one.routed, Plan()),
            "The service before its first release: nginx does not start without it. Quarterdeck replaces it.",
        )
        for one in services
    ]
    why = "Includes what Quarterdeck writes, and leads each request to the slot that it says."
    return Setup(commands, (SetupFile(FILE, main, why), *own))
