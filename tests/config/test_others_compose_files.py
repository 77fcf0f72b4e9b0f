"""Compose files of other projects, whole: those that Debian's podman-compose shows, and those that Docker's own Compose was tested with.

None is kept here: the package and the archive are looked for on this machine. Every service is loaded as a user points at it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from quarterdeck.config.container import ContainerSpec, Healthcheck, Limits, Mount, Network, PublishedPort, Volume
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Target
from quarterdeck.config.nodes import MappingNode
from quarterdeck.config.problems import FleetFileErrors, Problems
from quarterdeck.config.source import read_node
from tests.requirements_here import need

DEBIAN = Path("/usr/share/doc/podman-compose/examples")
COMPOSE = Path(sys.prefix) / "share/docker-compose-1.29.2/tests/fixtures"
ALONE = "services are rolled out each on its own, so none may live in another's namespace"
ONE = "a host has one container of a service; give it more hosts"
UNSET = "neither in the environment of qd nor in .env; where nothing is meant, write"
Refused = dict[tuple[str, str], list[str]]

# By directory (or file) and service: the keys that are refused until `without` names them. Whatever is in no table must load.
LEFT_OUT_OF_DEBIAN: Refused = {
    ("awx3", "awx_web"): ["links"],
    ("awx3", "awx_task"): ["links"],
    ("busybox", "frontend"): ["links"],
}
LOADED_OF_DEBIAN = {("awx3", "postgres"), ("awx3", "rabbitmq"), ("awx3", "memcached"), ("busybox", "redis")}
LEFT_OUT_OF_COMPOSE: Refused = {
    ("abort-on-container-exit-dependencies", "simple"): ["depends_on"],
    ("config-profiles", "frontend"): ["profiles"],
    ("config-profiles", "phpmyadmin"): ["depends_on", "profiles"],
    ("echo-services-dependencies", "simple"): ["depends_on"],
    ("extends/healthcheck-2.yml", "demo"): ["extends"],
    ("extends/invalid-net-v2.yml", "myweb"): ["extends"],
    ("net-container/v2-invalid.yml", "bar"): ["net"],
    ("networks", "app"): ["links"],
    ("override-files", "web"): ["depends_on"],
    ("override-files/extra.yml", "web"): ["depends_on"],
    ("profiles", "bar"): ["profiles"],
    ("profiles", "baz"): ["depends_on", "profiles"],
    ("profiles", "zot"): ["depends_on", "profiles"],
    ("profiles/merge-profiles.yml", "bar"): ["profiles"],
    ("scale", "web"): ["scale"],
    ("scale", "worker"): ["scale"],
    ("v2-dependencies", "web"): ["depends_on"],
    ("v2-full", "web"): ["volumes_from"],
    ("v2-simple/links-invalid.yml", "simple"): ["links"],
    ("v2-unhealthy-dependencies", "web"): ["depends_on"],
    ("v3-full", "web"): [
        "deploy.labels",
        "deploy.update_config.parallelism",
        "deploy.update_config.delay",
        "deploy.update_config.failure_action",
        "deploy.update_config.monitor",
        "deploy.update_config.max_failure_ratio",
        "deploy.resources.reservations.cpus",
        "deploy.restart_policy.delay",
        "deploy.restart_policy.window",
        "deploy.placement",
    ],
    ("volumes-from-container", "test"): ["volumes_from"],
}
# What is said of values that no container here can have, or that Compose refuses as well.
SAID_OF_COMPOSE: Refused = {
    ("compatibility-mode", "foo"): [
        f"expected `1`, found `3`: {ONE}",
        "an engine counts attempts only with `condition: on-failure`",
    ],
    ("exec-novalue-var", "nginx"): [
        f"the variables can't be filled in: MYVAR is not set, {UNSET} `${{MYVAR:-}}`",
    ],
    ("extends/invalid-net-v2.yml", "web"): [
        f"expected `host`, `none`, `bridge` or container:NAME, found `service:net`: {ALONE}",
    ],
    ("ipc-mode", "service"): [
        f"expected `host`, `none`, `private`, `shareable` or container:NAME, found `service:shareable`: {ALONE}",
    ],
    ("networks/bridge.yml", "web"): ["there is no network `bridge` among the file's `networks`"],
    ("networks/missing-network.yml", "web"): ["there is no network `foo` among the file's `networks`"],
    ("networks/network-mode.yml", "service"): [
        f"expected `host`, `none`, `bridge` or container:NAME, found `service:bridge`: {ALONE}",
    ],
    ("pid-mode", "service"): [f"expected `host` or container:NAME, found `service:container`: {ALONE}"],
    ("unicode-environment", "simple"): [
        f"the variables can't be filled in: BAR is not set, {UNSET} `${{BAR:-}}`",
    ],
    ("v3-full", "web"): [f"expected `1`, found `6`: {ONE}"],
}


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BAR", "FOO", "IMAGE", "MYVAR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def compose() -> Path:
    need(
        COMPOSE.is_dir(),
        "Compose's own tests (PyPI's source archive of docker-compose 1.29.2, unpacked into share/ of this Python)",
    )
    return COMPOSE


def compose_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Every YAML file that a user could point at, under the name of its directory, or its own where that says more."""
    for path in sorted(root.rglob("*.y*ml")):
        if path.suffix in (".yml", ".yaml") and "roles" not in path.parts:  # those are Ansible's
            name = path.relative_to(root)
            usual = path.name in ("docker-compose.yml", "docker-compose.yaml")
            yield str(name.parent if usual else name), path


