"""A swarm in the fleet file: how it is said, what of Compose holds there, what doesn't, and that engines are what they were."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quarterdeck.config.compose.deploy import constraint
from quarterdeck.config.compose.keys import SERVICE
from quarterdeck.config.compose.refusals import LEAVE_OUT, NOT_ON_ENGINES, NOT_ON_SWARMS
from quarterdeck.config.container import ContainerSpec, Deploy, Limits, Network, Pace, PublishedPort, Restart
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Host, Runner
from quarterdeck.config.places import engines_of
from quarterdeck.config.problems import render
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.config.scalars import Unfit
from tests.config.conftest import Load, Refuse
from tests.config.test_examples import FLOOR

FLEET = """\
fleet: acme
hosts: {box: {%s: 'ssh://box'}}
environments: {dev: {hosts: [box]}}
services:
  api:
    artifact: {image: acme/api}
    container: {compose: app/compose.yaml, service: api}
"""
SWARM = FLEET % "swarm"
ENGINE = FLEET % "docker"
TOP = """\
networks:
  back: {driver: overlay, internal: true}
  local: {driver: macvlan}
  bridged:
    driver: bridge
  far: {external: true}
volumes: {data: }
"""


def compose(service: str) -> dict[str, str]:
    """A compose file whose service `api`, from its third line and fourth column on, is ``service``."""
    body = "".join(f"    {line}\n" for line in service.splitlines())
    return {"app/compose.yaml": f"services:\n  api:\n{body}{TOP}"}


def spec_of(load: Load, service: str, fleet: str = SWARM) -> ContainerSpec:
    found = load(fleet, **compose(service)).targets["dev/api"].container
    assert found is not None
    return found


# what is written of the host, what is made of it
HOSTS: list[tuple[str, Host]] = [
    ("{swarm: 'ssh://deploy@10.0.3.11'}", Host("s", swarm=("ssh://deploy@10.0.3.11",))),
    ("{swarm: ['ssh://a', 'ssh://b:2222/run/d.sock']}", Host("s", swarm=("ssh://a", "ssh://b:2222/run/d.sock"))),
    ("{swarm: 'context://prod', address: 10.0.3.1}", Host("s", swarm=("context://prod",), address="10.0.3.1")),
    ("{swarm: 'unix:///run/docker.sock', nodes: 'ssh://deploy@{address}'}",
     Host("s", swarm=("unix:///run/docker.sock",), nodes="ssh://deploy@{address}")),
    ("{swarm: ['tcp://10.0.3.11:2376'], nodes: 'tcp://{address}:2376', tls: /certs}",
     Host("s", swarm=("tcp://10.0.3.11:2376",), nodes="tcp://{address}:2376", tls="/certs")),
    ("{swarm: 'unix:///d.sock', nodes: 'unix:///run/{hostname}.sock'}",
     Host("s", swarm=("unix:///d.sock",), nodes="unix:///run/{hostname}.sock")),
    ("{swarm: 'context://a', nodes: 'context://{hostname}'}", Host("s", swarm=("context://a",), nodes="context://{hostname}")),
]  # fmt: skip
ONE_HOST = """\
fleet: acme
hosts:
  s: %s
