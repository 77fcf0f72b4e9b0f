"""The keys of `routers` and of a service's `router`."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from quarterdeck.config import scalars
from quarterdeck.config.kinds import COMMAND, DURATION, NAME, PORT
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import Problems
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Routed, Router
from quarterdeck.config.scalars import Unfit
from quarterdeck.config.shapes import Either, Key, Keys, MapOf, Scalar

_PATH: Final = r"/[A-Za-z0-9._/+@-]*[A-Za-z0-9._+@-]"
_TCP: Final = rf"({scalars.ADDRESS}):[0-9]{{1,5}}"
_HEADER: Final = r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"
_COOKIE: Final = r"[A-Za-z_][A-Za-z0-9_]{0,62}"  # what nginx can name in a variable
_CHECK: Final = r"/[A-Za-z0-9._~/?=&%+-]*"


def _pattern(pattern: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^(?:{pattern})$"}


def path(text: str) -> str:
    """An absolute path in its one shortest form, of plain letters: it becomes part of a router's configuration. Raises ``Unfit``."""
    if not re.fullmatch(_PATH, text):
        raise Unfit("" if text.startswith("/") else "it must begin with /")
    return scalars.host_path(text)


def tcp(text: str) -> str:
    """`address:port`. Raises ``Unfit``."""
    if not re.fullmatch(_TCP, text) or not 1 <= int(text.rpartition(":")[2]) <= 65535:
        raise Unfit("the port is missing" if re.fullmatch(scalars.ADDRESS, text) else "")
    return text


def place(text: str) -> str:
    """The path of a socket, or `address:port`. Raises ``Unfit``."""
    return path(text) if text.startswith("/") else tcp(text)


def reference(text: str) -> Routed:
    """Of `edge/api`: the router, and what it calls the service. Raises ``Unfit``."""
    router, slash, service = text.partition("/")
    if not all(re.fullmatch(scalars.NAME, name) for name in (router, service)):
        raise Unfit("" if slash else "after the router's name comes / and what the router calls the service")
    return Routed(router, service)


PATH = Scalar("an absolute path", path, _pattern(_PATH))
TCP = Scalar("address:port", tcp, _pattern(_TCP))
PLACE = Scalar("the path of a socket, or address:port", place, _pattern(f"{_PATH}|{_TCP}"))
HEADER = Scalar("the name of a header", scalars.matching(_HEADER), _pattern(_HEADER))
COOKIE = Scalar(
    "the name of a cookie: letters, digits and `_`, not beginning with a digit",
    scalars.matching(_COOKIE),
    _pattern(_COOKIE),
)
CHECK_PATH = Scalar("a path that begins with /", scalars.matching(_CHECK), _pattern(_CHECK))
REFERENCE = Scalar("router/service such as edge/api", reference, _pattern(f"{scalars.NAME}/{scalars.NAME}"))

_HOST = Key("host", NAME, "The host that it runs on, one with an `ssh` entry. Without it: the machine that qd runs on.")

HAPROXY = Keys(
    "an HAProxy",
    (
        _HOST,
        Key("socket", PLACE, "Its runtime socket, as its host sees it.", default="/run/haproxy/admin.sock"),
        Key(
            "files",
            PATH,
            "The directory of its maps and its servers' states, written after every change.",
            default="/var/lib/haproxy/qd",
        ),
    ),
    make=lambda **found: HaproxyRouter("", **found),
)
NGINX = Keys(
    "an nginx",
    (
        _HOST,
        Key("upstreams", PATH, "The directory whose files it includes.", default="/etc/nginx/qd"),
        Key("test", COMMAND, "The command that tests its configuration.", default="sudo -n nginx -t"),
        Key("reload", COMMAND, "The command that loads it.", default="sudo -n nginx -s reload"),
        Key("status", TCP, "Where it tells which state it runs. Without it: only its file is read back."),
        Key("pid", PATH, "Its pid file.", default="/run/nginx.pid"),
    ),
    make=lambda **found: NginxRouter("", **found),
)
CADDY = Keys(
    "a Caddy",
    (
        _HOST,
        Key("admin", PLACE, "Its admin API, as its host sees it.", default="localhost:2019"),
    ),
    make=lambda **found: CaddyRouter("", **found),
)


def _router(**found: Router) -> Router:
    return next(iter(found.values()))


ROUTER = Keys(
    "a router",
    (
        Key("haproxy", HAPROXY, "HAProxy 2.6 or newer, over its runtime socket."),
        Key("nginx", NGINX, "nginx 1.22 or newer, by a file for each service and a reload."),
        Key("caddy", CADDY, "Caddy 2.6 or newer, over its admin API."),
    ),
    make=_router,
    one_of=("haproxy", "nginx", "caddy"),
)
ROUTERS = MapOf(ROUTER, "a mapping of names to routers", NAME, json_key=scalars.NAME)


def named(routers: Mapping[str, Router]) -> dict[str, Router]:
    """Each with the name that it has in the file."""
    return {name: msgspec.structs.replace(router, name=name) for name, router in routers.items()}


def _different(node: MappingNode, values: Mapping[str, Any], problems: Problems) -> bool:
    if "affinity" not in node.entries or values.get("affinity") != values.get("cookie", Routed("", "").cookie):
        return True
    problems.add(node.value("affinity"), "`affinity` and `cookie` are the same cookie: rules and shares need one each")
    return False


def _routed(use: Routed, **found: Any) -> Routed:
    return msgspec.structs.replace(use, **found)


ROUTED = Either(
    REFERENCE,
    Keys(
        "a service's router",
        (
            Key("use", REFERENCE, "The router, and what it calls the service.", required=True),
            Key("header", HEADER, "The header that rules look at.", default="X-Qd-Variant"),
            Key("cookie", COOKIE, "The cookie that rules look at.", default="qd_variant"),
            Key(
                "affinity",
                COOKIE,
                "The cookie by whose value a client keeps to its release. Without it: each request is decided anew.",
            ),
            Key("check", CHECK_PATH, "The path of the router's own health check. Without it: that of `health`, or /."),
            Key("port", PORT, "The port of the service, as the router reaches it. Without it: that of `health`."),
            Key(
                "drain",
                DURATION,
                "How long requests that are under way may take when a host leaves; then they are cut, where the router can.",
                default="10s",
            ),
        ),
        make=_routed,
        check=_different,
    ),
)
