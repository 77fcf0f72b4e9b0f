"""Artifacts on this machine: a version is found and told by its SHA-256, and what lacks is said."""

import os
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import available, fetch, resolve
from quarterdeck.backends.errors import ArtifactMissing, ArtifactRefused, BackendError, NotPermitted
from quarterdeck.config.model import Artifact
from quarterdeck.config.release import ResolvedArtifact
from tests.backends.artifacts.building import sha256, tarball


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    folder = tmp_path / "builds"
    for age, version in enumerate(["2.0.0", "1.10.0", "1.9.0", "1.2.3"]):
        path = folder / f"web-{version}.tar.gz"
        tarball(path, {"run": version.encode()})
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (folder / "web-1.9.0.tar.gz.sha256").write_text("not a version")
    (folder / "other-1.0.tar.gz").write_text("another service's")
    return folder


def artifact(builds: Path, sha256: str | None = None) -> Artifact:
    return Artifact(str(builds / "web-{version}.tar.gz"), sha256)


async def test_a_version_resolves_to_the_digest_of_its_bytes_and_is_fetched(builds: Path, tmp_path: Path) -> None:
    resolved = await resolve(artifact(builds), "1.9.0")
    source = builds / "web-1.9.0.tar.gz"
    assert resolved == ResolvedArtifact(str(source), sha256(source), source.stat().st_size)
    path = await fetch(resolved, tmp_path / "cache")
    assert path == tmp_path / "cache" / resolved.sha256
    assert path.read_bytes() == source.read_bytes()


async def test_a_literal_checksum_is_taken_as_it_is(builds: Path) -> None:
    digest = sha256(builds / "web-1.9.0.tar.gz")
    assert (await resolve(artifact(builds, digest.upper()), "1.9.0")).sha256 == digest


async def test_a_checksum_file_is_read_for_the_version(builds: Path) -> None:
    digest = sha256(builds / "web-1.10.0.tar.gz")
    (builds / "SUMS-1.10.0").write_text(f"{'0' * 64}  other.tar.gz\n{digest}  ./web-1.10.0.tar.gz\n")
    assert (await resolve(artifact(builds, f"{builds}/SUMS-{{version}}"), "1.10.0")).sha256 == digest


async def test_a_checksum_file_that_lacks_is_named(builds: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"the checksum: there is no .*/none\.sha256"):
        await resolve(artifact(builds, f"{builds}/none.sha256"), "1.9.0")


async def test_a_checksum_file_without_a_checksum_is_refused(builds: Path) -> None:
    (builds / "page.html").write_text("<html>log in first</html>")
    with pytest.raises(ArtifactRefused, match="no SHA-256 in it"):
        await resolve(artifact(builds, f"{builds}/page.html"), "1.9.0")


async def test_a_wrong_checksum_is_refused_telling_both_and_nothing_stays(builds: Path, tmp_path: Path) -> None:
    resolved = await resolve(artifact(builds, "0" * 64), "1.9.0")
    with pytest.raises(ArtifactRefused) as refused:
        await fetch(resolved, tmp_path / "cache")
    assert "0" * 64 in str(refused.value)
    assert sha256(builds / "web-1.9.0.tar.gz") in str(refused.value)
    assert os.listdir(tmp_path / "cache") == []


async def test_a_missing_version_names_the_nearest_ones(builds: Path) -> None:
    with pytest.raises(ArtifactMissing) as missing:
        await resolve(artifact(builds), "1.9.1")
    assert "web-1.9.1.tar.gz" in missing.value.problem
    assert missing.value.advice.startswith("Nearest: 1.9.0")


async def test_a_missing_version_that_is_like_none_names_the_newest(builds: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"Nearest: 2\.0\.0, 1\.10\.0, 1\.9\.0 \(4 versions are there\)"):
        await resolve(artifact(builds), "zzzzzz")


async def test_versions_are_listed_newest_first_and_bounded(builds: Path) -> None:
    assert await available(artifact(builds)) == ["2.0.0", "1.10.0", "1.9.0", "1.2.3"]
    assert await available(artifact(builds), limit=2) == ["2.0.0", "1.10.0"]


async def test_versions_of_the_same_time_are_in_natural_order(builds: Path) -> None:
    for name in os.listdir(builds):
        os.utime(builds / name, (1_000_000, 1_000_000))
    assert await available(artifact(builds)) == ["2.0.0", "1.10.0", "1.9.0", "1.2.3"]


