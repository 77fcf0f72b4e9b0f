"""Promise 9: a host whose disk is full or read-only, or whose shell is broken, is named and the others go on.

``current`` is never half switched.

Seen to fail with the old link removed before the new one is made: it was away for a moment.
"""

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from quarterdeck.backends.errors import CommandFailed, NoSpace, NotPermitted
from quarterdeck.backends.hosts.contract import Fence, SecretValues
from quarterdeck.backends.hosts.ssh.backend import SshBackend
from quarterdeck.backends.hosts.ssh.connection import SshConnection
from quarterdeck.config.release import Release
from tests.backends.ssh.releases import quick_release, write_archive
from tests.requirements_here import need
from tests.sshd import SshdFleet
from tests.trust.recording import Promises

pytestmark = [pytest.mark.trust(9), pytest.mark.sshd, pytest.mark.root]

NO_SECRETS = SecretValues()
FENCE = Fence("test/web", 1, "me")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 2 MiB."""
    need(os.geteuid() == 0, "root, to mount a small file system")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "none", str(place)], capture_output=True)
    need(done.returncode == 0, f"the right to mount: {done.stderr.decode()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


def _fill(place: Path) -> None:
    """Takes every byte that is free."""
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


async def _on_two_hosts(
    fleet: SshdFleet, tmp_path: Path, disk: Path
) -> tuple[list[SshConnection], list[list[Release]]]:
    """v1 and v2 on two hosts, v1 running; the second host's target lies on the small disk."""
    backend = SshBackend([fleet.ssh_config])
    connections = [await backend.connect(host.as_host()) for host in fleet.hosts[:2]]
    releases = []
    for connection, path in zip(connections, (tmp_path / "good", disk / "srv"), strict=True):
        pair = [quick_release(tmp_path, version, path) for version in ("v1", "v2")]
        for release, archive in pair:
            await connection.stage(release, archive, NO_SECRETS, FENCE)
        releases.append([release for release, _ in pair])
        await connection.switch(releases[-1][0], NO_SECRETS, FENCE, "1.1")
    return connections, releases


async def _switch_all(connections: list[SshConnection], releases: list[list[Release]], fence: Fence) -> list[object]:
    return await asyncio.gather(
        *(
            connection.switch(release, NO_SECRETS, fence, f"{fence.epoch}.1")
            for connection, (_, release) in zip(connections, releases, strict=True)
        ),
        return_exceptions=True,
    )


@pytest.mark.parametrize("how", ["full", "read-only"])
async def test_a_full_or_read_only_disk(
    sshd_fleet: SshdFleet, tmp_path: Path, small_disk: Path, how: str, promise: Promises
) -> None:
    connections, releases = await _on_two_hosts(sshd_fleet, tmp_path, small_disk)
    path = small_disk / "srv"
    if how == "full":
        _fill(small_disk)
    else:
        _remount(small_disk, "ro")
    good, bad = await _switch_all(connections, releases, Fence("test/web", 2, "me"))
    assert not isinstance(good, BaseException), good
    assert isinstance(bad, NoSpace)
    assert str(bad).startswith("host-2: switch to v2-")
    assert ("the disk is full" if how == "full" else "read-only") in str(bad)
    assert (path / "current").readlink() == Path(f"releases/{releases[1][0].id}"), "nothing was switched"
    assert (path / "shared" / "running").read_text().strip() == releases[1][0].id, "the old release runs"
    third, archive = quick_release(tmp_path, "v3", path)
    with pytest.raises(NoSpace, match="host-2"):
        await connections[1].stage(third, archive, NO_SECRETS, Fence("test/web", 2, "me"))
    if how == "full":
        (small_disk / "filler").unlink()
    else:
        _remount(small_disk, "rw")
    again = await connections[1].switch(releases[1][1], NO_SECRETS, Fence("test/web", 2, "me"), "2.1")
    assert (again.current, again.replayed) == (releases[1][1].id, False)
    for connection in connections:
        await connection.close()
    promise(9).count("broken hosts")


@contextlib.contextmanager
def watched(link: Path) -> Iterator[set[str]]:
    """Everything that the link was seen to point to, «nowhere» when it was not there."""
    seen: set[str] = set()
    enough = threading.Event()

    def look() -> None:
        while not enough.is_set():
            try:
                seen.add(os.readlink(link))
            except FileNotFoundError:
                seen.add("nowhere")

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        enough.set()
        looking.join(10)


