"""What a manager tells of a service is what it was told, though Swarm spells and fills in some of it itself: nothing counts as changed."""

import pytest

from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.config.container import (
    ContainerFile,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    Pace,
    PublishedPort,
    Restart,
    SecretFile,
    Ulimit,
    Volume,
)
from tests.swarm_field import Field
from tests.swarm_in_motion import until

pytestmark = [pytest.mark.swarm, pytest.mark.root, pytest.mark.timeout(600)]


async def test_a_service_with_everything_that_can_be_said_is_left_alone_the_second_time(swarm_field: Field) -> None:
    """Nothing is sent, no task is replaced, and nothing is drift. Seen to fail where the health check is sent as ``HealthCheck``, which
    managers take, and tell as ``Healthcheck``."""
    field = swarm_field
    given = field.spec(
        deploy={
            "labels": {"team": "web"},
            "constraints": ("node.role == manager",),
            "preferences": ("node.labels.zone",),
            "max_replicas_per_node": 2,
            "reserved_cpus": 0.1,
            "reserved_memory": 8 << 20,
            "restart": Restart("on-failure", delay=1.5, max_attempts=5, window=60.0),
            "update": Pace(parallelism=2, delay=0.5, monitor=2.0, max_failure_ratio=0.1, order="stop-first"),
            "rollback": Pace(parallelism=0, order="stop-first"),
        },
        healthcheck=Healthcheck(("CMD-SHELL", "true"), interval=0.5, timeout=5.0, start_period=1.0, retries=9),
        user="0:0",
        group_add=("7",),
        working_dir="/tmp",
        hostname="web",
        init=False,
        read_only=True,
        stdin_open=True,
        stop_signal="SIGTERM",
        stop_grace_period=2.5,
        ports=(PublishedPort(8080, str(field.port), mode="host"),),
        mounts=(
            Mount("tmpfs", "/tmp", size=1 << 20, mode=0o1777),
            Mount("volume", "/data", source=f"{field.name}-data", nocopy=True),
            Mount("bind", "/host", source="/etc", read_only=True, propagation="rprivate"),
        ),
        volumes=(Volume(f"{field.name}-data", labels={"of": "web"}),),
        extra_hosts=("db:10.0.0.7",),
        dns=("10.0.0.2",),
        dns_search=("acme.example",),
        dns_opt=("ndots:2",),
        logging=Logging("json-file", {"max-size": "1m"}),
        files=(ContainerFile("/etc/web.conf", "listen 8080"),),
        secrets=(SecretFile("key", "/run/secrets/key"),),
        limits=Limits(cpus=0.5, memory=64 << 20, pids=50, ulimits={"nofile": Ulimit(512, 1024)}),
        sysctls={"net.core.somaxconn": "512"},
        cap_add=("NET_ADMIN",),
        cap_drop=("MKNOD",),
        labels={"tier": "front"},
    )
    release = field.release("v1", spec=given, secrets=("key",), env={"A": "1", "B": "two words"})
    values = SecretValues({"key": "hidden"})
    await field.connection.stage(release, None, values, field.fence(1))
    await field.connection.switch(release, values, field.fence(1), "1.1")
    await field.connection.finish(release, [], field.fence(1), "1.2")
    await until(lambda: field.versions == ["v1"], "it runs")
    before = {one["ID"] for one in field.tasks()}
    versions = []
    for op in ("2.1", "2.2"):
        outcome = await field.connection.switch(release, values, field.fence(2), op, action="start")
        assert outcome.current == release.id
        (service,) = [one for one in field.swarm.any_api.services() if one["Spec"]["Name"] == field.name]
        versions.append(service["Version"]["Index"])
    assert versions[0] == versions[1]
    assert {one["ID"] for one in field.tasks()} == before
    assert (await field.facts()).drift == ()
