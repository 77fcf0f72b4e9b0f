"""Every key of a service, in each way in which Compose writes it, becomes the same normal form; what is wrong is told."""

from textwrap import indent
from typing import Any

import pytest

from quarterdeck.config.compose.keys import IN_PLACE, SERVICE
from quarterdeck.config.container import (
    ContainerFile,
    ContainerSpec,
    Device,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    Network,
    PublishedPort,
    SecretFile,
    Ulimit,
    Volume,
)
from quarterdeck.config.model import Target
from quarterdeck.config.problems import render
from tests.config.conftest import Load, Refuse

FLEET = """\
fleet: acme
hosts: {box: {docker: 'ssh://box'}}
environments: {dev: {hosts: [box]}}
services:
  api:
    artifact: {image: acme/api}
    container: {compose: app/compose.yaml, service: api}
"""
IN_FLEET = FLEET.replace("container: {compose: app/compose.yaml, service: api}", "container:")
TOP = """\
networks:
  back: {driver: bridge, internal: true, labels: [tier=back], ipam: {config: [{subnet: 172.28.0.0/16, gateway: 172.28.0.1}]}}
  front:
  shared: {external: true}
  named: {name: other, driver_opts: {com.docker.network.bridge.name: br-x}, enable_ipv6: true, attachable: true}
  far: {external: true, name: far-away}
  old: {external: {name: far-away}}
volumes:
  data:
  old: {external: {name: old-data}}
  named: {name: other-data, driver: local, driver_opts: {type: nfs}, labels: {a: b}}
  shared: {external: true, name: shared-data}
configs:
  inline: {content: "a=$$b\\n"}
  file: {file: ./app.ini}
  variable: {environment: APP_INI}
secrets:
  key: {file: ./key.txt}
  token: {environment: TOKEN}
  external: {external: true}
  other: {external: true, name: DATABASE_URL}
"""
DEFAULT = Network("app_default", aliases=("api",))

