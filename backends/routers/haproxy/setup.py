"""The configuration that a service needs of HAProxy, as text to be read and put in place by a person. Writes nothing."""

import shlex
from collections.abc import Sequence
from typing import Final

from quarterdeck.backends.routers.contract import Fronted, Setup, SetupFile, Slot
from quarterdeck.backends.routers.haproxy.names import SERVERS, backend_name, files_of, rules_map, share_map
from quarterdeck.backends.routers.haproxy.requests import FORMAT, RING
from quarterdeck.config.routers import HaproxyRouter, Routed

_GLOBAL: Final = """\
global
  user haproxy
  group haproxy
  # Every level of a socket may change maps: whoever only looks is given metrics, not a socket.
  stats socket {socket} mode 660 group haproxy level admin expose-fd listeners
  # Where servers stood: Quarterdeck writes it after each change.
  server-state-base {files}
  hard-stop-after 1h

# The last 20 000 requests or so: an analysis of response times reads them here.
ring {ring}
  format raw
  size 1048576

defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  # How long a check waits for its answer; without it, for no longer than `inter`.
  timeout check 2s
  # A reload drops no client that keeps its connection.
  option idle-close-on-response
  option redispatch 1
  retries 3
  retry-on conn-failure empty-response response-timeout
  load-server-state-from-file local
  # Three connections refused in a row are as good as a failed check: a slot that dies is left at once.
  default-server inter 500ms fastinter 200ms downinter 500ms fall 2 rise 1 observe layer4 error-limit 3 on-error mark-down
"""
_FRONTEND: Final = """\
frontend {service}
  bind {listen}
  http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
  # Of each request: when it came, its slot, its status, and how long its answer took to begin (microseconds).
  http-request set-var(txn.qd_from) date(0,us)
  http-response set-var(txn.qd_took) date(0,us),sub(txn.qd_from)
  log ring@{ring} format raw local0
  log-format "{format}"
  # 1. match rules: by header, then by cookie
  http-request set-var-fmt(txn.qd_header) "header:%[req.hdr({header})]"
  http-request set-var-fmt(txn.qd_cookie) "cookie:%[req.cook({cookie})]"
  http-request set-var(txn.qd_slot) var(txn.qd_header),map_str({rules})
  http-request set-var(txn.qd_slot) var(txn.qd_cookie),map_str({rules}) if !{{ var(txn.qd_slot) -m found }}
  # 2. the share of green, 0 to 10000
  http-request set-var(txn.qd_dice) rand(10000)
{affinity}\
  http-request set-var(txn.qd_share) str({service}),map_str_int({share},0)
  http-request set-var(txn.qd_rest) var(txn.qd_dice),sub(txn.qd_share)
  http-request set-var(txn.qd_slot) str(green) if !{{ var(txn.qd_slot) -m found }} {{ var(txn.qd_rest) -m int lt 0 }}
  http-request set-var(txn.qd_slot) str(blue)  if !{{ var(txn.qd_slot) -m found }}
  # 3. a slot with no live server gets nothing
  http-request set-var(txn.qd_slot) str(blue)  if {{ var(txn.qd_slot) -m str green }} {{ nbsrv({green}) eq 0 }} {{ nbsrv({blue}) gt 0 }}
  http-request set-var(txn.qd_slot) str(green) if {{ var(txn.qd_slot) -m str blue }} {{ nbsrv({blue}) eq 0 }} {{ nbsrv({green}) gt 0 }}
  use_backend {service}_%[var(txn.qd_slot)]
"""
_AFFINITY: Final = """\
  http-request set-var(txn.qd_dice) req.cook({cookie}),crc32c,mod(10000) if {{ req.cook({cookie}) -m found }}
"""
_BACKEND: Final = """\
backend {name}
  balance leastconn
  option httpchk GET {check}
  # A name, so that a start takes addresses from the saved state; `localhost` itself is never asked for anything.
  server-template s 1-{servers} localhost:9 check disabled init-addr last,127.0.0.1
"""
FILE: Final = "/etc/haproxy/haproxy.cfg"


def setup(router: HaproxyRouter, services: Sequence[Fronted], *, login: str = "deploy") -> Setup:
    """``login``: the user whom Quarterdeck logs in as on the router's host."""
    files = files_of(router)
    paths = [path(router, one.routed) for one in services for path in (share_map, rules_map)]
    commands = (
        f"sudo usermod -aG haproxy {login}",
        f"sudo install -d -o {login} -g haproxy {shlex.quote(files)}",
        f"sudo -u {login} touch {' '.join(shlex.quote(path) for path in paths)}",
    )
    parts = [
        part
        for one in services
        for part in (
            frontend(router, one.routed, f":{one.port}"),
            *(backend(one.routed, slot, one.places) for slot in Slot),
        )
    ]
    whole = "\n".join([_GLOBAL.format(socket=router.socket, files=files, ring=RING), *parts])
    why = (
        "The socket, and where servers' states are found at a start, stand in global and defaults once. Each service has a frontend "
        "that asks two maps for a slot, and two backends with empty places for servers, which Quarterdeck fills at run time."
    )
    return Setup(commands, (SetupFile(FILE, whole, why),))


def frontend(router: HaproxyRouter, routed: Routed, listen: str) -> str:
    return _FRONTEND.format(
        service=routed.service,
        listen=listen,
        ring=RING,
        format=FORMAT,
        header=routed.header,
        cookie=routed.cookie,
        rules=rules_map(router, routed),
        share=share_map(router, routed),
        affinity=_AFFINITY.format(cookie=routed.affinity) if routed.affinity else "",
        blue=backend_name(routed, Slot.BLUE),
        green=backend_name(routed, Slot.GREEN),
    )


def backend(routed: Routed, slot: Slot, places: int) -> str:
    return _BACKEND.format(name=backend_name(routed, slot), check=routed.check, servers=max(places, SERVERS))
