"""Slots of a service: what is read, what else must be said beside them, and what they do to a release's identity."""

import re
from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.hosts.ssh.release_files import environments
from quarterdeck.config.model import Commands, Runner, Slots
from quarterdeck.config.release import Release, ResolvedArtifact
from tests.config.conftest import Load, Refuse

HEAD = """
fleet: acme
hosts: {a: {ssh: a}, lb: {ssh: lb}, box: {docker: "unix:///run/docker.sock"}}
environments: {production: {hosts: [a]}}
routers: {edge: {haproxy: {host: lb}}}
services:
  api:
    artifact: {tarball: "builds/api-{version}.tgz"}
    path: /srv/api
"""
SLOTS = "slots: {blue: 8081, green: 8082}"


def fleet(*keys: str, more: str = "") -> str:
    return HEAD + "".join(f"    {key}\n" for key in keys) + more


def test_a_template_and_two_ports(load: Load) -> None:
    target = load(
        fleet(
            "unit: {name: api@.service, user: true}",
            SLOTS,
            "health: {http: {port: 8082}, tcp: 8081}",
            'logs: {files: ["/log/{service}.{slot}.log"]}',
            "router: edge/api",
        )
    ).targets["production/api"]
    assert target.runner == Runner("api@.service", user_unit=True, slots=Slots(8081, 8082))
    assert target.logs is not None
    assert target.logs.files == ("/log/api.{slot}.log",)
    assert target.routed is not None
    assert target.routed.port == 8082


def test_the_router_needs_no_port_where_slots_tell_one(load: Load) -> None:
    target = load(fleet("unit: api@.service", SLOTS, "router: edge/api")).targets["production/api"]
    assert target.routed is not None
    assert target.routed.port in (8081, 8082)


def test_commands_with_a_status(load: Load) -> None:
    target = load(fleet("commands: {start: up, stop: down, status: there}", SLOTS)).targets["production/api"]
    assert target.runner == Runner(commands=Commands("up", "down", None, "there"), slots=Slots(8081, 8082))


def test_an_environment_may_have_slots_alone(load: Load) -> None:
    more = "    environments: {production: {unit: api@.service, slots: {blue: 1, green: 2}}}\n"
    target = load(fleet("unit: api.service", more=more)).targets["production/api"]
    assert target.runner == Runner("api@.service", slots=Slots(1, 2))


@pytest.mark.parametrize(
    ("keys", "line", "words"),
    [
        (["unit: api@.service"], 10, "a template needs `slots`"),
        (["unit: api.service", SLOTS], 10, r"`slots` need a template, .*: api@\.service"),
        (["unit: api@1.service", SLOTS], 10, r"`slots` need a template, .*: api@\.service"),
        (["commands: {start: up, stop: down}", SLOTS], 10, "need a `status` among the commands"),
        (["unit: api@.service", "slots: {blue: 8081}"], 11, "`green` is missing in the slots"),
        (["unit: api@.service", "slots: {blue: 8081, green: 8081}"], 11, "the same port, and run at the same time"),
        (["unit: api@.service", "slots: {blue: 0, green: 8081}"], 11, "a port from 1 to 65535"),
        (["unit: api@.service", "slots: {red: 1, blue: 2, green: 8081}"], 11, "unknown key `red`"),
        (
            ["unit: api@.service", SLOTS, "health: {http: {port: 8080}}"],
            12,
            "write 8081 or 8082, .*: 8080 is neither's",
        ),
        (["unit: api@.service", SLOTS, "health: {tcp: {port: 9}}"], 12, "write 8081 or 8082, .*: 9 is neither's"),
        (["unit: api@.service", SLOTS, "health: {tcp: 9}"], 12, "write 8081 or 8082, .*: 9 is neither's"),
        (
            ["unit: api@.service", SLOTS, "router: {use: edge/api, port: 80}"],
            12,
            "write 8081 or 8082, .*: 80 is neither",
        ),
        (["unit: api.service", 'logs: {files: ["/log/{slot}.log"]}'], 11, "the service has no `slots`"),
    ],
)
def test_what_does_not_go_with_slots_is_said_where_it_is(
    refuse: Refuse, keys: list[str], line: int, words: str
) -> None:
    (problem,) = refuse(fleet(*keys))
    assert problem.line == line
    assert re.search(words, problem.message), problem.message


