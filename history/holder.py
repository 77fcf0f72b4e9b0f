"""Who holds the journal's lock, told from /proc/locks. Opens none of the journal's own files."""

import os
from pathlib import Path

import msgspec

LOCK_TABLE = Path("/proc/locks")

# Byte ranges of SQLite's locks. In the -shm file: writing, checkpointing, recovering. In the database: pending and
# reserved (a writer), and the shared range, which a writer that commits holds for itself and a reader holds with others.
SHM_WRITER = (120, 122)
DATABASE_WRITER = (0x40000000, 0x40000001)
DATABASE_SHARED = (0x40000002, 0x40000002 + 509)


class Holder(msgspec.Struct, frozen=True):
    """``pid`` is None when it can't be told; ``label`` is for a sentence: «process 123 (qd worker)»."""

    pid: int | None
    label: str


def holder(database: Path) -> Holder:
    """The process that keeps others from writing to ``database`` now."""
    for pid in _blockers(database):
        if pid == os.getpid():
            return Holder(pid, f"another part of this same process ({pid})")
        return Holder(pid, f"process {pid} ({_command(pid)})")
    return Holder(None, "a process that can't be named (it has just let go, or runs in another container)")


def _blockers(database: Path) -> list[int]:
    """Pids, the likeliest first: writers through the WAL's index, writers of the file, then readers of the file."""
    try:
        table = LOCK_TABLE.read_text()
    except OSError:
        return []
    shm = _key(database.with_name(database.name + "-shm"))
    main = _key(database)
    ranked: list[tuple[int, int]] = []
    for line in table.splitlines():
        fields = line.split()
        # "1: POSIX  ADVISORY  WRITE 1234 fe:00:2236432 120 120"; a line with "->" is one that waits.
        if len(fields) != 8 or fields[1] != "POSIX" or fields[7] == "EOF":
            continue
        kind, pid, file = fields[3], int(fields[4]), fields[5]
        first, last = int(fields[6]), int(fields[7])
        writes = kind == "WRITE"
        if file == shm and writes and _meets(first, last, SHM_WRITER):
            ranked.append((0, pid))
        elif file == main and writes and _meets(first, last, DATABASE_WRITER):
            ranked.append((1, pid))
        elif file == main and _meets(first, last, DATABASE_SHARED) and (writes or shm is None):
            ranked.append((2 if writes else 3, pid))
    ranked.sort()
    others = [pid for _, pid in ranked if pid != os.getpid()]
    return others or [pid for rank, pid in ranked if rank < 3]


def _key(path: Path) -> str | None:
    """How /proc/locks names a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"


def _meets(first: int, last: int, wanted: tuple[int, int]) -> bool:
    return first <= wanted[1] and last >= wanted[0]


def _command(pid: int) -> str:
    """The command's first words without its interpreter; its name alone when the command line may not be read."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        names = [os.path.basename(word) for word in words if word and not word.startswith("-")]
        if names and names[0].startswith("python") and len(names) > 1:
            names.pop(0)
        text = " ".join(names[:3])
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return "gone meanwhile"
    return "".join(character for character in (text[:60] or name) if character.isprintable())
