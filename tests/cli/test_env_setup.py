"""`qd env setup`: what it prints is what docs/routers.md shows and what real routers take; it writes only where it was told to."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from quarterdeck.config.routers import CADDY_ADMIN, HAPROXY_FILES, HAPROXY_SOCKET
from tests.backends.routers.running import (
    Running,
    RunningCaddy,
    RunningHaproxy,
    RunningNginx,
    documented,
    exchanged,
    program,
)
from tests.cli.qd_command import Qd

ROUTERS = """\
routers:
  edge: {haproxy: {host: lb-1}}
  web: {nginx: {host: lb-2, status: "127.0.0.1:8491"}}
  gate: {caddy: {}}
"""
SERVICE = """\
  %(name)s:
    artifact: {tarball: "/srv/artifacts/%(name)s-{version}.tar.gz"}
    path: "~/%(name)s"
    commands: {start: bin/start, stop: bin/stop}
    health: {http: {port: %(port)s, path: /health}}
    router: {use: "%(router)s", affinity: uid}
"""
SECTIONS = {
    "edge": ("HAProxy", ["haproxy"]),
    "web": ("nginx", ["nginx", "conf"]),
    "gate": ("Caddy", ["json"]),
}


def write(qd: Qd, **services: str) -> None:
    """``services``: the name of each, and the router that it is behind."""
    text = (
        f"fleet: acme\nstate: {qd.state}\nhosts:\n"
        '  lb-1: {ssh: "deploy@127.0.0.1:1"}\n  lb-2: {ssh: "127.0.0.1:2"}\n  app-1: {ssh: "app@127.0.0.1:3"}\n'
        f"environments:\n  production: {{hosts: [app-1]}}\n{ROUTERS}services:\n"
    )
    for number, (name, router) in enumerate(services.items()):
        text += SERVICE % {"name": name, "port": 8080 + number, "router": router}
    text += (
        '  plain: {artifact: {tarball: "/a-{version}.tar.gz"}, path: /srv/plain, commands: {start: "1", stop: "1"}}\n'
    )
    qd.fleet_file.write_text(text)


@pytest.mark.parametrize("router", SECTIONS)
def test_what_is_printed_is_what_the_document_shows(qd: Qd, router: str) -> None:
    write(qd, api=f"{router}/api")
    section, languages = SECTIONS[router]
    (shown,) = json.loads(qd("env", "setup", "production", "--json").stdout)["routers"]
    assert [file["text"] for file in shown["files"]] == [documented(section, language) for language in languages]
    assert all(file["why"] for file in shown["files"])
    printed = qd("env", "setup", "production", "api").stdout
    for file in shown["files"]:
        assert f"\n{file['path']}\n  {file['why']}\n\n{file['text']}" in printed
    assert "\n".join(shown["commands"]) in printed
    assert ("  for the login deploy: the fleet file does not say as whom lb-2 is reached" in printed) == (
        router == "web"
    )
    if router != "gate":  # caddy's commands name no login
        assert " deploy" in shown["commands"][0]


KINDS: dict[str, type[Running]] = {"edge": RunningHaproxy, "web": RunningNginx, "gate": RunningCaddy}


@pytest.mark.root
@pytest.mark.parametrize("router", KINDS)
async def test_a_router_starts_with_the_files_that_were_written(qd: Qd, router: str) -> None:
    """Two services, below their paths; only paths and ports are exchanged for those of a test."""
    running = KINDS[router]()
    try:
        write(qd, api=f"{router}/api", shop=f"{router}/shop")
        done = json.loads(qd("env", "setup", "production", "--to", "out", "--port", "8000", "--json").stdout)
        written = {f"/{Path(path).relative_to('out')}": qd.directory / path for path in done["written"]}
        assert list(written) == [file["path"] for file in done["routers"][0]["files"]]
        assert [one["port"] for one in done["routers"][0]["targets"]] == [8000, 8001]
        checks(running, written)
    finally:
        await running.close()


def checks(running: Running, written: dict[str, Path]) -> None:
    """The router's own test of its configuration."""
    below = running.directory
    match running:
        case RunningHaproxy():
            places = {HAPROXY_SOCKET: str(below / "s.sock"), HAPROXY_FILES: str(below / "qd")}
            for name in ("shop_share.map", "shop_rules.map"):
                (below / "qd" / name).touch()
            text = exchanged(written["/etc/haproxy/haproxy.cfg"].read_text(), places)
            command = [program("haproxy", "haproxy"), "-c", "-f", str(running.configuration)]
        case RunningNginx():
            for name in ("api", "shop"):
                (below / "qd" / f"{name}.conf").write_text(written[f"/etc/nginx/qd/{name}.conf"].read_text())
            places = {
                "/run/nginx.pid": str(below / "test.pid"),
                "/var/log/nginx/": f"{below}/",
                "/etc/nginx/qd/": f"{below}/qd/",
            }
            text = exchanged(written["/etc/nginx/nginx.conf"].read_text(), places)
            command = [program("nginx", "nginx-light"), "-t", "-c", str(running.configuration)]
        case RunningCaddy():
            text = exchanged(written["/etc/caddy/quarterdeck.json"].read_text(), {CADDY_ADMIN: running.admin})
            command = [program("caddy", "caddy"), "validate", "--config", str(running.configuration)]
        case _:
            raise AssertionError(running)
    running.configuration.write_text(text)
    home = {name: str(below) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **home}, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_written_over(qd: Qd) -> None:
    write(qd, api="edge/api", shop="web/shop")
    qd("env", "setup", "production", "--to", "out")
    assert (qd.directory / "out/edge/etc/haproxy/haproxy.cfg").is_file(), "with several routers each has a folder"
    assert (qd.directory / "out/web/etc/nginx/qd/shop.conf").is_file()
    qd("env", "setup", "production", "--to", "out")
    own = qd.directory / "out/web/etc/nginx/nginx.conf"
    own.write_text("mine\n")
    (qd.directory / "out/edge/etc/haproxy/haproxy.cfg").unlink()
    refused = qd("env", "setup", "production", "--to", "out", status=2)
    assert "out/web/etc/nginx/nginx.conf is there and holds something else; nothing was written" in refused.stderr
    assert own.read_text() == "mine\n"
    assert not (qd.directory / "out/edge/etc/haproxy/haproxy.cfg").exists()


def test_services_without_a_router(qd: Qd) -> None:
    write(qd, api="edge/api", shop="edge/shop")
    assert "is behind no router" in qd("env", "setup", "production", "plain", status=2).stderr
    assert (
        "there is no host and no environment 'produktion'; did you mean production?"
        in qd("env", "setup", "produktion", status=2).stderr
    )
    assert "qd env setup HOST or ENV" in qd("env", status=2).stderr
    assert "same router: production/shop" in qd("env", "setup", "production", "api").stdout
    write(qd)
    assert "nothing is needed" in qd("env", "setup", "production").stdout