@pytest.mark.parametrize("free", [4096, 8192, 12288, 16384, 20480, 24576])
async def test_a_disk_that_fills_up_at_any_point_leaves_one_release_or_the_other(
    sshd_fleet: SshdFleet, tmp_path: Path, small_disk: Path, free: int, promise: Promises
) -> None:
    """With a few pages left the switch fails here or there, or not at all; the link is whole each time."""
    connections, releases = await _on_two_hosts(sshd_fleet, tmp_path, small_disk)
    path, pair = small_disk / "srv", releases[1]
    _fill(small_disk)
    filler = small_disk / "filler"
    os.truncate(filler, filler.stat().st_size - free)
    switch = connections[1].switch(pair[1], NO_SECRETS, Fence("test/web", 2, "me"), "2.1")
    with watched(path / "current") as seen:
        (outcome,) = await asyncio.gather(switch, return_exceptions=True)
    assert seen <= {f"releases/{release.id}" for release in pair}, "the link was away, or led elsewhere"
    failed = isinstance(outcome, BaseException)
    if failed:
        assert isinstance(outcome, (NoSpace, CommandFailed)), outcome
        assert outcome.host == "host-2"
    current = (path / "current").readlink()
    assert current in {Path(f"releases/{release.id}") for release in pair}
    assert failed or current == Path(f"releases/{pair[1].id}"), "success, and the link does not say so"
    assert int((path / ".quarterdeck" / "epoch").read_text().splitlines()[0]) in (1, 2)
    filler.unlink()
    back = await connections[1].switch(pair[0], NO_SECRETS, Fence("test/web", 3, "me"), "3.1")
    assert back.current == pair[0].id
    for connection in connections:
        await connection.close()
    promise(9).count("broken hosts")


async def test_a_release_that_does_not_fit_is_refused_before_it_is_sent(
    sshd_fleet: SshdFleet, tmp_path: Path, small_disk: Path, promise: Promises
) -> None:
    connection = await SshBackend([sshd_fleet.ssh_config]).connect(sshd_fleet[0].as_host())
    release, archive = quick_release(tmp_path, "v1", small_disk / "srv")
    release = msgspec.structs.replace(release, artifact=write_archive(archive, {"big": os.urandom(900_000)}))
    with pytest.raises(NoSpace, match=r"MiB are free and .* MiB are needed"):
        await connection.stage(release, archive, NO_SECRETS, FENCE)
    assert list((small_disk / "srv" / "releases").iterdir()) == []
    await connection.close()
    promise(9).count("broken hosts")


async def test_a_broken_shell(start_sshd_fleet: Callable[..., SshdFleet], tmp_path: Path, promise: Promises) -> None:
    fleet = start_sshd_fleet(2)
    backend = SshBackend([fleet.ssh_config])
    connections, releases = await _on_two_hosts(fleet, tmp_path, tmp_path / "second")
    for connection in connections:
        await connection.close()
    fleet[1].restart(options=["ForceCommand /bin/false"])
    connections = [await backend.connect(host.as_host()) for host in fleet.hosts]
    good, bad = await _switch_all(connections, releases, Fence("test/web", 2, "me"))
    assert not isinstance(good, BaseException), good
    assert isinstance(bad, CommandFailed)
    assert str(bad).startswith("host-2: switch to v2-")
    assert bad.advice == f"check the login user's shell with: ssh -v -F {fleet.ssh_config} host-2 true"
    current = tmp_path / "second" / "srv" / "current"
    assert current.readlink() == Path(f"releases/{releases[1][0].id}")
    for connection in connections:
        await connection.close()
    promise(9).count("broken hosts")


async def test_a_directory_that_may_not_be_written(
    start_sshd_fleet: Callable[..., SshdFleet], tmp_path: Path, promise: Promises
) -> None:
    """In /proc nobody may make a directory, not even root."""
    fleet = start_sshd_fleet(1)
    connection = await SshBackend([fleet.ssh_config]).connect(fleet[0].as_host())
    release, archive = quick_release(tmp_path, "v1", Path("/proc/qd/srv"))
    with pytest.raises((NotPermitted, CommandFailed), match=r"host-1: .*/proc"):
        await connection.stage(release, archive, NO_SECRETS, FENCE)
    await connection.close()
    promise(9).count("broken hosts")
