"""How a release comes to an engine: its image by digest, its container complete and not started, what it needs made or named."""

from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, CommandFailed, NotPermitted
from quarterdeck.backends.hosts.docker.connection import DockerConnection
from quarterdeck.config.container import (
    ContainerFile,
    Device,
    Healthcheck,
    Limits,
    Logging,
    Mount,
    Network,
    PublishedPort,
    Ulimit,
    Volume,
)
from tests.boxes import NO_SECRETS, Box, start_registry
from tests.sshd import free_port

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_the_engine_pulls_what_the_digest_names_and_starts_nothing(box: Box) -> None:
    release = box.release("1", image={"name": "pulled"})
    box.engine.client.remove_image(release.artifact.location, force=True) if _has(
        box, release.artifact.location
    ) else None
    staged = await box.connection.stage(release, None, NO_SECRETS, box.fence())
    assert (staged.release, staged.already) == (release.id, False)
    assert box.containers(running=True) == {}
    (name,) = box.containers()
    assert name == f"{box.name}.{release.id}"
    assert box.inspect(name)["Image"] == box.engine.client.inspect_image(release.artifact.location)["Id"]
    again = await box.connection.stage(release, None, NO_SECRETS, box.fence())
    assert again.already
    assert [*box.containers()] == [name]


def _has(box: Box, location: str) -> bool:
    return any(location in (one.get("RepoDigests") or []) for one in box.engine.client.images())


async def test_a_digest_that_the_registry_has_not_is_told(box: Box) -> None:
    release = box.release("1")
    digest = "0" * 64
    location = f"{release.artifact.location.partition('@')[0]}@sha256:{digest}"
    missing = msgspec.structs.replace(
        release, artifact=msgspec.structs.replace(release.artifact, location=location, sha256=digest)
    )
    with pytest.raises(ArtifactMissing, match=digest):
        await box.connection.stage(missing, None, NO_SECRETS, box.fence())
    assert box.containers() == {}


async def test_a_name_without_its_digest_is_not_pulled(box: Box) -> None:
    release = box.release("1")
    tagged = msgspec.structs.replace(
        release, artifact=msgspec.structs.replace(release.artifact, location=f"{box.registry.name}/app:1")
    )
    with pytest.raises(ArtifactRefused, match="digest"):
        await box.connection.stage(tagged, None, NO_SECRETS, box.fence())


async def test_a_registry_that_is_not_there_is_told(box: Box) -> None:
    release = box.release("1", image={"name": "elsewhere"})
    location = release.artifact.location.replace(box.registry.name, f"127.0.0.1:{free_port('127.0.0.1')}")
    gone = msgspec.structs.replace(release, artifact=msgspec.structs.replace(release.artifact, location=location))
    with pytest.raises(CommandFailed, match="can't be pulled") as caught:
        await box.connection.stage(gone, None, NO_SECRETS, box.fence())
    assert "refused" in str(caught.value)
    assert caught.value.exit_status is None  # not the release's fault


async def test_credentials_go_to_the_engine_and_their_absence_is_told(box: Box, tmp_path: Path) -> None:
    locked = start_registry(tmp_path / "locked", password=True)
    try:
        login = {"username": "ci", "password": "hunter2", "serveraddress": locked.name}
        location, digest = locked.push(box.engine, "locked:1", auth=login)
        box.engine.client.remove_image(location, force=True) if _has(box, location) else None
        release = box.release("1")
        release = msgspec.structs.replace(
            release, artifact=msgspec.structs.replace(release.artifact, location=location, sha256=digest)
        )
        with pytest.raises(NotPermitted, match="docker login"):
            await box.connection.stage(release, None, NO_SECRETS, box.fence())
        asked = []

        async def auth(repository: str) -> dict[str, str]:
            asked.append(repository)
            return login

        knowing = DockerConnection(box.connection.engine, auth)
        await knowing.stage(release, None, NO_SECRETS, box.fence())
        assert asked == [f"{locked.name}/locked"]
        assert len(box.containers()) == 1
    finally:
        locked.close()


