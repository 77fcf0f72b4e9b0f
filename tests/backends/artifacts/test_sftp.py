"""Artifacts over SFTP, from a real OpenSSH server: found, listed, fetched, and never from a wrong host."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import SftpConnect, available, fetch, over_ssh, resolve
from quarterdeck.backends.errors import (
    ArtifactMissing,
    ArtifactRefused,
    BackendError,
    HostKeyRejected,
    LoginRefused,
    Unreachable,
)
from quarterdeck.config.model import Artifact
from tests.backends.artifacts.building import sha256, tarball
from tests.conftest import StartFleet
from tests.sshd import SshdFleet, free_port, wait_for


@pytest.fixture
def folder(sshd_fleet: SshdFleet) -> Iterator[Path]:
    """A directory on the first host, with builds in it."""
    place = sshd_fleet[0].directory / "builds"
    for age, version in enumerate(["2.0", "1.1", "1.0"]):
        tarball(place / f"web-{version}.tar.gz", {"run": version.encode(), "data": os.urandom(200_000)})
        os.utime(place / f"web-{version}.tar.gz", (1_000_000 - age, 1_000_000 - age))
    yield place
    shutil.rmtree(place)


def below_home(folder: Path) -> str:
    return os.path.relpath(folder, Path("~").expanduser())


def connecting(fleet: SshdFleet, known_hosts: Path | None = None) -> SftpConnect:
    return over_ssh([fleet.ssh_config], [known_hosts or fleet.known_hosts])


async def test_a_version_is_resolved_with_its_checksum_file_and_fetched(
    sshd_fleet: SshdFleet, folder: Path, tmp_path: Path
) -> None:
    source = folder / "web-1.1.tar.gz"
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  web-1.0.tar.gz\n{sha256(source)}  web-1.1.tar.gz\n")
    url = f"sftp://{sshd_fleet[0].name}{folder}"
    artifact = Artifact(f"{url}/web-{{version}}.tar.gz", f"{url}/SHA256SUMS")
    connect = connecting(sshd_fleet)
    resolved = await resolve(artifact, "1.1", connect=connect)
    assert (resolved.sha256, resolved.size) == (sha256(source), source.stat().st_size)
    path = await fetch(resolved, tmp_path / "cache", connect=connect)
    assert path.read_bytes() == source.read_bytes()


async def test_a_file_of_many_windows_arrives_whole(sshd_fleet: SshdFleet, folder: Path, tmp_path: Path) -> None:
    source = folder / "web-3.0.tar.gz"
    source.write_bytes(os.urandom(9 * 1024 * 1024 + 17))
    artifact = Artifact(f"sftp://{sshd_fleet[0].name}{folder}/web-{{version}}.tar.gz", sha256(source))
    connect = connecting(sshd_fleet)
    resolved = await resolve(artifact, "3.0", connect=connect)
    assert sha256(await fetch(resolved, tmp_path / "cache", connect=connect)) == sha256(source)
    with pytest.raises(ArtifactRefused, match="more than 1000 bytes"):
        await fetch(resolved, tmp_path / "other", connect=connect, limit=1000)


async def test_versions_are_listed_newest_first_and_named_where_one_lacks(sshd_fleet: SshdFleet, folder: Path) -> None:
    artifact = Artifact(f"sftp://{sshd_fleet[0].name}{folder}/web-{{version}}.tar.gz", "0" * 64)
    connect = connecting(sshd_fleet)
    assert await available(artifact, connect=connect) == ["2.0", "1.1", "1.0"]
    with pytest.raises(ArtifactMissing, match=r"no such file.*Nearest: 1\.1 \(3 versions"):
        await resolve(artifact, "1.12", connect=connect)
    nowhere = Artifact(f"sftp://{sshd_fleet[0].name}{folder}/none/{{version}}.tar.gz", "0" * 64)
    assert await available(nowhere, connect=connect) == []


async def test_versions_that_are_directories_and_a_path_below_the_home_directory(
    sshd_fleet: SshdFleet, folder: Path
) -> None:
    tarball(folder / "v1/web.tar.gz", {"run": b""})
    (folder / "v2").mkdir()
    connect = connecting(sshd_fleet)
    for base in (str(folder), f"/~/{below_home(folder)}"):
        artifact = Artifact(f"sftp://{sshd_fleet[0].name}{base}/{{version}}/web.tar.gz", "0" * 64)
        assert await available(artifact, connect=connect) == ["v1"]
        assert (await resolve(artifact, "v1", connect=connect)).size == (folder / "v1/web.tar.gz").stat().st_size


async def test_a_directory_is_no_artifact(sshd_fleet: SshdFleet, folder: Path) -> None:
    with pytest.raises(ArtifactRefused, match="it is a directory"):
        await resolve(Artifact(f"sftp://{sshd_fleet[0].name}{folder}", "0" * 64), "1", connect=connecting(sshd_fleet))


async def test_a_host_with_another_key_is_not_read_from(sshd_fleet: SshdFleet, folder: Path, tmp_path: Path) -> None:
    first, second = sshd_fleet[0], sshd_fleet[1]
    (tmp_path / "known_hosts").write_text(f"[{first.address}]:{first.port} {second.public_key()}\n")
    artifact = Artifact(f"sftp://{first.name}{folder}/web-{{version}}.tar.gz", "0" * 64)
    with pytest.raises(HostKeyRejected):
        await resolve(artifact, "1.0", connect=connecting(sshd_fleet, known_hosts=tmp_path / "known_hosts"))


async def test_a_refused_login_and_a_closed_port_are_told(sshd_fleet: SshdFleet, folder: Path, tmp_path: Path) -> None:
    artifact = Artifact(f"sftp://{sshd_fleet[0].name}{folder}/web-{{version}}.tar.gz", "0" * 64)
    config = tmp_path / "ssh_config"
    config.write_text(sshd_fleet.ssh_config.read_text().replace(str(sshd_fleet.key), str(sshd_fleet[0].host_key)))
    with pytest.raises(LoginRefused):
        await resolve(artifact, "1.0", connect=over_ssh([config], [sshd_fleet.known_hosts]))
    closed = Artifact(f"sftp://{sshd_fleet[0].address}:{free_port()}/a/{{version}}", "0" * 64)
    with pytest.raises(Unreachable):
        await resolve(closed, "1.0", connect=connecting(sshd_fleet))


async def test_a_server_without_sftp_is_told_so(start_sshd_fleet: StartFleet) -> None:
    fleet = start_sshd_fleet(1, options=["ForceCommand /bin/false"])
    artifact = Artifact(f"sftp://{fleet[0].name}/etc/passwd", "0" * 64)
    with pytest.raises(BackendError, match="does not answer to SFTP"):
        await resolve(artifact, "1.0", connect=connecting(fleet), deadline=20)


async def test_a_build_server_behind_a_jump_host_is_read_and_no_connection_stays(
    sshd_fleet: SshdFleet, folder: Path, tmp_path: Path
) -> None:
    first, jump = sshd_fleet[0], sshd_fleet[1]
    config = tmp_path / "ssh_config"
    config.write_text(f"Host {first.name}\n  ProxyJump {jump.name}\n{sshd_fleet.ssh_config.read_text()}")
    artifact = Artifact(f"sftp://{first.name}{folder}/web-{{version}}.tar.gz", sha256(folder / "web-1.0.tar.gz"))
    connect = over_ssh([config], [sshd_fleet.known_hosts])
    before = len(jump.server_processes())
    resolved = await resolve(artifact, "1.0", connect=connect)
    assert (await fetch(resolved, tmp_path / "cache", connect=connect)).name == resolved.sha256
    await asyncio.to_thread(wait_for, lambda: len(jump.server_processes()) <= before, "the jump host is left alone")


async def test_a_host_that_hangs_ends_at_the_deadline(sshd_fleet: SshdFleet, folder: Path) -> None:
    artifact = Artifact(f"sftp://{sshd_fleet[0].name}{folder}/web-{{version}}.tar.gz", "0" * 64)
    sshd_fleet[0].freeze()
    try:
        with pytest.raises(Unreachable, match=r"not done within 0\.5 s"):
            await resolve(artifact, "1.0", connect=connecting(sshd_fleet), deadline=0.5)
    finally:
        sshd_fleet[0].thaw()
