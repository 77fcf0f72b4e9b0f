"""A service as Swarm is sent it: all of Compose's ``deploy``, and what tasks are told apart by."""

from typing import Any

from quarterdeck.backends.hosts.swarm import spec
from quarterdeck.backends.hosts.swarm.templates import made_as, same_task, same_template
from quarterdeck.config.container import (
    ContainerFile,
    ContainerSpec,
    Deploy,
    Limits,
    Mount,
    Network,
    Pace,
    PublishedPort,
    Restart,
    SecretFile,
    Volume,
)

FULL = ContainerSpec(
    project="shop",
    service="web",
    command=("serve", "--all"),
    entrypoint=("/bin/tini", "--"),
    extra_hosts=("db:10.0.0.9",),
    ports=(PublishedPort(80, "8080"), PublishedPort(9100, "9100", mode="host")),
    networks=(Network("shop_front", aliases=("web",)),),
    mounts=(Mount("volume", "/data", "shop_data"), Mount("tmpfs", "/tmp", size=1024)),  # in a container
    volumes=(Volume("shop_data", driver="local", driver_opts={"type": "nfs"}),),
    limits=Limits(cpus=1.5, memory=512 << 20, pids=100),
    stop_grace_period=30.0,
    deploy=Deploy(
        replicas=6,
        constraints=("node.role == worker",),
        preferences=("node.labels.zone",),
        max_replicas_per_node=2,
        reserved_cpus=0.5,
        reserved_memory=256 << 20,
        restart=Restart("on-failure", delay=2.0, max_attempts=3, window=60.0),
        update=Pace(parallelism=2, delay=10.0, monitor=15.0, max_failure_ratio=0.1, order="start-first"),
        rollback=Pace(parallelism=0, order="stop-first"),
    ),
)


def template(given: ContainerSpec = FULL, **env: str) -> dict[str, Any]:
    return spec.task_template(
        given,
        image="registry.example.com/web@sha256:" + "a" * 64,
        env=env,
        labels={"a": "b"},
        networks={"shop_front": "net1"},
        api_version="1.41",
        configs=[(("c1", "web.abc"), ContainerFile("/etc/app.ini", "x", uid=7, mode=0o440))],
        secrets=[(("s1", "web.KEY.abc"), SecretFile("KEY", "/run/secrets/key"))],
    )


def test_what_makes_a_task() -> None:
    made = template(B="2", A="1")
    container = made["ContainerSpec"]
    assert (container["Command"], container["Args"]) == (["/bin/tini", "--"], ["serve", "--all"])
    assert container["Env"] == ["A=1", "B=2"]
    assert container["Hosts"] == ["10.0.0.9 db"]
    assert container["StopGracePeriod"] == 30_000_000_000
    assert container["Configs"] == [
        {
            "File": {"Name": "/etc/app.ini", "UID": "7", "GID": "0", "Mode": 0o440},
            "ConfigID": "c1",
            "ConfigName": "web.abc",
        }
    ]
    assert container["Secrets"][0]["SecretID"] == "s1"
    volume = container["Mounts"][0]["VolumeOptions"]
    assert volume["DriverConfig"] == {"Name": "local", "Options": {"type": "nfs"}}
    assert made["Resources"] == {
        "Limits": {"NanoCPUs": 1_500_000_000, "MemoryBytes": 512 << 20, "Pids": 100},
        "Reservations": {"NanoCPUs": 500_000_000, "MemoryBytes": 256 << 20},
    }
    assert made["RestartPolicy"] == {
        "Condition": "on-failure",
        "Delay": 2_000_000_000,
        "MaxAttempts": 3,
        "Window": 60_000_000_000,
    }
    assert made["Placement"] == {
        "Constraints": ["node.role == worker"],
        "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
        "MaxReplicas": 2,
    }
    assert made["Networks"] == [{"Target": "net1", "Aliases": ["web"]}]


def test_how_it_is_reached_and_updated() -> None:
    assert spec.endpoint(FULL) == {
        "Mode": "vip",
        "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishMode": "ingress", "PublishedPort": 8080},
            {"Protocol": "tcp", "TargetPort": 9100, "PublishMode": "host", "PublishedPort": 9100},
        ],
    }
    assert "Ports" not in spec.endpoint(FULL, published=False)
    deploy = spec.deploy_of(FULL)
    assert spec.mode(deploy) == {"Replicated": {"Replicas": 6}}
    assert spec.mode(Deploy(mode="global")) == {"Global": {}}
    order = spec.order_of(FULL, deploy.update)
    held = spec.pace(deploy.update, order, delay=spec.HOLD)
    assert held["Delay"] == 24 * 3600 * 1_000_000_000
    assert {key: held[key] for key in ("Parallelism", "FailureAction", "Monitor", "MaxFailureRatio", "Order")} == {
        "Parallelism": 2,
        "FailureAction": "pause",
        "Monitor": 15_000_000_000,
        "MaxFailureRatio": 0.1,
        "Order": "start-first",
    }
    assert spec.way_back(FULL)["Order"] == "stop-first"


def test_two_that_would_want_one_port_of_a_node_stop_first() -> None:
    host = ContainerSpec("", "web", ports=(PublishedPort(80, "8080", mode="host"),))
    assert spec.order_of(host, None) == "stop-first"
    assert spec.order_of(ContainerSpec("", "web", ports=(PublishedPort(80, "8080"),)), None) == "start-first"
    assert spec.order_of(host, Pace(order="start-first")) == "start-first", "as it was said"


def test_tasks_are_told_apart_by_all_that_makes_them() -> None:
    """Swarm adds what is empty, and what it fills in. A variable of another value is another task."""
    one, other = template(TOKEN="a"), template(TOKEN="b")
    told = {**one, "ContainerSpec": {**one["ContainerSpec"], "Isolation": "default", "Privileges": None, "TTY": False}}
    assert same_task(told, one)
    assert same_template(told, one)
    assert not same_task(told, other)
    assert not same_template(told, other)
    assert not same_task({**told, "ForceUpdate": 1}, one)
    assert same_template({**told, "ForceUpdate": 1}, one)
    placed = {**told, "Placement": {"Constraints": ["node.role == manager"]}}
    assert same_task(placed, one), "Swarm moves no task that fits where it is"
    assert not same_template(placed, one)
    host = {**one, "Networks": [*one["Networks"], {"Target": "by its id, of each node"}]}
    assert same_template(host, {**one, "Networks": [*one["Networks"], {"Target": "host"}]})
    assert not same_template(host, one), "one more than the release has"
    assert not same_task(one, host)
    service = {"TaskTemplate": one, "Mode": {"Replicated": {"Replicas": 6}}, "Labels": {"x": "1"}}
    assert made_as(service) == made_as({**service, "Labels": {}, "UpdateConfig": {"Delay": 1}})
    assert made_as(service) != made_as({**service, "Mode": {"Replicated": {"Replicas": 5}}})
