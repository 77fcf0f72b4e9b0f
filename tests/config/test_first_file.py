"""What `qd init` writes can always be read, holds no secret, and says what it did not take over: over generated sources."""

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.config.first_file.draft import CannotBegin, Draft
from quarterdeck.config.first_file.from_docker import read_contexts
from quarterdeck.config.first_file.from_ssh import read_ssh_config
from quarterdeck.config.first_file.joining import Wishes, joined
from quarterdeck.config.first_file.proving import proved
from quarterdeck.config.first_file.secret_looks import looks_secret
from quarterdeck.config.first_file.sources import Origin, kind_of, read
from quarterdeck.config.first_file.writing import MARK
from quarterdeck.config.first_file.yaml_text import block, scalar
from quarterdeck.config.model import Fleet
from quarterdeck.config.nodes import MappingNode, ScalarNode, Source
from quarterdeck.config.problems import Problems
from quarterdeck.config.source import can_stand, node_of, read_node

MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SECRET = "hunter2-correct-horse"
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
WORD = st.text("abcXYZ019-_. ", min_size=1, max_size=12)

_numbers = itertools.count()


def fresh(directory: Path) -> Path:
    made = directory / f"shop-{next(_numbers)}"
    made.mkdir()
    return made


def made_of(*drafts: Draft, directory: Path) -> tuple[Draft, str, Fleet]:
    draft, text, fleet = proved(joined(drafts, Wishes(), directory.name), directory)
    assert [path.name for path in directory.glob(".qd-init*")] == []
    return draft, text, fleet


@MANY
@given(value=st.recursive(TEXT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)))
def test_every_text_is_read_back_as_it_was(value: Any) -> None:
    tree = {"key": value}
    if not can_stand("".join(_texts(value))):
        with pytest.raises(ValueError, match="can't stand"):
            block(tree, 2)
        return
    lines = block(tree, 2)
    problems = Problems()
    node = node_of(Source(Path("x"), Path("/")), "\n".join(lines) + "\n", problems)
    assert not problems.found
    assert _plain(node) == tree


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in [] if isinstance(value, str) else value:
        yield from _texts(one)
        if isinstance(value, dict):
            yield from _texts(value[one])


def _plain(node: Any) -> Any:
    if isinstance(node, ScalarNode):
        assert not node.is_null
        return node.text
    if isinstance(node, MappingNode):
        return {name: _plain(entry.value) for name, entry in node.entries.items()}
    return [_plain(item) for item in node.items]


@pytest.mark.parametrize(
    "text", ["no", "1.10", "22:22", "1e3", "0x1f", "~", "null", "2026-12-20", "", "on", "a: b", "a #b", "@a", "010"]
)
def test_what_other_readers_take_for_something_else_is_quoted(text: str) -> None:
    assert yaml.safe_load(scalar(text)) == text


# SSH configurations

SSH_LINE = st.one_of(
    st.builds(lambda names: f"Host {' '.join(names)}", st.lists(WORD, min_size=1, max_size=3)),
    st.builds(lambda name: f"Host {name}", st.from_regex(r"[a-zA-Z0-9_.*?!-]{1,10}", fullmatch=True)),
    st.builds(lambda text: f"  HostName {text}", TEXT),
    st.builds(lambda text: f"  User = {text}", WORD),
    st.builds(lambda text: f"Match {text}", TEXT),
    st.builds(lambda text: text, TEXT),
)


@MANY
@given(lines=st.lists(SSH_LINE, max_size=12))
def test_any_ssh_configuration_becomes_a_fleet_file(lines: list[str], tmp_path: Path) -> None:
    here = fresh(tmp_path)
    (here / "config").write_text("\n".join(["Host sure-1", *lines]) + "\n", encoding="utf-8")
    draft, text, fleet = made_of(read_ssh_config(here / "config"), directory=here)
    assert "sure-1" in fleet.hosts
    assert set(fleet.targets) == {"production/web"}
    assert MARK in text
    assert not draft.waiting


def test_ssh_hosts_are_named_and_what_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("Host box-9\n  HostName 10.0.0.9\n")
    (tmp_path / "config").write_text(
        "Include more.conf\nHost *\n  User all\nHost Web_1 w1\n  HostName 10.0.0.1\nHost a b\n  User x\n"
        "Host code\n  HostName github.com\nHost web-*\n  User x\nMatch user bob\n  Port 3\nHost web-1\n  Port 22\n"
        "Host Web_1\n  User later\n"
    )
    draft = read_ssh_config(tmp_path / "config")
    assert [(host.name, host.ssh) for host in draft.hosts] == [
        ("box-9", "box-9"),
        ("web_1", "Web_1"),
        ("a", "a"),
        ("b", "b"),
        ("web-1", "web-1"),
    ]
    assert {said.what for said in draft.left} == {"Match user bob", "Host w1", "Host code"}
    with pytest.raises(CannotBegin, match="there is no file"):
        read_ssh_config(tmp_path / "nothing")