environments: {dev: {hosts: [s]}}
services: {api: {artifact: {image: acme/api}, container: {}}}
"""


@pytest.mark.parametrize(("written", "host"), HOSTS, ids=[case[0] for case in HOSTS])
def test_a_swarm_is_one_host(written: str, host: Host, load: Load) -> None:
    fleet = load(ONE_HOST % written)
    assert fleet.hosts["s"] == host
    assert fleet.targets["dev/api"].hosts == (host,)
    assert host.contained


@pytest.mark.parametrize(
    ("written", "column", "message", "nearest"),
    [
        ("{swarm: []}", 14, "expected a list of managers such as [ssh://10.0.3.11, ssh://10.0.3.12], found an empty list", None),
        ("{swarm: ['ssh://a', 'ssh://a']}", 26, "`ssh://a` is in this list twice", None),
        ("{swarm: {a: b}}", 14, "expected the address of a manager, or a list of them", None),
        ("{swarm: 10.0.3.11}", 14, "it begins with unix://, ssh://, tcp:// or context://", None),
        ("{swarm: ['ssh://a', /run/docker.sock]}", 26, "it begins with unix://", "unix:///run/docker.sock"),
        ("{swarm: 'tcp://a'}", 14, "the port is missing", "tcp://a:2376"),
        ("{swarm: 'ssh://a', docker: 'ssh://a'}", 7, "only one of `ssh`, `docker` or `swarm` may stand in a host", None),
        ("{swarm: 'ssh://a', ssh: a}", 7, "only one of `ssh`, `docker` or `swarm` may stand in a host", None),
        ("{swarm: 'ssh://a', tls: x}", 25, "`tls` is for an engine that is reached over tcp:// only", None),
        ("{docker: 'ssh://a', nodes: 'ssh://{address}'}", 26, "`nodes` is for a swarm only", None),
        ("{swarm: 'ssh://a', nodes: 'ssh://b'}", 32, "with neither {address} nor {hostname} in it, it is the same for all nodes", None),
        ("{swarm: 'ssh://a', nodes: 'ssh://{adress}'}", 32, "expected an engine's address with {address} or {hostname}", None),
        ("{swarm: 'ssh://a', nodes: 'tcp://{address}'}", 32, "the port is missing", None),
        ("{swarm: 'ssh://a', nodes: ['ssh://{address}']}", 32, "found a list", None),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_in_a_swarms_host_is_reported_there(
    written: str, column: int, message: str, nearest: str | None, refuse: Refuse
) -> None:
    (problem,) = refuse(ONE_HOST % written)
    assert message in problem.message
    assert (problem.line, problem.column) == (3, column)
    assert nearest is None or problem.nearest == nearest


# what is written at the service, the field, its value on a swarm
CASES: list[tuple[str, str, Any]] = [
    ("{}", "deploy", None),
    ("{}", "restart", ""),
    ("deploy: {}", "deploy", None),
    ("deploy: {mode: replicated, replicas: 1}", "deploy", None),
    ("deploy: {replicas: 3}", "deploy", Deploy(replicas=3)),
    ("deploy: {replicas: '0'}", "deploy", Deploy(replicas=0)),
    ("scale: 4", "deploy", Deploy(replicas=4)),
    ("scale: 4\ndeploy: {replicas: 4}", "deploy", Deploy(replicas=4)),
    ("deploy: {mode: global}", "deploy", Deploy(mode="global")),
    ("deploy: {endpoint_mode: dnsrr}", "deploy", Deploy(endpoint_mode="dnsrr")),
    ("deploy: {endpoint_mode: vip}", "deploy", Deploy(endpoint_mode="vip")),
    ("deploy: {labels: {a: b, c: 1}}", "deploy", Deploy(labels={"a": "b", "c": "1"})),
    ("deploy: {labels: [a=b, c]}", "deploy", Deploy(labels={"a": "b", "c": ""})),
    ("deploy: {labels: {a: b}}\nlabels: {c: d}", "labels", {"c": "d"}),
    ("deploy: {placement: {constraints: [node.role==worker, 'node.labels.disk != hdd']}}", "deploy",
     Deploy(constraints=("node.role == worker", "node.labels.disk != hdd"))),
    ("deploy: {placement: {preferences: [{spread: node.labels.zone}, {spread: engine.labels.rack}]}}", "deploy",
     Deploy(preferences=("node.labels.zone", "engine.labels.rack"))),
    ("deploy: {placement: {max_replicas_per_node: 2}}", "deploy", Deploy(max_replicas_per_node=2)),
    ("deploy: {placement: {max_replicas_per_node: 0}}", "deploy", None),
    ("deploy: {resources: {reservations: {cpus: '0.25', memory: 20M}}}", "deploy",
     Deploy(reserved_cpus=0.25, reserved_memory=20971520)),
    ("deploy: {resources: {limits: {cpus: '0.5', memory: 50M, pids: 10}, reservations: {memory: 20M}}}", "limits",
     Limits(cpus=0.5, memory=52428800, pids=10)),
    ("deploy: {resources: {limits: {memory: 50M}}}", "deploy", None),
    ("mem_limit: 1g\ncpus: 2\npids_limit: 5", "limits", Limits(cpus=2.0, memory=1073741824, pids=5)),
    ("deploy: {restart_policy: {}}", "deploy", Deploy(restart=Restart())),
    ("deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, window: 2m}}", "deploy",
     Deploy(restart=Restart("on-failure", 5.0, 3, 120.0))),
    ("deploy: {restart_policy: {condition: any, max_attempts: 3}}", "deploy", Deploy(restart=Restart("any", max_attempts=3))),
    ("restart: always", "deploy", Deploy(restart=Restart("any"))),
    ("restart: unless-stopped", "deploy", Deploy(restart=Restart("any"))),
    ("restart: on-failure", "deploy", Deploy(restart=Restart("on-failure"))),
    ("restart: on-failure:3", "deploy", Deploy(restart=Restart("on-failure", max_attempts=3))),
    ("restart: 'no'", "deploy", Deploy(restart=Restart("none"))),
    ("restart: ''", "deploy", None),
    ("restart: always\ndeploy: {restart_policy: {condition: any, delay: 1s}}", "deploy", Deploy(restart=Restart("any", 1.0))),
    ("restart: always", "restart", ""),
    ("deploy: {update_config: {parallelism: 2, delay: 10s, monitor: 30s, max_failure_ratio: 0.25, order: start-first}}", "deploy",
     Deploy(update=Pace(2, 10.0, 30.0, 0.25, "start-first"))),
    ("deploy: {update_config: {order: start-first}}", "order", "start-first"),
    ("deploy: {update_config: {parallelism: 0, failure_action: pause}}", "deploy", Deploy(update=Pace(0, failure_action="pause"))),
    ("deploy: {update_config: {failure_action: continue}}", "deploy", Deploy(update=Pace(failure_action="pause"))),
    ("deploy: {rollback_config: {parallelism: 0, order: stop-first, max_failure_ratio: 1}}", "deploy",
     Deploy(rollback=Pace(0, order="stop-first", max_failure_ratio=1.0))),
    ("ports: ['8080:80']", "ports", (PublishedPort(80, "8080"),)),
    ("ports: [{target: 80, published: 8080, mode: host}]", "ports", (PublishedPort(80, "8080", mode="host"),)),
    ("ports: [{target: 80, mode: ingress}]", "ports", (PublishedPort(80, mode="ingress"),)),
    ("ports: [{target: 80, published: 8080-8081, mode: host}]\ndeploy: {endpoint_mode: dnsrr}", "ports",
     (PublishedPort(80, "8080-8081", mode="host"),)),
    ("network_mode: host", "network_mode", "host"),
    ("network_mode: bridge", "network_mode", "bridge"),
    ("networks: [back]", "networks", (Network("app_back", driver="overlay", internal=True, aliases=("api",)),)),
    ("networks: {far: {aliases: [web]}}", "networks", (Network("far", external=True, aliases=("api", "web")),)),
    ("privileged: false", "privileged", False),
    ("security_opt: ['label:type:svirt_t']", "security_opt", ("label=type:svirt_t",)),
    ("cgroup:\noom_kill_disable: false\ndevices: null", "devices", ()),
    ("expose: [80]", "expose", ("80/tcp",)),
    ("cap_drop: [ALL]\ninit: true\nsysctls: {a.b: 1}\nulimits: {nofile: 5}\nread_only: true", "cap_drop", ("ALL",)),
]  # fmt: skip


@pytest.mark.parametrize(("service", "field", "value"), CASES, ids=[f"{case[1]}: {case[0][:60]}" for case in CASES])
def test_what_a_swarm_is_told(service: str, field: str, value: Any, load: Load) -> None:
    assert getattr(spec_of(load, service), field) == value


def test_every_part_of_it_is_written_above() -> None:
    plain = Deploy()
    deploys = [value for _, field, value in CASES if field == "deploy" and value is not None]
    for name in Deploy.__struct_fields__:
        assert any(getattr(deploy, name) != getattr(plain, name) for deploy in deploys), name
    for kind, names in ((Restart, ("restart",)), (Pace, ("update", "rollback"))):
        found = [one for deploy in deploys for one in (getattr(deploy, name) for name in names) if one is not None]
        for field in kind.__struct_fields__:
            assert any(getattr(one, field) != getattr(kind(), field) for one in found), (kind, field)


# what is written at the service; line and column of the problem; part of its message
REFUSED: list[tuple[str, int, int, str]] = [
    ("network_mode: none", 3, 5, "`network_mode: none` can't be had on a swarm: its tasks have `networks`"),
    ("network_mode: container:vpn", 3, 5, "`network_mode: container` can't be had on a swarm"),
    (
        "networks:\n  back:\n    ipv4_address: 10.0.0.9",
        5,
        9,
        "`ipv4_address` can't be had on a swarm: a swarm gives each task an address",
    ),
    ("networks:\n  back: {ipv6_address: '2001:db8::9'}", 4, 14, "`ipv6_address` can't be had on a swarm"),
    (
        "networks: {back: {priority: 2}}",
        3,
        23,
        "`priority` can't be had on a swarm: a swarm connects all networks at once",
    ),
    (
        "networks: [bridged]",
        8,
        13,
        "a network of the driver bridge ends at its node, and tasks run on several: write overlay",
    ),
    ("networks: [local]", 6, 19, "a network of the driver macvlan ends at its node"),
    (
        "security_opt: [label=disable, no-new-privileges]",
        3,
        35,
        "`security_opt` can't be had on a swarm, of options only label=…",
    ),
    ("security_opt: [seccomp=unconfined]", 3, 20, "`security_opt` can't be had on a swarm"),
    (
        "ports:\n  - '127.0.0.1:8080:80'",
        4,
        9,
        "a swarm publishes a port on all addresses of a node: leave the address out",
    ),
    ("ports: [{target: 80, host_ip: 10.0.0.1}]", 3, 26, "a swarm publishes a port on all addresses of a node"),
    ("volumes: ['/srv/a:/a:z']", 3, 15, "a swarm relabels nothing for SELinux: do it on the nodes"),
    (
        "volumes: [{type: bind, source: /a, target: /a, bind: {selinux: Z}}]",
        3,
        59,
        "a swarm relabels nothing for SELinux",
    ),
    (
        "volumes: [{type: bind, source: /a, target: /a, bind: {create_host_path: true}}]",
        3,
        59,
        "a swarm makes no directory on its nodes",
    ),
    (
        "volumes: [{type: volume, source: data, target: /a, volume: {subpath: x}}]",
        3,
        65,
        "a swarm mounts whole volumes",
    ),
    ("deploy:\n  update_config:\n    failure_action: rollback", 5, 25, "Quarterdeck takes a release back by itself"),
    ("deploy: {rollback_config: {failure_action: rollback}}", 3, 48, "Quarterdeck takes a release back by itself"),
    (
        "deploy: {update_config: {failure_action: stop}}",
        3,
        46,
        "expected `pause`, `continue` or `rollback`, found `stop`",
    ),
    ("deploy: {mode: global, replicas: 2}", 3, 28, "`deploy.replicas` says nothing of a global service"),
    ("scale: 2\ndeploy: {mode: global}", 3, 5, "`scale` says nothing of a global service"),
    ("deploy: {mode: global, placement: {max_replicas_per_node: 1}}", 3, 40, "says nothing of a global service"),
    ("deploy: {mode: global}\nports: ['8080-8081:80']", 4, 12, "publish one port, not the range 8080-8081"),
    ("deploy: {mode: replicated-job}", 3, 20, "`replicated-job` is not supported: a job ends, and a release runs on"),
    ("deploy: {endpoint_mode: dnsrr}\nports: ['8080:80']", 3, 29, "give the port 80 `mode: host`, in its long form"),
    ("deploy: {endpoint_mode: dnsrr}\nports: [{target: 80, mode: ingress}]", 3, 29, "give the port 80 `mode: host`"),
    ("scale: 2\ndeploy: {replicas: 3}", 3, 5, "`scale` and `deploy.replicas` say different things"),
    (
        "restart: always\ndeploy: {restart_policy: {condition: none}}",
        3,
        5,
        "`restart` and `deploy.restart_policy` say different",
    ),
    ("restart: on-failure:3\ndeploy: {restart_policy: {condition: on-failure}}", 3, 5, "say different things"),
    ("deploy: {replicas: -1}", 3, 24, "expected a number of replicas"),
    ("deploy: {endpoint_mode: dns}", 3, 29, "expected `vip` or `dnsrr`"),
    ("deploy: {placement: {constraints: [node.role]}}", 3, 40, "expected a constraint such as node.role == worker"),
    ("deploy: {placement: {constraints: [node.rule == worker]}}", 3, 40, "a swarm knows node.id, node.hostname"),
    ("deploy: {placement: {constraints: [node.role == boss]}}", 3, 40, "a node is a manager or a worker"),
    ("deploy: {placement: {constraints: node.role == worker}}", 3, 39, "write [node.role == worker]"),
    ("deploy: {placement: {preferences: [{spread: zone}]}}", 3, 49, "tasks are spread over node.labels.NAME"),
    ("deploy: {placement: {preferences: [{spred: node.labels.a}]}}", 3, 41, "unknown key `spred` in a preference"),
    ("deploy: {update_config: {max_failure_ratio: 1.5}}", 3, 49, "expected a part of the tasks from 0 to 1"),
    ("deploy: {update_config: {delay: 10}}", 3, 37, "the unit is missing"),
    (
        "deploy: {resources: {reservations: {generic_resources: []}}}",
        3,
        41,
        "`deploy.resources.reservations.generic_resources` is not",
    ),
    ("links: [db]", 3, 5, "`links` is not supported: use networks and their aliases"),
    ("volumes_from: [db]", 3, 5, "`volumes_from` is not supported: name the volumes"),
    ("depends_on: [db]", 3, 5, "`depends_on` can't be kept"),
]


@pytest.mark.parametrize(("service", "line", "column", "message"), REFUSED, ids=[case[0][:70] for case in REFUSED])
def test_what_a_swarm_cannot_do_is_refused_where_it_is_written(
    service: str, line: int, column: int, message: str, refuse: Refuse
) -> None:
    files = compose(service)
    problems = refuse(SWARM, **files)
    assert len(problems) == 1, render(problems)
    (problem,) = problems
    assert message in problem.message, render(problems)
    assert (problem.file.name, problem.line, problem.column) == ("compose.yaml", line, column), render(problems)
    assert problem.text == files["app/compose.yaml"].splitlines()[line - 1]


# a value for each key that a swarm can't have, as an engine takes it
VALUES = {
    "annotations": "{a: b}", "blkio_config": "{weight: 300}", "cgroup": "private", "cgroup_parent": "/x", "container_name": "the-api",
    "cpu_period": "1000", "cpu_quota": "1000", "cpu_shares": "512", "cpuset": "0-1", "device_cgroup_rules": "['c 1:3 mr']",
    "deploy.resources.reservations.devices": "[{capabilities: [gpu]}]", "devices": "[/dev/null]", "domainname": "example.com",
    "gpus": "all", "ipc": "host", "mac_address": "'02:42:ac:11:00:02'", "mem_reservation": "1g", "mem_swappiness": "60",
    "memswap_limit": "2g", "oom_kill_disable": "true", "oom_score_adj": "5", "pid": "host", "platform": "linux/amd64",
    "privileged": "true", "runtime": "runsc", "shm_size": "64m", "storage_opt": "{size: 1G}", "userns_mode": "host", "uts": "host",
}  # fmt: skip
# a value for each key that only a swarm can have
ONLY_THERE = {
    "deploy.endpoint_mode": "dnsrr", "deploy.labels": "{a: b}", "deploy.placement": "{constraints: [node.role == worker]}",
    "deploy.resources.reservations.cpus": "1", "deploy.restart_policy.delay": "5s", "deploy.restart_policy.window": "5s",
    "deploy.rollback_config": "{parallelism: 2}", "deploy.update_config.delay": "5s",
    "deploy.update_config.failure_action": "pause", "deploy.update_config.max_failure_ratio": "0.5",
    "deploy.update_config.monitor": "5s", "deploy.update_config.parallelism": "2", "scale": "2",
}  # fmt: skip


def written(path: str, value: str) -> tuple[str, int, int]:
    """``value`` at ``path``, a line for each name on the way; and the place of the last of them in the compose file."""
    names = path.split(".")
    lines = [f"{'  ' * depth}{name}:" for depth, name in enumerate(names)]
    return "\n".join(lines) + f" {value}", 2 + len(names), 5 + 2 * (len(names) - 1)


@pytest.mark.parametrize("path", NOT_ON_SWARMS)
def test_a_key_for_engines_only_is_refused_on_a_swarm(path: str, load: Load, refuse: Refuse) -> None:
    service, line, column = written(path, VALUES[path])
    (problem,) = refuse(SWARM, **compose(service))
    assert problem.message == f"`{path}` {NOT_ON_SWARMS[path]}{LEAVE_OUT}"
    assert (problem.line, problem.column) == (line, column)
    assert load(ENGINE, **compose(service)).targets, "an engine takes it"
    left_out = SWARM.replace("service: api}", f"service: api, without: [{path}]}}")
    assert load(left_out, **compose(service)).targets, "what is left out by name is no problem"


@pytest.mark.parametrize("path", NOT_ON_ENGINES)
def test_a_key_for_swarms_only_is_refused_on_an_engine(path: str, load: Load, refuse: Refuse) -> None:
    service, line, column = written(path, ONLY_THERE[path])
    (problem,) = refuse(ENGINE, **compose(service))
    assert problem.message == f"`{path}` {NOT_ON_ENGINES[path]}{LEAVE_OUT}"
    assert (problem.line, problem.column) == (line, column)
    assert load(SWARM, **compose(service)).targets, "a swarm takes it"
    left_out = ENGINE.replace("service: api}", f"service: api, without: [{path}]}}")
    assert load(left_out, **compose(service)).targets, "what is left out by name is no problem"


def test_every_key_of_the_tables_is_one_that_is_read() -> None:
    for path in (*NOT_ON_SWARMS, *NOT_ON_ENGINES):
        keys: Any = SERVICE
        for name in path.split("."):
            keys = keys.by_name[name].shape
    assert (set(VALUES), set(ONLY_THERE)) == (set(NOT_ON_SWARMS), set(NOT_ON_ENGINES))


def test_in_place_it_is_the_same(load: Load, refuse: Refuse) -> None:
    in_place = SWARM.replace(
        "{compose: app/compose.yaml, service: api}", "{devices: [/dev/null], deploy: {replicas: 2}}"
    )
    (problem,) = refuse(in_place)
    assert (problem.file.name, problem.line, problem.column) == ("fleet.yml", 7, 17)
    assert problem.message == f"`devices` {NOT_ON_SWARMS['devices']}", "nothing is left out in place"
    spec = load(in_place.replace("devices: [/dev/null], ", "")).targets["dev/api"].container
    assert spec is not None
    assert spec.deploy == Deploy(replicas=2)


BOTH = """\
fleet: acme
hosts: {box: {docker: 'ssh://box'}, bay: {docker: 'ssh://bay'}, sw: {swarm: 'ssh://m-1'}, other: {swarm: 'ssh://n-1'}, web: {ssh: web}}
environments: {dev: {hosts: [box]}, production: {hosts: [%s]}}
services:
  api:
    artifact: {image: acme/api}
    container: {compose: app/compose.yaml, service: api}
