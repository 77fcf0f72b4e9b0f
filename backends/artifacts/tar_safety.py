"""Looks through a tarball before it is unpacked anywhere; refuses what leads out of the release's directory.

Stricter than tar: what two programs could read differently is refused too, since the host's tar unpacks it.
Unpacks nothing.
"""

import asyncio
import posixpath
import tarfile
import threading
from collections import deque
from pathlib import Path

import msgspec

from quarterdeck.backends.artifacts.compression import BadArchive, TarStream
from quarterdeck.backends.artifacts.location import shown_name
from quarterdeck.backends.artifacts.places import within
from quarterdeck.backends.errors import THIS_MACHINE, ArtifactRefused, BackendError

MAX_UNPACKED_BYTES = 8 * 1024**3
MAX_MEMBERS = 200_000
RESERVED = "qd."  # at the top: qd.env, qd.secrets.env, qd.manifest.json are written there by us
_ACTION = "use the tarball"
_HEADERS = 4 * tarfile.BLOCKSIZE  # of one member, at most, on average: with long names and extended headers
_HOPS = 40  # as the kernel follows links


class ArchiveSummary(msgspec.Struct, frozen=True):
    """What an archive that was found safe would unpack to."""

    members: int
    unpacked_bytes: int
    executables: tuple[str, ...]  # paths of files with an execute bit, in the archive's order
    compression: str  # none, gzip, bzip2, xz


def check(
    path: Path,
    *,
    max_bytes: int = MAX_UNPACKED_BYTES,
    max_members: int = MAX_MEMBERS,
    stop: threading.Event | None = None,
) -> ArchiveSummary:
    """Reads the whole archive. Blocks: in an event loop, use ``check_archive``.

    Raises ``ArtifactRefused`` naming the member, ``BackendError`` when the file can't be read, ``Stopped`` once
    ``stop`` is set.
    """
    try:
        stream = TarStream(path, max_bytes + max_members * _HEADERS, stop)
        try:
            return _Check(max_bytes, max_members).run(stream)
        finally:
            stream.close()
    except (BadArchive, tarfile.TarError) as problem:
        words = str(problem) if isinstance(problem, BadArchive) else "a header in it is damaged"
    except (ValueError, OverflowError, RecursionError):  # tarfile's, for headers that hold nonsense
        words = "a header in it is damaged"
    except OSError as error:
        raise BackendError(
            THIS_MACHINE, _ACTION, f"{path}: {error.strerror or 'input/output error'}", left="Nothing was changed"
        ) from None
    raise ArtifactRefused(
        THIS_MACHINE, _ACTION, words, left="Nothing was changed", advice="Build it anew with tar -czf, -cJf or -cjf"
    )


async def check_archive(path: Path, *, deadline: float = 300.0) -> ArchiveSummary:
    """``check`` in a thread; after ``deadline`` seconds, or when cancelled, the thread is told to stop."""
    stop = threading.Event()
    try:
        async with within(deadline, THIS_MACHINE, _ACTION):
            return await asyncio.to_thread(check, path, stop=stop)
    finally:
        stop.set()


