"""The playground's tarballs and their checksums: the same bytes each time, so that a release keeps its name."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

from quarterdeck.backends.playground.layout import SERVICES
from quarterdeck.backends.playground.versions import FAULTS

_START_SCRIPT = """#!/bin/sh
# usage: bin/service start | stop | restart | status | serve
exec python3 -I -S "${0%/*}/../service.py" "$@"
"""


def build(directory: Path) -> None:
    """Writes ``<service>-<version>.tar.gz`` and ``….tar.gz.sha256`` (as sha256sum does), all services and versions."""
    for service in SERVICES:
        for version in FAULTS:
            content = _tarball(
                {
                    "RELEASE": (0o644, release_file(service, version)),
                    "bin/service": (0o755, _START_SCRIPT.encode()),
                    "service.py": (0o644, program()),
                }
            )
            name = f"{service}-{version}.tar.gz"
            (directory / name).write_bytes(content)
            checksum = hashlib.sha256(content).hexdigest()
            (directory / f"{name}.sha256").write_text(f"{checksum}  {name}\n", encoding="ascii")


def program() -> bytes:
    """The service itself."""
    return Path(__file__).with_name("service.py").read_bytes()


def release_file(service: str, version: str) -> bytes:
    """What the program finds beside itself, and takes its version and its fault from."""
    return f"service={service}\nversion={version}\nfault={FAULTS[version]}\n".encode()


def _tarball(files: dict[str, tuple[int, bytes]]) -> bytes:
    packed = io.BytesIO()
    # No name and no time in either header: they would make every build another artifact.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        directory = tarfile.TarInfo("bin")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(directory)
        for name, (mode, content) in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()
