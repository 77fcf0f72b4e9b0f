"""Routers of the fleet file: what is read, what is refused, and that defaults are as described."""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import FleetFileErrors, load_fleet
from quarterdeck.config.model import Share
from quarterdeck.config.problems import Problems
from quarterdeck.config.router_keys import CADDY, HAPROXY, NGINX, ROUTED, ROUTERS, named
from quarterdeck.config.routers import CaddyRouter, HaproxyRouter, NginxRouter, Routed
from quarterdeck.config.shapes import Keys, Shape
from quarterdeck.config.source import read_node


def read(tmp_path: Path, shape: Shape, text: str) -> tuple[Any, list[str]]:
    file = tmp_path / "routers.yml"
    file.write_text(text)
    problems = Problems()
    node = read_node(file, problems)
    assert node is not None
    value = shape.read(node, problems)
    return value, [str(problem) for problem in problems.found.values()]


def test_routers_of_every_kind(tmp_path: Path) -> None:
    routers, told = read(
        tmp_path,
        ROUTERS,
        "edge:  {haproxy: {host: lb-1, socket: /run/haproxy/admin.sock}}\n"
        "tcp:   {haproxy: {socket: '10.0.0.1:9999', files: /srv/qd}}\n"
        "front: {nginx: {host: lb-1, upstreams: /etc/nginx/upstreams.d, reload: systemctl reload nginx, status: '127.0.0.1:8491'}}\n"
        "side:  {caddy: {}}\n",
    )
    assert told == []
    assert named(routers) == {
        "edge": HaproxyRouter("edge", "lb-1"),
        "tcp": HaproxyRouter("tcp", "", "10.0.0.1:9999", "/srv/qd"),
        "front": NginxRouter(
            "front", "lb-1", "/etc/nginx/upstreams.d", reload="systemctl reload nginx", status="127.0.0.1:8491"
        ),
        "side": CaddyRouter("side"),
    }


def test_a_service_names_its_router(tmp_path: Path) -> None:
    assert read(tmp_path, ROUTED, "edge/api\n") == (Routed("edge", "api"), [])
    long = "{use: edge/api, header: X-Beta, cookie: beta, affinity: uid, check: /healthz}\n"
    assert read(tmp_path, ROUTED, long) == (Routed("edge", "api", "X-Beta", "beta", "uid", "/healthz"), [])


@pytest.mark.parametrize(
    ("shape", "text", "words"),
    [
        (ROUTERS, "edge: {}", "needs `haproxy`, `nginx` or `caddy`"),
        (ROUTERS, "edge: {caddy: {}, nginx: {}}", "only one of `haproxy`, `nginx` or `caddy`"),
        (ROUTERS, "edge: {haproxy: {sokcet: /run/x}}", "unknown key `sokcet` in an HAProxy"),
        (ROUTERS, "edge: {haproxy: {socket: run/x}}", "expected the path of a socket, or address:port"),
        (ROUTERS, "edge: {haproxy: {socket: lb-1}}", "the port is missing"),
        (ROUTERS, "edge: {haproxy: {socket: 'lb-1:70000'}}", "expected the path of a socket, or address:port"),
        (ROUTERS, "edge: {haproxy: {files: /srv/../etc}}", "must not contain .."),
        (ROUTERS, "edge: {nginx: {upstreams: '/etc/nginx/$(id)'}}", "expected an absolute path"),
        (ROUTED, "edge", "after the router's name comes / and what the router calls the service"),
        (ROUTED, "edge/Api", "expected router/service such as edge/api"),
        (ROUTED, "{header: X}", "`use` is missing"),
        (ROUTED, "{use: edge/api, cookie: a-b}", "expected the name of a cookie"),
        (ROUTED, "{use: edge/api, check: '/x; return 200'}", "expected a path that begins with /"),
        (ROUTED, "{use: edge/api, affinity: qd_variant}", "are the same cookie"),
    ],
)
def test_what_is_refused(tmp_path: Path, shape: Shape, text: str, words: str) -> None:
    value, told = read(tmp_path, shape, text + "\n")
    assert len(told) == 1, told
    assert words in told[0]
    assert value in (None, {})


@pytest.mark.parametrize(
    ("keys", "value"),
    [(HAPROXY, HaproxyRouter("")), (NGINX, NginxRouter("")), (CADDY, CaddyRouter("")), (ROUTED.long, Routed("", ""))],
)
def test_defaults_are_as_described(keys: Shape, value: object) -> None:
    assert isinstance(keys, Keys)
    for key in keys.keys:
        if key.default is not None:
            assert keys.default(key.name) == getattr(value, key.field_name), key.name


