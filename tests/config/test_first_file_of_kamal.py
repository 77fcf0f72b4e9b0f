"""A Kamal file becomes a fleet file that can be read, whatever stands in it; what is not taken over is said."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.config.first_file.draft import CannotBegin, Draft
from quarterdeck.config.first_file.joining import Wishes, joined
from quarterdeck.config.first_file.proving import proved
from quarterdeck.config.first_file.sources import Origin, kind_of, read
from quarterdeck.config.model import Fleet

SECRET = "hunter2-correct-horse"
SECOND = f"""\
service: shop
image: acme/shop
servers:
  web:
    - 192.168.0.1
    - 192.168.0.2: [canary]
  job:
    hosts: [192.168.0.3]
    cmd: bin/jobs --queue "a b"
    options: {{memory: 512m, add-host: x}}
proxy: {{ssl: true, host: shop.example.com, app_port: 3000, healthcheck: {{path: /health, interval: 3}}}}
registry: {{server: registry.example.com, username: deployer, password: [REGISTRY_TOKEN]}}
builder: {{arch: amd64}}
env:
  clear:
    DB_HOST: 192.168.0.2
    API_TOKEN: {SECRET}
    GIT: <%= `git rev-parse HEAD` %>
    REGION: <%= ENV["REGION"] %>
  secret: [RAILS_MASTER_KEY, "DB_PASSWORD:PROD_DB_PASSWORD"]
