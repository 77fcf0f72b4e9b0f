"""Containers among the services of a fleet: their hosts, what the layers say, and what stands in each other's way."""

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.config.container import SecretFile
from quarterdeck.config.load import load_with_files
from quarterdeck.config.model import Commands, Health, Host, Keep, Runner, SecretReference, TcpCheck
from quarterdeck.config.problems import render
from tests.config.conftest import Load, Refuse

MIXED = """\
fleet: acme
hosts:
  web-1: {ssh: web-1}
  box-1: {docker: 'ssh://deploy@10.0.2.11'}
  box-2: {docker: 'tcp://10.0.2.12:2376', tls: certs/box-2}
environments:
  dev: {hosts: [box-1]}
  production: {hosts: [web-1, box-2, box-1], env: {A: environment, B: environment}}
services:
  api:
    artifact: {image: registry.acme.io/api}
    container: {environment: {A: container, B: container, C: container, D: container}}
    env: {B: service, C: service}
    environments: {production: {env: {C: override}}}
  worker:
    artifact: {tarball: 'w-{version}.tgz'}
    path: /srv/worker/{environment}
    unit: worker.service
    environments: {dev: null}
"""


def test_containers_go_to_the_docker_hosts_and_all_else_to_the_others(load: Load, tmp_path: Path) -> None:
    fleet = load(MIXED)
    hosts = {name: [host.name for host in target.hosts] for name, target in fleet.targets.items()}
    assert hosts == {"dev/api": ["box-1"], "production/api": ["box-2", "box-1"], "production/worker": ["web-1"]}
    assert fleet.hosts["box-2"] == Host("box-2", docker="tcp://10.0.2.12:2376", tls=str(tmp_path / "certs/box-2"))
    api = fleet.targets["production/api"]
    assert (api.path, api.runner, api.health, api.keep, api.logs) == ("", Runner(), Health(), Keep(5, 1), None)
    assert fleet.targets["production/worker"].container is None


def test_variables_come_from_the_container_the_environment_the_service_and_the_override(load: Load) -> None:
    fleet = load(MIXED)
    assert fleet.targets["dev/api"].env == {"A": "container", "B": "service", "C": "service", "D": "container"}
    assert fleet.targets["production/api"].env == {
        "A": "environment",
        "B": "service",
        "C": "override",
        "D": "container",
    }


def test_an_environment_without_the_wanted_kind_of_host_says_how_to_mend_it(refuse: Refuse) -> None:
    problems = refuse(MIXED.replace("[box-1]}", "[web-1]}").replace("environments: {dev: null}", "keep: {warm: 0}"))
    (problem,) = problems
    assert (problem.line, problem.column) == (10, 3)
    assert problem.message == (
        "`api` can't run in dev, which has no Docker host, and it is a container: add a host {docker: …} or a swarm {swarm: …} there, "
        "or write `environments: {dev: null}`"
    )
    (problem,) = refuse(MIXED.replace("    environments: {dev: null}\n", ""))
    assert (problem.line, problem.message.partition(":")[0]) == (
        15,
        "`worker` can't run in dev, which has Docker hosts only, and it is no container",
    )


@pytest.mark.parametrize(
    ("changed", "place", "message"),
    [
        ("    path: /srv/api\n", (13, 5), "`path` has no place beside `container`"),
        ("    unit: api.service\n", (13, 5), "`unit` has no place beside `container`"),
        ("    commands: {start: a, stop: b}\n", (13, 5), "`commands` has no place beside `container`"),
        ("    files: {a: {content: b}}\n", (13, 5), "`files` has no place beside `container`: use Compose's `configs`"),
        ("    logs: {files: [/x]}\n", (13, 5), "`logs` has no place beside `container`: the engine has them"),
        ("    progress_deadline: 1m\n", (13, 24), "must be longer than healthy_deadline (120s)"),
    ],
)
def test_what_has_no_place_beside_a_container(
    changed: str, place: tuple[int, int], message: str, refuse: Refuse
) -> None:
    problems = refuse(MIXED.replace("    env: {B: service", changed + "    env: {B: service"))
    (problem,) = problems
    assert message in problem.message, render(problems)
    assert (problem.line, problem.column) == place


