"""Refuses a state directory on a network file system, before anything there is opened: its locks can't be relied on."""

import os
import re
from pathlib import Path

from quarterdeck.history.errors import JournalOnNetwork

MOUNT_TABLE = Path("/proc/self/mountinfo")
MOST_STEPS = 1000  # more only in a circle of links, which opening will complain about

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
    # Link by link, and the mount before anything in it is touched: touching one whose server is dead hangs for ever.
    place, rest = "/", os.path.abspath(path)[1:]
    for _ in range(MOST_STEPS):
        whole = os.path.normpath(os.path.join(place, rest))
        point, kind = _mount_of(whole, mounts)
        if _is_refused(kind):
            raise JournalOnNetwork(str(path), kind, point)
        if not _is_inside(place, point):
            place, rest = point, whole[len(point) :]  # what lies above the mount may be on another one: not touched
        part, _, rest = rest.lstrip("/").partition("/")
        if not part:
            return
        place = os.path.normpath(os.path.join(place, part))
        try:
            target = os.readlink(place)
        except OSError:
            continue  # no link, or nothing there yet
        rest = os.path.join(target, rest)
        place = "/" if target.startswith("/") else os.path.dirname(place)
        rest = rest.lstrip("/")


def _parse(table: str) -> list[tuple[str, str]]:
    """(mount point, type) in the order of mounting."""
    mounts = []
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        if dash:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
            mounts.append((point, after.split(" ", 1)[0]))
    return mounts


def _mount_of(path: str, mounts: list[tuple[str, str]]) -> tuple[str, str]:
    """The mount that ``path`` is in: the longest mount point above it, and of several there the last."""
    best = ("", "")
    for point, kind in mounts:
        if _is_inside(path, point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best


def _is_inside(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _is_refused(kind: str) -> bool:
    if kind.startswith("fuse."):
        return kind.removeprefix("fuse.") in REFUSED_FUSE
    return kind in REFUSED