# what is written at the service, the field, its value
CASES: list[tuple[str, str, Any]] = [
    ("{}", "networks", (DEFAULT,)),
    ("annotations: {a: b}", "annotations", {"a": "b"}),
    ("annotations: [a=b, c]", "annotations", {"a": "b", "c": ""}),
    ("blkio_config: {weight: 300}", "limits", Limits(blkio_weight=300)),
    ("cap_add: [NET_ADMIN]", "cap_add", ("NET_ADMIN",)),
    ("cap_drop: [ALL]", "cap_drop", ("ALL",)),
    ("cgroup: private", "cgroup", "private"),
    ("cgroup_parent: m-executor", "cgroup_parent", "m-executor"),
    ("command: bin/api --name 'a b'", "command", ("bin/api", "--name", "a b")),
    ("command: [bin/api, --port, 80]", "command", ("bin/api", "--port", "80")),
    ("command: []", "command", ()),
    ("command:", "command", None),
    ("command: null", "command", None),
    ("configs: [inline]", "files", (ContainerFile("/inline", "a=$b\n"),)),
    (
        "configs: [{source: file, target: /etc/app.ini, uid: '103', gid: 103, mode: 0440}]",
        "files",
        (ContainerFile("/etc/app.ini", "from a file\n", 103, 103, 0o440),),
    ),
    ("configs: [{source: variable, target: app.ini}]", "files", (ContainerFile("/app.ini", "from a variable"),)),
    ("container_name: the-api", "container_name", "the-api"),
    ("cpu_period: 100000", "limits", Limits(cpu_period=100000)),
    ("cpu_quota: 50000", "limits", Limits(cpu_quota=50000)),
    ("cpu_shares: 512", "limits", Limits(cpu_shares=512)),
    ("cpus: 0.5", "limits", Limits(cpus=0.5)),
    ("cpuset: 0-3,5", "limits", Limits(cpuset="0-3,5")),
    (
        "deploy: {resources: {limits: {cpus: '0.5', memory: 50M, pids: 10}, reservations: {memory: 20M}}}",
        "limits",
        Limits(cpus=0.5, memory=52428800, memory_reservation=20971520, pids=10),
    ),
    (
        "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}",
        "gpus",
        ({"driver": "nvidia", "count": "1", "capabilities": "gpu"},),
    ),
    ("deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}", "restart", "on-failure:3"),
    ("deploy: {restart_policy: {condition: any}}", "restart", "always"),
    ("deploy: {restart_policy: {condition: none}, mode: replicated, replicas: 1}", "restart", "no"),
    ("deploy: {update_config: {order: start-first}}", "order", "start-first"),
    ("device_cgroup_rules: ['c 1:3 mr']", "device_cgroup_rules", ("c 1:3 mr",)),
    ("devices: [/dev/ttyUSB0]", "devices", (Device("/dev/ttyUSB0", "/dev/ttyUSB0"),)),
    ("devices: ['/dev/sda:/dev/xvda:r']", "devices", (Device("/dev/sda", "/dev/xvda", "r"),)),
    ("devices: [{source: /dev/sda, target: /dev/xvda, permissions: rw}]", "devices", (Device("/dev/sda", "/dev/xvda", "rw"),)),
    ("dns: 8.8.8.8", "dns", ("8.8.8.8",)),
    ("dns: [8.8.8.8, 9.9.9.9]", "dns", ("8.8.8.8", "9.9.9.9")),
    ("dns_opt: [use-vc]", "dns_opt", ("use-vc",)),
    ("dns_search: example.com", "dns_search", ("example.com",)),
    ("domainname: example.com", "domainname", "example.com"),
    ("entrypoint: /bin/sh -c", "entrypoint", ("/bin/sh", "-c")),
    ("entrypoint: [/init]", "entrypoint", ("/init",)),
    ("expose: [3000, 8000-8001/udp]", "expose", ("3000/tcp", "8000/udp", "8001/udp")),
    ("extra_hosts: ['db:10.0.0.5', six=::1]", "extra_hosts", ("db:10.0.0.5", "six:::1")),
    ("extra_hosts: {db: 10.0.0.5, two: [10.0.0.6, 10.0.0.7]}", "extra_hosts", ("db:10.0.0.5", "two:10.0.0.6", "two:10.0.0.7")),
    ("gpus: all", "gpus", ({"count": "-1", "capabilities": "gpu"},)),
    ("gpus: [{driver: nvidia, device_ids: ['0', '3']}]", "gpus", ({"driver": "nvidia", "device_ids": "0,3", "capabilities": "gpu"},)),
    ("group_add: [mail, 1000]", "group_add", ("mail", "1000")),
    ("healthcheck: {test: curl -f localhost, retries: 3}", "healthcheck", Healthcheck(("CMD-SHELL", "curl -f localhost"), retries=3)),
    (
        "healthcheck: {test: [CMD, true], interval: 1m30s, timeout: 10s, start_period: 40s, start_interval: 5s}",
        "healthcheck",
        Healthcheck(("CMD", "true"), 90.0, 10.0, 40.0, 5.0),
    ),
    ("healthcheck: {disable: true}", "healthcheck", Healthcheck(("NONE",))),
    ("healthcheck: {interval: 5s}", "healthcheck", Healthcheck(interval=5.0)),
    ("hostname: api-1", "hostname", "api-1"),
    ("init: true", "init", True),
    ("ipc: host", "ipc", "host"),
    ("ipc: container:other", "ipc", "container:other"),
    ("label_file: labels.env", "labels", {"from": "file"}),
    ("label_file: [labels.env]\nlabels: {from: here}", "labels", {"from": "here"}),
    ("labels: {com.example.a: 1, b: }", "labels", {"com.example.a": "1", "b": ""}),
    ("labels: ['com.example.a=x=y', b]", "labels", {"com.example.a": "x=y", "b": ""}),
    ("logging: {driver: syslog, options: {syslog-address: 'tcp://1.2.3.4:123', max-file: 3}}", "logging",
     Logging("syslog", {"syslog-address": "tcp://1.2.3.4:123", "max-file": "3"})),
    ("mac_address: 02:42:ac:11:65:43", "mac_address", "02:42:ac:11:65:43"),
    ("mem_limit: 512m", "limits", Limits(memory=536870912)),
    ("mem_reservation: 1gb", "limits", Limits(memory_reservation=1073741824)),
    ("mem_swappiness: 60", "limits", Limits(memory_swappiness=60)),
    ("memswap_limit: -1", "limits", Limits(memory_swap=-1)),
    ("network_mode: host", "network_mode", "host"),
    ("network_mode: container:vpn", "networks", ()),
    ("networks: [front]", "networks", (Network("app_front", aliases=("api",)),)),
    ("networks: {front: , shared: {aliases: [one, api]}}", "networks",
     (Network("app_front", aliases=("api",)), Network("shared", external=True, aliases=("api", "one")))),
    ("networks: {front: {priority: 1}, far: {priority: 10}}", "networks",
     (Network("far-away", external=True, aliases=("api",), priority=10), Network("app_front", aliases=("api",), priority=1))),
    ("networks: {back: {ipv4_address: 172.28.0.9, ipv6_address: '2001:db8::9'}}", "networks",
     (Network("app_back", driver="bridge", internal=True, labels={"tier": "back"}, subnets=("172.28.0.0/16",),
              gateways=("172.28.0.1",), aliases=("api",), ipv4_address="172.28.0.9", ipv6_address="2001:db8::9"),)),
    ("networks: [named]", "networks",
     (Network("other", driver_opts={"com.docker.network.bridge.name": "br-x"}, enable_ipv6=True, attachable=True, aliases=("api",)),)),
    ("networks:", "networks", (DEFAULT,)),
    ("networks: []", "networks", (DEFAULT,)),
    ("network_mode:\nnetworks: [default]", "networks", (DEFAULT,)),
    ("networks: [old]", "networks", (Network("far-away", external=True, aliases=("api",)),)),
    ("volumes: [old:/data]", "volumes", (Volume("old-data", external=True),)),
    ("networks: [default]", "networks", (DEFAULT,)),
    ("oom_kill_disable: true", "limits", Limits(oom_kill_disable=True)),
    ("oom_score_adj: -500", "limits", Limits(oom_score_adj=-500)),
    ("pid: host", "pid", "host"),
    ("pids_limit: -1", "limits", Limits(pids=-1)),
    ("platform: linux/arm64/v8", "platform", "linux/arm64/v8"),
    ("ports: [80, '8080:80', '8080:80']", "ports", (PublishedPort(80), PublishedPort(80, "8080"))),
    ("ports: [22:22]", "ports", (PublishedPort(22, "22"),)),
    ("ports: [{target: 80, published: 8080, host_ip: 127.0.0.1, protocol: udp, mode: host, name: web, app_protocol: http}]",
     "ports", (PublishedPort(80, "8080", "127.0.0.1", "udp"),)),
    ("ports: [{target: 80, published: 8000-8009}]", "ports", (PublishedPort(80, "8000-8009"),)),
    ("privileged: true", "privileged", True),
    ("read_only: true", "read_only", True),
    ("restart: on-failure:3", "restart", "on-failure:3"),
    ("restart: 'no'", "restart", "no"),
    ("restart: ''", "restart", "no"),
    ("restart: ''\ndeploy: {restart_policy: {condition: any}}", "restart", "always"),
    ("privileged: True", "privileged", True),
    ("init: FALSE", "init", False),
    ("restart: no", "restart", "no"),
    ("runtime: runsc", "runtime", "runsc"),
    ("secrets: [key]", "secrets", (SecretFile("key", "/run/secrets/key"),)),
    ("secrets: [{source: token, target: t, uid: 1, gid: 2, mode: 0400}]", "secrets", (SecretFile("token", "/run/secrets/t", 1, 2, 0o400),)),
    ("secrets: [{source: key, target: /etc/key}]", "secrets", (SecretFile("key", "/etc/key"),)),
    ("security_opt: ['no-new-privileges:true', apparmor=x]", "security_opt", ("no-new-privileges=true", "apparmor=x")),
    ("shm_size: 64M", "limits", Limits(shm_size=67108864)),
    ("stdin_open: true", "stdin_open", True),
    ("stop_grace_period: 1m30s", "stop_grace_period", 90.0),
    ("stop_signal: SIGUSR1", "stop_signal", "SIGUSR1"),
    ("storage_opt: {size: 1G}", "storage_opt", {"size": "1G"}),
    ("sysctls: {net.core.somaxconn: 1024}", "sysctls", {"net.core.somaxconn": "1024"}),
    ("sysctls: [net.core.somaxconn=1024]", "sysctls", {"net.core.somaxconn": "1024"}),
    ("tmpfs: /run", "mounts", (Mount("tmpfs", "/run"),)),
    ("tmpfs: ['/run:size=1m', /tmp]", "mounts", (Mount("tmpfs", "/run", size=1048576), Mount("tmpfs", "/tmp"))),
    ("tty: true", "tty", True),
    ("ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}", "limits",
     Limits(ulimits={"nproc": Ulimit(65535, 65535), "nofile": Ulimit(20000, 40000)})),
    ("user: 1000:1000", "user", "1000:1000"),
    ("userns_mode: host", "userns_mode", "host"),
    ("uts: host", "uts", "host"),
    ("volumes: [data:/data]", "volumes", (Volume("app_data"),)),
    ("volumes: [data:/data]", "mounts", (Mount("volume", "/data", "app_data"),)),
    ("volumes: [named:/a, 'shared:/b:ro']", "volumes",
     (Volume("other-data", driver="local", driver_opts={"type": "nfs"}, labels={"a": "b"}), Volume("shared-data", external=True))),
    ("volumes: [{type: bind, source: /srv/x, target: /x, read_only: true, bind: {create_host_path: false, propagation: rslave}}]",
     "mounts", (Mount("bind", "/x", "/srv/x", True, "rslave", create_host_path=False),)),
    ("volumes: [{type: volume, source: data, target: /x, volume: {nocopy: true, subpath: a/b}}]", "mounts",
     (Mount("volume", "/x", "app_data", nocopy=True, subpath="a/b"),)),
    ("volumes: [{type: tmpfs, target: /x, tmpfs: {size: 10000, mode: 01777}}]", "mounts",
     (Mount("tmpfs", "/x", size=10000, mode=0o1777),)),
    ("volumes: [{type: volume, target: /x}]", "mounts", (Mount("volume", "/x"),)),
    ("working_dir: /app", "working_dir", "/app"),
    ("x-anything: {goes: [here]}\nhealthcheck: {x-note: y, retries: 1}", "healthcheck", Healthcheck(retries=1)),
]  # fmt: skip
ENVIRONMENTS = [
    ("environment: {A: 1, B: on, C: '', D: a b}", {"A": "1", "B": "on", "C": "", "D": "a b"}),
    ("environment: [A=1, B=x=y, discovery.type=single-node]", {"A": "1", "B": "x=y", "discovery.type": "single-node"}),
    ("environment: [TOKEN, NOT_THERE]", {"TOKEN": "t0ken"}),
    ("environment: {TOKEN: , NOT_THERE: null}", {"TOKEN": "t0ken"}),
    ("env_file: a.env", {"ONE": "a", "TWO": "a b", "THREE": "a-b", "QUOTED": "x\ny $Z"}),
    ("env_file: [a.env, b.env]\nenvironment: {TWO: here}", {"ONE": "b", "TWO": "here", "THREE": "a-b", "QUOTED": "x\ny $Z"}),
    ("env_file: [{path: b.env}, {path: none.env, required: false}]", {"ONE": "b"}),
    ("env_file: [{path: raw.env, format: raw}]", {"RAW": "'$x'"}),
    ("environment: {A: '${TOKEN} ${FROM_DOTENV:-no} ${NO:-default} $$', P: $COMPOSE_PROJECT_NAME}",
     {"A": "t0ken dotenv default $", "P": "app"}),
]  # fmt: skip
FILES = {
    "app/app.ini": "from a file\n",
    "app/key.txt": "hunter2",
    "app/labels.env": "from=file\n",
    "app/a.env": "# first\nexport ONE=a\n\nTWO='a b' # what\nTHREE=$ONE-b   # so\nQUOTED=\"x\\ny \\$Z\"\n",
    "app/b.env": "ONE: b\n",
    "app/raw.env": "RAW='$x'\n",
    "app/.env": "FROM_DOTENV=dotenv\nTOKEN=the environment counts more\n",
}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "t0ken")
    monkeypatch.setenv("APP_INI", "from a variable")
    for name in ("NOT_THERE", "FROM_DOTENV", "NO", "COMPOSE_PROJECT_NAME"):
        monkeypatch.delenv(name, raising=False)