def test_a_container_runs_an_image_and_an_image_needs_a_container(refuse: Refuse) -> None:
    (problem,) = refuse(MIXED.replace("{image: registry.acme.io/api}", "{tarball: x.tgz}"))
    assert "a container runs an image" in problem.message
    (problem,) = refuse(MIXED.replace("    artifact: {image: registry.acme.io/api}\n", ""))
    assert problem.message == "the service `api` needs `artifact`"
    problems = refuse(MIXED.replace("{tarball: 'w-{version}.tgz'}", "{image: w}"))
    assert [p.message for p in problems] == ["an image needs `container` beside the artifact: {} is enough"]


def test_the_last_layer_that_says_how_it_runs_decides(load: Load, refuse: Refuse) -> None:
    both = MIXED.replace("environments: {dev: null}", "environments: {dev: {container: {}, artifact: {image: w}}}")
    fleet = load(both)
    assert fleet.targets["dev/worker"].container is not None
    assert (fleet.targets["dev/worker"].runner, fleet.targets["dev/worker"].path) == (Runner(), "")
    back = MIXED.replace(
        "environments: {production: {env: {C: override}}}",
        "environments: {production: {artifact: {tarball: a}, path: /srv/api, commands: {start: a, stop: b}}}",
    )
    target = load(back).targets["production/api"]
    assert (target.runner, target.container) == (Runner(commands=Commands("a", "b")), None)
    assert [host.name for host in target.hosts] == ["web-1"]
    assert target.env == {"A": "environment", "B": "service", "C": "service"}
    problems = refuse(back.replace("artifact: {tarball: a}, ", ""))
    assert [p.message for p in problems] == ["an image needs `container` beside the artifact: {} is enough"]


def test_an_override_replaces_the_container_as_a_whole(load: Load) -> None:
    fleet = load(MIXED.replace("{env: {C: override}}", "{container: {restart: always}}"))
    production, dev = fleet.targets["production/api"].container, fleet.targets["dev/api"].container
    assert production is not None
    assert dev is not None
    assert (production.restart, dev.restart) == ("always", "no")
    assert "D" not in fleet.targets["production/api"].env


ONE_ENGINE = """\
fleet: acme
hosts:
  one: {docker: '%s'}
  two: {docker: '%s'}
environments:
  dev: {hosts: [one]}
  production: {hosts: [two]}
services:
  api:
    artifact: {image: api}
    container: %s
"""
SAME = [
    ("ssh://a@box", "ssh://b@box:22/var/run/docker.sock"),
    ("ssh://box", "ssh://box/run/docker.sock"),
    ("unix:///var/run/docker.sock", "unix:///run/docker.sock"),
    ("tcp://box:2376", "tcp://box:2376"),
    ("context://prod", "context://prod"),
]
OTHER = [("ssh://box", "ssh://box:2222"), ("ssh://box", "ssh://box/run/user/1/docker.sock"), ("tcp://a:1", "tcp://a:2")]


@pytest.mark.parametrize(("one", "two"), SAME)
def test_a_name_is_taken_once_on_an_engine(one: str, two: str, load: Load, refuse: Refuse) -> None:
    (problem,) = refuse(ONE_ENGINE % (one, two, "{container_name: api}"))
    assert problem.message == (
        "production/api and dev/api are both the container `api` on two; give each its own `container_name`"
    )
    assert (problem.line, problem.column) == (11, 17)
    assert len(load(ONE_ENGINE % (one, two, "{}")).targets) == 2  # by default the environment is in the name


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_two_engines_are_two(one: str, two: str, load: Load) -> None:
    assert len(load(ONE_ENGINE % (one, two, "{container_name: api, ports: ['80:80']}")).targets) == 2


def test_an_engine_is_in_an_environment_once(refuse: Refuse) -> None:
    text = (ONE_ENGINE % ("ssh://a@box", "ssh://b@box", "{}")).replace("[two]", "[one, two]")
    assert "production has the engine ssh://b@box twice, so production-api too" in [p.message for p in refuse(text)]


