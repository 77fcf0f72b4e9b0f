"""Routers of the fleet file, before the loader takes them: what is read, what is refused, and that defaults are as described."""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.load import FleetFileErrors, load_fleet
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


def test_the_loader_says_that_it_does_not_take_them_yet(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yml"
    file.write_text(
        "fleet: acme\nstate: state\nrouters: {}\nhosts: {h: {ssh: h}}\nenvironments: {e: {hosts: [h]}}\nservices: {}\n"
    )
    with pytest.raises(FleetFileErrors, match="`routers` is not supported by this version"):
        load_fleet(file)