async def test_a_tarball_is_not_for_an_engine(box: Box, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="tarball"):
        await box.connection.stage(box.release("1"), tmp_path / "x.tgz", NO_SECRETS, box.fence())


async def test_networks_and_volumes_are_made_and_known_to_compose(box: Box) -> None:
    volume = Volume(f"{box.name}_data", labels={"team": "a"})
    spec = box.spec(volumes=(volume,), mounts=(Mount("volume", "/data", volume.name),))
    client = box.engine.client
    try:
        await box.staged("1", spec=spec)
        made = client.inspect_volume(volume.name)["Labels"]
        assert (made["team"], made["com.docker.compose.project"], made["com.docker.compose.volume"]) == (
            "a",
            box.name,
            "data",
        )
        network = client.inspect_network(box.network)["Labels"]
        assert network["com.docker.compose.network"] == "net"
        (container,) = box.containers().values()
        assert container["Labels"]["com.docker.compose.service"] == "web"
        # What is there is used as it is.
        await box.staged("2", spec=spec)
        assert len(client.networks(names=[box.network])) == 1
    finally:
        box.engine.remove_containers()
        client.remove_volume(volume.name)


@pytest.mark.parametrize("kind", ["volume", "network"])
async def test_what_is_external_and_missing_is_named(box: Box, kind: str) -> None:
    name = f"{box.name}_outside"
    spec = (
        box.spec(volumes=(Volume(name, external=True),), mounts=(Mount("volume", "/data", name),))
        if kind == "volume"
        else box.spec(networks=(Network(name, external=True),))
    )
    with pytest.raises(CommandFailed, match=f"the {kind} {name} is not on the engine") as caught:
        await box.staged("1", spec=spec)
    assert f"docker {kind} create {name}" in str(caught.value)
    assert box.containers() == {}


async def test_a_container_that_is_not_ours_and_has_the_name_is_named_and_left_alone(box: Box) -> None:
    image = box.engine.image("foreign:1")
    foreign = box.engine.run(image, box.name)
    release = box.release("1")
    with pytest.raises(CommandFailed, match=f"the container {box.name} is not ours") as caught:
        await box.connection.stage(release, None, NO_SECRETS, box.fence())
    assert "rename" in str(caught.value)
    box.engine.client.rename(foreign, f"{box.name}-aside")
    await box.connection.stage(release, None, NO_SECRETS, box.fence())
    box.engine.client.rename(foreign, box.name)
    with pytest.raises(CommandFailed, match="is not ours") as caught:
        await box.connection.switch(release, NO_SECRETS, box.fence(), "1.1")
    assert caught.value.untouched
    facts = await box.connection.facts(box.target, "", release)
    assert "is held by a container that is not ours" in " ".join(facts.drift)
    assert box.inspect(box.name)["Id"] == foreign
    assert box.inspect(box.name)["State"]["Running"]
    assert box.running == []


async def test_the_releases_files_lie_in_its_container(box: Box) -> None:
    spec = box.spec(files=(ContainerFile("/etc/app/deep/app.conf", "tuning: ü\n", 1000, 1001, 0o640),))
    release = await box.staged("1", spec=spec)
    await box.live(release, "1.1")
    body = box.engine.client.exec_create(box.name, ["ls", "-ln", "/etc/app/deep/app.conf"])
    assert box.engine.client.exec_start(body["Id"]).decode().split()[:4] == ["-rw-r-----", "1", "1000", "1001"]
    body = box.engine.client.exec_create(box.name, ["cat", "/etc/app/deep/app.conf"])
    assert box.engine.client.exec_start(body["Id"]).decode() == "tuning: ü\n"


async def test_files_in_a_container_that_nobody_may_write_are_refused_in_words(box: Box) -> None:
    spec = box.spec(files=(ContainerFile("/etc/app.conf", "x"),), read_only=True)
    with pytest.raises(CommandFailed, match="files can't be put into its container") as caught:
        await box.staged("1", spec=spec)
    assert "read_only" in str(caught.value)
    assert all("making" in name for name in box.containers())  # never taken for the release's container
    facts = await box.connection.facts(box.target, "")
    assert facts.kept == ()