@pytest.mark.parametrize(
    ("dev", "production", "clash"),
    [
        ("8080:80", "8080:81", True),
        ("8080:80", "127.0.0.1:8080:80", True),
        ("0.0.0.0:8080:80", "10.0.0.1:8080:80", True),
        ("10.0.0.1:8080:80", "10.0.0.1:8080:80", True),
        ("10.0.0.1:8080:80", "10.0.0.2:8080:80", False),
        ("8080:80", "8080:80/udp", False),
        ("8080:80", "8081:80", False),
        ("80", "80", False),
        ("8080-8081:80", "8080-8081:80", False),
    ],
)
def test_a_port_is_published_once_on_an_engine(
    dev: str, production: str, clash: bool, load: Load, refuse: Refuse
) -> None:
    text = ONE_ENGINE % ("ssh://box", "ssh://box", f"{{ports: ['{dev}']}}")
    text += f"    environments: {{production: {{container: {{ports: ['{production}']}}}}}}\n"
    if clash:
        (problem,) = refuse(text)
        assert problem.message == "production/api and dev/api both publish the port 8080/tcp on two"
        assert (problem.line, problem.column) == (12, 52)
    else:
        assert len(load(text).targets) == 2


def test_a_port_is_published_once_by_a_container(refuse: Refuse) -> None:
    problems = refuse(ONE_ENGINE % ("ssh://a", "ssh://b", "{ports: ['80:80', '80:81']}"))
    assert problems[0].message == "dev/api publishes the port 80/tcp on one twice"


SECRETS = """\
fleet: acme
hosts: {box: {docker: 'ssh://box'}}
environments: {dev: {hosts: [box], secrets: {FROM_ENVIRONMENT: {env: E}}}}
services:
  api:
    artifact: {image: api}
    container: {compose: app/compose.yaml, service: api}
    secrets:
      DATABASE_URL: {command: vault read url}
      TOKEN: {env: TOKEN}
      key: {sops: 'all.yml#key'}
"""
SECRET_SERVICE = """\
services:
  api:
    environment: {DATABASE_URL: postgres://for-development, PLAIN: x, key: also a variable}
    secrets: [key, other, TOKEN, outside]
secrets:
  key: {file: ./key.txt}
  other: {file: ../other.txt}
  unused: {file: /etc/unused}
  outside: {external: true, name: FROM_ENVIRONMENT}
"""


def test_secrets_of_the_fleet_file_come_over_those_of_the_compose_file(load: Load) -> None:
    target = load(SECRETS, **{"app/compose.yaml": SECRET_SERVICE}).targets["dev/api"]
    assert target.secrets == {
        "key": SecretReference("sops", "all.yml#key"),  # the compose file's is for development
        "other": SecretReference("file", "other.txt"),  # relative to the fleet file: the same in every checkout
        "DATABASE_URL": SecretReference("command", "vault read url"),
        "TOKEN": SecretReference("env", "TOKEN"),
        "FROM_ENVIRONMENT": SecretReference("env", "E"),
    }
    assert target.container is not None
    assert target.container.secrets == (
        SecretFile("key", "/run/secrets/key"),
        SecretFile("other", "/run/secrets/other"),
        SecretFile("TOKEN", "/run/secrets/TOKEN"),
        SecretFile("FROM_ENVIRONMENT", "/run/secrets/outside"),
    )
    # A secret that is a variable takes the place of the compose file's variable.
    assert target.env == {"PLAIN": "x"}


def test_a_project_is_named_by_the_fleet_file_the_compose_file_or_the_directory(load: Load, refuse: Refuse) -> None:
    def name(fleet: str = SECRETS, first_line: str = "", directory: str = "app") -> Any:
        text = fleet.replace("app/compose.yaml", f"{directory}/compose.yaml")
        spec = load(text, **{f"{directory}/compose.yaml": first_line + SECRET_SERVICE}).targets["dev/api"].container
        assert spec is not None
        assert [network.name for network in spec.networks] == [f"{spec.project}_default"]
        return spec.project

    assert name() == "app"
    assert name(directory="My App.2") == "myapp2"
    assert name(first_line="name: shop\n") == "shop"
    assert name(first_line="name: ${NO_NAME:-other}\n") == "other"
    assert name(SECRETS.replace("service: api}", "service: api, project: mine}"), "name: shop\n") == "mine"
    (problem,) = refuse(SECRETS, **{"app/compose.yaml": "name: My Shop\n" + SECRET_SERVICE})
    assert (problem.file.name, problem.line, problem.column) == ("compose.yaml", 1, 7)
    (problem,) = refuse(SECRETS.replace("app/compose.yaml", "__/compose.yaml"), **{"__/compose.yaml": SECRET_SERVICE})
    assert "write `project: NAME` beside it" in problem.message


