"""Tarballs for the tests of artifacts: honest ones, and ones that no honest tool writes."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

Mode = Literal["w", "w:gz", "w:bz2", "w:xz"]


def member(
    name: str, content: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.size = kind, link, mode, len(content)
    return info


def write_tarball(path: Path, members: Iterable[tuple[tarfile.TarInfo, bytes]], mode: Mode = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return path


def tarball(path: Path, files: dict[str, bytes], mode: Mode = "w:gz") -> str:
    """Writes one with executable files; gives its SHA-256."""
    write_tarball(path, [(member(name, content, mode=0o755), content) for name, content in files.items()], mode)
    return sha256(path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