def compose(service: str) -> str:
    body = indent(service, "    ") if service != "{}" else ""
    return f"services:\n  api:\n    image: ignored:${{UNSET}}\n{body}\n{TOP}"


def load_service(load: Load, service: str) -> Target:
    return load(FLEET, **{"app/compose.yaml": compose(service), **FILES}).targets["dev/api"]


def spec_of(target: Target) -> ContainerSpec:
    assert target.container is not None
    return target.container


@pytest.mark.parametrize(("service", "name", "expected"), CASES, ids=[case[0][:60] for case in CASES])
def test_a_key_of_a_compose_file(service: str, name: str, expected: Any, load: Load) -> None:
    spec = spec_of(load_service(load, service))
    assert getattr(spec, name) == expected
    assert (spec.project, spec.service) == ("app", "api")


def test_every_supported_key_is_shown_above() -> None:
    written = {line.split(":")[0] for case, *_ in CASES for line in case.splitlines()}
    written |= {line.split(":")[0] for case, _ in ENVIRONMENTS for line in case.splitlines()}
    assert set(SERVICE.by_name) - written == {"scale"}, "which is for swarms: test_swarm.py"
    assert set(SERVICE.by_name) == set(IN_PLACE.by_name)


def test_every_field_of_a_container_can_be_written(load: Load) -> None:
    """A field that no case above changes could be read wrongly, or not at all."""
    plain = spec_of(load_service(load, "{}"))
    changed = {name for service, name, expected in CASES if getattr(plain, name) != expected}
    assert set(ContainerSpec.__struct_fields__) - changed == {"project", "service", "deploy"}
    limits = [expected for _, name, expected in CASES if name == "limits"]
    assert {
        name for limit in limits for name in Limits.__struct_fields__ if getattr(limit, name) != getattr(Limits(), name)
    } == set(Limits.__struct_fields__)