def services_of(path: Path) -> list[str]:
    root = read_node(path, Problems(), merge=True)
    services = root.value("services") if isinstance(root, MappingNode) and "services" in root.entries else None
    return list(services.entries) if isinstance(services, MappingNode) else []


def load(directory: Path, path: Path, service: str, without: Sequence[str] = ()) -> Target:
    fleet = directory / "fleet.yml"
    fleet.write_text(
        "fleet: acme\nhosts: {box: {docker: 'ssh://box'}}\nenvironments: {dev: {hosts: [box]}}\nservices:\n"
        f"  s: {{artifact: {{image: acme/s}}, container: {{compose: {path}, service: '{service}', directory: /srv/s, "
        f"without: {list(without)}}}}}\n"
    )
    return load_fleet(fleet).targets["dev/s"]


@dataclass
class Outcome:
    """What became of the services of all files: ``left_out`` are keys that need only be left out, ``said`` whole sentences."""

    loaded: set[tuple[str, str]] = field(default_factory=set)
    left_out: Refused = field(default_factory=dict)
    said: Refused = field(default_factory=dict)

    def add(self, directory: Path, name: str, path: Path, service: str) -> None:
        try:
            assert load(directory, path, service).container is not None
        except FleetFileErrors as errors:
            for problem in errors.problems:
                assert problem.line > 0
                avoidable = "to leave it out, name it in `without`" in problem.message
                said = problem.message.split("`")[1] if avoidable else problem.message
                (self.left_out if avoidable else self.said).setdefault((name, service), []).append(said)
        else:
            self.loaded.add((name, service))


def test_what_debian_shows_to_be_run_with_podman(tmp_path: Path) -> None:
    need(DEBIAN.is_dir(), "the examples of podman-compose (Debian's package, with its documentation)")
    found = Outcome()
    for name, path in compose_files(DEBIAN):
        for service in services_of(path):
            found.add(tmp_path, name, path, service)
    # Another release of Debian shows more: of that, only that it is read or refused.
    assert found.loaded >= LOADED_OF_DEBIAN
    assert {key: found.left_out.get(key) for key in LEFT_OUT_OF_DEBIAN} == LEFT_OUT_OF_DEBIAN
    assert not found.said.keys() & (LEFT_OUT_OF_DEBIAN.keys() | LOADED_OF_DEBIAN)
    web = load(tmp_path, DEBIAN / "awx3/docker-compose.yml", "awx_web", ["links"])
    assert web.container is not None
    assert (web.env["DATABASE_PORT"], web.env["RABBITMQ_VHOST"]) == ("5432", "awx")
    assert (web.container.hostname, web.container.user) == ("awxweb", "root")
    assert web.container.ports == (PublishedPort(8052, "8080"),)
    frontend = load(tmp_path, DEBIAN / "busybox/docker-compose.yaml", "frontend", ["links"])
    assert frontend.container is not None
    assert frontend.container.command == ("/bin/busybox", "httpd", "-f", "-p", "8080")
    assert frontend.container.labels == {"my.label": "my_value"}
    assert frontend.env == {"SECRET_KEY2": "aabbcc"}  # ENV_IS_SET2 has no value, and is not set here


def test_what_compose_itself_was_tested_with(compose: Path, tmp_path: Path) -> None:
    found, files, without_services = Outcome(), 0, 0
    for name, path in compose_files(compose):
        files += 1
        services = services_of(path)
        for service in services:
            found.add(tmp_path, name, path, service)
        if not services:  # Compose's first form, of which the specification knows nothing any more, or volumes alone
            without_services += 1
            with pytest.raises(FleetFileErrors, match=r"it has no services|there is no service `web`"):
                load(tmp_path, path, "web")
    assert found.left_out == LEFT_OUT_OF_COMPOSE
    assert found.said == SAID_OF_COMPOSE
    assert (files, without_services, len(found.loaded)) == (137, 71, 84)


def test_what_is_refused_loads_once_it_is_left_out(compose: Path, tmp_path: Path) -> None:
    paths = dict(compose_files(compose))
    for (name, service), keys in LEFT_OUT_OF_COMPOSE.items():
        if (name, service) not in SAID_OF_COMPOSE:
            target = load(tmp_path, paths[name], service, keys)
            assert target.container is not None
            assert target.container.service == service


def test_one_with_everything(compose: Path, tmp_path: Path) -> None:
    left_out = [*LEFT_OUT_OF_COMPOSE["v3-full", "web"], "deploy.replicas"]
    web = load(tmp_path, compose / "v3-full/docker-compose.yml", "web", left_out)
    assert web.container == ContainerSpec(
        project="v3-full",
        service="web",
        healthcheck=Healthcheck(("CMD-SHELL", "cat /etc/passwd"), 10.0, 1.0, retries=5),
        limits=Limits(cpus=0.05, memory=52428800, memory_reservation=20971520),
        mounts=(
            Mount("bind", "/container/path", "/host/path", True),
            Mount("volume", "/container/volumepath", "v3-full_foobar"),
            Mount("volume", "/anonymous"),
            Mount("volume", "/container/volumepath2", "v3-full_foobar", nocopy=True),
        ),
        volumes=(Volume("v3-full_foobar", labels={"com.docker.compose.test": "true"}),),
        networks=(Network("v3-full_default", aliases=("web",)),),
        restart="on-failure:3",
        stop_grace_period=20.0,
    )
