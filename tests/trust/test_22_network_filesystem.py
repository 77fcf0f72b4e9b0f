"""Promise 22: a history on a network file system is refused, before anything there is opened.

Seen to fail without the refusal of these kinds (15 of the cases). The real share whose server is dead hangs without sshfs among them, and
with a look at the place itself before the table of mounts is asked.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.history import mounts
from quarterdeck.history.errors import JournalOnNetwork
from quarterdeck.history.journal import Journal
from tests.history.forks import Fork, Report
from tests.requirements_here import need
from tests.trust.recording import Promises

pytestmark = pytest.mark.trust(22)

LINE = "{id} 1 0:{id} / {point} rw,relatime shared:1 - {kind} {source} rw"


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Mounted":
    return Mounted(tmp_path, monkeypatch)


class Mounted:
    """A table of mounts, as the kernel writes it."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._table = directory / "mountinfo"
        self._lines: list[str] = []
        self.add("/", "ext4")
        monkeypatch.setattr(mounts, "MOUNT_TABLE", self._table)

    def add(self, point: Path | str, kind: str) -> None:
        escaped = "".join(f"\\{ord(letter):03o}" if letter in " \t\n\\" else letter for letter in str(point))
        self._lines.append(LINE.format(id=len(self._lines) + 30, point=escaped, kind=kind, source="nas:/export"))
        self._table.write_text("\n".join(self._lines) + "\n")


@pytest.mark.parametrize(
    "kind",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "fuse.sshfs",
        "ceph",
        "fuse.glusterfs",
        "9p",
        "afs",
        "lustre",
        "gfs2",
        "ocfs2",
        "vboxsf",
    ],
)
def test_it_is_refused_and_nothing_is_made_there(
    kind: str, tmp_path: Path, mounted: Mounted, promise: Promises
) -> None:
    share = tmp_path / "a share"
    share.mkdir()
    mounted.add(share, kind)
    for state in (share, share / "deep" / "state"):
        for read_only in (False, True):
            with pytest.raises(JournalOnNetwork, match="network or shared file system") as refused:
                Journal.open(state, read_only=read_only)
            assert f"({kind}, mounted on {share})" in str(refused.value)
            assert "Set `state` in the fleet file" in refused.value.advice
    assert list(share.iterdir()) == []
    promise(22).count("kinds of network file systems refused")


def test_a_link_that_leads_there_is_refused(tmp_path: Path, mounted: Mounted, promise: Promises) -> None:
    share = tmp_path / "share"
    share.mkdir()
    mounted.add(share, "nfs4")
    (tmp_path / "home").symlink_to(share)
    with pytest.raises(JournalOnNetwork):
        Journal.open(tmp_path / "home" / "state")
    with pytest.raises(JournalOnNetwork):
        Journal.open(tmp_path / "other" / ".." / "share")
    assert list(share.iterdir()) == []
    promise(22).count("links to one refused")


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.mergerfs"])
def test_a_local_file_system_does(kind: str, tmp_path: Path, mounted: Mounted, promise: Promises) -> None:
    mounted.add(tmp_path, "nfs")
    mounted.add(tmp_path / "disk", kind)  # a local disk below a share, and beside one whose name begins alike
    mounted.add(tmp_path / "dis", "nfs")
    with Journal.open(tmp_path / "disk" / "state") as journal:
        journal.note("fine")
    promise(22).count("kinds of local ones taken")


def test_what_is_mounted_over_a_directory_last_counts(tmp_path: Path, mounted: Mounted, promise: Promises) -> None:
    mounted.add(tmp_path, "autofs")
    mounted.add(tmp_path, "nfs4")
    with pytest.raises(JournalOnNetwork):
        Journal.open(tmp_path)
    mounted.add(tmp_path, "ext4")
    Journal.open(tmp_path).close()
    promise(22).count("links to one refused")


@pytest.fixture
def dead_share(tmp_path: Path) -> Iterator[Path]:
    """A real FUSE mount that says it is sshfs, whose server never answers: whoever touches it hangs."""
    need(os.geteuid() == 0 and os.path.exists("/dev/fuse"), "root and /dev/fuse, to mount a share")
    libc = ctypes.CDLL(None, use_errno=True)
    point = tmp_path / "share"
    point.mkdir()
    descriptor = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    mounted = libc.mount(b"nas:/export", os.fsencode(point), b"fuse.sshfs", 0, options)
    try:
        need(mounted == 0, f"FUSE: {os.strerror(ctypes.get_errno())}")
        yield point
    finally:
        os.close(descriptor)
        if mounted == 0:
            libc.umount2(os.fsencode(point), 2)  # MNT_DETACH


@pytest.mark.root
def test_a_real_share_with_a_dead_server_is_refused_at_once(dead_share: Path, promise: Promises) -> None:
    def refuse(report: Report) -> None:
        link = dead_share.parent / "link"
        link.symlink_to(dead_share / "deep")
        for state in (dead_share, dead_share / "state", link, link / "state"):
            with contextlib.suppress(JournalOnNetwork):
                Journal.open(state)
                report("opened")
        report("refused")

    with Fork(refuse) as process:
        assert process.rest(20) == ["refused"]
    promise(22).count("real shares refused")
