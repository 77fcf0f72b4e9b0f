"""Promise 19: what was approved is what runs. A build that is changed or re-pointed after it was resolved is never shipped in its place.

Seen to fail with one of these taken out: the digest of what was fetched (5 of the cases: what was replaced, re-pointed or redirected is
shipped), the digest of what lies in the cache (3: what was changed there is).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.backends.artifacts import fetch, over_ssh, resolve
from quarterdeck.backends.artifacts.places import SftpConnect
from quarterdeck.backends.errors import ArtifactRefused, BackendError
from quarterdeck.config.model import Artifact
from tests.backends.artifacts.building import sha256, tarball
from tests.backends.artifacts.http_server import Site, body, http_site
from tests.sshd import SshdFleet
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(19)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    with http_site() as site:
        yield site


class Place:
    """Somewhere a version lies: ``artifact`` says where, ``publish`` puts bytes there, with a checksum that fits them."""

    def __init__(self, kind: str, tmp_path: Path, site: Site, fleet: SshdFleet) -> None:
        self.folder = tmp_path / "builds"
        self.folder.mkdir()
        self.file = self.folder / "web-1.0.tar.gz"
        self.site = site
        base = {"path": str(self.folder), "http": site.url, "sftp": f"sftp://{fleet[0].name}{self.folder}"}[kind]
        url = f"{base}/web-{{version}}.tar.gz"
        self.artifact = Artifact(url, None if kind == "path" else f"{url}.sha256")
        self.connect: SftpConnect = over_ssh([fleet.ssh_config], [fleet.known_hosts])

    def publish(self, content: bytes) -> str:
        """By renaming a new file over the old one, as a build does; gives the SHA-256."""
        digest = tarball(self.folder / "new", {"bin/run": content})
        os.replace(self.folder / "new", self.file)
        checksum = f"{digest}  {self.file.name}\n"
        Path(f"{self.file}.sha256").write_text(checksum)
        self.site.answers[f"/{self.file.name}"] = body(self.file.read_bytes())
        self.site.answers[f"/{self.file.name}.sha256"] = body(checksum.encode())
        return digest

    def remove(self) -> None:
        os.unlink(self.file)
        self.site.answers.clear()


@pytest.fixture(params=["path", "http", "sftp"])
def place(request: pytest.FixtureRequest, tmp_path: Path, site: Site, sshd_fleet: SshdFleet) -> Place:
    return Place(request.param, tmp_path, site, sshd_fleet)


async def test_a_build_that_was_replaced_after_it_was_resolved_is_refused(
    place: Place, tmp_path: Path, promise: Promises
) -> None:
    approved = place.publish(b"approved")
    resolved = await resolve(place.artifact, "1.0", connect=place.connect)
    assert resolved.sha256 == approved
    other = place.publish(b"something else")
    with pytest.raises(ArtifactRefused) as refused:
        await fetch(resolved, tmp_path / "cache", connect=place.connect)
    assert approved in str(refused.value)
    assert other in str(refused.value)
    assert os.listdir(tmp_path / "cache") == []
    promise(19).count("builds changed after they were approved")


async def test_once_fetched_it_stays_what_was_approved_whatever_becomes_of_the_place(
    place: Place, tmp_path: Path, promise: Promises
) -> None:
    approved = place.publish(b"approved")
    resolved = await resolve(place.artifact, "1.0", connect=place.connect)
    await fetch(resolved, tmp_path / "cache", connect=place.connect)
    place.publish(b"something else")
    assert sha256(await fetch(resolved, tmp_path / "cache", connect=place.connect)) == approved
    place.remove()
    assert sha256(await fetch(resolved, tmp_path / "cache", connect=place.connect)) == approved
    promise(19).count("builds changed after they were approved")


async def test_bytes_that_are_changed_in_the_cache_are_not_given_for_approved_ones(
    place: Place, tmp_path: Path, promise: Promises
) -> None:
    approved = place.publish(b"approved")
    resolved = await resolve(place.artifact, "1.0", connect=place.connect)
    cached = await fetch(resolved, tmp_path / "cache", connect=place.connect)
    tarball(cached, {"bin/run": b"something else"})
    assert sha256(await fetch(resolved, tmp_path / "cache", connect=place.connect)) == approved
    tarball(cached, {"bin/run": b"something else"})
    place.remove()
    with pytest.raises(BackendError):
        await fetch(resolved, tmp_path / "cache", connect=place.connect)
    assert os.listdir(tmp_path / "cache") == []
    promise(19).count("builds changed after they were approved")


async def test_a_link_that_is_pointed_elsewhere_after_it_was_resolved_is_refused(
    tmp_path: Path, promise: Promises
) -> None:
    tarball(tmp_path / "one.tar.gz", {"bin/run": b"approved"})
    tarball(tmp_path / "two.tar.gz", {"bin/run": b"something else"})
    (tmp_path / "latest.tar.gz").symlink_to("one.tar.gz")
    resolved = await resolve(Artifact(f"{tmp_path}/{{version}}.tar.gz"), "latest")
    (tmp_path / "latest.tar.gz").unlink()
    (tmp_path / "latest.tar.gz").symlink_to("two.tar.gz")
    with pytest.raises(ArtifactRefused, match=resolved.sha256):
        await fetch(resolved, tmp_path / "cache")
    promise(19).count("builds changed after they were approved")


@pytest.mark.parametrize("place", ["http"], indirect=True)
async def test_a_redirect_that_leads_elsewhere_after_it_was_resolved_is_refused(
    place: Place, tmp_path: Path, promise: Promises
) -> None:
    approved = place.publish(b"approved")
    resolved = await resolve(place.artifact, "1.0")
    place.site.answers["/web-1.0.tar.gz"] = lambda handler: handler.send(302, {"Location": "/other"})
    place.site.answers["/other"] = body(b"something else")
    with pytest.raises(ArtifactRefused, match=approved):
        await fetch(resolved, tmp_path / "cache")
    promise(19).count("builds changed after they were approved")


async def test_the_same_version_resolved_again_is_another_release(place: Place, promise: Promises) -> None:
    first = place.publish(b"approved")
    resolved = await resolve(place.artifact, "1.0", connect=place.connect)
    second = place.publish(b"something else")
    again = await resolve(place.artifact, "1.0", connect=place.connect)
    assert (resolved.sha256, again.sha256) == (first, second)
    assert first != second
    promise(19).count("builds changed after they were approved")