"""


def test_one_compose_file_serves_engines_and_swarms(load: Load) -> None:
    """What only one of them can do is left out, by name, where it can't be had."""
    text = (
        BOTH % "sw, other, web"
        + "    environments: {dev: {container: {compose: app/compose.yaml, service: api, without: [deploy]}}}\n"
    )
    fleet = load(text, **compose("ports: [{target: 80, mode: host}]\nrestart: always\ndeploy: {replicas: 3}"))
    dev, production = (fleet.targets[name].container for name in ("dev/api", "production/api"))
    assert [host.name for host in fleet.targets["production/api"].hosts] == ["sw", "other"]
    assert dev is not None
    assert production is not None
    assert (dev.deploy, dev.ports, dev.restart) == (None, (PublishedPort(80),), "always")
    assert production.deploy == Deploy(replicas=3, restart=Restart("any"))
    assert production.ports == (PublishedPort(80, mode="host"),)


def test_a_key_is_refused_only_for_the_environments_that_cannot_have_it(load: Load, refuse: Refuse) -> None:
    problems = refuse(BOTH % "sw", **compose("devices: [/dev/null]\ndeploy: {labels: {a: b}}"))
    assert [(p.line, p.message.split("`")[1]) for p in problems] == [(3, "devices"), (4, "deploy.labels")]
    without = (
        "    environments: {production: {container: {compose: app/compose.yaml, service: api, without: [devices]}}}\n"
    )
    assert load(BOTH % "sw" + without, **compose("devices: [/dev/null]")).targets