async def test_versions_that_are_directories_are_listed_where_the_file_is_in_them(tmp_path: Path) -> None:
    tarball(tmp_path / "v1/dist/web-v1.tar.gz", {"run": b""})
    tarball(tmp_path / "v2/dist/web-v1.tar.gz", {"run": b"named after another version"})
    (tmp_path / "v3").mkdir()
    assert await available(Artifact(f"{tmp_path}/{{version}}/dist/web-{{version}}.tar.gz")) == ["v1"]


@pytest.mark.parametrize(
    "tarball", ["/nowhere/at/all/{version}.tgz", "/etc/passwd", "https://example.invalid/{version}"]
)
async def test_nothing_is_listed_where_nothing_can_be(tarball: str) -> None:
    assert await available(Artifact(tarball)) == []


@pytest.mark.parametrize(
    "version", ["", ".", "..", "../1", "a/b", "-rf", ".hidden", "1 2", "1\n", "v\0", "1;reboot", "$(x)", "é", "x" * 81]
)
async def test_a_version_that_is_no_safe_name_is_refused_before_anything_is_looked_at(
    tmp_path: Path, version: str
) -> None:
    with pytest.raises(ArtifactRefused, match="this can't be a version"):
        await resolve(Artifact(f"{tmp_path}/{{version}}.tar.gz"), version)


@pytest.mark.parametrize("version", ["1", "v1.2.3", "2026-11-23_b7", "1.0+build.5", "x" * 80])
async def test_usual_versions_are_taken(tmp_path: Path, version: str) -> None:
    tarball(tmp_path / f"{version}.tar.gz", {"run": b""})
    assert (
        await resolve(Artifact(f"{tmp_path}/{{version}}.tar.gz"), version)
    ).location == f"{tmp_path}/{version}.tar.gz"


async def test_a_directory_a_pipe_and_a_relative_path_are_no_artifacts(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactRefused, match="is a directory"):
        await resolve(Artifact(str(tmp_path)), "1")
    with pytest.raises(ArtifactRefused, match="no regular file"):
        await resolve(Artifact(f"{tmp_path}/pipe"), "1")
    with pytest.raises(ArtifactRefused, match="no regular file"):
        await fetch(ResolvedArtifact(f"{tmp_path}/pipe", "0" * 64), tmp_path / "cache", deadline=10)
    with pytest.raises(ArtifactRefused, match="not an absolute path"):
        await resolve(Artifact("builds/{version}.tar.gz"), "1")


async def test_a_file_above_the_limit_is_refused(builds: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match="more than 10"):
        await resolve(artifact(builds), "1.9.0", limit=10)
    resolved = await resolve(artifact(builds), "1.9.0")
    with pytest.raises(ArtifactRefused, match="more than 10 bytes"):
        await fetch(resolved, tmp_path / "cache", limit=10)
    assert os.listdir(tmp_path / "cache") == []


async def test_a_cache_that_can_not_be_written_is_said_as_such(builds: Path, tmp_path: Path) -> None:
    resolved = await resolve(artifact(builds), "1.9.0")
    with pytest.raises(BackendError, match=r"Not a directory|File exists"):
        await fetch(resolved, builds / "web-1.9.0.tar.gz")
    if os.geteuid() == 0:
        return  # root may read and write everything
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(NotPermitted):
        await fetch(resolved, closed / "cache")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://example.invalid/{version}", "no place that artifacts can come from"),
        ("file:///srv/{version}", "no place that artifacts can come from"),
        ("https:///{version}", "names no host"),
        ("https://user:hunter2@example.invalid/{version}", "has a login in it"),
        ("https://example.invalid:99999/{version}", "can't be understood"),
        ("https://example.invalid/a b/{version}", "a space or a control character"),
        ("sftp://user:hunter2@example.invalid/{version}", "has a password in it"),
        ("sftp:///{version}", "names no host"),
        ("sftp://-oProxyCommand=x/{version}", "names no host"),
        ("sftp://example.invalid", "names no file"),
    ],
)
async def test_a_url_that_can_not_be_used_is_refused_without_repeating_a_password(url: str, problem: str) -> None:
    with pytest.raises(ArtifactRefused, match=problem) as refused:
        await resolve(Artifact(url, "0" * 64), "1.0")
    assert "hunter2" not in str(refused.value)