@pytest.mark.parametrize(("service", "expected"), ENVIRONMENTS, ids=[case[0][:60] for case in ENVIRONMENTS])
def test_the_variables(service: str, expected: dict[str, str], load: Load) -> None:
    assert load_service(load, service).env == expected


# what is written at the service, in one line; the column of the problem; part of the message; the nearest name
MISTAKES: list[tuple[str, int, str, str | None]] = [
    ("prots: ['80']", 5, "unknown key `prots` in a compose service; nothing is ignored", "ports"),
    (
        "depends_on: [db]",
        5,
        "`depends_on` can't be kept: services are rolled out each on its own; nothing is ignored",
        None,
    ),
    ("extends: {service: base}", 5, "`extends` is not supported", None),
    ("deploy: {placement: {}}", 14, "`deploy.placement` is said by the hosts", None),
    ("deploy: {resources: {limits: {cpu: 1}}}", 35, "unknown key `deploy.resources.limits.cpu` in the limits", "cpus"),
    ("deploy: {resources: {reservations: {cpus: 1}}}", 41, "an engine reserves no CPUs", None),
    ("deploy: {replicas: 2}", 24, "a host has one container of a service", None),
    ("deploy: {mode: global}", 20, "expected `replicated`", None),
    ("healthcheck: {tset: x}", 19, "unknown key `healthcheck.tset`", "test"),
    ("healthcheck: {test: [curl]}", 25, 'begins with "CMD"', None),
    ("healthcheck: {test: [CMD]}", 25, 'begins with "CMD"', None),
    ("healthcheck: {interval: 30}", 29, "the unit is missing", "30s"),
    ("ports: 80", 12, "expected a list of ports", None),
    ("ports: [http]", 13, "expected a port such as 80", None),
    ("ports: [{published: 80}]", 13, "`target` is missing in a published port", None),
    ("ports: [{target: 80, publish: 80}]", 26, "unknown key `publish`", "published"),
    (
        "volumes: ['./data:/data']",
        15,
        "write the absolute path on the hosts, or bring the file as one of the configs",
        None,
    ),
    ("volumes: ['${NO_DATA:-./data}:/data']", 15, "write the absolute path on the hosts", None),
    ("volumes: ['~/data:/data']", 15, "whose home", None),
    ("volumes: [dat:/data]", 15, "there is no volume `dat` among the file's `volumes`", "data"),
    ("volumes: [data:/a, data:/a]", 24, "something else is mounted at /a already", None),
    ("volumes: [{type: bind, source: ./x, target: /x}]", 36, "write the absolute path on the hosts", None),
    ("volumes: [{type: bind, target: /x}]", 15, "a bind mount needs `source`", None),
    ("volumes: [{type: tmpfs, source: x, target: /x}]", 29, "a tmpfs has no source", None),
    ("volumes: [{type: volume, target: /x, bind: {}}]", 42, "`bind` says nothing about a mount of type volume", None),
    ("volumes: [{type: npipe, source: x, target: /x}]", 22, "`npipe` is not supported", None),
    ("networks: [bcak]", 16, "there is no network `bcak`", "back"),
    ("networks: {front: {alias: [x]}}", 24, "unknown key `alias`", "aliases"),
    ("network_mode: service:db", 19, "services are rolled out each on its own", None),
    ("network_mode: host\n    ports: ['80:80']", 5, "no ports can be published with `network_mode: host`", None),
    ("network_mode: bridge\n    networks: [front]", 5, "`network_mode` and `networks` can't both", None),
    ("configs: [inline, {source: file, target: /inline}]", 23, "something else is mounted at /inline already", None),
    ("secrets: [{source: key, target: /x/../y}]", 15, "is no path of a file in the container", None),
    ("configs: [inlien]", 15, "there is no config `inlien`", "inline"),
    ("secrets: [kye]", 15, "the fleet file's `secrets` have no `kye`", "key"),
    ("secrets: [external]", 15, "the fleet file's `secrets` have no `external`", None),
    ("env_file: none.env", 15, "there is no file", None),
    ("environment: [=x]", 19, "expected a name", None),
    ("environment: {QD_X: 1}", 19, "set by Quarterdeck", None),
    ("environment: {A: [1]}", 22, "expected a single value, found a list", None),
    ("environment: {A: '${NONE_AT_ALL}'}", 22, "NONE_AT_ALL is not set", None),
    ("environment: {A: '${NONE_AT_ALL:?say which}'}", 22, "NONE_AT_ALL is not set: say which", None),
    ("environment: {A: $}", 22, "write `$$` for a dollar", None),
    ("restart: sometimes", 14, "expected `no`, `always`", None),
    ("restart: always\n    deploy: {restart_policy: {condition: none}}", 5, "say different things", None),
    ("mem_limit: 1g\n    deploy: {resources: {limits: {memory: 2g}}}", 5, "say different things", None),
    ("mem_limit: a lot", 16, "expected a size such as 512m or 1g", None),
    ("command: sh -c 'x", 14, "it can't be split into words", None),
    ("privileged: yes", 17, "expected `true` or `false`", "true"),
    ("devices: [vendor.com/gpu=0]", 15, "no CDI names", None),
    ("sysctls: {a.b: }", 15, "`a.b` has no value", None),
    ("<<: [x]", 10, "a merge key `<<` takes a mapping", None),
    ("labels: !reset null", 13, "the tag !reset is not allowed", None),
    ("ulimits: {nofile: {soft: 1}}", 23, "`hard` is missing in a ulimit", None),
    ("secrets: [{source: key, mode: 440}]", 35, "permissions begin with 0", "0440"),
]