# Compose files

VALUE = st.one_of(
    TEXT, st.booleans(), st.integers(), st.none(), st.lists(TEXT, max_size=2), st.dictionaries(WORD, TEXT, max_size=2)
)
COMPOSE_SERVICE = st.fixed_dictionaries(
    {},
    optional={
        "image": st.one_of(
            st.sampled_from(["nginx", "nginx:1.27", "r.example.com:5000/a/b:${TAG:-latest}", "a@sha256:" + "0" * 64]),
            TEXT,
        ),
        "build": st.just("."),
        "depends_on": st.just(["db"]),
        "profiles": st.just(["x"]),
        "environment": st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), TEXT, max_size=3),
        "volumes": st.lists(st.sampled_from(["data:/data", "./conf:/etc/conf:ro", "/srv:/srv", "a/b:/c"]), max_size=2),
        "ports": st.lists(st.sampled_from(["80", "8080:80", "8080-8081:80"]), max_size=2),
        "deploy": VALUE,
        "restart": st.sampled_from(["always", "no", "sometimes"]),
        "x-own": VALUE,
        "colour": VALUE,
        "healthcheck": VALUE,
    },
)
COMPOSE = st.fixed_dictionaries(
    {"services": st.dictionaries(st.one_of(WORD, TEXT), COMPOSE_SERVICE, max_size=3)},
    optional={"volumes": st.just({"data": {}}), "include": VALUE, "name": WORD, "networks": VALUE},
)


@MANY
@given(body=COMPOSE)
def test_any_compose_file_becomes_a_fleet_file(body: dict[str, Any], tmp_path: Path) -> None:
    here = fresh(tmp_path)
    body["services"]["sure"] = {"image": "nginx"}
    (here / "compose.yaml").write_text(yaml.safe_dump(body, allow_unicode=True), encoding="utf-8")
    try:
        found = read(Origin("compose", here / "compose.yaml"), here)
    except CannotBegin:  # the file as a whole can't be read, and the sentence says where
        return
    draft, text, fleet = made_of(found, directory=here)
    here_now = {*fleet.services, *(one.service.name for one in draft.waiting)}
    assert "sure" in here_now
    told = " ".join(said.source for said in draft.left)
    for name in body["services"]:
        # Each is there, or waits as a comment, or is said not to be taken over.
        assert f"compose.yaml: {name}" in told or f"service: {scalar(name)}" in text
    for one in draft.waiting:
        assert f"# {MARK} {one.service.name}" in text.replace("  # ", "# ")