FLEET = """\
fleet: acme
state: state
routers: {{edge: {{haproxy: {{host: lb}}}}, side: {{caddy: {{}}}}}}
hosts: {{h: {{ssh: h, address: 10.0.0.1}}, lb: {{ssh: lb}}, box: {{docker: "ssh://box"}}}}
environments: {{e: {{hosts: [h]}}, f: {{hosts: [box]}}}}
services:
  web:
    artifact: {{tarball: x}}
    path: "/srv/{{environment}}"
    unit: web.service
    environments: {{f: null}}
    {}
  app: {{artifact: {{image: app}}, container: {{{}}}, environments: {{e: null}}{}}}
"""


def test_a_target_has_its_way_through_the_router(tmp_path: Path) -> None:
    """What the service's router leaves out is that of its health gate."""
    file = tmp_path / "fleet.yml"
    web = "{router: edge/web, health: {http: {port: 8080, path: /up}}}"[1:-1].replace(", health", "\n    health")
    file.write_text(FLEET.format(web, 'ports: ["8080-8081:80"]', ", router: {use: side/app, port: 80, drain: 1m}"))
    fleet = load_fleet(file)
    target = fleet.targets["e/web"]
    assert target.routed == Routed("edge", "web", port=8080, check="/up")
    assert target.router == HaproxyRouter("edge", "lb")
    assert target.router_host == fleet.hosts["lb"]
    assert target.hosts[0].address == "10.0.0.1"
    assert target.rollback.max_unavailable == Share(percent=67.0), "behind a router somebody serves all the time"
    other = fleet.targets["f/app"]
    assert other.routed == Routed("side", "app", port=80, check="/", drain=60.0)
    assert (other.router, other.router_host) == (CaddyRouter("side"), None)


@pytest.mark.parametrize(
    ("web", "container", "app", "words"),
    [
        ("router: egde/web\n    health: {tcp: 80}", "", "", "there is no router `egde`"),
        ("router: edge/web", "", "", "it is not known where the service listens: add `port`"),
        (
            "router: {use: edge/x, port: 80}",
            "",
            ", router: {use: edge/x, port: 80}",
            "e/web and f/app are both `edge/x`",
        ),
        ("", "", ", router: {use: side/app, port: 80}", "the container publishes no port for its 80"),
        ("strategy: {ab: {match: {header: [b]}}}", "", "", "an A/B test needs a router in front of the service"),
        ("strategy: blue_green", "", "", "blue/green needs a router"),
        ("strategy: {canary: {steps: [{set_scale: 1}, {set_weight: 9}]}}", "", "", "`set_scale` needs a router"),
        (
            "router: {use: side/web, port: 80}\n    strategy: {canary: {steps: [{set_weight: 2.5}]}}",
            "",
            "",
            "set_weight 2.5: Caddy shares requests in whole percents",
        ),
        (
            "router: {use: side/web, port: 80}\n    strategy: {canary: {steps: [{set_route: {header: [b]}}, {set_weight: 2}]}}",
            "",
            "",
            "nobody has the new release yet",
        ),
    ],
)
def test_what_only_the_whole_shows(tmp_path: Path, web: str, container: str, app: str, words: str) -> None:
    file = tmp_path / "fleet.yml"
    file.write_text(FLEET.format(web, container, app))
    with pytest.raises(FleetFileErrors) as caught:
        load_fleet(file)
    assert words in str(caught.value)


def test_a_router_runs_on_a_host_that_ssh_reaches(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yml"
    file.write_text(FLEET.format("", "", "").replace("{host: lb}", "{host: box}"))
    with pytest.raises(FleetFileErrors, match="box is reached over no SSH"):
        load_fleet(file)


def test_a_fault_of_a_router_is_told_once(tmp_path: Path) -> None:
    """Not of those who name it as well: it is there."""
    file = tmp_path / "fleet.yml"
    web = "router: {use: edge/web, port: 80}\n    strategy: {canary: {steps: [{set_scale: 1}, {set_weight: 9}]}}"
    file.write_text(FLEET.format(web, "", "").replace("{host: lb}", "{hst: lb}"))
    with pytest.raises(FleetFileErrors) as caught:
        load_fleet(file)
    assert len(caught.value.problems) == 1, caught.value.problems
    assert "unknown key `hst` in an HAProxy" in str(caught.value)