@pytest.mark.parametrize(("service", "column", "message", "nearest"), MISTAKES, ids=[case[0][:60] for case in MISTAKES])
def test_a_mistake_in_a_compose_file_is_reported_there(
    service: str, column: int, message: str, nearest: str | None, refuse: Refuse
) -> None:
    text = f"services:\n  api:\n    {service}\n{TOP}"
    problems = refuse(FLEET, **{"app/compose.yaml": text, **FILES})
    (problem,) = problems
    assert message in problem.message, render(problems)
    assert (problem.file.name, problem.line, problem.column) == ("compose.yaml", 3, column), render(problems)
    assert problem.text == f"    {service}".splitlines()[0]
    assert problem.nearest == nearest


def test_every_other_key_of_the_specification_is_refused_with_a_reason(refuse: Refuse) -> None:
    names = [name for name in SERVICE.refused if name not in ("image", "build")]
    problems = refuse(FLEET, **{"app/compose.yaml": compose("\n".join(f"{name}: {{}}" for name in names)), **FILES})
    assert [p.message.split("`")[1] for p in problems] == names
    assert all("name it in `without` of the fleet file" in p.message for p in problems)


def test_what_is_left_out_knowingly_is_left_out(load: Load, refuse: Refuse) -> None:
    written = "build: .\ndepends_on: [db]\ndeploy: {placement: {a: b}, resources: {limits: {pids: 5}}}\nports: ['./x']"
    others = {"app/compose.yaml": compose(written), **FILES}
    left_out = FLEET.replace("service: api}", "service: api, without: [build, depends_on, deploy.placement, ports]}")
    assert spec_of(load(left_out, **others).targets["dev/api"]).limits == Limits(pids=5)
    (problem,) = refuse(left_out.replace("ports]", "prots, ports]"), **others)
    assert problem.file.name == "fleet.yml"
    assert problem.message == "the service `api` has no `prots` that could be left out"
    assert problem.nearest == "ports"


