"""Compose files as other projects write them become what Compose would make of them."""

from pathlib import Path

import pytest

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
from quarterdeck.config.load import load_fleet
from quarterdeck.config.model import SecretReference, Target
from quarterdeck.config.problems import FleetFileErrors

CORPUS = Path(__file__).parent / "corpus"
SERVICES: dict[str, dict[str, list[str]]] = {
    "guestbook.yaml": {"web": ["depends_on"], "db": [], "cache": []},
    "forum.yaml": {"web": [], "sidekiq": [], "redis": []},
    "search.yml": {"node": []},
    "inference.yaml": {"model": ["profiles"], "proxy": []},
}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "POSTGRES_PASSWORD",
        "WEB_PORT",
        "FORUM_HOST",
        "SIDEKIQ_THREADS",
        "SEARCH_LOGS",
        "MODEL_DIR",
        "MODEL_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORUM_VERSION", "3.1")


def fleet_of(directory: Path, file: str, service: str, without: list[str]) -> Target:
    """The service of a copy of the file in a directory of its own, where its env file lies as well."""
    for path in CORPUS.iterdir():
        (directory / path.name).write_text(path.read_text())
    (directory / ".env.forum").write_text(
        "SECRET_KEY_BASE=$$not\\ a\\ variable\nSMTP_SERVER=mail.example.com # ours\nROLE=nobody\n"
    )
    fleet = directory / "fleet.yml"
    fleet.write_text(
        "fleet: acme\nhosts: {box: {docker: 'ssh://box'}}\nenvironments: {dev: {hosts: [box]}}\nservices:\n"
        f"  s: {{artifact: {{image: acme/s}}, container: {{compose: {file}, service: {service}, without: {without}}}}}\n"
    )
    return load_fleet(fleet).targets["dev/s"]


def spec(target: Target) -> ContainerSpec:
    assert target.container is not None
    return target.container


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "Guest Book"
    found.mkdir()
    return found


@pytest.mark.parametrize(("file", "service"), [(file, name) for file, names in SERVICES.items() for name in names])
def test_every_service_of_the_corpus_is_read(file: str, service: str, directory: Path) -> None:
    without = SERVICES[file][service]
    assert spec(fleet_of(directory, file, service, without)).service == service
    if without:
        with pytest.raises(FleetFileErrors) as caught:
            fleet_of(directory, file, service, [])
        assert [p.message.split("`")[1] for p in caught.value.problems] == without


def test_the_corpus_is_all_listed() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(SERVICES)


def test_a_web_application_with_a_database(directory: Path) -> None:
    web = fleet_of(directory, "guestbook.yaml", "web", ["depends_on"])
    assert web.env == {
        "DATABASE_URL": "postgres://guestbook:guestbook@db:5432/guestbook",
        "CACHE_URL": "redis://cache:6379/0",
        "DEBUG": "0",
    }
    assert spec(web) == ContainerSpec(
        project="guestbook",
        service="web",
        command=("gunicorn", "--bind", "0.0.0.0:8000", "--workers", "4", "guestbook.wsgi"),
        ports=(PublishedPort(8000, "8000"),),
        mounts=(Mount("volume", "/srv/media", "guestbook_media"),),
        volumes=(Volume("guestbook_media"),),
        networks=(Network("guestbook_default", aliases=("web",)),),
        restart="always",
        healthcheck=Healthcheck(
            ("CMD-SHELL", "curl --fail http://localhost:8000/health || exit 1"), 30.0, 5.0, 20.0, None, 5
        ),
    )
    database = spec(fleet_of(directory, "guestbook.yaml", "db", []))
    assert database.healthcheck == Healthcheck(("CMD-SHELL", "pg_isready -U ${POSTGRES_USER}"), 5.0, retries=10)
    assert database.limits == Limits(shm_size=134217728)
    assert database.volumes == (Volume("guestbook_database", driver="local"),)
    cache = spec(fleet_of(directory, "guestbook.yaml", "cache", []))
    assert (cache.sysctls, cache.mounts) == ({"net.core.somaxconn": "1024"}, (Mount("tmpfs", "/data"),))