async def test_a_description_is_read_back_as_it_was_written(box: Box, tmp_path: Path) -> None:
    second = Network(f"{box.name}_second", aliases=("web", "api"), subnets=("10.250.7.0/24",), priority=5)
    volume = f"{box.name}_cache"
    spec = box.spec(
        networks=(Network(box.network, aliases=("web",)), second),
        command=("sh", "-c", "trap 'exit 0' TERM; httpd -f -p 8080 -h /www & wait"),
        user="root",
        working_dir="/www",
        hostname="web-host",
        init=True,
        restart="on-failure:3",
        stop_signal="SIGINT",
        stop_grace_period=7.2,
        healthcheck=Healthcheck(("CMD-SHELL", "test -f /www/health"), 1.5, 2.0, 0.5, retries=2),
        ports=(PublishedPort(8080, "", "127.0.0.1"),),
        expose=("9090",),
        mounts=(
            Mount("bind", "/mnt/made", f"{tmp_path}/made", read_only=True),
            Mount("volume", "/cache", volume, nocopy=True),
            Mount("volume", "/anonymous"),
            Mount("tmpfs", "/scratch", size=1_048_576, mode=0o700),
        ),
        volumes=(Volume(volume),),
        extra_hosts=("db:10.0.0.9",),
        dns=("10.0.0.53",),
        labels={"team": "web"},
        logging=Logging("json-file", {"max-size": "1m"}),
        limits=Limits(cpus=0.5, memory=64 * 2**20, pids=50, shm_size=2**20, ulimits={"nofile": Ulimit(100, 200)}),
        devices=(Device("/dev/null", "/dev/nothing", "r"),),
        cap_add=("NET_ADMIN",),
        cap_drop=("MKNOD",),
        sysctls={"net.ipv4.ip_unprivileged_port_start": "80"},
        read_only=False,
    )
    release = await box.staged("1", spec=spec, env={"A": "x=y 'z'"})
    try:
        await box.live(release, "1.1")
        body = box.inspect(box.name)
        config, host, networks = body["Config"], body["HostConfig"], body["NetworkSettings"]["Networks"]
        assert {"A=x=y 'z'", f"QD_RELEASE={release.id}"} <= set(config["Env"])
        assert (config["User"], config["WorkingDir"], config["Hostname"]) == ("root", "/www", "web-host")
        assert (config["StopSignal"], config["StopTimeout"]) == ("SIGINT", 8)
        assert config["Healthcheck"] == {
            "Test": ["CMD-SHELL", "test -f /www/health"],
            "Interval": 1_500_000_000,
            "Timeout": 2_000_000_000,
            "StartPeriod": 500_000_000,
            "Retries": 2,
        }
        assert set(config["ExposedPorts"]) == {"8080/tcp", "9090/tcp"}
        assert config["Labels"]["team"] == "web"
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
        assert (host["NanoCpus"], host["Memory"], host["PidsLimit"], host["ShmSize"]) == (
            500_000_000,
            64 * 2**20,
            50,
            2**20,
        )
        assert host["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]
        assert [one.removeprefix("CAP_") for one in (*host["CapAdd"], *host["CapDrop"])] == ["NET_ADMIN", "MKNOD"]
        assert (host["Init"], host["ExtraHosts"], host["Dns"]) == (True, ["db:10.0.0.9"], ["10.0.0.53"])
        assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
        assert host["Sysctls"] == {"net.ipv4.ip_unprivileged_port_start": "80"}
        assert host["NetworkMode"] == second.name  # of the highest priority
        assert set(networks) == {box.network, second.name}
        assert set(networks[second.name]["Aliases"]) >= {"web", "api"}
        mounts = {one["Destination"]: one for one in body["Mounts"]}
        assert (mounts["/mnt/made"]["Source"], mounts["/mnt/made"]["RW"]) == (f"{tmp_path}/made", False)
        assert (mounts["/cache"]["Name"], mounts["/anonymous"]["Type"]) == (volume, "volume")
        assert (tmp_path / "made").is_dir()
        assert body["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostIp"] == "127.0.0.1"
    finally:
        box.engine.remove_containers()
        box.engine.client.remove_volume(volume)
