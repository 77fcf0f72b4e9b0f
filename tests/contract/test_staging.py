"""What is staged on a host is whole and read back as it was, or refused."""

import asyncio
import hashlib
import io
import tarfile

import msgspec
import pytest

from quarterdeck.backends.errors import (
    ArtifactRefused,
    BackendError,
)
from quarterdeck.backends.hosts.contract import SecretValues
from quarterdeck.backends.hosts.ssh import connection
from quarterdeck.backends.hosts.ssh.release_files import HostFile, writing_function
from quarterdeck.config.model import (
    ConfigFile,
)
from quarterdeck.config.release import ResolvedArtifact, release_from_json
from tests.backends.ssh.releases import resolved
from tests.contract.place import NO_SECRETS, Place


async def test_an_empty_host_has_no_facts_and_stays_empty(place: Place) -> None:
    facts = await place.connection.facts("test/web", str(place.path))
    assert (facts.current, facts.kept, facts.epoch, facts.good, facts.problems) == (None, (), 0, (), ())
    assert facts.free_bytes is not None
    assert facts.free_bytes > 0
    assert not place.path.exists()


async def test_a_staged_release_is_complete_and_read_back_as_it_was(place: Place) -> None:
    release, archive = place.release(
        "v1",
        env={"A": "1"},
        files=(ConfigFile("conf/app ini", "no newline at the end", 0o600), ConfigFile("VERSION", "other\n")),
    )
    outcome = await place.connection.stage(release, archive, SecretValues({"KEY": "s3cret"}), place.fence())
    assert not outcome.already
    home = place.path / "releases" / release.id
    assert (home / "data" / "text").read_text() == "v1\n" * 10
    assert (home / "conf" / "app ini").read_text() == "no newline at the end"
    assert (home / "conf" / "app ini").stat().st_mode & 0o777 == 0o600
    assert (home / "VERSION").read_text() == "other\n"
    assert (home / "qd.secrets.env").stat().st_mode & 0o777 == 0o600
    assert place.left_over == []
    facts = await place.connection.facts("test/web", str(place.path))
    (kept,) = facts.kept
    assert (kept.release, kept.intact) == (release.id, True)
    assert kept.manifest is not None
    assert release_from_json(kept.manifest["release"]) == release
    assert kept.manifest["digest"] == release.digest
    assert facts.current is None


async def test_staging_again_changes_nothing(place: Place) -> None:
    release = await place.staged("v1")
    mark = place.path / "releases" / release.id / "written-by-the-service"
    mark.write_text("kept")
    again = await place.connection.stage(release, place.files / "v1.tar.gz", NO_SECRETS, place.fence())
    assert again.already
    assert mark.read_text() == "kept"


async def test_staging_at_the_same_time_gives_one_whole_release(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(files: list[HostFile]) -> str:  # all of them look, and only then does the first one rename
        return writing_function(files) + 'mv() { sleep 0.3; command mv "$@"; }\n'

    monkeypatch.setattr(connection, "writing_function", slow)
    release, archive = place.release("v1")
    await asyncio.gather(*(place.connection.stage(release, archive, NO_SECRETS, place.fence()) for _ in range(5)))
    facts = await place.connection.facts("test/web", str(place.path))
    assert [(kept.release, kept.intact) for kept in facts.kept] == [(release.id, True)]
    assert place.left_over == []
    # A rename onto a directory that is there already would have moved one tree into the other.
    assert not (place.path / "releases" / release.id / "tree").exists()


async def test_a_wrong_checksum_is_refused_and_nothing_is_left(place: Place) -> None:
    release, archive = place.release("v1")
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactRefused, match=r"SHA-256 [0-9a-f]{64}"):
        await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    assert place.kept == []


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    member.size = 1 if kind == tarfile.REGTYPE else 0
    return member


BAD_MEMBERS = {
    "absolute path": [_member("/tmp/qd-escaped")],
    "path that climbs": [_member("../../escaped")],
    "link to an absolute path": [_member("passwd", tarfile.SYMTYPE, "/etc/passwd")],
    "link that climbs": [_member("a/b", tarfile.SYMTYPE, "../../escaped")],
    "link that climbs after another": [
        _member("a/b/top", tarfile.SYMTYPE, "../.."),
        _member("out", tarfile.SYMTYPE, "a/b/top/../escaped"),
    ],
    "file through a link": [_member("dir", tarfile.SYMTYPE, "../.."), _member("dir/escaped")],
    "hard link to an absolute path": [_member("passwd", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [_member("null", tarfile.CHRTYPE)],
    "pipe": [_member("pipe", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("what", BAD_MEMBERS)
async def test_an_archive_that_leads_out_is_refused(place: Place, what: str) -> None:
    release, archive = place.release("v1")
    with tarfile.open(archive, "w:gz") as file:
        for member in BAD_MEMBERS[what]:
            file.addfile(member, io.BytesIO(b"x"))
    release = msgspec.structs.replace(release, artifact=resolved(archive))
    with pytest.raises(BackendError) as caught:
        await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    assert isinstance(caught.value, ArtifactRefused), caught.value
    assert place.kept == []
    assert place.escaped == []


async def test_links_within_the_release_are_kept(place: Place) -> None:
    release, archive = place.release("v1")
    with tarfile.open(archive, "w:gz") as file:
        file.addfile(_member("lib/a.so.1"), io.BytesIO(b"x"))
        file.addfile(_member("lib/a.so", tarfile.SYMTYPE, "a.so.1"))
        file.addfile(_member("bin/deep/a", tarfile.SYMTYPE, "../../lib/a.so"))
        file.addfile(_member("hard", tarfile.LNKTYPE, "lib/a.so.1"))
    release = msgspec.structs.replace(release, artifact=resolved(archive))
    await place.connection.stage(release, archive, NO_SECRETS, place.fence())
    assert (place.path / "releases" / release.id / "bin/deep/a").read_text() == "x"


async def test_what_is_no_archive_is_refused(place: Place) -> None:
    release, archive = place.release("v1")
    archive.write_bytes(b"this is no archive" * 100)
    body = archive.read_bytes()
    release = msgspec.structs.replace(
        release, artifact=ResolvedArtifact(str(archive), hashlib.sha256(body).hexdigest())
    )
    with pytest.raises(ArtifactRefused, match="can't be unpacked"):
        await place.connection.stage(release, archive, NO_SECRETS, place.fence())
