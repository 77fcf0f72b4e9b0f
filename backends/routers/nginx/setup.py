"""The configuration that a service needs of nginx, as text to be read and put in place by a person. Writes nothing."""

import shlex
from typing import Final

from quarterdeck.backends.routers.contract import Setup, SetupFile
from quarterdeck.backends.routers.nginx.rendering import render, variable
from quarterdeck.backends.routers.whole import Plan
from quarterdeck.config.routers import NginxRouter, Routed

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
{status}\
}}
"""
_STATUS: Final = """\
  # Tells Quarterdeck which of its states runs.
  server {{
    listen {status};
    access_log off;
    location = /qd/{service} {{ return 200 ${state}; }}
  }}
"""
FILE: Final = "/etc/nginx/nginx.conf"


def setup(router: NginxRouter, routed: Routed, *, listen: str = "80", login: str = "deploy") -> Setup:
    """``listen``: where the service's clients come in; ``login``: the user whom Quarterdeck logs in as on the router's host."""
    upstreams = router.upstreams.rstrip("/")
    state = variable(routed, "state")
    status = _STATUS.format(status=router.status, service=routed.service, state=state) if router.status else ""
    main = _MAIN.format(
        pid=router.pid,
        upstreams=upstreams,
        listen=listen,
        service=routed.service,
        slot=variable(routed, "slot"),
        status=status,
    )
    commands = (
        f"sudo install -d -o {login} {shlex.quote(upstreams)}",
        f"echo '{login} ALL=(root) NOPASSWD: /usr/sbin/nginx -t, /usr/sbin/nginx -s reload' | sudo tee /etc/sudoers.d/quarterdeck-nginx",
    )
    return Setup(
        commands,
        (
            SetupFile(FILE, main, "Includes what Quarterdeck writes, and leads each request to the slot that it says."),
            SetupFile(
                f"{upstreams}/{routed.service}.conf",
                render(routed, Plan()),
                "The service before its first release: nginx does not start without it. Quarterdeck replaces it.",
            ),
        ),
    )