def test_a_compose_service_is_pointed_at_and_its_secrets_become_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAG", raising=False)
    (tmp_path / ".env").write_text(f"PGPASSWORD={SECRET}\n")
    (tmp_path / "app.env").write_text(f"API_TOKEN={SECRET}\nLOG=info\n")
    (tmp_path / "compose.yaml").write_text(
        "services:\n"
        "  api:\n"
        "    image: registry.example.com/api:${TAG}\n"
        "    build: .\n"
        "    env_file: app.env\n"
        "    environment:\n"
        f"      - DATABASE_URL=postgres://app:{SECRET}@db/app\n"
        "      - DB_PASSWORD=${PGPASSWORD}\n"
        "      - LOG_LEVEL=info\n"
        "    depends_on: [db]\n"
        "    deploy: {restart_policy: {window: 5s}, resources: {limits: {memory: 1g}}}\n"
        "    volumes: [./conf:/etc/api]\n"
        "    secrets: [signing]\n"
        "  tool: {build: ./tool}\n"
        "  odd: {image: odd, environment: {A: '${NOT_SET_ANYWHERE_42}'}}\n"
        "secrets: {signing: {external: true}}\n"
    )
    draft, text, fleet = made_of(read(Origin("compose", tmp_path / "compose.yaml"), tmp_path), directory=tmp_path)
    assert SECRET not in text
    assert SECRET not in json.dumps([said.why for said in draft.left])
    target = fleet.targets["production/api"]
    assert target.artifact is not None
    assert target.artifact.image == "registry.example.com/api"
    references = {name: (one.kind, one.source) for name, one in target.secrets.items()}
    assert references == {
        "API_TOKEN": ("env", "API_TOKEN"),
        "DATABASE_URL": ("env", "DATABASE_URL"),
        "DB_PASSWORD": ("env", "PGPASSWORD"),
        "signing": ("env", "SIGNING"),
    }
    assert SECRET not in repr(target)
    assert target.env == {"LOG": "info", "LOG_LEVEL": "info"}
    assert "without: [depends_on, deploy.restart_policy.window]" in text
    left = {(said.source, said.what) for said in draft.left}
    assert ("compose.yaml: api", "depends_on") in left
    assert ("compose.yaml: api", "build") in left
    assert ("compose.yaml: tool", "the service") in left
    # What can't be read stands there as a comment, with the reader's reason.
    (waiting,) = draft.waiting
    assert waiting.service.name == "odd"
    assert "NOT_SET_ANYWHERE_42" in " ".join(waiting.why)
    assert "#   odd:" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "x"),
        ("SECRET_KEY_BASE", "x"),
        ("api_token", "x"),
        ("URL", "postgres://a:b@c/d"),
        ("THING", "ghp_abcdefghijklmnop1234"),
        ("THING", "-----BEGIN RSA PRIVATE KEY-----"),
        ("THING", "a8F3kk29Xq0Zp71LmN44bC"),
        ("RAILS_MASTER_KEY", "x"),
        ("SENTRY_DSN", "https://x"),
    ],
)
def test_what_looks_like_a_secret(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOG_LEVEL", "info"),
        ("PORT", "8080"),
        ("URL", "https://example.com/a/path/that/is/long"),
        ("HOST", "db.production.internal.example.com"),
        ("KEYBOARD", "de"),
        ("PATH_PREFIX", "/srv/production/application"),
        ("AUTH_URL", "https://sso.example.com"),
        ("NAME", "production-environment-eu-central"),
    ],
)
def test_what_does_not_look_like_a_secret(name: str, value: str) -> None:
    assert not looks_secret(name, value)


def test_a_reason_quotes_no_secret(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"services:\n  api: {{image: api, environment: 'DB_PASSWORD={SECRET}'}}\n  web: {{image: web, restart: sometimes}}\n"
    )
    draft, text, _ = made_of(read(Origin("compose", tmp_path / "compose.yaml"), tmp_path), directory=tmp_path)
    assert {one.service.name for one in draft.waiting} == {"api", "web"}
    assert SECRET not in text
    assert "`sometimes`" in text


# Docker's contexts


def context(directory: Path, name: str, meta: Any) -> None:
    path = directory / "contexts" / "meta" / name / "meta.json"
    path.parent.mkdir(parents=True)
    path.write_text(meta if isinstance(meta, str) else json.dumps(meta))