def test_engines_and_swarms_in_one_environment_are_refused(refuse: Refuse) -> None:
    (problem,) = refuse(BOTH % "web, other, bay, sw", **compose("devices: [/dev/null]"))
    assert (problem.line, problem.column) == (5, 3)
    assert problem.message == (
        "`api` would run in production on engines (bay) and on a swarm (other), which run it in different ways: give each an environment "
        "of its own, or write `environments: {production: null}`"
    )


def test_images_of_a_swarm_come_from_a_registry(refuse: Refuse) -> None:
    text = (BOTH % "sw").replace("{image: acme/api}", "{image: acme/api, image_on: box}")
    (problem,) = refuse(text, **compose("tty: true"))
    assert (problem.line, problem.column) == (6, 43)
    assert "every node of a swarm fetches its images itself, from a registry" in problem.message
    (problem,) = refuse(
        text.replace("image_on: box", "image_on: sw").replace("production: {hosts: [sw]}", "q: {hosts: [web]}")
        + "    environments: {q: null}\n",
        **compose("tty: true"),
    )
    assert (problem.message, problem.nearest) == ("sw is no Docker host", None)


TWO = """\
fleet: acme
hosts: {one: {swarm: %s}, two: {swarm: %s}}
environments: {dev: {hosts: [one]}, production: {hosts: [two]}}
services:
  api: {artifact: {image: acme/api}, container: %s}
"""


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("'ssh://a'", "'ssh://a'", True),
        ("['ssh://a', 'ssh://b']", "['ssh://c', 'ssh://me@b:22']", True),
        ("'unix:///var/run/docker.sock'", "'unix:///run/docker.sock'", True),
        ("'ssh://a'", "['ssh://b', 'ssh://c']", False),
    ],
)
def test_two_targets_do_not_publish_one_port_of_a_swarm(
    one: str, two: str, same: bool, load: Load, refuse: Refuse
) -> None:
    text = TWO % (one, two, "{ports: ['8080:80']}")
    if not same:
        assert load(text).targets
        return
    (problem,) = refuse(text)
    assert (problem.line, problem.message) == (5, "production/api and dev/api both publish the port 8080/tcp on two")