def test_in_place_means_the_same_but_for_this_machine(load: Load, refuse: Refuse) -> None:
    """Each case again within the fleet file, with what a compose file would declare at its top level at the entry itself."""
    beside = ("configs", "secrets", "networks", "volumes", "env_file", "label_file", "{}")
    for service, name, expected in CASES:
        if service.startswith(beside) or name == "networks":
            continue
        body = IN_FLEET + indent(service, "      ") + "\n"
        assert getattr(spec_of(load(body).targets["dev/api"]), name) == expected, service


@pytest.mark.parametrize(
    ("written", "name", "expected"),
    [
        ("tty: true", "networks", (Network("acme-dev_default", aliases=("api",)),)),
        ("networks: [back]", "networks", (Network("acme-dev_back", aliases=("api",)),)),
        ("networks: {proxy: {external: true, aliases: [x]}}", "networks",
         (Network("proxy", external=True, aliases=("api", "x")),)),
        ("networks: {a: {name: b, internal: true}}", "networks", (Network("b", internal=True, aliases=("api",)),)),
        ("volumes: [data:/data]", "volumes", (Volume("acme-dev_data"),)),
        ("volumes: [{type: volume, source: d, target: /d, external: true}]", "volumes", (Volume("d", external=True),)),
        ("volumes: [{type: volume, source: d, target: /d, name: e, driver: x}]", "volumes", (Volume("e", driver="x"),)),
        ("configs: [{source: a, target: /etc/a, content: '$x ${y}'}]", "files", (ContainerFile("/etc/a", "$x ${y}"),)),
        ("configs: [{source: a, file: app/app.ini}]", "files", (ContainerFile("/a", "from a file\n"),)),
        ("secrets: [KEY]\n    secrets: {KEY: {env: K}}", "secrets", (SecretFile("KEY", "/run/secrets/KEY"),)),
        ("labels: {a: $HOME}", "labels", {"a": "$HOME"}),
    ],
)  # fmt: skip
def test_what_surrounds_a_container_in_place(written: str, name: str, expected: Any, load: Load) -> None:
    spec = spec_of(load(f"{IN_FLEET}      {written}\n", **FILES).targets["dev/api"])
    assert getattr(spec, name) == expected
    assert (spec.project, spec.service) == ("acme-dev", "api")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("image: x", "`image` is said by the fleet file's `artifact`"),
        ("build: .", "`build` is not done here"),
        ("depends_on: [db]", "`depends_on` can't be kept"),
        ("environment: [TOKEN]", "`TOKEN` has no value; a fleet file is the same for everybody"),
        ("configs: [a]", "`a` needs either `file` or `content`"),
        ("configs: [{source: a, file: a, content: b}]", "`a` needs either `file` or `content`"),
        ("configs: [{source: a, file: none.ini}]", "there is no file"),
        ("secrets: [KEY]", "the fleet file's `secrets` have no `KEY`"),
        ("volumes: ['./a:/a']", "write the absolute path on the hosts"),
        ("volumes: [{type: bind, source: /a, target: /a, external: true}]", "`external` is for volumes only"),
        ("networks: {a: {external: true, driver: x}}", "`driver` says nothing of an external network"),
        ("prots: ['80']", "unknown key `prots` in a container"),
        (
            "volumes: [{type: volume, source: d, target: /d, driver: x}, {type: volume, source: d, target: /e, driver: y}]",
            "the volume `d` is described in two ways",
        ),
        ("command: []\n      compose: compose.yaml", "unknown key `command` in a container of a compose file"),
    ],
)
def test_a_mistake_in_place(written: str, message: str, refuse: Refuse) -> None:
    problems = refuse(f"{IN_FLEET}      {written}\n")
    assert any(message in p.message and p.file.name == "fleet.yml" for p in problems), render(problems)