def test_docker_contexts_become_hosts(tmp_path: Path) -> None:
    def engine(name: str, host: str) -> Mapping[str, Any]:
        return {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}

    context(tmp_path, "1", engine("prod", "ssh://deploy@10.0.0.1"))
    context(tmp_path, "2", engine("Prod", "tcp://10.0.0.2:2376"))
    context(tmp_path, "3", engine("desktop", "npipe:////./pipe/docker"))
    context(tmp_path, "4", {"Name": "k8s", "Endpoints": {}})
    context(tmp_path, "5", "no JSON\x1b[31m")
    context(tmp_path, "6", ["a list"])
    found = read_contexts(tmp_path)
    assert [(host.name, host.docker) for host in found.hosts] == [
        ("prod", "context://prod"),
        ("prod-2", "context://Prod"),
    ]
    assert len(found.left) == 4
    (tmp_path / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    draft, _, fleet = made_of(found, read(Origin("compose", tmp_path / "compose.yaml"), tmp_path), directory=tmp_path)
    assert [host.name for host in fleet.targets["production/web"].hosts] == ["prod", "prod-2"]
    assert not draft.waiting
    with pytest.raises(CannotBegin, match="no Docker context"):
        read_contexts(tmp_path / "nothing")


STACK = """services:
  web:
    image: registry.example.com/web:1
    container_name: web
    ports: [{target: 80, published: "8000", mode: host}]
    deploy:
      replicas: 3
      placement: {constraints: [node.labels.zone == a]}
      update_config: {parallelism: 2, failure_action: rollback}
  agent:
    image: registry.example.com/agent:1
    deploy: {mode: global}
"""


def test_a_stack_for_a_swarm_becomes_a_fleet_on_a_swarm(tmp_path: Path) -> None:
    """Its placement, replicas and pace are kept, which no engine would take; what no Swarm takes is left out by name."""
    (tmp_path / "compose.yaml").write_text(STACK)
    stack = read(Origin("compose", tmp_path / "compose.yaml"), tmp_path)
    draft, text, fleet = made_of(stack, directory=tmp_path)
    assert fleet.hosts["here"].swarm == ("unix:///var/run/docker.sock",)
    assert not draft.waiting
    web, agent = (fleet.targets[f"production/{name}"].container for name in ("web", "agent"))
    assert web is not None
    assert web.deploy is not None
    assert (web.deploy.replicas, web.deploy.constraints) == (3, ("node.labels.zone == a",))
    assert web.deploy.update is not None
    assert web.deploy.update.parallelism == 2
    assert agent is not None
    assert agent.deploy is not None
    assert agent.deploy.mode == "global"
    assert "without: [deploy.update_config.failure_action, container_name]" in text
    assert "a Swarm can't have it" in text
    assert "here: a manager of a Swarm (compose.yaml: web: deploy.placement)" in draft.assumed


def test_several_engines_are_the_managers_of_the_swarm_that_a_stack_is_for(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(STACK)
    (tmp_path / "config").write_text("Host a\nHost b\n")
    stack = read(Origin("compose", tmp_path / "compose.yaml"), tmp_path)
    draft, _, fleet = made_of(read_ssh_config(tmp_path / "config"), stack, directory=tmp_path)
    assert {name: host.swarm for name, host in fleet.hosts.items()} == {"swarm": ("ssh://a", "ssh://b")}
    assert [host.name for host in fleet.targets["production/web"].hosts] == ["swarm"]
    assert any("leave out those that are none" in one for one in draft.assumed)


def test_a_context_for_stacks_is_a_swarm_unless_what_runs_there_is_described_for_an_engine(tmp_path: Path) -> None:
    endpoint = {"docker": {"Host": "ssh://deploy@10.0.0.1", "SkipTLSVerify": False}}
    context(tmp_path, "1", {"Name": "prod", "Metadata": {"StackOrchestrator": "swarm"}, "Endpoints": endpoint})
    context(tmp_path, "2", {"Name": "dev", "Metadata": {"StackOrchestrator": "kubernetes"}, "Endpoints": endpoint})
    found = read_contexts(tmp_path)
    assert {host.name: host.says_swarm for host in found.hosts} == {"prod": True, "dev": False}
    alone = joined([found], Wishes(), "x")
    assert {host.name: host.swarm for host in alone.hosts} == {"prod": ("context://prod",), "dev": ()}
    (tmp_path / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    beside = joined([found, read(Origin("compose", tmp_path / "compose.yaml"), tmp_path)], Wishes(), "x")
    assert {host.docker for host in beside.hosts} == {"context://prod", "context://dev"}
    assert any("swarm: in the place of docker:" in one for one in beside.assumed)


def test_hosts_that_are_not_there_can_not_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host a\nHost b\n")
    draft = read_ssh_config(tmp_path / "config")
    assert [host.name for host in joined([draft], Wishes(hosts=("b",)), "x").hosts] == ["b"]
    with pytest.raises(CannotBegin, match="no source has a host c; there is a, b"):
        joined([draft], Wishes(hosts=("c",)), "x")


def test_what_a_file_is_can_be_told() -> None:
    assert kind_of("services:\n  a: {image: b}\n", "f") == "compose"
    assert kind_of("# mine\nHost a\n  User b\n", "f") == "ssh"
    with pytest.raises(CannotBegin, match="f is no"):
        kind_of("hosts: []\n", "f")


def test_a_name_that_is_twice_is_taken_over_once(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("services: {web: {image: nginx}}\n")
    drafts = [read(Origin("compose", tmp_path / name), tmp_path) for name in ("a.yaml", "b.yaml")]
    draft, _, fleet = made_of(*drafts, directory=tmp_path)
    assert fleet.services == ("web",)
    assert [(said.source, said.why) for said in draft.left] == [("b.yaml: web", "a.yaml: web has one of this name")]


def test_the_file_is_read_where_it_will_stand(tmp_path: Path) -> None:
    """A compose file elsewhere is pointed at by the way there."""
    (tmp_path / "app").mkdir()
    (tmp_path / "ops").mkdir()
    (tmp_path / "app" / "compose.yaml").write_text("services: {web: {image: nginx}}\n")
    found = read(Origin("compose", tmp_path / "app" / "compose.yaml"), tmp_path / "ops")
    _, text, _ = made_of(found, directory=tmp_path / "ops")
    assert "compose: ../app/compose.yaml" in text
    assert os.listdir(tmp_path / "ops") == []
    assert read_node(tmp_path / "app" / "compose.yaml", Problems()) is not None