def test_ports_of_the_nodes_may_be_shared_by_tasks_on_different_nodes(load: Load, refuse: Refuse) -> None:
    host = "{ports: [{target: 80, published: 8080, mode: host}]}"
    assert load(TWO % ("'ssh://a'", "'ssh://a'", host)).targets
    twice = "{ports: [{target: 80, published: 8080, mode: host}, {target: 81, published: 8080, mode: host}]}"
    problems = refuse(TWO % ("'ssh://a'", "'ssh://b'", twice))
    assert {problem.message for problem in problems} == {
        "dev/api publishes the port 8080/tcp on one twice",
        "production/api publishes the port 8080/tcp on two twice",
    }


def test_a_swarm_is_in_an_environment_once(refuse: Refuse) -> None:
    text = (TWO % ("['ssh://a', 'ssh://b']", "'ssh://b'", "{}")).replace("hosts: [one]}", "hosts: [one, two]}")
    (problem,) = refuse(text.replace(", production: {hosts: [two]}", ""))
    assert problem.message == "dev has the swarm ssh://b twice, so dev-api too"


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True), max_size=6))
def test_swarms_with_a_manager_in_common_are_one_in_any_order(managers: list[list[str]]) -> None:
    hosts = [Host(str(number), swarm=tuple(f"ssh://{one}" for one in them)) for number, them in enumerate(managers)]
    found = engines_of(hosts)
    groups = [{number} for number in range(len(hosts))]  # the closure, worked out the long way
    for one, two in itertools.combinations(range(len(hosts)), 2):
        if set(managers[one]) & set(managers[two]):
            joined = {*next(g for g in groups if one in g), *next(g for g in groups if two in g)}
            groups = [group for group in groups if not group & joined] + [joined]
    for one, two in itertools.combinations(range(len(hosts)), 2):
        together = any({one, two} <= group for group in groups)
        assert (found[str(one)] == found[str(two)]) == together