class _Check:
    def __init__(self, max_bytes: int, max_members: int) -> None:
        self._max_bytes = max_bytes
        self._max_members = max_members
        self._members = 0
        self._bytes = 0
        self._executables: list[str] = []
        self._paths: set[str] = set()
        self._files: set[str] = set()
        self._links: dict[str, str] = {}  # symbolic ones, by path

    def run(self, stream: TarStream) -> ArchiveSummary:
        archive = _opened(stream)
        while (member := archive.next()) is not None:
            archive.members = []  # it keeps every member that it has read: an archive of millions would fill the memory
            self._one(member)
        # tarfile ends quietly at a damaged header; tar skips it and goes on, and would unpack what was not looked at.
        if stream.last.count(0) != tarfile.BLOCKSIZE:
            raise BadArchive("it was cut short: its end mark lacks" if not stream.last else "a header in it is damaged")
        if not stream.rest_is_zero():
            raise BadArchive("something follows its end mark")
        if not self._members:
            raise BadArchive("it holds no file")
        self._links_stay_inside()
        return ArchiveSummary(self._members, self._bytes, tuple(self._executables), stream.compression)

    def _one(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        if self._members > self._max_members:
            raise BadArchive(f"it has more than {self._max_members} members")
        path = self._path(member.name)
        if member.size < 0 or (not member.isreg() and member.size):
            raise _bad(member, "can't be read: its size makes no sense")
        if member.isreg():
            if member.mode & 0o6000:
                raise _bad(member, "is set to run as another user or group (setuid or setgid)")
            self._bytes += member.size
            if self._bytes > self._max_bytes:
                raise BadArchive(f"it unpacks to more than {self._max_bytes} bytes")
            if member.mode & 0o111:
                self._executables.append(path)
            self._files.add(path)
        elif member.issym():
            self._links[path] = _clean(member, member.linkname, "leads to")
        elif member.islnk():
            target = self._path(member.linkname, member)
            if target not in self._files:
                raise _bad(
                    member,
                    f"is a hard link to {shown_name(member.linkname)}, which is no file before it in the archive",
                )
            self._files.add(path)
        elif not member.isdir():
            raise _bad(member, "is a device, a pipe or something else that is no file, directory or link")
        if not path and not member.isdir():
            raise _bad(member, "names no file")
        self._paths.add(path)

    def _path(self, name: str, member: tarfile.TarInfo | None = None) -> str:
        """``name`` without its empty parts and ``.``; empty: the directory itself."""
        shown = name if member is None else member.name
        _clean_text(shown, name)
        if name.startswith("/"):
            raise BadArchive(f"{_whose(shown, name)} is absolute")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise BadArchive(f"{_whose(shown, name)} has .. in it")
        if len(name) > 4095 or any(len(part) > 255 for part in parts):
            raise BadArchive(f"member {shown_name(shown)}: its name is too long")
        if parts and parts[0].casefold().startswith(RESERVED):
            raise BadArchive(f"member {shown_name(shown)}: names that begin with {RESERVED} are reserved at the top")
        return "/".join(parts)

    def _links_stay_inside(self) -> None:
        # A path through a link is where both programs and people err: what lies behind it depends on the order.
        for path in self._paths:
            parent = posixpath.dirname(path)
            while parent:
                if parent in self._links:
                    raise BadArchive(f"member {shown_name(path)}: its path goes through the link {shown_name(parent)}")
                parent = posixpath.dirname(parent)
        for path, target in self._links.items():
            if self._leads_out(path, target):
                raise BadArchive(
                    f"member {shown_name(path)}: the link to {shown_name(target)} leads out of the archive"
                )

    def _leads_out(self, path: str, target: str) -> bool:
        """Follows ``target`` as the kernel would, through the archive's other links. A circle counts as leading out."""
        at = [part for part in posixpath.dirname(path).split("/") if part]
        todo = deque([target])
        hops = 0
        while todo:
            text = todo.popleft()
            if text.startswith("/"):
                return True
            head, _, tail = text.partition("/")
            if tail:
                todo.appendleft(tail.lstrip("/"))
            if head == "..":
                if not at:
                    return True
                at.pop()
            elif head not in ("", "."):
                at.append(head)
                if (onward := self._links.get("/".join(at))) is not None:
                    hops += 1
                    if hops > _HOPS:
                        return True
                    at.pop()
                    todo.appendleft(onward)
        return False


class _TarFile(tarfile.TarFile):
    members: list[tarfile.TarInfo]  # documented by its source alone: what ``getmembers`` gives


def _opened(stream: TarStream) -> _TarFile:
    try:
        return _TarFile(
            fileobj=stream,
            mode="r",
            encoding="utf-8",
            errors="surrogateescape",  # names that are no UTF-8 come through unchanged, as tar unpacks them
        )
    except tarfile.ReadError:
        raise BadArchive("it is not a tarball") from None


def _clean(member: tarfile.TarInfo, text: str, verb: str) -> str:
    if not text:
        raise _bad(member, f"{verb} nothing")
    _clean_text(member.name, text)
    return text


def _clean_text(name: str, text: str) -> None:
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):
        raise BadArchive(f"member {shown_name(name)}: it has a control character in a name")


def _bad(member: tarfile.TarInfo, problem: str) -> BadArchive:
    return BadArchive(f"member {shown_name(member.name)} {problem}")


def _whose(member: str, name: str) -> str:
    """A member by its name; what a link points to beside it."""
    return f"member {shown_name(member)}" + ("" if name == member else f": {shown_name(name)}")