ssh: {{user: app, port: 2222, proxy: root@jump}}
volumes: ["data:/rails/storage", "/srv/shop:/files"]
accessories: {{db: {{image: mysql, host: 192.168.0.2, env: {{clear: {{MYSQL_ROOT_PASSWORD: {SECRET}}}}}}}}}
boot: {{limit: 25%, wait: 10}}
frobnicate: {{deep: 1}}
"""
FIRST = f"""\
service: blog
image: acme/blog
servers: [10.0.0.1, 10.0.0.2]
registry: {{username: [DOCKER_USER], password: {SECRET}}}
env: {{RACK_ENV: production, SESSION_SECRET: {SECRET}}}
healthcheck: {{path: /healthz, port: 4000, max_attempts: 7}}
traefik: {{args: {{}}}}
labels: {{team: web}}
"""

_numbers = itertools.count()


def project(directory: Path, text: str, **destinations: str) -> Path:
    path = directory / f"project-{next(_numbers)}" / "config" / "deploy.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    for name, over in destinations.items():
        path.with_name(f"deploy.{name}.yml").write_text(over, encoding="utf-8")
    return path


def fleet_of(path: Path) -> tuple[Draft, str, Fleet]:
    assert kind_of(path.read_text(), path.name) == "kamal"
    beside = path.parent.parent
    return proved(joined([read(Origin("kamal", path), beside)], Wishes(), "here"), beside)


def test_the_second_kamal(tmp_path: Path) -> None:
    draft, text, fleet = fleet_of(project(tmp_path, SECOND))
    assert SECRET not in text
    assert not draft.waiting
    assert set(fleet.targets) == {"production/shop", "production-job/shop-job"}
    web, job = fleet.targets["production/shop"], fleet.targets["production-job/shop-job"]
    assert [host.docker for host in web.hosts] == ["ssh://app@192.168.0.1:2222", "ssh://app@192.168.0.2:2222"]
    assert web.artifact is not None
    assert web.artifact.image == "registry.example.com/acme/shop"
    assert web.env == {"DB_HOST": "192.168.0.2"}
    assert {name: one.source for name, one in web.secrets.items()} == {
        "API_TOKEN": "API_TOKEN",
        "REGION": "REGION",
        "RAILS_MASTER_KEY": "RAILS_MASTER_KEY",
        "DB_PASSWORD": "PROD_DB_PASSWORD",
    }
    assert web.health is not None
    assert web.health.http is not None
    assert (web.health.http.port, web.health.http.path, web.health.interval) == (3000, "/health", 3.0)
    assert job.container is not None
    assert job.container.command == ("bin/jobs", "--queue", "a b")
    assert job.health is None or job.health.http is None
    assert fleet.registries["registry.example.com"].password.source == "REGISTRY_TOKEN"
    left = {said.what for said in draft.left}
    assert {"builder", "accessories", "frobnicate", "proxy.ssl", "proxy.host", "ssh.proxy", "env.clear.GIT"} <= left
    assert "volumes: data:/rails/storage" in left
    assert "servers.job.options.add-host" in left


def test_the_first_kamal(tmp_path: Path) -> None:
    draft, text, fleet = fleet_of(project(tmp_path, FIRST))
    assert SECRET not in text
    target = fleet.targets["production/blog"]
    assert [host.docker for host in target.hosts] == ["ssh://root@10.0.0.1", "ssh://root@10.0.0.2"]
    assert target.env == {"RACK_ENV": "production"}
    assert target.secrets["SESSION_SECRET"].source == "SESSION_SECRET"
    assert target.health is not None
    assert target.health.http is not None
    assert (target.health.http.port, target.health.http.path) == (4000, "/healthz")
    assert {"traefik", "healthcheck.max_attempts", "registry.username"} <= {said.what for said in draft.left}
    assert any("docker login docker.io" in sentence for sentence in draft.to_do)


def test_destinations_are_environments(tmp_path: Path) -> None:
    base = "service: shop\nimage: acme/shop\nenv: {clear: {LOG: info, REGION: eu}, secret: [KEY_ONE]}\n"
    staging = "servers: [10.0.0.1]\nenv: {clear: {LOG: debug}}\nssh: {user: app}\n"
    production = "servers: {web: [10.0.1.1, 10.0.1.2]}\n"
    draft, _, fleet = fleet_of(project(tmp_path, base, staging=staging, production=production))
    assert not draft.waiting
    assert set(fleet.targets) == {"production/shop", "staging/shop"}
    assert fleet.targets["staging/shop"].env == {"LOG": "debug", "REGION": "eu"}
    assert fleet.targets["production/shop"].env == {"LOG": "info", "REGION": "eu"}
    assert [host.docker for host in fleet.targets["staging/shop"].hosts] == ["ssh://app@10.0.0.1"]


def test_erb_is_said_and_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = (
        f"<% require 'x'; `touch {ran}` %>\nservice: shop\nimage: acme/shop\n"
        f"servers:\n  web:\n    - <%= `touch {ran}` %>\n    - 10.0.0.1\n<%# a comment %>\n"
    )
    draft, _, fleet = fleet_of(project(tmp_path, text))
    assert len(fleet.hosts) == 1
    assert not ran.exists()
    said = " ".join(f"{one.what} {one.why}" for one in draft.left)
    assert "ERB" in said
    assert "require" not in said, "any word of it may be a secret"
    assert "a comment" not in said
    with pytest.raises(CannotBegin, match="could be taken over"):
        fleet_of(project(tmp_path, "service: shop\nimage: <%= x %>\nservers: [a]\n"))
    with pytest.raises(CannotBegin, match="not run"):
        fleet_of(project(tmp_path, "service: shop\nimage: x\n<%= x %>\n: [\n"))


def test_a_service_that_can_not_be_read_stands_there_as_a_comment(tmp_path: Path) -> None:
    text = "service: shop\nimage: acme/shop\nservers: [10.0.0.1]\nproxy: {app_port: 99999}\n"
    draft, written, fleet = fleet_of(project(tmp_path, text))
    assert not fleet.targets
    (waiting,) = draft.waiting
    assert "a port from 1 to 65535" in " ".join(waiting.why)
    assert "# TO DO: shop of deploy.yml can't be used as it is:" in written
    assert "#   shop:" in written


TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
ERB = st.sampled_from(["<%= ENV['A'] %>", "<%= x %>"])
SCALAR = st.one_of(
    TEXT, ERB, st.booleans(), st.integers(), st.none(), st.sampled_from(["10.0.0.9", "80", "a b", "::1"])
)
ANY = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4
)
KEYS = (
    "registry", "env", "ssh", "volumes", "labels", "logging", "healthcheck", "proxy", "boot", "deploy_timeout",
    "stop_wait_time", "primary_role", "accessories", "traefik", "asset_path", "own",
)  # fmt: skip
ENV = st.fixed_dictionaries(
    {},
    optional={
        "clear": st.dictionaries(st.sampled_from(["A", "B", "b c"]), ANY, max_size=3),
        "secret": st.lists(TEXT, max_size=2),
    },
)
BODY = st.fixed_dictionaries(
    {
        "servers": st.one_of(
            ANY, st.dictionaries(st.sampled_from(["web", "job"]), st.one_of(ANY, st.just(["10.0.0.1"])), max_size=2)
        )
    },
    optional=dict.fromkeys(KEYS, ANY) | {"env": ENV},
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODY)
def test_any_kamal_file_becomes_a_fleet_file(body: dict[str, Any], tmp_path: Path) -> None:
    text = yaml.safe_dump({"service": "shop", "image": "acme/shop", **body}, allow_unicode=True)
    path = project(tmp_path, text)
    try:
        draft, _, fleet = fleet_of(path)
    except CannotBegin:  # no server, or characters that no fleet file may hold; the sentence says which
        return
    there = [*fleet.services, *(one.service.name for one in draft.waiting)]
    assert there
    assert all(name.startswith("shop") for name in there)
    told = " ".join(said.what for said in draft.left)
    for key, value in body.items():
        if key in ("accessories", "traefik", "asset_path", "own") and value not in (None, [], {}):
            assert key in told