def test_anchors_merge_keys_and_env_files(directory: Path) -> None:
    web, sidekiq = (fleet_of(directory, "forum.yaml", name, []) for name in ("web", "sidekiq"))
    shared = {
        "SECRET_KEY_BASE": "$not\\ a\\ variable",
        "SMTP_SERVER": "mail.example.com",
        "RAILS_ENV": "production",
        "REDIS_HOST": "redis",
        "RAILS_LOG_TO_STDOUT": "true",
    }
    assert web.env == {**shared, "ROLE": "web"}
    assert sidekiq.env == {**shared, "ROLE": "worker", "DB_POOL": "25"}
    assert spec(web) == ContainerSpec(
        project="forum",
        service="web",
        entrypoint=("/docker-entrypoint.sh",),
        command=("bundle", "exec", "puma", "-C", "config/puma.rb"),
        ports=(PublishedPort(3000, "3000", "127.0.0.1"),),
        networks=(
            Network("forum_internal", internal=True, aliases=("web",)),
            Network("proxy", external=True, aliases=("web", "forum.example.com")),
        ),
        labels={"traefik.enable": "true", "traefik.http.routers.forum.rule": "Host(`forum.example.com`)"},
        restart="unless-stopped",
        user="991",
        security_opt=("no-new-privileges=true",),
        logging=Logging("json-file", {"max-size": "50m", "max-file": "5"}),
    )
    assert (spec(sidekiq).stop_grace_period, spec(sidekiq).logging) == (60.0, spec(web).logging)
    assert [network.name for network in spec(sidekiq).networks] == ["forum_internal"]


def test_the_long_syntax(directory: Path) -> None:
    node = fleet_of(directory, "search.yml", "node", [])
    assert node.env["discovery.type"] == "single-node"
    assert node.secrets == {"search_password": SecretReference("env", "SEARCH_PASSWORD")}
    assert spec(node) == ContainerSpec(
        project="guestbook",
        service="node",
        container_name="search-node",
        hostname="search-node",
        cap_add=("IPC_LOCK",),
        limits=Limits(
            cpus=2.0,
            memory=2147483648,
            memory_reservation=1073741824,
            memory_swappiness=0,
            pids=4096,
            ulimits={"memlock": Ulimit(-1, -1), "nofile": Ulimit(65536, 65536)},
        ),
        mounts=(
            Mount("volume", "/usr/share/search/data", "guestbook_index", nocopy=True),
            Mount(
                "bind",
                "/usr/share/search/config/synonyms",
                "/etc/search/synonyms",
                True,
                "rprivate",
                create_host_path=False,
            ),
            Mount("tmpfs", "/tmp", size=256000000, mode=0o1777),
        ),
        volumes=(
            Volume(
                "guestbook_index",
                driver="local",
                driver_opts={"type": "none", "o": "bind", "device": "/mnt/index"},
                labels={"backup": "daily"},
            ),
        ),
        ports=(PublishedPort(9200, "9200", "127.0.0.1"), PublishedPort(9300)),
        networks=(
            Network(
                "guestbook_search",
                driver="bridge",
                subnets=("172.30.0.0/24",),
                gateways=("172.30.0.1",),
                aliases=("node",),
                ipv4_address="172.30.0.10",
                priority=100,
            ),
            Network("guestbook_metrics", driver_opts={"com.docker.network.driver.mtu": "1450"}, aliases=("node",)),
        ),
        files=(
            ContainerFile(
                "/usr/share/search/config/node.yml",
                "cluster.name: ${CLUSTER}\npath.logs: /var/log/search\n",
                1000,
                0,
                0o440,
            ),
        ),
        secrets=(SecretFile("search_password", "/run/secrets/search_password", 1000, 0, 0o400),),
        restart="on-failure:5",
        order="stop-first",
        logging=Logging("journald", {"tag": "search/{{.Name}}"}),
    )


def test_a_gpu_and_the_hosts_network(directory: Path) -> None:
    model = fleet_of(directory, "inference.yaml", "model", ["profiles"])
    assert model.env == {"NVIDIA_VISIBLE_DEVICES": "all", "MODEL_DIR": "/models"}  # MODEL_TOKEN is not set here
    found = spec(model)
    assert (found.network_mode, found.networks, found.ipc, found.runtime) == ("host", (), "host", "nvidia")
    assert found.gpus == ({"driver": "nvidia", "device_ids": "0,3", "capabilities": "gpu,utility"},)
    assert found.devices == (Device("/dev/kvm", "/dev/kvm"), Device("/dev/ttyUSB0", "/dev/ttyUSB0", "rw"))
    assert found.extra_hosts == ("host.docker.internal:host-gateway",)
    assert found.healthcheck == Healthcheck(("NONE",))
    proxy = spec(fleet_of(directory, "inference.yaml", "proxy", []))
    assert [(port.published, port.protocol) for port in proxy.ports] == [("80", "tcp"), ("443", "tcp"), ("443", "udp")]
    assert proxy.limits == Limits(cpus=0.5, pids=200)
    assert proxy.init is True
    assert proxy.mounts == (Mount("tmpfs", "/run"), Mount("tmpfs", "/config", size=1048576))
