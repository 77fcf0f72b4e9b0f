"""Refuses a state directory on a network file system, before anything there is opened: its locks can't be relied on."""

import os
import re
from pathlib import Path

from quarterdeck.history.errors import JournalOnNetwork

MOUNT_TABLE = Path("/proc/self/mountinfo")

# Network and cluster file systems, and folders that a virtual machine's host shares with it: several kernels, no common locks.
REFUSED = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "ncp", "afs", "coda", "ceph", "lustre", "gpfs", "beegfs", "pvfs2"}
    | {"orangefs", "gfs2", "ocfs2", "9p", "vboxsf", "prl_fs", "vmhgfs", "acfs", "panfs", "glusterfs"}
)
# What stands behind a FUSE mount is told by its subtype only.
REFUSED_FUSE = frozenset(
    {"sshfs", "glusterfs", "s3fs", "goofys", "gcsfuse", "blobfuse", "blobfuse2", "rclone", "ceph", "ceph-fuse", "davfs"}
    | {"davfs2", "curlftpfs", "smbnetfs", "nfs", "juicefs", "seaweedfs", "moosefs", "mfs", "lizardfs", "vmhgfs-fuse"}
    | {"onedriver", "google-drive-ocamlfuse", "cvmfs2", "hdfs"}
)


def refuse_network(path: Path) -> None:
    """Raises ``JournalOnNetwork`` when ``path`` (which need not exist yet) is on a file system that does not do."""
    try:
        table = MOUNT_TABLE.read_text(errors="surrogateescape")
    except OSError:
        return  # no such table on this system: nothing can be told
    mounts = _parse(table)
    # First the path as written: a dead server's mount must be refused without being touched, since touching it hangs.
    for place in (os.path.abspath(path), os.path.realpath(path)):
        found = _mount_of(place, mounts)
        if found is not None and _is_refused(found[1]):
            raise JournalOnNetwork(str(path), found[1], found[0])


def _parse(table: str) -> list[tuple[str, str]]:
    """(mount point, type) in the order of mounting."""
    mounts = []
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        if dash:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
            mounts.append((point, after.split(" ", 1)[0]))
    return mounts


def _mount_of(path: str, mounts: list[tuple[str, str]]) -> tuple[str, str] | None:
    """The mount that ``path`` is in: the longest mount point above it, and of several there the last."""
    best: tuple[str, str] | None = None
    for point, kind in mounts:
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and (best is None or len(point) >= len(best[0])):
            best = (point, kind)
    return best


def _is_refused(kind: str) -> bool:
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.") in REFUSED_FUSE
    return kind in REFUSED