def test_nobody_is_shown_the_value_of_a_variable(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2`hunter2")
    names = ("ports", "volumes", "networks", "configs", "secrets", "tmpfs", "devices", "dns", "environment", "labels")
    lines = [f"{name}: ['$SECRET:/x:hunter2', '${{SECRET}}']" for name in names[:6]]
    lines += [f"{name}: ['$SECRET']" for name in names[6:8]]
    lines += [
        "restart: $SECRET",
        "mem_limit: $SECRET",
        "stop_grace_period: $SECRET",
        'command: "\'$SECRET"',
        "pid: $SECRET",
    ]
    lines += [
        "sysctls: [$SECRET]",
        "extra_hosts: {a: $SECRET}",
        "env_file: $SECRET",
        "privileged: $SECRET",
        "user: [$SECRET]",
    ]
    problems = refuse(FLEET, **{"app/compose.yaml": compose("\n".join(lines)), "app/.env": "A='hunter2\n", **FILES})
    assert len(problems) > 12
    told = "".join(f"{p.message}{p.expected}{p.nearest}" for p in problems).replace(":/x:hunter2", "")
    assert "hunter2" not in told, render(problems)


def test_a_fault_in_a_file_of_variables_shows_its_place_but_not_its_line(refuse: Refuse) -> None:
    others = {**FILES, "app/a.env": "A=1\nB hunter2\nC='hunter2\n", "app/compose.yaml": compose("env_file: a.env")}
    problems = refuse(FLEET, **others)
    assert [(p.file.name, p.line) for p in problems] == [("a.env", 2), ("a.env", 3)]
    assert "hunter2" not in render(problems)