RELATIVE = """\
services:
  api:
    volumes:
      - ./data:/data:ro
      - ../shared/x:/x
      - named:/named
      - /absolute:/absolute
      - sub/dir:/sub
      - ${PLACE:-./place}:/place
      - {type: bind, source: ./long, target: /long}
      - {type: volume, source: named, target: /again}
volumes: {named: }
"""


def test_relative_mounts_of_a_compose_file_lie_where_the_fleet_file_says(load: Load, refuse: Refuse) -> None:
    """The file itself, somebody else's, stays as it is."""
    pointed = SECRETS.replace("service: api}", "service: api, directory: /srv/shop/}").partition("    secrets:\n")[0]
    container = load(pointed, **{"app/compose.yaml": RELATIVE}).targets["dev/api"].container
    assert container is not None
    assert [(mount.kind, mount.source, mount.target, mount.read_only) for mount in container.mounts] == [
        ("bind", "/srv/shop/data", "/data", True),
        ("bind", "/srv/shared/x", "/x", False),
        ("volume", "app_named", "/named", False),
        ("bind", "/absolute", "/absolute", False),
        ("bind", "/srv/shop/sub/dir", "/sub", False),
        ("bind", "/srv/shop/place", "/place", False),
        ("bind", "/srv/shop/long", "/long", False),
        ("volume", "app_named", "/again", False),
    ]
    faults = refuse(pointed.replace(", directory: /srv/shop/", ""), **{"app/compose.yaml": RELATIVE})
    assert [fault.line for fault in faults] == [4, 5, 8, 9]
    assert all("directory: /PATH" in fault.message for fault in faults)
    (fault,) = refuse(pointed.replace("/srv/shop/", "srv/shop"), **{"app/compose.yaml": RELATIVE})
    assert "it begins with /" in fault.message


@pytest.mark.parametrize(
    ("compose", "file", "line", "message", "nearest"),
    [
        (None, "fleet.yml", 7, "there is no file", None),
        ("a: [\n", "compose.yaml", 1, "this is not YAML", None),
        ("- a\n", "fleet.yml", 7, "is no compose file: it has no services", None),
        ("a: b\n", "fleet.yml", 7, "is no compose file: it has no services", None),
        ("services: []\n", "compose.yaml", 1, "expected a mapping of services", None),
        ("services: {apis: {}}\n", "fleet.yml", 7, "there is no service `api` in", "apis"),
        ("services: {api: }\nvolume: {}\n", "compose.yaml", 2, "unknown key `volume` in a compose file", "volumes"),
        ("services: {api: }\ninclude: [x]\n", "compose.yaml", 2, "`include` is not supported", None),
        ("services: {api: []}\n", "compose.yaml", 1, "expected a mapping (annotations", None),
        ("services: {api: }\nservices: {}\n", "compose.yaml", 2, "`services` is here twice", None),
        ("x: &a [*a]\nservices: {api: }\n", "compose.yaml", 1, "refers to itself", None),
        ("x-a: &a {b: c}\nservices: {api: {labels: *a, <<: *a}}\n", "compose.yaml", 1, "unknown key `b`", None),
    ],
)
def test_a_compose_file_that_cannot_be_used(
    compose: str | None, file: str, line: int, message: str, nearest: str | None, refuse: Refuse
) -> None:
    problems = refuse(
        SECRETS.replace("DATABASE_URL", "TOKEN_2"), **({} if compose is None else {"app/compose.yaml": compose})
    )
    found = next((p for p in problems if message in p.message), None)
    assert found is not None, render(problems)
    assert (found.file.name, found.line, found.nearest) == (file, line, nearest)