@given(st.text(max_size=40))
def test_a_constraint_is_kept_as_a_swarm_takes_it_or_refused(text: str) -> None:
    """What is kept reads the same again, and has the one form."""
    try:
        kept = constraint(text)
    except Unfit:
        return
    assert constraint(kept) == kept


@given(
    st.sampled_from(["node.role", "node.hostname", "node.labels.zone", "engine.labels.a-b"]),
    st.sampled_from(["==", "!="]),
    st.sampled_from(["worker", "manager"]),
    st.text(" ", max_size=3),
)
def test_spaces_in_a_constraint_mean_nothing(name: str, sign: str, value: str, space: str) -> None:
    assert constraint(f"{space}{name}{space}{sign}{space}{value}{space}") == f"{name} {sign} {value}"


def test_what_means_nothing_to_an_engine_makes_no_other_release_there(load: Load) -> None:
    """The keys of `deploy` that engines take, and a port's `mode`, were taken before there were swarms: this digest was computed then."""
    service = (
        "ports: [{target: 80, published: 8080, mode: ingress}]\n"
        "deploy: {mode: replicated, replicas: 1, update_config: {order: start-first},\n"
        "  resources: {limits: {memory: 50M}, reservations: {memory: 20M}}, restart_policy: {condition: on-failure, max_attempts: 3}}"
    )
    spec = spec_of(load, service, ENGINE)
    assert spec.deploy is None
    release = Release(
        "dev/api", "1", ResolvedArtifact("acme/api@sha256:" + "ab" * 32, "ab" * 32), "", Runner(), container=spec
    )
    assert release.digest == "9c398a93df9cd0a5a766d35fa9730a7fc7578b51d377ca855d7bf20f7922f0f5"


