"""Containers in Compose's words: every key that can be set shows when it differs, and what is written is what a compose file has."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from quarterdeck.config.container import (
    ContainerFile,
    ContainerSpec,
    Deploy,
    Device,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    Network,
    Pace,
    PublishedPort,
    Restart,
    SecretFile,
    Ulimit,
    Volume,
)
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import Runner
from quarterdeck.config.release import Release, ResolvedArtifact
from quarterdeck.rollouts.container_words import compose_words, in_short, port_words
from quarterdeck.rollouts.differences.releases import compare, lines

PLAIN = ContainerSpec("shop", "web")
SET: dict[str, Any] = {
    "command": ("serve", "--port", "80"),
    "entrypoint": ("/bin/tini", "--"),
    "group_add": ("audio",),
    "init": True,
    "stop_grace_period": 2.5,
    "healthcheck": Healthcheck(("CMD", "true"), interval=2.0, retries=3),
    "ports": (PublishedPort(80, "8080"),),
    "expose": ("8080/tcp",),
    "mounts": (Mount("volume", "/data", "shop_data", read_only=True),),
    "volumes": (Volume("shop_data", driver="nfs"),),
    "networks": (Network("shop_default", aliases=("web",)),),
    "extra_hosts": ("db:10.0.0.1",),
    "dns": ("10.0.0.2",),
    "dns_search": ("example.org",),
    "dns_opt": ("ndots:1",),
    "labels": {"a": "b"},
    "annotations": {"c": "d"},
    "logging": Logging("json-file", {"max-size": "1m"}),
    "files": (ContainerFile("/etc/app.conf", "x"),),
    "secrets": (SecretFile("TOKEN", "/run/secrets/token"),),
    "limits": Limits(memory=512 << 20),
    "devices": (Device("/dev/null", "/dev/x"),),
    "device_cgroup_rules": ("c 1:3 mr",),
    "gpus": ({"count": "1"},),
    "cap_add": ("NET_ADMIN",),
    "cap_drop": ("ALL",),
    "security_opt": ("no-new-privileges",),
    "sysctls": {"net.core.somaxconn": "1024"},
    "storage_opt": {"size": "1G"},
    "deploy": Deploy(replicas=3),
}


@pytest.mark.parametrize("key", [key for key in ContainerSpec.__struct_fields__ if key not in ("project", "service")])
def test_every_key_that_differs_is_told(key: str) -> None:
    default = getattr(PLAIN, key)
    value = SET.get(key, True if isinstance(default, bool) else "something")
    assert value != default
    changed = compose_words(msgspec.structs.replace(PLAIN, **{key: value}))
    assert changed != compose_words(PLAIN)
    assert all(text for text in changed.values())


@pytest.mark.parametrize("key", Limits.__struct_fields__)
def test_every_limit_that_differs_is_told(key: str) -> None:
    default = getattr(Limits(), key)
    value: Any = {"cpuset": "0-1", "ulimits": {"nofile": Ulimit(1024, 2048)}, "oom_kill_disable": True}.get(key, 7)
    assert value != default
    assert compose_words(msgspec.structs.replace(PLAIN, limits=Limits(**{key: value}))) != compose_words(PLAIN)


ON_A_SWARM = Deploy(
    "global", 3, "dnsrr", {"a": "b"}, ("node.role == worker",), ("node.labels.zone",), 2, 0.5, 256 << 20
)


@pytest.mark.parametrize("key", Deploy.__struct_fields__)
def test_everything_that_a_swarm_is_told_is_told(key: str) -> None:
    values: dict[str, list[Any]] = {
        "restart": [Restart(), Restart(delay=1.0), Restart(max_attempts=0), Restart(window=1.0), Restart("none")],
        "update": [Pace(), Pace(0), Pace(delay=1.0), Pace(monitor=0.0), Pace(1, 0.0, None, 0.5), Pace(order="start-first"),
                   Pace(failure_action="pause")],
        "rollback": [Pace(2)],
    }  # fmt: skip
    for value in values.get(key, [getattr(ON_A_SWARM, key)]):
        assert value != getattr(Deploy(), key)
        found = compose_words(msgspec.structs.replace(PLAIN, deploy=Deploy(**{key: value})))
        added = {name: words for name, words in found.items() if name not in compose_words(PLAIN)}
        assert added
        assert all(name.startswith("deploy.") and words for name, words in added.items())
    paces = [
        compose_words(msgspec.structs.replace(PLAIN, deploy=Deploy(update=pace))) for pace in (Pace(), Pace(delay=1.0))
    ]
    assert paces[0] != paces[1]


def test_a_service_of_a_swarm_in_words() -> None:
    spec = msgspec.structs.replace(PLAIN, restart="", ports=(PublishedPort(80, "8080", mode="host"),))
    assert "restart" not in compose_words(spec)
    assert in_short(spec, "r.io/web", "production/web") == (
        "image r.io/web  service production-web  1 replica  ports 8080:80 mode=host  restart any"
    )
    spec = msgspec.structs.replace(spec, deploy=Deploy(replicas=3, restart=Restart("none")))
    assert "  3 replicas  " in in_short(spec, "r.io/web", "production/web")
    assert in_short(spec, "r.io/web", "production/web").endswith("  restart none")
    spec = msgspec.structs.replace(spec, deploy=ON_A_SWARM)
    assert "  one on each node  " in in_short(spec, "r.io/web", "production/web")
    found = compose_words(spec)
    assert found["deploy.placement.constraints"] == "node.role == worker"
    assert (found["deploy.resources.reservations.memory"], found["deploy.labels.a"]) == ("256m", "b")


def test_what_has_a_short_syntax_is_written_in_it() -> None:
    spec = msgspec.structs.replace(PLAIN, **SET)
    found = compose_words(spec)
    assert found["ports[0]"] == "8080:80"
    assert found["volumes[0]"] == "shop_data:/data:ro"
    assert found["mem_limit"] == "512m"
    assert found["command"] == '["serve", "--port", "80"]'
    assert (found["stop_grace_period"], found["healthcheck.interval"]) == ("2.5s", "2s")
    assert found["networks.shop_default"] == "aliases web"
    assert found["labels.a"] == "b"
    assert "x" not in found["configs[0].content"], "a file is told by its hash"
    assert port_words(PublishedPort(53, "", "::1", "udp")) == "[::1]::53/udp"
    assert port_words(PublishedPort(80)) == "80"
    assert in_short(spec, "registry.acme.io/web", "production/web") == (
        "image registry.acme.io/web  container production-web  ports 8080:80  restart no"
    )


def test_a_compose_file_that_says_the_words_gives_the_same_container(tmp_path: Path) -> None:
    keys = "ports: ['127.0.0.1:8080:80/udp'], volumes: ['data:/data:ro'], mem_limit: 512m, stop_grace_period: 2.5s"
    file = tmp_path / "fleet.yml"
    file.write_text(
        f"fleet: f\nstate: {tmp_path}/s\nhosts: {{b: {{docker: 'unix:///x.sock'}}}}\nenvironments: {{p: {{hosts: [b]}}}}\n"
        f"services: {{web: {{artifact: {{image: r.io/web}}, container: {{{keys}}}}}}}\n"
    )
    spec = load_fleet(file).targets["p/web"].container
    assert spec is not None
    found = compose_words(spec)
    assert (found["ports[0]"], found["mem_limit"], found["stop_grace_period"]) == (
        "127.0.0.1:8080:80/udp",
        "512m",
        "2.5s",
    )
    assert found["volumes[0]"].endswith(":/data:ro")


def test_two_releases_differ_key_by_key() -> None:
    def release(digest: str, **keys: Any) -> Release:
        image = ResolvedArtifact(f"r.io/web@sha256:{digest}", digest)
        spec = ContainerSpec("shop", "web", **keys)
        return Release("p/web", "1", image, "", Runner(), container=spec)

    one = release("a" * 64, ports=(PublishedPort(80, "8080"),), restart="always")
    two = release("b" * 64, ports=(PublishedPort(80, "8081"),), restart="no")
    told = [text for text, _ in lines(compare(one, two))]
    assert "- ports[0]: 8080:80" in told
    assert "+ ports[0]: 8081:80" in told
    assert "- restart: always" in told
    assert f"+ digest: {'b' * 64}" in told
    assert compare(one, one).empty