def test_an_alias_bomb_in_a_compose_file_is_refused(refuse: Refuse) -> None:
    lines = ["x-0: &a0 {labels: {a: b}}"]
    lines += [f"x-{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)]
    problems = refuse(SECRETS, **{"app/compose.yaml": "\n".join([*lines, "services: {api: *a8}"])})
    assert any("aliases counted in full" in p.message for p in problems)


def test_an_error_is_shown_with_the_line_of_the_compose_file(refuse: Refuse) -> None:
    text = SECRET_SERVICE.replace("environment:", "ports: [80:80:80:80]\n    environment:")
    shown = render(refuse(SECRETS, **{"app/compose.yaml": text}))
    assert "app/compose.yaml:3:13: expected a port such as 80" in shown
    assert "        ports: [80:80:80:80]\n                ^\n" in shown + "\n"


def test_a_health_gate_of_its_own_is_kept(load: Load) -> None:
    fleet = load(MIXED.replace("    env: {B: service", "    health: {tcp: 80}\n    env: {B: service"))
    assert fleet.targets["dev/api"].health == Health(tcp=TcpCheck(80))


def test_every_file_that_was_read_is_known_so_that_a_change_is_seen(load: Load, tmp_path: Path) -> None:
    others = {
        "app/compose.yaml": "services: {api: {env_file: [a.env, b.env], configs: [c], labels: {x: '${IN_DOTENV}'}}}\n"
        "configs: {c: {file: c.ini}}\n",
        "app/a.env": "",
        "app/b.env": "",
        "app/c.ini": "",
        "app/.env": "IN_DOTENV=1\n",
    }
    load(SECRETS, **others)
    files = load_with_files(tmp_path / "fleet.yml")[1]
    read = {str(file.relative_to(tmp_path)) for file in files if file.is_relative_to(tmp_path)}
    assert read == {"fleet.yml", *others}
    assert files[-1].name == "previews", "a preview that is made changes the fleet, too"


def test_two_environments_on_one_engine_share_no_network_and_no_volume(load: Load) -> None:
    """A container of one would answer the other's callers, and write into the other's data."""
    fleet = load(ONE_ENGINE % ("unix:///run/docker.sock", "unix:///run/docker.sock", "{volumes: ['data:/data']}"))
    one, two = (fleet.targets[name].container for name in ("dev/api", "production/api"))
    assert one is not None
    assert two is not None
    assert not {network.name for network in one.networks} & {network.name for network in two.networks}
    assert not {volume.name for volume in one.volumes} & {volume.name for volume in two.volumes}


def test_two_environments_that_would_share_a_network_are_refused(refuse: Refuse) -> None:
    here = "unix:///run/docker.sock"
    (problem,) = refuse(ONE_ENGINE % (here, here, "{networks: {back: {name: shared}}}"))
    assert "production/api and dev/api are both `api` in the network `shared` on two" in problem.message


ON_AN_ENGINE = "{image: shop/app, image_on: one}"


def test_images_may_be_on_an_engine_instead_of_in_a_registry(load: Load) -> None:
    fleet = load((ONE_ENGINE % ("unix:///a", "unix:///b", "{}")).replace("{image: api}", ON_AN_ENGINE))
    for name in ("dev/api", "production/api"):
        assert fleet.targets[name].images_on == fleet.hosts["one"]


@pytest.mark.parametrize(
    ("artifact", "message", "nearest"),
    [
        ("{image: api, image_on: on}", "there is no host `on`", "one"),
        ("{image: api, image_on: web}", "web is no Docker host", None),
        ("{tarball: x.tgz, image_on: one}", "`image_on` is for an image: a tarball is found by its path or URL", None),
    ],
)
def test_what_has_the_images_is_a_docker_host(refuse: Refuse, artifact: str, message: str, nearest: str | None) -> None:
    text = (ONE_ENGINE % ("unix:///a", "unix:///b", "{}")).replace("{image: api}", artifact)
    problems = refuse(text.replace("hosts:\n", "hosts:\n  web: {ssh: web}\n", 1))
    assert (message, nearest) in [(problem.message, problem.nearest) for problem in problems]