def test_a_release_is_another_by_what_a_swarm_is_told(load: Load) -> None:
    digests = set()
    written = [case for case, field, value in CASES if field == "deploy" and value is not None and "\n" not in case]
    for service in written:
        spec = spec_of(load, service)
        body = Release("dev/api", "1", ResolvedArtifact("acme/api", "ab" * 32), "", Runner(), container=spec)
        digests.add(body.digest)
    same = 1 + 1  # always and unless-stopped; pause and continue stand beside another change
    assert len(digests) > len(written) - same - 1


def test_the_example_has_what_a_fleet_on_a_swarm_needs() -> None:
    fleet = load_fleet(FLOOR / "examples" / "swarm.yml")
    swarms = [host for host in fleet.hosts.values() if host.swarm]
    assert len(swarms) >= 2
    assert any(len(host.swarm) > 1 and host.nodes for host in swarms)
    deploys = [target.container.deploy for target in fleet.targets.values() if target.container is not None]
    assert {deploy.mode for deploy in deploys if deploy is not None} == {"replicated", "global"}


def test_a_constraint_is_read_at_once_however_long() -> None:
    for text in ("a" + "==" * 200_000 + "\n", "node.role" + " " * 400_000 + "=", "=" * 400_000):
        with pytest.raises(Unfit):
            constraint(text)