def test_containers_have_ranges_instead(refuse: Refuse) -> None:
    text = fleet(SLOTS).replace("tarball: ", "image: x").replace("    path: /srv/api\n", "    container: {}\n")
    text = text.replace('image: x"builds/api-{version}.tgz"', "image: registry.example.com/api").replace("[a]", "[box]")
    (problem,) = refuse(text)
    assert "`slots` has no place beside `container`" in problem.message
    assert "publish a range" in problem.message


def test_two_services_on_one_machine_listen_on_ports_of_their_own(refuse: Refuse) -> None:
    other = '  web: {artifact: {tarball: "w-{version}.tgz"}, path: /srv/web, unit: web@.service, slots: {blue: 8082, green: 1}}\n'
    (problem,) = refuse(fleet("unit: api@.service", SLOTS, more=other))
    assert "production/web and production/api both listen on port 8082 of a" in problem.message


@pytest.mark.parametrize(
    ("published", "right"), [("8080", False), ("8081-8082:8080", True), ("8081:8080", True), ("127.0.0.1::8080", False)]
)
def test_behind_a_router_a_container_publishes_what_outlives_its_restarts(
    load: Load, refuse: Refuse, published: str, right: bool
) -> None:
    text = f"""
fleet: acme
hosts: {{box: {{docker: "unix:///run/docker.sock"}}, lb: {{ssh: lb}}}}
environments: {{production: {{hosts: [box]}}}}
routers: {{edge: {{haproxy: {{host: lb}}}}}}
services:
  api:
    artifact: {{image: registry.example.com/api}}
    container: {{ports: ["{published}"]}}
    router: {{use: edge/api, port: 8080}}
"""
    if right:
        assert load(text).targets["production/api"].routed is not None
        return
    (problem,) = refuse(text)
    assert "gets another port of the host with every start" in problem.message
    assert "publish a range of two or more" in problem.message
    assert problem.line == 10


def test_a_release_without_slots_is_the_one_that_it_was() -> None:
    release = Release("p/api", "v1", ResolvedArtifact("x", "0" * 64), "/srv/api", Runner(unit="api.service"))
    assert (
        release.digest == "d50a822ee1621dbc59879edf8176081f2df033a1e98d5a4327a2d423007b7bc7"
    )  # as it was before there were slots
    other = msgspec.structs.replace(release, runner=Runner(unit="api@.service", slots=Slots(1, 2)))
    third = msgspec.structs.replace(release, runner=Runner(unit="api@.service", slots=Slots(1, 3)))
    assert len({release.id, other.id, third.id}) == 3


def test_the_environment_of_each_slot() -> None:
    env = {"PORT": "{port}", "LISTEN": "0.0.0.0:{port} {slot} {else}", "LITERAL": "{version}"}
    artifact = ResolvedArtifact("x", "0" * 64)
    plain = Release("p/api", "v1", artifact, "/srv/api", Runner(unit="api.service"), env=env)
    assert environments(plain) == {"qd.env": env}
    slotted = msgspec.structs.replace(plain, runner=Runner(unit="api@.service", slots=Slots(8081, 8082)))
    assert environments(slotted) == {
        "qd.env": {"LITERAL": "{version}"},
        "qd.blue.env": {
            "PORT": "8081",
            "LISTEN": "0.0.0.0:8081 blue {else}",
            "QD_SLOT": "blue",
            "QD_PORT": "8081",
        },
        "qd.green.env": {
            "PORT": "8082",
            "LISTEN": "0.0.0.0:8082 green {else}",
            "QD_SLOT": "green",
            "QD_PORT": "8082",
        },
    }


def test_what_the_documentation_shows_is_read(load: Load) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "hosts.md").read_text()
    shown = page.split("## Two instances beside each other", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    head = HEAD.partition("  api:\n")[0]
    body = "".join(f"  {line}\n" for line in shown.splitlines())
    target = load(f'{head}{body}    artifact: {{tarball: "builds/api-{{version}}.tgz"}}\n').targets["production/api"]
    assert target.runner.slots == Slots(8081, 8082)
    assert target.routed is not None
